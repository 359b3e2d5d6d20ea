package uplink

import (
	"math"
	"slices"

	"fieldgate/gateway"
)

// endless is the end of a range that follows the log.
const endless = math.MaxUint64

// progress is how far the cloud has acknowledged the log.
type progress struct {
	gateway.Cursor
}

// done marks a run of records as acknowledged.
func (p *progress) done(r gateway.Range) {
	r.From = max(r.From, p.Next)
	if r.From > r.To {
		return
	}
	i, _ := slices.BinarySearchFunc(p.Done, r.From, func(d gateway.Range, from uint64) int {
		switch { // the first that ends at or beyond the one before r
		case d.To+1 < from:
			return -1
		case d.To+1 == from:
			return 0
		}
		return 1
	})
	j := i
	for j < len(p.Done) && p.Done[j].From <= r.To+1 {
		r.From, r.To = min(r.From, p.Done[j].From), max(r.To, p.Done[j].To)
		j++
	}
	p.Done = slices.Replace(p.Done, i, j, r)
	for len(p.Done) > 0 && p.Done[0].From <= p.Next {
		p.Next = p.Done[0].To + 1
		p.Done = slices.Delete(p.Done, 0, 1)
	}
}

// missing lists what is not acknowledged up to and including to.
func (p *progress) missing(to uint64) []gateway.Range {
	var out []gateway.Range
	from := max(p.Next, 1)
	for _, d := range p.Done {
		if d.From > to {
			break
		}
		if d.From > from {
			out = append(out, gateway.Range{From: from, To: d.From - 1})
		}
		from = max(from, d.To+1)
	}
	if from <= to {
		out = append(out, gateway.Range{From: from, To: to})
	}
	return out
}

// count is how many sequence numbers up to head are not acknowledged.
func (p *progress) count(head uint64) (n uint64) {
	for _, r := range p.missing(head) {
		n += r.To - r.From + 1
	}
	return n
}

// snapshot is a copy to hand out.
func (p *progress) snapshot() gateway.Cursor {
	return gateway.Cursor{Next: p.Next, Done: slices.Clone(p.Done)}
}
