package sensors

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"fieldgate/gateway"
)

// OutputDriver makes actuators of one kind.
type OutputDriver struct {
	Name    string // as in the configuration; lower case
	Doc     string // one line
	Options []Option
	// Check finds mistakes that single options cannot show. May be nil.
	Check func(Options) []OptionError
	// Claims names what the output needs for itself beside its Pin options,
	// such as "pwm:0.1". May be nil.
	Claims func(Options) []string
	// Percent says that its levels are 0 to 100; otherwise it is on or off.
	Percent bool
	// Open takes the hardware and sets it to first at once, without showing
	// another level before. It may block.
	Open func(ctx context.Context, env Env, o Options, first Level) (Actuator, error)
}

// Actuator is an opened output. Its methods are called from one goroutine at a
// time.
type Actuator interface {
	// Set brings the output to l, 0 to 100. It must not read the hardware back.
	Set(l Level) error
	// Close lets go of the hardware, which keeps its level if it can.
	Close() error
}

// Level is how far an output is on, in percent: 0 is off, 100 on.
type Level float64

// The levels of a switch.
const (
	Off Level = 0
	On  Level = 100
)

// Value is l as it is published: true or false for a switch, else percent.
func (d *OutputDriver) Value(l Level) json.RawMessage {
	if !d.Percent {
		return json.RawMessage(strconv.FormatBool(l > 0))
	}
	raw, err := Number(float64(l), -1)
	if err != nil { // no Level that ParseLevel made
		return json.RawMessage("null")
	}
	return raw
}

// ParseLevel reads a command: true, false, 1, 0, or one of the words on, off,
// true, false, 1, 0 in any case; for a driver with Percent also a number from 0
// to 100, and then 1 is one percent. The error wraps
// gateway.ErrBadCommand.
func (d *OutputDriver) ParseLevel(value json.RawMessage) (Level, error) {
	text := strings.TrimSpace(string(value))
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(value, &text); err != nil {
			return 0, fmt.Errorf("sensors: %s: %w: %w", d.Name, gateway.ErrBadCommand, err)
		}
	}
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "on":
		return On, nil
	case "false", "off":
		return Off, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err == nil && d.Percent && f >= 0 && f <= 100:
		return Level(f), nil
	case err == nil && !d.Percent && f == 0:
		return Off, nil
	case err == nil && !d.Percent && f == 1:
		return On, nil
	}
	if d.Percent {
		return 0, fmt.Errorf("sensors: %s: %.40s is %w: a number from 0 to 100, on or off", d.Name, value, gateway.ErrBadCommand)
	}
	return 0, fmt.Errorf("sensors: %s: %.40s is %w: true or false, 1 or 0, on or off", d.Name, value, gateway.ErrBadCommand)
}

// RegisterOutput adds an output driver to those of the program; to be called
// from init.
func RegisterOutput(d OutputDriver) { builtin.RegisterOutput(d) }

// RegisterOutput adds an output driver. It panics like Register.
func (r *Registry) RegisterOutput(d OutputDriver) {
	if d.Name == "" || d.Open == nil {
		panic("sensors: output driver " + d.Name + " is incomplete")
	}
	if _, taken := r.outputs[d.Name]; taken {
		panic("sensors: output driver " + d.Name + " is there twice")
	}
	checkOptions(d.Name, d.Options)
	if r.outputs == nil {
		r.outputs = make(map[string]*OutputDriver)
	}
	r.outputs[d.Name] = &d
}

// LookupOutput finds an output driver.
func (r *Registry) LookupOutput(name string) (*OutputDriver, bool) {
	d, ok := r.outputs[name]
	return d, ok
}

// OutputNames lists the output drivers in the order of the alphabet.
func (r *Registry) OutputNames() []string { return slices.Sorted(maps.Keys(r.outputs)) }
