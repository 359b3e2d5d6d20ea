package drivers

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/onewire/onewiretest"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/conn/v3/spi/spitest"

	"fieldgate/sensors"
)

// bench is a sensors.Board whose buses answer as a test recorded it.
type bench struct {
	i2c     []i2ctest.IO
	spi     []conntest.IO // only W and R count
	oneWire *onewiretest.Playback
	inputs  map[string]sensors.Input
	outputs map[string]sensors.Output
	root    string

	opened *i2ctest.Playback // the last one
	open   int               // buses that are open now
}

// errNAK is what a bus says of an address where nobody answers.
var errNAK = errors.New("remote I/O error")

// nakBus has nobody on it.
type nakBus struct{ i2c.Bus }

func (nakBus) Tx(uint16, []byte, []byte) error { return errNAK }
func (nakBus) Close() error                    { return nil }

// nakBench is a board with empty buses.
type nakBench struct{ *bench }

func (nakBench) I2C(string) (i2c.BusCloser, error) { return nakBus{}, nil }

type closing struct {
	i2c.BusCloser
	b *bench
}

func (c closing) Close() error { c.b.open--; return nil }

func (b *bench) I2C(string) (i2c.BusCloser, error) {
	b.opened = &i2ctest.Playback{Ops: b.i2c, DontPanic: true}
	b.open++
	return closing{b.opened, b}, nil
}

func (b *bench) SPI(string) (spi.PortCloser, error) {
	p := &spitest.Playback{}
	p.Ops, p.DontPanic = b.spi, true
	return p, nil
}

func (b *bench) OneWire(string) (onewire.BusCloser, error) {
	if b.oneWire == nil {
		return nil, sensors.ErrAbsent
	}
	return b.oneWire, nil
}

func (b *bench) Input(pin string, _ sensors.InputConfig) (sensors.Input, error) {
	if in, ok := b.inputs[pin]; ok {
		return in, nil
	}
	return nil, sensors.ErrAbsent
}

func (b *bench) Output(pin string, high bool) (sensors.Output, error) {
	if out, ok := b.outputs[pin]; ok {
		return out, out.Set(high)
	}
	return nil, sensors.ErrAbsent
}

func (b *bench) Root() string { return b.root }

// attach opens a driver of the program with options as written in the
// configuration. `bus` may be among them.
func attach(t *testing.T, b sensors.Board, driver string, written map[string]string) (sensors.Sampler, error) {
	t.Helper()
	d, ok := sensors.Builtin().Lookup(driver)
	if !ok {
		t.Fatalf("there is no driver %s", driver)
	}
	env := sensors.Env{Device: "D", Sensor: "S", Now: time.Now, Board: b, Bus: usualBus(d),
		Last: func(string) (json.RawMessage, bool) { return nil, false }}
	options := map[string]string{}
	for k, v := range written {
		if k == "bus" {
			env.Bus = v
			continue
		}
		options[k] = v
	}
	o, wrong := d.Parse(options)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	return d.Open(t.Context(), env, o)
}

// measure opens a driver, takes one sample and closes it. What it gives is
// "suffix=value suffix=value", and the first error.
func measure(t *testing.T, b sensors.Board, driver string, written map[string]string) (string, error) {
	t.Helper()
	s, err := attach(t, b, driver, written)
	if err != nil {
		return "", err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	return take(t.Context(), s)
}

// take takes one sample of an open sensor.
func take(ctx context.Context, s sensors.Sampler) (string, error) {
	samples, err := s.Sample(ctx)
	if err != nil && len(samples) > 0 {
		return "", errors.Join(err, errors.New("samples came with an error"))
	}
	var out []string
	for _, x := range samples {
		out = append(out, x.Suffix+"="+string(x.Value))
	}
	return strings.Join(out, " "), err
}

// recorded has a driver on I2C measure against recorded traffic and checks the
// result, and that all of the traffic took place and the bus was closed; then
// against the same traffic with each possible harm.
func recorded(t *testing.T, driver string, written map[string]string, ops []i2ctest.IO, want string) {
	t.Helper()
	b := &bench{i2c: ops}
	got, err := measure(t, b, driver, written)
	if err != nil || got != want {
		t.Errorf("%s: %q, %v; want %q", driver, got, err, want)
	}
	if b.opened.Count != len(ops) {
		t.Errorf("%s: %d of %d transactions", driver, b.opened.Count, len(ops))
	}
	if b.open != 0 {
		t.Errorf("%s: the bus is not closed", driver)
	}
	t.Cleanup(func() { // after the test has looked at the clock
		if !t.Failed() {
			harmed(t, driver, written, want, func() sensors.Board { return &bench{i2c: ops} })
		}
	})
}

// refused has a driver on I2C measure against traffic with a fault, and checks
// that it is an error that names the chip, its bus, its address and what is
// wrong, and that the bus was closed.
func refused(t *testing.T, driver string, written map[string]string, ops []i2ctest.IO, want ...string) {
	t.Helper()
	b := &bench{i2c: ops}
	got, err := measure(t, b, driver, written)
	namesChip(t, driver, got, err, want...)
	if b.open != 0 {
		t.Errorf("%s: the bus is not closed", driver)
	}
}

// unanswered checks that a driver on I2C reports a chip that is not there.
func unanswered(t *testing.T, driver string, written map[string]string) {
	t.Helper()
	got, err := measure(t, nakBench{&bench{}}, driver, written)
	namesChip(t, driver, got, err, errNAK.Error())
}

func namesChip(t *testing.T, driver, got string, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: gives %q, no error", driver, got)
		return
	}
	for _, w := range append(want, driver, "i2c:1", "address 0x") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: the error does not say %q: %v", driver, w, err)
		}
	}
}

// usualBus is I2C for what can be on it: the recordings are of I2C, unless they
// say otherwise.
func usualBus(d *sensors.Driver) string {
	if d.Bus&sensors.I2C != 0 {
		return sensors.I2C.Default()
	}
	return d.Bus.Default()
}
