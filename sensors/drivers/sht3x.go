package drivers

import (
	"context"
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
		Doc:  "Sensirion SHT30, SHT31, SHT35, SHT85: temperature -40 to 125 °C, ±0.2 °C, humidity 0 to 100 %, ±2 %; I2C",
		Bus:  sensors.I2C,
		Options: []sensors.Option{
			addressOption(0x44, 0x44, 0x45),
			{Name: "repeatability", Doc: "high (0.04 °C, 0.08 %), medium or low (0.15 °C, 0.21 %); low warms the chip least", Kind: sensors.Text,
				Default: "high", Choices: []string{"high", "medium", "low"}},
		},
		Channels: func(sensors.Options) []sensors.Channel { return climateChannels(2) },
		Open: func(ctx context.Context, env sensors.Env, o sensors.Options) (sensors.Sampler, error) {
			c, err := openI2C(env, o, "sht3x")
			if err != nil {
				return nil, err
			}
			s := &sht3x{i2cChip: c, shot: sht3xShot(o.Text("repeatability"))}
			return c.sampler(s.ready(ctx), s.measure)
		},
	})
}

// Commands; read only.
var (
	sht3xBreak       = []byte{0x30, 0x93}
	sht3xReset       = []byte{0x30, 0xa2}
	sht3xClearStatus = []byte{0x30, 0x41}
	sht3xStatus      = []byte{0xf3, 0x2d}
)

// The bits of the status (datasheet table 18).
const (
	sht3xHeater     = 1 << 13
	sht3xWasReset   = 1 << 4
	sht3xRejected   = 1 << 1 // the last command
	sht3xBadWrite   = 1 << 0
	sht3xAlwaysZero = 1<<14 | 1<<12 | 1<<3 | 1<<2
)

const (
	sht3xGap       = time.Millisecond // between two commands
	sht3xResetTime = 2 * time.Millisecond
)

// shtShot is a command that starts a measurement, which takes no longer than
// time.
type shtShot struct {
	command []byte
	time    time.Duration
}

func sht3xShot(repeatability string) shtShot {
	switch repeatability {
	case "low":
		return shtShot{[]byte{0x24, 0x16}, 4500 * time.Microsecond}
	case "medium":
		return shtShot{[]byte{0x24, 0x0b}, 6500 * time.Microsecond}
	}
	return shtShot{[]byte{0x24, 0x00}, 15500 * time.Microsecond}
}

// sht3x is an opened chip.
type sht3x struct {
	*i2cChip
	shot shtShot
}

// ready stops what the chip may be doing, resets it and looks at its status.
func (s *sht3x) ready(ctx context.Context) error {
	if err := s.send(ctx, sht3xBreak, sht3xGap); err != nil {
		return err
	}
	if err := s.send(ctx, sht3xReset, sht3xResetTime); err != nil {
		return err
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
	return s.send(ctx, sht3xClearStatus, sht3xGap)
}

// measure measures once.
func (s *sht3x) measure(ctx context.Context) ([]sensors.Sample, error) {
	w, err := s.ask(ctx, s.shot.command, s.shot.time, 2)
	if err != nil {
		return nil, err
	}
	temperature, humidity, err := decodeClimate(w)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, sht3xGap); err != nil {
		return nil, err
	}
	status, err := s.status()
	switch {
	case err != nil:
		return nil, err
	case status&sht3xHeater != 0:
		return nil, fmt.Errorf("status 0x%04x: the heater is on", status)
	}
	return samplesOf(climateChannels(2), temperature, humidity)
}

// status reads the status register. It refuses what no SHT3x says and a command
// that was not carried out.
func (s *sht3x) status() (uint16, error) {
	var b [3]byte
	if err := s.tx(sht3xStatus, b[:]); err != nil {
		return 0, err
	}
	w, err := checkedWords(b[:])
	if err != nil {
		return 0, fmt.Errorf("status: %w", err)
	}
	switch v := w[0]; {
	case v&sht3xAlwaysZero != 0:
		return 0, fmt.Errorf("status 0x%04x has reserved bits: no SHT3x", v)
	case v&(sht3xRejected|sht3xBadWrite) != 0:
		return 0, fmt.Errorf("status 0x%04x: the last command was not carried out", v)
	}
	return w[0], nil
}
