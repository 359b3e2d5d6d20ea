package drivers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

// bmp280Opened is the traffic of opening a BMP280 with the usual options.
func bmp280Opened() []i2ctest.IO {
	return bmx280Opening(0x58, bmx280Example, nil, 0xf4, 0x24, 0xf5, 0xa0, 0xf4, 0x24)
}

func TestBMP280(t *testing.T) {
	options := map[string]string{"oversampling_temperature": "2", "oversampling_pressure": "16", "filter": "16", "altitude": "500"}
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"worked example", nil, slices.Concat(bmp280Opened(), bmx280Measuring(0x25, bmx280Measured...)),
			"temperature=25.08 pressure=1006.53"},
		{"options", options, slices.Concat(bmx280Opening(0x58, bmx280Example, nil, 0xf4, 0x54, 0xf5, 0xa0, 0xf4, 0x54),
			[]i2ctest.IO{{Addr: 0x76, W: []byte{0xf5, 0x10}}}, bmx280Measuring(0x55, bmx280Measured...)),
			"temperature=25.08 pressure=1006.53 sea-level-pressure=1068.35"},
		{"still loading, still measuring", nil, slices.Concat(
			bmp280Opened()[:1], []i2ctest.IO{{Addr: 0x76, W: []byte{0xf3}, R: []byte{0x01}}}, bmp280Opened()[1:],
			[]i2ctest.IO{{Addr: 0x76, W: []byte{0xf4, 0x25}}, {Addr: 0x76, W: []byte{0xf3}, R: []byte{0x08}}},
			bmx280Measuring(0x25, bmx280Measured...)[1:]), "temperature=25.08 pressure=1006.53"},
		// 0x80000 stands for "skipped", and is 26.5 °C too.
		{"a value like skipped", nil, slices.Concat(bmp280Opened(), bmx280Measuring(0x25, 0x65, 0x5a, 0xc0, 0x80, 0x00, 0x00),
			[]i2ctest.IO{{Addr: 0x76, W: []byte{0xf2}, R: []byte{0x00, 0x00, 0x24}}}), "temperature=26.46 pressure=1008.66"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "bmp280", c.written, c.ops, c.want) })
		})
	}
}

func TestBMP280Refused(t *testing.T) {
	open := bmp280Opened()
	all := slices.Concat(open, bmx280Measuring(0x25, bmx280Measured...))
	busy := slices.Clone(all[:5])
	for range 101 {
		busy = append(busy, i2ctest.IO{Addr: 0x76, W: []byte{0xf3}, R: []byte{0x08}})
	}
	loading := slices.Clone(all[:1])
	for range 20 {
		loading = append(loading, i2ctest.IO{Addr: 0x76, W: []byte{0xf3}, R: []byte{0x01}})
	}
	noT1, noP1 := slices.Clone(bmx280Example), slices.Clone(bmx280Example)
	copy(noT1, []byte{0, 0})
	copy(noP1[6:], []byte{0, 0})
	reset := slices.Concat(all[:6], []i2ctest.IO{{Addr: 0x76, W: []byte{0xf7}, R: []byte{0x65, 0x5a, 0xc0, 0x80, 0x00, 0x00}},
		{Addr: 0x76, W: []byte{0xf2}, R: []byte{0x00, 0x00, 0x00}}})
	for _, c := range []struct {
		name string
		ops  []i2ctest.IO
		want string
	}{
		{"a bme280", answer(all, 0, 0x60), "this is a bme280, not a bmp280"},
		{"a bmp180", answer(all, 0, 0x55), "this is a bmp180"},
		{"unknown id", answer(all, 0, 0x00), "chip id 0x00"},
		{"id all ones", answer(all, 0, 0xff), errAllOnes.Error()},
		{"calibration all ones", answer(all, 2, ones(26)...), errAllOnes.Error()},
		{"calibration without dig_T1", answer(all, 2, noT1...), "the calibration is empty"},
		{"calibration without dig_P1", answer(all, 2, noP1...), "the calibration is empty"},
		{"always loading", loading, "the calibration does not get ready"},
		{"status all ones", answer(all, 5, 0xff), errAllOnes.Error()},
		{"always measuring", busy, "the measurement does not end"},
		{"data all ones", answer(all, 6, ones(6)...), errAllOnes.Error()},
		{"data all zeros", answer(all, 6, make([]byte, 6)...), "temperature of"},
		{"skipped", answer(all, 6, 0x80, 0, 0, 0x80, 0, 0), "measured nothing"},
		{"temperature skipped", reset, "measured nothing"},
		{"impossible pressure", answer(all, 6, 0x05, 0x5a, 0xc0, 0x7e, 0xed, 0x00), "pressure of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "bmp280", nil, c.ops, c.want) })
		})
	}
	for i := range all {
		synctest.Test(t, func(t *testing.T) { refused(t, "bmp280", nil, all[:i], "unexpected Tx") }) // NAK
	}
	synctest.Test(t, func(t *testing.T) { unanswered(t, "bmp280", nil) })
}

