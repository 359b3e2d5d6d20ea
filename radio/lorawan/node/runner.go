package node

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/sim"
)

// RunnerConfig is what a Runner is made with.
type RunnerConfig struct {
	Node     *Node
	Air      *sim.Air
	Name     string // of its antenna, and in logs
	SyncWord byte   // 0: radio.SyncPublic
	// Every is the time between two uplinks, the first of which follows the join
	// at once; 0: only those that Send asks for.
	Every time.Duration
	// Uplink gives the payload of the next one.
	Uplink func() (port int, payload []byte, confirmed bool)
	// Heard is called with each downlink that the device takes, Ignored with the
	// others that reach it; either may be nil. They are called from Run.
	Heard   func(Downlink)
	Ignored func(Received, error)
	// Rejoin is the pause before it asks to join again, of which half to all is
	// taken; 0: 10 s.
	Rejoin time.Duration
	Seed   uint64       // of its pauses
	Log    *slog.Logger // nil: none
}

// Exchange is what came of an uplink.
type Exchange struct {
	Sent      int  // how often it was sent
	ACK       bool // it was acknowledged
	Joined    bool
	Downlinks []Downlink
}

// request is something that Run is asked for.
type request struct {
	join      bool
	port      int
	payload   []byte
	confirmed bool
	done      chan reply
}

type reply struct {
	e   Exchange
	err error
}

// Runner plays a Node on the air. In a testing/synctest bubble, make and run it
// inside of the bubble.
type Runner struct {
	c        RunnerConfig
	n        *Node
	log      *slog.Logger
	rng      *rand.Rand
	heard    chan sim.Reception
	requests chan request
	stopped  chan struct{} // closed when Run ends
	antenna  *sim.Antenna  // from Run on

	mu        sync.Mutex
	listening sim.Listening
	on        bool

	end      time.Time // of the last uplink
	exchange *Exchange // what came of it
}

// ErrStopped is returned by Send and Join when Run ends.
var ErrStopped = errors.New("node: the device does not run")

// NewRunner makes a runner for Run.
func NewRunner(c RunnerConfig) *Runner {
	if c.SyncWord == 0 {
		c.SyncWord = radio.SyncPublic
	}
	if c.Rejoin == 0 {
		c.Rejoin = 10 * time.Second
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Runner{
		c: c, n: c.Node, log: log.With("node", c.Name), rng: rand.New(rand.NewPCG(c.Seed, 1)),
		heard: make(chan sim.Reception, 8), requests: make(chan request), stopped: make(chan struct{}),
	}
}

// Send has the device send a data frame as soon as it can, and returns when that
// is over: its windows are closed, or it is acknowledged or given up.
func (r *Runner) Send(ctx context.Context, port int, payload []byte, confirmed bool) (Exchange, error) {
	return r.ask(ctx, request{port: port, payload: payload, confirmed: confirmed})
}

// Join has the device send one more join request, and returns when its windows are
// closed.
func (r *Runner) Join(ctx context.Context) (Exchange, error) {
	return r.ask(ctx, request{join: true})
}

func (r *Runner) ask(ctx context.Context, q request) (Exchange, error) {
	q.done = make(chan reply, 1)
	select {
	case r.requests <- q:
	case <-r.stopped:
		return Exchange{}, ErrStopped
	case <-ctx.Done():
		return Exchange{}, ctx.Err()
	}
	select {
	case a := <-q.done:
		return a.e, a.err
	case <-ctx.Done():
		return Exchange{}, ctx.Err()
	}
}

// Run has the device join if it must, and send and hear until ctx ends, which is no
// error. It can be called once.
func (r *Runner) Run(ctx context.Context) error {
	defer close(r.stopped)
	r.antenna = r.c.Air.Attach(r.c.Name, r)
	defer r.antenna.Detach()
	defer r.deafen()
	r.rest()
	for !r.n.State().Joined {
		e, err := r.once(ctx, request{join: true})
		if err != nil {
			return quiet(ctx, err)
		}
		if !e.Joined {
			if err := r.wait(ctx, time.Now().Add(r.between(r.c.Rejoin/2, r.c.Rejoin))); err != nil {
				return quiet(ctx, err)
			}
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	if r.c.Every <= 0 {
		next.Stop()
	}
	for {
		var q request
		select {
		case <-ctx.Done():
			return nil
		case rec := <-r.heard:
			r.exchange = nil
			if d, ok := r.hear(rec); ok && (d.Confirmed || d.Pending) {
				if err := r.follow(ctx); err != nil {
					return quiet(ctx, err)
				}
			}
			continue
		case q = <-r.requests:
		case <-next.C:
			next.Reset(r.c.Every)
			q.port, q.payload, q.confirmed = r.c.Uplink()
		}
		e, err := r.once(ctx, q)
		if q.done != nil {
			if ctx.Err() != nil {
				err = ErrStopped
			}
			q.done <- reply{e, err}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			r.log.Debug("uplink failed", "err", err)
			continue
		}
		for _, d := range e.Downlinks {
			if d.Confirmed || d.Pending {
				if err := r.follow(ctx); err != nil {
					return quiet(ctx, err)
				}
				break
			}
		}
	}
}

// quiet drops an error that is the end of ctx.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow sends frames without payload for as long as the network has more, and to
// acknowledge what it sent.
func (r *Runner) follow(ctx context.Context) error {
	for more := true; more; {
		if err := r.wait(ctx, time.Now().Add(r.between(time.Second, 2*time.Second))); err != nil {
			return err
		}
		e, err := r.once(ctx, request{port: frame.NoFPort})
		if err != nil {
			return err
		}
		more = false
		for _, d := range e.Downlinks {
			more = more || d.Confirmed || d.Pending
		}
	}
	return nil
}

// between gives a time by chance.
func (r *Runner) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.rng.Int64N(int64(high-low)+1))
}

// once does one uplink with all its repetitions.
func (r *Runner) once(ctx context.Context, q request) (Exchange, error) {
	var e Exchange
	r.exchange = &e
	defer func() { r.exchange = nil }()
	var u Uplink
	var err error
	if q.join {
		u, err = r.n.JoinRequest()
	} else {
		u, err = r.n.Uplink(q.port, q.payload, q.confirmed)
	}
	if err != nil {
		return e, err
	}
	for {
		e.Sent++
		if err := r.transmit(ctx, u); err != nil {
			return e, err
		}
		if !r.n.Repeats() {
			break
		}
		// ACK_TIMEOUT of all regions is 1 to 3 s behind RX2.
		if err := r.wait(ctx, time.Now().Add(r.between(time.Second, 3*time.Second))); err != nil {
			return e, err
		}
		again, ok := r.n.Retransmit()
		if !ok { // class C heard of it meanwhile
			break
		}
		u = again
	}
	return e, r.wait(ctx, r.end.Add(r.n.PauseAfter(u)))
}
