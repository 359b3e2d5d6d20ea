package sx126x

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestReceive has a frame with each spreading factor and bandwidth, with and
// without lines.
func TestReceive(t *testing.T) {
	for _, lines := range []Config{wiring, {Name: "lora0", Bus: "spi:0.0"}} {
		for sf := uint8(5); sf <= 12; sf++ {
			for _, bw := range []uint32{62500, 125000, 250000, 500000} {
				bubble(t, fmt.Sprintf("SF%dBW%d with interrupt %q", sf, bw/1000, lines.IRQ), func(t *testing.T) {
					c := lines
					c.Tuning = eu
					c.Tuning.SF, c.Tuning.Bandwidth = sf, bw
					r := newRig(t, c)
					r.run()
					for _, payload := range []string{"", "x", strings.Repeat("long ", 51)} {
						e := uplink(c.Tuning, payload)
						e.CodingRate = 7 // the header tells
						end := r.node.antenna.Send(e)
						time.Sleep(time.Until(end) + 30*time.Millisecond)
						got := r.heard()
						if len(got) != 1 {
							t.Fatalf("%d frames of %d bytes", len(got), len(payload))
						}
						f := got[0]
						if string(f.Payload) != payload || f.Modulation != e.Modulation || f.Frequency != e.Frequency || f.CRC != radio.CRCOK ||
							f.Radio != "lora0" || f.Private || f.RSSI != -86 || f.Counter != r.radio.Counter(f.At) {
							t.Errorf("%+v", f)
						}
						late := f.At.Sub(end)
						if c.IRQ != "" && late != 0 || late < -time.Millisecond || late > time.Millisecond {
							t.Errorf("the frame's end is %v off", late)
						}
					}
					if s := r.status(); s.Count.Received != 3 || s.State != radio.OK || s.Count.Resets != 0 {
						t.Errorf("%+v", s)
					}
					r.clean()
				})
			}
		}
	}
}

// TestLevels has levels, SNR and frequency error against those of the air.
func TestLevels(t *testing.T) {
	for _, c := range []struct{ loss, ppm float64 }{{60, 0}, {100, 10}, {120, -10}, {136, 3}, {138, -20}} {
		bubble(t, fmt.Sprint(c), func(t *testing.T) {
			r := newRig(t, wiring)
			air := sim.NewAir(sim.AirOptions{
				Loss:    func(string, string) float64 { return c.loss },
				Crystal: func(name string) float64 { return map[string]float64{"node": c.ppm}[name] },
			})
			r.board = sim.NewBoard(air)
			r.chip = r.board.AddSX1262(options(wiring))
			antenna := air.Attach("node", nil)
			cfg := wiring
			cfg.Board = r.board
			var err error
			if r.radio, err = New(cfg); err != nil {
				t.Fatal(err)
			}
			r.run()
			e := uplink(eu, "level")
			end := antenna.Send(e)
			time.Sleep(time.Until(end) + time.Millisecond)
			got := r.heard()
			if len(got) != 1 {
				t.Fatalf("%d frames", len(got))
			}
			level := 14 - c.loss
			snr := level - air.NoiseFloor(125000)
			if f := got[0]; math.Abs(float64(f.RSSI)-level) > 1.1 || math.Abs(float64(f.SNR)-min(snr, 31.75)) > 0.2 {
				t.Errorf("%g dBm %g dB, want %g %g", f.RSSI, f.SNR, level, snr)
			}
			if want := c.ppm * 868.1; math.Abs(float64(got[0].FrequencyError)-want) > 1 {
				t.Errorf("%d Hz, want %g", got[0].FrequencyError, want)
			}
		})
	}
}

