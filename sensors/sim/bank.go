package sim

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"fieldgate/sensors"
)

// Lines is how many GPIO lines there are; line n is wired to line n+Lines/2.
const Lines = 32

// Bank is the simulated GPIO chip; the package comment has its wiring. Its methods
// may be called from any goroutine. Line numbers are 0 to Lines-1.
type Bank struct {
	now func() time.Time

	mu      sync.Mutex
	lines   [Lines]line
	watches map[*Watch]bool
	gone    bool
}

// line is one GPIO line.
type line struct {
	in      *input  // who has it
	out     *output // likewise
	latched bool    // an output drives it, also one that was closed
	high    bool    // to this level
	driven  bool    // Drive
	outside bool    // to this level
	pull    sensors.Pull
	level   bool // what follows from all that
}

func newBank(now func() time.Time) *Bank {
	return &Bank{now: now, watches: make(map[*Watch]bool)}
}

// other is the line at the other end of the wire.
func other(n int) int { return n ^ Lines/2 }

// want is the level that a line has by what drives it; see the package comment.
func (b *Bank) want(n int) bool {
	own, far := &b.lines[n], &b.lines[other(n)]
	switch {
	case own.latched:
		return own.high
	case own.driven:
		return own.outside
	case far.latched:
		return far.high
	case far.driven:
		return far.outside
	case own.pull == sensors.PullUp || own.pull == sensors.PullDown:
		return own.pull == sensors.PullUp
	}
	return far.pull == sensors.PullUp
}

// settle brings line n and its other end to their levels, and tells who listens.
func (b *Bank) settle(n int) {
	var at time.Time
	for _, n := range [2]int{n, other(n)} {
		l := &b.lines[n]
		high := b.want(n)
		if high == l.level {
			continue
		}
		l.level = high
		if at.IsZero() {
			at = b.now()
		}
		if l.in != nil {
			l.in.changed(high, at)
		}
		for w := range b.watches {
			w.queue.push(Change{Line: n, High: high, At: at})
		}
	}
}

// Drive sets the level of a line from outside, as a switch or a sensor that is
// connected to it does.
func (b *Bank) Drive(n int, high bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines[n].driven, b.lines[n].outside = true, high
	b.settle(n)
}

// Release ends Drive.
func (b *Bank) Release(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines[n].driven = false
	b.settle(n)
}

// Level reports whether a line is high.
func (b *Bank) Level(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines[n].level
}

// Unplug takes the GPIO chip away, as if it were on a USB cable: what has lines
// gets ErrAbsent, until Plug.
func (b *Bank) Unplug() { b.setGone(true) }

// Plug brings the GPIO chip back. Levels and owners are as they were.
func (b *Bank) Plug() { b.setGone(false) }

func (b *Bank) setGone(gone bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = gone
	for i := range b.lines {
		if in := b.lines[i].in; in != nil {
			in.queue.wake()
		}
	}
}

// lineError says which line err is about.
func lineError(n int, err error) error { return fmt.Errorf("sim: %s%d %w", linePrefix, n, err) }

// usable says why line n cannot be taken.
func (b *Bank) usable(n int) error {
	switch {
	case b.gone:
		return lineError(n, sensors.ErrAbsent)
	case b.lines[n].in != nil || b.lines[n].out != nil:
		return lineError(n, sensors.ErrTaken)
	}
	return nil
}

// output takes a line for writing.
func (b *Bank) output(n int, high bool) (sensors.Output, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.usable(n); err != nil {
		return nil, err
	}
	o := &output{bank: b, n: n}
	l := &b.lines[n]
	l.out, l.latched, l.high = o, true, high
	b.settle(n)
	return o, nil
}

// output is a line that is written.
type output struct {
	bank *Bank
	n    int
}

// Set implements sensors.Output.
func (o *output) Set(high bool) error {
	b := o.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.lines[o.n]
	switch {
	case l.out != o:
		return lineError(o.n, fs.ErrClosed)
	case b.gone:
		return lineError(o.n, sensors.ErrAbsent)
	}
	l.high = high
	b.settle(o.n)
	return nil
}

// Close implements sensors.Output.
func (o *output) Close() error {
	o.bank.mu.Lock()
	defer o.bank.mu.Unlock()
	if l := &o.bank.lines[o.n]; l.out == o {
		l.out = nil
	}
	return nil
}

// Change is a change of the level of a line.
type Change struct {
	Line int
	High bool
	At   time.Time
	// Lost counts changes right before this one that there was no room for: 4096
	// wait at most.
	Lost uint32
}

// Watch sees all changes of all lines from when it was made.
type Watch struct {
	bank  *Bank
	queue queue[Change]
}

// Watch begins to watch the lines. Close ends it.
func (b *Bank) Watch() *Watch {
	w := &Watch{bank: b, queue: newQueue[Change]()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watches[w] = true
	return w
}

// Next waits for the next change, in the order in which they happened. The error
// is that of ctx. It is for one goroutine at a time.
func (w *Watch) Next(ctx context.Context) (Change, error) {
	for {
		w.bank.mu.Lock()
		c, lost, ok := w.queue.take()
		w.bank.mu.Unlock()
		if ok {
			c.Lost = lost
			return c, nil
		}
		select {
		case <-w.queue.news:
		case <-ctx.Done():
			return Change{}, ctx.Err()
		}
	}
}

// Close ends watching. Changes that wait can still be read.
func (w *Watch) Close() {
	w.bank.mu.Lock()
	defer w.bank.mu.Unlock()
	delete(w.bank.watches, w)
}

// Await waits until a line has a level. The error is that of ctx.
func (b *Bank) Await(ctx context.Context, n int, high bool) error {
	w := b.Watch()
	defer w.Close()
	if b.Level(n) == high {
		return nil
	}
	for {
		c, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if c.Line == n && c.High == high {
			return nil
		}
	}
}
