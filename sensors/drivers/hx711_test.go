package drivers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/sensors"
)

// hx711Chip is an HX711 (datasheet figures 2 and 3): it has a value every
// 100 ms, shifts it out, and takes its gain from the number of pulses. While it
// has no value it ignores pulses.
type hx711Chip struct {
	values []int32 // one after the other, the last for ever

	slow   map[int]time.Duration // how long the clock line stays high, by the number of the pulse
	absent bool                  // nothing drives the data line
	low    bool                  // the data line is shorted
	fails  int                   // the data line fails once, at the pulse of this number; -1: before the first
	noPins bool

	ready  bool
	next   time.Time // when it has a value
	pulses int       // of this value
	gain   int       // that the value is measured with, as the number of pulses
	gains  []int     // of the values that were taken

	pull   sensors.Pull // of the data line
	high   bool
	since  time.Time // of high
	total  int       // pulses
	closed int
}

// hx711Board has the chip on two lines.
type hx711Board struct {
	*bench
	chip *hx711Chip
}

// Input implements sensors.Board.
func (b hx711Board) Input(pin string, c sensors.InputConfig) (sensors.Input, error) {
	b.chip.pull = c.Pull
	return b.bench.Input(pin, c)
}

func (c *hx711Chip) board() sensors.Board {
	b := &bench{outputs: map[string]sensors.Output{"GPIO6": hx711ClockPin{c}}}
	if !c.noPins {
		b.inputs = map[string]sensors.Input{"GPIO5": hx711DataPin{c}}
	}
	c.gain, c.next = 25, time.Now().Add(400*time.Millisecond)
	return hx711Board{b, c}
}

// update lets the time pass that has passed.
func (c *hx711Chip) update() {
	if time.Now().Before(c.next) {
		return
	}
	if c.pulses > 0 { // the value before was taken
		c.gain = c.pulses
		if len(c.values) > 1 {
			c.values = c.values[1:]
		}
	}
	c.ready, c.pulses, c.next = true, 0, time.Now().Add(100*time.Millisecond)
}

type hx711ClockPin struct{ *hx711Chip }

func (c hx711ClockPin) Set(high bool) error {
	switch {
	case high && !c.high:
		c.total++
		c.since = time.Now()
		time.Sleep(c.slow[c.total])
		if c.ready || c.pulses > 0 {
			c.pulses++
		}
		if c.pulses == 25 {
			c.ready = false
			c.gains = append(c.gains, c.gain)
		}
	case !high && c.high && time.Since(c.since) > 60*time.Microsecond: // it was off, and starts
		c.ready, c.gain, c.pulses, c.next = false, 25, 0, time.Now().Add(400*time.Millisecond)
	}
	c.high = high
	return nil
}

func (c hx711ClockPin) Close() error { c.closed++; return nil }

var errHX711Line = errors.New("line is gone")

type hx711DataPin struct{ *hx711Chip }

func (c hx711DataPin) Level() (bool, error) {
	if c.fails < 0 || c.fails > 0 && c.total == c.fails && c.high {
		return false, errHX711Line
	}
	switch {
	case c.low:
		return false, nil
	case c.absent:
		return c.pull == sensors.PullUp, nil
	}
	c.update()
	switch {
	case !c.ready:
		return true, nil
	case c.pulses == 0:
		return false, nil
	}
	return c.values[0]>>(24-c.pulses)&1 != 0, nil
}

func (c hx711DataPin) Next(ctx context.Context) (sensors.Edge, error) {
	return sensors.Edge{}, errors.ErrUnsupported
}

func (c hx711DataPin) Close() error { c.closed++; return nil }

// hx711Measure has the driver measure once.
func hx711Measure(t *testing.T, c *hx711Chip, written map[string]string) (got string, err error) {
	t.Helper()
	options := map[string]string{"clock": "GPIO6", "data": "GPIO5", "samples": "1"}
	for k, v := range written {
		options[k] = v
	}
	synctest.Test(t, func(t *testing.T) { got, err = measure(t, c.board(), "hx711", options) })
	if c.closed != 2 && !(c.noPins && c.closed == 1) {
		t.Errorf("%d of 2 lines closed", c.closed)
	}
	return got, err
}

