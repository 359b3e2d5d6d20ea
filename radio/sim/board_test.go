package sim

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// dial opens a bus.
func dial(t *testing.T, b *Board, bus string, mode spi.Mode) spi.Conn {
	t.Helper()
	p, err := b.SPI(bus)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Connect(physic.MegaHertz, mode, 8)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// peek reads a register by SPI.
func peek(t *testing.T, c spi.Conn, addr byte) byte {
	t.Helper()
	r := make([]byte, 2)
	if err := c.Tx([]byte{addr, 0}, r); err != nil {
		t.Fatal(err)
	}
	return r[1]
}

// poke writes registers by SPI.
func poke(t *testing.T, c spi.Conn, addr byte, v ...byte) {
	t.Helper()
	if err := c.Tx(append([]byte{addr | 0x80}, v...), nil); err != nil {
		t.Fatal(err)
	}
}

// TestSelects has three chips on one bus: two at its own selects, one at a line.
func TestSelects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard(NewAir(AirOptions{}))
		for i, o := range []SX1276Options{{Bus: "spi:0.0"}, {Bus: "spi:0.1"}, {Bus: "spi:0.0", CS: "GPIO25"}, {Bus: "spi:1.0"}} {
			o.Version = byte(0x30 + i)
			b.AddSX1276(o)
		}
		time.Sleep(10 * time.Millisecond)
		own, second, bare := dial(t, b, "spi:0.0", spi.Mode0), dial(t, b, "spi:0.1", spi.Mode0), dial(t, b, "spi:0.0", spi.Mode0|spi.NoCS)
		cs, err := b.Output("GPIO25", true)
		if err != nil {
			t.Fatal(err)
		}
		if v := []byte{peek(t, own, 0x42), peek(t, second, 0x42), peek(t, bare, 0x42)}; string(v) != "\x30\x31\x00" {
			t.Errorf("% x", v)
		}
		if err := cs.Set(false); err != nil {
			t.Fatal(err)
		}
		if v := peek(t, bare, 0x42); v != 0x32 {
			t.Errorf("%02x", v)
		}
		// One access lasts until the select goes high, over several transactions.
		if err := errors.Join(cs.Set(true), cs.Set(false)); err != nil {
			t.Fatal(err)
		}
		r := make([]byte, 1)
		if err := errors.Join(bare.Tx([]byte{0x42}, nil), bare.Tx(nil, r)); err != nil || r[0] != 0x32 {
			t.Errorf("%02x, %v", r[0], err)
		}
	})
}

func TestPorts(t *testing.T) {
	b := NewBoard(NewAir(AirOptions{}))
	if _, err := b.SPI("spi:0.0"); !errors.Is(err, ErrAbsent) {
		t.Error(err)
	}
	b.AddSX1276(SX1276Options{Bus: "spi:0.0"})
	for _, c := range []struct {
		f    physic.Frequency
		mode spi.Mode
		bits int
	}{{20 * physic.MegaHertz, spi.Mode0, 8}, {physic.Hertz, spi.Mode0, 8}, {physic.MegaHertz, spi.Mode3, 8}, {physic.MegaHertz, spi.Mode0, 16}} {
		p, _ := b.SPI("spi:0.0")
		if _, err := p.Connect(c.f, c.mode, c.bits); err == nil {
			t.Errorf("%+v: connected", c)
		}
		if _, err := p.Connect(physic.MegaHertz, spi.Mode0, 8); err == nil {
			t.Errorf("%+v: connected at the second time", c)
		}
	}
	b.RefuseNoCS(true)
	p, _ := b.SPI("spi:0.0")
	if _, err := p.Connect(physic.MegaHertz, spi.Mode0|spi.NoCS, 8); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	p, _ = b.SPI("spi:0.0")
	c, err := p.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range [][2]int{{0, 0}, {2, 3}, {4097, 4097}} {
		if err := c.Tx(make([]byte, n[0]), make([]byte, n[1])); err == nil {
			t.Errorf("%v bytes are exchanged", n)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := p.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if err := c.Tx([]byte{0}, nil); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard(NewAir(AirOptions{}))
		out, err := b.Output("A", true)
		if err != nil || !b.Line("A").High() || !b.Line("A").Taken() {
			t.Fatal(err)
		}
		if _, err := b.Output("A", true); !errors.Is(err, ErrTaken) {
			t.Error(err)
		}
		if _, err := b.Input("A", false); !errors.Is(err, ErrTaken) {
			t.Error(err)
		}
		if err := out.Close(); err != nil || !b.Line("A").High() {
			t.Error("it does not keep its level")
		}
		if err := out.Close(); err == nil {
			t.Error("closed twice")
		}
		if err := out.Set(false); err == nil {
			t.Error("set after it was closed")
		}
		in, err := b.Input("B", true)
		if err != nil {
			t.Fatal(err)
		}
		l := b.Line("B")
		start := time.Now()
		for range queuedEdges + 10 {
			l.drive(true)
			l.drive(true)
			l.drive(false)
			time.Sleep(time.Second)
		}
		at, err := in.Next(t.Context())
		if err != nil || at.Sub(start) != 10*time.Second { // the oldest have gone
			t.Errorf("%v, %v", at.Sub(start), err)
		}
		for range queuedEdges - 1 {
			if _, err := in.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		l.Cut(true)
		l.drive(true)
		if high, _ := in.Level(); high {
			t.Error("high over a cut wire")
		}
		if _, err := in.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := in.Close(); err != nil || in.Close() == nil {
			t.Error(err)
		}
		for _, open := range []func() error{func() error { _, err := b.Input("", false); return err }, func() error { _, err := b.Output("", false); return err }} {
			if err := open(); !errors.Is(err, ErrAbsent) {
				t.Error(err)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard(NewAir(AirOptions{}))
		chip := b.AddSX1276(SX1276Options{Bus: "spi:0.0"})
		time.Sleep(10 * time.Millisecond)
		c := dial(t, b, "spi:0.0", spi.Mode0)
		for f, want := range map[Fault]byte{Healthy: 0x12, AllZeros: 0, AllOnes: 0xff, BitFlips: 0x10} {
			chip.SetFault(f)
			if v := peek(t, c, 0x42); v != want {
				t.Errorf("fault %d: %02x", f, v)
			}
		}
		chip.SetFault(Broken)
		if err := c.Tx([]byte{0x42, 0}, nil); !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		chip.SetFault(Healthy)
		chip.FailAfter(1, 2)
		for i, want := range []error{nil, syscall.EIO, syscall.EIO, nil} {
			if err := c.Tx([]byte{0x42, 0}, nil); !errors.Is(err, want) {
				t.Errorf("transaction %d: %v", i, err)
			}
		}
		if n := chip.Transactions(); n != 9 {
			t.Errorf("%d transactions", n)
		}
		poke(t, c, 0x06, 1, 2, 3)
		chip.Unplug()
		if v := peek(t, c, 0x42); v != 0 {
			t.Errorf("%02x without a chip", v)
		}
		chip.Plug()
		time.Sleep(10 * time.Millisecond)
		if v := peek(t, c, 0x06); v != 0x6c {
			t.Errorf("%02x after power-on", v)
		}
	})
}
