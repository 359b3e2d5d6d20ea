package sx126x

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// tcxoStart is how long the TCXO is given. Modules need 1 to 5 ms.
const tcxoStart = 5 * time.Millisecond

// Open implements chip.Chip (section 14.3 has the order).
func (d *device) Open(ctx context.Context) (string, error) {
	err := d.take(&d.c)
	if err == nil {
		d.line, err = chip.Connect(d.c.Board, d.c.Bus, d.cs, d.c.Speed)
	}
	if err != nil {
		return "", err
	}
	name, err := d.identify(ctx)
	if err != nil {
		return "", err
	}
	for _, step := range []func(context.Context) error{d.oscillator, d.calibrate, d.configure} {
		if err := step(ctx); err != nil {
			return "", err
		}
	}
	return name, nil
}

// Close implements chip.Chip. The chip is left asleep, if it can be reached.
func (d *device) Close() error {
	var err error
	if d.line != nil {
		ctx, cancel := context.WithTimeout(context.Background(), busyLimit)
		err = d.all(ctx, []byte{opSetStandby, 0}, []byte{opSetSleep, 0})
		cancel()
	}
	err = errors.Join(err, d.antenna(false, false))
	if d.line != nil {
		err = errors.Join(err, d.line.Close())
	}
	d.line = nil
	return errors.Join(err, d.release())
}

// Interrupt implements chip.Chip.
func (d *device) Interrupt() radio.Input { return d.irq }

// identify resets the chip, or wakes it up where reset is not wired, and reads
// what it calls itself.
func (d *device) identify(ctx context.Context) (string, error) {
	if len(d.enable) > 0 { // the module may have had no supply until now
		if err := chip.Pause(ctx, startWait); err != nil {
			return "", err
		}
	}
	if d.reset != nil {
		// At least 100 µs (section 8.1).
		if err := errors.Join(d.reset.Set(false), chip.Pause(ctx, time.Millisecond), d.reset.Set(true)); err != nil {
			return "", fmt.Errorf("reset: %w", err)
		}
	} else {
		// The edge of NSS ends a sleep, and the command with it is lost (section
		// 9.3). BUSY is high in sleep too: a chip that starts is given its time.
		if err := chip.Pause(ctx, startWait); err != nil {
			return "", err
		}
		d.w[0], d.w[1] = opGetStatus, 0
		if err := d.exchange(2); err != nil {
			return "", fmt.Errorf("waking up: %w", err)
		}
	}
	d.ready = time.Now().Add(startWait)
	if d.busy != nil { // it rises a little later
		if err := chip.Pause(ctx, time.Millisecond); err != nil {
			return "", err
		}
	}
	if err := d.all(ctx, []byte{opSetStandby, 0}); err != nil { // RC (section 13.1.2)
		return "", err
	}
	text, err := d.read(ctx, regVersion, 16)
	if err != nil {
		return "", err
	}
	return chipName(d.c.Model, text)
}

// chipName checks the text at register 0x0320, such as "SX1261 V2D 2D02".
func chipName(model string, text []byte) (string, error) {
	version, _, _ := strings.Cut(string(text), "\x00")
	version = strings.TrimSpace(version)
	if !strings.HasPrefix(version, "SX126") && !strings.HasPrefix(version, "LLCC68") {
		return "", fmt.Errorf("%w: register 0x%04x has %q, not SX126", ErrAbsent, regVersion, version)
	}
	return fmt.Sprintf("%s (version %q)", model, version), nil
}

// oscillator has the regulator and the oscillator run. After a reset the chip has
// tried to calibrate itself, without the TCXO in vain (section 13.3.6).
func (d *device) oscillator(ctx context.Context) error {
	if err := d.all(ctx, []byte{opSetRegulatorMode, 1}); err != nil { // DC-DC (section 13.1.11)
		return err
	}
	if code, ok := tcxoCode(d.c.TCXO); ok {
		t := timeout(tcxoStart)
		if err := d.all(ctx, []byte{opSetDIO3AsTCXOCtrl, code, t[0], t[1], t[2]}); err != nil {
			return err
		}
	}
	return d.all(ctx, []byte{opClearDeviceErrors, 0, 0})
}

