package drivers

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// A behaviour is how a bus answers: it gets what is written and fills what is read.
type behaviour func(w, r []byte) error

// behaviours are the ways in which a bus can be other than it should, made anew for
// each run with a source of random numbers.
var behaviours = map[string]func(*rand.Rand) behaviour{
	"nak":   func(*rand.Rand) behaviour { return func([]byte, []byte) error { return errNAK } },
	"zeros": func(*rand.Rand) behaviour { return func(_, r []byte) error { clear(r); return nil } },
	"ones":  func(*rand.Rand) behaviour { return func(_, r []byte) error { fill(r, 0xff); return nil } },
	"one byte": func(x *rand.Rand) behaviour {
		b := byte(x.Uint32())
		return func(_, r []byte) error { fill(r, b); return nil }
	},
	"random": func(x *rand.Rand) behaviour { return func(_, r []byte) error { noise(x, r); return nil } },
	"random, at times nak": func(x *rand.Rand) behaviour {
		return func(_, r []byte) error {
			noise(x, r)
			if x.IntN(8) == 0 {
				return errNAK
			}
			return nil
		}
	},
	"random with right checksums": sealed,
	"echo": func(*rand.Rand) behaviour {
		last := []byte{0}
		return func(w, r []byte) error {
			if len(w) > 0 {
				last = append([]byte(nil), w...)
			}
			for i := range r {
				r[i] = last[i%len(last)]
			}
			return nil
		}
	},
	"memory":        memory,
	"loaded memory": func(x *rand.Rand) behaviour { return loaded(x, memory(x)) },
	"short": func(x *rand.Rand) behaviour {
		return func(_, r []byte) error { noise(x, r[:min(len(r), 1)]); return nil }
	},
	"ends": func(x *rand.Rand) behaviour {
		inner, left := []behaviour{sealed(x), memory(x), loaded(x, memory(x))}[x.IntN(3)], x.IntN(40)
		return func(w, r []byte) error {
			if left--; left < 0 {
				return errNAK
			}
			return inner(w, r)
		}
	},
}

func fill(b []byte, x byte) {
	for i := range b {
		b[i] = x
	}
}

func noise(x *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(x.Uint32())
	}
}

// sealed is a bus of random bytes whose checksums are right, as far as the
// length tells how the chips with checksums send them.
func sealed(x *rand.Rand) behaviour {
	return func(_, r []byte) error {
		noise(x, r)
		if x.IntN(4) == 0 { // small numbers too
			for i := range r {
				r[i] &= 0x1f
			}
		}
		switch n := len(r); {
		case n == 7:
			r[6] = crc8(r[:6])
		case n == 8:
			binary.LittleEndian.PutUint16(r[6:], am2320CRC(r[:6]))
		case n == 9 && x.IntN(2) == 0:
			r[8] = onewire.CalcCRC(r[:8])
		case n%3 == 0:
			for b := r; len(b) > 0; b = b[3:] {
				b[2] = crc8(b[:2])
			}
		}
		return nil
	}
}

// memory is a chip that keeps what it is told: what is written goes to the
// address of the first byte, and reading goes on from there.
func memory(*rand.Rand) behaviour {
	var cells [256]byte
	var at byte
	return func(w, r []byte) error {
		if len(w) > 0 {
			at = w[0]
			for i, b := range w[1:] {
				cells[at+byte(i)] = b
			}
		}
		for i := range r {
			r[i] = cells[at+byte(i)]
		}
		return nil
	}
}

// loaded has written a random value to each cell.
func loaded(x *rand.Rand, m behaviour) behaviour {
	for i := range 256 {
		_ = m([]byte{byte(i), byte(x.Uint32())}, nil)
	}
	return m
}

// endless is the number of transactions after which a run is taken for a loop
// without an end, unless a test says another one.
const endless = 50_000

// hostile is a sensors.Board all of whose buses and lines behave as answer says.
// It notes what drivers must not do.
type hostile struct {
	answer  behaviour
	delay   time.Duration // that each transaction of a bus takes
	there   int           // how many buses and lines can be opened; negative: any number
	endless int           // transactions; 0: the usual number
	root    string
	addr    uint16 // the only one that may be talked to on I2C

	mu       sync.Mutex // of what follows, and for one transaction at a time
	opened   int
	open     int
	touched  bool
	count    int // transactions
	mischief []string
}

// note keeps something that a driver must not do.
func (h *hostile) note(format string, args ...any) {
	h.mischief = append(h.mischief, fmt.Sprintf(format, args...))
}

// take opens a bus or a line.
func (h *hostile) take(what string) (*taken, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.touched = true
	if h.there >= 0 && h.opened >= h.there {
		return nil, fmt.Errorf("hostile: %s %w", what, sensors.ErrAbsent)
	}
	h.open++
	h.opened++
	return &taken{h: h, what: what}, nil
}

// I2C implements sensors.Board.
func (h *hostile) I2C(bus string) (i2c.BusCloser, error) {
	t, err := h.take(bus)
	return hostileI2C{t}, err
}

// SPI implements sensors.Board.
func (h *hostile) SPI(bus string) (spi.PortCloser, error) {
	t, err := h.take(bus)
	return hostileSPI{t}, err
}

