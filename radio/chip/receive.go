package chip

import (
	"context"
	"errors"
	"time"

	"fieldgate/radio"
)

// receive has the chip listen.
func (s *session) receive(ctx context.Context) error {
	if err := s.o.Chip.Receive(ctx); err != nil {
		return err
	}
	s.drain()
	now := time.Now()
	s.clean, s.listening, s.arriving = now, now, false
	return nil
}

// drain gives the last edge that waits; zero if none does.
func (s *session) drain() (edge time.Time) {
	for {
		select {
		case edge = <-s.edges:
		default:
			return edge
		}
	}
}

// mostLooks is how many frames in a row may lie ready.
const mostLooks = 8

// errStuck: the chip tells of frames without end.
var errStuck = errors.New("the chip tells of frame after frame: its interrupts cannot be cleared")

// look hands on the frames that have come. Edge is when the interrupt rose; zero: it
// did not. While one frame is read another can come, but not many.
func (s *session) look(ctx context.Context, edge time.Time) error {
	for range mostLooks {
		asked := time.Now()
		e, err := s.o.Chip.Poll(ctx)
		if err != nil {
			return err
		}
		if e.Frame == nil && !e.Void {
			s.clean, s.arriving = asked, e.Arriving
			return nil
		}
		at := s.stamp(edge, asked)
		edge = time.Time{}
		if e.Frame != nil {
			s.heard = asked
			s.deliver(e.Frame, at)
		}
	}
	return errStuck
}

// stamp is the time of what a look at that time has found: that of the edge, unless
// it is older than the last look that found nothing. Without a line it is the middle
// between the two looks.
func (s *session) stamp(edge, asked time.Time) time.Time {
	if last := s.drain(); !last.IsZero() {
		edge = last
	}
	if !edge.IsZero() && !edge.Before(s.clean) {
		s.missed = 0
		return edge
	}
	if s.blindly() {
		return asked.Add(-asked.Sub(s.clean) / 2)
	}
	if s.missed++; s.missed == 2 {
		s.log.Warn("the interrupt line does not tell of frames: polling until it does; is it wired?")
	}
	return asked // the edge may be on its way
}

// deliver hands a frame on.
func (s *session) deliver(f *radio.Frame, at time.Time) {
	f.Radio, f.At, f.Counter = s.o.Name, at, s.counter.At(at)
	s.count(func(c *radio.Counts) {
		switch f.CRC {
		case radio.CRCOK:
			c.Received++
		case radio.CRCBad:
			c.BadCRC++
		default:
			c.NoCRC++
		}
	})
	select {
	case s.frames <- f:
	default:
		s.log.Warn("a frame is lost: nobody takes them")
	}
}
