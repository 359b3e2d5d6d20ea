package chip

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fieldgate/radio"
)

// waiting frames are dropped when so many are not taken.
const heldFrames = 64

// Run implements radio.Radio. A chip that is not there is tried again after 0.1 s,
// 0.2 s and so on up to a minute. It returns nil.
func (r *Radio) Run(ctx context.Context, receive func(*radio.Frame)) error {
	frames := make(chan *radio.Frame, heldFrames)
	var delivery sync.WaitGroup
	delivery.Go(func() {
		for f := range frames {
			receive(f)
		}
	})
	defer delivery.Wait()
	defer close(frames)

	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := r.session(ctx, frames)
		if e := r.o.Chip.Close(); e != nil {
			r.log.Debug("closing the chip", "err", e)
		}
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			continue
		}
		if r.state(radio.Failing, err) {
			r.log.Warn("the radio is down", "err", err)
		} else {
			r.log.Debug("the radio stays down", "err", err)
		}
		r.count(func(c *radio.Counts) { c.Resets++ })
		r.drop(fmt.Errorf("%w: %w", radio.ErrDown, err))
		if time.Since(began) > settled {
			pause = firstPause
		}
		if wait(ctx, time.Now().Add(pause)) != nil {
			break
		}
		pause = min(2*pause, lastPause)
	}
	r.state(radio.Waiting, nil)
	r.drop(radio.ErrDown)
	return nil
}

// session uses the chip until something is wrong with it, or ctx ends. Without an
// error it is to be opened anew.
func (r *Radio) session(ctx context.Context, frames chan<- *radio.Frame) error {
	name, err := r.o.Chip.Open(ctx)
	if err != nil {
		return err
	}
	if err := r.o.Chip.Receive(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	r.status.Chip = name
	r.mu.Unlock()
	if r.state(radio.OK, nil) {
		r.log.Info("the radio receives", "chip", name)
	}
	s := &session{Radio: r, frames: frames, polled: time.Now(), heard: time.Now(), checked: time.Now()}
	stop := s.listen(ctx)
	defer stop()
	return s.serve(ctx)
}

// session is a chip in use.
type session struct {
	*Radio
	frames   chan<- *radio.Frame
	edges    chan time.Time // nil: there is no interrupt
	arriving bool
	missed   int // frames in a row that the interrupt did not tell of
	polled   time.Time
	heard    time.Time
	checked  time.Time
}

// listen follows the interrupt. Stop waits for its end.
func (s *session) listen(ctx context.Context) (stop func()) {
	line := s.o.Chip.Interrupt()
	if line == nil {
		return func() {}
	}
	edges := make(chan time.Time, 16)
	s.edges = edges
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			at, err := line.Next(ctx)
			if err != nil {
				if ctx.Err() == nil {
					s.log.Warn("the interrupt line is lost: polling", "err", err)
				}
				return
			}
			select {
			case edges <- at:
			default: // nobody has looked for long: the next poll finds all
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// every is how often the chip is polled now.
func (s *session) every() time.Duration {
	switch {
	case s.edges != nil:
		return blind
	case s.arriving:
		return arriving
	}
	return min(max(4*s.o.Modulation.Symbol(), 2*time.Millisecond), 20*time.Millisecond)
}

// serve waits for what comes next and does it.
func (s *session) serve(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		j, due := s.next(now)
		if j != nil {
			if err := s.transmit(ctx, j); err != nil {
				return err
			}
			s.checked, s.polled, s.arriving = time.Now(), time.Now(), false
			continue
		}
		idle := due.IsZero() || due.Sub(now) > time.Second
		switch {
		case now.Sub(s.checked) >= healthEvery:
			s.checked = now
			if err := s.o.Chip.Health(ctx); err != nil {
				return err
			}
			continue
		case now.Sub(s.heard) >= quiet && idle: // looked at whenever the chip is polled
			s.log.Debug("nothing was heard for long: opening the chip anew")
			return nil
		}
		next := earliest(due, s.polled.Add(s.every()), s.checked.Add(healthEvery))
		timer.Reset(next.Sub(now))
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case at := <-s.edges:
			err = s.look(ctx, at)
		case now := <-timer.C:
			if now.Sub(s.polled) >= s.every() {
				err = s.look(ctx, time.Time{})
			}
		}
		if err != nil {
			return err
		}
	}
}

// earliest is the first of times; zero ones do not count.
func earliest(first time.Time, more ...time.Time) time.Time {
	for _, t := range more {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}

// look asks the chip what happened. Edge is when the interrupt rose; zero: it did
// not.
func (s *session) look(ctx context.Context, edge time.Time) error {
	before := s.polled
	s.polled = time.Now()
	e, err := s.o.Chip.Poll(ctx)
	if err != nil {
		return err
	}
	s.arriving = e.Arriving
	for queued := true; queued; { // the last one is that of the frame
		select {
		case edge = <-s.edges:
		default:
			queued = false
		}
	}
	if !edge.IsZero() {
		s.missed = 0
	}
	if e.Frame == nil {
		return nil
	}
	at := edge
	if edge.IsZero() {
		at = s.polled.Add(-s.polled.Sub(before) / 2)
		if s.edges != nil {
			at = s.polled
			if s.missed++; s.missed >= 2 {
				s.log.Warn("the interrupt line does not tell of frames: polling; is it wired?")
				s.edges = nil
			}
		}
	}
	s.heard = s.polled
	s.deliver(e.Frame, at)
	return nil
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

// errEndless: the chip did not say that a transmission has ended.
var errEndless = errors.New("the transmission does not end")

// transmit sends j and goes back to reception. The error is the chip's.
func (s *session) transmit(ctx context.Context, j *job) error {
	err := s.look(ctx, time.Time{}) // the frame that has just come, if one has
	if err == nil {
		err = s.o.Chip.Prepare(ctx, j.t)
	}
	if err != nil {
		s.finish(j, fmt.Errorf("%w: %w", radio.ErrDown, err))
		return err
	}
	due := j.start.Add(-s.o.Chip.Lead())
	if err := until(ctx, due); err != nil {
		s.finish(j, radio.ErrDown)
		return err
	}
	// A receiver opens its window a few symbols early: two symbols too late, and
	// at least a millisecond, do no harm.
	if late := time.Since(due); late > max(time.Millisecond, 2*j.t.Symbol()) {
		s.finish(j, fmt.Errorf("%w: this machine was %v late", radio.ErrTooLate, late.Round(time.Microsecond)))
		return s.o.Chip.Receive(ctx)
	}
	err = s.o.Chip.Fire(ctx)
	if err == nil {
		err = s.sent(ctx, j)
	}
	if err != nil {
		s.finish(j, fmt.Errorf("%w: %w", radio.ErrDown, err))
		return err
	}
	s.finish(j, nil)
	return s.o.Chip.Receive(ctx)
}

// sent waits for the end of j.
func (s *session) sent(ctx context.Context, j *job) error {
	const grace = 200 * time.Millisecond
	every := 2 * time.Millisecond
	first := j.end.Add(time.Millisecond)
	if s.edges != nil {
		first, every = j.end.Add(10*time.Millisecond), 20*time.Millisecond
	}
	timer := time.NewTimer(time.Until(first))
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
		case time.Now().After(j.end.Add(grace)):
			return errEndless
		}
	}
}
