package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
	"fieldgate/radio/sim"
	"fieldgate/radio/sx126x"
	"fieldgate/radio/sx127x"
)

// simulated is the air of the radios with the driver fake: their chips, by their
// registers, and the nodes around them.
type simulated struct {
	cfg     *config.Config
	log     *slog.Logger
	air     *sim.Air
	board   *sim.Board
	chips   int
	radios  []radio.Radio
	runners []*node.Runner
}

func newSimulated(cfg *config.Config, log *slog.Logger) *simulated {
	air := sim.NewAir(sim.AirOptions{Seed: rand.Uint64()})
	return &simulated{cfg: cfg, log: log, air: air, board: sim.NewBoard(air)}
}

// add plugs in a chip, puts its nodes around it, and gives its driver.
func (s *simulated) add(c *config.Radio) (r radio.Radio, err error) {
	defer func() { s.radios = append(s.radios, r) }()
	bus := "spi:0." + strconv.Itoa(s.chips)
	pin := func(n int) string { return "GPIO" + strconv.Itoa(10*s.chips+n) }
	s.chips++
	for _, name := range c.Nodes {
		if err := s.node(name, c); err != nil {
			return nil, fmt.Errorf("the simulated node %s: %w", name, err)
		}
	}
	if c.Chip == "sx1262" {
		s.board.AddSX1262(sim.SX1262Options{Name: c.Name, Bus: bus, Reset: pin(0), Busy: pin(1), DIO1: pin(2)})
		return sx126x.New(sx126x.Config{Name: c.Name, Bus: bus, Reset: pin(0), Busy: pin(1), IRQ: pin(2), Tuning: c.Tuning,
			AntennaGain: c.Gain, Board: s.board, Log: s.log})
	}
	s.board.AddSX1276(sim.SX1276Options{Name: c.Name, Bus: bus, Reset: pin(0), DIO0: pin(1)})
	return sx127x.New(sx127x.Config{Name: c.Name, Bus: bus, Reset: pin(0), IRQ: pin(1), Tuning: c.Tuning,
		AntennaGain: c.Gain, Board: s.board, Log: s.log})
}

// node makes the device of that name as it would be in the field: with its keys,
// on the channel and data rate that the radio hears.
func (s *simulated) node(name string, r *config.Radio) error {
	plan, err := region.Get(s.cfg.LoRaWAN.Region)
	if err != nil {
		return err
	}
	for i := range s.cfg.LoRaWAN.Devices {
		d := &s.cfg.LoRaWAN.Devices[i]
		if d.Device != name {
			continue
		}
		rate, ok := plan.DataRateOf(r.Tuning.Modulation, true)
		channel, known := plan.ChannelAt(r.Tuning.Frequency)
		if !ok || !known {
			return fmt.Errorf("%d Hz with %s is no channel of %s", r.Tuning.Frequency, r.Tuning.DataRate(), plan.Name())
		}
		n, err := node.New(node.Config{Region: plan, Seed: rand.Uint64(), JoinEUI: d.JoinEUI, DevEUI: d.DevEUI, AppKey: d.AppKey,
			RandomNonce: true, ABP: !d.Joins, DevAddr: d.DevAddr, NwkSKey: d.NwkSKey, AppSKey: d.AppSKey,
			ClassC: d.Class == "C", Tries: 2, Slack: 20 * time.Millisecond, DataRate: rate, Channels: region.SetOf(channel)})
		if err != nil {
			return err
		}
		c, err := openCodec(d.Codec, map[string]codec.Codec{}, s.log)
		if err != nil {
			return err
		}
		w := &weather{codec: c, phase: rand.Float64(), actuators: map[string]json.RawMessage{}}
		s.runners = append(s.runners, node.NewRunner(node.RunnerConfig{Node: n, Air: s.air, Name: name, SyncWord: r.Tuning.SyncWord,
			Every: r.Every, Uplink: w.uplink, Heard: w.heard, Seed: rand.Uint64(), Log: s.log}))
	}
	return nil
}

// run plays the nodes until ctx ends.
func (s *simulated) run(ctx context.Context) {
	for _, r := range s.radios { // a node that nobody hears yet would try again much later
		_ = ready(ctx, r)
	}
	var wg sync.WaitGroup
	for _, r := range s.runners {
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				s.log.Error("a simulated node ended", "error", err)
			}
		})
	}
	wg.Wait()
}

// weather is what a simulated node measures: temperature and humidity of a day
// that takes ten minutes, and what its actuators were told.
type weather struct {
	codec codec.Codec
	phase float64

	mu        sync.Mutex
	actuators map[string]json.RawMessage
}

// port is the FPort of a simulated node's uplinks.
const port = 2

func (w *weather) uplink() (int, []byte, bool) {
	day := math.Sin(2 * math.Pi * (w.phase + float64(time.Now().UnixMilli()%600000)/600000))
	values := map[string]json.RawMessage{
		"temperature_1":       json.RawMessage(strconv.FormatFloat(20+8*day, 'f', 1, 64)),
		"relative_humidity_2": json.RawMessage(strconv.FormatFloat(60-20*day, 'f', 0, 64)),
	}
	w.mu.Lock()
	for name, v := range w.actuators {
		values[name] = v
	}
	w.mu.Unlock()
	c := codec.Command{Values: values}
	if out, err := w.codec.Encode(context.Background(), &c); err == nil && len(out.Bytes) <= 51 {
		return port, out.Bytes, false
	}
	lpp, err := codec.Open("cayenne")
	if err != nil {
		return port, nil, false
	}
	out, _ := lpp.Encode(context.Background(), &c) // what it cannot say stays unsaid
	return port, out.Bytes, false
}

// heard obeys a command: what its codec reads in it is the actuators' new state.
func (w *weather) heard(d node.Downlink) {
	if d.Port == frame.NoFPort || len(d.Payload) == 0 {
		return
	}
	got, err := w.codec.Decode(context.Background(), &codec.Uplink{Bytes: d.Payload, FPort: uint8(d.Port)})
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range got.Values {
		if len(w.actuators) < 16 {
			w.actuators[v.Name] = v.Value
		}
	}
}
