package sx127x

import (
	"context"
	"fmt"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// Probe sets the chip up, has it receive for a moment, and reads its settings back.
// The chip sleeps afterwards. With an error that came after the chip was found,
// Info has what is known. Nobody else may use the chip meanwhile.
func Probe(ctx context.Context, c Config) (chip.Info, error) {
	d, err := newDevice(c)
	if err != nil {
		return chip.Info{}, err
	}
	info, err := d.probe(ctx)
	if e := d.Close(); err == nil {
		err = e
	}
	if err != nil {
		return info, fmt.Errorf("sx127x: %s: %w", c.Name, err)
	}
	return info, nil
}

func (d *device) probe(ctx context.Context) (info chip.Info, err error) {
	if info.Chip, err = d.Open(ctx); err != nil {
		return info, err
	}
	if err := d.Receive(ctx); err != nil {
		return info, err
	}
	if err := chip.Pause(ctx, 50*time.Millisecond); err != nil {
		return info, err
	}
	b, err := d.read(regOpMode, 0x40)
	if err != nil {
		return info, err
	}
	var regs [0x41]byte
	copy(regs[regOpMode:], b)
	dac, err := d.get(regPaDac)
	if err != nil {
		return info, err
	}
	info.Settings = describe(regs, dac)
	return info, nil
}

// describe puts registers 0x00 to 0x40 and PaDac into words.
func describe(regs [0x41]byte, dac byte) []chip.Setting {
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
	return []chip.Setting{
		{Name: "mode", Value: fmt.Sprintf("%s (0x%02x)", []string{"sleep", "standby", "FSTX", "TX", "FSRX", "RX continuous", "RX single", "CAD"}[op&opModes], op)},
		{Name: "port", Value: port},
		{Name: "frequency", Value: fmt.Sprintf("%.6f MHz (0x%06x)", float64(frequencyOf(step)-above)/1e6, step)},
		{Name: "data rate", Value: m.DataRate()},
		{Name: "coding rate", Value: fmt.Sprintf("4/%d", m.CodingRate)},
		{Name: "low data rate optimisation", Value: yes(regs[regModemConfig3]&8 != 0)},
		{Name: "preamble", Value: fmt.Sprintf("%d symbols", int(regs[regModemConfig1+3])<<8|int(regs[regModemConfig1+4]))},
		{Name: "sync word", Value: fmt.Sprintf("0x%02x", regs[regSyncWord])},
		{Name: "inverted IQ", Value: yes(regs[regInvertIQ]&0x40 != 0)},
		{Name: "power", Value: fmt.Sprintf("%s (0x%02x, DAC 0x%02x)", powerOf(regs[regPaConfig], dac), regs[regPaConfig], dac)},
		{Name: "current limit", Value: currentLimit(regs[regOcp])},
		{Name: "LNA", Value: fmt.Sprintf("gain G%d, boost %s", regs[regLna]>>5, yes(regs[regLna]&3 == 3))},
		{Name: "RSSI now", Value: fmt.Sprintf("%.0f dBm", rssiBase(lf)+float32(regs[regRSSI]))},
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
