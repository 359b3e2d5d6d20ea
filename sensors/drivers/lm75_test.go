package drivers

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"fieldgate/sensors"
)

// lm75Read and lm75Write are transactions with a chip at its usual address.
func lm75Read(register byte, r ...byte) i2ctest.IO {
	return i2ctest.IO{Addr: 0x48, W: []byte{register}, R: r}
}

func lm75Write(conf byte) i2ctest.IO { return i2ctest.IO{Addr: 0x48, W: []byte{1, conf}} }

// lm75Opening is what happens when a chip that runs is opened, and then more.
func lm75Opening(more ...i2ctest.IO) []i2ctest.IO {
	return append([]i2ctest.IO{lm75Read(1, 0x00), lm75Read(2, 0x4b, 0x00), lm75Read(3, 0x50, 0x00)}, more...)
}

// tmp105Opening is the same for Texas Instruments' chips with 12 bits.
func tmp105Opening(more ...i2ctest.IO) []i2ctest.IO {
	return append([]i2ctest.IO{lm75Read(1, 0x00), lm75Write(0x61), lm75Read(1, 0x61)}, more...)
}

var (
	lm75B  = map[string]string{"model": "lm75b"}
	lm75TI = map[string]string{"model": "tmp105"}
)

func TestLM75(t *testing.T) {
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		// A TMP105 that nobody has set up answers like an LM75.
		{"25 °C", nil, lm75Opening(lm75Read(1, 0x00), lm75Read(0, 0x19, 0x00)), "temperature=25.0"},
		{"undefined bits", nil, lm75Opening(lm75Read(1, 0x00), lm75Read(0, 0xff, 0xd5)), "temperature=-0.5"},
		{"0 °C", nil, lm75Opening(lm75Read(1, 0x00), lm75Read(0, 0, 0), lm75Read(2, 0x4b, 0), lm75Read(3, 0x50, 0)), "temperature=0.0"},
		{"thermostat of others", nil, []i2ctest.IO{lm75Read(1, 0x1e), lm75Read(2, 0, 0), lm75Read(3, 5, 0),
			lm75Read(1, 0x1e), lm75Read(0, 0xe7, 0)}, "temperature=-25.0"},
		{"11 bits", lm75B, lm75Opening(lm75Read(1, 0x00), lm75Read(0, 0x19, 0x20)), "temperature=25.12"},
		{"shut down before", nil, []i2ctest.IO{lm75Read(1, 0x01), lm75Read(2, 0x4b, 0x00), lm75Read(3, 0x50, 0x00),
			lm75Write(0x00), lm75Read(1, 0x00), lm75Read(1, 0x00), lm75Read(0, 0x19, 0x00)}, "temperature=25.0"},
		{"shut down while open", nil, lm75Opening(lm75Read(1, 0x03), lm75Write(0x02), lm75Read(1, 0x02), lm75Read(0, 0x14, 0x80)), "temperature=20.5"},
		{"12 bits", lm75TI, tmp105Opening(lm75Write(0xe1), lm75Read(0, 0x18, 0xf0), lm75Read(1, 0x61)), "temperature=24.94"},
		{"0 °C, 12 bits", lm75TI, tmp105Opening(lm75Write(0xe1), lm75Read(0, 0, 0), lm75Read(1, 0x61)), "temperature=0.00"},
		{"10 bits, thermostat's bits stay", map[string]string{"model": "tmp75", "resolution": "10"},
			[]i2ctest.IO{lm75Read(1, 0x76), lm75Write(0x37), lm75Read(1, 0x37),
				lm75Write(0xb7), lm75Read(0, 0xff, 0xc0), lm75Read(1, 0x37)}, "temperature=-0.25"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { recorded(t, "lm75", c.written, c.ops, c.want) })
		})
	}
}

