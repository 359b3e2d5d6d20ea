package broker

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway/access"
)

// session is what the broker knows of one client of one credential while it is
// connected and, if it asked for that, afterwards (MQTT 5.0 section 4.1).
type session struct {
	b        *Broker
	key      string // subject and client id; nobody else can have it
	subject  access.Subject
	clientID string
	online   atomic.Bool // connected and past CONNACK, for choosing among a share
	indexed  int         // subscriptions in the index, under its lock

	mu      sync.Mutex
	conn    *conn // nil while absent
	ready   bool  // CONNACK is out: messages may follow
	ended   bool
	version byte
	expiry  time.Duration // life after the connection; 0: ends with it
	absent  time.Duration // monotonic: since when; only without conn
	subs    map[string]*subscription
	secrets int // subscriptions with an API key in the filter

	lagging  []*watch // those that are behind, since the longest first
	catching bool     // catchingUp runs

	in2    map[uint16]*ticket // QoS 2 packet ids of the client's publishes; nil: received and answered, or restored
	markID uint64             // in marks, see marks.go; 0: it has none
	count  uint64             // of its marks
	known  uint64             // count up to which in2 knows, and what is on disk with it

	outbox

	probe chan struct{} // of the pretended session of Probe

	will    *will
	willDue time.Duration // monotonic; the will waits for it; 0: it does not wait

	// What is on disk, see persist.go.
	saved     bool // the session's own entry is
	metaDirty bool
	metaAt    time.Duration // monotonic: when it was put there
	listed    bool          // among the broker's dirty sessions
	gone      []uint64      // stored messages that are to be deleted
}

// sessionKey binds a client id to a credential. Neither part can hold NUL.
func sessionKey(s access.Subject, clientID string) string {
	return s.String() + "\x00" + clientID
}

// persistent says whether the session outlives its connection and is kept on
// disk, see watch for one that is not. Needs s.mu.
func (s *session) persistent() bool { return s.expiry > 0 && !s.ended && s.secrets == 0 }

// open gives the session for a connection that holds the slot of its key. It
// is an error if there are too many.
func (b *Broker) open(c *conn, h *hello, subject access.Subject) (s *session, present bool, err error) {
	key := sessionKey(subject, h.clientID)
	for {
		b.mu.Lock()
		s = b.sessions[key]
		b.mu.Unlock()
		if s != nil && (h.clean || s.lapsed(b.mono())) {
			b.end(s) // publishes a will that was waiting
			s = nil
		}
		present = s != nil
		if s == nil {
			s = &session{b: b, key: key, subject: subject, clientID: h.clientID,
				subs: map[string]*subscription{}, in2: map[uint16]*ticket{}, markID: b.newMark()}
			if !b.addSession(s) {
				return nil, false, errTooManySessions
			}
		}
		s.mu.Lock()
		if !s.ended {
			break
		}
		s.mu.Unlock() // its time ended just now
	}
	defer s.mu.Unlock()
	s.conn, s.ready = c, false
	s.version = c.version
	s.metaDirty = true
	s.expiry = min(h.expiry, b.limits.SessionExpiry)
	s.will, s.willDue = h.will, 0
	if h.will != nil {
		h.will.addr = c.remote
	}
	s.window = min(b.limits.Window, h.receiveMaximum)
	c.onDrain = s.drained
	s.markDirty()
	if s.markID != 0 && !s.saved && s.lasting() {
		b.whenStored(func(error) {}) // soon: marks are of no use without their session
	}
	return s, present, nil
}

// addSession registers s. At the limit the session that has been absent for
// longest makes room, of the credential that has most.
func (b *Broker) addSession(s *session) bool {
	b.mu.Lock()
	full := len(b.sessions) >= b.limits.Sessions
	if !full {
		b.sessions[s.key] = s
	}
	b.mu.Unlock()
	if !full {
		return true
	}
	victim := b.longestAbsent()
	if victim == nil {
		return false
	}
	b.notice("sessions", "too many sessions: the one absent for longest is dropped", "client", victim.clientID, "credential", victim.subject.String())
	b.count.dropped.add("session_evicted")
	b.end(victim)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.sessions) >= b.limits.Sessions {
		return false
	}
	b.sessions[s.key] = s
	return true
}

