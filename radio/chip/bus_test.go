package chip_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"

	"fieldgate/radio"
	"fieldgate/radio/chip"
	"fieldgate/radio/sim"
	"fieldgate/radio/sx126x"
	"fieldgate/radio/sx127x"
)

// guarded is a board with two chips on one bus that are selected by lines, beside
// what has the bus's own selects. It counts transfers that go to the wrong one.
type guarded struct {
	*sim.Board
	lines []*sim.Line
	wrong atomic.Int32
}

func (g *guarded) SPI(bus string) (spi.PortCloser, error) {
	p, err := g.Board.SPI(bus)
	return guardedPort{p, g}, err
}

type guardedPort struct {
	spi.PortCloser
	g *guarded
}

func (p guardedPort) Connect(f physic.Frequency, m spi.Mode, bits int) (spi.Conn, error) {
	c, err := p.PortCloser.Connect(f, m, bits)
	want := 0
	if m&spi.NoCS != 0 {
		want = 1
	}
	return guardedConn{c, p.g, want}, err
}

type guardedConn struct {
	spi.Conn
	g    *guarded
	want int // lines that may be low
}

func (c guardedConn) MaxTxSize() int { return 4096 }

func (c guardedConn) Tx(w, r []byte) error {
	runtime.Gosched() // let another one do it
	low := 0
	for _, l := range c.g.lines {
		if !l.High() {
			low++
		}
	}
	if low != c.want {
		c.g.wrong.Add(1)
	}
	return c.Conn.Tx(w, r)
}

// TestOneBus has two radios with selects of their own and a sensor with the bus's
// one: no transfer of one goes to another.
func TestOneBus(t *testing.T) {
	g := &guarded{Board: sim.NewBoard(sim.NewAir(sim.AirOptions{}))}
	g.lines = []*sim.Line{g.Line("GPIO25"), g.Line("GPIO21")}
	old := g.AddSX1276(sim.SX1276Options{Name: "old", Bus: "spi:0.0", CS: "GPIO25"})
	young := g.AddSX1262(sim.SX1262Options{Name: "young", Bus: "spi:0.0", CS: "GPIO21"})
	a, err := sx127x.New(sx127x.Config{Name: "old", Bus: "spi:0.0", ChipSelect: "GPIO25", Tuning: channel, Board: g})
	if err != nil {
		t.Fatal(err)
	}
	b, err := sx126x.New(sx126x.Config{Name: "young", Bus: "spi:0.1", ChipSelect: "GPIO21", Tuning: channel, Board: g})
	if err != nil {
		t.Fatal(err)
	}
	port, err := chip.Shared{Buses: g}.SPI("spi:0.1")
	if err != nil {
		t.Fatal(err)
	}
	sensor, err := port.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := sensor.(conn.Limits); !ok || l.MaxTxSize() != 4096 {
		t.Error("the limits are lost")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	var all sync.WaitGroup
	for _, r := range []radio.Radio{a, b} {
		all.Go(func() { _ = r.Run(ctx, func(*radio.Frame) {}) })
	}
	var transfers int
	for a.Status()[0].State != radio.OK || b.Status()[0].State != radio.OK || transfers < 1000 {
		transfers++
		if err := sensor.Tx(make([]byte, 3), make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
		if ctx.Err() != nil {
			t.Fatalf("%+v %+v", a.Status(), b.Status())
		}
	}
	cancel()
	all.Wait()
	if n := g.wrong.Load(); n != 0 {
		t.Errorf("%d transfers went to another chip", n)
	}
	for _, v := range append(old.Violations(), young.Violations()...) {
		t.Errorf("violation: %s", v)
	}
	if err := port.Close(); err != nil {
		t.Error(err)
	}
}
