package fakecloud

import (
	"github.com/eclipse/paho.mqtt.golang/packets"

	"fieldgate/gateway/access"
)

// session is what the broker remembers of a client.
type session struct {
	client   string
	clean    bool
	conn     *conn           // nil while the client is away
	filters  map[string]byte // with their QoS
	queue    []*delivery     // not acknowledged by the client, oldest first
	nextID   uint16
	received map[uint16]bool // QoS 2 messages taken whose PUBREL is to come
}

// delivery is one QoS 1 message to a client.
type delivery struct {
	id   uint16
	m    Message
	sent bool // on any connection
}

func newSession(client string, clean bool) *session {
	return &session{client: client, clean: clean, filters: map[string]byte{}, received: map[uint16]bool{}}
}

// grants gives the highest QoS of the filters that match.
func (s *session) grants(topic string) (qos byte, ok bool) {
	for f, q := range s.filters {
		if access.MatchTopic(f, topic) {
			qos, ok = max(qos, q), true
		}
	}
	return qos, ok
}

// deliver sends m, or keeps it for an absent client with a persistent session.
func (s *session) deliver(m Message) {
	m.QoS = min(m.QoS, 1)
	if m.QoS == 0 {
		if s.conn != nil {
			s.conn.send(publish(m, 0, false))
		}
		return
	}
	if s.conn == nil && s.clean {
		return
	}
	s.nextID++
	if s.nextID == 0 {
		s.nextID = 1
	}
	d := &delivery{id: s.nextID, m: m}
	s.queue = append(s.queue, d)
	if s.conn != nil {
		d.sent = true
		s.conn.send(publish(m, d.id, false))
	}
}

// resend sends what the client has not acknowledged (MQTT 3.1.1 section 4.4).
func (s *session) resend() {
	for _, d := range s.queue {
		s.conn.send(publish(d.m, d.id, d.sent))
		d.sent = true
	}
}

// settled takes an acknowledged message out of the queue.
func (s *session) settled(id uint16) {
	for i, d := range s.queue {
		if d.id == id {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return
		}
	}
}

func publish(m Message, id uint16, dup bool) *packets.PublishPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.Retain, p.Dup, p.MessageID = m.Topic, m.Payload, m.QoS, m.Retain, dup, id
	return p
}
