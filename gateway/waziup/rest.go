package waziup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"fieldgate/gateway"
)

// Current tells the last value of a sensor (gateway.KindSensor) or an actuator
// (gateway.KindActuator) of the device being written, and its time.
type Current func(kind gateway.Kind, channel string) (value json.RawMessage, at time.Time, ok bool)

// RestDevice is a device as the edge's REST answers it. A Waziup edge knows no
// visibility; it is added. Created and Modified are nil (null) for a device that
// the configuration declares and nobody has changed.
type RestDevice struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Sensors    []RestSensor    `json:"sensors"`
	Actuators  []RestActuator  `json:"actuators"`
	Created    *time.Time      `json:"created"`
	Modified   *time.Time      `json:"modified"`
	Visibility string          `json:"visibility"`
	Meta       json.RawMessage `json:"meta"`
}

// RestSensor is a sensor as the edge's REST answers it. Time and Value are nil
// (null) before the first value. Created and Modified are the device's: the
// gateway keeps none for a sensor.
type RestSensor struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Kind     string          `json:"kind"`
	Quantity string          `json:"quantity"`
	Unit     string          `json:"unit"`
	Time     *time.Time      `json:"time"`
	Value    json.RawMessage `json:"value"`
	Created  *time.Time      `json:"created"`
	Modified *time.Time      `json:"modified"`
	Meta     json.RawMessage `json:"meta"`
}

// RestActuator is an actuator as the edge's REST answers it, see RestSensor.
type RestActuator struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Time     *time.Time      `json:"time"`
	Value    json.RawMessage `json:"value"`
	Created  *time.Time      `json:"created"`
	Modified *time.Time      `json:"modified"`
	Meta     json.RawMessage `json:"meta"`
}

// NewRestDevice puts d with its current values (if current is not nil) into the
// edge's form.
func NewRestDevice(d *gateway.Device, current Current) RestDevice {
	out := RestDevice{
		ID: d.ID, Name: d.Name, Created: orNil(d.Created), Modified: orNil(d.Modified),
		Visibility: visibility(d), Meta: metaOf(d.Meta),
		Sensors: make([]RestSensor, 0, len(d.Sensors)), Actuators: make([]RestActuator, 0, len(d.Actuators)),
	}
	for i := range d.Sensors {
		out.Sensors = append(out.Sensors, NewRestSensor(d, &d.Sensors[i], current))
	}
	for i := range d.Actuators {
		out.Actuators = append(out.Actuators, NewRestActuator(d, &d.Actuators[i], current))
	}
	return out
}

// NewRestSensor puts a sensor of d into the edge's form.
func NewRestSensor(d *gateway.Device, s *gateway.Sensor, current Current) RestSensor {
	out := RestSensor{
		ID: s.ID, Name: s.Name, Kind: s.Kind, Quantity: s.Quantity, Unit: s.Unit,
		Created: orNil(d.Created), Modified: orNil(d.Modified), Meta: metaOf(s.Meta),
	}
	out.Value, out.Time = last(current, gateway.KindSensor, s.ID)
	return out
}

// NewRestActuator puts an actuator of d into the edge's form.
func NewRestActuator(d *gateway.Device, a *gateway.Actuator, current Current) RestActuator {
	out := RestActuator{ID: a.ID, Name: a.Name, Created: orNil(d.Created), Modified: orNil(d.Modified), Meta: metaOf(a.Meta)}
	out.Value, out.Time = last(current, gateway.KindActuator, a.ID)
	return out
}

// orNil is nil for no time.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func last(current Current, kind gateway.Kind, channel string) (json.RawMessage, *time.Time) {
	if current == nil {
		return nil, nil
	}
	value, at, ok := current(kind, channel)
	switch {
	case !ok:
		return nil, nil
	case at.IsZero():
		return value, nil
	}
	at = at.UTC()
	return value, &at
}

func metaOf(meta json.RawMessage) json.RawMessage {
	if len(meta) == 0 {
		return json.RawMessage("{}")
	}
	return meta
}

func visibility(d *gateway.Device) string {
	if d.Grants.Public {
		return "public"
	}
	return "private"
}

// The cloud's forms, for changes that go up.
type (
	cloudDeviceForm struct {
		ID         string              `json:"id,omitempty"`
		Name       string              `json:"name,omitempty"`
		Visibility string              `json:"visibility"` // a cloud takes a missing one for public
		Sensors    []cloudSensorForm   `json:"sensors,omitempty"`
		Actuators  []cloudActuatorForm `json:"actuators,omitempty"`
		Meta       json.RawMessage     `json:"meta,omitempty"`
	}
	cloudSensorForm struct {
		ID       string          `json:"id,omitempty"`
		Name     string          `json:"name,omitempty"`
		Kind     string          `json:"sensor_kind,omitempty"`
		Quantity string          `json:"quantity_kind,omitempty"`
		Unit     string          `json:"unit,omitempty"`
		Meta     json.RawMessage `json:"meta,omitempty"`
	}
	cloudActuatorForm struct {
		ID   string          `json:"id,omitempty"`
		Name string          `json:"name,omitempty"`
		Meta json.RawMessage `json:"meta,omitempty"`
	}
)

func cloudSensor(s *gateway.Sensor) cloudSensorForm {
	return cloudSensorForm{ID: s.ID, Name: s.Name, Kind: s.Kind, Quantity: s.Quantity, Unit: s.Unit, Meta: s.Meta}
}

func cloudActuator(a *gateway.Actuator) cloudActuatorForm {
	return cloudActuatorForm{ID: a.ID, Name: a.Name, Meta: a.Meta}
}

// EncodeDevice gives the payload that asks a cloud to create d. It fails only
// where a meta is no JSON.
func EncodeDevice(d *gateway.Device) ([]byte, error) {
	out := cloudDeviceForm{ID: d.ID, Name: d.Name, Visibility: visibility(d), Meta: d.Meta}
	for i := range d.Sensors {
		out.Sensors = append(out.Sensors, cloudSensor(&d.Sensors[i]))
	}
	for i := range d.Actuators {
		out.Actuators = append(out.Actuators, cloudActuator(&d.Actuators[i]))
	}
	return marshal(out)
}

// marshal leaves '<', '>' and '&' as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("waziup: %w: %v", gateway.ErrBadPayload, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
