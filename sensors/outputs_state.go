package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
)

// recordWait is how long switching on waits until its time is recorded.
const recordWait = 2 * time.Second

// errEnded is for switching that comes after the output's end.
var errEnded = errors.New("sensors: the output is at its end")

// output is one actuator. What has no other owner belongs to run.
type output struct {
	item   OutputItem
	driver *OutputDriver
	key    string // in the table
	env    Env
	log    *slog.Logger
	hub    Hub
	clock  gateway.Clock
	ledger *ledger
	halted <-chan struct{}

	commands mailbox[Level]
	reports  mailbox[report]
	onStatus func(OutputStatus)

	began atomic.Bool // run was called

	turn  chan struct{} // held by who uses the hardware: it guards act and ended
	act   Actuator      // nil: not open
	ended bool          // OnStop was reached: nothing is switched any more

	tried   bool // once, with Initial
	reached bool // asked was reached
	asked   Level
	reason  string // why, if nobody asked
	level   Level  // reached last
	onAt    time.Time
	pause   time.Duration
	retryAt time.Time
	stored  *outputRecord // nil: none
	logged  quiet

	mu      sync.Mutex
	status  OutputStatus
	flooded time.Time // when it was logged that commands are dropped; zero: never
}

func newOutput(p *Outputs, it OutputItem, d *OutputDriver) *output {
	return &output{
		item:     it,
		driver:   d,
		key:      it.Device + "/" + it.Actuator,
		env:      Env{Device: it.Device, Sensor: it.Actuator, Now: time.Now, Board: p.cfg.Board, Last: nothing},
		log:      p.cfg.Log.With("driver", it.Driver, "device", it.Device, "actuator", it.Actuator),
		hub:      p.cfg.Hub,
		clock:    p.cfg.Clock,
		ledger:   p.ledger,
		halted:   p.halted,
		commands: newMailbox[Level](MaxCommands),
		reports:  newMailbox[report](2 * MaxCommands),
		onStatus: p.cfg.OnStatus,
		turn:     make(chan struct{}, 1),
		status:   OutputStatus{Driver: it.Driver, Device: it.Device, Actuator: it.Actuator},
	}
}

func nothing(string) (json.RawMessage, bool) { return nil, false }

// run switches until ctx ends or Emergency is called, then ends the output.
func (o *output) run(ctx context.Context, last recalled) error {
	o.began.Store(true)
	o.begin(last)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for !o.over(ctx) && o.choose() {
			o.attempt(ctx)
		}
		timer.Reset(o.idle())
		select {
		case <-ctx.Done():
			return o.end()
		case <-o.halted:
			return o.end()
		case <-timer.C:
		case <-o.commands.wake:
		}
	}
}

func (o *output) over(ctx context.Context) bool {
	select {
	case <-o.halted:
		return true
	default:
		return ctx.Err() != nil
	}
}

// begin works out what the output is brought to first.
func (o *output) begin(last recalled) {
	o.asked, o.stored = o.item.Initial.Level, last.record
	if o.item.Initial.Keep {
		o.asked = Off
		if last.record != nil {
			o.asked = last.record.Level
		}
	}
	if last.err != nil {
		o.stored = &outputRecord{} // so that it is replaced
		o.log.Error("it is not known whether the output was on", "err", last.err)
	}
	if o.asked == Off || o.item.MaxOn == 0 || o.stored == nil {
		return
	}
	on, known := o.stored.on(o.clock.Now())
	switch {
	case last.err != nil || !known:
		o.asked = Off
		o.log.Warn("output stays off at the start: it is not known how long it was on", "max_on", o.item.MaxOn)
	case on >= o.item.MaxOn:
		o.asked = Off
		o.log.Warn("output stays off at the start: it was on for as long as it may", "on", on, "max_on", o.item.MaxOn)
	case on > 0:
		o.onAt = time.Now().Add(-on)
	}
}