// TestChecksums tells frames with a right checksum, with a wrong one and without
// one apart.
func TestChecksums(t *testing.T) {
	bubble(t, "three kinds", func(t *testing.T) {
		r := newRig(t, wiring)
		other := r.air.Attach("other", nil)
		r.run()
		for _, c := range []struct {
			crc, collide bool
			want         radio.CRC
		}{{true, false, radio.CRCOK}, {true, true, radio.CRCBad}, {false, false, radio.CRCNone}, {true, false, radio.CRCOK}, {false, true, radio.CRCNone}} {
			e := uplink(eu, "a frame that is long enough for a collision")
			e.CRC = c.crc
			end := r.node.antenna.Send(e)
			if c.collide {
				time.Sleep(30 * time.Millisecond)
				other.Send(e)
			}
			time.Sleep(time.Until(end) + 100*time.Millisecond)
			got := r.heard()
			if len(got) != 1 || got[0].CRC != c.want || (string(got[0].Payload) != string(e.Payload)) != c.collide {
				t.Errorf("%+v: %+v", c, got)
			}
		}
		if n := r.status().Count; n.Received != 2 || n.BadCRC != 1 || n.NoCRC != 2 {
			t.Errorf("%+v", n)
		}
		r.clean()
	})
}

// TestNotForUs has frames that the chip must not hear.
func TestNotForUs(t *testing.T) {
	bubble(t, "others", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		for name, change := range map[string]func(*sim.Emission){
			"a private network": func(e *sim.Emission) { e.SyncWord = radio.SyncPrivate },
			"a downlink":        func(e *sim.Emission) { e.InvertIQ = true },
			"another channel":   func(e *sim.Emission) { e.Frequency = 868300000 },
			"another rate":      func(e *sim.Emission) { e.SF = 8 },
			"without header":    func(e *sim.Emission) { e.Implicit = true },
		} {
			e := uplink(eu, name)
			change(&e)
			end := r.node.antenna.Send(e)
			time.Sleep(time.Until(end) + 10*time.Millisecond)
			if got := r.heard(); len(got) != 0 {
				t.Errorf("%s was heard", name)
			}
		}
	})
}

// TestExactTime sends in all data rates and looks at which time the first symbol
// leaves.
func TestExactTime(t *testing.T) {
	noBusy := wiring
	noBusy.Busy = ""
	tcxo := wiring
	tcxo.TCXO = 1.8
	bare := Config{Name: "lora0", Bus: "spi:0.0", Tuning: eu}
	bareTCXO := bare
	bareTCXO.TCXO = 3.3
	for name, c := range map[string]Config{"all lines": wiring, "no BUSY": noBusy, "TCXO": tcxo, "only the bus": bare, "only the bus, TCXO": bareTCXO} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, c)
			r.run()
			for sf := uint8(7); sf <= 12; sf++ {
				x := r.downlink(time.Second, "at its time")
				x.SF = sf
				at := time.Now().Add(time.Second).Truncate(time.Microsecond)
				r.node.mu.Lock()
				r.node.listens.SF = sf
				r.node.mu.Unlock()
				if err := r.radio.Send(t.Context(), x); err != nil {
					t.Fatal(err)
				}
				sent := r.air.Emissions()
				e := sent[len(sent)-1]
				if off := e.Start.Sub(at); off < -time.Microsecond || off > time.Microsecond {
					t.Errorf("SF%d: %v off", sf, off)
				}
				if e.From != "gateway" || e.Power != 14 || !e.InvertIQ || e.CRC || e.SyncWord != radio.SyncPublic {
					t.Errorf("%+v", e)
				}
				if late := time.Since(e.Start.Add(e.Airtime())); late > 5*time.Millisecond {
					t.Errorf("SF%d: Send returned %v after the end", sf, late)
				}
				if got := r.node.take(); len(got) != 1 || string(got[0].Payload) != "at its time" {
					t.Errorf("SF%d: the node heard %v", sf, got)
				}
				// And back to reception.
				end := r.node.antenna.Send(uplink(eu, "up"))
				time.Sleep(time.Until(end) + 25*time.Millisecond)
				if got := r.heard(); len(got) != 1 {
					t.Errorf("after SF%d: %d frames", sf, len(got))
				}
			}
			if n := r.status().Count; n.Sent != 6 || n.Unsent != 0 || n.Resets != 0 {
				t.Errorf("%+v", n)
			}
			r.clean()
		})
	}
}

