package store

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// How much a reading transaction copies at a time: a long one would keep
// bbolt from using old pages again.
const (
	viewRecords = 2000
	viewBytes   = 1 << 20
)

// readRecord decodes a record as it lies in a bucket. Key and value may be
// garbage.
func readRecord(k, v []byte, id uint32) (stored, error) {
	if len(k) != nameSize || len(v) > MaxRecord+blobHeader+8 {
		return stored{}, errNoBlob
	}
	body, err := exactBlob(v, blobRecord, id)
	if err != nil {
		return stored{}, err
	}
	s, err := decodeRecord(body)
	if err == nil && s.Seq != seqOf(k) {
		err = errors.New("record under the number of another")
	}
	return s, err
}

// view runs fn on the open file.
func (l *Log) view(fn func(tx *bbolt.Tx, x *index) error) error {
	l.fileMu.RLock()
	defer l.fileMu.RUnlock()
	x := l.index.Load()
	if l.file == nil || x == nil {
		return ErrUnavailable
	}
	err := l.file.view(func(tx *bbolt.Tx) error { return fn(tx, x) })
	if errors.Is(err, ErrDamaged) {
		l.mu.Lock()
		l.check = true
		l.poke()
		l.mu.Unlock()
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Read gives records with a sequence of from or above, ascending, with At and
// Clock filled in: at most maxRecords of them and about maxBytes of their
// values, but one if there is one. None means the end of the log. Records whose
// checksum fails are left out, counted, and announced to those uplinks that had
// not acknowledged them. The error wraps ErrUnavailable if the file cannot be
// read at the moment.
func (l *Log) Read(from uint64, maxRecords, maxBytes int) ([]gateway.Record, error) {
	if maxRecords <= 0 {
		maxRecords = viewRecords
	}
	if maxBytes <= 0 {
		maxBytes = viewBytes
	}
	var out []gateway.Record
	for next := from; len(out) < maxRecords && maxBytes > 0; {
		recs, after, bytes, err := l.readSome(next, min(maxRecords-len(out), viewRecords), min(maxBytes, viewBytes), nil)
		if err != nil {
			return out, fmt.Errorf("store: read: %w", err)
		}
		out = append(out, recs...)
		maxBytes -= bytes
		if after == 0 {
			break
		}
		next = after
	}
	return out, nil
}

// readSome reads in one transaction. After is the sequence to go on with, 0 at
// the end of the log. All gathers the damaged records, if not nil; otherwise
// only those that are not announced yet are looked at.
func (l *Log) readSome(from uint64, maxRecords, maxBytes int, all *[]uint64) (out []gateway.Record, after uint64, bytes int, err error) {
	var bad []uint64
	err = l.view(func(tx *bbolt.Tx, x *index) error {
		bad, out, bytes = nil, nil, 0
		if all != nil {
			*all = nil
		}
		missing := func(from, to uint64) {
			for _, seq := range x.missing(from, min(to, x.head), maxRecords) {
				if !x.bad[seq] {
					bad = append(bad, seq)
				}
				if all != nil {
					*all = append(*all, seq)
				}
			}
		}
		for i := x.find(from); i < len(x.segments); i++ {
			seg := &x.segments[i]
			b := tx.Bucket(seqKey(seg.base))
			if b == nil {
				continue // dropped since x was made
			}
			from = max(from, seg.base) // what is expected next
			c := b.Cursor()
			for k, v := c.Seek(seqKey(from)); k != nil; k, v = c.Next() {
				if len(out) > 0 && (len(out) >= maxRecords || bytes >= maxBytes) || len(bad) > maxRecords {
					after = from
					return nil
				}
				s, err := readRecord(k, v, x.id)
				if err != nil || s.Seq < from {
					continue // and so it is missing
				}
				missing(from, s.Seq-1)
				from = s.Seq + 1
				l.clocks.complete(&s)
				out = append(out, s.Record)
				bytes += len(v)
			}
			missing(from, seg.last)
			from = max(from, seg.last+1)
		}
		for _, r := range x.late.from(from) {
			if len(out) > 0 && (len(out) >= maxRecords || bytes >= maxBytes) {
				after = r.seq
				return nil
			}
			if s, err := r.decode(l.clocks); err == nil {
				out = append(out, s.Record)
				bytes += len(r.body)
			}
		}
		after = 0
		return nil
	})
	l.readBytes.Add(int64(bytes))
	if err == nil && len(bad) > 0 {
		l.report(bad)
	}
	return out, after, bytes, err
}

// report has the writer announce damaged records.
func (l *Log) report(bad []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := map[uint64]bool{}
	for _, s := range l.suspect {
		known[s] = true
	}
	bad = slices.DeleteFunc(bad, func(seq uint64) bool { return known[seq] })
	if len(bad) == 0 {
		return
	}
	l.log.Error("records are damaged or missing", "count", len(bad), "first", bad[0])
	l.suspect = append(l.suspect, bad...)
	l.poke()
}

// Backward calls fn with the records of the log, newest first, until it
// returns false. Records whose checksum fails are left out. Fn runs outside of
// any transaction.
func (l *Log) Backward(fn func(gateway.Record) bool) error {
	for from := uint64(math.MaxUint64); ; {
		var recs []gateway.Record
		more := false
		err := l.view(func(tx *bbolt.Tx, x *index) error {
			recs, more = nil, false
			bytes, from := 0, from
			waiting := x.waiting()
			for i := len(waiting) - 1; i >= 0; i-- {
				r := &waiting[i]
				if r.seq >= from {
					continue
				}
				if s, err := r.decode(l.clocks); err == nil {
					recs = append(recs, s.Record)
				}
				from = r.seq
				if len(recs) >= viewRecords/4 {
					more = true
					return nil
				}
			}
			for i := min(x.find(from), len(x.segments)-1); i >= 0; i-- {
				b := tx.Bucket(seqKey(x.segments[i].base))
				if b == nil {
					continue
				}
				c := b.Cursor()
				k, v := c.Seek(seqKey(from))
				if k == nil {
					k, v = c.Last()
				}
				for ; k != nil; k, v = c.Prev() {
					if seqOf(k) >= from {
						continue
					}
					if len(recs) >= viewRecords/4 || bytes > viewBytes/4 {
						more = true
						return nil
					}
					if s, err := readRecord(k, v, x.id); err == nil {
						l.clocks.complete(&s)
						recs = append(recs, s.Record)
						bytes += len(v)
					}
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("store: read: %w", err)
		}
		l.readBytes.Add(int64(len(recs)) * 100)
		for _, r := range recs {
			from = r.Seq
			if !fn(r) {
				return nil
			}
		}
		if !more || len(recs) == 0 {
			return nil
		}
	}
}
