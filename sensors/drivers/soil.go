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
		Doc:  "soil-moisture probe with a voltage output on an ADS1115, ADS1015 (I2C) or MCP3008 (SPI): 0 to 100 % between two measured voltages",
		Bus:  sensors.I2C | sensors.SPI,
		Options: []sensors.Option{
			{Name: "dry", Doc: "voltage in dry soil or air: 0 %, V", Kind: sensors.Decimal, Required: true, Min: 0, Max: 6.144},
			{Name: "wet", Doc: "voltage in soaked soil or water: 100 %, V", Kind: sensors.Decimal, Required: true, Min: 0, Max: 6.144},
			{Name: "margin", Doc: "how far outside dry and wet a voltage may be, % of their distance; beyond that the probe is taken to be unplugged",
				Kind: sensors.Decimal, Default: "20", Min: 0, Max: 100},
			{Name: "channel", Doc: "input, 0 to 3 on I2C, 0 to 7 on SPI", Kind: sensors.Text, Default: "0", Choices: []string{"0", "1", "2", "3", "4", "5", "6", "7"}},
			{Name: "adc", Doc: "converter on I2C; on SPI it is an MCP3008", Kind: sensors.Text, Default: "ads1115", Choices: []string{"ads1115", "ads1015"}},
			addressOption(0x48, 0x48, 0x4b),
			{Name: "range", Doc: "on I2C: full scale, V", Kind: sensors.Text, Default: "4.096", Choices: soilChoices("ads1115", "range")},
			{Name: "rate", Doc: "on I2C: conversions per second, 8 to 860 (ads1115) or 128 to 3300 (ads1015); if left out 128 or 1600", Kind: sensors.Text},
			mcp3008VRef(),
		},
		Check:  soilCheck,
		Part:   func(o sensors.Options) string { return o.Text("channel") },
		Family: adcFamily,
		Every:  time.Minute,
		Channels: func(sensors.Options) []sensors.Channel {
			return []sensors.Channel{{Suffix: "moisture", Kind: "SoilHumiditySensor", Quantity: "SoilHumidity", Unit: "Percent", Decimals: 1}}
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			a, err := openSoilADC(env, o)
			if err != nil {
				return nil, err
			}
			p := soilProbe{dry: o.Decimal("dry"), wet: o.Decimal("wet"), margin: o.Decimal("margin")}
			return sampler{a, func(ctx context.Context) ([]sensors.Sample, error) {
				v, err := a.volts(ctx)
				if err != nil {
					return nil, err
				}
				percent, err := p.percent(v)
				if err != nil {
					return nil, fmt.Errorf("sensors: soil-moisture at %s, channel %s: %w", env.Bus, o.Text("channel"), err)
				}
				return one("moisture", percent, 1)
			}}, nil
		},
	})
}

// soilChoices are what an option of a converter on I2C can be.
func soilChoices(adc, option string) []string {
	for _, o := range ads1x15Options(adc) {
		if o.Name == option {
			return o.Choices
		}
	}
	return nil
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
	if rates := soilChoices(adc, "rate"); rate != "" && !slices.Contains(rates, rate) {
		wrong = append(wrong, sensors.OptionError{Option: "rate", Problem: fmt.Sprintf("an %s has no rate %.20q", adc, rate),
			Remedy: "one of " + strings.Join(rates, ", ")})
	}
	return wrong
}

// openSoilADC opens the input that the probe is on.
func openSoilADC(env sensors.Env, o sensors.Options) (adc, error) {
	kind, _, err := sensors.ParseBus(env.Bus)
	switch {
	case err != nil:
		return nil, fmt.Errorf("sensors: soil-moisture: %w", err)
	case kind == sensors.SPI:
		return openMCP3008(env, o, "mcp3008")
	}
	return openADS1x15(env, o, o.Text("adc"))
}

// soilProbe is a probe with its two points in volts, and the margin in percent.
type soilProbe struct{ dry, wet, margin float64 }

// percent gives 0 to 100.
func (p soilProbe) percent(volts float64) (float64, error) {
	x := (volts - p.dry) / (p.wet - p.dry) * 100
	if !(x >= -p.margin && x <= 100+p.margin) {
		return 0, fmt.Errorf("%.3f V is far outside dry (%v V) and wet (%v V): unplugged or short-circuited", volts, p.dry, p.wet)
	}
	return min(max(x, 0), 100), nil
}
