package broker

import (
	"strings"
	"sync"
	"time"
)

// retained keeps the last retained message of each topic (MQTT 5.0 section
// 3.3.1.3).
type retained struct {
	mu       sync.RWMutex
	root     leaf
	n        int
	bytes    int64
	maxN     int
	maxBytes int64
	dirty    map[string]bool // topics that are not on disk as they are here
}

type leaf struct {
	next map[string]*leaf
	msg  *message
}

// set keeps m for its topic, or with an empty payload forgets what is kept. It
// is false if there is no room for m; the former message is forgotten then,
// because it is no longer the last.
func (r *retained) set(m *message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(m.payload) == 0 {
		r.put(m.topic, nil)
		return true
	}
	old := r.find(m.topic)
	n, bytes := r.n+1, r.bytes+int64(m.size)
	if old != nil {
		n, bytes = n-1, bytes-int64(old.size)
	}
	if n > r.maxN || bytes > r.maxBytes {
		r.put(m.topic, nil)
		return false
	}
	r.put(m.topic, m)
	return true
}

// hasRoom says whether a message of size bytes could be kept for topic.
func (r *retained) hasRoom(topic string, size int) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n, bytes := r.n+1, r.bytes+int64(size)
	if old := r.find(topic); old != nil {
		n, bytes = n-1, bytes-int64(old.size)
	}
	return n <= r.maxN && bytes <= r.maxBytes
}

func (r *retained) find(topic string) *message {
	n := &r.root
	for rest, more := topic, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		if n = n.next[level]; n == nil {
			return nil
		}
	}
	return n.msg
}

// get gives the message kept for topic, nil if there is none.
func (r *retained) get(topic string) *message {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.find(topic)
}

// put replaces the message of topic; nil removes it.
func (r *retained) put(topic string, m *message) {
	old := r.find(topic)
	if m == nil && old == nil {
		return
	}
	if m.kept() || old.kept() {
		r.dirty[topic] = true
	}
	r.place(&r.root, topic, true, m)
}

func (r *retained) place(n *leaf, rest string, more bool, m *message) {
	if !more {
		if n.msg != nil {
			r.n--
			r.bytes -= int64(n.msg.size)
		}
		if n.msg = m; m != nil {
			r.n++
			r.bytes += int64(m.size)
		}
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	child := n.next[level]
	if child == nil {
		child = &leaf{}
		if n.next == nil {
			n.next = map[string]*leaf{}
		}
		n.next[level] = child
	}
	r.place(child, rest, more, m)
	if child.msg == nil && len(child.next) == 0 {
		delete(n.next, level)
	}
}

func (r *retained) size() (n int, bytes int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.n, r.bytes
}

// match gives the messages whose topics match filter and that have not
// expired.
func (r *retained) match(filter string, now time.Duration) []*message {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []*message
	var walk func(n *leaf, rest string, more, first bool)
	walk = func(n *leaf, rest string, more, first bool) {
		if !more {
			if n.msg != nil && !n.msg.expired(now) {
				out = append(out, n.msg)
			}
			return
		}
		level, rest, more := strings.Cut(rest, "/")
		switch level {
		case "#":
			r.below(n, first, func(m *message) {
				if !m.expired(now) {
					out = append(out, m)
				}
			})
		case "+":
			for name, child := range n.next {
				if first && strings.HasPrefix(name, "$") {
					continue
				}
				walk(child, rest, more, false)
			}
		default:
			child := n.next[level]
			if child == nil {
				return
			}
			walk(child, rest, more, false)
		}
	}
	walk(&r.root, filter, true, true)
	return out
}

// below calls fn for n's message and all below it; topics that begin with '$'
// are left out at the root.
func (r *retained) below(n *leaf, root bool, fn func(*message)) {
	if n.msg != nil {
		fn(n.msg)
	}
	for name, child := range n.next {
		if root && strings.HasPrefix(name, "$") {
			continue
		}
		r.below(child, false, fn)
	}
}

// expire forgets what has expired.
func (r *retained) expire(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var gone []string
	r.below(&r.root, false, func(m *message) {
		if m.expired(now) {
			gone = append(gone, m.topic)
		}
	})
	for _, topic := range gone {
		r.put(topic, nil)
	}
}
