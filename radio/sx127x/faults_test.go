package sx127x

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// TestWatchdog has a chip that fails while the radio runs, and is set up anew.
func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(*sim.SX1276)
		want string
	}{
		{"fell back", (*sim.SX1276).FallBack, "register 0x01 is 0x81"},
		{"deaf", (*sim.SX1276).Deafen, "deaf"},
		{"brownout", (*sim.SX1276).Brownout, "mask of its interrupts is 0x"},
		{"another frequency", func(c *sim.SX1276) { c.Poke(0x07, 0) }, "register 0x07 is 0x00"},
		{"another sync word", func(c *sim.SX1276) { c.Poke(0x39, 0x12) }, "register 0x39 is 0x12"},
		{"another spreading factor", func(c *sim.SX1276) { c.Poke(0x1e, 0x84) }, "register 0x1e is 0x84"},
		{"another version", func(c *sim.SX1276) { c.Poke(0x42, 0x22) }, "SX1272"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, wiring, nil, func(t *testing.T, g *rig) {
				g.hears("before")
				time.Sleep(12 * time.Second)
				g.log.Reset()
				c.harm(g.chip)
				time.Sleep(11 * time.Second)
				synctest.Wait()
				if s := g.status(); s.State != radio.OK || s.Count.Resets != 1 {
					t.Errorf("%+v", s)
				}
				contains(t, errors.New(g.log.String()), c.want)
				g.hears("after")
			})
		})
	}
}

// TestCheckWhileReceiving has the chip looked at in the middle of strong frames,
// which turn its gain down, and of transmissions: it is as it should be.
func TestCheckWhileReceiving(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		end := time.Now().Add(time.Minute)
		for i := 0; time.Now().Before(end); i++ {
			if i%5 == 0 {
				if err := g.radio.Send(t.Context(), g.down(30*time.Millisecond, "x")); err != nil {
					t.Fatal(err)
				}
			}
			e := up(channel, strings.Repeat("x", 200))
			for range 6 {
				time.Sleep(time.Until(g.node.Send(e)))
			}
		}
		if n := g.status().Count; n.Resets != 0 || n.Sent == 0 || n.Received < 150 {
			t.Errorf("%+v", n)
		}
	})
}

// TestUnplugged takes the chip out for a while.
func TestUnplugged(t *testing.T) {
	for _, dio0 := range []string{"GPIO4", ""} {
		for name, c := range map[string]struct {
			pull, push func(*sim.SX1276)
			want       string
		}{
			"unplugged": {(*sim.SX1276).Unplug, (*sim.SX1276).Plug, "all zeros are read"},
			"all zeros": {func(c *sim.SX1276) { c.SetFault(sim.AllZeros) }, func(c *sim.SX1276) { c.SetFault(sim.Healthy) }, "all zeros are read"},
			"all ones":  {func(c *sim.SX1276) { c.SetFault(sim.AllOnes) }, func(c *sim.SX1276) { c.SetFault(sim.Healthy) }, "all ones are read"},
			"broken":    {func(c *sim.SX1276) { c.SetFault(sim.Broken) }, func(c *sim.SX1276) { c.SetFault(sim.Healthy) }, "input/output error"},
			"bit flips": {func(c *sim.SX1276) { c.SetFault(sim.BitFlips) }, func(c *sim.SX1276) { c.SetFault(sim.Healthy) }, ""},
		} {
			t.Run(name+dio0, func(t *testing.T) {
				o := wiring
				o.DIO0 = dio0
				bubble(t, o, nil, func(t *testing.T, g *rig) {
					done := make(chan error, 1)
					go func() { done <- g.radio.Send(t.Context(), g.down(10*time.Second, "x")) }()
					time.Sleep(2 * time.Second)
					c.pull(g.chip)
					time.Sleep(2 * time.Second)
					synctest.Wait()
					s := g.status()
					if s.State != radio.Failing {
						t.Fatalf("%+v", s)
					}
					contains(t, s.Err, c.want)
					since := s.Since
					select {
					case err := <-done:
						if !errors.Is(err, radio.ErrDown) {
							t.Error(err)
						}
					default:
						t.Error("the transmission still waits")
					}
					if err := g.radio.Send(t.Context(), g.down(time.Second, "x")); !errors.Is(err, radio.ErrDown) {
						t.Error(err)
					}
					before := g.chip.Transactions()
					time.Sleep(time.Hour)
					if n := g.chip.Transactions() - before; n > 60*30 {
						t.Errorf("%d transactions in an hour", n)
					}
					if s := g.status(); s.State != radio.Failing || !s.Since.Equal(since) && c.want != "" {
						t.Errorf("%+v", s)
					}
					c.push(g.chip)
					time.Sleep(61 * time.Second)
					if s := g.status(); s.State != radio.OK || s.Count.Resets == 0 {
						t.Fatalf("%+v", s)
					}
					g.hears("again")
				})
			})
		}
	}
}

