package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"fieldgate/sensors/boardproof/console"
)

// The SabreLite (i.MX6, ARMv7): QEMU's model of its GPIO bank has inputs with
// interrupts, which those of the Pi lack.
const (
	sabreLiteConfiguration = `id: board
data: /tmp/data
listen: {mqtt: "127.0.0.1:1883", http: ""}
access: {anonymous: true}
devices:
  - id: Board
    visibility: public
    sensors: [{id: pulses-total}, {id: pulses-rate}, {id: door}]
sensors:
  - {driver: gpio-counter, pin: "gpiochip0:7", device: Board, sensor: pulses, every: 1s}
  - {driver: gpio-in, pin: "gpiochip0:8", device: Board, sensor: door, every: 1h}
`
	pulsesTopic = "devices/Board/sensors/pulses-total/value"
	doorTopic   = "devices/Board/sensors/door/value"

	// The first GPIO bank (i.MX 6Dual/6Quad reference manual, section 28.5).
	gpio1     = "/machine/soc/gpio1" // in QEMU
	gpio1ISR  = 0x0209c018           // a bit is 1 from a line's edge until the kernel has seen it
	pulsesPin = 7
	doorPin   = 8
)

func proveSabreLite(ctx context.Context, b *bench) {
	const limit = 2 * time.Minute
	// The kernel's console is the second serial port.
	if !b.boot(ctx, "qemu-system-arm", "console=ttymxc1,115200", "-M", "sabrelite", "-m", "1G", "-serial", "null") {
		return
	}
	m := b.machine
	var gateway, news *call
	const slow, fast = 40, 2000

	_ = b.check(ctx, "the gateway counts from zero", limit, func(ctx context.Context) (err error) {
		if gateway, err = m.gateway(ctx, sabreLiteConfiguration); err != nil {
			return err
		}
		if news, err = m.subscribe(ctx, "devices/Board/#"); err != nil {
			return err
		}
		return news.awaitTotal(ctx, pulsesTopic, 0)
	}) && b.check(ctx, fmt.Sprintf("%d pulses are counted", slow), limit, func(ctx context.Context) error {
		if err := m.pulses(ctx, slow); err != nil {
			return err
		}
		return news.awaitTotal(ctx, pulsesTopic, slow)
	}) && b.check(ctx, fmt.Sprintf("%d more, as fast as the kernel handles them, are counted", fast), limit, func(ctx context.Context) error {
		if err := m.pulses(ctx, fast); err != nil {
			return err
		}
		return news.awaitTotal(ctx, pulsesTopic, slow+fast)
	}) && b.check(ctx, "an input is published on change", limit, func(ctx context.Context) error {
		for _, high := range []bool{true, false, true} {
			if err := m.qtest.drive(gpio1, doorPin, high); err != nil {
				return err
			}
			if err := news.awaitValue(ctx, doorTopic, strconv.FormatBool(high)); err != nil {
				return err
			}
		}
		return nil
	}) && b.check(ctx, "the total goes on after a restart", limit, func(ctx context.Context) (err error) {
		if err := gateway.terminate(ctx); err != nil {
			return err
		}
		if gateway, err = m.gateway(ctx, sabreLiteConfiguration); err != nil {
			return err
		}
		if news, err = m.subscribe(ctx, "devices/Board/#"); err != nil {
			return err
		}
		// A pulse before the sensor is open again would be lost.
		if err := news.awaitTotal(ctx, pulsesTopic, slow+fast); err != nil {
			return err
		}
		if err := m.pulses(ctx, 1); err != nil {
			return err
		}
		return news.awaitTotal(ctx, pulsesTopic, slow+fast+1)
	}) && b.check(ctx, "SIGTERM ends it", limit, func(ctx context.Context) error {
		return gateway.terminate(ctx)
	})
}

// pulses drives so many pulses. After each edge it waits until the kernel has
// seen it: what is lost afterwards was lost by the gateway.
func (m *machine) pulses(ctx context.Context, n int) error {
	for range n {
		for _, high := range []bool{true, false} {
			if err := m.qtest.drive(gpio1, pulsesPin, high); err != nil {
				return err
			}
			for handled := false; !handled; {
				status, err := m.qtest.register(gpio1ISR)
				if err != nil {
					return err
				}
				if ctx.Err() != nil {
					return fmt.Errorf("the kernel does not handle an edge: %w", context.Cause(ctx))
				}
				handled = status>>pulsesPin&1 == 0
			}
		}
	}
	return nil
}

// awaitTotal waits for exactly that count, published now and not retained. One
// above it is wrong at once.
func (c *call) awaitTotal(ctx context.Context, topic string, want int) error {
	last := -1
	_, err := c.await(ctx, func(e console.Event) bool {
		if e.Is == console.Message && e.Topic == topic && !e.Retained {
			if text, err := parseValue(e.Text); err == nil {
				if n, err := strconv.Atoi(text); err == nil {
					last = n
				}
			}
		}
		return last >= want
	})
	if err != nil || last != want {
		return fmt.Errorf("%d pulses counted, %d were there (%v)", last, want, err)
	}
	return nil
}
