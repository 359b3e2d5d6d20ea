package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fieldgate/gateway"
)

// Bounds of Outputs.
const (
	// MaxCommands is how many commands wait for one actuator; then the oldest is
	// dropped.
	MaxCommands = 64
	// longestOutputPause bounds the pause after failures, which begins with
	// firstPause.
	longestOutputPause = time.Minute
	// emergencyWait is how long Emergency waits for actuators that do not return.
	emergencyWait = 900 * time.Millisecond
)

// Setting is what an output is brought to at the start or at the end. The zero
// Setting is off.
type Setting struct {
	Level Level
	// Keep instead of Level. At the start: the state before the restart, off if
	// none is known; at the end: the output is left as it is.
	Keep bool
}

// ParseSetting reads a Setting as the configuration has it: keep, or a level as
// ParseLevel knows them.
func (d *OutputDriver) ParseSetting(text string) (Setting, error) {
	if text == "keep" {
		return Setting{Keep: true}, nil
	}
	raw, err := json.Marshal(text)
	if err != nil {
		return Setting{}, fmt.Errorf("sensors: %w: %w", gateway.ErrBadCommand, err)
	}
	l, err := d.ParseLevel(raw)
	return Setting{Level: l}, err
}

// OutputItem is one actuator of this gateway as configured.
type OutputItem struct {
	Driver   string
	Device   string // whose actuator it is
	Actuator string // its id there
	Options  Options
	Initial  Setting // at the start
	OnStop   Setting // at the end, also at an end in an emergency
	// MaxOn is how long it may be on (above 0 %), 0: no limit. The time counts
	// from when it went on, whatever is asked in between, and goes on through a
	// restart. What is switched on again after it was off may be on for as long
	// again.
	MaxOn time.Duration
}

// OutputStatus tells how one actuator is doing.
type OutputStatus struct {
	Driver, Device, Actuator string
	State                    State
	Err                      error           // why it is Failing or Hanging
	Failures                 int             // in a row
	Since                    time.Time       // of the state
	Level                    Level           // reached last
	Value                    json.RawMessage // Level as it is published; nil: none was reached yet
	Switched                 time.Time       // when Level was reached first; zero: never
}

// OutputsConfig is what Outputs work with. Table, Registry and OnStatus may be
// nil.
type OutputsConfig struct {
	Items []OutputItem
	Board Board
	Hub   Hub
	// Table remembers over a restart which outputs are on and since when. Without
	// it nothing is known at the start.
	Table    gateway.Table
	Clock    gateway.Clock
	Log      *slog.Logger
	Registry *Registry // nil: Builtin
	// OnStatus is called on each change of an actuator's state or level and on
	// each failure, for one actuator in the order in which they happened. It holds
	// up no switching.
	OnStatus func(OutputStatus)
}

// Outputs are the actuators that this gateway switches itself. Each has its own
// goroutines: hardware that hangs stops no other.
//
// Outputs is a gateway.Sink for the commands and a gateway.Actuators for their
// check. What an actuator has reached is submitted to the Hub, after each
// command, at the start and at the end. A failure is not: the actuator is tried
// again, with what was asked last, after growing pauses and as soon as something
// else is asked.
type Outputs struct {
	cfg    OutputsConfig
	ledger *ledger
	list   []*output
	byID   map[outputID]*output

	halted chan struct{} // closed by Emergency
	halt   sync.Once
}

var (
	_ gateway.Sink      = (*Outputs)(nil)
	_ gateway.Actuators = (*Outputs)(nil)
)

type outputID struct{ device, actuator string }

// NewOutputs prepares Outputs. It fails for an unknown driver, for two items of
// one actuator, and for a level or a time that cannot be.
func NewOutputs(c OutputsConfig) (*Outputs, error) {
	if c.Registry == nil {
		c.Registry = Builtin()
	}
	p := &Outputs{cfg: c, ledger: newLedger(c.Table, c.Log), byID: map[outputID]*output{}, halted: make(chan struct{})}
	for _, it := range c.Items {
		d, ok := c.Registry.LookupOutput(it.Driver)
		id := outputID{it.Device, it.Actuator}
		switch {
		case !ok:
			return nil, fmt.Errorf("sensors: there is no output driver %q", it.Driver)
		case p.byID[id] != nil:
			return nil, fmt.Errorf("sensors: actuator %s of device %s is there twice", it.Actuator, it.Device)
		case it.MaxOn < 0:
			return nil, fmt.Errorf("sensors: %s: max_on is %v", it.Driver, it.MaxOn)
		case !it.Initial.valid() || !it.OnStop.valid():
			return nil, fmt.Errorf("sensors: %s: a level that is not 0 to 100", it.Driver)
		}
		o := newOutput(p, it, d)
		p.list = append(p.list, o)
		p.byID[id] = o
	}
	return p, nil
}

