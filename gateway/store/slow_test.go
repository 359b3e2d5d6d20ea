package store

import (
	"errors"
	"testing"
	"time"

	"fieldgate/gateway"
)

// TestSlowDisk: while a write does not end, everybody is told so, those that
// come meanwhile too; when it does, all is done, once.
func TestSlowDisk(t *testing.T) {
	r := newRig(t, Options{Patience: 20 * time.Millisecond})
	r.close()
	r.plain = true
	r.open()
	changes := make(chan Health, 10)
	r.put(r.reading(1))
	r.mu.Lock()
	r.onHealth = append(r.onHealth, func(h Health) { changes <- h })
	r.mu.Unlock()
	tx, err := r.file.db.Begin(true) // a commit waits for it as for a disk
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		n   int
		err error
	}
	stalled, done := make(chan event, 10), make(chan event, 10)
	add := func(n int) {
		t.Helper()
		err := r.Append(&gateway.Entry{Records: []gateway.Record{r.reading(n)}, Wait: true,
			Stalled: func(err error) { stalled <- event{n, err} }, Done: func(err error) { done <- event{n, err} }})
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := 2; n <= 4; n++ {
		add(n)
		select {
		case e := <-stalled:
			if e.n != n || !errors.Is(e.err, ErrSlow) {
				t.Fatalf("%+v", e)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("entry %d is not told", n)
		}
	}
	if h := <-changes; h.OK || h.Error != ErrSlow.Error() {
		t.Errorf("%+v", h)
	}
	select {
	case e := <-done:
		t.Fatalf("done without the disk: %+v", e)
	default:
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 4; n++ {
		if e := <-done; e.n != n || e.err != nil {
			t.Fatalf("%+v", e)
		}
	}
	if h := <-changes; !h.OK {
		t.Errorf("%+v", h)
	}
	if n := len(r.all()); n != 4 {
		t.Errorf("%d records", n)
	}
	select {
	case e := <-stalled:
		t.Errorf("told twice: %+v", e)
	default:
	}
}
