package sim

import (
	"testing"
	"time"

	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/spi"
)

// FuzzTraffic has a driver gone mad: whatever it sends and however late, chips
// answer or do not, and the board goes on.
func FuzzTraffic(f *testing.F) {
	f.Add([]byte{0x76, 4, 3, 0xf4, 0x27, 0xf5, 200, 0x76, 1, 8, 0xf7})
	f.Add([]byte{0x48, 3, 2, 1, 0xc2, 0xe3, 90, 0x48, 1, 3, 0})
	f.Add([]byte{0x4f, 2, 2, 1, 0xe1, 9, 0, 1, 0, 6})
	f.Add([]byte{0x44, 2, 6, 0x24, 0, 255})
	f.Add([]byte{0x80, 3, 3, 1, 0x80, 0, 7, 0x81, 2, 9, 0xcc, 0x44})
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		b := New(nil, func() time.Time { return now })
		bus, _ := b.I2C("i2c:sim")
		one, _ := b.OneWire("w1:sim")
		_, c := connect(t, b, spi.Mode0)
		for len(script) > 3 { // address, length to write, length to read, what to write, time
			n := min(int(script[1]), len(script)-3)
			w, r := script[3:3+n], make([]byte, script[2])
			switch a := uint16(script[0]); {
			case a < 0x80:
				_ = bus.Tx(a, w, r)
			case a == 0x80:
				_ = c.Tx(w, r)
			case a == 0x81:
				_ = one.Tx(w, r, onewire.StrongPullup)
			default:
				b.SetFault(Part(a)%parts, Fault(n)%Stuck)
			}
			script = script[3+n:]
			if len(script) > 0 {
				now = now.Add(time.Duration(script[0]) * time.Duration(script[0]) * time.Millisecond)
				script = script[1:]
			}
		}
		for p := range parts {
			b.SetFault(p, Healthy)
		}
		w := wire(t, b, AddressBME280)
		w.want([]byte{0xd0}, 0x60)
		wire(t, b, AddressADS1115).write(1)
		probes(t, b).want([]byte{0xcc, 0xb4}, 0xff)
	})
}
