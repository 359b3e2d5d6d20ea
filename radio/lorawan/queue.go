package lorawan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Downlink is what an application wants a device to get.
type Downlink struct {
	Device string
	// ID is the application's name for it, up to 64 bytes. One that is in the queue
	// already is not queued again.
	ID string
	// Tag says what it is for, such as an actuator's name, up to 64 bytes: it takes
	// the place of what was queued with the same tag and not sent yet. "": of nothing.
	Tag       string
	FPort     uint8 // 1 to 223
	Payload   []byte
	Confirmed bool
	Priority  int8      // higher ones go first
	Expires   time.Time // zero: it waits for ever
}

// State says what became of a downlink.
type State uint8

// The states. Sent is the last one of what is not confirmed.
const (
	Queued State = iota
	Sent
	Acknowledged
	Expired
	Refused
)

// String is such as "queued".
func (s State) String() string {
	switch s {
	case Sent:
		return "sent"
	case Acknowledged:
		return "acknowledged"
	case Expired:
		return "expired"
	case Refused:
		return "refused"
	}
	return "queued"
}

// DownlinkState tells the application what became of what it queued.
type DownlinkState struct {
	Device, ID, Tag string
	State           State
	// Last says that no other state follows.
	Last bool
	// Why says why it is refused or expired, why it is queued still although it was
	// tried, or which window it was sent in.
	Why  string
	FCnt uint32 // of the last try, if Sends is not 0
	// Sends is how often it was sent.
	Sends int
	At    time.Time
}

// Errors of Enqueue.
var (
	ErrUnknownDevice = errors.New("no such device")
	ErrFull          = errors.New("the device's queue is full")
	ErrTooLong       = errors.New("longer than any data rate allows")
	ErrDownlink      = errors.New("a downlink needs an ID and an FPort from 1 to 223")
	ErrStopped       = errors.New("the server has stopped")
	ErrUnready       = errors.New("the devices' records cannot be read yet")
	ErrBroken        = errors.New("the device's record is damaged")
)

// MaxQueue is how much may be queued for a device.
const MaxQueue = 16

// item is a downlink in a queue.
type item struct {
	id, tag   string
	why       string
	payload   []byte
	expires   time.Duration // never: it does not
	until     int64         // the same in ms since 1970
	order     uint64
	sentAt    time.Duration
	fcnt      uint32
	port      uint8
	sends     uint8
	priority  int8
	confirmed bool
	flying    bool // on its way to a radio
	waiting   bool // sent, the acknowledgement is open
	answered  bool // it was sent with the acknowledgement of a confirmed uplink
	gone      bool // it could not be stored, and whoever queued it knows
	final     bool // it is in its last state, which the application is to hear of
	state     State
}

