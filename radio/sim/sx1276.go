package sim

import (
	"slices"
	"sync"
	"time"
)

// SX1276Options say how an SX1276 is wired.
type SX1276Options struct {
	Name    string // of its antenna; "": the bus
	Bus     string // such as "spi:0.0"
	CS      string // GPIO line of the chip select; "": the bus's own
	Reset   string // GPIO line; "": not wired. It is low while it resets
	DIO0    string
	DIO1    string
	Version byte // of register 0x42; 0: 0x12
	// NoRFO: only the pin PA_BOOST is wired, as on the modules RFM95 to RFM98.
	NoRFO bool
}

// SX1276 is Semtech's chip by its registers (datasheet revision 7), in LoRa mode.
// In FSK mode it has registers and the image calibration, but no modem. Left out
// are the times in which oscillator and PLL start (up to 0.3 ms), frequency
// hopping, and what ModemConfig3 decides: its settings need not be those of the
// other side here. What it does when it is used wrongly is in Violations.
type SX1276 struct {
	*Slot
	o       SX1276Options
	antenna *Antenna
	reset   *Line
	dio     [2]*Line

	mu         sync.Mutex
	powered    bool
	inReset    bool
	resetAt    time.Time // of the falling edge
	ready      time.Time
	recording  bool
	log        []Access
	violations []string

	common  [0x80]byte
	lora    [0x40]byte
	fifo    [256]byte
	frf     uint32 // as latched
	cal     time.Time
	since   time.Time // in this mode
	turn    uint64    // counts changes of mode, for timers
	timer   *time.Timer
	stuckTX bool
	deaf    bool // until the mode changes

	on     bool // selected
	begun  bool // the address was sent
	access Access
	addr   byte
}

// AddSX1276 plugs in a chip and gives it power.
func (b *Board) AddSX1276(o SX1276Options) *SX1276 {
	if o.Name == "" {
		o.Name = o.Bus
	}
	if o.Version == 0 {
		o.Version = 0x12
	}
	c := &SX1276{o: o}
	for i, pin := range []string{o.DIO0, o.DIO1} {
		if pin != "" {
			c.dio[i] = b.Line(pin)
		}
	}
	c.antenna = b.air.Attach(o.Name, c)
	c.power(true)
	c.Slot = b.add(o.Bus, o.CS, c)
	if o.Reset != "" {
		c.reset = b.Line(o.Reset)
		c.reset.drive(true)
		c.reset.Watch(c.resets)
	}
	return c
}

// power implements chip. After power-on the chip needs 10 ms (section 7.2.1).
func (c *SX1276) power(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.powered = on
	c.restart(10 * time.Millisecond)
}

// Brownout has the chip lose its settings by itself.
func (c *SX1276) Brownout() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restart(0)
}

// resets is told the level of the reset line (section 7.2.2): at least 100 µs
// low, then 5 ms.
func (c *SX1276) resets(high bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !high {
		c.inReset, c.resetAt = true, now
		return
	}
	if !c.inReset {
		return
	}
	c.inReset = false
	if now.Sub(c.resetAt) < 100*time.Microsecond {
		c.violate("reset was low for %v only", now.Sub(c.resetAt))
		return
	}
	c.restart(5 * time.Millisecond)
}

// restart brings the registers to their defaults.
func (c *SX1276) restart(needs time.Duration) {
	c.ready = time.Now().Add(needs)
	c.common, c.lora, c.fifo = [0x80]byte{}, [0x40]byte{}, [256]byte{}
	for a, v := range sxCommon {
		c.common[a] = v
	}
	for a, v := range sxLoRa {
		c.lora[a] = v
	}
	c.common[sxVersion] = c.o.Version
	c.frf = 0x6c8000
	c.cal = time.Time{}
	c.enter(ModeStandby)
}

// page is the register at a: of the LoRa page or of the other one.
func (c *SX1276) page(a byte) *byte {
	if op := c.common[sxOpMode]; a >= 0x0d && a <= 0x3f && op&sxLongRange != 0 && op&sxSharedReg == 0 {
		return &c.lora[a]
	}
	return &c.common[a]
}

// longRange reports whether the chip is in LoRa mode.
func (c *SX1276) longRange() bool { return c.common[sxOpMode]&sxLongRange != 0 }

// mode is one of the Modes.
func (c *SX1276) mode() byte { return c.common[sxOpMode] & sxModeBits }

// selected implements chip.
func (c *SX1276) selected(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !on && c.on && c.begun && c.recording {
		c.log = append(c.log, c.access)
	}
	c.on, c.begun = on, false
}

// shift implements chip (section 4.3): the address with the direction, then data.
func (c *SX1276) shift(w byte) byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.powered || !c.on:
		return 0
	case c.inReset:
		c.violate("access during reset")
		return 0
	case time.Now().Before(c.ready):
		c.violate("access before the chip is ready")
		return 0
	}
	if !c.begun {
		c.begun, c.addr = true, w&0x7f
		c.access = Access{At: time.Now(), Write: w&0x80 != 0, Addr: c.addr}
		return 0
	}
	at := c.addr
	if at != sxFIFO {
		c.addr = (c.addr + 1) & 0x7f
	}
	v := w
	if c.access.Write {
		c.write(at, w)
		w = 0
	} else {
		w = c.read(at)
		v = w
	}
	if c.recording {
		c.access.Value = append(c.access.Value, v)
	}
	return w
}

