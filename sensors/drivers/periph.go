package drivers

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

// periphLink is the bus that a driver of periph is given, as an i2c.Bus. It hands
// each transaction to tx, which talks to the chip and looks at what came back, and
// keeps the first error: periph's drivers pass errors on as text, replace them
// by others, or drop them.
type periphLink struct {
	tx  func(ctx context.Context, w, r []byte) error
	ctx context.Context // of the call of do that is running
	err error
	// lenient: some errors are expected by periph's driver. Then they count only
	// if it fails.
	lenient bool
}

// do runs f, which calls periph's driver. Its error is, or wraps, the one of tx if
// there was any. A division by what a chip sent, which ends in a panic in some of
// periph's drivers, is an error too.
func (l *periphLink) do(ctx context.Context, f func() error) (err error) {
	l.ctx, l.err = ctx, nil
	defer func() {
		if r := recover(); r != nil {
			wrong, ok := r.(runtime.Error)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("impossible values from the chip: %w", wrong)
		}
		if l.err != nil && (err != nil || !l.lenient) && !errors.Is(err, l.err) {
			err = l.err
		}
		l.ctx = nil
	}()
	return f()
}

// Tx implements i2c.Bus. There is one chip, so that its address is known.
func (l *periphLink) Tx(_ uint16, w, r []byte) error {
	err := l.ctx.Err()
	if err == nil {
		err = l.tx(l.ctx, w, r)
	}
	if l.err == nil {
		l.err = err
	}
	return err
}

// SetSpeed implements i2c.Bus.
func (l *periphLink) SetSpeed(physic.Frequency) error { return nil }

// String implements i2c.Bus.
func (l *periphLink) String() string { return "link" }

// periphPort is a periphLink as an spi.Port that is connected already.
type periphPort struct{ *periphLink }

// Connect implements spi.Port.
func (p periphPort) Connect(physic.Frequency, spi.Mode, int) (spi.Conn, error) {
	return periphConn{p.periphLink}, nil
}

// periphConn is a periphLink as an spi.Conn.
type periphConn struct{ l *periphLink }

// Tx implements conn.Conn.
func (c periphConn) Tx(w, r []byte) error { return c.l.Tx(0, w, r) }

// TxPackets implements spi.Conn. No driver here needs it.
func (c periphConn) TxPackets([]spi.Packet) error { return errors.ErrUnsupported }

// Duplex implements conn.Conn.
func (c periphConn) Duplex() conn.Duplex { return conn.Full }

// String implements conn.Resource.
func (c periphConn) String() string { return c.l.String() }
