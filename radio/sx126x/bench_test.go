package sx126x

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// BenchmarkJitter sends in real time and measures how far the end of SetTx is
// from where it should be, 76 µs in front of the first symbol: p50 and p99 of the
// amount in microseconds. The board has no BUSY, as its simulation is no faster
// than Go's timers.
func BenchmarkJitter(b *testing.B) {
	c := wiring
	c.Busy = ""
	c.Board = sim.NewBoard(sim.NewAir(sim.AirOptions{}))
	chip := c.Board.(*sim.Board).AddSX1262(options(c))
	r, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = r.Run(ctx, func(*radio.Frame) {}) })
	for r.Status()[0].State != radio.OK {
		time.Sleep(time.Millisecond)
	}
	zero := time.Now()
	start := r.Counter(zero)
	var off []time.Duration
	late := 0
	for b.Loop() {
		n := r.Counter(time.Now().Add(40 * time.Millisecond))
		x := &radio.Transmission{Payload: []byte("x"), Frequency: eu.Frequency, Modulation: eu.Modulation, Power: 14, Counter: n}
		if err := r.Send(ctx, x); errors.Is(err, radio.ErrTooLate) {
			late++
			continue
		} else if err != nil {
			b.Fatal(err)
		}
		due := zero.Add(time.Duration(n-start)*time.Microsecond - ramp)
		for _, c := range slices.Backward(chip.Commands()) {
			if c.W[0] == opSetTx {
				off = append(off, c.At.Sub(due).Abs())
				break
			}
		}
	}
	cancel()
	done.Wait()
	b.ReportMetric(float64(late), "too-late")
	if len(off) == 0 {
		return
	}
	slices.Sort(off)
	b.ReportMetric(float64(off[len(off)/2].Nanoseconds())/1e3, "µs-p50")
	b.ReportMetric(float64(off[len(off)*99/100].Nanoseconds())/1e3, "µs-p99")
	b.ReportMetric(float64(off[len(off)-1].Nanoseconds())/1e3, "µs-max")
}
