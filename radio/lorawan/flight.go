package lorawan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/radio"
)

// classCRetry is how long a downlink of class C waits that no radio took, if
// nothing better is known; twice as long each further time, as each costs a counter
// and a write, up to classCSlow. An uplink ends that.
const (
	classCRetry = 10 * time.Second
	classCSlow  = 2 * time.Minute
)

// classCAck is how long the acknowledgement of a device of class C may take: it
// comes with its next uplink, which such a device sends soon.
const classCAck = 10 * time.Second

// fate is what became of a downlink.
type fate uint8

const (
	unsent   fate = iota // it has not left, that is sure
	left                 // the radio has sent it, or will
	doubtful             // nobody knows
)

// surely are the errors after which nothing has left the radio.
var surely = []error{radio.ErrTooLate, radio.ErrTooEarly, radio.ErrCollision, radio.ErrFrequency, radio.ErrPower, radio.ErrNoRadio, radio.ErrRefused}

// fateOf says what an error of Send means for a frame that was to leave at start. A
// radio that breaks down before that has not sent it.
func fateOf(err error, start time.Time) fate {
	if err == nil {
		return left
	}
	if errors.Is(err, radio.ErrDown) && !time.Now().After(start) {
		return unsent
	}
	for _, e := range surely {
		if errors.Is(err, e) {
			return unsent
		}
	}
	return doubtful
}

// fly sends a downlink from a goroutine of its own.
func (s *Server) fly(o *outgoing) {
	s.sends.Go(func() {
		a, f, err := s.transmit(o)
		s.landed(o, a, f, err)
	})
}

// transmit tries the places of a downlink until one takes it. It gives that one, or
// an error that says why none did. Where it is not known whether a frame has left,
// that is the end: a second one would cost airtime for nothing if it has.
func (s *Server) transmit(o *outgoing) (attempt, fate, error) {
	if len(o.tries) == 0 {
		return attempt{}, unsent, fmt.Errorf("%w: no window has room for %d bytes", radio.ErrRefused, len(o.bytes))
	}
	var why error
	for _, a := range o.tries {
		f, err := unsent, s.ctx.Err()
		if err == nil {
			f, err = s.try(o, a)
		}
		if f == left {
			return a, f, nil
		}
		s.cfg.Log.Debug("LoRaWAN downlink not sent", "device", o.dev.cfg.Device, "window", a.window, "radio", a.radio,
			"doubtful", f == doubtful, "error", err)
		if why == nil {
			why = fmt.Errorf("%s: %w", a.window, err)
		} else {
			why = fmt.Errorf("%w; %s: %w", why, a.window, err)
		}
		if f == doubtful {
			return a, f, why
		}
	}
	return attempt{}, unsent, why
}

// usualPowers are tried when a radio refuses a region's highest power, in dBm EIRP:
// packet forwarders send with those of their table only.
var usualPowers = []int8{27, 20, 14}

// patience is how long after its end a transmission may still be open.
const patience = 5 * time.Second

// soonest is when at the earliest a frame leaves that is to leave at once.
const soonest = 5 * time.Millisecond

// try sends a downlink at one place.
func (s *Server) try(o *outgoing, a attempt) (fate, error) {
	t := &radio.Transmission{
		ID: o.id(), Radio: a.radio, Payload: o.bytes, Frequency: a.freq, Modulation: a.Modulation,
		Power: s.cfg.Region.MaxEIRP(a.freq), InvertIQ: true, CRC: !a.LoRa(), Counter: a.counter, Immediately: a.now,
	}
	sub, limited := s.cfg.Region.SubBand(a.freq)
	limited = limited && s.cfg.Gate != nil
	band := radio.Band{Name: sub.Name, Share: sub.Share()}
	airtime := radio.Airtime(a.Modulation, len(o.bytes), radio.AirtimeOptions{NoCRC: a.LoRa()})
	if limited {
		if err := s.cfg.Gate.Reserve(a.radio, band, airtime, a.at); err != nil {
			return unsent, err
		}
	}
	start := time.Now().Add(soonest)
	if !a.now && a.at.After(start) {
		start = a.at
	}
	ctx, cancel := context.WithDeadline(s.ctx, start.Add(airtime+patience))
	defer cancel()
	err := s.cfg.Radio.Send(ctx, t)
	for _, power := range usualPowers {
		if errors.Is(err, radio.ErrPower) && power < t.Power {
			less := *t
			less.Power = power
			t = &less
			err = s.cfg.Radio.Send(ctx, t)
		}
	}
	f := fateOf(err, start)
	if f == unsent && limited {
		s.cfg.Gate.Release(a.radio, band, airtime, a.at)
	}
	return f, err
}

// landed notes what became of a downlink. Why says why it was not sent, or may not
// have been.
func (s *Server) landed(o *outgoing, a attempt, f fate, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, it, now := o.dev, o.item, s.tick()
	d.flights--
	s.flights--
	if f == left {
		d.failures = 0
		s.count.downlinks.Add(1)
	} else {
		s.count.unsent.Add(1)
		s.say(d, saidUnsent, "LoRaWAN downlink not sent", "fcnt", o.fcnt, "join", o.session == nil, "doubtful", f == doubtful, "error", why)
		if f == unsent && o.session != nil && o.commands {
			o.session.pending = nil
			s.change(d, dirtyState)
		}
		if o.classC {
			d.retryAt = now + min(classCRetry<<d.failures, classCSlow)
			d.failures = min(d.failures+1, 8)
			var busy *radio.Busy
			if errors.As(why, &busy) {
				d.retryAt = now + max(busy.Wait, time.Second)
			}
		}
	}
	if it != nil && !it.gone {
		it.flying = false
		s.change(d, dirtyQueue)
		switch {
		case it.final: // acknowledged before the radio said that it was sent
		case f == unsent:
			it.sends-- // the device cannot have heard it
			s.report(d, it, Queued, why.Error())
		case it.confirmed: // the device will say
			it.waiting, it.sentAt = true, now
			words := a.window
			if f == doubtful {
				words = why.Error()
			}
			s.report(d, it, Sent, words)
		case f == left:
			s.report(d, it, Sent, a.window)
		case it.sends >= d.cfg.sends():
			s.report(d, it, Refused, fmt.Sprintf("tried %d times, and the radio never said whether it was sent: %v", it.sends, why))
		default:
			s.report(d, it, Queued, why.Error())
		}
	}
	s.schedule(d)
	s.write.soon()
}