func TestLM75Refused(t *testing.T) {
	for _, c := range []struct {
		name    string
		written map[string]string
		ops     []i2ctest.IO
		want    string
	}{
		{"nothing drives the bus", nil, []i2ctest.IO{lm75Read(1, 0xff)}, errAllOnes.Error()},
		{"nothing drives the bus, TMP", lm75TI, []i2ctest.IO{lm75Read(1, 0xff)}, errAllOnes.Error()},
		{"a TMP that was set up", nil, []i2ctest.IO{lm75Read(1, 0x61)}, "reserved bits"},
		{"held low", nil, []i2ctest.IO{lm75Read(1, 0), lm75Read(2, 0, 0), lm75Read(3, 0, 0)}, "limits are 0"},
		{"held low, TMP", lm75TI, []i2ctest.IO{lm75Read(1, 0), lm75Write(0x61), lm75Read(1, 0)}, "0x00 after 0x61"},
		{"limits all ones", nil, []i2ctest.IO{lm75Read(1, 0), lm75Read(2, 0xff, 0xff), lm75Read(3, 0xff, 0xff)}, errAllOnes.Error()},
		{"held low while open", nil, lm75Opening(lm75Read(1, 0), lm75Read(0, 0, 0), lm75Read(2, 0, 0), lm75Read(3, 0, 0)), "limits are 0"},
		{"unplugged while open", nil, lm75Opening(lm75Read(1, 0xff)), errAllOnes.Error()},
		{"temperature all ones", nil, lm75Opening(lm75Read(1, 0), lm75Read(0, 0xff, 0xff)), errAllOnes.Error()},
		{"supply failed", lm75TI, tmp105Opening(lm75Write(0xe1), lm75Read(0, 0, 0), lm75Read(1, 0x00)), "0x00 after 0x61"},
		{"stays in shutdown", nil, lm75Opening(lm75Read(1, 0x01), lm75Write(0x00), lm75Read(1, 0x01)), "stays in shutdown"},
		{"bits below the resolution", lm75TI, tmp105Opening(lm75Write(0xe1), lm75Read(0, 0x19, 0x08), lm75Read(1, 0x61)), "more than its 12 bits"},
		{"bits of an LM75B", lm75B, lm75Opening(lm75Read(1, 0), lm75Read(0, 0x19, 0x10)), "more than its 11 bits"},
		{"below -55", nil, lm75Opening(lm75Read(1, 0), lm75Read(0, 0x80, 0x00)), "outside"},
		{"power-up value of some", lm75B, lm75Opening(lm75Read(1, 0), lm75Read(0, 0x7f, 0xe0)), "outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refused(t, "lm75", c.written, c.ops, c.want) })
		})
	}
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "lm75", nil)
		unanswered(t, "lm75", lm75TI)
	})
}

// No answer in the middle, at each of the transactions, is an error and closes
// the bus.
func TestLM75NAK(t *testing.T) {
	for _, c := range []struct {
		written map[string]string
		ops     []i2ctest.IO
	}{
		{nil, []i2ctest.IO{lm75Read(1, 1), lm75Read(2, 0x4b, 0), lm75Read(3, 0x50, 0), lm75Write(0), lm75Read(1, 0),
			lm75Read(1, 1), lm75Write(0), lm75Read(1, 0), lm75Read(0, 0, 0), lm75Read(2, 0x4b, 0), lm75Read(3, 0x50, 0)}},
		{lm75TI, tmp105Opening(lm75Write(0xe1), lm75Read(0, 0x18, 0xf0), lm75Read(1, 0x61))},
	} {
		for n := range c.ops {
			synctest.Test(t, func(t *testing.T) { refused(t, "lm75", c.written, c.ops[:n], "unexpected Tx") })
		}
	}
}

// The first temperature is not asked for before the slowest chip has one, and a
// one-shot conversion gets the time that its resolution takes.
func TestLM75Waits(t *testing.T) {
	wait := func(written map[string]string, want time.Duration, ops ...i2ctest.IO) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			if got, err := measure(t, &bench{i2c: ops}, "lm75", written); err != nil {
				t.Errorf("%v: %s, %v", written, got, err)
			}
			if got := time.Since(begin); got != want {
				t.Errorf("%v: waits %v, want %v", written, got, want)
			}
		})
	}
	wait(nil, 300*time.Millisecond, lm75Opening(lm75Read(1, 0), lm75Read(0, 0x19, 0))...)
	for bits, want := range map[string]time.Duration{"9": 37500 * time.Microsecond, "10": 75 * time.Millisecond, "11": 150 * time.Millisecond, "12": 300 * time.Millisecond} {
		set := map[string]byte{"9": 0x01, "10": 0x21, "11": 0x41, "12": 0x61}[bits]
		wait(map[string]string{"model": "tmp175", "resolution": bits}, want,
			lm75Read(1, 0), lm75Write(set), lm75Read(1, set), lm75Write(set|0x80), lm75Read(0, 0x19, 0), lm75Read(1, set))
	}
}

