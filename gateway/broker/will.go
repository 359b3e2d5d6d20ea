package broker

import (
	"errors"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
)

// will is the message that a client wants published when its connection ends
// without DISCONNECT (MQTT 5.0 section 3.1.2.5).
type will struct {
	msg   gateway.Message
	props packets.Properties
	delay time.Duration
	addr  string // of the client
}

// fire publishes a will like any message of its client, with the rights the
// client has now.
func (b *Broker) fire(s *session, w *will) {
	m := w.msg
	m.Client = s.key
	m.Props, m.Expires = b.travelling(&w.props), expiry(&w.props)
	p := &publication{from: s.subject, clientID: s.clientID, addr: w.addr, source: "will of mqtt " + shown(s.clientID), msg: m}
	b.accept(p, func(err error) {
		if err == nil {
			b.count.wills.Add(1)
		} else if !errors.Is(err, gateway.ErrClosed) {
			b.hub.Refused(p.source, b.masked(m.Topic), err)
		}
	})
}

// fireAll publishes the wills of all sessions, those that wait included: the
// broker is going down, and will not know who comes back in time. Mosquitto
// does the same.
func (b *Broker) fireAll() {
	for _, s := range b.allSessions() {
		s.mu.Lock()
		w := s.will
		if s.conn != nil {
			if bye := s.conn.bye.Load(); bye != nil && !bye.will {
				w = nil
			}
		}
		s.will, s.willDue = nil, 0
		s.mu.Unlock()
		if w != nil {
			b.fire(s, w)
		}
	}
}