// overdue reports whether the output has been on for as long as it may.
func (o *output) overdue() bool {
	return o.item.MaxOn > 0 && !o.onAt.IsZero() && time.Since(o.onAt) >= o.item.MaxOn
}

// choose sets asked to what is to be done now, and reports whether there is
// something.
func (o *output) choose() bool {
	switch {
	case !o.tried:
		o.tried = true
		return true
	case o.asked > Off && o.overdue():
		o.asked, o.reason = Off, "max_on"
		return true
	}
	next := o.commands.take
	if !o.reached { // it lags behind: only the newest counts
		next = o.commands.newest
	}
	l, news := next()
	switch {
	case news && l > Off && o.overdue(): // it must have been off before
		o.log.Info("command is refused: the output is due to be switched off", "max_on", o.item.MaxOn)
	case news:
		o.asked, o.reason = l, ""
	}
	return news || !o.reached && !time.Now().Before(o.retryAt)
}

// idle is the time until there is something to do without a command.
func (o *output) idle() time.Duration {
	d := time.Hour
	if !o.reached {
		d = time.Until(o.retryAt)
	}
	if o.item.MaxOn > 0 && o.asked > Off && !o.onAt.IsZero() {
		d = min(d, time.Until(o.onAt.Add(o.item.MaxOn)))
	}
	return d
}

// attempt brings the output to what is asked.
func (o *output) attempt(ctx context.Context) {
	level, wasOff := o.asked, o.onAt.IsZero()
	if level > Off {
		if wasOff {
			o.onAt = time.Now()
		}
		o.remember(ctx, level, wasOff)
	}
	r := o.call(ctx, level)
	if r.err != nil {
		if wasOff && r.opening { // it never got as far as to be on
			o.onAt = time.Time{}
		}
		o.reached = false
		if o.over(ctx) {
			return
		}
		o.pause = min(max(2*o.pause, firstPause), longestOutputPause)
		o.retryAt = time.Now().Add(o.pause)
		o.note(Failing, r.err)
		return
	}
	o.reached, o.pause = true, 0
	if o.reason != "" {
		o.log.Info("output is switched off", "reason", o.reason, "after", time.Since(o.onAt).Round(time.Millisecond))
	}
	if level == Off {
		o.onAt = time.Time{}
		if o.stored != nil {
			o.store(nil)
		}
	}
	o.confirm(level)
}

// kept reports whether something is to be known of the output after a restart.
func (o *output) kept() bool { return o.item.Initial.Keep || o.item.MaxOn > 0 }

// remember records that the output goes on. If its time is limited that is on
// disk before it does, unless the disk fails.
func (o *output) remember(ctx context.Context, level Level, wasOff bool) {
	if !o.kept() || !wasOff && o.level > Off && o.stored != nil && o.stored.Level == level {
		return
	}
	now := o.clock.Now()
	done := o.store(&outputRecord{Level: level, On: &now, Used: time.Since(o.onAt)})
	if o.item.MaxOn == 0 || !wasOff {
		return
	}
	timer := time.NewTimer(recordWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-ctx.Done():
	case <-o.halted:
	case <-timer.C:
		o.log.Warn("output is switched on before its time is on disk: the disk is too slow", "waited", recordWait)
	}
}

func (o *output) store(r *outputRecord) <-chan struct{} {
	o.stored = r
	return o.ledger.put(o.key, r)
}

// switched is how an attempt went.
type switched struct {
	opening bool // the hardware was not open before
	err     error
}

