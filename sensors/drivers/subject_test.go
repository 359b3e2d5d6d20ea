package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

// subject is a driver with options, on a bus.
type subject struct {
	t    *testing.T
	d    *sensors.Driver
	o    sensors.Options
	bus  string
	says []string // what each error has to say
	// limit is how long Open and Sample may take: the poller's, unless a test has
	// the context end earlier.
	limit time.Duration
}

// subjects gives a driver with options on each kind of bus that it knows.
func subjects(t *testing.T, d *sensors.Driver, written map[string]string) []*subject {
	t.Helper()
	o, wrong := d.Parse(written)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	var out []*subject
	for _, kind := range []sensors.BusKind{sensors.I2C, sensors.SPI, sensors.OneWire} {
		if d.Bus&kind != 0 {
			out = append(out, newSubject(t, d, o, kind.Default()))
		}
	}
	if d.Bus == 0 {
		out = append(out, newSubject(t, d, o, ""))
	}
	return out
}

func newSubject(t *testing.T, d *sensors.Driver, o sensors.Options, bus string) *subject {
	s := &subject{t: t, d: d, o: o, bus: bus, says: []string{d.Name}, limit: sensors.Timeout}
	if bus != "" {
		s.says = append(s.says, bus)
	}
	if a, ok := s.address(); ok {
		s.says = append(s.says, fmt.Sprintf("address 0x%x", a))
	}
	return s
}

// address is the one on I2C, if it is attached there.
func (s *subject) address() (uint16, bool) {
	if !strings.HasPrefix(s.bus, "i2c:") {
		return 0, false
	}
	for _, name := range []string{"address", "bridge"} {
		if a, ok := s.o[name].(int64); ok {
			return uint16(a), true
		}
	}
	return 0, false
}

// pins are the lines that it takes.
func (s *subject) pins() (out []string) {
	for _, o := range s.d.Options {
		if p := s.o.Text(o.Name); o.Kind == sensors.Pin && p != "" {
			out = append(out, p)
		}
	}
	return out
}

// errorf reports a fault of the driver.
func (s *subject) errorf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("on %s with %v: %s", s.bus, s.o, fmt.Sprintf(format, args...))
}

// use opens the sensor, takes some samples, watches it if it can be watched, and
// closes it. It gives the samples and the first error, which it has looked at.
func (s *subject) use(b sensors.Board) (all []sensors.Sample, first error) {
	s.t.Helper()
	env := sensors.Env{Bus: s.bus, Device: "D", Sensor: "S", Now: time.Now, Board: b,
		Last: func(string) (json.RawMessage, bool) { return json.RawMessage(`"was a text"`), true }}
	failed := func(what string, err error) {
		s.t.Helper()
		s.named(what, err)
		if first == nil {
			first = err
		}
	}
	var sampler sensors.Sampler
	s.soon("Open", func(ctx context.Context) (err error) {
		if sampler, err = s.d.Open(ctx, env, s.o); err != nil {
			failed("Open", err)
		}
		return err
	})
	switch {
	case first != nil && sampler != nil:
		s.errorf("Open gives a sampler with the error %v", first)
	case first == nil && sampler == nil:
		s.errorf("Open gives neither a sampler nor an error")
	}
	if first != nil || sampler == nil {
		return nil, first
	}
	var mu sync.Mutex
	keep := func(samples []sensors.Sample) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, samples...)
	}
	stop := s.watch(sampler, keep, failed)
	for range 3 {
		s.soon("Sample", func(ctx context.Context) error {
			samples, err := sampler.Sample(ctx)
			if err != nil {
				failed("Sample", err)
				if len(samples) > 0 {
					s.errorf("Sample gives %v with the error %v", samples, err)
				}
			}
			keep(samples)
			return err
		})
		time.Sleep(700 * time.Millisecond)
	}
	stop()
	if err := sampler.Close(); err != nil {
		failed("Close", err)
	}
	s.plausible(all)
	return all, first
}

// watch runs Watch beside what follows, if there is one. Stop ends it.
func (s *subject) watch(sampler sensors.Sampler, keep func([]sensors.Sample), failed func(string, error)) (stop func()) {
	w, ok := sampler.(sensors.Watcher)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Watch(ctx, keep) }()
	return func() {
		cancel()
		began := time.Now()
		if err := <-ended; err == nil {
			s.errorf("Watch ends without an error")
		} else if !errors.Is(err, context.Canceled) {
			failed("Watch", err)
		}
		if d := time.Since(began); d > time.Second {
			s.errorf("Watch goes on for %v after its context ended", d)
		}
	}
}