// TestBothWays answers each frame a second after it, as LoRaWAN does, by the
// frame's own counter.
func TestBothWays(t *testing.T) {
	bubble(t, "RX1", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		for i := range 20 {
			end := r.node.antenna.Send(uplink(eu, fmt.Sprint("up ", i)))
			time.Sleep(time.Until(end) + time.Duration(i)*time.Millisecond)
			got := r.heard()
			for len(got) == 0 {
				time.Sleep(time.Millisecond)
				got = r.heard()
			}
			x := r.downlink(0, fmt.Sprint("down ", i))
			x.Counter = got[0].Counter + 1e6
			if err := r.radio.Send(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			sent := r.air.Emissions()
			if off := sent[len(sent)-1].Start.Sub(end.Add(time.Second)); off < -time.Microsecond || off > time.Microsecond {
				t.Errorf("%d: %v off", i, off)
			}
			time.Sleep(time.Duration(i) * 7 * time.Millisecond)
		}
		if got := r.node.take(); len(got) != 20 {
			t.Errorf("the node heard %d", len(got))
		}
		r.clean()
	})
}

func TestRefused(t *testing.T) {
	bubble(t, "before it runs", func(t *testing.T) {
		r := newRig(t, wiring)
		if err := r.radio.Send(t.Context(), r.downlink(time.Second, "x")); !errors.Is(err, radio.ErrDown) {
			t.Error(err)
		}
	})
	bubble(t, "at once", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		var sent sync.WaitGroup
		sent.Go(func() {
			if err := r.radio.Send(t.Context(), r.downlink(time.Second, "first")); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for _, c := range []struct {
			in   time.Duration
			want error
		}{
			{5 * time.Millisecond, radio.ErrTooLate}, {-time.Second, radio.ErrTooLate}, {-30 * time.Minute, radio.ErrTooLate},
			{129 * time.Second, radio.ErrTooEarly}, {30 * time.Minute, radio.ErrTooEarly},
			{time.Second, radio.ErrCollision}, {time.Second - 40*time.Millisecond, radio.ErrCollision}, {time.Second + 30*time.Millisecond, radio.ErrCollision},
			{time.Second + 50*time.Millisecond, radio.ErrCollision}, // it ends at 31 ms
		} {
			began := time.Now()
			err := r.radio.Send(t.Context(), r.downlink(c.in, "second"))
			if !errors.Is(err, c.want) || time.Since(began) != 0 {
				t.Errorf("in %v: %v after %v, want %v", c.in, err, time.Since(began), c.want)
			}
		}
		x := r.downlink(0, "now")
		x.Immediately, x.Counter = true, 12345
		if err := r.radio.Send(t.Context(), x); err != nil { // there is time in front of the first
			t.Error(err)
		}
		sent.Wait()
		all := r.air.Emissions()
		if len(all) != 2 || string(all[0].Payload) != "now" || string(all[1].Payload) != "first" {
			t.Errorf("%+v", all)
		}
		if n := r.status().Count; n.Sent != 2 || n.Unsent != 9 {
			t.Errorf("%+v", n)
		}
	})
	bubble(t, "taken back", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := r.radio.Send(ctx, r.downlink(time.Second, "x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		if all := r.air.Emissions(); len(all) != 0 {
			t.Errorf("%+v", all)
		}
	})
	bubble(t, "stopped meanwhile", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		for _, in := range []time.Duration{time.Second, 5 * time.Second} {
			x := r.downlink(in, "x")
			x.SF = 12
			time.AfterFunc(1100*time.Millisecond, r.stop) // in the middle of the first one
			if err := r.radio.Send(t.Context(), x); !errors.Is(err, radio.ErrDown) {
				t.Error(err)
			}
		}
	})
}

