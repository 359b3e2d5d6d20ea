package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/cmd/fieldgate/config"
	"fieldgate/gateway"
	"fieldgate/sensors/sim"
)

// BenchmarkEdgeToSubscriber measures from an edge on a simulated line to the
// arrival of its reading at an MQTT subscriber on loopback, the driver, the
// poller, the hub and the broker between them. The commit is not waited for: a
// sensor's reading is handed on at once.
func BenchmarkEdgeToSubscriber(b *testing.B) {
	yaml := `
id: gw-1
data: ` + b.TempDir() + `
listen: {mqtt: "127.0.0.1:0", http: ""}
access: {anonymous: true}
devices: [{id: Box, visibility: public}]
sensors: [{driver: gpio-in, pin: "sim:20", device: Box, sensor: contact, every: 1h}]
`
	cfg, err := config.Parse("bench", []byte(yaml))
	if err != nil {
		b.Fatal(err)
	}
	g, err := newGateway(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), gateway.NewSystemClock())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- g.run(ctx, func(addresses []string) { ready <- strings.TrimPrefix(addresses[0], "mqtt=") })
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	arrived := make(chan time.Time, 16)
	client := dial(b, <-ready, "bench")
	defer client.Disconnect(100)
	token := client.Subscribe("devices/Box/sensors/contact/value", 0, func(mqtt.Client, mqtt.Message) { arrived <- time.Now() })
	if !token.WaitTimeout(patience) || token.Error() != nil {
		b.Fatal(token.Error())
	}
	bank := g.board.(*sim.Board)
	level := false
	edge := func() time.Duration {
		level = !level
		at := time.Now()
		bank.Drive(20, level)
		select {
		case t := <-arrived:
			return t.Sub(at)
		case <-time.After(patience):
			b.Fatal("no reading of an edge")
			return 0
		}
	}
	// The first reading comes from the start, not from an edge.
	open := make(chan struct{}, 16)
	token = client.Subscribe("devices/Box/sensors/contact/status", 0, func(_ mqtt.Client, m mqtt.Message) {
		if strings.Contains(string(m.Payload()), `"state":"ok"`) {
			open <- struct{}{}
		}
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		b.Fatal(token.Error())
	}
	select {
	case <-open:
	case <-time.After(patience):
		b.Fatal("the line is not open")
	}
	edge()
	for len(arrived) > 0 {
		<-arrived
	}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		took = append(took, edge())
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
}

// BenchmarkAttachedSensors runs the real gateway with 200 fake sensors at one
// second, each reading through hub, log and broker, and tells what of one core
// the process takes. Each iteration is ten seconds.
func BenchmarkAttachedSensors(b *testing.B) {
	var yaml strings.Builder
	yaml.WriteString("id: gw-1\ndata: DATA\nlisten: {mqtt: '127.0.0.1:0', http: ''}\ndevices: [{id: D}]\nsensors:\n")
	for i := range 200 {
		fmt.Fprintf(&yaml, "  - {driver: fake, device: D, sensor: s%d, every: 1s}\n", i)
	}
	g := startGateway(b, b.TempDir(), yaml.String())
	cpu, n := processTime(b, g), 0
	begin := time.Now()
	for b.Loop() {
		time.Sleep(10 * time.Second)
		n++
	}
	spent := processTime(b, g) - cpu
	b.ReportMetric(100*spent.Seconds()/time.Since(begin).Seconds(), "%-of-a-core")
	b.ReportMetric(spent.Seconds()*10_000/float64(2000*n), "cpu-s/10k-readings")
}

// processTime is the user and system time of the gateway's process, proc(5).
func processTime(b *testing.B, g *gatewayProcess) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}