func TestLM75Stopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := attach(t, &bench{i2c: tmp105Opening(lm75Write(0xe1))}, "lm75", lm75TI)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if got, err := take(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The datasheets' tables: LM75B/LM75C (TI) table 1, LM75B (NXP) table 10, TMP105
// table 5.
func TestLM75Tables(t *testing.T) {
	model := func(written map[string]string) lm75Model {
		d, _ := sensors.Builtin().Lookup("lm75")
		o, wrong := d.Parse(written)
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		return lm75ModelOf(o)
	}
	for _, c := range []struct {
		model lm75Model
		table map[uint16]float64 // by the bits as the datasheet has them
	}{
		{model(nil), map[uint16]float64{0x0fa: 125, 0x032: 25, 0x001: 0.5, 0x000: 0, 0x1ff: -0.5, 0x1ce: -25, 0x192: -55}},
		{model(lm75B), map[uint16]float64{0x3f8: 127, 0x3f7: 126.875, 0x3f1: 126.125, 0x3e8: 125, 0x0c8: 25, 0x001: 0.125, 0x000: 0,
			0x7ff: -0.125, 0x738: -25, 0x649: -54.875, 0x648: -55}},
		{model(lm75TI), map[uint16]float64{0x7ff: 127.9375, 0x640: 100, 0x500: 80, 0x4b0: 75, 0x320: 50, 0x190: 25, 0x004: 0.25, 0x000: 0,
			0xffc: -0.25, 0xe70: -25, 0xc90: -55}},
	} {
		for _, bits := range slices.Sorted(maps.Keys(c.table)) {
			want := c.table[bits]
			got, err := c.model.decode(bits << (16 - c.model.bits))
			if want > c.model.highest {
				if err == nil {
					t.Errorf("%+v: 0x%x is %v", c.model, bits, got)
				}
			} else if err != nil || got != want {
				t.Errorf("%+v: 0x%x is %v, %v; want %v", c.model, bits, got, err, want)
			}
		}
	}
}

func TestLM75Options(t *testing.T) {
	d, _ := sensors.Builtin().Lookup("lm75")
	for _, c := range []struct {
		written map[string]string
		wrong   string // option
	}{
		{map[string]string{"address": "0x4f"}, ""},
		{map[string]string{"address": "0x77"}, "address"},
		{map[string]string{"address": "0x77", "model": "tmp175"}, ""},
		{map[string]string{"address": "0x28", "model": "tmp175"}, ""},
		{map[string]string{"address": "0x35", "model": "tmp175"}, ""},
		{map[string]string{"address": "0x38", "model": "tmp175"}, "address"},
		{map[string]string{"address": "0x50", "model": "tmp175"}, "address"},
		{map[string]string{"address": "0x30", "model": "tmp175"}, "address"},
		{map[string]string{"address": "0x28", "model": "tmp275"}, "address"},
		{map[string]string{"resolution": "12"}, "resolution"},
		{map[string]string{"resolution": "9"}, ""},
		{map[string]string{"resolution": "12", "model": "lm75b"}, "resolution"},
		{map[string]string{"resolution": "9", "model": "tmp75"}, ""},
		{map[string]string{"resolution": "13", "model": "tmp75"}, "resolution"},
	} {
		_, wrong := d.Parse(c.written)
		if (c.wrong != "") != (len(wrong) == 1) || len(wrong) == 1 && wrong[0].Option != c.wrong {
			t.Errorf("%v: %v", c.written, wrong)
		}
	}
}

func FuzzLM75(f *testing.F) {
	for _, raw := range []uint16{0, 0x1900, 0x7fff, 0x8000, 0xc900, 0xff80, 0xffff} {
		f.Add(raw, uint8(9), true)
		f.Add(raw, uint8(12), false)
	}
	f.Fuzz(func(t *testing.T, raw uint16, bits uint8, zeros bool) {
		m := lm75Model{bits: 9 + int(bits%4), highest: 127, zeros: zeros}
		v, err := m.decode(raw)
		if err == nil && (math.IsNaN(v) || v < -55 || v > m.highest) {
			t.Errorf("0x%04x is %v, %v", raw, v, err)
		}
	})
}
