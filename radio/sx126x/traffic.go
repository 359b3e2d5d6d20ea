package sx126x

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// Receive implements chip.Chip: continuously, with headers, up to the longest
// payload (section 13.1.5).
func (d *device) Receive(ctx context.Context) error {
	t := d.c.Tuning
	err := d.tune(ctx, t.Frequency, t.Modulation, false)
	if err == nil {
		err = d.packet(ctx, t.Preamble, radio.MaxPayload, true, d.c.InvertIQ)
	}
	if err == nil {
		err = d.antenna(false, true)
	}
	if err == nil {
		err = d.all(ctx,
			[]byte{opClearIrqStatus, irqAll >> 8, irqAll & 0xff},
			[]byte{opSetRx, 0xff, 0xff, 0xff})
	}
	d.standby = false
	return err
}

// Standby implements chip.Chip. The oscillator keeps running (section 13.1.2).
func (d *device) Standby(ctx context.Context) error {
	d.standby = true
	return d.all(ctx, []byte{opSetStandby, 1})
}

// Poll implements chip.Chip. What was seen is cleared before the frame is read: a
// frame that comes meanwhile raises DIO1 again.
func (d *device) Poll(ctx context.Context) (chip.Event, error) {
	b, err := d.get(ctx, opGetIrqStatus, 2)
	if err != nil {
		return chip.Event{}, err
	}
	flags := uint16(b[0])<<8 | uint16(b[1])
	if flags == 0 {
		if m := mode(d.status); m != modeRX && m != modeTX && !d.standby {
			return chip.Event{}, fmt.Errorf("%w: %s, and nothing happened; has its supply failed?", ErrMode, modeNames[m])
		}
		return chip.Event{}, nil
	}
	if flags&^irqAll != 0 {
		return chip.Event{}, fmt.Errorf("%w: the interrupts are 0x%04x", ErrAbsent, flags)
	}
	// Preamble and header stay, as long as their frame is on the way.
	coming := flags & (irqPreamble | irqHeaderValid)
	if done := flags &^ coming; done != 0 {
		if err := d.all(ctx, []byte{opClearIrqStatus, byte(flags >> 8), byte(flags)}); err != nil {
			return chip.Event{}, err
		}
		coming = 0
	}
	e := chip.Event{Sent: flags&irqTxDone != 0, Arriving: coming != 0}
	if flags&irqRxDone != 0 {
		e.Frame, err = d.frame(ctx, flags)
	} else if coming != 0 {
		err = d.stale(ctx)
	} else {
		d.coming = time.Time{}
	}
	if err == nil && flags&irqTimeout != 0 && !e.Sent {
		err = fmt.Errorf("%w: timeout", ErrMode)
	}
	return e, err
}

// stale clears the flags of a preamble that no frame followed.
func (d *device) stale(ctx context.Context) error {
	m := d.c.Tuning.Modulation
	m.CodingRate = 8
	longest := radio.Airtime(m, radio.MaxPayload, radio.AirtimeOptions{Preamble: int(d.c.Tuning.Preamble)})
	now := time.Now()
	if d.coming.IsZero() {
		d.coming = now
	}
	if now.Sub(d.coming) < longest {
		return nil
	}
	d.coming = time.Time{}
	return d.all(ctx, []byte{opClearIrqStatus, 0, irqPreamble | irqHeaderValid})
}

