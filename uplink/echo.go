package uplink

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"fieldgate/gateway/access"
)

const (
	echoAge = 2 * time.Minute // how long an echo may take while the down connection stands
	echoMax = 10_000          // publishes remembered
)

// echoes tells own publishes that come back, on topics that are both published
// and subscribed to, from news. What carries an id of this gateway is its own.
// Of the rest it remembers what was sent: how often which payload on which
// topic. The memory is bounded, and what did not come back within echoAge while
// the down connection stood is forgotten, so that a command from the cloud that
// happens to look the same is dropped once at most.
type echoes struct {
	seed maphash.Seed
	now  func() time.Time

	mu      sync.Mutex
	mark    string // what an id of this gateway begins with
	filters map[string]byte
	since   time.Time // the down connection stands since then; zero: it does not
	sentBy  map[uint64][]*echo
	queue   []*echo
}

type echo struct {
	key  uint64
	at   time.Time
	back bool
}

func (e *echoes) init(gatewayID string) {
	e.seed, e.now = maphash.MakeSeed(), time.Now
	e.mark = gatewayID + "/"
	e.sentBy = map[uint64][]*echo{}
}

// listen tells which topics come back.
func (e *echoes) listen(filters map[string]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.filters = filters
}

// up tells that the down connection stands, or does not any more.
func (e *echoes) up(up bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.since = time.Time{}
	if up {
		e.since = e.now()
	}
}

func (e *echoes) key(topic string, payload []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(e.seed)
	h.WriteString(topic)
	h.WriteByte(0) // in no topic
	h.Write(payload)
	return h.Sum64()
}

// sent remembers a publish if it is going to come back without an id.
func (e *echoes) sent(m message) {
	if m.marked {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for f := range e.filters {
		if access.MatchTopic(f, m.topic) {
			s := &echo{key: e.key(m.topic, m.payload), at: e.now()}
			e.sentBy[s.key] = append(e.sentBy[s.key], s)
			e.queue = append(e.queue, s)
			e.forget()
			return
		}
	}
}

// forget drops what is too old or too much.
func (e *echoes) forget() {
	now := e.now()
	for len(e.queue) > 0 {
		s := e.queue[0]
		at := s.at
		if e.since.After(at) {
			at = e.since
		}
		old := !e.since.IsZero() && now.Sub(at) > echoAge
		if !s.back && !old && len(e.queue) <= echoMax {
			return
		}
		if !s.back {
			e.drop(s.key)
		}
		e.queue[0] = nil
		e.queue = e.queue[1:]
	}
}

// drop takes the oldest publish with that key out.
func (e *echoes) drop(key uint64) *echo {
	list := e.sentBy[key]
	if len(list) == 1 {
		delete(e.sentBy, key)
	} else {
		e.sentBy[key] = list[1:]
	}
	return list[0]
}

// own reports whether a message that came is one that this gateway sent.
func (e *echoes) own(topic string, payload []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if bytes.Contains(payload, []byte(`"id"`)) {
		var m struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(payload, &m) == nil && strings.HasPrefix(m.ID, e.mark) {
			return true
		}
	}
	e.forget()
	key := e.key(topic, payload)
	if len(e.sentBy[key]) == 0 {
		return false
	}
	e.drop(key).back = true
	return true
}
