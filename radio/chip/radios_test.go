package chip_test

import (
	"context"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
	"fieldgate/radio/sx126x"
	"fieldgate/radio/sx127x"
)

// channel is what the chips listen to.
var channel = radio.Tuning{Frequency: 868100000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPublic}

// counted is a radio that says its count.
type counted interface {
	radio.Radio
	Counter(time.Time) uint32
}

// station is a chip with its driver, and a node in the air.
type station struct {
	radio counted
	air   *sim.Air
	node  *sim.Antenna
	line  *sim.Line   // it rises when a frame has come, wired or not
	young *sim.SX1262 // nil: it is an SX1276
}

// newStation wires a chip, with or without its interrupt. An SX1262 has no BUSY: its
// simulation is no faster than Go's timers.
func newStation(t testing.TB, driver string, interrupt bool, tuning radio.Tuning) *station {
	t.Helper()
	s := &station{air: sim.NewAir(sim.AirOptions{})}
	board := sim.NewBoard(s.air)
	irq := ""
	if interrupt {
		irq = "GPIO4"
	}
	var err error
	if driver == "sx127x" {
		board.AddSX1276(sim.SX1276Options{Name: "gw", Bus: "spi:0.0", Reset: "GPIO17", DIO0: "GPIO4"})
		s.radio, err = sx127x.New(sx127x.Config{Name: "gw", Bus: "spi:0.0", Reset: "GPIO17", IRQ: irq, Tuning: tuning, Board: board})
	} else {
		s.young = board.AddSX1262(sim.SX1262Options{Name: "gw", Bus: "spi:0.0", Reset: "GPIO17", DIO1: "GPIO4"})
		s.radio, err = sx126x.New(sx126x.Config{Name: "gw", Bus: "spi:0.0", Reset: "GPIO17", IRQ: irq, Tuning: tuning, Board: board})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.node, s.line = s.air.Attach("node", nil), board.Line("GPIO4")
	return s
}

// run runs the radio until stop, and waits until it receives.
func (s *station) run(receive func(*radio.Frame)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.radio.Run(ctx, receive)
	}()
	for s.radio.Status()[0].State != radio.OK {
		time.Sleep(time.Millisecond)
	}
	return func() {
		cancel()
		<-ended
	}
}

// up is a frame of a node.
func up(t radio.Tuning, payload string) sim.Emission {
	return sim.Emission{Payload: []byte(payload), Frequency: t.Frequency, Modulation: t.Modulation, SyncWord: t.SyncWord, CRC: true, Power: 14}
}
