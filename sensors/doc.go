// Package sensors reads what is attached to the board: it says what a sensor
// is, keeps the registry of drivers, and polls.
//
// A new chip is one new file that registers itself:
//
//	func init() {
//		Register(Driver{
//			Name:     "tmp102",
//			Doc:      "Texas Instruments TMP102, I2C, -40 to 125 °C",
//			Options:  []Option{{Name: "address", Doc: "I2C address", Kind: Integer, Default: "0x48", Min: 0x48, Max: 0x4b}},
//			Channels: func(Options) []Channel { return []Channel{{Unit: "DegreeCelsius"}} },
//			Open:     openTMP102,
//		})
//	}
//
// The configuration, its checks, the help texts and the polling follow from
// that; nothing else is edited.
package sensors
