package sx127x

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fieldgate/radio"
)

// Run implements radio.Radio. It takes bus and lines, and gives them back at the
// end; the chip then sleeps. It may be called once at a time.
func (r *Radio) Run(ctx context.Context, receive func(*radio.Frame)) error {
	defer r.queue.stop(radio.ErrDown)
	var pause time.Duration
	for ctx.Err() == nil {
		s := &session{r: r, receive: receive}
		err := s.run(ctx)
		if ctx.Err() != nil {
			break
		}
		r.failed(s, err)
		if s.checked { // it was well for a while: at once
			pause = 0
			continue
		}
		r.queue.stop(fmt.Errorf("%w: %w", radio.ErrDown, err))
		pause = min(max(2*pause, time.Second), maxPause)
		if sleep(ctx, pause) != nil {
			break
		}
	}
	r.note(func(s *radio.Status) { s.State, s.Err, s.Since = radio.Waiting, nil, time.Now() })
	return nil
}

// failed notes why a session ended.
func (r *Radio) failed(s *session, err error) {
	level := slog.LevelWarn
	r.note(func(st *radio.Status) {
		if s.up {
			st.Count.Resets++
		}
		if st.State == radio.Failing && st.Err != nil && st.Err.Error() == err.Error() {
			level = slog.LevelDebug // said already
		} else {
			st.Since = time.Now()
		}
		st.State, st.Err = radio.Failing, err
	})
	r.c.Log.Log(context.Background(), level, "radio does not work", "radio", r.c.Name, "err", err)
}

// session is from setting the chip up to its next failure.
type session struct {
	r       *Radio
	h       *chip
	receive func(*radio.Frame)
	edges   chan time.Time // nil: DIO0 is not wired
	lost    chan error     // the line cannot be read any more

	up      bool // the chip was set up
	checked bool // and was right at the first check

	clean     time.Time // the last look that found no frame
	listening time.Time // receiving since
	coming    bool      // a header was received
	missed    int       // frames in a row without an edge
}

// run sets the chip up and serves it until it fails or ctx ends.
func (s *session) run(ctx context.Context) (err error) {
	if s.h, err = open(&s.r.c); err != nil {
		return err
	}
	defer s.h.close()
	name, err := s.r.setUp(ctx, s.h)
	s.r.note(func(st *radio.Status) { st.Chip = name })
	if err != nil {
		return err
	}
	if s.h.irq != nil {
		s.edges, s.lost = make(chan time.Time, 64), make(chan error, 1)
		watching, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { s.watch(watching) })
		defer wg.Wait()
		defer cancel()
	}
	if err := s.listen(); err != nil {
		return err
	}
	s.up = true
	s.r.note(func(st *radio.Status) { st.State, st.Err, st.Since = radio.OK, nil, time.Now() })
	s.r.c.Log.Info("radio receives", "radio", s.r.c.Name, "chip", name,
		"frequency", s.r.rx.frequency, "rate", s.r.rx.DataRate())
	s.r.queue.begin()
	err = s.serve(ctx)
	_ = s.h.halt() // so that it does not send; it may be gone
	return err
}

// watch hands on the edges of DIO0.
func (s *session) watch(ctx context.Context) {
	for {
		at, err := s.h.irq.Next(ctx)
		if err != nil {
			s.lost <- err
			return
		}
		select {
		case s.edges <- at:
		case <-ctx.Done():
			return
		}
	}
}

// serve receives and sends.
func (s *session) serve(ctx context.Context) error {
	check := time.Now().Add(checkEvery)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if e := s.r.queue.take(); e != nil {
			if err := s.transmit(ctx, e); err != nil {
				return err
			}
			continue
		}
		if settled := s.listening.Add(time.Second); check.Before(settled) {
			check = settled
		}
		wake := check
		for _, t := range []time.Time{s.clean.Add(s.every()), s.r.queue.next()} {
			if !t.IsZero() && t.Before(wake) {
				wake = t
			}
		}
		timer.Reset(time.Until(wake))
		var edge time.Time
		select {
		case edge = <-s.edges:
		case <-timer.C:
		case <-s.r.queue.wake:
			continue
		case err := <-s.lost:
			if ctx.Err() == nil {
				return fmt.Errorf("DIO0: %w", err)
			}
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.poll(edge); err != nil {
			return err
		}
		if now := time.Now(); !now.Before(check) {
			if err := s.check(); err != nil {
				return err
			}
			s.checked, check = true, now.Add(checkEvery)
		}
	}
}

// every is how often the chip is asked for frames. The shortest frame has 12
// symbols of preamble and 8 of its header before its payload, and the flag of a
// header is there at their end.
func (s *session) every() time.Duration {
	switch {
	case s.coming && (s.edges == nil || s.missed >= 2):
		return time.Millisecond
	case s.edges == nil || s.missed >= 2:
		return min(max(3*s.r.rx.Symbol(), time.Millisecond), 10*time.Millisecond)
	}
	return 50 * time.Millisecond // edges can be lost
}

// errDeaf: the chip says that it receives, but not even noise.
var errDeaf = errors.New("the chip is deaf")

// check looks whether the chip is as it should be. It must have been receiving for
// a while: after a change of mode OpMode is FSRX at first, and the RSSI 0.
func (s *session) check() error {
	version, err := s.h.get(regVersion)
	if err != nil {
		return err
	}
	if _, err := chipName(version); err != nil {
		return err
	}
	op := write{regOpMode, []byte{s.r.mode(opRXContinuous)}}
	settings := append(fixed(), modem(s.r.rx)...)
	for i := range settings {
		if settings[i].addr == regPayloadLength { // that of the last transmission
			settings[i] = write{regPayloadLength + 1, settings[i].value[1:]}
		}
	}
	if err := s.h.verify([]write{op}, settings); err != nil {
		return err
	}
	// Thermal noise is at -130 dBm at least.
	rssi, err := s.h.get(regRSSI)
	if err == nil && rssi == 0 {
		err = errDeaf
	}
	return err
}
