package sim

import (
	"testing"
	"time"
)

func TestSHT31(t *testing.T) {
	if sht31CRC(0xbe, 0xef) != 0x92 { // the example of section 4.12
		t.Error("the checksum of 0xbeef is not 0x92")
	}
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressSHT31)
		w.want([]byte{0xf3, 0x2d}, 0x80, 0x10, 0xe1)
		w.refused(nil, 3)
		w.write(0x30, 0x41)
		w.want([]byte{0xf3, 0x2d}, 0, 0, 0x81)
		w.write(0x30, 0x6d)
		w.want([]byte{0xf3, 0x2d}, 0x20, 0, sht31CRC(0x20, 0))
		w.refused([]byte{0x2c, 0x06}, 6) // clock stretching
		w.refused([]byte{0x24}, 0)

		b.SetTemperature(-45 + 175.0*0x6666/65535)
		b.SetHumidity(100.0 * 0x8001 / 65535)
		w.write(0x24, 0)
		w.refused(nil, 6)
		w.refused([]byte{0x24, 0}, 0)
		w.write(0x30, 0xa2) // a reset is heard
		w.want([]byte{0xf3, 0x2d}, 0x80, 0x10, 0xe1)
		w.write(0x30, 0x6d)
		w.write(0x24, 0)
		time.Sleep(12499 * time.Microsecond)
		w.refused(nil, 6)
		time.Sleep(time.Microsecond)
		want := []byte{0x66, 0x66, sht31CRC(0x66, 0x66), 0x80, 0x01, sht31CRC(0x80, 0x01)}
		w.want(nil, append(want, 0xff)...)
		w.refused(nil, 6) // once

		b.SetFault(ChipSHT31, BitFlip)
		w.write(0x24, 0x16)
		time.Sleep(3 * time.Millisecond)
		want[5] ^= 1
		w.want(nil, want...)
		b.SetFault(ChipSHT31, Slow)
		w.write(0x24, 0x0b)
		time.Sleep(6499 * time.Microsecond)
		w.refused(nil, 6)
		b.SetFault(ChipSHT31, NeverReady)
		time.Sleep(time.Hour)
		w.refused(nil, 6)
		w.want([]byte{0xf3, 0x2d}, 0xa0, 0x10, sht31CRC(0xa0, 0x10))
		w.write(0x30, 0xa2)
		w.want([]byte{0xf3, 0x2d}, 0x80, 0x10, 0xe1)
	})
}
