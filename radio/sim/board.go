package sim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
)

// Board implements radio.Board with simulated chips. All of it may be used from
// any goroutine. In a testing/synctest bubble, make it inside the bubble.
type Board struct {
	air *Air

	mu    sync.Mutex
	lines map[string]*Line
	slots []*Slot
	noCS  bool // spi.NoCS is refused
}

var _ radio.Board = (*Board)(nil)

// NewBoard gives a board without chips.
func NewBoard(air *Air) *Board { return &Board{air: air, lines: map[string]*Line{}} }

// ErrAbsent is wrapped in the errors for a bus or line that is not there.
var ErrAbsent = errors.New("is not there")

// ErrTaken is wrapped in the errors for a line that somebody has.
var ErrTaken = errors.New("is taken")

// RefuseNoCS has Connect refuse spi.NoCS, as many kernels do.
func (b *Board) RefuseNoCS(refuse bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noCS = refuse
}

// Line is a GPIO line, made at its first mention.
func (b *Board) Line(pin string) *Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.lines[pin]
	if !ok {
		l = &Line{pin: pin}
		b.lines[pin] = l
	}
	return l
}

// SPI implements radio.Board. A bus is there when a chip is on it.
func (b *Board) SPI(bus string) (spi.PortCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.slots {
		if controller(s.bus) == controller(bus) {
			return &port{board: b, bus: bus}, nil
		}
	}
	return nil, fmt.Errorf("sim: %s %w", bus, ErrAbsent)
}

// controller is a chip select's bus: "spi:0" of "spi:0.1".
func controller(bus string) string {
	c, _, _ := strings.Cut(bus, ".")
	return c
}

// Output implements radio.Board.
func (b *Board) Output(pin string, high bool) (radio.Output, error) {
	if pin == "" {
		return nil, fmt.Errorf("sim: a line without a name %w", ErrAbsent)
	}
	l := b.Line(pin)
	if !l.take() {
		return nil, fmt.Errorf("sim: %s %w", pin, ErrTaken)
	}
	l.drive(high)
	return &output{line: l}, nil
}

// Input implements radio.Board.
func (b *Board) Input(pin string, edges bool) (radio.Input, error) {
	if pin == "" {
		return nil, fmt.Errorf("sim: a line without a name %w", ErrAbsent)
	}
	l := b.Line(pin)
	if !l.take() {
		return nil, fmt.Errorf("sim: %s %w", pin, ErrTaken)
	}
	in := &input{line: l}
	if edges {
		in.edges = make(chan time.Time, queuedEdges)
		l.listen(in.edges)
	}
	return in, nil
}

// queuedEdges is how many edges wait for a reader.
const queuedEdges = 1024

// Line is a GPIO line of a board.
type Line struct {
	pin string

	mu      sync.Mutex
	taken   bool
	high    bool
	cut     bool // edges do not reach the reader
	edges   chan time.Time
	watches []func(high bool)
}

// High reports whether the line is high.
func (l *Line) High() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.high
}

// Taken reports whether somebody has the line.
func (l *Line) Taken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

// Watch has f called at each change of the level, from the goroutine that makes
// it. F must not block.
func (l *Line) Watch(f func(high bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watches = append(l.watches, f)
}

// Cut breaks the wire to the reader of the line, or mends it: edges are lost, and
// the level that is read stays low.
func (l *Line) Cut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

func (l *Line) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	free := !l.taken
	l.taken = true
	return free
}

func (l *Line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken, l.edges = false, nil
}

func (l *Line) listen(edges chan time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.edges = edges
}

// drive sets the level. When nobody reads the edges, the oldest goes.
func (l *Line) drive(high bool) {
	l.mu.Lock()
	if l.high == high {
		l.mu.Unlock()
		return
	}
	l.high = high
	if high && l.edges != nil && !l.cut {
		for {
			select {
			case l.edges <- time.Now():
			default:
				select {
				case <-l.edges:
				default:
				}
				continue
			}
			break
		}
	}
	watches := l.watches
	l.mu.Unlock()
	for _, w := range watches {
		w(high)
	}
}

// output implements radio.Output.
type output struct {
	line *Line

	mu     sync.Mutex
	closed bool
}

func (o *output) Set(high bool) error {
	o.mu.Lock()
	closed := o.closed
	o.mu.Unlock()
	if closed {
		return fmt.Errorf("sim: %s: closed", o.line.pin)
	}
	o.line.drive(high)
	return nil
}

func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return fmt.Errorf("sim: %s: closed twice", o.line.pin)
	}
	o.closed = true
	o.line.release()
	return nil
}

// input implements radio.Input.
type input struct {
	line  *Line
	edges chan time.Time

	mu     sync.Mutex
	closed bool
}

func (in *input) Level() (bool, error) {
	in.line.mu.Lock()
	defer in.line.mu.Unlock()
	return in.line.high && !in.line.cut, nil
}

func (in *input) Next(ctx context.Context) (time.Time, error) {
	select {
	case at := <-in.edges: // nil without edges: it never comes
		return at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

func (in *input) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return fmt.Errorf("sim: %s: closed twice", in.line.pin)
	}
	in.closed = true
	in.line.release()
	return nil
}
