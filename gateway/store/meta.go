package store

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"fieldgate/gateway"
)

// state is what the log knows about itself, written with each commit.
type state struct {
	tx       uint64 // of bbolt, so that the newest is known among stale copies
	epoch    uint64 // how often the log has been opened for writing
	next     uint64 // the sequence that is given out next
	first    uint64 // lowest sequence still in the log, or next
	reserved uint64 // as the Reserver was told
	jumps    []jump // the newest places where the numbering leaves some out
	active   segment
}

// jump says that no record was ever numbered between the two.
type jump struct{ after, next uint64 }

const maxJumps = 32

// segment is a run of records that will be dropped together.
type segment struct {
	base    uint64 // its name: no sequence in it is lower
	last    uint64 // highest sequence in it; 0 if empty
	records uint64
	bytes   uint64            // of the blobs
	from    int64             // Unix microseconds of its oldest and newest plausible
	to      int64             // time; 0 if there is none
	boot    uint64            // lowest number of a boot in it
	wanted  map[string]uint64 // per uplink, records that it is sent

	columns columnInfo // in the file, but not with the rest
}

func (s *segment) clone() segment {
	c := *s
	c.wanted = maps.Clone(s.wanted)
	return c
}

// want is how many of its records the uplink is sent. Of one that was not there
// when they were recorded that is not known: as good as all.
func (s *segment) want(uplink string) uint64 {
	if n, ok := s.wanted[uplink]; ok {
		return n
	}
	return s.records
}

// note counts a record that was added.
func (s *segment) note(seq, boot uint64, size int, at time.Time, q gateway.ClockQuality) {
	s.last = max(s.last, seq)
	s.records++
	s.bytes += uint64(size)
	if s.records == 1 || boot < s.boot {
		s.boot = boot
	}
	if q == gateway.ClockUnset {
		return
	}
	us := at.UnixMicro()
	if s.from == 0 || us < s.from {
		s.from = us
	}
	if s.to == 0 || us > s.to {
		s.to = us
	}
}

func appendSegment(dst []byte, s *segment) []byte {
	dst = binary.AppendUvarint(dst, s.base)
	dst = binary.AppendUvarint(dst, s.last)
	dst = binary.AppendUvarint(dst, s.records)
	dst = binary.AppendUvarint(dst, s.bytes)
	dst = binary.AppendVarint(dst, s.from)
	dst = binary.AppendVarint(dst, s.to)
	dst = binary.AppendUvarint(dst, s.boot)
	dst = binary.AppendUvarint(dst, uint64(len(s.wanted)))
	for _, name := range slices.Sorted(maps.Keys(s.wanted)) {
		dst = appendRaw(dst, name)
		dst = binary.AppendUvarint(dst, s.wanted[name])
	}
	return dst
}

func (f *fields) segment() segment {
	s := segment{base: f.uint(), last: f.uint(), records: f.uint(), bytes: f.uint(),
		from: f.int(), to: f.int(), boot: f.uint()}
	n := f.uint()
	if n > uint64(len(f.b)) {
		f.fail()
		return s
	}
	s.wanted = make(map[string]uint64, n)
	for range n {
		name := f.string()
		s.wanted[name] = f.uint()
	}
	return s
}

func decodeSegment(body []byte) (segment, error) {
	f := fields{b: body}
	s := f.segment()
	return s, f.end()
}

func appendState(dst []byte, s *state) []byte {
	for _, v := range []uint64{s.tx, s.epoch, s.next, s.first, s.reserved, uint64(len(s.jumps))} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, j := range s.jumps {
		dst = binary.AppendUvarint(dst, j.after)
		dst = binary.AppendUvarint(dst, j.next)
	}
	return appendSegment(dst, &s.active)
}

func decodeState(body []byte) (state, error) {
	f := fields{b: body}
	s := state{tx: f.uint(), epoch: f.uint(), next: f.uint(), first: f.uint(), reserved: f.uint()}
	n := f.uint()
	if n > maxJumps {
		return s, errors.New("too many jumps")
	}
	for range n {
		s.jumps = append(s.jumps, jump{f.uint(), f.uint()})
	}
	s.active = f.segment()
	return s, f.end()
}

// addJump notes that the numbering goes from after straight to next. Jumps
// below first are of no use any more.
func addJump(js []jump, after, next, first uint64) []jump {
	js = slices.DeleteFunc(slices.Clone(js), func(j jump) bool { return j.next <= first })
	js = append(js, jump{after, next})
	if len(js) > maxJumps {
		js = js[len(js)-maxJumps:]
	}
	return js
}

func appendCursor(dst []byte, name string, c gateway.Cursor) []byte {
	dst = appendRaw(dst, name)
	dst = binary.AppendUvarint(dst, c.Next)
	dst = binary.AppendUvarint(dst, uint64(len(c.Done)))
	for _, r := range c.Done {
		dst = binary.AppendUvarint(dst, r.From)
		dst = binary.AppendUvarint(dst, r.To)
	}
	return dst
}

func decodeCursor(body []byte) (name string, c gateway.Cursor, err error) {
	f := fields{b: body}
	name = f.string()
	c.Next = f.uint()
	n := f.uint()
	if n > uint64(len(f.b)) {
		return "", c, errShort
	}
	for range n {
		c.Done = append(c.Done, gateway.Range{From: f.uint(), To: f.uint()})
	}
	return name, c, f.end()
}

// boot is what is known about the wall clock of one run of the kernel.
type boot struct {
	number  uint64
	id      gateway.Boot
	offset  time.Duration // wall clock minus monotonic time, since 1970
	quality gateway.ClockQuality
	version uint64 // counts the changes
}

func appendBoot(dst []byte, b *boot) []byte {
	dst = binary.AppendUvarint(dst, b.number)
	dst = append(dst, b.id[:]...)
	dst = binary.AppendVarint(dst, b.offset.Microseconds())
	dst = append(dst, byte(b.quality))
	return binary.AppendUvarint(dst, b.version)
}

func decodeBoot(body []byte) (boot, error) {
	f := fields{b: body}
	var b boot
	b.number = f.uint()
	f.fixed(b.id[:])
	us := f.int()
	if max := int64(1<<63-1) / 1000; us > max || us < -max {
		return b, errors.New("offset out of range")
	}
	b.offset = time.Duration(us) * time.Microsecond
	b.quality = gateway.ClockQuality(f.byte())
	b.version = f.uint()
	return b, f.end()
}

// offsetOf is the boot's offset as s tells it. ok is false for a stamp that
// tells nothing.
func offsetOf(s gateway.Stamp) (offset time.Duration, ok bool) {
	if s.Boot == (gateway.Boot{}) || s.Wall.Year() < 1970 || s.Wall.Year() > 2200 {
		return 0, false // a Duration holds 292 years
	}
	return (time.Duration(s.Wall.UnixMicro())*time.Microsecond - s.Mono).Truncate(time.Microsecond), true
}

// bestTime works out Record.At and Record.Clock. Known may be nil.
func bestTime(r *gateway.Record, known *boot) (time.Time, gateway.ClockQuality) {
	at, q := r.Stamp.Wall, r.Stamp.Quality
	if known != nil && known.quality > q {
		at = time.UnixMicro((known.offset + r.Stamp.Mono).Microseconds()).UTC()
		q = known.quality
	}
	if r.Time.IsZero() {
		return at, q
	}
	if !r.Time.Before(gateway.Earliest) {
		q = max(q, gateway.ClockUnsynced)
	}
	return r.Time, q
}
