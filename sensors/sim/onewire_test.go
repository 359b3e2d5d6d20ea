package sim

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"periph.io/x/conn/v3/onewire"
)

// match is the command that calls one chip.
func match(a onewire.Address) []byte {
	return binary.LittleEndian.AppendUint64([]byte{0x55}, uint64(a))
}

type oneWire struct {
	t   *testing.T
	bus onewire.BusCloser
}

func (o oneWire) tx(w []byte, n int) []byte {
	o.t.Helper()
	r := make([]byte, n)
	if err := o.bus.Tx(w, r, onewire.WeakPullup); err != nil {
		o.t.Fatalf("% x: %v", w, err)
	}
	return r
}

func (o oneWire) want(w []byte, want ...byte) {
	o.t.Helper()
	if r := o.tx(w, len(want)); !bytes.Equal(r, want) {
		o.t.Errorf("% x: % x, want % x", w, r, want)
	}
}

func probes(t *testing.T, b *Board) oneWire {
	t.Helper()
	bus, err := b.OneWire("w1:sim")
	if err != nil {
		t.Fatal(err)
	}
	return oneWire{t, bus}
}

func TestDS18B20(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		o := probes(t, b)
		for _, a := range []onewire.Address{SoilProbe, WaterProbe} {
			if id := match(a)[1:]; id[0] != 0x28 || !onewire.CheckCRC(id) {
				t.Errorf("% x is no id of a DS18B20", id)
			}
		}
		soil := func(w ...byte) []byte { return append(match(SoilProbe), w...) }
		// As after power-up: 85 °C, alarms at 75 and 70, 12 bits.
		pad := []byte{0x50, 0x05, 75, 70, 0x7f, 0xff, 0x0c, 0x10}
		o.want(soil(0xbe), append(append(pad, onewire.CalcCRC(pad)), 0xff)...)

		// The datasheet's table of temperatures.
		for _, x := range []struct {
			c   float64
			raw uint16
		}{{125, 0x07d0}, {85, 0x0550}, {25.0625, 0x0191}, {10.125, 0x00a2}, {0.5, 0x0008}, {0, 0}, {-0.5, 0xfff8}, {-10.125, 0xff5e}, {-25.0625, 0xfe6f}, {-55, 0xfc90}} {
			b.Set(SoilTemperature, x.c)
			o.want(soil(0x44), 0)
			time.Sleep(750*time.Millisecond - time.Nanosecond)
			if r := o.tx(soil(0xbe), 2); binary.LittleEndian.Uint16(r) == x.raw && x.raw != 0x0550 {
				t.Errorf("%v °C is there before the conversion ends", x.c)
			}
			time.Sleep(time.Nanosecond)
			o.want(soil(0xbe), byte(x.raw), byte(x.raw>>8))
		}

		// Settings live in the scratchpad until copied.
		o.tx(soil(0x4e, 1, 2, 0x00), 0)
		o.want(soil(0xbe), 0x90, 0xfc, 1, 2, 0x1f)
		b.Set(SoilTemperature, 10.9)
		o.tx(soil(0x44), 0)
		time.Sleep(93750 * time.Microsecond)
		o.want(soil(0xbe), 0xb0, 0) // 9 bits: 11 °C
		o.tx(soil(0xb8), 0)
		o.want(soil(0xbe), 0xb0, 0, 75, 70, 0x7f)
		o.tx(soil(0x4e, 3, 4, 0x3f), 0)
		o.tx(soil(0x48), 0)
		o.tx(soil(0x4e, 5, 6, 0x5f), 0)
		o.tx(soil(0xb8), 0)
		o.want(soil(0xbe), 0xb0, 0, 3, 4, 0x3f)
		o.want(soil(0xb4), 0xff)
		// The other one has its own.
		o.want(append(match(WaterProbe), 0xbe), 0x50, 0x05, 75, 70, 0x7f)
	})
}

func TestOneWireBus(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		o := probes(t, b)
		both := []onewire.Address{SoilProbe, WaterProbe}
		found := func(alarm bool, want ...onewire.Address) {
			t.Helper()
			if a, err := o.bus.Search(alarm); err != nil || !slices.Equal(a, want) {
				t.Errorf("found %x, %v; want %x", a, err, want)
			}
		}
		found(false, both...)
		found(true, both...) // 85 °C is an alarm
		o.tx([]byte{0xcc, 0x44}, 0)
		time.Sleep(time.Second)
		found(true, both...) // below TL
		o.tx(append(match(SoilProbe), 0x4e, 75, 0, 0x7f), 0)
		found(true, WaterProbe)

		// Who is not called says nothing; all at once pull the line low together.
		o.want(append(match(SoilProbe+1<<8), 0xbe), 0xff, 0xff)
		o.want([]byte{0x12}, 0xff)
		o.want(nil, 0xff)
		o.want([]byte{0x33}, 0x28, 0x10, 0x00, 0x5e, 0x0a, 0, 0, byte((SoilProbe&WaterProbe)>>56))

		b.SetFault(ChipSoilProbe, NAK)
		found(false, WaterProbe)
		o.want([]byte{0x33}, match(WaterProbe)[1:]...)
		o.want(append(match(SoilProbe), 0xbe), 0xff, 0xff)
		b.SetFault(ChipWaterProbe, NAK)
		var none onewire.NoDevicesError
		if err := o.bus.Tx([]byte{0xcc}, nil, false); !errors.As(err, &none) || !none.NoDevices() {
			t.Error("no chips:", err)
		}
		if a, err := o.bus.Search(false); err == nil {
			t.Error("found", a)
		}
		b.SetFault(ChipSoilProbe, BitFlip)
		b.SetFault(ChipWaterProbe, AllOnes)
		if r := o.tx(append(match(SoilProbe), 0xbe), 9); onewire.CheckCRC(r) {
			t.Errorf("the checksum of % x is right", r)
		}
		o.want(append(match(WaterProbe), 0xbe), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		b.SetFault(BusOneWire, AllZeros)
		var short onewire.ShortedBusError
		if err := o.bus.Tx([]byte{0xcc}, nil, false); !errors.As(err, &short) || !short.IsShorted() {
			t.Error("shorted:", err)
		}
		b.SetFault(BusOneWire, AllOnes)
		if a, err := o.bus.Search(false); err == nil {
			t.Error("found", a)
		}
		b.SetFault(BusOneWire, NAK)
		if err := o.bus.Tx([]byte{0xcc}, nil, false); err == nil {
			t.Error("nobody there, no error")
		}
		if err := o.bus.Close(); err != nil {
			t.Error(err)
		}
		if err := o.bus.Tx([]byte{0xcc}, nil, false); !errors.Is(err, fs.ErrClosed) {
			t.Error("after Close:", err)
		}
		if _, err := o.bus.Search(false); !errors.Is(err, fs.ErrClosed) {
			t.Error("after Close:", err)
		}
		if err := o.bus.Close(); !errors.Is(err, fs.ErrClosed) {
			t.Error("closed twice:", err)
		}
	})
}
