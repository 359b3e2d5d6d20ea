package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

func TestAppendReadReopen(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"cloud"}})
	now := r.clock.Now()
	recs := r.put(
		gateway.Record{Kind: gateway.KindSensor, Device: "MyDevice", Channel: "TC1", Value: json.RawMessage("21.5"),
			Time: time.Date(2020, 2, 3, 4, 5, 6, 789123000, time.UTC), Stamp: now},
		gateway.Record{Kind: gateway.KindActuator, Device: "MyDevice", Channel: "relay", Value: json.RawMessage("true"), Stamp: now},
		gateway.Record{Kind: gateway.KindCommand, Device: "MyDevice", Channel: "relay", Value: json.RawMessage("false"), Stamp: now, Origin: "cloud"},
		gateway.Record{Kind: gateway.KindChange, Topic: "devices/MyDevice/name", Value: json.RawMessage(`"x"`), Stamp: now},
		gateway.Record{Kind: gateway.KindChange, Topic: "devices/Gone", Stamp: now},
		gateway.Record{Kind: gateway.KindMessage, Topic: "a/b", Value: json.RawMessage{0, 1, 0xFF}, QoS: 2, Retain: true, Uplink: "cloud", Stamp: now},
		gateway.Record{Kind: gateway.KindGap, Uplink: "cloud", Stamp: now, Lost: &gateway.Lost{Reason: "disk", Count: 7,
			First: epoch, Last: epoch.Add(time.Minute), Counts: map[string]uint64{"MyDevice/TC1": 7}}},
	)
	for i := range recs {
		if recs[i].Seq != uint64(i+1) {
			t.Fatalf("record %d has sequence %d", i, recs[i].Seq)
		}
		recs[i].At, recs[i].Clock = now.Wall, gateway.ClockSynced
	}
	recs[0].At = recs[0].Time
	check := func() {
		t.Helper()
		if got := r.all(); !reflect.DeepEqual(got, recs) {
			t.Fatalf("read\n%+v\nwant\n%+v", got, recs)
		}
		if r.First() != 1 || r.Head() != 7 {
			t.Fatalf("from %d to %d", r.First(), r.Head())
		}
	}
	check()
	r.reopen()
	check()
	recs = append(recs, r.put(r.reading(8))...)
	recs[7].At, recs[7].Clock = now.Wall, gateway.ClockSynced
	if recs[7].Seq != 8 {
		t.Fatalf("sequence %d after a restart", recs[7].Seq)
	}
	r.reopen()
	if got := r.all(); !reflect.DeepEqual(got, recs) {
		t.Fatalf("read %+v", got)
	}
	var back []uint64
	if err := r.Backward(func(rec gateway.Record) bool { back = append(back, rec.Seq); return len(back) < 5 }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(back) != "[8 7 6 5 4]" {
		t.Fatalf("backward: %v", back)
	}
}

func TestEmptyEntryPasses(t *testing.T) {
	r := newRig(t, Options{})
	commits := r.Health().Commits
	r.put()
	if got := r.Health().Commits; got != commits {
		t.Fatalf("%d commits for nothing", got-commits)
	}
}

