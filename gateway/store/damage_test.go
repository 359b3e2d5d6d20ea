package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fieldgate/gateway"
)

// blobsOf gives the records of a sound file as they are encoded.
func blobsOf(t testing.TB, b []byte) map[uint64][]byte {
	t.Helper()
	p, err := openPages(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint64][]byte{}
	err = p.checkTree(true, func(bucket []byte, e element) error {
		if len(bucket) == nameSize {
			out[seqOf(e.key)] = bytes.Clone(e.value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withoutFreePages clears the pages that are not in use.
func withoutFreePages(t testing.TB, b []byte) []byte {
	t.Helper()
	b = bytes.Clone(b)
	p, err := openPages(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	free, err := p.free()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range free {
		clear(pageOf(b, int(id)))
	}
	return b
}

func pageOf(b []byte, id int) []byte { return b[id*ourPageSize:][:ourPageSize] }

// flips turns over n random bits.
func flips(n int, seed uint64) func([]byte) []byte {
	return func(b []byte) []byte {
		rnd := rand.New(rand.NewPCG(seed, seed))
		for range n {
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
		return b
	}
}

var damages = map[string]func(b []byte) []byte{
	"empty":               func(b []byte) []byte { return nil },
	"zeros":               func(b []byte) []byte { return make([]byte, len(b)) },
	"text":                func(b []byte) []byte { return []byte(strings.Repeat("not a database\n", 1000)) },
	"one byte":            func(b []byte) []byte { return b[:1] },
	"cut to 100 bytes":    func(b []byte) []byte { return b[:100] },
	"cut to 3 pages":      func(b []byte) []byte { return b[:3*ourPageSize] },
	"cut in half":         func(b []byte) []byte { return b[:len(b)/2] },
	"cut by a page":       func(b []byte) []byte { return cutUsed(b, 1) },
	"cut in a page":       func(b []byte) []byte { return b[:len(b)*3/4+1234] },
	"first page zeroed":   func(b []byte) []byte { clear(pageOf(b, 0)); return b },
	"second page zeroed":  func(b []byte) []byte { clear(pageOf(b, 1)); return b },
	"both zeroed":         func(b []byte) []byte { clear(b[:2*ourPageSize]); return b },
	"middle zeroed":       func(b []byte) []byte { clear(b[len(b)/3 : len(b)/2]); return b },
	"middle filled":       func(b []byte) []byte { fillFF(b[len(b)/3 : len(b)/2]); return b },
	"sector zeroed":       func(b []byte) []byte { clear(b[20*ourPageSize+512:][:512]); return b },
	"no page headers":     eachPage(func(p []byte) { clear(p[:pageHead]) }),
	"wrong page numbers":  eachPage(func(p []byte) { p[0]++ }),
	"counts too large":    eachPage(func(p []byte) { p[10], p[11] = 0xFF, 0xFF }),
	"leaves say branch":   eachPage(func(p []byte) { p[8] ^= pageLeaf | pageBranch }),
	"overflows":           eachPage(func(p []byte) { p[12] = 0xFF }),
	"elements wild":       eachPage(func(p []byte) { p[pageHead+4+3] = 0x7F }),
	"one bit":             flips(1, 1),
	"ten bits":            flips(10, 2),
	"hundred bits":        flips(100, 3),
	"five hundred bits":   flips(500, 4),
	"every page, one bit": eachPage(func(p []byte) { p[1000] ^= 4 }),
	"free list":           func(b []byte) []byte { return freelistDamage(b) },
	"branch loops":        func(b []byte) []byte { return branchLoop(b) },
}

// cutUsed cuts off the last n pages that are in use.
func cutUsed(b []byte, n int) []byte {
	p, err := openPages(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return b
	}
	return b[:(int(p.meta.pages)-n)*ourPageSize]
}

func fillFF(b []byte) {
	for i := range b {
		b[i] = 0xFF
	}
}

// eachPage damages all pages but the first two.
func eachPage(fn func(p []byte)) func([]byte) []byte {
	return func(b []byte) []byte {
		for id := 2; (id+1)*ourPageSize <= len(b); id++ {
			fn(pageOf(b, id))
		}
		return b
	}
}

func freelistDamage(b []byte) []byte {
	if p, err := openPages(bytes.NewReader(b), int64(len(b))); err == nil {
		fillFF(pageOf(b, int(p.meta.freelist)))
	}
	return b
}

// branchLoop has a branch page refer to itself, on which bbolt would recurse
// until the stack is used up.
func branchLoop(b []byte) []byte {
	for id := 2; (id+1)*ourPageSize <= len(b); id++ {
		p := pageOf(b, id)
		if p[8] == pageBranch {
			copy(p[pageHead+8:], p[:8])
		}
	}
	return b
}

// TestDamage damages a file in many ways. The log must open, have exactly the
// records of which a sound copy was left, announce every other one, and go on.
func TestDamage(t *testing.T) {
	for name, damage := range damages {
		for _, reserve := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/reserve=%v", name, reserve), func(t *testing.T) { testDamage(t, damage, reserve) })
		}
	}
}

func TestRandomDamage(t *testing.T) {
	n := 40
	if testing.Short() {
		n = 5
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			testDamage(t, flips(1+int(seed%7)*5, seed+100), seed%2 == 0)
		})
	}
}

func testDamage(t *testing.T, damage func([]byte) []byte, reserve bool) {
	o := Options{MaxSize: 1 << 20, Uplinks: []string{"cloud"}}
	res := &memReserver{}
	if reserve {
		o.Reserve = res
	}
	r := newRig(t, o)
	for i := range 60 { // many small commits leave older copies of pages
		r.fill(i*40, 40)
	}
	big := r.reading(0)
	big.Value = json.RawMessage(`"` + strings.Repeat("large", 2500) + `"`)
	r.put(big)
	const acked = 500
	r.SetCursor("cloud", gateway.Cursor{Next: acked + 1})
	r.fill(3000, 30)
	r.arranged()
	before := map[uint64]gateway.Record{}
	for _, rec := range r.all() {
		before[rec.Seq] = rec
	}
	head := r.Head()
	r.close()

	b, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	blobs := blobsOf(t, b)
	if len(blobs) != len(before) {
		t.Fatalf("%d records and %d blobs", len(before), len(blobs))
	}
	live := withoutFreePages(t, b)
	b = damage(b)
	if err := os.WriteFile(r.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	journal := map[uint64]bool{}
	if j, err := readJournal(r.path+journalSuffix, 0); err != nil {
		t.Fatal(err)
	} else {
		for _, f := range j.frames {
			for _, s := range f.records {
				journal[s.Seq] = true
			}
		}
	}
	want, may := map[uint64]bool{}, map[uint64]bool{}
	where := map[uint64]int{}
	sc := scanner{r: bytes.NewReader(live), size: int64(len(live)), most: MaxRecord}
	sc.each(0, sc.size, func(off int64, b blob) bool {
		if s, err := decodeRecord(b.body); err == nil && b.typ == blobRecord {
			where[s.Seq] = int(off)
		}
		return true
	})
	for seq, blob := range blobs {
		at := where[seq]
		want[seq] = at+len(blob) <= len(b) && bytes.Equal(b[at:at+len(blob)], blob)
		may[seq] = want[seq] || bytes.Contains(b, blob) || journal[seq] // in a page that was given up, or in the journal still
	}

	r.open()
	h := r.Health()
	if !h.OK {
		t.Fatal(h.Error)
	}
	if h.SetAside != "" { // before anything was written over
		want = may
	}
	settle(r)
	check := func() {
		t.Helper()
		recs := r.all()
		ascending(t, recs)
		got, gaps := map[uint64]bool{}, gapsOf(recs)
		for _, rec := range recs {
			if rec.Kind == gateway.KindGap {
				continue
			}
			if rec.Seq > head {
				continue // appended after
			}
			got[rec.Seq] = true
			orig := before[rec.Seq]
			if rec.Stamp.Boot == (gateway.Boot{}) {
				rec.Stamp.Boot = orig.Stamp.Boot // its id was lost
			}
			if fmt.Sprint(rec) != fmt.Sprint(orig) {
				t.Fatalf("record %d was\n%+v, is\n%+v", rec.Seq, orig, rec)
			}
		}
		for seq := range before {
			if got[seq] && !may[seq] || !got[seq] && want[seq] {
				t.Fatalf("record %d: read %v, sound where it was: %v, somewhere: %v (%d read)", seq, got[seq], want[seq], may[seq], len(got))
			}
			covered := slices.ContainsFunc(gaps, func(g gateway.Record) bool {
				return g.Uplink == "cloud" && g.Lost.Reason == reasonDamage && g.Lost.From <= seq && seq <= g.Lost.To
			})
			if !got[seq] && seq > acked && !covered && (reserve || len(b) > 0) {
				t.Fatalf("nobody was told that record %d is lost; gaps %v", seq, gapList(gaps))
			}
		}
		history := map[uint64]string{}
		for _, rec := range r.history(query1("MyDevice", "TC1")) {
			if rec.Seq <= head && string(rec.Value) != string(before[rec.Seq].Value) {
				t.Fatalf("the value of record %d is %s, was %s", rec.Seq, rec.Value, before[rec.Seq].Value)
			}
			history[rec.Seq] = string(rec.Value)
		}
		for _, rec := range recs { // what is damaged may be in a column still
			if v, ok := history[rec.Seq]; rec.Channel == "TC1" && (!ok || v != string(rec.Value)) {
				t.Fatalf("the history does not have record %d: %q", rec.Seq, v)
			}
		}
		if len(b) == 0 {
			return // nobody can know
		}
		lost := uint64(0)
		for seq := acked + uint64(1); seq <= head; seq++ {
			if !got[seq] {
				lost++
			}
		}
		for _, g := range gaps {
			if g.Lost.Count == 0 {
				return // nobody can know
			}
			lost -= min(lost, g.Lost.Count)
		}
		if lost != 0 {
			t.Fatalf("%d records more are lost than announced: %v", lost, gapList(gaps))
		}
	}
	check()
	if !reserve && len(b) == 0 {
		return // as if there had never been a log
	}
	for _, rec := range r.put(r.reading(1), r.reading(2)) {
		if rec.Seq <= head {
			t.Fatalf("sequence %d is used again, head was %d", rec.Seq, head)
		}
		if reserve && rec.Seq > 1<<40 {
			t.Fatalf("sequence %d although %d was reserved", rec.Seq, res.n)
		}
	}
	check()
	r.reopen()
	check()
	if v, err := r.Verify(t.Context()); err != nil || v.OK && v.Damaged > 0 {
		t.Fatal(v, err)
	}
}

func gapList(gaps []gateway.Record) (out []gateway.Lost) {
	for _, g := range gaps {
		out = append(out, *g.Lost)
	}
	return out
}

// settle reads everything until no damaged record is left to announce.
func settle(r *rig) {
	await(r.t, "the damage to be dealt with", func() bool {
		for from := uint64(0); ; {
			recs, err := r.Read(from, 1000, 0)
			if err != nil {
				return false
			}
			if len(recs) == 0 {
				break
			}
			from = recs[len(recs)-1].Seq + 1
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.suspect) == 0 && !r.check
	})
}

func TestSetAside(t *testing.T) {
	r := newRig(t, Options{})
	for i := range 4 {
		r.fill(i*10, 10)
		r.close()
		if err := os.Truncate(r.path, 5000+int64(i)); err != nil {
			t.Fatal(err)
		}
		r.open()
		h := r.Health()
		if _, err := os.Stat(h.SetAside); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(r.path + ".damaged-*")
	if err != nil || len(names) != 2 {
		t.Fatalf("%v: %v", names, err)
	}
	for _, n := range names {
		if st, err := os.Stat(n); err != nil || st.Size() != 5002 && st.Size() != 5003 {
			t.Errorf("%v is not one of the newest: %v", n, st.Size())
		}
	}
}

func TestFolderInTheWay(t *testing.T) {
	r := newRig(t, Options{})
	r.close()
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.path, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.open()
	r.fill(0, 10)
	h := r.Health()
	if st, err := os.Stat(filepath.Join(h.SetAside, "sub")); err != nil || !st.IsDir() {
		t.Fatal(err)
	}
}

// TestForgedRecords: what a client publishes is never taken for a record of
// the log, however it looks.
func TestForgedRecords(t *testing.T) {
	r := newRig(t, Options{})
	s := sample()
	s.Device, s.Seq = "forged", 999_999
	body, _ := appendRecord(nil, &s)
	var payload []byte
	for id := range uint32(500) {
		payload = appendBlob(payload, blobRecord, id, body)
	}
	for range 20 {
		r.put(gateway.Record{Kind: gateway.KindMessage, Topic: "t", Uplink: "u", Value: payload, Stamp: r.clock.Now()})
		r.fill(0, 50)
	}
	r.close()
	b, _ := os.ReadFile(r.path)
	b = flips(3000, 9)(b)
	clear(b[:2*ourPageSize])
	if err := os.WriteFile(r.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r.open()
	n := 0
	for _, rec := range r.all() {
		if rec.Device == "forged" {
			t.Fatal("a forged record")
		}
		n++
	}
	if n < 100 {
		t.Fatalf("only %d records", n)
	}
}
