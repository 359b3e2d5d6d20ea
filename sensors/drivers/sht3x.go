package drivers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/sensors"
)

// Sensirion SHT30, SHT31 and SHT35 (SHT3x-DIS), and the SHT85, which has their
// commands at 0x44: temperature -40 to 125 °C, relative humidity 0 to 100 %.
//
// Datasheet: SHT3x-DIS version 5 (May 2018): table 4 (durations; version 6 allows
// half a millisecond more below 2.4 V, which is taken here), 4.3 (single shot),
// 4.8 to 4.11 (break, reset, status), 4.12 (checksum), 4.13 (conversion).
//
// The chip has no identity register. At opening it is stopped and reset, and its
// status register must come back with a right checksum and with nothing set that
// is reserved or cannot be after a reset. Measurements are single shots without
// clock stretching, which some controllers of I2C cannot do; a chip that is not
// ready answers NAK. Both words have checksums. After each measurement the
// status is read: a heater that others switched on falsifies both values.
func init() {
	sensors.Register(sensors.Driver{
		Name: "sht3x",
		Doc:  "Sensirion SHT30, SHT31, SHT35, SHT85: temperature -40 to 125 °C, ±0.2 °C; humidity 0 to 100 %, ±2 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x44, 0x44, 0x45),
			{Name: "repeatability", Doc: "high (0.04 °C, 0.08 %), medium or low (0.15 °C, 0.21 %); low warms the chip least", Kind: sensors.Text,
				Default: "high", Choices: []string{"high", "medium", "low"}},
		},
		Channels: func(sensors.Options) []sensors.Channel { return shtChannels() },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "sht3x")
			if err != nil {
				return nil, err
			}
			s := &sht3x{i2cChip: c, measure: sht3xCommand(o.Text("repeatability"))}
			if err := s.ready(ctx); err != nil {
				return nil, c.abandon(err)
			}
			return s, nil
		},
	})
}

// shtChannels are those of the chips that measure temperature and humidity.
func shtChannels() []sensors.Channel {
	return []sensors.Channel{
		{Suffix: "temperature", Kind: "AirThermometer", Quantity: "AirTemperature", Unit: "DegreeCelsius", Decimals: 2},
		{Suffix: "humidity", Kind: "HumiditySensor", Quantity: "AirHumidity", Unit: "Percent", Decimals: 2},
	}
}

// Commands, and the bits of the status.
const (
	sht3xBreak       = 0x3093
	sht3xReset       = 0x30a2
	sht3xClearStatus = 0x3041
	sht3xStatus      = 0xf32d

	sht3xHeater     = 1 << 13
	sht3xWasReset   = 1 << 4
	sht3xRejected   = 1 << 1 // the last command
	sht3xBadWrite   = 1 << 0
	sht3xAlwaysZero = 1<<14 | 1<<12 | 1<<3 | 1<<2
)

// sht3xGap is what the chip needs between two commands.
const sht3xGap = time.Millisecond

// shtCommand starts a measurement that takes no longer than time.
type shtCommand struct {
	code uint16
	time time.Duration
}

func sht3xCommand(repeatability string) shtCommand {
	switch repeatability {
	case "low":
		return shtCommand{0x2416, 4500 * time.Microsecond}
	case "medium":
		return shtCommand{0x240b, 6500 * time.Microsecond}
	}
	return shtCommand{0x2400, 15500 * time.Microsecond}
}

// sht3x is an opened chip.
type sht3x struct {
	*i2cChip
	measure shtCommand
}

// ready stops what the chip may be doing, resets it and looks at its status.
func (s *sht3x) ready(ctx context.Context) error {
	for _, step := range []shtCommand{{sht3xBreak, sht3xGap}, {sht3xReset, 2 * time.Millisecond}} {
		if err := s.command(ctx, step); err != nil {
			return err
		}
	}
	status, err := s.status()
	switch {
	case err != nil:
		return err
	case status&sht3xWasReset == 0:
		return fmt.Errorf("status 0x%04x does not show the reset: no SHT3x", status)
	case status&sht3xHeater != 0:
		return fmt.Errorf("status 0x%04x: the heater is on after a reset", status)
	}
	if err := pause(ctx, sht3xGap); err != nil {
		return err
	}
	return s.command(ctx, shtCommand{sht3xClearStatus, sht3xGap})
}

