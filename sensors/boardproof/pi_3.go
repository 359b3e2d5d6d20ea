package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"fieldgate/sensors/boardproof/console"
)

// The Raspberry Pi 3 (ARMv8), the kernel of Raspberry Pi's own tree, the chip as
// on the Pi Zero, and a network card on its USB.
const pi3Configuration = `id: board
data: /tmp/data
listen: {mqtt: "0.0.0.0:1883", http: ""}
access: {anonymous: true}
devices:
  - id: Board
    visibility: public
    sensors: [{id: temperature}]
sensors:
  - {driver: lm75, bus: "i2c:1", address: 0x48, device: Board, sensor: temperature, every: 1s}
`

func provePi3(ctx context.Context, b *bench) {
	const limit = 2 * time.Minute
	if !b.boot(ctx, "qemu-system-aarch64", "console=ttyAMA1,115200", "-M", "raspi3b",
		"-device", "tmp105,bus=i2c-bus.1,address=0x48,id=chip",
		"-usb", "-device", "usb-net,netdev=lan", "-netdev", "user,id=lan,hostfwd=tcp:127.0.0.1:0-:1883") {
		return
	}
	m := b.machine
	var gateway *call
	var client *subscriber

	_ = b.check(ctx, "the network card comes up", limit, func(ctx context.Context) error {
		c, err := m.ask(console.Request{Do: console.Address, Text: "10.0.2.15/24"}) // QEMU's usual network
		if err != nil {
			return err
		}
		return c.done(ctx)
	}) && b.check(ctx, "the gateway is ready", limit, func(ctx context.Context) (err error) {
		if err := m.qmp.setTemperature("chip", 21_000); err != nil {
			return err
		}
		gateway, err = m.gateway(ctx, pi3Configuration)
		return err
	}) && b.check(ctx, "a client on the network sees the temperature", limit, func(ctx context.Context) error {
		table, err := m.qmp.human("info usernet")
		if err != nil {
			return err
		}
		port, err := parseForward(table, "1883")
		if err != nil {
			return err
		}
		if client, err = listenTo(port, temperatureTopic, m.note); err != nil {
			return err
		}
		return client.awaitValue(ctx, "21")
	}) && b.check(ctx, "and follows the chip", limit, func(ctx context.Context) error {
		for _, step := range []struct {
			milli int
			want  string
		}{{42_000, "42"}, {-10_500, "-10.5"}} {
			if err := m.qmp.setTemperature("chip", step.milli); err != nil {
				return err
			}
			if err := client.awaitValue(ctx, step.want); err != nil {
				return err
			}
		}
		return nil
	}) && b.check(ctx, "SIGTERM ends it", limit, func(ctx context.Context) error {
		return gateway.terminate(ctx)
	})
	if client != nil {
		client.stop()
	}
}

// forward is a line of QEMU's "info usernet":
//
//	TCP[HOST_FORWARD]  14       127.0.0.1 41234       10.0.2.15  1883     0     0
var forward = regexp.MustCompile(`(?m)^\s*TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)\s`)

// parseForward gives the port of this machine that leads to one of the board's.
func parseForward(table, port string) (string, error) {
	for _, m := range forward.FindAllStringSubmatch(table, -1) {
		if m[2] == port && m[1] != "0" {
			return m[1], nil
		}
	}
	return "", fmt.Errorf("no port leads to the board's %s: %q", port, table)
}

// subscriber is a mosquitto_sub.
type subscriber struct {
	cmd   *exec.Cmd
	lines chan string // closed at its end
}

// listenTo subscribes at a broker of this machine; complaints go to note.
func listenTo(port, topic string, note func(string)) (*subscriber, error) {
	s := &subscriber{lines: make(chan string, 100)}
	s.cmd = exec.Command("stdbuf", "-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-t", topic, "-q", "1")
	s.cmd.Stderr = &writer{note}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("mosquitto_sub: %w", err)
	}
	go func() {
		defer close(s.lines)
		in := bufio.NewScanner(out)
		for in.Scan() {
			s.lines <- in.Text()
		}
	}()
	return s, nil
}

func (s *subscriber) awaitValue(ctx context.Context, want string) error {
	last := "nothing"
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return fmt.Errorf("mosquitto_sub: %w; last: %s", io.EOF, last)
			}
			if hasValue(line, want) {
				return nil
			}
			last = strings.TrimSpace(line)
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %s", context.Cause(ctx), last)
		}
	}
}

// stop ends mosquitto_sub and waits for it.
func (s *subscriber) stop() {
	s.cmd.Process.Kill()
	for range s.lines {
	}
	s.cmd.Wait()
}
