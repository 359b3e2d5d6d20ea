package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The benchmarks print the project's numbers, beside those of Debian's
// Mosquitto on the same machine in the same run:
//
//	go test -run '^$' -bench . ./cmd/fieldgate
//
// with -benchtime=1x for a quick look. The folder is that of TMPDIR; on a tmpfs
// nothing is worth anything. All traffic is on loopback, and clients share the
// CPU with what they measure.

// BenchmarkPubackAlone is the time from PUBLISH to PUBACK for one publisher at
// QoS 1 with one message in flight: the median and the 99th percentile, and
// publishes a second.
//
// The gateway acknowledges after the record is on disk, so that it can at best
// be as fast as disk: the two writes with fdatasync that one commit of its log
// is made of (16 KiB of pages, then a meta page of 4 KiB), into a file of the same
// folder. Mosquitto acknowledges before the disk: it writes its database every
// 30 minutes, and what it acknowledged since is lost in a crash.
func BenchmarkPubackAlone(b *testing.B) {
	contenders(b, func(b *testing.B, c *contender) {
		client := connectBare(b, c.addr, "alone", true)
		one := func() {
			buf := client.publish(nil, benchTopic(0), 1, []byte(`{"value": 25.6}`))
			client.write(buf)
			if kind, _ := client.read(); kind != 0x40 {
				b.Fatalf("%#x instead of PUBACK", kind)
			}
		}
		for range 20 {
			one()
		}
		before := c.counts(b)
		latencies(b, "publishes/s", one)
		c.reportLog(b, before, c.counts(b))
	})
	b.Run("disk", func(b *testing.B) {
		f := openScratch(b, b.TempDir(), 1<<20)
		pages, n := make([]byte, 16<<10), int64(0)
		latencies(b, "commits/s", func() {
			for _, w := range []struct {
				p  []byte
				at int64
			}{{pages, (1 + n%60) * 16 << 10}, {pages[:4<<10], n % 2 * 4 << 10}} {
				if _, err := f.WriteAt(w.p, w.at); err != nil {
					b.Fatal(err)
				}
				if err := syscall.Fdatasync(int(f.Fd())); err != nil {
					b.Fatal(err)
				}
			}
			n++
		})
	})
}

// latencies runs one b.N times and reports what it took.
func latencies(b *testing.B, rate string, one func()) {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		one()
		took = append(took, time.Since(start))
	}
	b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), rate)
	slices.Sort(took)
	us := func(q int) float64 { return float64(took[len(took)*q/100].Nanoseconds()) / 1e3 }
	b.ReportMetric(us(50), "p50-µs")
	b.ReportMetric(us(99), "p99-µs")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPubackShared has 10 publishers at QoS 1 with 100 messages in flight
// each: acknowledged publishes a second, CPU time of the broker for 100,000 of
// them, its memory at most (VmHWM), and for the gateway how many records share a
// commit and how many bytes its log writes for each record.
//
// Nobody subscribes. Mosquitto then acknowledges and forgets the message;
// mosquitto_queued is the nearest it has to the gateway's work: it keeps all of
// them, in memory, for a subscriber that is away.
func BenchmarkPubackShared(b *testing.B) {
	contenders(b, shared)
	queued := func(b *testing.B, c *contender) {
		away := connectBare(b, c.addr, "away", false)
		away.subscribe("devices/#", 1)
		away.write([]byte{0xe0, 0}) // DISCONNECT
		away.conn.Close()
		shared(b, c)
	}
	b.Run("mosquitto_queued", func(b *testing.B) { queued(b, startPeer(b, b.TempDir(), freePort(b))) })
	b.Run("queued", func(b *testing.B) { others(b, queued) })
}

