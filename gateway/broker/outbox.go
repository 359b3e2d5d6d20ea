package broker

import (
	"errors"
	"slices"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// outgoing is one message for one session.
type outgoing struct {
	msg      *message // nil once the client has it and only the end of QoS 2 is missing
	qos      byte
	retain   bool
	ids      []int  // subscription identifiers
	n        uint64 // order among all outgoing messages of the broker
	packet   uint16 // packet identifier once it was sent
	released bool   // QoS 2: PUBREL was sent
	resend   bool   // it was on its way when a connection ended
	stored   bool   // is on disk
	dirty    bool   // is not on disk as it is here
}

// outbox is what a session has still to send or to hear of. All fields are
// under the session's lock.
type outbox struct {
	flight      []*outgoing // sent, in the order of sending, not acknowledged
	retainedQ   []*outgoing // retained messages for new subscriptions; before queue
	queue       []*outgoing // the rest, in order
	flightBytes int
	queueBytes  int
	retainBytes int
	window      int
	lastID      uint16
	resending   bool
}

// send hands one message to the session: at once, or when its turn comes. It
// says whether the message is now held for the session, and whether that is
// absent.
func (s *session) send(m *message, qos byte, retain bool, ids []int) (held, absent, persistent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || m.watch != nil && m.watch.over.Load() {
		return false, false, false
	}
	o := outgoing{msg: m, qos: qos, retain: retain, ids: ids}
	if qos == 0 && len(s.retainedQ) == 0 && (m.watch == nil || !s.queued(m.watch)) {
		switch {
		case !s.ready:
		case !s.conn.fits(m.size):
			s.b.drop("buffer_full", s)
			s.lag(m)
		default:
			s.transmit(&o, false)
			s.caughtUp(m)
		}
		return false, false, false
	}
	if qos == 0 && !s.ready {
		return false, false, false
	}
	kept := o // o itself takes no memory that outlives the call
	if !s.enqueue(&kept) {
		return false, false, false
	}
	s.pump()
	return qos > 0, s.conn == nil, s.persistent()
}

// sendRetained queues what a new subscription gets first.
func (s *session) sendRetained(list []*message, sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range list {
		if s.ended || len(s.retainedQ) >= s.b.limits.Retained || s.retainBytes+m.size > s.b.limits.RetainedBytes {
			s.b.drop("queue_full", s)
			continue
		}
		o := &outgoing{msg: m, qos: min(m.qos, sub.qos), retain: true, n: s.b.order.Add(1)}
		if sub.id > 0 {
			o.ids = []int{sub.id}
		}
		s.retainedQ = append(s.retainedQ, o)
		s.retainBytes += m.size
		s.b.count.queueMessages.Add(1)
	}
	s.markDirty()
	s.pump()
}

// enqueue puts o at the end. What is too much is taken from the front.
func (s *session) enqueue(o *outgoing) bool {
	l, size := &s.b.limits, o.msg.size
	for len(s.queue) > 0 && (len(s.queue) >= l.QueueMessages || s.queueBytes+size > l.QueueBytes ||
		s.b.count.queueBytes.Load()+int64(size) > int64(l.QueueTotal)) {
		old := s.popQueue()
		s.drop(old, "queue_full")
		s.lag(old.msg)
	}
	if l.QueueMessages < 1 || size > l.QueueBytes || s.b.count.queueBytes.Load()+int64(size) > int64(l.QueueTotal) {
		s.b.drop("queue_full", s)
		s.lag(o.msg)
		return false
	}
	s.caughtUp(o.msg)
	o.n = s.b.order.Add(1)
	s.queue = append(s.queue, o)
	s.queueBytes += size
	s.b.count.queueMessages.Add(1)
	s.b.count.queueBytes.Add(int64(size))
	s.markDirty()
	return true
}

func (s *session) popQueue() *outgoing {
	o := s.queue[0]
	s.queue[0] = nil
	s.queue = s.queue[1:]
	s.queueBytes -= o.msg.size
	s.b.count.queueMessages.Add(-1)
	s.b.count.queueBytes.Add(-int64(o.msg.size))
	return o
}

func (s *session) popRetained() *outgoing {
	o := s.retainedQ[0]
	s.retainedQ[0] = nil
	s.retainedQ = s.retainedQ[1:]
	s.retainBytes -= o.msg.size
	s.b.count.queueMessages.Add(-1)
	return o
}

// drop counts a message that the client does not get, and takes it off the
// disk.
func (s *session) drop(o *outgoing, reason string) {
	if reason != "" {
		s.b.drop(reason, s)
	}
	s.forget(o)
}

func (s *session) forget(o *outgoing) {
	if o.stored {
		s.gone = append(s.gone, o.n)
		s.markDirty()
	}
}

func (b *Broker) drop(reason string, s *session) {
	b.count.dropped.add(reason)
	if reason == "denied" || reason == "expired" {
		return
	}
	if silent, ok := b.due("drop " + reason); ok {
		b.warn(silent, "message dropped for a subscriber", "reason", reason, "client", s.clientID, "credential", s.subject.String())
	}
}

// resume marks what has to be sent again over a new connection.
func (s *session) resume() {
	for _, o := range s.flight {
		o.resend = true
	}
	s.resending = len(s.flight) > 0
}

// drained is called when the connection has room again.
func (s *session) drained() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pump()
}

