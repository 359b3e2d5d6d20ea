package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
	"fieldgate/radio/sim"
)

// gateway hears 868.1 MHz SF7, and answers what its function says.
type gateway struct {
	*network
	antenna *sim.Antenna
	since   time.Time
	answer  func(rec sim.Reception) // from Hear

	mu    sync.Mutex // of all here and in what answer has
	heard []sim.Reception
}

func (g *gateway) Listening() (sim.Listening, bool) {
	t := radio.Tuning{Frequency: 868100000, Modulation: sf(7), SyncWord: radio.SyncPublic}
	return sim.Listening{Tuning: t, Since: g.since}, true
}

func (g *gateway) Hear(rec sim.Reception) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.heard = append(g.heard, rec)
	g.answer(rec)
}

func sf(n uint8) radio.Modulation {
	return radio.Modulation{SF: n, Bandwidth: 125000, CodingRate: 5}
}

// at sends b later, as gateways send.
func (g *gateway) at(after time.Duration, b []byte, freq uint32, m radio.Modulation) {
	time.AfterFunc(after, func() {
		g.antenna.Send(sim.Emission{Payload: b, Frequency: freq, Modulation: m, SyncWord: radio.SyncPublic, InvertIQ: true, Power: 16})
	})
}

func (g *gateway) rx1(after time.Duration, b []byte) { g.at(after, b, 868100000, sf(7)) }

// rx2 is as the accepts of these tests have it.
func (g *gateway) rx2(after time.Duration, b []byte) { g.at(after, b, 869525000, sf(9)) }

// joins answers a join request.
func (g *gateway) joins(rec sim.Reception, after time.Duration, send func(time.Duration, []byte)) bool {
	if k, _ := frame.KindOf(rec.Payload); k != frame.JoinRequest {
		return false
	}
	send(after, g.accept(Uplink{Frame: rec.Payload}, frame.Accept{RX2DataRate: 3, RxDelay: 1}))
	return true
}

// play runs a device and a gateway in a bubble for as long as do takes.
func play(t *testing.T, c Config, rc RunnerConfig, answer func(*gateway, sim.Reception), do func(context.Context, *gateway, *Runner)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		air := sim.NewAir(sim.AirOptions{})
		g := &gateway{network: &network{t: t, app: appKey}, since: time.Now()}
		g.answer = func(rec sim.Reception) { answer(g, rec) }
		g.antenna = air.Attach("gateway", g)
		c.DataRate, c.Channels = 5, region.SetOf(0)
		rc.Node, rc.Air, rc.Name = newNode(t, c), air, "device"
		r := NewRunner(rc)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		do(ctx, g, r)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := r.Send(t.Context(), 1, nil, false); !errors.Is(err, ErrStopped) {
			t.Errorf("sent after the end: %v", err)
		}
	})
}

