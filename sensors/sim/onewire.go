package sim

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"periph.io/x/conn/v3/onewire"
)

type oneWireMember struct {
	part    Part
	address onewire.Address
	chip    *ds18b20
}

// oneWireBus is the bus w1:sim.
type oneWireBus struct {
	lock   lock
	now    func() time.Time
	faults *Faults
	chips  []oneWireMember // in the order of a search
}

// ROM commands (DS18B20 datasheet, "ROM commands").
const (
	readROM  = 0x33
	matchROM = 0x55
	skipROM  = 0xcc
)

// reset is the pulse that begins a transaction: it gives the chips that are
// there, and the fault of the bus.
func (b *oneWireBus) reset() ([]oneWireMember, Fault, error) {
	f := b.faults.begin(BusOneWire)
	if f == AllZeros {
		return nil, f, oneWireError{"the data line is at ground", true}
	}
	var there []oneWireMember
	for _, m := range b.chips {
		if f != NAK && !b.faults.missing(m.part) {
			there = append(there, m)
		}
	}
	if len(there) == 0 {
		return nil, f, oneWireError{"no chip answers the reset", false}
	}
	return there, f, nil
}

// tx resets, writes and reads. What is read is what all chips that were called
// leave high.
func (b *oneWireBus) tx(w, r []byte) error {
	b.lock.acquire()
	defer b.lock.release()
	there, bus, err := b.reset()
	if err != nil {
		return err
	}
	fill(r, 0xff)
	for _, m := range there {
		rest, called := romCommand(w, m.address)
		if !called {
			continue
		}
		f := b.faults.either(bus, m.part)
		one := make([]byte, len(r))
		if w[0] == readROM {
			fill(one, 0xff)
			copy(one, binary.LittleEndian.AppendUint64(nil, uint64(m.address)))
		} else {
			m.chip.command(b.now(), f, rest, one)
		}
		f.spoil(one)
		for i, x := range one {
			r[i] &= x
		}
	}
	return nil
}

// romCommand says whether w calls the chip with the address a, and what is left
// for it.
func romCommand(w []byte, a onewire.Address) ([]byte, bool) {
	switch {
	case len(w) >= 9 && w[0] == matchROM:
		return w[9:], binary.LittleEndian.Uint64(w[1:]) == uint64(a)
	case len(w) > 0 && w[0] == skipROM:
		return w[1:], true
	}
	return nil, len(w) > 0 && w[0] == readROM
}

// search finds the chips, or those with an alarm.
func (b *oneWireBus) search(alarmOnly bool) ([]onewire.Address, error) {
	b.lock.acquire()
	defer b.lock.release()
	there, f, err := b.reset()
	if err != nil {
		return nil, err
	}
	if f == AllOnes {
		return nil, oneWireError{"the chips went away during the search", false}
	}
	var found []onewire.Address
	for _, m := range there {
		if !alarmOnly || m.chip.alarm(b.now(), f) {
			found = append(found, m.address)
		}
	}
	return found, nil
}

// oneWireError is an error of the bus. It implements the interfaces by which
// periph tells them apart.
type oneWireError struct {
	text    string
	shorted bool
}

var (
	_ onewire.NoDevicesError  = oneWireError{}
	_ onewire.ShortedBusError = oneWireError{}
	_ onewire.BusError        = oneWireError{}
)

// Error implements error.
func (e oneWireError) Error() string { return e.text }

// NoDevices implements onewire.NoDevicesError.
func (e oneWireError) NoDevices() bool { return !e.shorted }

// IsShorted implements onewire.ShortedBusError.
func (e oneWireError) IsShorted() bool { return e.shorted }

// BusError implements onewire.BusError.
func (e oneWireError) BusError() bool { return true }

// oneWireHandle is the bus as somebody opened it.
type oneWireHandle struct {
	bus    *oneWireBus
	closed atomic.Bool
}

var _ onewire.BusCloser = (*oneWireHandle)(nil)

// String implements onewire.Bus.
func (h *oneWireHandle) String() string { return oneWireName }

// Tx implements onewire.Bus. The chips have their own supply, so that the
// pull-up does not matter.
func (h *oneWireHandle) Tx(w, r []byte, _ onewire.Pullup) error {
	if h.closed.Load() {
		return fmt.Errorf("sim: %s: %w", oneWireName, fs.ErrClosed)
	}
	if err := h.bus.tx(w, r); err != nil {
		return fmt.Errorf("sim: %s: %w", oneWireName, err)
	}
	return nil
}

// Search implements onewire.Bus.
func (h *oneWireHandle) Search(alarmOnly bool) ([]onewire.Address, error) {
	if h.closed.Load() {
		return nil, fmt.Errorf("sim: %s: %w", oneWireName, fs.ErrClosed)
	}
	found, err := h.bus.search(alarmOnly)
	if err != nil {
		return found, fmt.Errorf("sim: %s: %w", oneWireName, err)
	}
	return found, nil
}

// Close implements onewire.BusCloser.
func (h *oneWireHandle) Close() error {
	if h.closed.Swap(true) {
		return fmt.Errorf("sim: %s: %w", oneWireName, fs.ErrClosed)
	}
	return nil
}
