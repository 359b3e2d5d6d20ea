package drivers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"fieldgate/sensors"
)

// hwmon reads what the kernel's hardware monitoring drivers measure: board and
// CPU temperatures, supply voltages, fans, power monitors such as the INA2xx,
// and chips such as LM75 or SHT3x that a device tree overlay gave to the kernel.
//
// Source: the kernel's Documentation/hwmon/sysfs-interface.rst. Units there are
// milli °C, mV, rpm, µW, mA, milli percent, µJ and Hz. An input whose fault
// file says 1 (an open diode, a fan that stands) is an error, not its value.
//
// Limits: voltages are those at the chip's pins; the divider of the board, if
// there is one, is the matter of `scale`. Kernels that are older than 3.15 keep
// some inputs in the folder "device" below, which is looked into too.
func init() {
	sensors.Register(sensors.Driver{
		Name: "hwmon",
		Doc:  "the kernel's hwmon drivers: temperature, voltage, fan, power, current, humidity, energy or frequency",
		Options: []sensors.Option{
			{Name: "chip", Doc: "what its file name says, such as cpu_thermal, or hwmon0", Kind: sensors.Text, Required: true},
			{Name: "input", Doc: "such as temp1, in0, fan1, power1, curr1, humidity1, energy1 or freq1", Kind: sensors.Text, Required: true},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			if _, _, err := parseHwmonInput(o.Text("input")); err != nil {
				return []sensors.OptionError{{Option: "input", Problem: err.Error(), Remedy: "temp1, in0, fan1, power1, curr1, humidity1, energy1, freq1 or another number of these"}}
			}
			return nil
		},
		Every: 30 * time.Second,
		Channels: func(o sensors.Options) []sensors.Channel {
			_, q, err := parseHwmonInput(o.Text("input"))
			if err != nil {
				return []sensors.Channel{{}}
			}
			return []sensors.Channel{q.channel}
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			s := &sysfsSensor{label: label("hwmon: " + o.Text("chip") + " " + o.Text("input"))}
			input, q, err := parseHwmonInput(o.Text("input"))
			if err != nil {
				return nil, s.wrap(err)
			}
			dir, err := sysfsDevice(env.Board.Root(), "sys/class/hwmon", "hwmon", o.Text("chip"), "name")
			if err != nil {
				return nil, s.wrap(err)
			}
			s.channel = q.channel
			s.read = func() (float64, error) { return readHwmon(dir, input, q) }
			return s, nil
		},
	})
}

var hwmonInput = regexp.MustCompile(`^(temp|in|fan|power|curr|humidity|energy|freq)([0-9]{1,3})$`)

// parseHwmonInput reads the name of an input, also as its file ("temp1_input").
// It gives its name without that and what it measures.
func parseHwmonInput(s string) (string, *sysfsQuantity, error) {
	s = strings.TrimSuffix(s, "_input")
	m := hwmonInput.FindStringSubmatch(s)
	if m == nil {
		return "", nil, fmt.Errorf("%.40q is no input that can be measured", s)
	}
	q := &sysfsQuantity{low: -math.MaxFloat64, high: math.MaxFloat64}
	switch m[1] {
	case "temp":
		q.channel = sensors.Channel{Kind: "Thermometer", Quantity: "Temperature", Unit: "DegreeCelsius", Decimals: 2}
		q.factor, q.low = 1e-3, -273.15
	case "in":
		q.channel = sensors.Channel{Kind: "VoltageSensor", Quantity: "Voltage", Unit: "Volt", Decimals: 3}
		q.factor = 1e-3
	case "fan":
		q.channel = sensors.Channel{Kind: "OtherSensor", Quantity: "RotationalSpeed", Unit: "RevolutionsPerMinute"}
		q.factor, q.low = 1, 0
	case "power":
		q.channel = sensors.Channel{Kind: "OtherSensor", Quantity: "Power", Unit: "Watt", Decimals: 4}
		q.factor = 1e-6
	case "curr":
		q.channel = sensors.Channel{Kind: "CurrentSensor", Quantity: "ElectricCurrent", Unit: "Ampere", Decimals: 3}
		q.factor = 1e-3
	case "humidity":
		q.channel = sensors.Channel{Kind: "HumiditySensor", Quantity: "RelativeHumidity", Unit: "Percent", Decimals: 2}
		q.factor, q.low, q.high = 1e-3, humidityLow, humidityHigh
	case "energy":
		q.channel = sensors.Channel{Kind: "EnergyMeter", Quantity: "Energy", Unit: "Joule", Decimals: 3}
		q.factor, q.low = 1e-6, 0
	case "freq":
		q.channel = sensors.Channel{Kind: "FrequencySensor", Quantity: "Frequency", Unit: "Hertz"}
		q.factor, q.low = 1, 0
	}
	return s, q, nil
}

// readHwmon measures once. Some chips give power as an average only.
func readHwmon(dir, input string, q *sysfsQuantity) (float64, error) {
	items := []string{"_input"}
	if strings.HasPrefix(input, "power") {
		items = append(items, "_average")
	}
	var first error
	for _, folder := range []string{dir, filepath.Join(dir, "device")} {
		for _, item := range items {
			path := filepath.Join(folder, input+item)
			v, err := sysfsNumber(path)
			if errors.Is(err, fs.ErrNotExist) {
				if first == nil {
					first = err
				}
				continue
			}
			if err != nil {
				return 0, err
			}
			fault := filepath.Join(folder, input+"_fault")
			switch f, err := sysfsOptional(fault, 0); {
			case err != nil:
				return 0, err
			case f != 0:
				return 0, fmt.Errorf("%s: the chip reports a fault of this input", fault)
			}
			if v, err = q.convert(v); err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			return v, nil
		}
	}
	return 0, first
}