// Enqueue queues a downlink, which is on disk when it returns nil. It waits for
// Run to begin. A downlink is sent at least once: killed after the radio has sent
// it and before that is on disk, the server sends it again, with another counter.
// Errors: ErrUnknownDevice, ErrFull, ErrTooLong, ErrDownlink, ErrBroken,
// ErrUnready, ErrStopped, that of the disk, and that of ctx, after which it may be queued all
// the same.
func (s *Server) Enqueue(ctx context.Context, q Downlink) error {
	if q.ID == "" || len(q.ID) > 64 || len(q.Tag) > 64 || q.FPort < 1 || q.FPort > 223 {
		return fmt.Errorf("lorawan: enqueue: %w", ErrDownlink)
	}
	done := make(chan error, 1)
	if err := s.enqueue(q, done); err != nil {
		return fmt.Errorf("lorawan: enqueue: %w", err)
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("lorawan: enqueue: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("lorawan: enqueue: %w", ctx.Err())
	}
}

func (s *Server) enqueue(q Downlink, done chan error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.byName[q.Device]
	switch {
	case d == nil:
		return fmt.Errorf("%w: %.64q", ErrUnknownDevice, q.Device)
	case s.unread:
		return ErrUnready
	case d.broken:
		return ErrBroken
	case s.stopped:
		return ErrStopped
	case len(q.Payload) > d.plan.longest():
		return fmt.Errorf("%w: %d bytes, %d at most", ErrTooLong, len(q.Payload), d.plan.longest())
	}
	if i := slices.IndexFunc(d.queue, func(i *item) bool { return i.id == q.ID }); i >= 0 {
		s.effect(effect{dev: d, wait: done})
		s.write.now()
		return nil
	}
	open, older := 0, (*item)(nil)
	for _, i := range d.queue {
		if i.final {
			continue
		}
		open++
		if q.Tag != "" && i.tag == q.Tag && i.sends == 0 && !i.flying {
			older = i
		}
	}
	if open >= MaxQueue && older == nil {
		return fmt.Errorf("%w: %d", ErrFull, open)
	}
	s.sequence++
	it := &item{id: q.ID, tag: q.Tag, payload: slices.Clone(q.Payload), expires: never, order: s.sequence, port: q.FPort,
		priority: q.Priority, confirmed: q.Confirmed}
	if !q.Expires.IsZero() {
		it.expires, it.until = s.tick()+time.Until(q.Expires), q.Expires.UnixMilli()
	}
	d.queue = append(d.queue, it)
	slices.SortStableFunc(d.queue, func(a, b *item) int {
		if a.priority != b.priority {
			return int(b.priority) - int(a.priority)
		}
		return int(int64(a.order) - int64(b.order))
	})
	s.change(d, dirtyQueue)
	s.effect(effect{dev: d, item: it, replaces: older, wait: done})
	s.schedule(d)
	s.write.now()
	return nil
}

// kept tells that an item is on disk, and what had its tag before that it is not
// to be sent any more.
func (s *Server) kept(d *device, it, older *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.put(effect{dev: d, state: s.stateOf(d, it, Queued, "")})
	if d.cfg.classC() && d.retryAt != 0 {
		// What kept others from being sent may not concern it, and its state says why
		// it cannot be sent either.
		d.retryAt = 0
		s.schedule(d)
		notify(s.wake)
	}
	if older != nil && !older.final && !older.flying && older.sends == 0 {
		s.report(d, older, Refused, "a newer command took its place")
		s.schedule(d)
		s.write.soon()
	}
}

// drop takes an item out of its queue that could not be stored.
func (s *Server) drop(d *device, it *item) {
	it.gone = true
	d.queue = slices.DeleteFunc(d.queue, func(i *item) bool { return i == it })
	s.change(d, dirtyQueue)
	s.schedule(d)
}

// pick gives what is to be sent next of what fits into size bytes. A confirmed
// downlink that may have been sent comes before all others, and nothing goes
// while its acknowledgement is open.
func (d *device) pick(size int) *item {
	var next *item
	for _, i := range d.queue {
		switch {
		case i.final:
		case i.flying && i.confirmed, i.waiting:
			return nil
		case i.flying:
		case i.confirmed && i.sends > 0 && len(i.payload) <= size:
			return i
		case next == nil && len(i.payload) <= size:
			next = i
		}
	}
	return next
}

// more reports whether something besides it is queued that has room in size bytes.
// What has none must not be announced: a device asks for it again and again.
func (d *device) more(it *item, size int) bool {
	return slices.ContainsFunc(d.queue, func(i *item) bool { return i != it && !i.final && !i.flying && len(i.payload) <= size })
}

// report gives an item a state, which the application hears of when it is on disk.
func (s *Server) report(d *device, it *item, st State, why string) {
	it.state, it.why = st, why
	if st == Acknowledged || st == Expired || st == Refused || st == Sent && !it.confirmed {
		it.final, it.waiting = true, false
	}
	s.change(d, dirtyQueue)
	e := effect{dev: d, state: s.stateOf(d, it, st, why)}
	if it.final {
		e.item = it
	}
	s.effect(e)
}

func (s *Server) stateOf(d *device, it *item, st State, why string) *DownlinkState {
	return &DownlinkState{Device: d.cfg.Device, ID: it.id, Tag: it.tag, State: st, Last: it.final, Why: why, FCnt: it.fcnt,
		Sends: int(it.sends), At: time.Now()}
}

// forgetItem takes an item out of its queue whose last state the application has
// heard of. That goes to disk with the next write; until then a crash has it told
// again.
func (s *Server) forgetItem(d *device, it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.queue = slices.DeleteFunc(d.queue, func(i *item) bool { return i == it })
	if len(d.queue) == 0 {
		d.queue = nil
	}
	s.change(d, dirtyQueue)
}

// expire ends what has waited too long.
func (s *Server) expire(d *device, now time.Duration) {
	for _, i := range d.queue {
		if i.final || i.flying || i.expires > now {
			continue
		}
		why := "the device was not heard in time"
		switch {
		case i.waiting:
			why = "the device did not acknowledge it in time"
		case i.why != "":
			why = i.why
		case d.now != nil && len(i.payload) > d.plan.rx2(&d.now.link).size:
			why = fmt.Sprintf("%d bytes are too long for the data rates in use", len(i.payload))
		}
		s.report(d, i, Expired, why)
		s.write.soon()
	}
}

// settle follows the acknowledgement of a confirmed downlink, which an uplink that
// began at at, after it, has or has not.
func (s *Server) settle(d *device, ack bool, at time.Duration) {
	for _, i := range d.queue {
		if i.final || !i.confirmed || i.sends == 0 || !i.flying && !i.waiting {
			continue
		}
		switch {
		case ack:
			s.report(d, i, Acknowledged, "")
		case i.waiting && at > i.sentAt:
			s.notAcknowledged(d, i)
		}
		return
	}
}

// unheard has a confirmed downlink sent again that went with an acknowledgement
// for which the device asks once more.
func (s *Server) unheard(d *device, at time.Duration) {
	for _, i := range d.queue {
		if i.waiting && i.answered && !i.final && at > i.sentAt {
			s.notAcknowledged(d, i)
			s.write.soon()
			return
		}
	}
}

// notAcknowledged has an item sent again, or gives it up.
func (s *Server) notAcknowledged(d *device, i *item) {
	i.waiting = false
	if i.sends >= d.cfg.sends() {
		s.report(d, i, Refused, fmt.Sprintf("not acknowledged after it was sent %d times", i.sends))
	}
	s.change(d, dirtyQueue)
}

// unacknowledged gives up waiting for a device of class C.
func (s *Server) unacknowledged(d *device, now time.Duration) {
	if !d.cfg.classC() {
		return
	}
	for _, i := range d.queue {
		if i.waiting && !i.final && i.sentAt+classCAck <= now {
			s.notAcknowledged(d, i)
			s.write.soon()
		}
	}
}

// nextItem is when an item of d wants something to be done.
func (s *Server) nextItem(d *device) time.Duration {
	due := never
	for _, i := range d.queue {
		if i.final || i.flying {
			continue
		}
		due = min(due, i.expires)
		if i.waiting && d.cfg.classC() {
			due = min(due, i.sentAt+classCAck)
		}
	}
	return due
}

// listens reports whether something can be sent to d without an uplink.
func (s *Server) listens(d *device) bool {
	return d.cfg.classC() && d.now != nil && d.now.heard && d.window == nil && d.flights == 0 && d.radio != 0 && !d.joining &&
		d.pick(d.plan.longest()) != nil
}
