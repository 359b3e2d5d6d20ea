package sim

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestI2CFaults(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w, beside := wire(t, b, AddressBME280), wire(t, b, AddressADS1115)
		for _, part := range []Part{ChipBME280, BusI2C} {
			b.SetFault(part, NAK)
			w.refused([]byte{0xd0}, 1)
			b.SetFault(part, AllOnes)
			w.want([]byte{0xd0}, 0xff, 0xff, 0xff)
			b.SetFault(part, AllZeros)
			w.want([]byte{0xd0}, 0, 0, 0)
			b.SetFault(part, BitFlip)
			w.want([]byte{0x88}, 0x70, 0x6a)
			b.SetFault(part, WrongID)
			w.want([]byte{0xd0}, 0x61)
			if part == ChipBME280 {
				beside.want([]byte{1}, 0x85, 0x83)
			}
			b.SetFault(part, Healthy)
			w.want([]byte{0xd0}, 0x60)
		}
		b.SetFault(BusI2C, NAK)
		beside.refused([]byte{1}, 2)
		if err := w.bus.Tx(0, []byte{6}, nil); !errors.Is(err, ErrNAK) {
			t.Error("general call on a dead bus:", err)
		}
		b.SetFault(BusI2C, Healthy)

		n := b.Transactions(ChipBME280)
		b.SetFaultAfter(ChipBME280, NAK, 2)
		w.want([]byte{0xd0}, 0x60)
		w.want([]byte{0xd0}, 0x60)
		w.refused([]byte{0xd0}, 1)
		if got := b.Transactions(ChipBME280) - n; got != 3 {
			t.Errorf("%d transactions, want 3", got)
		}
	})
}

func TestNeverReady(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		for _, p := range []Part{ChipBME280, ChipADS1115, ChipTMP105, ChipSoilProbe} {
			b.SetFault(p, NeverReady)
		}
		bme, ads, tmp := wire(t, b, AddressBME280), wire(t, b, AddressADS1115), wire(t, b, AddressTMP105)
		bus, err := b.OneWire("w1:sim")
		if err != nil {
			t.Fatal(err)
		}
		pad := func() []byte {
			r := make([]byte, 2)
			if err := bus.Tx(append(match(SoilProbe), 0xbe), r, false); err != nil {
				t.Fatal(err)
			}
			return r
		}
		bme.write(0xf4, 0x25)
		ads.write(1, 0xc3, 0x83)
		if err := bus.Tx([]byte{0xcc, 0x44}, nil, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		bme.want([]byte{0xf3}, 8)
		bme.want([]byte{0xfa}, 0x80, 0)
		ads.want([]byte{1}, 0x43, 0x83)
		ads.want([]byte{0}, 0, 0)
		tmp.want([]byte{0}, 0, 0)
		if r := pad(); !bytes.Equal(r, []byte{0x50, 5}) {
			t.Errorf("the probe has % x, not 85 °C", r)
		}
		for p := range parts {
			b.SetFault(p, Healthy)
		}
		bme.want([]byte{0xf3}, 0)
		ads.want([]byte{1}, 0xc3, 0x83)
		if r := pad(); bytes.Equal(r, []byte{0x50, 5}) {
			t.Error("the probe did not end its conversion")
		}
	})
}

// A chip that hangs holds its bus, for all who opened it, and no other bus; and
// the bubble's clock goes on.
func TestStuck(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		b.SetFault(ChipBME280, Stuck)
		done := make(chan string, 2)
		transact := func(name string, addr uint16) {
			bus, err := b.I2C("i2c:sim")
			if err == nil {
				err = bus.Tx(addr, []byte{1}, nil)
			}
			if err != nil {
				t.Error(err)
			}
			done <- name
		}
		go transact("stuck", AddressBME280)
		synctest.Wait()
		go transact("behind", AddressADS1115)
		time.Sleep(time.Hour)
		select {
		case name := <-done:
			t.Fatal(name, "got through")
		default:
		}
		_, c := connect(t, b, 0)
		if err := c.Tx([]byte{1, 0x80, 0}, nil); err != nil {
			t.Error("the other bus:", err)
		}
		b.SetFault(ChipBME280, Stuck) // still
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal(<-done, "got through")
		}
		b.SetFault(ChipBME280, Healthy)
		if first, second := <-done, <-done; first != "stuck" || second != "behind" {
			t.Errorf("%s before %s", first, second)
		}
	})
}

func TestSPIFaults(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		_, c := connect(t, b, 0)
		read := func() []byte {
			r := make([]byte, 3)
			if err := c.Tx([]byte{1, 0x80, 0}, r); err != nil {
				t.Fatal(err)
			}
			return r
		}
		well := read()
		for _, part := range []Part{ChipMCP3008, BusSPI} {
			for f, want := range map[Fault][]byte{
				NAK: {0xff, 0xff, 0xff}, AllOnes: {0xff, 0xff, 0xff}, AllZeros: {0, 0, 0},
				BitFlip: {well[0], well[1], well[2] ^ 1}, Healthy: well,
			} {
				b.SetFault(part, f)
				if r := read(); !bytes.Equal(r, want) {
					t.Errorf("fault %d of part %d: % x, want % x", f, part, r, want)
				}
			}
			b.SetFault(part, Healthy)
		}
	})
}
