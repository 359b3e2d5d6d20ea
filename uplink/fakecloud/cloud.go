package fakecloud

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"fieldgate/gateway/access"
	"fieldgate/gateway/freeport"
)

// Message is what a client published.
type Message struct {
	Client  string
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	Dup     bool
	Will    bool // published by the broker for a client that was lost
}

// Verdict says what happens to a message that a client publishes.
type Verdict uint8

// The verdicts.
const (
	Accept     Verdict = iota // taken, acknowledged, handed on
	Silence                   // taken and handed on, never acknowledged
	Ignore                    // not taken, not acknowledged
	Close                     // not taken; the connection is closed abruptly
	CloseAfter                // taken and handed on; the connection is closed before the acknowledgement
)

// Options of a Cloud. The zero value is fine.
type Options struct {
	Address string // to listen on; default a free port of 127.0.0.1
	Keep    int    // messages remembered for Messages, the newest; default 1,000,000
	// Policy decides about each message that a client publishes, before anything
	// else happens to it, one call at a time. It must not call the Cloud. Nil
	// accepts.
	Policy func(Message) Verdict
}

// Cloud is the broker. Its methods may be called from any goroutine.
type Cloud struct {
	opts Options
	addr string

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced with each event
	listener  net.Listener
	conns     map[*conn]struct{}
	sessions  map[string]*session
	retained  map[string]Message
	messages  []Message
	total     uint64
	connects  map[string]int
	refused   []string // filters of RefuseTopic
	unsub     []string // filters of RefuseSubscription
	onMessage func(Message)
	holding   bool          // HoldAcks
	deaf      chan struct{} // StopReading: closed when reading goes on; nil: it does
	up        bool
	closed    bool
	release   func() // gives the port back
	wg        sync.WaitGroup
}

// New listens.
func New(opts Options) (*Cloud, error) {
	release := func() {}
	if opts.Address == "" {
		port, err := freeport.Take() // SetLink comes back to it
		if err != nil {
			return nil, fmt.Errorf("fakecloud: %w", err)
		}
		opts.Address = fmt.Sprintf("127.0.0.1:%d", port)
		release = func() { freeport.Release(port) }
	}
	if opts.Keep == 0 {
		opts.Keep = 1_000_000
	}
	c := &Cloud{
		opts: opts, release: release, changed: make(chan struct{}), conns: map[*conn]struct{}{},
		sessions: map[string]*session{}, retained: map[string]Message{}, connects: map[string]int{},
	}
	l, err := net.Listen("tcp", opts.Address)
	if err != nil {
		release()
		return nil, fmt.Errorf("fakecloud: %w", err)
	}
	c.addr = l.Addr().String()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serve(l)
	return c, nil
}

// serve accepts on l. It is called with c.mu held.
func (c *Cloud) serve(l net.Listener) {
	c.listener, c.up = l, true
	c.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			c.start(nc)
		}
	})
}

// start serves a connection, unless the link is down by now.
func (c *Cloud) start(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.up {
		reset(nc)
		return
	}
	cn := newConn(c, nc)
	c.conns[cn] = struct{}{}
	c.wg.Go(cn.write)
	c.wg.Go(cn.run)
}

// reset closes abruptly, without the polite end of TCP.
func reset(nc net.Conn) {
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = nc.Close()
}

// Addr is the address that it listens on, host:port.
func (c *Cloud) Addr() string { return c.addr }

// URL is the broker's URL for clients.
func (c *Cloud) URL() string { return "mqtt://" + c.addr }

// Close ends everything.
func (c *Cloud) Close() error {
	c.SetLink(false)
	c.mu.Lock()
	release := c.release
	c.closed, c.release = true, func() {}
	c.hear()
	c.mu.Unlock()
	c.wg.Wait()
	release()
	return nil
}

// SetLink takes the link away (the listener and all connections are closed
// abruptly; wills are published) or brings it back on the same port. It panics
// if somebody took the port meanwhile.
func (c *Cloud) SetLink(up bool) {
	c.mu.Lock()
	if up == c.up || c.closed {
		c.mu.Unlock()
		return
	}
	if up {
		defer c.mu.Unlock()
		l, err := freeport.ListenAgain(c.addr)
		if err != nil {
			panic(fmt.Sprintf("fakecloud: the port is gone: %v", err))
		}
		c.serve(l)
		c.event()
		return
	}
	c.up = false
	_ = c.listener.Close()
	lost := make([]*conn, 0, len(c.conns))
	for cn := range c.conns {
		lost = append(lost, cn)
	}
	c.event()
	c.mu.Unlock()
	for _, cn := range lost {
		cn.kill()
		<-cn.ended
	}
}

