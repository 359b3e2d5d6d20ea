package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

type currentKey struct {
	kind            Kind // KindSensor or KindActuator
	device, channel string
}

// keyOf is what r is a value of; false if it is none.
func keyOf(r *Record) (currentKey, bool) {
	switch r.Kind {
	case KindSensor:
		return currentKey{KindSensor, r.Device, r.Channel}, true
	case KindActuator, KindCommand:
		return currentKey{KindActuator, r.Device, r.Channel}, true
	}
	return currentKey{}, false
}

// current is the latest value of each sensor and actuator.
type current struct {
	mu   sync.RWMutex
	last map[currentKey]Record
}

// forget drops what is known of a device, of one of its sensors or of one of
// its actuators: the next one of that id may be somebody else's.
func (c *current) forget(device, sensor, actuator string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.last, func(k currentKey, _ Record) bool {
		switch {
		case k.device != device:
			return false
		case sensor != "":
			return k.kind == KindSensor && k.channel == sensor
		case actuator != "":
			return k.kind == KindActuator && k.channel == actuator
		}
		return true
	})
}

// note keeps r if it is the present. A back-dated reading is history; but what
// claims to be from the future, as after a clock that was wrong, must not stand
// in the way of all that follows.
func (c *current) note(r *Record) {
	k, ok := keyOf(r)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.last[k]; ok && r.At.Before(old.At) && !old.At.After(r.Stamp.Wall) {
		return
	}
	c.last[k] = *r
}

// Current is the present value of a sensor (KindSensor) or an actuator
// (KindActuator). A command counts as the value asked for, unless the actuator is
// one of this gateway's own: then what it has reached counts.
func (h *Hub) Current(device, channel string, kind Kind) (Record, bool) {
	h.current.mu.RLock()
	defer h.current.mu.RUnlock()
	r, ok := h.current.last[currentKey{kind, device, channel}]
	return r, ok
}

// Restore fills the present values from the log after a restart: walk calls its
// argument with the log's records, newest first, until it returns false. History
// then tells whether an older record has a newer time, and what there is of those
// that were silent for longer than is walked; it may be nil.
func (h *Hub) Restore(walk func(func(Record) bool) error,
	history func(context.Context, HistoryQuery, func(Record) error) error) error {
	seen := map[currentKey]Record{}
	born := map[currentKey]time.Time{} // not what is left of devices that are gone
	for _, d := range h.cfg.Registry.Devices() {
		for _, s := range d.Sensors {
			born[currentKey{KindSensor, d.ID, s.ID}] = d.Created
		}
		for _, a := range d.Actuators {
			born[currentKey{KindActuator, d.ID, a.ID}] = d.Created
		}
	}
	const most = 200_000
	settled := map[currentKey]bool{}
	n := 0
	err := walk(func(r Record) bool {
		if k, ok := keyOf(&r); ok && !settled[k] && !h.owned(&r) {
			since, wanted := born[k]
			// The deletion of a sensor erases what was; an actuator's values tell
			// by their time whose they are.
			if wanted && (k.kind == KindSensor || r.Stamp.Quality == ClockUnset || !r.Stamp.Wall.Before(since)) {
				seen[k], settled[k] = r, true
			}
		} else if r.Kind == KindErase && string(r.Value) == "{}" {
			k := currentKey{KindSensor, r.Device, r.Channel}
			if _, wanted := born[k]; wanted {
				settled[k] = true
			}
		}
		n++
		return len(settled) < len(born) && n < most
	})
	now := h.cfg.Clock.Now()
	if n >= most && history != nil {
		for k := range born {
			if settled[k] {
				continue
			}
			r, ok, e := h.lastOf(history, k, born[k])
			if e != nil {
				err = errors.Join(err, e)
				break
			}
			if ok {
				seen[k] = r
			}
		}
	}
	for k, r := range seen {
		if history == nil {
			break
		}
		q := HistoryQuery{Kind: k.kind, Device: k.device, Channel: k.channel, From: r.At, Limit: 1, Backward: true}
		if k.kind == KindActuator {
			q.Born = born[k]
		}
		if now.Quality != ClockUnset && !r.At.After(now.Wall) {
			q.To = now.Wall // what claims to be from the future is not the present
		}
		if e := history(context.Background(), q, func(r Record) error {
			if !h.owned(&r) {
				seen[k] = r
			}
			return nil
		}); e != nil {
			err = errors.Join(err, e)
			break
		}
	}
	h.current.mu.Lock()
	defer h.current.mu.Unlock()
	for k, r := range seen {
		if _, ok := h.current.last[k]; !ok {
			h.current.last[k] = r
		}
	}
	return err
}

