package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// SX1262Options say which chip of the family it is and how it is wired. Pins that
// are "" are not wired.
type SX1262Options struct {
	Name string // of its antenna; "": the bus
	Bus  string // such as "spi:0.0"

	CS    string // "": the bus's own
	Reset string // low while it resets
	Busy  string
	DIO1  string
	// TXEnable and RXEnable move the antenna switch: the chip is cut off the
	// antenna where the one of what it does is not high, or the other one is.
	TXEnable, RXEnable string
	// DIO2Switch says that DIO2 moves the antenna switch.
	DIO2Switch bool
	// TCXO is the voltage that the oscillator needs of DIO3; 0: there is a crystal.
	TCXO float64
	// Model is SX1261, SX1262 or SX1268; "": SX1262.
	Model string
	// Version is the text at register 0x0320; "": as chips have it, which is the
	// one of an SX1261 in all of them.
	Version string
}

// SX1262 is a Semtech SX1261, SX1262 or SX1268 as far as SPI, its lines and the
// air can see it. Its behaviour follows the datasheet DS.SX1261-2 (sections are
// those of revision 2.1), LoRa only. Left out are FSK, LR-FHSS, channel activity
// detection, duty-cycled reception, and what temperature and voltage do.
//
// The times of BUSY are the typical ones of section 8.3.1. Commands that take
// less than a few microseconds take none here.
type SX1262 struct {
	*Slot
	o       SX1262Options
	board   *Board
	antenna *Antenna
	busy    *Line
	dio1    *Line

	mu sync.Mutex

	// The transaction under way.
	in      []byte
	ignored bool // the chip was not ready when it began

	mode     sx1262Mode
	until    time.Time // end of BUSY
	epoch    int       // changes with the mode: timers of former ones do nothing
	command  byte      // the status byte's command status
	memory   [0x1000]byte
	buffer   [256]byte
	irq      uint16
	irqMask  uint16
	dio1Mask uint16
	errors   uint16
	stats    [3]uint16 // received, wrong checksum, wrong header
	set      map[byte][]byte
	calFrom  uint32 // band of the image calibration, in Hz
	calTo    uint32
	calOK    bool // the oscillator ran when the chip was calibrated

	since      time.Time // of receiving
	continuous bool
	rxNext     byte // where the next frame goes
	rxStart    byte
	rxLength   byte
	packet     [3]byte // packet status

	deaf     bool
	stuck    bool // BUSY stays high
	hang     bool // transmissions do not end
	resetAt  time.Time
	commands []Command
	wrong    []string
}

// Command is what was written while the chip was selected once.
type Command struct {
	At time.Time // when NSS went high
	W  []byte    // with the zeros that were written to read
	// Idle says that it asked for interrupts when there were none.
	Idle bool
}

// String is the bytes in hexadecimal.
func (a Command) String() string { return strings.ToUpper(fmt.Sprintf("% x", a.W)) }

// keptCommands is how many commands the chip remembers.
const keptCommands = 8192

// AddSX1262 plugs in a chip.
func (b *Board) AddSX1262(o SX1262Options) *SX1262 {
	if o.Name == "" {
		o.Name = o.Bus
	}
	if o.Model == "" {
		o.Model = "SX1262"
	}
	if o.Version == "" {
		o.Version = "SX1261 V2D 2D02"
	}
	c := &SX1262{o: o, board: b}
	line := func(pin string) *Line {
		if pin == "" {
			return &Line{}
		}
		return b.Line(pin)
	}
	c.busy, c.dio1 = line(o.Busy), line(o.DIO1)
	c.antenna = b.air.Attach(o.Name, c)
	c.power(true)
	c.Slot = b.add(o.Bus, o.CS, c)
	if o.Reset != "" {
		l := b.Line(o.Reset)
		l.drive(true) // its pull-up
		l.Watch(c.resets)
	}
	return c
}

// Antenna is the chip's.
func (c *SX1262) Antenna() *Antenna { return c.antenna }

// Violations are the uses that the datasheet forbids, in their order.
func (c *SX1262) Violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.wrong)
}

// Commands gives the last 8192 commands, the oldest first.
func (c *SX1262) Commands() []Command {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.commands)
}