// TestBMP280Canceled checks that a chip that measures for ever does not hold up
// the end of the program.
func TestBMP280Canceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{i2c: slices.Concat(bmp280Opened(), []i2ctest.IO{{Addr: 0x76, W: []byte{0xf4, 0x25}},
			{Addr: 0x76, W: []byte{0xf3}, R: []byte{0x08}}, {Addr: 0x76, W: []byte{0xf3}, R: []byte{0x08}}})}
		s, err := attach(t, b, "bmp280", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Millisecond)
		defer cancel()
		if got, err := take(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestBMP280Again checks that one slow measurement has nothing to do with the
// next.
func TestBMP280Again(t *testing.T) {
	ops := bmp280Opened()
	for range 2 {
		m := bmx280Measuring(0x25, bmx280Measured...)
		ops = append(ops, m[0])
		for range 100 {
			ops = append(ops, i2ctest.IO{Addr: 0x76, W: []byte{0xf3}, R: []byte{0x08}})
		}
		ops = append(ops, m[1:]...)
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := attach(t, &bench{i2c: ops}, "bmp280", nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := take(t.Context(), s); err != nil || got != "temperature=25.08 pressure=1006.53" {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
}

func TestBMP280OnSPI(t *testing.T) {
	read := func(reg byte, r ...byte) conntest.IO {
		return conntest.IO{W: append([]byte{reg}, make([]byte, len(r))...), R: append([]byte{0}, r...)}
	}
	ops := []conntest.IO{
		read(0xd0, 0x58), read(0xf3, 0x00), read(0x88, bmx280Example...),
		{W: []byte{0x74, 0x24, 0x75, 0xa0, 0x74, 0x24}}, {W: []byte{0x75, 0x04}},
		{W: []byte{0x74, 0x25}}, read(0xf3, 0x00), read(0xf7, bmx280Measured...),
	}
	written := map[string]string{"bus": "spi:0.1", "filter": "2"}
	synctest.Test(t, func(t *testing.T) {
		if got, err := measure(t, &bench{spi: ops}, "bmp280", written); err != nil || got != "temperature=25.08 pressure=1006.53" {
			t.Errorf("%q, %v", got, err)
		}
		ops[0] = read(0xd0, 0xff)
		for _, b := range []*bench{{spi: ops}, {}} {
			got, err := measure(t, b, "bmp280", written)
			if err == nil || !strings.Contains(err.Error(), "bmp280 at spi:0.1") || got != "" {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
}

// registers is a chip on I2C that answers from a map of registers, whatever is
// written.
type registers struct {
	i2c.Bus
	at func(reg byte, r []byte)
}

func (c registers) Tx(_ uint16, w, r []byte) error {
	if len(r) > 0 {
		c.at(w[0], r)
	}
	return nil
}

func (registers) Close() error { return nil }

type registerBench struct {
	*bench
	registers
}

func (b registerBench) I2C(string) (i2c.BusCloser, error) { return b.registers, nil }

// plausible checks that a sample is a number within the chip's limits.
func plausible(t *testing.T, s sensors.Sample, limits map[string][2]float64) {
	t.Helper()
	v := toFloat(t, s)
	l, ok := limits[s.Suffix]
	if !ok || math.IsNaN(v) || v < l[0] || v > l[1] {
		t.Errorf("%s=%s", s.Suffix, s.Value)
	}
}

// FuzzBMP280 has the chip answer anything.
func FuzzBMP280(f *testing.F) {
	f.Add(bmx280Example, bmx280Measured)
	f.Add(ones(26), ones(6))
	f.Add(make([]byte, 26), make([]byte, 6))
	f.Fuzz(func(t *testing.T, calibration, data []byte) {
		chip := registers{at: func(reg byte, r []byte) {
			switch reg {
			case 0xd0:
				r[0] = 0x58
			case 0x88:
				copy(r, calibration)
			case 0xf7:
				copy(r, data)
			case 0xf2:
				r[2] = 0x24
			}
		}}
		synctest.Test(t, func(t *testing.T) {
			s, err := attach(t, registerBench{&bench{}, chip}, "bmp280", nil)
			if err != nil {
				return
			}
			samples, err := s.Sample(t.Context())
			for _, x := range samples {
				plausible(t, x, map[string][2]float64{"temperature": {-40, 85}, "pressure": {300, 1100}})
			}
			if err == nil && (bytes.Equal(data, ones(6)) || len(calibration) < 2 || binary.LittleEndian.Uint16(calibration) == 0) {
				t.Errorf("%x, %x: no error", calibration, data)
			}
		})
	})
}
