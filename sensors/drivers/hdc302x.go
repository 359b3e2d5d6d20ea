package drivers

import (
	"context"
	"fmt"
	"time"

	"fieldgate/sensors"
)

// Texas Instruments HDC3020, HDC3021 and HDC3022 (and their -Q1): temperature
// and humidity.
//
// Datasheet: SNAS778D, sections 6.5 (measurement duration), 7.3.9 (checksum, table 7-1),
// 7.5.2 (addresses), 7.5.3 to 7.5.6 (reading), 7.5.7.2 (trigger on demand),
// table 7-4 (commands) and the conversion formulas of 7.3.4.
//
// A measurement is triggered for each reading; between them the chip sleeps,
// draws nothing and does not warm itself. A chip that somebody left measuring by
// itself is stopped at opening, since it would not be triggered.
//
// Periph's hdc302x is not used. It only knows the mode in which the chip
// measures by itself, at 2 s and less, and so gives values that are up to 2 s
// old and warms the chip; it waits for that in NewI2C without a way to cancel
// it; it does not ask who the chip is, and reads the manufacturer without its
// checksum; the serial number of a chip that fails is 0 without an error.
func init() {
	sensors.Register(sensors.Driver{
		Name: "hdc302x",
		Doc:  "Texas Instruments HDC3020, HDC3021, HDC3022: temperature -40 to 125 °C, ±0.1 °C, humidity 0 to 100 %, ±0.5 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x44, 0x44, 0x47),
			{Name: "low_power_mode", Doc: "0: least noise (0.04 °C, 0.02 %; 14.1 ms each) to 3: least energy (0.08 °C, 0.04 %; 4.2 ms)", Kind: sensors.Integer, Default: "0", Min: 0, Max: 3},
		},
		Channels: func(sensors.Options) []sensors.Channel { return climateChannels(2) },
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "hdc302x")
			if err != nil {
				return nil, err
			}
			m := hdc302xModes[o.Integer("low_power_mode")&3]
			return c.sampler(hdc302xReady(c), func(ctx context.Context) ([]sensors.Sample, error) {
				// A chip that is not ready does not acknowledge that it is read.
				w, err := c.ask(ctx, m.trigger[:], m.wait, 2)
				if err != nil {
					return nil, err
				}
				temperature, humidity, err := decodeClimate(w)
				if err != nil {
					return nil, err
				}
				return samplesOf(climateChannels(2), temperature, humidity)
			})
		},
	})
}

// hdc302xMode is one of the chip's low power modes.
type hdc302xMode struct {
	trigger [2]byte
	wait    time.Duration // the longest duration, section 6.5, and a little
}

// hdc302xModes are read only.
var hdc302xModes = [4]hdc302xMode{
	{[2]byte{0x24, 0x00}, 15 * time.Millisecond},
	{[2]byte{0x24, 0x0b}, 9 * time.Millisecond},
	{[2]byte{0x24, 0x16}, 6 * time.Millisecond},
	{[2]byte{0x24, 0xff}, 5 * time.Millisecond},
}

// hdc302xMaker is Texas Instruments' manufacturer id.
const hdc302xMaker = 0x3000

// hdc302xReady stops a chip that measures by itself and asks who it is.
func hdc302xReady(c *i2cChip) error {
	// There may be nothing to stop. Whether the chip is there shows in what follows.
	_ = c.write(0x30, 0x93)
	var b [3]byte
	if err := c.tx([]byte{0x37, 0x81}, b[:]); err != nil {
		return err
	}
	w, err := checkedWords(b[:])
	if err != nil {
		return fmt.Errorf("manufacturer id: %w", err)
	}
	if w[0] != hdc302xMaker {
		return fmt.Errorf("manufacturer id is 0x%04x, not 0x%04x: no HDC302x", w[0], hdc302xMaker)
	}
	return nil
}
