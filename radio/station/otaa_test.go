package station

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
	"fieldgate/radio/sim"
	"fieldgate/radio/sx127x"
)

const pumpScript = `
function decodeUplink(input) {
  var b = input.bytes;
  return {data: {level: (b[0] << 8 | b[1]) / 100, port: input.fPort}};
}
function encodeDownlink(input) { return {bytes: [0xA0, input.data.valve ? 1 : 0], fPort: 10}; }
`

// TestJoinAndCommandThroughAChip: a device joins through the registers of an SX1276,
// its uplink is decoded by a script, and a command reaches it in RX1. On the
// bubble's clock each downlink begins at its time to the microsecond.
func TestJoinAndCommandThroughAChip(t *testing.T) {
	bubble(t, func(t *testing.T) {
		air := sim.NewAir(sim.AirOptions{})
		board := sim.NewBoard(air)
		board.AddSX1276(sim.SX1276Options{Name: "gw", Bus: "spi:0.0", Reset: "GPIO17", DIO0: "GPIO4", NoRFO: true})
		tuning := radio.Tuning{Frequency: 868_100_000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}, SyncWord: radio.SyncPublic}
		d := Device{Name: "Joins", Script: true, Codec: script(t, pumpScript), Create: true, Port: 1}
		r := newRig(t, func(r *rig) {
			chip, err := sx127x.New(sx127x.Config{Name: "gw", Bus: "spi:0.0", Reset: "GPIO17", IRQ: "GPIO4", Tuning: tuning, Board: board, Log: r.cfg.Log})
			if err != nil {
				t.Fatal(err)
			}
			r.cfg.Radios = []radio.Radio{chip}
			r.cfg.LoRaWAN.Devices[0].Settings = &lorawan.Settings{Single: &lorawan.Single{Frequency: tuning.Frequency, DataRate: 5}}
			r.hub.devices["Joins"].Actuators = []gateway.Actuator{{ID: "valve"}}
		}, d)
		n, err := node.New(node.Config{DevEUI: devEUI, AppKey: appKey, DataRate: 5, Channels: region.SetOf(0), Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var heard []node.Downlink
		runner := node.NewRunner(node.RunnerConfig{Node: n, Air: air, Name: "node", Heard: func(d node.Downlink) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, d)
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- runner.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		time.Sleep(10 * time.Second)
		if st := r.station.LoRaWAN()[0]; !st.Joined && !n.State().Joined {
			t.Fatalf("%+v %s", st, r.log.String())
		}
		if _, err := runner.Send(ctx, 2, []byte{0x09, 0xc4}, false); err != nil {
			t.Fatal(err)
		}
		want(t, "readings", r.hub.take(), "Joins/level=25", "Joins/port=2")
		if !r.command("Joins", "valve", "true").is(nil) {
			t.Error("not settled")
		}
		if _, err := runner.Send(ctx, 2, []byte{0x09, 0xc5}, false); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		last := heard[len(heard)-1]
		mu.Unlock()
		if last.Window != 1 || last.Port != 10 || !bytes.Equal(last.Payload, []byte{0xa0, 1}) {
			t.Errorf("the node heard %+v", last)
		}
		want(t, "readings", r.hub.take(), "Joins/level=25.01", "Joins/port=2", "Joins/valve=true")
		want(t, "states", r.published(), "Joins/valve queued true", "Joins/valve sent true")

		var up time.Time // the end of the last uplink
		var join bool
		downs := 0
		for _, e := range air.Emissions() {
			kind, err := frame.KindOf(e.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if e.From == "node" {
				up, join = e.Start.Add(e.Airtime()), kind == frame.JoinRequest
				continue
			}
			due := region.RxDelay
			if join {
				due = region.JoinDelay1
			}
			if late := e.Start.Sub(up) - due; late < -time.Microsecond || late > time.Microsecond {
				t.Errorf("%s begins %v after its time", kind, late)
			}
			if !e.InvertIQ || e.CRC || max(e.Frequency, tuning.Frequency)-min(e.Frequency, tuning.Frequency) > 61 || e.Modulation.SF != 7 {
				t.Errorf("%+v", e.Emission)
			}
			downs++
		}
		if downs < 2 {
			t.Errorf("%d downlinks", downs)
		}
	})
}

// TestEar: what a configuration alone explains of frames.
func TestEar(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, old(), well(), Device{Name: "Joins", Codec: builtin("cayenne")})
		ear, err := NewEar(r.cfg.Devices, r.cfg.LoRaWAN.Devices, r.cfg.Raw.Rules)
		if err != nil {
			t.Fatal(err)
		}
		hear := func(f *radio.Frame) Event {
			f.CRC, f.Frequency = radio.CRCOK, 868_100_000
			e := ear.Hear(f)
			return Event{Kind: e.Kind, Device: e.Device, Values: e.Values, Error: e.Error}
		}
		same := func(what string, got, want Event) {
			t.Helper()
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(want)
			if string(a) != string(b) {
				t.Errorf("%s: %s, want %s", what, a, b)
			}
		}
		n := r.node(1)
		u := must(n.Uplink(2, []byte{3, 103, 0, 235}, false))
		same("a session", hear(&radio.Frame{Payload: u.Frame}), Event{Kind: "unconfirmed uplink", Device: "Well", Values: json.RawMessage(`{"temperature_3":23.5}`)})
		u = must(n.Uplink(0, nil, false))
		same("commands only", hear(&radio.Frame{Payload: u.Frame}), Event{Kind: "unconfirmed uplink", Device: "Well"})
		u.Frame = bytes.Clone(u.Frame)
		u.Frame[len(u.Frame)-1] ^= 1
		same("another's", hear(&radio.Frame{Payload: u.Frame}), Event{Kind: "unconfirmed uplink", Device: "DevAddr 26011bdb"})
		same("raw", hear(frameOf(0, 1, `\!TC/2`)), Event{Kind: "raw", Device: "Old", Values: json.RawMessage(`{"TC":2}`)})
		f := frameOf(0, 2, `\!TC/3`)
		f.Private = false
		same("raw with LoRaWAN's sync word", hear(f), Event{Kind: "raw", Device: "Old", Values: json.RawMessage(`{"TC":3}`)})
		same("join", hear(&radio.Frame{Payload: frame.Join{DevEUI: devEUI}.Append(nil, appKey)}), Event{Kind: "join request", Device: "DevEUI 70b3d57ed0000001"})
		same("strange", hear(&radio.Frame{Payload: []byte{1}, Private: true}), Event{Kind: "raw", Error: "no_rule"})
	})
}

// TestAnnounceWhileStatesChange: the last that is said of an actuator is its state.
func TestAnnounceWhileStatesChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, nil, well())
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(r.station.Announce)
			wg.Go(func() { r.command("Well", "relay", "1") })
		}
		wg.Wait()
		synctest.Wait()
		r.uplink(r.node(0), 1, nil, false)
		if got := r.published(); got[len(got)-1] != "Well/relay sent 1" {
			t.Error(got[len(got)-1])
		}
	})
}
