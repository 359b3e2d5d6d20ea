package sim

import (
	"testing"
	"time"
)

// The table of temperatures of the LM75, TMP75 and TMP105 datasheets, in 12 bits.
func TestTMP105Table(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressTMP105)
		w.write(1, 0x60)
		for _, x := range []struct {
			c      float64
			hi, lo byte
		}{
			{150, 0x7f, 0xf0}, {127.9375, 0x7f, 0xf0}, {100, 0x64, 0}, {80, 0x50, 0}, {75, 0x4b, 0}, {50, 0x32, 0}, {25, 0x19, 0},
			{0.25, 0, 0x40}, {0.0625, 0, 0x10}, {0, 0, 0}, {-0.25, 0xff, 0xc0}, {-25, 0xe7, 0}, {-55, 0xc9, 0}, {-80, 0xc9, 0},
		} {
			b.Set(BoxTemperature, x.c)
			time.Sleep(220 * time.Millisecond)
			w.want([]byte{0}, x.hi, x.lo)
		}
	})
}

func TestTMP105Registers(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		b.Set(BoxTemperature, 21.6)
		w := wire(t, b, AddressTMP105)
		w.want([]byte{0}, 0, 0) // nothing measured yet
		w.want([]byte{1}, 0)
		w.want([]byte{2}, 75, 0)
		w.want([]byte{3}, 80, 0)
		w.write(2, 10, 0xff)
		w.want(nil, 10, 0xf0)
		time.Sleep(27500 * time.Microsecond)
		w.want([]byte{0}, 21, 0x80) // 9 bits
		w.want(nil, 21, 0x80)

		w.write(1, 0x61) // 12 bits, asleep
		b.Set(BoxTemperature, -1)
		time.Sleep(time.Second)
		w.want([]byte{0}, 21, 0x80)
		w.write(1, 0xe1) // one shot
		w.want([]byte{1}, 0x61)
		time.Sleep(219 * time.Millisecond)
		w.write(1, 0xe1) // one is running
		w.want([]byte{0}, 21, 0x80)
		time.Sleep(time.Millisecond)
		w.want([]byte{0}, 0xff, 0)
		time.Sleep(time.Second)
		w.write(1, 0x60) // awake
		b.Set(BoxTemperature, 2)
		w.want([]byte{0}, 0xff, 0)
		time.Sleep(219 * time.Millisecond)
		w.want([]byte{0}, 0xff, 0)
		time.Sleep(time.Millisecond)
		w.want([]byte{0}, 2, 0)

		// General call reset.
		if err := w.bus.Tx(0, []byte{6}, nil); err != nil {
			t.Error(err)
		}
		w.want(nil, 0, 0)
		w.want([]byte{1}, 0)
	})
}
