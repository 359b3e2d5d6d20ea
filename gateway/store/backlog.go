package store

import (
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// tallies remembers how many records an uplink is sent within parts of a
// segment, so that the backlog costs a look at what has changed only.
type tallies struct {
	parts map[tallyKey]tally
	heads map[string]headTally
}

type tallyKey struct {
	uplink string
	base   uint64 // of the segment
	from   uint64 // of the part
}

type tally struct{ to, n uint64 }

// headTally remembers the oldest record that is waiting.
type headTally struct {
	next uint64 // the cursor's then
	seq  uint64
	at   time.Time
}

// Backlog tells what the uplink has not acknowledged: of the records that it
// is sent, as Options.Filter says now for those it is asked about and as it
// said when they were recorded for the rest.
func (l *Log) Backlog(uplink string) Backlog {
	x := l.index.Load()
	if x == nil {
		return Backlog{}
	}
	l.tallyMu.Lock()
	defer l.tallyMu.Unlock()
	c := l.Cursor(uplink)
	if c.Next == 0 {
		return Backlog{}
	}
	done := c.Done
	if c.Next > 1 {
		done = append([]gateway.Range{{From: 1, To: c.Next - 1}}, done...)
	}
	var b Backlog
	live := map[tallyKey]bool{}
	for i := x.find(c.Next); i < len(x.segments); i++ {
		seg := &x.segments[i]
		n := seg.want(uplink)
		for _, r := range done {
			from, to := max(r.From, seg.base), min(r.To, seg.last)
			if from > to {
				continue
			}
			if from == seg.base && to == seg.last {
				n = 0
				break
			}
			key := tallyKey{uplink, seg.base, from}
			live[key] = true
			n -= min(n, l.count(x, key, to))
		}
		b.Records += n
		if seg.records > 0 {
			b.Bytes += seg.bytes * n / seg.records
		}
	}
	waiting := x.late.from(max(c.Next, x.next))
	for i := range waiting {
		if acked(&c, waiting[i].seq) {
			continue
		}
		if s, err := waiting[i].decode(l.clocks); err == nil && l.wants(uplink, &s.Record) {
			b.Records++
			b.Bytes += uint64(len(waiting[i].body))
		}
	}
	for k := range l.tally.parts {
		if k.uplink == uplink && !live[k] {
			delete(l.tally.parts, k)
		}
	}
	if b.Records > 0 {
		b.Oldest = l.oldest(uplink, &c)
	}
	return b
}

// count is how many records the uplink is sent from key.from to to, both
// included, in one segment.
func (l *Log) count(x *index, key tallyKey, to uint64) uint64 {
	t, ok := l.tally.parts[key]
	if !ok || t.to > to {
		t = tally{to: key.from - 1}
	}
	for t.to < to {
		end, n, err := l.countSome(x, key, t.to+1, to)
		if err != nil {
			break
		}
		t.to, t.n = end, t.n+n
	}
	if l.tally.parts == nil {
		l.tally.parts = map[tallyKey]tally{}
	}
	l.tally.parts[key] = t
	return t.n
}

// countSome counts in one transaction, up to end.
func (l *Log) countSome(x *index, key tallyKey, from, to uint64) (end, n uint64, err error) {
	err = l.view(func(tx *bbolt.Tx, _ *index) error {
		end, n = to, 0
		b := tx.Bucket(seqKey(key.base))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		seen := 0
		for k, v := c.Seek(seqKey(from)); k != nil; k, v = c.Next() {
			seq := seqOf(k)
			if seq > to {
				return nil
			}
			if seen++; seen > viewRecords {
				end = seq - 1
				return nil
			}
			if s, err := readRecord(k, v, x.id); err == nil && l.wants(key.uplink, &s.Record) {
				n++
			}
		}
		return nil
	})
	return end, n, err
}

// oldest is the time of the first record that the uplink waits for.
func (l *Log) oldest(uplink string, c *gateway.Cursor) time.Time {
	if h, ok := l.tally.heads[uplink]; ok && h.next == c.Next && !slices.ContainsFunc(c.Done, func(r gateway.Range) bool { return r.From <= h.seq && h.seq <= r.To }) {
		return h.at
	}
	for from, tries := c.Next, 0; tries < 100; tries++ {
		recs, err := l.Read(from, 100, viewBytes)
		if err != nil || len(recs) == 0 {
			break
		}
		for i := range recs {
			if r := &recs[i]; !acked(c, r.Seq) && l.wants(uplink, r) {
				if l.tally.heads == nil {
					l.tally.heads = map[string]headTally{}
				}
				l.tally.heads[uplink] = headTally{c.Next, r.Seq, r.At}
				return r.At
			}
		}
		from = recs[len(recs)-1].Seq + 1
		for _, r := range c.Done {
			if r.From <= from && from <= r.To {
				from = r.To + 1
			}
		}
	}
	return time.Time{}
}
