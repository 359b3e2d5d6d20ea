package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	goleak.VerifyTestMain(m)
}

var epoch = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// rig is a log with its Run going.
type rig struct {
	*Log
	t      testing.TB
	path   string
	opt    Options
	clock  *fakeclock.Clock
	cancel context.CancelFunc
	plain  bool // no journal: each commit goes into the file

	nameEvery time.Duration // 0: as usual
	ended     chan error
}

func newRig(t testing.TB, o Options) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "log.db"), opt: o, clock: fakeclock.New(epoch, gateway.ClockSynced)}
	r.open()
	t.Cleanup(r.close)
	return r
}

func testLogger(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// open opens the log and starts Run.
func (r *rig) open() {
	r.t.Helper()
	o := r.opt
	if o.Clock == nil {
		o.Clock = r.clock
	}
	if o.Logger == nil {
		o.Logger = testLogger(r.t)
	}
	l, err := OpenLog(r.path, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.start(l)
}

func (r *rig) start(l *Log) {
	if r.nameEvery > 0 {
		l.w.nameEvery, l.w.journalPause = r.nameEvery, r.nameEvery
	}
	if r.plain {
		l.w.journalAt = time.Now().Add(time.Hour)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.Log, r.cancel, r.ended = l, cancel, make(chan error, 1)
	go func() { r.ended <- l.Run(ctx) }()
}

// stop ends Run and leaves the log open.
func (r *rig) stop() {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	if r.Log == nil {
		return
	}
	r.stop()
	if err := r.Close(); err != nil {
		r.t.Log("close:", err)
	}
	r.Log = nil
}

// copied gives the path of a copy of the log's files as they are now: what
// another process would find if this one were killed.
func (r *rig) copied() string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "log.db")
	for _, suffix := range []string{"", journalSuffix} {
		if st, err := os.Lstat(r.path + suffix); suffix != "" && (err != nil || !st.Mode().IsRegular()) {
			continue
		}
		raw, err := os.ReadFile(r.path + suffix)
		if err == nil {
			err = os.WriteFile(path+suffix, raw, 0o600)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return path
}

func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

// reading is a record for tests; its value is n.
func (r *rig) reading(n int) gateway.Record {
	return gateway.Record{Kind: gateway.KindSensor, Device: "MyDevice", Channel: "TC" + strconv.Itoa(n%3),
		Value: json.RawMessage(strconv.Itoa(n)), Stamp: r.clock.Now()}
}

// put appends records and waits until they are on disk.
func (r *rig) put(recs ...gateway.Record) []gateway.Record {
	r.t.Helper()
	done := make(chan error, 1)
	if err := r.Append(&gateway.Entry{Records: recs, Wait: true, Done: func(err error) { done <- err }}); err != nil {
		r.t.Fatal(err)
	}
	if err := <-done; err != nil {
		r.t.Fatal(err)
	}
	return recs
}

// fill appends n readings numbered from from, in entries of 50, and waits.
func (r *rig) fill(from, n int) {
	r.t.Helper()
	var wg sync.WaitGroup
	for i := 0; i < n; i += 50 {
		var recs []gateway.Record
		for j := i; j < min(i+50, n); j++ {
			recs = append(recs, r.reading(from+j))
		}
		wg.Add(1)
		err := r.Append(&gateway.Entry{Records: recs, Wait: true, Done: func(err error) {
			if err != nil {
				r.t.Error(err)
			}
			wg.Done()
		}})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	wg.Wait()
}

// all reads the whole log.
func (r *rig) all() []gateway.Record {
	r.t.Helper()
	return readAll(r.t, r.Read)
}

func readAll(t testing.TB, read func(uint64, int, int) ([]gateway.Record, error)) []gateway.Record {
	t.Helper()
	var out []gateway.Record
	for from := uint64(0); ; {
		recs, err := read(from, 300, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(recs) == 0 {
			return out
		}
		out = append(out, recs...)
		from = recs[len(recs)-1].Seq + 1
	}
}

// values gives the readings' values by sequence, without gaps.
func values(recs []gateway.Record) map[uint64]string {
	m := map[uint64]string{}
	for _, r := range recs {
		if r.Kind != gateway.KindGap {
			m[r.Seq] = string(r.Value)
		}
	}
	return m
}

func gapsOf(recs []gateway.Record) (out []gateway.Record) {
	for _, r := range recs {
		if r.Kind == gateway.KindGap {
			out = append(out, r)
		}
	}
	return out
}

func ascending(t testing.TB, recs []gateway.Record) {
	t.Helper()
	for i := 1; i < len(recs); i++ {
		if recs[i].Seq <= recs[i-1].Seq {
			t.Fatalf("sequence %d follows %d", recs[i].Seq, recs[i-1].Seq)
		}
	}
}

// await waits until ok holds after a change of health or of the head.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// memReserver is a Reserver that survives in a test.
type memReserver struct {
	mu   sync.Mutex
	n    uint64
	err  error
	told []uint64
}

func (m *memReserver) Reserved() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n, m.err
}

func (m *memReserver) Reserve(n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n < m.n {
		return fmt.Errorf("from %d back to %d", m.n, n)
	}
	m.n = n
	m.told = append(m.told, n)
	return nil
}
