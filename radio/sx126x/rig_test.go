package sx126x

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// eu is what a gateway in Europe listens to.
var eu = radio.Tuning{Frequency: 868100000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPublic}

// wiring is the one of a board with all lines.
var wiring = Config{Name: "lora0", Bus: "spi:0.0", ChipSelect: "GPIO21", Reset: "GPIO18", IRQ: "GPIO16", Busy: "GPIO20",
	TXEnable: "GPIO6", DIO2Switch: true, Tuning: eu}

// rig is a radio with a simulated chip, and a node beside it.
type rig struct {
	t     *testing.T
	air   *sim.Air
	board *sim.Board
	chip  *sim.SX1262
	node  *node
	radio Radio

	mu     sync.Mutex
	frames []*radio.Frame
	stop   func()
}

// options are the simulated chip for c.
func options(c Config) sim.SX1262Options {
	return sim.SX1262Options{Name: "gateway", Bus: c.Bus, CS: c.ChipSelect, Reset: c.Reset, Busy: c.Busy, DIO1: c.IRQ,
		TXEnable: c.TXEnable, RXEnable: c.RXEnable, DIO2Switch: c.DIO2Switch, TCXO: c.TCXO, Model: c.Model}
}

// newRig makes a rig in a bubble. Spoil may change the configuration of the driver
// after the chip was wired for it.
func newRig(t *testing.T, c Config, spoil ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, air: sim.NewAir(sim.AirOptions{})}
	r.board = sim.NewBoard(r.air)
	r.chip = r.board.AddSX1262(options(c))
	r.node = &node{listens: sim.Listening{Tuning: c.Tuning, InvertIQ: true}}
	r.node.antenna = r.air.Attach("node", r.node)
	c.Board = r.board
	for _, f := range spoil {
		f(&c)
	}
	var err error
	if r.radio, err = New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs the radio until the end of the test, or stop.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := r.radio.Run(ctx, func(f *radio.Frame) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.frames = append(r.frames, f)
		}); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		done.Wait()
	})
	r.t.Cleanup(r.stop)
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// heard gives the frames since the last time.
func (r *rig) heard() []*radio.Frame {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.frames
	r.frames = nil
	return out
}

// status is that of the radio.
func (r *rig) status() radio.Status { return r.radio.Status()[0] }

// clean fails the test if the chip was used in a wrong way.
func (r *rig) clean() {
	r.t.Helper()
	for _, v := range r.chip.Violations() {
		r.t.Errorf("violation: %s", v)
	}
}

// commands are the chip's log from n on, without idle polls: when they come depends
// on nothing but time.
func (r *rig) commands(n int) []string {
	var out []string
	for _, c := range r.chip.Commands()[n:] {
		if !c.Idle {
			out = append(out, c.String())
		}
	}
	return out
}

// node is the radio of a device.
type node struct {
	antenna *sim.Antenna

	mu      sync.Mutex
	listens sim.Listening
	heard   []sim.Reception
}

func (n *node) Listening() (sim.Listening, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listens, true
}

func (n *node) Hear(r sim.Reception) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard = append(n.heard, r)
}

func (n *node) take() []sim.Reception {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.heard
	n.heard = nil
	return out
}

// uplink is a frame of a node for a gateway that listens to t.
func uplink(t radio.Tuning, payload string) sim.Emission {
	return sim.Emission{Payload: []byte(payload), Frequency: t.Frequency, Modulation: t.Modulation, SyncWord: t.SyncWord, CRC: true, Power: 14}
}

// downlink is one of LoRaWAN in d.
func (r *rig) downlink(d time.Duration, payload string) *radio.Transmission {
	return &radio.Transmission{ID: payload, Radio: "lora0", Payload: []byte(payload), Frequency: eu.Frequency, Modulation: eu.Modulation,
		Power: 14, InvertIQ: true, Counter: r.radio.Counter(time.Now().Add(d))}
}

// bubble runs f in a bubble for each name.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// sameCommands compares commands with golden ones, whose text behind a # is a
// remark.
func sameCommands(t *testing.T, got []string, golden string) {
	t.Helper()
	var want []string
	for line := range strings.Lines(golden) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			want = append(want, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("commands:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
