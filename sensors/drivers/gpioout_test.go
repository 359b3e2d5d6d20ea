package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/sensors"
	"fieldgate/sensors/sim"
)

func openOut(t *testing.T, b sensors.Board, first sensors.Level, written map[string]string) (sensors.Actuator, error) {
	t.Helper()
	d, ok := sensors.Builtin().LookupOutput("gpio-out")
	if !ok || d.Percent || d.Doc == "" {
		t.Fatalf("%+v", d)
	}
	o, wrong := d.Parse(written)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	return d.Open(t.Context(), sensors.Env{Board: b}, o, first)
}

func TestGPIOOut(t *testing.T) {
	for _, activeLow := range []string{"false", "true"} {
		b := sim.New(nil, time.Now)
		on := activeLow == "false"
		w := b.Watch()
		a, err := openOut(t, b, sensors.On, map[string]string{"pin": "sim:4", "active_low": activeLow})
		if err != nil {
			t.Fatal(err)
		}
		if b.Level(4) != on {
			t.Error("the first level is wrong")
		}
		for _, l := range []sensors.Level{sensors.Off, sensors.On, sensors.Off} {
			if err := a.Set(l); err != nil || b.Level(4) != (on == (l == sensors.On)) {
				t.Errorf("active low %s: %v gives %v, %v", activeLow, l, b.Level(4), err)
			}
		}
		if err := a.Close(); err != nil || b.Level(4) == on {
			t.Errorf("closed: %v, %v", b.Level(4), err)
		}
		w.Close()
		// It never showed a level that nobody asked for.
		changes := 0
		for {
			if _, err := w.Next(endedContext(t)); err != nil {
				break
			}
			changes++
		}
		if want := map[string]int{"false": 8, "true": 6}[activeLow]; changes != want { // of both ends of the wire
			t.Errorf("active low %s: %d changes, want %d", activeLow, changes, want)
		}
	}
}

func TestGPIOOutThatFails(t *testing.T) {
	b := sim.New(nil, time.Now)
	a, err := openOut(t, b, sensors.Off, map[string]string{"pin": "sim:4"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openOut(t, b, sensors.Off, map[string]string{"pin": "sim:4"}); !errors.Is(err, sensors.ErrTaken) || !strings.Contains(err.Error(), "gpio-out at sim:4") {
		t.Errorf("taken: %v", err)
	}
	if _, err := openOut(t, b, sensors.Off, map[string]string{"pin": "GPIO4"}); !errors.Is(err, sensors.ErrAbsent) {
		t.Errorf("absent: %v", err)
	}
	b.Unplug()
	if err := a.Set(sensors.On); !errors.Is(err, sensors.ErrAbsent) || !strings.Contains(err.Error(), "gpio-out at sim:4") {
		t.Errorf("unplugged: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// confirmed is a Hub that takes states of an actuator.
type confirmed chan string

func (c confirmed) Submit(b *gateway.Batch) error {
	c <- string(b.Readings[0].Value)
	return nil
}

// TestOutputsSwitchALine goes from the command to the wire and back.
func TestOutputsSwitchALine(t *testing.T) {
	b := sim.New(nil, time.Now)
	d, _ := sensors.Builtin().LookupOutput("gpio-out")
	o, wrong := d.Parse(map[string]string{"pin": "sim:4", "active_low": "true"})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	items := []sensors.OutputItem{{Driver: "gpio-out", Device: "D", Actuator: "relay", Options: o}}
	hub := make(confirmed, 8)
	p, err := sensors.NewOutputs(sensors.OutputsConfig{Items: items, Board: b, Hub: hub, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	want := func(value string, high bool) {
		t.Helper()
		if got := <-hub; got != value || b.Level(4) != high {
			t.Errorf("confirmed %s with the line high: %v", got, b.Level(4))
		}
	}
	want("false", true)
	p.Deliver(&gateway.Batch{Readings: []gateway.Reading{
		{Kind: gateway.KindCommand, Device: "D", Channel: "relay", Value: json.RawMessage(`"on"`)}}}, nil, func(error) {})
	want("true", false)
	if err := sensors.Release(t.Context(), items, b); !errors.Is(err, sensors.ErrTaken) {
		t.Errorf("released while it runs: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	want("false", true)
	items[0].OnStop = sensors.Setting{Level: sensors.On}
	if err := sensors.Release(t.Context(), items, b); err != nil || b.Level(4) {
		t.Errorf("released: %v, the line is high: %v", err, b.Level(4))
	}
}
