package sx127x

import (
	"errors"
	"fmt"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// device is the chip with the lines that it is reached by.
type device struct {
	c  Config
	rx air  // what it listens to
	lf bool // on the low-frequency port

	line  *chip.Line   // nil: not open
	cs    radio.Output // nil: the bus selects
	reset radio.Output // nil: not wired
	irq   radio.Input  // nil: not wired
	known bool         // it is a chip of this driver's

	out, in [1 + 256]byte
	cost    time.Duration // of an access of two bytes
}

var _ chip.Chip = (*device)(nil)

// take takes the bus and the lines.
func (d *device) take() (err error) {
	b := d.c.Board
	if d.c.ChipSelect != "" {
		if d.cs, err = b.Output(d.c.ChipSelect, true); err != nil {
			return fmt.Errorf("chip select: %w", err)
		}
	}
	if d.c.Reset != "" {
		// Low from here on: Open lets it go.
		if d.reset, err = b.Output(d.c.Reset, false); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	if d.c.IRQ != "" {
		if d.irq, err = b.Input(d.c.IRQ, true); err != nil {
			return fmt.Errorf("DIO0: %w", err)
		}
	}
	d.line, err = chip.Connect(b, d.c.Bus, d.cs, d.c.Speed)
	return err
}

// Close implements chip.Chip. The chip is left asleep, if it can be reached.
func (d *device) Close() error {
	var err error
	if d.line != nil {
		if d.known {
			err = d.halt()
		}
		err = errors.Join(err, d.line.Close())
	}
	for _, o := range []radio.Output{d.cs, d.reset} {
		if o != nil {
			err = errors.Join(err, o.Close())
		}
	}
	if d.irq != nil {
		err = errors.Join(err, d.irq.Close())
	}
	d.line, d.cs, d.reset, d.irq, d.known = nil, nil, nil, nil, false
	return err
}

// Interrupt implements chip.Chip.
func (d *device) Interrupt() radio.Input {
	if d.irq == nil {
		return nil
	}
	return d.irq
}

// tx makes one access (section 4.3): n bytes at out, beginning with the address.
func (d *device) tx(n int) error {
	began := time.Now()
	err := d.line.Tx(d.out[:n], d.in[:n])
	if n == 2 {
		d.cost = min(d.cost, time.Since(began))
	}
	return err
}

// read gives up to 256 bytes from a register on; of the FIFO all are its own.
// They are valid until the next access.
func (d *device) read(addr byte, n int) ([]byte, error) {
	d.out[0] = addr
	clear(d.out[1 : 1+n])
	if err := d.tx(1 + n); err != nil {
		return nil, fmt.Errorf("read of register 0x%02x: %w", addr, err)
	}
	return d.in[1 : 1+n], nil
}

// get reads one register.
func (d *device) get(addr byte) (byte, error) {
	b, err := d.read(addr, 1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// put writes up to 256 bytes from a register on.
func (d *device) put(addr byte, value ...byte) error {
	d.out[0] = addr | 0x80
	copy(d.out[1:], value)
	if err := d.tx(1 + len(value)); err != nil {
		return fmt.Errorf("write to register 0x%02x: %w", addr, err)
	}
	return nil
}

// putAll makes writes in their order.
func (d *device) putAll(writes ...[]write) error {
	for _, list := range writes {
		for _, w := range list {
			if err := d.put(w.addr, w.value...); err != nil {
				return err
			}
		}
	}
	return nil
}

// verify reads back what was written.
func (d *device) verify(writes ...[]write) error {
	for _, list := range writes {
		for _, w := range list {
			b, err := d.read(w.addr, len(w.value))
			if err != nil {
				return err
			}
			for i, v := range w.value {
				if mask := readBack(w.addr + byte(i)); (b[i]^v)&mask != 0 {
					return fmt.Errorf("%w: register 0x%02x is 0x%02x, 0x%02x was written", errSettings, w.addr+byte(i), b[i], v)
				}
			}
		}
	}
	return nil
}

// readBack has the bits of a register that are read as they were written. Of the
// LNA it is the boost: with the automatic gain control on, the gain that is read is
// the present one (register table, RegLna).
func readBack(addr byte) byte {
	if addr == regLna {
		return 0x03
	}
	return 0xff
}

// mode is OpMode in LoRa mode.
func (d *device) mode(m byte) byte {
	if d.lf {
		return opLongRange | opLowFrequency | m
	}
	return opLongRange | m
}

// halt has the chip sleep, whichever of its two modems it is in: that changes in
// sleep only (register table, RegOpMode).
func (d *device) halt() error {
	op, err := d.get(regOpMode)
	if err != nil || op&opModes == opSleep {
		return err
	}
	return d.put(regOpMode, op&(opLongRange|opLowFrequency)|opSleep)
}