// calibrate calibrates all blocks, and the image for the frequency (sections
// 13.1.12, 13.1.13 and 9.2.1).
func (d *device) calibrate(ctx context.Context) error {
	image := imagePair(d.c.Tuning.Frequency)
	if err := d.all(ctx, []byte{opCalibrate, 0x7f}); err != nil {
		return err
	}
	d.starting()
	if err := d.all(ctx, []byte{opCalibrateImage, image[0], image[1]}); err != nil {
		return err
	}
	d.starting()
	return d.faultless(ctx)
}

// starting allows for the TCXO's start, where BUSY does not tell its end.
func (d *device) starting() {
	if d.c.TCXO != 0 {
		d.ready = d.ready.Add(2 * tcxoStart)
	}
}

// faultless asks for device errors (section 13.6.1).
func (d *device) faultless(ctx context.Context) error {
	b, err := d.get(ctx, opGetDeviceErrors, 2)
	if err != nil {
		return err
	}
	return deviceErrors(uint16(b[0])<<8 | uint16(b[1]))
}

// configure sets all that stays as it is, and what the reception needs.
func (d *device) configure(ctx context.Context) error {
	pa, tx, ocp := amplifier(d.c.Model, d.c.MaxPower)
	d.power = d.c.MaxPower
	sync := syncWord(d.c.Tuning.SyncWord)
	var dio2 []byte // section 13.3.5
	if d.c.DIO2Switch {
		dio2 = []byte{opSetDIO2AsRfSwitchCtrl, 1}
	}
	mask := uint16(irqTxDone | irqRxDone | irqHeaderErr | irqCrcErr | irqTimeout)
	if d.irq == nil { // they say that a frame is on the way
		mask |= irqPreamble | irqHeaderValid
	}
	const dio1 = irqTxDone | irqRxDone | irqTimeout
	if err := d.all(ctx, dio2, []byte{opSetStandby, 1}); err != nil { // XOSC: the oscillator keeps running
		return err
	}
	d.starting()
	err := d.all(ctx,
		[]byte{opSetRxTxFallbackMode, 0x30}, // XOSC (section 13.1.15)
		[]byte{opSetPacketType, 1},          // LoRa, before all that follows (section 13.4.2)
		append([]byte{opSetPaConfig}, pa[:]...),
		write(regOCP, ocp), // SetPaConfig sets another one (section 13.1.14)
		append([]byte{opSetTxParams}, tx[:]...),
		[]byte{opSetBufferBaseAddress, 0, 0},
		write(regSyncWord, sync[:]...),
		write(regRxGain, 0x96),                 // boosted (section 9.6)
		[]byte{opResetStats, 0, 0, 0, 0, 0, 0}, // section 13.5.6
		[]byte{opSetDioIrqParams, byte(mask >> 8), byte(mask & 0xff), dio1 >> 8, dio1 & 0xff, 0, 0, 0, 0},
	)
	d.received, d.coming = 0, time.Time{}
	if err == nil && d.c.Model != SX1261 {
		err = d.change(ctx, regTxClamp, 0x1e, 0) // section 15.2
	}
	if err == nil {
		err = d.tune(ctx, d.c.Tuning.Frequency, d.c.Tuning.Modulation, true)
	}
	return err
}

// tune sets frequency and modulation. All says that the chip has none yet.
func (d *device) tune(ctx context.Context, hz uint32, m radio.Modulation, all bool) error {
	f, p := frequencyWord(hz), modulationParams(m)
	if all || f != d.tuned.frequency {
		if err := d.all(ctx, append([]byte{opSetRfFrequency}, f[:]...)); err != nil {
			return err
		}
	}
	if all || p != d.tuned.modulation {
		if err := d.all(ctx, append([]byte{opSetModulationParams}, p[:]...)); err != nil {
			return err
		}
	}
	d.tuned = tuned{f, p}
	return nil
}

// tuned is what the chip is tuned to.
type tuned struct {
	frequency  [4]byte
	modulation [4]byte
}

// packet sets the packet's form, and what section 15.4 asks for after it.
func (d *device) packet(ctx context.Context, preamble uint16, length int, crc, invert bool) error {
	p := packetParams(preamble, length, crc, invert)
	if err := d.all(ctx, append([]byte{opSetPacketParams}, p[:]...)); err != nil {
		return err
	}
	if invert {
		return d.change(ctx, regIQPolarity, 0, 4)
	}
	return d.change(ctx, regIQPolarity, 4, 0)
}
