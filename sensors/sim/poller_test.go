package sim_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/sensors"
	"fieldgate/sensors/sim"
)

// tally is a Hub that counts the readings of each sensor.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (y *tally) Submit(b *gateway.Batch) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, r := range b.Readings {
		y.n[r.Channel]++
	}
	return nil
}

func (y *tally) of(sensor string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.n[sensor]
}

// TestAStuckBusStopsNoOther polls real drivers on simulated buses: while I2C
// hangs in the middle of a transaction, SPI, 1-Wire and the lines go on; when it
// comes back, so do its chips. A chip that fails alone stops none on its bus.
func TestAStuckBusStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		hub := &tally{n: map[string]int{}}
		var items []sensors.Item
		for _, x := range []struct {
			driver, bus, sensor string
			options             map[string]string
		}{
			{"lm75", "i2c:sim", "box", map[string]string{"address": "0x4f"}},
			{"sht3x", "i2c:sim", "air", nil},
			{"mcp3008", "spi:sim", "battery", nil},
			{"ds18b20", "w1:sim", "soil", map[string]string{"rom": "28-00000a5e0010"}},
			{"gpio-in", "", "door", map[string]string{"pin": "sim:3"}},
		} {
			d, _ := sensors.Builtin().Lookup(x.driver)
			o, wrong := d.Parse(x.options)
			if len(wrong) > 0 {
				t.Fatal(wrong)
			}
			items = append(items, sensors.Item{Driver: x.driver, Device: "D", Sensor: x.sensor, Bus: x.bus, Every: 2 * time.Second,
				Alone: len(d.Channels(o)) == 1, Options: o})
		}
		p, err := sensors.New(sensors.Config{Items: items, Board: b, Hub: hub, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		state := func() (out string) {
			for _, s := range p.Status() {
				out += fmt.Sprint(s.State, " ")
			}
			return out
		}
		all := []string{"box", "air-temperature", "battery", "soil", "door"}
		step := func(what string, d time.Duration, states string, going ...string) {
			t.Helper()
			before := map[string]int{}
			for _, s := range all {
				before[s] = hub.of(s)
			}
			time.Sleep(d)
			synctest.Wait()
			if got := state(); states != "" && got != states {
				t.Errorf("%s: %s, want %s", what, got, states)
			}
			for _, s := range all {
				goes := slices.Contains(going, s)
				if n := hub.of(s) - before[s]; len(going) == 0 {
					continue // they come back one after the other
				} else if goes && n < int(d/(2*time.Second))-1 || !goes && n > 1 {
					t.Errorf("%s: %d readings of %s in %v", what, n, s, d)
				}
			}
		}
		step("healthy", 20*time.Second, "ok ok ok ok ok ok ", all...)
		b.SetFault(sim.ChipTMP105, sim.NAK)
		step("one chip does not answer", 20*time.Second, "failing ok ok ok ok ok ", "air-temperature", "battery", "soil", "door")
		b.SetFault(sim.ChipTMP105, sim.Healthy)
		step("it does again", time.Minute, "ok ok ok ok ok ok ")
		b.SetFault(sim.BusI2C, sim.Stuck)
		step("the bus hangs", time.Minute, "", "battery", "soil", "door")
		if s := p.Status()[0]; s.State != sensors.Hanging && p.Status()[1].State != sensors.Hanging {
			t.Errorf("nobody says that the bus hangs: %s", state())
		}
		b.SetFault(sim.BusI2C, sim.Healthy)
		step("the bus is back", 6*time.Minute, "ok ok ok ok ok ok ")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
