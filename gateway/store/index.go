package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// The buckets of a log's file. All others are named by the lowest sequence
// that may be in them, 8 bytes big-endian, and hold records by sequence, or by
// that after the letter h, and hold columns (shard.go). The
// first is small enough for bbolt to keep it inside of the page that changes
// with each commit anyway.
var (
	bucketMeta  = []byte("meta")  // keyState, keyMarks, prefixCursor + name
	bucketSegs  = []byte("segs")  // base of a full segment: what is in it
	bucketBoots = []byte("boots") // number of a boot: its clock
	bucketBad   = []byte("bad")   // sequence of a damaged record that is announced already
	bucketCols  = []byte("cols")  // base of a full segment: what columns it has

	keyState     = []byte("s")
	prefixCursor = []byte("c/")
	keyMarks     = []byte("m")
)

func seqKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// index is what the log's file holds, in short. One that has been published is
// never changed.
type index struct {
	state
	id       uint32    // of the file, in each blob
	head     uint64    // highest durable sequence, 0 if none was ever
	segments []segment // ascending; the last is the active one, if any
	records  uint64
	bad      map[uint64]bool
	stray    []uint64 // bases of columns that are of no use
	late     *late    // what is in the journal alone; nil if nothing is
	length   int64    // of the file
	used     int64    // of that, without free pages
}

// clone makes a copy whose active segment may be changed.
func (x *index) clone() *index {
	c := *x
	c.segments = slices.Clone(x.segments)
	if n := len(c.segments); n > 0 {
		c.segments[n-1] = c.segments[n-1].clone()
	}
	return &c
}

// firstSeq is the lowest sequence in the log, 0 if it is empty.
func (x *index) firstSeq() uint64 {
	if w := x.waiting(); x.records == 0 && len(w) > 0 {
		return w[0].seq
	} else if x.records == 0 {
		return 0
	}
	return x.first
}

// loaded is what a file says about itself.
type loaded struct {
	index
	cursors map[string]gateway.Cursor
	boots   map[uint64]boot
	marks   []gateway.Mark
}

// load reads everything but the records. It returns nil for a file that
// nothing was written to yet. The error wraps ErrDamaged if something is
// missing or wrong.
func load(d *file) (*loaded, error) {
	var l *loaded
	err := d.view(func(tx *bbolt.Tx) error {
		var err error
		l, err = loadTx(tx)
		return err
	})
	if err != nil || l == nil {
		return nil, err
	}
	l.length, l.used, err = d.space()
	return l, err
}

func loadTx(tx *bbolt.Tx) (*loaded, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		if k, _ := tx.Cursor().First(); k != nil {
			return nil, fmt.Errorf("%w: no state", ErrDamaged)
		}
		return nil, nil
	}
	bad := func(what string, err error) error {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, what, err)
	}
	l := &loaded{cursors: map[string]gateway.Cursor{}, boots: map[uint64]boot{}}
	o, err := parseBlob(meta.Get(keyState), 0, MaxRecord)
	if err != nil || o.typ != blobState {
		return nil, fmt.Errorf("%w: state: %v", ErrDamaged, err)
	}
	l.id = o.id
	if l.state, err = decodeState(o.body); err != nil {
		return nil, bad("state", err)
	}
	c := meta.Cursor()
	for k, v := c.Seek(prefixCursor); bytes.HasPrefix(k, prefixCursor); k, v = c.Next() {
		body, err := exactBlob(v, blobCursor, l.id)
		if err != nil {
			return nil, bad("cursor", err)
		}
		name, cur, err := decodeCursor(body)
		if err != nil {
			return nil, bad("cursor", err)
		}
		l.cursors[name] = cur
	}
	if v := meta.Get(keyMarks); v != nil {
		body, err := exactBlob(v, blobMarks, l.id)
		if err != nil {
			return nil, bad("marks", err)
		}
		if l.marks, err = decodeMarks(body); err != nil {
			return nil, bad("marks", err)
		}
	}
	err = eachBlob(tx, bucketBoots, blobBoot, l.id, func(body []byte) error {
		b, err := decodeBoot(body)
		l.boots[b.number] = b
		return err
	})
	if err != nil {
		return nil, bad("boots", err)
	}
	full := map[uint64]segment{}
	err = eachBlob(tx, bucketSegs, blobSegment, l.id, func(body []byte) error {
		s, err := decodeSegment(body)
		full[s.base] = s
		return err
	})
	if err != nil {
		return nil, bad("segments", err)
	}
	if b := tx.Bucket(bucketBad); b != nil {
		l.bad = map[uint64]bool{}
		err = b.ForEach(func(k, _ []byte) error {
			if len(k) == nameSize {
				l.bad[binary.BigEndian.Uint64(k)] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if err := l.addSegments(tx, full); err != nil {
		return l, err
	}
	return l, l.loadColumns(tx)
}

// addSegments matches the buckets of records with what is noted about them.
func (l *loaded) addSegments(tx *bbolt.Tx, full map[uint64]segment) error {
	err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		if len(name) != nameSize {
			return nil
		}
		base := binary.BigEndian.Uint64(name)
		s, ok := full[base]
		delete(full, base)
		if !ok && l.active.base == base {
			s, ok = l.active, true
		}
		if !ok || len(l.segments) > 0 && base <= l.segments[len(l.segments)-1].last || s.last < base {
			return fmt.Errorf("%w: segment %d", ErrDamaged, base)
		}
		l.segments = append(l.segments, s)
		l.records += s.records
		return nil
	})
	if err != nil {
		return err
	}
	if len(full) > 0 || l.active.records > 0 && (len(l.segments) == 0 || l.segments[len(l.segments)-1].base != l.active.base) {
		return fmt.Errorf("%w: a segment is missing", ErrDamaged)
	}
	l.head = l.next - 1
	if len(l.segments) > 0 {
		l.head = l.segments[len(l.segments)-1].last
	}
	return nil
}

func eachBlob(tx *bbolt.Tx, bucket []byte, typ byte, id uint32, fn func(body []byte) error) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil
	}
	return b.ForEach(func(_, v []byte) error {
		body, err := exactBlob(v, typ, id)
		if err != nil {
			return err
		}
		return fn(body)
	})
}

// find is the position of the first segment that may hold a record with a
// sequence of from or above.
func (x *index) find(from uint64) int {
	i, _ := slices.BinarySearchFunc(x.segments, from, func(s segment, from uint64) int {
		if s.last < from {
			return -1
		}
		return 1
	})
	return i
}

// missing gives the numbers from from to to that records were given, at most
// most of them.
func (x *index) missing(from, to uint64, most int) (seqs []uint64) {
	from = max(from, x.first)
	if len(x.jumps) == maxJumps { // what is known of jumps may begin there
		from = max(from, x.jumps[0].after)
	}
	for seq := from; seq <= to && len(seqs) < most; seq++ {
		i := slices.IndexFunc(x.jumps, func(j jump) bool { return j.after < seq && seq < j.next })
		if i >= 0 {
			seq = x.jumps[i].next - 1
			continue
		}
		seqs = append(seqs, seq)
	}
	return seqs
}

func cloneCursors(m map[string]gateway.Cursor) map[string]gateway.Cursor {
	c := maps.Clone(m)
	for k, v := range c {
		v.Done = slices.Clone(v.Done)
		c[k] = v
	}
	return c
}
