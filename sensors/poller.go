package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
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
	lines    [][]*task // by bus

	mu    sync.Mutex
	tasks []*task // in the order of the items; their status is guarded by mu
}

// task is one sensor. What has no other owner belongs to the goroutine of its
// bus.
type task struct {
	item   Item
	driver *Driver
	broken chan struct{} // of its bus: a Watch has ended

	sampler Sampler // nil: not open
	watch   *watch  // nil: nothing to watch

	calling sync.Mutex
	called  bool // the driver is at work

	phase  time.Duration
	origin time.Time // the grid of readings: origin + n*Every
	due    time.Time
	pause  time.Duration

	taking sync.Mutex // guards what follows: samples come from the bus and from Watch
	gauges []*gauge   // by channel
	wrong  []error    // by channel: why its last value cannot be right

	status []Status // by channel; of Poller.mu
}

// New prepares a Poller. It fails if an item names an unknown driver or has no
// interval.
func New(c Config) (*Poller, error) {
	p := &Poller{hub: c.Hub, board: c.Board, log: c.Log, last: c.Last, onStatus: c.OnStatus}
	if c.Registry == nil {
		c.Registry = Builtin()
	}
	if p.last == nil {
		p.last = func(string, string) (json.RawMessage, bool) { return nil, false }
	}
	buses := map[string]int{}
	for i, it := range c.Items {
		d, ok := c.Registry.Lookup(it.Driver)
		if !ok {
			return nil, fmt.Errorf("sensors: there is no driver %q", it.Driver)
		}
		if it.Every < MinEvery {
			return nil, fmt.Errorf("sensors: %s: interval %v, at least %v", it.Driver, it.Every, MinEvery)
		}
		t := &task{item: it, driver: d, broken: make(chan struct{}, 1),
			phase: min(it.Every, Spread) * time.Duration(i) / time.Duration(len(c.Items))}
		for _, ch := range d.Channels(it.Options) {
			id := it.SensorID(ch.Suffix)
			t.gauges = append(t.gauges, newGauge(id, ch, it.Rules[ch.Suffix]))
			t.status = append(t.status, Status{Driver: it.Driver, Device: it.Device, Sensor: id, Bus: it.Bus})
		}
		t.wrong = make([]error, len(t.gauges))
		p.tasks = append(p.tasks, t)
		n, shared := buses[it.Bus]
		if !shared || it.Bus == "" {
			n = len(p.lines)
			p.lines = append(p.lines, nil)
			buses[it.Bus] = n
		} else {
			t.broken = p.lines[n][0].broken
		}
		p.lines[n] = append(p.lines[n], t)
	}
	return p, nil
}

// Status tells how each channel of each sensor is doing, in the order of the
// items.
func (p *Poller) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Status
	for _, t := range p.tasks {
		out = append(out, t.status...)
	}
	return out
}

// Run polls until ctx ends and returns nil, or ErrHung if a driver has not
// returned Grace later. It is to be called once.
func (p *Poller) Run(ctx context.Context) error {
	now := time.Now()
	ended := make([]chan struct{}, len(p.lines))
	for i, tasks := range p.lines {
		for _, t := range tasks {
			t.origin = now.Add(t.phase)
			if t.due = t.origin; t.driver.Events {
				t.due = now
			}
		}
		ended[i] = make(chan struct{})
		go func() {
			defer close(ended[i])
			p.line(ctx, tasks)
		}()
	}
	<-ctx.Done() // without any sensor too
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	var hung []error
	late := false
	for i, tasks := range p.lines {
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
			hung = append(hung, fmt.Errorf("%w: bus %q of %s", ErrHung, tasks[0].item.Bus, tasks[0].item.Driver))
		}
	}
	return errors.Join(hung...)
}