// TestPauses looks when it is tried again.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, wiring, nil)
		g.chip.SetFault(sim.AllOnes)
		start := time.Now()
		var at []time.Duration
		g.board.Line("GPIO17").Watch(func(high bool) {
			if !high {
				at = append(at, time.Since(start).Round(time.Second))
			}
		})
		g.run(false)
		time.Sleep(250 * time.Second)
		if s := g.status(); s.State != radio.Failing || !errors.Is(s.Err, ErrNoChip) || s.Chip != "" {
			t.Errorf("%+v", s)
		}
		g.check()
		if got := fmt.Sprint(at); got != "[0s 1s 3s 7s 15s 31s 1m3s 2m3s 3m3s 4m3s]" && got != "[0s 1s 3s 7s 15s 31s 1m3s 2m3s 3m3s 4m4s]" {
			t.Errorf("tried at %s", got)
		}
	})
}

// TestStuckTX has a frame that does not end.
func TestStuckTX(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		time.Sleep(12 * time.Second)
		g.chip.StickTX(true)
		tx := g.down(time.Second, "stuck")
		start := time.Now()
		err := g.radio.Send(t.Context(), tx)
		contains(t, err, "does not end")
		if !errors.Is(err, radio.ErrDown) || time.Since(start) > 1300*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		g.chip.StickTX(false)
		time.Sleep(100 * time.Millisecond) // at once: it was well before
		g.hears("after")
		if n := g.status().Count; n.Resets != 1 || n.Unsent != 1 || n.Sent != 0 {
			t.Errorf("%+v", n)
		}
		if err := g.radio.Send(t.Context(), g.down(time.Second, "fine")); err != nil {
			t.Error(err)
		}
	})
}

// TestOtherChips has chips that the driver does not know.
func TestOtherChips(t *testing.T) {
	for version, want := range map[byte]string{0x22: "SX1272", 0x24: "SX1231", 0x55: "version 0x55"} {
		synctest.Test(t, func(t *testing.T) {
			o := wiring
			o.Version = version
			g := newRig(t, o, nil)
			g.run(false)
			time.Sleep(time.Second)
			s := g.status()
			contains(t, s.Err, want)
			if s.State != radio.Failing || !errors.Is(s.Err, ErrChip) {
				t.Errorf("%+v", s)
			}
			g.stop()
		})
	}
	for _, version := range []byte{0x11, 0x12, 0x13} {
		o := wiring
		o.Version = version
		bubble(t, o, nil, func(t *testing.T, g *rig) {
			if s := g.status(); s.Chip != fmt.Sprintf("SX1276 version 0x%02x", version) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestNoCSRefused has a kernel that does not know SPI_NO_CS.
func TestNoCSRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wiring
		o.CS = "GPIO25"
		g := newRig(t, o, nil)
		g.board.RefuseNoCS(true)
		g.run(true)
		g.hears("hello")
		g.check()
	})
}

// TestNoCS has the bus leave its own chip select alone, on which another chip may
// be.
func TestNoCS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := wiring
		o.CS = "GPIO25"
		g := newRig(t, o, nil)
		other := g.board.AddSX1276(sim.SX1276Options{Name: "other", Bus: o.Bus})
		g.run(true)
		g.hears("hello")
		g.check()
		if n := other.Transactions(); n != 0 {
			t.Errorf("%d transactions with the other chip", n)
		}
	})
}

