package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// The Pi Zero: ARMv6, a chip of the LM75's kind (TMP105) at 0x48 on the first bus
// of its header, no network.
const (
	piZeroConfiguration = `id: board
data: /tmp/data
listen: {mqtt: "127.0.0.1:1883", http: ""}
access: {anonymous: true}
devices:
  - id: Board
    visibility: public
    public_write: true
    sensors: [{id: temperature}]
    actuators: [{id: relay}]
sensors:
  - {driver: lm75, bus: "i2c:1", address: 0x48, device: Board, sensor: temperature, every: 1s}
actuators:
  - {driver: gpio-out, pin: GPIO21, device: Board, actuator: relay, initial: off, on_stop: off}
`
	relayTopic       = "devices/Board/actuators/relay/value"
	relayStatus      = "devices/Board/actuators/relay/status" // what was reached
	temperatureTopic = "devices/Board/sensors/temperature/value"

	// Registers of the BCM2835 (BCM2835 ARM Peripherals, section 6.1).
	gpfsel2  = 0x20200008 // what pins 20 to 29 are: three bits for each, 1 is an output
	gplev0   = 0x20200034 // levels of the pins 0 to 31
	relayPin = 21
)

func provePiZero(ctx context.Context, b *bench) {
	const limit = 2 * time.Minute
	// The board's clock counts instructions. By this machine's clock the Pi's
	// timer may be past the moment that the kernel sets it to, if this machine is
	// busy just then; it would go off after 71 minutes, when it comes round again.
	if !b.boot(ctx, "qemu-system-arm", "console=ttyAMA0,115200", "-M", "raspi0", "-icount", "shift=2",
		"-device", "tmp105,bus=i2c-bus.1,address=0x48,id=chip") {
		return
	}
	m := b.machine
	var gateway, news *call

	_ = b.check(ctx, "scan finds the chip and its driver", limit, func(ctx context.Context) error {
		printed, err := m.run(ctx, []int{0}, "scan")
		if err != nil {
			return err
		}
		for _, line := range printed {
			if strings.Contains(line, "address: 0x") && !strings.Contains(line, "0x48") {
				return fmt.Errorf("a chip that is not there: %s", line)
			}
		}
		return findConfiguration(printed, "lm75", "i2c:1", "0x48")
	}) && b.check(ctx, "read gives the temperature", limit, func(ctx context.Context) error {
		if err := m.qmp.setTemperature("chip", 19_500); err != nil {
			return err
		}
		printed, err := m.run(ctx, []int{0}, "read", "--driver", "lm75", "-o", "bus=i2c:1", "-o", "address=0x48")
		if err != nil {
			return err
		}
		return wantWords(printed, "19.5")
	}) && b.check(ctx, "read where no chip is gives an error and no reading", limit, func(ctx context.Context) error {
		printed, err := m.run(ctx, []int{1}, "read", "--driver", "lm75", "-o", "bus=i2c:1", "-o", "address=0x49")
		if err != nil {
			return err
		}
		return wantWords(printed, "lm75", "i2c:1", "0x49")
	}) && b.check(ctx, "doctor ends with findings or without", limit, func(ctx context.Context) error {
		printed, err := m.run(ctx, []int{0, 1}, "doctor")
		if err != nil {
			return err
		}
		return wantWords(printed, "i2c")
	}) && b.check(ctx, "the gateway publishes the temperature", limit, func(ctx context.Context) (err error) {
		if gateway, err = m.gateway(ctx, piZeroConfiguration); err != nil {
			return err
		}
		if news, err = m.subscribe(ctx, "devices/Board/#"); err != nil {
			return err
		}
		return news.awaitValue(ctx, temperatureTopic, "19.5")
	}) && b.check(ctx, "the published temperature follows the chip", limit, func(ctx context.Context) error {
		for _, step := range []struct {
			milli int
			want  string
		}{{42_000, "42"}, {-10_500, "-10.5"}} {
			if err := m.qmp.setTemperature("chip", step.milli); err != nil {
				return err
			}
			if err := news.awaitValue(ctx, temperatureTopic, step.want); err != nil {
				return err
			}
		}
		return nil
	}) && b.check(ctx, "the relay's line is an output and low", limit, func(ctx context.Context) error {
		functions, err := m.qtest.register(gpfsel2)
		if err != nil {
			return err
		}
		if f := functions >> (relayPin % 10 * 3) & 7; f != 1 {
			return fmt.Errorf("function %d, 1 (output) is wanted", f)
		}
		return wantLevel(m, false)
	}) && b.check(ctx, "commands move the line, and its state is published", limit, func(ctx context.Context) error {
		for _, on := range []bool{true, false, true} {
			if err := m.publish(ctx, relayTopic, fmt.Sprint(on)); err != nil {
				return err
			}
			if err := awaitLevel(ctx, m, on); err != nil {
				return err
			}
			if err := news.awaitValue(ctx, relayStatus, fmt.Sprint(on)); err != nil {
				return err
			}
		}
		return nil
	}) && b.check(ctx, "after SIGTERM the line is low", limit, func(ctx context.Context) error {
		if err := wantLevel(m, true); err != nil {
			return fmt.Errorf("before: %w", err)
		}
		if err := gateway.terminate(ctx); err != nil {
			return err
		}
		return wantLevel(m, false)
	}) && b.check(ctx, "after SIGABRT, which the watchdog sends, the line is low", limit, func(ctx context.Context) (err error) {
		if gateway, err = m.switchedOn(ctx); err != nil {
			return err
		}
		if err := gateway.end(ctx, syscall.SIGABRT); err != nil {
			return err
		}
		return wantLevel(m, false)
	}) && b.check(ctx, "after SIGKILL and release the line is low", limit, func(ctx context.Context) (err error) {
		if gateway, err = m.switchedOn(ctx); err != nil {
			return err
		}
		if err := gateway.end(ctx, syscall.SIGKILL); err != nil {
			return err
		}
		if err := wantLevel(m, true); err != nil {
			return fmt.Errorf("before: %w", err)
		}
		if _, err := m.run(ctx, []int{0}, "release", "--config", configuration); err != nil {
			return err
		}
		return wantLevel(m, false)
	})
}

