package sx126x

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/sim"
	"fieldgate/radio/sx127x"
)

// TestInterwork has an SX1276 and an SX1262, each with its driver, hear one
// another: the meaning of sync words, IQ, header and checksum is the same.
func TestInterwork(t *testing.T) {
	for _, c := range []struct {
		sf, rate uint8
		bw       uint32
		sync     byte
		crc      bool
	}{
		{7, 5, 125000, radio.SyncPublic, true}, {8, 6, 125000, radio.SyncPublic, true}, {9, 7, 125000, radio.SyncPrivate, true},
		{10, 8, 125000, radio.SyncPrivate, false}, {11, 5, 125000, radio.SyncPublic, false}, {12, 5, 125000, radio.SyncPrivate, true},
		{7, 5, 250000, radio.SyncPublic, true}, {12, 8, 500000, 0x67, true},
	} {
		bubble(t, fmt.Sprint(c), func(t *testing.T) {
			tuning := radio.Tuning{Frequency: 868100000, Modulation: radio.Modulation{SF: c.sf, Bandwidth: c.bw, CodingRate: c.rate}, SyncWord: c.sync}
			board := sim.NewBoard(sim.NewAir(sim.AirOptions{}))
			old := board.AddSX1276(sim.SX1276Options{Name: "old", Bus: "spi:1.0", Reset: "GPIO25", DIO0: "GPIO22"})
			config := wiring
			config.Tuning, config.Board = tuning, board
			young := board.AddSX1262(options(config))
			a, err := sx127x.New(sx127x.Config{Name: "old", Bus: "spi:1.0", Reset: "GPIO25", IRQ: "GPIO22", Tuning: tuning, Board: board})
			if err != nil {
				t.Fatal(err)
			}
			b, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			var mu sync.Mutex
			heard := map[string][]*radio.Frame{}
			for name, r := range map[string]radio.Radio{"old": a, "young": b} {
				running.Go(func() {
					if err := r.Run(ctx, func(f *radio.Frame) {
						mu.Lock()
						defer mu.Unlock()
						heard[name] = append(heard[name], f)
					}); err != nil {
						t.Error(err)
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			for _, way := range []struct {
				from interface {
					radio.Radio
					Counter(time.Time) uint32
				}
				to string
			}{{a, "young"}, {b, "old"}} {
				x := &radio.Transmission{Payload: []byte("to the " + way.to), Frequency: tuning.Frequency, Modulation: tuning.Modulation,
					Power: 14, CRC: c.crc, Counter: way.from.Counter(time.Now().Add(time.Second))}
				if err := way.from.Send(t.Context(), x); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				mu.Lock()
				got := heard[way.to]
				mu.Unlock()
				want := radio.CRCNone
				if c.crc {
					want = radio.CRCOK
				}
				if len(got) != 1 || string(got[0].Payload) != string(x.Payload) || got[0].CRC != want || got[0].CodingRate != c.rate {
					t.Errorf("%s heard %+v", way.to, got)
				}
			}
			cancel()
			running.Wait()
			for _, v := range append(old.Violations(), young.Violations()...) {
				t.Errorf("violation: %s", v)
			}
		})
	}
}

// TestOneBus has two chips at one bus, selected by lines: neither hears what is
// meant for the other.
func TestOneBus(t *testing.T) {
	bubble(t, "two", func(t *testing.T) {
		board := sim.NewBoard(sim.NewAir(sim.AirOptions{}))
		first, second := wiring, Config{Name: "lora1", Bus: "spi:0.1", ChipSelect: "GPIO5", Reset: "GPIO12", Busy: "GPIO13", IRQ: "GPIO19", Tuning: eu}
		one, other := board.Line(first.ChipSelect), board.Line(second.ChipSelect)
		both := func(high bool) {
			if !high {
				runtime.Gosched() // let the other one do it
				if !one.High() && !other.High() {
					t.Error("both are selected")
				}
			}
		}
		second.Tuning.Frequency = 868300000
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		var chips []*sim.SX1262
		var radios []Radio
		for _, c := range []Config{first, second} {
			chips = append(chips, board.AddSX1262(options(c)))
			c.Board = board
			r, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			radios = append(radios, r)
		}
		one.Watch(both)
		other.Watch(both)
		for _, r := range radios {
			running.Go(func() { _ = r.Run(ctx, func(*radio.Frame) {}) })
		}
		time.Sleep(time.Minute)
		cancel()
		running.Wait()
		for i, r := range radios {
			if n := r.Status()[0].Count; n.Resets != 0 {
				t.Errorf("%+v", n)
			}
			for _, v := range chips[i].Violations() {
				t.Error(v)
			}
		}
	})
}
