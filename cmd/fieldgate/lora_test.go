package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/gateway/web"
	"fieldgate/radio"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/station"
)

// TestNewsOfNodes: another state is told at once, counters now and then.
func TestNewsOfNodes(t *testing.T) {
	now := time.Now()
	joined := lorawan.DeviceStatus{Device: "D", Joined: true, FCntUp: 1, Seen: now, Battery: 255}
	with := func(change func(*lorawan.DeviceStatus)) lorawan.DeviceStatus {
		s := joined
		change(&s)
		return s
	}
	for _, c := range []struct {
		name string
		last saidOfNode
		news lorawan.DeviceStatus
		want bool
	}{
		{"the first", saidOfNode{}, joined, true},
		{"the same", saidOfNode{joined, now.Add(-time.Hour)}, joined, false},
		{"one more frame", saidOfNode{joined, now.Add(-time.Second)}, with(func(s *lorawan.DeviceStatus) { s.FCntUp++ }), false},
		{"one more frame after a while", saidOfNode{joined, now.Add(-nodeEvery)}, with(func(s *lorawan.DeviceStatus) { s.FCntUp++ }), true},
		{"a command", saidOfNode{joined, now}, with(func(s *lorawan.DeviceStatus) { s.Queued++ }), true},
		{"its battery", saidOfNode{joined, now}, with(func(s *lorawan.DeviceStatus) { s.Battery = 200 }), true},
		{"heard first", saidOfNode{with(func(s *lorawan.DeviceStatus) { s.Seen = time.Time{} }), now}, joined, true},
		{"a new session", saidOfNode{joined, now}, with(func(s *lorawan.DeviceStatus) { s.DevAddr = 5 }), true},
		{"damaged", saidOfNode{joined, now}, with(func(s *lorawan.DeviceStatus) { s.Broken = true }), true},
	} {
		if got := c.last.news(&c.news, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestTransmission(t *testing.T) {
	got, err := transmission(web.RadioSend{Radio: "mast", Frequency: 868.1, DataRate: "SF9BW125", Power: -3, InvertIQ: true, Payload: "0aFF"})
	if err != nil || got.Radio != "mast" || got.Frequency != 868_100_000 || got.SF != 9 || got.Bandwidth != 125000 || got.CodingRate != 5 ||
		got.Power != -3 || !got.InvertIQ || got.CRC || !got.Immediately || string(got.Payload) != "\x0a\xff" {
		t.Errorf("%+v %v", got, err)
	}
	for name, f := range map[string]web.RadioSend{
		"empty":     {DataRate: "SF7BW125"},
		"no hex":    {DataRate: "SF7BW125", Payload: "0"},
		"too long":  {DataRate: "SF7BW125", Payload: strings.Repeat("00", radio.MaxPayload+1)},
		"rate":      {DataRate: "SF4BW125", Payload: "00"},
		"frequency": {DataRate: "SF7BW125", Payload: "00", Frequency: 868100000},
		"negative":  {DataRate: "SF7BW125", Payload: "00", Frequency: -1},
	} {
		if _, err := transmission(f); !errors.Is(err, web.ErrBadSend) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEventLine(t *testing.T) {
	snr, power, fcnt, port := float32(-7.25), int8(14), uint32(3), uint8(2)
	at := time.Date(2026, 3, 4, 5, 6, 7, 8_000_000, time.Local)
	for _, c := range []struct {
		e    station.Event
		want string
	}{
		{station.Event{Time: &at, Radio: "mast", Frequency: 868.1, DataRate: "SF7BW125", RSSI: -101.4, SNR: &snr, Size: 15, Payload: "40", Kind: "unconfirmed uplink",
			Device: "Well", FCnt: &fcnt, FPort: &port, Values: []byte(`{"a":1}`)},
			`05:06:07.008 rx mast 868.100 SF7BW125 -101 dBm -7.2 dB 15 bytes, unconfirmed uplink of Well no. 3 port 2: {"a":1}`},
		{station.Event{Radio: "mast", Frequency: 868.1, DataRate: "SF7BW125", RSSI: -90, Size: 1, Payload: "ff", Error: "malformed"},
			`--:--:--.--- rx mast 868.100 SF7BW125 -90 dBm 1 bytes: ff (malformed)`},
		{station.Event{Sent: true, Radio: "mast", Frequency: 869.525, DataRate: "SF12BW125", Power: &power, Size: 2, Payload: "6001", Kind: "join accept", Device: "Well"},
			`--:--:--.--- tx mast 869.525 SF12BW125 14 dBm 2 bytes, join accept of Well`},
	} {
		if got := eventLine(&c.e); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

func TestChipPower(t *testing.T) {
	for _, c := range []struct {
		radio config.Radio
		most  int8
		gain  float64
	}{
		{config.Radio{Power: 14}, 14, 0},
		{config.Radio{Power: 14, Gain: 2.1}, 14, 2.1},
		{config.Radio{Power: 27, MaxPower: 22}, 22, 0},
		{config.Radio{Power: 27, MaxPower: 2, Amplifier: 25, Gain: 3}, 2, 28},
		{config.Radio{Power: 20, MaxPower: 8, Amplifier: 25}, -5, 25},
	} {
		if most, gain := c.radio.ChipPower(); most != c.most || gain != c.gain {
			t.Errorf("%+v: %d dBm, %g dB", c.radio, most, gain)
		}
	}
}

// TestLoRaDevices: devices with the same script share it, and what they have not
// takes no memory.
func TestLoRaDevices(t *testing.T) {
	five := 5
	s := config.LoRaSettings{Codec: config.Codec{Name: "x.js", Source: "function Decoder(b) { return {} }", Script: true, Mute: true}, Create: true, Port: 7, Priority: 2}
	plain := config.LoRaSettings{Codec: config.Codec{Name: "cayenne"}, Port: 1, Confirmed: true, Expires: time.Hour,
		Sensors: []config.Mapping{{From: "a", ID: "b"}}, Actuators: []config.Mapping{{From: "c", ID: "d", Priority: &five}}}
	got, err := loraDevices(&config.Config{
		LoRaWAN: config.LoRaWAN{Devices: []config.LoRaDevice{{Device: "A", LoRaSettings: s}, {Device: "B", LoRaSettings: plain}}},
		LoRa:    []config.RawDevice{{Device: "C", LoRaSettings: s, AfterUplink: true}},
	}, slog.New(slog.DiscardHandler))
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	a, b, c := got[0], got[1], got[2]
	if a.Codec != c.Codec || !a.Script || !a.Mute || !a.Create || a.Port != 7 || a.Priority != 2 || a.Raw || a.Sensors != nil || a.Actuators != nil || a.Priorities != nil {
		t.Errorf("%+v", a)
	}
	if b.Script || b.Sensors["a"] != "b" || b.Actuators["c"] != "d" || b.Priorities["d"] != 5 || !b.Confirmed || b.Expires != time.Hour {
		t.Errorf("%+v", b)
	}
	if !c.Raw || !c.AfterUplink {
		t.Errorf("%+v", c)
	}
	if _, err := loraDevices(&config.Config{LoRa: []config.RawDevice{{LoRaSettings: config.LoRaSettings{Codec: config.Codec{Name: "none"}}}}}, nil); err == nil {
		t.Error("a codec that is not there")
	}
}

// lineBoard notes what happens to lines.
type lineBoard struct {
	radio.Board
	mu   sync.Mutex
	did  []string
	fail string
}

func (b *lineBoard) note(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.did = append(b.did, what)
}

// take gives what happened since the last call; from now on a line fails.
func (b *lineBoard) take(fail string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	did := b.did
	b.did, b.fail = nil, fail
	return did
}

func (b *lineBoard) Output(pin string, high bool) (radio.Output, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if pin == b.fail {
		return nil, errors.New("busy")
	}
	b.did = append(b.did, "take "+pin)
	return &lineOutput{b, pin}, nil
}

type lineOutput struct {
	b   *lineBoard
	pin string
}

func (o *lineOutput) Set(bool) error { o.b.note("low " + o.pin); return nil }
func (o *lineOutput) Close() error   { o.b.note("close " + o.pin); return nil }

type idleRadio struct{ radio.Radio }

func (idleRadio) Run(ctx context.Context, _ func(*radio.Frame)) error { return nil }

func (idleRadio) Status() []radio.Status { return []radio.Status{{Radio: "mast", State: radio.OK}} }

// TestPowered: a board's lines are high while its radio runs, and let go whatever
// happens. A line that is busy is tried again.
func TestPowered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &lineBoard{}
		p := &powered{Radio: idleRadio{}, board: b, lines: []string{"GPIO1", "GPIO2"}}
		if err := p.Run(t.Context(), nil); err != nil {
			t.Error(err)
		}
		want := []string{"take GPIO1", "take GPIO2", "low GPIO2", "close GPIO2", "low GPIO1", "close GPIO1"}
		if got := b.take("GPIO2"); !slices.Equal(got, want) {
			t.Error(got)
		}
		done := make(chan error, 1)
		go func() { done <- p.Run(t.Context(), nil) }()
		synctest.Wait()
		if got := b.take(""); !slices.Equal(got, []string{"take GPIO1", "low GPIO1", "close GPIO1"}) {
			t.Error(got)
		}
		if st := p.Status()[0]; st.State != radio.Failing || !strings.Contains(st.Err.Error(), "GPIO2") || st.Since.IsZero() {
			t.Errorf("%+v", st)
		}
		time.Sleep(linesAgain)
		err := <-done
		if got := b.take("GPIO1"); err != nil || !slices.Equal(got, want) {
			t.Error(err, got)
		}
		if st := p.Status()[0]; st.State != radio.OK {
			t.Errorf("%+v", st)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Run(ctx, nil); err != nil {
			t.Error(err)
		}
	})
}

// TestReloadOfLoRa: what has changed and is not in force is told, and nothing else.
func TestReloadOfLoRa(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "fieldgate.yaml")
	write := func(more, device string) *config.Config {
		t.Helper()
		text := "id: gw\ndata: " + filepath.Join(dir, "data") + "\nlisten: {mqtt: \"\", http: \"\"}\n" + more +
			"radios: [{driver: semtech, listen: \"127.0.0.1:0\", gateways: [\"aa555a0000000101\"]}]\nlorawan:\n  region: EU868\n  devices:\n" +
			"    - {device: D, dev_eui: \"70b3d57ed0000001\", join_eui: \"0000000000000000\", app_key: \"000102030405060708090a0b0c0d0e0f\"" + device + "}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	g, err := newGateway(write("", ""), slog.New(slog.DiscardHandler), gateway.NewSystemClock())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.closeFiles(); err != nil {
			t.Error(err)
		}
	}()
	const says = "radios or LoRa devices have changed"
	for _, c := range []struct {
		more, device string
		want         bool
	}{{"", "", false}, {"devices: [{id: Other}]\n", "", false}, {"", ", class: C", true}, {"", ", codec: xlpp", true}, {"", "", false}} {
		out.Reset()
		write(c.more, c.device)
		runCmd{Config: file}.reload(g, log)
		if got := strings.Contains(out.String(), says); got != c.want || strings.Contains(out.String(), "0c0d0e0f") {
			t.Errorf("%q %q: %s", c.more, c.device, out.String())
		}
	}
}
