package sx127x

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// channel is 868.1 MHz, SF7, 125 kHz.
var channel = radio.Tuning{Frequency: 868100000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPublic}

// rig is a chip on a board, with its driver and another station in the air.
type rig struct {
	t     *testing.T
	air   *sim.Air
	board *sim.Board
	chip  *sim.SX1276
	radio *Radio
	c     Config
	began time.Time // of the radio's counter
	log   strings.Builder
	node  *node

	mu     sync.Mutex
	frames []*radio.Frame
	stop   func()
}

// node is another station.
type node struct {
	*sim.Antenna
	mu     sync.Mutex
	listen sim.Listening
	heard  []sim.Reception
}

func (n *node) Listening() (sim.Listening, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listen, n.listen.SF != 0
}

func (n *node) Hear(r sim.Reception) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard = append(n.heard, r)
}

func (n *node) got() []sim.Reception {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]sim.Reception(nil), n.heard...)
}

// up is a frame as LoRaWAN's devices send them on c.
func up(c radio.Tuning, payload string) sim.Emission {
	return sim.Emission{Payload: []byte(payload), Frequency: c.Frequency, Modulation: c.Modulation, SyncWord: c.SyncWord, CRC: true, Power: 14}
}

// wiring is the usual one.
var wiring = sim.SX1276Options{Name: "gw", Bus: "spi:0.0", Reset: "GPIO17", DIO0: "GPIO4", NoRFO: true}

// newRig plugs a chip in as o says, and makes a driver. Change may change its
// configuration.
func newRig(t *testing.T, o sim.SX1276Options, change func(*Config)) *rig {
	g := &rig{t: t, air: sim.NewAir(sim.AirOptions{}), node: &node{}}
	g.board = sim.NewBoard(g.air)
	g.chip = g.board.AddSX1276(o)
	g.node.Antenna = g.air.Attach("node", g.node)
	c := Config{Name: "gw", Bus: o.Bus, ChipSelect: o.CS, Reset: o.Reset, IRQ: o.DIO0, Tuning: channel, Board: g.board, Log: textLog(&g.log)}
	if change != nil {
		change(&c)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	g.radio, g.c, g.began = r, c, time.Now()
	return g
}

// run begins to run the driver until the test ends; it waits until it is up if
// up is set.
func (g *rig) run(up bool) {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- g.radio.Run(ctx, func(f *radio.Frame) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.frames = append(g.frames, f)
		})
	}()
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			g.t.Errorf("Run: %v", err)
		}
	})
	if up {
		time.Sleep(100 * time.Millisecond) // of the bubble
		synctest.Wait()
		if s := g.status(); s.State != radio.OK {
			g.t.Fatalf("not up: %v", s.Err)
		}
	}
}

// due is when a transmission is to begin.
func (g *rig) due(tx *radio.Transmission) time.Time {
	return g.began.Add(time.Duration(tx.Counter) * time.Microsecond)
}

func (g *rig) status() radio.Status { return g.radio.Status()[0] }

func (g *rig) got() []*radio.Frame {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]*radio.Frame(nil), g.frames...)
}

// check ends the driver, and looks for what it did wrong.
func (g *rig) check() {
	g.t.Helper()
	g.stop()
	for _, v := range g.chip.Violations() {
		g.t.Errorf("violation: %s", v)
	}
	for _, pin := range []string{"GPIO17", "GPIO4", "GPIO25"} {
		if g.board.Line(pin).Taken() {
			g.t.Errorf("%s is still taken", pin)
		}
	}
}

// bubble runs a test with a rig in a testing/synctest bubble.
func bubble(t *testing.T, o sim.SX1276Options, change func(*Config), f func(t *testing.T, g *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, o, change)
		g.run(true)
		f(t, g)
		g.check()
	})
}

// hears has the node send a frame, and expects that the driver hears it.
func (g *rig) hears(payload string) *radio.Frame {
	g.t.Helper()
	before := len(g.got())
	end := g.node.Send(up(g.c.Tuning, payload))
	time.Sleep(time.Until(end) + 20*time.Millisecond)
	synctest.Wait()
	got := g.got()[before:]
	if len(got) != 1 || !bytes.Equal(got[0].Payload, []byte(payload)) {
		g.t.Fatalf("%q: %d frames heard: %v", payload, len(got), got)
	}
	return got[0]
}

// contains fails unless err says all of want.
func contains(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v: want %q", err, w)
		}
	}
}

// textLog writes to b without times.
func textLog(b *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
