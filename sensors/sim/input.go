package sim

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"fieldgate/sensors"
)

// input takes a line for reading.
func (b *Bank) input(n int, c sensors.InputConfig) (sensors.Input, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(n); err != nil {
		return nil, err
	}
	l := &b.lines[n]
	l.latched = false
	if c.Pull != sensors.PullAsIs {
		l.pull = c.Pull
	}
	b.settle(n) // before the input listens: it sees no edge of its own taking
	l.in = &input{bank: b, n: n, config: c, stable: l.level, queue: newQueue[sensors.Edge]()}
	return l.in, nil
}

// input is a line that is read. Its fields belong to the bank's lock.
type input struct {
	bank   *Bank
	n      int
	config sensors.InputConfig
	queue  queue[sensors.Edge]

	// The filter against bouncing: a change counts when it has lasted for
	// config.Debounce. Its edge has the time at which it did, as in the kernel.
	stable   bool // the level that counts
	changing bool // the line has the other one
	since    time.Time
}

var errNoEdges = errors.New("was taken without edges")

// changed is called when the line has a new level.
func (in *input) changed(high bool, at time.Time) {
	if in.config.Debounce <= 0 {
		in.accept(high, at)
		return
	}
	in.filter(at)
	in.changing, in.since = high != in.stable, at
	in.queue.wake() // Next has to wait anew
}

// filter accepts a change that has lasted long enough at time now. Until then it
// says how long it takes still; 0: there is none.
func (in *input) filter(now time.Time) time.Duration {
	if !in.changing {
		return 0
	}
	end := in.since.Add(in.config.Debounce)
	if left := end.Sub(now); left > 0 {
		return left
	}
	in.changing = false
	in.accept(!in.stable, end)
	return 0
}

// accept is a change that counts.
func (in *input) accept(high bool, at time.Time) {
	in.stable = high
	which := sensors.FallingEdge
	if high {
		which = sensors.RisingEdge
	}
	if in.config.Edges&which != 0 {
		in.queue.push(sensors.Edge{Rising: high, At: at})
	}
}

// usable says why the line cannot be read.
func (in *input) usable() error {
	switch {
	case in.bank.lines[in.n].in != in:
		return lineError(in.n, fs.ErrClosed)
	case in.bank.gone:
		return lineError(in.n, sensors.ErrAbsent)
	}
	return nil
}

// Level implements sensors.Input: with Debounce it is the level behind the filter.
func (in *input) Level() (bool, error) {
	in.bank.mu.Lock()
	defer in.bank.mu.Unlock()
	if err := in.usable(); err != nil {
		return false, err
	}
	if in.changing {
		in.filter(in.bank.now())
	}
	return in.stable, nil
}

// Next implements sensors.Input. As on a real board, edges that are queued come
// before the reason why there will be no more, but not after ctx has ended.
func (in *input) Next(ctx context.Context) (sensors.Edge, error) {
	for {
		if err := ctx.Err(); err != nil {
			return sensors.Edge{}, err
		}
		e, ok, left, err := in.poll()
		if ok || err != nil {
			return e, err
		}
		in.wait(ctx, left)
	}
}

// poll takes the edge that is there, or says how long a change has to last still.
func (in *input) poll() (_ sensors.Edge, ok bool, left time.Duration, _ error) {
	in.bank.mu.Lock()
	defer in.bank.mu.Unlock()
	if in.config.Edges == sensors.NoEdges {
		return sensors.Edge{}, false, 0, lineError(in.n, errNoEdges)
	}
	err := in.usable()
	if err == nil && in.changing {
		left = in.filter(in.bank.now())
	}
	e, lost, ok := in.queue.take()
	if ok {
		e.Lost = lost
		return e, true, 0, nil
	}
	return sensors.Edge{}, false, left, err
}

// wait returns when there may be news: at once when something happens, or after
// left if it is not 0.
func (in *input) wait(ctx context.Context, left time.Duration) {
	var over <-chan time.Time
	if left > 0 {
		t := time.NewTimer(left)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-in.queue.news:
	case <-over:
	case <-ctx.Done():
	}
}

// Close implements sensors.Input. A Next that waits ends.
func (in *input) Close() error {
	in.bank.mu.Lock()
	defer in.bank.mu.Unlock()
	if l := &in.bank.lines[in.n]; l.in == in {
		l.in = nil
		in.queue.wake()
	}
	return nil
}