// pump sends what may be sent, then what the API has instead of what was lost.
func (s *session) pump() {
	s.pumpQueues()
	s.catchUp()
}

// pumpQueues sends what may be sent: first again, then from the queues while
// the window is open. Rights are looked up for each message.
func (s *session) pumpQueues() {
	if !s.ready || s.resending && !s.sendAgain() {
		return
	}
	s.resending = false
	for {
		o := s.head()
		if o == nil {
			return
		}
		size := o.msg.size
		if o.qos > 0 && (len(s.flight) >= s.window || s.flightBytes > 0 && s.flightBytes+size > s.b.limits.QueueBytes/2) {
			return
		}
		reason := ""
		switch {
		case o.msg.expired(s.b.mono()):
			reason = "expired"
		case !s.b.mayRead(s, o.msg):
			reason = "denied"
		case !s.conn.room(size):
			return
		}
		s.popHead()
		if reason != "" {
			s.drop(o, reason)
			continue
		}
		if o.qos > 0 {
			o.packet, o.dirty = s.nextID(), true
			s.flight = append(s.flight, o)
			s.flightBytes += size
			s.b.count.queueMessages.Add(1)
			s.b.count.queueBytes.Add(int64(size))
			s.markDirty()
		}
		if !s.transmit(o, false) && o.qos > 0 {
			s.land(len(s.flight) - 1)
		}
	}
}

func (s *session) head() *outgoing {
	switch {
	case len(s.retainedQ) > 0:
		return s.retainedQ[0]
	case len(s.queue) > 0:
		return s.queue[0]
	}
	return nil
}

func (s *session) popHead() {
	if len(s.retainedQ) > 0 {
		s.popRetained()
		return
	}
	s.popQueue()
}

// sendAgain sends what was on its way when the former connection ended. It is
// false if there is no room for more now.
func (s *session) sendAgain() bool {
	for i := 0; i < len(s.flight); {
		o := s.flight[i]
		switch {
		case !o.resend:
			i++
			continue
		case o.msg != nil && !s.b.mayRead(s, o.msg):
			s.b.drop("denied", s)
			s.land(i)
			continue
		case o.msg != nil && !s.conn.room(o.msg.size), o.msg == nil && !s.conn.room(messageOverhead):
			return false
		}
		o.resend = false
		if o.released {
			s.conn.reply(packets.Pubrel, o.packet, codeSuccess, "")
		} else if !s.transmit(o, true) {
			s.land(i)
			continue
		}
		i++
	}
	return true
}

// transmit writes a PUBLISH. False: the client can never take it.
func (s *session) transmit(o *outgoing, again bool) bool {
	m := o.msg
	f := frame{flags: o.qos << 1, topic: m.topic, packet: o.packet, payload: m.payload}
	if o.retain {
		f.flags |= retainFlag
	}
	if again {
		f.flags |= dupFlag
	}
	if s.version == 5 {
		f.v5, f.props, f.ids = true, m.props, o.ids
		if m.expires > 0 {
			f.expiry = m.remaining(s.b.mono())
		}
	}
	err := s.write(&f)
	if errors.Is(err, errTooLarge) {
		s.b.drop("too_large_for_client", s)
		return false
	}
	if err == nil {
		s.b.count.messagesOut.Add(1)
	}
	return true // or the connection is ending, and it will be sent again
}