func (s Setting) valid() bool { return s.Level >= Off && s.Level <= On }

// Check implements gateway.Actuators: the error is of ParseLevel.
func (p *Outputs) Check(device, actuator string, value json.RawMessage) (owned bool, err error) {
	o := p.byID[outputID{device, actuator}]
	if o == nil {
		return false, nil
	}
	_, err = o.driver.ParseLevel(value)
	return true, err
}

// Deliver implements gateway.Sink: commands to these actuators are queued.
func (p *Outputs) Deliver(b *gateway.Batch, _ []gateway.Record, settled func(error)) {
	if !b.Confirmed {
		for i := range b.Readings {
			p.command(&b.Readings[i])
		}
	}
	settled(nil)
}

func (p *Outputs) command(r *gateway.Reading) {
	if r.Kind != gateway.KindActuator && r.Kind != gateway.KindCommand {
		return
	}
	o := p.byID[outputID{r.Device, r.Channel}]
	if o == nil {
		return
	}
	l, err := o.driver.ParseLevel(r.Value)
	if err != nil { // Check has refused it, unless nobody asked
		o.log.Warn("command is not understood", "err", err)
		return
	}
	if o.commands.put(l) {
		o.dropped()
	}
}

// Status tells how each actuator is doing, in the order of the items.
func (p *Outputs) Status() []OutputStatus {
	out := make([]OutputStatus, len(p.list))
	for i, o := range p.list {
		out[i] = o.snapshot()
	}
	return out
}

// Run switches until ctx ends, then brings the outputs to their OnStop. The Hub
// must take that state still. It returns an error for each output that could not
// be brought there; the error wraps ErrHung if its driver did not return within
// Grace. It is to be called once.
func (p *Outputs) Run(ctx context.Context) error {
	records := p.ledger.read()
	over := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() { p.ledger.run(over) })
	errs := make([]error, len(p.list))
	var switching sync.WaitGroup
	for i, o := range p.list {
		reporting.Go(func() { o.tell(over) })
		switching.Go(func() { errs[i] = o.run(ctx, records[o.key]) })
	}
	<-ctx.Done()
	switching.Wait()
	close(over)
	if !within(Grace, reporting.Wait) {
		p.cfg.Log.Warn("the last states of the actuators were not recorded: the disk does not take them in time")
	}
	return errors.Join(errs...)
}

// Emergency brings the outputs to their OnStop at once, for an end that does not
// let Run return. It may be called from any goroutine, and returns within a
// second even if drivers hang; an output whose driver returns later is set then.
// After it nothing is switched any more.
func (p *Outputs) Emergency() {
	p.halt.Do(func() { close(p.halted) })
	var wg sync.WaitGroup
	for _, o := range p.list {
		if o.began.Load() {
			wg.Go(func() { _ = o.finish() }) // there is nobody left to tell
		}
	}
	within(emergencyWait, wg.Wait)
}

// within runs f, and reports whether it returned in time.
func within(d time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// Release brings outputs to their OnStop and lets go of them, for when the
// gateway has died and could not. It returns an error for each output that could
// not be brought there, ErrHung for one whose driver does not return.
func Release(ctx context.Context, items []OutputItem, board Board) error {
	return release(ctx, items, board, Builtin())
}

func release(ctx context.Context, items []OutputItem, board Board, r *Registry) error {
	p, err := NewOutputs(OutputsConfig{Items: items, Board: board, Registry: r, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	errs := make([]error, len(p.list))
	var wg sync.WaitGroup
	for i, o := range p.list {
		wg.Go(func() { errs[i] = o.retire(ctx, Timeout) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
