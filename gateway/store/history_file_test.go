package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
)

// withoutColumns makes the file one from before there were columns, or with
// damage one whose columns are of a later format.
func (r *rig) withoutColumns() {
	r.t.Helper()
	r.stop()
	r.close()
	l, err := OpenLog(r.path, Options{Clock: r.clock, MaxSize: r.opt.MaxSize, SegmentBytes: r.opt.SegmentBytes, Uplinks: r.opt.Uplinks})
	if err != nil {
		r.t.Fatal(err)
	}
	for len(l.withColumns()) > 0 {
		if err := l.commit(job{stray: l.withColumns()}); err != nil {
			r.t.Fatal(err)
		}
	}
	r.Log = l // without Run, nothing is made anew
}

func (r *rig) columnBytes() (n uint64) {
	for _, s := range r.index.Load().segments {
		n += s.columns.bytes
	}
	return n
}

// TestHistoryOfOldFiles: a file without columns has the same history, and gets
// columns by and by, each once.
func TestHistoryOfOldFiles(t *testing.T) {
	r := newRig(t, Options{SegmentBytes: 16 << 10})
	fillStreams(r, 10, 1000)
	r.arranged()
	q := query1("MyDevice", "S4")
	want := naive(r.all(), q)
	compareHistory(t, r.history(q), want, q)
	had := r.columnBytes()
	r.withoutColumns()
	if n := r.columnBytes(); n != 0 {
		t.Fatalf("%d bytes of columns", n)
	}
	compareHistory(t, r.history(q), want, q)
	back := q
	back.Backward, back.Limit = true, 100
	compareHistory(t, r.history(back), naive(r.all(), back), back)
	r.close()
	r.open()
	r.arranged()
	if n := r.columnBytes(); n != had {
		t.Errorf("%d bytes of columns, were %d", n, had)
	}
	commits := r.Health().Commits
	compareHistory(t, r.history(q), want, q)
	r.reopen()
	r.arranged()
	if n := r.Health().Commits; n > commits {
		t.Errorf("%d commits for columns that were there", n)
	}
	if v, err := r.Verify(t.Context()); err != nil || !v.OK {
		t.Fatal(v, err)
	}
	if i, err := r.Inspect(); err != nil || i.Segments[0].Columns == 0 || i.Segments[len(i.Segments)-1].Columns != 0 {
		t.Fatalf("%+v %v", i.Segments, err)
	}
}

// TestColumnsAreRenewed: what a query finds damaged is made anew.
func TestColumnsAreRenewed(t *testing.T) {
	r := newRig(t, Options{SegmentBytes: 16 << 10})
	fillStreams(r, 10, 1000)
	r.arranged()
	q := query1("MyDevice", "S4")
	want := naive(r.all(), q)
	r.close()
	if n := damageColumns(t, r.path, 1, 1); n < 10 {
		t.Fatalf("%d blobs of columns", n)
	}
	r.open()
	for range 3 {
		compareHistory(t, r.history(q), want, q)
	}
	r.arranged()
	x := r.index.Load()
	for _, s := range x.segments {
		if len(x.segments) < 3 || s.columns.shards == 0 && s.base != x.segments[len(x.segments)-1].base {
			t.Fatalf("%+v", x.segments)
		}
	}
	r.reopen()
	r.readBytes.Store(0)
	compareHistory(t, r.history(q), want, q)
	if last := x.segments[len(x.segments)-1].bytes; r.readBytes.Load() > int64(last+r.columnBytes()) {
		t.Errorf("%d bytes were read", r.readBytes.Load())
	}
	if h := r.Health(); h.SetAside != "" || h.Damaged > 0 {
		t.Errorf("%+v", h)
	}
}

// TestHistoryOfDamagedPages: pages of columns that are no pages any more.
func TestHistoryOfDamagedPages(t *testing.T) {
	for name, damage := range map[string]func(p []byte){
		"zeros":  func(p []byte) { clear(p) },
		"ones":   fillFF,
		"count":  func(p []byte) { p[10] = 0xFF; p[11] = 0x7F },
		"bounds": func(p []byte) { copy(p[pageHead+4:], "\xFF\xFF\xFF\x7F") },
		"key":    func(p []byte) { p[ourPageSize/2] ^= 1; p[pageHead+elementSize*3] ^= 0x10 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{SegmentBytes: 16 << 10})
			fillStreams(r, 10, 1000)
			r.arranged()
			q := query1("MyDevice", "S4")
			want := naive(r.all(), q)
			r.close()
			b, err := os.ReadFile(r.path)
			if err != nil {
				t.Fatal(err)
			}
			live := withoutFreePages(t, b)
			id := (&scanner{r: bytes.NewReader(live), size: int64(len(live)), most: MaxRecord}).vote()
			pages := map[int64]bool{}
			s := scanner{r: bytes.NewReader(live), size: int64(len(live)), id: id, most: MaxRecord}
			s.each(0, s.size, func(off int64, o blob) bool {
				if o.typ == blobColumn || o.typ == blobShard {
					pages[off/ourPageSize] = true
				}
				return true
			})
			n := 0
			for p := range pages {
				if n++; n%3 == 0 {
					damage(pageOf(b, int(p)))
				}
			}
			if err := os.WriteFile(r.path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			r.open()
			compareHistory(t, r.history(q), want, q)
			settle(r)
			r.reopen()
			compareHistory(t, r.history(q), want, q)
			compareHistory(t, naive(r.all(), q), want, q)
		})
	}
}

