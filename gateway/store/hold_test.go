package store

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fieldgate/gateway"
)

// cloudModel is a destination that knows a record by its sequence.
type cloudModel struct {
	arrived   map[uint64]bool
	announced map[uint64]uint64
}

// drain sends everything from the cursor on, in small runs, each acknowledged.
func (m *cloudModel) drain(r *rig) {
	r.t.Helper()
	for {
		recs, err := r.Read(r.Cursor("cloud").Next, 100, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(recs) == 0 {
			return
		}
		for _, rec := range recs {
			if rec.Kind == gateway.KindGap {
				m.announced[rec.Seq] = rec.Lost.Count
			} else {
				m.arrived[rec.Seq] = true
			}
		}
		r.SetCursor("cloud", gateway.Cursor{Next: recs[len(recs)-1].Seq + 1})
	}
}

func (m *cloudModel) sum() uint64 {
	n := uint64(len(m.arrived))
	for _, c := range m.announced {
		n += c
	}
	return n
}

// TestKilledAfterAcknowledgement: the process dies before the cursor is
// written. What the cloud has must not be announced as lost if it acknowledges
// it again after the start.
func TestKilledAfterAcknowledgement(t *testing.T) {
	o := small("cloud")
	o.CursorEvery = time.Hour
	r := newRig(t, o)
	cloud := &cloudModel{map[uint64]bool{}, map[uint64]uint64{}}
	const n = 20_000
	for i := 0; i < n; i += 1000 {
		r.fill(i, 1000)
	}
	r.stop() // so that no commit takes the cursor along
	cloud.drain(r)
	if got := cloud.sum(); got != n || len(cloud.announced) == 0 {
		t.Fatalf("%d arrived or were announced, want %d", got, n)
	}
	copied := r.copied()
	r.close()
	r.path = copied
	r.open()
	more := 0 // before the uplink is connected, until something would be dropped
	for ; more < 10_000 && r.Health().UsedBytes <= o.MaxSize && r.Health().Evicted == 0; more += 100 {
		r.fill(n+more, 100)
	}
	cloud.drain(r)
	for end := more + 10_000; more < end; more += 500 {
		r.fill(n+more, 500)
		cloud.drain(r)
	}
	if got, want := cloud.sum(), uint64(n+more); got != want {
		t.Fatalf("%d arrived or were announced, want %d", got, want)
	}
	await(t, "the size", func() bool { return r.Health().UsedBytes <= o.MaxSize })
}

// TestHoldEnds: an uplink that stays away does not keep the log large.
func TestHoldEnds(t *testing.T) {
	r := newRig(t, small("cloud"))
	for i := 0; i < 20_000; i += 500 {
		r.fill(i, 500)
	}
	r.reopen()
	for i := 0; i < 10_000 && r.Health().UsedBytes <= r.opt.MaxSize; i += 100 {
		r.fill(20_000, 100)
	}
	if h := r.Health(); h.Evicted != 0 || h.UsedBytes <= r.opt.MaxSize {
		t.Fatalf("%+v", h)
	}
	for i := 0; i < 20_000; i += 500 {
		r.fill(20_600+i, 500)
	}
	if h := r.Health(); h.Evicted == 0 || h.UsedBytes > r.Log.opt.heldSize() {
		t.Fatalf("%+v", h)
	}
	r.stop()
	l := r.Log
	l.w.hold.until = time.Now()
	for _, ok := l.step(), true; ok; ok = tooMany(l.index.Load().segments, l.index.Load().used, r.opt.MaxSize) > 0 {
		l.step()
	}
}

// TestTrickleCostsOneCommitEach: a cursor that follows readings one by one
// waits for the next of them, that of a long backlog does not.
func TestTrickleCostsOneCommitEach(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"cloud"}})
	r.stop()
	l := r.Log
	delay := func(n int) time.Duration {
		for i := range n {
			if err := l.write(job{entries: []*pending{{Entry: &gateway.Entry{Records: []gateway.Record{r.reading(i)}}}}}); err != nil {
				t.Fatal(err)
			}
		}
		l.SetCursor("cloud", gateway.Cursor{Next: l.Head() + 1})
		return l.cursorDelay()
	}
	if d := delay(1); d != l.opt.CursorEvery {
		t.Errorf("one reading: %v", d)
	}
	if d := delay(doneMany + 1); d != doneDelay {
		t.Errorf("a backlog: %v", d)
	}
}

func TestEmptyTablesAreToldOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	for _, want := range []bool{false, true} {
		var out bytes.Buffer
		tables, err := OpenTables(path, TableOptions{Logger: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := tables.Close(); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(out.Bytes(), []byte("level=WARN")); got != want {
			t.Errorf("warned: %v, want %v: %s", got, want, out.String())
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
}
