package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"fieldgate/sensors"
)

// TestPartsThatComeAndGo: a state that stood is published at once; what flaps, or
// fails for a reason that changes with each reading, waits.
func TestPartsThatComeAndGo(t *testing.T) {
	ok, failing, other := partStatus{State: "ok"}, partStatus{State: "failing", Error: "12.1 is outside"}, partStatus{State: "failing", Error: "12.2 is outside"}
	on, off := partStatus{State: "ok", Value: []byte("true")}, partStatus{State: "ok", Value: []byte("false")}
	now := time.Now()
	for _, c := range []struct {
		name       string
		said, news partStatus
		age        time.Duration
		all, want  bool
	}{
		{"the first", partStatus{}, ok, 0, false, true},
		{"the same", ok, ok, time.Hour, true, false},
		{"read for the first time", partStatus{State: "waiting"}, ok, 0, false, true},
		{"fails after a while", ok, failing, flapPause, false, true},
		{"flaps", ok, failing, flapPause - 1, false, false},
		{"flaps, at the end", ok, failing, flapPause - 1, true, true},
		{"fails in other words", failing, other, flapPause, false, false},
		{"fails in other words for long", failing, other, reasonPause, false, true},
		{"is back", failing, ok, flapPause, false, true},
		{"is switched, which nobody may hear late", on, off, 0, false, true},
	} {
		p := &part{said: c.said, at: now.Add(-c.age), news: &c.news}
		if got := p.due(now, c.all); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if (&part{said: ok}).due(now, true) {
		t.Error("no news is published")
	}
}

// TestLongErrors: what a driver has to say is one line, and no long one.
func TestLongErrors(t *testing.T) {
	if s := oneLine(nil, 10); s != "" {
		t.Error(s)
	}
	for text, want := range map[string]string{
		"short\nof the stack":          "short",
		strings.Repeat("x", 300):       strings.Repeat("x", 300),
		strings.Repeat("x", 301):       strings.Repeat("x", 297) + "...",
		"x" + strings.Repeat("ü", 300): "x" + strings.Repeat("ü", 148) + "...",
	} {
		got := oneLine(fmt.Errorf("%w", errors.New(text)), longestError)
		if got != want || len(got) > longestError || !utf8.ValidString(got) {
			t.Errorf("%.20q: %d bytes, %q", text, len(got), got)
		}
	}
}

// slow is a driver that has nothing to give at first, as chips that warm up.
type slow struct {
	nothing int // times
	fail    error
	watch   bool
}

func (s *slow) Sample(context.Context) ([]sensors.Sample, error) {
	if s.nothing--; s.nothing >= 0 {
		return nil, nil
	}
	return []sensors.Sample{{Suffix: "a", Value: []byte("1")}, {Suffix: "b", Value: []byte("2")}}, s.fail
}

func (s *slow) Close() error { return nil }

// watching is slow with news of its own, which come soon after it was opened.
type watching struct{ *slow }

func (w watching) Watch(ctx context.Context, emit func([]sensors.Sample)) error {
	time.Sleep(time.Second)
	emit([]sensors.Sample{{Suffix: "b", Value: []byte("3")}})
	<-ctx.Done()
	return ctx.Err()
}

// TestReadOnceWaits for a sensor that has nothing to give yet, and not for ever.
func TestReadOnceWaits(t *testing.T) {
	broken := errors.New("no answer")
	for what, c := range map[string]struct {
		sensor  slow
		cancel  time.Duration // Ctrl-C; 0: none
		want    string
		err     string
		longest time.Duration
	}{
		"all its channels": {slow{}, 0, "a=1 b=2", "", 0},
		"warms up":         {slow{nothing: 4}, 0, "a=1 b=2", "", 20 * time.Second},
		"never":            {slow{nothing: 1000}, 0, "", "no value", readPatience},
		"interrupted":      {slow{nothing: 1000}, 3 * time.Second, "", "interrupted", 3 * time.Second},
		"fails":            {slow{nothing: 1, fail: broken}, 0, "", "no answer", 10 * time.Second},
		"has news":         {slow{nothing: 1000, watch: true}, 0, "b=3", "", time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			var r sensors.Registry
			r.Register(sensors.Driver{Name: "slow",
				Channels: func(sensors.Options) []sensors.Channel { return []sensors.Channel{{Suffix: "a"}, {Suffix: "b"}} },
				Open: func(context.Context, sensors.Env, sensors.Options) (sensors.Sampler, error) {
					if c.sensor.watch {
						return watching{&c.sensor}, nil
					}
					return &c.sensor, nil
				}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel > 0 {
				time.AfterFunc(c.cancel, cancel)
			}
			begin := time.Now()
			got, err := readOnce(ctx, sensors.Config{Registry: &r, Items: []sensors.Item{{Driver: "slow", Device: "D", Every: readAgain}}})
			var values []string
			for _, r := range got {
				values = append(values, fmt.Sprintf("%s=%s", r.Channel, r.Value))
			}
			if s := strings.Join(values, " "); s != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %s, %v", what, s, err)
			}
			if d := time.Since(begin); d > c.longest {
				t.Errorf("%s: took %v", what, d)
			}
		})
	}
}

// TestBoardCommandsSayWhatIsWrong with their arguments, and whether what they had
// to say was heard.
func TestBoardCommandsSayWhatIsWrong(t *testing.T) {
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("sensors: [{driver: lm76}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"read --driver", exitUsage, "--driver has no value"},
		{"read fake", exitUsage, "key=value"},
		{"read --driver gpio-out --pin sim:3", exitUsage, "it belongs under actuators"},
		{"scan --device a/b", exitUsage, "--device"},
		{"scan --nope", exitUsage, "--nope"},
		{"release", exitUsage, "--config"},
		{"doctor --config " + wrong, exitUsage, "did you mean lm75?"},
		{"doctor --config /nonexistent", exitUsage, "no such file"},
	} {
		code, out, errOut := command(t, "", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errOut, c.err) {
			t.Errorf("%s: %d %s", c.args, code, errOut)
		}
		if strings.HasPrefix(c.args, "doctor") && out == "" {
			t.Errorf("%s says nothing about the board", c.args)
		}
	}
	// The device of a line that is copied from a configuration makes no difference.
	if code, out, errOut := command(t, "", "read", "driver=fake", "device=MyDevice", "min=3", "max=3"); code != exitOK || out != "fake 3.00\n" {
		t.Errorf("%d %s%s", code, out, errOut)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"read", "--driver", "fake"}, {"sensors"}, {"scan"}, {"doctor"}} {
		var errOut bytes.Buffer
		env := environment{ctx: t.Context(), stdin: strings.NewReader(""), stdout: full, stderr: &errOut}
		if code := execute(env, args); code != exitError || !strings.Contains(errOut.String(), "no space left") {
			t.Errorf("%v, to a full device: %d %s", args, code, errOut.String())
		}
	}
}

// TestAPartThatPanics ends the gateway in order: the others, the outputs among
// them, are told to stop and are waited for.
func TestAPartThatPanics(t *testing.T) {
	s := &stages{log: slog.New(slog.DiscardHandler)}
	st := s.stage("sources")
	stopped := false
	st.start("outputs", func(ctx context.Context) error {
		<-ctx.Done()
		stopped = true
		return nil
	})
	st.start("faulty", func(context.Context) error { panic("out of range") })
	select {
	case err := <-s.failed:
		if !strings.Contains(err.Error(), "faulty: panic: out of range") {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("nobody hears of the panic")
	}
	s.stop()
	if !stopped {
		t.Error("the outputs were not stopped")
	}
}
