package chip

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fieldgate/radio"
)

// heldFrames is how many frames may wait for receive; more are dropped.
const heldFrames = 64

// Run implements radio.Radio. It takes bus and lines, and gives them back at the
// end. A chip that fails after it was found healthy is opened anew at once, and what
// waits to be sent still waits; one that is not there is tried again after 1 s, 2 s
// and so on up to a minute. Run returns nil.
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

	var pause time.Duration
	for ctx.Err() == nil {
		s := &session{Radio: r, frames: frames}
		err := s.run(ctx)
		if e := r.o.Chip.Close(); e != nil {
			r.log.Debug("closing the chip", "err", e)
		}
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			r.failed(err)
		}
		if s.healthy {
			pause = 0
			continue
		}
		r.drop(fmt.Errorf("%w: %w", radio.ErrDown, err))
		first := firstPause
		if s.up {
			first = shortPause
		}
		pause = min(max(2*pause, first), lastPause)
		if wait(ctx, time.Now().Add(pause)) != nil {
			break
		}
	}
	r.state(radio.Waiting, nil)
	r.drop(radio.ErrDown)
	return nil
}

// failed notes why a session ended.
func (r *Radio) failed(err error) {
	before := r.Status()[0]
	r.state(radio.Failing, err)
	r.count(func(c *radio.Counts) { c.Resets++ })
	level := slog.LevelWarn
	if before.State == radio.Failing && before.Err.Error() == err.Error() { // said already
		level = slog.LevelDebug
	}
	r.log.Log(context.Background(), level, "the radio is down", "err", err)
}

// session is a chip in use, from Open to its next failure.
type session struct {
	*Radio
	frames chan<- *radio.Frame
	edges  chan time.Time // nil: there is no interrupt
	lost   chan error     // the line cannot be read any more

	up      bool // the chip was opened
	healthy bool // and found to be well

	clean     time.Time // the last look that found nothing
	heard     time.Time // the last frame
	listening time.Time // receiving since
	arriving  bool      // a frame is on the way
	missed    int       // frames in a row that the interrupt did not tell of
}

// run opens the chip and serves it until something is wrong with it, or ctx ends.
// Without an error it is to be opened anew.
func (s *session) run(ctx context.Context) error {
	name, err := s.o.Chip.Open(ctx)
	if name != "" {
		s.mu.Lock()
		s.status.Chip = name
		s.mu.Unlock()
	}
	if err != nil {
		return err
	}
	stop := s.watch(ctx)
	defer stop()
	if err := s.receive(ctx); err != nil {
		return err
	}
	s.up, s.heard = true, time.Now()
	if s.state(radio.OK, nil) {
		s.log.Info("the radio receives", "chip", name, "frequency", s.o.Tuning.Frequency, "rate", s.o.Tuning.DataRate())
	}
	s.mu.Lock()
	s.open = true
	s.mu.Unlock()
	return s.serve(ctx)
}

// watch follows the interrupt. Stop waits for its end.
func (s *session) watch(ctx context.Context) (stop func()) {
	line := s.o.Chip.Interrupt()
	if line == nil {
		return func() {}
	}
	edges, lost := make(chan time.Time, 16), make(chan error, 1)
	s.edges, s.lost = edges, lost
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for {
			at, err := line.Next(ctx)
			if err != nil {
				lost <- err
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

// blindly reports whether the interrupt cannot be trusted, or there is none.
func (s *session) blindly() bool { return s.edges == nil || s.missed >= 2 }

// every is how often the chip is polled now. The shortest frame has 12.25 symbols of
// preamble and 8 of its header before its payload, which has 5 at least; a chip
// tells at the end of the header, if not before, that a frame is on the way.
func (s *session) every() time.Duration {
	switch {
	case !s.blindly():
		return blind
	case s.arriving:
		return arriving
	}
	return min(max(3*s.o.Tuning.Symbol(), time.Millisecond), 10*time.Millisecond)
}

// serve waits for what comes next and does it.
func (s *session) serve(ctx context.Context) error {
	check := time.Now().Add(healthEvery)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		j, due := s.next(now)
		if j != nil {
			if err := s.transmit(ctx, j); err != nil {
				return err
			}
			continue
		}
		if settled := s.listening.Add(settle); check.Before(settled) {
			check = settled
		}
		if !check.After(now) {
			if err := s.o.Chip.Health(ctx); err != nil {
				return err
			}
			s.healthy, check = true, now.Add(healthEvery)
			continue
		}
		if now.Sub(s.heard) >= quiet && (due.IsZero() || due.Sub(now) > time.Second) {
			s.log.Debug("nothing was heard for long: opening the chip anew")
			return nil
		}
		poll := s.clean.Add(s.every())
		timer.Reset(earliest(due, poll, check).Sub(now))
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		case at := <-s.edges:
			err = s.look(ctx, at)
		case why := <-s.lost:
			if ctx.Err() == nil {
				s.log.Warn("the interrupt line is lost: polling", "err", why)
			}
			s.edges, s.lost = nil, nil
		case now := <-timer.C:
			if !poll.After(now) {
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
