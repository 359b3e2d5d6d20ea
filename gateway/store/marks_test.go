package store

import (
	"bytes"
	"slices"
	"testing"

	"fieldgate/gateway"
)

// Marks are on disk with their records, until they are forgotten.
func TestMarks(t *testing.T) {
	r := newRig(t, Options{})
	mark := func(session, count uint64) gateway.Mark {
		return gateway.Mark{Session: session, Count: count, Packet: uint16(count + 100)}
	}
	put := func(m gateway.Mark) {
		t.Helper()
		done := make(chan error, 1)
		if err := r.Append(&gateway.Entry{Records: []gateway.Record{r.reading(1)}, Wait: true, Mark: m, Done: func(err error) { done <- err }}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	// What another process would find if this one were killed now.
	onDisk := func(want ...gateway.Mark) {
		t.Helper()
		l, err := OpenLog(r.copied(), r.opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Marks(); !slices.Equal(got, want) {
			t.Errorf("on disk: %v, want %v", got, want)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	put(gateway.Mark{})
	onDisk()
	put(mark(1, 1))
	put(mark(2, 1))
	put(mark(1, 2))
	onDisk(mark(1, 1), mark(2, 1), mark(1, 2))
	r.ForgetMarks(1, 1)
	onDisk(mark(1, 1), mark(2, 1), mark(1, 2))
	put(gateway.Mark{})
	onDisk(mark(2, 1), mark(1, 2))
	r.reopen()
	if got := r.Marks(); !slices.Equal(got, []gateway.Mark{mark(2, 1), mark(1, 2)}) {
		t.Fatal(got)
	}
	r.ForgetMarks(1, ^uint64(0))
	r.ForgetMarks(2, ^uint64(0))
	put(mark(3, 1<<40))
	onDisk(mark(3, 1<<40))
}

func FuzzMarks(f *testing.F) {
	f.Add(appendMarks(nil, []gateway.Mark{{Session: 1 << 63, Count: 300, Packet: 65535}, {Session: 7, Count: 1, Packet: 1}}))
	f.Add(appendMarks(nil, nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := decodeMarks(raw)
		if err != nil {
			return
		}
		first := appendMarks(nil, list)
		again, err := decodeMarks(first)
		if err != nil || !bytes.Equal(appendMarks(nil, again), first) {
			t.Fatalf("%v: %v, %v", list, again, err)
		}
	})
}
