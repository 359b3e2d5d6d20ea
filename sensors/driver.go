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
	Doc  string // one line: what it is, by which bus, its range
	// Bus says that the sensor hangs on a bus that others may share: the
	// configuration may then name it with `bus`.
	Bus     bool
	Options []Option
	// Check finds mistakes that single options cannot show, such as a lower
	// limit above the upper one. May be nil.
	Check func(Options) []OptionError
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
	Quantity string // Waziup quantity kind, such as AirTemperature; "" if unknown
	Unit     string // Waziup unit, such as DegreeCelsius; "" if unknown
}

// Env is what a driver gets from outside.
type Env struct {
	Bus    string           // as configured; "" is the driver's own choice
	Device string           // the device the readings belong to
	Sensor string           // id of the sensor, without a channel's suffix
	Now    func() time.Time // wall clock, with Go's monotonic reading
}

// Sampler is an opened sensor. Its methods are called from one goroutine at a
// time.
type Sampler interface {
	// Sample measures once. It may give no sample (nothing new) and several of
	// one channel, oldest first. It should return soon after ctx ends; a bus
	// that cannot be interrupted may block longer.
	Sample(ctx context.Context) ([]Sample, error)
	// Close lets go of the hardware.
	Close() error
}

// Sample is one measured value.
type Sample struct {
	Suffix string          // of its channel
	Value  json.RawMessage // one JSON value; see Number
}

// Number writes v with the given number of decimals (0 to 15), or as many as
// it needs if decimals is negative. NaN and infinities are errors: no sensor
// may send them on.
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

// Registry is a set of drivers by name.
type Registry struct{ drivers map[string]*Driver }

// Register adds a driver. It panics if the name is taken or the declaration is
// wrong, which is a mistake in the program.
func (r *Registry) Register(d Driver) {
	if d.Name == "" || d.Channels == nil || d.Open == nil {
		panic("sensors: driver " + d.Name + " is incomplete")
	}
	if _, taken := r.drivers[d.Name]; taken {
		panic("sensors: driver " + d.Name + " is there twice")
	}
	for _, o := range d.Options {
		if o.Default == "" {
			continue
		}
		if _, err := o.parse(o.Default); err != nil {
			panic(fmt.Sprintf("sensors: driver %s: default of %s: %v", d.Name, o.Name, err))
		}
	}
	if r.drivers == nil {
		r.drivers = make(map[string]*Driver)
	}
	r.drivers[d.Name] = &d
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
