package sensors

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// Driver makes samplers for one kind of sensor.
type Driver struct {
	Name string // as in the configuration; lower case
	Doc  string // one line: maker and chip, by which bus, its range and accuracy
	// Bus is the set of kinds of buses it can be attached by; 0: none. The
	// configuration names one with `bus`.
	Bus     BusKind
	Options []Option
	// Check finds mistakes that single options cannot show, such as a lower
	// limit above the upper one. May be nil.
	Check func(Options) []OptionError
	// Part names the part of the chip that an item with these options reads,
	// such as an input of a converter: items of one Family whose parts differ may
	// share an address. Nil: the chip is one item's alone.
	Part func(Options) string
	// Family is the chip that drivers with Part share; Name if left out.
	Family string
	// Events says that its samplers are Watchers: they are opened at once, and not
	// when their turn comes in the spread of first readings.
	Events bool
	// Every is the interval that is usual; 0: DefaultEvery.
	Every time.Duration
	// Channels lists what a sampler with these options gives. It must not
	// touch hardware.
	Channels func(Options) []Channel
	// Open readies the sensor. It is called again after each failure, so that
	// a sensor that was unplugged gets its settings back. It may block.
	Open func(ctx context.Context, env Env, o Options) (Sampler, error)
}

// Channel is one quantity that a driver measures.
type Channel struct {
	Suffix   string // "" for the only or the main quantity; else such as "humidity"
	Kind     string // Waziup sensor kind, such as Thermometer; "" if unknown
	Quantity string // Waziup quantity kind, such as AirTemperature; "" if unknown
	Unit     string // Waziup unit, such as DegreeCelsius; "" if unknown
	// Decimals is how many digits after the point make sense after calibration,
	// 0 to 15.
	Decimals int
	// Fixed says that scale, offset and points do not apply: it is a count that
	// goes on from where it was, or no number.
	Fixed bool
}

// Env is what a driver gets from outside.
type Env struct {
	Bus    string           // by its name from ParseBus; "" for drivers without one
	Device string           // the device the readings belong to
	Sensor string           // id of the sensor, without a channel's suffix
	Now    func() time.Time // wall clock, with Go's monotonic reading
	Board  Board            // never nil
	// Last gives the value that was recorded last for a channel, also before
	// this run of the gateway; for a Fixed one that was measured in this run, the
	// newest, published or not. Ok is false if there is none.
	Last func(suffix string) (value json.RawMessage, ok bool)
}

// Sampler is an opened sensor. Its methods are called from one goroutine at a
// time.
type Sampler interface {
	// Sample measures once. It may give no sample (nothing new) and several of
	// one channel, oldest first. It should return soon after ctx ends; a bus
	// that cannot be interrupted may block longer. A value that the chip did
	// not measure is an error, never a number.
	Sample(ctx context.Context) ([]Sample, error)
	// Close lets go of the hardware.
	Close() error
}

// Watcher is a Sampler that has news by itself, such as edges of a line.
type Watcher interface {
	Sampler
	// Watch calls emit with what happened, soon after it did, until ctx ends or
	// the hardware fails; then it returns the reason. It runs beside Sample, which
	// goes on being called at the sensor's interval and once more before the
	// gateway stops. Close is called after it has returned.
	Watch(ctx context.Context, emit func([]Sample)) error
}

// Sample is one measured value.
type Sample struct {
	Suffix string          // of its channel
	Value  json.RawMessage // one JSON value; see Measured
}

// Measured is a sample with the given number of decimals (0 to 15). NaN and
// infinities are errors: no sensor may send them on.
func Measured(suffix string, v float64, decimals int) (Sample, error) {
	raw, err := Number(v, max(decimals, 0))
	return Sample{Suffix: suffix, Value: raw}, err
}

// Number writes v with the given number of decimals (0 to 15), or as many as
// it needs if decimals is negative. NaN and infinities are errors.
func Number(v float64, decimals int) (json.RawMessage, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, fmt.Errorf("sensors: the value is %v", v)
	}
	b := strconv.AppendFloat(nil, v, 'f', min(decimals, 15), 64)
	if f, err := strconv.ParseFloat(string(b), 64); err == nil && f == 0 && b[0] == '-' {
		b = b[1:] // -0.0
	}
	return b, nil
}

// Registry is a set of drivers by name: those of sensors and those of outputs.
type Registry struct {
	drivers map[string]*Driver
	outputs map[string]*OutputDriver
}

// Register adds a driver. It panics if the name is taken or the declaration is
// wrong, which is a mistake in the program.
func (r *Registry) Register(d Driver) {
	if d.Name == "" || d.Channels == nil || d.Open == nil {
		panic("sensors: driver " + d.Name + " is incomplete")
	}
	if _, taken := r.drivers[d.Name]; taken {
		panic("sensors: driver " + d.Name + " is there twice")
	}
	checkOptions(d.Name, d.Options)
	if d.Bus&I2C != 0 && !slices.ContainsFunc(d.Options, func(o Option) bool { return o.Name == "address" || o.Name == "bridge" }) {
		panic("sensors: driver " + d.Name + " has no address on its bus")
	}
	if r.drivers == nil {
		r.drivers = make(map[string]*Driver)
	}
	r.drivers[d.Name] = &d
}

func checkOptions(driver string, options []Option) {
	for _, o := range options {
		if o.Default == "" {
			continue
		}
		if _, err := o.parse(o.Default); err != nil {
			panic(fmt.Sprintf("sensors: driver %s: default of %s: %v", driver, o.Name, err))
		}
	}
}

// Lookup finds a driver.
func (r *Registry) Lookup(name string) (*Driver, bool) {
	d, ok := r.drivers[name]
	return d, ok
}

// Names lists the drivers in the order of the alphabet.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.drivers)) }

// builtin is filled by the init functions of the drivers' files and read-only
// from then on.
var builtin Registry

// Register adds a driver to those of the program; to be called from init.
func Register(d Driver) { builtin.Register(d) }

// Builtin are the drivers of the program. Do not add to it.
func Builtin() *Registry { return &builtin }
