// Package sensors reads what is attached to the board: it says what a sensor
// is, keeps the registry of drivers, and polls.
//
// A new chip is one new file in the package drivers that registers itself:
//
//	func init() {
//		sensors.Register(sensors.Driver{
//			Name:     "tmp102",
//			Doc:      "Texas Instruments TMP102: temperature -40 to 125 °C, ±0.5 °C; I2C",
//			Bus:      sensors.I2C,
//			Options:  []sensors.Option{addressOption(0x48, 0x48, 0x4b)},
//			Channels: func(sensors.Options) []sensors.Channel { return []sensors.Channel{{Suffix: "temperature", Unit: "DegreeCelsius"}} },
//			Open:     openTMP102,
//		})
//	}
//
// The configuration, its checks, the help texts and the polling follow from
// that; nothing else is edited.
package sensors
