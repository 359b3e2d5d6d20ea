package sx127x

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
)

// chip is the chip with the lines that it is reached by. One goroutine uses it.
type chip struct {
	port  spi.PortCloser
	conn  spi.Conn
	cs    radio.Output // nil: the bus selects
	reset radio.Output // nil: not wired
	irq   radio.Input  // nil: not wired

	out, in [1 + 256]byte
}

// open takes the bus and the lines. What it got it gives back if something fails.
func open(c *Config) (_ *chip, err error) {
	h := &chip{}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if c.ChipSelect != "" {
		if h.cs, err = c.Board.Output(c.ChipSelect, true); err != nil {
			return nil, fmt.Errorf("chip select: %w", err)
		}
	}
	if c.Reset != "" {
		// Low from here on: init lets it go.
		if h.reset, err = c.Board.Output(c.Reset, false); err != nil {
			return nil, fmt.Errorf("reset: %w", err)
		}
	}
	if c.IRQ != "" {
		if h.irq, err = c.Board.Input(c.IRQ, true); err != nil {
			return nil, fmt.Errorf("DIO0: %w", err)
		}
	}
	return h, h.connect(c)
}

// connect opens the bus. Where NSS is on a line of its own the bus need not move
// its own one, but some kernels refuse that: it then moves for nothing. A port can
// be connected once, even if that fails.
func (h *chip) connect(c *Config) (err error) {
	modes := []spi.Mode{spi.Mode0}
	if h.cs != nil {
		modes = []spi.Mode{spi.Mode0 | spi.NoCS, spi.Mode0}
	}
	for _, m := range modes {
		if h.port, err = c.Board.SPI(c.Bus); err != nil {
			return err
		}
		if h.conn, err = h.port.Connect(c.Speed, m, 8); err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", c.Bus, err)
		if cerr := h.port.Close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
		h.port = nil
	}
	return err
}

// close gives back what open took.
func (h *chip) close() {
	if h.port != nil {
		_ = h.port.Close()
	}
	for _, o := range []radio.Output{h.cs, h.reset} {
		if o != nil {
			_ = o.Close()
		}
	}
	if h.irq != nil {
		_ = h.irq.Close()
	}
}

// tx makes one access (section 4.3): n bytes at out, beginning with the address.
func (h *chip) tx(n int) error {
	if h.cs == nil {
		return h.conn.Tx(h.out[:n], h.in[:n])
	}
	if err := h.cs.Set(false); err != nil {
		return err
	}
	err := h.conn.Tx(h.out[:n], h.in[:n])
	return errors.Join(err, h.cs.Set(true))
}

// read gives up to 256 bytes from a register on; of the FIFO all are its own.
// They are valid until the next access.
func (h *chip) read(addr byte, n int) ([]byte, error) {
	h.out[0] = addr
	clear(h.out[1 : 1+n])
	if err := h.tx(1 + n); err != nil {
		return nil, fmt.Errorf("read of register 0x%02x: %w", addr, err)
	}
	return h.in[1 : 1+n], nil
}

// get reads one register.
func (h *chip) get(addr byte) (byte, error) {
	b, err := h.read(addr, 1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// put writes up to 256 bytes from a register on.
func (h *chip) put(addr byte, value ...byte) error {
	h.out[0] = addr | 0x80
	copy(h.out[1:], value)
	if err := h.tx(1 + len(value)); err != nil {
		return fmt.Errorf("write to register 0x%02x: %w", addr, err)
	}
	return nil
}

// putAll makes writes in their order.
func (h *chip) putAll(writes ...[]write) error {
	for _, list := range writes {
		for _, w := range list {
			if err := h.put(w.addr, w.value...); err != nil {
				return err
			}
		}
	}
	return nil
}

// verify reads back what was written. Of the LNA it is the boost: with the
// automatic gain control on, the gain that is read is the present one (table 42,
// RegLna).
func (h *chip) verify(writes ...[]write) error {
	for _, list := range writes {
		for _, w := range list {
			b, err := h.read(w.addr, len(w.value))
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

// readBack has the bits of a register that are read as they were written.
func readBack(addr byte) byte {
	if addr == regLna {
		return 0x03
	}
	return 0xff
}

// halt has the chip sleep, whichever of its two modems it is in: that changes in
// sleep only (section 4.1.6).
func (h *chip) halt() error {
	op, err := h.get(regOpMode)
	if err != nil || op&opModes == opSleep {
		return err
	}
	return h.put(regOpMode, op&(opLongRange|opLowFrequency)|opSleep)
}
