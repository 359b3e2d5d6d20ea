package drivers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/devices/v3/hx711"

	"fieldgate/sensors"
)

// Avia Semiconductor HX711: 24-bit converter for load cells, on two GPIO lines.
//
// Datasheet: HX711 (English, no revision): "Serial Interface", figure 2 (timing),
// figure 3 (power-down), tables 2 (settling time) and 3 (gain by the number of
// pulses), "Output Data Rate and Format" (values at the ends of the range).
//
// The chip says by a low data line that it has a value, 10 or 80 times a second.
// Of periph's hx711 only the shifting of the bits is used. What is avoided of it:
//   - Its ReadTimeout waits for an edge, but the bits that were shifted out
//     before are edges too and may be waiting: then it reads at once what is no
//     value. Here the level is looked at.
//   - It pulls the data line down, so that a chip that is not there is always
//     ready and gives 0. Here the line is pulled up, and after a value it must
//     have gone high (25th pulse): so a line that is held low is found out.
//   - Its SetInputMode and Read do not wait until the chip is ready.
//   - The chip switches itself off if the clock line stays high for more than
//     60 µs, which happens to any program on a busy machine. It does not notice.
//     Here the time is taken, and a value during which it was too long does not
//     count; three in a row are an error.
//   - The errors of the data line get lost, and the values at the ends of the
//     range, where the converter is overdriven, are values like others.
//
// Before each measurement one value is taken and dropped: with it the gain is
// set, which the chip forgets when it loses its supply.
func init() {
	sensors.Register(sensors.Driver{
		Name: "hx711",
		Doc:  "Avia HX711: weight on a load cell, 24 bits, 10 or 80 values a second; two GPIO lines",
		Options: []sensors.Option{
			{Name: "clock", Doc: "line that is wired to PD_SCK", Kind: sensors.Pin, Required: true},
			{Name: "data", Doc: "line that is wired to DOUT", Kind: sensors.Pin, Required: true},
			{Name: "gain", Doc: "128 or 64 for channel A (±20 or ±40 mV), 32 for channel B (±80 mV)", Kind: sensors.Text, Default: "128", Choices: []string{"128", "64", "32"}},
			{Name: "samples", Doc: "samples that make one value: their median", Kind: sensors.Integer, Default: "5", Min: 1, Max: 25},
			{Name: "zero", Doc: "counts without a load", Kind: sensors.Decimal, Default: "0", Min: -1 << 23, Max: 1 << 23},
			{Name: "counts_per_gram", Doc: "counts that one gram adds, below 0 if the cell is upside down; if left out, counts are published", Kind: sensors.Decimal, Min: -1e6, Max: 1e6},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			var wrong []sensors.OptionError
			if f, ok := o["counts_per_gram"]; ok && math.Abs(f.(float64)) < 1e-6 {
				wrong = append(wrong, sensors.OptionError{Option: "counts_per_gram", Problem: "is 0", Remedy: "(counts with a load - zero) / grams of the load"})
			}
			if o.Text("clock") == o.Text("data") {
				wrong = append(wrong, sensors.OptionError{Option: "data", Problem: "is the clock's line", Remedy: "the line that is wired to DOUT"})
			}
			return wrong
		},
		Every:    30 * time.Second,
		Channels: hx711Channels,
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			return openHX711(env, o)
		},
	})
}

// hx711Channels is the weight in grams, or in counts if it is not known how many
// make a gram.
func hx711Channels(o sensors.Options) []sensors.Channel {
	c := sensors.Channel{Suffix: "weight", Kind: "WeightSensor", Quantity: "Weight", Unit: "Dimensionless"}
	if f := o.Decimal("counts_per_gram"); f != 0 {
		c.Unit, c.Decimals = "Gram", hx711Decimals(f)
	}
	return []sensors.Channel{c}
}

// Timing. A chip at 10 values a second settles within 400 ms (table 2).
const (
	hx711Ready  = time.Second           // longest wait for a value
	hx711Poll   = 2 * time.Millisecond  // between two looks at the data line
	hx711High   = 60 * time.Microsecond // of the clock line, before the chip switches off
	hx711Trials = 3
)

// The values at which the converter is at the end of its range.
const (
	hx711Lowest  = -1 << 23
	hx711Highest = 1<<23 - 1
)

var (
	errHX711NotReady = errors.New("not ready: the data line stays high; the chip has no supply, or is not wired to it")
	errHX711Low      = errors.New("the data line stays low after a value: it is shorted, or not the chip's")
)

// hx711Decimals gives the digits that make sense for grams: the noise of the
// chip is some ten counts.
func hx711Decimals(countsPerGram float64) int {
	return min(max(int(math.Floor(math.Log10(math.Abs(countsPerGram))))-1, 0), 3)
}

// hx711Sensor is an open HX711.
type hx711Sensor struct {
	attached
	data  *hx711Data
	clock *hx711Clock
	dev   *hx711.Dev
	mode  hx711.InputMode
	o     sensors.Options
}

// hx711Lines are the two lines of a chip.
type hx711Lines struct {
	clock sensors.Output
	data  sensors.Input
}

// Close implements io.Closer.
func (l hx711Lines) Close() error { return errors.Join(l.clock.Close(), l.data.Close()) }

