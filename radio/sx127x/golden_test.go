package sx127x

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
	"fieldgate/radio/sim"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestTraffic compares all accesses to the chip, from the reset over a received
// frame and a transmission back to receiving, with testdata. What each register
// means is in settings_test.go and in the datasheet's register tables; the order is
// that of its chapters on the reset (7.2), the image calibration (in FSK mode),
// RegOpMode (LongRangeMode in sleep), the FIFO (4.1.2.3) and the sequences of TX and
// RX (4.1.6).
func TestTraffic(t *testing.T) {
	for name, change := range map[string]func(*Config, *radio.Transmission){
		"eu868":    func(*Config, *radio.Transmission) {},
		"us915":    func(c *Config, tx *radio.Transmission) { us915(c, tx) },
		"eu433":    func(c *Config, tx *radio.Transmission) { eu433(c, tx) },
		"raw_rfo":  func(c *Config, tx *radio.Transmission) { raw(c, tx) },
		"narrow":   func(c *Config, tx *radio.Transmission) { narrow(c, tx) },
		"no_reset": func(c *Config, _ *radio.Transmission) { c.Reset = "" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := wiring
				o.NoRFO = false
				tx := &radio.Transmission{Payload: []byte{0x60, 1, 2, 3}, Frequency: 869525000, Power: 14, InvertIQ: true,
					Modulation: radio.Modulation{SF: 12, Bandwidth: 125000, CodingRate: 5}}
				g := newRig(t, o, func(c *Config) { change(c, tx) })
				var b strings.Builder
				part := func(title string) {
					fmt.Fprintf(&b, "# %s\n", title)
					for _, a := range g.chip.Recorded() {
						// Idle polls depend on nothing but time.
						if s := a.String(); s != "R 11 87 00" && s != "R 3b a2" {
							b.WriteString(s + "\n")
						}
					}
					g.chip.Record()
				}
				g.chip.Record()
				g.run(true)
				part("set up")
				g.hears("hello")
				part("receive")
				tx.Counter = g.radio.Counter(time.Now().Add(time.Second))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := g.radio.Send(ctx, tx); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				part("transmit")
				time.Sleep(10*time.Second - 50*time.Millisecond)
				part("check")
				g.stop()
				part("stop")
				g.check()
				golden(t, name, b.String())
			})
		})
	}
}

func us915(c *Config, tx *radio.Transmission) {
	c.Tuning.Frequency, c.MaxPower = 902300000, 20
	tx.Frequency, tx.Power = 923300000, 20
	tx.SF, tx.Bandwidth = 10, 500000
}

func eu433(c *Config, tx *radio.Transmission) {
	c.Tuning.Frequency = 433175000
	tx.Frequency, tx.Power = 434665000, 12
}

func raw(c *Config, tx *radio.Transmission) {
	c.Tuning = radio.Tuning{Frequency: 865200000, Modulation: radio.Modulation{SF: 12, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPrivate}
	c.RFO = true
	tx.Frequency, tx.Power, tx.InvertIQ, tx.CRC = 865200000, -1, false, true
}

func narrow(c *Config, tx *radio.Transmission) {
	c.Tuning.Bandwidth = 31250
	tx.SF, tx.Bandwidth = 7, 7800
}

// golden compares got with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what it was (-update writes it anew):\n%s", file, difference(string(want), got))
	}
}

// difference is the first line that is another one.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		x, y := "(end)", "(end)"
		if i < len(w) {
			x = w[i]
		}
		if i < len(g) {
			y = g[i]
		}
		if x != y {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, y, x)
		}
	}
	return ""
}

func TestProbe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
	}{
		{"info_eu868", func(*Config) {}},
		{"info_eu433", func(c *Config) {
			c.Tuning.Frequency, c.Tuning.SF, c.Tuning.Bandwidth, c.InvertIQ, c.MaxPower = 433175000, 12, 41700, true, 20
		}},
		{"info_rfo", func(c *Config) { c.RFO = true }},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, wiring, c.change)
			info, err := Probe(t.Context(), g.c)
			if err != nil {
				t.Fatalf("%+v, %v", info, err)
			}
			var b strings.Builder
			for _, s := range append([]chip.Setting{{Name: "chip", Value: info.Chip}}, info.Settings...) {
				fmt.Fprintf(&b, "%s: %s\n", s.Name, s.Value)
			}
			golden(t, c.name, b.String())
			if g.chip.Mode() != sim.ModeSleep {
				t.Errorf("mode %d", g.chip.Mode())
			}
			g.stop = func() {}
			g.check()
			g.chip.SetFault(sim.AllOnes)
			_, err = Probe(t.Context(), g.c)
			contains(t, err, "gw", "all ones are read")
			g.board.RefuseNoCS(true)
			g.chip.SetFault(sim.Healthy)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err = Probe(ctx, g.c); err == nil {
				t.Error("no error though it was ended")
			}
			g.check()
		})
	}
}
