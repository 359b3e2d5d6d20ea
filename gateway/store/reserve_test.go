package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fieldgate/gateway"
)

func TestReservationInSteps(t *testing.T) {
	res := &memReserver{}
	r := newRig(t, Options{Reserve: res})
	r.fill(0, 3000)
	r.reopen()
	r.fill(3000, 3000)
	if len(res.told) != 1 || res.n < reserveStep {
		t.Fatalf("reserved %v", res.told)
	}
	if r.Head() != 6000 {
		t.Fatalf("head is %d", r.Head())
	}
}

// TestLostFile: whatever became of the file, no sequence is used twice, and
// nobody is left to believe that nothing happened.
func TestLostFile(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"removed": os.Remove,
		"emptied": func(path string) error { return os.Truncate(path, 0) },
		"garbage": func(path string) error { return os.WriteFile(path, make([]byte, 50_000), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			tb := openTables(t, filepath.Join(t.TempDir(), "registry.db"))
			r := newRig(t, Options{Reserve: NewReserver(table(t, tb, "sequence")), Uplinks: []string{"cloud"}})
			r.fill(0, 1000)
			reserved, err := r.opt.Reserve.Reserved()
			if err != nil || reserved < 1000 {
				t.Fatal(reserved, err)
			}
			r.close()
			if err := lose(r.path); err != nil {
				t.Fatal(err)
			}
			r.open()
			rec := r.put(r.reading(1))[0]
			if rec.Seq <= reserved || rec.Seq > reserved+10 {
				t.Fatalf("sequence %d, %d were reserved", rec.Seq, reserved)
			}
			g := gapsOf(r.all())
			if len(g) != 1 || g[0].Lost.From != 1 || g[0].Lost.To != reserved || g[0].Lost.Count != 0 || g[0].Lost.Reason != reasonDamage {
				t.Fatalf("%v", gapList(g))
			}
			if b := r.Backlog("cloud"); b.Records != 2 {
				t.Fatalf("%+v", b)
			}
			r.reopen()
			if g := gapsOf(r.all()); len(g) != 1 || r.Cursor("cloud").Next != 1 {
				t.Fatalf("%v %v", gapList(g), r.Cursor("cloud"))
			}
		})
	}
}

// TestNothingKnown: with the log and the reservation both lost, numbering
// starts where no log has been.
func TestNothingKnown(t *testing.T) {
	dir := t.TempDir()
	tb := openTables(t, filepath.Join(dir, "registry.db"))
	r := newRig(t, Options{Reserve: NewReserver(table(t, tb, "sequence"))})
	r.fill(0, 10)
	r.close()
	tb.Close()
	for _, path := range []string{r.path, filepath.Join(dir, "registry.db")} {
		if err := os.WriteFile(path, make([]byte, 20_000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tb = openTables(t, filepath.Join(dir, "registry.db"))
	if tb.SetAside() == "" {
		t.Fatal("not set aside")
	}
	r.opt.Reserve = NewReserver(table(t, tb, "sequence"))
	if _, err := r.opt.Reserve.Reserved(); !errors.Is(err, errReservation) {
		t.Fatal(err)
	}
	r.open()
	if rec := r.put(r.reading(1))[0]; rec.Seq < 1<<40 || rec.Seq > 1<<53 {
		t.Fatalf("sequence %d", rec.Seq)
	}
	if n, err := r.opt.Reserve.Reserved(); err != nil || n <= r.Head() {
		t.Fatal(n, err)
	}
}

// TestOldBackup: an older copy of the file does not make numbers come back
// that were given out since.
func TestOldBackup(t *testing.T) {
	res := &memReserver{}
	r := newRig(t, Options{Reserve: res})
	r.fill(0, 100)
	r.close()
	old, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	r.open()
	r.fill(100, 70_000) // over a reservation's end
	head := r.Head()
	r.close()
	if err := os.WriteFile(r.path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	r.open()
	if rec := r.put(r.reading(1))[0]; rec.Seq <= head {
		t.Fatalf("sequence %d, %d was used", rec.Seq, head)
	}
}

type brokenReserver struct{ memReserver }

func (*brokenReserver) Reserve(uint64) error { return errors.New("no") }

func TestNoReservationNoRecord(t *testing.T) {
	r := newRig(t, Options{Reserve: &brokenReserver{}})
	tr := newTracked()
	if err := r.Append(tr.entry(0, r.reading(1))); err != nil {
		t.Fatal(err)
	}
	await(t, "the entry to stall", func() bool { s, _ := tr.counts(); return s == 1 })
	l := r.Log
	r.close()
	if err := tr.errs[0]; !errors.Is(err, gateway.ErrClosed) || l.Head() != 0 {
		t.Fatal(err)
	}
}
