package lorawan

import (
	"fmt"
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

// writeAgain is how long the writer waits when the disk has refused, writeSoon the
// same if a downlink could still make it to a window.
const (
	writeAgain = time.Second
	writeSoon  = 200 * time.Millisecond
)

// tidyEvery is how often records of the journal are deleted without anything else to
// write: a power cut an hour later must not bring an uplink up again.
const tidyEvery = time.Minute

// writeLoop writes changes until stop is closed, and once more then. What comes
// while a write goes on is in the next. A write that nobody is in a hurry for
// begins no sooner than Gather after the one before: what comes alone does not
// wait, and what comes in numbers costs the disk no more for it.
func (s *Server) writeLoop(stop <-chan struct{}) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for s.reread() {
		t.Reset(readAgain)
		select {
		case <-stop:
			return
		case <-t.C:
		}
	}
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	var next time.Time
	for {
		select {
		case <-stop:
			_ = s.flush(true)
			return
		case <-tidy.C:
			s.mu.Lock()
			s.tidy = s.tidy || len(s.done) > 0
			needed := s.tidy
			s.mu.Unlock()
			if !needed {
				continue
			}
		case <-s.write.nowC:
		case <-s.write.soonC:
			t.Reset(time.Until(next))
			select {
			case <-t.C:
			case <-s.write.nowC:
			case <-stop:
				_ = s.flush(true)
				return
			}
		}
		next = time.Now().Add(s.cfg.Gather)
		for err := s.flush(false); err != nil; err = s.flush(false) {
			if !s.sitOut(t, err, stop) {
				_ = s.flush(true)
				return
			}
		}
	}
}

// readAgain is how long the writer waits when the table could not be read.
const readAgain = 5 * time.Second

// reread reads the table if New could not, and reports whether it still cannot.
func (s *Server) reread() bool {
	s.mu.Lock()
	if !s.unread {
		s.mu.Unlock()
		return false
	}
	err := s.load()
	s.unread = err != nil
	s.mu.Unlock()
	if err != nil {
		s.cfg.Log.Debug("LoRaWAN state cannot be read", "error", err)
		return true
	}
	s.cfg.Log.Info("LoRaWAN state is read")
	s.begin()
	return false
}

// sitOut waits because the disk has refused, and has happen meanwhile what can do
// without it. False: stop is closed.
func (s *Server) sitOut(t *time.Timer, err error, stop <-chan struct{}) bool {
	again := time.Now().Add(writeAgain)
	for {
		s.mu.Lock()
		if len(s.effects) > 0 { // downlinks only
			if soon := time.Now().Add(writeSoon); soon.Before(again) {
				again = soon
			}
		}
		s.mu.Unlock()
		t.Reset(time.Until(again))
		select {
		case <-stop:
			return false
		case <-t.C:
			return true
		case <-s.write.nowC:
		case <-s.write.soonC:
		}
		s.doWithout(err, false)
	}
}

// flush writes all changes in one transaction, and then has their effects happen.
// If the disk refuses, changes stay for the next time, and with their effects
// doWithout deals.
func (s *Server) flush(last bool) error {
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
	if len(pairs) > 0 || last || s.tidy {
		s.enter(effects, pairs)
		s.done, s.tidy = nil, false
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
		return nil
	}
	s.refused(err)
	s.mu.Lock()
	for i, d := range changed {
		s.change(d, were[i])
	}
	s.unwritten(effects, pairs)
	s.effects = append(effects, s.effects...)
	s.mu.Unlock()
	s.doWithout(err, last)
	return err
}

// doWithout has happen what need not be on disk when the disk refuses: uplinks and
// states go to the application, as the local network is not to stand still because
// of it; that no frame is taken twice holds as long as the process lives. Enqueue
// gets the error. Nothing is sent, as its counter might be used again: a downlink
// waits until its last window has passed. With the last flush of a run it waits no
// longer.
func (s *Server) doWithout(why error, last bool) {
	now := time.Now()
	var lost []*outgoing
	s.mu.Lock()
	kept := s.effects[:0]
	for _, e := range s.effects {
		switch {
		case e.wait != nil:
			if e.item != nil {
				s.drop(e.dev, e.item)
			}
			e.wait <- why
		case e.send == nil:
			s.out.put(e)
		case last || e.send.item != nil && e.send.item.gone || !now.Before(e.send.latest()):
			lost = append(lost, e.send)
		default:
			kept = append(kept, e)
		}
	}
	clear(s.effects[len(kept):])
	s.effects = kept
	s.mu.Unlock()
	for _, o := range lost {
		s.landed(o, attempt{}, unsent, fmt.Errorf("its counter cannot be written: %w", why))
	}
}

// refused and wrote say in the log when the disk begins to refuse and when it
// stops.
func (s *Server) refused(err error) {
	s.count.writeErrors.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing {
		s.cfg.Log.Error("LoRaWAN state cannot be written; nothing is sent until it can, uplinks are handed on", "error", err)
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
		s.handOn(e)
		return
	}
	s.cfg.OnDownlink(*e.state)
	if e.item != nil {
		s.forgetItem(e.dev, e.item)
	}
}
