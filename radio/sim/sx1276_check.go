package sim

// check looks at the settings at the beginning of TX or RX.
func (c *SX1276) check(tx bool) {
	m, r := c.modulation(), &c.lora
	hz := c.frequency(true)
	if low := c.common[sxOpMode]&sxLowFreq != 0; low != (hz < 525e6) {
		c.violate("LowFrequencyModeOn is %v at %d Hz", low, hz)
	}
	if on := r[sxModemConfig3]&8 != 0; on != (m.Symbol() > 16e6) {
		c.violate("LowDataRateOptimize is %v for %s", on, m.DataRate())
	}
	optimize, threshold := byte(3), byte(0x0a)
	if m.SF == 6 {
		optimize, threshold = 5, 0x0c
		if !c.implicit() {
			c.violate("SF6 with a header")
		}
	}
	if r[sxDetectOptimize]&7 != optimize || r[sxDetectThreshold] != threshold {
		c.violate("detection is not set for SF%d", m.SF)
	}
	c.checkErrata(tx)
	inverted := r[sxInvertIQ]&0x40 != 0
	if tx {
		inverted = r[sxInvertIQ]&1 == 0
	}
	if want := map[bool]byte{false: 0x1d, true: 0x19}[inverted]; r[sxInvertIQ2] != want {
		c.violate("InvertIQ2 is 0x%02x, not 0x%02x", r[sxInvertIQ2], want)
	}
	if tx {
		c.checkPower()
	}
}

// checkErrata looks for what the errata note asks for.
func (c *SX1276) checkErrata(tx bool) {
	m, r := c.modulation(), &c.lora
	hz := c.frequency(true)
	// 2.1: sensitivity with 500 kHz.
	switch {
	case m.Bandwidth != 500000:
		if r[sxHighBW1] != 3 {
			c.violate("errata 2.1: HighBwOptimize1 is 0x%02x with %s", r[sxHighBW1], m.DataRate())
		}
	case hz >= 862e6 && (r[sxHighBW1] != 2 || r[sxHighBW2] != 0x64), hz >= 410e6 && hz <= 525e6 && (r[sxHighBW1] != 2 || r[sxHighBW2] != 0x7f):
		c.violate("errata 2.1: not optimized for %s", m.DataRate())
	}
	if tx {
		return
	}
	// 2.3: spurious reception.
	auto := r[sxDetectOptimize]&0x80 != 0
	want := byte(0x40)
	switch {
	case m.Bandwidth == 7800:
		want = 0x48
	case m.Bandwidth <= 41700:
		want = 0x44
	}
	if auto != (m.Bandwidth == 500000) || !auto && (r[sxIfFreq1] != want || r[sxIfFreq2] != 0) {
		c.violate("errata 2.3: intermediate frequency of %s: %v %02x%02x", m.DataRate(), auto, r[sxIfFreq1], r[sxIfFreq2])
	}
}

// checkPower looks at the amplifier's limits (section 5.4).
func (c *SX1276) checkPower() {
	pa, dac, ocp := c.common[sxPaConfig], c.common[sxPaDac], c.common[sxOcp]
	trim := 45 + 5*int(ocp&0x1f)
	switch n := int(ocp & 0x1f); {
	case n > 27:
		trim = 240
	case n > 15:
		trim = -30 + 10*n
	}
	high := pa&0x80 != 0 && dac&7 == 7
	switch {
	case high && ocp&0x20 != 0 && trim < 140:
		c.violate("+20 dBm with the current limited to %d mA", trim)
	case pa&0x80 == 0 && dac&7 == 7:
		c.violate("PA_DAC for +20 dBm without PA_BOOST")
	case high && pa&0x0f < 0x0d:
		c.violate("PA_DAC for +20 dBm with a lower power")
	}
}
