package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkHostileClients has 20 honest pairs at 100 messages a second each, by
// turns alone and beside the thousand hostile clients of TestHostileClients, and
// prints the time from publisher to subscriber in both cases: median and 99th
// percentile of all messages, and their ratio. The hostile clients run on the
// same cores. Mosquitto is spared those that take over others' client
// identifiers: with it they succeed, and honest clients are cut off.
func BenchmarkHostileClients(b *testing.B) {
	b.Run("fieldgate", func(b *testing.B) {
		hostile(b, func(b *testing.B) (string, *process) {
			g := startHostile(b)
			return g.mqtt, g.process
		})
	})
	b.Run("mosquitto", func(b *testing.B) {
		users := filepath.Join(b.TempDir(), "users")
		for i, name := range []string{"ann", "eve"} {
			args := []string{"-b", users, name, "password"}
			if i == 0 {
				args = append([]string{"-c"}, args...)
			}
			if out, err := exec.Command(need(b, "mosquitto_passwd"), args...).CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
		if err := os.Chmod(users, 0o600); err != nil {
			b.Fatal(err)
		}
		hostile(b, func(b *testing.B) (string, *process) {
			c := startPeer(b, b.TempDir(), freePort(b), "password_file "+users)
			return c.addr, c.p
		}, "steal client ids")
	})
}

func hostile(b *testing.B, start func(b *testing.B) (addr string, p *process), without ...string) {
	var alone, beside [2]time.Duration
	peak := 0
	const rounds = 3
	for range rounds {
		for _, hostile := range []bool{false, true} { // each has a broker of its own: kept sessions outlive their clients
			addr, p := start(b)
			all := honestPairs(b, addr)
			work(b, all, time.Second)
			if !hostile {
				sum(&alone, work(b, all, 4*time.Second))
				p.stop()
				continue
			}
			m := gather(addr, without...)
			m.awaitOnly(b, 5, "reconnect in a storm", "huge wills", "guess credentials")
			sum(&beside, work(b, all, 4*time.Second))
			peak = max(peak, procKiB(b, p, "VmHWM"))
			m.disperse()
			p.stop()
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
	if len(took) > 0 {
		total[0] += took[len(took)/2]
		total[1] += took[len(took)*99/100]
	}
}
