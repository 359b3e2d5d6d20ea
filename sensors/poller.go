package sensors

import (
	"context"
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
	Hub      Hub
	Log      *slog.Logger
	Registry *Registry    // nil: Builtin
	OnStatus func(Status) // called on each change of a sensor's state and on each failure, from several goroutines; may be nil
}

// Poller reads the attached sensors, each at its own interval. Sensors of one
// bus take turns in one goroutine; a bus that hangs holds up no other.
type Poller struct {
	hub      Hub
	log      *slog.Logger
	onStatus func(Status)
	lines    [][]*task // by bus

	mu    sync.Mutex
	tasks []*task // in the order of the items; their status is guarded by mu
}

// task is one sensor. All but status belongs to the goroutine of its bus, and
// sampler to the worker of that bus.
type task struct {
	item    Item
	driver  *Driver
	sampler Sampler // nil: not open
	phase   time.Duration
	origin  time.Time // the grid of readings: origin + n*Every
	due     time.Time
	pause   time.Duration
	status  Status
}

// New prepares a Poller. It fails if an item names an unknown driver or has no
// interval.
func New(c Config) (*Poller, error) {
	p := &Poller{hub: c.Hub, log: c.Log, onStatus: c.OnStatus}
	if c.Registry == nil {
		c.Registry = Builtin()
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
		t := &task{
			item:   it,
			driver: d,
			phase:  min(it.Every, Spread) * time.Duration(i) / time.Duration(len(c.Items)),
			status: Status{Driver: it.Driver, Device: it.Device, Sensor: it.SensorID(""), Bus: it.Bus},
		}
		p.tasks = append(p.tasks, t)
		n, shared := buses[it.Bus]
		if !shared || it.Bus == "" {
			n = len(p.lines)
			p.lines = append(p.lines, nil)
			buses[it.Bus] = n
		}
		p.lines[n] = append(p.lines[n], t)
	}
	return p, nil
}

// Status tells how each sensor is doing, in the order of the items.
func (p *Poller) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]Status, len(p.tasks))
	for i, t := range p.tasks {
		out[i] = t.status
	}
	return out
}

// Run polls until ctx ends and returns nil, or ErrHung if a driver has not
// returned Grace later. It is to be called once.
func (p *Poller) Run(ctx context.Context) error {
	errs := make([]error, len(p.lines))
	var wg sync.WaitGroup
	now := time.Now()
	for i, tasks := range p.lines {
		for _, t := range tasks {
			t.origin = now.Add(t.phase)
			t.due = t.origin
		}
		wg.Go(func() { errs[i] = p.line(ctx, tasks) })
	}
	<-ctx.Done() // without any sensor too
	wg.Wait()
	return errors.Join(errs...)
}

// line polls the sensors of one bus.
func (p *Poller) line(ctx context.Context, tasks []*task) (err error) {
	w := newWorker(tasks)
	defer func() {
		if err = w.stop(); err != nil {
			err = fmt.Errorf("%w: bus %q of %s", err, tasks[0].item.Bus, tasks[0].item.Driver)
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t := slices.MinFunc(tasks, func(a, b *task) int { return a.due.Compare(b.due) })
		timer.Reset(time.Until(t.due))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		samples, err := p.sample(ctx, w, t)
		if err == nil {
			err = p.submit(t, samples)
		}
		if ctx.Err() != nil {
			return nil
		}
		p.settle(t, err)
	}
}

// sample has the worker read t, and reports if that takes too long.
func (p *Poller) sample(ctx context.Context, w *worker, t *task) ([]Sample, error) {
	sctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	w.jobs <- job{sctx, t}
	select {
	case o := <-w.results:
		return o.samples, o.err
	case <-sctx.Done():
	}
	// A driver that heeds its context is given the time to return.
	timer := time.NewTimer(Grace)
	defer timer.Stop()
	for {
		select {
		case o := <-w.results:
			return o.samples, o.err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
			p.change(t, Hanging, ErrHung)
		}
	}
}

// submit makes a batch of the samples. Nobody is owed an acknowledgement, so
// that they go with the next commit and cost no commit of their own.
func (p *Poller) submit(t *task, samples []Sample) error {
	if len(samples) == 0 {
		return nil
	}
	b := &gateway.Batch{From: access.System, Source: "sensor " + t.driver.Name}
	for _, s := range samples {
		b.Readings = append(b.Readings, gateway.Reading{
			Kind:    gateway.KindSensor,
			Device:  t.item.Device,
			Channel: t.item.SensorID(s.Suffix),
			Value:   s.Value,
		})
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
	past := max(now.Sub(t.origin), 0)
	t.due = t.origin.Add((past/t.item.Every + 1) * t.item.Every)
	p.change(t, OK, nil)
}

// change keeps the state of t and tells about it.
func (p *Poller) change(t *task, s State, err error) {
	now := time.Now()
	p.mu.Lock()
	old := t.status.State
	if old != s {
		t.status.State, t.status.Since = s, now
	}
	t.status.Err = err
	switch s {
	case OK:
		t.status.Failures, t.status.Last = 0, now
	case Failing:
		t.status.Failures++
	}
	status := t.status
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
