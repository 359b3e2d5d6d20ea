package drivers

import (
	"context"
	"errors"
	"time"

	"fieldgate/sensors"
)

// Sensirion SHT40, SHT41, SHT43 and SHT45: temperature -40 to 125 °C, relative
// humidity 0 to 100 %. The letter after the number on the order code is the
// address: A 0x44, B 0x45, C 0x46.
//
// Datasheet: SHT4x version 6 (February 2023): "Timings" (durations, rounded up to
// whole milliseconds here), 4.4 (checksum), 4.5 (commands), 4.6 (conversion),
// "Serial number", "Reset & Abort".
//
// The chip has no identity register; its serial number of two words with
// checksums, which is fixed at the factory, stands in for one. Between the
// command and the answer a chip that is not ready says NAK. The conversion can
// give a humidity a little below 0 or above 100 %; as the datasheet says this is
// cut to 0 and 100. The heater is never switched on, and goes off by itself
// after a second at most when others do.
func init() {
	sensors.Register(sensors.Driver{
		Name: "sht4x",
		Doc:  "Sensirion SHT40, SHT41, SHT45: temperature -40 to 125 °C, ±0.2 °C; humidity 0 to 100 %, ±1.8 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x44, 0x44, 0x46),
			{Name: "precision", Doc: "high (0.04 °C, 0.08 %), medium or low (0.1 °C, 0.25 %); low warms the chip least", Kind: sensors.Text,
				Default: "high", Choices: []string{"high", "medium", "low"}},
		},
		Channels: func(sensors.Options) []sensors.Channel { return shtChannels() },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "sht4x")
			if err != nil {
				return nil, err
			}
			s := &sht4x{c, sht4xCommand(o.Text("precision"))}
			if err := s.ready(ctx); err != nil {
				return nil, c.abandon(err)
			}
			return s, nil
		},
	})
}

// Commands that do not measure, and how long to wait for the serial number: the
// datasheet gives no time, Sensirion's own programs take this one.
const (
	sht4xReset      = 0x94
	sht4xSerial     = 0x89
	sht4xSerialTime = 10 * time.Millisecond
)

func sht4xCommand(precision string) shtCommand {
	switch precision {
	case "low":
		return shtCommand{0xe0, 2 * time.Millisecond}
	case "medium":
		return shtCommand{0xf6, 5 * time.Millisecond}
	}
	return shtCommand{0xfd, 9 * time.Millisecond}
}

// sht4x is an opened chip.
type sht4x struct {
	*i2cChip
	measure shtCommand
}

// ready resets the chip, which ends what it may be doing, and reads its serial
// number.
func (s *sht4x) ready(ctx context.Context) error {
	if err := s.open.Tx(s.addr, []byte{sht4xReset}, nil); err != nil {
		return err
	}
	if err := pause(ctx, time.Millisecond); err != nil {
		return err
	}
	b, err := s.ask(ctx, shtCommand{sht4xSerial, sht4xSerialTime})
	if err != nil {
		return err
	}
	if allOnes(b[:]) {
		return errAllOnes
	}
	high, err := shtWord(b[:3], "serial number")
	if err != nil {
		return err
	}
	low, err := shtWord(b[3:], "serial number")
	if err == nil && high == 0 && low == 0 {
		err = errors.New("serial number is 0: no SHT4x")
	}
	return err
}

// Sample implements sensors.Sampler.
func (s *sht4x) Sample(ctx context.Context) ([]sensors.Sample, error) {
	b, err := s.ask(ctx, s.measure)
	if err != nil {
		return nil, s.wrap(err)
	}
	temperature, humidity, err := sht4xDecode(b)
	if err != nil {
		return nil, s.wrap(err)
	}
	return shtSamples(temperature, humidity)
}

// ask sends a command, waits for its time and reads two words.
func (s *sht4x) ask(ctx context.Context, c shtCommand) (b [6]byte, err error) {
	if err := s.open.Tx(s.addr, []byte{byte(c.code)}, nil); err != nil {
		return b, err
	}
	if err := pause(ctx, c.time); err != nil {
		return b, err
	}
	err = s.open.Tx(s.addr, nil, b[:])
	return b, err
}

// sht4xDecode checks a measurement and gives °C and percent of relative
// humidity (datasheet section 4.6).
func sht4xDecode(b [6]byte) (temperature, humidity float64, err error) {
	t, h, err := shtWords(b)
	if err != nil {
		return 0, 0, err
	}
	temperature = -45 + 175*float64(t)/65535
	if err := shtRange(temperature); err != nil {
		return 0, 0, err
	}
	return temperature, min(max(-6+125*float64(h)/65535, 0), 100), nil
}
