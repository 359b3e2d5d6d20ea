package main

import (
	"context"
	wire "encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/codec/js"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/semtech/fakeforwarder"
	"fieldgate/radio/semtech/gwmp"
	"fieldgate/radio/sim"
)

// The benchmarks of the LoRa part:
//
//	go test -run '^$' -bench 'LoRa(Many|Card|Memory)' -benchtime 1x -timeout 20m ./cmd/fieldgate
//	go test -run '^$' -bench 'LoRaToSubscriber' -benchtime 300x ./cmd/fieldgate
//	go test -run '^$' -bench 'LoRaParts' ./cmd/fieldgate
//	go test -run '^$' -bench . ./radio/...
//
// What drives them shares the CPU with what is measured.

// meadow is many devices by personalisation with keys of their own, and the frames
// that they send: a temperature and a humidity.
type meadow struct {
	up   []uint32 // the next counter of each
	data []byte
}

func newMeadow(devices int) *meadow { return &meadow{up: make([]uint32, devices)} }

// meadowChannels are the default ones of EU868.
var meadowChannels = []uint32{868_100_000, 868_300_000, 868_500_000}

var meadowRate = radio.Modulation{SF: 7, Bandwidth: 125_000, CodingRate: 5}

func meadowName(i int) string { return fmt.Sprintf("n%05d", i) }

func meadowKeys(i int) (addr frame.DevAddr, nwk, app frame.Key) {
	wire.BigEndian.PutUint32(nwk[:], uint32(i+1))
	wire.BigEndian.PutUint32(app[4:], uint32(i+1))
	return frame.DevAddr(0x26000000 + i), nwk, app
}

// yaml lists the devices. With their sensors declared nothing is created when
// they are heard first.
func (m *meadow) yaml(codec string, declared bool) string {
	var devices, nodes strings.Builder
	sensors := ""
	if declared {
		sensors = ", sensors: [{id: temperature_1}, {id: relative_humidity_2}]"
	}
	for i := range m.up {
		addr, nwk, app := meadowKeys(i)
		fmt.Fprintf(&devices, "  - {id: %s, visibility: public%s}\n", meadowName(i), sensors)
		fmt.Fprintf(&nodes, "    - {device: %s, dev_addr: \"%s\", nwk_skey: \"%x\", app_skey: \"%x\", codec: %s}\n", meadowName(i), addr, nwk[:], app[:], codec)
	}
	return "devices:\n" + devices.String() + "lorawan:\n  region: EU868\n  devices:\n" + nodes.String()
}

// meadowJS reads what cayenne reads.
const meadowJS = `
function decodeUplink(input) {
  var b = input.bytes;
  return {data: {temperature_1: (b[2] << 24 >> 16 | b[3]) / 10, relative_humidity_2: b[6] / 2}};
}
`

// next is the next uplink of device i.
func (m *meadow) next(t testing.TB, i int) radio.Frame {
	addr, nwk, app := meadowKeys(i)
	m.data = append(m.data[:0], 1, 103, byte(m.up[i]>>8), byte(m.up[i]), 2, 104, byte(i%200))
	d := frame.Data{Kind: frame.UnconfirmedUp, DevAddr: addr, ADR: true, FPort: 1, Payload: m.data}
	b, err := d.Append(nil, nwk, app, m.up[i])
	if err != nil {
		t.Fatal(err)
	}
	m.up[i]++
	return radio.Frame{Payload: b, Frequency: meadowChannels[i%len(meadowChannels)], Modulation: meadowRate, RSSI: -90, SNR: 2, CRC: radio.CRCOK}
}

// forwarders runs fake packet forwarders until the benchmark ends.
func forwarders(b *testing.B, server string, n int) []*fakeforwarder.Forwarder {
	b.Helper()
	all := make([]*fakeforwarder.Forwarder, n)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	b.Cleanup(func() { cancel(); wg.Wait() })
	for i := range all {
		eui, err := gwmp.ParseEUI(meadowEUI(i))
		if err != nil {
			b.Fatal(err)
		}
		fw, err := fakeforwarder.New(fakeforwarder.Config{Server: server, EUI: eui, Keepalive: time.Second})
		if err != nil {
			b.Fatal(err)
		}
		all[i] = fw
		wg.Go(func() { _ = fw.Run(ctx) })
		select {
		case <-fw.Pulled():
		case <-time.After(patience):
			b.Fatal("the gateway does not answer the packet forwarder")
		}
	}
	return all
}

