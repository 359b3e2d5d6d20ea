package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// Hub takes readings (gateway.Hub is one).
type Hub interface {
	// Submit takes b on its way without a wait for the disk: a sensor goes on
	// being read, and subscribers nearby go on getting its values, while the
	// disk fails. It may block for as long as there is no room for b.
	Submit(b *gateway.Batch) error
}

// Defaults and bounds of the Poller.
const (
	// Timeout is how long a sensor may take before it is said to hang.
	Timeout = 10 * time.Second
	// Grace is how long Run waits for drivers that do not return.
	Grace = time.Second
	// Spread bounds the time over which the first readings of all sensors are
	// spread.
	Spread = 10 * time.Second
	// firstPause and longestPause bound the pauses after failures, unless the
	// interval itself is longer.
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	// steady is how long a Watch must have run before its next failure is the
	// first one again.
	steady = time.Minute
)

// Config is what a Poller works with.
type Config struct {
	Items    []Item
	Board    Board
	Hub      Hub
	Log      *slog.Logger
	Registry *Registry // nil: Builtin
	// Last gives the value of a sensor that was recorded last; nil: none.
	Last func(device, sensor string) (json.RawMessage, bool)
	// OnStatus is called on each change of a channel's state and on each failure,
	// from several goroutines; may be nil.
	OnStatus func(Status)
}

// Poller reads the attached sensors, each at its own interval. Sensors of one
// bus take turns in one goroutine; a bus that hangs holds up no other.
type Poller struct {
	hub      Hub
	board    Board
	log      *slog.Logger
	last     func(device, sensor string) (json.RawMessage, bool)
	onStatus func(Status)
	lines    []*line

	mu    sync.Mutex
	tasks []*task // in the order of the items; their status is guarded by mu
}

// line is the sensors of one bus.
type line struct {
	tasks  []*task
	broken chan struct{} // a Watch has ended

	mu   sync.Mutex
	busy *call // of a driver; nil: none
}

// call is one reading by a driver.
type call struct {
	task *task
	hung bool // it has been reported
}

// task is one sensor. What has no other owner belongs to the goroutine of its
// line.
type task struct {
	item   Item
	driver *Driver
	line   *line

	sampler Sampler // nil: not open
	watch   *watch  // nil: nothing to watch

	phase  time.Duration
	origin time.Time // the grid of readings: origin + n*Every
	due    time.Time
	pause  time.Duration

	handing atomic.Int32 // calls of the Hub that have not returned

	taking sync.Mutex // guards what follows: samples come from the line and from Watch
	gauges []*gauge   // by channel
	wrong  []error    // by channel: why its last value cannot be right

	telling sync.Mutex // one change of the state after the other, with what is told of it
	status  []Status   // by channel; of Poller.mu
	logged  []quiet    // by channel; of telling
}

// New prepares a Poller. It fails if an item names an unknown driver or has no
// interval.
func New(c Config) (*Poller, error) {
	p := &Poller{hub: c.Hub, board: c.Board, log: c.Log, last: c.Last, onStatus: c.OnStatus}
	if c.Registry == nil {
		c.Registry = Builtin()
	}
	if p.last == nil {
		p.last = nothingRecorded
	}
	buses := map[string]*line{}
	for i, it := range c.Items {
		d, ok := c.Registry.Lookup(it.Driver)
		if !ok {
			return nil, fmt.Errorf("sensors: there is no driver %q", it.Driver)
		}
		if it.Every < MinEvery {
			return nil, fmt.Errorf("sensors: %s: interval %v, at least %v", it.Driver, it.Every, MinEvery)
		}
		l := buses[it.Bus]
		if l == nil || it.Bus == "" {
			l = &line{broken: make(chan struct{}, 1)}
			p.lines = append(p.lines, l)
			buses[it.Bus] = l
		}
		t := &task{item: it, driver: d, line: l,
			phase: min(it.Every, Spread) * time.Duration(i) / time.Duration(len(c.Items))}
		for _, ch := range d.Channels(it.Options) {
			id := it.SensorID(ch.Suffix)
			t.gauges = append(t.gauges, newGauge(id, ch, it.Rules[ch.Suffix], it.Every))
			t.status = append(t.status, Status{Driver: it.Driver, Device: it.Device, Sensor: id, Bus: it.Bus})
		}
		t.wrong = make([]error, len(t.gauges))
		t.logged = make([]quiet, len(t.gauges))
		p.tasks = append(p.tasks, t)
		l.tasks = append(l.tasks, t)
	}
	return p, nil
}

func nothingRecorded(string, string) (json.RawMessage, bool) { return nil, false }

// Run polls until ctx ends and returns nil, or an error for each bus whose
// driver, or the Hub, has not returned Grace later: the former wraps ErrHung. It
// is to be called once.
func (p *Poller) Run(ctx context.Context) error {
	now := time.Now()
	ended := make([]chan struct{}, len(p.lines))
	for i, l := range p.lines {
		for _, t := range l.tasks {
			t.origin = now.Add(t.phase)
			if t.due = t.origin; t.driver.Events {
				t.due = now
			}
		}
		ended[i] = make(chan struct{})
		go func() {
			defer close(ended[i])
			p.poll(ctx, l)
		}()
	}
	<-ctx.Done() // without any sensor too
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	var stuck []error
	late := false
	for i, l := range p.lines {
		if !late {
			select {
			case <-ended[i]:
				continue
			case <-timer.C:
				late = true
			}
		}
		select {
		case <-ended[i]:
		default:
			stuck = append(stuck, l.stuck())
		}
	}
	return errors.Join(stuck...)
}

