package sim

import (
	"time"

	"periph.io/x/conn/v3/onewire"
)

// The DS18B20 on w1:sim: family 0x28, a serial number, and the checksum in the
// highest byte. The kernel would call them 28-00000a5e0010 and 28-00000a5e0011.
const (
	SoilProbe  onewire.Address = 0xe200000a5e001028
	WaterProbe onewire.Address = 0xd500000a5e001128
)

// ds18b20 is Maxim's temperature sensor (datasheet 19-7487, "Memory" and
// "Function commands"). It has its own supply and needs no strong pull-up.
type ds18b20 struct {
	world    *World
	quantity Quantity

	raw      int16   // 16ths of a degree; 85 °C after power-up
	settings [3]byte // TH, TL, configuration
	saved    [3]byte // the same in EEPROM

	converting bool
	pending    int16
	done       time.Time
}

func newDS18B20(w *World, q Quantity) *ds18b20 {
	factory := [3]byte{75, 70, 0x7f}
	return &ds18b20{world: w, quantity: q, raw: 85 * 16, settings: factory, saved: factory}
}

// command is a function command and what is read after it, at time t. What the
// chip does not send is ones.
func (c *ds18b20) command(t time.Time, f Fault, w, r []byte) {
	fill(r, 0xff)
	c.advance(t, f)
	if len(w) == 0 {
		return
	}
	switch w[0] {
	case 0x44: // convert
		if !c.converting {
			c.converting, c.pending, c.done = true, c.convert(t), t.Add(c.period())
		}
		fill(r, 0) // read slots, until the conversion has ended
	case 0xbe: // read scratchpad
		copy(r, c.scratchpad())
	case 0x4e: // write scratchpad
		copy(c.settings[:], w[1:])
		c.settings[2] = c.settings[2]&0x60 | 0x1f
	case 0x48: // copy scratchpad
		c.saved = c.settings
	case 0xb8: // recall
		c.settings = c.saved
	}
	// 0xb4, read power supply, is answered with ones: there is one.
}

func (c *ds18b20) scratchpad() []byte {
	s := []byte{byte(c.raw), byte(c.raw >> 8), c.settings[0], c.settings[1], c.settings[2], 0xff, 0x0c, 0x10}
	return append(s, onewire.CalcCRC(s))
}

// alarm reports whether the last conversion was at TH or above, or at TL or
// below, in whole degrees.
func (c *ds18b20) alarm(t time.Time, f Fault) bool {
	c.advance(t, f)
	whole := int8(c.raw >> 4)
	return whole >= int8(c.settings[0]) || whole <= int8(c.settings[1])
}

// advance does what happened until t.
func (c *ds18b20) advance(t time.Time, f Fault) {
	if c.converting && f != NeverReady && !t.Before(c.done) {
		c.raw, c.converting = c.pending, false
	}
}

// bits of the resolution: 9 to 12.
func (c *ds18b20) bits() int { return 9 + int(c.settings[2]>>5&3) }

// period of a conversion: the datasheet has the longest only, 750 ms for 12 bits
// and half of it for each bit less.
func (c *ds18b20) period() time.Duration { return 750 * time.Millisecond >> (12 - c.bits()) }

// convert measures at t, within the chip's range.
func (c *ds18b20) convert(t time.Time) int16 {
	shift := 12 - c.bits()
	n := quantize(c.world.at(c.quantity, t), float64(int(1)<<shift)/16, -55*16>>shift, 125*16>>shift)
	return int16(n << shift)
}
