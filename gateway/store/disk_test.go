package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

// tmpfs mounts a small disk and gives its folder.
func tmpfs(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatalf("needs the right to mount a tmpfs: %v", err)
		}
		t.Skipf("needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func remount(t testing.TB, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, ""); err != nil {
		t.Fatal(err)
	}
}

// ballast fills the disk but for about leave bytes.
func ballast(t testing.TB, dir string, leave int64) (remove func()) {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 4096)
	for freeDisk(name) > leave {
		if _, err := f.Write(b); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				break
			}
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// rigAt is newRig in a given folder.
func rigAt(t testing.TB, path string, o Options) *rig {
	t.Helper()
	r := &rig{t: t, path: path, opt: o, clock: fakeclock.New(epoch, gateway.ClockSynced)}
	r.open()
	t.Cleanup(r.close)
	return r
}

// tracked gathers what becomes of entries.
type tracked struct {
	mu      sync.Mutex
	stalled map[int]error
	done    []int
	errs    map[int]error
	changed chan struct{}
}

func newTracked() *tracked {
	return &tracked{stalled: map[int]error{}, errs: map[int]error{}, changed: make(chan struct{}, 1)}
}

func (tr *tracked) entry(n int, recs ...gateway.Record) *gateway.Entry {
	note := func(fn func()) {
		tr.mu.Lock()
		fn()
		tr.mu.Unlock()
	}
	return &gateway.Entry{Records: recs, Wait: true,
		Stalled: func(err error) {
			note(func() {
				if _, twice := tr.stalled[n]; twice || slices.Contains(tr.done, n) {
					err = fmt.Errorf("stalled twice or after done: %w", err)
				}
				tr.stalled[n] = err
			})
		},
		Done: func(err error) { note(func() { tr.done = append(tr.done, n); tr.errs[n] = err }) }}
}

func (tr *tracked) counts() (stalled, done int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.stalled), len(tr.done)
}