func TestRunner(t *testing.T) {
	n := 0
	var got []string
	rc := RunnerConfig{
		Every:  time.Minute,
		Uplink: func() (int, []byte, bool) { n++; return 7, fmt.Appendf(nil, "reading %d", n), false },
		Heard:  func(d Downlink) { got = append(got, fmt.Sprintf("%d %d %s", d.Window, d.Port, d.Payload)) },
	}
	var joinedAt, sentAt []time.Time
	answer := func(g *gateway, rec sim.Reception) {
		if g.joins(rec, 5*time.Second, g.rx1) {
			joinedAt = append(joinedAt, rec.End)
			return
		}
		sentAt = append(sentAt, rec.Start)
		d, _ := g.read(Uplink{Frame: rec.Payload, FCnt: uint32(len(sentAt) - 1)})
		switch string(d.Payload) {
		case "reading 2":
			g.rx1(time.Second, g.send(frame.Data{FPort: 3, Payload: []byte("one")}))
		case "reading 3":
			g.rx2(2*time.Second, g.send(frame.Data{FPort: 3, Payload: []byte("two")}))
		case "reading 4": // too late for it
			g.rx1(time.Second+20*time.Millisecond, g.send(frame.Data{FPort: 3, Payload: []byte("never")}))
		}
	}
	play(t, Config{}, rc, answer, func(_ context.Context, _ *gateway, _ *Runner) { time.Sleep(4*time.Minute + 30*time.Second) })
	if len(joinedAt) != 1 || len(sentAt) != 5 {
		t.Fatalf("joined %d times, sent %d times", len(joinedAt), len(sentAt))
	}
	for i := range sentAt[1:] {
		if d := sentAt[i+1].Sub(sentAt[i]); d != time.Minute {
			t.Errorf("uplink %d: %v after the last one", i+1, d)
		}
	}
	if want := []string{"1 -1 ", "1 3 one", "2 3 two"}; !slices.Equal(got, want) {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// The join accept is taken in RX2, at its default data rate, and only at its time.
func TestRunnerJoinsInRX2(t *testing.T) {
	tries := 0
	answer := func(g *gateway, rec sim.Reception) {
		tries++
		after := 6 * time.Second
		if tries < 3 {
			after += 200 * time.Millisecond
		}
		g.joins(rec, after, func(d time.Duration, b []byte) { g.at(d, b, 869525000, sf(12)) })
	}
	play(t, Config{}, RunnerConfig{Rejoin: 20 * time.Second}, answer, func(_ context.Context, g *gateway, r *Runner) {
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !r.n.State().Joined || tries != 3 {
			t.Errorf("joined %v with %d requests", r.n.State().Joined, tries)
		}
		for i := range g.heard[1:] {
			if d := g.heard[i+1].Start.Sub(g.heard[i].End); d < 16*time.Second || d > 27*time.Second {
				t.Errorf("asked again after %v", d)
			}
		}
	})
}

func TestRunnerConfirmed(t *testing.T) {
	answer := func(g *gateway, rec sim.Reception) {
		if g.joins(rec, 5*time.Second, g.rx1) {
			return
		}
		if d, _ := frame.ParseData(rec.Payload); d.Kind == frame.ConfirmedUp && len(g.heard) == 4 { // the next frame
			g.rx1(time.Second, g.send(frame.Data{ACK: true, FPort: frame.NoFPort}))
		}
	}
	play(t, Config{Tries: 4}, RunnerConfig{}, answer, func(ctx context.Context, g *gateway, r *Runner) {
		// The third and fourth are slower, which the gateway does not hear.
		e, err := r.Send(ctx, 1, []byte("a"), true)
		synctest.Wait()
		if err != nil || e.ACK || e.Sent != 4 || len(g.heard) != 3 {
			t.Errorf("%+v, %v, %d heard", e, err, len(g.heard))
		}
		e, err = r.Send(ctx, 1, []byte("b"), true)
		if err != nil || !e.ACK || e.Sent != 1 || len(e.Downlinks) != 1 {
			t.Errorf("%+v, %v", e, err)
		}
		synctest.Wait()
		if d := g.heard[2].Start.Sub(g.heard[1].End); d < 3*time.Second || d > 6*time.Second {
			t.Errorf("again after %v", d)
		}
	})
}

// A confirmed downlink is acknowledged soon, and so is one of class C.
func TestRunnerAcknowledges(t *testing.T) {
	acks := 0
	answer := func(g *gateway, rec sim.Reception) {
		if g.joins(rec, 5*time.Second, g.rx1) {
			return
		}
		d, _ := frame.ParseData(rec.Payload)
		if d.ACK {
			acks++
		}
		if d.FPort == 1 {
			g.rx1(time.Second, g.send(frame.Data{Kind: frame.ConfirmedDown, FPort: 2, Payload: []byte("x")}))
		}
	}
	var windows []int
	rc := RunnerConfig{Heard: func(d Downlink) { windows = append(windows, d.Window) }}
	play(t, Config{ClassC: true}, rc, answer, func(ctx context.Context, g *gateway, r *Runner) {
		if _, err := r.Send(ctx, 1, nil, false); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if acks != 1 {
			t.Errorf("%d acknowledgements", acks)
		}
		for i := range 3 {
			g.rx2(0, g.send(frame.Data{Kind: frame.ConfirmedDown, FPort: 2, Payload: []byte("y")}))
			time.Sleep(8 * time.Second)
			synctest.Wait()
			if acks != i+2 {
				t.Errorf("%d acknowledgements", acks)
			}
		}
		// In RX1, when the class C window is closed, and then in that window.
		g.rx2(time.Minute, g.send(frame.Data{FPort: 2}))
		if e, err := r.Send(ctx, 3, nil, false); err != nil || len(e.Downlinks) != 0 {
			t.Errorf("%+v, %v", e, err)
		}
		time.Sleep(2 * time.Minute)
	})
	if want := []int{1, 1, 0, 0, 0, 0}; !slices.Equal(windows, want) {
		t.Errorf("windows %v, want %v", windows, want)
	}
}

// With FPending, a class A device comes for more by itself.
func TestRunnerPending(t *testing.T) {
	var payloads []string
	left := 3
	answer := func(g *gateway, rec sim.Reception) {
		if !g.joins(rec, 5*time.Second, g.rx1) && left > 0 {
			left--
			g.rx1(time.Second, g.send(frame.Data{FPort: 2, Payload: fmt.Appendf(nil, "%d left", left), Pending: left > 0}))
		}
	}
	rc := RunnerConfig{Heard: func(d Downlink) { payloads = append(payloads, string(d.Payload)) }}
	play(t, Config{}, rc, answer, func(ctx context.Context, _ *gateway, r *Runner) {
		if _, err := r.Send(ctx, 1, nil, false); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
	if want := []string{"", "2 left", "1 left", "0 left"}; !slices.Equal(payloads, want) {
		t.Errorf("%q, want %q", payloads, want)
	}
}

// A frame to another device in RX1 leaves RX2 open; what is replayed is ignored.
func TestRunnerIgnores(t *testing.T) {
	var first []byte
	answer := func(g *gateway, rec sim.Reception) {
		if g.joins(rec, 5*time.Second, g.rx1) {
			return
		}
		if first == nil {
			first = g.send(frame.Data{FPort: 2, Payload: []byte("a")})
			g.addr++
			g.rx1(time.Second, g.send(frame.Data{FPort: 2, Payload: []byte("b")}))
			g.addr--
			g.rx2(2*time.Second, first)
			return
		}
		g.rx1(time.Second, first)
	}
	var ignored []error
	rc := RunnerConfig{Ignored: func(_ Received, err error) { ignored = append(ignored, err) }}
	play(t, Config{}, rc, answer, func(ctx context.Context, _ *gateway, r *Runner) {
		if e, err := r.Send(ctx, 1, nil, false); err != nil || len(e.Downlinks) != 1 || e.Downlinks[0].Window != 2 {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err := r.Send(ctx, 1, nil, false); err != nil || len(e.Downlinks) != 0 {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err := r.Join(ctx); err != nil || !e.Joined {
			t.Errorf("%+v, %v", e, err)
		}
	})
	if len(ignored) != 2 || !errors.Is(ignored[0], ErrStranger) || !errors.Is(ignored[1], ErrReplay) {
		t.Errorf("ignored %v", ignored)
	}
}

// Its windows are open at their time and for a short while only, and a device with
// a poor clock hears what is late.
func TestRunnerWindows(t *testing.T) {
	for _, c := range []struct {
		late, slack time.Duration
		heard       bool
	}{
		{0, 0, true}, {3 * time.Millisecond, 0, true}, {-3 * time.Millisecond, 0, true}, {-4 * time.Millisecond, 0, false},
		{4 * time.Millisecond, 0, false}, {15 * time.Millisecond, 20 * time.Millisecond, true}, {-15 * time.Millisecond, 20 * time.Millisecond, true},
		{40 * time.Millisecond, 20 * time.Millisecond, false},
	} {
		answer := func(g *gateway, rec sim.Reception) {
			if !g.joins(rec, 5*time.Second, g.rx1) {
				g.rx1(time.Second+c.late, g.send(frame.Data{FPort: 2}))
			}
		}
		play(t, Config{Slack: c.slack}, RunnerConfig{}, answer, func(ctx context.Context, _ *gateway, r *Runner) {
			begin := time.Now()
			if e, err := r.Send(ctx, 1, nil, false); err != nil || len(e.Downlinks) == 1 != c.heard {
				t.Errorf("%v late with %v: %+v, %v", c.late, c.slack, e, err)
			}
			if rx2 := time.Since(begin) > 7*time.Second; rx2 == c.heard { // 5 s of them to join
				t.Errorf("%v late with %v: done after %v", c.late, c.slack, time.Since(begin))
			}
		})
	}
}
