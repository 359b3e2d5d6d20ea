package sim

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// powered runs f with a board in a bubble, so that waiting costs nothing.
func powered(t *testing.T, f func(t *testing.T, b *Board)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		f(t, New(nil, time.Now))
	})
}

// wires is a chip on i2c:sim.
type wires struct {
	t    *testing.T
	bus  i2c.BusCloser
	addr uint16
}

func wire(t *testing.T, b *Board, addr uint16) wires {
	t.Helper()
	bus, err := b.I2C("i2c:sim")
	if err != nil {
		t.Fatal(err)
	}
	return wires{t, bus, addr}
}

// write sends bytes.
func (w wires) write(b ...byte) {
	w.t.Helper()
	if err := w.bus.Tx(w.addr, b, nil); err != nil {
		w.t.Fatalf("write % x: %v", b, err)
	}
}

// read gives n bytes from the pointer on.
func (w wires) read(n int) []byte {
	w.t.Helper()
	r := make([]byte, n)
	if err := w.bus.Tx(w.addr, nil, r); err != nil {
		w.t.Fatalf("read: %v", err)
	}
	return r
}

// want sends the pointer or command, reads and compares.
func (w wires) want(command []byte, want ...byte) {
	w.t.Helper()
	r := make([]byte, len(want))
	if err := w.bus.Tx(w.addr, command, r); err != nil {
		w.t.Fatalf("% x: %v", command, err)
	}
	if !bytes.Equal(r, want) {
		w.t.Errorf("% x: % x, want % x", command, r, want)
	}
}

// refused checks that a transaction is not acknowledged.
func (w wires) refused(command []byte, n int) {
	w.t.Helper()
	if err := w.bus.Tx(w.addr, command, make([]byte, n)); !errors.Is(err, ErrNAK) {
		w.t.Errorf("% x: %v, want no acknowledge", command, err)
	}
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if d := got - want; !(d <= within && d >= -within) {
		t.Errorf("%s is %v, want %v within %v", what, got, want, within)
	}
}