// OneWire implements sensors.Board.
func (h *hostile) OneWire(bus string) (onewire.BusCloser, error) {
	t, err := h.take(bus)
	return hostileWire{t}, err
}

// Input implements sensors.Board.
func (h *hostile) Input(pin string, c sensors.InputConfig) (sensors.Input, error) {
	t, err := h.take(pin)
	if err != nil {
		return nil, err
	}
	return hostileInput{t, c, make(chan struct{})}, nil
}

// Output implements sensors.Board.
func (h *hostile) Output(pin string, _ bool) (sensors.Output, error) {
	t, err := h.take(pin)
	if err != nil {
		return nil, err
	}
	return hostileOutput{t}, nil
}

// Root implements sensors.Board.
func (h *hostile) Root() string { h.touched = true; return h.root }

// taken is a bus or line that is open.
type taken struct {
	h      *hostile
	what   string
	closed bool
}

// String implements conn.Resource.
func (t *taken) String() string { return t.what }

func (t *taken) tx(w, r []byte) error {
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	if t.closed {
		t.h.note("%s is used after it was closed", t.what)
		return fs.ErrClosed
	}
	if t.h.count++; t.h.count > cmp.Or(t.h.endless, endless) {
		if len(t.h.mischief) == 0 {
			t.h.note("%d transactions: a loop without an end", t.h.count)
		}
		return errNAK
	}
	return t.h.answer(w, r)
}

// Close lets go of it.
func (t *taken) Close() error {
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	if t.closed {
		t.h.note("%s is closed twice", t.what)
		return fs.ErrClosed
	}
	t.closed = true
	t.h.open--
	return nil
}

type hostileI2C struct{ *taken }

// Tx implements i2c.Bus.
func (b hostileI2C) Tx(addr uint16, w, r []byte) error {
	if addr != b.h.addr {
		b.h.note("talks to address 0x%02x, which is not its own", addr)
	}
	time.Sleep(b.h.delay)
	return b.tx(w, r)
}

// SetSpeed implements i2c.Bus.
func (b hostileI2C) SetSpeed(physic.Frequency) error { return errors.ErrUnsupported }

type hostileSPI struct{ *taken }

// Connect implements spi.Port.
func (p hostileSPI) Connect(physic.Frequency, spi.Mode, int) (spi.Conn, error) { return p, nil }

// LimitSpeed implements spi.PortCloser.
func (p hostileSPI) LimitSpeed(physic.Frequency) error { return nil }

// Duplex implements conn.Conn.
func (p hostileSPI) Duplex() conn.Duplex { return conn.Full }

// TxPackets implements spi.Conn.
func (p hostileSPI) TxPackets([]spi.Packet) error { return errors.ErrUnsupported }

// Tx implements conn.Conn. No bus of two data lines gives an error of the chip.
func (p hostileSPI) Tx(w, r []byte) error {
	if len(r) > 0 && len(w) != len(r) {
		p.h.note("writes %d bytes and reads %d at once", len(w), len(r))
	}
	time.Sleep(p.h.delay)
	return p.tx(w, r)
}

type hostileWire struct{ *taken }

// Tx implements onewire.Bus.
func (b hostileWire) Tx(w, r []byte, _ onewire.Pullup) error {
	time.Sleep(b.h.delay)
	return b.tx(w, r)
}

// Search implements onewire.Bus. What it finds is what the bus answers, half of the
// time made a thermometer's.
func (b hostileWire) Search(bool) ([]onewire.Address, error) {
	var id [9]byte
	if err := b.tx(nil, id[:]); err != nil {
		return nil, err
	}
	if id[8]&1 != 0 {
		id[0] = []byte{ds18b20Family, ds1822Family, ds18s20Family}[int(id[8]>>1)%3]
		id[7] = onewire.CalcCRC(id[:7])
	}
	return []onewire.Address{onewire.Address(binary.LittleEndian.Uint64(id[:]))}, nil
}

// hostileInput gives the level, and whether there is an edge, by what the bus
// answers.
type hostileInput struct {
	*taken
	config sensors.InputConfig
	gone   chan struct{}
}

// Level implements sensors.Input.
func (l hostileInput) Level() (bool, error) {
	var b [1]byte
	err := l.tx(nil, b[:])
	return b[0]&1 != 0, err
}

// Next implements sensors.Input: an edge within a quarter of a second, or none.
func (l hostileInput) Next(ctx context.Context) (sensors.Edge, error) {
	if l.config.Edges == sensors.NoEdges {
		l.h.note("%s: waits for edges that it did not ask for", l.what)
	}
	var b [4]byte
	if err := l.tx(nil, b[:]); err != nil {
		return sensors.Edge{}, err
	}
	wait := time.Duration(b[1]) * time.Millisecond
	if b[1]&3 == 0 {
		wait = time.Hour
	}
	if err := pause(ctx, wait); err != nil {
		return sensors.Edge{}, err
	}
	e := sensors.Edge{Rising: b[0]&1 != 0, At: time.Now()}
	if b[2] == 0xff {
		e.Lost = 1<<32 - 1
	}
	return e, nil
}

// hostileOutput fails when the bus does.
type hostileOutput struct{ *taken }

// Set implements sensors.Output.
func (l hostileOutput) Set(bool) error { return l.tx(nil, nil) }
