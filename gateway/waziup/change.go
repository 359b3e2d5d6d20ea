package waziup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"fieldgate/gateway"
)

// Limits of what a change may hold.
const (
	MaxName     = 256       // bytes of a device's, sensor's or actuator's name
	MaxMeta     = 16 << 10  // bytes of its meta
	MaxChange   = 256 << 10 // bytes of a whole payload
	MaxChannels = 1024      // sensors, and actuators, of one device
	maxWord     = 128       // bytes of a kind, a quantity, a unit
)

// DecodeChange reads the payload of a topic that asks for a change: CreateDevice,
// CreateSensor, CreateActuator, a name or meta, or nothing on the topic of a
// device, a sensor or an actuator, which deletes it (deleting by an empty
// message is what MQTT does to a retained one). A payload for a device's codec
// is no change and gives gateway.ErrBadTopic, as do topics of values.
//
// A name is text or a JSON string of at most MaxName bytes; it is trimmed. Meta
// is a JSON object of at most MaxMeta bytes.
//
// Errors wrap gateway.ErrBadPayload, ErrBadNumber, ErrTooDeep, ErrTooLarge,
// ErrBadID or ErrBadTopic.
func DecodeChange(t Topic, payload []byte) (gateway.ChangeRequest, error) {
	c := gateway.ChangeRequest{Device: t.Device, Sensor: t.Sensor, Actuator: t.Actuator}
	var err error
	switch t.Kind {
	case CreateDevice:
		c.Op = gateway.CreateDevice
		c.NewDevice, err = DecodeDevice(payload)
	case CreateSensor:
		c.Op = gateway.CreateSensor
		c.NewSensor, err = DecodeSensor(payload)
	case CreateActuator:
		c.Op = gateway.CreateActuator
		c.NewActuator, err = DecodeActuator(payload)
	case DeviceName, SensorName, ActuatorName:
		c.Op = gateway.SetName
		c.Name, err = decodeName(payload)
	case DeviceMeta, SensorMeta, ActuatorMeta:
		c.Op = gateway.SetMeta
		c.Meta, err = decodeMeta(payload)
	case DevicePayload, DeleteSensor, DeleteActuator:
		c.Op = gateway.Delete
		if len(payload) > 0 {
			err = fmt.Errorf("%w: %s takes no change", gateway.ErrBadTopic, t)
		}
	default:
		err = fmt.Errorf("%w: %q takes no change", gateway.ErrBadTopic, t)
	}
	if err != nil {
		return gateway.ChangeRequest{}, fmt.Errorf("waziup: %w", err)
	}
	return c, nil
}

// EncodeChange gives the message that asks for c, as it goes up to a cloud. It
// is the inverse of DecodeChange.
func EncodeChange(c gateway.ChangeRequest) (topic string, payload []byte, err error) {
	t := Topic{Device: c.Device, Sensor: c.Sensor, Actuator: c.Actuator}
	of := func(device, sensor, actuator Kind) Kind {
		switch {
		case c.Sensor != "":
			return sensor
		case c.Actuator != "":
			return actuator
		}
		return device
	}
	switch {
	case c.Op == gateway.CreateDevice && c.NewDevice != nil:
		t.Kind = CreateDevice
		payload, err = EncodeDevice(c.NewDevice)
	case c.Op == gateway.CreateSensor && c.NewSensor != nil:
		t.Kind = CreateSensor
		payload, err = marshal(cloudSensor(c.NewSensor))
	case c.Op == gateway.CreateActuator && c.NewActuator != nil:
		t.Kind = CreateActuator
		payload, err = marshal(cloudActuator(c.NewActuator))
	case c.Op == gateway.SetName:
		t.Kind = of(DeviceName, SensorName, ActuatorName)
		payload = appendString(nil, c.Name)
	case c.Op == gateway.SetMeta:
		t.Kind = of(DeviceMeta, SensorMeta, ActuatorMeta)
		payload = bytes.Clone(c.Meta)
	case c.Op == gateway.Delete:
		t.Kind = of(DevicePayload, DeleteSensor, DeleteActuator)
	default:
		return "", nil, fmt.Errorf("waziup: %w: change %d", gateway.ErrBadPayload, c.Op)
	}
	if err != nil {
		return "", nil, err
	}
	return t.String(), payload, nil
}

// decodeName reads text, or a JSON string.
func decodeName(payload []byte) (string, error) {
	if len(payload) > 6*MaxName+2 { // all of it escaped
		return "", fmt.Errorf("%w: name of %d bytes", gateway.ErrTooLarge, len(payload))
	}
	name := string(payload)
	if quoted := trim(payload); len(quoted) > 0 && quoted[0] == '"' && json.Valid(quoted) {
		if err := json.Unmarshal(quoted, &name); err != nil {
			return "", fmt.Errorf("%w: name: %v", gateway.ErrBadPayload, err)
		}
	}
	return checkName(name)
}

// checkName trims a name and says why it cannot be one.
func checkName(name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case len(name) > MaxName:
		return "", fmt.Errorf("%w: name of %d bytes, at most %d", gateway.ErrTooLarge, len(name), MaxName)
	case !utf8.ValidString(name):
		return "", fmt.Errorf("%w: the name is not UTF-8", gateway.ErrBadPayload)
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%w: the name holds a control character", gateway.ErrBadPayload)
	}
	return name, nil
}

// decodeMeta reads a JSON object.
func decodeMeta(payload []byte) (json.RawMessage, error) {
	raw := trim(payload)
	if len(raw) > MaxMeta {
		return nil, fmt.Errorf("%w: meta of %d bytes, at most %d", gateway.ErrTooLarge, len(raw), MaxMeta)
	}
	if err := gateway.CheckJSON(raw); err != nil {
		return nil, fmt.Errorf("meta: %w", err)
	}
	if raw[0] != '{' {
		return nil, fmt.Errorf("%w: meta is no object", gateway.ErrBadPayload)
	}
	return bytes.Clone(raw), nil
}
