package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// i2cChip is a chip on the I2C bus. Both methods are called at time t with the
// bus locked, and say whether the chip acknowledges.
type i2cChip interface {
	// write gets what follows the address, at least one byte.
	write(t time.Time, f Fault, w []byte) bool
	// read fills r, at least one byte.
	read(t time.Time, f Fault, r []byte) bool
	// reset is the general call reset; false: the chip has none.
	reset(t time.Time) bool
}

type i2cMember struct {
	part Part
	chip i2cChip
}

// i2cBus is the bus i2c:sim.
type i2cBus struct {
	lock   lock
	now    func() time.Time
	faults *Faults
	chips  map[uint16]i2cMember // by address
}

// Limits of the kernel's i2c-dev.
const (
	maxAddress = 0x7f
	maxMessage = 8192
)

// generalCall is the address of all chips; generalReset what they may obey (I2C
// specification UM10204 section 3.1.13).
const (
	generalCall  = 0x00
	generalReset = 0x06
)

func (b *i2cBus) tx(addr uint16, w, r []byte) error {
	b.lock.acquire()
	defer b.lock.release()
	bus := b.faults.begin(BusI2C)
	m, ok := b.chips[addr]
	switch {
	case bus == NAK:
		return ErrNAK
	case addr == generalCall:
		return b.callAll(w, r)
	case !ok:
		return ErrNAK
	}
	f := b.faults.either(bus, m.part)
	if f == NAK {
		return ErrNAK
	}
	t := b.now() // not before: the bus may have been stuck
	if len(w) > 0 && !m.chip.write(t, f, w) {
		return ErrNAK
	}
	if len(r) > 0 && !m.chip.read(t, f, r) {
		return ErrNAK
	}
	f.spoil(r)
	return nil
}

// callAll is a transaction with the general call address.
func (b *i2cBus) callAll(w, r []byte) error {
	if len(w) == 0 || len(r) > 0 || w[0] != generalReset {
		return ErrNAK
	}
	heard := false
	t := b.now()
	for _, m := range b.chips {
		if !b.faults.missing(m.part) && m.chip.reset(t) {
			heard = true
		}
	}
	if !heard {
		return ErrNAK
	}
	return nil
}

// i2cHandle is the bus as somebody opened it.
type i2cHandle struct {
	bus    *i2cBus
	closed atomic.Bool
}

var _ i2c.BusCloser = (*i2cHandle)(nil)

// String implements i2c.Bus.
func (h *i2cHandle) String() string { return i2cName }

// Tx implements i2c.Bus, with the limits of Linux.
func (h *i2cHandle) Tx(addr uint16, w, r []byte) error {
	switch {
	case h.closed.Load():
		return fmt.Errorf("sim: %s: %w", i2cName, fs.ErrClosed)
	case addr > maxAddress:
		return fmt.Errorf("sim: %s: 0x%x is no address of 7 bits", i2cName, addr)
	case len(w) > maxMessage || len(r) > maxMessage:
		return fmt.Errorf("sim: %s: a message of more than %d bytes", i2cName, maxMessage)
	case len(w) == 0 && len(r) == 0:
		return nil
	}
	if err := h.bus.tx(addr, w, r); err != nil {
		return fmt.Errorf("sim: %s, address 0x%02x: %w", i2cName, addr, err)
	}
	return nil
}

// SetSpeed implements i2c.Bus. As on most boards, it cannot be set.
func (h *i2cHandle) SetSpeed(physic.Frequency) error {
	return fmt.Errorf("sim: %s: %w", i2cName, errors.ErrUnsupported)
}

// Close implements i2c.BusCloser.
func (h *i2cHandle) Close() error {
	if h.closed.Swap(true) {
		return fmt.Errorf("sim: %s: %w", i2cName, fs.ErrClosed)
	}
	return nil
}
