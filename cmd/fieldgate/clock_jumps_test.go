package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/uplink/fakecloud"
)

// TestClockJumps sets the wall clock of a running gateway: readings before and
// after arrive once and in order with the time that the clock showed, the
// newest reading is the one that came last, and the history has all of them, in
// the order of time.
func TestClockJumps(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	for name, jumps := range map[string]struct {
		start time.Time
		to    []time.Time
	}{
		"an hour back":             {at(22, 10, 0), []time.Time{at(22, 9, 0)}},
		"an hour forward":          {at(22, 10, 0), []time.Time{at(22, 11, 0)}},
		"over midnight":            {at(22, 23, 59), []time.Time{at(23, 0, 10)}},
		"back over midnight":       {at(23, 0, 10), []time.Time{at(22, 23, 50)}},
		"over the end of a month":  {at(30, 23, 59), []time.Time{at(31, 0, 1)}}, // 31 November is 1 December
		"a day forward, and back":  {at(22, 10, 0), []time.Time{at(23, 10, 0), at(22, 10, 1)}},
		"a year back, and forward": {at(22, 10, 0), []time.Time{at(22, 10, 0).AddDate(-1, 0, 0), at(22, 10, 5)}},
		"to and fro":               {at(22, 10, 0), []time.Time{at(22, 9, 0), at(22, 11, 0), at(22, 8, 0), at(22, 12, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			cloud, err := fakecloud.New(fakecloud.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer cloud.Close()
			clock := fakeclock.New(jumps.start, gateway.ClockSynced)
			p := startInProcess(t, t.TempDir(), clock, cloud)
			var times []time.Time // of readings 1, 2, ...
			minute := func() {
				for range 3 {
					clock.Advance(20 * time.Second)
					p.reading(len(times) + 1)
					times = append(times, clock.Now().Wall)
				}
			}
			minute()
			for i, to := range jumps.to {
				if i%2 == 1 { // and the other ones while the cloud is there
					cloud.SetLink(false)
				}
				clock.Set(to, gateway.ClockSynced)
				minute()
				if newest, ok := p.g.hub.Current("A", "S1", gateway.KindSensor); !ok || !newest.At.Equal(clock.Now().Wall) {
					t.Errorf("after the jump to %s the newest value is of %s", to, newest.At)
				}
				cloud.SetLink(true)
			}
			ids := map[string]bool{}
			for i, a := range p.arrivals(len(times)) {
				if a.Value != i+1 || !a.Timestamp.Equal(times[i]) || ids[a.ID] {
					t.Errorf("in place %d: %+v, want it at %s; id seen before: %t", i+1, a, times[i], ids[a.ID])
				}
				ids[a.ID] = true
			}
			var history []time.Time
			query := gateway.HistoryQuery{Kind: gateway.KindSensor, Device: "A", Channel: "S1"}
			if err := p.g.records.History(context.Background(), query, func(r gateway.Record) error {
				history = append(history, r.At)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(times, time.Time.Compare)
			if !slices.EqualFunc(history, times, time.Time.Equal) {
				t.Errorf("history %v, want %v", history, times)
			}
			p.stop()
		})
	}
}
