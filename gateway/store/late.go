package store

import (
	"slices"

	"fieldgate/gateway"
)

// late is what is in the journal alone, and its records in memory. One that has
// been published is never changed.
type late struct {
	records []lateRecord // ascending
	bytes   int64        // of their bodies
}

// lateRecord is a record as it would lie in the log's file, without its blob.
type lateRecord struct {
	seq  uint64
	body []byte
}

// from gives the records with a sequence of seq or above.
func (t *late) from(seq uint64) []lateRecord {
	if t == nil {
		return nil
	}
	i, _ := slices.BinarySearchFunc(t.records, seq, func(r lateRecord, seq uint64) int {
		if r.seq < seq {
			return -1
		}
		return 1
	})
	return t.records[i:]
}

// waiting gives the records that are not in the log's file.
func (x *index) waiting() []lateRecord { return x.late.from(x.next) }

// end is the sequence that follows the newest record.
func (x *index) end() uint64 {
	if w := x.waiting(); len(w) > 0 {
		return w[len(w)-1].seq + 1
	}
	return x.next
}

// total is how many records there are.
func (x *index) total() uint64 { return x.records + uint64(len(x.waiting())) }

// withLate is x with what the journal holds.
func (x *index) withLate(t *late) {
	if x.late = t; len(x.waiting()) == 0 {
		x.late = nil
		return
	}
	x.head = max(x.head, x.end()-1)
}

// decode reads a record of the journal.
func (r *lateRecord) decode(c *clocks) (stored, error) {
	s, err := decodeRecord(r.body)
	if err == nil {
		c.complete(&s)
	}
	return s, err
}

// lateRecords encodes records anew, for the numbers that boots have now.
func (c *clocks) lateRecords(records []stored) *late {
	t := &late{}
	for i := range records {
		s := &records[i]
		s.boot, s.hasBoot = c.number(s.Stamp), true
		body, err := appendRecord(nil, s)
		if err != nil {
			continue // it was decoded before
		}
		t.records = append(t.records, lateRecord{s.Seq, body})
		t.bytes += int64(len(body))
	}
	return t
}

// staleLate says that records have been in the journal alone for so long that
// they would be in the way of Options.MaxAge.
func (l *Log) staleLate(x *index) bool {
	if l.opt.MaxAge <= 0 || len(x.waiting()) == 0 {
		return false
	}
	s, err := x.waiting()[0].decode(l.clocks)
	if err != nil {
		return true
	}
	now := l.opt.Clock.Now()
	at, q := stampTime(&s.Record, nil)
	return now.Quality != gateway.ClockUnset && (q == gateway.ClockUnset || now.Wall.Sub(at) > l.opt.MaxAge/8)
}
