package drivers

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"periph.io/x/conn/v3/analog"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ads1x15"

	"fieldgate/sensors"
)

// Texas Instruments ADS1115 and ADS1015: converters with four inputs, 16 and 12
// bits.
//
// Datasheet: TI ADS1113/4/5 SBAS444D (January 2018) and ADS1013/4/5 SBAS473E:
// ranges in section 9.3.3 (table 3), codes and full scale in section 9.5.4 (table
// 7), registers in section 9.6.
//
// Limits: an input must stay between ground and the chip's supply, whatever the
// range. The chips have no identity: each measurement reads the settings back
// that it wrote, and an ADS1015 leaves the four lowest bits at zero. Single
// conversions only.
//
// Periph's ads1x15 measures. What is avoided of it:
//   - it waits for exactly one period of the nominal rate, which the chip keeps
//     to within 10 % and begins after it has woken up, and does not ask whether
//     the conversion is ready: what it reads may be the one before, of another
//     input. The link waits for the bit OS before the result goes to it;
//   - it has no notion of a clipped input;
//   - it picks range and rate by itself for what it is asked for: it is asked
//     for exact ones;
//   - ReadContinuous drops errors, sends on a channel without looking whether
//     anybody is left, and its goroutine can hang in that.
func init() {
	for _, m := range []struct{ name, doc string }{
		{"ads1115", "Texas Instruments ADS1115: voltage, 4 inputs, 16 bits, ±0.256 to ±6.144 V; I2C"},
		{"ads1015", "Texas Instruments ADS1015: voltage, 4 inputs, 12 bits, ±0.256 to ±6.144 V; I2C"},
	} {
		sensors.Register(sensors.Driver{
			Name:     m.name,
			Doc:      m.doc,
			Bus:      sensors.I2C,
			Family:   adcFamily,
			Part:     func(o sensors.Options) string { return o.Text("channel") },
			Options:  ads1x15Options(m.name),
			Channels: func(o sensors.Options) []sensors.Channel { return voltageChannels(ads1x15Step(o, m.name)) },
			Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
				in, err := openADS1x15(env, o, m.name, m.name)
				if err != nil {
					return nil, err
				}
				return in.sampler(in.ready(ctx), func(ctx context.Context) ([]sensors.Sample, error) {
					v, err := in.volts(ctx)
					if err != nil {
						return nil, err
					}
					return samplesOf(voltageChannels(ads1x15Step(o, m.name)), v)
				})
			},
		})
	}
}

// ads1x15Rates are the conversions per second that a model can make, and the
// ones that it makes after power-on.
func ads1x15Rates(model string) (rates []string, usual string) {
	if model == "ads1015" {
		return []string{"128", "250", "490", "920", "1600", "2400", "3300"}, "1600"
	}
	return []string{"8", "16", "32", "64", "128", "250", "475", "860"}, "128"
}

// ads1x15Options are the options of a model.
func ads1x15Options(model string) []sensors.Option {
	rates, usual := ads1x15Rates(model)
	return []sensors.Option{
		addressOption(0x48, 0x48, 0x4b),
		{Name: "channel", Doc: "input against ground (0 to 3), or the difference of two inputs", Kind: sensors.Text, Default: "0",
			Choices: []string{"0", "1", "2", "3", "0-1", "0-3", "1-3", "2-3"}},
		ads1x15Range(),
		{Name: "rate", Doc: "conversions per second: slower ones have less noise", Kind: sensors.Text, Default: usual, Choices: rates},
	}
}

// ads1x15Range is the option for the full scale.
func ads1x15Range() sensors.Option {
	return sensors.Option{Name: "range", Doc: "full scale of an ADS1115 or ADS1015 in V, both ways", Kind: sensors.Text, Default: "4.096",
		Choices: []string{"6.144", "4.096", "2.048", "1.024", "0.512", "0.256"}}
}

// ads1x15Step is what a model's codes are apart, in volts.
func ads1x15Step(o sensors.Options, model string) float64 {
	if model == "ads1015" {
		return ads1x15Full(o) / (1 << 11)
	}
	return ads1x15Full(o) / (1 << 15)
}

// ads1x15Full is the full scale in volts.
func ads1x15Full(o sensors.Options) float64 {
	full, _ := strconv.ParseFloat(o.Text("range"), 64) // all choices are numbers
	return full
}

// ads1x15Input is one input of an ADS1115 or ADS1015.
type ads1x15Input struct {
	*i2cChip
	link       periphLink
	pin        ads1x15.PinADC
	channel    string
	full       float64       // scale, volts
	rate       int           // conversions per second
	conversion time.Duration // nominal
	twelve     bool          // bits
	settings   uint16        // written to the configuration register
}

