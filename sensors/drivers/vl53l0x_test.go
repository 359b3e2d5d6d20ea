package drivers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"fieldgate/sensors"
)

// vl53l0xFake is a chip by its registers.
type vl53l0xFake struct {
	page      byte
	registers map[[2]byte]byte // by page and register
	memory    int              // how often the memory is asked until it is ready
	busy      int              // how often a measurement is asked after until it is ready
	result    [12]byte

	left   int    // of these times
	starts []byte // what was written to start something
	count  int    // transactions
	nak    int    // the transaction that is not answered, from 1; 0: none
	closed bool
}

// newVL53L0X is a chip after power-on that sees a target at 430 mm.
func newVL53L0X() *vl53l0xFake {
	f := &vl53l0xFake{memory: 2, busy: 3, registers: map[[2]byte]byte{
		{0, 0xc0}: 0xee, {0, 0xc1}: 0xaa, {0, 0xc2}: 0x10, {0, 0x01}: 0xff, {0, 0x84}: 0x11,
		{1, 0x91}: 0x3c,     // to be written back
		{7, 0x92}: 0x80 | 5, // five SPADs behind an aperture
		{6, 0x83}: 0x10,     // bits that are not ours
		{0, 0xb0}: 0xff, {0, 0xb1}: 0xdf, {0, 0xb2}: 0x07, {0, 0xb3}: 0xff, {0, 0xb4}: 0xff, {0, 0xb5}: 0x0f,
	}}
	f.result = [12]byte{0x5a, 0x12, 0x05, 0x00, 0x00, 0x00, 0x04, 0x80, 0x00, 0x20, 0x01, 0xae}
	return f
}

func (f *vl53l0xFake) Tx(addr uint16, w, r []byte) error {
	f.count++
	if addr != 0x29 || f.count == f.nak || len(w) == 0 {
		return errNAK
	}
	at := w[0]
	for _, b := range w[1:] {
		f.write(at, b)
		at++
	}
	for i := range r {
		r[i] = f.read(at)
		at++
	}
	return nil
}

func (f *vl53l0xFake) write(register, b byte) {
	switch {
	case register == 0xff:
		f.page = b
		return
	case f.page == 7 && register == 0x83 && b == 0:
		f.left = f.memory
	case f.page == 0 && register == 0x00:
		f.starts = append(f.starts, b)
		if b&1 != 0 {
			f.left = f.busy
			for i, x := range f.result {
				f.registers[[2]byte{0, 0x14 + byte(i)}] = x
			}
		}
	case f.page == 0 && register == 0x0b:
		f.left = -1
	}
	f.registers[[2]byte{f.page, register}] = b
}

func (f *vl53l0xFake) read(register byte) byte {
	if ready := map[[2]byte]byte{{7, 0x83}: 0x01, {0, 0x13}: 0x44}[[2]byte{f.page, register}]; ready != 0 {
		if f.left == 0 {
			return ready
		}
		f.left--
		return ready & 0x40
	}
	return f.registers[[2]byte{f.page, register}]
}

func (f *vl53l0xFake) SetSpeed(physic.Frequency) error { return nil }
func (f *vl53l0xFake) String() string                  { return "vl53l0x" }
func (f *vl53l0xFake) Close() error                    { f.closed = true; return nil }

// vl53l0xBench is a board with one chip.
type vl53l0xBench struct {
	*bench
	chip *vl53l0xFake
}

func (b vl53l0xBench) I2C(string) (i2c.BusCloser, error) { return b.chip, nil }

