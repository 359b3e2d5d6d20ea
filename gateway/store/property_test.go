package store

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

// TestModel drives a log with random appends, acknowledgements, restarts and
// changes of size, and compares it with a plain list.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		m := &model{rt: rt, written: map[uint64]string{}, lost: map[string]uint64{}}
		m.rig = rigIn(t, dir, Options{MaxSize: 1 << 20, Uplinks: []string{"a", "b"}, Filter: func(up string, r *gateway.Record) bool {
			return up != "b" || r.Channel != "TC2"
		}})
		defer m.rig.close()
		m.cursors = map[string]gateway.Cursor{"a": {Next: 1}, "b": {Next: 1}}
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"ack":     m.ack,
			"restart": func(*rapid.T) { m.rig.reopen() },
			"cut":     m.cut,
			"":        m.check,
		})
	})
}

func rigIn(t testing.TB, dir string, o Options) *rig {
	r := &rig{t: t, path: dir + "/log.db", opt: o, clock: fakeclock.New(epoch, gateway.ClockSynced)}
	r.open()
	return r
}

type model struct {
	rt      *rapid.T
	rig     *rig
	written map[uint64]string // all that was ever appended
	head    uint64
	cursors map[string]gateway.Cursor // as set, or further
	lost    map[string]uint64
	counter int
}

func (m *model) append(rt *rapid.T) {
	n := rapid.IntRange(1, 120).Draw(rt, "records")
	size := rapid.SampledFrom([]int{1, 50, 300, 2000, 9000}).Draw(rt, "bytes")
	n = min(n, 1+100_000/size)
	var recs []gateway.Record
	for range n {
		m.counter++
		r := m.rig.reading(m.counter)
		r.Value = json.RawMessage(fmt.Sprintf(`"%d %s"`, m.counter, strings.Repeat("x", size)))
		recs = append(recs, r)
	}
	for _, r := range m.rig.put(recs...) {
		if r.Seq <= m.head {
			rt.Fatalf("sequence %d after %d", r.Seq, m.head)
		}
		m.head = r.Seq
		m.written[r.Seq] = r.Channel + string(r.Value)
	}
}

func (m *model) ack(rt *rapid.T) {
	up := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "uplink")
	from := rapid.Uint64Range(1, m.rig.Head()+1).Draw(rt, "from")
	c := gateway.Cursor{Next: m.cursors[up].Next, Done: []gateway.Range{{From: from, To: min(m.rig.Head(), from+rapid.Uint64Range(0, 400).Draw(rt, "n"))}}}
	if rapid.Bool().Draw(rt, "all below") {
		c.Next = max(c.Next, from)
	}
	m.rig.SetCursor(up, c)
	m.cursors[up] = mergeCursors(m.cursors[up], c)
}

// cut has the process die without Close.
func (m *model) cut(*rapid.T) {
	m.rig.stop()
	m.rig.Log.setFile(nil)
	m.rig.closeJournal()
	for _, up := range []string{"a", "b"} { // moves that were not committed are lost
		m.cursors[up] = m.rig.w.saved[up]
	}
	m.rig.Log = nil
	m.rig.open()
}

// check compares the log with the model. The log drops what is too much by and
// by, and what a reader sees of one commit is not all published at one moment, so
// what is wrong is an error only if it stays.
func (m *model) check(rt *rapid.T) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		wrong := m.compare()
		x := m.rig.index.Load()
		n := tooMany(x.segments, x.used, 1<<20)
		if n > 0 { // what may be acknowledged after the opening waits
			cursors := map[string]gateway.Cursor{"a": m.rig.Cursor("a"), "b": m.rig.Cursor("b")}
			n = m.rig.w.hold.ready(x.segments, cursors, n, tooMany(x.segments, x.used, m.rig.Log.opt.heldSize()))
		}
		if n == 0 && wrong == "" {
			return
		}
		m.rig.mu.Lock()
		m.rig.poke() // a cursor that moved a second time wakes nobody
		m.rig.mu.Unlock()
		if time.Now().After(deadline) {
			rt.Fatalf("%s; %d segments too many", wrong, n)
		}
	}
}

