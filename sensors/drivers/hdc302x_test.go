package drivers

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
)

// hdc302xOps open a chip, trigger a measurement in the given mode and read b.
func hdc302xOps(mode byte, b ...byte) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: 0x44, W: []byte{0x30, 0x93}},
		{Addr: 0x44, W: []byte{0x37, 0x81}, R: []byte{0x30, 0x00, 0x33}},
		{Addr: 0x44, W: []byte{0x24, mode}},
		{Addr: 0x44, R: b},
	}
}

// hdc302xResult is a result with its checksums.
func hdc302xResult(temperature, humidity uint16) []byte {
	t := []byte{byte(temperature >> 8), byte(temperature)}
	h := []byte{byte(humidity >> 8), byte(humidity)}
	return slices.Concat(t, []byte{crc8(t)}, h, []byte{crc8(h)})
}

func TestHDC302x(t *testing.T) {
	for _, x := range []struct {
		name string
		read []byte
		want string
	}{
		// The example of an alert threshold: 90 %RH is
		// 0b1110011001100111, 65 °C is 0b1010000011101011.
		{"the words of the datasheet", hdc302xResult(0xa0eb, 0xe667), "temperature=65.00 humidity=90.00"},
		{"recorded from a chip", []byte{0x68, 0xc5, 0x51, 0x3b, 0x82, 0x31}, "temperature=26.62 humidity=23.25"},
		{"below zero", hdc302xResult(0x2fb1, 0xffff), "temperature=-12.40 humidity=100.00"},
		{"dry", hdc302xResult(0x6666, 0), "temperature=25.00 humidity=0.00"},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "hdc302x", nil, hdc302xOps(0x00, x.read...), x.want) })
		})
	}
	synctest.Test(t, func(t *testing.T) {
		for mode, code := range map[string]byte{"0": 0x00, "1": 0x0b, "2": 0x16, "3": 0xff} {
			recorded(t, "hdc302x", map[string]string{"low_power_mode": mode}, hdc302xOps(code, hdc302xResult(0xa0eb, 0xe667)...), "temperature=65.00 humidity=90.00")
		}
	})
}

// hdc302xIdle refuses to stop measuring by itself.
type hdc302xIdle struct{ i2c.BusCloser }

func (b hdc302xIdle) Tx(addr uint16, w, r []byte) error {
	if slices.Equal(w, []byte{0x30, 0x93}) {
		return errNAK
	}
	return b.BusCloser.Tx(addr, w, r)
}

type hdc302xIdleBench struct{ *bench }

func (b hdc302xIdleBench) I2C(bus string) (i2c.BusCloser, error) {
	c, err := b.bench.I2C(bus)
	return hdc302xIdle{c}, err
}

func TestHDC302xIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := hdc302xIdleBench{&bench{i2c: hdc302xOps(0, hdc302xResult(0xa0eb, 0xe667)...)[1:]}}
		if got, err := measure(t, b, "hdc302x", nil); err != nil || got != "temperature=65.00 humidity=90.00" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestHDC302xFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "hdc302x", nil)
		whole := hdc302xOps(0, hdc302xResult(0xa0eb, 0xe667)...)
		for n := range whole { // the last: not ready
			refused(t, "hdc302x", nil, whole[:n], "unexpected Tx")
		}
		for _, x := range []struct {
			id   [3]byte
			want string
		}{
			{[3]byte{0x54, 0x49, crc8([]byte{0x54, 0x49})}, "0x5449, not 0x3000"},
			{[3]byte{0x30, 0x00, 0x32}, "checksum"},
			{[3]byte{0xff, 0xff, 0xff}, "only ones"},
			{[3]byte{}, "checksum"},
		} {
			ops := hdc302xOps(0)[:2]
			ops[1].R = x.id[:]
			refused(t, "hdc302x", nil, ops, "manufacturer id", x.want)
		}
		for i := range 6 {
			bad := hdc302xResult(0xa0eb, 0xe667)
			bad[i] ^= 0x01
			refused(t, "hdc302x", nil, hdc302xOps(0, bad...), "checksum")
		}
		refused(t, "hdc302x", nil, hdc302xOps(0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "only ones")
		refused(t, "hdc302x", nil, hdc302xOps(0, 0, 0, 0, 0, 0, 0), "checksum")
		refused(t, "hdc302x", nil, hdc302xOps(0, hdc302xResult(0, 0)...), "-45 °C is outside")
		refused(t, "hdc302x", nil, hdc302xOps(0, hdc302xResult(0xffff, 0xffff)...), "130 °C is outside")
	})
}

// TestHDC302xChecksum has the words of table 7-1 and of the example of an alert
// threshold.
func TestHDC302xChecksum(t *testing.T) {
	for word, want := range map[uint16]byte{0xabcd: 0x6f, 0xe741: 0x55} {
		if got := crc8([]byte{byte(word >> 8), byte(word)}); got != want {
			t.Errorf("checksum of 0x%04x is 0x%02x, want 0x%02x", word, got, want)
		}
	}
}

func FuzzHDC302x(f *testing.F) {
	f.Add(uint64(0x68c5513b8231), false)
	f.Add(uint64(0xffffffffffff), true)
	f.Fuzz(func(t *testing.T, x uint64, checked bool) {
		b := [6]byte{byte(x >> 40), byte(x >> 32), byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}
		if checked { // so that values get past the checksum
			b[2], b[5] = crc8(b[:2]), crc8(b[3:5])
		}
		w, err := checkedWords(b[:])
		if err != nil {
			return
		}
		temperature, humidity, err := decodeClimate(w)
		if err == nil && (math.IsNaN(temperature+humidity) || temperature < -40 || temperature > 125 || humidity < 0 || humidity > 100) {
			t.Errorf("% x: %v °C, %v %%", b, temperature, humidity)
		}
	})
}
