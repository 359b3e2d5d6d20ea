package sx126x

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"fieldgate/radio"
)

// TestFrequencyWord has f * 2^25 / 32 MHz, rounded; 915 MHz is what Semtech's
// drivers write, the others are computed by hand.
func TestFrequencyWord(t *testing.T) {
	for hz, want := range map[uint32]string{
		868100000: "3641999a", // 910268825.6
		868300000: "3644cccd", // 910478540.8
		868500000: "36480000", // 910688256.0
		869525000: "36586666",
		915000000: "39300000", // 959447040
		433175000: "1b12cccd",
		923200000: "39b33333",
		150000000: "09600000",
		960000000: "3c000000",
	} {
		w := frequencyWord(hz)
		if got := fmt.Sprintf("%x", w[:]); got != want {
			t.Errorf("%d: %s, want %s", hz, got, want)
		}
	}
	// To half a step and back.
	for hz := uint32(150e6); hz <= 960e6; hz += 100_003 {
		w := frequencyWord(hz)
		n := uint64(w[0])<<24 | uint64(w[1])<<16 | uint64(w[2])<<8 | uint64(w[3])
		if back := float64(n) * 32e6 / (1 << 25); back < float64(hz)-0.48 || back > float64(hz)+0.48 {
			t.Errorf("%d: %f", hz, back)
		}
	}
}

// TestImagePair has table 9-2, its edges, and bands beyond.
func TestImagePair(t *testing.T) {
	for hz, want := range map[uint32][2]byte{
		430e6: {0x6b, 0x6f}, 433175000: {0x6b, 0x6f}, 440e6: {0x6b, 0x6f},
		470e6: {0x75, 0x81}, 510e6: {0x75, 0x81},
		779e6: {0xc1, 0xc5}, 787e6: {0xc1, 0xc5},
		863e6: {0xd7, 0xdb}, 865200000: {0xd7, 0xdb}, 868100000: {0xd7, 0xdb}, 870e6: {0xd7, 0xdb},
		902e6: {0xe1, 0xe9}, 915e6: {0xe1, 0xe9}, 923200000: {0xe1, 0xe9}, 928e6: {0xe1, 0xe9},
		169400000: {0x29, 0x2c}, 600e6: {0x95, 0x97}, 960e6: {0xef, 0xf1},
	} {
		if got := imagePair(hz); got != want {
			t.Errorf("%d: % x, want % x", hz, got, want)
		}
	}
	for hz := uint32(150e6); hz <= 960e6; hz += 50_000 {
		p := imagePair(hz)
		if low, high := uint32(p[0])*4e6, uint32(p[1])*4e6; low > hz || high < hz || high <= low {
			t.Fatalf("%d is not in %d to %d", hz, low, high)
		}
	}
}

// TestAmplifier has the whole table of outputs.
func TestAmplifier(t *testing.T) {
	for _, model := range []string{SX1262, SX1268} {
		for p := int8(-9); p <= 22; p++ {
			pa, tx, ocp := amplifier(model, p)
			if pa != [4]byte{4, 7, 0, 1} || tx != [2]byte{byte(p), 4} || ocp != 0x38 {
				t.Errorf("%s %d: % x, % x, %x", model, p, pa, tx, ocp)
			}
		}
	}
	for p := int8(-17); p <= 14; p++ {
		pa, tx, ocp := amplifier(SX1261, p)
		if pa != [4]byte{4, 0, 1, 1} || tx != [2]byte{byte(p), 4} || ocp != 0x18 {
			t.Errorf("SX1261 %d: % x, % x, %x", p, pa, tx, ocp)
		}
	}
	if pa, tx, _ := amplifier(SX1261, 15); pa != [4]byte{6, 0, 1, 1} || tx != [2]byte{14, 4} {
		t.Errorf("SX1261 15: % x, % x", pa, tx)
	}
}

