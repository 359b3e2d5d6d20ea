package store

import (
	"slices"
	"time"

	"fieldgate/gateway"
)

// mergeCursors gives what either of them has acknowledged, in the shortest
// form.
func mergeCursors(a, b gateway.Cursor) gateway.Cursor {
	c := gateway.Cursor{Next: max(a.Next, b.Next)}
	done := append(slices.Clone(a.Done), b.Done...)
	slices.SortFunc(done, func(x, y gateway.Range) int {
		switch {
		case x.From < y.From:
			return -1
		case x.From > y.From:
			return 1
		}
		return 0
	})
	for _, r := range done {
		if r.To < r.From || r.To < c.Next {
			continue
		}
		n := len(c.Done)
		switch {
		case r.From <= c.Next:
			c.Next = r.To + 1
		case n > 0 && r.From <= c.Done[n-1].To+1:
			c.Done[n-1].To = max(c.Done[n-1].To, r.To)
		default:
			c.Done = append(c.Done, r)
		}
	}
	return c
}

// upTo cuts c to what can have been acknowledged if head is the newest record.
func upTo(c gateway.Cursor, head uint64) gateway.Cursor {
	c.Next = min(c.Next, head+1)
	out := gateway.Cursor{Next: c.Next}
	for _, r := range c.Done {
		r.To = min(r.To, head)
		if r.From <= r.To {
			out.Done = append(out.Done, r)
		}
	}
	return out
}

// acked says whether c acknowledges seq.
func acked(c *gateway.Cursor, seq uint64) bool {
	if seq < c.Next {
		return true
	}
	for _, r := range c.Done {
		if seq < r.From {
			return false
		}
		if seq <= r.To {
			return true
		}
	}
	return false
}

// ackedAll says whether c acknowledges everything from from to to.
func ackedAll(c *gateway.Cursor, from, to uint64) bool {
	from = max(from, c.Next)
	for _, r := range c.Done {
		if r.From > from {
			break
		}
		if r.To >= from {
			from = r.To + 1
		}
	}
	return from > to
}

// ackedWithin counts the numbers from from to to that c acknowledges by a run
// above its Next.
func ackedWithin(c *gateway.Cursor, from, to uint64) (n uint64) {
	for _, r := range c.Done {
		if lo, hi := max(r.From, from), min(r.To, to); lo <= hi {
			n += hi - lo + 1
		}
	}
	return n
}

func sameCursor(a, b gateway.Cursor) bool {
	return a.Next == b.Next && slices.Equal(a.Done, b.Done)
}

// Cursor is how far the uplink has acknowledged the log. It has a Next of 0
// for a name that Options.Uplinks does not list, and while the log's file has
// never been open: read it again when a Read succeeds.
func (l *Log) Cursor(uplink string) gateway.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.cursors[uplink]
	c.Done = slices.Clone(c.Done)
	return c
}

// SetCursor notes that the uplink has acknowledged what c says, in addition to
// what it acknowledged before: an acknowledgement is never taken back. It is
// written with the next commit, Options.CursorEvery later at the latest; a
// move that is lost with the power makes duplicates at the cloud, no loss. A
// name that Options.Uplinks does not list is ignored.
func (l *Log) SetCursor(uplink string, c gateway.Cursor) {
	x := l.index.Load()
	if x == nil {
		return
	}
	l.mu.Lock()
	old, ok := l.cursors[uplink]
	if ok {
		c = mergeCursors(old, upTo(c, x.head))
		ok = !sameCursor(old, c)
	}
	if ok {
		l.cursors[uplink] = c
		if !l.moved || c.Next > x.head {
			l.moved = true
			l.poke()
		}
	}
	l.mu.Unlock()
}

// An uplink that is done with this many records or more has its cursor written
// after a moment: nothing else may be written for long. The cursor of one that
// follows a trickle of records goes with the next of them.
const (
	doneMany  = 64
	doneDelay = time.Second
)

// cursorDelay is how long a moved cursor may lie in memory. The lock is held.
func (l *Log) cursorDelay() time.Duration {
	head := l.index.Load().head
	for name, c := range l.cursors {
		if c.Next > head && c.Next >= l.w.saved[name].Next+doneMany {
			return min(doneDelay, l.opt.CursorEvery)
		}
	}
	return l.opt.CursorEvery
}
