package uplink

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// message is one MQTT message to the cloud.
type message struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
	asked   bool // at QoS 0: a round trip behind it asks whether it has arrived
	marked  bool // an id of this gateway is in the payload
}

// answered reports whether the cloud answers m in some way.
func (m *message) answered() bool { return m.qos > 0 || m.asked }

func (m *message) size() int { return len(m.topic) + len(m.payload) + 8 }

// errUnsendable is wrapped by the reasons why a record can never be sent.
var errUnsendable = errors.New("cannot be sent")

// encoder gives records the form in which they go up.
type encoder struct {
	name, gatewayID string
	dialect         Dialect
	ids             bool
	filter          []string
	forward         []Forward

	// Of the dialect Xively:
	xively XivelyOptions
	feed   func(device string) (feed uint64, ok bool)
}

// Takes reports whether r goes up by this uplink. It may be called from any
// goroutine and at any time.
func (u *Uplink) Takes(r *gateway.Record) bool {
	_, ok := u.enc.topic(r)
	return ok
}

// topic is where r goes at the cloud; ok is false if it does not go there.
func (e *encoder) topic(r *gateway.Record) (topic string, ok bool) {
	switch r.Kind {
	case gateway.KindGap:
		if e.dialect == Xively {
			return "", false // see noteGaps
		}
		return "gateways/" + e.gatewayID + "/gaps", r.Uplink == e.name && r.Lost != nil
	case gateway.KindMessage:
		if r.Uplink != e.name || r.Origin == e.name {
			return "", false
		}
		topic, _, ok = e.outward(r.Topic)
		return topic, ok
	}
	if e.dialect == None || r.Origin == e.name {
		return "", false
	}
	if e.dialect == Xively {
		if r.Kind != gateway.KindSensor || !e.passes(waziup.SensorTopic(r.Device, r.Channel)) {
			return "", false
		}
		feed, ok := e.feed(r.Device)
		return feedTopic(feed), ok
	}
	switch r.Kind {
	case gateway.KindSensor:
		topic = waziup.SensorTopic(r.Device, r.Channel)
	case gateway.KindActuator:
		topic = waziup.ActuatorTopic(r.Device, r.Channel)
	case gateway.KindChange:
		topic = r.Topic
	default: // commands are news from a cloud, not from here
		return "", false
	}
	return topic, e.passes(topic)
}

func (e *encoder) passes(topic string) bool {
	for _, f := range e.filter {
		if access.MatchTopic(f, topic) {
			return true
		}
	}
	return len(e.filter) == 0
}

// message encodes r. Ok is false if r does not go to this cloud; the error
// wraps errUnsendable.
func (e *encoder) message(r *gateway.Record) (m message, ok bool, err error) {
	m.topic, ok = e.topic(r)
	if !ok {
		return message{}, false, nil
	}
	m.qos = 1
	if r.Kind == gateway.KindSensor && e.dialect == Xively {
		m.qos, m.asked = e.xively.QoS, e.xively.QoS == 0
		m.payload, err = feedRow(r)
		return m, true, err
	}
	switch r.Kind {
	case gateway.KindSensor, gateway.KindActuator:
		d := e.datum(r)
		size := len(d.Value) + len(d.ID) + 80
		m.payload = waziup.EncodeValue(make([]byte, 0, size), d.Value, d.Time, d.ID, d.Clock)
		m.marked = e.ids
	case gateway.KindChange:
		m.payload = r.Value
	case gateway.KindMessage:
		_, rule, _ := e.outward(r.Topic)
		m.payload, m.qos, m.retain = r.Value, min(r.QoS, rule.QoS), r.Retain
	case gateway.KindGap:
		m.payload, err = e.gap(r)
	}
	if err == nil {
		err = checkTopic(m.topic)
	}
	return m, true, err
}

// datum is a value with what tells it apart from others.
func (e *encoder) datum(r *gateway.Record) waziup.Datum {
	d := waziup.Datum{Value: r.Value, Time: r.At}
	if len(d.Value) == 0 {
		d.Value = json.RawMessage("null")
	}
	if e.ids {
		d.ID = r.ID(e.gatewayID)
	}
	if r.Clock == gateway.ClockUnset {
		d.Clock = r.Clock.String()
	}
	return d
}

// gap announces records that are lost for this cloud.
func (e *encoder) gap(r *gateway.Record) ([]byte, error) {
	type gap struct {
		ID string `json:"id,omitempty"`
		*gateway.Lost
	}
	g := gap{Lost: r.Lost}
	if e.ids {
		g.ID = r.ID(e.gatewayID)
	}
	b, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsendable, err)
	}
	return b, nil
}

// checkTopic says why topic is none that can be published to (MQTT 3.1.1
// section 4.7.3).
func checkTopic(topic string) error {
	switch {
	case topic == "" || len(topic) > 65535:
		return fmt.Errorf("%w: topic of %d bytes", errUnsendable, len(topic))
	case strings.ContainsAny(topic, "+#\x00") || !utf8.ValidString(topic):
		return fmt.Errorf("%w: topic %.80q", errUnsendable, topic)
	}
	return nil
}

// Limits of a message of a backlog in batches.
const (
	batchReadings = 500
	batchBytes    = 128 << 10
)

// batch encodes a run of records for Batches: the values of each sensor as
// arrays of at most limit bytes (one value may be longer), everything else as
// message does. The order of each sensor's values is kept. Refused are records
// with an error of message, and the first of these errors.
func (e *encoder) batch(recs []gateway.Record, limit int) (out []message, refused []int, err error) {
	if e.dialect == Xively {
		return e.feedBatch(recs, limit)
	}
	type group struct {
		at   int // where it will be in out
		data []waziup.Datum
		size int
	}
	var open = map[[2]string]*group{}
	flush := func(key [2]string, g *group) {
		out[g.at] = message{topic: waziup.SensorValuesTopic(key[0], key[1]), qos: 1,
			payload: waziup.EncodeValues(make([]byte, 0, g.size+2), g.data)}
		delete(open, key)
	}
	for i := range recs {
		r := &recs[i]
		if r.Kind != gateway.KindSensor {
			m, ok, bad := e.message(r)
			switch {
			case bad != nil:
				refused = append(refused, i)
				if err == nil {
					err = bad
				}
			case ok:
				out = append(out, m)
			}
			continue
		}
		if _, ok := e.topic(r); !ok {
			continue
		}
		d, key := e.datum(r), [2]string{r.Device, r.Channel}
		size := len(d.Value) + len(d.ID) + len(time.RFC3339Nano) + 64
		g := open[key]
		if g != nil && (len(g.data) == batchReadings || g.size+size > limit) {
			flush(key, g)
			g = nil
		}
		if g == nil {
			g = &group{at: len(out)}
			open[key] = g
			out = append(out, message{})
		}
		g.data, g.size = append(g.data, d), g.size+size
	}
	for key, g := range open {
		flush(key, g)
	}
	return out, refused, err
}
