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
)

// watched is a Watcher that tells what comes through a channel.
type watched struct {
	scriptedSampler
	news   chan string
	broken chan error
	log    func(string)
}

func (w *watched) Watch(ctx context.Context, emit func([]Sample)) error {
	w.log("watch")
	defer w.log("watched")
	for {
		select {
		case v := <-w.news:
			if v == "panic" {
				panic("an edge too many")
			}
			emit([]Sample{{Value: json.RawMessage(v)}})
		case err := <-w.broken:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *watched) Close() error { w.log("close"); return w.scriptedSampler.Close() }

// watching polls a Watcher for d while drive does something.
func watching(t *testing.T, d time.Duration, rules Rules, drive func(news chan string, broken chan error)) (values, events, states []string) {
	t.Helper()
	begin := time.Now()
	news, broken := make(chan string), make(chan error)
	var mu sync.Mutex
	at := func(s string) string { return fmt.Sprintf("%v %s", time.Since(begin), s) }
	n := 0
	s := &scripted{sample: func(context.Context, Env) ([]Sample, error) {
		n++
		return []Sample{{Value: json.RawMessage(fmt.Sprint(1000 + n))}}, nil
	}}
	driver := s.driver("d")
	driver.Open = func(_ context.Context, env Env, _ Options) (Sampler, error) {
		return &watched{scriptedSampler{s, env}, news, broken, func(e string) { mu.Lock(); defer mu.Unlock(); events = append(events, at(e)) }}, nil
	}
	var r Registry
	r.Register(driver)
	h := newHub()
	p, err := New(Config{Registry: &r, Hub: h, Log: slog.New(slog.DiscardHandler),
		Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: time.Minute, Rules: map[string]Rules{"": rules}}},
		OnStatus: func(s Status) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, at(s.State.String()))
		}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	go drive(news, broken)
	if err := p.Run(ctx); err != nil {
		t.Error(err)
	}
	for i, b := range h.batches {
		values = append(values, fmt.Sprintf("%v %s", h.times["D/s"][i], b.Readings[0].Value))
	}
	return values, events, states
}

func TestNewsIsPublishedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		values, events, states := watching(t, 90*time.Second, Rules{Limits: &Limits{0, 5000}}, func(news chan string, _ chan error) {
			time.Sleep(10 * time.Second)
			news <- "1"
			news <- "9999" // outside the limits
			time.Sleep(time.Second)
			news <- "2"
		})
		if want := []string{"0s 1001", "10s 1", "11s 2", "1m0s 1002", "1m30s 1003"}; !reflect.DeepEqual(values, want) {
			t.Errorf("published %q, want %q", values, want)
		}
		if want := []string{"0s watch", "1m30s watched", "1m30s close"}; !reflect.DeepEqual(events, want) {
			t.Errorf("%q, want %q", events, want)
		}
		if want := []string{"0s ok", "10s failing", "11s ok"}; !reflect.DeepEqual(states, want) {
			t.Errorf("states %q, want %q", states, want)
		}
	})
}

func TestAWatchThatFailsIsStartedAnew(t *testing.T) {
	for _, how := range []string{"error", "nil", "panic"} {
		synctest.Test(t, func(t *testing.T) {
			values, events, states := watching(t, 30*time.Second, Rules{}, func(news chan string, broken chan error) {
				time.Sleep(10 * time.Second)
				switch how {
				case "error":
					broken <- errors.New("the chip is gone")
				case "nil":
					broken <- nil
				case "panic":
					news <- "panic"
				}
				time.Sleep(2 * time.Second)
				news <- "2"
			})
			if want := []string{"0s 1001", "11s 1002", "12s 2", "30s 1003"}; !reflect.DeepEqual(values, want) {
				t.Errorf("%s: published %q, want %q", how, values, want)
			}
			if got := strings.Join(events, ", "); got != "0s watch, 10s watched, 10s close, 11s watch, 30s watched, 30s close" {
				t.Errorf("%s: %s", how, got)
			}
			if want := []string{"0s ok", "10s failing", "11s ok"}; !reflect.DeepEqual(states, want) {
				t.Errorf("%s: states %q, want %q", how, states, want)
			}
		})
	}
}

