package waziup

import (
	"fmt"
	"strings"

	"fieldgate/gateway"
)

// Kind says what a topic of the dialect is about.
type Kind uint8

// The kinds of topics. D, S and A stand for ids of a device, a sensor and an
// actuator.
const (
	SensorValue    Kind = 1 + iota // devices/D/sensors/S/value: one value
	SensorValues                   // devices/D/sensors/S/values: an array of values
	ActuatorValue                  // devices/D/actuators/A/value: one value
	ActuatorValues                 // devices/D/actuators/A/values: an array of values
	CreateDevice                   // devices: a device
	CreateSensor                   // devices/D/sensors: a sensor
	CreateActuator                 // devices/D/actuators: an actuator
	DevicePayload                  // devices/D: bytes for the device's codec; nothing deletes the device
	DeleteSensor                   // devices/D/sensors/S: nothing, which deletes the sensor
	DeleteActuator                 // devices/D/actuators/A: nothing, which deletes the actuator
	DeviceName                     // devices/D/name
	DeviceMeta                     // devices/D/meta
	SensorName                     // devices/D/sensors/S/name
	SensorMeta                     // devices/D/sensors/S/meta
	ActuatorName                   // devices/D/actuators/A/name
	ActuatorMeta                   // devices/D/actuators/A/meta
)

const root = "devices"

// Topic is a topic of the dialect. Fields that its Kind has no use for are "".
type Topic struct {
	Kind                     Kind
	Device, Sensor, Actuator string
}

// ParseTopic reads a topic. Ok is false if it is not below "devices" and so
// none of the dialect's. An error wraps gateway.ErrBadTopic for an unknown
// topic below "devices", or gateway.ErrBadID for an id that gateway.CheckID
// refuses.
func ParseTopic(topic string) (t Topic, ok bool, err error) {
	rest, ok := strings.CutPrefix(topic, root)
	if !ok || rest != "" && rest[0] != '/' {
		return Topic{}, false, nil
	}
	if rest == "" {
		return Topic{Kind: CreateDevice}, true, nil
	}
	var level [4]string // device, sensors or actuators, id, what
	n := 0
	for rest, more := rest[1:], true; more; n++ {
		if n == len(level) {
			return Topic{}, true, badTopic(topic)
		}
		level[n], rest, more = strings.Cut(rest, "/")
	}
	t.Device = level[0]
	sensor := level[1] == "sensors"
	switch {
	case n == 1:
		t.Kind = DevicePayload
	case n == 2 && level[1] == "name":
		t.Kind = DeviceName
	case n == 2 && level[1] == "meta":
		t.Kind = DeviceMeta
	case !sensor && level[1] != "actuators":
		return Topic{}, true, badTopic(topic)
	case n == 2:
		t.Kind = pick(sensor, CreateSensor, CreateActuator)
	case n == 3:
		t.Kind = pick(sensor, DeleteSensor, DeleteActuator)
	case level[3] == "value":
		t.Kind = pick(sensor, SensorValue, ActuatorValue)
	case level[3] == "values":
		t.Kind = pick(sensor, SensorValues, ActuatorValues)
	case level[3] == "name":
		t.Kind = pick(sensor, SensorName, ActuatorName)
	case level[3] == "meta":
		t.Kind = pick(sensor, SensorMeta, ActuatorMeta)
	default:
		return Topic{}, true, badTopic(topic)
	}
	if err := gateway.CheckID(t.Device); err != nil {
		return Topic{}, true, fmt.Errorf("waziup: device: %w", err)
	}
	if n > 2 {
		if err := gateway.CheckID(level[2]); err != nil {
			return Topic{}, true, fmt.Errorf("waziup: %s: %w", level[1], err)
		}
		if sensor {
			t.Sensor = level[2]
		} else {
			t.Actuator = level[2]
		}
	}
	return t, true, nil
}

func badTopic(topic string) error {
	return fmt.Errorf("waziup: %w: %.80q", gateway.ErrBadTopic, topic)
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// String is the topic's text, "" for a Kind that is none of this package's.
func (t Topic) String() string {
	switch t.Kind {
	case SensorValue:
		return SensorTopic(t.Device, t.Sensor)
	case SensorValues:
		return SensorValuesTopic(t.Device, t.Sensor)
	case ActuatorValue:
		return ActuatorTopic(t.Device, t.Actuator)
	case ActuatorValues:
		return ActuatorValuesTopic(t.Device, t.Actuator)
	case CreateDevice:
		return root
	case CreateSensor:
		return root + "/" + t.Device + "/sensors"
	case CreateActuator:
		return root + "/" + t.Device + "/actuators"
	case DevicePayload:
		return root + "/" + t.Device
	case DeleteSensor:
		return root + "/" + t.Device + "/sensors/" + t.Sensor
	case DeleteActuator:
		return root + "/" + t.Device + "/actuators/" + t.Actuator
	case DeviceName:
		return root + "/" + t.Device + "/name"
	case DeviceMeta:
		return root + "/" + t.Device + "/meta"
	case SensorName:
		return root + "/" + t.Device + "/sensors/" + t.Sensor + "/name"
	case SensorMeta:
		return root + "/" + t.Device + "/sensors/" + t.Sensor + "/meta"
	case ActuatorName:
		return root + "/" + t.Device + "/actuators/" + t.Actuator + "/name"
	case ActuatorMeta:
		return root + "/" + t.Device + "/actuators/" + t.Actuator + "/meta"
	}
	return ""
}

// Reading tells which kind of reading values on this topic are, and of which
// sensor or actuator. Ok is false for topics that carry no values. Whether an
// actuator's value is a gateway.KindCommand depends on where it came from.
func (t Topic) Reading() (kind gateway.Kind, channel string, ok bool) {
	switch t.Kind {
	case SensorValue, SensorValues:
		return gateway.KindSensor, t.Sensor, true
	case ActuatorValue, ActuatorValues:
		return gateway.KindActuator, t.Actuator, true
	}
	return 0, "", false
}

// SensorTopic is where one value of a sensor is published.
func SensorTopic(device, sensor string) string {
	return root + "/" + device + "/sensors/" + sensor + "/value"
}

// SensorValuesTopic is where many values of a sensor are published at once.
func SensorValuesTopic(device, sensor string) string {
	return root + "/" + device + "/sensors/" + sensor + "/values"
}

// ActuatorTopic is where one value of an actuator is published.
func ActuatorTopic(device, actuator string) string {
	return root + "/" + device + "/actuators/" + actuator + "/value"
}

// ActuatorValuesTopic is where many values of an actuator are published at once.
func ActuatorValuesTopic(device, actuator string) string {
	return root + "/" + device + "/actuators/" + actuator + "/values"
}

// Device gives the id of the device that a topic below "devices" belongs to,
// for deciding who may receive it. It is "" for "devices" itself, which belongs
// to none. Ok is false for topics outside the dialect. It does not check more
// of the topic than that and allocates nothing.
func Device(topic string) (device string, ok bool) {
	rest, ok := strings.CutPrefix(topic, root)
	switch {
	case !ok || rest != "" && rest[0] != '/':
		return "", false
	case rest == "":
		return "", true
	}
	device, _, _ = strings.Cut(rest[1:], "/")
	return device, true
}
