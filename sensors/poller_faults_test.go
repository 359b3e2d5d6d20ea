package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
)

// TestAHangingBusIsToldOfAllItsSensors: none of them is read, so none is well.
func TestAHangingBusIsToldOfAllItsSensors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		hangs := &scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
			if n++; n == 2 {
				time.Sleep(30 * time.Second)
			}
			return one(ctx, env)
		}}
		var r Registry
		r.Register(hangs.driver("hangs"))
		r.Register((&scripted{sample: one}).driver("good"))
		h := newHub()
		var states []string
		p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
			{Driver: "hangs", Device: "D", Sensor: "h", Every: 10 * time.Second, Bus: "i2c:1"},
			{Driver: "good", Device: "D", Sensor: "g", Every: time.Hour, Bus: "i2c:1"},
		}, OnStatus: func(s Status) {
			states = append(states, fmt.Sprint(time.Since(h.begin), " ", s.Sensor, " ", s.State))
			if s.State == Hanging && (!errors.Is(s.Err, ErrHung) || s.Sensor == "g" && !strings.Contains(s.Err.Error(), "hangs of device D, sensor h, at i2c:1")) {
				t.Errorf("%s: %v", s.Sensor, s.Err)
			}
		}}, 45*time.Second)
		if err != nil {
			t.Error(err)
		}
		want := []string{"0s h ok", "5s g ok", "21s h hanging", "21s g hanging", "40s h ok", "40s g ok"}
		if !reflect.DeepEqual(states, want) {
			t.Errorf("states %q, want %q", states, want)
		}
		if got := h.times["D/g"]; !reflect.DeepEqual(got, seconds(5, 40)) {
			t.Errorf("read at %v", got)
		}
		for _, s := range p.Status() {
			if s.State != OK {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestStatesAreToldInOrder: whoever is told of a state last is told of the one
// that holds, though news and failures come from two goroutines.
func TestStatesAreToldInOrder(t *testing.T) {
	var r Registry
	r.Register((&scripted{sample: one}).driver("d"))
	var p *Poller
	var told State
	inside := make(chan struct{}, 1)
	p, err := New(Config{Registry: &r, Hub: newHub(), Log: slog.New(slog.DiscardHandler),
		Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: time.Second}},
		OnStatus: func(s Status) {
			if s.State == OK {
				inside <- struct{}{}
				for range 1000 { // who has something else to tell may overtake
					runtime.Gosched()
				}
			}
			told = s.State // two at a time would be a race
		}})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		var both sync.WaitGroup
		both.Go(func() { p.well(p.tasks[0]) })
		<-inside
		both.Go(func() { p.change(p.tasks[0], Failing, ErrHung) })
		both.Wait()
		if s := p.Status()[0]; told != s.State {
			t.Fatalf("told %v last, and it is %v", told, s.State)
		}
	}
}

// TestAValueOfNoChannel: it is the driver's mistake, and takes nothing else with
// it.
func TestAValueOfNoChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry
		r.Register((&scripted{channels: []Channel{{Suffix: "a"}, {Suffix: "b"}}, sample: func(context.Context, Env) ([]Sample, error) {
			return []Sample{{"a", json.RawMessage("1")}, {"x", json.RawMessage("2")}, {"b", json.RawMessage("3")}}, nil
		}}).driver("d"))
		h := newHub()
		p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Every: time.Minute}}}, time.Second/2)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.times["D/a"]) != 1 || len(h.times["D/b"]) != 1 {
			t.Errorf("published at %v", h.times)
		}
		if s := p.Status()[0]; s.State != Failing || !strings.Contains(s.Err.Error(), `"x"`) {
			t.Errorf("%+v", s)
		}
	})
}

// slowHub has no room for a while.
type slowHub struct {
	*hub
	until chan struct{}
}

func (h slowHub) Submit(b *gateway.Batch) error {
	<-h.until
	return h.hub.Submit(b)
}

// TestAHubWithoutRoomIsNotTheDriversFault, also where a driver publishes from
// within its Sample.
func TestAHubWithoutRoomIsNotTheDriversFault(t *testing.T) {
	for _, long := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{sample: one}
			driver := s.driver("d")
			driver.Open = func(_ context.Context, env Env, _ Options) (Sampler, error) {
				return &telling{scriptedSampler: scriptedSampler{s, env}}, nil
			}
			var r Registry
			r.Register(driver)
			r.Register((&scripted{sample: one}).driver("plain"))
			h := slowHub{newHub(), make(chan struct{})}
			if !long {
				time.AfterFunc(30*time.Second, func() { close(h.until) })
			}
			var states []string
			_, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
				{Driver: "d", Device: "D", Sensor: "s", Every: 10 * time.Second},
				{Driver: "plain", Device: "D", Sensor: "p", Every: 10 * time.Second}},
				OnStatus: func(s Status) { states = append(states, fmt.Sprint(s.Sensor, s.State)) }}, time.Minute)
			if strings.Contains(strings.Join(states, " "), "hanging") {
				t.Errorf("states %v", states)
			}
			switch {
			case !long && err != nil:
				t.Error(err)
			case long && (err == nil || errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "disk")):
				t.Errorf("Run: %v", err)
			}
			if long {
				close(h.until)
			}
		})
	}
}

