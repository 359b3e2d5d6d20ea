package drivers

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/conntest"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/onewire/onewiretest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/sensors"
)

// harms are what can become of a transaction: what was read is changed, or it
// fails before it reaches the chip. Made anew for each run.
var harms = map[string]func(*rand.Rand) func(r []byte) error{
	"nak":   func(*rand.Rand) func([]byte) error { return func([]byte) error { return errNAK } },
	"zeros": func(*rand.Rand) func([]byte) error { return func(r []byte) error { clear(r); return nil } },
	"ones":  func(*rand.Rand) func([]byte) error { return func(r []byte) error { fill(r, 0xff); return nil } },
	"bit": func(x *rand.Rand) func([]byte) error {
		return func(r []byte) error {
			if len(r) > 0 {
				r[x.IntN(len(r))] ^= 1 << x.IntN(8)
			}
			return nil
		}
	},
	"short": func(*rand.Rand) func([]byte) error {
		return func(r []byte) error { clear(r[min(len(r), 1):]); return nil }
	},
	"random": func(x *rand.Rand) func([]byte) error { return func(r []byte) error { noise(x, r); return nil } },
	"random with right checksums": func(x *rand.Rand) func([]byte) error {
		bus := sealed(x)
		return func(r []byte) error { return bus(nil, r) }
	},
}

// harmed takes a driver through traffic that is known to give want, once for each
// transaction and each harm to it, and to it and all that follow. It is called
// for each recorded traffic, so that a new driver gets it with its first test.
func harmed(t *testing.T, driver string, written map[string]string, want string, board func() sensors.Board) {
	t.Helper()
	d, _ := sensors.Builtin().Lookup(driver)
	options, bus := map[string]string{}, usualBus(d)
	for k, v := range written {
		if k == "bus" {
			bus = v
			continue
		}
		options[k] = v
	}
	o, wrong := d.Parse(options)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	s := newSubject(t, d, o, bus)
	whole := &harmedBoard{Board: board(), at: -1}
	if samples, err := s.use(whole); !strings.HasPrefix(shown(samples), want) {
		t.Fatalf("%s: unharmed it gives %q, %v; want %q", driver, shown(samples), err, want)
	}
	for at := range whole.count {
		for name, harm := range harms {
			for _, all := range []bool{false, true} {
				x := random(driver+name, at)
				b := &harmedBoard{Board: board(), at: at, all: all, harm: harm(x)}
				samples, err := s.use(b)
				if got := shown(samples); name == "nak" && got != "" && !strings.HasPrefix(got, want) {
					t.Errorf("%s: no answer to transaction %d makes %q of %q", driver, at, got, want)
				}
				if b.open != 0 {
					t.Errorf("%s: the bus stays open after %s of transaction %d: %v", driver, name, at, err)
				}
				if t.Failed() {
					t.Fatalf("%s: %s of transaction %d, of all that follow: %v", driver, name, at, all)
				}
			}
		}
	}
}

// shown is "suffix=value suffix=value".
func shown(samples []sensors.Sample) string {
	var out []string
	for _, x := range samples {
		out = append(out, fmt.Sprintf("%s=%s", x.Suffix, x.Value))
	}
	return strings.Join(out, " ")
}

// harmedBoard does harm to a transaction of another board's buses, or to all from
// there on.
type harmedBoard struct {
	sensors.Board
	at    int
	all   bool
	harm  func(r []byte) error
	count int
	open  int
}

// tx makes the next transaction.
func (b *harmedBoard) tx(r []byte, make func() error) error {
	n := b.count
	b.count++
	if b.at < 0 || n < b.at || n > b.at && !b.all {
		return make()
	}
	if err := b.harm(nil); err != nil {
		return err
	}
	if err := make(); err != nil {
		return err
	}
	return b.harm(r)
}

// I2C implements sensors.Board.
func (b *harmedBoard) I2C(bus string) (i2c.BusCloser, error) {
	c, err := b.Board.I2C(bus)
	if err != nil {
		return nil, err
	}
	b.open++
	return harmedI2C{c, b}, nil
}

