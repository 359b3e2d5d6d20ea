package sx126x

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// alive checks that frames go both ways, within so long.
func (r *rig) alive(within time.Duration) {
	r.t.Helper()
	synctest.Wait()
	for end := time.Now().Add(within); r.status().State != radio.OK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("down for %v: %v", within, r.status().Err)
		}
	}
	r.heard()
	r.node.take()
	end := r.node.antenna.Send(uplink(eu, "alive?"))
	time.Sleep(time.Until(end) + 600*time.Millisecond)
	if got := r.heard(); len(got) != 1 || string(got[0].Payload) != "alive?" {
		r.t.Errorf("heard %+v", got)
	}
	if err := r.radio.Send(r.t.Context(), r.downlink(100*time.Millisecond, "alive")); err != nil {
		r.t.Error(err)
	}
	if got := r.node.take(); len(got) != 1 || string(got[0].Payload) != "alive" {
		r.t.Errorf("the node heard %+v", got)
	}
}

// TestFaults breaks a running radio, sees it reported within so long, mends it
// and sees it come back.
func TestFaults(t *testing.T) {
	for _, f := range []struct {
		name        string
		spoil, mend func(r *rig)
		reported    time.Duration
		want        error
	}{
		{"all zeros", func(r *rig) { r.chip.SetFault(sim.AllZeros) }, func(r *rig) { r.chip.SetFault(sim.Healthy) }, time.Second, ErrAbsent},
		{"all ones", func(r *rig) { r.chip.SetFault(sim.AllOnes) }, func(r *rig) { r.chip.SetFault(sim.Healthy) }, time.Second, ErrAbsent},
		{"transactions fail", func(r *rig) { r.chip.SetFault(sim.Broken) }, func(r *rig) { r.chip.SetFault(sim.Healthy) }, time.Second, nil},
		{"plugged out and in", func(r *rig) { r.chip.Unplug() }, func(r *rig) { r.chip.Plug() }, time.Second, ErrAbsent},
		{"BUSY stuck", func(r *rig) { r.chip.StickBusy(true) }, func(r *rig) { r.chip.StickBusy(false) }, time.Second, ErrBusy},
	} {
		bubble(t, f.name, func(t *testing.T) {
			r := newRig(t, wiring)
			r.run()
			r.alive(0)
			f.spoil(r)
			time.Sleep(f.reported)
			s := r.status()
			if s.State != radio.Failing || f.want != nil && !errors.Is(s.Err, f.want) || s.Count.Resets == 0 {
				t.Fatalf("%+v", s)
			}
			if err := r.radio.Send(t.Context(), r.downlink(time.Second, "x")); !errors.Is(err, radio.ErrDown) {
				t.Error(err)
			}
			// It is tried again, more and more seldom: 0.1, 1, 2, 4 ... 32, 60 s.
			time.Sleep(10 * time.Minute)
			if n := r.status().Count.Resets; n < 15 || n > 22 {
				t.Errorf("%d attempts in 10 minutes", n)
			}
			f.mend(r)
			r.alive(61 * time.Second)
		})
	}
}

// TestLapses has faults that pass by themselves: the radio comes back at once.
func TestLapses(t *testing.T) {
	for _, f := range []struct {
		name   string
		spoil  func(r *rig)
		within time.Duration
	}{
		{"brown-out", func(r *rig) { r.chip.Brownout() }, time.Second},
		{"sync word lost", func(r *rig) { r.chip.SetRegister(0x0740, 0) }, 11 * time.Second},
		{"deaf", func(r *rig) { r.chip.Deafen() }, 11 * time.Minute},
		{"one failed transaction", func(r *rig) { r.chip.FailAfter(0, 1) }, time.Second},
	} {
		bubble(t, f.name, func(t *testing.T) {
			r := newRig(t, wiring)
			r.run()
			f.spoil(r)
			time.Sleep(f.within)
			r.alive(0)
			if s := r.status(); s.Count.Resets > 1 {
				t.Errorf("%+v", s)
			}
			r.clean()
		})
	}
}

