package drivers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"fieldgate/sensors"
)

// iio reads what the kernel's Industrial I/O drivers measure: converters,
// climate, light, distance and gas sensors that a device tree overlay gave to
// the kernel (such as dht11, bmp280, ads1015, vl53l0x, mcp320x).
//
// Source: the kernel's Documentation/ABI/testing/sysfs-bus-iio. A processed
// value (in_temp_input) is taken as it is; else it is (raw + offset) * scale,
// with the offset and scale of the channel, or those that all channels of its
// type share (in_voltage_scale), or all of the device. One that is not there is
// 0 and 1: the ABI says that such a value is in its unit already. A file that is
// there and cannot be read is an error, never left out.
//
// An input that is written with its ending is that file alone: in_voltage0_raw
// is the number that the converter gave, without scale and unit, for a soil
// probe that is calibrated with `points`.
//
// Limits: one value at a time by its file; no buffers and triggers. Files with
// more than one number (quaternions) are refused.
func init() {
	sensors.Register(sensors.Driver{
		Name: "iio",
		Doc:  "the kernel's IIO drivers: any input channel, in the unit of its type",
		Options: []sensors.Option{
			{Name: "chip", Doc: "what its file name or label says, such as bme280, or iio:device0", Kind: sensors.Text, Required: true},
			{Name: "input", Doc: "channel such as in_temp, in_voltage0, in_humidityrelative; with _raw behind it: the number without scale and unit", Kind: sensors.Text, Required: true},
		},
		Check: func(o sensors.Options) []sensors.OptionError {
			if _, err := parseIIOInput(o.Text("input")); err != nil {
				return []sensors.OptionError{{Option: "input", Problem: err.Error(), Remedy: "a channel as its files in /sys/bus/iio/devices are called, such as in_temp or in_voltage0"}}
			}
			return nil
		},
		Every: 30 * time.Second,
		Channels: func(o sensors.Options) []sensors.Channel {
			in, err := parseIIOInput(o.Text("input"))
			if err != nil {
				return []sensors.Channel{{}}
			}
			return []sensors.Channel{in.quantity().channel}
		},
		Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			s := &sysfsSensor{label: label("iio: " + o.Text("chip") + " " + o.Text("input"))}
			in, err := parseIIOInput(o.Text("input"))
			if err != nil {
				return nil, s.wrap(err)
			}
			dir, err := sysfsDevice(env.Board.Root(), "sys/bus/iio/devices", "iio:device", o.Text("chip"), "name", "label")
			if err != nil {
				return nil, s.wrap(err)
			}
			q := in.quantity()
			s.channel = q.channel
			s.read = func() (float64, error) { return in.read(dir, q) }
			return s, nil
		},
	})
}

// iioInput is the name of an input channel, taken apart.
type iioInput struct {
	name     string // in_voltage0_supply
	kind     string // voltage
	index    string // 0, or ""
	minus    string // of a differential channel: -voltage1, or ""
	modifier string // _supply, or ""
	ending   string // raw or input if it was written, or ""
}

// The modifier of in_velocity_sqrt(x^2+y^2+z^2) is the reason for the odd signs.
var iioName = regexp.MustCompile(`^in_([a-z]+)([0-9]{0,4})(-[a-z]+[0-9]{0,4})?(_[a-z0-9_^+()]{1,60})?$`)

// parseIIOInput reads the name of an input channel.
func parseIIOInput(s string) (*iioInput, error) {
	in := &iioInput{name: s}
	for _, ending := range []string{"raw", "input"} {
		if name, ok := strings.CutSuffix(s, "_"+ending); ok {
			in.name, in.ending = name, ending
		}
	}
	m := iioName.FindStringSubmatch(in.name)
	if m == nil {
		return nil, fmt.Errorf("%.60q is no input channel", s)
	}
	in.kind, in.index, in.minus, in.modifier = m[1], m[2], m[3], m[4]
	return in, nil
}

// shared lists what the channel's offset or scale may be called, the most
// particular first.
func (in *iioInput) shared(item string) []string {
	kind := "in_" + in.kind
	minus := strings.TrimRight(in.minus, "0123456789")
	var out []string
	for _, name := range []string{in.name + "_", kind + in.index + in.minus + "_", kind + minus + in.modifier + "_", kind + minus + "_", "in_", ""} {
		if !slices.Contains(out, name+item) {
			out = append(out, name+item)
		}
	}
	return out
}

