package lorawan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
	"fieldgate/radio/sim"
)

// concentrator is a radio in the air that hears all default channels with all
// spreading factors at once.
type concentrator struct {
	name    string
	counter radio.Counter
	out     *sim.Antenna
	receive func(*radio.Frame)
	since   time.Time
}

// demodulator is one channel of a concentrator with one spreading factor.
type demodulator struct {
	*concentrator
	tuning radio.Tuning
}

func (d demodulator) Listening() (sim.Listening, bool) {
	return sim.Listening{Tuning: d.tuning, Since: d.since}, true
}

func (d demodulator) Hear(r sim.Reception) {
	f := &radio.Frame{Payload: r.Payload, Frequency: d.tuning.Frequency, Modulation: r.Modulation, RSSI: float32(r.RSSI), SNR: float32(r.SNR),
		CRC: radio.CRCOK, Radio: d.name, Counter: d.counter.At(r.End), At: r.End}
	if r.Corrupt {
		f.CRC = radio.CRCBad
	}
	d.receive(f)
}

func newConcentrator(air *sim.Air, name string, reg *region.Region, receive func(*radio.Frame)) *concentrator {
	c := &concentrator{name: name, counter: radio.NewCounter(), receive: receive, since: time.Now(), out: air.Attach(name+"/tx", nil)}
	for _, ch := range reg.Channels() {
		for dr := ch.MinDR; dr <= ch.MaxDR; dr++ {
			m, _ := reg.DataRate(dr)
			air.Attach(fmt.Sprintf("%s/%d", name, dr), demodulator{c, radio.Tuning{Frequency: ch.Frequency, Modulation: m, SyncWord: radio.SyncPublic}})
		}
	}
	return c
}

// concentrators are a Radio for several.
type concentrators map[string]*concentrator

