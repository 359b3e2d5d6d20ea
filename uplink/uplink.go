package uplink

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
)

// Uplink sends the log to one cloud and brings its commands down. Several run
// side by side and know nothing of each other.
type Uplink struct {
	cfg      Config
	endpoint endpoint
	enc      encoder
	log      *slog.Logger
	echoes   echoes
	refusals sparing

	paces paces
	mark  string // stands for payloads that are too large, see frames

	// Of the data connection's goroutine alone:
	session   uint64              // the last number
	unused    bool                // no cloud has seen it
	firstUp   time.Time           // when the first connection stood
	suspect   suspect             // the record that connections die on
	abandoned map[uint64]struct{} // records sent and not acknowledged on connections that are gone
	gaps      map[uint64]struct{} // gaps that were logged and are still ahead of the cursor

	refresh chan struct{} // asks for a look at the status
	devices chan struct{} // the devices have changed

	counts counters
	wg     sync.WaitGroup // sessions that are being buried

	mu      sync.Mutex
	acked   progress
	state   State      // without what counts holds
	stateMu sync.Mutex // one OnState at a time
}

type counters struct {
	sent, acked, resent, deadLettered    atomic.Uint64
	settled, gaps                        atomic.Uint64
	commands, refused, echoes, forwarded atomic.Uint64
	inFlight                             atomic.Int64
}

// State is how an uplink is doing.
type State struct {
	Name      string
	Connected bool      // the cloud has acknowledged this connection's birth
	Since     time.Time // wall clock of the last change of Connected
	LastError string    // why the last attempt or connection ended; "" while all is well
	Session   uint64    // number of the present or last connection

	DownConnected bool   // the connection for commands
	DownLastError string // as LastError

	Sent         uint64 // publishes of records; a batch counts once
	Acked        uint64 // of those acknowledged; nothing is at QoS 0
	Resent       uint64 // of those sent, publishes that an earlier connection had sent already
	DeadLettered uint64 // records set aside because the cloud refuses them
	Gaps         uint64 // gaps in the log that could be told nowhere but in the gateway's own log (dialect Xively)
	InFlight     int    // sent and not acknowledged
	Backlog      uint64 // records on disk that are not acknowledged

	Commands  uint64 // commands and changes taken over from the cloud
	Forwarded uint64 // messages taken over from the cloud by Forward rules
	Refused   uint64 // messages from the cloud that were refused
	Echoes    uint64 // own publishes that came back and were dropped
}

// New checks cfg. All mistakes in it are reported at once.
func New(cfg Config) (*Uplink, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	u := &Uplink{
		cfg: cfg,
		enc: encoder{name: cfg.Name, gatewayID: cfg.GatewayID, dialect: cfg.Dialect,
			ids: cfg.IDs, filter: cfg.Filter, forward: cfg.Forward, xively: cfg.Xively, feed: cfg.Feed},
		log:     cfg.Logger,
		refresh: make(chan struct{}, 1),
		devices: make(chan struct{}, 1),
		state:   State{Name: cfg.Name},

		paces:     defaultPaces,
		mark:      rand.Text(),
		abandoned: map[uint64]struct{}{},
		gaps:      map[uint64]struct{}{},
	}
	u.endpoint, _ = parseURL(cfg.URL)
	u.echoes.init(cfg.GatewayID)
	return u, nil
}

// Name is that of the configuration.
func (u *Uplink) Name() string { return u.cfg.Name }

// Run keeps the uplink going until ctx ends, and returns nil then. It stops
// cleanly within a few seconds: what is in flight gets a moment to be
// acknowledged, the retained status becomes offline, both connections are
// closed politely. It is called once.
func (u *Uplink) Run(ctx context.Context) error {
	u.loadCursor()
	u.echoes.listen(u.downFilters())
	var loops sync.WaitGroup
	loops.Go(func() { u.runData(ctx) })
	if u.listens() {
		loops.Go(func() { u.runDown(ctx) })
	}
	loops.Wait()
	u.wg.Wait()
	return nil
}

// Refresh asks for a look at the status now instead of in some seconds, because
// something in it may have changed. It does not wait.
func (u *Uplink) Refresh() { kick(u.refresh) }

// DevicesChanged tells that Config.Devices gives something else now. It does
// not wait.
func (u *Uplink) DevicesChanged() { kick(u.devices) }

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// State is how the uplink is doing now.
func (u *Uplink) State() State {
	u.mu.Lock()
	s := u.state
	u.mu.Unlock()
	s.Backlog, _ = u.behind()
	s.Sent, s.Acked = u.counts.sent.Load(), u.counts.acked.Load()
	s.Resent, s.DeadLettered = u.counts.resent.Load(), u.counts.deadLettered.Load()
	s.Gaps = u.counts.gaps.Load()
	s.InFlight = int(u.counts.inFlight.Load())
	s.Commands, s.Forwarded = u.counts.commands.Load(), u.counts.forwarded.Load()
	s.Refused, s.Echoes = u.counts.refused.Load(), u.counts.echoes.Load()
	return s
}

// update changes the state and tells OnState if it is news.
func (u *Uplink) update(change func(*State)) {
	u.stateMu.Lock()
	defer u.stateMu.Unlock()
	u.mu.Lock()
	before := u.state
	change(&u.state)
	if u.state.Connected != before.Connected {
		u.state.Since = u.cfg.Clock.Now().Wall
	}
	news := u.state != before
	u.mu.Unlock()
	if news && u.cfg.OnState != nil {
		u.cfg.OnState(u.State())
	}
}

// loadCursor takes the cursor from the log.
func (u *Uplink) loadCursor() {
	c := u.cfg.Log.Cursor(u.cfg.Name)
	p := progress{gateway.Cursor{Next: max(c.Next, 1)}}
	for _, r := range c.Done {
		p.done(r)
	}
	u.mu.Lock()
	u.acked = p
	u.mu.Unlock()
	if head := u.cfg.Log.Head(); p.Next > head+1 {
		u.log.Warn("the cursor is beyond the log: was the log replaced?", "next", p.Next, "head", head)
	}
}

// advance marks records as acknowledged and tells the log.
func (u *Uplink) advance(ranges ...gateway.Range) {
	u.mu.Lock()
	for _, r := range ranges {
		u.acked.done(r)
	}
	c := u.acked.snapshot()
	u.mu.Unlock()
	u.cfg.Log.SetCursor(u.cfg.Name, c)
}

// missing lists what is not acknowledged up to and including to.
func (u *Uplink) missing(to uint64) []gateway.Range {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.acked.missing(to)
}

// wait lets d pass. It reports whether ctx is still good.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// bury waits in the background for the rests of a failed session.
func (u *Uplink) bury(s *session) { u.wg.Go(s.reap) }