func meadowEUI(i int) string { return fmt.Sprintf("aa555a00000001%02x", i) }

// BenchmarkLoRaToSubscriber measures from the end of a frame to the arrival of its
// value at an MQTT subscriber on loopback, one frame at a time, 50 ms apart: the
// driver, the network server, the codec, the hub and the broker between them, in one
// process. Sx1276 is from the end of the frame on the simulated air, at a simulated
// chip; gwmp from the datagram of a packet forwarder on loopback. The log's commit is
// not waited for. The network server's write is, which has the frame's counter on
// disk before the frame is handed on; with memory its tables keep nothing.
func BenchmarkLoRaToSubscriber(b *testing.B) {
	for _, way := range []string{"sx1276", "gwmp"} {
		for _, with := range []string{"cayenne", "script"} {
			for _, table := range []string{"disk", "memory"} {
				b.Run(way+"/"+with+"/"+table, func(b *testing.B) { loraToSubscriber(b, way, with, table == "memory") })
			}
		}
	}
}

func loraToSubscriber(b *testing.B, way, with string, memory bool) {
	dir := b.TempDir()
	if with == "script" {
		with = filepath.Join(dir, "meadow.js")
		if err := os.WriteFile(with, []byte(meadowJS), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	m := newMeadow(10)
	radios := "radios: [{driver: semtech, listen: '127.0.0.1:0', gateways: ['" + meadowEUI(0) + "']}]\n"
	if way == "sx1276" {
		radios = "radios: [{driver: fake, frequency: 868.1, data_rate: SF7BW125}]\n"
	}
	file := filepath.Join(dir, "fieldgate.yaml")
	yaml := "id: gw-1\ndata: " + filepath.Join(dir, "data") + "\nlisten: {mqtt: '127.0.0.1:0', http: ''}\naccess: {anonymous: true}\n" + radios + m.yaml(with, true)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		b.Fatal(err)
	}
	g, addresses := loraGateway(b, file, memory)

	arrived := make(chan time.Time, 16)
	client := dial(b, addresses["mqtt"], "bench")
	b.Cleanup(func() { client.Disconnect(100) })
	token := client.Subscribe("devices/+/sensors/temperature_1/value", 0, func(mqtt.Client, mqtt.Message) { arrived <- time.Now() })
	if !token.WaitTimeout(patience) || token.Error() != nil {
		b.Fatal(token.Error())
	}
	var send func(i int) (end time.Time)
	if way == "gwmp" {
		fw := forwarders(b, addresses["semtech"], 1)[0]
		send = func(i int) time.Time {
			f := m.next(b, i)
			at := time.Now()
			if _, err := fw.Push(b.Context(), f); err != nil {
				b.Fatal(err)
			}
			return at
		}
	} else {
		if err := ready(b.Context(), g.lora.air.radios[0]); err != nil {
			b.Fatal(err)
		}
		antenna := g.lora.air.air.Attach("bench", nil)
		send = func(i int) time.Time {
			return antenna.Send(sim.Emission{Payload: m.next(b, i).Payload, Frequency: meadowChannels[0], Modulation: meadowRate,
				SyncWord: radio.SyncPublic, CRC: true, Power: 14})
		}
	}
	n := 0
	one := func() time.Duration {
		for range 30 {
			end := send(n % len(m.up))
			n++
			select {
			case t := <-arrived:
				time.Sleep(50 * time.Millisecond) // the next one is not to find a write that has just begun
				return t.Sub(end)
			case <-time.After(time.Second): // the chip was sending, and heard nothing
			}
		}
		b.Fatalf("no value of a frame: %+v %v", g.lora.Status(), g.lora.Stats())
		return 0
	}
	for range 5 {
		one()
	}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		took = append(took, one())
	}
	quantiles(b, took, "")
	b.ReportMetric(0, "ns/op")
}

// quantiles reports times; there must be one.
func quantiles(b *testing.B, took []time.Duration, prefix string) {
	slices.Sort(took)
	for _, q := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*q/100].Microseconds()), fmt.Sprintf("%sp%d-µs", prefix, q))
	}
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), prefix+"max-µs")
}

