package sx127x

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// ahead is how long before its time a transmission is prepared.
const ahead = 30 * time.Millisecond

// down is a downlink as LoRaWAN has it, due in d.
func (g *rig) down(d time.Duration, payload string) *radio.Transmission {
	return &radio.Transmission{ID: payload, Radio: "gw", Payload: []byte(payload), Frequency: 869525000,
		Modulation: radio.Modulation{SF: 9, Bandwidth: 125000, CodingRate: 5}, Power: 14, InvertIQ: true,
		Counter: g.radio.Counter(time.Now().Add(d))}
}

// attend has the node listen to what down sends.
func (g *rig) attend(tx *radio.Transmission) {
	g.node.mu.Lock()
	defer g.node.mu.Unlock()
	g.node.listen = sim.Listening{Tuning: radio.Tuning{Frequency: tx.Frequency, Modulation: tx.Modulation, SyncWord: radio.SyncPublic},
		InvertIQ: tx.InvertIQ, Since: time.Now()}
}

func TestTransmit(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      func(*sim.SX1276Options)
		config func(*Config)
		change func(*radio.Transmission)
		power  float64
	}{
		{name: "RX2", power: 14},
		{name: "polled", o: func(o *sim.SX1276Options) { o.DIO0 = "" }, power: 14},
		{name: "software chip select", o: func(o *sim.SX1276Options) { o.CS = "GPIO25" }, power: 14},
		{name: "not inverted, with CRC", change: func(tx *radio.Transmission) { tx.InvertIQ, tx.CRC = false, true }, power: 14},
		{name: "SF12", change: func(tx *radio.Transmission) { tx.SF = 12 }, power: 14},
		{name: "SF7BW500", change: func(tx *radio.Transmission) { tx.SF, tx.Bandwidth = 7, 500000 }, power: 14},
		{name: "narrow", change: func(tx *radio.Transmission) { tx.SF, tx.Bandwidth = 7, 20800 }, power: 14},
		{name: "4/8, preamble 12", change: func(tx *radio.Transmission) { tx.CodingRate, tx.Preamble = 8, 12 }, power: 14},
		{name: "255 bytes", change: func(tx *radio.Transmission) { tx.Payload = []byte(strings.Repeat("x", 255)) }, power: 14},
		{name: "one byte", change: func(tx *radio.Transmission) { tx.Payload = []byte{0} }, power: 14},
		{name: "all that it can", config: func(c *Config) { c.MaxPower = 20 }, change: func(tx *radio.Transmission) { tx.Power = 27 }, power: 20},
		{name: "limited", change: func(tx *radio.Transmission) { tx.Power = 27 }, power: 17},
		{name: "antenna", config: func(c *Config) { c.AntennaGain = 2.15 }, power: 11},
		{name: "RFO", o: func(o *sim.SX1276Options) { o.NoRFO = false }, config: func(c *Config) { c.RFO = true }, change: func(tx *radio.Transmission) { tx.Power = -4 }, power: -4.2},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := wiring
			if c.o != nil {
				c.o(&o)
			}
			bubble(t, o, c.config, func(t *testing.T, g *rig) {
				tx := g.down(time.Second, "hello")
				if c.change != nil {
					c.change(tx)
				}
				g.attend(tx)
				g.hears("before")
				due := g.due(tx)
				if err := g.radio.Send(t.Context(), tx); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				got := g.node.got()
				if len(got) != 1 {
					t.Fatalf("the node heard %d frames", len(got))
				}
				r := got[0]
				if late := r.Start.Sub(due); late != 0 {
					t.Errorf("%v late", late)
				}
				if !slices.Equal(r.Payload, tx.Payload) || r.CRC != tx.CRC || r.InvertIQ != tx.InvertIQ || r.Modulation != tx.Modulation ||
					r.SyncWord != radio.SyncPublic || r.Preamble != max(tx.Preamble, 8) {
					t.Errorf("sent %+v", r)
				}
				if d := r.Power - c.power; d < -0.01 || d > 0.01 {
					t.Errorf("power %v", r.Power)
				}
				if d := int(r.Frequency) - int(tx.Frequency); d < -31 || d > 31 {
					t.Errorf("frequency %d", r.Frequency)
				}
				time.Sleep(time.Millisecond)
				g.hears("after")
				if n := g.status().Count; n.Sent != 1 || n.Unsent != 0 || n.Received != 2 {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}

// TestTransmitRefused has what can not be sent.
func TestTransmitRefused(t *testing.T) {
	bubble(t, wiring, func(c *Config) { c.AntennaGain = 3 }, func(t *testing.T, g *rig) {
		for _, c := range []struct {
			change func(*radio.Transmission)
			want   error
		}{
			{func(tx *radio.Transmission) { tx.Payload = nil }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.Payload = make([]byte, 256) }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.SF = 6 }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.SF = 0 }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.SF = 13 }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.Bandwidth = 200000 }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.CodingRate = 4 }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.CodingRate = 9 }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.Preamble = 5 }, radio.ErrRefused},
			{func(tx *radio.Transmission) { tx.Frequency = 433175000 }, radio.ErrFrequency},
			{func(tx *radio.Transmission) { tx.Frequency = 2400000000 }, radio.ErrFrequency},
			{func(tx *radio.Transmission) { tx.Frequency = 0 }, radio.ErrFrequency},
			{func(tx *radio.Transmission) { tx.Power = 4 }, radio.ErrPower}, // 1 dBm
			{func(tx *radio.Transmission) { tx.Power = -128 }, radio.ErrPower},
			{func(tx *radio.Transmission) { tx.Counter = g.radio.Counter(time.Now().Add(9 * time.Millisecond)) }, radio.ErrTooLate},
			{func(tx *radio.Transmission) { tx.Counter = g.radio.Counter(time.Now().Add(-time.Minute)) }, radio.ErrTooLate},
			{func(tx *radio.Transmission) { tx.Counter = g.radio.Counter(time.Now().Add(129 * time.Second)) }, radio.ErrTooEarly},
		} {
			tx := g.down(time.Second, "x")
			c.change(tx)
			before := time.Now()
			if err := g.radio.Send(t.Context(), tx); !errors.Is(err, c.want) {
				t.Errorf("%+v: %v, want %v", tx, err, c.want)
			}
			if time.Since(before) != 0 {
				t.Errorf("%v: it took %v to say so", c.want, time.Since(before))
			}
		}
		if n := len(g.air.Emissions()); n != 0 {
			t.Errorf("%d frames sent", n)
		}
	})
}

