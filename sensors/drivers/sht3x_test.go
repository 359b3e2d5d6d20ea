package drivers

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// sht3xIO is a transaction with a chip at its usual address.
func sht3xIO(command uint16, r ...byte) i2ctest.IO {
	return i2ctest.IO{Addr: 0x44, W: []byte{byte(command >> 8), byte(command)}, R: r}
}

// shtAnswer is what the chip sends by itself, such as a measurement.
func shtAnswer(r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x44, R: r} }

// sht3xOpening is what happens when a chip is opened, and then more. Status
// 0x8010 is that after a reset (datasheet table 18).
func sht3xOpening(more ...i2ctest.IO) []i2ctest.IO {
	return append([]i2ctest.IO{sht3xIO(0x3093), sht3xIO(0x30a2), sht3xIO(0xf32d, 0x80, 0x10, 0xe1), sht3xIO(0x3041)}, more...)
}

// Checksums are written out, so that they do not come from what is tested.
// 0x6666 is 25.00 °C; 0x8000 is 50.00 %.
var (
	sht3xMeasured = shtAnswer(0x66, 0x66, 0x93, 0x80, 0x00, 0xa2)
	sht3xQuiet    = sht3xIO(0xf32d, 0x00, 0x00, 0x81)
)

func TestSHT3x(t *testing.T) {
	for repeatability, c := range map[string]struct {
		command uint16
		time    time.Duration
	}{
		"high":   {0x2400, 15500 * time.Microsecond},
		"medium": {0x240b, 6500 * time.Microsecond},
		"low":    {0x2416, 4500 * time.Microsecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			recorded(t, "sht3x", map[string]string{"repeatability": repeatability}, sht3xOpening(sht3xIO(c.command), sht3xMeasured, sht3xQuiet),
				"temperature=25.00 humidity=50.00")
			if got, want := time.Since(begin), 6*time.Millisecond+c.time; got != want {
				t.Errorf("%s: %v, want %v", repeatability, got, want)
			}
		})
	}
}

func TestSHT3xRefused(t *testing.T) {
	at := func(answers ...i2ctest.IO) []i2ctest.IO {
		return sht3xOpening(append([]i2ctest.IO{sht3xIO(0x2400)}, answers...)...)
	}
	opening := func(status ...byte) []i2ctest.IO {
		return append(sht3xOpening()[:2:2], sht3xIO(0xf32d, status...))
	}
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want string
	}{
		{"status all ones", opening(0xff, 0xff, 0xff), errAllOnes.Error()},
		{"status all zeros", opening(0, 0, 0), "checksum"},
		{"status bad checksum", opening(0x80, 0x10, 0xe0), "(0x8010) is 0xe0, not 0xe1"},
		{"another chip", opening(0x40, 0x10, crc8([]byte{0x40, 0x10})), "reserved bits"},
		{"not reset", opening(0x00, 0x00, 0x81), "does not show the reset"},
		{"heater after reset", opening(0x20, 0x10, crc8([]byte{0x20, 0x10})), "heater"},
		{"reset not carried out", opening(0x80, 0x12, crc8([]byte{0x80, 0x12})), "not carried out"},
		{"measurement all ones", at(shtAnswer(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)), errAllOnes.Error()},
		{"measurement all zeros", at(shtAnswer(0, 0, 0, 0, 0, 0)), "checksum of word 1"},
		{"temperature's checksum", at(shtAnswer(0x66, 0x66, 0x92, 0x80, 0x00, 0xa2)), "checksum of word 1"},
		{"humidity's checksum", at(shtAnswer(0x66, 0x66, 0x93, 0x80, 0x01, 0xa2)), "checksum of word 2"},
		{"line lost in the middle", at(shtAnswer(0x66, 0x66, 0x93, 0xff, 0xff, 0xff)), errAllOnes.Error()},
		{"below -40", at(shtAnswer(0x00, 0x00, 0x81, 0x80, 0x00, 0xa2)), "outside"},
		{"above 125", at(shtAnswer(0xff, 0xff, 0xac, 0x80, 0x00, 0xa2)), "outside"},
		{"heater of others", at(sht3xMeasured, sht3xIO(0xf32d, 0x20, 0x00, crc8([]byte{0x20, 0}))), "heater"},
		{"command not carried out", at(sht3xMeasured, sht3xIO(0xf32d, 0x00, 0x02, crc8([]byte{0, 2}))), "not carried out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "sht3x", nil, c.ops, c.want) })
		})
	}
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "sht3x", nil)
		all := at(sht3xMeasured, sht3xQuiet)
		for n := range all { // no answer at each of them
			refused(t, "sht3x", nil, all[:n], "unexpected Tx")
		}
	})
}

// Datasheet sections 4.12 and 4.13.
func TestSHT3xDatasheet(t *testing.T) {
	if got := crc8([]byte{0xbe, 0xef}); got != 0x92 {
		t.Errorf("CRC(0xbeef) = 0x%02x", got)
	}
	for _, c := range []struct {
		t, h                  uint16
		temperature, humidity float64
	}{
		{0x0751, 0x0000, -39.998474, 0},
		{0x4189, 0x3333, -0.199893, 20},
		{0x6666, 0x7fff, 25, 49.999237},
		{0xb333, 0xcccc, 77.501335, 80},
		{0xf8ae, 0xffff, 124.998474, 100},
	} {
		temperature, humidity, err := decodeClimate([]uint16{c.t, c.h})
		if err != nil || math.Abs(temperature-c.temperature) > 1e-6 || math.Abs(humidity-c.humidity) > 1e-6 {
			t.Errorf("%04x %04x: %v °C %v %%, %v", c.t, c.h, temperature, humidity, err)
		}
	}
}

func FuzzSHT3x(f *testing.F) {
	f.Add(sht3xMeasured.R, false)
	f.Add([]byte{0xff, 0xff, 0xac, 0xff, 0xff, 0xac}, true)
	f.Add(make([]byte, 6), true)
	f.Fuzz(func(t *testing.T, raw []byte, repair bool) {
		shtFuzz(t, raw, repair, decodeClimate)
	})
}

// shtFuzz checks a decoder, with checksums that are made right if repair is set.
func shtFuzz(t *testing.T, raw []byte, repair bool, decode func([]uint16) (float64, float64, error)) {
	var b [6]byte
	copy(b[:], raw)
	if repair {
		b[2], b[5] = crc8(b[:2]), crc8(b[3:5])
	}
	w, err := checkedWords(b[:])
	if right := crc8(b[:2]) == b[2] && crc8(b[3:5]) == b[5]; right != (err == nil) {
		t.Errorf("% x: checksums: %v", b, err)
	}
	if err != nil {
		return
	}
	temperature, humidity, err := decode(w)
	if ok := temperature >= -40 && temperature <= 125 && humidity >= 0 && humidity <= 100; ok != (err == nil) {
		t.Errorf("% x: %v °C %v %%, %v", b, temperature, humidity, err)
	}
}