// errFound ends a walk through a history.
var errFound = errors.New("gateway: found")

// lastOf is the newest value of a sensor or actuator in its history. A command to
// an actuator of this gateway's own is none.
func (h *Hub) lastOf(history func(context.Context, HistoryQuery, func(Record) error) error, k currentKey, born time.Time) (last Record, ok bool, err error) {
	q := HistoryQuery{Kind: k.kind, Device: k.device, Channel: k.channel, Backward: true}
	if k.kind == KindActuator {
		q.Born = born
	}
	if now := h.cfg.Clock.Now(); now.Quality != ClockUnset {
		q.To = now.Wall // what claims to be from the future only if there is nothing else
	}
	find := func(r Record) error {
		if h.owned(&r) {
			return nil
		}
		last, ok = r, true
		return errFound
	}
	if err = history(context.Background(), q, find); err == nil && !q.To.IsZero() {
		q.To = time.Time{}
		err = history(context.Background(), q, find)
	}
	if errors.Is(err, errFound) {
		err = nil
	}
	return last, ok, err
}

// missed counts records that the disk never took and memory could not keep,
// until a gap record tells of them.
type missed struct {
	mu          sync.Mutex
	all         uint64
	count       uint64
	first, last time.Time
	counts      map[string]uint64
}

// maxMissedSensors bounds the counts per sensor; more are counted in sum only.
const maxMissedSensors = 1000

func (m *missed) add(recs []Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range recs {
		r := &recs[i]
		m.all++
		m.count++
		if m.first.IsZero() {
			m.first = r.Stamp.Wall
		}
		m.last = r.Stamp.Wall
		if r.Kind != KindSensor && r.Kind != KindActuator {
			continue
		}
		if m.counts == nil {
			m.counts = map[string]uint64{}
		}
		if key := r.Device + "/" + r.Channel; len(m.counts) < maxMissedSensors || m.counts[key] > 0 {
			m.counts[key]++
		}
	}
}

func (m *missed) total() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.all
}

// take gives what was missed since the last call.
func (m *missed) take() (Lost, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count == 0 {
		return Lost{}, false
	}
	l := Lost{Reason: "disk", Count: m.count, First: m.first, Last: m.last, Counts: maps.Clone(m.counts)}
	m.count, m.first, m.last, m.counts = 0, time.Time{}, time.Time{}, nil
	return l, true
}

// put gives back what take took and nobody could be told.
func (m *missed) put(l Lost) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count == 0 {
		m.last = l.Last
	}
	m.count += l.Count
	m.first = l.First
	if m.counts == nil {
		m.counts = map[string]uint64{}
	}
	for key, n := range l.Counts {
		m.counts[key] += n
	}
}

// Recovered is to be called when the disk works again: it logs one gap record
// for each of uplinks if records were missed meanwhile.
func (h *Hub) Recovered(uplinks []string) error {
	lost, any := h.missed.take()
	if !any {
		return nil
	}
	h.cfg.Logger.Warn("records were lost while the disk failed", "count", lost.Count, "first", lost.First, "last", lost.Last)
	var recs []Record
	for _, name := range uplinks {
		recs = append(recs, Record{Kind: KindGap, Uplink: name, Lost: &lost, Stamp: h.cfg.Clock.Now()})
	}
	if len(recs) == 0 {
		return nil
	}
	if err := h.cfg.Log.Append(&Entry{Records: recs, Done: func(error) {}}); err != nil {
		h.missed.put(lost) // the next time
		return fmt.Errorf("gateway: gap: %w", err)
	}
	return nil
}