// call has the hardware switched in a goroutine of its own, and reports if that
// takes too long.
func (o *output) call(ctx context.Context, level Level) switched {
	sctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	done := make(chan switched, 1)
	go func() { done <- o.switchTo(sctx, level) }()
	select {
	case r := <-done:
		return r
	case <-sctx.Done():
	case <-o.halted:
	}
	// A driver that heeds its context is given the time to return.
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	var stop, halt <-chan struct{} // while it hangs
	for {
		select {
		case r := <-done:
			return r
		case <-timer.C:
			if o.over(ctx) {
				return switched{err: ErrHung}
			}
			o.note(Hanging, ErrHung)
			stop, halt = ctx.Done(), o.halted
		case <-stop:
			return switched{err: ErrHung}
		case <-halt:
			return switched{err: ErrHung}
		}
	}
}

// switchTo switches the hardware, and opens it if need be. After a failure it is
// closed, so that the next attempt opens it anew.
func (o *output) switchTo(ctx context.Context, level Level) switched {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	if o.ended || o.over(ctx) {
		return switched{err: errEnded}
	}
	return o.set(ctx, level)
}

// set is switchTo for who has the turn.
func (o *output) set(ctx context.Context, level Level) switched {
	if o.act == nil {
		return switched{true, o.guard(func() (err error) {
			act, err := o.driver.Open(ctx, o.env, o.item.Options, level)
			if err == nil {
				o.act = act
			}
			return err
		})}
	}
	err := o.guard(func() error { return o.act.Set(level) })
	if err != nil {
		_ = o.close() // what went wrong first is what counts
	}
	return switched{err: err}
}

// close lets go of the hardware if it is open, for who has the turn.
func (o *output) close() error {
	act := o.act
	if act == nil {
		return nil
	}
	o.act = nil
	return o.guard(act.Close)
}

// guard makes an error of a driver's panic.
func (o *output) guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("sensors: %s: the driver panicked: %v\n%s", o.driver.Name, r, debug.Stack())
		}
	}()
	return f()
}

// finish brings the output to its OnStop, once, and has nothing switched after
// that. It waits for its turn.
func (o *output) finish() error {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	if o.ended {
		return nil
	}
	if !o.item.OnStop.Keep {
		ctx, cancel := context.WithTimeout(context.Background(), Grace)
		defer cancel()
		r := o.set(ctx, o.item.OnStop.Level)
		if r.err != nil && !r.opening {
			r = o.set(ctx, o.item.OnStop.Level)
		}
		if r.err != nil {
			return r.err
		}
	}
	o.ended = true
	return nil
}

// retire finishes the output and closes it, or gives up on it: then that happens
// when its driver returns.
func (o *output) retire(ctx context.Context, patience time.Duration) error {
	done := make(chan error, 1)
	go func() {
		err := o.finish()
		o.turn <- struct{}{}
		defer func() { <-o.turn }()
		o.ended = true
		done <- errors.Join(err, o.close())
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrHung
	}
	if err != nil {
		return fmt.Errorf("sensors: actuator %s of device %s is not in its on_stop state: %w", o.item.Actuator, o.item.Device, err)
	}
	return nil
}

// end retires the output and tells what it has reached.
func (o *output) end() error {
	err := o.retire(context.Background(), Grace)
	switch {
	case errors.Is(err, ErrHung):
		o.note(Hanging, err)
	case err != nil:
		o.note(Failing, err)
	case !o.item.OnStop.Keep:
		o.leave()
		o.confirm(o.item.OnStop.Level)
	}
	return err
}

// leave records what is to be known of an output that was brought to its OnStop:
// the state before, and how long it was on.
func (o *output) leave() {
	if !o.kept() {
		return
	}
	r := outputRecord{Level: o.level}
	if o.snapshot().Value == nil { // nothing was reached
		r.Level = o.asked
	}
	if !o.onAt.IsZero() {
		r.Used = time.Since(o.onAt)
	}
	switch back := o.item.Initial.Keep || o.item.Initial.Level > Off; {
	case o.item.OnStop.Level > Off:
		now := o.clock.Now()
		r.On = &now
		o.store(&r)
	case back && r.Level > Off:
		o.store(&r)
	case o.stored != nil:
		o.store(nil)
	}
}
