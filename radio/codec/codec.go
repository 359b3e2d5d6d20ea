// Package codec turns the payloads of LoRa devices into values and commands
// into payloads. A codec is one file that registers itself; js has those that
// users write.
package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Uplink is what a device sent, decrypted.
type Uplink struct {
	Bytes    []byte
	FPort    uint8     // 0 for frames that have none
	Received time.Time // zero while the clock is unset
	// Variables are those of the device in the configuration.
	Variables map[string]string
}

// Value is one value of an uplink.
type Value struct {
	// Name is what the value is called, such as "temperature_1": the id of the
	// sensor, unless the device's profile gives it another.
	Name  string
	Value json.RawMessage // one JSON value
	// Actuator says that it is the state of an actuator of that name.
	Actuator bool
	// Kind, Quantity and Unit are words of Waziup's vocabulary, such as
	// "Thermometer", "AirTemperature", "DegreeCelsius"; "" where the codec cannot
	// know.
	Kind, Quantity, Unit string
	// Age is how long before the uplink it was measured.
	Age time.Duration
}

// Decoded is what an uplink said.
type Decoded struct {
	Values   []Value
	Warnings []string // of a codec's script
}

// Command is what an actuator, or several of a device, are to do.
type Command struct {
	Values    map[string]json.RawMessage // by the actuators' names; each one JSON value
	Variables map[string]string
}

// Encoded is the payload of a command.
type Encoded struct {
	Bytes []byte
	FPort uint8 // 0: the codec has no opinion
}

// Codec decodes and encodes. Its methods may be called from any goroutine.
type Codec interface {
	// Decode gives the values of an uplink. Of a damaged one it gives those in
	// front of the damage, with an error that wraps ErrPayload.
	Decode(ctx context.Context, u *Uplink) (Decoded, error)
	// Encode gives the payload of a command. The error wraps ErrCommand and says
	// what would be right.
	Encode(ctx context.Context, c *Command) (Encoded, error)
}

// Errors of codecs.
var (
	ErrPayload = errors.New("bad payload")
	ErrCommand = errors.New("bad command")
	// ErrUnknown: no codec of that name.
	ErrUnknown = errors.New("no such codec")
)

// Bounds that codecs keep.
const (
	MaxValues = 256       // in one uplink
	MaxResult = 64 * 1024 // bytes of all values of one uplink
)

var builtin = map[string]func() Codec{}

// Register adds a codec. Each file of this package does so for its own from
// init; a name that is taken panics.
func Register(name string, open func() Codec) {
	if _, taken := builtin[name]; taken {
		panic("codec: " + name + " is registered twice")
	}
	builtin[name] = open
}

// Names lists the registered codecs, sorted.
func Names() []string { return slices.Sorted(maps.Keys(builtin)) }

// Open gives the codec of that name.
func Open(name string) (Codec, error) {
	open, ok := builtin[name]
	if !ok {
		return nil, fmt.Errorf("codec: %w: %.40q", ErrUnknown, name)
	}
	return open(), nil
}
