package drivers

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// sht4xWrite sends a command to a chip at its usual address.
func sht4xWrite(command byte) i2ctest.IO { return i2ctest.IO{Addr: 0x44, W: []byte{command}} }

// sht4xOpening is what happens when a chip is opened, and then more. Its serial
// number is 0x0f47beef.
func sht4xOpening(more ...i2ctest.IO) []i2ctest.IO {
	return append([]i2ctest.IO{sht4xWrite(0x94), sht4xWrite(0x89), shtAnswer(0x0f, 0x47, 0xb2, 0xbe, 0xef, 0x92)}, more...)
}

func TestSHT4x(t *testing.T) {
	for repeatability, c := range map[string]struct {
		command byte
		time    time.Duration
	}{
		"high":   {0xfd, 9 * time.Millisecond},
		"medium": {0xf6, 5 * time.Millisecond},
		"low":    {0xe0, 2 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			recorded(t, "sht4x", map[string]string{"repeatability": repeatability}, sht4xOpening(sht4xWrite(c.command), shtAnswer(0x66, 0x66, 0x93, 0x80, 0x00, 0xa2)),
				"temperature=25.00 humidity=56.50")
			if got, want := time.Since(begin), 11*time.Millisecond+c.time; got != want {
				t.Errorf("%s: %v, want %v", repeatability, got, want)
			}
		})
	}
}

func TestSHT4xRefused(t *testing.T) {
	at := func(answer ...byte) []i2ctest.IO { return sht4xOpening(sht4xWrite(0xfd), shtAnswer(answer...)) }
	serial := func(r ...byte) []i2ctest.IO { return append(sht4xOpening()[:2:2], shtAnswer(r...)) }
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want string
	}{
		{"serial number all ones", serial(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), errAllOnes.Error()},
		{"serial number all zeros", serial(0, 0, 0, 0, 0, 0), "checksum"},
		{"serial number 0", serial(0, 0, 0x81, 0, 0, 0x81), "no SHT4x"},
		{"serial number's checksum", serial(0x0f, 0x47, 0xb2, 0xbe, 0xef, 0x93), "serial number: checksum"},
		{"measurement all ones", at(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), errAllOnes.Error()},
		{"measurement all zeros", at(0, 0, 0, 0, 0, 0), "checksum of word 1"},
		{"temperature's checksum", at(0x66, 0x67, 0x93, 0x80, 0x00, 0xa2), "checksum of word 1"},
		{"humidity's checksum", at(0x66, 0x66, 0x93, 0x80, 0x00, 0xa3), "checksum of word 2"},
		{"below -40", at(0x00, 0x00, 0x81, 0x80, 0x00, 0xa2), "outside"},
		{"above 125", at(0xff, 0xff, 0xac, 0x80, 0x00, 0xa2), "outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "sht4x", nil, c.ops, c.want) })
		})
	}
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "sht4x", nil)
		all := at(0x66, 0x66, 0x93, 0x80, 0x00, 0xa2)
		for n := range all { // no answer at each of them
			refused(t, "sht4x", nil, all[:n], "unexpected Tx")
		}
	})
}

// Datasheet section 4.6, with what lies outside 0 to 100 % cut off.
func TestSHT4xDatasheet(t *testing.T) {
	for _, c := range []struct {
		t, h                  uint16
		temperature, humidity float64
	}{
		{0x6666, 0x0000, 25, 0},
		{0x6666, 0x0c49, 25, 0},
		{0x6666, 0x0c4b, 25, 0.002518},
		{0x4189, 0x3333, -0.199893, 19},
		{0xb333, 0xcccc, 77.501335, 94},
		{0xb333, 0xd915, 77.501335, 99.998703},
		{0xb333, 0xffff, 77.501335, 100},
	} {
		temperature, humidity, err := sht4xDecode([]uint16{c.t, c.h})
		if err != nil || math.Abs(temperature-c.temperature) > 1e-6 || math.Abs(humidity-c.humidity) > 1e-6 {
			t.Errorf("%04x %04x: %v °C %v %%, %v", c.t, c.h, temperature, humidity, err)
		}
	}
}

func FuzzSHT4x(f *testing.F) {
	f.Add([]byte{0x66, 0x66, 0x93, 0x80, 0x00, 0xa2}, false)
	f.Add([]byte{0xff, 0xff, 0xac, 0xff, 0xff, 0xac}, true)
	f.Add(make([]byte, 6), true)
	f.Fuzz(func(t *testing.T, raw []byte, repair bool) {
		shtFuzz(t, raw, repair, sht4xDecode)
	})
}