// number reads the first of the files that is there.
func (in *iioInput) number(dir, item string, absent float64) (float64, error) {
	for _, name := range in.shared(item) {
		v, err := sysfsNumber(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return v, err
	}
	return absent, nil
}

// read measures once.
func (in *iioInput) read(dir string, q *sysfsQuantity) (float64, error) {
	path := filepath.Join(dir, in.name+"_input")
	if in.ending != "raw" {
		v, err := sysfsNumber(path)
		if err == nil {
			return in.convert(q, path, v)
		}
		if in.ending == "input" || !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	path = filepath.Join(dir, in.name+"_raw")
	v, err := sysfsNumber(path)
	if err != nil {
		return 0, err
	}
	if in.ending == "raw" {
		return v, nil
	}
	offset, err := in.number(dir, "offset", 0)
	if err != nil {
		return 0, err
	}
	scale, err := in.number(dir, "scale", 1)
	if err != nil {
		return 0, err
	}
	return in.convert(q, path, (v+offset)*scale)
}

func (in *iioInput) convert(q *sysfsQuantity, path string, v float64) (float64, error) {
	v, err := q.convert(v)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// quantity is what a channel measures. The units of the kernel are those of
// sysfs-bus-iio; a type that has none there has none here.
func (in *iioInput) quantity() *sysfsQuantity {
	q := &sysfsQuantity{factor: 1, low: -math.MaxFloat64, high: math.MaxFloat64}
	q.channel.Decimals = 6
	if in.ending == "raw" {
		q.channel.Decimals = 0
		return q
	}
	is := func(kind, quantity, unit string, decimals int, factor float64) {
		q.channel = sensors.Channel{Kind: kind, Quantity: quantity, Unit: unit, Decimals: decimals}
		q.factor = factor
	}
	switch in.kind {
	case "temp": // milli °C
		is("Thermometer", "Temperature", "DegreeCelsius", 2, 1e-3)
		q.low = -273.15
	case "humidityrelative": // milli percent
		is("HumiditySensor", "RelativeHumidity", "Percent", 2, 1e-3)
		q.low, q.high = humidityLow, humidityHigh
	case "pressure": // kPa
		is("PressureSensor", "Pressure", "Millibar", 2, 10)
		q.low = 0
	case "voltage", "altvoltage": // mV
		is("VoltageSensor", "Voltage", "Volt", 6, 1e-3)
	case "current", "altcurrent": // mA
		is("CurrentSensor", "ElectricCurrent", "Ampere", 6, 1e-3)
	case "power": // mW
		is("OtherSensor", "Power", "Watt", 6, 1e-3)
	case "energy":
		is("EnergyMeter", "Energy", "Joule", 3, 1)
	case "resistance":
		is("ElectricalSensor", "ElectricalResistance", "Ohm", 3, 1)
	case "capacitance": // nF
		is("ElectricalSensor", "Capacitance", "Farad", 15, 1e-9)
	case "electricalconductivity":
		is("ConductivitySensor", "Conductivity", "SiemensPerMetre", 6, 1)
	case "illuminance":
		is("LightSensor", "Illuminance", "Lux", 2, 1)
		q.low = 0
	case "intensity": // has no unit
		is("LightSensor", "", "", 3, 1)
	case "distance":
		is("DistanceSensor", "Distance", "Metre", 3, 1)
		q.low = 0
	case "proximity": // often without a unit, and then greater if nearer
		is("ProximitySensor", "Proximity", "", 3, 1)
	case "accel", "gravity":
		is("Accelerometer", "Acceleration", "MetrePerSecondSquare", 4, 1)
	case "anglvel":
		is("GyroscopeSensor", "AngularSpeed", "RadianPerSecond", 5, 1)
	case "angl":
		is("GyroscopeSensor", "Orientation", "Radian", 4, 1)
	case "incli":
		is("GyroscopeSensor", "Orientation", "DegreeAngle", 3, 1)
	case "magn":
		is("Magnetometer", "MagneticFluxDensity", "Gauss", 5, 1)
	case "velocity":
		is("SpeedSensor", "Speed", "MetrePerSecond", 3, 1)
	case "count", "steps":
		is("Counter", "Count", "Dimensionless", 0, 1)
	case "ph":
		is("PHSensor", "PH", "Dimensionless", 3, 1)
	case "concentration": // percent
		switch in.modifier {
		case "_co2":
			is("CO2Sensor", "CO2", "PartsPerMillion", 1, 1e4)
		case "_voc":
			is("VOCSensor", "ChemicalAgentAtmosphericConcentrationVOC", "PartsPerBillion", 1, 1e7)
		default:
			is("OtherSensor", "ChemicalAgentConcentration", "Percent", 4, 1)
		}
		q.low = 0
	case "massconcentration":
		is("DustSensor", "ChemicalAgentAtmosphericConcentrationDust", "MicrogramPerCubicMetre", 1, 1)
		q.low = 0
	}
	return q
}
