package sx127x

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/radio/chip"
)

// Errors of a chip.
var (
	// ErrNoChip: nothing answers as an SX1276 does.
	ErrNoChip = errors.New("no chip answers")
	// ErrChip: another chip answers.
	ErrChip = errors.New("not an SX1276")

	errSettings = errors.New("the chip does not keep its settings")
)

// chipName is what register 0x42 says.
func chipName(version byte) (string, error) {
	switch version {
	case 0x11, 0x12, 0x13:
		return fmt.Sprintf("SX1276 version 0x%02x", version), nil
	case 0x00:
		return "", fmt.Errorf("%w: all zeros are read; look at power, MISO and whether the chip select is the right one", ErrNoChip)
	case 0xff:
		return "", fmt.Errorf("%w: all ones are read; look at the chip select and whether the chip is held in reset", ErrNoChip)
	case 0x22:
		return "", fmt.Errorf("%w: version 0x22 is an SX1272 or SX1273 (RFM92), which has other registers and is not supported", ErrChip)
	case 0x24:
		return "", fmt.Errorf("%w: version 0x24 is an SX1231 or RFM69, which has no LoRa", ErrChip)
	}
	return "", fmt.Errorf("%w: version 0x%02x", ErrChip, version)
}

// Open implements chip.Chip: it resets the chip, if it can be, and leaves it in
// standby with the settings of the receiver.
func (d *device) Open(ctx context.Context) (string, error) {
	if err := d.take(); err != nil {
		return "", err
	}
	if d.reset != nil { // section 7.2.2: at least 100 µs low, then 5 ms
		if err := chip.Pause(ctx, time.Millisecond); err != nil {
			return "", err
		}
		if err := d.reset.Set(true); err != nil {
			return "", fmt.Errorf("reset: %w", err)
		}
	}
	if err := chip.Pause(ctx, 10*time.Millisecond); err != nil { // section 7.2.1, after power-on
		return "", err
	}
	version, err := d.get(regVersion)
	if err != nil {
		return "", err
	}
	name, err := chipName(version)
	if err != nil {
		return "", err
	}
	d.known = true
	if err := d.calibrate(ctx); err != nil {
		return name, err
	}
	// LongRangeMode changes in sleep only.
	for _, m := range []byte{opSleep, d.mode(opSleep), d.mode(opStandby)} {
		if err := d.put(regOpMode, m); err != nil {
			return name, err
		}
	}
	if err := chip.Pause(ctx, time.Millisecond); err != nil { // the oscillator starts in 250 µs
		return name, err
	}
	settings := d.settings()
	if err := d.putAll(settings); err != nil {
		return name, err
	}
	if err := d.put(regIRQFlags, 0xff); err != nil {
		return name, err
	}
	return name, d.verify([]write{{regOpMode, []byte{d.mode(opStandby)}}}, settings)
}

// settings are all that the chip is to have while it receives.
func (d *device) settings() []write {
	s := append(fixed(), power(int(d.c.MaxPower), d.c.RFO)...)
	return append(s, modem(d.rx)...)
}

// calibrate calibrates the image rejection (datasheet: Image and RSSI Calibration),
// which is to be done in standby of FSK mode and near the frequency; as in Semtech's
// drivers the amplifier is off. The chip may
// be in any mode before, if it has no reset line.
func (d *device) calibrate(ctx context.Context) error {
	if err := d.halt(); err != nil {
		return err
	}
	low, high := uint32(434e6), uint32(868e6)
	if d.lf {
		low = d.c.Tuning.Frequency
	} else {
		high = d.c.Tuning.Frequency
	}
	if err := d.put(regOpMode, opSleep); err != nil {
		return err
	}
	for _, at := range []struct {
		hz uint32
		op byte
	}{{low, opLowFrequency | opStandby}, {high, opStandby}} {
		step := frf(at.hz)
		if err := d.putAll([]write{
			{regOpMode, []byte{at.op}},
			{regPaConfig, []byte{0}},
			{regFrf, []byte{byte(step >> 16), byte(step >> 8), byte(step)}},
		}); err != nil {
			return err
		}
		if err := chip.Pause(ctx, time.Millisecond); err != nil { // oscillator
			return err
		}
		if err := d.put(regImageCal, imageCalStart); err != nil {
			return err
		}
		if err := d.calibrated(ctx); err != nil {
			return err
		}
	}
	return nil
}

// calibrated waits for the end of a calibration, which takes about 10 ms.
func (d *device) calibrated(ctx context.Context) error {
	for range 50 {
		if err := chip.Pause(ctx, time.Millisecond); err != nil {
			return err
		}
		v, err := d.get(regImageCal)
		if err != nil {
			return err
		}
		if v&imageCalRunning == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: the image calibration does not end", errSettings)
}
