package sim

import (
	"testing"
	"time"
)

func TestADS1115Registers(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressADS1115)
		w.want([]byte{1}, 0x85, 0x83) // as after power-up, idle
		w.want([]byte{0}, 0, 0)
		w.want([]byte{2}, 0x80, 0)
		w.want([]byte{3}, 0x7f, 0xff)
		w.write(2, 0x12, 0x34)
		w.write(3, 0x56, 0x78, 0x9a)
		w.want([]byte{2}, 0x12, 0x34)
		w.want([]byte{3}, 0x56, 0x78)
		w.want(nil, 0x56, 0x78) // the pointer stays
		w.write(1, 0xc3)        // half a register is none
		w.want(nil, 0x85, 0x83) // but the pointer moved
		w.write(0, 0xff, 0xff)  // read-only
		w.want([]byte{0}, 0, 0)

		// Full scale and beyond (section 8.5.4, table of ideal codes).
		for _, x := range []struct {
			v      float64
			hi, lo byte
		}{{4.096, 0x7f, 0xff}, {9, 0x7f, 0xff}, {4.096 / 32768, 0, 1}, {0, 0, 0}, {-4.096 / 32768, 0xff, 0xff}, {-4.096, 0x80, 0}, {-9, 0x80, 0}} {
			b.SetVoltage(0, x.v)
			w.write(1, 0xc3, 0x83) // single shot, AIN0, 4.096 V, 128/s
			w.want([]byte{1}, 0x43, 0x83)
			time.Sleep(time.Second / 128)
			w.want([]byte{1}, 0xc3, 0x83)
			w.want([]byte{0}, x.hi, x.lo)
		}
	})
}

func TestADS1115Conversion(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressADS1115)
		b.SetVoltage(0, 1)
		b.SetVoltage(1, 2)
		w.write(1, 0xc3, 0x03) // 8/s
		time.Sleep(124 * time.Millisecond)
		w.want([]byte{0}, 0, 0)
		w.write(1, 0xd3, 0xe3) // no effect on the conversion that runs
		time.Sleep(time.Millisecond)
		w.want([]byte{0}, 0x1f, 0x40)
		w.want([]byte{1}, 0xd3, 0xe3)
		b.SetFault(ChipADS1115, Slow)
		w.write(1, 0xd3, 0x03)
		time.Sleep(125 * time.Millisecond)
		w.want([]byte{1}, 0x53, 0x03)
		time.Sleep(14 * time.Millisecond)
		w.want([]byte{0}, 0x3e, 0x80)
		b.SetFault(ChipADS1115, Healthy)

		// Continuous mode goes on by itself.
		w.write(1, 0x42, 0xe3)
		time.Sleep(2 * time.Millisecond)
		w.want([]byte{0}, 0x1f, 0x40)
		b.SetVoltage(0, 3)
		time.Sleep(2 * time.Millisecond)
		w.want([]byte{0}, 0x5d, 0xc0)
		w.want([]byte{1}, 0x42, 0xe3)
		w.write(1, 0x43, 0xe3) // power-down
		b.SetVoltage(0, 0)
		time.Sleep(time.Second)
		w.want([]byte{0}, 0x5d, 0xc0)
		w.want([]byte{1}, 0xc3, 0xe3)
	})
}

func TestADS1115Rates(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressADS1115)
		for i, rate := range []time.Duration{8, 16, 32, 64, 128, 250, 475, 860} {
			w.write(1, 0xc3, byte(i)<<5|3)
			time.Sleep(time.Second/rate - time.Nanosecond)
			w.want([]byte{1}, 0x43, byte(i)<<5|3)
			time.Sleep(time.Nanosecond)
			w.want([]byte{1}, 0xc3, byte(i)<<5|3)
		}
	})
}
