// Package drivers holds the drivers for what can be attached to a board: one
// file for each, which registers itself. To be imported for that effect.
//
// To add a chip on I2C, write one file:
//
//	func init() {
//		sensors.Register(sensors.Driver{
//			Name:     "tmp117",
//			Doc:      "Texas Instruments TMP117: temperature -55 to 150 °C, ±0.3 °C; I2C",
//			Bus:      sensors.I2C,
//			Options:  []sensors.Option{addressOption(0x48, 0x48, 0x4b)},
//			Channels: func(sensors.Options) []sensors.Channel { return thermometerChannels(12) },
//			Open: func(_ context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
//				c, err := openI2C(env, o, "tmp117")
//				if err != nil {
//					return nil, err
//				}
//				return c.sampler(c.identify(0x0f, 0x0117, 0x0fff), func(context.Context) ([]sensors.Sample, error) {
//					raw, err := c.readWord(0x00)
//					if err == nil && raw == 0xffff {
//						err = errAllOnes // rather than -0.0078 °C
//					}
//					if err != nil {
//						return nil, err
//					}
//					v := float64(int16(raw)) / 128 // -256 before the first conversion
//					if err := within("temperature", v, -55, 150, "°C"); err != nil {
//						return nil, err
//					}
//					return samplesOf(thermometerChannels(12), v)
//				})
//			},
//		})
//	}
//
// Its keys in the configuration, their checks, `fieldgate sensors`, `fieldgate
// read` and the polling follow from that, and nothing else is edited but the table
// of drivers (`fieldgate sensors --markdown > sensors/DRIVERS.md`).
//
// What a chip did not measure is an error and never a number: no answer, another
// chip, a wrong checksum, a value that is not within the range that Doc promises.
// Within a driver errors are plain; the sampler adds chip, bus and address.
//
// Every driver is tested without being named anywhere (TestEveryDriver...) on
// buses that answer nonsense, too late or not at all. What remains is a test
// with traffic from the datasheet: recorded, refused and unanswered in rig_test.go.
package drivers
