package sx127x

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

func TestReceive(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      func(*sim.SX1276Options)
		change func(*Config)
		off    time.Duration // of the stamp
	}{
		{name: "edges"},
		{name: "polled", o: func(o *sim.SX1276Options) { o.DIO0 = "" }, off: time.Millisecond / 2},
		{name: "no reset", o: func(o *sim.SX1276Options) { o.Reset = "" }},
		{name: "software chip select", o: func(o *sim.SX1276Options) { o.CS = "GPIO25" }},
		{name: "second chip select", o: func(o *sim.SX1276Options) { o.Bus = "spi:0.1" }},
		{name: "SF12", change: func(c *Config) { c.Tuning.SF = 12 }},
		{name: "SF12 polled", o: func(o *sim.SX1276Options) { o.DIO0 = "" }, change: func(c *Config) { c.Tuning.SF = 12 }, off: time.Millisecond / 2},
		{name: "SF7BW500 polled", o: func(o *sim.SX1276Options) { o.DIO0 = "" }, change: func(c *Config) { c.Tuning.Bandwidth = 500000 }, off: time.Millisecond / 2},
		{name: "433 MHz", change: func(c *Config) { c.Tuning.Frequency = 433175000 }},
		{name: "169 MHz", change: func(c *Config) { c.Tuning.Frequency = 169400000 }},
		{name: "433 MHz, 500 kHz", change: func(c *Config) { c.Tuning.Frequency, c.Tuning.Bandwidth = 433175000, 500000 }},
		{name: "narrow", change: func(c *Config) { c.Tuning.Bandwidth = 7800 }},
		{name: "10.4 kHz", change: func(c *Config) { c.Tuning.Bandwidth = 10400 }},
		{name: "41.7 kHz", change: func(c *Config) { c.Tuning.Bandwidth = 41700 }},
		{name: "62.5 kHz", change: func(c *Config) { c.Tuning.Bandwidth = 62500 }},
		{name: "private", change: func(c *Config) { c.Tuning.SyncWord = radio.SyncPrivate }},
		{name: "4/8", change: func(c *Config) { c.Tuning.CodingRate = 8 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := wiring
			if c.o != nil {
				c.o(&o)
			}
			bubble(t, o, c.change, func(t *testing.T, g *rig) {
				for _, payload := range []string{"x", strings.Repeat("0123456789", 25) + "12345", "hello"} {
					start := time.Now()
					e := up(g.c.Tuning, payload)
					f := g.hears(payload)
					want := start.Add(e.Airtime())
					if off := f.At.Sub(want).Abs(); off > c.off {
						t.Errorf("stamped %v off the end", f.At.Sub(want))
					}
					if f.Counter != g.radio.Counter(f.At) {
						t.Errorf("counter %d, want %d", f.Counter, g.radio.Counter(f.At))
					}
					tuning := g.c.Tuning
					if f.CRC != radio.CRCOK || f.Frequency != tuning.Frequency || f.Modulation != tuning.Modulation ||
						f.Radio != "gw" || f.Private != (tuning.SyncWord == radio.SyncPrivate) {
						t.Errorf("%+v", f)
					}
					if f.RSSI < -87 || f.RSSI > -85 { // 14 dBm, 100 dB lost
						t.Errorf("RSSI %v", f.RSSI)
					}
				}
				if n := g.status().Count; n.Received != 3 || n.Resets != 0 {
					t.Errorf("%+v", n)
				}
			})
		})
	}
}

// TestNoFrameLost has two devices keep the channel busy.
func TestNoFrameLost(t *testing.T) {
	for _, dio0 := range []string{"GPIO4", ""} {
		o := wiring
		o.DIO0 = dio0
		bubble(t, o, nil, func(t *testing.T, g *rig) {
			for i := range 500 {
				end := g.node.Send(up(channel, strings.Repeat("x", 1+i%200)))
				time.Sleep(time.Until(end)) // the next one begins at once
			}
			time.Sleep(20 * time.Millisecond)
			got := g.got()
			if len(got) != 500 {
				t.Fatalf("%d frames", len(got))
			}
			for i, f := range got {
				if len(f.Payload) != 1+i%200 {
					t.Fatalf("frame %d has %d bytes", i, len(f.Payload))
				}
			}
		})
	}
}