// TestNoDrift: a day of readings every ten seconds is exactly 8,640 of them,
// though each takes its time.
func TestNoDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		d := &scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
			n++
			time.Sleep(time.Duration(n%700) * time.Millisecond)
			return one(ctx, env)
		}}
		var r Registry
		r.Register(d.driver("d"))
		h := newHub()
		if _, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: 10 * time.Second}}}, 24*time.Hour-time.Second); err != nil {
			t.Fatal(err)
		}
		times := h.times["D/s"]
		if len(times) != 8640 {
			t.Fatalf("%d readings", len(times))
		}
		for i, at := range times {
			if grid := time.Duration(i) * 10 * time.Second; at < grid || at > grid+700*time.Millisecond {
				t.Fatalf("reading %d at %v", i, at)
			}
		}
	})
}

// TestLimitsOfOneChannel: a value that cannot be right is its channel's fault,
// and stays so until a right one comes.
func TestLimitsOfOneChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		d := &scripted{channels: []Channel{{Suffix: "a"}, {Suffix: "b"}}, sample: func(context.Context, Env) ([]Sample, error) {
			n++
			switch n {
			case 2:
				return []Sample{{"a", json.RawMessage("1")}, {"b", json.RawMessage("101")}}, nil
			case 3: // no news of b
				return []Sample{{"a", json.RawMessage("2")}}, nil
			}
			return []Sample{{"a", json.RawMessage("3")}, {"b", json.RawMessage("50")}}, nil
		}}
		var r Registry
		r.Register(d.driver("d"))
		h := newHub()
		var states []string
		begin := time.Now()
		if _, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Every: time.Second,
			Rules: map[string]Rules{"b": {Limits: &Limits{0, 100}}}}},
			OnStatus: func(s Status) {
				states = append(states, fmt.Sprintf("%v %s %v %d", time.Since(begin), s.Sensor, s.State, s.Failures))
				if s.State == Failing && !errors.Is(s.Err, ErrLimits) {
					t.Error(s.Err)
				}
			}}, 3500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if want := seconds(0, 1, 2, 3); !reflect.DeepEqual(h.times["D/a"], want) {
			t.Errorf("a at %v", h.times["D/a"])
		}
		if want := seconds(0, 3); !reflect.DeepEqual(h.times["D/b"], want) {
			t.Errorf("b at %v", h.times["D/b"])
		}
		if got := strings.Join(states, ", "); got != "0s a ok 0, 0s b ok 0, 1s b failing 1, 2s b failing 2, 3s b ok 0" {
			t.Error(got)
		}
	})
}

// TestLast: a driver is told what was recorded last of each of its channels.
func TestLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		d := &scripted{channels: []Channel{{Suffix: "total"}, {Suffix: "rate"}}}
		d.sample = func(_ context.Context, env Env) ([]Sample, error) {
			for _, suffix := range []string{"total", "rate"} {
				v, ok := env.Last(suffix)
				got = append(got, fmt.Sprintf("%s %v", v, ok))
			}
			return nil, nil
		}
		var r Registry
		r.Register(d.driver("d"))
		if _, err := poll(t, Config{Registry: &r, Hub: newHub(), Items: []Item{{Driver: "d", Device: "D", Sensor: "rain", Every: time.Minute}},
			Last: func(device, sensor string) (json.RawMessage, bool) {
				return json.RawMessage(device + "/" + sensor), sensor == "rain-total"
			}}, time.Second); err != nil {
			t.Fatal(err)
		}
		if want := []string{"D/rain-total true", "D/rain-rate false"}; !reflect.DeepEqual(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// TestEventsDoNotWaitForTheirTurn: what has news by itself is opened at once, and
// then read on its place of the grid like the others.
func TestEventsDoNotWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry
		r.Register((&scripted{sample: one}).driver("polled"))
		events := (&scripted{sample: one}).driver("events")
		events.Events = true
		r.Register(events)
		h := newHub()
		if _, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
			{Driver: "polled", Device: "D", Sensor: "p", Every: 10 * time.Second},
			{Driver: "events", Device: "D", Sensor: "e", Every: 10 * time.Second},
		}}, 16*time.Second); err != nil {
			t.Fatal(err)
		}
		if want := seconds(0, 5, 15); !reflect.DeepEqual(h.times["D/e"], want) {
			t.Errorf("read at %v, want %v", h.times["D/e"], want)
		}
	})
}
