package main

import (
	"testing"
	"time"
)

// BenchmarkHostileClients has 20 honest pairs at 100 messages a second each, by
// turns alone and beside the thousand hostile clients of TestHostileClients, and
// prints the time from publisher to subscriber in both cases: median and 99th
// percentile of all messages, and their ratio. The hostile clients run on the
// same cores.
func BenchmarkHostileClients(b *testing.B) {
	var alone, beside [2]time.Duration
	peak := 0
	const rounds = 3
	for range rounds {
		for _, hostile := range []bool{false, true} { // each has a gateway of its own: kept sessions outlive their clients
			g := startHostile(b)
			all := honestPairs(b, g)
			work(b, all, time.Second)
			if !hostile {
				sum(&alone, work(b, all, 4*time.Second))
				g.stop()
				continue
			}
			m := gather(g)
			m.await(b, 5)
			sum(&beside, work(b, all, 4*time.Second))
			peak = max(peak, procKiB(b, g, "VmHWM"))
			m.disperse()
			g.stop()
		}
	}
	for i, p := range []string{"p50", "p99"} {
		b.ReportMetric(float64(alone[i].Microseconds())/rounds, "µs-"+p+"-alone")
		b.ReportMetric(float64(beside[i].Microseconds())/rounds, "µs-"+p+"-beside")
		b.ReportMetric(float64(beside[i])/float64(alone[i]), "x-"+p)
	}
	b.ReportMetric(float64(peak), "peak-VmRSS-KiB")
	b.ReportMetric(0, "ns/op")
}

// sum adds the median and the 99th percentile of sorted times.
func sum(total *[2]time.Duration, took []time.Duration) {
	total[0] += took[len(took)/2]
	total[1] += took[len(took)*99/100]
}
