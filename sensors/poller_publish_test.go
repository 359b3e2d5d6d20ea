package sensors

import (
	"bytes"
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

	"fieldgate/gateway"
)

// TestHeartbeats: readings take their time, now more and now less, and what is to
// be published once a minute is.
func TestHeartbeats(t *testing.T) {
	for what, c := range map[string]struct {
		publish Publish
		every   time.Duration
		want    []time.Duration
	}{
		"at least once a minute":          {Publish{OnChange: true, Max: time.Minute}, 10 * time.Second, seconds(0, 60, 120, 180)},
		"at most once a minute":           {Publish{Min: time.Minute}, 10 * time.Second, seconds(0, 60, 120, 180)},
		"never later, though read seldom": {Publish{OnChange: true, Max: time.Minute}, 40 * time.Second, seconds(0, 40, 80, 120, 160, 200)},
		"read more seldom":                {Publish{OnChange: true, Max: time.Second}, 80 * time.Second, seconds(0, 80, 160)},
		"each minute's lowest":            {Publish{Extremes: time.Minute}, 10 * time.Second, seconds(60, 120, 180)},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			var r Registry
			r.Register((&scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
				n++
				time.Sleep([]time.Duration{700, 10, 400}[n%3] * time.Millisecond)
				return one(ctx, env)
			}}).driver("d"))
			h := newHub()
			if _, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: c.every,
				Rules: map[string]Rules{"": {Publish: c.publish}}}}}, 210*time.Second); err != nil {
				t.Fatal(err)
			}
			var got []time.Duration
			for _, at := range append(h.times["D/s"], h.times["D/s-min"]...) {
				got = append(got, at.Truncate(time.Second))
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: %v, want %v", what, got, c.want)
			}
		})
	}
}

// counting is a Watcher that counts up from what it is told was last.
type counting struct {
	scriptedSampler
	n      int
	broken chan error
}

func (c *counting) Sample(context.Context) ([]Sample, error) {
	c.n++
	return []Sample{{Value: json.RawMessage(fmt.Sprint(c.n))}}, nil
}

func (c *counting) Watch(ctx context.Context, _ func([]Sample)) error {
	select {
	case err := <-c.broken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestATotalLosesNothingToPublish: what `publish` holds back of a total is not
// lost when the hardware is opened anew, nor when the gateway stops.
func TestATotalLosesNothingToPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, broken := &scripted{channels: []Channel{{Fixed: true}}}, make(chan error)
		h := newHub()
		driver := s.driver("d")
		driver.Open = func(_ context.Context, env Env, _ Options) (Sampler, error) {
			c := &counting{scriptedSampler: scriptedSampler{s, env}, broken: broken}
			if raw, ok := env.Last(""); ok {
				if err := json.Unmarshal(raw, &c.n); err != nil {
					t.Error(err)
				}
			}
			return c, nil
		}
		var r Registry
		r.Register(driver)
		go func() {
			time.Sleep(4500 * time.Millisecond)
			broken <- errors.New("the chip is gone")
		}()
		_, err := poll(t, Config{Registry: &r, Hub: h,
			Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: time.Second, Rules: map[string]Rules{"": {Publish: Publish{Min: time.Hour}}}}},
			Last: func(string, string) (json.RawMessage, bool) { // what is recorded
				h.mu.Lock()
				defer h.mu.Unlock()
				if n := len(h.batches); n > 0 {
					return h.batches[n-1].Readings[0].Value, true
				}
				return json.RawMessage("100"), true
			}}, 8200*time.Millisecond)
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, b := range h.batches {
			got = append(got, string(b.Readings[0].Value))
		}
		// Read at 0 to 4, at 5.5 after it was opened anew, at 6 to 8 and at the end.
		if want := []string{"101", "110"}; !reflect.DeepEqual(got, want) {
			t.Errorf("published %v, want %v", got, want)
		}
	})
}