// telling is a Watcher that publishes within Sample, as gpio-in does.
type telling struct {
	scriptedSampler
	mu   sync.Mutex
	emit func([]Sample)
}

func (w *telling) Sample(context.Context) ([]Sample, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.emit != nil {
		w.emit([]Sample{{Value: json.RawMessage("1")}})
	}
	return nil, nil
}

func (w *telling) Watch(ctx context.Context, emit func([]Sample)) error {
	w.mu.Lock()
	w.emit = emit
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	w.emit = nil
	w.mu.Unlock()
	return ctx.Err()
}

// TestAWatchThatAlwaysFailsIsTriedLessAndLess although the hardware opens well.
func TestAWatchThatAlwaysFailsIsTriedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var opened []time.Duration
		s := &scripted{sample: one}
		driver := s.driver("d")
		driver.Open = func(_ context.Context, env Env, _ Options) (Sampler, error) {
			opened = append(opened, time.Since(begin).Truncate(time.Second))
			broken := make(chan error, 1)
			time.AfterFunc(time.Millisecond, func() { broken <- errors.New("no edges here") })
			return &counting{scriptedSampler: scriptedSampler{s, env}, broken: broken}, nil
		}
		var r Registry
		r.Register(driver)
		if _, err := poll(t, Config{Registry: &r, Hub: newHub(), Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: time.Hour}}}, 5*time.Minute); err != nil {
			t.Fatal(err)
		}
		if want := seconds(0, 1, 3, 7, 15, 31, 63, 127, 255); !reflect.DeepEqual(opened, want) {
			t.Errorf("opened at %v, want %v", opened, want)
		}
	})
}

// deaf is a Watcher that does not return when its context ends.
type deaf struct {
	scriptedSampler
	until chan struct{}
}

func (d *deaf) Watch(context.Context, func([]Sample)) error { <-d.until; return nil }

// TestAWatchThatDoesNotReturn is reported, and holds up no other bus and no stop.
func TestAWatchThatDoesNotReturn(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n, until := 0, make(chan struct{})
			s := &scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
				if n++; fails && n == 2 {
					return nil, errors.New("no answer")
				}
				return one(ctx, env)
			}}
			driver := s.driver("deaf")
			driver.Open = func(_ context.Context, env Env, _ Options) (Sampler, error) {
				return &deaf{scriptedSampler{s, env}, until}, nil
			}
			var r Registry
			r.Register(driver)
			r.Register((&scripted{sample: one}).driver("good"))
			h := newHub()
			p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
				{Driver: "good", Device: "D", Sensor: "shares", Every: time.Hour, Bus: "i2c:1"},
				{Driver: "deaf", Device: "D", Sensor: "s", Every: 10 * time.Second, Bus: "i2c:1"},
				{Driver: "good", Device: "D", Sensor: "g", Every: 10 * time.Second}}}, time.Minute)
			if !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "deaf of device D, sensor s, at i2c:1") {
				t.Errorf("Run: %v", err)
			}
			if d := time.Since(h.begin); d != time.Minute+Grace {
				t.Errorf("Run returned after %v", d)
			}
			if len(h.times["D/g"]) != 6 {
				t.Errorf("the other bus is read at %v", h.times["D/g"])
			}
			if s := p.Status()[1]; fails && s.State != Hanging || !fails && s.State != OK {
				t.Errorf("%+v", s)
			}
			close(until)
		})
	}
}

// TestADriverThatPanicsInOpen takes nobody with it.
func TestADriverThatPanicsInOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry
		r.Register((&scripted{open: func(context.Context, Env) error { panic("index out of range") }, sample: one}).driver("bad"))
		r.Register((&scripted{sample: one}).driver("good"))
		h := newHub()
		p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
			{Driver: "bad", Device: "D", Sensor: "b", Every: time.Second, Bus: "i2c:1"},
			{Driver: "good", Device: "D", Sensor: "g", Every: time.Second, Bus: "i2c:1"}}}, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if s := p.Status()[0]; s.State != Failing || !strings.Contains(s.Err.Error(), "the driver panicked: index out of range") {
			t.Errorf("%+v", s)
		}
		if n := len(h.times["D/g"]); n != 5 {
			t.Errorf("the other one is read %d times", n)
		}
	})
}