// soon calls f with a context as the poller does, and checks that it comes back.
func (s *subject) soon(what string, f func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	began := time.Now()
	err := f(ctx)
	if d := time.Since(began); d > s.limit+sensors.Grace {
		s.errorf("%s takes %v and ends with %v", what, d, err)
	}
}

// named checks that an error says what it is about.
func (s *subject) named(what string, err error) {
	s.t.Helper()
	for _, w := range s.says {
		if !strings.Contains(err.Error(), w) {
			s.errorf("%s: the error does not say %q: %v", what, w, err)
		}
	}
	if pins := s.pins(); len(pins) > 0 && !slices.ContainsFunc(pins, func(p string) bool { return strings.Contains(err.Error(), p) }) {
		s.errorf("%s: the error names none of %v: %v", what, pins, err)
	}
	if strings.Count(err.Error(), "sensors: ") != 1 && !strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "%!") {
		s.errorf("%s: the error is of a wrong form: %v", what, err)
	}
}

// provoke uses the sensor on a hostile board.
func (s *subject) provoke(h *hostile) ([]sensors.Sample, error) {
	s.t.Helper()
	h.addr, _ = s.address()
	samples, err := s.use(h)
	if h.open != 0 {
		s.errorf("%d of %d buses and lines stay open; the error was %v", h.open, h.opened, err)
	}
	for _, m := range h.mischief {
		s.errorf("%s", m)
	}
	return samples, err
}

// limits are the values that can be, by the unit, for every chip.
var limits = map[string][2]float64{
	"DegreeCelsius":   {-60, 160},
	"Percent":         {0, 100},
	"Millibar":        {300, 1250},
	"PartsPerMillion": {1, 60000},
	"PartsPerBillion": {0, 60000},
	"Lux":             {0, 130000},
	"Millimetre":      {0, 4000},
	"Volt":            {-32, 32},
}

var docRange = regexp.MustCompile(`([A-Za-z0-9]+) (-?[0-9.]+) to (-?[0-9.]+) (°C|%|hPa|ppm|ppb|lx|mm|V)`)

// plausible checks samples: their suffixes are those of the channels, and their
// values are numbers within what unit, options and the driver's own Doc allow.
func (s *subject) plausible(samples []sensors.Sample) {
	s.t.Helper()
	channels := s.d.Channels(s.o)
	for _, x := range samples {
		i := slices.IndexFunc(channels, func(c sensors.Channel) bool { return c.Suffix == x.Suffix })
		if i < 0 {
			s.errorf("%q is none of its channels", x.Suffix)
			continue
		}
		c := channels[i]
		if err := gateway.CheckValue(x.Value); err != nil {
			s.errorf("%s is %s: %v", c.Suffix, x.Value, err)
		}
		if c.Fixed && (string(x.Value) == "true" || string(x.Value) == "false") {
			continue
		}
		v, err := strconv.ParseFloat(string(x.Value), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			s.errorf("%s is %s, no number", c.Suffix, x.Value)
			continue
		}
		if _, digits, _ := strings.Cut(string(x.Value), "."); len(digits) > c.Decimals {
			s.errorf("%s is %s, with more than its %d decimals", c.Suffix, x.Value, c.Decimals)
		}
		for _, r := range s.ranges(c) {
			if v < r[0] || v > r[1] {
				s.errorf("%s is %s %s, which is not within %v", c.Suffix, x.Value, c.Unit, r)
			}
		}
	}
}

// ranges are those that a channel must be in.
func (s *subject) ranges(c sensors.Channel) (out [][2]float64) {
	if r, ok := limits[c.Unit]; ok {
		out = append(out, r)
	}
	for _, m := range docRange.FindAllStringSubmatch(s.d.Doc, -1) {
		if strings.EqualFold(m[1], c.Suffix) {
			low, _ := strconv.ParseFloat(m[2], 64)
			high, _ := strconv.ParseFloat(m[3], 64)
			out = append(out, [2]float64{low, high})
		}
	}
	if full, err := strconv.ParseFloat(s.o.Text("range"), 64); err == nil && c.Unit == "Volt" {
		out = append(out, [2]float64{-full, full})
	}
	if v := s.o.Decimal("vref"); v > 0 && c.Unit == "Volt" {
		out = append(out, [2]float64{0, v})
	}
	if a := s.o.Decimal("max_current"); a > 0 && c.Unit == "Ampere" {
		out = append(out, [2]float64{-a * 1.02, a * 1.02})
	}
	return out
}
