package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/semtech/fakeforwarder"
	"fieldgate/radio/semtech/gwmp"
)

// field is nodes, each with a packet forwarder nearby, which live on while the
// gateway is killed. It keeps what ever left, and says what must not have.
type field struct {
	t *testing.T

	mu      sync.Mutex
	changed chan struct{} // closed when something has happened
	faults  []string
	downs   map[string]string // the frame of each DevAddr and FCntDown
	accepts map[string]int    // by device and DevNonce, JoinNonce
	values  map[int]int       // how often each reading came
	again   map[int]int       // those that came once more at a start
	started bool
	steps   int
	count   map[string]int
}

// push is a frame that the forwarder heard.
type push struct {
	node   *fieldNode
	up     node.Uplink
	value  int
	replay bool
}

// fieldNode is one of the nodes.
type fieldNode struct {
	name    string
	n       *node.Node
	fw      *fakeforwarder.Forwarder
	pushes  map[uint32]*push // by the counter at their end
	pulls   int              // acknowledged
	key     frame.Key
	sure    bool // commands are confirmed
	end     uint32
	sending bool
	heard   int   // downlinks
	acks    []int // values that were acknowledged
	history []*push
	orders  [2]order // the last command of each actuator
}

// order is a command.
type order struct {
	number         int
	puback         bool
	emitted, heard bool
}

// settled reports whether a further command may follow without taking its place.
func (o *order) settled(sure bool) bool { return !o.puback || o.heard || o.emitted && !sure }

func newField(t *testing.T) *field {
	return &field{t: t, changed: make(chan struct{}), downs: map[string]string{}, accepts: map[string]int{}, values: map[int]int{}, again: map[int]int{}, count: map[string]int{}}
}

// near gives nd its packet forwarder.
func (f *field) near(nd *fieldNode, eui, server string) {
	nd.pushes = map[uint32]*push{}
	fw, err := fakeforwarder.New(fakeforwarder.Config{Server: server, EUI: must(gwmp.ParseEUI(eui))(f.t), Keepalive: 200 * time.Millisecond,
		Emit: func(e fakeforwarder.Emission) { f.emitted(nd, e) },
		Lost: func(fakeforwarder.Emission) { f.note("lost") },
		In: func(d gwmp.Datagram) fakeforwarder.Fault {
			switch d.Kind {
			case gwmp.PullAck:
				f.mu.Lock()
				nd.pulls++
				f.wake()
				f.mu.Unlock()
			case gwmp.PullResp:
				f.note("PULL_RESP")
			case gwmp.PushAck:
				f.note("PUSH_ACK")
			}
			return fakeforwarder.Fault{}
		}})
	if err != nil {
		f.t.Fatal(err)
	}
	nd.fw = fw
	ctx, cancel := context.WithCancel(context.Background())
	done := after(func() error { return fw.Run(ctx) })
	f.t.Cleanup(func() { cancel(); <-done })
}

// wake needs mu.
func (f *field) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// note counts a step.
func (f *field) note(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[what]++
	f.steps++
	f.wake()
}

