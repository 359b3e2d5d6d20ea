package station

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/lorawan"
)

// command is the last command to an actuator, and what became of it. It is the
// content of the retained topic devices/D/actuators/A/status on the local broker.
type command struct {
	State string          `json:"state"` // queued, sent, acknowledged, expired or refused
	ID    string          `json:"id"`
	Value json.RawMessage `json:"value"`
	// Reason says why it is refused or expired, or why it is queued still although it
	// was tried.
	Reason string     `json:"reason,omitempty"`
	Sends  int        `json:"sends,omitempty"`
	Since  *time.Time `json:"since,omitempty"` // absent while the clock is unset
}

// record is what the table has of an actuator. Records are replaced, never changed.
type record struct {
	command
	Device    string    `json:"device"`
	Actuator  string    `json:"actuator"`
	Confirmed bool      `json:"confirmed,omitempty"`
	Expires   time.Time `json:"expires,omitzero"` // of a command to a device without LoRaWAN
	// Older are commands before this one that may be sent still: what such a command
	// brings the actuator to is its state until this one is sent.
	Older []past `json:"older,omitempty"`
}

type past struct {
	ID    string          `json:"id"`
	Value json.RawMessage `json:"value"`
}

// actuatorID names an actuator in the table. Neither id can have a '/'.
func actuatorID(device, actuator string) string { return device + "/" + actuator }

// open reports whether the last command may be sent still, or be acknowledged.
func (r *record) open() bool {
	return r.State == lorawan.Queued.String() || r.Confirmed && r.State == lorawan.Sent.String()
}

// maxOlder bounds Older. There are as many as can be in a device's queue.
const maxOlder = lorawan.MaxQueue

// next is the record that follows r, which may be nil, when a new command comes.
func (r *record) next(n record) *record {
	if r != nil {
		n.Older = slices.Clone(r.Older)
		if r.open() {
			n.Older = append(n.Older, past{r.ID, r.Value})
		}
		n.Older = n.Older[max(0, len(n.Older)-maxOlder):]
	}
	return &n
}

// with gives r with another command in its place.
func (r *record) with(c command) *record {
	n := *r
	n.command = c
	return &n
}

// without gives r without one of its older commands.
func (r *record) without(id string) *record {
	n := *r
	n.Older = slices.DeleteFunc(slices.Clone(r.Older), func(p past) bool { return p.ID == id })
	return &n
}

// older finds one of the older commands; r may be nil.
func (r *record) older(id string) (past, bool) {
	if r == nil {
		return past{}, false
	}
	i := slices.IndexFunc(r.Older, func(p past) bool { return p.ID == id })
	if i < 0 {
		return past{}, false
	}
	return r.Older[i], true
}

// book has the record of each actuator, on disk and on the local broker.
type book struct {
	table  gateway.Table // nil: it ends with the process
	clock  gateway.Clock
	tell   func(gateway.Message) // may be nil
	change turn                  // held from reading records until what follows of them is written

	mu      sync.Mutex // guards records, and keeps what is told in order
	records map[string]*record
}

func newBook(table gateway.Table, clock gateway.Clock, tell func(gateway.Message)) *book {
	return &book{table: table, clock: clock, tell: tell, change: make(turn, 1), records: map[string]*record{}}
}

// turn is a lock that is held for as long as the disk takes. It is a channel, so
// that on a test's own clock time goes on for who holds it.
type turn chan struct{}

func (t turn) lock()   { t <- struct{}{} }
func (t turn) unlock() { <-t }

// load reads the table.
func (b *book) load(log *slog.Logger) error {
	if b.table == nil {
		return nil
	}
	return b.table.Each(func(key string, value []byte) error {
		r := &record{}
		if err := json.Unmarshal(value, r); err != nil || actuatorID(r.Device, r.Actuator) != key {
			log.Error("a command on disk cannot be read", "actuator", key, "error", errors.Join(err, errRecord))
			return nil
		}
		b.records[key] = r
		return nil
	})
}

var errRecord = errors.New("station: damaged record")

// get gives an actuator's record, nil if it has none.
func (b *book) get(id string) *record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records[id]
}

// stamp gives c with the time of its state.
func (b *book) stamp(c command) command {
	c.Since = nil
	if now := b.clock.Now(); now.Quality != gateway.ClockUnset {
		at := now.Wall.UTC().Truncate(time.Second)
		c.Since = &at
	}
	return c
}