// Disconnect closes a client's connection abruptly; its will is published.
func (c *Cloud) Disconnect(client string) {
	c.mu.Lock()
	var cn *conn
	if s := c.sessions[client]; s != nil {
		cn = s.conn
	}
	c.mu.Unlock()
	if cn != nil {
		cn.kill()
		<-cn.ended
	}
}

// HoldAcks holds PUBACK, PUBREC and PUBCOMP back, or lets them go.
func (c *Cloud) HoldAcks(hold bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = hold
	if !hold {
		for cn := range c.conns {
			cn.release()
		}
	}
	c.event()
}

// StopReading leaves unread what clients send while connections stay open, as a
// host that has hung does, or goes on reading.
func (c *Cloud) StopReading(stop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stop && c.deaf == nil {
		c.deaf = make(chan struct{})
	} else if !stop {
		c.hear()
	}
	c.event()
}

func (c *Cloud) hear() {
	if c.deaf != nil {
		close(c.deaf)
		c.deaf = nil
	}
}

// RefuseTopic closes the connection of each client that publishes on a topic
// that matches filter, without taking the message. An empty filter ends all
// refusals.
func (c *Cloud) RefuseTopic(filter string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if filter == "" {
		c.refused = nil
		return
	}
	c.refused = append(c.refused, filter)
}

// RefuseSubscription answers subscriptions to exactly this filter with a
// refusal (MQTT 3.1.1 section 3.9.3). An empty filter ends all refusals.
func (c *Cloud) RefuseSubscription(filter string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if filter == "" {
		c.unsub = nil
		return
	}
	c.unsub = append(c.unsub, filter)
}

func (c *Cloud) denied(filter string) bool { return slices.Contains(c.unsub, filter) }

// OnMessage calls fn with each message that was taken, wills included, one call
// at a time. It must not call the Cloud.
func (c *Cloud) OnMessage(fn func(Message)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onMessage = fn
}

// Messages gives the messages taken, oldest first, at most Options.Keep.
func (c *Cloud) Messages() []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Message(nil), c.messages...)
}

// Total is the number of messages taken since the start.
func (c *Cloud) Total() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total
}

// Retained gives the retained message of a topic.
func (c *Cloud) Retained(topic string) (Message, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.retained[topic]
	return m, ok
}

// Connected reports whether a client is connected.
func (c *Cloud) Connected(client string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sessions[client]
	return s != nil && s.conn != nil
}

// Connects is how often a client has connected.
func (c *Cloud) Connects(client string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connects[client]
}

// Subscriptions gives a client's filters with their QoS.
func (c *Cloud) Subscriptions(client string) map[string]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]byte{}
	if s := c.sessions[client]; s != nil {
		for f, q := range s.filters {
			out[f] = q
		}
	}
	return out
}

// Unacknowledged is how many messages wait for a client, sent or not.
func (c *Cloud) Unacknowledged(client string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[client]; s != nil {
		return len(s.queue)
	}
	return 0
}

// Publish publishes from the cloud's side, as one of its own applications does.
func (c *Cloud) Publish(topic string, payload []byte, qos byte, retain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.route(Message{Topic: topic, Payload: payload, QoS: qos, Retain: retain})
	c.event()
}

// WaitFor waits until is reports true: it is asked now and after each event.
func (c *Cloud) WaitFor(ctx context.Context, is func() bool) error {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if is() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("fakecloud: %w", ctx.Err())
		}
	}
}

// event wakes those who wait. It is called with c.mu held.
func (c *Cloud) event() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// take records a message and hands it on. It is called with c.mu held.
func (c *Cloud) take(m Message) {
	if len(c.messages) >= c.opts.Keep {
		c.messages = append(c.messages[:0:0], c.messages[len(c.messages)-c.opts.Keep/2:]...)
	}
	c.messages = append(c.messages, m)
	c.total++
	c.route(m)
	if c.onMessage != nil {
		c.onMessage(m)
	}
	c.event()
}

// route keeps m if it is to be retained and gives it to those who subscribed.
// It is called with c.mu held.
func (c *Cloud) route(m Message) {
	if m.Retain {
		if len(m.Payload) == 0 {
			delete(c.retained, m.Topic)
		} else {
			c.retained[m.Topic] = m
		}
	}
	for _, s := range c.sessions {
		if qos, ok := s.grants(m.Topic); ok {
			live := m
			live.QoS, live.Retain = min(m.QoS, qos), false
			s.deliver(live)
		}
	}
}

// judge decides about a message. It is called with c.mu held.
func (c *Cloud) judge(m Message) Verdict {
	for _, f := range c.refused {
		if access.MatchTopic(f, m.Topic) {
			return Close
		}
	}
	if c.opts.Policy != nil {
		return c.opts.Policy(m)
	}
	return Accept
}

// connectTimeout is how long a client may take to send CONNECT.
const connectTimeout = 10 * time.Second
