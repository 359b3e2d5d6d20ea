package sx127x

import (
	"fmt"
	"math"

	"fieldgate/radio"
)

// write is bytes for consecutive registers.
type write struct {
	addr  byte
	value []byte
}

// air is what the modem is set to, one way.
type air struct {
	frequency uint32 // Hz
	radio.Modulation
	syncWord byte
	preamble uint16 // symbols
	invertIQ bool
	crc      bool
	tx       bool
}

// frf is a frequency in the steps of the synthesizer, 32 MHz / 2^19, rounded
// (section 4.1.4).
func frf(hz uint32) uint32 { return uint32((uint64(hz)<<19 + 16e6) / 32e6) }

// frequencyOf is the frequency of frf in Hz, rounded.
func frequencyOf(frf uint32) uint32 { return uint32((uint64(frf)*32e6 + 1<<18) >> 19) }

// checkModulation says why the chip has no such modulation.
func checkModulation(m radio.Modulation) error {
	switch _, ok := bandwidths[m.Bandwidth]; {
	case !m.LoRa():
		return fmt.Errorf("FSK is not supported")
	case m.SF < 7 || m.SF > 12:
		return fmt.Errorf("SF%d is not supported: 7 to 12 are", m.SF)
	case !ok:
		return fmt.Errorf("there is no bandwidth of %d Hz", m.Bandwidth)
	case m.CodingRate != 0 && (m.CodingRate < 5 || m.CodingRate > 8):
		return fmt.Errorf("there is no coding rate of 4/%d", m.CodingRate)
	}
	return nil
}

// checkBandwidth says why the chip has no such bandwidth there: the register table
// (RegModemConfig1) leaves out 250 and 500 kHz in the band of 169 MHz.
func checkBandwidth(hz, bandwidth uint32) error {
	if hz < 410e6 && bandwidth > 125000 {
		return fmt.Errorf("there is no bandwidth of %d Hz below 410 MHz", bandwidth)
	}
	return nil
}

// modem gives the settings of the modem (section 6.4, errata 2.1 and 2.3) for a
// modulation that checkModulation lets pass.
func modem(a air) []write {
	bw := bandwidths[a.Bandwidth]
	rate := max(a.CodingRate, 5)
	config2 := a.SF << 4
	if a.crc {
		config2 |= 0x04
	}
	config3 := byte(0x04) // AgcAutoOn
	if a.LowDataRate() {
		config3 |= 0x08
	}
	// IQ (register table, RegInvertIQ): 0x40 inverts the receiver; the bit 0x01 is
	// off where the transmitter is inverted.
	invert, invert2 := byte(0x27), byte(0x1d)
	switch {
	case a.invertIQ && a.tx:
		invert, invert2 = 0x26, 0x19
	case a.invertIQ:
		invert, invert2 = 0x67, 0x19
	}
	// Errata 2.3: with less than 500 kHz the intermediate frequency is set by hand,
	// and narrow receivers are tuned above their channel.
	detect := write{regIfFreq1, []byte{0x40, 0, 0x43}}
	hz := a.frequency
	switch {
	case bw.code == bandwidth500:
		detect = write{regDetectOptimize, []byte{0xc3}}
	case a.Bandwidth == 7800:
		detect.value[0] = 0x48
	case bw.above > 0:
		detect.value[0] = 0x44
	}
	if !a.tx {
		hz += bw.above
	}
	step := frf(hz)
	w := []write{
		{regFrf, []byte{byte(step >> 16), byte(step >> 8), byte(step)}},
		{regModemConfig1, []byte{bw.code<<4 | (rate-4)<<1, config2, 0x64, byte(a.preamble >> 8), byte(a.preamble)}},
		{regModemConfig3, []byte{config3, 0}},
		detect,
		{regInvertIQ, []byte{invert}},
	}
	// Errata 2.1: sensitivity with 500 kHz.
	switch lf, _ := bandOf(a.frequency); {
	case bw.code != bandwidth500 || lf && a.frequency < 410e6:
		w = append(w, write{regHighBwOptimize1, []byte{0x03, 0x0a}})
	case lf:
		w = append(w, write{regHighBwOptimize1, []byte{0x02, 0x0a}}, write{regHighBwOptimize2, []byte{0x7f}})
	default:
		w = append(w, write{regHighBwOptimize1, []byte{0x02, 0x0a}}, write{regHighBwOptimize2, []byte{0x64}})
	}
	return append(w, write{regSyncWord, []byte{a.syncWord}}, write{regInvertIQ2, []byte{invert2}})
}

