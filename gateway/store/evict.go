package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"fieldgate/gateway"
)

// Reasons of gaps.
const (
	reasonSize   = "max_size"
	reasonAge    = "max_age"
	reasonDamage = "damage"
)

// evict drops the oldest segments that there is no room or no use for.
func (b *build) evict(t *losses) error {
	reason, n := "", 0
	switch {
	case b.free:
		n = b.acknowledged()
	case b.columns != nil: // drop nothing that somebody waits for
		n = tooMany(b.x.segments, b.x.used+b.need(), b.opt.MaxSize)
		if n > 0 && n > b.acknowledged() {
			n, b.columns = 0, nil
		}
	default:
		if n = b.expired(); n > 0 {
			reason = reasonAge
		}
		used := b.x.used + b.need()
		if m := tooMany(b.x.segments, used, b.opt.MaxSize); m > n {
			reason, n = reasonSize, m
		}
		n = b.w.hold.ready(b.x.segments, b.cursors, n, tooMany(b.x.segments, used, b.opt.heldSize()))
	}
	n = min(n, mostEvicted, len(b.x.segments))
	for i := range n {
		seg := &b.x.segments[i]
		if err := t.segment(seg, reason); err != nil {
			return err
		}
		if err := b.drop(seg); err != nil {
			return err
		}
		b.evicted += seg.records
		b.x.records -= seg.records
	}
	if n == 0 {
		return nil
	}
	last := b.x.segments[n-1].last
	b.x.segments = append([]segment(nil), b.x.segments[n:]...)
	b.x.first = last + 1
	b.lowestBoot = 0
	if len(b.x.segments) > 0 {
		b.x.first = b.x.segments[0].base
		b.lowestBoot = b.x.segments[0].boot
		for i := range b.x.segments {
			b.lowestBoot = min(b.lowestBoot, b.x.segments[i].boot)
		}
	}
	for name, c := range b.cursors {
		b.cursors[name] = mergeCursors(c, gateway.Cursor{Next: min(b.x.first, b.x.next)})
	}
	return nil
}

// drop removes a segment's records and what is noted about them.
func (b *build) drop(seg *segment) error {
	if err := b.tx.DeleteBucket(seqKey(seg.base)); err != nil {
		return fmt.Errorf("segment %d: %w", seg.base, err)
	}
	if segs := b.tx.Bucket(bucketSegs); segs != nil {
		if err := segs.Delete(seqKey(seg.base)); err != nil {
			return err
		}
	}
	if err := b.dropColumns(seg.base); err != nil {
		return err
	}
	for seq := range b.x.bad {
		if seq < seg.base || seq > seg.last {
			continue
		}
		if bad := b.tx.Bucket(bucketBad); bad != nil {
			if err := bad.Delete(seqKey(seq)); err != nil {
				return err
			}
		}
	}
	return nil
}

// need is about how many bytes of pages the entries will take.
func (b *build) need() (n int64) {
	for _, p := range b.entries {
		n += p.size
	}
	if b.x.late != nil {
		n += b.x.late.bytes
	}
	for i := range b.job.saved {
		n += recordSize(&b.job.saved[i].Record)
	}
	if b.columns != nil {
		n += int64(b.columns.summary.bytes)
	}
	return n + n/4 + 16*ourPageSize
}

// tooMany is how many segments must go so that at most most bytes of the file
// are used. The active one stays.
func tooMany(segs []segment, used, most int64) (n int) {
	for used > most && n < len(segs)-1 {
		used -= int64(segs[n].bytes) + int64(segs[n].records)*(elementSize+nameSize) + int64(segs[n].columns.bytes)
		n++
	}
	return n
}

// expired is how many segments hold nothing younger than MaxAge. A segment
// without any plausible time goes with the next one that has one.
func (b *build) expired() int {
	if b.opt.MaxAge <= 0 {
		return 0
	}
	return expired(b.x.segments, b.cursors, b.opt.Clock.Now(), b.opt.MaxAge)
}

// A clock that nothing vouches for may be years ahead: by its word only what
// every uplink has goes.
func expired(segs []segment, cursors map[string]gateway.Cursor, now gateway.Stamp, age time.Duration) int {
	if now.Quality == gateway.ClockUnset {
		return 0
	}
	limit, n := now.Wall.Add(-age).UnixMicro(), 0
	for i := range segs {
		if to := segs[i].to; to != 0 && to < limit {
			n = i + 1
		} else if to != 0 {
			break
		}
	}
	if now.Quality != gateway.ClockSynced {
		n = min(n, acknowledged(segs, cursors))
	}
	return n
}

// stale says that a segment should be closed before a record of that time, so
// that its oldest records need not wait for its newest to expire.
func (b *build) stale(seg *segment, at time.Time) bool {
	return seg.from != 0 && at.UnixMicro()-seg.from > (b.opt.MaxAge/8).Microseconds()
}

// acknowledged is how many segments every uplink has acknowledged.
func (b *build) acknowledged() int { return acknowledged(b.x.segments, b.cursors) }

func acknowledged(segs []segment, cursors map[string]gateway.Cursor) int {
	for i := range segs {
		for _, c := range cursors {
			if !ackedAll(&c, segs[i].base, segs[i].last) {
				return i
			}
		}
	}
	return len(segs)
}

func (l *Log) droppable() bool {
	x := l.index.Load()
	if x == nil || l.file == nil || l.file.readOnly {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return acknowledged(x.segments, l.cursors) > 0
}

// announceBad notes damaged records that readers have met, once each.
func (b *build) announceBad(t *losses) error {
	if len(b.bad) == 0 {
		return nil
	}
	bucket := b.tx.Bucket(bucketBad)
	if bucket == nil {
		return fmt.Errorf("%w: no list of damaged records", ErrDamaged)
	}
	bad := map[uint64]bool{}
	for seq := range b.x.bad {
		bad[seq] = true
	}
	for _, seq := range b.bad {
		if bad[seq] || seq < b.x.first || seq > b.x.head {
			continue
		}
		bad[seq] = true
		if err := bucket.Put(seqKey(seq), []byte{1}); err != nil {
			return err
		}
		t.damaged(seq)
	}
	b.x.bad = bad
	return nil
}

func seqOf(key []byte) uint64 {
	if len(key) != nameSize {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}