// frame reads the frame that has come. A wrong header in front of it, which also
// sets a flag, does not concern it.
func (d *device) frame(ctx context.Context, flags uint16) (*radio.Frame, error) {
	d.coming = time.Time{}
	d.received++
	at, err := d.get(ctx, opGetRxBufferStatus, 2) // section 13.5.2
	if err != nil {
		return nil, err
	}
	length, start := int(at[0]), at[1]
	f := &radio.Frame{Frequency: d.c.Tuning.Frequency, Modulation: d.c.Tuning.Modulation, Private: d.c.Tuning.SyncWord == radio.SyncPrivate}
	if length > 0 {
		p := make([]byte, 2+length)
		p[0] = start
		data, err := d.do(ctx, opReadBuffer, p...) // it goes on at 0 after 255 (section 13.2.4)
		if err != nil {
			return nil, err
		}
		f.Payload = slices.Clone(data[3:])
	}
	s, err := d.get(ctx, opGetPacketStatus, 3)
	if err != nil {
		return nil, err
	}
	f.RSSI, f.SNR = levels(s)
	cr, err := d.read(ctx, regHeaderCR, 1)
	if err != nil {
		return nil, err
	}
	if c := cr[0] >> 4 & 7; c >= 1 && c <= 4 {
		f.CodingRate = 4 + c
	}
	fe, err := d.read(ctx, regFreqError, 3)
	if err != nil {
		return nil, err
	}
	f.FrequencyError = frequencyError(fe, f.Bandwidth)
	switch {
	case flags&irqCrcErr != 0:
		f.CRC = radio.CRCBad
	case fe[0]&0x10 != 0: // the header says that there is a checksum
		f.CRC = radio.CRCOK
	}
	return f, nil
}

// levels are RSSI in dBm and SNR in dB of packet status (section 13.5.3). Below
// the noise it is the signal's own level that counts.
func levels(s []byte) (rssi, snr float32) {
	snr = float32(int8(s[1])) / 4
	if snr < 0 {
		return -float32(s[2]) / 2, snr
	}
	return -float32(s[0]) / 2, snr
}

// Prepare implements chip.Chip (section 14.2). It ends with the PLL running, so
// that little is left to do.
func (d *device) Prepare(ctx context.Context, t *radio.Transmission) error {
	power, err := d.chipPower(t.Power, t.Frequency)
	if err != nil {
		return err
	}
	d.cost = time.Millisecond
	if err := d.tune(ctx, t.Frequency, t.Modulation, false); err != nil {
		return err
	}
	if t.Bandwidth == 500000 { // section 15.1
		err = d.change(ctx, regTxModulation, 0, 4)
	} else {
		err = d.change(ctx, regTxModulation, 4, 0)
	}
	if err != nil {
		return err
	}
	if power != d.power {
		if err := d.amplify(ctx, power); err != nil {
			return err
		}
	}
	preamble := t.Preamble
	if preamble == 0 {
		preamble = d.c.Tuning.Preamble
	}
	if err := d.packet(ctx, preamble, len(t.Payload), t.CRC, t.InvertIQ); err != nil {
		return err
	}
	d.limit = radio.Airtime(t.Modulation, len(t.Payload), radio.AirtimeOptions{Preamble: int(preamble), NoCRC: !t.CRC}) + 100*time.Millisecond
	if err := d.all(ctx, append([]byte{opWriteBuffer, 0}, t.Payload...), []byte{opClearIrqStatus, irqAll >> 8, irqAll & 0xff}); err != nil {
		return err
	}
	if err := d.antenna(true, false); err != nil {
		return err
	}
	if err := d.all(ctx, []byte{opSetFs}); err != nil { // section 13.1.3
		return err
	}
	return d.free(ctx)
}

// amplify sets the output in dBm.
func (d *device) amplify(ctx context.Context, dBm int8) error {
	pa, tx, ocp := amplifier(d.c.Model, dBm)
	before, _, _ := amplifier(d.c.Model, d.power)
	if pa != before {
		if err := d.all(ctx, append([]byte{opSetPaConfig}, pa[:]...), write(regOCP, ocp)); err != nil {
			return err
		}
	}
	d.power = dBm
	return d.all(ctx, append([]byte{opSetTxParams}, tx[:]...))
}

// ramp is the time from SetTx to the preamble, with the PLL running (table 8-2).
const ramp = 76 * time.Microsecond

// Lead implements chip.Chip. The transaction takes as long as the shortest one of the
// preparation did.
func (d *device) Lead() time.Duration { return ramp + d.cost }

// Fire implements chip.Chip. Should the end not come, the chip's own timeout ends
// the transmission (section 13.1.4).
func (d *device) Fire(ctx context.Context) error {
	t := timeout(d.limit)
	d.standby = false
	return d.all(ctx, []byte{opSetTx, t[0], t[1], t[2]})
}
