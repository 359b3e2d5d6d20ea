package chip

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"fieldgate/radio"
)

// BenchmarkJitter sends in real time and measures how far the start is off: p50
// and p99 of its amount, in microseconds.
func BenchmarkJitter(b *testing.B) {
	c := &fake{lead: 100 * time.Microsecond}
	r := New(Config{Name: "r", Chip: c, Modulation: sf7})
	ctx, cancel := context.WithCancel(b.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = r.Run(ctx, func(*radio.Frame) {}) })
	for r.Status()[0].State != radio.OK {
		time.Sleep(time.Millisecond)
	}
	var off []time.Duration
	for b.Loop() {
		n := r.Counter(time.Now().Add(25 * time.Millisecond))
		at := r.counter.Time(n, time.Now())
		if err := r.Send(ctx, &radio.Transmission{Frequency: 868100000, Modulation: sf7, Counter: n}); err != nil {
			b.Log(err)
			continue
		}
		off = append(off, c.fired[len(c.fired)-1].Sub(at).Abs())
	}
	cancel()
	done.Wait()
	slices.Sort(off)
	b.ReportMetric(float64(off[len(off)/2].Nanoseconds())/1e3, "µs-p50")
	b.ReportMetric(float64(off[len(off)*99/100].Nanoseconds())/1e3, "µs-p99")
	b.ReportMetric(float64(off[len(off)-1].Nanoseconds())/1e3, "µs-max")
}
