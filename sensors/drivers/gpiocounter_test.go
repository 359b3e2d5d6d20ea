package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
	"fieldgate/sensors/sim"
)

// attachCounter opens a counter of line 3 whose last recorded total is given;
// "": none is.
func attachCounter(t *testing.T, b sensors.Board, last string, written map[string]string) *gpiocounter {
	t.Helper()
	d, _ := sensors.Builtin().Lookup("gpio-counter")
	all := map[string]string{"pin": "sim:3"}
	for k, v := range written {
		all[k] = v
	}
	o, wrong := d.Parse(all)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	s, err := d.Open(t.Context(), sensors.Env{Board: b, Now: time.Now, Last: func(suffix string) (json.RawMessage, bool) {
		return json.RawMessage(last), last != "" && suffix == "total"
	}}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*gpiocounter)
}

// watchCounter runs the Watch of a counter.
func watchCounter(t *testing.T, c *gpiocounter) *watched {
	w := &watched{Watcher: c, done: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() { w.done <- w.Watch(ctx, w.emit) }()
	synctest.Wait()
	return w
}

// sample takes a sample when all edges are counted.
func (w *watched) sample(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got, err := take(t.Context(), w); got != want || err != nil {
		t.Errorf("sample: %q, %v; want %q", got, err, want)
	}
}

func pulse(b *sim.Board, n int) {
	for range n {
		b.Drive(3, false)
		b.Drive(3, true)
	}
}

func TestGPIOCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		w := watchCounter(t, attachCounter(t, b, "", nil))
		w.sample(t, "total=0")
		// Pulses do not wait for the next sample for longer than this: what was
		// published counts after a crash.
		pulse(b, 2)
		time.Sleep(gpiocounterWait - time.Second)
		pulse(b, 1)
		if got := w.take(); got != "" {
			t.Errorf("published early: %s", got)
		}
		time.Sleep(2 * time.Second)
		w.want(t, "total=3")
		time.Sleep(19 * time.Second)
		w.sample(t, "total=3 rate=6.000")
		time.Sleep(30 * time.Second)
		w.sample(t, "total=3 rate=0.000")
		pulse(b, 1)
		time.Sleep(9 * time.Second)
		w.sample(t, "total=4 rate=6.667")
		time.Sleep(36 * time.Second) // it was told in time, there is nothing to add
		pulse(b, 2)
		w.cancel()
		<-w.done
		w.sample(t, "total=6") // before the gateway stops: no rate of a part of the interval
		if got := w.take(); got != "" {
			t.Errorf("published by itself: %s", got)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestGPIOCounterOptions(t *testing.T) {
	for _, c := range []struct {
		name, last string
		written    map[string]string
		want       string // after 10 pulses in 20 s
	}{
		{"falling", "", nil, "total=10 rate=30.000"},
		{"rising", "", map[string]string{"edge": "rising"}, "total=10 rate=30.000"},
		{"both", "", map[string]string{"edge": "both"}, "total=20 rate=60.000"},
		{"rain", "", map[string]string{"per_pulse": "0.2794", "rate_per": "hour"}, "total=2.7940 rate=502.9200"},
		{"wind", "", map[string]string{"rate_per": "second"}, "total=10 rate=0.500"},
		{"preset", "", map[string]string{"initial": "1234.56", "per_pulse": "0.001"}, "total=1234.570 rate=0.030"},
		{"goes on", "41", map[string]string{"initial": "7"}, "total=51 rate=30.000"},
		{"goes on, with a finer total", "2.7941", map[string]string{"per_pulse": "0.1"}, "total=3.7941 rate=3.000"},
		{"goes on from a great total", "9007199254740000", nil, "total=9007199254740010 rate=30.000"},
		{"was something else before", `"dry"`, map[string]string{"initial": "7"}, "total=17 rate=30.000"},
		{"was nothing", "null", map[string]string{"initial": "7"}, "total=17 rate=30.000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := sim.New(nil, time.Now)
				w := watchCounter(t, attachCounter(t, b, c.last, c.written))
				if _, err := w.Sample(t.Context()); err != nil {
					t.Error(err)
				}
				pulse(b, 10)
				time.Sleep(20 * time.Second)
				w.sample(t, c.want)
				w.end(t)
			})
		})
	}
}