func TestDiskFull(t *testing.T) {
	dir := tmpfs(t, "4m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{MaxSize: 64 << 20, Uplinks: []string{"cloud"}, PendingBytes: 64 << 10})
	r.stop()
	r.close()
	l, err := OpenLog(r.path, Options{MaxSize: 64 << 20, Uplinks: []string{"cloud"}, PendingBytes: 64 << 10, Clock: r.clock, Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var changes []bool
	l.OnHealth(func(h Health) {
		mu.Lock()
		changes = append(changes, h.OK)
		mu.Unlock()
		if h.OK { // what the hub does
			if err := l.Append(&gateway.Entry{Records: []gateway.Record{r.reading(-1)}}); err != nil {
				t.Error(err)
			}
		}
	})
	r.start(l)
	r.fill(0, 1000)
	before := r.all()
	free := ballast(t, dir, 8<<10)

	tr := newTracked()
	n, kept := 0, 0
	for {
		err := r.Append(tr.entry(n, r.reading(1000+n)))
		if errors.Is(err, gateway.ErrNotKept) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
		if _, done := tr.counts(); done < n { // what the last bytes of the disk took is done
			await(t, "an answer", func() bool { s, d := tr.counts(); return s+d >= n })
		}
		if n > 100_000 {
			t.Fatal("a full disk takes everything")
		}
	}
	s, d := tr.counts()
	kept = n - d
	if s == 0 || s != kept {
		t.Fatalf("%d entries, %d stalled, %d done", n, s, d)
	}
	for _, err := range tr.stalled {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("stalled for %v", err)
		}
	}
	h := r.Health()
	if h.OK || h.PendingRecords != kept || h.Error == "" {
		t.Fatalf("%+v", h)
	}
	if got := r.all(); len(got) < len(before) || r.Backlog("cloud").Records == 0 {
		t.Fatal("a full disk cannot be read")
	}
	// The writer moves although the disk does not.
	pass := make(chan error, 1)
	if err := r.Append(&gateway.Entry{Wait: true, Done: func(err error) { pass <- err }}); err != nil {
		t.Fatal(err)
	}
	if err := <-pass; err != nil {
		t.Fatal(err)
	}

	free()
	await(t, "the disk to be used again", func() bool { _, d := tr.counts(); return d == n && r.Health().OK })
	for i, got := range tr.done {
		if got != i || tr.errs[i] != nil {
			t.Fatalf("%d was done as number %d: %v", got, i, tr.errs[got])
		}
	}
	await(t, "the hub's record", func() bool { recs := r.all(); return string(recs[len(recs)-1].Value) == "-1" })
	recs := r.all()
	ascending(t, recs)
	if len(recs) != 1000+n+1 {
		t.Fatalf("%d records, want %d", len(recs), 1000+n+1)
	}
	for i, rec := range recs[:1000+n] {
		if string(rec.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, rec.Value)
		}
	}
	mu.Lock()
	if fmt.Sprint(changes) != "[false true]" {
		t.Fatal(changes)
	}
	mu.Unlock()
	r.reopen()
	if got := r.all(); len(got) != len(recs) || len(gapsOf(got)) > 0 {
		t.Fatalf("%d records after a restart", len(got))
	}
}

// TestDiskFullDropsWhatIsAcknowledged: a full disk is no reason to stop as
// long as there are records that everybody has.
// TestSetAsideGivesWay: the copy of a damaged file is worth less than the
// history, and than a reading.
func TestSetAsideGivesWay(t *testing.T) {
	dir := tmpfs(t, "8m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{MaxSize: 64 << 20, Uplinks: []string{"cloud"}})
	r.fill(0, 20_000)
	r.SetCursor("cloud", gateway.Cursor{Next: 15_001})
	r.close()
	f, err := os.OpenFile(r.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, ourPageSize)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	r.open()
	aside := r.Health().SetAside
	if _, err := os.Stat(aside); err != nil {
		t.Fatal(err)
	}
	defer ballast(t, dir, 0)()
	r.fill(20_000, 5_000)
	if h := r.Health(); !h.OK || h.Evicted > 0 || h.Records != 25_000 {
		t.Errorf("%+v", h)
	}
	if _, err := os.Stat(aside); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the damaged file is there still")
	}
}

func TestDiskFullDropsWhatIsAcknowledged(t *testing.T) {
	dir := tmpfs(t, "8m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{MaxSize: 64 << 20, SegmentBytes: 256 << 10, Uplinks: []string{"cloud"}})
	r.fill(0, 20_000)
	r.SetCursor("cloud", gateway.Cursor{Next: 15_001})
	free := ballast(t, dir, 0)
	defer free()
	r.fill(20_000, 5_000)
	if h := r.Health(); !h.OK || h.Evicted == 0 {
		t.Fatalf("%+v", h)
	}
	recs := r.all()
	if g := gapsOf(recs); len(g) != 0 {
		t.Fatalf("%v", gapList(g))
	}
	left := values(recs)
	for seq := uint64(15_001); seq <= 25_000; seq++ {
		if left[seq] != fmt.Sprint(seq-1) {
			t.Fatalf("record %d that the uplink waits for: %q", seq, left[seq])
		}
	}
	// Without any acknowledged record left, nothing is dropped.
	tr := newTracked()
	n := 0
	for s := 0; s == 0 && n < 200_000; n += 50 {
		var recs []gateway.Record
		for i := range 50 {
			recs = append(recs, r.reading(25_000+n+i))
		}
		if err := r.Append(tr.entry(n, recs...)); err != nil {
			t.Fatal(err)
		}
		await(t, "an answer", func() bool { s1, d := tr.counts(); s = s1; return s+d > n/50 })
	}
	left = values(r.all())
	for seq := uint64(15_001); seq <= 25_000; seq++ {
		if _, ok := left[seq]; !ok {
			t.Fatalf("record %d was dropped although the uplink waits for it", seq)
		}
	}
	r.SetCursor("cloud", gateway.Cursor{Next: 24_000})
	await(t, "room to be made", func() bool { return r.Health().OK })
	if g := gapsOf(r.all()); len(g) != 0 {
		t.Fatalf("%v", gapList(g))
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := tmpfs(t, "8m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{Uplinks: []string{"cloud"}})
	r.fill(0, 500)
	r.close()
	remount(t, dir, unix.MS_RDONLY)
	r.open()
	if h := r.Health(); h.OK {
		t.Fatal("a read-only disk is not")
	}
	if got := r.all(); len(got) != 500 {
		t.Fatalf("%d records can be read", len(got))
	}
	tr := newTracked()
	if err := r.Append(tr.entry(0, r.reading(500))); err != nil {
		t.Fatal(err)
	}
	await(t, "the entry to stall", func() bool { s, _ := tr.counts(); return s == 1 })
	if err := tr.stalled[0]; !errors.Is(err, syscall.EROFS) {
		t.Fatal(err)
	}
	remount(t, dir, 0)
	await(t, "the disk to be used again", func() bool { _, d := tr.counts(); return d == 1 })
	if got := r.all(); len(got) != 501 || got[500].Seq != 501 || tr.errs[0] != nil {
		t.Fatalf("%d records, %v", len(got), tr.errs[0])
	}
}

func TestMissingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{})
	tr := newTracked()
	for i := range 3 {
		if err := r.Append(tr.entry(i, r.reading(i))); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the entries to stall", func() bool { s, _ := tr.counts(); return s == 3 })
	if _, err := r.Read(0, 10, 0); !errors.Is(err, ErrUnavailable) || r.Head() != 0 || r.Health().OK {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	await(t, "the folder to be used", func() bool { _, d := tr.counts(); return d == 3 })
	if got := r.all(); len(got) != 3 || got[0].Seq != 1 {
		t.Fatalf("%+v", got)
	}
}

func TestCloseWithFailingDisk(t *testing.T) {
	l, err := OpenLog(filepath.Join(t.TempDir(), "none", "log.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTracked()
	if err := l.Append(tr.entry(0, gateway.Record{Kind: gateway.KindSensor})); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, syscall.ENOENT) {
		t.Fatal(err)
	}
	if err := tr.errs[0]; !errors.Is(err, gateway.ErrClosed) {
		t.Fatal(err)
	}
}

// TestDamagedAndFull: as long as there is no room to save the records of a
// damaged file, it stays as it is.
func TestDamagedAndFull(t *testing.T) {
	dir := tmpfs(t, "8m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{Uplinks: []string{"cloud"}})
	r.fill(0, 20_000)
	r.close()
	b, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[:2*ourPageSize])
	if err := os.WriteFile(r.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	os.Remove(r.path + spareSuffix)
	free := ballast(t, dir, 64<<10)
	r.open()
	if h := r.Health(); h.OK || h.SetAside != "" {
		t.Fatalf("%+v", h)
	}
	tr := newTracked()
	if err := r.Append(tr.entry(0, r.reading(1))); err != nil {
		t.Fatal(err)
	}
	await(t, "the entry to stall", func() bool { s, _ := tr.counts(); return s == 1 })
	free()
	await(t, "the records to be saved", func() bool { _, d := tr.counts(); return d == 1 })
	recs := r.all()
	for i := range 20_000 {
		if recs[i].Seq != uint64(i+1) {
			t.Fatalf("record %d has sequence %d", i, recs[i].Seq)
		}
	}
	if h := r.Health(); !h.OK || h.Salvaged != 20_000 {
		t.Fatalf("%+v", h)
	}
}

// TestDamageWhileRunning writes over the open file, which bbolt has mapped.
func TestDamageWhileRunning(t *testing.T) {
	for name, damage := range map[string]func(f *os.File) error{
		"zeros": func(f *os.File) error {
			st, err := f.Stat()
			if err == nil {
				_, err = f.WriteAt(make([]byte, st.Size()), 0)
			}
			return err
		},
		"meta pages": func(f *os.File) error { _, err := f.WriteAt(make([]byte, 2*ourPageSize), 0); return err },
		"cut to 0":   func(f *os.File) error { return f.Truncate(0) },
		"cut":        func(f *os.File) error { return f.Truncate(20 * ourPageSize) },
		"middle":     func(f *os.File) error { _, err := f.WriteAt(make([]byte, 10*ourPageSize), 5*ourPageSize); return err },
		"removed":    func(f *os.File) error { return os.Remove(f.Name()) },
	} {
		for _, who := range []string{"reader", "writer", "both"} {
			t.Run(name+"/"+who, func(t *testing.T) {
				r := newRig(t, Options{MaxSize: 1 << 20, Uplinks: []string{"cloud"}})
				r.close()
				l, err := OpenLog(r.path, Options{MaxSize: 1 << 20, Uplinks: []string{"cloud"}, Clock: r.clock, Logger: testLogger(t)})
				if err != nil {
					t.Fatal(err)
				}
				l.w.nameEvery = 0
				r.start(l)
				for i := range 40 {
					r.fill(i*50, 50)
				}
				head := r.Head()
				f, err := os.OpenFile(r.path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := damage(f); err != nil {
					t.Fatal(err)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				var readers sync.WaitGroup
				defer readers.Wait()
				defer cancel()
				if who != "writer" {
					for range 3 {
						readers.Go(func() {
							for n := 0; n < 20 || ctx.Err() == nil && who == "reader"; n++ {
								_, _ = r.Read(0, 0, 0)
							}
						})
					}
				}
				if who != "reader" {
					for i := range 10 {
						if recs := r.put(r.reading(i)); recs[0].Seq <= head {
							t.Errorf("sequence %d again, head was %d", recs[0].Seq, head)
						}
					}
				} else {
					await(t, "the damage to be found", func() bool {
						h := r.Health()
						return h.OK && (h.SetAside != "" || name == "removed" || h.Head > head)
					})
				}
				cancel()
				readers.Wait()
				r.put(slices.Repeat([]gateway.Record{r.reading(1)}, mostSmall+1)...) // into the file
				settle(r)
				recs := r.all()
				ascending(t, recs)
				lost := uint64(0)
				for _, g := range gapsOf(recs) {
					lost += g.Lost.Count
				}
				old := uint64(0)
				for seq := range values(recs) {
					if seq <= head {
						old++
					}
				}
				if old+lost != head {
					t.Errorf("%d records of %d are left, %d are announced as lost: %v", old, head, lost, gapList(gapsOf(recs)))
				}
				r.reopen()
				if got := r.all(); len(got) != len(recs) {
					t.Errorf("%d records after a restart, %d before", len(got), len(recs))
				}
			})
		}
	}
}

// TestDamagedAndAlmostFull: what nobody waits for is left behind if the disk
// has no room for it.
func TestDamagedAndAlmostFull(t *testing.T) {
	dir := tmpfs(t, "8m")
	r := rigAt(t, filepath.Join(dir, "log.db"), Options{Uplinks: []string{"cloud"}})
	r.fill(0, 30_000)
	r.SetCursor("cloud", gateway.Cursor{Next: 29_001})
	r.close()
	b, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[:2*ourPageSize])
	if err := os.WriteFile(r.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	defer ballast(t, dir, 600<<10)()
	r.open()
	if h := r.Health(); !h.OK || h.Salvaged != 1000 || h.SetAside == "" {
		t.Fatalf("%+v", h)
	}
	left := values(r.all())
	for seq := uint64(29_001); seq <= 30_000; seq++ {
		if left[seq] != fmt.Sprint(seq-1) {
			t.Fatalf("record %d is %q", seq, left[seq])
		}
	}
	r.put(r.reading(1))
}
