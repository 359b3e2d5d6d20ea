package drivers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fieldgate/sensors"
)

// Texas Instruments TMP102, and the TMP112, which is the same to this driver:
// temperature.
//
// Datasheet: TI TMP102 SBOS397I (June 2024): modes in section 6.4, temperature
// formats and their tables in section 6.5.2, configuration in section 6.5.3.
//
// Limits: steps of 0.0625 °C, -55 to 128 °C with 12 bits, to 150 °C with 13
// (extended mode); the accuracy holds from -40 to 125 °C. Single measurements
// only: the chip sleeps in between. The chip has no identity: bits of the
// configuration register that never change are checked instead. R1 and R0 are
// ones, the lowest four zeros.
//
// Periph's tmp102 is not used. It reads the configuration without looking whether
// that failed and writes back what it made of it; it decodes 12 bits also if the
// chip is in extended mode; it reads before the first conversion has ended (0 °C
// then); it knows no single measurement; and Halt does not stop the chip.
func init() {
	sensors.Register(sensors.Driver{
		Name: "tmp102",
		Doc:  "Texas Instruments TMP102, TMP112: temperature -55 to 150 °C, ±2 °C (TMP112: ±0.5 °C); I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x48, 0x48, 0x4b),
			{Name: "extended", Doc: "13 bits: up to 150 °C, not 128 °C", Kind: sensors.Switch, Default: "false"},
		},
		Channels: func(sensors.Options) []sensors.Channel { return thermometerChannels(12) },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "tmp102")
			if err != nil {
				return nil, err
			}
			extended := o.Switch("extended")
			return c.sampler(tmp102Ready(ctx, c, extended), func(ctx context.Context) ([]sensors.Sample, error) {
				t, err := tmp102Measure(ctx, c, extended)
				if err != nil {
					return nil, err
				}
				return samplesOf(thermometerChannels(12), t)
			})
		},
	})
}

// Registers and bits (section 6.5).
const (
	tmp102Temperature = 0x00
	tmp102Config      = 0x01

	tmp102OneShot  = 0x8000 // OS: start when written, reads as 0 while it measures
	tmp102Always1  = 0x6000 // R1, R0
	tmp102Shutdown = 0x0100
	tmp102Rate4Hz  = 0x0080
	tmp102Extended = 0x0010
	tmp102Always0  = 0x000f
)

// tmp102Conversion is the longest time of a conversion (section 5.5).
const tmp102Conversion = 35 * time.Millisecond

// tmp102Configuration reads the configuration register.
func tmp102Configuration(c *i2cChip) (uint16, error) {
	is, err := c.readWord(tmp102Config)
	switch {
	case err != nil:
		return 0, err
	case is == 0xffff:
		return 0, errAllOnes
	case is&tmp102Always1 != tmp102Always1 || is&tmp102Always0 != 0:
		return 0, fmt.Errorf("the configuration is 0x%04x: this is no tmp102", is)
	}
	return is, nil
}

// tmp102Write writes the configuration register.
func tmp102Write(c *i2cChip, settings uint16) error {
	return c.write(tmp102Config, byte(settings>>8), byte(settings))
}

// tmp102Ready looks whether there is such a chip, and shuts it down, which it
// does when the conversion that is running has ended: single ones start only
// then (section 6.4.4).
//
// After a change to 13 bits a chip was seen to go on with 12 for some
// conversions, which would be read as twice the temperature. Therefore both
// formats have to give the same first.
func tmp102Ready(ctx context.Context, c *i2cChip, extended bool) error {
	if _, err := tmp102Configuration(c); err != nil {
		return err
	}
	if err := tmp102Write(c, tmp102Always1|tmp102Shutdown|tmp102Rate4Hz); err != nil {
		return err
	}
	if err := pause(ctx, tmp102Conversion); err != nil || !extended {
		return err
	}
	usual, err := tmp102Measure(ctx, c, false)
	above := errors.Is(err, errTMP102Above)
	if err != nil && !above {
		return err
	}
	for range 40 {
		t, err := tmp102Measure(ctx, c, true)
		if err == nil && (above && t > 120 || !above && math.Abs(t-usual) <= 1) {
			return nil
		}
		if err != nil && !errors.Is(err, errTMP102Range) {
			return err
		}
	}
	return errors.New("the chip does not change to extended mode")
}

// tmp102Measure makes one conversion.
func tmp102Measure(ctx context.Context, c *i2cChip, extended bool) (float64, error) {
	settings := uint16(tmp102Always1 | tmp102Shutdown | tmp102Rate4Hz)
	if extended {
		settings |= tmp102Extended
	}
	if err := tmp102Write(c, settings|tmp102OneShot); err != nil {
		return 0, err
	}
	if err := pause(ctx, tmp102Conversion); err != nil {
		return 0, err
	}
	for range 20 {
		is, err := tmp102Configuration(c)
		if err != nil {
			return 0, err
		}
		if is&tmp102OneShot != 0 {
			if (is^settings)&(tmp102Shutdown|tmp102Extended) != 0 {
				return 0, fmt.Errorf("the settings are 0x%04x: the chip was reset, or somebody else uses it", is)
			}
			raw, err := c.readWord(tmp102Temperature)
			if err != nil {
				return 0, err
			}
			return tmp102Celsius(raw, extended)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the conversion does not end")
}

// What is no temperature of the chip.
var (
	errTMP102Above = errors.New("temperature above 127.9 °C: that needs extended: true")
	errTMP102Range = errors.New("impossible temperature: the chip measures from -55 to 150 °C")
)

// tmp102Celsius decodes the temperature register: 12 bits left-aligned, or 13
// with a 1 as the lowest bit in extended mode (section 6.5.2).
func tmp102Celsius(register uint16, extended bool) (float64, error) {
	flag, shift := uint16(0), 4
	if extended {
		flag, shift = 1, 3
	}
	if register&(1<<shift-1) != flag {
		if register == 0xffff {
			return 0, errAllOnes
		}
		return 0, fmt.Errorf("the temperature register is 0x%04x: its lowest bits are wrong", register)
	}
	raw := int16(register) >> shift
	if !extended && raw == math.MaxInt16>>4 {
		return 0, errTMP102Above
	}
	t := float64(raw) / 16
	if t < -55 || t > 150 {
		return 0, fmt.Errorf("%g °C: %w", t, errTMP102Range)
	}
	return t, nil
}
