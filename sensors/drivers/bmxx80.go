package drivers

import (
	"errors"
	"fmt"
	"math"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/bmxx80"

	"fieldgate/sensors"
)

// bmxx80ID is the register with the id of all three models.
const bmxx80ID = 0xd0

// bmxx80Identity says why a chip with this id cannot be a model: bmp180, bmp280
// or bme280 (register 0xd0; BMP180 section 4, BMP280 section 4.3.1, BME280
// section 5.4.1).
func bmxx80Identity(model string, id byte) error {
	is := ""
	switch id {
	case 0x55:
		is = "bmp180"
	case 0x58:
		is = "bmp280"
	case 0x60:
		is = "bme280"
	case 0x61:
		is = "bme680"
	case 0xff:
		return errAllOnes
	}
	switch is {
	case model:
		return nil
	case "":
		return fmt.Errorf("chip id 0x%02x: this is no %s", id, model)
	case "bme680":
		return fmt.Errorf("chip id 0x%02x: this is a %s, not a %s", id, is, model)
	}
	return fmt.Errorf("chip id 0x%02x: this is a %s, not a %s: configure it with driver: %s", id, is, model, is)
}

// bmxx80Altitude is the option that adds the pressure at sea level.
func bmxx80Altitude() sensors.Option {
	return sensors.Option{Name: "altitude", Doc: "height above sea level in m; adds the pressure reduced to sea level",
		Kind: sensors.Decimal, Min: -500, Max: 9000}
}

// bmxx80Oversampling is an option with the number of samples of one quantity.
func bmxx80Oversampling(name, quantity, most string) sensors.Option {
	choices := []string{"1", "2", "4", "8", "16"}
	if most == "8" {
		choices = choices[:4]
	}
	return sensors.Option{Name: name, Doc: "samples of the " + quantity + " that make one value: more are less noise and take longer",
		Kind: sensors.Text, Default: "1", Choices: choices}
}

// bmxx80Setting is periph's word for a number of samples.
func bmxx80Setting(samples string) bmxx80.Oversampling {
	switch samples {
	case "2":
		return bmxx80.O2x
	case "4":
		return bmxx80.O4x
	case "8":
		return bmxx80.O8x
	case "16":
		return bmxx80.O16x
	}
	return bmxx80.O1x
}

// bmxx80Channels are those of a model with or without humidity.
func bmxx80Channels(o sensors.Options, humidity bool, decimals int) []sensors.Channel {
	out := climateChannels(decimals)
	if !humidity {
		out = out[:1]
	}
	pressure := sensors.Channel{Suffix: "pressure", Kind: "AtmosphericPressureSensor", Quantity: "AtmosphericPressure", Unit: "Millibar", Decimals: 2}
	out = append(out, pressure)
	if _, set := o["altitude"]; set {
		pressure.Suffix = "sea-level-pressure"
		out = append(out, pressure)
	}
	return out
}

// The air pressure at sea level was never seen below 870 and above 1085 hPa;
// the formula, which takes a usual temperature, is off by some ten.
const seaLevelLowest, seaLevelHighest = 800, 1150

// seaLevelPressure reduces a pressure at an altitude in metres to sea level, by
// the international barometric formula (BMP180 section 3.7).
func seaLevelPressure(p, altitude float64) float64 {
	return p / math.Pow(1-altitude/44330, 5.255)
}

// bmxx80Samples makes the samples of what periph's driver calculated, and of
// the relative humidity in percent unless that is nil. All three models work
// from -40 to 85 degrees Celsius and from 300 to 1100 hPa.
func bmxx80Samples(o sensors.Options, e physic.Env, humidity *float64, decimals int) ([]sensors.Sample, error) {
	t, p := e.Temperature.Celsius(), float64(e.Pressure)/float64(100*physic.Pascal)
	if err := errors.Join(within("temperature", t, -40, 85, "°C"), within("pressure", p, 300, 1100, "hPa")); err != nil {
		return nil, err
	}
	values := []float64{t}
	if humidity != nil {
		values = append(values, *humidity)
	}
	values = append(values, p)
	if altitude, set := o["altitude"].(float64); set {
		sea := seaLevelPressure(p, altitude)
		if sea < seaLevelLowest || sea > seaLevelHighest {
			return nil, fmt.Errorf("%.0f hPa at an altitude of %g m are %.0f hPa at sea level, where it is never that: altitude is wrong", p, altitude, sea)
		}
		values = append(values, sea)
	}
	return samplesOf(bmxx80Channels(o, humidity != nil, decimals), values...)
}