// stuck says what l waits for.
func (l *line) stuck() error {
	for _, t := range l.tasks {
		if t.handing.Load() > 0 {
			return fmt.Errorf("sensors: %s: the last readings are not taken in time: the disk is too slow", t)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy == nil { // it has returned this moment
		return fmt.Errorf("%w: %s", ErrHung, l.tasks[0])
	}
	return fmt.Errorf("%w: %s", ErrHung, l.busy.task)
}

// String names t in errors: "bme280 of device D at i2c:1".
func (t *task) String() string {
	s := t.driver.Name + " of device " + t.item.Device
	if t.item.Sensor != "" {
		s += ", sensor " + t.item.Sensor
	}
	if t.item.Bus != "" {
		s += ", at " + t.item.Bus
	}
	return s
}

// poll reads the sensors of one bus.
func (p *Poller) poll(ctx context.Context, l *line) {
	defer func() {
		for _, t := range l.tasks {
			p.farewell(t)
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t := slices.MinFunc(l.tasks, func(a, b *task) int { return a.due.Compare(b.due) })
		timer.Reset(time.Until(t.due))
		select {
		case <-ctx.Done():
			return
		case <-l.broken:
			l.hasten(func(t *task) bool { return t.watch.failed() != nil })
			continue
		case <-timer.C:
		}
		samples, err := p.sample(ctx, t)
		if err == nil {
			err = p.submit(t, samples, t.due, false)
		}
		if ctx.Err() != nil {
			return
		}
		p.settle(t, err)
	}
}

// hasten has some of the sensors read at once.
func (l *line) hasten(which func(*task) bool) {
	now := time.Now()
	for _, t := range l.tasks {
		if which(t) {
			t.due = now
		}
	}
}

// sample reads t. A driver has Timeout for it, then its context ends; when it has
// not returned Grace later, all sensors of the bus are reported as hanging, for as
// long as it does.
func (p *Poller) sample(ctx context.Context, t *task) ([]Sample, error) {
	sctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	l, c := t.line, &call{task: t}
	l.mu.Lock()
	l.busy = c
	var alarm *time.Timer
	alarm = time.AfterFunc(Timeout+Grace, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch {
		case l.busy != c || ctx.Err() != nil:
		case t.handing.Load() > 0: // a Hub without room is not the driver's fault
			alarm.Reset(Grace)
		default:
			c.hung = true
			p.hangs(l, t)
		}
	})
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		alarm.Stop()
		l.busy = nil
		if c.hung { // the others tell at once how they are
			l.hasten(func(other *task) bool { return other != t })
		}
	}()
	return p.read(sctx, t)
}

// hangs reports all sensors of a bus as hanging, because of t.
func (p *Poller) hangs(l *line, t *task) {
	for _, other := range l.tasks {
		err := ErrHung
		if other != t {
			err = fmt.Errorf("%w: %s, on the same bus", ErrHung, t)
		}
		p.change(other, Hanging, err)
	}
}

// submit makes a batch of the samples that are to be published, measured at a
// time. Nobody is owed an acknowledgement, so that they go with the next commit and
// cost no commit of their own. A value that cannot be right is noted for its
// channel; the rest is published. Final: there are going to be no more.
func (p *Poller) submit(t *task, samples []Sample, at time.Time, final bool) error {
	if len(samples) == 0 {
		return nil
	}
	t.taking.Lock()
	defer t.taking.Unlock()
	var wrong error
	out := make([]reading, 0, len(samples))
	for _, s := range samples {
		i := slices.IndexFunc(t.gauges, func(g *gauge) bool { return g.channel.Suffix == s.Suffix })
		if i < 0 {
			wrong = fmt.Errorf("sensors: %s: gave a value of %q, which it does not have", t.driver.Name, s.Suffix)
			continue
		}
		out, t.wrong[i] = t.gauges[i].take(out, s.Value, at, final)
	}
	if len(out) == 0 {
		return wrong
	}
	b := &gateway.Batch{From: access.System, Source: "sensor " + t.driver.Name, Readings: make([]gateway.Reading, len(out))}
	for i, r := range out {
		b.Readings[i] = gateway.Reading{Kind: gateway.KindSensor, Device: t.item.Device, Channel: r.id, Value: r.value}
	}
	t.handing.Add(1)
	err := p.hub.Submit(b)
	t.handing.Add(-1)
	if err != nil && !errors.Is(err, gateway.ErrNotKept) { // the disk's trouble is not the sensor's
		for _, g := range t.gauges {
			g.measured = false // nobody has heard of it
		}
		return fmt.Errorf("sensors: %s: %w", t.driver.Name, err)
	}
	return wrong
}

// lastValue is what Env.Last gives: the newest value of a channel that goes on
// from where it was, published or not, else what is recorded.
func (p *Poller) lastValue(t *task, suffix string) (json.RawMessage, bool) {
	t.taking.Lock()
	defer t.taking.Unlock()
	for _, g := range t.gauges {
		if g.channel.Suffix == suffix && g.newest != nil {
			return g.newest, true
		}
	}
	return p.last(t.item.Device, t.item.SensorID(suffix))
}

// settle decides when t is read again and reports how it went.
func (p *Poller) settle(t *task, err error) {
	now := time.Now()
	if err != nil {
		every := t.item.Every
		t.pause = min(max(2*t.pause, min(every, firstPause)), max(every, longestPause))
		t.due = now.Add(t.pause)
		p.change(t, Failing, err)
		return
	}
	if t.watch == nil || now.Sub(t.watch.began) > min(t.pause, steady) { // else Watch may fail again right away
		t.pause = 0
	}
	t.due = t.origin
	if past := now.Sub(t.origin); past >= 0 {
		t.due = t.origin.Add((past/t.item.Every + 1) * t.item.Every)
	}
	p.well(t)
}
