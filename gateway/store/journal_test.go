package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

// readJournal reads the journal beside r's file.
func (r *rig) readJournal() journaled {
	r.t.Helper()
	j, err := readJournal(r.path+journalSuffix, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// trickle appends n readings, each in a commit of its own.
func (r *rig) trickle(from, n int) (recs []gateway.Record) {
	r.t.Helper()
	for i := range n {
		recs = append(recs, r.put(r.reading(from+i))...)
	}
	return recs
}

// openAt is a log at path with Run going, with the options of r.
func (r *rig) openAt(t *testing.T, path string) *rig {
	t.Helper()
	o := &rig{t: t, path: path, opt: r.opt, clock: fakeclock.New(epoch, gateway.ClockSynced)}
	o.open()
	t.Cleanup(o.close)
	return o
}

// TestSmallCommits: they leave the log's file alone, and are for every reader
// what others are, also after a kill.
func TestSmallCommits(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"cloud", "other"}, Reserve: &memReserver{}})
	first := r.trickle(0, 1) // tells of the boot
	file, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	before := r.Health()
	want := append(first, r.trickle(1, 40)...)
	long := r.reading(50)
	long.Value = json.RawMessage(`"` + strings.Repeat("x", 2000) + `"`)
	want = append(want, r.put(long)...)
	r.put(gateway.Record{Kind: gateway.KindErase, Device: "MyDevice", Channel: "TC1", Value: json.RawMessage(`{}`), Stamp: r.clock.Now()})
	want = append(want, r.trickle(60, 3)...)
	r.SetCursor("cloud", gateway.Cursor{Next: 20, Done: []gateway.Range{{From: 30, To: 32}}})
	want = append(want, r.trickle(70, 1)...)

	if now, _ := os.ReadFile(r.path); !bytes.Equal(now, file) {
		t.Error("a small commit changed the log's file")
	}
	h := r.Health()
	if n := h.Commits - before.Commits; n != 46 {
		t.Errorf("%d commits", n)
	}
	if n := h.BytesWritten - before.BytesWritten; n != 46*journalBlock {
		t.Errorf("%d bytes written", n)
	}
	path := r.copied()
	check := func(t *testing.T, l *rig) {
		t.Helper()
		got := l.all()
		if len(got) != 47 || l.Health().Records != 47 || l.Head() != 47 || l.First() != 1 {
			t.Fatalf("%d records, %+v", len(got), l.Health())
		}
		got = slices.DeleteFunc(got, func(r gateway.Record) bool { return r.Kind == gateway.KindErase })
		for i := range got {
			got[i].At, got[i].Clock = time.Time{}, 0
			if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
				t.Fatalf("record %d was\n%+v, is\n%+v", i, want[i], got[i])
			}
		}
		var back []uint64
		if err := l.Backward(func(r gateway.Record) bool { back = append(back, r.Seq); return true }); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(back)
		if len(back) != 47 || !slices.IsSorted(back) || len(slices.Compact(back)) != 47 {
			t.Errorf("backward: %v", back)
		}
		var history []string
		for _, rec := range l.history(query1("MyDevice", "TC2")) {
			history = append(history, string(rec.Value))
		}
		if len(history) != 15 || !strings.Contains(strings.Join(history, " "), string(long.Value)) {
			t.Errorf("history: %v", history)
		}
		// What was there when TC1 was erased is gone from its history.
		if h := l.history(query1("MyDevice", "TC1")); len(h) != 2 || string(h[0].Value) != "61" || string(h[1].Value) != "70" {
			t.Errorf("history after erasing: %v", h)
		}
		if c := l.Cursor("cloud"); fmt.Sprint(c) != "{20 [{30 32}]}" {
			t.Errorf("cursor: %v", c)
		}
		if b := l.Backlog("cloud"); b.Records != 47-19-3 || b.Oldest.IsZero() || b.Bytes == 0 {
			t.Errorf("backlog: %+v", b)
		}
		if b := l.Backlog("other"); b.Records != 47 {
			t.Errorf("backlog: %+v", b)
		}
		if v, err := l.Verify(t.Context()); err != nil || !v.OK || v.Records != 47 {
			t.Errorf("%+v, %v", v, err)
		}
	}
	t.Run("now", func(t *testing.T) { check(t, r) })
	t.Run("reader", func(t *testing.T) {
		if v, err := Verify(t.Context(), path); err != nil || !v.OK || v.Records != 47 {
			t.Errorf("%+v, %v", v, err)
		}
		if i, err := Inspect(path); err != nil || i.Records != 47 || i.Journal != 46 || i.Head != 47 || fmt.Sprint(i.Cursors["cloud"]) != "{20 [{30 32}]}" {
			t.Errorf("%+v, %v", i, err)
		}
		if recs := export(t, path); len(recs) != 47 {
			t.Errorf("%d records exported", len(recs))
		}
	})
	t.Run("after a kill", func(t *testing.T) {
		l := r.openAt(t, path)
		check(t, l)
		l.reopen()
		check(t, l)
		if seq := l.put(l.reading(1))[0].Seq; seq != 48 {
			t.Errorf("record %d follows 47", seq)
		}
	})
	t.Run("after a stop", func(t *testing.T) {
		r.close()
		_ = os.Remove(r.path + journalSuffix) // nothing is missed
		r.open()
		check(t, r)
	})
}