// Sample implements sensors.Sampler.
func (s *sht3x) Sample(ctx context.Context) ([]sensors.Sample, error) {
	if err := s.command(ctx, s.measure); err != nil {
		return nil, s.wrap(err)
	}
	var b [6]byte
	if err := s.tx(nil, b[:]); err != nil {
		return nil, err
	}
	temperature, humidity, err := sht3xDecode(b)
	if err != nil {
		return nil, s.wrap(err)
	}
	if err := pause(ctx, sht3xGap); err != nil {
		return nil, s.wrap(err)
	}
	status, err := s.status()
	switch {
	case err != nil:
		return nil, s.wrap(err)
	case status&sht3xHeater != 0:
		return nil, s.errorf("status 0x%04x: the heater is on", status)
	}
	return shtSamples(temperature, humidity)
}

// command sends one and waits for its time.
func (s *sht3x) command(ctx context.Context, c shtCommand) error {
	if err := s.open.Tx(s.addr, []byte{byte(c.code >> 8), byte(c.code)}, nil); err != nil {
		return err
	}
	return pause(ctx, c.time)
}

// status reads the status register (datasheet table 18). It refuses what no
// SHT3x says and a command that was not carried out.
func (s *sht3x) status() (uint16, error) {
	var b [3]byte
	if err := s.open.Tx(s.addr, []byte{sht3xStatus >> 8, sht3xStatus & 0xff}, b[:]); err != nil {
		return 0, err
	}
	v, err := shtWord(b[:], "status")
	switch {
	case err != nil:
		return 0, err
	case v&sht3xAlwaysZero != 0:
		return 0, fmt.Errorf("status 0x%04x has reserved bits: no SHT3x", v)
	case v&(sht3xRejected|sht3xBadWrite) != 0:
		return 0, fmt.Errorf("status 0x%04x: the last command was not carried out", v)
	}
	return v, nil
}

// sht3xDecode checks a measurement and gives °C and percent of relative
// humidity (datasheet section 4.13).
func sht3xDecode(b [6]byte) (temperature, humidity float64, err error) {
	t, h, err := shtWords(b)
	if err != nil {
		return 0, 0, err
	}
	temperature, humidity = -45+175*float64(t)/65535, 100*float64(h)/65535
	if err := shtRange(temperature); err != nil {
		return 0, 0, err
	}
	return temperature, humidity, nil
}

// shtWords checks and reads two words with checksums: temperature and humidity.
func shtWords(b [6]byte) (temperature, humidity uint16, err error) {
	if allOnes(b[:]) {
		return 0, 0, errAllOnes
	}
	if temperature, err = shtWord(b[:3], "temperature"); err == nil {
		humidity, err = shtWord(b[3:], "humidity")
	}
	return temperature, humidity, err
}

// shtWord reads a word of two bytes and its checksum. Neither a bus that reads
// only ones nor one that reads only zeros passes.
func shtWord(b []byte, what string) (uint16, error) {
	if allOnes(b) {
		return 0, errAllOnes
	}
	if want := crc8(b[:2]); b[2] != want {
		return 0, fmt.Errorf("%s: checksum is 0x%02x, not 0x%02x", what, b[2], want)
	}
	return uint16(b[0])<<8 | uint16(b[1]), nil
}

// shtRange refuses temperatures that the chips cannot measure, though their
// registers can hold them.
func shtRange(celsius float64) error {
	if celsius < -40 || celsius > 125 {
		return fmt.Errorf("temperature %.2f °C is outside the chip's range of -40 to 125", celsius)
	}
	return nil
}

// shtSamples are those of shtChannels.
func shtSamples(temperature, humidity float64) ([]sensors.Sample, error) {
	t, terr := sensors.Measured("temperature", temperature, 2)
	h, herr := sensors.Measured("humidity", humidity, 2)
	if err := errors.Join(terr, herr); err != nil {
		return nil, err
	}
	return []sensors.Sample{t, h}, nil
}
