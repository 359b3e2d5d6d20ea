package sx126x

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// Errors of a chip.
var (
	// ErrAbsent: nothing answers on the bus.
	ErrAbsent = errors.New("no chip answers")
	// ErrBusy: the line BUSY stays high.
	ErrBusy = errors.New("the chip stays busy")
	// ErrMode: the chip does something else than it was told.
	ErrMode = errors.New("the chip has left its mode")
)

// lines are the GPIO lines that a chip uses; nil ones are not wired.
type lines struct {
	cs, reset, txEnable, rxEnable radio.Output
	enable                        []radio.Output
	irq, busy                     radio.Input
}

// take takes all lines that c names.
func (l *lines) take(c *Config) error {
	output := func(to *radio.Output, what, pin string, high bool) error {
		if pin == "" {
			return nil
		}
		o, err := c.Board.Output(pin, high)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		*to = o
		return nil
	}
	input := func(to *radio.Input, what, pin string, edges bool) error {
		if pin == "" {
			return nil
		}
		in, err := c.Board.Input(pin, edges)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		*to = in
		return nil
	}
	for _, pin := range c.Enable {
		var o radio.Output
		if err := output(&o, "enable", pin, true); err != nil {
			return err
		}
		l.enable = append(l.enable, o)
	}
	for _, err := range []error{
		output(&l.cs, "chip select", c.ChipSelect, true),
		output(&l.reset, "reset", c.Reset, true),
		output(&l.txEnable, "tx enable", c.TXEnable, false),
		output(&l.rxEnable, "rx enable", c.RXEnable, false),
		input(&l.busy, "busy", c.Busy, false),
		input(&l.irq, "DIO1", c.IRQ, true),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// release lets go of all lines.
func (l *lines) release() error {
	var all []error
	for _, o := range l.enable {
		all = append(all, o.Set(false))
	}
	for _, o := range append([]radio.Output{l.cs, l.reset, l.txEnable, l.rxEnable}, l.enable...) {
		if o != nil {
			all = append(all, o.Close())
		}
	}
	for _, in := range []radio.Input{l.irq, l.busy} {
		if in != nil {
			all = append(all, in.Close())
		}
	}
	*l = lines{}
	return errors.Join(all...)
}

// antenna moves the antenna switch.
func (l *lines) antenna(tx, rx bool) error {
	var err error
	set := func(o radio.Output, high bool) {
		if o != nil {
			err = errors.Join(err, o.Set(high))
		}
	}
	// Never both at the same time.
	if !tx {
		set(l.txEnable, false)
	}
	set(l.rxEnable, rx)
	if tx {
		set(l.txEnable, true)
	}
	return err
}

// bus is the connection to the chip.
type bus struct {
	line   *chip.Line // nil: not open
	ready  time.Time  // without BUSY: when the next command may come
	w, r   [4 + 256]byte
	status byte          // the last one
	cost   time.Duration // of the shortest transaction since it was set
}

// Times in which the chip has to be ready (section 8.3.1 and table 8-2 have the
// typical ones).
const (
	busyLimit  = 100 * time.Millisecond
	busyPause  = 100 * time.Microsecond
	busyPauses = 20 // looks without a pause
)

// waits are how long commands keep the chip busy, at most, without a line that
// tells: twice what is typical. Commands that read are done when they end.
var waits = map[byte]time.Duration{
	opCalibrate:      10 * time.Millisecond,
	opCalibrateImage: 10 * time.Millisecond,
	opSetSleep:       time.Millisecond, // section 13.1.1: 500 µs
	opSetStandby:     switchWait,
	opSetFs:          switchWait,
	opSetRx:          switchWait,
	opSetTx:          switchWait,

	opGetStats: 0, opGetIrqStatus: 0, opGetRxBufferStatus: 0, opGetPacketStatus: 0, opGetRssiInst: 0, opGetDeviceErrors: 0,
	opGetStatus: 0, opReadRegister: 0, opReadBuffer: 0,
}

const (
	switchWait = 300 * time.Microsecond
	usualWait  = 50 * time.Microsecond
	startWait  = 10 * time.Millisecond // reset and wake-up: 3.5 ms
)

// free waits until the chip takes commands.
func (d *device) free(ctx context.Context) error {
	if d.busy == nil {
		return chip.Pause(ctx, time.Until(d.ready))
	}
	var end time.Time
	for n := 0; ; n++ {
		high, err := d.busy.Level()
		switch {
		case err != nil:
			return fmt.Errorf("busy: %w", err)
		case !high:
			return nil
		case n < busyPauses:
			continue
		case end.IsZero():
			end = time.Now().Add(busyLimit)
		case time.Now().After(end):
			return fmt.Errorf("%w: BUSY is high for more than %v", ErrBusy, busyLimit)
		}
		if err := chip.Pause(ctx, busyPause); err != nil {
			return err
		}
	}
}

// exchange writes w and reads as many bytes into d.r.
func (d *device) exchange(n int) error {
	began := time.Now()
	err := d.line.Tx(d.w[:n], d.r[:n])
	ended := time.Now()
	d.cost = min(d.cost, ended.Sub(began))
	wait, ok := waits[d.w[0]]
	if !ok {
		wait = usualWait
	}
	d.ready = ended.Add(wait)
	return err
}

// do is one command: it waits until the chip is ready, and looks at the status
// that comes back, which only a chip gives. The answer is valid until the next
// command.
func (d *device) do(ctx context.Context, op byte, parameters ...byte) ([]byte, error) {
	if err := d.free(ctx); err != nil {
		return nil, err
	}
	n := 1 + len(parameters)
	d.w[0] = op
	copy(d.w[1:], parameters)
	if err := d.exchange(n); err != nil {
		return nil, fmt.Errorf("command 0x%02x: %w", op, err)
	}
	answer := d.r[:n]
	if n == 1 {
		return answer, nil
	}
	d.status = answer[1]
	if m := mode(d.status); m < modeRC || m > modeTX {
		return nil, fmt.Errorf("command 0x%02x: %w: the status is 0x%02x; are chip select, reset and the wires of the bus right?", op, ErrAbsent, d.status)
	}
	return answer, nil
}

// mode is what the chip does, by its status byte.
func mode(status byte) byte { return status >> 4 & 7 }

// all does commands in their order; the first byte of each is the opcode.
func (d *device) all(ctx context.Context, commands ...[]byte) error {
	for _, c := range commands {
		if len(c) == 0 {
			continue
		}
		if _, err := d.do(ctx, c[0], c[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// get reads n bytes behind the status of a command (section 13.5).
func (d *device) get(ctx context.Context, op byte, n int) ([]byte, error) {
	var zeros [16]byte
	r, err := d.do(ctx, op, zeros[:1+n]...)
	if err != nil {
		return nil, err
	}
	return r[2:], nil
}

// read reads n bytes from a register on (section 13.2.2).
func (d *device) read(ctx context.Context, register uint16, n int) ([]byte, error) {
	p := make([]byte, 3+n)
	p[0], p[1] = byte(register>>8), byte(register)
	r, err := d.do(ctx, opReadRegister, p...)
	if err != nil {
		return nil, err
	}
	return r[4:], nil
}

// write is the command that writes registers (section 13.2.1).
func write(register uint16, v ...byte) []byte {
	return append([]byte{opWriteRegister, byte(register >> 8), byte(register)}, v...)
}

// change sets and clears bits of a register.
func (d *device) change(ctx context.Context, register uint16, set, clear byte) error {
	b, err := d.read(ctx, register, 1)
	if err != nil {
		return err
	}
	return d.all(ctx, write(register, b[0]&^clear|set))
}
