package sx127x

import (
	"context"
	"fmt"
	"time"

	"fieldgate/radio"
)

// Info is what a chip says about itself.
type Info struct {
	Chip     string // such as "SX1276 version 0x12"
	Version  byte   // of register 0x42
	Settings []Setting
}

// Setting is one that was read back, in words.
type Setting struct{ Name, Value string }

// Probe sets the chip up, has it receive for a moment, and reads its settings back.
// The chip sleeps afterwards. With an error that came after the chip was found,
// Info has what is known. Nobody else may use the chip meanwhile.
func Probe(ctx context.Context, c Config) (Info, error) {
	var info Info
	r, err := New(c)
	if err != nil {
		return info, err
	}
	h, err := open(&r.c)
	if err != nil {
		return info, fmt.Errorf("sx127x: %s: %w", c.Name, err)
	}
	defer h.close()
	err = r.probe(ctx, h, &info)
	if info.Chip != "" {
		_ = h.halt()
	}
	if err != nil {
		return info, fmt.Errorf("sx127x: %s: %w", c.Name, err)
	}
	return info, nil
}

// probe fills in info.
func (r *Radio) probe(ctx context.Context, h *chip, info *Info) (err error) {
	if info.Chip, err = r.setUp(ctx, h); err != nil {
		return err
	}
	if info.Version, err = h.get(regVersion); err != nil {
		return err
	}
	s := &session{r: r, h: h}
	if err := s.listen(); err != nil {
		return err
	}
	if err := sleep(ctx, 50*time.Millisecond); err != nil {
		return err
	}
	b, err := h.read(regOpMode, 0x40)
	if err != nil {
		return err
	}
	var regs [0x41]byte
	copy(regs[regOpMode:], b)
	dac, err := h.get(regPaDac)
	if err != nil {
		return err
	}
	info.Settings = describe(regs, dac)
	return nil
}

// describe puts registers 0x00 to 0x40 and PaDac into words.
func describe(regs [0x41]byte, dac byte) []Setting {
	op := regs[regOpMode]
	lf := op&opLowFrequency != 0
	m := radio.Modulation{SF: regs[regModemConfig1+1] >> 4, CodingRate: 4 + regs[regModemConfig1]>>1&7}
	above := uint32(0)
	for hz, bw := range bandwidths {
		if bw.code == regs[regModemConfig1]>>4 {
			m.Bandwidth, above = hz, bw.above
		}
	}
	step := uint32(regs[regFrf])<<16 | uint32(regs[regFrf+1])<<8 | uint32(regs[regFrf+2])
	port := "HF"
	if lf {
		port = "LF"
	}
	return []Setting{
		{"mode", fmt.Sprintf("%s (0x%02x)", []string{"sleep", "standby", "FSTX", "TX", "FSRX", "RX continuous", "RX single", "CAD"}[op&opModes], op)},
		{"port", port},
		{"frequency", fmt.Sprintf("%.6f MHz (0x%06x)", float64(frequencyOf(step)-above)/1e6, step)},
		{"data rate", m.DataRate()},
		{"coding rate", fmt.Sprintf("4/%d", m.CodingRate)},
		{"low data rate optimisation", yes(regs[regModemConfig3]&8 != 0)},
		{"preamble", fmt.Sprintf("%d symbols", int(regs[regModemConfig1+3])<<8|int(regs[regModemConfig1+4]))},
		{"sync word", fmt.Sprintf("0x%02x", regs[regSyncWord])},
		{"inverted IQ", yes(regs[regInvertIQ]&0x40 != 0)},
		{"power", fmt.Sprintf("%s (0x%02x, DAC 0x%02x)", powerOf(regs[regPaConfig], dac), regs[regPaConfig], dac)},
		{"current limit", currentLimit(regs[regOcp])},
		{"LNA", fmt.Sprintf("gain G%d, boost %s", regs[regLna]>>5, yes(regs[regLna]&3 == 3))},
		{"RSSI now", fmt.Sprintf("%.0f dBm", rssiBase(lf)+float32(regs[regRSSI]))},
	}
}

func yes(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// powerOf is the power of PaConfig and PaDac in words.
func powerOf(pa, dac byte) string {
	out := int(pa & 0x0f)
	switch {
	case pa&0x80 != 0 && dac&7 == 7:
		return fmt.Sprintf("%d dBm at PA_BOOST", out+5)
	case pa&0x80 != 0:
		return fmt.Sprintf("%d dBm at PA_BOOST", out+2)
	}
	return fmt.Sprintf("%.1f dBm at RFO", 10.8+0.6*float64(pa>>4&7)-15+float64(out))
}

// currentLimit is register 0x0b in words (section 5.4.4).
func currentLimit(ocp byte) string {
	n := int(ocp & 0x1f)
	switch {
	case ocp&0x20 == 0:
		return "off"
	case n <= 15:
		return fmt.Sprintf("%d mA", 45+5*n)
	case n <= 27:
		return fmt.Sprintf("%d mA", 10*n-30)
	}
	return "240 mA"
}
