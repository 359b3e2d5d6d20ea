package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"fieldgate/gateway"
)

// Broker is the MQTT broker of the local network. Listen is called before Run;
// the other methods at any time, from any goroutine.
type Broker struct {
	hub    Hub
	access Access
	api    API // nil: none
	table  gateway.Table
	marks  Marks
	clock  gateway.Clock
	log    *slog.Logger
	limits Limits
	own    string // "gateways/{id}"

	buffered atomic.Int64 // bytes of memory for what waits for sockets

	cfg Config

	server   *mqtt.Server
	index    index
	retained retained
	count    counters
	notices  notices
	keep     keep
	order    atomic.Uint64 // of outgoing messages
	apiSubs  atomic.Int64  // subscriptions to the API, of all sessions
	under    gauge         // publishes that the Hub has not answered yet
	stopping atomic.Bool
	ran      atomic.Bool
	ticks    chan chan struct{} // Probe asks the loop in Run
	drops    chan struct{}      // of 1: DropDead asks it
	bulk     chan struct{}      // of 1: held by a client that names very many filters

	ctx    context.Context // ends when connections have to
	cancel context.CancelFunc
	wg     sync.WaitGroup // goroutines of listeners and connections

	mu        sync.Mutex
	closed    bool // no connection is let in any more
	listeners []*listener
	conns     map[*conn]bool
	vacancy   chan struct{} // of 1: there may be room for a connection; used without mu
	waiting   int           // connections from which CONNECT has not come
	loggingIn int           // connections between CONNECT and being let in
	online    int
	onlineMax int
	seq       uint64
	sessions  map[string]*session
	slots     map[string]*slot
}

// keep is what waits for the disk.
type keep struct {
	mu      sync.Mutex
	dirty   []*session
	waiting []func(error)
	stopped bool
	kick    chan struct{}

	// whole is held for reading while a message and the identifier it came with
	// change together, and for writing while changes are collected.
	whole sync.RWMutex
}

// New makes a broker and reads the sessions and retained messages that
// cfg.Table has kept.
func New(cfg Config) (*Broker, error) {
	cfg.Limits.setDefaults()
	if err := cfg.Limits.check(); err != nil {
		return nil, fmt.Errorf("broker: limits: %w", err)
	}
	if err := gateway.CheckID(cfg.ID); err != nil {
		return nil, fmt.Errorf("broker: id of the gateway: %w", err)
	}
	if cfg.Hub == nil || cfg.Access == nil {
		return nil, errors.New("broker: needs a Hub and an Access")
	}
	if cfg.Clock == nil {
		cfg.Clock = gateway.NewSystemClock()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Marks == nil {
		cfg.Marks = noMarks{}
	}
	caps := mqtt.NewDefaultServerCapabilities()
	caps.MaximumMessageExpiryInterval = 0
	caps.TopicAliasMaximum = 0
	caps.MaximumClientWritesPending = 1 // nothing is ever queued there
	caps.MaximumPacketSize = uint32(cfg.Limits.PacketSize)
	caps.ReceiveMaximum = uint16(cfg.Limits.ReceiveMaximum)
	caps.Compatibilities.NoInheritedPropertiesOnAck = true
	b := &Broker{
		hub: cfg.Hub, access: cfg.Access, api: cfg.API, table: cfg.Table, marks: cfg.Marks, clock: cfg.Clock, log: cfg.Logger,
		limits: cfg.Limits, own: "gateways/" + cfg.ID, cfg: cfg,
		retained: retained{maxN: cfg.Limits.Retained, maxBytes: int64(cfg.Limits.RetainedBytes), dirty: map[string]bool{}},
		keep:     keep{kick: make(chan struct{}, 1)},
		ticks:    make(chan chan struct{}),
		drops:    make(chan struct{}, 1),
		bulk:     make(chan struct{}, 1),
		conns:    map[*conn]bool{},
		sessions: map[string]*session{},
		slots:    map[string]*slot{},
		vacancy:  make(chan struct{}, 1),
		// Serve is never called: mochi's listeners, its event loop and its $SYS
		// stay asleep. Its log would show whole packets.
		server: mqtt.New(&mqtt.Options{
			Capabilities:           caps,
			Logger:                 slog.New(slog.DiscardHandler),
			SysTopicResendInterval: math.MaxInt32,
			// It reads one packet, out of memory (greeting).
			ClientNetReadBufferSize: 64,
		}),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if err := b.server.AddHook(&hooks{b: b}, nil); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.restore()
	b.recall()
	return b, nil
}

// mono is the monotonic time that all waiting is measured in: a clock that is
// set wrong or jumps ends no session and keeps none.
func (b *Broker) mono() time.Duration { return b.clock.Now().Mono }

// caught keeps a panic from ending the process.
func (b *Broker) caught(where string) {
	if r := recover(); r != nil {
		b.count.panics.Add(1)
		b.log.Error("panic caught", "where", where, "panic", r, "stack", string(debug.Stack()))
	}
}

// Run serves until ctx ends. Then it publishes the wills of those who are
// connected, waits a moment for publishes that the Hub has not answered yet,
// disconnects the clients (MQTT 5: "server shutting down") and writes the
// sessions to disk. It returns when nothing of it is running any more. It can
// be called once.
func (b *Broker) Run(ctx context.Context) error {
	if b.ran.Swap(true) {
		return errors.New("broker: run twice")
	}
	keepCtx, stopKeeping := context.WithCancel(context.Background())
	defer stopKeeping()
	kept := make(chan struct{})
	go func() { defer close(kept); b.keepLoop(keepCtx) }()
	b.mu.Lock()
	for _, l := range b.listeners {
		b.wg.Add(1)
		go func() { defer b.wg.Done(); b.accepting(l) }()
	}
	b.mu.Unlock()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; {
		select {
		case <-tick.C:
			n++
			b.housekeep()
			if n%sysEvery == 0 {
				b.publishSys()
			}
		case <-b.drops:
			b.dropDead()
		case answer := <-b.ticks:
			close(answer)
		case <-ctx.Done():
		}
	}
	b.shutdown()
	stopKeeping()
	<-kept
	return nil
}

// shutdown ends all connections.
func (b *Broker) shutdown() {
	b.mu.Lock()
	b.closed = true
	for _, l := range b.listeners {
		_ = l.Close()
	}
	b.mu.Unlock()
	b.stopping.Store(true)
	b.fireAll()
	b.under.wait(b.limits.ShutdownTimeout)
	b.cancel()
	for _, c := range b.allConns() {
		c.goodbye(codeShutdown, "")
		_ = c.Close()
	}
	b.wg.Wait()
	_ = b.server.Close()
}

func (b *Broker) allConns() []*conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		out = append(out, c)
	}
	return out
}

