package sensors

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrHung is reported for a sensor whose driver does not return.
var ErrHung = errors.New("sensors: the driver does not return")

// State is how a sensor or an output is doing.
type State uint8

// The states of a sensor or an output.
const (
	Waiting State = iota // not used yet
	OK                   // the last reading or switching went well
	Failing              // it did not; it is tried again after growing pauses
	Hanging              // its driver, or another one on its bus, has not returned within the timeout
)

// String is waiting, ok, failing or hanging.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case OK:
		return "ok"
	case Failing:
		return "failing"
	case Hanging:
		return "hanging"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Status tells how one channel of an attached sensor is doing.
type Status struct {
	Driver, Device, Bus string
	Sensor              string // the id that the channel is published as
	State               State
	Err                 error     // why it is Failing or Hanging
	Failures            int       // in a row
	Since               time.Time // of the state
	Last                time.Time // when it was last read; zero if never
}

// Status tells how each channel of each sensor is doing, in the order of the
// items.
func (p *Poller) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Status
	for _, t := range p.tasks {
		out = append(out, t.status...)
	}
	return out
}

// well notes that t was read: its channels are right, but for those whose last
// value cannot be.
func (p *Poller) well(t *task) {
	t.telling.Lock()
	defer t.telling.Unlock()
	t.taking.Lock()
	wrong := slices.Clone(t.wrong)
	t.taking.Unlock()
	for i, err := range wrong {
		if err != nil {
			p.tell(t, i, Failing, err)
		} else {
			p.tell(t, i, OK, nil)
		}
	}
}

// change keeps the state of all channels of t and tells about it.
func (p *Poller) change(t *task, s State, err error) {
	t.telling.Lock()
	defer t.telling.Unlock()
	for i := range t.status {
		p.tell(t, i, s, err)
	}
}

// tell keeps the state of one channel and tells about it. Who calls it has
// t.telling, so that nobody is told of a state after the one that followed it.
func (p *Poller) tell(t *task, channel int, s State, err error) {
	now := time.Now()
	p.mu.Lock()
	st := &t.status[channel]
	old := st.State
	if old != s {
		st.State, st.Since = s, now
	}
	st.Err = err
	switch s {
	case OK:
		st.Failures, st.Last = 0, now
	case Failing:
		st.Failures++
	}
	status := *st
	p.mu.Unlock()
	attrs := []any{"driver", status.Driver, "device", status.Device, "sensor", status.Sensor}
	switch log := &t.logged[channel]; {
	case s == OK && log.over(now):
		p.log.Info("sensor is back", attrs...)
	case s != OK && log.news(s, now):
		p.log.Warn("sensor cannot be read", append(attrs, "state", s.String(), "err", err)...)
	}
	if p.onStatus != nil && (s != OK || old != OK) {
		p.onStatus(status)
	}
}

// quietFor is how long what comes and goes is not logged again.
const quietFor = time.Minute

// quiet decides what of a series of failures is logged: the first, and its end,
// but not each of those that come and go.
type quiet struct {
	state State     // that was logged; Waiting: none, or its end was
	at    time.Time // of the last line; zero: never
}

// news reports whether state s at a moment, Failing or Hanging, is to be logged.
func (q *quiet) news(s State, now time.Time) bool {
	if q.state == s || q.state == Waiting && !q.at.IsZero() && now.Sub(q.at) < quietFor {
		return false
	}
	q.state, q.at = s, now
	return true
}

// over reports whether the end of the failures is to be logged.
func (q *quiet) over(now time.Time) bool {
	if q.state == Waiting {
		return false
	}
	q.state, q.at = Waiting, now
	return true
}
