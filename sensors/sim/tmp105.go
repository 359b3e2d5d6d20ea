package sim

import "time"

// tmp105 is Texas Instruments' temperature sensor with the registers of the LM75
// and the resolution and one-shot of the TMP75 (datasheet SLLS648 tables 2 to
// 8). A driver that knows the LM75 only finds one that measures in half
// degrees. Its ALERT output is wired to nothing, so that the limits are memory
// only.
type tmp105 struct {
	world     *World
	pointer   byte
	config    byte // without one-shot, which reads as zero
	low, high int16
	result    int16 // 256ths of a degree

	converting bool
	pending    int16
	done       time.Time // when it ends; in continuous mode, when the last one ended
}

// Bits of the configuration register.
const (
	tmp105OneShot  = 1 << 7
	tmp105Shutdown = 1 << 0
)

func newTMP105(w *World, t time.Time) *tmp105 {
	c := &tmp105{world: w}
	c.reset(t)
	return c
}

// reset implements i2cChip.
func (c *tmp105) reset(t time.Time) bool {
	c.pointer, c.config, c.low, c.high = 0, 0, 75<<8, 80<<8
	c.result, c.converting, c.done = 0, false, t
	return true
}

// write implements i2cChip: the pointer, and then the register's one or two
// bytes. The limits have the 12 bits of the temperature.
func (c *tmp105) write(t time.Time, f Fault, w []byte) bool {
	c.advance(t, f)
	c.pointer = w[0] & 3
	switch {
	case c.pointer == 1 && len(w) >= 2:
		c.configure(t, f, w[1])
	case c.pointer == 2 && len(w) >= 3:
		c.low = int16(w[1])<<8 | int16(w[2]&0xf0)
	case c.pointer == 3 && len(w) >= 3:
		c.high = int16(w[1])<<8 | int16(w[2]&0xf0)
	}
	return true
}

func (c *tmp105) configure(t time.Time, f Fault, x byte) {
	slept := c.config&tmp105Shutdown != 0
	c.config = x &^ tmp105OneShot
	switch {
	case x&tmp105Shutdown == 0:
		if slept {
			c.done = t
		}
		c.converting = false
	case x&tmp105OneShot != 0 && !c.converting:
		c.converting, c.pending, c.done = true, c.convert(t), t.Add(c.period(f))
	}
}

// read implements i2cChip.
func (c *tmp105) read(t time.Time, f Fault, r []byte) bool {
	c.advance(t, f)
	x := [4]int16{c.result, int16(c.config) << 8, c.low, c.high}[c.pointer]
	for i := range r {
		r[i] = byte(x >> 8)
		if i%2 == 1 && c.pointer != 1 {
			r[i] = byte(x)
		}
	}
	return true
}

// advance does what happened until t.
func (c *tmp105) advance(t time.Time, f Fault) {
	switch {
	case f == NeverReady:
	case c.config&tmp105Shutdown == 0:
		if n := t.Sub(c.done) / c.period(f); n > 0 {
			c.done = c.done.Add(n * c.period(f))
			c.result = c.convert(c.done)
		}
	case c.converting && !t.Before(c.done):
		c.result, c.converting = c.pending, false
	}
}

// bits of the resolution: 9 to 12.
func (c *tmp105) bits() int { return 9 + int(c.config>>5&3) }

// period of a conversion: 27.5 ms for 9 bits, at most 37.5 ms, and twice that for
// each bit more.
func (c *tmp105) period(f Fault) time.Duration {
	d := 27500 * time.Microsecond
	if f == Slow {
		d = 37500 * time.Microsecond
	}
	return d << (c.bits() - 9)
}

// convert measures the temperature at t, within the chip's range.
func (c *tmp105) convert(t time.Time) int16 {
	v := min(max(c.world.at(BoxTemperature, t), -55), 127.9375)
	bits := c.bits()
	n := quantize(v, 128/float64(int(1)<<(bits-1)), -1<<(bits-1), 1<<(bits-1)-1)
	return int16(n << (16 - bits))
}
