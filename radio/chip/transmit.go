package chip

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/radio"
)

// errEndless: the chip did not say that a transmission has ended.
var errEndless = errors.New("the transmission does not end")

// transmit sends j and goes back to reception. The error is the chip's; j has its
// own.
func (s *session) transmit(ctx context.Context, j *job) error {
	if err := s.prepare(ctx, j); err != nil {
		s.finish(j, fmt.Errorf("%w: %w", radio.ErrDown, err))
		return err
	}
	due := j.start.Add(-s.o.Chip.Lead())
	if err := until(ctx, due); err != nil {
		s.finish(j, radio.ErrDown)
		return err
	}
	if late := time.Since(due); late > j.slack() {
		s.finish(j, fmt.Errorf("%w: this machine was %v late", radio.ErrTooLate, late.Round(time.Microsecond)))
		return s.receive(ctx)
	}
	err := s.o.Chip.Fire(ctx)
	if err == nil {
		err = s.sent(ctx, j)
	}
	if err != nil {
		s.finish(j, fmt.Errorf("%w: %w", radio.ErrDown, err))
		return err
	}
	s.finish(j, nil)
	return s.receive(ctx)
}

// prepare ends the reception and readies j.
func (s *session) prepare(ctx context.Context, j *job) error {
	if err := s.o.Chip.Standby(ctx); err != nil {
		return err
	}
	if err := s.look(ctx, time.Time{}); err != nil { // a frame that has come just now
		return err
	}
	return s.o.Chip.Prepare(ctx, j.t)
}

// slack is how late j may leave. A receiver opens its window a few symbols early:
// two symbols too late, and at least a millisecond, do no harm. Where nobody waits
// at a certain time, nothing is too late.
func (j *job) slack() time.Duration {
	if j.t.Immediately {
		return time.Hour
	}
	return max(time.Millisecond, 2*j.t.Symbol())
}

// sent waits for the end of j.
func (s *session) sent(ctx context.Context, j *job) error {
	end := j.end
	if now := time.Now(); now.After(j.start) { // it left late
		end = now.Add(j.end.Sub(j.start))
	}
	every := time.Millisecond
	if !s.blindly() {
		every = 5 * time.Millisecond
	}
	timer := time.NewTimer(time.Until(end.Add(every)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.edges:
		case <-timer.C:
			timer.Reset(every)
		}
		e, err := s.o.Chip.Poll(ctx)
		switch {
		case err != nil:
			return err
		case e.Sent:
			return nil
		case time.Now().After(end.Add(grace)):
			return errEndless
		}
	}
}