// export reads the log's file path as the command does.
func export(t *testing.T, path string) (out []gateway.Record) {
	t.Helper()
	l, err := OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for {
		recs, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		if len(recs) == 0 {
			return out
		}
		out = append(out, recs...)
	}
}

// TestJournalIsUsedAgain: one that is full is emptied into the log's file, a
// large commit empties it, and neither changes the order.
func TestJournalIsUsedAgain(t *testing.T) {
	r := newRig(t, Options{MaxSize: 1 << 20})
	n := 0
	for range 4 {
		r.trickle(n, leastJournal+5)
		r.fill(n+leastJournal+5, 3*mostSmall)
		n += leastJournal + 5 + 3*mostSmall
	}
	if st, err := os.Stat(r.path + journalSuffix); err != nil || st.Size() != leastJournal*journalBlock {
		t.Fatalf("%v, %v", st, err)
	}
	copied := r.openAt(t, r.copied())
	for _, l := range []*rig{r, copied} {
		recs := l.all()
		if len(recs) != n {
			t.Fatalf("%d records of %d", len(recs), n)
		}
		for i, rec := range recs {
			if rec.Seq != uint64(i)+1 {
				t.Fatalf("record %d is %d", i, rec.Seq)
			}
		}
	}
}

// TestJournalDamage harms the journal of a process that was killed. What its
// sound blocks hold is there, what is missing before the newest commit is
// announced, no number is given out twice, and the next start is clean.
func TestJournalDamage(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"cloud"}, MaxSize: 1 << 20})
	r.put(r.reading(0))
	for i := range 10 {
		recs := []gateway.Record{r.reading(10 * i)}
		if i%3 == 0 { // of several blocks
			for j := range 100 {
				recs = append(recs, r.reading(1000+j))
			}
		}
		r.put(recs...)
	}
	head := r.Head()
	whole := r.readJournal()
	if len(whole.frames) != 10 || whole.torn || whole.damaged > 0 {
		t.Fatalf("%+v", whole)
	}
	lastFirst := whole.frames[9].records[0].Seq
	for _, c := range []struct {
		name   string
		harm   func(b []byte) []byte
		lost   uint64 // announced
		gone   uint64 // of the newest commit, of which it cannot be known whether it ever was whole
		damage bool   // said by verify
	}{
		{name: "nothing", harm: func(b []byte) []byte { return b }},
		{name: "missing", harm: func([]byte) []byte { return nil }, gone: head - 1},
		{name: "empty", harm: func(b []byte) []byte { return b[:0] }, gone: head - 1},
		{name: "zeros", harm: func(b []byte) []byte { return make([]byte, len(b)) }, gone: head - 1},
		{name: "text", harm: func(b []byte) []byte { return bytes.Repeat([]byte("journal "), len(b)/8) }, gone: head - 1, damage: true},
		{name: "newest zeroed", harm: func(b []byte) []byte { clear(lastBlock(b)); return b }, gone: head - lastFirst + 1},
		{name: "newest cut off", harm: func(b []byte) []byte { clear(lastBlock(b)[512:]); return b }, gone: head - lastFirst + 1},
		{name: "one bit", harm: func(b []byte) []byte { b[journalBlock+200] ^= 4; return b }, lost: uint64(len(recordsIn(t, r, 1)))},
		{name: "one byte later", harm: func(b []byte) []byte { b[6*journalBlock+60] ^= 0xFF; return b }, lost: uint64(len(recordsIn(t, r, 6))), damage: true},
		{name: "a sector", harm: func(b []byte) []byte { clear(b[5*journalBlock : 5*journalBlock+512]); return b }, lost: uint64(len(recordsIn(t, r, 5))), damage: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := r.copied()
			b, err := os.ReadFile(path + journalSuffix)
			if err != nil {
				t.Fatal(err)
			}
			if b = c.harm(b); b == nil {
				err = os.Remove(path + journalSuffix)
			} else {
				err = os.WriteFile(path+journalSuffix, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			v, err := Verify(t.Context(), path)
			if err != nil || v.OK != (c.lost == 0 && !c.damage) {
				t.Errorf("%+v, %v", v, err)
			}
			l := r.openAt(t, path)
			check := func(more uint64) {
				t.Helper()
				recs := l.all()
				ascending(t, recs)
				n, lost := uint64(0), uint64(0)
				for _, rec := range recs {
					if rec.Kind == gateway.KindGap {
						lost += rec.Lost.Count
					} else {
						n++
					}
				}
				if n+lost+c.gone != head+more || lost != c.lost {
					t.Errorf("%d of %d records, %d announced", n, head, lost)
				}
			}
			check(0)
			if seq := l.put(l.reading(7))[0].Seq; seq <= head && c.gone == 0 || seq <= head && c.damage {
				t.Errorf("number %d is given out again", seq)
			}
			l.reopen()
			check(1)
			l.put(l.reading(8))
			if v, err := Verify(t.Context(), l.copied()); err != nil || !v.OK {
				t.Errorf("after it: %+v, %v", v, err)
			}
		})
	}
}