// Register reads a register as the chip has it.
func (c *SX1262) Register(address uint16) byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memory[int(address)%len(c.memory)]
}

// SetRegister writes a register behind the driver's back.
func (c *SX1262) SetRegister(address uint16, v byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory[int(address)%len(c.memory)] = v
}

// Mode is what the chip does: "off", "sleep", "standby RC", "standby XOSC", "FS",
// "RX" or "TX".
func (c *SX1262) Mode() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode.String()
}

// Deafen has the receiver hear nothing, although it says that it receives, until
// it is reset.
func (c *SX1262) Deafen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = true
}

// StickBusy holds BUSY high, or lets go of it.
func (c *SX1262) StickBusy(stuck bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stuck = stuck
	c.showBusy()
}

// Hang has the transmissions from now on not end, until false.
func (c *SX1262) Hang(hang bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hang = hang
}

// Brownout has the chip lose its settings by itself.
func (c *SX1262) Brownout() {
	c.power(false)
	c.power(true)
}

// Forget has the chip lose its settings of interrupts.
func (c *SX1262) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.irqMask, c.dio1Mask = 0, 0
}

// violate remembers a wrong use.
func (c *SX1262) violate(format string, a ...any) {
	if len(c.wrong) < 1000 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, a...))
	}
}

// selected implements chip.
func (c *SX1262) selected(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if on {
		c.in = c.in[:0]
		c.ignored = true
		switch {
		case c.mode == sx1262Off:
		case c.mode == sx1262Sleep: // the edge wakes the chip up, the command is lost
			c.wake()
		case now.Before(c.until) || c.stuck:
			c.violate("command while BUSY")
		default:
			c.ignored = false
		}
		return
	}
	if len(c.in) == 0 {
		return
	}
	idle := c.in[0] == opGetIrqStatus && c.irq == 0
	c.commands = append(c.commands, Command{now, slices.Clone(c.in), idle})
	if len(c.commands) > keptCommands {
		c.commands = slices.Clone(c.commands[keptCommands/2:])
	}
	if !c.ignored {
		c.execute(c.in[0], c.in[1:])
	}
	c.ignored = true
}

// shift implements chip. While the opcode and parameters go in, the status comes
// out (section 8.2.1).
func (c *SX1262) shift(w byte) byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.in)
	if n < 600 {
		c.in = append(c.in, w)
	}
	if c.ignored {
		return 0
	}
	status := c.status()
	if n == 0 {
		return status
	}
	if out, ok := c.answer(n); ok {
		return out
	}
	return status
}

// status is the status byte (section 13.5.1). Its highest bit is reserved and set
// in real chips.
func (c *SX1262) status() byte { return 0x80 | byte(c.mode)<<4&0x70 | c.command<<1 }

// answer is what comes out as byte n of the transaction, if it is data.
func (c *SX1262) answer(n int) (byte, bool) {
	switch op := c.in[0]; {
	case op == opReadRegister && n >= 4:
		at := int(c.in[1])<<8 | int(c.in[2])
		return c.memory[(at+n-4)%len(c.memory)], true
	case op == opReadBuffer && n >= 3:
		return c.buffer[byte(int(c.in[1])+n-3)], true
	case n < 2:
		return 0, false
	default:
		data, ok := c.reading(op)
		if !ok {
			return 0, false
		}
		if n-2 < len(data) {
			return data[n-2], true
		}
		return 0, true
	}
}

// reading is the data behind the status of a command that reads.
func (c *SX1262) reading(op byte) ([]byte, bool) {
	word := func(v ...uint16) (out []byte) {
		for _, w := range v {
			out = append(out, byte(w>>8), byte(w))
		}
		return out
	}
	switch op {
	case opGetPacketType:
		return []byte{1}, true
	case opGetIrqStatus:
		c.sense()
		return word(c.irq), true
	case opGetRxBufferStatus:
		return []byte{c.rxLength, c.rxStart}, true
	case opGetPacketStatus:
		return c.packet[:], true
	case opGetRssiInst:
		return []byte{c.rssi()}, true
	case opGetStats:
		return word(c.stats[:]...), true
	case opGetDeviceErrors:
		return word(c.errors), true
	}
	return nil, false
}