// read gives a register.
func (c *SX1276) read(a byte) byte {
	switch {
	case a == sxFIFO:
		if !c.fifoOpen() {
			return 0
		}
		p := &c.lora[sxFIFOAddrPtr]
		*p++
		return c.fifo[*p-1]
	case c.page(a) == &c.common[sxImageCal] && a == sxImageCal && time.Now().Before(c.cal):
		return c.common[a] | 0x20
	case a == sxLna && c.hearing() && c.lora[sxModemConfig3]&4 != 0:
		// The automatic gain control has the gain: G1 to G6 in bits 7 to 5.
		gain := byte(1)
		if c.antenna.Activity(c.listening()).Power > -90 {
			gain = 6
		}
		return gain<<5 | c.common[a]&0x1f
	case c.page(a) == &c.lora[a&0x3f] && a == sxRSSI:
		return c.currentRSSI()
	case c.page(a) == &c.lora[a&0x3f] && a == sxModemStat:
		return c.modemStat()
	}
	return *c.page(a)
}

// fifoOpen reports whether the FIFO can be used.
func (c *SX1276) fifoOpen() bool {
	switch {
	case c.mode() == ModeSleep:
		c.violate("FIFO access in sleep")
		return false
	case !c.longRange():
		c.violate("FIFO access in FSK mode")
		return false
	}
	return true
}

// write changes a register.
func (c *SX1276) write(a, v byte) {
	inLoRa := a < 0x40 && c.page(a) == &c.lora[a]
	if c.longRange() && !slices.Contains(sxWritable, a) {
		c.violate("write to register 0x%02x", a)
		return
	}
	if working := c.mode() >= ModeFSTX; working && slices.Contains(sxModem, a) {
		c.violate("write to register 0x%02x in mode %d", a, c.mode())
	}
	switch {
	case a == sxFIFO:
		if c.fifoOpen() {
			if c.mode() == ModeTX {
				c.violate("FIFO write in TX")
			}
			p := &c.lora[sxFIFOAddrPtr]
			*p++
			c.fifo[*p-1] = v
		}
	case a == sxOpMode:
		c.writeOpMode(v)
	case a == sxVersion || inLoRa && slices.Contains(sxReadOnly, a):
	case inLoRa && a == sxIRQFlags:
		c.lora[a] &^= v
		c.pins()
	case inLoRa && a == sxIRQMask:
		c.lora[a] = v
	case !inLoRa && a == sxImageCal:
		c.calibrate(v)
	case a == sxFrfLSB:
		c.common[a] = v
		c.frf = uint32(c.common[sxFrfMSB])<<16 | uint32(c.common[sxFrfMSB+1])<<8 | uint32(v)
	default:
		*c.page(a) = v
		if a == sxDioMapping1 {
			c.pins()
		}
	}
}

// calibrate is a write to the FSK register ImageCal: bit 6 starts a calibration,
// about 10 ms long (datasheet: Image and RSSI Calibration).
func (c *SX1276) calibrate(v byte) {
	c.common[sxImageCal] = v &^ 0x60
	if v&0x40 == 0 {
		return
	}
	if c.mode() != ModeStandby {
		c.violate("image calibration in mode %d", c.mode())
		return
	}
	c.cal = time.Now().Add(10 * time.Millisecond)
}

// pins sets DIO0 and DIO1 (table 18).
func (c *SX1276) pins() {
	flags, mapping := c.lora[sxIRQFlags], c.common[sxDioMapping1]
	var level [2]bool
	if c.longRange() && c.powered {
		level[0] = flags&[]byte{sxRxDone, sxTxDone, sxCadDone, 0}[mapping>>6] != 0
		level[1] = flags&[]byte{sxRxTimeout, sxFhssChange, sxCadFound, 0}[mapping>>4&3] != 0
	}
	for i, l := range c.dio {
		if l != nil {
			l.drive(level[i])
		}
	}
}

// raise sets flags that are not masked.
func (c *SX1276) raise(flags byte) {
	c.lora[sxIRQFlags] |= flags &^ c.lora[sxIRQMask]
	c.pins()
}

// Peek gives a register as SPI would, without a side effect.
func (c *SX1276) Peek(a byte) byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.page(a & 0x7f)
}

// Poke changes a register, as a disturbance would.
func (c *SX1276) Poke(a, v byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*c.page(a & 0x7f) = v
	c.pins()
}

// Mode is one of the Modes.
func (c *SX1276) Mode() byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mode()
}

// FallBack has the chip go to standby by itself.
func (c *SX1276) FallBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enter(ModeStandby)
}

// Deafen has the chip hear nothing any more, not even noise, though it says that
// it receives. The next change of mode mends it.
func (c *SX1276) Deafen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deaf = true
}

// StickTX has frames not end any more, or end again.
func (c *SX1276) StickTX(stuck bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stuckTX = stuck
}
