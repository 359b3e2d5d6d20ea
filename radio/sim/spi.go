package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// chip is what hangs on a chip select.
type chip interface {
	// selected begins (true) and ends an access: NSS goes low and high again.
	selected(on bool)
	// shift exchanges one byte.
	shift(w byte) byte
	// power takes the supply away, or gives it back: the chip then is as after
	// power-on.
	power(on bool)
}

// Slot is where a chip is plugged in. Its faults are those of the wires.
type Slot struct {
	bus  string // "spi:0.0": the bus's own select, if select is nil
	line *Line  // a GPIO line that selects the chip when it is low
	chip chip

	mu        sync.Mutex
	fault     Fault
	failAfter int // transactions until one fails; -1: none does
	failFor   int // as many fail then
	count     int
}

// Fault is what is wrong with the wires to a chip.
type Fault uint8

// The faults.
const (
	Healthy  Fault = iota
	AllZeros       // the data line is shorted to ground; the chip hears nothing
	AllOnes        // the chip select is off: the chip hears nothing, the data line is pulled up
	Broken         // transactions fail
	BitFlips       // one bit of each byte that is read is wrong
)

// add plugs in a chip.
func (b *Board) add(bus, cs string, c chip) *Slot {
	s := &Slot{bus: bus, chip: c, failAfter: -1}
	if cs != "" {
		s.line = b.Line(cs)
		s.line.drive(true)
	}
	b.mu.Lock()
	b.slots = append(b.slots, s)
	b.mu.Unlock()
	if s.line != nil {
		s.line.Watch(func(high bool) {
			if s.reached() {
				c.selected(!high)
			}
		})
	}
	return s
}

// SetFault breaks the wires, or mends them.
func (s *Slot) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// FailAfter has times transactions fail after n more good ones.
func (s *Slot) FailAfter(n, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failAfter, s.failFor = n, times
}

// Transactions is how many there were with the chip.
func (s *Slot) Transactions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Unplug takes the chip out: it loses its state, and zeros are read.
func (s *Slot) Unplug() {
	s.SetFault(AllZeros)
	s.chip.power(false)
}

// Plug puts the chip in again.
func (s *Slot) Plug() {
	s.SetFault(Healthy)
	s.chip.power(true)
}

// reached reports whether the chip hears what is sent.
func (s *Slot) reached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault == Healthy || s.fault == BitFlips
}

// begin counts a transaction and says what is wrong with it.
func (s *Slot) begin() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if s.failAfter > 0 {
		s.failAfter--
	} else if s.failAfter == 0 && s.failFor > 0 {
		s.failFor--
		return Broken
	}
	return s.fault
}

// port is a chip select as somebody opened it.
type port struct {
	board *Board
	bus   string

	mu        sync.Mutex
	connected bool
	closed    bool
}

// String implements spi.Port.
func (p *port) String() string { return p.bus }

// LimitSpeed implements spi.PortCloser.
func (p *port) LimitSpeed(physic.Frequency) error { return nil }

// Close implements spi.PortCloser.
func (p *port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("sim: %s: %w", p.bus, fs.ErrClosed)
	}
	p.closed = true
	return nil
}

// Connect implements spi.Port. As with periph it can be called once, even if it
// fails.
func (p *port) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	p.board.mu.Lock()
	refused := p.board.noCS
	p.board.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, fmt.Errorf("sim: %s: %w", p.bus, fs.ErrClosed)
	case p.connected:
		return nil, fmt.Errorf("sim: %s: connected already", p.bus)
	}
	p.connected = true
	switch {
	case mode&spi.NoCS != 0 && refused:
		return nil, fmt.Errorf("sim: %s: setting mode %v failed: %w", p.bus, mode, syscall.EINVAL)
	case mode&^spi.NoCS != spi.Mode0 || bits != 8:
		return nil, fmt.Errorf("sim: %s: mode %v with %d bits: %w", p.bus, mode, bits, errors.ErrUnsupported)
	case f < 100*physic.Hertz || f > 10*physic.MegaHertz:
		return nil, fmt.Errorf("sim: %s: a clock of %v", p.bus, f)
	}
	return &link{port: p, own: mode&spi.NoCS == 0}, nil
}

// link is a connection.
type link struct {
	port *port
	own  bool // the bus's own chip select moves
}

var (
	_ spi.Conn    = (*link)(nil)
	_ conn.Limits = (*link)(nil)
)

// String implements conn.Conn.
func (c *link) String() string { return c.port.bus }

// Duplex implements conn.Conn.
func (c *link) Duplex() conn.Duplex { return conn.Full }

// MaxTxSize implements conn.Limits: spidev's own.
func (c *link) MaxTxSize() int { return 4096 }

// TxPackets implements spi.Conn.
func (c *link) TxPackets([]spi.Packet) error {
	return fmt.Errorf("sim: %s: packets: %w", c.port.bus, errors.ErrUnsupported)
}

// Tx implements conn.Conn.
func (c *link) Tx(w, r []byte) error {
	n := max(len(w), len(r))
	if len(w) != len(r) && len(w) != 0 && len(r) != 0 || n == 0 || n > c.MaxTxSize() {
		return fmt.Errorf("sim: %s: %d bytes to write and %d to read", c.port.bus, len(w), len(r))
	}
	c.port.mu.Lock()
	closed := c.port.closed
	c.port.mu.Unlock()
	if closed {
		return fmt.Errorf("sim: %s: %w", c.port.bus, fs.ErrClosed)
	}
	b := c.port.board
	b.mu.Lock()
	slots := append([]*Slot(nil), b.slots...)
	b.mu.Unlock()
	in := make([]byte, n) // zeros where no chip drives the line: it is pulled down
	for _, s := range slots {
		own := s.line == nil && c.own && s.bus == c.port.bus
		if !own && (s.line == nil || s.line.High() || controller(s.bus) != controller(c.port.bus)) {
			continue
		}
		if err := s.exchange(w, in, own); err != nil {
			return fmt.Errorf("sim: %s: %w", c.port.bus, err)
		}
	}
	copy(r, in)
	return nil
}

// exchange has the chip's bytes in in. Own: its select moves with it.
func (s *Slot) exchange(w, in []byte, own bool) error {
	fault := s.begin()
	switch fault {
	case Broken:
		return syscall.EIO
	case AllZeros, AllOnes:
		for i := range in {
			in[i] = 0
			if fault == AllOnes {
				in[i] = 0xff
			}
		}
		return nil
	}
	if own {
		s.chip.selected(true)
		defer s.chip.selected(false)
	}
	for i := range in {
		out := byte(0)
		if i < len(w) {
			out = w[i]
		}
		in[i] = s.chip.shift(out)
		if fault == BitFlips {
			in[i] ^= 1 << (i % 8)
		}
	}
	return nil
}
