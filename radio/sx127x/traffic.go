package sx127x

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/chip"
)

// Receive implements chip.Chip.
func (d *device) Receive(context.Context) error {
	settings := append(modem(d.rx), write{regDioMapping1, []byte{dio0RxDone}}, write{regIRQFlags, []byte{0xff}})
	return d.putAll([]write{{regOpMode, []byte{d.mode(opStandby)}}}, settings,
		[]write{{regOpMode, []byte{d.mode(opRXContinuous)}}})
}

// Standby implements chip.Chip.
func (d *device) Standby(context.Context) error { return d.put(regOpMode, d.mode(opStandby)) }

// Poll implements chip.Chip. The mask beside the flags shows whether it is the chip
// that answers.
func (d *device) Poll(context.Context) (chip.Event, error) {
	b, err := d.read(regIRQMask, 2)
	if err != nil {
		return chip.Event{}, err
	}
	mask, flags := b[0], b[1]
	if err := checkMask(mask); err != nil {
		return chip.Event{}, err
	}
	if flags&irqRxDone == 0 {
		return chip.Event{Sent: flags&irqTxDone != 0, Arriving: flags&irqHeader != 0}, nil
	}
	f, err := d.frame()
	return chip.Event{Frame: f, Void: f == nil, Sent: flags&irqTxDone != 0}, err
}

func checkMask(mask byte) error {
	if mask != irqUnused {
		return fmt.Errorf("%w: the mask of its interrupts is 0x%02x, 0x%02x was written", errSettings, mask, irqUnused)
	}
	return nil
}

// frame reads the frame that has come; nil if it has no byte.
func (d *device) frame() (*radio.Frame, error) {
	b, err := d.read(regFIFORxCurrent, len(snapshot{}))
	if err != nil {
		return nil, err
	}
	snap := snapshot(b)
	if err := checkMask(snap.mask()); err != nil {
		return nil, err
	}
	// Before the FIFO is read, so that the flag of a next frame stays: its bytes come
	// behind those of this one.
	if err := d.put(regIRQFlags, snap.flags()); err != nil {
		return nil, err
	}
	if b, err = d.read(regFEI, 3); err != nil {
		return nil, err
	}
	fei := [3]byte(b)
	n := snap.length()
	if n == 0 || snap.flags()&irqRxDone == 0 {
		return nil, nil
	}
	if err := d.put(regFIFOAddrPtr, snap.start()); err != nil {
		return nil, err
	}
	if b, err = d.read(regFIFO, n); err != nil {
		return nil, err
	}
	f := &radio.Frame{
		Payload:        slices.Clone(b),
		Frequency:      d.rx.frequency,
		Modulation:     d.rx.Modulation,
		RSSI:           snap.rssi(d.lf),
		SNR:            snap.snr(),
		FrequencyError: frequencyError(fei, d.rx.Bandwidth),
		Private:        d.rx.syncWord == radio.SyncPrivate,
	}
	if rate := snap.rate(); rate >= 5 && rate <= 8 {
		f.CodingRate = rate
	}
	switch {
	case !snap.hasCRC():
		f.CRC = radio.CRCNone
	case snap.flags()&irqCRCError != 0:
		f.CRC = radio.CRCBad
	default:
		f.CRC = radio.CRCOK
	}
	return f, nil
}

// Prepare implements chip.Chip: the chip sends as soon as its mode is TX. What is
// written is read back: a wrong bit would be another frequency.
func (d *device) Prepare(_ context.Context, t *radio.Transmission) error {
	dBm, err := d.chipPower(t.Power)
	if err != nil {
		return err
	}
	a := air{frequency: t.Frequency, Modulation: t.Modulation, syncWord: d.rx.syncWord, preamble: t.Preamble,
		invertIQ: t.InvertIQ, crc: t.CRC, tx: true}
	if a.preamble == 0 {
		a.preamble = d.rx.preamble
	}
	d.cost = time.Millisecond
	settings := append(modem(a), power(dBm, d.c.RFO)...)
	settings = append(settings,
		write{regDioMapping1, []byte{dio0TxDone}},
		write{regPayloadLength, []byte{byte(len(t.Payload))}})
	if err := d.putAll(settings); err != nil {
		return err
	}
	if err := d.verify(settings); err != nil {
		return err
	}
	return d.putAll([]write{
		{regIRQFlags, []byte{0xff}},
		{regFIFOAddrPtr, []byte{0}},
		{regFIFO, t.Payload},
	})
}

// Lead implements chip.Chip: the access takes as long as the shortest one of the
// preparation did. How long the chip needs from there to its first symbol the
// datasheet does not say for LoRa.
func (d *device) Lead() time.Duration { return d.cost }

// Fire implements chip.Chip.
func (d *device) Fire(context.Context) error { return d.put(regOpMode, d.mode(opTX)) }

// errDeaf: the chip says that it receives, but not even noise.
var errDeaf = errors.New("the chip is deaf")

// Health implements chip.Chip. The chip must have been receiving for a while: after
// a change of mode OpMode is FSRX at first, and the RSSI 0.
func (d *device) Health(context.Context) error {
	version, err := d.get(regVersion)
	if err != nil {
		return err
	}
	if _, err := chipName(version); err != nil {
		return err
	}
	op := write{regOpMode, []byte{d.mode(opRXContinuous)}}
	settings := append(fixed(), modem(d.rx)...)
	for i := range settings {
		if settings[i].addr == regPayloadLength { // that of the last transmission
			settings[i] = write{regPayloadLength + 1, settings[i].value[1:]}
		}
	}
	if err := d.verify([]write{op}, settings); err != nil {
		return err
	}
	// Thermal noise is at -130 dBm at least.
	rssi, err := d.get(regRSSI)
	if err == nil && rssi == 0 {
		err = errDeaf
	}
	return err
}