// TestAHundredSensorsDoNotFireTogether, on as many buses and on one, also after
// all of them failed for an hour.
func TestAHundredSensorsDoNotFireTogether(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			at := map[time.Duration]int{}
			var mu sync.Mutex
			d := &scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
				mu.Lock()
				defer mu.Unlock()
				at[time.Since(begin)]++
				if time.Since(begin) > time.Minute && time.Since(begin) < time.Hour {
					return nil, errors.New("no power")
				}
				return one(ctx, env)
			}}
			var r Registry
			r.Register(d.driver("d"))
			var items []Item
			for i := range 100 {
				it := Item{Driver: "d", Device: "D", Sensor: fmt.Sprint("s", i), Every: 10 * time.Second, Bus: fmt.Sprint(i)}
				if shared {
					it.Bus = "1"
				}
				items = append(items, it)
			}
			h := newHub()
			if _, err := poll(t, Config{Registry: &r, Hub: h, Items: items}, 75*time.Minute); err != nil {
				t.Fatal(err)
			}
			for when, n := range at {
				if n > 5 { // first tries, and retries after 1, 3, 7 s, may meet
					t.Fatalf("%d are read at %v", n, when)
				}
			}
			last := h.times["D/s99"]
			if len(last) < 50 || last[len(last)-1]-last[len(last)-2] != 10*time.Second {
				t.Errorf("the last sensor is published at %v", last)
			}
		})
	}
}

// TestWhatComesAndGoesIsNotLoggedEachTime: a sensor that flaps does not fill the
// log, and what the log said last holds within a minute.
func TestWhatComesAndGoesIsNotLoggedEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, n := time.Now(), 0
		d := &scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
			n++
			if time.Since(begin) > 10*time.Minute || n%2 == 0 {
				return nil, errors.New("no answer")
			}
			return one(ctx, env)
		}}
		var r Registry
		r.Register(d.driver("d"))
		var log bytes.Buffer
		if _, err := poll(t, Config{Registry: &r, Hub: newHub(), Log: slog.New(slog.NewTextHandler(&log, nil)),
			Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: time.Second}}}, 20*time.Minute); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) < 10 || len(lines) > 25 || !strings.Contains(lines[len(lines)-1], "cannot be read") {
			t.Errorf("%d lines, the last one is %s", len(lines), lines[len(lines)-1])
		}
	})
}

// TestWhatTheHubRefusedIsPublishedLater though it has not changed since.
func TestWhatTheHubRefusedIsPublishedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry
		r.Register((&scripted{sample: one}).driver("d"))
		h := newHub()
		h.refuse = gateway.ErrUnknownDevice
		time.AfterFunc(500*time.Millisecond, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refuse = nil
		})
		p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{{Driver: "d", Device: "D", Sensor: "s", Every: time.Second,
			Rules: map[string]Rules{"": {Publish: Publish{OnChange: true}}}}}}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.times["D/s"]; !reflect.DeepEqual(got, seconds(0, 1)) {
			t.Errorf("submitted at %v", got)
		}
		if s := p.Status()[0]; s.State != OK {
			t.Errorf("%+v", s)
		}
	})
}

// TestIntervalsThatAreTooShort: what takes longer than its interval is read as
// often as it can be, on its own grid, and starves nobody on its bus.
func TestIntervalsThatAreTooShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Registry
		r.Register((&scripted{sample: func(ctx context.Context, env Env) ([]Sample, error) {
			time.Sleep(35 * time.Millisecond)
			return one(ctx, env)
		}}).driver("slow"))
		r.Register((&scripted{sample: one}).driver("good"))
		h := newHub()
		p, err := poll(t, Config{Registry: &r, Hub: h, Items: []Item{
			{Driver: "slow", Device: "D", Sensor: "s", Every: MinEvery, Bus: "i2c:1"},
			{Driver: "good", Device: "D", Sensor: "g", Every: time.Second, Bus: "i2c:1"}}}, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(h.times["D/s"]); n < 240 || n > 255 {
			t.Errorf("read %d times", n)
		}
		if n := len(h.times["D/g"]); n != 10 {
			t.Errorf("the other one is read %d times", n)
		}
		if s := p.Status()[0]; s.State != OK {
			t.Errorf("%+v", s)
		}
	})
}