// TestTransmitQueue has several at once, out of order.
func TestTransmitQueue(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		start := time.Now()
		var wg sync.WaitGroup
		send := func(d time.Duration, want error) {
			tx := g.down(d, d.String())
			wg.Go(func() {
				if err := g.radio.Send(t.Context(), tx); !errors.Is(err, want) {
					t.Errorf("%v: %v, want %v", d, err, want)
				}
			})
			synctest.Wait()
		}
		send(5*time.Second, nil)
		send(time.Second, nil)
		send(2*time.Second, nil)
		send(time.Second, radio.ErrCollision)
		send(2*time.Second+100*time.Millisecond, radio.ErrCollision) // it takes 144 ms
		send(2*time.Second-100*time.Millisecond, radio.ErrCollision)
		send(2*time.Second+200*time.Millisecond, nil)
		time.Sleep(1050 * time.Millisecond)
		send(50*time.Millisecond, radio.ErrCollision) // with the one that is being sent
		tx := g.down(0, "now")
		tx.Immediately = true
		wg.Go(func() {
			if err := g.radio.Send(t.Context(), tx); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		var at []time.Duration
		for _, s := range g.air.Emissions() {
			at = append(at, s.Start.Sub(start).Round(time.Millisecond))
		}
		first := g.air.Emissions()[0]
		over := time.Second + first.Airtime()
		if len(at) != 5 || at[0] != time.Second || at[1] < over+ahead || at[1] > over+ahead+10*time.Millisecond ||
			!slices.Equal(at[2:], []time.Duration{2 * time.Second, 2200 * time.Millisecond, 5 * time.Second}) {
			t.Errorf("sent at %v", at)
		}
	})
}

// TestTransmitImmediately has a radio that does nothing else.
func TestTransmitImmediately(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		tx := g.down(-time.Hour, "now")
		tx.Immediately = true
		g.attend(tx)
		start := time.Now()
		if err := g.radio.Send(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := g.node.got(); len(got) != 1 || got[0].Start.Sub(start) > 10*time.Millisecond {
			t.Errorf("%+v", got)
		}
	})
}

// TestTransmitCancelled takes one back, and one that is under way not.
func TestTransmitCancelled(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := g.radio.Send(ctx, g.down(time.Second, "back")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if n := len(g.air.Emissions()); n != 0 {
			t.Errorf("%d frames sent", n)
		}
		tx := g.down(time.Second, "away")
		g.attend(tx)
		ctx, cancel = context.WithTimeout(t.Context(), 1050*time.Millisecond)
		defer cancel()
		if err := g.radio.Send(ctx, tx); err != nil { // it is on the air
			t.Error(err)
		}
		time.Sleep(time.Second)
		if len(g.node.got()) != 1 {
			t.Error("the frame was cut off")
		}
		if n := g.status().Count; n.Sent != 1 || n.Unsent != 1 {
			t.Errorf("%+v", n)
		}
	})
}

// TestTransmitStopped ends Run with a transmission waiting and one under way.
func TestTransmitStopped(t *testing.T) {
	for _, d := range []time.Duration{50 * time.Millisecond, time.Second} {
		bubble(t, wiring, nil, func(t *testing.T, g *rig) {
			done := make(chan error)
			go func() { done <- g.radio.Send(t.Context(), g.down(d, "x")) }()
			time.Sleep(100 * time.Millisecond)
			g.stop()
			if err := <-done; !errors.Is(err, radio.ErrDown) {
				t.Error(err)
			}
			if err := g.radio.Send(t.Context(), g.down(d, "x")); !errors.Is(err, radio.ErrDown) {
				t.Error(err)
			}
			if m := g.chip.Mode(); m != sim.ModeSleep {
				t.Errorf("mode %d", m)
			}
		})
	}
}

// TestReceiveUntilPrepared has a frame end right before a transmission is
// prepared, and one that is lost to it.
func TestReceiveUntilPrepared(t *testing.T) {
	for _, dio0 := range []string{"GPIO4", ""} {
		o := wiring
		o.DIO0 = dio0
		bubble(t, o, nil, func(t *testing.T, g *rig) {
			e := up(channel, "in time")
			for _, after := range []time.Duration{10 * time.Microsecond, 500 * time.Microsecond} {
				go func() {
					_ = g.radio.Send(t.Context(), g.down(e.Airtime()+ahead+after, "down"))
				}()
				g.hears("in time")
				time.Sleep(time.Second)
			}
			go func() { _ = g.radio.Send(t.Context(), g.down(30*time.Millisecond, "down")) }()
			n := len(g.got())
			g.node.Send(e)
			time.Sleep(time.Second)
			if len(g.got()) != n || len(g.air.Emissions()) != 6 {
				t.Errorf("%d frames heard, %d sent", len(g.got())-n, len(g.air.Emissions()))
			}
		})
	}
}