// write stores records in one transaction. Change is held. What the disk refuses
// is not noted: put does that.
func (b *book) write(changed map[string]*record) error {
	if b.table == nil || len(changed) == 0 {
		return nil
	}
	pairs := make(map[string][]byte, len(changed))
	for id, r := range changed {
		if r == nil {
			pairs[id] = nil
			continue
		}
		raw, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("station: command: %w", err)
		}
		pairs[id] = raw
	}
	if err := b.table.Write(pairs); err != nil {
		return fmt.Errorf("station: command: %w", err)
	}
	return nil
}

// put notes records and publishes the commands that have changed. Change is held.
func (b *book) put(changed map[string]*record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		old, r := b.records[id], changed[id]
		if r == nil {
			delete(b.records, id)
			continue
		}
		b.records[id] = r
		if old == nil || old.ID != r.ID || old.State != r.State || old.Reason != r.Reason || old.Sends != r.Sends {
			b.publish(r)
		}
	}
}

// publish tells local subscribers of a record. It needs mu.
func (b *book) publish(r *record) {
	if b.tell == nil {
		return
	}
	raw, err := json.Marshal(&r.command)
	if err != nil {
		return
	}
	b.tell(gateway.Message{Topic: "devices/" + r.Device + "/actuators/" + r.Actuator + "/status", Payload: raw, QoS: 1, Retain: true})
}

// Announce publishes the last commands again, after a start.
func (s *Station) Announce() {
	b := s.book
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(b.records)) {
		b.publish(b.records[id])
	}
}

// recover settles, before anything runs, what the last run left open: commands
// that were noted and did not come into a queue any more, and records of devices
// that are not configured any more.
func (s *Station) recover() {
	b := s.book
	changed := map[string]*record{}
	queued := map[string]bool{} // by device and ID
	asked := map[string]bool{}
	var raw []*record
	for _, id := range slices.Sorted(maps.Keys(b.records)) {
		r := b.records[id]
		d := s.devices[r.Device]
		switch {
		case d == nil:
			changed[id] = nil
			continue
		case d.Raw:
			if r.State == lorawan.Queued.String() {
				raw = append(raw, r)
			}
			continue
		case !r.open() && len(r.Older) == 0:
			continue
		}
		if !asked[d.Name] {
			asked[d.Name] = true
			for _, st := range s.lorawan.Queue(d.Name) {
				queued[actuatorID(d.Name, st.ID)] = true
			}
		}
		n := *r
		n.Older = slices.DeleteFunc(slices.Clone(r.Older), func(p past) bool { return !queued[actuatorID(d.Name, p.ID)] })
		if r.open() && !queued[actuatorID(d.Name, r.ID)] {
			n.State, n.Reason = lorawan.Refused.String(), "the gateway was stopped before it was known to be queued"
			n.command = b.stamp(n.command)
		}
		changed[id] = &n
	}
	b.change.lock()
	if err := b.write(changed); err != nil {
		s.cfg.Log.Error("what became of commands is not on disk", "error", err)
	}
	b.put(changed)
	b.change.unlock()
	for _, r := range raw {
		s.devices[r.Device].post.again(r)
	}
}

// downlink hears from the network server what became of a command.
func (s *Station) downlink(st lorawan.DownlinkState) {
	if st.Tag == "" {
		return
	}
	b, id := s.book, actuatorID(st.Device, st.Tag)
	done := st.State == lorawan.Acknowledged || st.State == lorawan.Sent && st.Last
	r := b.get(id)
	if r == nil {
		return
	}
	old, isOld := r.older(st.ID)
	switch {
	case isOld && done:
		s.reached(st.Device, st.Tag, old.Value)
	case r.ID == st.ID && done && r.State != st.State.String():
		s.reached(st.Device, st.Tag, r.Value)
	}
	b.change.lock()
	defer b.change.unlock()
	r = b.get(id) // a newer command may have come
	var n *record
	switch _, isOld := r.older(st.ID); {
	case isOld && st.Last:
		n = r.without(st.ID)
	case r.ID == st.ID:
		c := r.command
		c.State, c.Sends, c.Reason = st.State.String(), st.Sends, ""
		if st.State != lorawan.Sent && st.State != lorawan.Acknowledged {
			c.Reason = st.Why
		}
		if c.State == r.State && c.Sends == r.Sends && c.Reason == r.Reason {
			return
		}
		n = r.with(b.stamp(c))
	default:
		return
	}
	s.note(id, n)
}

// note writes and publishes one record. The state counts even if the disk does
// not take it. Book.change is held.
func (s *Station) note(id string, n *record) {
	changed := map[string]*record{id: n}
	if err := s.book.write(changed); err != nil {
		s.log.warn("what became of a command is not on disk", n.Device, "actuator", n.Actuator, "error", err)
	}
	s.book.put(changed)
}
