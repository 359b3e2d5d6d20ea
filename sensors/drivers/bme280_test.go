package drivers

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

// bme280Example is a calibration of the humidity: dig_H2 = 355, dig_H3 = 0,
// dig_H4 = 341, dig_H5 = 0, dig_H6 = 30.
var bme280Example = []byte{0x63, 0x01, 0x00, 0x15, 0x05, 0x00, 0x1e}

// bme280Opened is the traffic of opening a BME280 with the usual options.
func bme280Opened(humidity []byte) []i2ctest.IO {
	return bmx280Opening(0x60, bmx280Example, humidity, 0xf4, 0x24, 0xf2, 0x01, 0xf5, 0xa0, 0xf4, 0x24)
}

// bme280Measured is the measurement of the worked example with a humidity.
func bme280Measured(h ...byte) []i2ctest.IO {
	return bmx280Measuring(0x25, append(slices.Clone(bmx280Measured), h...)...)
}

// toFloat reads the number of a sample.
func toFloat(t *testing.T, s sensors.Sample) float64 {
	t.Helper()
	var v float64
	if err := json.Unmarshal(s.Value, &v); err != nil {
		t.Fatalf("%s=%s: %v", s.Suffix, s.Value, err)
	}
	return v
}

func TestBME280(t *testing.T) {
	options := map[string]string{"oversampling_temperature": "4", "oversampling_pressure": "8", "oversampling_humidity": "16", "filter": "4", "altitude": "0"}
	negative := []byte{0x63, 0x01, 0x00, 0x15, 0x25, 0xfe, 0x1e} // dig_H5 = -30
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"worked example", nil, slices.Concat(bme280Opened(bme280Example), bme280Measured(0x6d, 0x3a)),
			"temperature=25.08 humidity=33.85 pressure=1006.53"},
		{"negative dig_H5", nil, slices.Concat(bme280Opened(negative), bme280Measured(0x6d, 0x3a)),
			"temperature=25.08 humidity=34.37 pressure=1006.53"},
		{"options", options, slices.Concat(bmx280Opening(0x60, bmx280Example, bme280Example, 0xf4, 0x70, 0xf2, 0x05, 0xf5, 0xa0, 0xf4, 0x70),
			[]i2ctest.IO{{Addr: 0x76, W: []byte{0xf5, 0x08}}}, bmx280Measuring(0x71, append(slices.Clone(bmx280Measured), 0x6d, 0x3a)...)),
			"temperature=25.08 humidity=33.85 pressure=1006.53 sea-level-pressure=1006.53"},
		{"a humidity like skipped", nil, slices.Concat(bme280Opened(bme280Example), bme280Measured(0x80, 0x00),
			[]i2ctest.IO{{Addr: 0x76, W: []byte{0xf2}, R: []byte{0x01, 0x00, 0x24}}}),
			"temperature=25.08 humidity=60.12 pressure=1006.53"},
		{"condensation", nil, slices.Concat(bme280Opened(bme280Example), bme280Measured(0xa3, 0x00)),
			"temperature=25.08 humidity=100.00 pressure=1006.53"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "bme280", c.written, c.ops, c.want) })
		})
	}
}

func TestBME280Refused(t *testing.T) {
	all := slices.Concat(bme280Opened(bme280Example), bme280Measured(0x6d, 0x3a))
	data := func(h ...byte) []byte { return append(slices.Clone(bmx280Measured), h...) }
	reset := append(answer(all, 7, data(0x80, 0x00)...), i2ctest.IO{Addr: 0x76, W: []byte{0xf2}, R: []byte{0x00, 0x00, 0x24}})
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want string
	}{
		{"a bmp280", answer(all, 0, 0x58), "this is a bmp280, not a bme280: configure it with driver: bmp280"},
		{"id all ones", answer(all, 0, 0xff), errAllOnes.Error()},
		{"calibration all ones", answer(all, 2, ones(26)...), errAllOnes.Error()},
		{"humidity calibration all ones", answer(all, 3, ones(7)...), errAllOnes.Error()},
		{"humidity calibration empty", answer(all, 3, make([]byte, 7)...), "the calibration of the humidity is empty"},
		{"status all ones", answer(all, 6, 0xff), errAllOnes.Error()},
		{"data all ones", answer(all, 7, ones(8)...), errAllOnes.Error()},
		{"data all zeros", answer(all, 7, make([]byte, 8)...), "is outside the chip's range"},
		{"skipped", answer(all, 7, 0x80, 0, 0, 0x80, 0, 0, 0x80, 0), "measured nothing"},
		{"humidity skipped", reset, "measured nothing"},
		{"humidity too low", answer(all, 7, data(0, 0)...), "humidity of"},
		{"humidity too high", answer(all, 7, data(0xff, 0xff)...), "humidity of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "bme280", nil, c.ops, c.want) })
		})
	}
	for i := range all {
		synctest.Test(t, func(t *testing.T) { refused(t, "bme280", nil, all[:i], "unexpected Tx") }) // NAK
	}
	synctest.Test(t, func(t *testing.T) { unanswered(t, "bme280", map[string]string{"address": "0x77"}) })
}

