package chip

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
)

var (
	busesLock sync.Mutex
	buses     = map[string]*sync.Mutex{}
)

// Exclusive is what to hold while a chip is selected by a line that is none of its
// bus's own chip selects: the kernel does not know that it is, and what somebody
// else transfers meanwhile would go to that chip too. All that use the bus have to
// hold it for their transfers, those with a chip select of the bus's own too. Bus
// is the name of any chip select of it, such as "spi:0.1". It is no lock for other
// processes.
func Exclusive(bus string) sync.Locker {
	name, _, _ := strings.Cut(bus, ".")
	busesLock.Lock()
	defer busesLock.Unlock()
	l, ok := buses[name]
	if !ok {
		l = &sync.Mutex{}
		buses[name] = l
	}
	return l
}

// Line is a connection to a chip. Its methods are for one goroutine.
type Line struct {
	port  spi.PortCloser
	conn  spi.Conn
	cs    radio.Output // nil: the bus selects
	alone sync.Locker
}

// Connect opens a bus. Where the select is on a line of its own the bus need not
// move its own one, but some kernels refuse that: it then moves for nothing. A port
// can be connected once, even if that fails. Cs stays the caller's.
func Connect(b radio.Board, bus string, cs radio.Output, speed physic.Frequency) (*Line, error) {
	modes := []spi.Mode{spi.Mode0}
	if cs != nil {
		modes = []spi.Mode{spi.Mode0 | spi.NoCS, spi.Mode0}
	}
	var err error
	for _, m := range modes {
		port, e := b.SPI(bus)
		if e != nil {
			return nil, e
		}
		c, e := port.Connect(speed, m, 8)
		if e == nil {
			return &Line{port, c, cs, Exclusive(bus)}, nil
		}
		err = errors.Join(fmt.Errorf("%s: %w", bus, e), port.Close())
	}
	return nil, err
}

// Tx exchanges as many bytes as w and r have, with the bus to itself while the chip
// is selected.
func (l *Line) Tx(w, r []byte) error {
	l.alone.Lock()
	defer l.alone.Unlock()
	if l.cs == nil {
		return l.conn.Tx(w, r)
	}
	if err := l.cs.Set(false); err != nil {
		return errors.Join(err, l.cs.Set(true))
	}
	return errors.Join(l.conn.Tx(w, r), l.cs.Set(true))
}

// Close closes the port.
func (l *Line) Close() error { return l.port.Close() }

// Buses are what buses are opened by: a part of radio.Board, and of what sensors
// are reached by.
type Buses interface {
	SPI(bus string) (spi.PortCloser, error)
}

// Shared gives buses to those who know nothing of the chips here: each of their
// transfers holds Exclusive. The drivers of the chips hold it themselves: they must
// not be given a Shared, or they wait for themselves.
type Shared struct{ Buses Buses }

// SPI opens a chip select.
func (s Shared) SPI(bus string) (spi.PortCloser, error) {
	p, err := s.Buses.SPI(bus)
	if err != nil {
		return nil, err
	}
	return sharedPort{p, Exclusive(bus)}, nil
}

type sharedPort struct {
	spi.PortCloser
	alone sync.Locker
}

// Connect implements spi.Port.
func (p sharedPort) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	c, err := p.PortCloser.Connect(f, mode, bits)
	if err != nil {
		return nil, err
	}
	shared := sharedConn{c, p.alone}
	if l, ok := c.(conn.Limits); ok {
		return limitedConn{shared, l}, nil
	}
	return shared, nil
}

type sharedConn struct {
	spi.Conn
	alone sync.Locker
}

// limitedConn is one that says how much it takes.
type limitedConn struct {
	sharedConn
	conn.Limits
}

// Tx implements conn.Conn.
func (c sharedConn) Tx(w, r []byte) error {
	c.alone.Lock()
	defer c.alone.Unlock()
	return c.Conn.Tx(w, r)
}

// TxPackets implements spi.Conn.
func (c sharedConn) TxPackets(p []spi.Packet) error {
	c.alone.Lock()
	defer c.alone.Unlock()
	return c.Conn.TxPackets(p)
}
