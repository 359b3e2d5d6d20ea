package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/raw"
	"fieldgate/radio/sim"
	"fieldgate/radio/station"
)

const rawYAML = `
id: gw-1
devices: [{id: Field, visibility: public, actuators: [{id: pump}]}, {id: Beacon, visibility: public}]
radios: [{driver: fake, chip: CHIP, name: mast, frequency: 865.2, data_rate: SF7BW125, sync_word: private}]
lora:
  devices:
    - {device: Field, address: 8, codec: text}
    - {device: Beacon, prefix: "beef", length: 4, codec: hex}
`

// farm is a station without LoRaWAN, with a chip played by its registers, and one
// node in its reach.
type farm struct {
	t    *testing.T
	cfg  *config.Config
	node *sim.Antenna
	s    *station.Station

	mu    sync.Mutex
	heard []sim.Reception // by the node
	kept  []string
	full  bool // the disk is
	seen  []*station.Event
}

// Listening implements sim.Receiver: the node hears while it does not send.
func (f *farm) Listening() (sim.Listening, bool) {
	return sim.Listening{Tuning: f.cfg.Radios[0].Tuning}, true
}

// Hear implements sim.Receiver.
func (f *farm) Hear(r sim.Reception) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = append(f.heard, r)
}

// Device implements station.Devices.
func (f *farm) Device(id string) (*gateway.Device, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.cfg.Devices {
		if f.cfg.Devices[i].ID == id {
			d := f.cfg.Devices[i]
			return &d, true
		}
	}
	return nil, false
}

// Change implements station.Hub.
func (f *farm) Change(_ *gateway.Batch, req gateway.ChangeRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.cfg.Devices {
		if d := &f.cfg.Devices[i]; d.ID == req.Device {
			d.Sensors = append(append(append([]gateway.Sensor{}, d.Sensors...), *req.NewSensor), req.More...)
		}
	}
	return nil
}

// Submit implements station.Hub.
func (f *farm) Submit(b *gateway.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return gateway.ErrNotKept
	}
	for _, r := range b.Readings {
		f.kept = append(f.kept, r.Device+"/"+r.Channel+"="+string(r.Value))
	}
	if b.Done != nil {
		b.Done(nil)
	}
	return nil
}

func (f *farm) Observe(e *station.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, e)
}

// send has the node send a frame, and gives its end, what was kept of it, and what
// the node heard within a second.
func (f *farm) send(payload string) (end time.Time, kept string, heard []sim.Reception) {
	f.t.Helper()
	f.mu.Lock()
	f.heard, f.kept = nil, nil
	f.mu.Unlock()
	tuning := f.cfg.Radios[0].Tuning
	end = f.node.Send(sim.Emission{Payload: []byte(payload), Frequency: tuning.Frequency, Modulation: tuning.Modulation, SyncWord: tuning.SyncWord, CRC: true, Power: 14})
	time.Sleep(2 * time.Second) // of the bubble
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return end, strings.Join(f.kept, " "), f.heard
}

// TestLoRaWithoutLoRaWAN: nodes as Pham's library makes them are heard and
// acknowledged at the time at which they listen, when their readings are on disk;
// plain frames are told apart by their rules.
func TestLoRaWithoutLoRaWAN(t *testing.T) {
	for _, chip := range []string{"sx1276", "sx1262"} {
		t.Run(chip, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { playFarm(t, chip) }) })
	}
}

