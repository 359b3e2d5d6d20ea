package drivers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/aht20"

	"fieldgate/sensors"
)

// ASAIR (Aosong) AHT20, and the AHT21, AHT25 and DHT20 that speak the same:
// temperature and humidity. Not the AHT10, which sends no checksum.
//
// Datasheets: ASAIR AHT20 version 1.1, sections 5.3 (commands, status), 5.4
// (reading sequence, checksum) and 6 (conversion); Aosong DHT20 version 1.0,
// sections 7.3, 7.4 and 8, which say the same more clearly.
//
// Limits: -40 to 85 °C. The address cannot be changed, so there is one on a bus.
// There is no identity register; the checksum stands in for one.
//
// Periph's aht20 is used, with its checksum on: it checks the calibration bit,
// the busy bit and the checksum, waits no longer than 0.25 s, and its Sense
// starts no goroutine. What it leaves out is added here: whether the chip is
// calibrated after it was told to be, a status of only ones, which it takes for
// a calibrated chip, and values outside the chip's range, such as the -50 °C and
// 0 % of a measurement that is all zeros. It looks at the checksum before the
// busy bit, so that a chip that is late may be reported as a wrong checksum.
func init() {
	sensors.Register(sensors.Driver{
		Name:     "aht20",
		Doc:      "ASAIR AHT20, AHT21, AHT25, DHT20: temperature -40 to 85 °C, ±0.3 °C, humidity 0 to 100 %, ±2 %; I2C",
		Bus:      sensors.I2C,
		Options:  []sensors.Option{addressOption(0x38, 0x38, 0x38)},
		Channels: func(sensors.Options) []sensors.Channel { return climateChannels(2) },
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "aht20")
			if err != nil {
				return nil, err
			}
			d, err := aht20Ready(c)
			if err != nil {
				return nil, c.abandon(err)
			}
			return sampler{c, func(context.Context) ([]sensors.Sample, error) {
				var e physic.Env
				if err := d.Sense(&e); err != nil {
					return nil, c.wrap(err)
				}
				temperature, humidity, err := aht20Check(e)
				if err != nil {
					return nil, c.wrap(err)
				}
				return samplesOf(climateChannels(2), temperature, humidity)
			}}, nil
		},
	})
}

// The status, section 5.3.
const (
	aht20Status     = 0x71
	aht20Calibrated = 0x08
)

// aht20Ready calibrates the chip if it is not.
func aht20Ready(c *i2cChip) (*aht20.Dev, error) {
	d, err := aht20.NewI2C(c, &aht20.Opts{
		MeasurementReadTimeout:  150 * time.Millisecond,
		MeasurementWaitInterval: 10 * time.Millisecond,
		ValidateData:            true,
	})
	if err != nil {
		return nil, err
	}
	var b [1]byte
	if err := c.open.Tx(c.addr, []byte{aht20Status}, b[:]); err != nil {
		return nil, err
	}
	switch {
	case allOnes(b[:]):
		return nil, errAllOnes
	case b[0]&aht20Calibrated == 0:
		return nil, fmt.Errorf("status 0x%02x: the chip does not calibrate itself", b[0])
	}
	return d, nil
}

// aht20Check gives °C and %, or an error if they are outside the chip's range.
func aht20Check(e physic.Env) (temperature, humidity float64, err error) {
	temperature = e.Temperature.Celsius()
	humidity = float64(e.Humidity) / float64(physic.PercentRH)
	switch {
	case temperature < -40 || temperature > 85:
		err = fmt.Errorf("temperature %.1f °C is outside the chip's range of -40 to 85", temperature)
	case humidity < 0 || humidity > 100:
		err = errors.New("humidity is outside 0 to 100 %")
	}
	return temperature, humidity, err
}