// TestTaken has a bus or line that is not to be had, and gives the others back.
func TestTaken(t *testing.T) {
	for _, pin := range []string{"GPIO25", "GPIO17", "GPIO4", ""} {
		synctest.Test(t, func(t *testing.T) {
			o := wiring
			o.CS = "GPIO25"
			g := newRig(t, o, func(c *Config) {
				if pin == "" {
					c.Bus = "spi:7.0"
				}
			})
			free := func() error { return nil }
			if pin != "" {
				in, err := g.board.Input(pin, false)
				if err != nil {
					t.Fatal(err)
				}
				free = in.Close
			}
			g.run(false)
			time.Sleep(time.Second / 2)
			s := g.status()
			if want := sim.ErrTaken; pin != "" && !errors.Is(s.Err, want) || pin == "" && !errors.Is(s.Err, sim.ErrAbsent) {
				t.Errorf("%s: %+v", pin, s)
			}
			if err := free(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if s := g.status(); pin != "" && s.State != radio.OK {
				t.Errorf("%s: %+v", pin, s)
			}
			g.check()
		})
	}
}

// TestEveryTransaction has each transaction of a life fail in turn, once, or from
// then on for a while: nothing hangs, and the radio works again.
func TestEveryTransaction(t *testing.T) {
	life := func(t *testing.T, o sim.SX1276Options, after, times int) (used int) {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, o, nil)
			g.chip.FailAfter(after, times)
			g.run(false)
			time.Sleep(200 * time.Millisecond)
			g.node.Send(up(channel, "one"))
			time.Sleep(100 * time.Millisecond)
			done := make(chan error, 1)
			go func() { done <- g.radio.Send(t.Context(), g.down(100*time.Millisecond, "two")) }()
			time.Sleep(time.Second)
			select {
			case <-done:
			default:
				t.Errorf("transaction %d: Send hangs", after)
			}
			time.Sleep(10 * time.Second) // a check
			used = g.chip.Transactions()
			time.Sleep(20 * time.Second)
			for i := 0; i < 30 && g.status().State != radio.OK; i++ {
				time.Sleep(time.Minute) // as many attempts may have failed
			}
			if s := g.status(); s.State != radio.OK {
				t.Fatalf("transaction %d: %+v", after, s)
			}
			n := len(g.got())
			time.Sleep(time.Until(g.node.Send(up(channel, "three"))) + 10*time.Millisecond)
			if len(g.got()) != n+1 {
				t.Errorf("transaction %d: deaf afterwards", after)
			}
			if err := g.radio.Send(t.Context(), g.down(time.Second, "four")); err != nil {
				t.Errorf("transaction %d: %v", after, err)
			}
			g.stop()
			for _, v := range g.chip.Violations() {
				t.Errorf("transaction %d: violation: %s", after, v)
			}
		})
		return used
	}
	for _, reset := range []string{"GPIO17", ""} {
		o := wiring
		o.Reset = reset
		n := life(t, o, 1e6, 0)
		step := 1
		if testing.Short() {
			step = 7
		}
		for i := 0; i < n; i += step {
			life(t, o, i, 1)
			life(t, o, i, 20)
			if t.Failed() {
				return
			}
		}
	}
}

// TestStuckFlags has a chip whose interrupts cannot be cleared: the loop that
// looks for frames ends.
func TestStuckFlags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hostile{script: []byte{0x87, 0x40}, honest: 1 << 30}
		h.regs[regVersion] = 0x12
		r, err := New(Config{Name: "gw", Bus: "spi:0.0", Tuning: channel, Board: h})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		seen := make(chan error, 1)
		time.AfterFunc(200*time.Millisecond, func() { seen <- r.Status()[0].Err })
		if err := r.Run(ctx, func(*radio.Frame) {}); err != nil {
			t.Error(err)
		}
		contains(t, <-seen, "cannot be cleared")
	})
}