// fault notes what must not be. It needs mu.
func (f *field) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// await waits until ok, which has mu, or until ctx ends.
func (f *field) await(ctx context.Context, ok func() bool) bool {
	for {
		f.mu.Lock()
		done, changed := ok(), f.changed
		f.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// emitted takes a frame that left.
func (f *field) emitted(nd *fieldNode, e fakeforwarder.Emission) {
	f.note("left")
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.wake()
	kind, err := frame.KindOf(e.Payload)
	if err != nil {
		f.fault("%x left: %v", e.Payload, err)
		return
	}
	first, second := uint32(1e6), uint32(2e6)
	if kind == frame.JoinAccept {
		first, second = 5e6, 6e6
	}
	p := nd.pushes[e.Counter-first]
	if p == nil {
		p = nd.pushes[e.Counter-second]
	}
	if p == nil {
		f.fault("%x left in nobody's window", e.Payload)
		return
	}
	if kind == frame.JoinAccept {
		f.accept(p, e.Payload)
	} else {
		f.down(p, e.Payload)
	}
	if p.replay || nd.sending {
		f.count["missed"]++
		return
	}
	d, err := nd.n.Downlink(node.Received{Frame: e.Payload, Frequency: e.Frequency, Modulation: e.Modulation,
		After: time.Duration(int32(e.Counter-nd.end)) * time.Microsecond, SNR: 5})
	switch {
	case errors.Is(err, node.ErrDeaf): // it has moved on
		f.count["missed"]++
		return
	case err != nil:
		f.fault("%s refuses %x: %v", nd.name, e.Payload, err)
		return
	}
	nd.heard++
	if d.Joined {
		f.count["joined"]++
	}
	if d.ACK {
		nd.acks = append(nd.acks, p.value)
	}
	if o := nd.order(d.Payload); o != nil {
		o.heard = true
	}
}

// accept takes a join accept for p. It needs mu.
func (f *field) accept(p *push, b []byte) {
	a, err := frame.ParseAccept(b, p.node.key)
	j, err2 := frame.ParseJoin(p.up.Frame)
	if err != nil || err2 != nil {
		f.fault("%s: accept %v, request %v", p.node.name, err, err2)
		return
	}
	f.count["accepts"]++
	for _, key := range []string{fmt.Sprintf("%s JoinNonce %d", p.node.name, a.JoinNonce), fmt.Sprintf("%s accept for DevNonce %d", p.node.name, j.DevNonce)} {
		if f.accepts[key]++; f.accepts[key] > 1 {
			f.fault("%s: %d times", key, f.accepts[key])
		}
	}
}

// down takes a data frame. It needs mu.
func (f *field) down(p *push, b []byte) {
	d, err := frame.ParseData(b)
	if err != nil {
		f.fault("%x: %v", b, err)
		return
	}
	f.count["downlinks"]++
	key := fmt.Sprintf("%s FCntDown %d", d.DevAddr, d.FCnt)
	if before, ok := f.downs[key]; ok && before != string(b) {
		f.fault("%s of %s for two frames: %x and %x", key, p.node.name, before, b)
	} else if ok {
		f.fault("%s of %s sent twice", key, p.node.name)
	}
	f.downs[key] = string(b)
	if s := p.node.n.State(); s.DevAddr == d.DevAddr && d.FPort > 0 {
		if o := p.node.order(frame.Decrypt(&d, s.AppSKey, uint32(d.FCnt))); o != nil {
			o.emitted = true
		}
	}
}

// order finds the command that a payload is.
func (nd *fieldNode) order(b []byte) *order {
	if len(b) != 3 || int(b[0]) >= len(nd.orders) {
		return nil
	}
	if o := &nd.orders[b[0]]; o.number == int(b[1])<<8|int(b[2]) {
		return o
	}
	return nil
}

// uplink has nd send what build makes.
func (f *field) uplink(ctx context.Context, nd *fieldNode, value int, build func() (node.Uplink, error)) (*push, error) {
	f.mu.Lock()
	nd.sending = true
	f.mu.Unlock()
	u, err := build()
	if err != nil {
		return nil, err
	}
	p := &push{node: nd, up: u, value: value}
	end, err := f.push(ctx, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	nd.end, nd.sending = end, false
	nd.history = append(nd.history, p)
	f.wake()
	return p, err
}

// push has the forwarder hear p. The counter is good in spite of an error.
func (f *field) push(ctx context.Context, p *push) (uint32, error) {
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m := p.up.Modulation
	m.CodingRate = 5
	end, err := p.node.fw.Push(within, radio.Frame{Payload: p.up.Frame, Frequency: p.up.Frequency, Modulation: m, RSSI: -80, SNR: 5, CRC: radio.CRCOK})
	f.mu.Lock()
	defer f.mu.Unlock()
	p.node.pushes[end] = p
	return end, err
}

// replay has somebody send a frame again who recorded it.
func (f *field) replay(ctx context.Context, p *push) {
	again := *p
	again.replay = true
	f.note("replays")
	_, _ = f.push(ctx, &again)
}

var readingValue = regexp.MustCompile(`"value":(\d+)`)

// listen takes what the gateway's subscribers are told.
func (f *field) listen(g *gatewayProcess, id string) mqtt.Client {
	c := dial(f.t, g.mqtt, id)
	tok := c.Subscribe("devices/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		if m.Retained() || !strings.HasSuffix(m.Topic(), "/sensors/n/value") {
			return
		}
		found := readingValue.FindSubmatch(m.Payload())
		if found == nil {
			return
		}
		v, _ := strconv.Atoi(string(found[1]))
		f.note("readings")
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.values[v]++; f.values[v] == 1 {
			return
		}
		if f.again[v]++; f.started || f.again[v] > 1 {
			f.fault("reading %d came %d times", v, f.values[v])
		}
		f.count["readings handed on again"]++
		f.wake()
	})
	if !tok.WaitTimeout(patience) || tok.Error() != nil {
		f.t.Fatalf("subscribe: %v", tok.Error())
	}
	return c
}
