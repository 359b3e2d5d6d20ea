package drivers

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"fieldgate/sensors"
)

// A soil-moisture probe, capacitive or resistive, with a voltage as its output, on
// an input of a converter: an ADS1115 or ADS1015 on I2C, an MCP3008 on SPI.
//
// The reading is a straight line through two points that the user measures: the
// probe in dry soil (or air) is 0 %, in soil that takes up no more water (or in
// water) 100 %. It does not matter which voltage is the higher one: those of
// capacitive probes fall with moisture. It is a percentage of that span, not of
// volume. What lies a little outside the span is cut to 0 and 100; what lies more
// than `margin` outside comes from no probe, but from a wire that is off or a
// short circuit, and is an error.
func init() {
	sensors.Register(sensors.Driver{
		Name: "soil-moisture",
		Doc:  "soil probe with a voltage output: moisture 0 to 100 % between two measured voltages; on an ADS1115, ADS1015 or MCP3008; I2C or SPI",
		Bus:  sensors.I2C | sensors.SPI,
		Options: []sensors.Option{
			{Name: "dry", Doc: "voltage in dry soil or air in V: 0 %", Kind: sensors.Decimal, Required: true, Min: 0, Max: 6.144},
			{Name: "wet", Doc: "voltage in soaked soil or water in V: 100 %", Kind: sensors.Decimal, Required: true, Min: 0, Max: 6.144},
			{Name: "margin", Doc: "how far outside dry and wet a voltage may be in % of their distance; beyond that the probe is taken to be unplugged",
				Kind: sensors.Decimal, Default: "20", Min: 0, Max: 100},
			{Name: "channel", Doc: "input, 0 to 3 on I2C, 0 to 7 on SPI", Kind: sensors.Text, Default: "0", Choices: []string{"0", "1", "2", "3", "4", "5", "6", "7"}},
			{Name: "adc", Doc: "converter on I2C; on SPI it is an MCP3008", Kind: sensors.Text, Default: "ads1115", Choices: []string{"ads1115", "ads1015"}},
			addressOption(0x48, 0x48, 0x4b),
			ads1x15Range(),
			{Name: "rate", Doc: "on I2C: conversions per second, 8 to 860 (ads1115) or 128 to 3300 (ads1015); if left out 128 or 1600", Kind: sensors.Text},
			mcp3008VRef(),
		},
		Check:    soilCheck,
		Part:     func(o sensors.Options) string { return o.Text("channel") },
		Family:   adcFamily,
		Every:    time.Minute,
		Channels: soilChannels,
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			p := soilProbe{dry: o.Decimal("dry"), wet: o.Decimal("wet"), margin: o.Decimal("margin")}
			about := "soil-moisture, channel " + o.Text("channel") + " of "
			if strings.HasPrefix(env.Bus, "spi:") {
				m, err := openMCP3008(env, o, about+"mcp3008")
				if err != nil {
					return nil, err
				}
				return m.sampler(nil, p.samples(func(context.Context) (float64, error) { return m.volts() }))
			}
			a, err := openADS1x15(env, o, o.Text("adc"), about+o.Text("adc"))
			if err != nil {
				return nil, err
			}
			return a.sampler(a.ready(ctx), p.samples(a.volts))
		},
	})
}

func soilChannels(sensors.Options) []sensors.Channel {
	return []sensors.Channel{{Suffix: "moisture", Kind: "SoilHumiditySensor", Quantity: "SoilHumidity", Unit: "Percent", Decimals: 1}}
}

// soilSpan is the smallest distance between dry and wet in volts.
const soilSpan = 0.02

func soilCheck(o sensors.Options) []sensors.OptionError {
	var wrong []sensors.OptionError
	if math.Abs(o.Decimal("wet")-o.Decimal("dry")) < soilSpan {
		wrong = append(wrong, sensors.OptionError{Option: "wet", Problem: fmt.Sprintf("%v V is too near to dry, %v V", o.Decimal("wet"), o.Decimal("dry")),
			Remedy: fmt.Sprintf("measure both; they are at least %v V apart", soilSpan)})
	}
	rate, adc := o.Text("rate"), o.Text("adc")
	if rates, _ := ads1x15Rates(adc); rate != "" && !slices.Contains(rates, rate) {
		wrong = append(wrong, sensors.OptionError{Option: "rate", Problem: fmt.Sprintf("an %s has no rate %.20q", adc, rate),
			Remedy: "one of " + strings.Join(rates, ", ")})
	}
	return wrong
}

// soilProbe is a probe with its two points in volts, and the margin in percent.
type soilProbe struct{ dry, wet, margin float64 }

// samples makes samples of what a converter measures in volts.
func (p soilProbe) samples(volts func(context.Context) (float64, error)) func(context.Context) ([]sensors.Sample, error) {
	return func(ctx context.Context) ([]sensors.Sample, error) {
		v, err := volts(ctx)
		if err != nil {
			return nil, err
		}
		percent, err := p.percent(v)
		if err != nil {
			return nil, err
		}
		return samplesOf(soilChannels(nil), percent)
	}
}

// percent gives 0 to 100.
func (p soilProbe) percent(volts float64) (float64, error) {
	x := (volts - p.dry) / (p.wet - p.dry) * 100
	if !(x >= -p.margin && x <= 100+p.margin) {
		return 0, fmt.Errorf("%.3f V is far outside dry (%v V) and wet (%v V): unplugged or short-circuited", volts, p.dry, p.wet)
	}
	return min(max(x, 0), 100), nil
}