// The powers in dBm that the pins can put out.
const (
	minBoost = 2
	maxBoost = 20
	minRFO   = -4
	maxRFO   = 15
)

// power gives the settings of the amplifier (section 5.4) for a power
// in dBm within the limits above. More than 17 dBm is for 1 % of the time.
func power(dBm int, rfo bool) []write {
	pa, dac, ocp := byte(0), byte(0x84), byte(0x2b)
	switch {
	case rfo && dBm < 0: // MaxPower 0: 10.8 - 15 + n dBm
		pa = byte(dBm + 4)
	case rfo:
		pa = 0x70 | byte(dBm)
	case dBm > 17:
		pa, dac, ocp = 0xf0|byte(dBm-5), 0x87, 0x31 // 140 mA
	default:
		pa = 0xf0 | byte(dBm-2)
	}
	return []write{{regPaConfig, []byte{pa}}, {regOcp, []byte{ocp}}, {regPaDac, []byte{dac}}}
}

// fixed are the settings that never change: LNA at full gain, boosted on the
// high-frequency port; the whole FIFO both ways; payloads of up to 255 bytes, no
// hopping.
func fixed() []write {
	return []write{
		{regLna, []byte{0x23}},
		{regFIFOBase, []byte{0, 0}},
		{regIRQMask, []byte{irqUnused}},
		{regPayloadLength, []byte{0x01, 0xff, 0x00}},
		{regDioMapping1, []byte{dio0RxDone}},
	}
}

// snapshot is registers 0x10 to 0x1c.
type snapshot [13]byte

func (s snapshot) start() byte   { return s[0x10-regFIFORxCurrent] }
func (s snapshot) mask() byte    { return s[0x11-regFIFORxCurrent] }
func (s snapshot) flags() byte   { return s[0x12-regFIFORxCurrent] }
func (s snapshot) length() int   { return int(s[0x13-regFIFORxCurrent]) }
func (s snapshot) hasCRC() bool  { return s[0x1c-regFIFORxCurrent]&hopCrcOnPayload != 0 }
func (s snapshot) snr() float32  { return float32(int8(s[0x19-regFIFORxCurrent])) / 4 }
func (s snapshot) rate() uint8   { return 4 + s[0x18-regFIFORxCurrent]>>5 }
func (s snapshot) packet() uint8 { return s[0x1a-regFIFORxCurrent] }

// rssiBase is what the chip counts its RSSI from, in dBm (section 5.5.5).
func rssiBase(lf bool) float32 {
	if lf {
		return -164
	}
	return -157
}

// rssi is the strength of the packet in dBm (section 5.5.5).
func (s snapshot) rssi(lf bool) float32 {
	raw := float32(s.packet())
	if snr := s.snr(); snr < 0 {
		return rssiBase(lf) + raw + snr
	}
	return rssiBase(lf) + raw*16/15
}

// frequencyError is how far the sender is above us in Hz, by registers 0x28 to
// 0x2a: 20 bits, two's complement. They count how far we are above the sender: the
// datasheet takes the error off the own frequency to correct it (section 4.1.5), and
// a user observed so (sandeepmistry/arduino-LoRa #600).
func frequencyError(b [3]byte, bandwidth uint32) int32 {
	n := int32(uint32(b[0]&0x0f)<<28|uint32(b[1])<<20|uint32(b[2])<<12) >> 12
	return int32(math.Round(-float64(n) * (1 << 24) / 32e6 * float64(bandwidth) / 500e3))
}
