package main

import (
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
)

func TestFlushWatch(t *testing.T) {
	var w flushWatch
	for i, c := range []struct {
		errors uint64
		want   bool
	}{{0, false}, {1, false}, {1, false}, {1, false}, {2, false}, {2, false}, {2, false}, {2, false}, {2, false}, {2, false}, {2, true}, {2, false}} {
		if got := w.recovered(c.errors); got != c.want {
			t.Errorf("look %d with %d errors: %v, want %v", i, c.errors, got, c.want)
		}
	}
}

// TestSessionNumbersRise over restarts, lost files and a clock that is unset.
func TestSessionNumbersRise(t *testing.T) {
	clock := fakeclock.New(time.Unix(0, 0), gateway.ClockUnset)
	table := &memoryTable{pairs: map[string][]byte{}}
	last := uint64(0)
	next := func(s *sessionNumbers) {
		t.Helper()
		n, err := s.NextSession()
		if err != nil || n <= last {
			t.Errorf("session %d after %d, %v", n, last, err)
		}
		last = n
	}
	s := &sessionNumbers{table: table, clock: clock}
	next(s)
	next(s)
	next(&sessionNumbers{table: table, clock: clock}) // a restart
	clock.Set(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), gateway.ClockUnsynced)
	next(&sessionNumbers{table: &memoryTable{pairs: map[string][]byte{}}, clock: clock}) // the file is lost
}