func TestVL53L0X(t *testing.T) {
	for _, c := range []struct {
		written map[string]string
		want    map[byte]byte // registers of page 0
	}{
		{nil, map[byte]byte{0x44: 0x00, 0x45: 0x20, 0x46: 0x25, 0x50: 0x06, 0x51: 0x00, 0x52: 0x96, 0x57: 0x30, 0x48: 0x28, 0x70: 0x04, 0x71: 0x02, 0x72: 0x8a, 0x30: 0x09}},
		{map[string]string{"budget": "20ms"}, map[byte]byte{0x71: 0x00, 0x72: 0xd5}},
		{map[string]string{"range": "long"}, map[byte]byte{0x44: 0x00, 0x45: 0x0c, 0x46: 0x1d, 0x50: 0x08, 0x51: 0x00, 0x52: 0x74, 0x57: 0x50, 0x48: 0x48, 0x70: 0x06, 0x71: 0x01, 0x72: 0xca, 0x30: 0x07}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newVL53L0X()
			f.page = 6 // where an earlier opening was cut short
			s, err := attach(t, vl53l0xBench{&bench{}, f}, "vl53l0x", c.written)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.starts, []byte{0x41, 0x00, 0x01, 0x00}) {
				t.Errorf("calibrated by % x", f.starts)
			}
			for range 2 {
				begin := time.Now()
				if got, err := take(t.Context(), s); err != nil || got != "distance=430" {
					t.Errorf("%q, %v", got, err)
				}
				budget := 33 * time.Millisecond
				if c.written["budget"] != "" {
					budget = 20 * time.Millisecond
				}
				if time.Since(begin) != budget+6*time.Millisecond {
					t.Errorf("takes %v with a budget of %v", time.Since(begin), budget)
				}
				f.registers[[2]byte{1, 0x91}] = 0 // the chip changes it
			}
			if err := s.Close(); err != nil || !f.closed || f.page != 0 {
				t.Errorf("close: %v, %v, page %d", err, f.closed, f.page)
			}
			for register, want := range map[byte]byte{0x01: 0xe8, 0x0a: 0x04, 0x84: 0x01, 0x88: 0x00, 0x89: 0x01, 0xb6: 0xb4, 0x80: 0x00, 0x60: 0x00, 0x66: 0xa0, 0x78: 0x21, 0x35: 0x44,
				// The first five good ones from number 12 on: 12, 14 to 17.
				0xb0: 0x00, 0xb1: 0xd0, 0xb2: 0x03, 0xb3: 0x00, 0xb4: 0x00, 0xb5: 0x00} {
				if got := f.registers[[2]byte{0, register}]; got != want {
					t.Errorf("register 0x%02x is 0x%02x, want 0x%02x", register, got, want)
				}
			}
			for register, want := range c.want {
				if got := f.registers[[2]byte{0, register}]; got != want {
					t.Errorf("%v: register 0x%02x is 0x%02x, want 0x%02x", c.written, register, got, want)
				}
			}
			if got := f.registers[[2]byte{6, 0x83}]; got != 0x10 {
				t.Errorf("register 0x83 of page 6 is 0x%02x", got)
			}
		})
	}
}