func (cs concentrators) Send(ctx context.Context, t *radio.Transmission) error {
	c, ok := cs[t.Radio]
	if !ok {
		return radio.ErrNoRadio
	}
	wait := time.Duration(0)
	if !t.Immediately {
		if wait = time.Until(c.counter.Time(t.Counter, time.Now())); wait < ahead {
			return radio.ErrTooLate
		}
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	c.out.Send(sim.Emission{Payload: t.Payload, Frequency: t.Frequency, Modulation: t.Modulation, SyncWord: radio.SyncPublic,
		InvertIQ: t.InvertIQ, CRC: t.CRC, Power: float64(t.Power)})
	return nil
}

// TestAir has devices of all sorts live on a simulated air for hours, in reach of
// two concentrators, and is restarted meanwhile: each uplink comes once, commands
// arrive, and no device ever gets what it must ignore.
func TestAir(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)))
		reg := regionNamed(t, "EU868")
		// Two hear all; the far one hears slow frames only.
		air := sim.NewAir(sim.AirOptions{Loss: func(from, to string) float64 {
			if strings.Contains(from+to, "far") {
				return 145
			}
			return 125
		}})
		var server *Server
		receive := func(f *radio.Frame) { server.Receive(f) }
		radios := concentrators{}
		for _, name := range []string{"near", "far"} {
			radios[name] = newConcentrator(air, name, reg, receive)
		}
		tab := &table{}
		var mu sync.Mutex
		uplinks, states, refused := map[string]int{}, map[string]State{}, map[Reason]uint64{}
		cfg := Config{Region: reg, NetID: 0x13, Table: tab, Radio: radios,
			OnUplink: func(u *Uplink) {
				mu.Lock()
				defer mu.Unlock()
				uplinks[fmt.Sprint(u.Device, " ", string(u.Payload))]++
			},
			OnDownlink: func(s DownlinkState) {
				mu.Lock()
				defer mu.Unlock()
				states[s.ID] = s.State
			},
			Settings: Settings{RX2: &RX2{869525000, 3}, RX1Delay: 2},
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		var nodes []*node.Node
		said, got := map[string]bool{}, map[string]int{}
		for i := range 6 {
			d := Device{Device: fmt.Sprint("d", i), DevEUI: frame.EUI{7: byte(i + 1)}, AppKey: frame.Key{byte(i + 1)}, ADR: true}
			c := node.Config{Region: reg, Seed: uint64(i), DevEUI: d.DevEUI, AppKey: d.AppKey, ADR: true, DataRate: i % 3, RandomNonce: true}
			switch i {
			case 1:
				d.Class, c.ClassC = ClassC, true
			case 2:
				d.Version, c.RandomNonce = V104, false
			case 3:
				d.AppKey, d.DevAddr, d.NwkSKey, d.AppSKey = frame.Key{}, 0x01000003, frame.Key{8}, frame.Key{9}
				c.ABP, c.DevAddr, c.NwkSKey, c.AppSKey = true, d.DevAddr, d.NwkSKey, d.AppSKey
			}
			cfg.Devices = append(cfg.Devices, d)
			n, err := node.New(c)
			if err != nil {
				t.Fatal(err)
			}
			nodes = append(nodes, n)
			count := 0
			r := node.NewRunner(node.RunnerConfig{Node: n, Air: air, Name: d.Device, Every: 5*time.Minute + time.Duration(i)*7*time.Second, Seed: uint64(i),
				Uplink: func() (int, []byte, bool) {
					count++
					mu.Lock()
					defer mu.Unlock()
					said[fmt.Sprint(d.Device, " ", count)] = true
					return 1, fmt.Append(nil, count), count%3 == 0
				},
				Heard: func(x node.Downlink) {
					if x.Port == 9 {
						mu.Lock()
						defer mu.Unlock()
						got[string(x.Payload)]++
					}
				},
				Ignored: func(_ node.Received, err error) {
					if !errors.Is(err, node.ErrStranger) && !errors.Is(err, node.ErrDeaf) && !errors.Is(err, node.ErrMIC) {
						t.Errorf("%s: %v", d.Device, err)
					}
				}})
			running.Go(func() {
				time.Sleep(time.Duration(i) * 23 * time.Second)
				if err := r.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		start := func() (stop func()) {
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			server = s
			sctx, end := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- s.Run(sctx) }()
			return func() {
				end()
				if err := <-done; err != nil {
					t.Error(err)
				}
				for r, n := range s.Stats().Refused {
					refused[r] += n
				}
			}
		}
		stop := start()
		sent := map[string]bool{}
		for round := range 4 {
			time.Sleep(time.Hour)
			synctest.Wait()
			for i := range cfg.Devices {
				q := Downlink{Device: cfg.Devices[i].Device, ID: fmt.Sprint(round, "/", i), FPort: 9, Payload: fmt.Append(nil, round, "/", i), Confirmed: round%2 == 0}
				if err := server.Enqueue(ctx, q); err != nil {
					t.Fatal(err)
				}
				sent[q.ID] = q.Confirmed
			}
			time.Sleep(47 * time.Second)
			stop()
			stop = start()
		}
		time.Sleep(time.Hour)
		cancel()
		running.Wait()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		stats := server.Stats()
		stop()

		lost := maps.Clone(said)
		for what, n := range uplinks {
			if n != 1 || !said[what] {
				t.Errorf("%q came %d times", what, n)
			}
			delete(lost, what)
		}
		if len(lost) > len(said)/20 { // some collide
			t.Errorf("%d of %d uplinks are lost: %v", len(lost), len(said), lost)
		}
		for id, confirmed := range sent {
			if s := states[id]; confirmed && s != Acknowledged || !confirmed && s != Sent {
				t.Errorf("%s is %v", id, s)
			}
			if got[id] == 0 {
				t.Errorf("%s was not heard by its device", id)
			}
		}
		for i, st := range server.Devices() {
			n := nodes[i].State()
			if st.Battery != frame.BatteryExternal || st.Asked.IsZero() {
				t.Errorf("%s: battery %d", st.Device, st.Battery)
			}
			if n.DataRate != 5 || n.RX2DataRate != 3 || n.RX1Delay != 2*time.Second {
				t.Errorf("%s: DR%d, RX2 DR%d, RX1 after %v", st.Device, n.DataRate, n.RX2DataRate, n.RX1Delay)
			}
		}
		if refused[WrongMIC]+refused[Replayed]+refused[Gap]+refused[UsedNonce]+refused[Malformed] > 0 {
			t.Errorf("%v", refused)
		}
		t.Logf("%d uplinks said, %d lost; last run: %+v; refused in all: %v", len(said), len(lost), stats, refused)
	})
}
