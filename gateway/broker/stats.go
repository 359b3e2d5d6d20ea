package broker

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats is what the broker counts. Counters run since the start.
type Stats struct {
	Clients       int // connected now
	ClientsMax    int // the most at once
	Pending       int // connections that have not been let in
	Sessions      int // connected or kept
	Subscriptions int
	Retained      int
	RetainedBytes int64
	QueueMessages int64 // waiting for subscribers or in flight to them
	QueueBytes    int64

	Connections uint64 // let in
	BytesIn     uint64
	BytesOut    uint64
	MessagesIn  uint64 // publishes that clients sent
	MessagesOut uint64 // publishes sent to clients
	Panics      uint64 // caught
	Wills       uint64 // published
	Damaged     uint64 // stored entries that could not be read
	FlushErrors uint64 // failed writes of sessions and retained messages

	// By reason.
	Refused map[string]uint64 // connections that were not let in
	Closed  map[string]uint64 // connections that the broker closed
	Dropped map[string]uint64 // messages that a subscriber did not get
}

// counters are the Stats while they move.
type counters struct {
	connections, bytesIn, bytesOut, messagesIn, messagesOut atomic.Uint64
	panics, wills, damaged, flushErrors                     atomic.Uint64
	queueMessages, queueBytes                               atomic.Int64
	refused, closed, dropped                                tally
}

// tally counts by reason.
type tally struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (t *tally) add(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]uint64{}
	}
	t.n[reason]++
}

func (t *tally) copy() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[string]uint64, len(t.n))
	for k, v := range t.n {
		out[k] = v
	}
	return out
}

// Stats gives the counters.
func (b *Broker) Stats() Stats {
	c := &b.count
	s := Stats{
		Connections:   c.connections.Load(),
		BytesIn:       c.bytesIn.Load(),
		BytesOut:      c.bytesOut.Load(),
		MessagesIn:    c.messagesIn.Load(),
		MessagesOut:   c.messagesOut.Load(),
		Panics:        c.panics.Load(),
		Wills:         c.wills.Load(),
		Damaged:       c.damaged.Load(),
		FlushErrors:   c.flushErrors.Load(),
		QueueMessages: c.queueMessages.Load(),
		QueueBytes:    c.queueBytes.Load(),
		Refused:       c.refused.copy(),
		Closed:        c.closed.copy(),
		Dropped:       c.dropped.copy(),
		Subscriptions: b.subscriptions(),
	}
	s.Retained, s.RetainedBytes = b.retained.size()
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Clients, s.ClientsMax = b.online, b.onlineMax
	s.Pending = b.waiting + b.loggingIn
	s.Sessions = len(b.sessions)
	return s
}

// notices lets one line per cause and minute through to the log.
type notices struct {
	mu     sync.Mutex
	last   map[string]time.Duration
	silent map[string]int
}

// due says whether a notice of cause is to be logged now, and how many were not
// since the last. One that is not is counted. Where causes come by the thousand,
// asking first spares what a notice is made of.
func (b *Broker) due(cause string) (silent int, ok bool) {
	now := b.mono()
	n := &b.notices
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last, n.silent = map[string]time.Duration{}, map[string]int{}
	}
	if last, before := n.last[cause]; before && now-last < time.Minute {
		n.silent[cause]++
		return 0, false
	}
	n.last[cause] = now
	silent = n.silent[cause]
	n.silent[cause] = 0
	return silent, true
}

// notice logs a warning, at most one per cause and minute.
func (b *Broker) notice(cause, msg string, args ...any) {
	if silent, ok := b.due(cause); ok {
		b.warn(silent, msg, args...)
	}
}

// warn logs what is due.
func (b *Broker) warn(silent int, msg string, args ...any) {
	if silent > 0 {
		args = append(args, "since_last_line", silent)
	}
	b.log.Warn(msg, args...)
}