// SPI implements sensors.Board.
func (b *harmedBoard) SPI(bus string) (spi.PortCloser, error) {
	c, err := b.Board.SPI(bus)
	if err != nil {
		return nil, err
	}
	b.open++
	return harmedSPI{c, b}, nil
}

// OneWire implements sensors.Board.
func (b *harmedBoard) OneWire(bus string) (onewire.BusCloser, error) {
	c, err := b.Board.OneWire(bus)
	if err != nil {
		return nil, err
	}
	b.open++
	return harmedWire{c, b}, nil
}

type harmedI2C struct {
	i2c.BusCloser
	b *harmedBoard
}

func (c harmedI2C) Tx(addr uint16, w, r []byte) error {
	return c.b.tx(r, func() error { return c.BusCloser.Tx(addr, w, r) })
}

func (c harmedI2C) Close() error { c.b.open--; return c.BusCloser.Close() }

type harmedSPI struct {
	spi.PortCloser
	b *harmedBoard
}

func (c harmedSPI) Connect(f physic.Frequency, mode spi.Mode, bits int) (spi.Conn, error) {
	conn, err := c.PortCloser.Connect(f, mode, bits)
	return harmedConn{conn, c.b}, err
}

func (c harmedSPI) Close() error { c.b.open--; return c.PortCloser.Close() }

type harmedConn struct {
	spi.Conn
	b *harmedBoard
}

func (c harmedConn) Tx(w, r []byte) error {
	return c.b.tx(r, func() error { return c.Conn.Tx(w, r) })
}

type harmedWire struct {
	onewire.BusCloser
	b *harmedBoard
}

func (c harmedWire) Tx(w, r []byte, p onewire.Pullup) error {
	return c.b.tx(r, func() error { return c.BusCloser.Tx(w, r, p) })
}

func (c harmedWire) Close() error { c.b.open--; return c.BusCloser.Close() }

// TestHarm is for the drivers whose tests have a chip, or traffic on another bus
// than I2C, in the place of recorded traffic on I2C.
func TestHarm(t *testing.T) {
	rom := map[string]string{"bus": "w1:1", "rom": "28-0000070e41ac"}
	pad := ds18b20Pad(0x91, 0x01, 0x4b, 0x46, 0x7f, 0xff, 0x0f, 0x10)
	probe := map[string]string{"dry": "2.8", "wet": "1.2", "channel": "2"}
	for _, c := range []struct {
		driver  string
		written map[string]string
		want    string
		board   func() sensors.Board
	}{
		{"vl53l0x", nil, "distance=430", func() sensors.Board { return vl53l0xBench{&bench{}, newVL53L0X()} }},
		{"sgp30", nil, "", func() sensors.Board { return sgp30Bench{&bench{}, &sgp30Chip{}} }},
		{"mcp3008", map[string]string{"vref": "5"}, "voltage=2.500", func() sensors.Board {
			return mcp3008Bench{&bench{}, &mcp3008Port{ops: []conntest.IO{mcp3008IO(8, 0x02, 0x00)}}}
		}},
		{"soil-moisture", probe, "moisture=50.0", func() sensors.Board {
			return soilBench{&bench{}, &soilADS{addr: 0x48, code: 16000, closed: new(bool)}}
		}},
		{"ds18b20", rom, "temperature=25.06", func() sensors.Board {
			return &bench{oneWire: &onewiretest.Playback{Ops: ds18b20Ops(ds18b20TestROM, 0xff, pad, pad), DontPanic: true}}
		}},
		{"ds18b20", rom, "temperature=25.06", func() sensors.Board {
			return &bench{oneWire: &onewiretest.Playback{Ops: ds18b20Ops(ds18b20TestROM, 0x00, pad, pad), DontPanic: true}}
		}},
	} {
		t.Run(c.driver, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { harmed(t, c.driver, c.written, c.want, c.board) })
		})
	}
}
