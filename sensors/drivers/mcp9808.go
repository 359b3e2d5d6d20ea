package drivers

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/mcp9808"

	"fieldgate/sensors"
)

// Microchip MCP9808: temperature.
//
// Datasheet: Microchip DS25095A: registers in section 5.1, temperature and its
// conversion in section 5.1.3 (a figure there reads 25.25 °C), ids in sections 5.1.4
// and 5.1.5, resolution and conversion times in section 5.2.4.
//
// Limits: the chip has no single measurements: it converts all the time, and a
// reading is at most one conversion old.
//
// Periph's mcp9808 measures. What is avoided of it:
//   - it takes any chip: the ids are checked first, and that settings were taken;
//   - it reads at once, and the register is zero until the first conversion has
//     ended: Open waits for that, and a zero without flags is looked at again;
//   - all ones are -0.06 °C to it;
//   - the errors of the bus are replaced by texts;
//   - SenseContinuous sends zero on an error.
func init() {
	sensors.Register(sensors.Driver{
		Name: "mcp9808",
		Doc:  "Microchip MCP9808: temperature -40 to 125 °C, ±0.5 °C; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x18, 0x18, 0x1f),
			{Name: "resolution", Doc: "bits, 9 (0.5 °C, 30 ms) to 12 (0.0625 °C, 250 ms)", Kind: sensors.Integer, Default: "12", Min: 9, Max: 12},
		},
		Channels: func(o sensors.Options) []sensors.Channel { return thermometerChannels(int(o.Integer("resolution"))) },
		Open:     openMCP9808,
	})
}

// Registers (section 5.1).
const (
	mcp9808Config       = 0x01
	mcp9808Temperature  = 0x05
	mcp9808Manufacturer = 0x06
	mcp9808Device       = 0x07
	mcp9808Steps        = 0x08
)

// mcp9808Chip is an opened chip.
type mcp9808Chip struct {
	*i2cChip
	link       periphLink
	dev        *mcp9808.Dev
	raw        uint16 // last temperature register
	bits       int    // of the resolution
	conversion time.Duration
}

func openMCP9808(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
	c, err := openI2C(env, o, "mcp9808")
	if err != nil {
		return nil, err
	}
	m := &mcp9808Chip{i2cChip: c, bits: int(o.Integer("resolution"))}
	m.link.tx = m.look
	return c.sampler(m.ready(ctx), m.measure)
}

// ready has periph's driver set the chip up, and waits for the first conversion:
// the times of table 5-2 with a fifth to spare.
func (m *mcp9808Chip) ready(ctx context.Context) error {
	if err := m.identify(mcp9808Manufacturer, 0x0054, 0xffff); err != nil {
		return err
	}
	if err := m.identify(mcp9808Device, 0x0400, 0xff00); err != nil {
		return err
	}
	opts := mcp9808.Opts{Addr: int(m.addr)}
	switch m.bits {
	case 9:
		opts.Res, m.conversion = mcp9808.Low, 36*time.Millisecond
	case 10:
		opts.Res, m.conversion = mcp9808.Medium, 78*time.Millisecond
	case 11:
		opts.Res, m.conversion = mcp9808.High, 156*time.Millisecond
	default:
		opts.Res, m.conversion = mcp9808.Maximum, 300*time.Millisecond
	}
	err := m.link.do(ctx, func() (err error) {
		m.dev, err = mcp9808.New(&m.link, &opts)
		return err
	})
	if err != nil {
		return err
	}
	config, err := m.readWord(mcp9808Config)
	if err != nil {
		return err
	}
	steps, err := m.readByte(mcp9808Steps)
	if err != nil {
		return err
	}
	if config&0x0100 != 0 || int(steps) != m.bits-9 {
		return fmt.Errorf("the chip does not take its settings: configuration 0x%04x, resolution 0x%02x", config, steps)
	}
	return pause(ctx, m.conversion)
}

// look makes a transaction of periph's driver and keeps the temperature
// register.
func (m *mcp9808Chip) look(_ context.Context, w, r []byte) error {
	if err := m.tx(w, r); err != nil {
		return err
	}
	if w[0] == mcp9808Temperature && len(r) == 2 {
		if allOnes(r) { // it cannot be below the lower and above the upper limit
			return errAllOnes
		}
		m.raw = binary.BigEndian.Uint16(r)
	}
	return nil
}

// measure measures once.
func (m *mcp9808Chip) measure(ctx context.Context) ([]sensors.Sample, error) {
	t, err := m.celsius(ctx)
	if err == nil {
		err = within("temperature", t, -40, 125, "°C")
	}
	if err != nil {
		return nil, err
	}
	return samplesOf(thermometerChannels(m.bits), t)
}

// celsius reads the temperature. A register of zero may be 0 °C, a chip that was
// just switched on, or a data line that is shorted: then the chip has to name
// itself and to make another conversion.
func (m *mcp9808Chip) celsius(ctx context.Context) (float64, error) {
	var e physic.Env
	sense := func() error { return m.dev.Sense(&e) }
	err := m.link.do(ctx, sense)
	if err == nil && m.raw == 0 {
		if err = m.identify(mcp9808Manufacturer, 0x0054, 0xffff); err != nil {
			return 0, err
		}
		if err = pause(ctx, m.conversion); err != nil {
			return 0, err
		}
		err = m.link.do(ctx, sense)
	}
	return e.Temperature.Celsius(), err
}
