package sensors

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestOutputThatEndsBeforeItIsSwitchedOn: what waits for the disk is not switched
// on any more.
func TestOutputThatEndsBeforeItIsSwitchedOn(t *testing.T) {
	for _, emergency := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newOutputBench(t)
			b.table.full = make(chan struct{})
			b.start(OutputItem{Actuator: "pump", MaxOn: time.Minute})
			b.command("pump", "true")
			if emergency {
				b.Emergency()
				b.hardware.want(t, "0s open pump 0", "0s set pump 0", "0s close pump")
			}
			if err := b.stop(); err != nil {
				t.Error(err)
			}
			if !emergency {
				b.hardware.want(t, "0s open pump 0", "0s set pump 0", "0s close pump")
			}
			close(b.table.full)
			synctest.Wait()
		})
	}
}

func TestEmergency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "stuck"}, OutputItem{Actuator: "relay", Initial: Setting{Level: On}},
			OutputItem{Actuator: "valve", OnStop: Setting{Level: On}}, OutputItem{Actuator: "light", Initial: Setting{Level: On}, OnStop: Setting{Keep: true}},
			OutputItem{Actuator: "broken", Initial: Setting{Level: On}})
		b.hook("broken", func(l Level) error {
			if l == On {
				return ErrAbsent
			}
			return nil
		})
		b.command("broken", "true")
		b.forget()
		release := make(chan struct{})
		b.hook("stuck", func(l Level) error {
			if l == On {
				<-release
			}
			return nil
		})
		b.command("stuck", "true")
		begin := time.Now()
		b.Emergency()
		if d := time.Since(begin); d > time.Second {
			t.Errorf("took %v", d)
		}
		b.command("relay", "true")
		b.command("light", "true")
		b.Emergency()
		time.Sleep(time.Minute)
		var did []string
		for _, line := range b.hardware.take() {
			_, what, _ := strings.Cut(line, " ")
			did = append(did, what)
		}
		slices.Sort(did)
		if want := []string{"close broken", "close light", "close relay", "close valve", "open broken 0", "set relay 0", "set valve 100"}; !slices.Equal(did, want) {
			t.Errorf("hardware %v\nwant %v", did, want)
		}
		close(release) // it is not left on
		if got := b.hardware.take(); len(got) < 2 || !strings.HasSuffix(got[0], "set stuck 100") || !strings.HasSuffix(got[1], "set stuck 0") {
			t.Errorf("hardware %v", got)
		}
		if err := b.stop(); !errors.Is(err, ErrHung) {
			t.Error(err)
		}
		b.Emergency()
		b.hardware.want(t)
	})
}

func TestEmergencyBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		p, err := NewOutputs(OutputsConfig{Items: []OutputItem{{Driver: "switch", Device: "D", Actuator: "relay", Initial: Setting{Level: On}}},
			Hub: b, Clock: b.clock, Registry: b.registry(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		p.Emergency()
		b.hardware.want(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s open relay 0", "0s close relay")
	})
}

func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		forever := make(chan struct{})
		b.hook("stuck", func(Level) error { <-forever; return nil })
		b.hook("gone", func(Level) error { return ErrAbsent })
		items := []OutputItem{
			{Driver: "switch", Device: "D", Actuator: "relay", Initial: Setting{Level: On}},
			{Driver: "switch", Device: "D", Actuator: "light", OnStop: Setting{Keep: true}},
		}
		if err := release(t.Context(), items, nil, b.registry()); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s open relay 0", "0s close relay")
		err := release(t.Context(), append(items, OutputItem{Driver: "switch", Device: "D", Actuator: "stuck"},
			OutputItem{Driver: "switch", Device: "D", Actuator: "gone"}), nil, b.registry())
		if !errors.Is(err, ErrHung) || !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "stuck") {
			t.Error(err)
		}
		if d := time.Since(b.hardware.begin); d > Timeout {
			t.Errorf("took %v", d)
		}
		close(forever)
		synctest.Wait()
		b.forget()
		if err := Release(t.Context(), []OutputItem{{Driver: "none"}}, nil); err == nil {
			t.Error("an unknown driver is released")
		}
	})
}
