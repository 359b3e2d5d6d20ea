// Package drivers holds the drivers for what can be attached to a board: one
// file for each, which registers itself. To be imported for that effect.
//
// A driver for a chip on I2C:
//
//	func init() {
//		sensors.Register(sensors.Driver{
//			Name:    "tmp117",
//			Doc:     "Texas Instruments TMP117: temperature -55 to 150 °C, ±0.1 °C; I2C",
//			Bus:     sensors.I2C,
//			Options: []sensors.Option{addressOption(0x48, 0x48, 0x4b)},
//			Channels: func(sensors.Options) []sensors.Channel {
//				return []sensors.Channel{{Suffix: "temperature", Kind: "Thermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius", Decimals: 2}}
//			},
//			Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
//				c, err := openI2C(env, o, "tmp117")
//				return sampler{c, func(context.Context) ([]sensors.Sample, error) {
//					var b [2]byte
//					if err := c.tx([]byte{0}, b[:]); err != nil {
//						return nil, err
//					}
//					return one("temperature", float64(int16(b[0])<<8|int16(b[1]))/128, 2)
//				}}, err
//			},
//		})
//	}
//
// Its keys in the configuration, their checks, `fieldgate sensors`, `fieldgate
// read` and the polling follow from that; nothing else is edited but the table
// of drivers in the documentation, which a test holds against this list.
//
// What a chip did not measure is an error that names chip, bus and address, and
// never a number.
package drivers
