package lorawan

import (
	"slices"
	"sync"
	"time"
)

// effect is what is to happen when all changes made before it are on disk. Only
// one of uplink, state, send and wait is set, but for an item that is queued.
type effect struct {
	dev      *device
	uplink   *Uplink
	state    *DownlinkState
	send     *outgoing
	wait     chan error // Enqueue waits for it
	item     *item      // with wait: what is queued; with state: what has come to its end
	replaces *item
	batch    *batch // with uplink: its record in the journal
}

// effect adds an effect behind the changes so far.
func (s *Server) effect(e effect) { s.effects = append(s.effects, e) }

// signal wakes the writer.
type signal struct{ soonC, nowC chan struct{} }

func newSignal() signal { return signal{make(chan struct{}, 1), make(chan struct{}, 1)} }

// soon asks for a write that others may share.
func (s signal) soon() { notify(s.soonC) }

// now asks for a write at once.
func (s signal) now() { notify(s.nowC) }

// writeAgain is how long the writer waits when the disk has refused.
const writeAgain = time.Second

// writeLoop writes changes until stop is closed, and once more then. What comes
// while a write goes on is in the next.
func (s *Server) writeLoop(stop <-chan struct{}) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-stop:
			s.flush(true)
			return
		case <-s.write.nowC:
		case <-s.write.soonC:
			t.Reset(s.cfg.Gather)
			select {
			case <-t.C:
			case <-s.write.nowC:
			case <-stop:
				s.flush(true)
				return
			}
		}
		for !s.flush(false) {
			t.Reset(writeAgain)
			select {
			case <-t.C:
			case <-stop:
				s.flush(true)
				return
			}
		}
	}
}

// flush writes all changes in one transaction, and then has their effects happen.
// If the disk refuses, changes and effects stay, but for what Enqueue waits for.
// With the last flush of a run, what would wait for another gets its error.
func (s *Server) flush(last bool) bool {
	s.mu.Lock()
	changed, effects := s.changed, s.effects
	s.changed, s.effects = nil, nil
	pairs := make(map[string][]byte, len(changed))
	were := make([]dirty, len(changed))
	for i, d := range changed {
		were[i] = d.dirty
		s.encode(d, pairs)
		d.dirty = 0
	}
	if len(pairs) > 0 || last {
		s.enter(effects, pairs)
		s.done = nil
	}
	s.mu.Unlock()
	var err error
	if len(pairs) > 0 {
		s.count.writes.Add(1)
		err = s.cfg.Table.Write(pairs)
	}
	if err == nil {
		s.wrote()
		for _, e := range effects {
			s.happen(e)
		}
		return true
	}
	s.refused(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, d := range changed {
		s.change(d, were[i])
	}
	s.left(effects, pairs)
	effects = slices.DeleteFunc(effects, func(e effect) bool {
		if e.wait == nil {
			return last
		}
		if e.item != nil {
			s.drop(e.dev, e.item)
		}
		e.wait <- err
		return true
	})
	s.effects = append(effects, s.effects...)
	return false
}

// refused and wrote say in the log when the disk begins to refuse and when it
// stops.
func (s *Server) refused(err error) {
	s.count.writeErrors.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing {
		s.cfg.Log.Error("LoRaWAN state cannot be written; uplinks and downlinks wait", "error", err)
	}
	s.failing = true
}

func (s *Server) wrote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		s.cfg.Log.Info("LoRaWAN state can be written again")
	}
	s.failing = false
}

// happen has an effect happen, whose changes are on disk.
func (s *Server) happen(e effect) {
	switch {
	case e.send != nil:
		s.fly(e.send)
	case e.wait != nil:
		if e.item != nil {
			s.kept(e.dev, e.item, e.replaces)
		}
		e.wait <- nil
	default:
		s.out.put(e)
	}
}

// outbox has what the application is to hear, in order.
type outbox struct {
	wake chan struct{}

	mu     sync.Mutex
	queue  []effect
	closed bool
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) put(e effect) {
	o.mu.Lock()
	o.queue = append(o.queue, e)
	o.mu.Unlock()
	notify(o.wake)
}

// close ends run when all has been told.
func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	notify(o.wake)
}

// run calls the application.
func (o *outbox) run(s *Server) {
	for {
		o.mu.Lock()
		effects, closed := o.queue, o.closed
		o.queue = nil
		o.mu.Unlock()
		for _, e := range effects {
			s.tell(e)
		}
		if len(effects) == 0 {
			if closed {
				return
			}
			<-o.wake
		}
	}
}

func (s *Server) tell(e effect) {
	if e.uplink != nil {
		s.cfg.OnUplink(e.uplink)
		s.waiting.Add(-1)
		s.handedOn(e)
		return
	}
	s.cfg.OnDownlink(*e.state)
	if e.item != nil {
		s.forgetItem(e.dev, e.item)
	}
}
