package sx126x

import (
	"context"
	"fmt"
	"strconv"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// Health implements chip.Chip: the chip receives, has no errors, has kept its
// settings, and has not heard frames of which Poll knows nothing.
func (d *device) Health(ctx context.Context) error {
	if err := d.all(ctx, []byte{opGetStatus, 0}); err != nil {
		return err
	}
	if m := mode(d.status); m != modeRX {
		return fmt.Errorf("%w: %s instead of RX; has its supply failed?", ErrMode, modeNames[m])
	}
	if err := d.faultless(ctx); err != nil {
		return err
	}
	want := syncWord(d.c.Tuning.SyncWord)
	got, err := d.read(ctx, regSyncWord, 2)
	if err != nil {
		return err
	}
	if [2]byte(got) != want {
		return fmt.Errorf("%w: the sync word is % x instead of % x", ErrMode, got, want)
	}
	return d.counted(ctx)
}

// slack is how many frames may have come that nobody read: this machine may have
// been busy.
const slack = 3

// counted compares the chip's count of frames (section 13.5.5) with those that
// were read.
func (d *device) counted(ctx context.Context) error {
	b, err := d.get(ctx, opGetStats, 6)
	if err != nil {
		return err
	}
	n := uint16(b[0])<<8 | uint16(b[1])
	if missed := int16(n - d.received); missed >= slack {
		return fmt.Errorf("%w: it has heard %d frames that it did not tell of", ErrMode, missed)
	}
	return nil
}

// Probe looks for the chip, sets it up as Run does, and reads back what it has.
// It must not run at the same time as the radio. What was found until an error
// comes with it.
func Probe(ctx context.Context, c Config) (chip.Info, error) {
	d, err := newDevice(c)
	if err != nil {
		return chip.Info{}, err
	}
	info, err := d.probe(ctx)
	if e := d.Close(); err == nil {
		err = e
	}
	if err != nil {
		return info, fmt.Errorf("sx126x: %s: %w", c.Name, err)
	}
	return info, nil
}

func (d *device) probe(ctx context.Context) (info chip.Info, err error) {
	add := func(name, format string, a ...any) {
		info.Settings = append(info.Settings, chip.Setting{Name: name, Value: fmt.Sprintf(format, a...)})
	}
	if info.Chip, err = d.Open(ctx); err != nil {
		return info, err
	}
	if err := d.Receive(ctx); err != nil {
		return info, err
	}
	if err := d.all(ctx, []byte{opGetStatus, 0}); err != nil {
		return info, err
	}
	add("mode", "%s", modeNames[mode(d.status)])
	for _, r := range []struct {
		name     string
		register uint16
		bytes    int
		show     func([]byte) string
	}{
		{"sync word", regSyncWord, 2, func(b []byte) string { return fmt.Sprintf("%02x%02x", b[0], b[1]) }},
		{"frequency", 0x088b, 4, func(b []byte) string {
			w := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
			return strconv.FormatUint((w*32e6+1<<24)>>25, 10) + " Hz"
		}},
		{"receiver gain", regRxGain, 1, func(b []byte) string {
			if b[0] == 0x96 {
				return "boosted"
			}
			return fmt.Sprintf("0x%02x", b[0])
		}},
		{"current limit", regOCP, 1, func(b []byte) string { return strconv.FormatFloat(float64(b[0])*2.5, 'f', -1, 64) + " mA" }},
	} {
		b, err := d.read(ctx, r.register, r.bytes)
		if err != nil {
			return info, err
		}
		add(r.name, "%s", r.show(b))
	}
	b, err := d.get(ctx, opGetRssiInst, 1)
	if err != nil {
		return info, err
	}
	add("level now", "%g dBm", -float64(b[0])/2)
	add("listens to", "%s", tuningText(d.c.Tuning))
	add("lines", "%s", d.wired())
	return info, d.faultless(ctx)
}

// tuningText is a tuning in words.
func tuningText(t radio.Tuning) string {
	return fmt.Sprintf("%.4f MHz, %s, 4/%d, sync word 0x%02x", float64(t.Frequency)/1e6, t.DataRate(), t.CodingRate, t.SyncWord)
}

// wired says which lines there are.
func (d *device) wired() string {
	text := "interrupt " + orNone(d.c.IRQ, "none: polled") + ", busy " + orNone(d.c.Busy, "none: waits") + ", reset " + orNone(d.c.Reset, "none")
	if d.c.TCXO != 0 {
		text += fmt.Sprintf(", TCXO %g V", d.c.TCXO)
	}
	return text
}

func orNone(pin, none string) string {
	if pin == "" {
		return none
	}
	return pin
}