// switchedOn starts the gateway and has it switch the relay on.
func (m *machine) switchedOn(ctx context.Context) (*call, error) {
	gateway, err := m.gateway(ctx, piZeroConfiguration)
	if err != nil {
		return nil, err
	}
	if err := m.publish(ctx, relayTopic, "true"); err != nil {
		return nil, err
	}
	return gateway, awaitLevel(ctx, m, true)
}

// awaitLevel looks at the relay's line until it has that level.
func awaitLevel(ctx context.Context, m *machine, high bool) error {
	for {
		err := wantLevel(m, high)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// wantLevel looks at the relay's line from outside of the board.
func wantLevel(m *machine, high bool) error {
	levels, err := m.qtest.register(gplev0)
	if err != nil {
		return err
	}
	if got := levels>>relayPin&1 == 1; got != high {
		return fmt.Errorf("the line is high: %v, %v is wanted (GPLEV0 %#08x)", got, high, levels)
	}
	return nil
}

// wantWords wants these words somewhere in what was printed.
func wantWords(printed []string, words ...string) error {
	all := strings.Join(printed, "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			return fmt.Errorf("%q is not in %q", w, all)
		}
	}
	return nil
}

// findConfiguration wants a line ready to paste that has all these words.
func findConfiguration(printed []string, words ...string) error {
	for _, line := range printed {
		missing := !strings.Contains(line, "driver:")
		for _, w := range words {
			missing = missing || !strings.Contains(line, w)
		}
		if !missing {
			return nil
		}
	}
	return fmt.Errorf("no line with %q in %q", words, printed)
}
