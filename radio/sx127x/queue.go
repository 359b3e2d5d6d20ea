package sx127x

import (
	"slices"
	"sync"
	"time"

	"fieldgate/radio"
)

// entry is a transmission that waits for its time.
type entry struct {
	air     air
	payload []byte
	power   int // dBm at the pin
	due     time.Time
	airtime time.Duration
	done    chan error // takes one
}

// end is when the radio receives again, roughly.
func (e *entry) end() time.Time { return e.due.Add(e.airtime + 5*time.Millisecond) }

// maxQueued is how many transmissions may wait.
const maxQueued = 32

// queue has the transmissions that wait, ordered by time.
type queue struct {
	wake chan struct{} // the first one has changed

	mu      sync.Mutex
	open    bool
	why     error // it is not open
	entries []*entry
	current *entry // being sent
}

func (q *queue) init() {
	q.wake = make(chan struct{}, 1)
	q.why = radio.ErrDown
}

// add takes e, or says why it cannot be sent. Anytime: it is sent at the first time
// that is free from e.due on.
func (q *queue) add(e *entry, anytime bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.open:
		return q.why
	case len(q.entries) >= maxQueued:
		return radio.ErrCollision
	}
	others := q.entries
	if q.current != nil {
		others = append([]*entry{q.current}, others...)
	}
	for _, o := range others {
		if e.due.Add(-lead).Before(o.end()) && o.due.Add(-lead).Before(e.end()) {
			if !anytime {
				return radio.ErrCollision
			}
			e.due = o.end().Add(lead)
		}
	}
	at, _ := slices.BinarySearchFunc(q.entries, e, func(x, y *entry) int { return x.due.Compare(y.due) })
	q.entries = slices.Insert(q.entries, at, e)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// remove takes e back; false if it is not there any more.
func (q *queue) remove(e *entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.entries, e)
	if i < 0 {
		return false
	}
	q.entries = slices.Delete(q.entries, i, i+1)
	return true
}

// next is when the first one is to be prepared; zero if there is none.
func (q *queue) next() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		return time.Time{}
	}
	return q.entries[0].due.Add(-lead)
}

// take gives the first one if it is to be prepared now.
func (q *queue) take() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 || time.Until(q.entries[0].due) > lead {
		return nil
	}
	q.current = q.entries[0]
	q.entries = slices.Delete(q.entries, 0, 1)
	return q.current
}

// finish ends the one that was taken.
func (q *queue) finish(err error) {
	q.mu.Lock()
	e := q.current
	q.current = nil
	q.mu.Unlock()
	if e != nil {
		e.done <- err
	}
}

// begin has the queue take transmissions.
func (q *queue) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = true
}

// stop has it refuse them, with err, and ends those that wait with it.
func (q *queue) stop(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open, q.why = false, err
	for _, e := range q.entries {
		e.done <- err
	}
	q.entries = nil
}