// compare says what is not as it should be.
func (m *model) compare() string {
	recs, first := m.rig.all(), m.rig.First()
	for i := 1; i < len(recs); i++ {
		if recs[i].Seq <= recs[i-1].Seq {
			return fmt.Sprintf("%d follows %d", recs[i].Seq, recs[i-1].Seq)
		}
	}
	in := map[uint64]bool{}
	for _, r := range recs {
		in[r.Seq] = true
		if want, ok := m.written[r.Seq]; r.Kind != gateway.KindGap && (!ok || want != r.Channel+string(r.Value)) {
			return fmt.Sprintf("record %d is %s", r.Seq, r.Value)
		}
	}
	for seq := range m.written {
		if seq >= first && !in[seq] {
			return fmt.Sprintf("record %d is gone, first is %d", seq, first)
		}
	}
	if h := m.rig.Health(); h.FileBytes > 1<<20+400<<10 || h.UsedBytes > h.FileBytes || !h.OK || h.Damaged > 0 {
		return fmt.Sprintf("%+v", h)
	}
	for _, up := range []string{"a", "b"} {
		c := m.rig.Cursor(up)
		want := mergeCursors(m.cursors[up], gateway.Cursor{})
		if got := mergeCursors(want, gateway.Cursor{Next: first}); fmt.Sprint(got) != fmt.Sprint(mergeCursors(c, gateway.Cursor{})) {
			return fmt.Sprintf("%s: cursor %v, want %v, first %d", up, c, want, first)
		}
		waiting := uint64(0)
		for i := range recs {
			if !acked(&c, recs[i].Seq) && m.rig.wants(up, &recs[i]) {
				waiting++
			}
		}
		if b := m.rig.Backlog(up); b.Records != waiting || (waiting > 0) == b.Oldest.IsZero() {
			return fmt.Sprintf("%s: backlog %+v, want %d", up, b, waiting)
		}
	}
	// Each record that went unacknowledged is announced once, to the uplink
	// that wanted it: in a gap that is there still, or that was acknowledged.
	gaps := map[string]uint64{}
	for _, r := range recs {
		if r.Kind == gateway.KindGap {
			gaps[r.Uplink] += r.Lost.Count
		}
	}
	for _, up := range []string{"a", "b"} {
		if gaps[up] > uint64(len(m.written)) {
			return fmt.Sprintf("%s: %d announced of %d", up, gaps[up], len(m.written))
		}
	}
	return ""
}

func TestMergeCursors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) gateway.Cursor {
			c := gateway.Cursor{Next: rapid.Uint64Range(0, 20).Draw(t, label)}
			for range rapid.IntRange(0, 4).Draw(t, label+" runs") {
				from := rapid.Uint64Range(0, 40).Draw(t, label+" from")
				c.Done = append(c.Done, gateway.Range{From: from, To: from + rapid.Uint64Range(0, 6).Draw(t, label+" n")})
			}
			return c
		}
		a, b := draw("a"), draw("b")
		in := func(c *gateway.Cursor, seq uint64) bool {
			return seq < c.Next || slices.ContainsFunc(c.Done, func(r gateway.Range) bool { return r.From <= seq && seq <= r.To })
		}
		c := mergeCursors(a, b)
		for seq := uint64(0); seq < 60; seq++ {
			if want := in(&a, seq) || in(&b, seq); acked(&c, seq) != want {
				t.Fatalf("%d: %v", seq, c)
			}
			for to := seq; to < 60; to++ {
				want := true
				n := uint64(0)
				for s := seq; s <= to; s++ {
					want = want && acked(&c, s)
					if acked(&c, s) && s >= c.Next {
						n++
					}
				}
				if ackedAll(&c, seq, to) != want || ackedWithin(&c, seq, to) != n {
					t.Fatalf("%d to %d: %v", seq, to, c)
				}
			}
		}
		last := c.Next
		for _, r := range c.Done {
			if r.From <= last || r.To < r.From {
				t.Fatalf("%v", c)
			}
			last = r.To + 1
		}
	})
}
