package drivers

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

func ccs811Write(w ...byte) i2ctest.IO         { return i2ctest.IO{Addr: 0x5a, W: w} }
func ccs811Get(reg byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x5a, W: []byte{reg}, R: r} }

// ccs811Begin is how a chip is opened that power-up left in its boot loader.
func ccs811Begin(mode byte) []i2ctest.IO {
	return []i2ctest.IO{
		ccs811Get(0x20, 0x81), ccs811Get(0x00, 0x10), ccs811Write(0xf4), ccs811Get(0x00, 0x90), ccs811Get(0xe0, 0),
		ccs811Get(0x01, 0x00), ccs811Write(0x01, mode), ccs811Get(0x01, mode),
	}
}

// ccs811Warm is how a chip is opened that measures already.
func ccs811Warm(mode byte) []i2ctest.IO {
	return []i2ctest.IO{ccs811Get(0x20, 0x81), ccs811Get(0x00, 0x98), ccs811Get(0xe0, 0x01), ccs811Get(0x01, mode)}
}

// ccs811Reading finds a new measurement and reads it.
func ccs811Reading(b ...byte) []i2ctest.IO {
	return []i2ctest.IO{ccs811Get(0x00, 0x98), ccs811Get(0x02, b...)}
}

// ccs811Good is 612 ppm and 87 ppb.
var ccs811Good = []byte{0x02, 0x64, 0x00, 0x57, 0x98, 0x00}

func TestCCS811(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded(t, "ccs811", nil, slices.Concat(ccs811Begin(0x10), ccs811Reading(ccs811Good...)), "eco2=612 tvoc=87")
		recorded(t, "ccs811", nil, slices.Concat(ccs811Warm(0x10), ccs811Reading(ccs811Good...)), "eco2=612 tvoc=87")
		recorded(t, "ccs811", map[string]string{"drive_interval": "10s"}, slices.Concat(ccs811Begin(0x20), ccs811Reading(ccs811Good...)), "eco2=612 tvoc=87")
		recorded(t, "ccs811", map[string]string{"drive_interval": "60s"}, slices.Concat(ccs811Warm(0x30), ccs811Reading(ccs811Good...)), "eco2=612 tvoc=87")
		// The ends of the ranges; periph cuts off the upper bits of these.
		recorded(t, "ccs811", nil, slices.Concat(ccs811Warm(0x10), ccs811Reading(0x72, 0x16, 0x80, 0x00, 0x98, 0)), "eco2=29206 tvoc=32768")
		recorded(t, "ccs811", nil, slices.Concat(ccs811Warm(0x10), ccs811Reading(0x01, 0x90, 0, 0, 0x98, 0)), "eco2=400 tvoc=0")
	})
}

// TestCCS811New gives no measurement twice.
func TestCCS811New(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := ccs811Get(0x00, 0x90)
		b := &bench{i2c: slices.Concat(ccs811Begin(0x10), slices.Repeat([]i2ctest.IO{old}, 9), ccs811Reading(ccs811Good...), []i2ctest.IO{old, old})}
		s, err := attach(t, b, "ccs811", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := take(t.Context(), s); err != nil || got != "eco2=612 tvoc=87" {
			t.Errorf("the first, which is waited for: %q, %v", got, err)
		}
		if got, err := take(t.Context(), s); err != nil || got != "" {
			t.Errorf("at once again: %q, %v", got, err)
		}
		time.Sleep(3 * time.Second)
		if got, err := take(t.Context(), s); !errors.Is(err, errCCS811NotReady) {
			t.Errorf("overdue: %q, %v", got, err)
		}
		// At 60 s nobody waits.
		b = &bench{i2c: append(ccs811Begin(0x30), old, old)}
		if s, err = attach(t, b, "ccs811", map[string]string{"drive_interval": "60s"}); err != nil {
			t.Fatal(err)
		}
		if got, err := take(t.Context(), s); err != nil || got != "" {
			t.Errorf("the first of 60 s: %q, %v", got, err)
		}
		time.Sleep(121 * time.Second)
		if got, err := take(t.Context(), s); !errors.Is(err, errCCS811NotReady) {
			t.Errorf("overdue at 60 s: %q, %v", got, err)
		}
	})
}

