package harness

import (
	"context"
	"fmt"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Publisher publishes the values 1, 2, 3 ... of one sensor, up to 50 at a time,
// and books which were acknowledged. Without Resume, what was in flight when its
// connection broke is neither sent again nor counted on: it may arrive or not.
type Publisher struct {
	Ledger         *Ledger
	Device, Sensor string
	QoS            byte          // 1 or 2
	Pace           time.Duration // between two publishes; 500 us if 0
	// Resume, with QoS 2: the session is kept, and what was in flight when the
	// connection broke is sent again.
	Resume bool

	value  int
	packet uint16
	flight []inFlight
}

// Run publishes to addr, host:port, until ctx ends or the connection breaks.
// What was sent by then and is answered, is booked when it returns.
func (p *Publisher) Run(ctx context.Context, addr string) {
	if p.Resume {
		p.resume(ctx, addr)
		return
	}
	lost := make(chan struct{})
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("pub-" + p.Device + "-" + p.Sensor).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).
		SetConnectTimeout(10 * time.Second).SetWriteTimeout(5 * time.Second).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) }))
	if done(ctx, c.Connect()) != nil {
		return
	}
	defer c.Disconnect(0)
	type flying struct {
		value int
		tok   mqtt.Token
	}
	name := p.Device + "/" + p.Sensor
	window := make(chan flying, 50)
	var wg sync.WaitGroup
	wg.Go(func() {
		// A clean session: tokens end with the connection. The library now and
		// then forgets that of a publish which came just then, or to say that the
		// connection is lost.
		var last chan struct{} // closed when no token is waited for any more
		end := func(d time.Duration) {
			last = make(chan struct{})
			time.AfterFunc(d, func() { close(last) })
		}
		for f := range window {
			if last == nil {
				select {
				case <-f.tok.Done():
				case <-lost:
					end(time.Second)
				case <-ctx.Done():
					end(10 * time.Second)
				}
			}
			if last != nil {
				select {
				case <-f.tok.Done():
				case <-last:
					continue
				}
			}
			if f.tok.Error() == nil {
				p.Ledger.acknowledge(name, f.value)
			}
		}
	})
	defer wg.Wait()
	defer close(window)
	pace := time.NewTicker(max(p.Pace, 500*time.Microsecond))
	defer pace.Stop()
	for c.IsConnectionOpen() {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		p.value++
		tok := c.Publish(fmt.Sprintf("devices/%s/sensors/%s/value", p.Device, p.Sensor), p.QoS, false, fmt.Sprintf(`{"value":%d}`, p.value))
		p.Ledger.sent()
		select {
		case window <- flying{p.value, tok}:
		case <-ctx.Done():
			return
		}
	}
}

// Load runs publishers against addr until the returned function is called,
// which waits for them.
func Load(ctx context.Context, addr string, pubs []*Publisher) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, p := range pubs {
		wg.Go(func() { p.Run(ctx, addr) })
	}
	return func() { cancel(); wg.Wait() }
}
