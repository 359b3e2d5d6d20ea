package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a driver whose samplers do what the test says.
type scripted struct {
	open   func(ctx context.Context, env Env) error
	sample func(ctx context.Context, env Env) ([]Sample, error)
	// channels are the suffixes it has; nil: one without
	channels []Channel

	mu     sync.Mutex
	opens  int
	closes int
}

type scriptedSampler struct {
	d   *scripted
	env Env
}

func (s scriptedSampler) Sample(ctx context.Context) ([]Sample, error) { return s.d.sample(ctx, s.env) }
func (s scriptedSampler) Close() error {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.closes++
	return nil
}

func (d *scripted) driver(name string) Driver {
	return Driver{
		Name: name,
		Channels: func(Options) []Channel {
			if d.channels != nil {
				return d.channels
			}
			return []Channel{{}}
		},
		Open: func(ctx context.Context, env Env, _ Options) (Sampler, error) {
			d.mu.Lock()
			d.opens++
			d.mu.Unlock()
			if d.open != nil {
				if err := d.open(ctx, env); err != nil {
					return nil, err
				}
			}
			return scriptedSampler{d, env}, nil
		},
	}
}

// hub notes what came when, in time since its beginning.
type hub struct {
	mu      sync.Mutex
	begin   time.Time
	batches []*gateway.Batch
	times   map[string][]time.Duration // by device/sensor
	refuse  error
}

func newHub() *hub { return &hub{begin: time.Now(), times: map[string][]time.Duration{}} }

func (h *hub) Submit(b *gateway.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches = append(h.batches, b)
	for _, r := range b.Readings {
		key := r.Device + "/" + r.Channel
		h.times[key] = append(h.times[key], time.Since(h.begin))
	}
	return h.refuse
}

func one(context.Context, Env) ([]Sample, error) {
	return []Sample{{Value: json.RawMessage("1")}}, nil
}

// poll runs a poller for a time of the bubble's clock and returns what Run did.
func poll(t *testing.T, c Config, d time.Duration) (*Poller, error) {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return p, p.Run(ctx)
}

func seconds(s ...float64) []time.Duration {
	out := make([]time.Duration, len(s))
	for i, x := range s {
		out[i] = time.Duration(x * float64(time.Second))
	}
	return out
}

func TestReadingsAreSpreadAndKeepTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry
		r.Register((&scripted{sample: one}).driver("d"))
		h := newHub()
		p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
			{Driver: "d", Device: "D", Sensor: "a", Every: 10 * time.Second},
			{Driver: "d", Device: "D", Sensor: "b", Every: 10 * time.Second, Bus: "1"},
			{Driver: "d", Device: "D", Sensor: "c", Every: time.Hour, Bus: "1"},
			{Driver: "d", Device: "D", Sensor: "d", Every: 4 * time.Second},
		}}, 22*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]time.Duration{
			"D/a": seconds(0, 10, 20),
			"D/b": seconds(2.5, 12.5),
			"D/c": seconds(5),
			"D/d": seconds(3, 7, 11, 15, 19),
		}
		if !reflect.DeepEqual(h.times, want) {
			t.Errorf("read at %v, want %v", h.times, want)
		}
		b := h.batches[0]
		if b.From != access.System || b.Source != "sensor d" || b.Wait || !b.Readings[0].Time.IsZero() || b.Readings[0].Kind != gateway.KindSensor {
			t.Errorf("batch %+v", b)
		}
		for _, s := range p.Status() {
			if s.State != OK || s.Err != nil || s.Failures != 0 {
				t.Errorf("status %+v", s)
			}
		}
	})
}

func TestAllChannelsOfASampleAreOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry
		r.Register((&scripted{channels: []Channel{{Suffix: "temperature"}, {Suffix: "humidity"}}, sample: func(context.Context, Env) ([]Sample, error) {
			return []Sample{{"temperature", json.RawMessage("20.5")}, {"humidity", json.RawMessage("40")}}, nil
		}}).driver("d"))
		h := newHub()
		if _, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
			{Driver: "d", Device: "D", Every: time.Minute}, {Driver: "d", Device: "D", Sensor: "roof", Every: time.Minute}}}, time.Minute-1); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range h.batches {
			for _, r := range b.Readings {
				got = append(got, r.Channel+"="+string(r.Value))
			}
			got = append(got, "|")
		}
		if s := strings.Join(got, " "); s != "temperature=20.5 humidity=40 | roof-temperature=20.5 roof-humidity=40 |" {
			t.Error(s)
		}
	})
}

func TestFailuresAreRetriedWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		broken := errors.New("no answer")
		var tries []time.Duration
		d := &scripted{}
		fixed := 20 * time.Minute
		d.open = func(context.Context, Env) error {
			tries = append(tries, time.Since(begin))
			if time.Since(begin) < fixed {
				return broken
			}
			return nil
		}
		d.sample = one
		var r Registry
		r.Register(d.driver("d"))
		h := newHub()
		var states []string
		_, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: 10 * time.Second}},
			OnStatus: func(s Status) {
				if s.State == Failing && !errors.Is(s.Err, broken) {
					t.Errorf("error %v", s.Err)
				}
				states = append(states, fmt.Sprint(s.State, s.Failures))
			}}, 26*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		want := seconds(0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1111, 1411)
		if !reflect.DeepEqual(tries, want) {
			t.Errorf("tried at %v, want %v", tries, want)
		}
		// back on its own grid of 10 seconds, not on that of the retries
		if got := h.times["D/s"]; len(got) < 3 || !reflect.DeepEqual(got[:3], seconds(1411, 1420, 1430)) {
			t.Errorf("readings at %v", got)
		}
		if states[0] != "failing 1" || states[len(states)-1] != "ok 0" || len(states) != 13 {
			t.Errorf("states %v", states)
		}
		if d.closes != 1 {
			t.Errorf("closed %d times", d.closes)
		}
	})
}

func TestASensorIsOpenedAnewAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scripted{}
		n := 0
		d.sample = func(ctx context.Context, env Env) ([]Sample, error) {
			if n++; n == 2 {
				return nil, errors.New("checksum")
			}
			if n == 4 {
				panic("index out of range")
			}
			return one(ctx, env)
		}
		var r Registry
		r.Register(d.driver("d"))
		h := newHub()
		var errs []string
		if _, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: 10 * time.Second}},
			OnStatus: func(s Status) {
				if s.Err != nil {
					first, _, _ := strings.Cut(s.Err.Error(), "\n")
					errs = append(errs, first)
				}
			}}, 55*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := h.times["D/s"]; !reflect.DeepEqual(got, seconds(0, 11, 21, 30, 40, 50)) {
			t.Errorf("readings at %v", got)
		}
		if d.opens != 3 || d.closes != 3 {
			t.Errorf("opened %d times, closed %d times", d.opens, d.closes)
		}
		if !reflect.DeepEqual(errs, []string{"checksum", "sensors: d: the driver panicked: index out of range"}) {
			t.Errorf("%q", errs)
		}
	})
}

func TestAHangingBusHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hangs := &scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
			<-release // heeds no context, as a system call
			return one(ctx, env)
		}}
		var r Registry
		r.Register(hangs.driver("hangs"))
		r.Register((&scripted{sample: one}).driver("good"))
		h := newHub()
		var mu sync.Mutex
		var hung []time.Duration
		begin := time.Now()
		c := Config{Registry: &r, Hub: h, Log: slog.New(slog.DiscardHandler), Items: []Item{
			{Driver: "hangs", Device: "D", Sensor: "h", Every: 10 * time.Second, Bus: "1"},
			{Driver: "good", Device: "D", Sensor: "g", Every: 10 * time.Second, Bus: "2"},
			{Driver: "good", Device: "D", Sensor: "shares", Every: 10 * time.Second, Bus: "1"},
		}, OnStatus: func(s Status) {
			mu.Lock()
			defer mu.Unlock()
			if s.State == Hanging {
				hung = append(hung, time.Since(begin))
				if !errors.Is(s.Err, ErrHung) {
					t.Errorf("error %v", s.Err)
				}
			}
		}}
		p, err := poll(t, c, time.Minute)
		if !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "hangs of device D, sensor h, at 1") {
			t.Errorf("Run: %v", err)
		}
		if d := time.Since(begin); d != time.Minute+Grace {
			t.Errorf("Run returned after %v", d)
		}
		mu.Lock()
		defer mu.Unlock()
		if !reflect.DeepEqual(hung, []time.Duration{Timeout + Grace, Timeout + Grace}) { // both of the bus
			t.Errorf("said to hang at %v", hung)
		}
		if s := p.Status()[0]; s.State != Hanging {
			t.Errorf("status %+v", s)
		}
		if len(h.times["D/g"]) != 6 || len(h.times["D/h"])+len(h.times["D/shares"]) != 0 {
			t.Errorf("readings at %v", h.times)
		}
		close(release) // the bubble ends only when every goroutine has
	})
}

func TestAHangingSensorComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		d := &scripted{}
		n := 0
		d.sample = func(ctx context.Context, env Env) ([]Sample, error) {
			if n++; n == 1 {
				timer := time.NewTimer(35 * time.Second)
				<-timer.C
			}
			if n == 3 { // heeds its context
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return one(ctx, env)
		}
		var r Registry
		r.Register(d.driver("d"))
		h := newHub()
		var states []string
		if _, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: 10 * time.Second}},
			OnStatus: func(s Status) { states = append(states, fmt.Sprint(s.State, time.Since(begin))) }}, 75*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := h.times["D/s"]; !reflect.DeepEqual(got, seconds(35, 40, 61, 70)) {
			t.Errorf("readings at %v", got)
		}
		if !reflect.DeepEqual(states, []string{"hanging 11s", "ok 35s", "failing 1m0s", "ok 1m1s"}) {
			t.Errorf("states %v", states)
		}
	})
}

func TestWhatTheHubRefusesIsReported(t *testing.T) {
	for _, c := range []struct {
		err  error
		want State
	}{{gateway.ErrUnknownSensor, Failing}, {gateway.ErrNotKept, OK}} {
		synctest.Test(t, func(t *testing.T) {
			var r Registry
			r.Register((&scripted{sample: one}).driver("d"))
			h := newHub()
			h.refuse = c.err
			p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: time.Minute}}}, time.Second/2)
			if err != nil {
				t.Fatal(err)
			}
			if s := p.Status()[0]; s.State != c.want || c.want == Failing && !errors.Is(s.Err, c.err) {
				t.Errorf("%v: status %+v", c.err, s)
			}
		})
	}
}

func TestNothingToPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		if _, err := poll(t, Config{Hub: h}, time.Second); err != nil {
			t.Error(err)
		}
		if d := time.Since(h.begin); d != time.Second {
			t.Errorf("Run returned after %v", d)
		}
	})
	if _, err := New(Config{Items: []Item{{Driver: "none", Every: time.Second}}}); err == nil {
		t.Error("an unknown driver")
	}
	var r Registry
	r.Register((&scripted{sample: one}).driver("d"))
	if _, err := New(Config{Registry: &r, Items: []Item{{Driver: "d"}}}); err == nil {
		t.Error("no interval")
	}
}
