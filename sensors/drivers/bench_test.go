package drivers

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

// counting is a Hub that ends the benchmark after so many readings.
type counting struct {
	left atomic.Int64
	done context.CancelFunc
}

func (c *counting) Submit(b *gateway.Batch) error {
	if c.left.Add(-int64(len(b.Readings))) <= 0 {
		c.done()
	}
	return nil
}

// BenchmarkPoller reads 200 fake sensors each second, in real time, and tells
// what of one core the poller and the drivers take. Run it with -benchtime
// 2000x or more: it makes 200 readings a second.
func BenchmarkPoller(b *testing.B) {
	const n = 200
	d, _ := sensors.Builtin().Lookup("fake")
	var items []sensors.Item
	for i := range n {
		o, wrong := d.Parse(map[string]string{"kind": "random-walk"})
		if len(wrong) > 0 {
			b.Fatal(wrong)
		}
		items = append(items, sensors.Item{Driver: "fake", Device: "D", Sensor: "s" + strconv.Itoa(i), Alone: true, Every: time.Second, Options: o})
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	hub := &counting{done: cancel}
	hub.left.Store(int64(b.N))
	p, err := sensors.New(sensors.Config{Items: items, Hub: hub, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	cpu, begin := cpuTime(b), time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	if err := p.Run(ctx); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	spent, wall := cpuTime(b)-cpu, time.Since(begin)
	b.ReportMetric(spent.Seconds()*10_000/float64(b.N), "cpu-s/10k-readings")
	b.ReportMetric(100*spent.Seconds()/wall.Seconds(), "%-of-a-core")
}

func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
