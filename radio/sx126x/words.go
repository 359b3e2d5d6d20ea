package sx126x

import (
	"errors"
	"fmt"
	"math"
	"time"

	"fieldgate/radio"
)

// Opcodes (chapter 11).
const (
	opResetStats            = 0x00
	opClearIrqStatus        = 0x02
	opClearDeviceErrors     = 0x07
	opSetDioIrqParams       = 0x08
	opWriteRegister         = 0x0d
	opWriteBuffer           = 0x0e
	opGetStats              = 0x10
	opGetIrqStatus          = 0x12
	opGetRxBufferStatus     = 0x13
	opGetPacketStatus       = 0x14
	opGetRssiInst           = 0x15
	opGetDeviceErrors       = 0x17
	opReadRegister          = 0x1d
	opReadBuffer            = 0x1e
	opSetStandby            = 0x80
	opSetRx                 = 0x82
	opSetTx                 = 0x83
	opSetSleep              = 0x84
	opSetRfFrequency        = 0x86
	opCalibrate             = 0x89
	opSetPacketType         = 0x8a
	opSetModulationParams   = 0x8b
	opSetPacketParams       = 0x8c
	opSetTxParams           = 0x8e
	opSetBufferBaseAddress  = 0x8f
	opSetRxTxFallbackMode   = 0x93
	opSetPaConfig           = 0x95
	opSetRegulatorMode      = 0x96
	opSetDIO3AsTCXOCtrl     = 0x97
	opCalibrateImage        = 0x98
	opSetDIO2AsRfSwitchCtrl = 0x9d
	opGetStatus             = 0xc0
	opSetFs                 = 0xc1
)

// Registers (chapter 12; see the package's documentation for the others).
const (
	regVersion      = 0x0320
	regIQPolarity   = 0x0736
	regSyncWord     = 0x0740
	regHeaderCR     = 0x0749
	regFreqError    = 0x076b
	regTxModulation = 0x0889
	regRxGain       = 0x08ac
	regTxClamp      = 0x08d8
	regOCP          = 0x08e7
)

// Interrupts (table 13-29).
const (
	irqTxDone      = 0x0001
	irqRxDone      = 0x0002
	irqPreamble    = 0x0004
	irqHeaderValid = 0x0010
	irqHeaderErr   = 0x0020
	irqCrcErr      = 0x0040
	irqTimeout     = 0x0200
	irqAll         = 0x43ff
)

// Modes in the status byte (section 13.5.1).
const (
	modeRC   = 2
	modeXOSC = 3
	modeFS   = 4
	modeRX   = 5
	modeTX   = 6
)

// modeNames are the modes in words.
var modeNames = [8]string{"none", "sleep", "standby RC", "standby XOSC", "FS", "RX", "TX", "none"}

// frequencyWord is the parameter of SetRfFrequency: steps of 32 MHz / 2^25
// (section 13.4.1).
func frequencyWord(hz uint32) [4]byte {
	w := (uint64(hz)<<25 + 16e6) / 32e6
	return [4]byte{byte(w >> 24), byte(w >> 16), byte(w >> 8), byte(w)}
}

// imagePair is the parameter of CalibrateImage: the band in steps of 4 MHz. Table
// 9-2 has the bands of the ISM; beyond them it is the 4 MHz below and above.
func imagePair(hz uint32) [2]byte {
	for _, b := range []struct {
		low, high uint32 // MHz
		pair      [2]byte
	}{
		{430, 440, [2]byte{0x6b, 0x6f}},
		{470, 510, [2]byte{0x75, 0x81}},
		{779, 787, [2]byte{0xc1, 0xc5}},
		{863, 870, [2]byte{0xd7, 0xdb}},
		{902, 928, [2]byte{0xe1, 0xe9}},
	} {
		if hz >= b.low*1e6 && hz <= b.high*1e6 {
			return b.pair
		}
	}
	return [2]byte{byte((hz - 4e6) / 4e6), byte((hz + 8e6 - 1) / 4e6)}
}

// bandwidthCodes are those of SetModulationParams (table 13-48).
var bandwidthCodes = map[uint32]byte{7800: 0x00, 10400: 0x08, 15600: 0x01, 20800: 0x09, 31250: 0x02, 41700: 0x0a,
	62500: 0x03, 125000: 0x04, 250000: 0x05, 500000: 0x06}

// modulationParams is the parameter of SetModulationParams (section 13.4.5.2).
func modulationParams(m radio.Modulation) [4]byte {
	rate := m.CodingRate
	if rate == 0 {
		rate = 5
	}
	slow := byte(0)
	if m.LowDataRate() {
		slow = 1
	}
	return [4]byte{m.SF, bandwidthCodes[m.Bandwidth], rate - 4, slow}
}

// packetParams is the parameter of SetPacketParams, with a header (section
// 13.4.6.2).
func packetParams(preamble uint16, length int, crc, invert bool) [6]byte {
	p := [6]byte{byte(preamble >> 8), byte(preamble), 0, byte(length), 0, 0}
	if crc {
		p[4] = 1
	}
	if invert {
		p[5] = 1
	}
	return p
}

