package radio

import (
	"encoding/binary"
	"errors"
	"time"

	"fieldgate/gateway"
)

// use is airtime that ended at some time: of a book, counted from boot; of an
// entry, from its stamp.
type use struct{ end, airtime time.Duration }

// entry is a book as it is on disk: what was used when it was written, and what
// might be used from then on.
type entry struct {
	stamp gateway.Stamp
	claim time.Duration
	uses  []use
}

const (
	entryVersion = 1
	maxUses      = 1000 // in an entry: a slot a minute for a bit more than an hour is usual
)

var errEntry = errors.New("no duty cycle entry")

// append encodes e: version, boot, quality of the clock; then as varints monotonic
// time, wall clock, claim, number of uses, end and airtime of each. Times are in
// milliseconds, ends and airtimes rounded up, the wall clock down.
func (e entry) append(dst []byte) []byte {
	dst = append(dst, entryVersion)
	dst = append(dst, e.stamp.Boot[:]...)
	dst = append(dst, byte(e.stamp.Quality))
	dst = binary.AppendVarint(dst, e.stamp.Mono.Milliseconds())
	dst = binary.AppendVarint(dst, e.stamp.Wall.UnixMilli())
	dst = binary.AppendUvarint(dst, uint64(millisUp(e.claim)))
	dst = binary.AppendUvarint(dst, uint64(len(e.uses)))
	for _, u := range e.uses {
		dst = binary.AppendVarint(dst, millisUp(u.end))
		dst = binary.AppendUvarint(dst, uint64(millisUp(u.airtime)))
	}
	return dst
}

// millisUp is d in milliseconds, rounded up.
func millisUp(d time.Duration) int64 {
	n := d.Milliseconds()
	if d > time.Duration(n)*time.Millisecond {
		n++
	}
	return n
}

// parseEntry decodes an entry. The error is errEntry.
func parseEntry(b []byte) (entry, error) {
	var e entry
	if len(b) < 2+len(e.stamp.Boot) || b[0] != entryVersion || b[1+len(e.stamp.Boot)] > byte(gateway.ClockSynced) {
		return entry{}, errEntry
	}
	copy(e.stamp.Boot[:], b[1:])
	e.stamp.Quality = gateway.ClockQuality(b[1+len(e.stamp.Boot)])
	d := varints{b: b[2+len(e.stamp.Boot):]}
	// A century is enough for any stamp, and far from what overflows.
	const longest = 100 * 366 * 24 * time.Hour
	e.stamp.Mono = d.signed(0, longest)
	e.stamp.Wall = time.UnixMilli(d.signed(-longest, 2*longest).Milliseconds()).UTC()
	e.claim = d.unsigned(time.Hour)
	n := int64(d.unsigned(maxUses*time.Millisecond) / time.Millisecond)
	for range n {
		u := use{end: d.signed(-3*time.Hour, 3*time.Hour), airtime: d.unsigned(2 * time.Hour)}
		if d.bad {
			break
		}
		e.uses = append(e.uses, u)
	}
	if d.bad || len(d.b) != 0 {
		return entry{}, errEntry
	}
	return e, nil
}

// varints reads varints as milliseconds, within bounds; bad stays set once one was
// not.
type varints struct {
	b   []byte
	bad bool
}

func (d *varints) signed(low, high time.Duration) time.Duration {
	v, n := binary.Varint(d.b)
	if n <= 0 || v < low.Milliseconds() || v > high.Milliseconds() {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return time.Duration(v) * time.Millisecond
}

func (d *varints) unsigned(high time.Duration) time.Duration {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > uint64(high.Milliseconds()) {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return time.Duration(v) * time.Millisecond
}