// What the chip has in register 0x91 is written back before each measurement.
func TestVL53L0XStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newVL53L0X()
		s, err := attach(t, vl53l0xBench{&bench{}, f}, "vl53l0x", nil)
		if err != nil {
			t.Fatal(err)
		}
		f.registers[[2]byte{1, 0x91}] = 0
		if _, err := take(t.Context(), s); err != nil || f.registers[[2]byte{1, 0x91}] != 0x3c || f.registers[[2]byte{1, 0x00}] != 1 {
			t.Errorf("%v, 0x%02x", err, f.registers[[2]byte{1, 0x91}])
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if got, err := take(ctx, s); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestVL53L0XRefused(t *testing.T) {
	set := func(page, register, b byte) func(*vl53l0xFake) {
		return func(f *vl53l0xFake) { f.registers[[2]byte{page, register}] = b }
	}
	result := func(at int, b ...byte) func(*vl53l0xFake) {
		return func(f *vl53l0xFake) { copy(f.result[at:], b) }
	}
	for _, c := range []struct {
		name   string
		broken func(*vl53l0xFake)
		want   string
	}{
		{"another chip", set(0, 0xc0, 0xea), "identity is ea aa"},
		{"all zeros", func(f *vl53l0xFake) { clear(f.registers) }, "identity is 00 00"},
		{"all ones", func(f *vl53l0xFake) { f.registers[[2]byte{0, 0xc0}], f.registers[[2]byte{0, 0xc1}] = 0xff, 0xff }, errAllOnes.Error()},
		{"memory hangs", func(f *vl53l0xFake) { f.memory = -1 }, "memory does not come to an end"},
		{"calibration hangs", func(f *vl53l0xFake) { f.busy = -1 }, "calibration does not come to an end"},
		{"memory without SPADs", set(7, 0x92, 0x80), "reference SPADs"},
		{"memory with too many SPADs", set(7, 0x92, 13), "reference SPADs"},
		{"no good SPADs", func(f *vl53l0xFake) {
			for register := byte(0xb0); register <= 0xb5; register++ {
				f.registers[[2]byte{0, register}] = 0
			}
		}, "too few reference SPADs"},
		{"no target", result(0, 0x20), "no target (range status 4)"},
		{"8190 mm", result(10, 0x1f, 0xfe), "8190 mm is out of range"},
		{"8190 mm with its status", func(f *vl53l0xFake) { result(0, 0x30)(f); result(10, 0x1f, 0xfe)(f) }, "phase out of range"},
		{"no status", result(0, 0x00), "no status"},
		{"weak signal", result(6, 0x00, 0x1f), "too weak"},
		{"result all ones", func(f *vl53l0xFake) { copy(f.result[:], strings.Repeat("\xff", 12)) }, errAllOnes.Error()},
		{"result all zeros", func(f *vl53l0xFake) { f.result = [12]byte{} }, "no status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newVL53L0X()
				c.broken(f)
				got, err := measure(t, vl53l0xBench{&bench{}, f}, "vl53l0x", nil)
				namesChip(t, "vl53l0x", got, err, c.want)
				if !f.closed {
					t.Error("the bus is not closed")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { unanswered(t, "vl53l0x", nil) })
}

// A chip that lost its supply measures untuned, and a chip that hangs does not
// measure at all.
func TestVL53L0XFailsWhileOpen(t *testing.T) {
	for want, broken := range map[string]func(*vl53l0xFake){
		"supply failed":                       func(f *vl53l0xFake) { f.registers[[2]byte{0, 0x01}] = 0xff },
		"measurement does not come to an end": func(f *vl53l0xFake) { f.busy = -1 },
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newVL53L0X()
			s, err := attach(t, vl53l0xBench{&bench{}, f}, "vl53l0x", nil)
			if err != nil {
				t.Fatal(err)
			}
			broken(f)
			got, err := take(t.Context(), s)
			namesChip(t, "vl53l0x", got, err, want)
		})
	}
}

// No answer to any one of the transactions is an error and closes the bus.
func TestVL53L0XNAK(t *testing.T) {
	f := newVL53L0X()
	synctest.Test(t, func(t *testing.T) {
		if _, err := measure(t, vl53l0xBench{&bench{}, f}, "vl53l0x", nil); err != nil {
			t.Fatal(err)
		}
	})
	for n := 1; n <= f.count; n++ {
		synctest.Test(t, func(t *testing.T) {
			f := newVL53L0X()
			f.nak = n
			got, err := measure(t, vl53l0xBench{&bench{}, f}, "vl53l0x", nil)
			namesChip(t, "vl53l0x", got, err, errNAK.Error())
			if !f.closed || f.count != n {
				t.Errorf("transaction %d: closed %v, %d transactions", n, f.closed, f.count)
			}
		})
	}
}

func TestVL53L0XSPADs(t *testing.T) {
	for _, c := range []struct {
		good [6]byte
		info byte
		want [6]byte
		ok   bool
	}{
		{[6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 3, [6]byte{0x07}, true},
		{[6]byte{0xf8, 0x01, 0xff, 0, 0, 0}, 12, [6]byte{0xf8, 0x01, 0x3f}, true},
		{[6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0x80 | 32, [6]byte{0x00, 0xf0, 0xff, 0xff, 0xff, 0x0f}, true},
		{[6]byte{0xff, 0x0f, 0, 0, 0, 0x80}, 0x80 | 1, [6]byte{5: 0x80}, true},
		{[6]byte{0xff, 0x0f, 0, 0, 0, 0}, 0x80 | 1, [6]byte{}, false},
		{[6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0x80 | 33, [6]byte{}, false},
		{[6]byte{}, 1, [6]byte{}, false},
		{[6]byte{0xff}, 0, [6]byte{}, false},
		{[6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0xff, [6]byte{}, false},
	} {
		got, err := vl53l0xSPADs(c.good, c.info)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("% x, 0x%02x: % x, %v", c.good, c.info, got, err)
		}
	}
}

// The format is (LSByte * 2^MSByte) + 1. 0x01fe is what the tuning has for the
// final range, 0x0096 for the pre-range.
func TestVL53L0XTimes(t *testing.T) {
	for periods, want := range map[int]uint16{0: 0, 1: 0, 2: 1, 151: 0x0096, 256: 0x00ff, 257: 0x0180, 509: 0x01fe, 555: 0x028a, 65536: 0x08ff} {
		if got := vl53l0xEncode(periods); got != want {
			t.Errorf("%d periods: 0x%04x, want 0x%04x", periods, got, want)
		}
	}
	long := vl53l0xModeOf(sensors.Options{"range": "long"})
	for _, c := range []struct {
		mode   vl53l0xMode
		budget time.Duration
		want   vl53l0xTimes
	}{
		{vl53l0xModeOf(nil), 33 * time.Millisecond, vl53l0xTimes{38, 151, 555}},
		{vl53l0xModeOf(nil), 20 * time.Millisecond, vl53l0xTimes{38, 151, 214}},
		{vl53l0xModeOf(nil), time.Second, vl53l0xTimes{38, 151, 25915}},
		{long, 33 * time.Millisecond, vl53l0xTimes{30, 117, 405}},
	} {
		if got := vl53l0xTimesFor(c.mode, c.budget); got != c.want {
			t.Errorf("%+v, %v: %v, want %v", c.mode, c.budget, got, c.want)
		}
	}
}

func FuzzVL53L0X(f *testing.F) {
	good := newVL53L0X().result
	f.Add(good[:], uint16(32))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), uint16(12))
	f.Add([]byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, raw []byte, limit uint16) {
		var b [12]byte
		copy(b[:], raw)
		mm, err := vl53l0xDecode(b, limit)
		if mm < 0 || mm > 2500 || err != nil && mm != 0 || err == nil && b[0]>>3&15 != 11 {
			t.Errorf("% x: %d mm, %v", b, mm, err)
		}
	})
}
