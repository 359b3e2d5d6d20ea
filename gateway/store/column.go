package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"fieldgate/gateway"
)

// A column holds the values of one sensor or actuator in one segment once
// more, in blocks of about a third of a page, so that a history query reads
// them and not all records between them. An entry of a block is:
//
//	byte    flags, below
//	signed  sequence, less that of the entry before (0 before the first), as are
//	varint  the number of the boot of its stamp, with colBoot only: it changes
//	signed  microseconds since the boot
//	signed  wall clock less that, both in microseconds, with colOffset only: it changes
//	signed  source's own time less the wall clock, with colTime only: not a difference to before
//	raw     value, unless colFetch is set
//
// With colFetch the value, and all that is unusual, is in the record alone.
const (
	colCommand = 1 << 0 // KindCommand; otherwise the kind of the column
	colQuality = 3 << 1 // two bits
	colTime    = 1 << 3
	colBoot    = 1 << 4
	colOffset  = 1 << 5
	colFetch   = 1 << 6

	colShiftQuality = 1

	largestInline = 512  // bytes of a value in a block
	blockBytes    = 1200 // three blocks to a page
	longestName   = 1024 // bytes of device and channel id that have a column
)

// The groups of entries that share blocks.
const (
	groupFixed    = 0 // their time is final
	groupUnset    = 1 // what is known of the boot's clock gives it: no time of
	groupUnsynced = 2 // their own, and a clock of that quality
	groupErased   = 3 // erasures
	lastGroup     = groupErased
)

// entry is one value of a column.
type entry struct {
	seq     uint64
	command bool
	fetch   bool
	hasTime bool
	quality gateway.ClockQuality
	boot    uint64
	mono    int64 // microseconds, as are
	wall    int64
	time    int64 // 0 without hasTime
	value   []byte
}

// entryOf makes the entry of a record.
func entryOf(s *stored) entry {
	r := &s.Record
	e := entry{seq: r.Seq, command: r.Kind == gateway.KindCommand, quality: r.Stamp.Quality, boot: s.boot,
		mono: r.Stamp.Mono.Microseconds(), wall: r.Stamp.Wall.UnixMicro(), value: r.Value}
	if !r.Time.IsZero() {
		e.hasTime, e.time = true, r.Time.UnixMicro()
	}
	e.fetch = len(r.Value) > largestInline || r.Topic != "" || r.Origin != "" || r.Uplink != "" || r.Lost != nil ||
		r.QoS != 0 || r.Retain
	if e.fetch {
		e.value = nil
	}
	return e
}

// record makes the record of an entry again; its value is the entry's.
func (e *entry) record(c *columnKey, known *boot) gateway.Record {
	r := gateway.Record{Seq: e.seq, Kind: c.kind, Device: c.device, Channel: c.channel,
		Stamp: gateway.Stamp{Wall: time.UnixMicro(e.wall).UTC(), Mono: time.Duration(e.mono) * time.Microsecond, Quality: e.quality}}
	if e.command {
		r.Kind = gateway.KindCommand
	}
	if len(e.value) > 0 {
		r.Value = json.RawMessage(e.value)
	}
	if e.hasTime {
		r.Time = time.UnixMicro(e.time).UTC()
	}
	if known != nil {
		r.Stamp.Boot = known.id
	}
	r.At, r.Clock = bestTime(&r, known)
	return r
}

// at is Record.At in microseconds.
func (e *entry) at(known *boot) int64 {
	switch {
	case e.hasTime:
		return e.time
	case known != nil && known.quality > e.quality:
		return (known.offset + time.Duration(e.mono)*time.Microsecond).Microseconds()
	}
	return e.wall
}

func (e *entry) group() uint8 {
	switch {
	case e.hasTime || e.quality >= gateway.ClockSynced:
		return groupFixed
	case e.quality == gateway.ClockUnset:
		return groupUnset
	}
	return groupUnsynced
}

// columnKey names a column. Kind is KindSensor or KindActuator.
type columnKey struct {
	kind            gateway.Kind
	device, channel string
}

// appendKey makes the name of a column that a map is indexed with.
func appendKey(dst []byte, kind gateway.Kind, device, channel string) []byte {
	dst = append(dst, byte(kind))
	dst = appendRaw(dst, device)
	return append(dst, channel...)
}

// columnKind is the kind of the column that a record belongs into, 0 for none.
func columnKind(k gateway.Kind) gateway.Kind {
	switch k {
	case gateway.KindSensor, gateway.KindErase:
		return gateway.KindSensor
	case gateway.KindActuator, gateway.KindCommand:
		return gateway.KindActuator
	}
	return 0
}

