package sx127x

import (
	"fmt"
	"strings"
	"testing"

	"fieldgate/radio"
)

// TestFrf has values that are published for common channels (868.1 MHz in the
// datasheet's own steps of 61.03515625 Hz, section 4.1.4).
func TestFrf(t *testing.T) {
	for hz, want := range map[uint32]uint32{
		868100000: 0xd90666, 868300000: 0xd91333, 433175000: 0x6c4b33, 434000000: 0x6c8000, 915000000: 0xe4c000,
		137000000: 0x224000, 1020000000: 0xff0000,
	} {
		if got := frf(hz); got != want {
			t.Errorf("%d Hz: 0x%06x, want 0x%06x", hz, got, want)
		}
	}
	for hz := uint32(862e6); hz <= 1020e6; hz += 12345 {
		if d := int(frequencyOf(frf(hz))) - int(hz); d < -31 || d > 31 {
			t.Fatalf("%d Hz is %d Hz off", hz, d)
		}
	}
}

// registers is what writes leave, by address.
func registers(writes []write) map[byte]byte {
	m := map[byte]byte{}
	for _, w := range writes {
		for i, v := range w.value {
			m[w.addr+byte(i)] = v
		}
	}
	return m
}

// TestModem has each register for a few settings: datasheet section 6.4 for
// ModemConfig1 to 3, the preamble, DetectOptimize and DetectionThreshold; section
// 4.1.1.6 for the low data rate; the errata note 2.1 for 0x36 and 0x3a, 2.3 for
// 0x2f to 0x31 and the frequency.
func TestModem(t *testing.T) {
	lora := func(sf uint8, bw uint32, cr uint8) radio.Modulation {
		return radio.Modulation{SF: sf, Bandwidth: bw, CodingRate: cr}
	}
	for _, c := range []struct {
		name string
		air  air
		want string // 06 07 08 | 1d 1e 20 21 | 26 | 2f 30 31 | 33 3b | 36 37 3a | 39
	}{
		{"LoRaWAN up", air{frequency: 868100000, Modulation: lora(7, 125000, 5), syncWord: 0x34, preamble: 8, crc: true},
			"d9 06 66 | 72 74 00 08 | 04 | 40 00 43 | 27 1d | 03 0a -- | 34"},
		{"LoRaWAN down", air{frequency: 869525000, Modulation: lora(9, 125000, 5), syncWord: 0x34, preamble: 8, invertIQ: true, tx: true},
			"d9 61 9a | 72 90 00 08 | 04 | 40 00 43 | 26 19 | 03 0a -- | 34"},
		{"inverted RX", air{frequency: 868100000, Modulation: lora(7, 125000, 5), syncWord: 0x34, preamble: 8, invertIQ: true},
			"d9 06 66 | 72 70 00 08 | 04 | 40 00 43 | 67 19 | 03 0a -- | 34"},
		{"SF11", air{frequency: 868100000, Modulation: lora(11, 125000, 5), syncWord: 0x12, preamble: 300},
			"d9 06 66 | 72 b0 01 2c | 0c | 40 00 43 | 27 1d | 03 0a -- | 12"},
		{"SF10", air{frequency: 868100000, Modulation: lora(10, 125000, 6), syncWord: 0x12, preamble: 8},
			"d9 06 66 | 74 a0 00 08 | 04 | 40 00 43 | 27 1d | 03 0a -- | 12"},
		{"SF12, 250 kHz", air{frequency: 868100000, Modulation: lora(12, 250000, 8), syncWord: 0x12, preamble: 8},
			"d9 06 66 | 88 c0 00 08 | 0c | 40 00 43 | 27 1d | 03 0a -- | 12"},
		{"SF11, 250 kHz", air{frequency: 868100000, Modulation: lora(11, 250000, 7), syncWord: 0x12, preamble: 8},
			"d9 06 66 | 86 b0 00 08 | 04 | 40 00 43 | 27 1d | 03 0a -- | 12"},
		{"500 kHz", air{frequency: 923300000, Modulation: lora(12, 500000, 0), syncWord: 0x34, preamble: 8},
			"e6 d3 33 | 92 c0 00 08 | 04 | -- -- c3 | 27 1d | 02 0a 64 | 34"},
		{"500 kHz at 433 MHz", air{frequency: 433175000, Modulation: lora(7, 500000, 5), syncWord: 0x34, preamble: 8},
			"6c 4b 33 | 92 70 00 08 | 04 | -- -- c3 | 27 1d | 02 0a 7f | 34"},
		{"500 kHz at 169 MHz", air{frequency: 169400000, Modulation: lora(7, 500000, 5), syncWord: 0x34, preamble: 8},
			"2a 59 9a | 92 70 00 08 | 04 | -- -- c3 | 27 1d | 03 0a -- | 34"},
		{"62.5 kHz SF10", air{frequency: 868100000, Modulation: lora(10, 62500, 5), syncWord: 0x34, preamble: 8},
			"d9 06 66 | 62 a0 00 08 | 0c | 40 00 43 | 27 1d | 03 0a -- | 34"},
		{"41.7 kHz, +41.67 kHz", air{frequency: 434000000, Modulation: lora(7, 41700, 5), syncWord: 0x34, preamble: 8},
			"6c 82 ab | 52 70 00 08 | 04 | 44 00 43 | 27 1d | 03 0a -- | 34"},
		{"41.7 kHz TX", air{frequency: 434000000, Modulation: lora(7, 41700, 5), syncWord: 0x34, preamble: 8, tx: true},
			"6c 80 00 | 52 70 00 08 | 04 | 44 00 43 | 27 1d | 03 0a -- | 34"},
		{"31.25 kHz SF9, +31.25 kHz", air{frequency: 434000000, Modulation: lora(9, 31250, 5), syncWord: 0x34, preamble: 8},
			"6c 82 00 | 42 90 00 08 | 0c | 44 00 43 | 27 1d | 03 0a -- | 34"},
		{"7.8 kHz, +7.81 kHz", air{frequency: 434000000, Modulation: lora(7, 7800, 5), syncWord: 0x34, preamble: 8},
			"6c 80 80 | 02 70 00 08 | 0c | 48 00 43 | 27 1d | 03 0a -- | 34"},
	} {
		r := registers(modem(c.air))
		var b strings.Builder
		for _, a := range []int{6, 7, 8, -1, 0x1d, 0x1e, 0x20, 0x21, -1, 0x26, -1, 0x2f, 0x30, 0x31, -1, 0x33, 0x3b, -1, 0x36, 0x37, 0x3a, -1, 0x39} {
			v, ok := r[byte(a)]
			switch {
			case a < 0:
				b.WriteString("| ")
			case !ok:
				b.WriteString("-- ")
			default:
				fmt.Fprintf(&b, "%02x ", v)
			}
		}
		if got := strings.TrimSpace(b.String()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// TestPower has every power: PaConfig, Ocp and PaDac (section 5.4).
func TestPower(t *testing.T) {
	boost := []string{ // from 2 dBm
		"f0 2b 84", "f1 2b 84", "f2 2b 84", "f3 2b 84", "f4 2b 84", "f5 2b 84", "f6 2b 84", "f7 2b 84", "f8 2b 84", "f9 2b 84",
		"fa 2b 84", "fb 2b 84", "fc 2b 84", "fd 2b 84", "fe 2b 84", "ff 2b 84", "fd 31 87", "fe 31 87", "ff 31 87",
	}
	rfo := []string{ // from -4 dBm
		"00 2b 84", "01 2b 84", "02 2b 84", "03 2b 84", "70 2b 84", "71 2b 84", "72 2b 84", "73 2b 84", "74 2b 84", "75 2b 84",
		"76 2b 84", "77 2b 84", "78 2b 84", "79 2b 84", "7a 2b 84", "7b 2b 84", "7c 2b 84", "7d 2b 84", "7e 2b 84", "7f 2b 84",
	}
	check := func(dBm int, isRFO bool, want string) {
		r := registers(power(dBm, isRFO))
		if got := fmt.Sprintf("%02x %02x %02x", r[0x09], r[0x0b], r[0x4d]); got != want {
			t.Errorf("%d dBm, RFO %v: %s, want %s", dBm, isRFO, got, want)
		}
		pin := "PA_BOOST"
		if isRFO {
			pin = "RFO"
		}
		var says float64
		if _, err := fmt.Sscanf(powerOf(r[0x09], r[0x4d]), "%g dBm at "+pin, &says); err != nil || says < float64(dBm)-0.21 || says > float64(dBm) {
			t.Errorf("%d dBm: reads back as %s, %v", dBm, powerOf(r[0x09], r[0x4d]), err)
		}
	}
	if len(boost) != maxBoost-minBoost+1 || len(rfo) != maxRFO-minRFO+1 {
		t.Fatal("not all")
	}
	for i, want := range boost {
		check(minBoost+i, false, want)
	}
	for i, want := range rfo {
		check(minRFO+i, true, want)
	}
}

// TestSnapshot has signal strengths by the formulas of section 5.5.5.
func TestSnapshot(t *testing.T) {
	for _, c := range []struct {
		raw, snr byte
		lf       bool
		rssi, db float32
	}{
		{60, 40, false, -157 + 64, 10},
		{60, 40, true, -164 + 64, 10},
		{45, 0, false, -157 + 48, 0},
		{30, 0xfc, false, -157 + 30 - 1, -1}, // two's complement
		{30, 0xb0, true, -164 + 30 - 20, -20},
		{0, 0x80, false, -157 - 32, -32},
		{255, 0x7f, false, -157 + 272, 31.75},
	} {
		var s snapshot
		s[0x1a-0x10], s[0x19-0x10] = c.raw, c.snr
		if s.rssi(c.lf) != c.rssi || s.snr() != c.db {
			t.Errorf("%+v: %v dBm, %v dB", c, s.rssi(c.lf), s.snr())
		}
	}
}

// TestFrequencyError has the formula of section 4.1.5: FEI * 2^24 / 32e6 *
// bandwidth in kHz / 500.
func TestFrequencyError(t *testing.T) {
	for _, c := range []struct {
		reg  [3]byte
		bw   uint32
		want int32
	}{
		{[3]byte{0, 0, 0}, 125000, 0},
		{[3]byte{0x00, 0x1d, 0xce}, 125000, -1000}, // 7630
		{[3]byte{0x0f, 0xe2, 0x32}, 125000, 1000},
		{[3]byte{0x07, 0xff, 0xff}, 500000, -274877},
		{[3]byte{0x08, 0x00, 0x00}, 500000, 274878},
		{[3]byte{0xff, 0xff, 0xff}, 500000, 1}, // the upper bits are no bits of it
	} {
		if got := frequencyError(c.reg, c.bw); got != c.want {
			t.Errorf("% x at %d Hz: %d Hz, want %d Hz", c.reg, c.bw, got, c.want)
		}
	}
}
