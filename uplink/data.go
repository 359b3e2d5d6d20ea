package uplink

import (
	"context"
	"errors"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/gateway"
)

const (
	offlineWait = time.Second // for the acknowledgement of offline
	readRetry   = time.Second // after the log could not be read
	clockLook   = 250 * time.Millisecond
)

// runData keeps the data connection until ctx ends.
func (u *Uplink) runData(ctx context.Context) {
	again := retries{backoff: u.cfg.Backoff, rand: u.cfg.Rand}
	for ctx.Err() == nil {
		var lasted time.Duration
		before := u.counts.settled.Load()
		s, b, err := u.open(ctx)
		if err == nil {
			err = u.serve(ctx, s, b)
			lasted = time.Since(s.started)
		}
		if ctx.Err() != nil {
			u.update(func(st *State) { st.Connected, st.LastError = false, "" })
			return
		}
		u.update(func(st *State) { st.Connected, st.LastError = false, err.Error() })
		pause := again.next(lasted, u.counts.settled.Load() > before, errors.Is(err, errUnreached))
		u.log.Warn("uplink down", "err", err, "lasted", lasted.Round(time.Millisecond), "retry_in", pause.Round(time.Millisecond))
		if !wait(ctx, pause) {
			return
		}
	}
}

// open connects and numbers the connection.
func (u *Uplink) open(ctx context.Context) (*session, announcer, error) {
	b := u.newAnnouncer()
	s, err := u.connect(ctx, dialOptions{
		clientID: u.cfg.ClientID,
		clean:    true,
		will:     b.will(),
		receive:  func(m mqtt.Message) { b.seen(m.Payload()) },
	})
	u.unused = errors.Is(err, errUnreached)
	return s, b, err
}

// serve uses one connection until it ends and says why it did.
func (u *Uplink) serve(ctx context.Context, s *session, b announcer) error {
	if err := b.birth(ctx, s); err != nil {
		s.fail(err)
		u.bury(s)
		return err
	}
	u.log.Info("uplink connected", "session", u.session)
	u.update(func(st *State) { st.Connected, st.LastError, st.Session = true, "", u.session })
	keep, stop := context.WithCancel(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		b.keep(keep, s)
	}()
	err := u.send(ctx, s)
	stop()
	<-kept
	if ctx.Err() != nil && errors.Is(err, errStopped) {
		if err := b.offline(s); err != nil {
			u.log.Warn("uplink stopped without saying so", "err", err)
			s.fail(err)
			u.bury(s)
			return err
		}
		s.disconnect()
		u.log.Info("uplink stopped", "session", u.session)
		return errStopped
	}
	s.fail(err)
	u.bury(s)
	return err
}

// send is what a connection is for: everything after the birth.
func (u *Uplink) send(ctx context.Context, s *session) error {
	if err := u.awaitClock(ctx, s); err != nil {
		return err
	}
	if err := u.question(ctx, s); err != nil {
		return err
	}
	for {
		err := u.drain(ctx, s)
		if !errors.Is(err, errLog) {
			return err
		}
		u.update(func(st *State) { st.LastError = err.Error() })
		u.log.Error("the log cannot be read", "err", err)
		if err := u.pause(ctx, s, readRetry); err != nil {
			return err
		}
		u.loadCursor() // the log may be another one
		u.update(func(st *State) { st.LastError = "" })
	}
}

// pause lets d pass on a connection.
func (u *Uplink) pause(ctx context.Context, s *session, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.dead:
		return s.err
	case <-ctx.Done():
		return errStopped
	}
}

// awaitClock holds data back while the clock is unset, for ClockWait after the
// first connection at most.
func (u *Uplink) awaitClock(ctx context.Context, s *session) error {
	if u.cfg.ClockWait < 0 {
		return nil
	}
	if u.firstUp.IsZero() {
		u.firstUp = time.Now()
	}
	for u.cfg.Clock.Now().Quality == gateway.ClockUnset && time.Since(u.firstUp) < u.cfg.ClockWait {
		if err := u.pause(ctx, s, clockLook); err != nil {
			return err
		}
	}
	return nil
}