func openHX711(env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
	l := label("hx711 at clock " + o.Text("clock") + ", data " + o.Text("data"))
	out, err := env.Board.Output(o.Text("clock"), false)
	if err != nil {
		return nil, l.wrap(err)
	}
	in, err := env.Board.Input(o.Text("data"), sensors.InputConfig{Pull: sensors.PullUp})
	if err != nil {
		_ = out.Close() // what went wrong first is what counts
		return nil, l.wrap(err)
	}
	h := &hx711Sensor{attached: attached{l, hx711Lines{out, in}}, o: o,
		clock: &hx711Clock{PinIO: gpio.INVALID, out: out, now: env.Now},
		data:  &hx711Data{PinIO: gpio.INVALID, in: in},
		mode:  map[string]hx711.InputMode{"128": hx711.CHANNEL_A_GAIN_128, "64": hx711.CHANNEL_A_GAIN_64, "32": hx711.CHANNEL_B_GAIN_32}[o.Text("gain")],
	}
	h.dev, err = hx711.New(h.clock, h.data)
	return h.sampler(err, h.measure)
}

// measure takes the median of some values.
func (h *hx711Sensor) measure(ctx context.Context) ([]sensors.Sample, error) {
	counts := make([]int32, h.o.Integer("samples"))
	primed := false
	for i := range counts {
		var err error
		for range hx711Trials {
			if counts[i], err = h.read(ctx, primed); err == nil || !errors.As(err, new(hx711TooLong)) {
				break
			}
			primed = false // the chip has begun anew
		}
		if err != nil {
			return nil, err
		}
		primed = true
	}
	v, err := hx711Median(counts)
	if err != nil {
		return nil, err
	}
	v -= h.o.Decimal("zero")
	if f := h.o.Decimal("counts_per_gram"); f != 0 {
		v /= f
	}
	return samplesOf(hx711Channels(h.o), v)
}

// read takes one value; if the gain is not known to be set, it takes another one
// before.
func (h *hx711Sensor) read(ctx context.Context, primed bool) (int32, error) {
	if !primed {
		if err := h.shift(ctx, func() error { return h.dev.SetInputMode(h.mode) }); err != nil {
			return 0, err
		}
	}
	var raw int32
	err := h.shift(ctx, func() error {
		s, err := h.dev.Read()
		raw = s.Raw
		return err
	})
	return raw, err
}

// shift waits until the chip is ready, has one value shifted out and checks that
// it can be one.
func (h *hx711Sensor) shift(ctx context.Context, out func() error) error {
	if err := h.wait(ctx); err != nil {
		return err
	}
	h.clock.longest, h.data.err = 0, nil
	if err := out(); err != nil {
		return err
	}
	if h.data.err != nil {
		return h.data.err
	}
	if h.clock.longest > hx711High {
		return hx711TooLong(h.clock.longest)
	}
	high, err := h.data.in.Level()
	if err == nil && !high {
		err = errHX711Low
	}
	return err
}

// wait returns when the data line is low.
func (h *hx711Sensor) wait(ctx context.Context) error {
	for range hx711Ready / hx711Poll {
		high, err := h.data.in.Level()
		if err != nil || !high {
			return err
		}
		if err := pause(ctx, hx711Poll); err != nil {
			return err
		}
	}
	return errHX711NotReady
}

// hx711Median is the median of counts, which it sorts. At an end of the range it
// is an error: the converter is overdriven.
func hx711Median(counts []int32) (float64, error) {
	slices.Sort(counts)
	a, b := counts[(len(counts)-1)/2], counts[len(counts)/2]
	for _, c := range []int32{a, b} {
		if c <= hx711Lowest || c >= hx711Highest {
			return 0, fmt.Errorf("the converter is overdriven (%d): too much load, or a wire of the cell is broken", c)
		}
	}
	return (float64(a) + float64(b)) / 2, nil
}

// hx711TooLong is the error about a clock line that was high for so long that
// the chip switched off, or may have.
type hx711TooLong time.Duration

func (d hx711TooLong) Error() string {
	return fmt.Sprintf("the clock line was high for %v, the chip switches off after %v: the machine is too busy", time.Duration(d), hx711High)
}

// hx711Clock is the clock line for periph. It takes the longest time that the
// line may have been high.
type hx711Clock struct {
	gpio.PinIO // what periph's hx711 does not need
	out        sensors.Output
	now        func() time.Time
	raised     time.Time // before the line went high
	longest    time.Duration
}

// Name implements pin.Pin.
func (c *hx711Clock) Name() string { return "clock" }

// Out implements gpio.PinOut.
func (c *hx711Clock) Out(l gpio.Level) error {
	if l == gpio.High {
		c.raised = c.now()
		return c.out.Set(true)
	}
	err := c.out.Set(false)
	if !c.raised.IsZero() {
		c.longest = max(c.longest, c.now().Sub(c.raised))
		c.raised = time.Time{}
	}
	return err
}

// hx711Data is the data line for periph. It keeps the first error.
type hx711Data struct {
	gpio.PinIO
	in  sensors.Input
	err error
}

// Name implements pin.Pin.
func (d *hx711Data) Name() string { return "data" }

// In implements gpio.PinIn. The line is taken already, as it has to be.
func (d *hx711Data) In(gpio.Pull, gpio.Edge) error { return nil }

// Read implements gpio.PinIn.
func (d *hx711Data) Read() gpio.Level {
	high, err := d.in.Level()
	if err != nil && d.err == nil {
		d.err = err
	}
	return gpio.Level(high)
}
