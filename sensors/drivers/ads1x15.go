package drivers

import (
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

// Texas Instruments ADS1113/4/5, SBAS444D (January 2018), and ADS1013/4/5,
// SBAS473E: ranges in section 9.3.3 (table 3), codes and full scale in section
// 9.5.4 (table 7), registers in section 9.6. An input must stay between ground
// and the chip's supply, whatever the range. Single conversions only.
//
// The chips have no identity. Each measurement reads the settings back that it
// wrote, and an ADS1015 leaves the four lowest bits at zero.
//
// periph's driver measures. What is avoided of it:
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
		{"ads1115", "Texas Instruments ADS1115: 4-channel ADC, 16 bits, ±0.256 to ±6.144 V; I2C"},
		{"ads1015", "Texas Instruments ADS1015: 4-channel ADC, 12 bits, ±0.256 to ±6.144 V; I2C"},
	} {
		sensors.Register(sensors.Driver{
			Name:    m.name,
			Doc:     m.doc,
			Bus:     sensors.I2C,
			Family:  adcFamily,
			Part:    func(o sensors.Options) string { return o.Text("channel") },
			Options: ads1x15Options(m.name),
			Channels: func(o sensors.Options) []sensors.Channel {
				return []sensors.Channel{{Suffix: "voltage", Kind: "VoltageSensor", Quantity: "Voltage", Unit: "Volt", Decimals: ads1x15Decimals(o, m.name)}}
			},
			Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
				in, err := openADS1x15(env, o, m.name)
				if err != nil {
					return nil, err
				}
				return sampler{in, func(ctx context.Context) ([]sensors.Sample, error) {
					v, err := in.volts(ctx)
					if err != nil {
						return nil, err
					}
					return one("voltage", v, ads1x15Decimals(o, m.name))
				}}, nil
			},
		})
	}
}

// ads1x15Options are the options of a model.
func ads1x15Options(model string) []sensors.Option {
	rates := []string{"8", "16", "32", "64", "128", "250", "475", "860"}
	if model == "ads1015" {
		rates = []string{"128", "250", "490", "920", "1600", "2400", "3300"}
	}
	return []sensors.Option{
		addressOption(0x48, 0x48, 0x4b),
		{Name: "channel", Doc: "input against ground (0 to 3), or the difference of two inputs", Kind: sensors.Text, Default: "0",
			Choices: []string{"0", "1", "2", "3", "0-1", "0-3", "1-3", "2-3"}},
		{Name: "range", Doc: "full scale in volts, both ways", Kind: sensors.Text, Default: "4.096",
			Choices: []string{"6.144", "4.096", "2.048", "1.024", "0.512", "0.256"}},
		{Name: "rate", Doc: "conversions per second: slower ones have less noise", Kind: sensors.Text, Default: ads1x15Rate(model),
			Choices: rates},
	}
}

// ads1x15Rate is the rate that a model has after power-on.
func ads1x15Rate(model string) string {
	if model == "ads1015" {
		return "1600"
	}
	return "128"
}

// ads1x15Option is an option as text, whatever its kind with the driver it is
// of, or usual if it is not set.
func ads1x15Option(o sensors.Options, name, usual string) string {
	if v, set := o[name]; set {
		return fmt.Sprint(v)
	}
	return usual
}

// ads1x15Decimals is the number of decimals that the step between two codes of
// the range has.
func ads1x15Decimals(o sensors.Options, model string) int {
	full, err := strconv.ParseFloat(ads1x15Option(o, "range", "4.096"), 64)
	if err != nil || full <= 0 {
		return 3
	}
	if model == "ads1015" {
		return stepDecimals(full / (1 << 11))
	}
	return stepDecimals(full / (1 << 15))
}

// stepDecimals is how many decimals are needed to tell values a step apart, 0
// to 9.
func stepDecimals(step float64) int {
	return int(min(max(math.Ceil(-math.Log10(step)-1e-9), 0), 9))
}

// ads1x15Input is one input of an ADS1115 or ADS1015.
type ads1x15Input struct {
	*i2cChip
	link       periphLink
	pin        ads1x15.PinADC
	full       string        // scale, volts
	conversion time.Duration // nominal
	twelve     bool          // bits
	settings   uint16        // written to the configuration register
}

// openADS1x15 opens an input of an ads1115 or ads1015 by the options address,
// channel, range and rate. All but the address have defaults.
func openADS1x15(env sensors.Env, o sensors.Options, model string) (adc, error) {
	c, err := openI2C(env, o, model)
	if err != nil {
		return nil, err
	}
	a := &ads1x15Input{i2cChip: c, twelve: model == "ads1015", full: ads1x15Option(o, "range", "4.096")}
	a.link.tx = a.look
	if err := a.ready(ads1x15Option(o, "channel", "0"), ads1x15Option(o, "rate", ads1x15Rate(model))); err != nil {
		return nil, c.abandon(err)
	}
	return a, nil
}

// ready prepares the measurement and looks whether the chip answers.
func (a *ads1x15Input) ready(channel, rate string) error {
	var input ads1x15.Channel
	switch channel {
	case "0":
		input = ads1x15.Channel0
	case "1":
		input = ads1x15.Channel1
	case "2":
		input = ads1x15.Channel2
	case "3":
		input = ads1x15.Channel3
	case "0-1":
		input = ads1x15.Channel0Minus1
	case "0-3":
		input = ads1x15.Channel0Minus3
	case "1-3":
		input = ads1x15.Channel1Minus3
	case "2-3":
		input = ads1x15.Channel2Minus3
	default:
		return fmt.Errorf("there is no channel %.20q", channel)
	}
	perSecond, err := strconv.Atoi(rate)
	if err != nil || perSecond <= 0 || perSecond > 3300 {
		return fmt.Errorf("there is no rate %.20q", rate)
	}
	full, err := strconv.ParseFloat(a.full, 64)
	if err != nil || !(full > 0 && full <= 6.144) {
		return fmt.Errorf("there is no range %.20q", a.full)
	}
	a.conversion = time.Second / time.Duration(perSecond)
	open, opts := ads1x15.NewADS1115, ads1x15.Opts{I2cAddress: a.addr}
	if a.twelve {
		open = ads1x15.NewADS1015
	}
	dev, err := open(&a.link, &opts)
	if err != nil {
		return err
	}
	a.pin, err = dev.PinForChannel(input, physic.ElectricPotential(math.Round(full*1000))*physic.MilliVolt,
		physic.Frequency(perSecond)*physic.Hertz, ads1x15.BestQuality)
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
	var b [2]byte
	if err := a.Tx(a.addr, []byte{ads1x15Config}, b[:]); err != nil {
		return 0, err
	}
	if allOnes(b[:]) {
		return 0, errAllOnes
	}
	return binary.BigEndian.Uint16(b[:]), nil
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
	return a.Tx(a.addr, w, r)
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

// volts implements adc.
func (a *ads1x15Input) volts(ctx context.Context) (float64, error) {
	var s analog.Sample
	err := a.link.do(ctx, func() (err error) {
		s, err = a.pin.Read()
		return err
	})
	if err == nil {
		err = a.clipped(s.Raw)
	}
	if err != nil {
		return 0, a.wrap(err)
	}
	return float64(s.V) / float64(physic.Volt), nil
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
		return fmt.Errorf("input above the range of %s V", a.full)
	case code <= math.MinInt16:
		return fmt.Errorf("input below the range of -%s V", a.full)
	}
	return nil
}