// line polls the sensors of one bus.
func (p *Poller) line(ctx context.Context, tasks []*task) {
	defer func() {
		for _, t := range tasks {
			p.farewell(t)
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t := slices.MinFunc(tasks, func(a, b *task) int { return a.due.Compare(b.due) })
		timer.Reset(time.Until(t.due))
		select {
		case <-ctx.Done():
			return
		case <-tasks[0].broken:
			p.hasten(tasks)
			continue
		case <-timer.C:
		}
		samples, err := p.sample(ctx, t)
		if err == nil {
			err = p.submit(t, samples)
		}
		if ctx.Err() != nil {
			return
		}
		p.settle(t, err)
	}
}

// hasten has the sensors whose Watch has failed read at once, which reports it
// and opens them anew.
func (p *Poller) hasten(tasks []*task) {
	for _, t := range tasks {
		if t.watch.failed() != nil {
			t.due = time.Now()
		}
	}
}

// sample reads t. A driver has Timeout for it, then its context ends; when it has
// not returned Grace later, it is reported as hanging, for as long as it does.
func (p *Poller) sample(ctx context.Context, t *task) ([]Sample, error) {
	sctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	t.calling.Lock()
	t.called = true
	t.calling.Unlock()
	alarm := time.AfterFunc(Timeout+Grace, func() {
		t.calling.Lock()
		defer t.calling.Unlock()
		if t.called && ctx.Err() == nil {
			p.change(t, Hanging, ErrHung)
		}
	})
	defer func() {
		alarm.Stop()
		t.calling.Lock()
		t.called = false
		t.calling.Unlock()
	}()
	return p.read(sctx, t)
}

// submit makes a batch of the samples that are to be published. Nobody is owed
// an acknowledgement, so that they go with the next commit and cost no commit of
// their own. A value that cannot be right is noted for its channel; the rest is
// published.
func (p *Poller) submit(t *task, samples []Sample) error {
	if len(samples) == 0 {
		return nil
	}
	t.taking.Lock()
	defer t.taking.Unlock()
	now := time.Now()
	out := make([]reading, 0, len(samples))
	for _, s := range samples {
		i := slices.IndexFunc(t.gauges, func(g *gauge) bool { return g.channel.Suffix == s.Suffix })
		if i < 0 {
			return fmt.Errorf("sensors: %s: gave a value of %q, which it does not have", t.driver.Name, s.Suffix)
		}
		out, t.wrong[i] = t.gauges[i].take(out, s.Value, now)
	}
	if len(out) == 0 {
		return nil
	}
	b := &gateway.Batch{From: access.System, Source: "sensor " + t.driver.Name, Readings: make([]gateway.Reading, len(out))}
	for i, r := range out {
		b.Readings[i] = gateway.Reading{Kind: gateway.KindSensor, Device: t.item.Device, Channel: r.id, Value: r.value}
	}
	err := p.hub.Submit(b)
	if err != nil && !errors.Is(err, gateway.ErrNotKept) { // the disk's trouble is not the sensor's
		return fmt.Errorf("sensors: %s: %w", t.driver.Name, err)
	}
	return nil
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
	t.pause = 0
	t.due = t.origin
	if past := now.Sub(t.origin); past >= 0 {
		t.due = t.origin.Add((past/t.item.Every + 1) * t.item.Every)
	}
	p.well(t)
}

// well notes that t was read: its channels are right, but for those whose last
// value cannot be.
func (p *Poller) well(t *task) {
	t.taking.Lock()
	wrong := slices.Clone(t.wrong)
	t.taking.Unlock()
	for i, err := range wrong {
		if err != nil {
			p.changeChannel(&t.status[i], Failing, err)
		} else {
			p.changeChannel(&t.status[i], OK, nil)
		}
	}
}

// change keeps the state of all channels of t and tells about it.
func (p *Poller) change(t *task, s State, err error) {
	for i := range t.status {
		p.changeChannel(&t.status[i], s, err)
	}
}

func (p *Poller) changeChannel(st *Status, s State, err error) {
	now := time.Now()
	p.mu.Lock()
	old := st.State
	if old != s {
		st.State, st.Since = s, now
	}
	st.Err = err
	switch s {
	case OK:
		st.Failures, st.Last = 0, now
	case Failing:
		st.Failures++
	}
	status := *st
	p.mu.Unlock()
	if old == s && s == OK {
		return
	}
	attrs := []any{"driver", status.Driver, "device", status.Device, "sensor", status.Sensor}
	switch {
	case s == OK && old != Waiting:
		p.log.Info("sensor is back", attrs...)
	case s != OK && status.Failures <= 1:
		p.log.Warn("sensor cannot be read", append(attrs, "state", s.String(), "err", err)...)
	}
	if p.onStatus != nil {
		p.onStatus(status)
	}
}
