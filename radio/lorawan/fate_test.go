package lorawan

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"fieldgate/radio"
)

func TestFate(t *testing.T) {
	one := Downlink{Device: "abp", ID: "1", FPort: 7, Payload: []byte("on")}
	withGate := func(t *testing.T, d Device) (*rig, *gate) {
		g := &gate{}
		return newRig(t, func(c *Config) { c.Gate = g }, d), g
	}
	bubble(t, "where nobody knows whether it was sent, nothing is sent on top", func(t *testing.T) {
		for _, why := range []error{context.DeadlineExceeded, errTest} {
			r, g := withGate(t, abpDevice())
			n := r.abpNode()
			r.air.fail = func(*radio.Transmission) error { return why }
			r.enqueue(one)
			for range 6 {
				r.uplink(n, 1, "a", false)
			}
			s := r.air.sent()
			if len(s) != 4 || g.reserved != 4 { // as often as one that is not acknowledged
				t.Errorf("%v: sent %d times, %d reservations", why, len(s), g.reserved)
			}
			for i := 1; i < len(s); i++ {
				if s[i].Frequency == 869525000 || string(s[i].Payload) == string(s[i-1].Payload) {
					t.Errorf("%v: %+v", why, s[i])
				}
			}
			r.wantStates("1", "queued", "queued", "queued", "queued", "refused")
			if last := r.states[len(r.states)-1]; last.Sends != 4 || !strings.Contains(last.Why, why.Error()) {
				t.Errorf("%+v", last)
			}
			r.stop()
		}
	})
	bubble(t, "a device that acknowledges has heard it", func(t *testing.T) {
		r, _ := withGate(t, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.air.fail = func(x *radio.Transmission) error {
			r.deliver(sent{Transmission: *x, start: r.air.counter.Time(x.Counter, time.Now())})
			return errTest
		}
		c := one
		c.Confirmed = true
		r.enqueue(c)
		r.uplink(n, 1, "a", false)
		r.uplink(n, 1, "b", false)
		r.wantStates("1", "queued", "sent", "acknowledged")
	})
	bubble(t, "settings of a device that may have heard them", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{RX2: &RX2{869525000, 3}}
		r, _ := withGate(t, d)
		defer r.stop()
		n := r.abpNode()
		r.air.fail = func(x *radio.Transmission) error {
			r.deliver(sent{Transmission: *x, start: r.air.counter.Time(x.Counter, time.Now())})
			return errTest
		}
		r.uplink(n, 1, "a", false)
		r.air.fail = nil
		r.uplink(n, 1, "a", false)
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		if dr := r.server.sessions[devAddr1].link.rx2DR; n.State().RX2DataRate != 3 || dr != 3 {
			t.Errorf("the device has RX2 at DR%d, the server at DR%d", n.State().RX2DataRate, dr)
		}
	})
	bubble(t, "a radio that breaks down", func(t *testing.T) {
		for _, c := range []struct {
			after    time.Duration
			sent     int
			reserved int
			states   []string
		}{
			{0, 2, 0, []string{"queued", "queued"}},
			{600 * time.Millisecond, 1, 1, []string{"queued", "queued"}}, // RX1 has begun
		} {
			r, g := withGate(t, abpDevice())
			n := r.abpNode()
			r.air.fail = func(*radio.Transmission) error {
				time.Sleep(c.after)
				return radio.ErrDown
			}
			r.enqueue(one)
			r.uplink(n, 1, "a", false)
			if s := r.air.sent(); len(s) != c.sent || g.reserved != c.reserved {
				t.Errorf("after %v: sent %d times, %d reservations", c.after, len(s), g.reserved)
			}
			r.wantStates("1", c.states...)
			r.stop()
		}
	})
	bubble(t, "a radio that never answers", func(t *testing.T) {
		r, _ := withGate(t, abpDevice())
		defer r.stop()
		n := r.abpNode()
		block := make(chan bool)
		defer close(block)
		s := r.server
		s.cfg.Radio = sendFunc(func(ctx context.Context, _ *radio.Transmission) error {
			<-ctx.Done()
			return ctx.Err()
		})
		r.enqueue(one)
		r.uplink(n, 1, "a", false)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.flights != 0 {
			t.Errorf("%d downlinks are on their way still", s.flights)
		}
	})
	bubble(t, "a forwarder whose table of powers has another highest one", func(t *testing.T) {
		r, _ := withGate(t, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.air.fail = func(x *radio.Transmission) error {
			if x.Frequency != 869525000 {
				return radio.ErrTooLate
			}
			if x.Power != 27 && x.Power != 14 {
				return radio.ErrPower
			}
			return nil
		}
		r.enqueue(one)
		r.uplink(n, 1, "a", false)
		s := r.air.sent()
		if last := s[len(s)-1]; last.err != nil || last.Power != 27 {
			t.Errorf("%+v", last)
		}
	})
	bubble(t, "all sub-bands are used up: the state says until when", func(t *testing.T) {
		r, g := withGate(t, abpDevice())
		defer r.stop()
		g.full = map[string]bool{"868.0-868.6": true, "869.4-869.65": true}
		n := r.abpNode()
		r.enqueue(one)
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "queued")
		if why := r.states[1].Why; strings.Count(why, "possible at") != 2 || !strings.Contains(why, "RX2: ") {
			t.Error(why)
		}
		if len(r.air.sent()) != 0 || g.reserved != 0 {
			t.Errorf("%d sent, %d reserved", len(r.air.sent()), g.reserved)
		}
	})
}

// sendFunc is a Radio.
type sendFunc func(context.Context, *radio.Transmission) error

func (f sendFunc) Send(ctx context.Context, t *radio.Transmission) error { return f(ctx, t) }

func TestFateOf(t *testing.T) {
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, c := range []struct {
		err   error
		start time.Time
		want  fate
	}{
		{nil, later, left}, {radio.ErrTooEarly, later, unsent}, {radio.ErrTooLate, before, unsent}, {radio.ErrRefused, before, unsent},
		{radio.ErrDown, later, unsent}, {radio.ErrDown, before, doubtful}, {errors.New("?"), later, doubtful}, {context.Canceled, later, doubtful},
	} {
		if got := fateOf(c.err, c.start); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
