package sx127x

import (
	"context"
	"errors"
	"fmt"
	"time"
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

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mode is OpMode in LoRa mode.
func (r *Radio) mode(m byte) byte {
	if r.lf {
		return opLongRange | opLowFrequency | m
	}
	return opLongRange | m
}

// setUp resets the chip, if it can be, and leaves it in standby with the settings
// of the receiver. It gives the chip's name.
func (r *Radio) setUp(ctx context.Context, h *chip) (string, error) {
	if h.reset != nil { // section 7.2.2: at least 100 µs low, then 5 ms
		if err := sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
		if err := h.reset.Set(true); err != nil {
			return "", err
		}
	}
	if err := sleep(ctx, 10*time.Millisecond); err != nil { // section 7.2.1, after power-on
		return "", err
	}
	version, err := h.get(regVersion)
	if err != nil {
		return "", err
	}
	name, err := chipName(version)
	if err != nil {
		return "", err
	}
	if err := r.calibrate(ctx, h); err != nil {
		return name, err
	}
	// LongRangeMode changes in sleep only (section 4.1.6).
	for _, m := range []byte{opSleep, r.mode(opSleep), r.mode(opStandby)} {
		if err := h.put(regOpMode, m); err != nil {
			return name, err
		}
	}
	if err := sleep(ctx, time.Millisecond); err != nil { // the oscillator starts in 250 µs
		return name, err
	}
	settings := r.settings()
	if err := h.putAll(settings); err != nil {
		return name, err
	}
	if err := h.put(regIRQFlags, 0xff); err != nil {
		return name, err
	}
	return name, h.verify([]write{{regOpMode, []byte{r.mode(opStandby)}}}, settings)
}

// settings are all that the chip is to have while it receives.
func (r *Radio) settings() []write {
	s := append(fixed(), power(int(r.c.MaxPower), r.c.RFO)...)
	return append(s, modem(r.rx)...)
}

// calibrate calibrates the image rejection (section 2.1.3.8), which is to be
// done in FSK mode, near the frequency, and with the amplifier off. The chip may
// be in any mode before, if it has no reset line.
func (r *Radio) calibrate(ctx context.Context, h *chip) error {
	if err := h.halt(); err != nil {
		return err
	}
	low, high := uint32(434e6), uint32(868e6)
	if r.lf {
		low = r.c.Tuning.Frequency
	} else {
		high = r.c.Tuning.Frequency
	}
	if err := h.put(regOpMode, opSleep); err != nil {
		return err
	}
	for _, at := range []struct {
		hz uint32
		op byte
	}{{low, opLowFrequency | opStandby}, {high, opStandby}} {
		step := frf(at.hz)
		if err := h.putAll([]write{
			{regOpMode, []byte{at.op}},
			{regPaConfig, []byte{0}},
			{regFrf, []byte{byte(step >> 16), byte(step >> 8), byte(step)}},
		}); err != nil {
			return err
		}
		if err := sleep(ctx, time.Millisecond); err != nil { // oscillator
			return err
		}
		if err := h.put(regImageCal, imageCalStart); err != nil {
			return err
		}
		if err := calibrated(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// calibrated waits for the end of a calibration, which takes about 10 ms.
func calibrated(ctx context.Context, h *chip) error {
	for range 50 {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
		v, err := h.get(regImageCal)
		if err != nil {
			return err
		}
		if v&imageCalRunning == 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: the image calibration does not end", errSettings)
}
