package sim

import (
	"encoding/binary"
	"time"
)

// ads1115 is Texas Instruments' converter of 16 bits with four inputs (datasheet
// SBAS444 section 8.6, "Register map"). Its ALERT/RDY output is wired to nothing,
// so that the thresholds are memory only.
type ads1115 struct {
	world     *World
	pointer   byte
	config    uint16 // without OS
	low, high uint16 // thresholds
	result    int16

	converting bool      // a single conversion runs
	pending    int16     // its result
	done       time.Time // when it ends; in continuous mode, when the last one ended
}

// Bits of the config register.
const (
	ads1115OS         = 1 << 15
	ads1115SingleShot = 1 << 8
)

func newADS1115(w *World) *ads1115 {
	c := &ads1115{world: w}
	c.reset(time.Time{})
	return c
}

// reset implements i2cChip.
func (c *ads1115) reset(time.Time) bool {
	c.pointer, c.config, c.low, c.high = 0, 0x0583, 0x8000, 0x7fff
	c.result, c.converting = 0, false
	return true
}

// write implements i2cChip: the pointer, and then two bytes for the register.
func (c *ads1115) write(t time.Time, f Fault, w []byte) bool {
	c.advance(t, f)
	c.pointer = w[0] & 3
	if len(w) < 3 {
		return true
	}
	x := binary.BigEndian.Uint16(w[1:])
	switch c.pointer {
	case 1:
		c.configure(t, f, x)
	case 2:
		c.low = x
	case 3:
		c.high = x
	}
	return true
}

func (c *ads1115) configure(t time.Time, f Fault, x uint16) {
	c.config = x &^ ads1115OS
	switch {
	case x&ads1115SingleShot == 0:
		c.converting, c.done = false, t
	case x&ads1115OS != 0 && !c.converting: // no effect while a conversion runs, which ends as it began
		c.converting, c.pending, c.done = true, c.convert(t), t.Add(c.period(f))
	}
}

// read implements i2cChip.
func (c *ads1115) read(t time.Time, f Fault, r []byte) bool {
	c.advance(t, f)
	x := c.register()
	for i := range r {
		r[i] = byte(x >> (8 - i%2*8))
	}
	return true
}

func (c *ads1115) register() uint16 {
	switch c.pointer {
	case 0:
		return uint16(c.result)
	case 1:
		if c.converting || c.config&ads1115SingleShot == 0 {
			return c.config
		}
		return c.config | ads1115OS
	case 2:
		return c.low
	}
	return c.high
}

// advance does what happened until t.
func (c *ads1115) advance(t time.Time, f Fault) {
	switch {
	case f == NeverReady:
	case c.config&ads1115SingleShot == 0:
		if n := t.Sub(c.done) / c.period(f); n > 0 {
			c.done = c.done.Add(n * c.period(f))
			c.result = c.convert(c.done)
		}
	case c.converting && !t.Before(c.done):
		c.result, c.converting = c.pending, false
	}
}

// period of a conversion. The data rate is accurate to 10 % (datasheet section
// 6.5, "Electrical characteristics").
func (c *ads1115) period(f Fault) time.Duration {
	d := time.Second / time.Duration([8]int{8, 16, 32, 64, 128, 250, 475, 860}[c.config>>5&7])
	if f == Slow {
		d += d / 9 // a rate of 90 %
	}
	return d
}

// convert measures what the multiplexer has at t. Beyond full scale the code
// stays at its end.
func (c *ads1115) convert(t time.Time) int16 {
	var v float64
	volts := func(n int) float64 { return c.world.at(Input(n), t) }
	switch mux := int(c.config >> 12 & 7); mux {
	case 0:
		v = volts(0) - volts(1)
	case 1, 2, 3:
		v = volts(mux-1) - volts(3)
	default:
		v = volts(mux - 4)
	}
	scale := [8]float64{6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256}[c.config>>9&7]
	return int16(quantize(v, scale/32768, -32768, 32767))
}
