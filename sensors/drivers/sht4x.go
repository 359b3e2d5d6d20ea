package drivers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/sensors"
)

// Sensirion SHT40, SHT41, SHT43 and SHT45: temperature -40 to 125 °C, relative
// humidity 0 to 100 %. The letter after the number on the order code is the
// address: A 0x44, B 0x45, C 0x46.
//
// Datasheet: SHT4x version 6 (February 2023): "Timings" (durations, rounded up to
// whole milliseconds here), 4.4 (checksum), 4.5 (commands), 4.6 (conversion),
// "Serial number", "Reset & Abort".
//
// The chip has no identity register; its serial number of two words with
// checksums, which is fixed at the factory, stands in for one. Between the
// command and the answer a chip that is not ready says NAK. The conversion can
// give a humidity a little below 0 or above 100 %; as the datasheet says this is
// cut to 0 and 100. The heater is never switched on, and goes off by itself
// after a second at most when others do.
func init() {
	sensors.Register(sensors.Driver{
		Name: "sht4x",
		Doc:  "Sensirion SHT40, SHT41, SHT43, SHT45: temperature -40 to 125 °C, ±0.2 °C, humidity 0 to 100 %, ±1.8 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x44, 0x44, 0x46),
			{Name: "repeatability", Doc: "high (0.04 °C, 0.08 %), medium or low (0.1 °C, 0.25 %); low warms the chip least", Kind: sensors.Text,
				Default: "high", Choices: []string{"high", "medium", "low"}},
		},
		Channels: func(sensors.Options) []sensors.Channel { return climateChannels(2) },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "sht4x")
			if err != nil {
				return nil, err
			}
			shot := sht4xShot(o.Text("repeatability"))
			return c.sampler(sht4xReady(ctx, c), func(ctx context.Context) ([]sensors.Sample, error) {
				w, err := c.ask(ctx, shot.command, shot.time, 2)
				if err != nil {
					return nil, err
				}
				temperature, humidity, err := sht4xDecode(w)
				if err != nil {
					return nil, err
				}
				return samplesOf(climateChannels(2), temperature, humidity)
			})
		},
	})
}

// Commands that do not measure, and how long to wait for the serial number: the
// datasheet gives no time, Sensirion's own programs take this one.
const (
	sht4xReset      = 0x94
	sht4xSerial     = 0x89
	sht4xSerialTime = 10 * time.Millisecond
)

func sht4xShot(repeatability string) shtShot {
	switch repeatability {
	case "low":
		return shtShot{[]byte{0xe0}, 2 * time.Millisecond}
	case "medium":
		return shtShot{[]byte{0xf6}, 5 * time.Millisecond}
	}
	return shtShot{[]byte{0xfd}, 9 * time.Millisecond}
}

// sht4xReady resets the chip, which ends what it may be doing, and reads its
// serial number.
func sht4xReady(ctx context.Context, c *i2cChip) error {
	if err := c.send(ctx, []byte{sht4xReset}, time.Millisecond); err != nil {
		return err
	}
	w, err := c.ask(ctx, []byte{sht4xSerial}, sht4xSerialTime, 2)
	if err != nil {
		return fmt.Errorf("serial number: %w", err)
	}
	if w[0] == 0 && w[1] == 0 {
		return errors.New("serial number is 0: no SHT4x")
	}
	return nil
}

// sht4xDecode gives °C and percent of relative humidity (datasheet section 4.6).
func sht4xDecode(w []uint16) (temperature, humidity float64, err error) {
	temperature = -45 + 175*float64(w[0])/65535
	humidity = min(max(-6+125*float64(w[1])/65535, 0), 100)
	return temperature, humidity, within("temperature", temperature, -40, 125, "°C")
}
