package store

import (
	"time"

	"fieldgate/gateway"
)

// A moved cursor is written lazily. After the power failed or the process was
// killed, the stored one may lack acknowledgements of the last seconds, and to
// drop what it says is not acknowledged would announce the loss of what did
// arrive, old gap records among it. So after the opening, segments from before
// it wait: an uplink that connects again sends them once more and acknowledges
// them.
const (
	holdFor     = 30 * time.Second
	largestFile = 500 << 20 // used bytes, so that the file stays below 512 MiB
)

// hold says what waits. Its zero value holds nothing.
type hold struct {
	until time.Time // with its monotonic reading
	head  uint64    // what is above came after the opening
}

func newHold(head uint64) hold { return hold{time.Now().Add(holdFor), head} }

func (h *hold) active(now time.Time) bool { return now.Before(h.until) }

// heldSize is what the used bytes may grow to meanwhile.
func (o *Options) heldSize() int64 {
	return max(o.MaxSize, min(o.MaxSize+o.MaxSize/10+o.SegmentBytes, largestFile))
}

// ready is how many of the first n segments may go now: those that nobody
// waits for, and forced ones anyway.
func (h *hold) ready(segs []segment, cursors map[string]gateway.Cursor, n, forced int) int {
	if n <= forced || !h.active(time.Now()) {
		return n
	}
	for i := forced; i < n; i++ {
		for _, c := range cursors {
			if segs[i].base <= h.head && !ackedAll(&c, segs[i].base, segs[i].last) {
				return i
			}
		}
	}
	return n
}
