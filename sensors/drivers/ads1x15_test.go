package drivers

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

// adsMeasuring is the traffic of opening a converter and of one measurement:
// the settings as they are written, and the result.
func adsMeasuring(hi, lo byte, result ...byte) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: 0x48, W: []byte{0x01}, R: []byte{0x85, 0x83}}, // as after power-on
		{Addr: 0x48, W: []byte{0x01, hi, lo}},
		{Addr: 0x48, W: []byte{0x01}, R: []byte{hi, lo}},
		{Addr: 0x48, W: []byte{0x00}, R: result},
	}
}

// TestADS1115 has the ranges of table 3 (section 9.3.3) with the codes of
// section 9.5.4: the steps are 187.5, 125, 62.5, 31.25, 15.625 and 7.8125 µV.
func TestADS1115(t *testing.T) {
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"as delivered", nil, adsMeasuring(0xc3, 0x83, 0x40, 0x00), "voltage=2.0480"},
		{"6.144 V", map[string]string{"range": "6.144"}, adsMeasuring(0xc1, 0x83, 0x7f, 0xfe), "voltage=6.1436"},
		{"4.096 V", map[string]string{"range": "4.096"}, adsMeasuring(0xc3, 0x83, 0x7f, 0xfe), "voltage=4.0957"}, // 4.09575
		{"2.048 V", map[string]string{"range": "2.048"}, adsMeasuring(0xc5, 0x83, 0x7f, 0xfe), "voltage=2.04787"},
		{"1.024 V", map[string]string{"range": "1.024"}, adsMeasuring(0xc7, 0x83, 0x7f, 0xfe), "voltage=1.02394"},
		{"0.512 V", map[string]string{"range": "0.512"}, adsMeasuring(0xc9, 0x83, 0x7f, 0xfe), "voltage=0.51197"},
		{"0.256 V", map[string]string{"range": "0.256"}, adsMeasuring(0xcb, 0x83, 0x7f, 0xfe), "voltage=0.255984"},
		{"one step", map[string]string{"range": "0.256"}, adsMeasuring(0xcb, 0x83, 0x00, 0x01), "voltage=0.000008"},
		{"zero", nil, adsMeasuring(0xc3, 0x83, 0x00, 0x00), "voltage=0.0000"},
		{"one step below zero", map[string]string{"range": "6.144"}, adsMeasuring(0xc1, 0x83, 0xff, 0xff), "voltage=-0.0002"},
		{"almost the lowest", map[string]string{"range": "6.144", "channel": "0-1"}, adsMeasuring(0x81, 0x83, 0x80, 0x01), "voltage=-6.1438"},
		{"channel 1", map[string]string{"channel": "1"}, adsMeasuring(0xd3, 0x83, 0, 0), "voltage=0.0000"},
		{"channel 2", map[string]string{"channel": "2"}, adsMeasuring(0xe3, 0x83, 0, 0), "voltage=0.0000"},
		{"channel 3", map[string]string{"channel": "3"}, adsMeasuring(0xf3, 0x83, 0, 0), "voltage=0.0000"},
		{"channel 0-3", map[string]string{"channel": "0-3"}, adsMeasuring(0x93, 0x83, 0, 0), "voltage=0.0000"},
		{"channel 1-3", map[string]string{"channel": "1-3"}, adsMeasuring(0xa3, 0x83, 0, 0), "voltage=0.0000"},
		{"channel 2-3", map[string]string{"channel": "2-3"}, adsMeasuring(0xb3, 0x83, 0, 0), "voltage=0.0000"},
		{"8 a second", map[string]string{"rate": "8"}, adsMeasuring(0xc3, 0x03, 0, 0), "voltage=0.0000"},
		{"16 a second", map[string]string{"rate": "16"}, adsMeasuring(0xc3, 0x23, 0, 0), "voltage=0.0000"},
		{"32 a second", map[string]string{"rate": "32"}, adsMeasuring(0xc3, 0x43, 0, 0), "voltage=0.0000"},
		{"64 a second", map[string]string{"rate": "64"}, adsMeasuring(0xc3, 0x63, 0, 0), "voltage=0.0000"},
		{"250 a second", map[string]string{"rate": "250"}, adsMeasuring(0xc3, 0xa3, 0, 0), "voltage=0.0000"},
		{"475 a second", map[string]string{"rate": "475"}, adsMeasuring(0xc3, 0xc3, 0, 0), "voltage=0.0000"},
		{"860 a second", map[string]string{"rate": "860"}, adsMeasuring(0xc3, 0xe3, 0, 0), "voltage=0.0000"},
		{"not ready at once", nil, slices.Insert(adsMeasuring(0xc3, 0x83, 0x40, 0x00), 2,
			i2ctest.IO{Addr: 0x48, W: []byte{0x01}, R: []byte{0x43, 0x83}}), "voltage=2.0480"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "ads1115", c.written, c.ops, c.want) })
		})
	}
}

