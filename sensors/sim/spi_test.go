package sim

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

func connect(t *testing.T, b *Board, mode spi.Mode) (spi.PortCloser, spi.Conn) {
	t.Helper()
	p, err := b.SPI("spi:sim")
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Connect(physic.MegaHertz, mode, 8)
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func TestMCP3008(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		_, c := connect(t, b, spi.Mode0)
		// The usual way: start bit in the first byte, result in the last ten bits
		// (section 6.1).
		code := func(control byte) int {
			t.Helper()
			r := make([]byte, 3)
			if err := c.Tx([]byte{1, control << 4, 0}, r); err != nil {
				t.Fatal(err)
			}
			if r[1]&4 != 0 {
				t.Errorf("% x: no null bit", r)
			}
			return int(r[1]&3)<<8 | int(r[2])
		}
		for n := range 8 {
			b.Set(SPIInput(n), Reference*(float64(100*n)+0.5)/1024)
		}
		for n := range 8 {
			if got := code(8 | byte(n)); got != 100*n {
				t.Errorf("CH%d: %d, want %d", n, got, 100*n)
			}
			want := 0
			if n%2 == 1 {
				want = 100 // CHn against the one before; the other way round is below 0
			}
			if got := code(byte(n)); got != want && got != want-1 {
				t.Errorf("CH%d against its neighbour: %d, want %d", n, got, want)
			}
		}
		for v, want := range map[float64]int{-1: 0, 0: 0, Reference / 1024 * 1.01: 1, Reference: 1023, 5: 1023} {
			b.Set(SPIInput(0), v)
			if got := code(8); got != want {
				t.Errorf("%v V: %d, want %d", v, got, want)
			}
		}
		// Any alignment: the result follows the start bit, and then comes again
		// from the other end.
		b.Set(SPIInput(2), Reference*(0x2b5+0.5)/1024)
		r := make([]byte, 5)
		if err := c.Tx([]byte{0xd0, 0, 0, 0, 0}, r); err != nil { // 1 1 010
			t.Fatal(err)
		}
		if want := []byte{0xfd, 0x5a, 0xad, 0x40, 0}; !bytes.Equal(r, want) { // ones, 0, 1010110101, 010110101, zeros
			t.Errorf("% x, want % x", r, want)
		}
		// Without a start bit nothing is driven.
		if err := c.Tx(make([]byte, 5), r); err != nil || !bytes.Equal(r, []byte{0xff, 0xff, 0xff, 0xff, 0xff}) {
			t.Errorf("% x, %v without a start bit", r, err)
		}
		// The same in packets.
		r = make([]byte, 3)
		if err := c.TxPackets([]spi.Packet{{W: []byte{1}, KeepCS: true}, {W: []byte{0xa0}, R: r[:1], KeepCS: true}, {R: r[1:2]}, {R: r[2:]}}); err != nil {
			t.Fatal(err)
		}
		if got := int(r[0]&3)<<8 | int(r[1]); got != 0x2b5 || r[2] != 0xff {
			t.Errorf("in packets: % x", r)
		}
	})
}

func TestSPIRules(t *testing.T) {
	powered(t, func(t *testing.T, b *Board) {
		p, c := connect(t, b, spi.Mode3)
		if _, err := p.Connect(physic.MegaHertz, spi.Mode0, 8); err == nil {
			t.Error("connected twice")
		}
		for _, bad := range [][2][]byte{{nil, nil}, {make([]byte, 2), make([]byte, 3)}, {make([]byte, 4097), nil}} {
			if c.Tx(bad[0], bad[1]) == nil {
				t.Errorf("%d and %d bytes are taken", len(bad[0]), len(bad[1]))
			}
		}
		if c.TxPackets([]spi.Packet{{W: []byte{1}, KeepCS: true}}) == nil || c.TxPackets([]spi.Packet{{W: []byte{1}, BitsPerWord: 9}}) == nil {
			t.Error("packets that are not supported are taken")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Tx([]byte{1}, nil); !errors.Is(err, fs.ErrClosed) {
			t.Error("after Close:", err)
		}
		if err := p.Close(); !errors.Is(err, fs.ErrClosed) {
			t.Error("closed twice:", err)
		}
		fresh, err := b.SPI("spi:sim")
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			f    physic.Frequency
			mode spi.Mode
			bits int
		}{{0, 0, 8}, {2 * physic.GigaHertz, 0, 8}, {physic.MegaHertz, 0x40, 8}, {physic.MegaHertz, spi.LSBFirst, 8}, {physic.MegaHertz, 0, 9}} {
			if _, err := fresh.Connect(x.f, x.mode, x.bits); err == nil {
				t.Errorf("%v is taken", x)
			}
		}
		// In a mode that the chip does not know it is silent.
		_, c = connect(t, b, spi.Mode1)
		r := make([]byte, 3)
		if err := c.Tx([]byte{1, 0x80, 0}, r); err != nil || !bytes.Equal(r, []byte{0xff, 0xff, 0xff}) {
			t.Errorf("% x, %v in mode 1", r, err)
		}
	})
}
