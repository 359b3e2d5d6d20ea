package access

import (
	"container/list"
	"context"
	"sync"
)

// slots bounds how much memory password hashing takes at once: each
// computation holds as many slots as it needs, those that wait get theirs in
// the order in which they came.
type slots struct {
	total int

	mu      sync.Mutex
	free    int
	waiting list.List // of *slotWaiter
}

type slotWaiter struct {
	n     int
	ready chan struct{}
}

func newSlots(n int) *slots { return &slots{total: n, free: n} }

// acquire takes n slots, or all of them if n is more than there are, and tells
// how many to release. The error is that of ctx.
func (s *slots) acquire(ctx context.Context, n int) (int, error) {
	n = min(n, s.total)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.waiting.Len() == 0 && s.free >= n {
		s.free -= n
		s.mu.Unlock()
		return n, nil
	}
	w := &slotWaiter{n: n, ready: make(chan struct{})}
	e := s.waiting.PushBack(w)
	s.mu.Unlock()

	select {
	case <-w.ready:
		return n, nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-w.ready: // granted just now
			s.free += n
		default:
			s.waiting.Remove(e)
		}
		s.grant()
		return 0, ctx.Err()
	}
}

func (s *slots) release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	s.grant()
}

func (s *slots) grant() {
	for e := s.waiting.Front(); e != nil; e = s.waiting.Front() {
		w := e.Value.(*slotWaiter)
		if w.n > s.free {
			return
		}
		s.free -= w.n
		s.waiting.Remove(e)
		close(w.ready)
	}
}