func TestCCS811Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unanswered(t, "ccs811", nil)
		whole := slices.Concat(ccs811Begin(0x10), ccs811Reading(ccs811Good...))
		for n := range whole {
			refused(t, "ccs811", nil, whole[:n], "unexpected Tx")
		}
		refused(t, "ccs811", nil, []i2ctest.IO{ccs811Get(0x20, 0xff)}, "id is 0xff")
		refused(t, "ccs811", nil, []i2ctest.IO{ccs811Get(0x20, 0x00)}, "id is 0x00")
		refused(t, "ccs811", nil, []i2ctest.IO{ccs811Get(0x20, 0x81), ccs811Get(0x00, 0x00)}, "no valid firmware")
		stuck := ccs811Begin(0x10)[:4]
		stuck[3].R = []byte{0x10}
		refused(t, "ccs811", nil, stuck, "does not run its firmware")
		deaf := ccs811Begin(0x10)
		deaf[7].R = []byte{0x00}
		refused(t, "ccs811", nil, deaf, "mode is 0x00 after 0x10")

		for _, x := range []struct {
			ops  []i2ctest.IO
			want string
		}{
			{[]i2ctest.IO{ccs811Get(0x00, 0x10)}, "does not run its firmware"}, // its supply failed
			{[]i2ctest.IO{ccs811Get(0x00, 0x00)}, "does not run its firmware"},
			{[]i2ctest.IO{ccs811Get(0x00, 0xff), ccs811Get(0xe0, 0xff)}, "only ones"},
			{[]i2ctest.IO{ccs811Get(0x00, 0x99), ccs811Get(0xe0, 0x30)}, "0x30: heater current is out of range, heater voltage"},
			{[]i2ctest.IO{ccs811Get(0x00, 0x99), ccs811Get(0xe0, 0x00)}, "error 0x00"},
			{[]i2ctest.IO{ccs811Get(0x00, 0x99)}, "unexpected Tx"},
			{ccs811Reading(0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "only ones"},
			{ccs811Reading(0, 0, 0, 0, 0, 0), "does not run its firmware"},
			{ccs811Reading(0, 0, 0, 0, 0x98, 0), "0 ppm is outside"},
			{ccs811Reading(0x01, 0x8f, 0, 0, 0x98, 0), "399 ppm is outside"},
			{ccs811Reading(0x72, 0x17, 0, 0, 0x98, 0), "29207 ppm is outside"},
			{ccs811Reading(0xfd, 0xfd, 0, 0, 0x98, 0), "65021 ppm is outside"},
			{ccs811Reading(0x02, 0x64, 0x80, 0x01, 0x98, 0), "32769 ppb is outside"},
			{ccs811Reading(0x02, 0x64, 0, 0x57, 0x99, 0x08), "sensor resistance"},
			{ccs811Reading(0x02, 0x64, 0, 0x57, 0x98, 0x10), "heater current"},
			{slices.Repeat([]i2ctest.IO{ccs811Get(0x00, 0x90)}, 30), "no new measurement"},
		} {
			refused(t, "ccs811", nil, append(ccs811Begin(0x10), x.ops...), x.want)
		}
	})
}

func FuzzCCS811(f *testing.F) {
	f.Add([]byte{0x02, 0x64, 0x00, 0x57, 0x98, 0x00})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x99, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) != 6 {
			return
		}
		eco2, tvoc, err := ccs811Decode([6]byte(b))
		if err == nil && (eco2 < 400 || eco2 > 29206 || tvoc < 0 || tvoc > 32768 || b[4]&0x91 != 0x90) {
			t.Errorf("% x: %v ppm, %v ppb", b, eco2, tvoc)
		}
	})
}
