package lorawan

import (
	"errors"
	"fmt"
	"time"

	"fieldgate/radio"
)

// classCRetry is how long a downlink of class C waits that no radio took, if
// nothing better is known.
const classCRetry = 10 * time.Second

// classCAck is how long the acknowledgement of a device of class C may take: it
// comes with its next uplink, which such a device sends soon.
const classCAck = 10 * time.Second

// fly sends a downlink from a goroutine of its own.
func (s *Server) fly(o *outgoing) {
	s.sends.Go(func() {
		a, err := s.transmit(o)
		s.landed(o, a, err)
	})
}

// transmit tries the places of a downlink. It gives the one that took it, or an
// error that says why none did.
func (s *Server) transmit(o *outgoing) (attempt, error) {
	if len(o.tries) == 0 {
		return attempt{}, fmt.Errorf("%w: no window has room for %d bytes", radio.ErrRefused, len(o.bytes))
	}
	var why error
	for _, a := range o.tries {
		err := s.ctx.Err()
		if err == nil {
			err = s.try(o, a)
		}
		if err == nil {
			return a, nil
		}
		s.cfg.Log.Debug("LoRaWAN downlink not sent", "device", o.dev.cfg.Device, "window", a.window, "radio", a.radio, "error", err)
		if why == nil {
			why = fmt.Errorf("%s: %w", a.window, err)
		} else {
			why = fmt.Errorf("%w; %s: %w", why, a.window, err)
		}
	}
	return attempt{}, why
}

// usualPower is what a radio can send with that refuses a region's highest power,
// in dBm EIRP.
const usualPower = 14

// try sends a downlink at one place.
func (s *Server) try(o *outgoing, a attempt) error {
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
			return err
		}
	}
	err := s.cfg.Radio.Send(s.ctx, t)
	if errors.Is(err, radio.ErrPower) && t.Power > usualPower {
		less := *t
		less.Power = usualPower
		err = s.cfg.Radio.Send(s.ctx, &less)
	}
	if err != nil && limited {
		s.cfg.Gate.Release(a.radio, band, airtime, a.at)
	}
	return err
}

// landed notes what became of a downlink.
func (s *Server) landed(o *outgoing, a attempt, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, it, now := o.dev, o.item, s.tick()
	d.flights--
	s.flights--
	if err == nil {
		s.count.downlinks.Add(1)
	} else {
		s.count.unsent.Add(1)
		s.cfg.Log.Info("LoRaWAN downlink not sent", "device", d.cfg.Device, "fcnt", o.fcnt, "join", o.session == nil, "error", err)
		if o.session != nil && o.commands {
			o.session.pending = nil
			s.change(d, dirtyState)
		}
		if o.classC {
			d.retryAt = now + classCRetry
			var busy *radio.Busy
			if errors.As(err, &busy) {
				d.retryAt = now + max(busy.Wait, time.Second)
			}
		}
	}
	if it != nil {
		it.flying = false
		s.change(d, dirtyQueue)
		switch {
		case it.final: // acknowledged before the radio said that it was sent
		case err != nil:
			it.sends-- // the device cannot have heard it
			s.report(d, it, Queued, err.Error())
		case !it.confirmed:
			s.report(d, it, Sent, a.window)
		default:
			it.waiting, it.sentAt = true, now
			s.report(d, it, Sent, a.window)
		}
	}
	s.schedule(d)
	s.write.soon()
}
