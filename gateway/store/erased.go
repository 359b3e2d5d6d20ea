package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"time"

	"fieldgate/gateway"
)

// erasure is a KindErase record: values with a lower sequence from from to to
// (microseconds, both included) are no part of the history.
type erasure struct {
	seq      uint64
	from, to int64
}

// erasureOf reads a KindErase record; false if it erases nothing.
func erasureOf(r *gateway.Record) (erasure, bool) {
	var e gateway.Erasure
	if json.Unmarshal(r.Value, &e) != nil {
		return erasure{}, false
	}
	from, to := window(e.From, e.To)
	return erasure{r.Seq, from, to}, from <= to
}

// window gives the whole microseconds from from to to, both included. A zero
// end is open.
func window(from, to time.Time) (lo, hi int64) {
	lo, hi = math.MinInt64, math.MaxInt64
	if !from.IsZero() {
		if lo = micros(from); from.Nanosecond()%1000 != 0 {
			lo++
		}
	}
	if !to.IsZero() {
		hi = micros(to)
	}
	return lo, hi
}

// micros is t.UnixMicro, or a time beyond all others where that overflows.
func micros(t time.Time) int64 {
	const most, beyond = 140_000, 1 << 62 // years, microseconds
	switch y := t.Year(); {
	case y > most:
		return beyond
	case y < -most:
		return -beyond
	}
	return t.UnixMicro()
}

func appendErasure(dst []byte, e, last *erasure) []byte {
	dst = binary.AppendVarint(dst, int64(e.seq-last.seq))
	dst = binary.AppendVarint(dst, e.from)
	return binary.AppendVarint(dst, e.to)
}

func decodeErasures(dst []erasure, body []byte, count int) ([]erasure, error) {
	f := fields{b: body}
	if count < 0 || count > len(body)/3 {
		return dst, errShort
	}
	var e erasure
	for range count {
		e.seq += uint64(f.int())
		e.from, e.to = f.int(), f.int()
		if f.err != nil {
			return dst, f.err
		}
		dst = append(dst, e)
	}
	return dst, f.end()
}

// erased says for each time up to which sequence values are erased: that of
// the last step at or before it.
type erased []erasedStep

type erasedStep struct {
	from int64
	seq  uint64 // values with a lower one are erased; 0: none
}

func newErased(all []erasure) erased {
	type edge struct {
		at  int64
		i   int
		end bool
	}
	var edges []edge
	for i, e := range all {
		edges = append(edges, edge{e.from, i, false})
		if e.to < math.MaxInt64 {
			edges = append(edges, edge{e.to + 1, i, true})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	// The highest sequence of those that have begun and not ended.
	var open maxHeap
	gone := map[int]bool{}
	var steps erased
	for n := 0; n < len(edges); {
		at := edges[n].at
		for ; n < len(edges) && edges[n].at == at; n++ {
			if edges[n].end {
				gone[edges[n].i] = true
			} else {
				open.push(heaped{all[edges[n].i].seq, edges[n].i})
			}
		}
		for len(open) > 0 && gone[open[0].i] {
			open.pop()
		}
		seq := uint64(0)
		if len(open) > 0 {
			seq = open[0].seq
		}
		if len(steps) == 0 || steps[len(steps)-1].seq != seq {
			steps = append(steps, erasedStep{at, seq})
		}
	}
	return steps
}

func (s erased) has(at int64, seq uint64) bool {
	i, exact := slices.BinarySearchFunc(s, at, func(e erasedStep, at int64) int { return cmp.Compare(e.from, at) })
	if !exact {
		i--
	}
	return i >= 0 && seq < s[i].seq
}

type heaped struct {
	seq uint64
	i   int
}

type maxHeap []heaped

func (h *maxHeap) push(x heaped) {
	a := append(*h, x)
	for i := len(a) - 1; i > 0 && a[i].seq > a[(i-1)/2].seq; i = (i - 1) / 2 {
		a[i], a[(i-1)/2] = a[(i-1)/2], a[i]
	}
	*h = a
}

func (h *maxHeap) pop() {
	a := *h
	a[0] = a[len(a)-1]
	a = a[:len(a)-1]
	for i := 0; ; {
		c := 2*i + 1
		if c+1 < len(a) && a[c+1].seq > a[c].seq {
			c++
		}
		if c >= len(a) || a[c].seq <= a[i].seq {
			break
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
	*h = a
}
