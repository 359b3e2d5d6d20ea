package sim

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// behind is a board that remembers what it was asked for.
type behind struct{ asked []string }

var errBehind = errors.New("the board behind")

func (b *behind) ask(name string) error { b.asked = append(b.asked, name); return errBehind }

func (b *behind) I2C(bus string) (i2c.BusCloser, error)         { return nil, b.ask(bus) }
func (b *behind) SPI(bus string) (spi.PortCloser, error)        { return nil, b.ask(bus) }
func (b *behind) OneWire(bus string) (onewire.BusCloser, error) { return nil, b.ask(bus) }
func (b *behind) Root() string                                  { return "/behind" }

func (b *behind) Input(pin string, _ sensors.InputConfig) (sensors.Input, error) {
	return nil, b.ask(pin)
}
func (b *behind) Output(pin string, _ bool) (sensors.Output, error) { return nil, b.ask(pin) }

// open opens whatever kind of thing name is.
func open(b sensors.Board, kind, name string) error {
	var err error
	switch kind {
	case "i2c":
		_, err = b.I2C(name)
	case "spi":
		_, err = b.SPI(name)
	case "w1":
		_, err = b.OneWire(name)
	case "in":
		_, err = b.Input(name, sensors.InputConfig{})
	case "out":
		_, err = b.Output(name, false)
	}
	return err
}

func TestBoardPassesOn(t *testing.T) {
	next := &behind{}
	with, without := New(next, time.Now), New(nil, time.Now)
	for _, x := range []struct {
		kind, name string
		simulated  bool
	}{
		{"i2c", "i2c:sim", true}, {"i2c", "i2c:1", false}, {"spi", "spi:sim", true}, {"spi", "spi:0.0", false},
		{"w1", "w1:sim", true}, {"w1", "w1:1", false}, {"in", "sim:31", true}, {"in", "GPIO17", false},
		{"out", "sim:4", true}, {"out", "gpiochip0:4", false}, {"in", "simple", false},
	} {
		next.asked = nil
		err, alone := open(with, x.kind, x.name), open(without, x.kind, x.name)
		switch {
		case x.simulated && (err != nil || alone != nil || len(next.asked) > 0):
			t.Errorf("%s: %v, %v, asked behind: %q", x.name, err, alone, next.asked)
		case !x.simulated && (!errors.Is(err, errBehind) || len(next.asked) != 1 || next.asked[0] != x.name):
			t.Errorf("%s: %v, asked behind: %q", x.name, err, next.asked)
		case !x.simulated && !errors.Is(alone, sensors.ErrAbsent):
			t.Errorf("%s without a board behind: %v", x.name, alone)
		}
	}
	next.asked = nil
	for _, kind := range []string{"in", "out"} {
		for _, pin := range []string{"sim:32", "sim:-1", "sim:", "sim:x", "sim:256"} {
			if err := open(with, kind, pin); !errors.Is(err, sensors.ErrAbsent) || len(next.asked) > 0 {
				t.Errorf("%s: %v, asked behind: %q", pin, err, next.asked)
			}
		}
	}
	if with.Root() != "/behind" {
		t.Error("root is", with.Root())
	}
	if _, err := os.Stat(without.Root()); err == nil {
		t.Error("root without a board behind is", without.Root())
	}
}

func TestI2CRules(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		w := wire(t, b, AddressADS1115)
		for addr := range uint16(0x80) {
			switch err := w.bus.Tx(addr, []byte{0}, make([]byte, 1)); addr {
			case AddressBME280, AddressADS1115, AddressTMP105:
				if err != nil {
					t.Errorf("0x%02x: %v", addr, err)
				}
			default: // the SHT31 has no data, and knows no such command
				if !errors.Is(err, ErrNAK) {
					t.Errorf("0x%02x: %v", addr, err)
				}
			}
		}
		if err := w.bus.Tx(0x80, []byte{0}, nil); err == nil || errors.Is(err, ErrNAK) {
			t.Error("address 0x80:", err)
		}
		if err := w.bus.Tx(AddressBME280, make([]byte, 8193), nil); err == nil {
			t.Error("a message is too long")
		}
		if err := w.bus.Tx(0x33, nil, nil); err != nil {
			t.Error("nothing to do:", err)
		}
		if err := w.bus.SetSpeed(physic.MegaHertz); err == nil {
			t.Error("the speed can be set")
		}
		if err := w.bus.Tx(0, []byte{4}, nil); !errors.Is(err, ErrNAK) {
			t.Error("general call 4:", err)
		}
		other := wire(t, b, AddressADS1115)
		if err := w.bus.Close(); err != nil {
			t.Error(err)
		}
		if err := w.bus.Tx(AddressADS1115, []byte{1}, nil); !errors.Is(err, fs.ErrClosed) {
			t.Error("after Close:", err)
		}
		if err := w.bus.Close(); !errors.Is(err, fs.ErrClosed) {
			t.Error("closed twice:", err)
		}
		other.want([]byte{1}, 0x85, 0x83)
		other.write(1, 0x12, 0x34)
		if err := other.bus.Tx(0, []byte{6}, nil); err != nil {
			t.Error("general call reset:", err)
		}
		other.want([]byte{1}, 0x85, 0x83)
		for _, p := range []Part{ChipADS1115, ChipTMP105, ChipSHT31} {
			b.SetFault(p, NAK)
		}
		if err := other.bus.Tx(0, []byte{6}, nil); !errors.Is(err, ErrNAK) {
			t.Error("general call reset that nobody hears:", err)
		}
	})
}

// Everything at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	b := New(nil, time.Now)
	var all sync.WaitGroup
	repeat := func(f func(i int)) {
		for range 2 {
			all.Go(func() {
				for i := range 300 {
					f(i)
				}
			})
		}
	}
	bus, _ := b.I2C("i2c:sim")
	repeat(func(i int) {
		own, _ := b.I2C("i2c:sim")
		for _, h := range []i2c.Bus{bus, own} {
			for _, a := range []uint16{AddressBME280, AddressADS1115, AddressTMP105, AddressSHT31} {
				_ = h.Tx(a, []byte{0xf4, 0x25}, make([]byte, 8))
			}
		}
		_ = own.Close()
	})
	repeat(func(int) {
		_, c := connect(t, b, spi.Mode0)
		_ = c.Tx([]byte{1, 0x80, 0}, make([]byte, 3))
	})
	one, _ := b.OneWire("w1:sim")
	repeat(func(int) {
		_ = one.Tx([]byte{0xcc, 0x44}, nil, onewire.StrongPullup)
		_, _ = one.Search(true)
	})
	repeat(func(i int) { b.Set(Quantity(i%int(quantities)), float64(i)) })
	repeat(func(i int) {
		b.SetFaultAfter(Part(i%int(parts)), Fault(i)%Stuck, i%3)
		_ = b.Transactions(ChipBME280)
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 4 {
		repeat(func(i int) {
			in, err := b.Input(linePrefix+string(rune('0'+n)), sensors.InputConfig{Edges: sensors.BothEdges, Debounce: time.Duration(i % 2)})
			if err != nil {
				return // the other one has it
			}
			_, _ = in.Level()
			_, _ = in.Next(ctx)
			_ = in.Close()
		})
		repeat(func(i int) {
			b.Drive(n, i%2 == 0)
			_ = b.Level(n)
			b.Release(n)
			w := b.Watch()
			if o, err := b.Output("sim:2"+string(rune('0'+n)), true); err == nil {
				_ = o.Set(false)
				_ = o.Close()
			}
			_, _ = w.Next(ctx)
			w.Close()
		})
	}
	all.Wait()
}
