package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
)

func TestOutputIsSwitchedAndConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "relay"},
			OutputItem{Actuator: "lamp", Driver: "dimmer", Initial: Setting{Level: 20}, OnStop: Setting{Level: 5}})
		if got := slices.Sorted(slices.Values(b.hardware.take())); !slices.Equal(got, []string{"0s open lamp 20", "0s open relay 0"}) {
			t.Errorf("hardware %v", got)
		}
		if got := slices.Sorted(slices.Values(b.hub.take())); !slices.Equal(got, []string{"0s lamp=20", "0s relay=false"}) {
			t.Errorf("hub %v", got)
		}
		b.status.take()
		time.Sleep(time.Second)
		b.command("relay", `"ON"`, "1", "false")
		b.command("lamp", "37.5")
		b.hardware.want(t, "1s set relay 100", "1s set relay 100", "1s set relay 0", "1s set lamp 37.5")
		b.hub.want(t, "1s relay=true", "1s relay=true", "1s relay=false", "1s lamp=37.5")
		b.status.want(t, "1s relay ok true <nil>", "1s relay ok false <nil>", "1s lamp ok 37.5 <nil>")
		if s := b.Status(); len(s) != 2 || s[0].Actuator != "relay" || s[0].State != OK || string(s[0].Value) != "false" ||
			s[1].Level != 37.5 || time.Since(s[1].Since) != time.Second || time.Since(s[1].Switched) != 0 {
			t.Errorf("status %+v", s)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		got := b.hardware.take()
		slices.Sort(got)
		if !slices.Equal(got, []string{"1s close lamp", "1s close relay", "1s set lamp 5", "1s set relay 0"}) {
			t.Errorf("hardware %v", got)
		}
		if got := slices.Sorted(slices.Values(b.hub.take())); !slices.Equal(got, []string{"1s lamp=5", "1s relay=false"}) {
			t.Errorf("hub %v", got)
		}
		if b.table.writes != 0 {
			t.Errorf("%d writes for outputs of which nothing is to be known", b.table.writes)
		}
	})
}

func TestOutputTakesItsCommandsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "relay"})
		b.forget()
		on := json.RawMessage("true")
		for _, batch := range []*gateway.Batch{
			{Confirmed: true, Readings: []gateway.Reading{{Kind: gateway.KindActuator, Device: "D", Channel: "relay", Value: on}}},
			{Readings: []gateway.Reading{{Kind: gateway.KindSensor, Device: "D", Channel: "relay", Value: on}}},
			{Readings: []gateway.Reading{{Kind: gateway.KindActuator, Device: "E", Channel: "relay", Value: on}}},
			{Readings: []gateway.Reading{{Kind: gateway.KindActuator, Device: "D", Channel: "pump", Value: on}}},
			{Readings: []gateway.Reading{{Kind: gateway.KindActuator, Device: "D", Channel: "relay", Value: json.RawMessage("2")}}},
			{Carrier: &gateway.Message{Topic: "devices/D/actuators/relay/value"}},
		} {
			b.Deliver(batch, nil, func(error) {})
		}
		b.hardware.want(t)
		b.Deliver(&gateway.Batch{Readings: []gateway.Reading{
			{Kind: gateway.KindActuator, Device: "D", Channel: "pump", Value: on},
			{Kind: gateway.KindActuator, Device: "D", Channel: "relay", Value: on}}}, nil, func(error) {})
		b.hardware.want(t, "0s set relay 100")

		for _, c := range []struct {
			device, actuator, value string
			owned, fine             bool
		}{
			{"D", "relay", `"off"`, true, true},
			{"D", "relay", "3", true, false},
			{"D", "pump", "3", false, true},
			{"E", "relay", "3", false, true},
		} {
			owned, err := b.Check(c.device, c.actuator, json.RawMessage(c.value))
			if owned != c.owned || (err == nil) != c.fine || err != nil && !errors.Is(err, gateway.ErrBadCommand) {
				t.Errorf("%+v: %v, %v", c, owned, err)
			}
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputThatRefusesIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "relay"})
		b.forget()
		broken := errors.New("no such line")
		b.hook("relay", func(l Level) error { b.hardware.add("refuse %v", l); return broken })
		b.command("relay", "true")
		time.Sleep(10 * time.Second)
		b.hardware.want(t, "0s refuse 100", "0s close relay", "1s refuse 100", "3s refuse 100", "7s refuse 100")
		b.hub.want(t)
		b.status.want(t, "0s relay failing false no such line", "1s relay failing false no such line",
			"3s relay failing false no such line", "7s relay failing false no such line")
		if s := b.Status()[0]; s.Failures != 4 || !errors.Is(s.Err, broken) || s.Level != Off {
			t.Errorf("status %+v", s)
		}
		b.command("relay", "false", "true") // the newest counts, and is tried at once
		got := b.hardware.take()
		if len(got) == 0 || got[len(got)-1] != "10s refuse 100" {
			t.Errorf("hardware %v", got)
		}
		time.Sleep(10 * time.Minute)
		b.forget()
		b.hook("relay", nil)
		time.Sleep(time.Minute)
		if got := b.hardware.take(); len(got) != 1 || !strings.HasSuffix(got[0], " open relay 100") {
			t.Errorf("hardware %v", got)
		}
		if got := b.hub.take(); len(got) != 1 || !strings.HasSuffix(got[0], " relay=true") {
			t.Errorf("hub %v", got)
		}
		if got := b.log.take(); len(got) != 1 || !strings.Contains(got[0], "output is back") {
			t.Errorf("log %v", got)
		}
		b.hook("relay", func(l Level) error { return broken }) // the pauses begin anew
		b.command("relay", "true")
		b.hook("relay", nil)
		begin := time.Since(b.hardware.begin)
		time.Sleep(time.Minute)
		b.hardware.want(t, fmt.Sprintf("%v close relay", begin), fmt.Sprintf("%v open relay 100", begin+time.Second))
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.hook("relay", func(Level) error { return ErrAbsent })
		b.start(OutputItem{Actuator: "relay", Initial: Setting{Level: On}, MaxOn: 5 * time.Second})
		time.Sleep(3*time.Second + time.Millisecond)
		b.hook("relay", nil)
		time.Sleep(time.Minute)
		// It was not on before: its time begins then.
		b.hardware.want(t, "7s open relay 100", "12s set relay 0")
		b.hub.want(t, "7s relay=true", "12s relay=false")
		b.command("relay", "true")
		b.hook("relay", func(Level) error { return ErrAbsent })
		err := b.stop()
		if !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "relay") || !strings.Contains(err.Error(), "on_stop") {
			t.Errorf("stop: %v", err)
		}
	})
}