// TestWiredWrong has an interrupt line that does not rise: frames still come, and
// soon as fast as without the line.
func TestWiredWrong(t *testing.T) {
	bubble(t, "DIO1", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		r.board.Line("GPIO16").Cut(true)
		for i := range 5 {
			end := r.node.antenna.Send(uplink(eu, "up"))
			time.Sleep(time.Until(end) + time.Second)
			got := r.heard()
			if len(got) != 1 {
				t.Fatalf("frame %d: %d", i, len(got))
			}
			if late := got[0].At.Sub(end); i >= 2 && (late > 5*time.Millisecond || late < -5*time.Millisecond) {
				t.Errorf("frame %d: %v off", i, late)
			}
		}
		at := time.Now().Add(100 * time.Millisecond)
		if err := r.radio.Send(t.Context(), r.downlink(100*time.Millisecond, "down")); err != nil {
			t.Error(err)
		}
		sent := r.air.Emissions()
		if off := sent[len(sent)-1].Start.Sub(at); off < -time.Microsecond || off > time.Microsecond {
			t.Errorf("%v off", off)
		}
		r.clean()
	})
	bubble(t, "a bus that moves its own select", func(t *testing.T) {
		r := newRig(t, wiring)
		r.board.RefuseNoCS(true)
		r.run()
		if s := r.status(); s.State != radio.OK {
			t.Error(s.Err)
		}
		r.clean()
	})
}

// TestAntennaSwitch has modules with two lines for the switch.
func TestAntennaSwitch(t *testing.T) {
	c := wiring
	c.DIO2Switch, c.TXEnable, c.RXEnable = false, "GPIO13", "GPIO12"
	bubble(t, "both lines", func(t *testing.T) {
		r := newRig(t, c)
		both := false
		check := func(bool) { both = both || r.board.Line("GPIO13").High() && r.board.Line("GPIO12").High() }
		r.board.Line("GPIO13").Watch(check)
		r.board.Line("GPIO12").Watch(check)
		r.run()
		end := r.node.antenna.Send(uplink(eu, "up"))
		time.Sleep(time.Until(end) + time.Millisecond)
		if got := r.heard(); len(got) != 1 || got[0].RSSI != -86 {
			t.Errorf("%+v", got)
		}
		if err := r.radio.Send(t.Context(), r.downlink(time.Second, "down")); err != nil {
			t.Error(err)
		}
		if got := r.node.take(); len(got) != 1 || got[0].RSSI != -86 {
			t.Errorf("%+v", got)
		}
		r.stop()
		if r.board.Line("GPIO13").High() || r.board.Line("GPIO12").High() || both {
			t.Error("the lines of the antenna switch")
		}
		r.clean()
	})
}

// TestEnable has a module whose supply a line switches.
func TestEnable(t *testing.T) {
	bubble(t, "GPIO26", func(t *testing.T) {
		c := wiring
		c.Enable = []string{"GPIO26"}
		r := newRig(t, c)
		r.run()
		if s := r.status(); s.State != radio.OK || !r.board.Line("GPIO26").High() {
			t.Errorf("%+v", s)
		}
		r.stop()
		if l := r.board.Line("GPIO26"); l.High() || l.Taken() {
			t.Error("the line stays high, or taken")
		}
	})
}

// TestPowerOnAir has the chip's output for what was asked for.
func TestPowerOnAir(t *testing.T) {
	for _, model := range []string{SX1261, SX1262} {
		bubble(t, model, func(t *testing.T) {
			c := wiring
			c.Model, c.AntennaGain = model, 2
			r := newRig(t, c)
			r.run()
			low, high := powers(model)
			for p := low + 2; p <= high+4; p++ {
				x := r.downlink(100*time.Millisecond, "p")
				x.Power = p
				if err := r.radio.Send(t.Context(), x); err != nil {
					t.Fatal(err)
				}
				sent := r.air.Emissions()
				if got, want := sent[len(sent)-1].Power, float64(min(p-2, high)); got != want {
					t.Errorf("%d dBm EIRP: %g, want %g", p, got, want)
				}
			}
			r.clean()
		})
	}
}
