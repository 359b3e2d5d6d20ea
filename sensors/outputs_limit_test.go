package sensors

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
)

func TestMaxOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.hook("pump", func(l Level) error {
			if r := b.table.record(t, "D/pump"); l == On && (r == nil || r.On == nil || time.Since(b.hub.begin) < 20*time.Minute && r.On.Mono != b.clock.Now().Mono) {
				t.Errorf("switched on with the record %+v", r)
			}
			return nil
		})
		b.start(OutputItem{Actuator: "pump", MaxOn: 30 * time.Minute})
		b.pass(time.Minute)
		b.command("pump", "true")
		b.pass(20 * time.Minute)
		b.command("pump", "true") // gives it no more time
		b.pass(20 * time.Minute)
		b.hardware.want(t, "0s open pump 0", "1m0s set pump 100", "21m0s set pump 100", "31m0s set pump 0")
		b.hub.want(t, "0s pump=false", "1m0s pump=true", "21m0s pump=true", "31m0s pump=false")
		if got := b.log.take(); len(got) != 1 || !strings.Contains(got[0], "reason=max_on") {
			t.Errorf("log %v", got)
		}
		if r := b.table.record(t, "D/pump"); r != nil {
			t.Errorf("the record %+v of what is off", r)
		}
		b.command("pump", "true") // a new time
		b.pass(29 * time.Minute)
		b.command("pump", "false", "true") // and another one
		b.pass(29 * time.Minute)
		b.hardware.want(t, "41m0s set pump 100", "1h10m0s set pump 0", "1h10m0s set pump 100")
		b.pass(time.Minute)
		b.hardware.want(t, "1h40m0s set pump 0")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestMaxOnOfADimmer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "lamp", Driver: "dimmer", MaxOn: 10 * time.Second, Initial: Setting{Keep: true}})
		b.command("lamp", "10")
		b.pass(6 * time.Second)
		b.command("lamp", "70")
		if r := b.table.record(t, "D/lamp"); r == nil || r.Level != 70 || r.Used != 6*time.Second {
			t.Errorf("record %+v", r)
		}
		b.pass(6 * time.Second)
		b.hardware.want(t, "0s open lamp 0", "0s set lamp 10", "6s set lamp 70", "10s set lamp 0")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestMaxOnWhileItCannotBeSwitchedOff: no command to switch it on counts until it
// was off.
func TestMaxOnWhileItCannotBeSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "pump", MaxOn: 10 * time.Second})
		b.command("pump", "true")
		b.hook("pump", func(l Level) error {
			b.hardware.add("refuse %v", l)
			return ErrAbsent
		})
		b.pass(10500 * time.Millisecond)
		b.hardware.want(t, "0s open pump 0", "0s set pump 100", "10s refuse 0", "10s close pump")
		b.command("pump", "true")
		b.hardware.want(t, "10.5s refuse 0")
		b.hook("pump", nil)
		b.pass(3 * time.Second)
		b.hardware.want(t, "12.5s open pump 0")
		b.command("pump", "true")
		b.hardware.want(t, "13.5s set pump 100")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestMaxOnOfWhatMayBeOn: an attempt that failed may have switched it on.
func TestMaxOnOfWhatMayBeOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "pump", MaxOn: 5 * time.Second})
		b.hook("pump", func(l Level) error {
			if l == On {
				return ErrAbsent
			}
			return nil
		})
		b.command("pump", "true")
		b.pass(time.Minute)
		b.hardware.want(t, "0s open pump 0", "0s close pump", "5s open pump 0")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestMaxOnHoldsThroughARestart(t *testing.T) {
	const maxOn = 30 * time.Minute
	later := time.Date(2026, 5, 1, 0, 15, 0, 0, time.UTC) // the clock of the first run says 00:10 at its end
	for _, c := range []struct {
		name     string
		initial  Setting
		graceful bool
		between  func(b *outputBench)
		want     time.Duration // how long it is on after the restart; 0: not at all
		log      string
	}{
		{"killed", Setting{Keep: true}, false, func(b *outputBench) { b.clock.Advance(5 * time.Minute) }, 15 * time.Minute, ""},
		{"killed, initial on", Setting{Level: On}, false, func(b *outputBench) { b.clock.Advance(5 * time.Minute) }, 15 * time.Minute, ""},
		{"killed, initial off", Setting{}, false, func(*outputBench) {}, 0, ""},
		{"killed, nothing is left", Setting{Keep: true}, false, func(b *outputBench) { b.clock.Advance(20 * time.Minute) }, 0, "as long as it may"},
		{"killed, the wall clock jumps", Setting{Keep: true}, false, func(b *outputBench) {
			b.clock.Set(later.Add(24*time.Hour), gateway.ClockSynced)
		}, 20 * time.Minute, ""},
		{"power cut", Setting{Keep: true}, false, func(b *outputBench) { b.clock.Reboot(later, gateway.ClockUnsynced) }, 15 * time.Minute, ""},
		{"power cut, nothing is left", Setting{Level: On}, false, func(b *outputBench) {
			b.clock.Reboot(later.Add(time.Hour), gateway.ClockSynced)
		}, 0, "as long as it may"},
		{"power cut, no clock", Setting{Keep: true}, false, func(b *outputBench) {
			b.clock.Reboot(later, gateway.ClockUnset)
		}, 0, "not known"},
		{"power cut, the clock went back", Setting{Keep: true}, false, func(b *outputBench) {
			b.clock.Reboot(later.Add(-time.Hour), gateway.ClockUnsynced)
		}, 0, "not known"},
		{"power cut, there was no clock", Setting{Level: On}, false, func(b *outputBench) {
			r := b.table.record(b.t, "D/pump")
			r.On.Quality = gateway.ClockUnset
			b.table.put(b.t, "D/pump", r)
			b.clock.Reboot(later, gateway.ClockSynced)
		}, 0, "not known"},
		{"damaged", Setting{Level: On}, false, func(b *outputBench) { b.table.pairs["D/pump"] = []byte("{") }, 0, "cannot be read"},
		// What was switched off at the stop was off in between.
		{"stopped", Setting{Keep: true}, true, func(b *outputBench) { b.clock.Advance(time.Hour) }, 20 * time.Minute, ""},
		{"stopped, no clock", Setting{Level: On}, true, func(b *outputBench) {
			b.clock.Reboot(time.Unix(100, 0), gateway.ClockUnset)
		}, 20 * time.Minute, ""},
		{"stopped, initial off", Setting{}, true, func(*outputBench) {}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newOutputBench(t)
				item := OutputItem{Actuator: "pump", Initial: c.initial, MaxOn: maxOn}
				b.start(item)
				b.command("pump", "true")
				b.pass(10 * time.Minute)
				if c.graceful {
					if err := b.stop(); err != nil {
						t.Error(err)
					}
					b.forget()
				} else {
					b.kill()
				}
				c.between(b)
				begin := time.Now()
				b.start(item)
				if got := b.log.take(); c.log == "" && len(got) > 0 || c.log != "" && !strings.Contains(strings.Join(got, ""), c.log) {
					t.Errorf("log %v", got)
				}
				var on time.Duration
				for b.Status()[0].Level == On && on < time.Hour {
					b.pass(time.Minute)
					on = time.Since(begin)
				}
				if on != c.want {
					t.Errorf("on for %v, want %v", on, c.want)
				}
				if r := b.table.record(t, "D/pump"); r != nil {
					t.Errorf("the record %+v of what is off", r)
				}
				if err := b.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestMaxOnOverManyRestarts: no chain of restarts makes the time longer.
func TestMaxOnOverManyRestarts(t *testing.T) {
	for _, graceful := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newOutputBench(t)
			item := OutputItem{Actuator: "pump", Initial: Setting{Keep: true}, MaxOn: 10 * time.Minute}
			b.start(item)
			b.command("pump", "true")
			var on time.Duration
			for b.Status()[0].Level == On && on < time.Hour {
				b.pass(time.Minute)
				on += time.Minute
				if b.Status()[0].Level == Off {
					break
				}
				if graceful {
					if err := b.stop(); err != nil {
						t.Error(err)
					}
				} else {
					b.kill()
				}
				b.start(item)
			}
			if on != 10*time.Minute {
				t.Errorf("on for %v", on)
			}
			if err := b.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		item := OutputItem{Actuator: "lamp", Driver: "dimmer", Initial: Setting{Keep: true}, OnStop: Setting{Keep: true}}
		b.start(item)
		b.command("lamp", "60")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s open lamp 0", "0s set lamp 60", "0s close lamp")
		b.hub.want(t, "0s lamp=0", "0s lamp=60")
		b.start(item)
		b.hardware.want(t, "0s open lamp 60")
		b.hub.want(t, "0s lamp=60")
		b.kill()
		item.OnStop = Setting{} // while the gateway is down only
		b.start(item)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s open lamp 60", "0s set lamp 0", "0s close lamp")
		item.OnStop = Setting{Level: On}
		b.start(item)
		b.command("lamp", "0")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.hardware.want(t, "0s open lamp 60", "0s set lamp 0", "0s set lamp 100", "0s close lamp")
		b.start(item)
		b.hardware.want(t, "0s open lamp 0")
		if r := b.table.record(t, "D/lamp"); r != nil {
			t.Errorf("the record %+v of what is off", r)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestMaxOnOfWhatTheStopSwitchesOn: the time runs while the gateway is down.
func TestMaxOnOfWhatTheStopSwitchesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		item := OutputItem{Actuator: "pump", Initial: Setting{Level: On}, OnStop: Setting{Level: On}, MaxOn: 10 * time.Minute}
		b.start(item)
		b.command("pump", "false")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		b.forget()
		b.clock.Advance(4 * time.Minute)
		b.start(item)
		b.pass(time.Hour)
		b.hardware.want(t, "0s open pump 100", "6m0s set pump 0")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputsWithATableThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.table.failWith(errors.New("read-only file system"))
		b.start(OutputItem{Actuator: "pump", Initial: Setting{Level: On}, MaxOn: time.Minute})
		b.pass(time.Minute)
		b.hardware.want(t, "0s open pump 100", "1m0s set pump 0")
		if got := strings.Join(b.log.take(), ""); !strings.Contains(got, "not known which outputs were on") ||
			strings.Count(got, "cannot be recorded") != 1 || !strings.Contains(got, "read-only") {
			t.Errorf("log %s", got)
		}
		b.command("pump", "true")
		b.table.failWith(nil)
		b.pass(longestOutputPause) // it is tried again
		if r := b.table.record(t, "D/pump"); r != nil {
			t.Errorf("record %+v", r)
		}
		b.command("pump", "true")
		if r := b.table.record(t, "D/pump"); r == nil || r.On == nil {
			t.Errorf("record %+v", r)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutputsWithATableThatFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.start(OutputItem{Actuator: "pump", Initial: Setting{Keep: true}})
		b.table.failWith(errors.New("no space left on device"))
		b.command("pump", "true")
		b.table.failWith(nil)
		b.pass(firstPause)
		if r := b.table.record(t, "D/pump"); r == nil || r.Level != On {
			t.Errorf("record %+v", r)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestLedgerKeepsTheNewest: what the table refuses does not come back over what
// was put since.
func TestLedgerKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &fakeTable{pairs: map[string][]byte{}, full: make(chan struct{}), fail: errors.New("I/O error")}
		l := newLedger(table, slog.New(slog.DiscardHandler))
		over, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			l.run(over)
		}()
		l.put("D/pump", &outputRecord{Level: On})
		l.put("D/lamp", &outputRecord{Level: 30})
		synctest.Wait() // it is being written
		l.put("D/pump", nil)
		close(table.full)
		synctest.Wait()
		table.failWith(nil)
		close(over)
		<-done
		if r := table.record(t, "D/lamp"); len(table.pairs) != 1 || r == nil || r.Level != 30 {
			t.Errorf("%s", table.pairs)
		}
	})
}

// TestKeepOfWhatWasNeverReached: a run that could not switch the output forgets
// nothing.
func TestKeepOfWhatWasNeverReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		item := OutputItem{Actuator: "relay", Initial: Setting{Keep: true}}
		b.table.put(t, "D/relay", &outputRecord{Level: On})
		b.hook("relay", func(l Level) error {
			if l == On {
				return ErrAbsent
			}
			return nil
		})
		b.start(item)
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		if r := b.table.record(t, "D/relay"); r == nil || r.Level != On {
			t.Errorf("record %+v", r)
		}
	})
}

func TestOutputsWithATableThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutputBench(t)
		b.table.full = make(chan struct{})
		b.start(OutputItem{Actuator: "pump", MaxOn: time.Minute}, OutputItem{Actuator: "relay"})
		b.forget()
		b.command("pump", "true")
		b.command("relay", "true")
		b.pass(recordWait)
		b.hardware.want(t, "0s set relay 100", "2s set pump 100")
		if got := b.log.take(); len(got) != 1 || !strings.Contains(got[0], "too slow") {
			t.Errorf("log %v", got)
		}
		b.command("pump", "false")
		b.hardware.want(t, "2s set pump 0")
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		close(b.table.full)
		synctest.Wait()
	})
}