func TestOutputIsSetAtTheEndThoughItFailedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.hook("relay", func(Level) error { return ErrTaken })
		b.start(OutputItem{Actuator: "relay", OnStop: Setting{Level: On}})
		b.hook("relay", nil)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s open relay 100", "0s close relay")
		b.hub.want(t, "0s relay=true")
	})
}

func TestOutputsStopBeforeTheyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		p, err := NewOutputs(OutputsConfig{Items: []OutputItem{{Driver: "switch", Device: "D", Actuator: "relay", Initial: Setting{Level: On}}},
			Hub: b, Clock: b.clock, Registry: b.registry(), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s open relay 0", "0s close relay")
	})
}

func TestOutputThatHangsStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "stuck"}, OutputItem{Actuator: "relay"})
		b.forget()
		release := make(chan struct{})
		b.hook("stuck", func(l Level) error { <-release; return nil })
		b.command("stuck", "true")
		for range MaxCommands / 2 {
			b.command("stuck", "true", "false")
		}
		time.Sleep(time.Minute)
		b.command("stuck", "true", "true", "true") // drops the oldest
		b.command("relay", "true")
		b.hardware.want(t, "1m0s set relay 100")
		b.hub.want(t, "1m0s relay=true")
		if s := b.Status()[0]; s.State != Hanging || !errors.Is(s.Err, ErrHung) {
			t.Errorf("status %+v", s)
		}
		close(release)
		got := b.hub.take()
		if len(got) != 1+MaxCommands || got[0] != "1m0s stuck=true" || got[1] != "1m0s stuck=false" || got[len(got)-1] != "1m0s stuck=true" {
			t.Errorf("%d states: %v", len(got), got)
		}
		if s := b.Status()[0]; s.State != OK || s.Level != On {
			t.Errorf("status %+v", s)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestOutputThatHangsAndFails: of what was asked meanwhile only the newest counts.
func TestOutputThatHangsAndFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "lamp", Driver: "dimmer"})
		b.forget()
		release := make(chan struct{})
		b.hook("lamp", func(l Level) error {
			if l != 100 {
				return nil
			}
			<-release
			return ErrAbsent
		})
		b.command("lamp", "100", "10", "20", "30")
		close(release)
		b.hardware.want(t, "0s close lamp", "0s open lamp 30")
		b.hub.want(t, "0s lamp=30")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputThatFailsOnceAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "relay", Initial: Setting{Level: On}})
		b.forget()
		var once sync.Once
		b.hook("relay", func(Level) (err error) {
			once.Do(func() { err = ErrAbsent })
			return err
		})
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s close relay", "0s open relay 0", "0s close relay")
		b.hub.want(t, "0s relay=false")
	})
}

func TestOutputThatHangsAtTheEnd(t *testing.T) {
	for _, long := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newOutputBench(t)
			b.start(OutputItem{Actuator: "stuck"}, OutputItem{Actuator: "relay", Initial: Setting{Level: On}})
			b.forget()
			release := make(chan struct{})
			b.hook("stuck", func(l Level) error {
				if l == On {
					<-release
				}
				return nil
			})
			b.command("stuck", "true")
			if long {
				time.Sleep(time.Hour)
			}
			begin := time.Now()
			err := b.stop()
			if !errors.Is(err, ErrHung) || time.Since(begin) > 3*Grace {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
			if got := b.hardware.take(); len(got) != 2 || !strings.HasSuffix(got[0], "set relay 0") {
				t.Errorf("hardware %v", got)
			}
			if s := b.Status()[0]; s.State != Hanging {
				t.Errorf("status %+v", s)
			}
			// Whenever the driver returns, the output is not left on.
			close(release)
			var did []string
			for _, line := range b.hardware.take() {
				_, what, _ := strings.Cut(line, " ")
				did = append(did, what)
			}
			if !slices.Equal(did, []string{"set stuck 100", "set stuck 0", "close stuck"}) {
				t.Errorf("hardware %v", did)
			}
		})
	}
}

func TestOutputDriverPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "relay"})
		b.hook("relay", func(l Level) error {
			if l == On {
				panic("oh")
			}
			return nil
		})
		b.command("relay", "true")
		if s := b.Status()[0]; s.State != Failing || !strings.Contains(s.Err.Error(), "panicked: oh") {
			t.Errorf("status %+v", s)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputsDoNotWaitForTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.full = make(chan struct{})
		b.start(OutputItem{Actuator: "relay", MaxOn: time.Minute})
		b.command("relay", "true")
		time.Sleep(2 * time.Minute)
		b.hardware.want(t, "0s open relay 0", "0s set relay 100", "1m0s set relay 0")
		begin := time.Now()
		if err := b.stop(); err != nil || time.Since(begin) > 2*Grace {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		close(b.full)
		synctest.Wait()
	})
}

func TestOutputStateThatIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.refuseWith(gateway.ErrUnknownDevice)
		b.start(OutputItem{Actuator: "relay"})
		if got := b.log.take(); len(got) != 1 || !strings.Contains(got[0], "cannot be published") || !strings.Contains(got[0], "unknown device") {
			t.Errorf("log %v", got)
		}
		b.refuseWith(gateway.ErrNotKept)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.log.want(t)
	})
}

func TestNewOutputsRefuses(t *testing.T) {
	r := (&outputBench{}).registry()
	for name, items := range map[string][]OutputItem{
		"unknown driver": {{Driver: "x", Device: "D", Actuator: "a"}},
		"twice":          {{Driver: "switch", Device: "D", Actuator: "a"}, {Driver: "dimmer", Device: "D", Actuator: "a"}},
		"max_on":         {{Driver: "switch", Device: "D", Actuator: "a", MaxOn: -1}},
		"initial":        {{Driver: "switch", Device: "D", Actuator: "a", Initial: Setting{Level: 101}}},
		"on_stop":        {{Driver: "switch", Device: "D", Actuator: "a", OnStop: Setting{Level: -1}}},
	} {
		if _, err := NewOutputs(OutputsConfig{Items: items, Registry: r, Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParseSetting(t *testing.T) {
	r := (&outputBench{}).registry()
	for _, c := range []struct {
		driver, text string
		want         Setting
		fails        bool
	}{
		{"switch", "keep", Setting{Keep: true}, false},
		{"switch", "off", Setting{}, false},
		{"switch", "true", Setting{Level: On}, false},
		{"switch", "50", Setting{}, true},
		{"dimmer", "50", Setting{Level: 50}, false},
		{"dimmer", "Keep", Setting{}, true},
		{"dimmer", "", Setting{}, true},
		{"dimmer", "NaN", Setting{}, true},
	} {
		d, _ := r.LookupOutput(c.driver)
		got, err := d.ParseSetting(c.text)
		if !reflect.DeepEqual(got, c.want) || (err != nil) != c.fails {
			t.Errorf("%s %q: %+v, %v", c.driver, c.text, got, err)
		}
	}
}

// TestOutputUnderAFlood: of ten thousand commands in no time the last one holds,
// and the log has a line about it, not thousands.
func TestOutputUnderAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "lamp", Driver: "dimmer"})
		b.forget()
		busy := make(chan struct{})
		b.hook("lamp", func(Level) error { <-busy; return nil })
		for i := range 10_000 {
			b.Deliver(&gateway.Batch{Readings: []gateway.Reading{{Kind: gateway.KindCommand, Device: "D", Channel: "lamp",
				Value: json.RawMessage(fmt.Sprint(i % 100))}}}, nil, func(error) {})
		}
		close(busy)
		got := b.hub.take()
		if len(got) < MaxCommands || len(got) > 10_000 || got[len(got)-1] != "0s lamp=99" {
			t.Errorf("%d states, the last one %s", len(got), got[len(got)-1])
		}
		if got := b.log.take(); len(got) != 1 || !strings.Contains(got[0], "dropped") {
			t.Errorf("log: %d lines, %.300q", len(got), got)
		}
		if s := b.Status()[0]; s.State != OK || s.Level != 99 {
			t.Errorf("status %+v", s)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestOutputThatComesAndGoesIsNotLoggedEachTime.
func TestOutputThatComesAndGoesIsNotLoggedEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "relay"})
		b.forget()
		n := 0
		b.hook("relay", func(Level) error {
			if n++; n%2 == 1 {
				return ErrAbsent
			}
			return nil
		})
		for range 300 {
			b.command("relay", "true")
			time.Sleep(2 * time.Second)
		}
		if got := b.log.take(); len(got) < 10 || len(got) > 25 {
			t.Errorf("%d lines", len(got))
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}
