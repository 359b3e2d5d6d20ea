package drivers

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3/onewire"
	"periph.io/x/devices/v3/ds248x"

	"fieldgate/sensors"
)

// ds18b20Bus is the 1-Wire bus that a sensor is on: the kernel's, or that of a
// Maxim DS2482-100, DS2482-800 or DS2483 (datasheets 19-4930, 19-4931 and 19-6748).
//
// Of periph's ds248x: it knows the addresses 0x18, 0x19, 0x20 and 0x21, but the
// chips have 0x18 to 0x1b, the DS2482-800 up to 0x1f; so it is given 0x18, and
// ds18b20Bridge puts the right one in its place. Once it failed it says so
// for ever; each sensor has one of its own, and after an error it is made anew.
// The sensors of one bus take turns, so that nobody comes between the steps of a
// transaction; but another one may have selected another line of a DS2482-800,
// therefore each measurement begins with choose.
type ds18b20Bus struct {
	name    string // for errors: the driver, and the sensor when it is known
	where   string // for errors: the bus
	wire    onewire.Bus
	close   func() error
	bridge  *ds248x.Dev // nil: the kernel's bus
	channel int         // of a DS2482-800
}

// ds18b20Bridge is an i2c.Bus for periph on which each address is the bridge's.
type ds18b20Bridge struct{ *i2cChip }

// Tx implements i2c.Bus.
func (b ds18b20Bridge) Tx(_ uint16, w, r []byte) error { return b.open.Tx(b.addr, w, r) }

// openDS18B20Bus opens the bus that the options mean. A bridge is reset.
func openDS18B20Bus(env sensors.Env, o sensors.Options) (*ds18b20Bus, error) {
	b := &ds18b20Bus{name: "ds18b20", where: env.Bus, channel: int(o.Integer("channel"))}
	kind, _, err := sensors.ParseBus(env.Bus)
	if err != nil {
		return nil, b.wrap(err)
	}
	if kind == sensors.OneWire {
		wire, err := env.Board.OneWire(env.Bus)
		if err != nil {
			return nil, b.wrap(err)
		}
		b.wire, b.close = wire, wire.Close
		return b, nil
	}
	addr := uint16(o.Integer("bridge"))
	b.where += fmt.Sprintf(", bridge at address 0x%x", addr)
	bus, err := env.Board.I2C(env.Bus)
	if err != nil {
		return nil, b.wrap(err)
	}
	opts := ds248x.DefaultOpts
	dev, err := ds248x.New(ds18b20Bridge{&i2cChip{name: b.name, bus: env.Bus, addr: addr, open: bus}}, 0x18, &opts)
	if err != nil {
		_ = bus.Close()
		return nil, b.wrap(err)
	}
	b.wire, b.close, b.bridge = dev, bus.Close, dev
	return b, nil
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

// wrap says which sensor err is about; nil stays nil.
func (b *ds18b20Bus) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sensors: %s at %s: %w", b.name, b.where, err)
}
