package drivers

import (
	"math"

	"fieldgate/sensors"
)

// climateChannels are those of a chip for temperature and humidity of the air,
// temperature first.
func climateChannels(decimals int) []sensors.Channel {
	return []sensors.Channel{
		{Suffix: "temperature", Kind: "AirThermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius", Decimals: decimals},
		{Suffix: "humidity", Kind: "HumiditySensor", Quantity: "AirHumidity", Unit: "Percent", Decimals: decimals},
	}
}

// decodeClimate gives temperature in °C and relative humidity in percent of the
// words that Sensirion's SHT3x (datasheet section 4.13) and Texas Instruments'
// HDC302x (section 7.3.4) send. It refuses temperatures that the chips cannot
// measure, though their registers can hold them.
func decodeClimate(w []uint16) (temperature, humidity float64, err error) {
	temperature, humidity = -45+175*float64(w[0])/65535, 100*float64(w[1])/65535
	return temperature, humidity, within("temperature", temperature, -40, 125, "°C")
}

// gasChannels are those of a chip for volatile organic compounds, which
// estimates CO2 from them: the estimate first.
func gasChannels() []sensors.Channel {
	return []sensors.Channel{
		{Suffix: "eco2", Kind: "CO2Sensor", Quantity: "CO2", Unit: "PartsPerMillion"},
		{Suffix: "tvoc", Kind: "VOCSensor", Quantity: "ChemicalAgentAtmosphericConcentrationVOC", Unit: "PartsPerBillion"},
	}
}

// thermometerChannels is that of a thermometer of anything, with a resolution
// of 9 bits (0.5 °C) to 12 bits (0.0625 °C) and an accuracy of half a degree or
// so: more than two decimals say nothing.
func thermometerChannels(bits int) []sensors.Channel {
	return []sensors.Channel{{Suffix: "temperature", Kind: "Thermometer", Quantity: "Temperature", Unit: "DegreeCelsius", Decimals: min(bits-8, 2)}}
}

// voltageChannels is that of an input of a converter whose codes are a step in
// volts apart.
func voltageChannels(step float64) []sensors.Channel {
	return []sensors.Channel{{Suffix: "voltage", Kind: "VoltageSensor", Quantity: "Voltage", Unit: "Volt", Decimals: stepDecimals(step)}}
}

// stepDecimals is how many decimals are needed to tell values a step apart, 0
// to 9.
func stepDecimals(step float64) int {
	return int(min(max(math.Ceil(-math.Log10(step)-1e-9), 0), 9))
}
