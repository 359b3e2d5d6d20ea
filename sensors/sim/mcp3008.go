package sim

import (
	"time"
)

// Reference is the voltage at VREF of the MCP3008.
const Reference = 3.3

// mcp3008 is Microchip's converter of 10 bits with eight inputs (datasheet
// DS21295 section 5). It has no registers: each time that it is selected, it waits
// for a start bit, takes four bits of what to measure, and sends the result.
type mcp3008 struct{ world *World }

// exchange is one time of being selected: what is read while w is written. While
// the chip does not drive its output, ones are read.
func (c *mcp3008) exchange(t time.Time, w []byte) []byte {
	out := make([]byte, len(w))
	fill(out, 0xff)
	start := 0
	for start < 8*len(w) && !bit(w, start) {
		start++
	}
	var control int
	for i := 1; i <= 4; i++ {
		control = control<<1 | btoi(bit(w, start+i))
	}
	code := c.convert(t, control)
	// The sample is taken during the fifth bit after the start, then come a null
	// bit, the result from B9 to B0, back again to B9, and zeros (figure 5-1 and
	// 5-2).
	for i := start + 6; i < 8*len(out); i++ {
		x := 0
		switch n := i - start - 6; {
		case n >= 1 && n <= 10:
			x = code >> (10 - n) & 1
		case n > 10 && n <= 19:
			x = code >> (n - 10) & 1
		}
		if x == 0 {
			out[i/8] &^= 0x80 >> (i % 8)
		}
	}
	return out
}

// convert measures at t. Control is SGL/DIFF, D2, D1, D0 (table 5-2).
func (c *mcp3008) convert(t time.Time, control int) int {
	volts := func(n int) float64 { return c.world.at(SPIInput(n), t) }
	n := control & 7
	v := volts(n)
	if control&8 == 0 {
		v -= volts(n ^ 1) // pairs, with either as the positive one
	}
	return quantize(v-Reference/2048, Reference/1024, 0, 1023) // a code begins at its voltage (equation 4-2)
}

// bit i of b, most significant first; false beyond its end.
func bit(b []byte, i int) bool { return i < 8*len(b) && b[i/8]&(0x80>>(i%8)) != 0 }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