func TestADS1015(t *testing.T) {
	for _, c := range []struct {
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{nil, adsMeasuring(0xc3, 0x83, 0x40, 0x00), "voltage=2.048"},
		{map[string]string{"range": "6.144", "rate": "128"}, adsMeasuring(0xc1, 0x03, 0x7f, 0xe0), "voltage=6.138"},
		{map[string]string{"range": "0.256", "rate": "3300"}, adsMeasuring(0xcb, 0xc3, 0x00, 0x10), "voltage=0.0001"},
		{map[string]string{"range": "2.048", "rate": "2400", "channel": "2-3"}, adsMeasuring(0xb5, 0xa3, 0xff, 0xf0), "voltage=-0.001"},
		{map[string]string{"rate": "250"}, adsMeasuring(0xc3, 0x23, 0, 0), "voltage=0.000"},
		{map[string]string{"rate": "490"}, adsMeasuring(0xc3, 0x43, 0, 0), "voltage=0.000"},
		{map[string]string{"rate": "920"}, adsMeasuring(0xc3, 0x63, 0, 0), "voltage=0.000"},
	} {
		synctest.Test(t, func(t *testing.T) { recorded(t, "ads1015", c.written, c.ops, c.want) })
	}
}

func TestADS1x15Refused(t *testing.T) {
	all := adsMeasuring(0xc3, 0x83, 0x40, 0x00)
	busy := slices.Clone(all[:2])
	for range 13 {
		busy = append(busy, i2ctest.IO{Addr: 0x48, W: []byte{0x01}, R: []byte{0x43, 0x83}})
	}
	for _, c := range []struct {
		name, model string
		ops         []i2ctest.IO
		want        string
	}{
		{"above", "ads1115", answer(all, 3, 0x7f, 0xff), "input above the range of 4.096 V"},
		{"below", "ads1115", answer(all, 3, 0x80, 0x00), "input below the range of -4.096 V"},
		{"above", "ads1015", answer(all, 3, 0x7f, 0xf0), "input above the range of 4.096 V"},
		{"below", "ads1015", answer(all, 3, 0x80, 0x00), "input below the range of -4.096 V"},
		{"an ads1115", "ads1015", answer(all, 3, 0x40, 0x01), "this is no ads1015"},
		{"all ones", "ads1115", answer(all, 0, 0xff, 0xff), errAllOnes.Error()},
		{"all ones later", "ads1115", answer(all, 2, 0xff, 0xff), errAllOnes.Error()},
		{"not ready", "ads1115", busy, "the conversion does not end"},
		{"another channel", "ads1115", answer(all, 2, 0xd3, 0x83), "the settings are 0xd383, 0xc383 were written"},
		{"reset", "ads1115", answer(all, 2, 0x85, 0x83), "the settings are 0x8583"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, c.model, nil, c.ops, c.want) })
		})
	}
	for i := range all {
		synctest.Test(t, func(t *testing.T) { refused(t, "ads1115", nil, all[:i], "unexpected Tx") }) // NAK
	}
	for _, model := range []string{"ads1115", "ads1015"} {
		synctest.Test(t, func(t *testing.T) { unanswered(t, model, nil) })
	}
}

// TestADS1x15Shared checks that items with inputs of one chip are told apart.
func TestADS1x15Shared(t *testing.T) {
	for _, model := range []string{"ads1115", "ads1015"} {
		d, _ := sensors.Builtin().Lookup(model)
		if d.Family != adcFamily || d.Part(sensors.Options{"channel": "0-1"}) != "0-1" {
			t.Errorf("%s: family %q", model, d.Family)
		}
	}
}

func TestStepDecimals(t *testing.T) {
	for step, want := range map[float64]int{1: 0, 3e-3: 3, 1e-3: 3, 187.5e-6: 4, 125e-6: 4, 62.5e-6: 5, 7.8125e-6: 6, 1e-12: 9, 100: 0} {
		if got := stepDecimals(step); got != want {
			t.Errorf("%g: %d, want %d", step, got, want)
		}
	}
}

// FuzzADS1115 has the converter give any result.
func FuzzADS1115(f *testing.F) {
	for _, code := range []uint16{0, 1, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xffff} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code uint16) {
		synctest.Test(t, func(t *testing.T) {
			s, err := attach(t, &bench{i2c: adsMeasuring(0xc3, 0x83, byte(code>>8), byte(code))}, "ads1115", nil)
			if err != nil {
				t.Fatal(err)
			}
			samples, err := s.Sample(t.Context())
			if clipped := code == 0x7fff || code == 0x8000; clipped != (err != nil) || len(samples) == 1 == clipped {
				t.Errorf("0x%04x: %v, %v", code, samples, err)
			}
			for _, x := range samples {
				if v := toFloat(t, x); math.Abs(v-float64(int16(code))*125e-6) > 1e-4 {
					t.Errorf("0x%04x: %g V", code, v)
				}
			}
		})
	})
}