func TestDoneInOrder(t *testing.T) {
	r := newRig(t, Options{})
	const n = 2000
	var order []int
	end := make(chan struct{})
	for i := range n {
		err := r.Append(&gateway.Entry{Records: []gateway.Record{r.reading(i)}, Wait: i%3 == 0, Done: func(err error) {
			if err != nil {
				t.Error(err)
			}
			if order = append(order, i); len(order) == n {
				close(end)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	<-end
	for i, got := range order {
		if got != i {
			t.Fatalf("%d was done as number %d", got, i)
		}
	}
	recs := r.all()
	if len(recs) != n {
		t.Fatalf("%d records", len(recs))
	}
	for i, rec := range recs {
		if rec.Seq != uint64(i+1) || string(rec.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d is %+v", i, rec)
		}
	}
}

func TestWait(t *testing.T) {
	r := newRig(t, Options{})
	got := make(chan error, 1)
	go func() { got <- r.Wait(context.Background(), 1) }()
	r.put(r.reading(0))
	r.put(r.reading(1))
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { got <- r.Wait(ctx, 2) }()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	l := r.Log
	go func() { got <- l.Wait(context.Background(), 2) }()
	r.close()
	if err := <-got; !errors.Is(err, gateway.ErrClosed) {
		t.Fatal(err)
	}
	if err := l.Append(&gateway.Entry{}); !errors.Is(err, gateway.ErrClosed) {
		t.Fatal(err)
	}
}

func TestQueuedBeforeRunAndAtClose(t *testing.T) {
	r := newRig(t, Options{})
	r.stop()
	r.close()
	l, err := OpenLog(r.path, Options{Clock: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i := range 10 {
		if err := l.Append(&gateway.Entry{Records: []gateway.Record{r.reading(i)}, Done: func(err error) {
			if err != nil {
				t.Error(err)
			}
			n++
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil || n != 10 {
		t.Fatal(err, n)
	}
	r.open()
	if got := r.all(); len(got) != 10 {
		t.Fatalf("%d records", len(got))
	}
}

func TestTooLarge(t *testing.T) {
	r := newRig(t, Options{})
	rec := r.reading(1)
	rec.Value = make([]byte, MaxRecord)
	if err := r.Append(&gateway.Entry{Records: []gateway.Record{rec}}); !errors.Is(err, gateway.ErrTooLarge) {
		t.Fatal(err)
	}
	rec.Value = make([]byte, MaxRecord-1000)
	r.put(rec)
	if got := r.all(); len(got) != 1 || len(got[0].Value) != MaxRecord-1000 {
		t.Fatal(len(got))
	}
}

func TestLocked(t *testing.T) {
	r := newRig(t, Options{})
	if _, err := OpenLog(r.path, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	if _, err := OpenReader(r.path); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	r.put(r.reading(1))
}

func TestClockIsCorrectedLater(t *testing.T) {
	r := newRig(t, Options{})
	r.clock = fakeclock.New(time.Date(1970, 1, 1, 0, 0, 10, 0, time.UTC), gateway.ClockUnset)
	r.reopenWithClock()
	r.put(r.reading(1))
	r.clock.Advance(time.Minute)
	r.put(r.reading(2))
	own := r.reading(3)
	own.Time = epoch.Add(-time.Hour)
	r.put(own)
	if got := r.all()[0]; got.Clock != gateway.ClockUnset || got.At.Year() != 1970 {
		t.Fatalf("%v %v", got.At, got.Clock)
	}
	r.clock.Advance(time.Minute)
	r.clock.Set(epoch, gateway.ClockSynced)
	r.NoteClock(r.clock.Now())
	check := func() {
		t.Helper()
		got := r.all()
		for i, want := range []time.Time{epoch.Add(-2 * time.Minute), epoch.Add(-time.Minute), epoch.Add(-time.Hour)} {
			if !got[i].At.Equal(want) || got[i].Clock != gateway.ClockSynced {
				t.Fatalf("record %d: %v %v, want %v", i, got[i].At, got[i].Clock, want)
			}
			if got[i].Stamp.Quality != gateway.ClockUnset || got[i].Stamp.Wall.Year() != 1970 || got[i].Stamp.Boot != (gateway.Boot{1}) {
				t.Fatalf("stamp %+v", got[i].Stamp)
			}
		}
	}
	check()
	r.put(r.reading(4)) // takes the correction along
	r.reopenWithClock()
	check()
	// A boot whose clock was never right keeps what it has.
	r.clock.Reboot(time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC), gateway.ClockUnset)
	r.put(r.reading(5))
	r.clock.Reboot(epoch.Add(time.Hour), gateway.ClockSynced)
	r.put(r.reading(6))
	check()
	got := r.all()
	if got[4].Clock != gateway.ClockUnset || got[4].At.Year() != 1970 || got[4].Stamp.Boot != (gateway.Boot{2}) {
		t.Fatalf("%+v", got[4])
	}
	if got[5].Clock != gateway.ClockSynced || !got[5].At.Equal(epoch.Add(time.Hour)) {
		t.Fatalf("%+v", got[5])
	}
}

func (r *rig) reopenWithClock() {
	r.close()
	r.opt.Clock = r.clock
	r.open()
}

func TestClockStepWhileSynced(t *testing.T) {
	r := newRig(t, Options{})
	r.clock.Set(epoch, gateway.ClockUnsynced)
	r.put(r.reading(1))
	r.clock.Set(epoch.Add(-time.Hour), gateway.ClockSynced) // a step back
	r.put(r.reading(2))                                     // is learnt from the stamp
	got := r.all()
	if !got[0].At.Equal(epoch.Add(-time.Hour)) || got[0].Clock != gateway.ClockSynced {
		t.Fatalf("%v %v", got[0].At, got[0].Clock)
	}
}

// TestCommitsAreShared: what waits while a commit runs goes with the next one.
func TestCommitsAreShared(t *testing.T) {
	r := newRig(t, Options{})
	r.stop()
	r.close()
	l, err := OpenLog(r.path, Options{Clock: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	const n = 5000
	end := make(chan struct{})
	for i := range n { // all are there before the first commit
		done := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		if i == n-1 {
			done = func(error) { close(end) }
		}
		if err := l.Append(&gateway.Entry{Records: []gateway.Record{r.reading(i)}, Wait: true, Done: done}); err != nil {
			t.Fatal(err)
		}
	}
	before := l.Health().Commits
	r.start(l)
	<-end
	if c := l.Health().Commits - before; c != 1 {
		t.Fatalf("%d commits for what one takes", c)
	}
	// The first of a burst does not wait for company.
	before = l.Health().Commits
	r.put(r.reading(0))
	r.put(r.reading(1))
	if c := l.Health().Commits - before; c != 2 {
		t.Fatalf("%d commits for two publishers one after the other", c)
	}
}

// TestUnhurriedEntriesShareOneCommit: entries that nobody waits for go with
// the next commit, CommitEvery later at the latest.
func TestUnhurriedEntriesShareOneCommit(t *testing.T) {
	r := newRig(t, Options{CommitEvery: time.Hour})
	before := r.Health().Commits
	done := make(chan error, 101)
	for i := range 100 {
		if err := r.Append(&gateway.Entry{Records: []gateway.Record{r.reading(i)}, Done: func(err error) { done <- err }}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(done); n != 0 {
		t.Fatalf("%d are done already", n)
	}
	r.put(r.reading(100)) // takes them along
	if len(done) != 100 || r.Health().Commits != before+1 {
		t.Fatalf("%d are done with %d commits", len(done), r.Health().Commits-before)
	}
	r.opt.CommitEvery = time.Millisecond
	r.reopen()
	if err := r.Append(&gateway.Entry{Records: []gateway.Record{r.reading(101)}, Done: func(err error) { done <- err }}); err != nil {
		t.Fatal(err)
	}
	for range 101 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackpressure: a full queue blocks Append until the writer has caught up.
func TestBackpressure(t *testing.T) {
	r := newRig(t, Options{})
	r.close()
	l, err := OpenLog(r.path, Options{Clock: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	big := r.reading(1)
	big.Value = json.RawMessage(`"` + string(make([]byte, 1<<20)) + `"`)
	n := 0
	ended := make(chan error, 1)
	go func() {
		for range 40 {
			if err := l.Append(&gateway.Entry{Records: []gateway.Record{big}, Done: func(error) {}}); err != nil {
				ended <- err
				return
			}
			n++
		}
		ended <- nil
	}()
	await(t, "the queue to fill", func() bool { return l.Health().PendingBytes > queueBytes-2<<20 })
	if b := l.Health().PendingBytes; b > queueBytes {
		t.Fatalf("%d bytes in the queue", b)
	}
	select {
	case <-ended:
		t.Fatal("40 MiB went into the queue")
	default:
	}
	r.start(l)
	if err := <-ended; err != nil || n != 40 {
		t.Fatal(err, n)
	}
	r.put(r.reading(2))
	if got := len(r.all()); got != 41 {
		t.Fatalf("%d records", got)
	}
}

// TestTrim: letting go of the memory map is noticed by nobody.
func TestTrim(t *testing.T) {
	r := newRig(t, Options{Uplinks: []string{"cloud"}})
	r.fill(0, 1000)
	r.SetCursor("cloud", gateway.Cursor{Next: 10})
	r.stop()
	before := r.file
	r.readBytes.Store(100 << 20)
	r.trim(time.Now())
	if r.file == before || r.file == nil || r.readBytes.Load() != 0 {
		t.Fatal("nothing happened")
	}
	if got := r.all(); len(got) != 1000 || r.Cursor("cloud").Next != 10 {
		t.Fatal(len(got), r.Cursor("cloud"))
	}
	r.reopen()
	r.fill(1000, 100)
	if got := r.all(); len(got) != 1100 || got[1099].Seq != 1100 || r.Cursor("cloud").Next != 10 {
		t.Fatal(len(got), r.Cursor("cloud"))
	}
}