// TestGPIOCounterLosesNoPulse: what the kernel's queue had no room for counts.
func TestGPIOCounterLosesNoPulse(t *testing.T) {
	for edge, want := range map[string]string{"falling": "total=50000", "rising": "total=50000", "both": "total=100000"} {
		synctest.Test(t, func(t *testing.T) {
			b := sim.New(nil, time.Now)
			w := watchCounter(t, attachCounter(t, b, "", map[string]string{"edge": edge}))
			pulse(b, 50_000)
			w.sample(t, want)
			w.end(t)
		})
		synctest.Test(t, func(t *testing.T) { // nobody reads while they come
			b := sim.New(nil, time.Now)
			c := attachCounter(t, b, "", map[string]string{"edge": edge})
			pulse(b, 50_000)
			w := watchCounter(t, c)
			w.sample(t, want)
			w.end(t)
		})
	}
}

// TestGPIOCounterAtAKilohertz has as much time between edges as a board has.
func TestGPIOCounterAtAKilohertz(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		w := watchCounter(t, attachCounter(t, b, "", map[string]string{"rate_per": "second", "debounce": "200us"}))
		if _, err := w.Sample(t.Context()); err != nil {
			t.Error(err)
		}
		for range 10_000 {
			b.Drive(3, false)
			time.Sleep(500 * time.Microsecond)
			b.Drive(3, true)
			time.Sleep(500 * time.Microsecond)
		}
		w.sample(t, "total=10000 rate=1000.000")
		w.end(t)
	})
}

func TestGPIOCounterLostEdges(t *testing.T) {
	var c gpiocounter
	for _, lost := range []uint32{0, 3, 1<<32 - 1} {
		c.count(sensors.Edge{Lost: lost})
	}
	if want := uint64(1 + 4 + 1<<32); c.pulses != want {
		t.Errorf("%d pulses, want %d", c.pulses, want)
	}
}

// TestGPIOCounterCountsWhatIsQueuedAtTheEnd: an edge that nobody has read yet is
// no edge that was lost.
func TestGPIOCounterCountsWhatIsQueuedAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &eagerLine{scriptedLine{edges: make(chan sensors.Edge, 8)}}
		c := &gpiocounter{line: line, perPulse: 1, now: time.Now}
		for range 3 {
			line.edges <- sensors.Edge{}
		}
		if err := c.Watch(endedContext(t), nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if got, err := take(t.Context(), c); got != "total=3" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// eagerLine gives the error of a context that has ended before any edge.
type eagerLine struct{ scriptedLine }

func (l *eagerLine) Next(ctx context.Context) (sensors.Edge, error) {
	if err := ctx.Err(); err != nil {
		return sensors.Edge{}, err
	}
	return l.scriptedLine.Next(ctx)
}

// TestGPIOCounterThatIsGone: the total is published before the line is opened
// anew, so that it goes on.
func TestGPIOCounterThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := sim.New(nil, time.Now)
		w := watchCounter(t, attachCounter(t, b, "5", nil))
		pulse(b, 2)
		synctest.Wait()
		b.Unplug()
		if err := <-w.done; !errors.Is(err, sensors.ErrAbsent) || !strings.Contains(err.Error(), "gpio-counter at sim:3") {
			t.Errorf("watch: %v", err)
		}
		w.want(t, "total=7")
		if got, err := take(t.Context(), w); !errors.Is(err, sensors.ErrAbsent) || got != "" {
			t.Errorf("sample: %q, %v", got, err)
		}
		if err := w.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
		d, _ := sensors.Builtin().Lookup("gpio-counter")
		o, _ := d.Parse(map[string]string{"pin": "sim:3"})
		if _, err := d.Open(t.Context(), sensors.Env{Board: b, Now: time.Now}, o); !errors.Is(err, sensors.ErrAbsent) {
			t.Errorf("open: %v", err)
		}
	})
}

func TestGPIOCounterChannels(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("gpio-counter")
	for _, c := range []struct {
		written map[string]string
		want    []sensors.Channel
	}{
		{nil, []sensors.Channel{
			{Suffix: "total", Kind: "Counter", Quantity: "Count", Unit: "Dimensionless", Fixed: true},
			{Suffix: "rate", Kind: "Counter", Decimals: 3}}},
		{map[string]string{"rate_per": "second"}, []sensors.Channel{
			{Suffix: "total", Kind: "Counter", Quantity: "Count", Unit: "Dimensionless", Fixed: true},
			{Suffix: "rate", Kind: "FrequencySensor", Quantity: "Frequency", Unit: "Hertz", Decimals: 3}}},
		{map[string]string{"per_pulse": "0.2794", "initial": "0.5"}, []sensors.Channel{
			{Suffix: "total", Kind: "Counter", Decimals: 4, Fixed: true},
			{Suffix: "rate", Kind: "Counter", Decimals: 4}}},
	} {
		written := map[string]string{"pin": "GPIO17"}
		for k, v := range c.written {
			written[k] = v
		}
		o, wrong := d.Parse(written)
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		got := d.Channels(o)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %+v", c.written, got)
		}
	}
}
