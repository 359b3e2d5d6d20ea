package main

import (
	"bytes"
	wire "encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// BenchmarkCatchUp has 100,000 records wait on disk (as many as FIELDGATE_BACKLOG
// says; 2,000 with -short) and then handed to a Mosquitto as the cloud, at QoS 1
// with a window of 100, by a gateway that is started again: records a second
// after the first message until the last has arrived at a subscriber there, and
// the time from the start of the process until then. Fresh-ms is the time of a
// reading from its publish at the gateway, when a tenth of the backlog has
// arrived, until it is at that subscriber. Ready-ms is from the start of the
// process until its listeners accept, with all records waiting and no cloud, and
// the two KiB are its memory then: its own, and pages of files that the kernel
// can drop.
//
// The subscriber of `ordered` and of the peers takes every tenth message.
//
// Its peers are a Mosquitto bridge, stopped and started with as many messages
// in its database, and the client library alone, which publishes as many
// messages of the same size out of memory with the same window.
func BenchmarkCatchUp(b *testing.B) {
	for _, mode := range []string{"ordered", "fresh_first", "batches"} {
		b.Run("fieldgate/"+mode, func(b *testing.B) { catchUp(b, mode) })
	}
	b.Run("paho", catchUpPaho)
	b.Run("mosquitto", catchUpBridge)
}

func backlogSize(b *testing.B) int {
	if text := os.Getenv("FIELDGATE_BACKLOG"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 {
			b.Fatalf("FIELDGATE_BACKLOG=%q: a number from 1000 on", text)
		}
		return n / 10 * 10
	}
	if testing.Short() {
		return 2_000
	}
	return 100_000
}

// fill has ten publishers put n readings into a broker, of each sensor every
// tenth.
func fill(b *testing.B, addr string, n int) {
	b.Helper()
	const publishers = 10
	var topics []string
	for i := range publishers {
		topics = append(topics, benchTopic(i))
	}
	var wg sync.WaitGroup
	for i := range publishers {
		client := connectBare(b, addr, fmt.Sprint("fill", i), true)
		wg.Go(func() {
			defer client.conn.Close()
			if err := client.flood(topics, n/publishers, 100); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// arrivals counts what reaches a subscriber of the cloud.
type arrivals struct {
	first, last    time.Time
	opening, total int
	tenth, fresh   chan struct{} // closed at a tenth, and at the reading freshValue
	done           chan struct{} // closed when all have come, or the connection broke
	want           int
}

const freshValue = "4242.4242"

// watchCloud subscribes to everything, or with one to every tenth reading only,
// so that the broker has its hands free for the one who sends.
func watchCloud(b *testing.B, addr string, want int, one bool) *arrivals {
	b.Helper()
	filter, weight := "devices/#", 1
	if one {
		filter, weight = benchTopic(9), 10
	}
	a := &arrivals{tenth: make(chan struct{}), fresh: make(chan struct{}), done: make(chan struct{}), want: want}
	c := connectBare(b, addr, "watch", true)
	c.subscribe(filter, 0)
	go func() {
		defer close(a.done)
		defer c.conn.Close()
		tenth, fresh := a.tenth, a.fresh
		for a.total < want || fresh != nil {
			kind, body, err := c.packet()
			if err != nil {
				return
			}
			if kind>>4 != 3 {
				continue
			}
			payload := body[2+wire.BigEndian.Uint16(body):]
			a.last = time.Now()
			if bytes.Contains(payload, []byte(freshValue)) {
				if fresh != nil {
					close(fresh)
					fresh = nil
				}
				a.total -= weight // it is no part of the backlog
			}
			a.total += weight * max(1, bytes.Count(payload, []byte(`"id"`)))
			if a.first.IsZero() {
				a.first, a.opening = a.last, a.total
			}
			if tenth != nil && a.total >= want/10 {
				close(tenth)
				tenth = nil
			}
		}
	}()
	return a
}

// sums are the sums of a benchmark's rounds.
type sums struct {
	took, whole, cpu, ready, fresh time.Duration
	timed, rounds                  int
	anon, file                     float64
}

func (s *sums) add(a *arrivals, started time.Time) {
	s.took += a.last.Sub(a.first)
	s.timed += a.total - a.opening
	s.whole += a.last.Sub(started)
	s.rounds++
}

func (s *sums) report(b *testing.B, n int) {
	b.ReportMetric(float64(s.timed)/s.took.Seconds(), "records/s")
	b.ReportMetric(float64(s.whole.Milliseconds())/float64(s.rounds), "start-to-last-ms")
	b.ReportMetric(s.cpu.Seconds()*100_000/float64(s.rounds*n), "CPU-s/100k") // start included
	b.ReportMetric(0, "ns/op")
	if s.ready > 0 {
		b.ReportMetric(float64(s.ready.Microseconds())/1000/float64(s.rounds), "ready-ms")
		b.ReportMetric(float64(s.fresh.Microseconds())/1000/float64(s.rounds), "fresh-ms")
		b.ReportMetric(s.anon/float64(s.rounds), "waiting-RssAnon-KiB")
		b.ReportMetric(s.file/float64(s.rounds), "waiting-RssFile-KiB")
	}
}

func (a *arrivals) await(b *testing.B, what string, c <-chan struct{}) {
	b.Helper()
	select {
	case <-c:
	case <-time.After(benchDeadline):
		b.Fatalf("no %s: %d of %d records arrived", what, a.total, a.want)
	}
}

func catchUp(b *testing.B, mode string) {
	need(b, "mosquitto")
	n := backlogSize(b)
	var s sums
	for b.Loop() {
		port, dir := freePort(b), b.TempDir()
		yaml := strings.Replace(benchYAML, "CLOUD", fmt.Sprintf(
			"uplink: [{name: cloud, url: \"mqtt://127.0.0.1:%s\", window: 100, catch_up: %s, catch_up_rate: 10000}]\nstore: {max_size: 448MiB}", port, mode), 1)
		g := startGateway(b, dir, yaml)
		fill(b, g.mqtt, n)
		stopCleanly(b, g.process)

		began := time.Now()
		g = startGateway(b, dir, yaml)
		s.ready += time.Since(began)
		c := gatewayContender(b, dir, g)
		s.anon += c.memory(b, "RssAnon")
		s.file += c.memory(b, "RssFile")
		stopCleanly(b, g.process)

		cloud := startPeer(b, b.TempDir(), port)
		a := watchCloud(b, cloud.addr, n, mode == "ordered")
		started := time.Now()
		g = startGateway(b, dir, yaml)
		c = gatewayContender(b, dir, g)
		a.await(b, "tenth of the backlog", a.tenth)
		client := connectBare(b, g.mqtt, "fresh", true)
		asked := time.Now()
		client.write(client.publish(nil, benchTopic(9), 1, []byte(`{"value":`+freshValue+`}`)))
		a.await(b, "fresh reading", a.fresh)
		s.fresh += time.Since(asked)
		a.await(b, "backlog", a.done)
		if a.total < n {
			b.Fatalf("%d of %d records arrived", a.total, n)
		}
		s.add(a, started)
		s.cpu += c.cpu(b)
		stopCleanly(b, g.process)
		stopCleanly(b, cloud.p)
	}
	s.report(b, n)
}

// catchUpPaho is what the client library can do: the same messages out of
// memory, each acknowledged in its turn.
func catchUpPaho(b *testing.B) {
	need(b, "mosquitto")
	n := backlogSize(b)
	var s sums
	for b.Loop() {
		cloud := startPeer(b, b.TempDir(), freePort(b))
		a := watchCloud(b, cloud.addr, n, true)
		started := time.Now()
		c := dial(b, cloud.addr, "paho")
		window := make(chan mqtt.Token, 100)
		acknowledged := make(chan struct{})
		go func() {
			defer close(acknowledged)
			for t := range window {
				t.Wait()
			}
		}()
		for i := range n {
			payload := fmt.Sprintf(`{"value":%d,"timestamp":"2026-11-20T10:00:00.%06dZ","id":"bench/%d"}`, i, i%1_000_000, i)
			if i == n/10 {
				window <- c.Publish(benchTopic(9), 1, false, `{"value":`+freshValue+`,"id":"bench/0"}`)
			}
			window <- c.Publish(benchTopic(i%10), 1, false, payload)
		}
		close(window)
		<-acknowledged
		a.await(b, "messages", a.done)
		if a.total < n {
			b.Fatalf("%d of %d messages arrived", a.total, n)
		}
		s.add(a, started)
		c.Disconnect(0)
		stopCleanly(b, cloud.p)
	}
	s.report(b, n)
}

func catchUpBridge(b *testing.B) {
	need(b, "mosquitto")
	n := backlogSize(b)
	var s sums
	for b.Loop() {
		cloudPort, port, dir := freePort(b), freePort(b), b.TempDir()
		bridge := []string{"connection cloud", "address 127.0.0.1:" + cloudPort, "topic # out 1", "cleansession false", "restart_timeout 1"}
		p := startPeer(b, dir, port, bridge...)
		fill(b, p.addr, n)
		stopCleanly(b, p.p)
		cloud := startPeer(b, b.TempDir(), cloudPort)
		a := watchCloud(b, cloud.addr, n, true)
		started := time.Now()
		p = startPeer(b, dir, port, bridge...)
		a.await(b, "tenth of the backlog", a.tenth)
		client := connectBare(b, p.addr, "fresh", true)
		client.write(client.publish(nil, benchTopic(9), 1, []byte(`{"value":`+freshValue+`}`)))
		a.await(b, "backlog", a.done)
		s.add(a, started)
		s.cpu += p.cpu(b)
		stopCleanly(b, p.p)
		stopCleanly(b, cloud.p)
	}
	s.report(b, n)
}