// block is a run of entries of one group, or of erasures. Of one on disk the
// body is not there until it is read.
type block struct {
	group  uint8
	boot   uint64 // of groupUnset and groupUnsynced
	number uint32 // on disk
	count  int
	lo, hi int64 // least and greatest final time, or wall clock, in microseconds
	monoLo int64 // of groupUnset and groupUnsynced
	monoHi int64
	body   []byte

	last entry // that was added
}

func (b *block) add(e *entry) {
	at := e.wall
	if b.group == groupFixed {
		at = e.at(nil)
	}
	if b.count == 0 {
		b.lo, b.hi, b.monoLo, b.monoHi = at, at, e.mono, e.mono
	}
	b.lo, b.hi = min(b.lo, at), max(b.hi, at)
	b.monoLo, b.monoHi = min(b.monoLo, e.mono), max(b.monoHi, e.mono)
	b.body = appendEntry(b.body, e, &b.last)
	b.last, b.last.value = *e, nil
	b.count++
}

// bounds is between which times the block's values lie, as far as the clock of
// their boot is known.
func (b *block) bounds(t *bootTable) (lo, hi int64) {
	if b.group == groupUnset || b.group == groupUnsynced {
		q := gateway.ClockUnset
		if b.group == groupUnsynced {
			q = gateway.ClockUnsynced
		}
		if known := t.byNumber[b.boot]; known != nil && known.quality > q {
			off := known.offset.Microseconds()
			return off + b.monoLo, off + b.monoHi
		}
	}
	return b.lo, b.hi
}

func appendEntry(dst []byte, e, last *entry) []byte {
	flags := byte(e.quality) << colShiftQuality & colQuality
	offset := e.wall - e.mono
	set := func(on bool, bit byte) bool {
		if on {
			flags |= bit
		}
		return on
	}
	set(e.command, colCommand)
	set(e.hasTime, colTime)
	set(e.fetch, colFetch)
	boot := set(e.boot != last.boot, colBoot)
	moved := set(offset != last.wall-last.mono, colOffset)
	dst = append(dst, flags)
	dst = binary.AppendVarint(dst, int64(e.seq-last.seq))
	if boot {
		dst = binary.AppendUvarint(dst, e.boot)
	}
	dst = binary.AppendVarint(dst, e.mono-last.mono)
	if moved {
		dst = binary.AppendVarint(dst, offset-(last.wall-last.mono))
	}
	if e.hasTime {
		dst = binary.AppendVarint(dst, e.time-e.wall)
	}
	if !e.fetch {
		dst = appendRaw(dst, e.value)
	}
	return dst
}

var errColumn = errors.New("not a column of this segment")

// decodeEntries reads the entries of a block. Their values point into body.
func decodeEntries(dst []entry, body []byte, count int) ([]entry, error) {
	f := fields{b: body}
	if count < 0 || count > len(body)/3 { // an entry has three bytes at least
		return dst, errShort
	}
	var e entry
	for range count {
		flags := f.byte()
		offset := e.wall - e.mono
		e.seq += uint64(f.int())
		if flags&colBoot != 0 {
			e.boot = f.uint()
		}
		e.mono += f.int()
		if limit := int64(1<<63-1) / 1000; e.mono > limit || e.mono < -limit {
			return dst, errors.New("time since boot out of range")
		}
		if flags&colOffset != 0 {
			offset += f.int()
		}
		e.wall = offset + e.mono
		e.command, e.fetch, e.hasTime = flags&colCommand != 0, flags&colFetch != 0, flags&colTime != 0
		e.quality = gateway.ClockQuality(flags & colQuality >> colShiftQuality)
		if e.time = 0; e.hasTime {
			e.time = e.wall + f.int()
		}
		if e.value = nil; !e.fetch {
			e.value = f.raw()
		}
		if f.err != nil {
			return dst, f.err
		}
		dst = append(dst, e)
	}
	return dst, f.end()
}

// A blob of a block holds the base of its segment and its number before the
// entries, so that a page in the wrong place is noticed.
func appendBlock(dst []byte, base uint64, b *block) []byte {
	dst = binary.AppendUvarint(dst, base)
	dst = binary.AppendUvarint(dst, uint64(b.number))
	return append(dst, b.body...)
}

func blockBody(body []byte, base uint64, number uint32) ([]byte, error) {
	f := fields{b: body}
	if f.uint() != base || f.uint() != uint64(number) || f.err != nil {
		return nil, errColumn
	}
	return f.b, nil
}
