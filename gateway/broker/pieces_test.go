package broker

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPieces: what was put in comes out, in order, however it was put in and
// taken out; and a piece that was given back is in no queue.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q pieces
		var want []byte
		next := byte(0)
		some := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = next
				next++
			}
			want = append(want, b...)
			return b
		}
		size := rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(4000, 4200), rapid.IntRange(1, 20_000))
		room := make([][]byte, 0, 4)
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) { q.write(some(size.Draw(t, "n"))) },
			"room": func(t *rapid.T) {
				n := size.Draw(t, "n")
				if b := q.room(n); b != nil {
					if len(b) != 0 || cap(b) < n {
						t.Fatalf("room for %d of %d bytes", cap(b), n)
					}
					_ = append(b, some(n)...)
					q.taken(n)
				} else if q.n == 0 && n <= 4000 {
					t.Fatal("no room in an empty queue")
				}
			},
			"drop": func(t *rapid.T) {
				bufs, n := q.first(room)
				got := slices.Concat(bufs...)
				if len(got) != n || !bytes.HasPrefix(want, got) || n == 0 && len(want) > 0 {
					t.Fatalf("%d bytes, and %d; of %d", len(got), n, len(want))
				}
				want = want[n:]
				q.drop(len(bufs))
			},
			"clear": func(t *rapid.T) { q.clear(); want = nil },
			"": func(t *rapid.T) {
				if q.n != len(want) {
					t.Fatalf("%d bytes, not %d", q.n, len(want))
				}
				for i, p := range q.list {
					if (i < q.at) != (p == nil) || slices.Contains(q.list[:i], p) && p != nil {
						t.Fatalf("piece %d of %d, at %d", i, len(q.list), q.at)
					}
				}
			},
		})
	})
}
