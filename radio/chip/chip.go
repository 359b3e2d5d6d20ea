package chip

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"fieldgate/radio"
)

// Chip is a transceiver. Its methods, but Check, are called from one goroutine.
// Those that return an error leave the chip in any state; it is then closed and
// opened again.
type Chip interface {
	// Open takes bus and lines, resets the chip and configures it for reception,
	// whatever it did before. It says what chip it is, such as "SX1262".
	Open(ctx context.Context) (string, error)
	// Close has the chip do nothing and lets go of bus and lines, also after an
	// Open that failed half-way. It may be called twice.
	Close() error

	// Receive has the chip listen, until Standby.
	Receive(ctx context.Context) error
	// Standby ends the reception. What has come until then is still told by Poll.
	Standby(ctx context.Context) error
	// Poll asks what happened since the last time.
	Poll(ctx context.Context) (Event, error)
	// Interrupt is a line that rises when a frame has come or was sent; nil: there
	// is none, and Poll is asked often. It is the one of the last Open.
	Interrupt() radio.Input
	// Health looks whether the chip does what it was told to do, while it listens.
	Health(ctx context.Context) error

	// Check tells whether the chip can send t, with one of the errors of package
	// radio. It is called from any goroutine.
	Check(t *radio.Transmission) error
	// Prepare readies everything for t but the start; the chip is in standby.
	Prepare(ctx context.Context, t *radio.Transmission) error
	// Lead is how long it takes from the call of Fire to the first symbol.
	Lead() time.Duration
	// Fire begins to send what was prepared.
	Fire(ctx context.Context) error
}

// Event is what Poll found.
type Event struct {
	// Frame came, with all but Radio, Counter and At; nil: none.
	Frame *radio.Frame
	// Void says that something came that is no frame.
	Void bool
	// Sent says that the transmission has ended.
	Sent bool
	// Arriving says that a frame is on the way: polling more often pays.
	Arriving bool
}

// Config is what a Radio is made of.
type Config struct {
	Name   string // of the radio
	Driver string // such as "sx126x": errors begin with it
	Chip   Chip
	// Tuning is what the chip listens to. Its modulation decides how often the chip
	// is polled, and its preamble is that of transmissions that name none.
	Tuning radio.Tuning
	Log    *slog.Logger // nil: none
}

// The times of the loop.
const (
	// ahead is how long before its first symbol a transmission is prepared. It
	// covers some forty transactions on a slow bus, and a scheduler that is late.
	ahead = 30 * time.Millisecond
	// least is how much of that is needed: what comes later is refused.
	least = 10 * time.Millisecond
	// farthest is how far ahead a transmission may be: what a packet forwarder
	// allows.
	farthest = 128 * time.Second
	// maxQueued is how many transmissions may wait.
	maxQueued = 32
	// gap is what has to be between two transmissions.
	gap = 5 * time.Millisecond
	// grace is how long after its end a transmission may not have been reported.
	grace = 100 * time.Millisecond

	// healthEvery is how often the chip's health is looked at.
	healthEvery = 10 * time.Second
	// settle is how long the chip receives before its health is looked at.
	settle = time.Second
	// quiet is how long nothing is heard until the chip is opened anew, in case it
	// has gone deaf without a sign. It takes some 40 ms.
	quiet = 10 * time.Minute
	// blind is how often a chip with an interrupt is polled all the same: edges can
	// be lost.
	blind = 50 * time.Millisecond
	// arriving is how often one without is polled while a frame comes.
	arriving = time.Millisecond

	// firstPause is the pause after an attempt that found no chip; each one is twice
	// as long as the one before, up to lastPause.
	firstPause = time.Second
	lastPause  = time.Minute
	// shortPause is the first one where the chip has worked, if only for a moment.
	shortPause = 100 * time.Millisecond
)

// Radio implements radio.Radio with a chip.
type Radio struct {
	o       Config
	log     *slog.Logger
	counter radio.Counter
	wake    chan struct{} // the queue has changed

	mu     sync.Mutex
	status radio.Status
	open   bool   // transmissions are taken
	queue  []*job // by start
	active *job
}

var _ radio.Radio = (*Radio)(nil)

// New gives a radio that does nothing until it runs.
func New(o Config) *Radio {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Driver == "" {
		o.Driver = "chip"
	}
	return &Radio{
		o:       o,
		log:     o.Log.With("radio", o.Name),
		counter: radio.NewCounter(),
		wake:    make(chan struct{}, 1),
		status:  radio.Status{Radio: o.Name, Since: time.Now()},
	}
}

// Counter is the radio's count of microseconds at a time.
func (r *Radio) Counter(at time.Time) uint32 { return r.counter.At(at) }

// Status implements radio.Radio.
func (r *Radio) Status() []radio.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []radio.Status{r.status}
}

// count changes the counts.
func (r *Radio) count(f func(*radio.Counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status.Count)
}

// state enters a state; err says why. New says that it is another one than it was.
func (r *Radio) state(s radio.State, err error) (new bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if new = r.status.State != s; new {
		r.status.Since = time.Now()
	}
	r.status.State, r.status.Err = s, err
	return new
}