// lastBlock is the newest block of a journal.
func lastBlock(b []byte) []byte {
	at := 0
	for i := 0; i+journalBlock <= len(b); i += journalBlock {
		if b[i] == blobMagic {
			at = i
		}
	}
	return b[at : at+journalBlock]
}

// recordsIn gives the records of one block of r's journal.
func recordsIn(t *testing.T, r *rig, block int) []stored {
	t.Helper()
	b, err := os.ReadFile(r.path + journalSuffix)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseJournalBlock(b[block*journalBlock:][:journalBlock], 0)
	if err != nil {
		t.Fatal(err)
	}
	return p.records
}

// TestJournalBesideDamagedLog: the log's file is saved as far as can be read,
// and what was in the journal alone is there whatever became of it.
func TestJournalBesideDamagedLog(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"cloud"}})
	r.fill(0, 2000)
	late := r.trickle(5000, 30)
	for name, harm := range map[string]func(b []byte) []byte{
		"meta pages":  func(b []byte) []byte { clear(b[:2*ourPageSize]); return b },
		"first half":  func(b []byte) []byte { clear(b[:len(b)/2]); return b },
		"all of it":   func(b []byte) []byte { clear(b); return b },
		"cut in half": func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			path := r.copied()
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, harm(b), 0o600); err != nil {
				t.Fatal(err)
			}
			exported := values(export(t, path))
			l := r.openAt(t, path)
			got := values(l.all())
			for _, rec := range late {
				if got[rec.Seq] != string(rec.Value) || exported[rec.Seq] != string(rec.Value) {
					t.Fatalf("record %d is %q, exported as %q", rec.Seq, got[rec.Seq], exported[rec.Seq])
				}
			}
			if seq := l.put(l.reading(1))[0].Seq; seq <= late[29].Seq {
				t.Errorf("number %d is given out again", seq)
			}
			l.reopen()
			if again := values(l.all()); len(again) != len(got)+1 {
				t.Errorf("%d records, then %d", len(got), len(again))
			}
		})
	}
}

