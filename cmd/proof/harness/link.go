package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"fieldgate/gateway/freeport"
)

// Link is a TCP proxy on a loopback port that can be made to fail as networks
// do.
type Link struct {
	server *toxiproxy.ApiServer
	proxy  *toxiproxy.Proxy
	up     bool
	names  []string // of the toxics that are on
}

// NewLink forwards to upstream, host:port.
func NewLink(upstream string) (*Link, error) {
	port, err := freeport.Take()
	if err != nil {
		return nil, err
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics make loggers of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &Link{server: server, proxy: toxiproxy.NewProxy(server, "link", fmt.Sprintf("127.0.0.1:%d", port), upstream)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("harness: link: %w", err)
	}
	l.up = true
	return l, nil
}

// Addr is where the link begins, host:port.
func (l *Link) Addr() string { return l.proxy.Listen }

// Faults are the names that Break takes.
//
//   - cut: connections end, none can be made
//   - half-open: what is sent vanishes, connections stay
//   - reset: connections end with RST
//   - bytes: each byte is a segment of its own
//   - latency: 100 ms with as much jitter, in both directions
//   - slow: 20 kB/s upward
var Faults = []string{"cut", "half-open", "reset", "bytes", "latency", "slow"}

// Break lets one of Faults begin; it lasts until Heal.
func (l *Link) Break(fault string) error {
	both := []string{"upstream", "downstream"}
	switch fault {
	case "cut":
		l.proxy.Stop()
		l.up = false
		return nil
	case "half-open":
		return l.toxics("timeout", both, map[string]any{"timeout": 0})
	case "reset":
		return l.toxics("reset_peer", both[:1], map[string]any{"timeout": 0})
	case "bytes":
		return l.toxics("slicer", both, map[string]any{"average_size": 1, "size_variation": 0, "delay": 1})
	case "latency":
		return l.toxics("latency", both, map[string]any{"latency": 100, "jitter": 100})
	case "slow":
		return l.toxics("bandwidth", both[:1], map[string]any{"rate": 20})
	}
	return fmt.Errorf("harness: no fault is called %q", fault)
}

func (l *Link) toxics(kind string, streams []string, attributes map[string]any) error {
	for _, stream := range streams {
		name := kind + "-" + stream
		text, err := json.Marshal(map[string]any{"name": name, "type": kind, "stream": stream, "toxicity": 1, "attributes": attributes})
		if err != nil {
			return err
		}
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(string(text))); err != nil {
			return fmt.Errorf("harness: link: %s: %w", kind, err)
		}
		l.names = append(l.names, name)
	}
	return nil
}

// Heal ends the fault.
func (l *Link) Heal() error {
	for _, name := range l.names {
		err := l.remove(name)
		if errors.Is(err, errStuck) {
			err = l.renew()
		}
		if err != nil {
			return fmt.Errorf("harness: link: %w", err)
		}
		if len(l.names) == 0 {
			return nil
		}
	}
	l.names = nil
	if l.up {
		return nil
	}
	if err := l.restart(); err != nil {
		return fmt.Errorf("harness: link: %w", err)
	}
	l.up = true
	return nil
}

// restart has the proxy listen where it, or the one before it, did. A program
// that is just being started may have that socket for a moment.
func (l *Link) restart() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := l.proxy.Start(); err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

var errStuck = errors.New("a toxic is not removed")

// remove ends one toxic. The library may wait for ever: a connection that ends
// just then never takes what the toxic has for it.
func (l *Link) remove(name string) error {
	// A toxic may hold up its own removal while it holds data back.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	done := make(chan error, 1)
	go func(p *toxiproxy.Proxy) {
		defer cancel()
		done <- p.Toxics.RemoveToxic(ctx, name)
	}(l.proxy)
	select {
	case err := <-done:
		return err
	case <-time.After(10 * time.Second):
		return errStuck
	}
}

// renew leaves a proxy that is stuck to itself, and puts a new one in its place.
func (l *Link) renew() error {
	old := l.proxy
	go old.Stop() // closes the listener first, and may never return
	l.proxy, l.names = toxiproxy.NewProxy(l.server, "link", old.Listen, old.Upstream), nil
	return l.restart()
}

// Close ends the proxy and its connections.
func (l *Link) Close() {
	if l.up {
		l.proxy.Stop()
	}
}

// Flap breaks and heals the link at random until ctx ends, and leaves it whole.
// Count says how often each fault came.
func (l *Link) Flap(ctx context.Context, rnd *rand.Rand, count map[string]int) error {
	for ctx.Err() == nil {
		fault := Faults[rnd.IntN(len(Faults))]
		count[fault]++
		if err := l.Break(fault); err != nil {
			return err
		}
		pause(ctx, rnd, 600*time.Millisecond)
		if err := l.Heal(); err != nil {
			return err
		}
		pause(ctx, rnd, 900*time.Millisecond)
	}
	return nil
}

// pause is random, up to most.
func pause(ctx context.Context, rnd *rand.Rand, most time.Duration) {
	select {
	case <-time.After(time.Duration(rnd.Int64N(int64(most)))):
	case <-ctx.Done():
	}
}
