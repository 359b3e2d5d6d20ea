package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// BenchmarkFewReadings is what is written to the disk for each of ten readings a
// second that share a commit a second, over 30 seconds: as the disk counts it,
// which has the file system's share and that of everybody else on the machine,
// and as the pages that the log wrote.
func BenchmarkFewReadings(b *testing.B) {
	dir := b.TempDir()
	yaml := strings.Replace(benchYAML, "CLOUD", "store: {commit_every: 1s}", 1)
	c := gatewayContender(b, dir, startGateway(b, dir, yaml))
	client := connectBare(b, c.addr, "slow", true)
	for i := range 2 { // after which the log has all its files
		client.write(client.publish(nil, benchTopic(0), 1, fmt.Appendf(nil, `{"value": %d}`, i)))
		if kind, _, err := client.packet(); err != nil || kind != 0x40 {
			b.Fatal(kind, err)
		}
	}
	unix.Sync() // what others left to be written
	disk, log := diskWritten(b, dir), c.counts(b)["fieldgate_store_written_bytes_total"]
	total := 0
	for b.Loop() {
		_ = client.conn.SetDeadline(time.Now().Add(benchDeadline))
		pace := time.NewTicker(100 * time.Millisecond)
		for i := range 300 {
			<-pace.C
			client.write(client.publish(nil, benchTopic(i%10), 0, fmt.Appendf(nil, `{"value": %d.6}`, i)))
			total++
		}
		pace.Stop()
	}
	b.ReportMetric(float64(diskWritten(b, dir)-disk)/float64(total), "disk-B/reading")
	b.ReportMetric((c.counts(b)["fieldgate_store_written_bytes_total"]-log)/float64(total), "log-B/reading")
	b.ReportMetric(0, "ns/op")
}

// diskWritten is how many bytes were written to the disk that holds dir, by
// whomever (Documentation/block/stat.rst: sectors of 512 bytes). The count of
// the process in /proc/PID/io is of no use here: it has whole folios of the
// page cache, of which one changed page is written.
func diskWritten(b *testing.B, dir string) int64 {
	b.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		b.Fatal(err)
	}
	path := fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev))
	raw, err := os.ReadFile(path)
	if err != nil {
		b.Skipf("the disk does not count: %v", err)
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 7 {
		b.Fatalf("%s: %q", path, raw)
	}
	n, err := strconv.ParseInt(fields[6], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n * 512
}