// loraGateway runs a gateway in this process. With memory, the tables of its LoRa
// part keep nothing.
func loraGateway(b *testing.B, file string, memory bool) (g *gatewayd, addresses map[string]string) {
	b.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		b.Fatal(err)
	}
	if g, err = newGateway(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), gateway.NewSystemClock()); err != nil {
		b.Fatal(err)
	}
	if memory { // once more, on other tables
		if err := g.airtime.Close(); err != nil {
			b.Fatal(err)
		}
		g.state, g.semtech = append([]*stateFile{{log: g.log}}, g.state...), nil
		if err := g.openLoRa(); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan []string, 1), make(chan error, 1)
	go func() { done <- g.run(ctx, func(a []string) { ready <- a }) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	addresses = map[string]string{}
	for _, a := range <-ready {
		name, at, _ := strings.Cut(a, "=")
		addresses[name] = at
	}
	return g, addresses
}

// BenchmarkLoRaMemory is the heap of a gateway with 10,000 devices (1,000 with
// -short), in bytes for each: of the configuration as it was read; of the whole
// gateway that is made of it; after each device was heard once, and three times, with
// two values a frame. The network server's own part is measured by TestMemory of
// radio/lorawan.
func BenchmarkLoRaMemory(b *testing.B) {
	devices := meadowSize()
	m := newMeadow(devices)
	dir := b.TempDir()
	file := filepath.Join(dir, "fieldgate.yaml")
	yaml := "id: gw-1\ndata: " + filepath.Join(dir, "data") + "\nlisten: {mqtt: '127.0.0.1:0', http: ''}\naccess: {anonymous: true}\n" +
		"radios: [{driver: semtech, listen: '127.0.0.1:0', gateways: ['" + meadowEUI(0) + "']}]\n" + m.yaml("cayenne", true)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		b.Fatal(err)
	}
	yaml = ""
	for b.Loop() { // once is enough
	}
	before := heap()
	report := func(what string) {
		b.ReportMetric(float64(heap()-before)/float64(devices), what+"-B/device")
	}
	cfg, err := config.Load(file)
	if err != nil {
		b.Fatal(err)
	}
	report("configuration")
	runtime.KeepAlive(cfg)
	cfg = nil
	g, addresses := loraGateway(b, file, false)
	report("gateway")
	fw := forwarders(b, addresses["semtech"], 1)[0]
	for round := range 3 {
		for i := range devices {
			if _, err := fw.Push(b.Context(), m.next(b, i)); err != nil {
				b.Fatal(err)
			}
			for g.hub.Stats().Readings+512 < 2*uint64(round*devices+i) {
				time.Sleep(time.Millisecond)
			}
		}
		for g.hub.Stats().Readings < 2*uint64((round+1)*devices) {
			time.Sleep(time.Millisecond)
		}
		if round != 1 {
			time.Sleep(5 * time.Second) // windows pass, states are published
			report([]string{"heard", "", "heard-thrice"}[round])
		}
	}
	if path := os.Getenv("LORA_HEAP_PROFILE"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if err := pprof.WriteHeapProfile(f); err != nil {
			b.Fatal(err)
		}
	}
	runtime.KeepAlive(g)
	b.ReportMetric(0, "ns/op")
}

func meadowSize() int {
	if testing.Short() {
		return 1_000
	}
	return 10_000
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkLoRaParts has what is called for each frame and is no benchmark of its own
// package: the time on air, the ledger of duty cycles, and decoding by each codec.
func BenchmarkLoRaParts(b *testing.B) {
	b.Run("airtime", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			radio.Airtime(meadowRate, 23, radio.AirtimeOptions{})
		}
	})
	script, err := js.New("meadow.js", meadowJS, js.Options{})
	if err != nil {
		b.Fatal(err)
	}
	lpp := []byte{1, 103, 0, 235, 2, 104, 80}
	for name, payload := range map[string][]byte{"cayenne": lpp, "xlpp": lpp, "script": lpp, "hex": lpp, "text": []byte(`\!TC/23.5/HU/40`),
		"json": []byte(`{"temperature":23.5,"humidity":40}`), "cbor": []byte("\xa2\x61t\x18\x17\x61h\x18\x28")} {
		b.Run("decode/"+name, func(b *testing.B) {
			c := codec.Codec(script)
			if name != "script" {
				if c, err = codec.Open(name); err != nil {
					b.Fatal(err)
				}
			}
			u := &codec.Uplink{Bytes: payload, FPort: 1, Received: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := c.Decode(b.Context(), u); err != nil || len(got.Values) == 0 {
					b.Fatal(got, err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decodes/s")
		})
	}
}