// TestHistoryWhileItsGroundMoves: columns that go and a file that is replaced
// in the middle of a query neither lose nor double a value.
func TestHistoryWhileItsGroundMoves(t *testing.T) {
	for _, backward := range []bool{false, true} {
		r := newRig(t, Options{SegmentBytes: 16 << 10})
		fillStreams(r, 10, 1000)
		r.arranged()
		q := query1("MyDevice", "S4")
		q.Backward = backward
		want := naive(r.all(), q)
		r.stop()
		var got []gateway.Record
		err := r.History(context.Background(), q, func(rec gateway.Record) error {
			switch got = append(got, rec); {
			case len(got)%300 == 0:
				r.generation.Add(1)
			case len(got)%100 == 0:
				return r.commit(job{stray: r.withColumns()})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		compareHistory(t, got, want, q)
	}
}

// TestHistoryHoldsLittle: a long window is not gathered, in whatever order the
// values of a segment came.
func TestHistoryHoldsLittle(t *testing.T) {
	r := newRig(t, Options{SegmentBytes: 32 << 10})
	const n = 20_000
	var recs []gateway.Record
	for i := range n {
		rec := r.reading(1)
		rec.Time = epoch.Add(time.Duration(i) * time.Second)
		if i%2 == 0 { // as from a device that catches up
			rec.Time = rec.Time.AddDate(-1, 0, 0)
		}
		recs = append(recs, rec)
	}
	for i := 0; i < n; i += 1000 {
		r.put(recs[i : i+1000]...)
	}
	r.arranged()
	h := &query{Log: r.Log, HistoryQuery: query1("MyDevice", "TC1"), ctx: t.Context(), column: columnKey{gateway.KindSensor, "MyDevice", "TC1"}}
	h.name = appendKey(nil, gateway.KindSensor, "MyDevice", "TC1")
	h.lo, h.hi = window(time.Time{}, time.Time{})
	if err := h.plan(); err != nil {
		t.Fatal(err)
	}
	most, got := 0, 0
	err := h.sweep(func(gateway.Record) error {
		held := 0
		for _, run := range h.loaded {
			held += len(run.rest)
		}
		most = max(most, held)
		got++
		return nil
	})
	if err != nil || got != n {
		t.Fatal(got, err)
	}
	if most > n/5 {
		t.Errorf("%d of %d values were held at once", most, n)
	}
}

// TestHistoryOfLongNames: what is too long for a column has a history still.
func TestHistoryOfLongNames(t *testing.T) {
	r := newRig(t, Options{SegmentBytes: 8 << 10})
	long := strings.Repeat("n", longestName)
	for i := range 20 {
		rec := r.reading(i)
		rec.Channel = long
		r.put(rec, r.reading(i))
	}
	r.arranged()
	for _, q := range []gateway.HistoryQuery{query1("MyDevice", long), query1("MyDevice", "TC1")} {
		want := naive(r.all(), q)
		if len(want) < 6 {
			t.Fatal(len(want))
		}
		compareHistory(t, r.history(q), want, q)
	}
}

// TestColumnsOnFullDisk: columns give way before a record has to wait.
func TestColumnsOnFullDisk(t *testing.T) {
	dir := tmpfs(t, "8m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{MaxSize: 64 << 20, SegmentBytes: 64 << 10, Uplinks: []string{"cloud"}})
	r.fill(0, 10_000)
	r.arranged()
	had := r.columnBytes()
	free := ballast(t, dir, 0)
	tr := newTracked()
	n := 0
	for s := 0; s == 0 && n < 100_000; n += 50 {
		var recs []gateway.Record
		for i := range 50 {
			recs = append(recs, r.reading(10_000+n+i))
		}
		if err := r.Append(tr.entry(n, recs...)); err != nil {
			t.Fatal(err)
		}
		await(t, "an answer", func() bool { s1, d := tr.counts(); s = s1; return s+d > n/50 })
	}
	if had == 0 || r.columnBytes() > had/10 {
		t.Fatalf("records wait and columns take %d bytes, took %d", r.columnBytes(), had)
	}
	if n < 500 {
		t.Errorf("%d records had room in the place of %d bytes of columns", n, had)
	}
	q := query1("MyDevice", "TC1")
	compareHistory(t, r.history(q), naive(r.all(), q), q)
	free()
	await(t, "the disk to take records", func() bool { return r.Health().OK })
	r.fill(n, 100)
	compareHistory(t, r.history(q), naive(r.all(), q), q)
	if g := gapsOf(r.all()); len(g) != 0 {
		t.Fatal(fmt.Sprint(gapList(g)))
	}
}
