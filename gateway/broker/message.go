package broker

import (
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// message is a message on its way to subscribers. It is shared among them and
// never changed.
type message struct {
	topic   string
	payload []byte
	qos     byte
	retain  bool
	client  string // session that published it, for no-local
	from    string // access.Subject.String of who published it
	props   *packets.Properties
	expires time.Duration // monotonic; 0 is never
	reach   reach
	device  string // of reachDevice
	watch   *watch // of reachRequest
	own     bool   // the gateway's own word about how things are now
	size    int    // bytes of memory and, about, on the wire
}

// properties is gateway.Message.Props: what a publisher said in MQTT 5, and
// until when the message is good.
type properties struct {
	packets.Properties
	expires time.Duration // monotonic; 0 is never
}

const messageOverhead = 64 // bytes of a message beside its text

func (b *Broker) newMessage(m *gateway.Message, from access.Subject) *message {
	out := &message{
		topic: m.Topic, payload: m.Payload, qos: min(m.QoS, 2), retain: m.Retain,
		client: m.Client, from: from.String(),
		size: len(m.Topic) + len(m.Payload) + messageOverhead,
	}
	if p, ok := m.Props.(*properties); ok && p != nil {
		out.props, out.expires = &p.Properties, p.expires
		out.size += propertySize(&p.Properties)
	}
	out.reach, out.device = b.reachOf(m.Topic)
	return out
}

func propertySize(p *packets.Properties) int {
	n := len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData) + 16
	for i := range p.User {
		n += len(p.User[i].Key) + len(p.User[i].Val) + 5
	}
	return n
}

// travelling gives the properties of a PUBLISH that go on to subscribers (MQTT
// 5.0 section 3.3.2.3), nil if there are none.
func (b *Broker) travelling(p *packets.Properties) any {
	out := &properties{Properties: packets.Properties{
		PayloadFormat:     p.PayloadFormat,
		PayloadFormatFlag: p.PayloadFormatFlag,
		ContentType:       strings.Clone(p.ContentType), // mochi's share the packet's memory
		ResponseTopic:     strings.Clone(p.ResponseTopic),
		CorrelationData:   p.CorrelationData,
		User:              p.User,
	}}
	if p.MessageExpiryInterval > 0 {
		out.expires = b.mono() + time.Duration(p.MessageExpiryInterval)*time.Second
	}
	if !out.PayloadFormatFlag && out.ContentType == "" && out.ResponseTopic == "" &&
		out.CorrelationData == nil && len(out.User) == 0 && out.expires == 0 {
		return nil
	}
	return out
}

// expiry is when a message that comes now is no longer good, zero if it always is.
func expiry(p *packets.Properties) time.Time {
	if p.MessageExpiryInterval == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(p.MessageExpiryInterval) * time.Second)
}

// kept reports whether a retained message is kept on disk. The gateway's own
// words are not: they change often, and are said anew after a start.
func (m *message) kept() bool { return m != nil && !m.own }

func (m *message) expired(now time.Duration) bool { return m.expires > 0 && now >= m.expires }

// remaining is the message expiry interval at now, in seconds, at least 1.
func (m *message) remaining(now time.Duration) uint32 {
	return uint32(max(1, (m.expires-now+time.Second-1)/time.Second))
}
