package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"fieldgate/gateway"
)

// BenchmarkHistory is a query for one of 51 sensors that send a value each
// minute, over windows at the end and in the middle of logs of 7 and 28 days.
// "Scan" is the same without columns, which is what a log from before them
// costs until they are made.
func BenchmarkHistory(b *testing.B) {
	for _, days := range []int{7, 28} {
		r := benchRig(b)
		fillStreams(r, 51, days*24*60)
		r.arranged()
		r.stop() // so that nothing is let go of meanwhile
		x := r.index.Load()
		share := uint64(0)
		for _, s := range x.segments {
			share += s.columns.bytes
		}
		b.Logf("%d days: %d records, %d MiB used, of that %d KiB for columns, %d segments", days, x.records, x.used>>20, share>>10, len(x.segments))
		end := epoch.Add(time.Duration(days) * 24 * time.Hour)
		for _, w := range []struct {
			name string
			from time.Time
			span time.Duration
		}{
			{"1h", end.Add(-time.Hour), time.Hour},
			{"1d", end.Add(-24 * time.Hour), 24 * time.Hour},
			{"7d", end.Add(-7 * 24 * time.Hour), 7 * 24 * time.Hour},
			{"1h-old", epoch.Add(30 * time.Hour), time.Hour},
			{"1d-old", epoch.Add(30 * time.Hour), 24 * time.Hour},
		} {
			q := query1("MyDevice", "S7")
			q.From, q.To = w.from, w.from.Add(w.span-1)
			b.Run(fmt.Sprintf("log=%dd/window=%s", days, w.name), func(b *testing.B) {
				benchHistory(b, r, q, int(w.span/time.Minute))
			})
		}
		if days == 7 {
			q := query1("MyDevice", "S7")
			b.Run("log=7d/window=1h/scan", func(b *testing.B) {
				q.From, q.To = end.Add(-time.Hour), end
				old := r.index.Load()
				bare := old.clone()
				for i := range bare.segments {
					bare.segments[i].columns = columnInfo{}
				}
				r.index.Store(bare)
				benchHistory(b, r, q, 60)
				r.index.Store(old)
			})
		}
		r.close()
	}
}

func benchHistory(b *testing.B, r *rig, q gateway.HistoryQuery, want int) {
	count := func() (n int) {
		if err := r.History(context.Background(), q, func(gateway.Record) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		return n
	}
	if n := count(); n != want { // the active segment is known from here on
		b.Fatalf("%d values, want %d", n, want)
	}
	r.readBytes.Store(0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		count()
	}
	b.ReportMetric(float64(r.readBytes.Load())/float64(b.N), "read-B/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(want), "ns/value")
}
