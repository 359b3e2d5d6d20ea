package main

import (
	wire "encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lanYAML has plain topics for everybody and no devices.
const lanYAML = `
id: bench
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access: {anonymous: true, acl: [{topic: "bench/#", user: "*", allow: readwrite}]}
`

func lanContenders(b *testing.B, run func(b *testing.B, addr string)) {
	b.Run("fieldgate", func(b *testing.B) {
		g := startGateway(b, b.TempDir(), lanYAML)
		run(b, g.mqtt)
		stopCleanly(b, g.process)
	})
	b.Run("mosquitto", func(b *testing.B) {
		c := startPeer(b, b.TempDir(), freePort(b))
		run(b, c.addr)
		stopCleanly(b, c.p)
	})
	others(b, func(b *testing.B, c *contender) { run(b, c.addr) })
}

// pipes are publishers of 64-byte messages on plain topics that have at most
// window messages each that the subscribers have not got.
type pipes struct {
	got [10]atomic.Int64 // by publisher: messages that reached every subscriber that counts
}

// count takes what one subscriber gets until it has n messages.
func (p *pipes) count(c *bareClient, n int) error {
	var acks []byte
	for range n {
		kind, body, err := c.packet()
		if err != nil {
			return err
		}
		if kind>>4 != 3 {
			return fmt.Errorf("%#x instead of PUBLISH", kind)
		}
		topic := 2 + int(wire.BigEndian.Uint16(body))
		p.got[body[topic-1]-'0'].Add(1)
		if kind>>1&3 > 0 {
			acks = append(acks, 0x40, 2, body[topic], body[topic+1])
		}
		if len(acks) > 0 && (c.r.Buffered() < 70 || len(acks) > 4000) {
			if _, err := c.conn.Write(acks); err != nil {
				return err
			}
			acks = acks[:0]
		}
	}
	return nil
}

// send publishes n messages as publisher number i to subscribers of them.
func (p *pipes) send(c *bareClient, i, n, window, subscribers int, qos byte) error {
	payload := []byte(strings.Repeat("x", 64))
	topic := fmt.Sprintf("bench/%d", i)
	var buf []byte
	for sent, acked := 0, 0; sent < n || qos > 0 && acked < n; {
		arrived := int(p.got[i].Load()) / subscribers
		buf = buf[:0]
		for ; sent < n && sent-arrived < window && (qos == 0 || sent-acked < window); sent++ {
			buf = c.publish(buf, topic, qos, payload)
		}
		if len(buf) > 0 {
			if _, err := c.conn.Write(buf); err != nil {
				return err
			}
		} else if qos == 0 {
			time.Sleep(20 * time.Microsecond) // there is no event that is as cheap
			continue
		}
		for first := true; qos > 0 && (first && acked < sent || c.r.Buffered() >= 4); first = false {
			if kind, _, err := c.packet(); err != nil || kind != 0x40 {
				return fmt.Errorf("%#x instead of PUBACK: %v", kind, err)
			}
			acked++
		}
		if qos > 0 && acked == sent && sent < n {
			time.Sleep(20 * time.Microsecond) // the subscriber is behind
		}
	}
	return nil
}

// lan has publishers send n messages in all to subscribers, and gives the time
// until every subscriber has all.
func lan(b *testing.B, addr string, publishers, subscribers, n int, qos byte) time.Duration {
	b.Helper()
	var p pipes
	var wg sync.WaitGroup
	errs := make(chan error, publishers+subscribers)
	n = n / publishers * publishers
	for i := range subscribers {
		c := connectBare(b, addr, fmt.Sprint("sub", i), true)
		c.subscribe("bench/+", qos)
		wg.Go(func() {
			defer c.conn.Close()
			errs <- p.count(c, n)
		})
	}
	began := time.Now()
	for i := range publishers {
		c := connectBare(b, addr, fmt.Sprint("pub", i), true)
		wg.Go(func() {
			defer c.conn.Close()
			errs <- p.send(c, i, n/publishers, 100, subscribers, qos)
		})
	}
	wg.Wait()
	took := time.Since(began)
	for range publishers + subscribers {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
	return took
}

// BenchmarkLAN is messages a second on plain topics: ten publishers with 100
// messages each on their way to one subscriber, at QoS 0 and 1.
func BenchmarkLAN(b *testing.B) {
	for _, qos := range []byte{0, 1} {
		b.Run(fmt.Sprintf("10to1/qos%d", qos), func(b *testing.B) {
			lanContenders(b, func(b *testing.B, addr string) {
				const n = 200_000
				var took time.Duration
				for b.Loop() {
					took += lan(b, addr, 10, 1, n, qos)
				}
				b.ReportMetric(float64(n*b.N)/took.Seconds(), "messages/s")
				b.ReportMetric(0, "ns/op")
			})
		})
	}
}

// BenchmarkLANFanOut is deliveries a second of one publisher on plain topics to
// 100 subscribers at QoS 0.
func BenchmarkLANFanOut(b *testing.B) {
	lanContenders(b, func(b *testing.B, addr string) {
		const n, readers = 5000, 100
		var took time.Duration
		for b.Loop() {
			took += lan(b, addr, 1, readers, n, 0)
		}
		b.ReportMetric(float64(n*readers*b.N)/took.Seconds(), "deliveries/s")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkStoppedSubscriber is deliveries a second to 50 subscribers that
// read, alone and with one beside them that has stopped.
func BenchmarkStoppedSubscriber(b *testing.B) {
	for _, stopped := range []int{0, 1} {
		b.Run(fmt.Sprintf("%d_stopped", stopped), func(b *testing.B) {
			const n, readers = 20_000, 50
			g := startGateway(b, b.TempDir(), lanYAML)
			for i := range stopped {
				c := connectBare(b, g.mqtt, fmt.Sprint("stopped", i), true)
				c.subscribe("bench/#", 0)
				defer c.conn.Close()
			}
			var took time.Duration
			for b.Loop() {
				took += lan(b, g.mqtt, 1, readers, n, 0)
			}
			b.ReportMetric(float64(n*readers*b.N)/took.Seconds(), "deliveries/s")
			b.ReportMetric(0, "ns/op")
			stopCleanly(b, g.process)
		})
	}
}

// BenchmarkLatency is the time from a publish to its arrival at a subscriber,
// QoS 0, at 1,000 messages a second from one publisher.
func BenchmarkLatency(b *testing.B) {
	lanContenders(b, func(b *testing.B, addr string) {
		sub := connectBare(b, addr, "sub", true)
		sub.subscribe("bench/+", 0)
		pub := connectBare(b, addr, "pub", true)
		const n = 3000
		var times []time.Duration
		payload := make([]byte, 64)
		for b.Loop() {
			arrived := make(chan time.Duration, n)
			began := time.Now()
			go func() {
				defer close(arrived)
				for range n {
					_, body, err := sub.packet()
					if err != nil {
						return
					}
					at := 2 + int(wire.BigEndian.Uint16(body))
					arrived <- time.Since(began) - time.Duration(wire.BigEndian.Uint64(body[at:]))
				}
			}()
			pace := time.NewTicker(time.Millisecond)
			for range n {
				<-pace.C
				wire.BigEndian.PutUint64(payload, uint64(time.Since(began)))
				pub.write(pub.publish(nil, "bench/0", 0, payload))
			}
			pace.Stop()
			for d := range arrived {
				times = append(times, d)
			}
		}
		if len(times) != n*b.N {
			b.Fatalf("%d of %d arrived", len(times), n*b.N)
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1000, "p50-µs")
		b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds())/1000, "p99-µs")
		b.ReportMetric(0, "ns/op")
	})
}
