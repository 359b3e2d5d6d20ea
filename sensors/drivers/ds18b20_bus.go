package drivers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"periph.io/x/conn/v3/onewire"
	"periph.io/x/devices/v3/ds248x"

	"fieldgate/sensors"
)

// ds18b20Bus is the 1-Wire bus that a sensor is on: the kernel's, or that of a
// Maxim DS2482-100, DS2482-800 or DS2483 (datasheets 19-4930, 19-4931 and 19-6748).
//
// Of periph's ds248x: it knows the addresses 0x18, 0x19, 0x20 and 0x21, but the
// chips have 0x18 to 0x1b, the DS2482-800 up to 0x1f; so it is given 0x18, and
// the link talks to the right one. It finds out which chip it is by whether it
// refuses a register. Its search does not end on a chip that goes the same way
// whatever it is told; the link ends it with the context. Once it failed it says so
// for ever; each sensor has one of its own, and after an error it is made anew.
// The sensors of one bus take turns, so that nobody comes between the steps of a
// transaction; but another one may have selected another line of a DS2482-800,
// therefore each measurement begins with choose.
type ds18b20Bus struct {
	attached
	where   string // the bus, for the label
	wire    onewire.Bus
	link    periphLink  // to the bridge
	bridge  *ds248x.Dev // nil: the kernel's bus
	channel int         // of a DS2482-800
}

// named is the label with the sensor's id, once that is known.
func (b *ds18b20Bus) named(rom string) label {
	return label(strings.TrimSpace("ds18b20 "+rom) + " at " + b.where)
}

// openDS18B20Bus opens the bus that the options mean. It does not talk to a
// bridge.
func openDS18B20Bus(env sensors.Env, o sensors.Options) (*ds18b20Bus, error) {
	b := &ds18b20Bus{where: env.Bus, channel: int(o.Integer("channel"))}
	if strings.HasPrefix(env.Bus, "w1:") {
		wire, err := env.Board.OneWire(env.Bus)
		if err != nil {
			return nil, b.named("").wrap(err)
		}
		b.attached, b.wire = attached{b.named(""), wire}, wire
		return b, nil
	}
	bridge := uint16(o.Integer("bridge"))
	b.where += fmt.Sprintf(", bridge at address 0x%02x", bridge)
	c, err := openI2CAt(env, bridge, b.named(""))
	if err != nil {
		return nil, err
	}
	b.attached = c.attached
	b.link = periphLink{lenient: true, tx: func(_ context.Context, w, r []byte) error { return c.tx(w, r) }}
	return b, nil
}

// do runs f, which uses the bus.
func (b *ds18b20Bus) do(ctx context.Context, f func() error) error {
	if b.link.tx == nil {
		return f()
	}
	return b.link.do(ctx, f)
}

// ready resets the bridge.
func (b *ds18b20Bus) ready() error {
	if b.link.tx == nil {
		return nil
	}
	opts := ds248x.DefaultOpts
	dev, err := ds248x.New(&b.link, 0x18, &opts)
	if err != nil {
		return err
	}
	b.link.err = nil // what it refused tells which chip it is
	b.wire, b.bridge = dev, dev
	return nil
}

// choose selects the line of a DS2482-800 and checks that it is selected.
func (b *ds18b20Bus) choose() error {
	if b.bridge == nil {
		return nil
	}
	if err := b.bridge.ChannelSelect(b.channel); err != nil {
		return fmt.Errorf("channel %d: %w", b.channel, err)
	}
	if b.bridge.SelectedChannel() != b.channel {
		return errors.New("the bridge did not select its line")
	}
	return nil
}
