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

// Microchip MCP9808, DS25095A: registers in section 5.1, temperature and its
// conversion in section 5.1.3 (a figure there reads 25.25 °C), ids in sections 5.1.4
// and 5.1.5, resolution and conversion times in section 5.2.4. -40 to 125 °C,
// ±0.5 °C. The chip has no single measurements: it converts all the time, and a
// reading is at most one conversion old.
//
// periph's driver measures. What is avoided of it:
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
			{Name: "resolution", Doc: "step in degrees Celsius: finer ones take longer, 30 to 250 ms", Kind: sensors.Text, Default: "0.0625",
				Choices: []string{"0.5", "0.25", "0.125", "0.0625"}},
		},
		Channels: func(o sensors.Options) []sensors.Channel {
			_, _, decimals := mcp9808Resolution(o)
			return []sensors.Channel{{Suffix: "temperature", Kind: "Thermometer", Quantity: "Temperature", Unit: "DegreeCelsius", Decimals: decimals}}
		},
		Open: openMCP9808,
	})
}

// mcp9808Resolution gives the value of the resolution register, the time of a
// conversion with a fifth to spare, and the decimals (section 5.2.4, table 5-2).
func mcp9808Resolution(o sensors.Options) (register byte, conversion time.Duration, decimals int) {
	switch o.Text("resolution") {
	case "0.5":
		return 0, 36 * time.Millisecond, 1
	case "0.25":
		return 1, 78 * time.Millisecond, 2
	case "0.125":
		return 2, 156 * time.Millisecond, 3
	}
	return 3, 300 * time.Millisecond, 4
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
	register   byte
	conversion time.Duration
	decimals   int
}

func openMCP9808(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
	c, err := openI2C(env, o, "mcp9808")
	if err != nil {
		return nil, err
	}
	m := &mcp9808Chip{i2cChip: c}
	m.link.tx = m.look
	m.register, m.conversion, m.decimals = mcp9808Resolution(o)
	if err := m.ready(ctx); err != nil {
		return nil, c.abandon(err)
	}
	return m, nil
}

// word reads a register of two bytes.
func (m *mcp9808Chip) word(register byte) (uint16, error) {
	var b [2]byte
	err := m.Tx(m.addr, []byte{register}, b[:])
	return binary.BigEndian.Uint16(b[:]), err
}

// identify checks the manufacturer's id.
func (m *mcp9808Chip) identify() error {
	id, err := m.word(mcp9808Manufacturer)
	switch {
	case err != nil:
		return err
	case id == 0xffff:
		return errAllOnes
	case id != 0x0054:
		return fmt.Errorf("manufacturer id 0x%04x, not 0x0054: this is no mcp9808", id)
	}
	return nil
}

// ready has periph's driver set the chip up, and waits for the first
// conversion.
func (m *mcp9808Chip) ready(ctx context.Context) error {
	if err := m.identify(); err != nil {
		return err
	}
	id, err := m.word(mcp9808Device)
	if err != nil {
		return err
	}
	if id>>8 != 0x04 {
		return fmt.Errorf("device id 0x%02x, not 0x04: this is no mcp9808", id>>8)
	}
	opts := mcp9808.Opts{Addr: int(m.addr), Res: mcp9808.Maximum}
	switch m.register {
	case 0:
		opts.Res = mcp9808.Low
	case 1:
		opts.Res = mcp9808.Medium
	case 2:
		opts.Res = mcp9808.High
	}
	err = m.link.do(ctx, func() (err error) {
		m.dev, err = mcp9808.New(&m.link, &opts)
		return err
	})
	if err != nil {
		return err
	}
	config, err := m.word(mcp9808Config)
	if err != nil {
		return err
	}
	var steps [1]byte
	if err := m.Tx(m.addr, []byte{mcp9808Steps}, steps[:]); err != nil {
		return err
	}
	if config&0x0100 != 0 || steps[0] != m.register {
		return fmt.Errorf("the chip does not take its settings: configuration 0x%04x, resolution 0x%02x", config, steps[0])
	}
	return pause(ctx, m.conversion)
}

// look makes a transaction of periph's driver and keeps the temperature
// register.
func (m *mcp9808Chip) look(_ context.Context, w, r []byte) error {
	if err := m.Tx(m.addr, w, r); err != nil {
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

// Sample implements sensors.Sampler.
func (m *mcp9808Chip) Sample(ctx context.Context) ([]sensors.Sample, error) {
	t, err := m.celsius(ctx)
	if err == nil && !(t >= -40 && t <= 125) {
		err = fmt.Errorf("temperature of %.2f is impossible: the chip measures from -40 to 125", t)
	}
	if err != nil {
		return nil, m.wrap(err)
	}
	return one("temperature", t, m.decimals)
}

// celsius reads the temperature. A register of zero may be 0 °C, a chip that was
// just switched on, or a data line that is shorted: then the chip has to name
// itself and to make another conversion.
func (m *mcp9808Chip) celsius(ctx context.Context) (float64, error) {
	var e physic.Env
	sense := func() error { return m.dev.Sense(&e) }
	err := m.link.do(ctx, sense)
	if err == nil && m.raw == 0 {
		if err = m.identify(); err != nil {
			return 0, err
		}
		if err = pause(ctx, m.conversion); err != nil {
			return 0, err
		}
		err = m.link.do(ctx, sense)
	}
	return e.Temperature.Celsius(), err
}
