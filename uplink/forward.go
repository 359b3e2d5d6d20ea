package uplink

import (
	"strings"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// remap rewrites topic from one side of a rule to the other: topic must begin
// with from, the rest must match filter, and gets to in front. An empty filter
// maps the topic from to the topic to.
func remap(filter, from, to, topic string) (string, bool) {
	rest, ok := strings.CutPrefix(topic, from)
	switch {
	case !ok:
		return "", false
	case filter == "" && rest == "":
		return to, true
	case filter == "":
		return "", false
	}
	// Matched whole, so that a wildcard in the first level of the whole topic
	// does not match '$...' (MQTT 3.1.1 section 4.7.2) while one further on does.
	if !access.MatchTopic(from+filter, topic) {
		return "", false
	}
	return to + rest, true
}

// Remote gives the cloud's topic for a message on topic of the local broker;
// ok is false if the rule does not send it up.
func (f *Forward) Remote(topic string) (remote string, ok bool) {
	if f.Direction == In {
		return "", false
	}
	return remap(f.Topic, f.LocalPrefix, f.RemotePrefix, topic)
}

// Local gives the local broker's topic for a message on topic of the cloud; ok
// is false if the rule does not bring it down.
func (f *Forward) Local(topic string) (local string, ok bool) {
	if f.Direction == Out {
		return "", false
	}
	return remap(f.Topic, f.RemotePrefix, f.LocalPrefix, topic)
}

// outward finds the first rule that sends topic up.
func (e *encoder) outward(topic string) (remote string, rule *Forward, ok bool) {
	for i := range e.forward {
		if remote, ok := e.forward[i].Remote(topic); ok {
			return remote, &e.forward[i], true
		}
	}
	return "", nil, false
}

// inward finds the first rule that brings topic down.
func (e *encoder) inward(topic string) (local string, rule *Forward, ok bool) {
	for i := range e.forward {
		if local, ok := e.forward[i].Local(topic); ok {
			return local, &e.forward[i], true
		}
	}
	return "", nil, false
}

// Wants reports whether a message on topic of the local broker goes up by a
// Forward rule, so that it is to be logged as a gateway.KindMessage for this
// uplink. Origin is the uplink it came down from, "" if it was born here: what
// came from this uplink never goes back. A reading or a change that the dialect
// sends to the very same topic anyway is not wanted again.
//
// It may be called from any goroutine.
func (u *Uplink) Wants(topic, origin string) bool {
	if origin == u.cfg.Name {
		return false
	}
	remote, _, ok := u.enc.outward(topic)
	return ok && !(remote == topic && u.enc.speaks(topic))
}

// speaks reports whether the dialect sends up what is published on topic.
func (e *encoder) speaks(topic string) bool {
	if e.dialect == None || e.dialect == Xively {
		return false
	}
	t, ok, err := waziup.ParseTopic(topic)
	if !ok || err != nil || t.Kind == waziup.DevicePayload {
		return false
	}
	switch kind, channel, _ := t.Reading(); kind {
	case gateway.KindSensor:
		topic = waziup.SensorTopic(t.Device, channel)
	case gateway.KindActuator:
		topic = waziup.ActuatorTopic(t.Device, channel)
	}
	return e.passes(topic)
}
