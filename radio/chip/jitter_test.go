package chip_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// percentiles reports amounts of time in microseconds.
func percentiles(b *testing.B, name string, off []time.Duration) {
	if len(off) == 0 {
		return
	}
	slices.Sort(off)
	for _, p := range []struct {
		name string
		at   int
	}{{"p50", len(off) / 2}, {"p99", len(off) * 99 / 100}, {"max", len(off) - 1}} {
		b.ReportMetric(float64(off[p.at].Nanoseconds())/1e3, "µs-"+name+p.name)
	}
}

// busy keeps all processors busy that Go uses.
func busy() (stop func()) {
	var end atomic.Bool
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for n := 0; !end.Load(); n++ {
				_ = n * n
			}
		})
	}
	return func() {
		end.Store(true)
		all.Wait()
	}
}

// BenchmarkTransmitJitter sends in real time and measures how far the start of the
// first symbol is off its time, by amount, on an idle machine and beside as many
// busy loops as there are processors; and how many transmissions were refused
// because this machine was too slow, the simulation included. Those that were refused
// are not in the amounts, which the refusal thus bounds.
func BenchmarkTransmitJitter(b *testing.B) {
	for _, driver := range []string{"sx127x", "sx126x"} {
		for _, load := range []string{"idle", "busy", "busy, one processor more"} {
			b.Run(fmt.Sprintf("%s %s", driver, load), func(b *testing.B) {
				if load != "idle" {
					defer busy()()
				}
				if n := runtime.GOMAXPROCS(0); load == "busy, one processor more" {
					runtime.GOMAXPROCS(n + 1)
					defer runtime.GOMAXPROCS(n)
				}
				jitter(b, driver)
			})
		}
	}
}

func jitter(b *testing.B, driver string) {
	tuning := channel
	tuning.Bandwidth = 500000 // short frames
	s := newStation(b, driver, true, tuning)
	starts := make(chan time.Time, 8)
	s.air.Watch(func(_ sim.Emission, from string, start time.Time) {
		if from == "gw" {
			starts <- start
		}
	})
	defer s.run(func(*radio.Frame) {})()
	zero := time.Now()
	base := s.radio.Counter(zero)
	var off []time.Duration
	late := 0
	for b.Loop() {
		count := s.radio.Counter(time.Now().Add(100 * time.Millisecond))
		err := s.radio.Send(b.Context(), &radio.Transmission{Payload: []byte("x"), Frequency: tuning.Frequency, Modulation: tuning.Modulation, Power: 14, Counter: count})
		if errors.Is(err, radio.ErrTooLate) || errors.Is(err, radio.ErrDown) {
			late++
			for len(starts) > 0 {
				<-starts
			}
			for s.radio.Status()[0].State != radio.OK {
				time.Sleep(10 * time.Millisecond)
			}
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
		start := <-starts
		if s.young != nil { // the simulated ramp is no faster than Go's timers
			start = s.fired().Add(76 * time.Microsecond)
		}
		off = append(off, start.Sub(zero.Add(time.Duration(count-base)*time.Microsecond)).Abs())
	}
	b.ReportMetric(float64(late)/float64(b.N)*100, "%-too-late")
	percentiles(b, "", off)
}

// fired is when the last SetTx ended.
func (s *station) fired() time.Time {
	for _, c := range slices.Backward(s.young.Commands()) {
		if c.W[0] == 0x83 {
			return c.At
		}
	}
	return time.Time{}
}

// BenchmarkReceive measures in real time how long after a frame has come, when DIO0
// or DIO1 rises, it is handed on, and how far its stamp is off, by amount.
func BenchmarkReceive(b *testing.B) {
	for _, driver := range []string{"sx127x", "sx126x"} {
		for _, interrupt := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s interrupt %v", driver, interrupt), func(b *testing.B) {
				tuning := channel
				tuning.Bandwidth = 500000
				s := newStation(b, driver, interrupt, tuning)
				got, rises := make(chan [2]time.Time, 8), make(chan time.Time, 8)
				s.line.Watch(func(high bool) {
					if high {
						rises <- time.Now()
					}
				})
				defer s.run(func(f *radio.Frame) { got <- [2]time.Time{f.At, time.Now()} })()
				time.Sleep(10 * time.Millisecond)
				var handed, stamped []time.Duration
				for b.Loop() {
					s.node.Send(up(tuning, "hello"))
					at := <-got
					ended := <-rises
					handed = append(handed, at[1].Sub(ended))
					stamped = append(stamped, at[0].Sub(ended).Abs())
				}
				percentiles(b, "handed-", handed)
				percentiles(b, "stamp-", stamped)
			})
		}
	}
}
