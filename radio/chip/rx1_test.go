package chip_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
)

// TestRX1 answers frames as LoRaWAN does, a second after their end by the count that
// came with them. On the simulation's clock the answer is exact: to the count's
// microsecond with an interrupt, and to half of the millisecond between two looks
// without.
func TestRX1(t *testing.T) {
	for _, driver := range []string{"sx127x", "sx126x"} {
		for _, interrupt := range []bool{true, false} {
			for sf := uint8(7); sf <= 12; sf++ {
				t.Run(fmt.Sprintf("%s SF%d interrupt %v", driver, sf, interrupt), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { answers(t, driver, interrupt, sf) })
				})
			}
		}
	}
}

func answers(t *testing.T, driver string, interrupt bool, sf uint8) {
	tuning := channel
	tuning.SF = sf
	s := newStation(t, driver, interrupt, tuning)
	got := make(chan *radio.Frame, 8)
	defer s.run(func(f *radio.Frame) { got <- f })()
	allowed := time.Microsecond
	if !interrupt {
		allowed = time.Millisecond/2 + time.Microsecond
	}
	for i := range 20 {
		end := s.node.Send(up(tuning, fmt.Sprint("up ", i)))
		f := <-got
		if err := s.radio.Send(t.Context(), &radio.Transmission{Payload: []byte("down"), Frequency: tuning.Frequency, Modulation: tuning.Modulation,
			Power: 14, InvertIQ: true, Counter: f.Counter + 1e6}); err != nil {
			t.Fatal(err)
		}
		var last sim.Sent
		for _, e := range s.air.Emissions() {
			if e.From == "gw" {
				last = e
			}
		}
		if off := last.Start.Sub(end.Add(time.Second)); off.Abs() > allowed {
			t.Errorf("%d: %v off", i, off)
		}
		time.Sleep(time.Duration(i) * 7321 * time.Microsecond)
	}
	if n := s.radio.Status()[0].Count; n.Received != 20 || n.Sent != 20 || n.Resets != 0 {
		t.Errorf("%+v", n)
	}
}