// syncWord is the two registers' value for one of an SX127x: 0x34 is 0x3444, 0x12
// is 0x1424 (section 12, table 12-1).
func syncWord(b byte) [2]byte { return [2]byte{b&0xf0 | 4, b<<4 | 4} }

// timeout is a time in steps of 15.625 µs, rounded up (section 13.1.4). 0 and
// 0xffffff mean something else.
func timeout(d time.Duration) [3]byte {
	n := min(max((d+15624)/15625, 1), 0xfffffe)
	return [3]byte{byte(n >> 16), byte(n >> 8), byte(n)}
}

// tcxoCode is the voltage of SetDIO3AsTCXOCtrl (table 13-35).
func tcxoCode(volts float64) (byte, bool) {
	for i, v := range [...]float64{1.6, 1.7, 1.8, 2.2, 2.4, 2.7, 3.0, 3.3} {
		if math.Abs(v-volts) < 1e-6 {
			return byte(i), true
		}
	}
	return 0, false
}

// powersAt is the range of the output in dBm on a frequency: below 400 MHz the
// SX1261's amplifier must not be set up for 15 dBm (section 13.1.14.1).
func powersAt(model string, hz uint32) (low, high int8) {
	low, high = powers(model)
	if model == SX1261 && hz < 400e6 {
		high = 14
	}
	return low, high
}

// powers is the range of the output in dBm (section 13.4.4, table 13-21 for the
// SX1261's 15 dBm).
func powers(model string) (low, high int8) {
	if model == SX1261 {
		return -17, 15
	}
	return -9, 22
}

// amplifier gives the parameters of SetPaConfig and SetTxParams and the limit of
// the current for an output in dBm (sections 13.1.14.1 and 13.4.4, table 5-2). The
// amplifier is always set up for full power, as Semtech's drivers do; less comes
// from SetTxParams. The ramp is 200 µs.
func amplifier(model string, dBm int8) (pa [4]byte, tx [2]byte, ocp byte) {
	const ramp200 = 0x04
	if model != SX1261 {
		return [4]byte{4, 7, 0, 1}, [2]byte{byte(dBm), ramp200}, 0x38 // 140 mA
	}
	if dBm == 15 {
		return [4]byte{6, 0, 1, 1}, [2]byte{14, ramp200}, 0x18 // 60 mA
	}
	return [4]byte{4, 0, 1, 1}, [2]byte{byte(dBm), ramp200}, 0x18
}

// frequencyError is that of register 0x076b, in Hz. No datasheet has the factor;
// public drivers agree on 1.55 Hz for 1600 kHz.
func frequencyError(b []byte, bandwidth uint32) int32 {
	raw := int32(uint32(b[0]&0x0f)<<28|uint32(b[1])<<20|uint32(b[2])<<12) >> 12
	return int32(math.Round(float64(raw) * 1.55 * (float64(bandwidth) / 1000) / 1600))
}

// deviceErrors says GetDeviceErrors in words (table 13-86).
func deviceErrors(w uint16) error {
	var all []error
	for bit, text := range map[int]string{
		0: "the 64 kHz oscillator cannot be calibrated",
		1: "the 13 MHz oscillator cannot be calibrated",
		2: "the PLL cannot be calibrated",
		3: "the ADC cannot be calibrated",
		4: "the image cannot be calibrated",
		5: "the 32 MHz oscillator does not start (is the voltage of the TCXO right, or is there a crystal?)",
		6: "the PLL does not lock",
		8: "the amplifier does not ramp up",
	} {
		if w&(1<<bit) != 0 {
			all = append(all, errors.New(text))
		}
	}
	if w != 0 && len(all) == 0 {
		all = append(all, fmt.Errorf("device errors 0x%04x", w))
	}
	return errors.Join(all...)
}

// checkFrequency refuses what the model cannot do.
func checkFrequency(model string, hz uint32) error {
	low, high := uint32(150e6), uint32(960e6)
	if model == SX1268 {
		low, high = 410e6, 810e6
	}
	if hz < low || hz > high {
		return fmt.Errorf("%d Hz: an %s has %d to %d MHz: %w", hz, model, low/1e6, high/1e6, radio.ErrFrequency)
	}
	return nil
}

// checkPreamble refuses what receivers do not find; 0 is the usual one.
func checkPreamble(symbols uint16) error {
	if symbols != 0 && symbols < 6 {
		return fmt.Errorf("a preamble of %d symbols: it has at least 6", symbols)
	}
	return nil
}

// checkModulation refuses what the chip cannot do, or what is done with LoRa only.
func checkModulation(m radio.Modulation) error {
	_, known := bandwidthCodes[m.Bandwidth]
	switch {
	case m.SF < 5 || m.SF > 12:
		return fmt.Errorf("spreading factor %d: there are 5 to 12", m.SF)
	case !known:
		return fmt.Errorf("a bandwidth of %d Hz", m.Bandwidth)
	case m.CodingRate != 0 && (m.CodingRate < 5 || m.CodingRate > 8):
		return fmt.Errorf("coding rate 4/%d: there are 4/5 to 4/8", m.CodingRate)
	}
	return nil
}