func (b *Broker) longestAbsent() *session {
	type heap struct {
		n      int
		oldest *session
		since  time.Duration
	}
	heaps := map[string]*heap{}
	var best *heap
	for _, s := range b.allSessions() {
		s.mu.Lock()
		absent, since := s.conn == nil && !s.ended, s.absent
		s.mu.Unlock()
		if !absent {
			continue
		}
		h := heaps[s.subject.String()]
		if h == nil {
			h = &heap{}
			heaps[s.subject.String()] = h
		}
		if h.n++; h.oldest == nil || since < h.since {
			h.oldest, h.since = s, since
		}
		if best == nil || h.n > best.n {
			best = h
		}
	}
	if best == nil {
		return nil
	}
	return best.oldest
}

func (b *Broker) allSessions() []*session {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]*session, 0, len(b.sessions))
	for _, s := range b.sessions {
		out = append(out, s)
	}
	return out
}

// lapsed says whether the session's time is over.
func (s *session) lapsed(now time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == nil && now-s.absent >= s.expiry
}

// start lets messages flow: first those that were on their way when the former
// connection ended, in their order (MQTT 5.0 section 4.4), then the rest.
func (s *session) start(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return
	}
	s.ready = true
	s.online.Store(true)
	s.resume()
	s.pump()
}

// leave takes the connection off the session after its last packet, publishes
// the will if it is due, and ends a session that does not outlive it.
func (s *session) leave(c *conn) {
	s.online.Store(false)
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return
	}
	s.conn, s.ready = nil, false
	s.absent = s.b.mono()
	bye := c.bye.Load()
	if bye != nil && bye.hasExpiry {
		s.expiry = min(time.Duration(bye.expiry)*time.Second, s.b.limits.SessionExpiry)
	}
	s.metaDirty = true
	s.dropFleeting()
	watches := s.pause()
	w := s.will
	if bye != nil && !bye.will {
		w = nil
	}
	s.will = nil
	delay := time.Duration(0)
	if w != nil {
		delay = min(w.delay, s.expiry)
	}
	if delay > 0 {
		s.will, s.willDue = w, s.absent+delay
		w = nil
	}
	over := s.expiry == 0
	if !over {
		s.markDirty()
	}
	s.mu.Unlock()
	unwatch(watches...)
	if w != nil {
		s.b.fire(s, w)
	}
	if over {
		s.b.end(s)
	}
}

// end forgets a session. A will that was waiting is published.
func (b *Broker) end(s *session) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	s.online.Store(false)
	w, c := s.will, s.conn
	s.will, s.willDue, s.conn, s.ready = nil, 0, nil, false
	watches := s.pause()
	subs := s.subs
	s.subs, s.in2 = map[string]*subscription{}, map[uint16]*ticket{}
	s.clearOutbox()
	s.markDirty()
	marked := s.count > 0
	s.mu.Unlock()
	if marked {
		b.marks.ForgetMarks(s.markID, math.MaxUint64)
	}
	unwatch(watches...)
	for _, sub := range subs {
		if sub.api {
			b.apiSubs.Add(-1)
		} else {
			b.index.remove(sub)
		}
	}
	b.mu.Lock()
	if b.sessions[s.key] == s {
		delete(b.sessions, s.key)
	}
	b.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
	if w != nil {
		b.fire(s, w)
	}
}

// overdue handles what time brings to an absent session.
func (s *session) overdue(now time.Duration) {
	s.mu.Lock()
	var w *will
	if s.will != nil && s.willDue > 0 && now >= s.willDue {
		w, s.will, s.willDue = s.will, nil, 0
	}
	over := s.conn == nil && !s.ended && now-s.absent >= s.expiry
	s.mu.Unlock()
	if w != nil {
		s.b.fire(s, w)
	}
	if over {
		s.b.end(s)
	}
}