// housekeep does what is due once a second: lapsed sessions, wills that
// waited, expired messages, clients whose accounts are gone.
func (b *Broker) housekeep() {
	defer b.caught("housekeeping")
	now := b.mono()
	for _, s := range b.allSessions() {
		s.overdue(now)
		s.purge(now)
	}
	b.noteRemaining(now - refreshMeta)
	b.retained.expire(now)
	b.dropDead()
}

// DropDead has the sessions ended, and the connections closed, of accounts and
// keys that are gone. It does not block, and happens once a second anyhow.
func (b *Broker) DropDead() {
	select {
	case b.drops <- struct{}{}:
	default:
	}
}

func (b *Broker) dropDead() {
	defer b.caught("housekeeping")
	live := map[string]bool{}
	for _, s := range b.allSessions() {
		name := s.subject.String()
		ok, known := live[name]
		if !known {
			ok = b.access.Live(s.subject)
			live[name] = ok
		}
		if ok {
			continue
		}
		if c := s.connection(); c != nil {
			b.count.closed.add("account_gone")
			c.goodbye(codeAdministrative, "the account or key is gone")
		}
		b.end(s)
	}
}

// Recovered closes the connections of clients whose publishes were left
// unacknowledged because of the disk, so that they come back and send them
// again. It is called when the log takes records again.
func (b *Broker) Recovered() {
	for _, c := range b.allConns() {
		if c.unkept.Load() {
			b.count.closed.add("to_resend")
			c.goodbye(codeBusy, "send again what was not acknowledged")
			_ = c.Close()
		}
	}
}

// Probe sends a message through routing and back, and passes through the loop
// that looks after sessions: nil shows that both move.
func (b *Broker) Probe(ctx context.Context) error {
	s := &session{b: b, probe: make(chan struct{}, 1)}
	sub := &subscription{sess: s, filter: "$SYS/broker/probe"}
	b.index.add(sub)
	defer b.index.remove(sub)
	b.route(&draft{of: &gateway.Message{Topic: sub.filter}, made: &message{topic: sub.filter, reach: reachStatus}})
	select {
	case <-s.probe:
	case <-ctx.Done():
		return fmt.Errorf("broker: probe: routing: %w", ctx.Err())
	}
	answer := make(chan struct{})
	select {
	case b.ticks <- answer:
		<-answer
		return nil
	case <-ctx.Done():
		return fmt.Errorf("broker: probe: housekeeping: %w", ctx.Err())
	}
}

func (s *session) probed() {
	select {
	case s.probe <- struct{}{}:
	default:
	}
}

// Addr is one address that the broker listens on.
type Addr struct {
	TLS  bool
	Addr net.Addr
}

// Addrs lists the addresses in the order of Listen.
func (b *Broker) Addrs() []Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Addr
	for _, l := range b.listeners {
		out = append(out, Addr{TLS: l.kind == kindTLS, Addr: l.Addr()})
	}
	return out
}

// gauge counts what is under way and can wait for nothing to be.
type gauge struct {
	mu   sync.Mutex
	n    int
	zero chan struct{}
}

func (g *gauge) add() {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
}

func (g *gauge) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.zero != nil {
		close(g.zero)
		g.zero = nil
	}
}

// wait waits for at most timeout.
func (g *gauge) wait(timeout time.Duration) {
	g.mu.Lock()
	if g.n == 0 {
		g.mu.Unlock()
		return
	}
	if g.zero == nil {
		g.zero = make(chan struct{})
	}
	zero := g.zero
	g.mu.Unlock()
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-zero:
	case <-t.C:
	}
}
