package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fieldgate/gateway/access"
)

// Device is a thing with sensors and actuators: a Waziup device and, with the
// same content, a Xively feed. Devices in the registry are never changed in
// place: a change replaces the whole device.
type Device struct {
	ID        string          `json:"id"`
	Name      string          `json:"name,omitempty"`
	Feed      uint64          `json:"feed,omitempty"` // number as a Xively feed
	Grants    access.Grants   `json:"grants"`
	Sensors   []Sensor        `json:"sensors,omitempty"`
	Actuators []Actuator      `json:"actuators,omitempty"`
	Meta      json.RawMessage `json:"meta,omitempty"` // a JSON object
	Created   time.Time       `json:"created,omitzero"`
	Modified  time.Time       `json:"modified,omitzero"`
	Declared  bool            `json:"-"` // in the configuration file
}

// Sensor is one measured quantity of a device, a Xively datastream.
type Sensor struct {
	ID       string          `json:"id"`
	Name     string          `json:"name,omitempty"`
	Kind     string          `json:"kind,omitempty"`     // Waziup sensor kind, such as Thermometer
	Quantity string          `json:"quantity,omitempty"` // Waziup quantity kind, such as AirTemperature
	Unit     string          `json:"unit,omitempty"`     // Waziup unit, such as DegreeCelsius
	Meta     json.RawMessage `json:"meta,omitempty"`     // a JSON object
}

// Actuator is something on a device that can be set.
type Actuator struct {
	ID   string          `json:"id"`
	Name string          `json:"name,omitempty"`
	Meta json.RawMessage `json:"meta,omitempty"` // a JSON object
}

// Sensor finds a sensor by id.
func (d *Device) Sensor(id string) (*Sensor, bool) {
	for i := range d.Sensors {
		if d.Sensors[i].ID == id {
			return &d.Sensors[i], true
		}
	}
	return nil, false
}

// Actuator finds an actuator by id.
func (d *Device) Actuator(id string) (*Actuator, bool) {
	for i := range d.Actuators {
		if d.Actuators[i].ID == id {
			return &d.Actuators[i], true
		}
	}
	return nil, false
}

// clone copies what a change may touch.
func (d *Device) clone() *Device {
	c := *d
	c.Sensors = slices.Clone(d.Sensors)
	c.Actuators = slices.Clone(d.Actuators)
	c.Grants.Share = slices.Clone(d.Grants.Share)
	return &c
}

// MaxID is the longest id of a device, sensor or actuator, in bytes.
const MaxID = 64

// ErrBadID is returned for ids that cannot be a level of an MQTT topic.
var ErrBadID = errors.New("bad id")

// CheckID says why id cannot name a device, a sensor or an actuator: it must
// be 1 to MaxID bytes of UTF-8 without '/', '+', '#' and control characters.
func CheckID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: empty", ErrBadID)
	case len(id) > MaxID:
		return fmt.Errorf("%w: longer than %d bytes", ErrBadID, MaxID)
	case plainID(id):
		return nil
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: not UTF-8", ErrBadID)
	case strings.ContainsAny(id, "/+#"):
		return fmt.Errorf("%w: '/', '+' and '#' have a meaning in topics", ErrBadID)
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("%w: control character", ErrBadID)
	}
	return nil
}

// plainID says that all of id is ASCII that may be in an id.
func plainID(id string) bool {
	for i := 0; i < len(id); i++ {
		if c := id[i]; c < ' ' || c > '~' || c == '/' || c == '+' || c == '#' {
			return false
		}
	}
	return true
}