// openADS1x15 opens the bus of an ads1115 or ads1015 with the options address,
// channel, range and rate; if that is not set it is the usual one. Name is for
// errors.
func openADS1x15(env sensors.Env, o sensors.Options, model, name string) (*ads1x15Input, error) {
	c, err := openI2C(env, o, name)
	if err != nil {
		return nil, err
	}
	_, usual := ads1x15Rates(model)
	rate, _ := strconv.Atoi(cmp.Or(o.Text("rate"), usual)) // all choices are numbers
	a := &ads1x15Input{i2cChip: c, channel: o.Text("channel"), full: ads1x15Full(o), rate: rate,
		conversion: time.Second / time.Duration(rate), twelve: model == "ads1015"}
	a.link.tx = a.look
	return a, nil
}

// ads1x15Channels are periph's words for the choices of channel; read only.
var ads1x15Channels = map[string]ads1x15.Channel{
	"0": ads1x15.Channel0, "1": ads1x15.Channel1, "2": ads1x15.Channel2, "3": ads1x15.Channel3,
	"0-1": ads1x15.Channel0Minus1, "0-3": ads1x15.Channel0Minus3, "1-3": ads1x15.Channel1Minus3, "2-3": ads1x15.Channel2Minus3,
}

// ready prepares the measurement and looks whether the chip answers.
func (a *ads1x15Input) ready(ctx context.Context) error {
	input, ok := ads1x15Channels[a.channel]
	if !ok { // one of an MCP3008
		return fmt.Errorf("there is no channel %s", a.channel)
	}
	open, opts := ads1x15.NewADS1115, ads1x15.Opts{I2cAddress: a.addr}
	if a.twelve {
		open = ads1x15.NewADS1015
	}
	err := a.link.do(ctx, func() error {
		dev, err := open(&a.link, &opts)
		if err != nil {
			return err
		}
		a.pin, err = dev.PinForChannel(input, physic.ElectricPotential(math.Round(a.full*1000))*physic.MilliVolt,
			physic.Frequency(a.rate)*physic.Hertz, ads1x15.BestQuality)
		return err
	})
	if err != nil {
		return err
	}
	_, err = a.configuration()
	return err
}

// Registers and bits (section 9.6).
const (
	ads1x15Conversion = 0x00
	ads1x15Config     = 0x01
	ads1x15Ready      = 0x8000 // bit OS: no conversion is running
)

// configuration reads the configuration register.
func (a *ads1x15Input) configuration() (uint16, error) {
	c, err := a.readWord(ads1x15Config)
	if err == nil && c == 0xffff {
		err = errAllOnes
	}
	return c, err
}

// look makes a transaction of periph's driver: it writes the settings, which
// starts a conversion, and later reads its result.
func (a *ads1x15Input) look(ctx context.Context, w, r []byte) error {
	switch {
	case len(w) == 3 && w[0] == ads1x15Config:
		a.settings = binary.BigEndian.Uint16(w[1:])
	case len(w) == 1 && w[0] == ads1x15Conversion:
		if err := a.converted(ctx); err != nil {
			return err
		}
	}
	return a.tx(w, r)
}

// converted waits until the conversion has ended. It gives up after another
// three times its nominal length, at least 3 ms.
func (a *ads1x15Input) converted(ctx context.Context) error {
	step := max(a.conversion/4, 250*time.Microsecond)
	for range 13 {
		c, err := a.configuration()
		if err != nil {
			return err
		}
		if c&ads1x15Ready != 0 {
			if (c^a.settings)&^ads1x15Ready != 0 {
				return fmt.Errorf("the settings are 0x%04x, 0x%04x were written: it is another chip, or somebody else uses it", c, a.settings)
			}
			return nil
		}
		if err := pause(ctx, step); err != nil {
			return err
		}
	}
	return errors.New("the conversion does not end")
}

// volts measures once.
func (a *ads1x15Input) volts(ctx context.Context) (float64, error) {
	var s analog.Sample
	err := a.link.do(ctx, func() (err error) {
		s, err = a.pin.Read()
		return err
	})
	if err != nil {
		return 0, err
	}
	return float64(s.V) / float64(physic.Volt), a.clipped(s.Raw)
}

// clipped says why a code (left-aligned in 16 bits) is no measurement: at the
// ends of the scale the input may be anything beyond.
func (a *ads1x15Input) clipped(code int32) error {
	top := int32(math.MaxInt16)
	if a.twelve {
		if code&0x0f != 0 {
			return errors.New("the result has more than 12 bits: this is no ads1015 (an ads1115?)")
		}
		top = 0x7ff0
	}
	switch {
	case code >= top:
		return fmt.Errorf("input above the range of %g V", a.full)
	case code <= math.MinInt16:
		return fmt.Errorf("input below the range of -%g V", a.full)
	}
	return nil
}
