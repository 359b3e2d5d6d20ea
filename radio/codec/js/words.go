package js

import (
	"slices"
	"strconv"

	"github.com/dop251/goja"

	"fieldgate/radio/codec"
)

// words are what a measurement is in Waziup's vocabulary.
type words struct{ kind, quantity, unit string }

// schema is TTN's payload schema (TheThingsNetwork/lorawan-devices,
// lib/payload.json) in those words; hPa are Millibar. The unit of soil.ec, dS/m,
// is none of Waziup's.
var schema = map[string]words{
	"air_temperature":        {"AirThermometer", "AirTemperature", "DegreeCelsius"},
	"air_relativeHumidity":   {"HumiditySensor", "AirHumidity", "Percent"},
	"air_pressure":           {"AtmosphericPressureSensor", "AtmosphericPressure", "Millibar"},
	"air_co2":                {"CO2Sensor", "CO2", "PartsPerMillion"},
	"air_lightIntensity":     {"LightSensor", "Illuminance", "Lux"},
	"wind_speed":             {"SpeedSensor", "WindSpeed", "MetrePerSecond"},
	"wind_direction":         {"", "WindDirection", "DegreeAngle"},
	"soil_depth":             {"DistanceSensor", "Distance", "Centimetre"},
	"soil_moisture":          {"SoilHumiditySensor", "SoilHumidity", "Percent"},
	"soil_temperature":       {"Thermometer", "SoilTemperature", "DegreeCelsius"},
	"soil_ec":                {"ConductivitySensor", "Conductivity", ""},
	"soil_pH":                {"PHSensor", "PH", "Dimensionless"},
	"soil_n":                 {"", "ChemicalAgentConcentration", "PartsPerMillion"},
	"soil_p":                 {"", "ChemicalAgentConcentration", "PartsPerMillion"},
	"soil_k":                 {"", "ChemicalAgentConcentration", "PartsPerMillion"},
	"water_temperature":      {"Thermometer", "WaterTemperature", "DegreeCelsius"},
	"action_motion_detected": {"", "Motion", ""},
	"action_motion_count":    {"Counter", "Count", "Dimensionless"},
	"action_contactState":    {"", "DoorStatus", ""},
	"battery":                {"VoltageSensor", "Voltage", "Volt"},
}

// signs are signs of units that scripts give, in Waziup's words.
var signs = map[string]string{
	"°C": "DegreeCelsius", "℃": "DegreeCelsius", "C": "DegreeCelsius", "°F": "DegreeFahrenheit", "K": "Kelvin",
	"%": "Percent", "%RH": "Percent", "% RH": "Percent",
	"V": "Volt", "mV": "Millivolt", "µV": "Microvolt", "A": "Ampere", "mA": "Milliampere", "µA": "Microampere",
	"W": "Watt", "mW": "Milliwatt", "kWh": "KiloWattHour", "Ω": "Ohm", "Hz": "Hertz",
	"Pa": "Pascal", "hPa": "Millibar", "mbar": "Millibar", "kPa": "KiloPascal", "bar": "Bar",
	"ppm": "PartsPerMillion", "ppb": "PartsPerBillion", "µg/m³": "MicrogramPerCubicMetre", "mg/L": "MilligramPerLitre",
	"lx": "Lux", "lux": "Lux", "W/m²": "WattPerSquareMetre", "W⋅m⁻²": "WattPerSquareMetre", "dB": "Decibel", "dBm": "DecibelMilliwatt", "dBA": "DecibelA",
	"m": "Metre", "cm": "Centimetre", "mm": "Millimetre", "km": "Kilometre", "mm/h": "MillimetrePerHour", "mm⋅h⁻¹": "MillimetrePerHour",
	"m/s": "MetrePerSecond", "m⋅s⁻¹": "MetrePerSecond", "km/h": "KilometrePerHour", "°": "DegreeAngle",
	"L": "Litre", "l": "Litre", "mL": "Millilitre", "kg": "Kilogram", "g": "Gram",
	"s": "SecondTime", "min": "MinuteTime", "h": "Hour", "d": "Day", "ms": "Millisecond",
}

// unitWord is Waziup's word for a unit, or the unit as it is.
func unitWord(unit string) string {
	if w, ok := signs[unit]; ok {
		return w
	}
	return unit
}

// normalized gives the values of what normalizeUplink gave: a measurement or an
// array of them, each with a time if need be.
func (c *collector) normalized(v goja.Value) error {
	v, k := c.r.look(v)
	list := []goja.Value{v}
	if k == array {
		o := v.(*goja.Object)
		list = list[:0]
		for i := range int(min(size(o), codec.MaxValues)) {
			list = append(list, o.Get(strconv.Itoa(i)))
		}
	}
	for _, v := range list {
		v, k := c.r.look(v)
		if k != compound {
			continue
		}
		o := v.(*goja.Object)
		c.usual = 0
		if t := o.Get("time"); t != nil {
			c.usual = c.age("time", t)
		}
		for _, key := range o.Keys() {
			if key == "time" {
				continue
			}
			if err := c.add(key, o.Get(key), 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// merge puts measurements beside or in place of values.
func merge(values, measurements []codec.Value, how Normalized) []codec.Value {
	if how == NormalizedOnly && len(measurements) > 0 {
		return measurements
	}
	values = slices.DeleteFunc(values, func(v codec.Value) bool {
		return slices.ContainsFunc(measurements, func(m codec.Value) bool { return m.Name == v.Name && !v.Actuator })
	})
	return append(values, measurements...)
}