func TestHX711(t *testing.T) {
	for name, c := range map[string]struct {
		values  []int32
		written map[string]string
		want    string
	}{
		"counts":        {[]int32{0, 8123456}, nil, "weight=8123456"},
		"below zero":    {[]int32{0, -1}, nil, "weight=-1"},
		"lowest":        {[]int32{0, hx711Lowest + 1}, nil, "weight=-8388607"},
		"zero":          {[]int32{0, 84210}, map[string]string{"zero": "84000"}, "weight=210"},
		"grams":         {[]int32{0, 126000}, map[string]string{"zero": "84000", "counts_per_gram": "420"}, "weight=100.0"},
		"upside down":   {[]int32{0, 42000}, map[string]string{"zero": "84000", "counts_per_gram": "-420"}, "weight=100.0"},
		"median":        {[]int32{0, 5, 8388607, 7, 3, 100}, map[string]string{"samples": "5"}, "weight=7"},
		"median of two": {[]int32{0, 6, 4}, map[string]string{"samples": "2"}, "weight=5"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := hx711Measure(t, &hx711Chip{values: c.values}, c.written); err != nil || got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// TestHX711Gain: the value before the first one sets the gain (table 3).
func TestHX711Gain(t *testing.T) {
	for gain, pulses := range map[string]int{"128": 25, "64": 27, "32": 26} {
		c := &hx711Chip{values: []int32{0, 1, 2, 3}}
		got, err := hx711Measure(t, c, map[string]string{"gain": gain, "samples": "3"})
		if err != nil || got != "weight=2" || !slices.Equal(c.gains, []int{25, pulses, pulses, pulses}) {
			t.Errorf("gain %s: %q, %v; gains %v", gain, got, err, c.gains)
		}
	}
}

func TestHX711Faults(t *testing.T) {
	slow := func(pulses ...int) map[int]time.Duration {
		m := map[int]time.Duration{}
		for _, p := range pulses {
			m[p] = 80 * time.Microsecond
		}
		return m
	}
	for name, c := range map[string]struct {
		chip *hx711Chip
		says string
	}{
		"not there":   {&hx711Chip{absent: true}, "not ready"},
		"held low":    {&hx711Chip{low: true}, "stays low"},
		"overdriven":  {&hx711Chip{values: []int32{0, hx711Highest}}, "overdriven (8388607)"},
		"underdriven": {&hx711Chip{values: []int32{0, hx711Lowest}}, "overdriven (-8388608)"},
		"no line":     {&hx711Chip{noPins: true}, sensors.ErrAbsent.Error()},
		"line fails":  {&hx711Chip{values: []int32{0, 5}, fails: 30}, errHX711Line.Error()},
		"fails early": {&hx711Chip{values: []int32{0, 5}, fails: -1}, errHX711Line.Error()},
		"busy":        {&hx711Chip{values: []int32{0, 5}, slow: slow(7, 35, 60, 85)}, "high for 80µs"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := hx711Measure(t, c.chip, nil)
			if err == nil {
				t.Fatalf("gives %q", got)
			}
			for _, want := range []string{c.says, "hx711", "GPIO5", "GPIO6"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

// TestHX711Busy: a value during which the chip switched itself off does not
// count, and the gain is set again before the next.
func TestHX711Busy(t *testing.T) {
	c := &hx711Chip{values: []int32{0, 1, 30, 5, 70, 90}, slow: map[int]time.Duration{10: 80 * time.Microsecond, 90: 80 * time.Microsecond}}
	got, err := hx711Measure(t, c, map[string]string{"gain": "64", "samples": "2"})
	// The gain is set, 1 is taken, the next is broken off; that again.
	if err != nil || got != "weight=3" || !slices.Equal(c.gains, []int{25, 27, 25, 27}) {
		t.Errorf("%q, %v; gains %v", got, err, c.gains)
	}
}

func TestHX711Interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := attach(t, (&hx711Chip{absent: true}).board(), "hx711", map[string]string{"clock": "GPIO6", "data": "GPIO5"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if got, err := take(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestHX711Options(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("hx711")
	for written, want := range map[string]string{
		"clock=GPIO6 data=GPIO6": "data", "clock=GPIO6": "data", "clock=GPIO6 data=GPIO5 counts_per_gram=0": "counts_per_gram",
		"clock=GPIO6 data=GPIO5 gain=100": "gain", "clock=GPIO6 data=GPIO5 samples=0": "samples",
	} {
		options := map[string]string{}
		for _, pair := range strings.Fields(written) {
			k, v, _ := strings.Cut(pair, "=")
			options[k] = v
		}
		if _, wrong := d.Parse(options); len(wrong) != 1 || wrong[0].Option != want {
			t.Errorf("%s: %v; want %s", written, wrong, want)
		}
	}
	for factor, want := range map[float64]int{1: 0, 22: 0, 420: 1, -420: 1, 2000: 2, 1e5: 3, 0.5: 0} {
		c := d.Channels(sensors.Options{"counts_per_gram": factor})[0]
		if c.Decimals != want || c.Unit != "Gram" {
			t.Errorf("%v: %+v", factor, c)
		}
	}
	if c := d.Channels(sensors.Options{})[0]; c.Unit != "Dimensionless" || c.Suffix != "weight" {
		t.Errorf("%+v", c)
	}
}

func FuzzHX711Median(f *testing.F) {
	f.Add(int32(1), int32(2), int32(-3))
	f.Add(int32(hx711Highest), int32(hx711Lowest), int32(0))
	f.Fuzz(func(t *testing.T, a, b, c int32) {
		for _, counts := range [][]int32{{a}, {a, b}, {a, b, c}} {
			if v, err := hx711Median(counts); err == nil && !(v > hx711Lowest && v < hx711Highest) {
				t.Errorf("%v: %v", counts, v)
			}
		}
	})
}