func playFarm(t *testing.T, chip string) {
	cfg, err := config.Parse("raw.yaml", []byte(strings.Replace(rawYAML, "CHIP", chip, 1)))
	if err != nil {
		t.Fatal(err)
	}
	f := &farm{t: t, cfg: cfg}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	radios, air, err := openRadios(cfg, nil, cfg.Radios, log)
	if err != nil {
		t.Fatal(err)
	}
	f.node = air.air.Attach("node", f)
	defer f.node.Detach()
	devices, err := loraDevices(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	network, err := cfg.NetworkServer()
	if err != nil {
		t.Fatal(err)
	}
	clock := gateway.NewSystemClock()
	network.Table, network.Log, network.Clock = &memoryTable{pairs: map[string][]byte{}}, log, clock
	network.Gate = radio.NewLedger(&memoryTable{pairs: map[string][]byte{}}, clock)
	f.s, err = station.New(station.Config{Gateway: "gw-1", Radios: radios, RawRadios: map[string]bool{"mast": true}, LoRaWAN: network,
		Raw:     raw.Config{Rules: cfg.RawRules(), Log: log, Region: network.Region, Gate: network.Gate},
		Devices: devices, Hub: f, Registry: f, Table: &memoryTable{pairs: map[string][]byte{}}, Clock: clock, Log: log, Observe: f.Observe})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := after(func() error { return f.s.Run(ctx) })
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	time.Sleep(time.Second) // of the bubble
	synctest.Wait()

	const reading = `\!TC/22.5/HU/50`
	acknowledged := func(what string, seq byte, end time.Time, heard []sim.Reception) {
		t.Helper()
		if len(heard) != 1 {
			t.Errorf("%s: the node heard %+v", what, heard)
			return
		}
		a := heard[0]
		if late := a.Start.Sub(end) - raw.AckDelay; late < -2*time.Millisecond || late > 5*time.Millisecond {
			t.Errorf("%s: acknowledged %v off its time", what, late)
		}
		if b := a.Payload; len(b) != 7 || b[0] != 8 || raw.Type(b[1]) != raw.Ack || b[2] != raw.Gateway || b[3] != seq || b[4] != 2 || int8(b[6]) < 5 {
			t.Errorf("%s: acknowledged with %x", what, b)
		}
	}
	header := func(to byte, kind raw.Type, from, seq byte) string { return string([]byte{to, byte(kind), from, seq}) }

	end, kept, heard := f.send(header(1, raw.Data|raw.AckRequest, 8, 7) + reading)
	if kept != "Field/TC=22.5 Field/HU=50" {
		t.Errorf("kept: %s", kept)
	}
	acknowledged("the first", 7, end, heard)
	end, kept, heard = f.send(header(1, raw.Data|raw.AckRequest, 8, 7) + reading) // its acknowledgement was lost
	if kept != "" {
		t.Errorf("kept twice: %s", kept)
	}
	acknowledged("once more", 7, end, heard)
	if _, kept, heard = f.send(header(1, raw.Data, 8, 8) + reading); kept == "" || len(heard) > 0 {
		t.Errorf("without being asked: kept %q, answered %+v", kept, heard)
	}

	// What is not on disk is not acknowledged, and taken when it comes again.
	f.full = true
	if _, kept, heard = f.send(header(1, raw.Data|raw.AckRequest, 8, 9) + `\!TC/23`); kept != "" || len(heard) > 0 {
		t.Errorf("with a full disk: kept %q, answered %+v", kept, heard)
	}
	f.full = false
	end, kept, heard = f.send(header(1, raw.Data|raw.AckRequest, 8, 9) + `\!TC/23`)
	if kept != "Field/TC=23" {
		t.Errorf("kept: %s", kept)
	}
	acknowledged("after the disk was full", 9, end, heard)

	// Strangers, other gateways' traffic, and plain frames.
	for what, frame := range map[string]string{"a stranger": header(1, raw.Data|raw.AckRequest, 9, 1) + reading, "another gateway's": header(2, raw.Data|raw.AckRequest, 8, 99) + reading,
		"plain, of nobody": "hello, world", "too long for the beacon": "\xbe\xef\x01\x02\x03", "an acknowledgement": header(1, raw.Ack, 8, 1) + "\x02\x00\x05"} {
		if _, kept, heard := f.send(frame); kept != "" || len(heard) > 0 {
			t.Errorf("%s: kept %q, answered %+v", what, kept, heard)
		}
	}
	if _, kept, heard = f.send("\xbe\xef\x01\x02"); !strings.HasPrefix(kept, "Beacon/") || !strings.Contains(kept, "beef0102") || len(heard) > 0 {
		t.Errorf("the beacon: kept %q, answered %+v", kept, heard)
	}

	// A command goes at once to a node that listens always.
	f.mu.Lock()
	f.heard = nil
	f.mu.Unlock()
	settled := make(chan error, 1)
	f.s.Deliver(&gateway.Batch{Readings: []gateway.Reading{{Kind: gateway.KindCommand, Device: "Field", Channel: "pump", Value: []byte("1")}}}, nil,
		func(err error) { settled <- err })
	if err := <-settled; err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.heard) != 1 || !strings.HasSuffix(string(f.heard[0].Payload), `\!pump/1`) || f.heard[0].Payload[0] != 8 || !raw.Type(f.heard[0].Payload[1]).Has(raw.Downlink) {
		t.Errorf("the pump heard %+v", f.heard)
	}
	refused := 0
	for _, e := range f.seen {
		if e.Error != "" && !e.Sent {
			refused++
		}
	}
	if refused < 4 {
		t.Errorf("%d frames are told to be refused", refused)
	}
}
