package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// spiBus is the chip select spi:sim.
type spiBus struct {
	lock   lock
	now    func() time.Time
	faults *Faults
	chip   *mcp3008
}

// maxSPI is how much spidev takes at once by default.
const maxSPI = 4096

// exchange selects the chip once. Understood: with a clock that the chip knows.
func (b *spiBus) exchange(w, r []byte, understood bool) {
	b.lock.acquire()
	defer b.lock.release()
	f := b.faults.either(b.faults.begin(BusSPI), ChipMCP3008)
	if f == NAK || !understood {
		fill(r, 0xff)
		return
	}
	copy(r, b.chip.exchange(b.now(), w))
	f.spoil(r)
}

// spiPort is the chip select as somebody opened it.
type spiPort struct {
	bus *spiBus

	mu        sync.Mutex
	connected bool
	closed    bool
}

var _ spi.PortCloser = (*spiPort)(nil)

// String implements spi.Port.
func (p *spiPort) String() string { return spiName }

// Connect implements spi.Port, with the limits of Linux and of most controllers:
// words have 8 bits.
func (p *spiPort) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, fmt.Errorf("sim: %s: %w", spiName, fs.ErrClosed)
	case p.connected:
		return nil, fmt.Errorf("sim: %s: connected already", spiName)
	case mode&^(spi.Mode3|spi.HalfDuplex|spi.NoCS|spi.LSBFirst) != 0:
		return nil, fmt.Errorf("sim: %s: there is no mode %v", spiName, mode)
	case mode&(spi.HalfDuplex|spi.NoCS|spi.LSBFirst) != 0 || bits != 8:
		return nil, fmt.Errorf("sim: %s: mode %v with %d bits: %w", spiName, mode, bits, errors.ErrUnsupported)
	}
	if err := checkSpeed(f); err != nil {
		return nil, err
	}
	p.connected = true
	return &spiConn{port: p, understood: mode == spi.Mode0 || mode == spi.Mode3}, nil
}

// LimitSpeed implements spi.PortCloser.
func (p *spiPort) LimitSpeed(f physic.Frequency) error { return checkSpeed(f) }

// checkSpeed refuses what spidev refuses.
func checkSpeed(f physic.Frequency) error {
	if f < 100*physic.Hertz || f > physic.GigaHertz {
		return fmt.Errorf("sim: %s: a clock of %v", spiName, f)
	}
	return nil
}

// Close implements spi.PortCloser.
func (p *spiPort) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("sim: %s: %w", spiName, fs.ErrClosed)
	}
	p.closed = true
	return nil
}

// spiConn is a connection to the chip. The MCP3008 knows modes 0 and 3; in the
// others it understands nothing.
type spiConn struct {
	port       *spiPort
	understood bool
}

var (
	_ spi.Conn    = (*spiConn)(nil)
	_ conn.Limits = (*spiConn)(nil)
)

// String implements conn.Conn.
func (c *spiConn) String() string { return spiName }

// Duplex implements conn.Conn.
func (c *spiConn) Duplex() conn.Duplex { return conn.Full }

// MaxTxSize implements conn.Limits.
func (c *spiConn) MaxTxSize() int { return maxSPI }

// Tx implements conn.Conn.
func (c *spiConn) Tx(w, r []byte) error { return c.TxPackets([]spi.Packet{{W: w, R: r}}) }

// TxPackets implements spi.Conn. The chip cannot be left selected by the last
// packet.
func (c *spiConn) TxPackets(packets []spi.Packet) error {
	total := 0
	for i, p := range packets {
		switch {
		case len(p.W) != len(p.R) && len(p.W) != 0 && len(p.R) != 0:
			return fmt.Errorf("sim: %s: %d bytes to write and %d to read", spiName, len(p.W), len(p.R))
		case p.BitsPerWord != 0 && p.BitsPerWord != 8:
			return fmt.Errorf("sim: %s: words of %d bits: %w", spiName, p.BitsPerWord, errors.ErrUnsupported)
		case p.KeepCS && i == len(packets)-1:
			return fmt.Errorf("sim: %s: leaving the chip selected: %w", spiName, errors.ErrUnsupported)
		}
		total += max(len(p.W), len(p.R))
	}
	if total == 0 || total > maxSPI {
		return fmt.Errorf("sim: %s: a transaction of %d bytes, not 1 to %d", spiName, total, maxSPI)
	}
	c.port.mu.Lock()
	closed := c.port.closed
	c.port.mu.Unlock()
	if closed {
		return fmt.Errorf("sim: %s: %w", spiName, fs.ErrClosed)
	}
	for len(packets) > 0 {
		n := 1
		for packets[n-1].KeepCS {
			n++
		}
		c.selected(packets[:n])
		packets = packets[n:]
	}
	return nil
}

// selected is what happens while the chip stays selected. Where nothing is
// written, zeros are.
func (c *spiConn) selected(packets []spi.Packet) {
	var w []byte
	for _, p := range packets {
		out := make([]byte, max(len(p.W), len(p.R)))
		copy(out, p.W)
		w = append(w, out...)
	}
	r := make([]byte, len(w))
	c.port.bus.exchange(w, r, c.understood)
	for _, p := range packets {
		copy(p.R, r)
		r = r[max(len(p.W), len(p.R)):]
	}
}