// TestUnsignalled has a chip that receives but has forgotten to tell: its
// interrupts were reset.
func TestUnsignalled(t *testing.T) {
	bubble(t, "mask lost", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		for range 3 {
			r.alive(0)
		}
		r.chip.Brownout() // the chip's count begins anew
		time.Sleep(time.Second)
		r.chip.Forget()
		for range 4 {
			end := r.node.antenna.Send(uplink(eu, "lost"))
			time.Sleep(time.Until(end) + 10*time.Millisecond)
		}
		time.Sleep(11 * time.Second)
		r.alive(0)
		if s := r.status(); s.Count.Resets != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// TestNoChip has a message that says where to look.
func TestNoChip(t *testing.T) {
	bubble(t, "unplugged", func(t *testing.T) {
		r := newRig(t, wiring)
		r.chip.Unplug()
		r.run()
		if s := r.status(); s.Err == nil || s.Err.Error() != "command 0x80: no chip answers: the status is 0x00; are chip select, reset and the wires of the bus right?" {
			t.Errorf("%+v", s)
		}
	})
}

// TestEndlessTransmission has one whose end the chip does not tell.
func TestEndlessTransmission(t *testing.T) {
	bubble(t, "TxDone missing", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		r.chip.Hang(true)
		began := time.Now()
		err := r.radio.Send(t.Context(), r.downlink(100*time.Millisecond, "x"))
		if !errors.Is(err, radio.ErrDown) || time.Since(began) > time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		r.chip.Hang(false)
		time.Sleep(time.Second)
		r.alive(0)
		if n := r.status().Count; n.Resets != 1 || n.Unsent != 1 {
			t.Errorf("%+v", n)
		}
	})
}

// TestWrongOscillator has settings that do not fit the module. The message has to
// lead to the mistake.
func TestWrongOscillator(t *testing.T) {
	for _, c := range []struct {
		name        string
		chip, given float64
		ok          bool
	}{{"TCXO not set", 1.8, 0, false}, {"TCXO set, but a crystal", 0, 1.8, false}, {"voltage too low", 3.3, 1.8, false}, {"right", 1.8, 1.8, true}, {"voltage higher", 1.8, 3.3, true}} {
		bubble(t, c.name, func(t *testing.T) {
			cfg := wiring
			cfg.TCXO = c.chip
			r := newRig(t, cfg, func(d *Config) { d.TCXO = c.given })
			r.run()
			s := r.status()
			if (s.State == radio.OK) != c.ok {
				t.Fatalf("%+v", s)
			}
			if !c.ok && s.Err.Error() != "the 32 MHz oscillator does not start (is the voltage of the TCXO right, or is there a crystal?)" {
				t.Error(s.Err)
			}
		})
	}
}

// TestWrongWires has lines that are not what the configuration says.
func TestWrongWires(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"bus":         func(c *Config) { c.Bus = "spi:1.0" },
		"chip select": func(c *Config) { c.ChipSelect = "GPIO8" },
		"taken":       func(c *Config) { c.IRQ = c.Busy },
	} {
		bubble(t, name, func(t *testing.T) {
			r := newRig(t, wiring, spoil)
			r.run()
			if s := r.status(); s.State != radio.Failing {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestHarm has each transaction of a conversation fail in turn, and three in a
// row: frames come again soon, all lines are given back, and nothing is stuck.
func TestHarm(t *testing.T) {
	for _, times := range []int{1, 3} {
		for n := 0; n < 75; n++ {
			bubble(t, fmt.Sprintf("%d from %d on", times, n), func(t *testing.T) {
				r := newRig(t, wiring)
				r.chip.FailAfter(n, times)
				r.run()
				time.Sleep(2 * time.Second)
				r.node.antenna.Send(uplink(eu, "up"))
				_ = r.radio.Send(t.Context(), r.downlink(200*time.Millisecond, "down")) // may fail, must return
				time.Sleep(3 * time.Second)
				if s := r.status(); s.Count.Resets > 3 {
					t.Errorf("%+v", s)
				}
				synctest.Wait()
				r.chip.FailAfter(0, 0)
				r.alive(2 * time.Second)
				r.clean()
			})
		}
	}
}

// TestBitFlips has bits wrong in all that is read: whatever comes of it, nothing
// breaks, and the radio comes back.
func TestBitFlips(t *testing.T) {
	bubble(t, "flips", func(t *testing.T) {
		r := newRig(t, wiring)
		r.run()
		r.chip.SetFault(sim.BitFlips)
		for range 20 {
			end := r.node.antenna.Send(uplink(eu, "up"))
			time.Sleep(time.Until(end) + time.Second)
		}
		r.chip.SetFault(sim.Healthy)
		r.alive(2 * time.Minute)
	})
}

func TestProbe(t *testing.T) {
	bubble(t, "there", func(t *testing.T) {
		r := newRig(t, wiring)
		c := wiring
		c.Board = r.board
		info, err := Probe(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"mode": "RX", "sync word": "3444", "frequency": "868100000 Hz",
			"receiver gain": "boosted", "current limit": "140 mA", "level now": "-117 dBm",
			"listens to": "868.1000 MHz, SF7BW125, 4/5, sync word 0x34", "lines": "interrupt GPIO16, busy GPIO20, reset GPIO18",
		}
		if info.Chip != `SX1262 (version "SX1261 V2D 2D02")` {
			t.Error(info.Chip)
		}
		for _, i := range info.Settings {
			if want[i.Name] != i.Value {
				t.Errorf("%s: %q, want %q", i.Name, i.Value, want[i.Name])
			}
			delete(want, i.Name)
		}
		if len(want) != 0 {
			t.Errorf("missing: %v", want)
		}
		r.clean()
		r.run() // the lines are free again
		r.alive(0)
	})
	bubble(t, "absent", func(t *testing.T) {
		r := newRig(t, wiring)
		r.chip.Unplug()
		c := wiring
		c.Board = r.board
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if info, err := Probe(ctx, c); !errors.Is(err, ErrAbsent) || info.Chip != "" || len(info.Settings) != 0 {
			t.Errorf("%v, %v", info, err)
		}
	})
}
