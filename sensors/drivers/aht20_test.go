package drivers

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

func aht20Say(w ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x38, W: w} }

// aht20Ops open a chip that is calibrated, start a measurement, and read each of
// the answers of 6 bytes, with its checksum.
func aht20Ops(answers ...[]byte) []i2ctest.IO {
	ops := []i2ctest.IO{
		{Addr: 0x38, W: []byte{0x71}, R: []byte{0x18}},
		{Addr: 0x38, W: []byte{0x71}, R: []byte{0x18}},
		aht20Say(0xac, 0x33, 0x00),
	}
	for _, a := range answers {
		ops = append(ops, i2ctest.IO{Addr: 0x38, R: append(bytes.Clone(a), crc8(a))})
	}
	return ops
}

func TestAHT20(t *testing.T) {
	for _, x := range []struct {
		name   string
		answer []byte
		want   string
	}{
		// The formulas of section 6: humidity is S/2^20 · 100 %, temperature is
		// S/2^20 · 200 - 50 °C.
		{"half of each scale", []byte{0x1c, 0x80, 0x00, 0x08, 0x00, 0x00}, "temperature=50.00 humidity=50.00"},
		{"quarter and three eighths", []byte{0x1c, 0x40, 0x00, 0x06, 0x00, 0x00}, "temperature=25.00 humidity=25.00"},
		{"below zero", []byte{0x18, 0xff, 0xff, 0xf3, 0x33, 0x33}, "temperature=-10.00 humidity=100.00"},
		{"dry", []byte{0x18, 0x00, 0x00, 0x06, 0x00, 0x00}, "temperature=25.00 humidity=0.00"},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "aht20", nil, aht20Ops(x.answer), x.want) })
		})
	}
	synctest.Test(t, func(t *testing.T) {
		busy, done := []byte{0x98, 0, 0, 0, 0, 0}, []byte{0x18, 0x80, 0x00, 0x08, 0x00, 0x00}
		recorded(t, "aht20", nil, aht20Ops(busy, busy, done), "temperature=50.00 humidity=50.00")
		// A chip that has to calibrate itself first.
		ops := slices.Insert(aht20Ops(done), 1, aht20Say(0xbe, 0x08, 0x00))
		ops[0].R = []byte{0x10}
		recorded(t, "aht20", nil, ops, "temperature=50.00 humidity=50.00")
	})
}

func TestAHT20Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "aht20", nil)
		status := func(r byte) i2ctest.IO { return i2ctest.IO{Addr: 0x38, W: []byte{0x71}, R: []byte{r}} }
		refused(t, "aht20", nil, []i2ctest.IO{status(0xff), status(0xff)}, "only ones")
		refused(t, "aht20", nil, []i2ctest.IO{status(0), aht20Say(0xbe, 0x08, 0x00), status(0)}, "does not calibrate")

		good := []byte{0x18, 0x80, 0x00, 0x08, 0x00, 0x00}
		whole := aht20Ops(good)
		for n := range whole {
			refused(t, "aht20", nil, whole[:n], "unexpected Tx")
		}
		for i := range 7 { // each byte wrong
			bad := aht20Ops(good)
			bad[3].R[i] ^= 0x10
			refused(t, "aht20", nil, bad, "corrupt")
		}
		ones := append(aht20Ops(), i2ctest.IO{Addr: 0x38, R: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
		refused(t, "aht20", nil, ones, "corrupt")
		zeros := append(aht20Ops(), i2ctest.IO{Addr: 0x38, R: make([]byte, 7)})
		refused(t, "aht20", nil, zeros, "corrupt")
		refused(t, "aht20", nil, aht20Ops([]byte{0x10, 0x80, 0x00, 0x08, 0x00, 0x00}), "not initialized")
		refused(t, "aht20", nil, aht20Ops([]byte{0x18, 0, 0, 0, 0, 0}), "-50 °C is outside")
		refused(t, "aht20", nil, aht20Ops([]byte{0x18, 0xff, 0xff, 0xff, 0xff, 0xff}), "150 °C is outside")
		busy := slices.Repeat([][]byte{{0x98, 0, 0, 0, 0, 0}}, 15)
		refused(t, "aht20", nil, aht20Ops(busy...), "timeout")
	})
}

func TestAHT20Addresses(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("aht20")
	if _, wrong := d.Parse(map[string]string{"address": "0x39"}); len(wrong) != 1 {
		t.Errorf("address 0x39: %v", wrong)
	}
}

// FuzzAHT20 sends answers through periph's driver.
func FuzzAHT20(f *testing.F) {
	f.Add([]byte{0x1c, 0x80, 0x00, 0x08, 0x00, 0x00, 0x00})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 6 {
			return
		}
		b = append(b[:6:6], crc8(b[:6])) // else hardly one gets past the checksum
		synctest.Test(t, func(t *testing.T) {
			ops := append(aht20Ops(), i2ctest.IO{Addr: 0x38, R: b})
			got, err := measure(t, &bench{i2c: ops}, "aht20", nil)
			if err != nil {
				return
			}
			var temperature, humidity float64
			if _, err := fmt.Sscanf(got, "temperature=%g humidity=%g", &temperature, &humidity); err != nil {
				t.Fatal(got, err)
			}
			if temperature < -40 || temperature > 85 || humidity < 0 || humidity > 100 {
				t.Errorf("% x: %s", b, got)
			}
		})
	})
}
