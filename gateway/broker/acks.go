package broker

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
)

// ticket is one publish of a client at QoS 1 or 2 that is on its way.
type ticket struct {
	id     uint16
	qos    byte
	over   bool // the answer is known
	silent bool // there is none
	taken  bool // QoS 2: the Hub has it, and the session is kept; under the session's mu
	// QoS 2: the log has it from before a crash, and the session did not know;
	// under the session's mu.
	recorded bool
	idle     bool         // the client has not sent it again yet
	mark     gateway.Mark // QoS 2, in a session that is kept
	code     byte
	reason   string
}

// acks answers the publishes of one connection in the order in which they
// came (MQTT 5.0 section 4.6).
type acks struct {
	mu    sync.Mutex
	list  []*ticket
	space chan struct{} // of 1: something was answered
}

// admit takes a publish in. The client of MQTT 5 knows how many it may have on
// their way; others wait, and are not read from meanwhile.
func (c *conn) admit(t *ticket) error {
	a := &c.acks
	for {
		a.mu.Lock()
		if len(a.list) < c.b.limits.ReceiveMaximum {
			a.list = append(a.list, t)
			a.mu.Unlock()
			return nil
		}
		a.mu.Unlock()
		if c.version == 5 {
			return violation(codeReceiveMaximum, "more than %d publishes without acknowledgement", c.b.limits.ReceiveMaximum)
		}
		select {
		case <-a.space:
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

// settle answers t when all before it are answered.
func (c *conn) settle(t *ticket, code byte, reason string, silent bool) {
	if t.qos == 2 {
		c.sess.received2(t, code, silent)
	}
	a := &c.acks
	a.mu.Lock()
	t.over, t.code, t.reason, t.silent = true, code, reason, silent
	n := 0
	for n < len(a.list) && a.list[n].over {
		if !a.list[n].silent {
			c.answer(a.list[n])
		}
		a.list[n] = nil
		n++
	}
	a.list = a.list[n:]
	a.mu.Unlock()
	if n > 0 {
		select {
		case a.space <- struct{}{}:
		default:
		}
	}
}

func (c *conn) answer(t *ticket) {
	kind := packets.Puback
	if t.qos == 2 {
		kind = packets.Pubrec
		if c.isClosed() { // the session may go on over another connection
			if next := c.sess.connection(); next != nil && next != c && next.established.Load() {
				next.reply(kind, t.id, t.code, t.reason)
			}
			return
		}
	}
	c.reply(kind, t.id, t.code, t.reason)
}

func (s *session) connection() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// received2 notes the outcome of a QoS 2 publish: its identifier is in use
// until PUBREL, unless the client is told of a failure (MQTT 5.0 section
// 4.3.3). Silence about what the Hub has taken means that the identifier is
// not on disk: the client sends it again, and it must not be taken again.
func (s *session) received2(t *ticket, code byte, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in2[t.id] != t {
		return // released in the meantime
	}
	if silent && t.recorded && !t.taken {
		t.idle = true // for the next attempt
		return
	}
	if silent && !t.taken || s.version == 5 && code >= codeUnspecified {
		delete(s.in2, t.id)
		return
	}
	s.in2[t.id] = nil
}

// begin2 notes a QoS 2 publish. Repeated is true if one with this identifier
// is here already, pending if it has not been answered.
func (s *session) begin2(t *ticket) (repeated, pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.in2[t.id]; ok {
		if old == nil || !old.idle {
			return true, old != nil
		}
		t.recorded = true
	}
	s.in2[t.id] = t
	s.mark(t)
	return false, false
}

// taken2 notes that the Hub has taken a QoS 2 publish. It is true if the
// identifier has to be on disk before PUBREC: received identifiers are part of
// a session that is kept (MQTT 3.1.1 sections 3.1.2.4 and 4.3.3). The Hub has
// the message first: in the other order a crash in between would lose it, in
// this one the client sends it again.
func (s *session) taken2(t *ticket, code byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in2[t.id] != t || t.taken || !s.lasting() {
		return false
	}
	if s.version == 5 && code >= codeUnspecified {
		if !t.recorded {
			return false
		}
		t.recorded = false // that the identifier is free is on disk first, see release
		s.metaDirty = true
		s.markDirty()
		return true
	}
	s.take(t)
	return true
}

// lasting says whether the session outlives the process. Needs s.mu.
func (s *session) lasting() bool { return s.b.table != nil && s.persistent() }

// received are the identifiers of QoS 2 publishes that were taken and have not
// been released, recorded those that the log has but subscribers may not, both
// in their order. Needs s.mu.
func (s *session) received() (received, recorded []uint16) {
	for id, t := range s.in2 {
		switch {
		case t == nil || t.taken:
			received = append(received, id)
		case t.recorded:
			recorded = append(recorded, id)
		}
	}
	slices.Sort(received)
	slices.Sort(recorded)
	return received, recorded
}

// release handles PUBREL. That the identifier is free is on disk before
// PUBCOMP, after which the client may use it for another message. Were it
// written later, a crash could bring the identifier back and the new message
// would be taken for the old one; the DUP flag does not tell them apart, as
// the new one has it too when it is sent for the second time. A PUBREL of an
// unknown identifier waits likewise: the one before it may have failed to
// reach the disk.
func (c *conn) release(id uint16) {
	s := c.sess
	s.mu.Lock()
	_, ok := s.in2[id]
	delete(s.in2, id)
	if ok && s.lasting() {
		s.metaDirty = true
		s.markDirty()
	}
	s.mu.Unlock()
	code := codeSuccess
	if !ok {
		code = codeIDNotFound
	}
	c.replyStored(packets.Pubcomp, id, code)
}

// replyStored is reply once a session that is kept is on disk as it is now.
func (c *conn) replyStored(kind byte, id uint16, code byte) {
	c.sess.mu.Lock()
	lasting := c.sess.lasting()
	c.sess.mu.Unlock()
	if !lasting {
		c.reply(kind, id, code, "")
		return
	}
	c.afterStored(func(err error) {
		if err == nil {
			c.reply(kind, id, code, "")
		}
	})
}

// afterStored calls fn when the session is on disk, or with the error. In the
// latter case the client has to come back and ask again.
func (c *conn) afterStored(fn func(error)) {
	c.b.under.add()
	c.b.whenStored(func(err error) {
		defer c.b.under.done()
		if err != nil {
			c.unkept.Store(true)
			if next := c.sess.connection(); next != nil {
				next.unkept.Store(true)
			}
		}
		fn(err)
	})
}

// verdict says what a client is told about the outcome of a publish. Silent:
// nothing, so that it sends the message again.
func verdict(err error) (code byte, reason string, silent bool) {
	if err == nil {
		return codeSuccess, "", false
	}
	reason = reasonString(err)
	switch {
	case errors.Is(err, gateway.ErrNotKept), errors.Is(err, gateway.ErrClosed):
		return 0, "", true
	case errors.Is(err, gateway.ErrDenied):
		return codeNotAuthorized, reason, false
	case errors.Is(err, gateway.ErrTooLarge):
		return codeQuota, reason, false
	case errors.Is(err, gateway.ErrBadTopic), errors.Is(err, gateway.ErrBadID),
		errors.Is(err, gateway.ErrUnknownDevice), errors.Is(err, gateway.ErrUnknownSensor):
		return codeTopicInvalid, reason, false
	case errors.Is(err, gateway.ErrBadPayload), errors.Is(err, gateway.ErrBadCommand), errors.Is(err, gateway.ErrBadNumber),
		errors.Is(err, gateway.ErrBadTime), errors.Is(err, gateway.ErrTooDeep):
		return codePayloadInvalid, reason, false
	}
	return codeImplementation, reason, false
}

// reasonString is an error as a client may see it: short, and a string of
// MQTT.
func reasonString(err error) string {
	s := err.Error()
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
}
