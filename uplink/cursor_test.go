package uplink

import (
	"testing"

	"pgregory.net/rapid"

	"fieldgate/gateway"
)

// A progress is compared with a plain set of numbers.
func TestProgress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const top = 60
		p := progress{gateway.Cursor{Next: 1}}
		acked := map[uint64]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			from := rapid.Uint64Range(0, top).Draw(t, "from")
			to := rapid.Uint64Range(0, top).Draw(t, "to")
			p.done(gateway.Range{From: from, To: to})
			for n := max(from, 1); n <= to; n++ {
				acked[n] = true
			}
			missing := map[uint64]bool{}
			count := uint64(0)
			for _, r := range p.missing(top) {
				for n := r.From; n <= r.To; n++ {
					missing[n] = true
					count++
				}
			}
			for n := uint64(1); n <= top; n++ {
				if acked[n] == missing[n] {
					t.Fatalf("%d: acknowledged %t, missing %t in %+v", n, acked[n], missing[n], p)
				}
			}
			if p.count(top) != count {
				t.Fatalf("count %d, want %d", p.count(top), count)
			}
			last := p.Next
			for _, d := range p.Done {
				if d.From <= last || d.From > d.To {
					t.Fatalf("ranges not apart: %+v", p)
				}
				last = d.To + 1
			}
		}
	})
}