// write sends a PUBLISH, with a topic alias if the client takes them.
func (s *session) write(f *frame) error {
	if !f.v5 || s.conn.asked.aliasMaximum == 0 {
		return s.conn.send(f)
	}
	topic := f.topic
	alias, known := s.conn.alias(topic)
	f.alias = alias
	if known {
		f.topic = ""
	}
	err := s.conn.send(f)
	switch {
	case alias == 0 || known:
	case err == nil:
		s.conn.aliasSent(topic, alias)
	case errors.Is(err, errTooLarge): // it may fit without
		f.alias = 0
		return s.conn.send(f)
	}
	return err
}

// nextID gives a packet identifier that is not in use.
func (s *session) nextID() uint16 {
	for {
		if s.lastID++; s.lastID == 0 {
			continue
		}
		if s.inFlight(s.lastID) < 0 {
			return s.lastID
		}
	}
}

func (s *session) inFlight(id uint16) int {
	return slices.IndexFunc(s.flight, func(o *outgoing) bool { return o.packet == id })
}

// land takes a message out of flight for good.
func (s *session) land(i int) {
	o := s.flight[i]
	s.flight = slices.Delete(s.flight, i, i+1)
	s.unweigh(o)
	s.b.count.queueMessages.Add(-1)
	s.forget(o)
}

func (s *session) unweigh(o *outgoing) {
	if o.msg != nil {
		s.flightBytes -= o.msg.size
		s.b.count.queueBytes.Add(-int64(o.msg.size))
		o.msg = nil
	}
}

// acknowledged handles the client's PUBACK, PUBREC and PUBCOMP (MQTT 5.0
// section 4.3). Those for unknown identifiers are answered where MQTT has an
// answer, and otherwise ignored.
func (s *session) acknowledged(c *conn, kind byte, id uint16, code byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return
	}
	i := s.inFlight(id)
	switch kind {
	case packets.Puback:
		if i >= 0 && s.flight[i].qos == 1 {
			s.land(i)
		}
	case packets.Pubrec:
		switch {
		case i >= 0 && s.flight[i].qos == 2 && code >= codeUnspecified:
			s.land(i)
		case i >= 0 && s.flight[i].qos == 2:
			o := s.flight[i]
			s.unweigh(o)
			o.released, o.resend, o.dirty = true, false, true
			s.markDirty()
			c.reply(packets.Pubrel, id, codeSuccess, "")
		case code < codeUnspecified:
			c.reply(packets.Pubrel, id, codeIDNotFound, "")
		}
	case packets.Pubcomp:
		if i >= 0 && s.flight[i].qos == 2 && s.flight[i].released {
			s.land(i)
		}
	}
	s.pump()
}

// dropFleeting drops what is not kept for an absent client: QoS 0.
func (s *session) dropFleeting() {
	keep := func(list []*outgoing, bytes *int, total bool) []*outgoing {
		return slices.DeleteFunc(list, func(o *outgoing) bool {
			if o.qos > 0 {
				return false
			}
			*bytes -= o.msg.size
			s.b.count.queueMessages.Add(-1)
			if total {
				s.b.count.queueBytes.Add(-int64(o.msg.size))
			}
			return true
		})
	}
	s.retainedQ = keep(s.retainedQ, &s.retainBytes, false)
	s.queue = keep(s.queue, &s.queueBytes, true)
}

// clearOutbox drops everything; what is on disk is taken off it.
func (s *session) clearOutbox() {
	for len(s.flight) > 0 {
		s.land(len(s.flight) - 1)
	}
	for len(s.retainedQ) > 0 {
		s.forget(s.popRetained())
	}
	for len(s.queue) > 0 {
		s.forget(s.popQueue())
	}
}

// purge drops queued messages that have expired, so that they do not fill the
// queue of an absent client.
func (s *session) purge(now time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 && s.queue[0].msg.expired(now) {
		s.drop(s.popQueue(), "expired")
	}
}