// TestJournalGivesWay: where there can be none, commits go into the log's file.
func TestJournalGivesWay(t *testing.T) {
	in := func(name string, prepare func(t *testing.T, r *rig)) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.close()
			r.nameEvery = time.Nanosecond
			r.open()
			recs := r.trickle(0, 5)
			prepare(t, r)
			recs = append(recs, r.trickle(5, 5)...)
			got := values(r.openAt(t, r.copied()).all())
			for seq, value := range values(recs) {
				if got[seq] != value {
					t.Errorf("record %d is %q, was %s", seq, got[seq], value)
				}
			}
			if h := r.Health(); !h.OK || h.Head < 10 {
				t.Errorf("%+v", h)
			}
		})
	}
	in("it was removed", func(t *testing.T, r *rig) {
		if err := os.Remove(r.path + journalSuffix); err != nil {
			t.Fatal(err)
		}
	})
	in("a write to it fails", func(t *testing.T, r *rig) {
		if err := r.w.journal.f.Close(); err != nil { // nobody writes now
			t.Fatal(err)
		}
	})
	in("a folder is in its place", func(t *testing.T, r *rig) {
		r.close()
		if err := os.Remove(r.path + journalSuffix); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(r.path+journalSuffix, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		r.open()
	})
	in("a link is in its place", func(t *testing.T, r *rig) {
		r.close()
		other := filepath.Join(t.TempDir(), "other")
		if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(r.path + journalSuffix); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(other, r.path+journalSuffix); err != nil {
			t.Fatal(err)
		}
		r.open()
		t.Cleanup(func() {
			if b, _ := os.ReadFile(other); string(b) != "other" {
				t.Error("what the link leads to was written to")
			}
		})
	})
	in("it is of another log", func(t *testing.T, r *rig) {
		r.close()
		other := newRig(t, Options{})
		other.trickle(0, 40)
		b, err := os.ReadFile(other.path + journalSuffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.path+journalSuffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r.open()
	})
}

// TestJournalOpenedAgain: commits of one process are told apart, whatever an
// earlier opening left behind them.
func TestJournalOpenedAgain(t *testing.T) {
	r := newRig(t, Options{})
	r.close()
	r.nameEvery = time.Nanosecond
	r.open()
	r.trickle(0, 1)
	var several []gateway.Record
	for i := range 100 {
		several = append(several, r.reading(i))
	}
	r.put(several...) // two blocks, so that the next numbers lie further behind than in the second turn
	r.trickle(0, 1)
	if err := r.w.journal.f.Close(); err != nil { // nobody writes now
		t.Fatal(err)
	}
	r.trickle(0, 3)
	if h := r.readJournal(); h.torn || h.damaged > 0 {
		t.Fatalf("%+v", h)
	}
	if l := r.openAt(t, r.copied()); l.Head() != 105 || len(l.all()) != 105 {
		t.Errorf("%d records up to %d", len(l.all()), l.Head())
	}
}

// TestJournalAndReservation: a process that is killed after it reserved more
// numbers wastes none of them.
func TestJournalAndReservation(t *testing.T) {
	r := newRig(t, Options{Reserve: &memReserver{}})
	res := r.opt.Reserve.(*memReserver)
	r.trickle(0, 1)
	r.fill(1, int(res.n)-1000-20) // 1,000 are kept for gaps
	r.trickle(0, 40)
	head := r.Head()
	if len(res.told) != 2 {
		t.Fatalf("reserved %v", res.told)
	}
	if seq := r.openAt(t, r.copied()).put(r.reading(1))[0].Seq; seq != head+1 {
		t.Errorf("record %d follows %d", seq, head)
	}
}

// TestJournalAndMaxAge: records do not outlive their time in the journal.
func TestJournalAndMaxAge(t *testing.T) {
	r := newRig(t, Options{MaxAge: 8 * time.Hour})
	r.trickle(0, 5)
	r.clock.Advance(20 * time.Hour)
	r.trickle(5, 3)
	if recs := r.all(); len(recs) == 0 || recs[0].Seq < 6 {
		t.Errorf("%d records, the first of %v", len(recs), recs[0].At)
	}
}

func FuzzJournal(f *testing.F) {
	x := &index{id: 7}
	x.epoch, x.next = 3, 100
	var records []lateRecord
	for i := range 60 {
		s := stored{Record: gateway.Record{Seq: uint64(100 + i), Device: "d", Channel: "c", Value: json.RawMessage(strings.Repeat("1", i))}, epoch: 3, boot: 1, hasBoot: true}
		body, err := appendRecord(nil, &s)
		if err != nil {
			f.Fatal(err)
		}
		records = append(records, lateRecord{s.Seq, body})
	}
	j := &journal{}
	parts, err := j.encode(x, records, map[string]gateway.Cursor{"cloud": {Next: 5, Done: []gateway.Range{{From: 7, To: 9}}}},
		[]gateway.Mark{{Session: 1, Count: 2, Packet: 3}}, mostJournal)
	if err != nil || parts < 2 {
		f.Fatal(parts, err)
	}
	f.Add(bytes.Clone(j.buf))
	f.Add(bytes.Clone(j.buf[journalBlock:]))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is what keeps chance away, so it is set right here.
		for at := 0; at+journalBlock <= len(b); at += journalBlock {
			block := b[at:][:journalBlock]
			if o, err := measureBlob(block, 0, journalBlock); err == nil && o.size <= journalBlock {
				sum := blobSum(block[:o.size])
				block[2], block[3], block[4], block[5] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
			}
		}
		out := journaled{}
		out.parse(b)
		last := uint64(0)
		recs, _, _ := out.after(0, 0)
		for i := range recs {
			if recs[i].Seq <= last {
				t.Fatalf("%d follows %d", recs[i].Seq, last)
			}
			last = recs[i].Seq
		}
		c := newClocks()
		if l := c.lateRecords(recs); len(l.records) != len(recs) {
			t.Fatalf("%d records of %d", len(l.records), len(recs))
		}
	})
}
