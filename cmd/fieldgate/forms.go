package main

import (
	"fieldgate/gateway"
	"fieldgate/gateway/waziup"
)

// forms gives what was not published by anybody the form of a Waziup message.
type forms struct{}

// Value implements gateway.Forms.
func (forms) Value(r *gateway.Record) gateway.Message {
	topic := waziup.SensorTopic(r.Device, r.Channel)
	if r.Kind != gateway.KindSensor {
		topic = waziup.ActuatorTopic(r.Device, r.Channel)
	}
	return gateway.Message{Topic: topic, Payload: waziup.EncodeValue(nil, r.Value, r.At, "", ""), QoS: 1}
}

// Change implements gateway.Forms.
func (forms) Change(req gateway.ChangeRequest, d *gateway.Device) gateway.Message {
	switch req.Op {
	case gateway.CreateDevice:
		req.NewDevice = d
	case gateway.CreateSensor:
		if req.NewSensor.ID == "" { // the one made is the last one, with the id it was given
			req.NewSensor = &d.Sensors[len(d.Sensors)-1]
		}
	case gateway.CreateActuator:
		req.NewActuator = &d.Actuators[len(d.Actuators)-1]
	}
	topic, payload, err := waziup.EncodeChange(req)
	if err != nil { // only for an Op that the dialect does not know
		return gateway.Message{}
	}
	return gateway.Message{Topic: topic, Payload: payload, QoS: 1}
}
