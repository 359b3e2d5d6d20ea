package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// topic gives the dialect's topic of what the path of r names, without a kind.
// A path without a device is about the gateway itself.
func (s *Server) topic(r *http.Request) waziup.Topic {
	t := waziup.Topic{Device: r.PathValue("d")}
	if t.Device == "" {
		t.Device = s.cfg.GatewayID
	}
	if strings.Contains(r.Pattern, "/actuators") {
		t.Actuator = r.PathValue("c")
	} else {
		t.Sensor = r.PathValue("c")
	}
	return t
}

// target is what the path of a request names: a device, maybe a sensor or an
// actuator of it.
type target struct {
	topic    waziup.Topic
	device   *gateway.Device
	sensor   *gateway.Sensor
	actuator *gateway.Actuator
}

// view finds what r names, for a caller who wants to read it.
func (s *Server) view(r *http.Request, c caller) (target, error) {
	t := target{topic: s.topic(r)}
	var ok bool
	if t.device, ok = s.cfg.Registry.Device(t.topic.Device); !ok {
		return t, fmt.Errorf("%w: %q", gateway.ErrUnknownDevice, shorten(t.topic.Device))
	}
	if !s.cfg.Registry.Can(c.subject, access.View, t.device.ID) {
		return t, fmt.Errorf("%w: cannot access device %q", gateway.ErrDenied, t.device.ID)
	}
	switch {
	case t.topic.Sensor != "":
		if t.sensor, ok = t.device.Sensor(t.topic.Sensor); !ok {
			return t, fmt.Errorf("%w: %q", gateway.ErrUnknownSensor, shorten(t.topic.Sensor))
		}
	case t.topic.Actuator != "":
		if t.actuator, ok = t.device.Actuator(t.topic.Actuator); !ok {
			return t, fmt.Errorf("%w: %q", gateway.ErrUnknownSensor, shorten(t.topic.Actuator))
		}
	}
	return t, nil
}

// name and meta of the device, sensor or actuator.
func (t *target) nameAndMeta() (string, json.RawMessage) {
	switch {
	case t.sensor != nil:
		return t.sensor.Name, t.sensor.Meta
	case t.actuator != nil:
		return t.actuator.Name, t.actuator.Meta
	}
	return t.device.Name, t.device.Meta
}

// current gives the present values of a device for its REST form.
func (s *Server) current(device string) waziup.Current {
	return func(kind gateway.Kind, channel string) (json.RawMessage, time.Time, bool) {
		rec, ok := s.cfg.Hub.Current(device, channel, kind)
		return rec.Value, rec.At, ok
	}
}
