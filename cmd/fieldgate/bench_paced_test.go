package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkPubackPaced is the time from PUBLISH to PUBACK at QoS 1 for one
// publisher that sends 1,000 a second, whatever is still unanswered: the median
// and the 99th percentile of 5,000.
func BenchmarkPubackPaced(b *testing.B) {
	contenders(b, func(b *testing.B, c *contender) {
		const n = 5000
		var took []time.Duration
		for b.Loop() {
			client := connectBare(b, c.addr, "paced", true)
			sent := make(chan time.Time, n)
			answered := make(chan error, 1)
			go func() {
				for range n {
					kind, _, err := client.packet()
					if err == nil && kind != 0x40 {
						err = fmt.Errorf("%#x instead of PUBACK", kind)
					}
					if err != nil {
						answered <- err
						return
					}
					took = append(took, time.Since(<-sent)) // in the order of the publishes
				}
				answered <- nil
			}()
			pace := time.NewTicker(time.Millisecond)
			for i := range n {
				<-pace.C
				buf := client.publish(nil, benchTopic(0), 1, fmt.Appendf(nil, `{"value": %d.6}`, i))
				sent <- time.Now()
				client.write(buf)
			}
			pace.Stop()
			if err := <-answered; err != nil {
				b.Fatal(err)
			}
			client.conn.Close()
		}
		slices.Sort(took)
		us := func(q int) float64 { return float64(took[len(took)*q/100].Nanoseconds()) / 1e3 }
		b.ReportMetric(us(50), "p50-µs")
		b.ReportMetric(us(99), "p99-µs")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkFewReadings is what reaches the disk, by the kernel's count, for each
// of ten readings a second that share a commit a second, over 30 seconds.
func BenchmarkFewReadings(b *testing.B) {
	dir := b.TempDir()
	yaml := strings.Replace(benchYAML, "CLOUD", "store: {commit_every: 1s}", 1)
	c := gatewayContender(b, dir, startGateway(b, dir, yaml))
	client := connectBare(b, c.addr, "slow", true)
	before := c.writtenBytes(b)
	total := 0
	for b.Loop() {
		pace := time.NewTicker(100 * time.Millisecond)
		for i := range 300 {
			<-pace.C
			client.write(client.publish(nil, benchTopic(i%10), 0, fmt.Appendf(nil, `{"value": %d.6}`, i)))
			total++
		}
		pace.Stop()
	}
	b.ReportMetric(float64(c.writtenBytes(b)-before)/float64(total), "written-B/reading")
	b.ReportMetric(0, "ns/op")
}

// writtenBytes is what the process made the kernel write, with pages that were
// written more than once (proc(5), write_bytes).
func (c *contender) writtenBytes(b *testing.B) int64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", c.p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("/proc/PID/io has no write_bytes")
	return 0
}
