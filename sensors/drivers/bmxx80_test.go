package drivers

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// The worked example of the BMP280 data sheet (section 3.12), which the BME280
// shares: dig_T1 = 27504, dig_T2 = 26435, dig_T3 = -1000, dig_P1 = 36477,
// dig_P2 = -10685, dig_P3 = 3024, dig_P4 = 2855, dig_P5 = 140, dig_P6 = -7,
// dig_P7 = 15500, dig_P8 = -14600, dig_P9 = 6000; and dig_H1 = 75.
var bmx280Example = []byte{
	0x70, 0x6b, 0x43, 0x67, 0x18, 0xfc,
	0x7d, 0x8e, 0x43, 0xd6, 0xd0, 0x0b, 0x27, 0x0b, 0x8c, 0x00, 0xf9, 0xff, 0x8c, 0x3c, 0xf8, 0xc6, 0x70, 0x17,
	0x00, 75,
}

// bmx280Measured is the example's measurement: adc_P = 415148, adc_T = 519888.
// The result is 25.08 °C and 100653 Pa.
var bmx280Measured = []byte{0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00}

// bmx280Opening is the traffic of opening a BMP280 or BME280: humidity is the
// calibration that only the latter has.
func bmx280Opening(id byte, calibration, humidity []byte, settings ...byte) []i2ctest.IO {
	ops := []i2ctest.IO{
		{Addr: 0x76, W: []byte{0xd0}, R: []byte{id}},
		{Addr: 0x76, W: []byte{0xf3}, R: []byte{0x00}},
		{Addr: 0x76, W: []byte{0x88}, R: calibration},
	}
	if humidity != nil {
		ops = append(ops, i2ctest.IO{Addr: 0x76, W: []byte{0xe1}, R: humidity})
	}
	return append(ops, i2ctest.IO{Addr: 0x76, W: settings})
}

// bmx280Measuring is the traffic of one measurement.
func bmx280Measuring(start byte, data ...byte) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: 0x76, W: []byte{0xf4, start}},
		{Addr: 0x76, W: []byte{0xf3}, R: []byte{0x00}},
		{Addr: 0x76, W: []byte{0xf7}, R: data},
	}
}

// at puts another transaction in the place of the one with number i, and leaves
// out the rest.
func at(ops []i2ctest.IO, i int, with i2ctest.IO) []i2ctest.IO {
	return append(slices.Clone(ops[:i]), with)
}

// answer gives the transaction with number i another answer, and leaves the
// rest out.
func answer(ops []i2ctest.IO, i int, r ...byte) []i2ctest.IO {
	with := ops[i]
	with.R = r
	return at(ops, i, with)
}

// ones are n bytes that nobody drives.
func ones(n int) []byte { return bytes.Repeat([]byte{0xff}, n) }

func TestBmxx80Identity(t *testing.T) {
	for _, c := range []struct {
		model string
		id    byte
		want  string
	}{
		{"bme280", 0x60, ""}, {"bmp280", 0x58, ""}, {"bmp180", 0x55, ""},
		{"bme280", 0x58, "this is a bmp280, not a bme280: configure it with driver: bmp280"},
		{"bmp280", 0x60, "this is a bme280, not a bmp280: configure it with driver: bme280"},
		{"bmp180", 0x60, "this is a bme280, not a bmp180"},
		{"bmp280", 0x55, "this is a bmp180, not a bmp280"},
		{"bme280", 0x61, "this is a bme680, not a bme280"},
		{"bme280", 0x00, "chip id 0x00: this is no bme280"},
		{"bme280", 0xff, "only ones"},
	} {
		err := bmxx80Identity(c.model, c.id)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with id 0x%02x: %v, want %q", c.model, c.id, err, c.want)
		}
	}
}

func TestSeaLevelPressure(t *testing.T) {
	for _, c := range []struct{ p, altitude, want float64 }{
		{1013.25, 0, 1013.25},
		{1000, 84.3, 1010.06}, // 100 hPa are 843 m near the sea (BMP180 section 3.6)
		{899, 1000, 1013.6},
		{700, -400, 667.36},
	} {
		if got := seaLevelPressure(c.p, c.altitude); got < c.want-0.5 || got > c.want+0.5 {
			t.Errorf("%g hPa at %g m: %g, want %g", c.p, c.altitude, got, c.want)
		}
	}
}

// TestPeriphLink checks that what goes wrong below periph's drivers comes out
// above them, whatever they make of it.
func TestPeriphLink(t *testing.T) {
	broken := errors.New("broken")
	l := &periphLink{tx: func(context.Context, []byte, []byte) error { return broken }}
	if err := l.do(t.Context(), func() error { _ = l.Tx(1, nil, nil); return nil }); !errors.Is(err, broken) {
		t.Errorf("swallowed: %v", err)
	}
	if err := l.do(t.Context(), func() error {
		if l.Tx(1, nil, nil) != nil {
			return errors.New("failed")
		}
		return nil
	}); !errors.Is(err, broken) {
		t.Errorf("replaced: %v", err)
	}
	if err := l.do(t.Context(), func() error { return nil }); err != nil {
		t.Errorf("an error stays: %v", err)
	}
	sent := map[string]int{}
	if err := l.do(t.Context(), func() error { _ = 1 / sent["divisor"]; return nil }); err == nil {
		t.Error("a division by zero is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.do(ctx, func() error { return l.Tx(1, nil, nil) }); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