func TestBME280OnSPI(t *testing.T) {
	read := func(reg byte, r ...byte) conntest.IO {
		return conntest.IO{W: append([]byte{reg}, make([]byte, len(r))...), R: append([]byte{0}, r...)}
	}
	ops := []conntest.IO{
		read(0xd0, 0x60), read(0xf3, 0x00), read(0x88, bmx280Example...), read(0xe1, bme280Example...),
		{W: []byte{0x74, 0x24, 0x72, 0x01, 0x75, 0xa0, 0x74, 0x24}},
		{W: []byte{0x74, 0x25}}, read(0xf3, 0x00), read(0xf7, append(slices.Clone(bmx280Measured), 0x80, 0x00)...),
		read(0xf2, 0x01, 0x00, 0x24),
	}
	synctest.Test(t, func(t *testing.T) {
		got, err := measure(t, &bench{spi: ops}, "bme280", map[string]string{"bus": "spi:0.0"})
		if want := "temperature=25.08 humidity=60.12 pressure=1006.53"; err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	})
}

// bme280Fixed is the calculation of the humidity in whole numbers (BME280
// section 4.2.3), in percent.
func bme280Fixed(raw, fine, h1, h2, h3, h4, h5, h6 int64) float64 {
	x := fine - 76800
	a := (raw<<14 - h4<<20 - h5*x + 16384) >> 15
	b := (((x*h6>>10)*(x*h3>>11+32768)>>10+2097152)*h2 + 8192) >> 14
	v := a * b
	v -= ((v >> 15) * (v >> 15) >> 7) * h1 >> 4
	return float64(min(max(v, 0), 419430400)) / 4096 / 1024
}

func TestBME280Humidity(t *testing.T) {
	const temperature, fine = 519888, 128422 // of the worked example
	for _, h5 := range []int64{0, 1, 50, -1, -30, -300, 2047} {
		for _, h4 := range []int64{341, -20} {
			h := slices.Clone(bme280Example)
			h[3], h[4], h[5] = byte(h4>>4), byte(h4&0x0f)|byte(h5&0x0f)<<4, byte(h5>>4)
			for raw := 0; raw <= 0xffff; raw += 0x111 {
				got, err := bme280Humidity(bmx280Example, h, temperature, uint16(raw))
				want := bme280Fixed(int64(raw), fine, 75, 355, 0, h4, h5, 30)
				if err == nil && math.Abs(got-want) > 0.02 || err != nil && want > 0 && want < 100 {
					t.Errorf("dig_H4 %d, dig_H5 %d, raw 0x%04x: %g, %v; want %g", h4, h5, raw, got, err, want)
				}
			}
		}
	}
}

// FuzzBME280Humidity asks for no panic, and a percentage or an error.
func FuzzBME280Humidity(f *testing.F) {
	f.Add(bmx280Example, bme280Example, uint32(519888), uint16(0x6d3a))
	f.Add(ones(26), ones(7), uint32(0xfffff), uint16(0xffff))
	f.Add([]byte{}, []byte{1}, uint32(0), uint16(0))
	f.Fuzz(func(t *testing.T, tp, h []byte, temperature uint32, humidity uint16) {
		if rh, err := bme280Humidity(tp, h, temperature, humidity); err == nil && !(rh >= 0 && rh <= 100) {
			t.Errorf("%g", rh)
		}
	})
}
