package sx127x

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// inRealTime runs a radio with a chip as wired by o.
func inRealTime(b *testing.B, o sim.SX1276Options, receive func(*radio.Frame)) (*Radio, *sim.Air) {
	b.Helper()
	air := sim.NewAir(sim.AirOptions{})
	board := sim.NewBoard(air)
	board.AddSX1276(o)
	c := Config{Name: "gw", Bus: o.Bus, Reset: o.Reset, IRQ: o.DIO0, Tuning: channel, Board: board}
	c.Tuning.Bandwidth = 500000
	r, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, receive) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	for r.Status()[0].State != radio.OK {
		time.Sleep(10 * time.Millisecond)
	}
	return r, air
}

// percentiles reports times in microseconds.
func percentiles(b *testing.B, late []time.Duration) {
	if len(late) == 0 {
		return
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(late[len(late)*99/100].Nanoseconds())/1000, "p99-µs")
	b.ReportMetric(float64(late[len(late)-1].Nanoseconds())/1000, "max-µs")
}

// BenchmarkJitter measures in real time how late frames leave: from their time to
// the write of the mode.
func BenchmarkJitter(b *testing.B) {
	r, air := inRealTime(b, wiring, func(*radio.Frame) {})
	starts := make(chan time.Time, 1)
	air.Watch(func(_ sim.Emission, _ string, start time.Time) { starts <- start })
	var late []time.Duration
	tooLate := 0
	once := func() {
		tx := &radio.Transmission{Payload: []byte("x"), Frequency: 868100000, Modulation: r.c.Tuning.Modulation, Power: 14,
			Counter: r.Counter(time.Now().Add(40 * time.Millisecond))}
		due := r.counter.Time(tx.Counter, time.Now())
		err := r.Send(b.Context(), tx)
		if errors.Is(err, radio.ErrTooLate) { // the machine is busy
			tooLate++
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		start := <-starts
		late = append(late, start.Sub(due))
	}
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(tooLate), "too-late")
	percentiles(b, late)
}

// BenchmarkLatency measures in real time how long after the end of a frame it is
// handed on, and how long after it it is stamped.
func BenchmarkLatency(b *testing.B) {
	for _, dio0 := range []string{"GPIO4", ""} {
		b.Run(map[string]string{"GPIO4": "edges", "": "polled"}[dio0], func(b *testing.B) {
			o := wiring
			o.DIO0 = dio0
			got := make(chan [2]time.Time, 1)
			r, air := inRealTime(b, o, func(f *radio.Frame) { got <- [2]time.Time{f.At, time.Now()} })
			node := air.Attach("node", nil)
			var late, stamped []time.Duration
			once := func() {
				end := node.Send(up(r.c.Tuning, "hello"))
				at := <-got
				stamped = append(stamped, at[0].Sub(end))
				late = append(late, at[1].Sub(end))
			}
			for b.Loop() {
				once()
			}
			slices.Sort(stamped)
			b.ReportMetric(float64(stamped[len(stamped)/2].Nanoseconds())/1000, "stamp-p50-µs")
			percentiles(b, late)
		})
	}
}
