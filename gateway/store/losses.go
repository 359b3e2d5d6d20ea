package store

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"fieldgate/gateway"
)

// losses gathers, for each uplink, what goes before it was acknowledged: one
// gap record for each reason.
type losses struct {
	*build
	gaps map[gapKey]*gateway.Lost
}

type gapKey struct{ uplink, reason string }

// unknown marks a count that nobody can know, until the record is made.
const unknown = ^uint64(0)

func (t *losses) gap(uplink, reason string, from, to uint64) *gateway.Lost {
	if t.gaps == nil {
		t.gaps = map[gapKey]*gateway.Lost{}
	}
	k := gapKey{uplink, reason}
	g := t.gaps[k]
	if g == nil {
		g = &gateway.Lost{Reason: reason, From: from, To: to}
		t.gaps[k] = g
	}
	g.From, g.To = min(g.From, from), max(g.To, to)
	return g
}

// merge takes a gap record that is itself lost into the one that replaces it.
func merge(g, inner *gateway.Lost) {
	if g.Count != unknown {
		g.Count += inner.Count
	}
	if inner.Count == 0 {
		g.Count = unknown
	}
	mergeTimes(g, inner.First)
	mergeTimes(g, inner.Last)
	for k, n := range inner.Counts {
		count(g, k, n)
	}
}

func mergeTimes(g *gateway.Lost, t time.Time) {
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 { // JSON has no others
		return
	}
	if g.First.IsZero() || t.Before(g.First) {
		g.First = t
	}
	if t.After(g.Last) {
		g.Last = t
	}
}

// mostCounted bounds the sensors that one gap record lists.
const mostCounted = 10_000

func count(g *gateway.Lost, key string, n uint64) {
	if g.Counts == nil {
		g.Counts = map[string]uint64{}
	}
	if _, ok := g.Counts[key]; ok || len(g.Counts) < mostCounted {
		g.Counts[key] += n
	}
}

// segment counts what is lost with seg.
func (t *losses) segment(seg *segment, reason string) error {
	var behind []string
	for _, name := range t.opt.Uplinks {
		c := t.cursors[name]
		if !ackedAll(&c, seg.base, seg.last) {
			behind = append(behind, name)
		}
	}
	if len(behind) == 0 {
		return nil
	}
	bucket := t.tx.Bucket(seqKey(seg.base))
	if bucket == nil {
		return fmt.Errorf("%w: segment %d is missing", ErrDamaged, seg.base)
	}
	c := bucket.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		seq := seqOf(k)
		if t.x.bad[seq] {
			continue // announced
		}
		s, err := t.decode(k, v)
		for _, name := range behind {
			cur := t.cursors[name]
			if acked(&cur, seq) {
				continue
			}
			if err != nil { // what it was nobody knows
				t.add(name, reason, seq)
				continue
			}
			if t.wants(name, &s.Record) {
				t.record(name, reason, &s.Record)
			}
		}
	}
	return nil
}

// decode reads a record as it lies in a bucket.
func (t *losses) decode(k, v []byte) (stored, error) {
	s, err := readRecord(k, v, t.x.id)
	if err == nil {
		t.clocks.complete(&s)
	}
	return s, err
}

func (t *losses) add(uplink, reason string, seq uint64) *gateway.Lost {
	g := t.gap(uplink, reason, seq, seq)
	if g.Count != unknown {
		g.Count++
	}
	return g
}

func (t *losses) record(uplink, reason string, r *gateway.Record) {
	if r.Kind == gateway.KindGap && r.Lost != nil {
		merge(t.gap(uplink, r.Lost.Reason, r.Lost.From, r.Lost.To), r.Lost)
		return
	}
	g := t.add(uplink, reason, r.Seq)
	mergeTimes(g, r.At)
	if r.Device != "" {
		count(g, r.Device+"/"+r.Channel, 1)
	}
}

// damaged counts one record whose checksum fails.
func (t *losses) damaged(seq uint64) {
	for _, name := range t.opt.Uplinks {
		if c := t.cursors[name]; !acked(&c, seq) {
			t.add(name, reasonDamage, seq)
		}
	}
}

// missing counts what could not be saved from a damaged file.
func (t *losses) missing(ranges []lostRange) {
	for _, name := range t.opt.Uplinks {
		c := t.cursors[name]
		for _, r := range ranges {
			from := max(r.From, c.Next)
			if ackedAll(&c, from, r.To) {
				continue
			}
			g := t.gap(name, reasonDamage, from, r.To)
			if !r.exact {
				g.Count = unknown
			}
			if g.Count != unknown {
				g.Count += r.To - from + 1 - ackedWithin(&c, from, r.To)
			}
		}
	}
}

// records makes gap records of everything that was counted.
func (t *losses) records() []gateway.Record {
	keys := slices.SortedFunc(maps.Keys(t.gaps), func(a, b gapKey) int {
		switch {
		case a.uplink != b.uplink && a.uplink < b.uplink, a.uplink == b.uplink && a.reason < b.reason:
			return -1
		}
		return 1
	})
	now := t.opt.Clock.Now()
	var out []gateway.Record
	for _, k := range keys {
		g := t.gaps[k]
		if g.Count == unknown {
			g.Count = 0
		}
		r := gateway.Record{Kind: gateway.KindGap, Uplink: k.uplink, Lost: g, Stamp: now}
		if recordSize(&r) > MaxRecord {
			g.Counts = nil
		}
		out = append(out, r)
	}
	return out
}