func shared(b *testing.B, c *contender) {
	const publishers, window, each = 10, 100, 2000
	clients := make([]*bareClient, publishers)
	for i := range clients {
		clients[i] = connectBare(b, c.addr, fmt.Sprint("pub", i), true)
	}
	round := func(n int) {
		var wg sync.WaitGroup
		for i, client := range clients {
			wg.Go(func() {
				if err := client.flood([]string{benchTopic(i)}, n, window); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
		if b.Failed() {
			b.FailNow()
		}
	}
	round(window)
	before, cpu, total := c.counts(b), c.cpu(b), 0
	for b.Loop() {
		round(each)
		total += publishers * each
	}
	reportRate(b, c, total, cpu, "publishes/s", "CPU-s/100k")
	c.reportLog(b, before, c.counts(b))
}

func reportRate(b *testing.B, c *contender, total int, cpu time.Duration, rate, cost string) {
	b.Helper()
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), rate)
	b.ReportMetric((c.cpu(b)-cpu).Seconds()*100_000/float64(total), cost)
	b.ReportMetric(c.memory(b, "VmHWM"), "peak-VmRSS-KiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkFanOut has one publisher and 100 subscribers, all at QoS 0 or all at
// QoS 1, with at most 100 messages on their way: messages delivered a second, CPU
// time of the broker for 100,000 of them, its memory at most. The gateway checks for each
// delivery whether its reader may see it, and logs the messages.
func BenchmarkFanOut(b *testing.B) {
	for qos := range byte(2) {
		b.Run(fmt.Sprintf("qos%d", qos), func(b *testing.B) {
			contenders(b, func(b *testing.B, c *contender) { fanOut(b, c, qos) })
		})
	}
}

func fanOut(b *testing.B, c *contender, qos byte) {
	const subscribers, window, each = 100, 100, 500
	credits := make(chan struct{}, window)
	for range window {
		credits <- struct{}{}
	}
	var got [each]atomic.Int32
	var wg sync.WaitGroup
	clients := make([]*bareClient, subscribers)
	for i := range clients {
		clients[i] = connectBare(b, c.addr, fmt.Sprint("sub", i), true)
		clients[i].subscribe("devices/D/#", qos)
		wg.Go(func() {
			clients[i].receive(func(_ string, payload []byte) {
				n, err := strconv.Atoi(string(payload[len(payload)-4:]))
				if err != nil || n >= each {
					b.Errorf("payload %q", payload)
					return
				}
				if got[n].Add(1) == subscribers {
					got[n].Store(0)
					credits <- struct{}{}
				}
			})
		})
	}
	pub := connectBare(b, c.addr, "pub", true)
	wg.Go(func() { pub.receive(nil) }) // PUBACKs
	stuck := time.NewTimer(benchDeadline)
	take := func() {
		select {
		case <-credits:
		case <-stuck.C:
			b.Fatal("messages are missing")
		}
	}
	cpu, total := c.cpu(b), 0
	for b.Loop() {
		for n := range each {
			take()
			pub.write(pub.publish(nil, benchTopic(0), qos, fmt.Appendf(nil, "1%04d", n)))
		}
		for range window { // all have arrived
			take()
		}
		for range window {
			credits <- struct{}{}
		}
		total += each * subscribers
	}
	reportRate(b, c, total, cpu, "deliveries/s", "CPU-s/100k")
	for _, client := range append(clients, pub) {
		client.conn.Close()
	}
	wg.Wait()
}

var loopbackPort = regexp.MustCompile(`"127\.0\.0\.1:\d+"`)

// BenchmarkIdle is the memory of the process in KiB (VmRSS, and RssAnon, the
// part that is not pages of files that the kernel can drop) with the example
// configuration, one second after the start, and with 1,000 clients that are
// connected and silent. armv6_binary is the length in bytes of the stripped
// binary for the oldest Raspberry Pi. Time means nothing here.
func BenchmarkIdle(b *testing.B) {
	b.Run("fieldgate", func(b *testing.B) {
		example, err := os.ReadFile("../../configs/fieldgate.yaml")
		if err != nil {
			b.Fatal(err)
		}
		yaml := loopbackPort.ReplaceAllString(string(example), `"127.0.0.1:0"`)
		yaml = regexp.MustCompile(`(?m)^data: .*`).ReplaceAllString(yaml, "data: DATA")
		dir := b.TempDir()
		idle(b, gatewayContender(b, dir, startGateway(b, dir, yaml)))
	})
	b.Run("mosquitto", func(b *testing.B) {
		idle(b, startPeer(b, b.TempDir(), freePort(b)))
	})
	others(b, idle)
	b.Run("armv6_binary", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "fieldgate")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=6")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("go build: %v\n%s", err, out)
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() { // once is enough
		}
		b.ReportMetric(float64(info.Size()), "bytes")
		b.ReportMetric(0, "ns/op")
	})
}

func idle(b *testing.B, c *contender) {
	const clients = 1000
	report := func(state string) {
		time.Sleep(time.Second) // to be idle is to let time pass
		for _, line := range []string{"VmRSS", "RssAnon"} {
			b.ReportMetric(c.memory(b, line), state+"-"+line+"-KiB")
		}
	}
	for b.Loop() { // once is enough, however long the benchmark may take
	}
	report("idle")
	for i := range clients {
		connectBare(b, c.addr, fmt.Sprint("idle", i), true)
	}
	report("1000clients")
	b.ReportMetric(0, "ns/op")
}
