package store

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
)

// step is how far a synchronised clock must have moved against the monotonic
// time of its boot before that is noted again.
const step = 250 * time.Millisecond

// clocks is what is known about the clocks of all boots whose records are in
// the log. Readers use a table that is never changed.
type clocks struct {
	table atomic.Pointer[bootTable]
	mu    sync.Mutex // of those who make a new one
}

type bootTable struct {
	byID     map[gateway.Boot]*boot
	byNumber map[uint64]*boot
	highest  uint64 // number
	unsaved  bool   // something is not in the file yet
}

func newClocks() *clocks {
	c := new(clocks)
	c.table.Store(&bootTable{byID: map[gateway.Boot]*boot{}, byNumber: map[uint64]*boot{}})
	return c
}

// news says whether s tells more than what is known about its boot.
func (t *bootTable) news(s gateway.Stamp) bool {
	b := t.byID[s.Boot]
	if b == nil || s.Quality < b.quality {
		return b == nil
	}
	offset, ok := offsetOf(s)
	if !ok {
		return false
	}
	return s.Quality > b.quality || s.Quality == gateway.ClockSynced && (offset-b.offset).Abs() > step
}

// note takes in what s tells about the clock of its boot.
func (c *clocks) note(s gateway.Stamp) {
	if !c.table.Load().news(s) {
		return
	}
	c.change(func(t *bootTable) {
		if !t.news(s) {
			return
		}
		b := boot{id: s.Boot}
		if old := t.byID[s.Boot]; old != nil {
			b = *old
		}
		ok := false
		if b.offset, ok = offsetOf(s); ok {
			b.quality = s.Quality
		}
		b.version++
		t.put(&b)
		t.unsaved = true
	})
}

func (t *bootTable) put(b *boot) {
	t.byID[b.id] = b
	if b.number != 0 {
		t.byNumber[b.number] = b
		t.highest = max(t.highest, b.number)
	}
}

func (c *clocks) change(fn func(t *bootTable)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := *c.table.Load()
	t.byID, t.byNumber = maps.Clone(t.byID), maps.Clone(t.byNumber)
	fn(&t)
	c.table.Store(&t)
}

// load takes in what a file knows. What is known already counts if it is the
// better. Numbers up to highest are not given to new boots.
func (c *clocks) load(saved map[uint64]boot, highest uint64) {
	c.change(func(t *bootTable) {
		had := t.byID
		t.byID, t.byNumber = map[gateway.Boot]*boot{}, map[uint64]*boot{}
		for _, b := range saved {
			if have := had[b.id]; have != nil && have.quality >= b.quality {
				b.offset, b.quality, b.version = have.offset, have.quality, max(have.version, b.version+1)
			}
			t.put(&b)
		}
		for id, b := range had {
			if t.byID[id] != nil {
				continue
			}
			if t.byNumber[b.number] != nil { // taken in that file
				n := *b
				n.number = 0
				b = &n
			}
			t.put(b)
		}
		t.highest = max(t.highest, highest)
		t.unsaved = true
	})
}

// renumber takes in what was found in a damaged file, and has no boot keep its
// number: a new file follows.
func (c *clocks) renumber(found map[uint64]boot) {
	c.load(found, 0)
	c.change(func(t *bootTable) {
		t.byNumber, t.highest, t.unsaved = map[uint64]*boot{}, 0, true
		for id, b := range t.byID {
			n := *b
			n.number = 0
			t.byID[id] = &n
		}
	})
}

// number gives the number of a boot for the file, a new one if it has none.
func (c *clocks) number(s gateway.Stamp) uint64 {
	if b := c.table.Load().byID[s.Boot]; b != nil && b.number != 0 {
		return b.number
	}
	c.note(s)
	var n uint64
	c.change(func(t *bootTable) {
		b := *t.byID[s.Boot]
		if b.number == 0 {
			t.highest++
			b.number = t.highest
			t.put(&b)
			t.unsaved = true
		}
		n = b.number
	})
	return n
}

// forget drops the boots with lower numbers than lowest.
func (c *clocks) forget(lowest uint64) {
	c.change(func(t *bootTable) {
		for n, b := range t.byNumber {
			if n < lowest {
				delete(t.byNumber, n)
				delete(t.byID, b.id)
			}
		}
	})
}

// saved notes that t is in the file.
func (c *clocks) saved(t *bootTable) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.table.Load(); now == t {
		n := *t
		n.unsaved = false
		c.table.Store(&n)
	}
}

// complete fills in what is worked out when a record is read.
func (c *clocks) complete(s *stored) {
	b := c.table.Load().byNumber[s.boot]
	if b != nil && !s.hasBoot {
		s.Stamp.Boot = b.id
	}
	s.At, s.Clock = bestTime(&s.Record, b)
}

// NoteClock takes in what s tells about the clock of its boot, so that records
// that were taken before the clock was right are given their true time when
// they are read: to be called when the clock's quality rises and when a
// synchronised clock is set. The stamps of records that are appended are noted
// without it.
func (l *Log) NoteClock(s gateway.Stamp) { l.clocks.note(s) }
