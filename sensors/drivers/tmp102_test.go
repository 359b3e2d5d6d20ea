package drivers

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

func tmpIO(w []byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x48, W: w, R: r} }

// tmpOpened is the traffic of opening a chip that was just switched on.
func tmpOpened() []i2ctest.IO {
	return []i2ctest.IO{tmpIO([]byte{1}, 0x60, 0xa0), tmpIO([]byte{1, 0x61, 0x80})}
}

// tmpMeasured is one measurement with 12 bits, tmpExtended one with 13.
func tmpMeasured(hi, lo byte) []i2ctest.IO {
	return []i2ctest.IO{tmpIO([]byte{1, 0xe1, 0x80}), tmpIO([]byte{1}, 0xe1, 0xa0), tmpIO([]byte{0}, hi, lo)}
}

func tmpExtended(hi, lo byte) []i2ctest.IO {
	return []i2ctest.IO{tmpIO([]byte{1, 0xe1, 0x90}), tmpIO([]byte{1}, 0xe1, 0xb0), tmpIO([]byte{0}, hi, lo)}
}

var extended = map[string]string{"extended": "true"}

func TestTMP102(t *testing.T) {
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"25 °C", nil, slices.Concat(tmpOpened(), tmpMeasured(0x19, 0x00)), "temperature=25.00"},
		{"-25 °C", nil, slices.Concat(tmpOpened(), tmpMeasured(0xe7, 0x00)), "temperature=-25.00"},
		{"0 °C", nil, slices.Concat(tmpOpened(), tmpMeasured(0x00, 0x00)), "temperature=0.00"},
		{"was shut down before", nil, slices.Concat([]i2ctest.IO{tmpIO([]byte{1}, 0xe1, 0x90)}, tmpOpened()[1:], tmpMeasured(0x19, 0x00)), "temperature=25.00"},
		{"not ready at once", nil, slices.Concat(tmpOpened(), tmpMeasured(0, 0)[:1], []i2ctest.IO{tmpIO([]byte{1}, 0x61, 0xa0)}, tmpMeasured(0x19, 0x00)[1:]), "temperature=25.00"},
		{"extended", extended, slices.Concat(tmpOpened(), tmpMeasured(0x50, 0x00), tmpExtended(0x28, 0x01), tmpExtended(0x32, 0x01)), "temperature=100.00"},
		// The first conversion still has the format of before.
		{"extended after a while", extended, slices.Concat(tmpOpened(), tmpMeasured(0x29, 0xa0), tmpExtended(0x29, 0xa1), tmpExtended(0x14, 0xd1),
			tmpExtended(0x14, 0xd9)), "temperature=41.69"},
		{"extended when it is cold", extended, slices.Concat(tmpOpened(), tmpMeasured(0xd8, 0x00), tmpExtended(0xd8, 0x01), tmpExtended(0xec, 0x01),
			tmpExtended(0xec, 0x01)), "temperature=-40.00"},
		{"extended when it is hot", extended, slices.Concat(tmpOpened(), tmpMeasured(0x7f, 0xf0), tmpExtended(0x7f, 0xf1), tmpExtended(0x19, 0x01), tmpExtended(0x4b, 0x01),
			tmpExtended(0x4b, 0x01)), "temperature=150.00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "tmp102", c.written, c.ops, c.want) })
		})
	}
}

func TestTMP102Refused(t *testing.T) {
	all := slices.Concat(tmpOpened(), tmpMeasured(0x19, 0x00))
	busy := slices.Clone(all[:3])
	for range 20 {
		busy = append(busy, tmpIO([]byte{1}, 0x61, 0xa0))
	}
	stuck := slices.Concat(tmpOpened(), tmpMeasured(0x29, 0xa0))
	for range 40 {
		stuck = append(stuck, tmpExtended(0x29, 0xa1)...)
	}
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"an LM75", nil, answer(all, 0, 0x00, 0x00), "0x0000: this is no tmp102"},
		{"an ADS1115", nil, answer(all, 0, 0x85, 0x83), "0x8583: this is no tmp102"},
		{"all ones", nil, answer(all, 0, 0xff, 0xff), errAllOnes.Error()},
		{"all ones later", nil, answer(all, 3, 0xff, 0xff), errAllOnes.Error()},
		{"temperature all ones", nil, answer(all, 4, 0xff, 0xff), errAllOnes.Error()},
		{"in extended mode", nil, answer(all, 4, 0x0c, 0x81), "0x0c81: its lowest bits are wrong"},
		{"not ready", nil, busy, "the conversion does not end"},
		{"not shut down", nil, answer(all, 3, 0xe0, 0xa0), "the settings are 0xe0a0"},
		{"changed to extended", nil, answer(all, 3, 0xe1, 0xb0), "the settings are 0xe1b0"},
		{"too hot for 12 bits", nil, answer(all, 4, 0x7f, 0xf0), "that needs extended: true"},
		{"impossible", nil, answer(all, 4, 0xc8, 0xf0), "-55.0625 °C: impossible"},
		{"stays at 12 bits", extended, stuck, "does not change to extended mode"},
		{"extended, 12 bits", extended, slices.Concat(tmpOpened(), tmpMeasured(0x50, 0x00), tmpExtended(0x28, 0x00)), "its lowest bits are wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "tmp102", c.written, c.ops, c.want) })
		})
	}
	for i := range all {
		synctest.Test(t, func(t *testing.T) { refused(t, "tmp102", nil, all[:i], "unexpected Tx") }) // NAK
	}
	synctest.Test(t, func(t *testing.T) { unanswered(t, "tmp102", map[string]string{"address": "0x4b"}) })
}

// TestTMP102Celsius has the tables of section 6.5.2.
func TestTMP102Celsius(t *testing.T) {
	for _, c := range []struct {
		code     uint16
		extended bool
		want     float64
	}{
		{0x640, false, 100}, {0x500, false, 80}, {0x4b0, false, 75}, {0x320, false, 50}, {0x190, false, 25}, {0x004, false, 0.25},
		{0x000, false, 0}, {0xffc, false, -0.25}, {0xe70, false, -25}, {0xc90, false, -55}, {0x7fe, false, 127.875},
		{0x0960, true, 150}, {0x0800, true, 128}, {0x07ff, true, 127.9375}, {0x0640, true, 100}, {0x0500, true, 80}, {0x04b0, true, 75},
		{0x0320, true, 50}, {0x0190, true, 25}, {0x0004, true, 0.25}, {0x0000, true, 0}, {0x1ffc, true, -0.25}, {0x1e70, true, -25}, {0x1c90, true, -55},
	} {
		raw := c.code << 4
		if c.extended {
			raw = c.code<<3 | 1
		}
		if got, err := tmp102Celsius(raw, c.extended); err != nil || got != c.want {
			t.Errorf("0x%x, extended %t: %g, %v; want %g", c.code, c.extended, got, err, c.want)
		}
	}
	if _, err := tmp102Celsius(0x7ff0, false); !errors.Is(err, errTMP102Above) || !strings.Contains(err.Error(), "extended") {
		t.Error(err)
	}
}

// FuzzTMP102Celsius asks for a possible temperature or an error.
func FuzzTMP102Celsius(f *testing.F) {
	f.Add(uint16(0x1900), false)
	f.Add(uint16(0x0c81), true)
	f.Add(uint16(0xffff), true)
	f.Fuzz(func(t *testing.T, register uint16, extended bool) {
		if v, err := tmp102Celsius(register, extended); err == nil && !(v >= -55 && v <= 150) {
			t.Errorf("%04x: %g", register, v)
		}
	})
}