// TestPower has the way from EIRP to the chip's output.
func TestPower(t *testing.T) {
	for _, c := range []struct {
		model   string
		max     int8
		gain    float64
		eirp    int8
		want    int8
		refused bool
	}{
		{SX1262, 0, 0, 14, 14, false},
		{SX1262, 0, 2.15, 16, 13, false}, // 13.85: never more than was asked for
		{SX1262, 0, 0, 27, 22, false},
		{SX1262, 14, 0, 22, 14, false},
		{SX1262, 0, -2, 20, 22, false},
		{SX1262, 0, 0, -9, -9, false},
		{SX1262, 0, 0, -10, 0, true},
		{SX1262, 0, 25, 14, 0, true}, // an amplifier behind it
		{SX1261, 0, 0, 22, 15, false},
		{SX1261, 0, 0, -17, -17, false},
		{SX1261, 0, 0.5, -17, 0, true},
	} {
		cfg := wiring
		cfg.Board = noBoard{}
		cfg.Model, cfg.MaxPower, cfg.AntennaGain = c.model, c.max, c.gain
		d, err := newDevice(cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.chipPower(c.eirp, 868100000)
		if got != c.want || errors.Is(err, radio.ErrPower) != c.refused {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

func TestModulationParams(t *testing.T) {
	for bw, code := range map[uint32]byte{7800: 0, 10400: 8, 15600: 1, 20800: 9, 31250: 2, 41700: 0x0a, 62500: 3, 125000: 4, 250000: 5, 500000: 6} {
		for sf := uint8(5); sf <= 12; sf++ {
			for cr := uint8(5); cr <= 8; cr++ {
				p := modulationParams(radio.Modulation{SF: sf, Bandwidth: bw, CodingRate: cr})
				slow := float64(uint(1)<<sf)/float64(bw) > 0.016
				if p[0] != sf || p[1] != code || p[2] != cr-4 || (p[3] == 1) != slow {
					t.Errorf("SF%d %d 4/%d: % x", sf, bw, cr, p)
				}
			}
		}
	}
	if p := modulationParams(radio.Modulation{SF: 7, Bandwidth: 125000}); p[2] != 1 {
		t.Errorf("no coding rate: % x", p)
	}
}

func TestSmallWords(t *testing.T) {
	if syncWord(radio.SyncPublic) != [2]byte{0x34, 0x44} || syncWord(radio.SyncPrivate) != [2]byte{0x14, 0x24} || syncWord(0xa5) != [2]byte{0xa4, 0x54} {
		t.Error("sync words")
	}
	for d, want := range map[time.Duration][3]byte{0: {0, 0, 1}, 5 * time.Millisecond: {0, 1, 0x40}, time.Second: {0, 0xfa, 0},
		15626: {0, 0, 2}, time.Hour: {0xff, 0xff, 0xfe}} {
		if got := timeout(d); got != want {
			t.Errorf("%v: % x, want % x", d, got, want)
		}
	}
	for v, want := range map[float64]byte{1.6: 0, 1.7: 1, 1.8: 2, 2.2: 3, 2.4: 4, 2.7: 5, 3.0: 6, 3.3: 7} {
		if got, ok := tcxoCode(v); got != want || !ok {
			t.Errorf("%g V: %d", v, got)
		}
	}
	if _, ok := tcxoCode(5); ok {
		t.Error("5 V")
	}
	// 1.55/1600 of the bandwidth in kHz for each step, 20 bits with a sign; the
	// upper half byte is none of it.
	for _, c := range []struct {
		b    []byte
		bw   uint32
		want int32
	}{
		{[]byte{0x00, 0x00, 0x00}, 125000, 0},
		{[]byte{0x10, 0x20, 0x43}, 125000, 1000},   // 8259
		{[]byte{0x1f, 0xdf, 0xbd}, 125000, -1000},  // -8259
		{[]byte{0x07, 0xff, 0xff}, 500000, 253952}, // 524287
		{[]byte{0x08, 0x00, 0x00}, 500000, -253952},
	} {
		if got := frequencyError(c.b, c.bw); got != c.want {
			t.Errorf("% x: %d, want %d", c.b, got, c.want)
		}
	}
	for _, c := range []struct {
		b         []byte
		rssi, snr float32
	}{
		{[]byte{172, 40, 173}, -86, 10},
		{[]byte{241, 0, 240}, -120.5, 0},
		{[]byte{234, 0xd8, 250}, -125, -10}, // below the noise: the signal's
	} {
		if rssi, snr := levels(c.b); rssi != c.rssi || snr != c.snr {
			t.Errorf("%v: %g, %g", c.b, rssi, snr)
		}
	}
	for w := range 1 << 16 {
		if (deviceErrors(uint16(w)) == nil) != (w == 0) {
			t.Fatalf("device errors %04x", w)
		}
	}
}

func TestChipName(t *testing.T) {
	for text, ok := range map[string]bool{
		"SX1261 V2D 2D02\x00": true, "SX1261 TKF 1A11": true, "SX1262\x00\xff\xff": true, "SX1268 V2D": true, "LLCC68 V2D 2D02": true,
		"": false, "\x00\x00\x00": false, "\xff\xff\xff\xff": false, "SX1280": false, "\xa2\xa2": false,
	} {
		if name, err := chipName(SX1262, []byte(text)); (err == nil) != ok || err != nil && !errors.Is(err, ErrAbsent) {
			t.Errorf("%q: %q, %v", text, name, err)
		}
	}
}

// FuzzAnswers has the chip's answers be anything.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0xa2, 0x04, 0x43}, "SX1261 V2D 2D02\x00", uint16(0x20))
	f.Add([]byte{0xff, 0xff, 0xff}, "\xff", uint16(0xffff))
	f.Fuzz(func(t *testing.T, b []byte, text string, w uint16) {
		_, _ = chipName(SX1261, []byte(text))
		_ = deviceErrors(w)
		if len(b) < 3 {
			return
		}
		if rssi, snr := levels(b); rssi > 0 || rssi < -127.5 || snr < -32 || snr > 31.75 {
			t.Errorf("% x: %g, %g", b, rssi, snr)
		}
		for bw := range bandwidthCodes {
			if e := frequencyError(b, bw); e > int32(bw) || e < -int32(bw) {
				t.Errorf("% x at %d Hz: %d", b, bw, e)
			}
		}
	})
}
