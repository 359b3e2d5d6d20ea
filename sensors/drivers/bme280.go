package drivers

import (
	"context"
	"encoding/binary"
	"fmt"

	"fieldgate/sensors"
)

// Bosch Sensortec BME280: temperature, humidity and pressure of the air.
//
// Datasheet: BST-BME280-DS002 revision 1.23: calibration in table 16, compensation
// in section 4.2.3 and appendix 8.1, registers in section 5.4, measuring times in
// appendix 9.1.
//
// Limits: forced mode only: the chip sleeps between measurements.
//
// Periph's bmxx80 measures; bmp280.go says what is avoided of it. One
// fault more is the BME280's alone: dig_H5 is signed, 12 bits, and periph takes
// it as unsigned, so that the humidity of a chip with a negative one is wrong by
// far. It is calculated here from the same readings.
func init() {
	sensors.Register(sensors.Driver{
		Name:    "bme280",
		Doc:     "Bosch BME280: temperature -40 to 85 °C, ±1 °C, humidity 0 to 100 %, ±3 %, pressure 300 to 1100 hPa, ±1 hPa; I2C or SPI",
		Bus:     sensors.I2C | sensors.SPI,
		Options: bmx280Options(bmxx80Oversampling("oversampling_humidity", "humidity", "16")),
		Channels: func(o sensors.Options) []sensors.Channel {
			return bmxx80Channels(o, true, 2)
		},
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			return openBMx280(ctx, env, o, "bme280", true)
		},
	})
}

// bme280Humidity calculates the relative humidity in percent, 0 to 100, from
// the calibration (registers 0x88 to 0xa1 and 0xe1 to 0xe7) and what the
// converter measured as temperature, 20 bits, and humidity (BME280 appendix
// 8.1). Condensation makes it a little more than 100, which is cut off; what is
// farther out is an error.
func bme280Humidity(tp, h []byte, temperature uint32, humidity uint16) (float64, error) {
	if len(tp) < 26 || len(h) < 7 {
		return 0, fmt.Errorf("the calibration has %d and %d bytes", len(tp), len(h))
	}
	t1 := float64(binary.LittleEndian.Uint16(tp))
	t2 := float64(int16(binary.LittleEndian.Uint16(tp[2:])))
	t3 := float64(int16(binary.LittleEndian.Uint16(tp[4:])))
	h1 := float64(tp[25])
	h2 := float64(int16(binary.LittleEndian.Uint16(h)))
	h3 := float64(h[2])
	h4 := float64(int16(int8(h[3]))<<4 | int16(h[4]&0x0f))
	h5 := float64(int16(int8(h[5]))<<4 | int16(h[4]>>4))
	h6 := float64(int8(h[6]))

	d := float64(temperature)/131072 - t1/8192
	fine := (float64(temperature)/16384-t1/1024)*t2 + d*d*t3 // degrees Celsius times 5120
	x := fine - 76800
	rh := (float64(humidity) - (h4*64 + h5/16384*x)) * (h2 / 65536 * (1 + h6/67108864*x*(1+h3/67108864*x)))
	rh *= 1 - h1*rh/524288
	if err := within("humidity", rh, -10, 110, "%"); err != nil {
		return 0, err
	}
	return min(max(rh, 0), 100), nil
}
