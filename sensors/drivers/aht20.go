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
// Datasheet: ASAIR AHT20 version 1.1, sections 5.3 (commands, status), 5.4
// (reading sequence, checksum) and 6 (conversion); Aosong DHT20 version 1.0,
// sections 7.3, 7.4 and 8, which say the same more clearly.
//
// Limits: -40 to 85 °C. The address cannot be changed, so there is one on a bus.
// There is no identity register; the checksum stands in for one.
//
// Periph's aht20 measures, with its checksum on: it checks the calibration bit,
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
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "aht20")
			if err != nil {
				return nil, err
			}
			a := &aht20Chip{i2cChip: c, link: periphLink{tx: func(_ context.Context, w, r []byte) error { return c.tx(w, r) }}}
			return c.sampler(a.ready(ctx), a.measure)
		},
	})
}

// The status, section 5.3.
const (
	aht20Status     = 0x71
	aht20Calibrated = 0x08
)

// aht20Chip is an opened chip.
type aht20Chip struct {
	*i2cChip
	link periphLink
	dev  *aht20.Dev
}

// ready calibrates the chip if it is not.
func (a *aht20Chip) ready(ctx context.Context) error {
	err := a.link.do(ctx, func() (err error) {
		a.dev, err = aht20.NewI2C(&a.link, &aht20.Opts{
			MeasurementReadTimeout:  150 * time.Millisecond,
			MeasurementWaitInterval: 10 * time.Millisecond,
			ValidateData:            true,
		})
		return err
	})
	if err != nil {
		return err
	}
	status, err := a.readByte(aht20Status)
	switch {
	case err != nil:
		return err
	case status == 0xff:
		return errAllOnes
	case status&aht20Calibrated == 0:
		return fmt.Errorf("status 0x%02x: the chip does not calibrate itself", status)
	}
	return nil
}

// measure measures once.
func (a *aht20Chip) measure(ctx context.Context) ([]sensors.Sample, error) {
	var e physic.Env
	if err := a.link.do(ctx, func() error { return a.dev.Sense(&e) }); err != nil {
		return nil, err
	}
	temperature, humidity, err := aht20Check(e)
	if err != nil {
		return nil, err
	}
	return samplesOf(climateChannels(2), temperature, humidity)
}

// aht20Check gives °C and %, or an error if they are outside the chip's range.
func aht20Check(e physic.Env) (temperature, humidity float64, err error) {
	temperature = e.Temperature.Celsius()
	humidity = float64(e.Humidity) / float64(physic.PercentRH)
	return temperature, humidity, errors.Join(within("temperature", temperature, -40, 85, "°C"), within("humidity", humidity, 0, 100, "%"))
}
