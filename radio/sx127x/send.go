package sx127x

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"fieldgate/radio"
)

// Send implements radio.Radio. The errors of package radio:
//
//   - ErrTooLate: less than 10 ms are left, or the time has gone by;
//   - ErrTooEarly: more than 128 s are left;
//   - ErrCollision: the radio sends something else then, or 32 wait already;
//   - ErrFrequency: not one of the chip's, or on its other port;
//   - ErrPower: less than the chip can go down to. With more than it may put out
//     (Config.MaxPower), or can, it is sent with that;
//   - ErrRefused: another modulation or length than the chip has;
//   - ErrDown: the chip does not work, or did not end the frame.
//
// Immediately means: in 10 ms, or as soon as what was to be sent then is over.
//
// When ctx ends, a transmission that still waits is taken back, and one that is
// being sent goes on.
func (r *Radio) Send(ctx context.Context, t *radio.Transmission) error {
	e, err := r.plan(t)
	if err == nil {
		err = r.queue.add(e, t.Immediately)
	}
	if err == nil {
		select {
		case err = <-e.done:
		case <-ctx.Done():
			if !r.queue.remove(e) {
				return ctx.Err()
			}
			err = ctx.Err()
		}
	}
	if err != nil {
		r.note(func(s *radio.Status) { s.Count.Unsent++ })
		return fmt.Errorf("sx127x: %s: %w", r.c.Name, err)
	}
	return nil
}

// plan looks whether the chip can send t, and when.
func (r *Radio) plan(t *radio.Transmission) (*entry, error) {
	if err := checkModulation(t.Modulation); err != nil {
		return nil, errors.Join(radio.ErrRefused, err)
	}
	switch lf, known := bandOf(t.Frequency); {
	case len(t.Payload) == 0 || len(t.Payload) > radio.MaxPayload:
		return nil, fmt.Errorf("%w: a payload of %d bytes: it has 1 to %d", radio.ErrRefused, len(t.Payload), radio.MaxPayload)
	case t.Preamble != 0 && t.Preamble < 6:
		return nil, fmt.Errorf("%w: a preamble of %d symbols: it has at least 6", radio.ErrRefused, t.Preamble)
	case !known || lf != r.lf:
		return nil, fmt.Errorf("%w: %d Hz", radio.ErrFrequency, t.Frequency)
	}
	lowest := minBoost
	if r.c.RFO {
		lowest = minRFO
	}
	p := int(math.Floor(float64(t.Power) - r.c.AntennaGain))
	if p < lowest {
		return nil, fmt.Errorf("%w: %d dBm EIRP are %d dBm at the chip, which goes down to %d dBm", radio.ErrPower, t.Power, p, lowest)
	}
	e := &entry{
		air: air{frequency: t.Frequency, Modulation: t.Modulation, syncWord: r.rx.syncWord, preamble: t.Preamble,
			invertIQ: t.InvertIQ, crc: t.CRC, tx: true},
		payload: slices.Clone(t.Payload),
		power:   min(p, int(r.c.MaxPower)),
		done:    make(chan error, 1),
	}
	if e.air.preamble == 0 {
		e.air.preamble = 8
	}
	e.airtime = radio.Airtime(e.air.Modulation, len(e.payload), radio.AirtimeOptions{Preamble: int(e.air.preamble), NoCRC: !t.CRC, SX127x: true})
	now := time.Now()
	if t.Immediately {
		e.due = now.Add(tooLate)
		return e, nil
	}
	e.due = r.counter.Time(t.Counter, now)
	switch left := e.due.Sub(now); {
	case left < tooLate:
		return nil, fmt.Errorf("%w: %v are left", radio.ErrTooLate, left)
	case left > tooEarly:
		return nil, fmt.Errorf("%w: %v are left", radio.ErrTooEarly, left)
	}
	return e, nil
}