func TestWeak(t *testing.T) {
	for _, c := range []struct {
		power      float64
		low        bool
		rssi, snr  float32
		frequency  int32
		unheard    bool
		corrupting bool
	}{
		{power: 14, rssi: -86, snr: 31}, // the register ends at 31.75 dB
		{power: -10, rssi: -110, snr: 7},
		{power: -20, rssi: -120, snr: -3},
		{power: -24, rssi: -124, snr: -7},
		{power: -26, unheard: true},
		{power: -20, low: true, rssi: -120, snr: -3},
		{power: -10, low: true, rssi: -110, snr: 7},
		{power: 14, rssi: -86, snr: 31, frequency: 5000},
		{power: 14, rssi: -86, snr: 31, frequency: -5000},
		{power: 14, unheard: true, frequency: 40000},
	} {
		bubble(t, wiring, func(cfg *Config) {
			if c.low {
				cfg.Tuning.Frequency = 433175000
			}
		}, func(t *testing.T, g *rig) {
			e := up(g.c.Tuning, "hello")
			e.Power, e.Frequency = c.power, uint32(int32(e.Frequency)+c.frequency)
			time.Sleep(time.Until(g.node.Send(e)) + 10*time.Millisecond)
			got := g.got()
			if c.unheard != (len(got) == 0) {
				t.Fatalf("%+v: %d frames", c, len(got))
			}
			if c.unheard {
				return
			}
			f := got[0]
			if d := f.RSSI - c.rssi; d < -1 || d > 1 {
				t.Errorf("%+v: RSSI %v", c, f.RSSI)
			}
			if d := f.SNR - c.snr; d < -1 || d > 1 {
				t.Errorf("%+v: SNR %v", c, f.SNR)
			}
			if d := f.FrequencyError - c.frequency; d < -50 || d > 50 {
				t.Errorf("%+v: frequency error %v", c, f.FrequencyError)
			}
		})
	}
}

func TestChecksum(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		e := up(channel, "without")
		e.CRC = false
		time.Sleep(time.Until(g.node.Send(e)) + time.Millisecond)
		other := g.air.Attach("other", nil)
		end := g.node.Send(up(channel, "collided with"))
		time.Sleep(20 * time.Millisecond)
		other.Send(up(channel, "x"))
		time.Sleep(time.Until(end) + 100*time.Millisecond)
		got := g.got()
		if len(got) != 2 || got[0].CRC != radio.CRCNone || string(got[0].Payload) != "without" ||
			got[1].CRC != radio.CRCBad || string(got[1].Payload) == "collided with" {
			t.Fatalf("%+v", got)
		}
		if n := g.status().Count; n.NoCRC != 1 || n.BadCRC != 1 || n.Received != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// TestUnheard has frames that are none of this channel's.
func TestUnheard(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		for name, change := range map[string]func(*sim.Emission){
			"sync word":        func(e *sim.Emission) { e.SyncWord = radio.SyncPrivate },
			"spreading factor": func(e *sim.Emission) { e.SF = 8 },
			"bandwidth":        func(e *sim.Emission) { e.Bandwidth = 250000 },
			"frequency":        func(e *sim.Emission) { e.Frequency = 868300000 },
			"IQ":               func(e *sim.Emission) { e.InvertIQ = true },
			"header":           func(e *sim.Emission) { e.Implicit = true },
		} {
			e := up(channel, "hello")
			change(&e)
			time.Sleep(time.Until(g.node.Send(e)) + 100*time.Millisecond)
			synctest.Wait()
			if len(g.got()) != 0 {
				t.Fatalf("another %s is heard", name)
			}
		}
		g.hears("hello")
	})
}

// TestEdgesLost has DIO0 come off while the radio runs.
func TestEdgesLost(t *testing.T) {
	bubble(t, wiring, nil, func(t *testing.T, g *rig) {
		g.hears("one")
		g.board.Line("GPIO4").Cut(true)
		for range 2 { // it takes two to be sure
			time.Sleep(time.Until(g.node.Send(up(channel, "late"))) + 100*time.Millisecond)
		}
		if n := len(g.got()); n != 3 {
			t.Fatalf("%d frames", n)
		}
		end := time.Now().Add(new(up(channel, "polled")).Airtime())
		if f := g.hears("polled"); f.At.Sub(end).Abs() > time.Millisecond/2 {
			t.Errorf("stamped %v late", f.At.Sub(end))
		}
		g.board.Line("GPIO4").Cut(false)
		end = time.Now().Add(new(up(channel, "edge")).Airtime())
		if f := g.hears("edge"); !f.At.Equal(end) {
			t.Errorf("stamped %v late", f.At.Sub(end))
		}
	})
}

func TestInverted(t *testing.T) {
	bubble(t, wiring, func(c *Config) { c.InvertIQ = true }, func(t *testing.T, g *rig) {
		e := up(channel, "down")
		e.InvertIQ = true
		time.Sleep(time.Until(g.node.Send(e)) + 10*time.Millisecond)
		if len(g.got()) != 1 {
			t.Fatal("not heard")
		}
	})
}
