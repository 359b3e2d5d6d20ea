package sim

import (
	"time"
)

// sx1262Mode is what the chip does, in the code of its status byte.
type sx1262Mode uint8

const (
	sx1262Off   sx1262Mode = 0
	sx1262Sleep sx1262Mode = 1
	sx1262RC    sx1262Mode = 2
	sx1262XOSC  sx1262Mode = 3
	sx1262FS    sx1262Mode = 4
	sx1262RX    sx1262Mode = 5
	sx1262TX    sx1262Mode = 6
)

// String names the mode.
func (m sx1262Mode) String() string {
	return [...]string{"off", "sleep", "standby RC", "standby XOSC", "FS", "RX", "TX", "?"}[m&7]
}

// Times of section 8.3.1, table 8-2, and of the calibrations.
const (
	sx1262Start     = 3500 * time.Microsecond // power-on, reset, cold start
	sx1262Warm      = 340 * time.Microsecond
	sx1262Calibrate = 3500 * time.Microsecond
	sx1262Image     = 2 * time.Millisecond
)

// switching is how long BUSY is high from one mode to another.
var switching = map[[2]sx1262Mode]time.Duration{
	{sx1262RC, sx1262XOSC}: 31 * time.Microsecond,
	{sx1262RC, sx1262FS}:   50 * time.Microsecond,
	{sx1262RC, sx1262RX}:   83 * time.Microsecond,
	{sx1262RC, sx1262TX}:   126 * time.Microsecond,
	{sx1262XOSC, sx1262FS}: 40 * time.Microsecond,
	{sx1262XOSC, sx1262RX}: 62 * time.Microsecond,
	{sx1262XOSC, sx1262TX}: 105 * time.Microsecond,
	{sx1262FS, sx1262RX}:   41 * time.Microsecond,
	{sx1262FS, sx1262TX}:   76 * time.Microsecond,
	{sx1262RX, sx1262FS}:   15 * time.Microsecond,
	{sx1262RX, sx1262TX}:   92 * time.Microsecond,
}

// Registers with a meaning here (section 12), and their values after a reset.
const (
	regVersion   = 0x0320
	regIQ        = 0x0736
	regSyncWord  = 0x0740
	regHeaderCR  = 0x0749 // bits 6-4: coding rate of the last header (SWDR001)
	regFreqError = 0x076b // 20 bits; bit 4 of the first byte: the last header had a CRC (SWDR001)
	regTXModul   = 0x0889
	regFrequency = 0x088b
	regRXGain    = 0x08ac
	regTXClamp   = 0x08d8
	regOCP       = 0x08e7
	regXTA       = 0x0911
)

// power implements chip.
func (c *SX1262) power(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.change(sx1262Off, 0)
	c.antenna.Stop()
	c.lower()
	if on {
		c.restart()
	}
}

// resets follows NRESET, which has to be low for 100 µs (section 8.1).
func (c *SX1262) resets(high bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reached() { // not plugged in
		return
	}
	if !high {
		c.resetAt = time.Now()
	} else if low := time.Since(c.resetAt); low < 100*time.Microsecond {
		c.violate("reset was low for %v only", low)
	}
	c.change(sx1262Off, 0)
	c.antenna.Stop()
	c.lower()
	if high {
		c.restart()
	}
}

// lower takes the lines down that nobody drives any more.
func (c *SX1262) lower() {
	c.dio1.drive(false)
	c.until = time.Time{}
	c.showBusy()
}

// showBusy has the line BUSY tell whether the chip is: in sleep it is high
// (section 8.3.1).
func (c *SX1262) showBusy() {
	c.busy.drive(c.stuck || c.mode == sx1262Sleep || time.Now().Before(c.until))
}

// restart is what happens after power-on and reset: the chip calibrates itself,
// which needs its oscillator, for 902 to 928 MHz (section 9.2.1).
func (c *SX1262) restart() {
	c.memory = [0x1000]byte{}
	copy(c.memory[regVersion:], c.o.Version)
	for at, v := range map[int]byte{regIQ: 0x0d, regSyncWord: 0x14, regSyncWord + 1: 0x24, regTXModul: 0x01,
		regRXGain: 0x94, regTXClamp: 0xc8, regOCP: 0x18, regXTA: 0x05, regXTA + 1: 0x05} {
		c.memory[at] = v
	}
	c.buffer = [256]byte{}
	c.irq, c.irqMask, c.dio1Mask, c.errors = 0, 0, 0, 0
	c.stats = [3]uint16{}
	c.packet = [3]byte{}
	c.rxLength, c.rxStart = 0, 0
	c.set = map[byte][]byte{}
	c.calFrom, c.calTo = 902e6, 928e6
	c.deaf = false
	c.command = 1
	c.calibrated(true)
	c.change(sx1262RC, sx1262Start)
}

// wake is the end of sleep.
func (c *SX1262) wake() {
	if p := c.set[opSetSleep]; len(p) == 1 && p[0]&4 != 0 { // warm
		c.change(sx1262RC, sx1262Warm)
		return
	}
	c.restart()
}

// change has the chip do something else, with BUSY for so long.
func (c *SX1262) change(m sx1262Mode, busy time.Duration) {
	c.mode = m
	c.epoch++
	c.occupy(busy)
}

// occupy raises BUSY for so long.
func (c *SX1262) occupy(busy time.Duration) {
	if busy <= 0 {
		return
	}
	until := time.Now().Add(busy)
	c.until = until
	c.showBusy()
	time.AfterFunc(busy, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.until.Equal(until) {
			c.until = time.Time{}
			c.showBusy()
		}
	})
}

// after calls f in d, unless the chip does something else by then. F holds the
// lock.
func (c *SX1262) after(d time.Duration, f func()) {
	epoch := c.epoch
	time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.epoch == epoch {
			f()
		}
	})
}

// oscillates reports whether the 32 MHz oscillator can run: DIO3 gives a TCXO at
// least its voltage, and is left alone where there is a crystal.
func (c *SX1262) oscillates() bool {
	p := c.set[opSetDIO3AsTCXO]
	if len(p) != 4 {
		return c.o.TCXO == 0
	}
	volts := [...]float64{1.6, 1.7, 1.8, 2.2, 2.4, 2.7, 3.0, 3.3}[p[0]&7]
	return c.o.TCXO != 0 && volts > c.o.TCXO-0.05
}

// tcxoDelay is how long the TCXO is given to start (section 13.3.6).
func (c *SX1262) tcxoDelay() time.Duration {
	if p := c.set[opSetDIO3AsTCXO]; len(p) == 4 {
		return steps(p[1:])
	}
	return 0
}

// steps reads a time of 24 bits.
func steps(p []byte) time.Duration {
	return time.Duration(int(p[0])<<16|int(p[1])<<8|int(p[2])) * 15625 * time.Nanosecond
}

// Device errors (section 13.6.1).
const (
	errXOSCStart = 1 << 5
)

// calibrated is the end of a calibration, which needs the oscillator.
func (c *SX1262) calibrated(all bool) {
	c.calOK = c.oscillates() && (all || c.calOK)
	if !c.oscillates() {
		c.errors |= errXOSCStart
	}
}

// raise sets interrupts, as far as they are enabled (section 13.3.1).
func (c *SX1262) raise(bits uint16) {
	c.irq |= bits & c.irqMask
	c.dio1.drive(c.irq&c.dio1Mask != 0)
}
