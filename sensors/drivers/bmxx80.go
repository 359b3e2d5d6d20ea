package drivers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
	"periph.io/x/devices/v3/bmxx80"

	"fieldgate/sensors"
)

// periphLink is the bus that a driver of periph is given. It hands each
// transaction to tx, which talks to the chip and looks at what came back, and
// keeps the first error: periph's drivers pass errors on as text, replace them
// by others, or drop them.
type periphLink struct {
	tx  func(ctx context.Context, w, r []byte) error
	ctx context.Context // of the call of do that is running
	err error
}

// do runs f, which calls periph's driver. Its error is the one of tx if there
// was any. A division by what a chip sent, which ends in a panic in some of
// periph's drivers, is an error too.
func (l *periphLink) do(ctx context.Context, f func() error) (err error) {
	l.ctx, l.err = ctx, nil
	defer func() {
		if r := recover(); r != nil {
			wrong, ok := r.(runtime.Error)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("impossible values from the chip: %w", wrong)
		}
		if l.err != nil {
			err = l.err
		}
		l.ctx = nil
	}()
	return f()
}

// Tx implements i2c.Bus. There is one chip, so that its address is known.
func (l *periphLink) Tx(_ uint16, w, r []byte) error {
	err := l.ctx.Err()
	if err == nil {
		err = l.tx(l.ctx, w, r)
	}
	if l.err == nil {
		l.err = err
	}
	return err
}

// SetSpeed implements i2c.Bus.
func (l *periphLink) SetSpeed(physic.Frequency) error { return nil }

// String implements i2c.Bus.
func (l *periphLink) String() string { return "link" }

// periphPort is a periphLink as an spi.Port that is connected already.
type periphPort struct{ *periphLink }

// Connect implements spi.Port.
func (p periphPort) Connect(physic.Frequency, spi.Mode, int) (spi.Conn, error) {
	return periphConn{p.periphLink}, nil
}

// periphConn is a periphLink as an spi.Conn.
type periphConn struct{ l *periphLink }

// Tx implements conn.Conn.
func (c periphConn) Tx(w, r []byte) error { return c.l.Tx(0, w, r) }

// TxPackets implements spi.Conn. No driver here needs it.
func (c periphConn) TxPackets([]spi.Packet) error { return errors.ErrUnsupported }

// Duplex implements conn.Conn.
func (c periphConn) Duplex() conn.Duplex { return conn.Full }

// String implements conn.Resource.
func (c periphConn) String() string { return c.l.String() }

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
	return sensors.Option{Name: "altitude", Doc: "height above sea level in metres; adds the pressure reduced to sea level",
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
	out := []sensors.Channel{{Suffix: "temperature", Kind: "AirThermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius", Decimals: decimals}}
	if humidity {
		out = append(out, sensors.Channel{Suffix: "humidity", Kind: "HumiditySensor", Quantity: "AirHumidity", Unit: "Percent", Decimals: 2})
	}
	pressure := sensors.Channel{Suffix: "pressure", Kind: "AtmosphericPressureSensor", Quantity: "AtmosphericPressure", Unit: "Millibar", Decimals: 2}
	out = append(out, pressure)
	if _, set := o["altitude"]; set {
		pressure.Suffix = "sea-level-pressure"
		out = append(out, pressure)
	}
	return out
}

// seaLevelPressure reduces a pressure at an altitude in metres to sea level, by
// the international barometric formula (BMP180 section 3.7).
func seaLevelPressure(p, altitude float64) float64 {
	return p / math.Pow(1-altitude/44330, 5.255)
}

// bmxx80Within checks that v is a value that the chip can measure.
func bmxx80Within(quantity string, v, lowest, highest float64) error {
	if !(v >= lowest && v <= highest) {
		return fmt.Errorf("%s of %.2f is impossible: the chip measures from %g to %g", quantity, v, lowest, highest)
	}
	return nil
}

// bmxx80Samples makes the samples of what periph's driver calculated, and of
// the relative humidity in percent unless that is nil. All three models work
// from -40 to 85 degrees Celsius and from 300 to 1100 hPa.
func bmxx80Samples(o sensors.Options, e physic.Env, humidity *float64, decimals int) ([]sensors.Sample, error) {
	t, p := e.Temperature.Celsius(), float64(e.Pressure)/float64(100*physic.Pascal)
	if err := errors.Join(bmxx80Within("temperature", t, -40, 85), bmxx80Within("pressure", p, 300, 1100)); err != nil {
		return nil, err
	}
	values := map[string]float64{"temperature": t, "pressure": p, "sea-level-pressure": seaLevelPressure(p, o.Decimal("altitude"))}
	if humidity != nil {
		values["humidity"] = *humidity
	}
	var out []sensors.Sample
	for _, c := range bmxx80Channels(o, humidity != nil, decimals) {
		s, err := sensors.Measured(c.Suffix, values[c.Suffix], c.Decimals)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}
