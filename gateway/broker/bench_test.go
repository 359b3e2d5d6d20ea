package broker

import (
	"fmt"
	"sync"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// BenchmarkPublishQoS1 is 10 publishers with 100 publishes in flight each and
// one subscriber, without a disk.
func BenchmarkPublishQoS1(b *testing.B) {
	r := start(b)
	sub := r.connect(who{id: "sub"})
	sub.subscribe(0, "devices/#")
	raw := encode(b, packets.Packet{ProtocolVersion: 4, FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, PacketID: 1, TopicName: "devices/D/sensors/S/value", Payload: []byte(`{"value": 25.6}`)})
	const publishers, window = 10, 100
	var wg sync.WaitGroup
	b.ResetTimer()
	go func() {
		for {
			if _, err := sub.next(); err != nil {
				return
			}
		}
	}()
	for i := range publishers {
		c := r.connect(who{id: fmt.Sprint("pub", i)})
		wg.Add(1)
		go func() {
			defer wg.Done()
			many := make([]byte, 0, window*len(raw))
			for range window {
				many = append(many, raw...)
			}
			for left := b.N/publishers + 1; left > 0; {
				n := min(left, window)
				if _, err := c.conn.Write(many[:n*len(raw)]); err != nil {
					b.Error(err)
					return
				}
				for range n {
					if _, err := c.next(); err != nil {
						b.Error(err)
						return
					}
				}
				left -= n
			}
		}()
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "publishes/s")
}
