package sensors

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// mailbox is a queue that never blocks who puts something into it.
type mailbox[T any] struct {
	room int
	wake chan struct{} // a value: something was put

	mu    sync.Mutex
	items []T
}

func newMailbox[T any](room int) mailbox[T] {
	return mailbox[T]{room: room, wake: make(chan struct{}, 1)}
}

// put adds x, in the place of the oldest one if there is no room.
func (m *mailbox[T]) put(x T) (dropped bool) {
	m.mu.Lock()
	if dropped = len(m.items) == m.room; dropped {
		m.items = append(m.items[:0], m.items[1:]...)
	}
	m.items = append(m.items, x)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return dropped
}

// take gives the oldest one.
func (m *mailbox[T]) take() (x T, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) == 0 {
		return x, false
	}
	x = m.items[0]
	m.items = append(m.items[:0], m.items[1:]...)
	return x, true
}

// newest gives the newest one and drops the others.
func (m *mailbox[T]) newest() (x T, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) == 0 {
		return x, false
	}
	x = m.items[len(m.items)-1]
	m.items = m.items[:0]
	return x, true
}

// report is what the outside is told of an output: a state that was reached, or
// its status.
type report struct {
	value  json.RawMessage // nil: the status
	status OutputStatus
}

// tell hands the reports on, and returns when over is closed and all are. A Hub
// without room holds up this goroutine, not the switching.
func (o *output) tell(over <-chan struct{}) {
	for {
		for r, ok := o.reports.take(); ok; r, ok = o.reports.take() {
			if r.value == nil {
				o.onStatus(r.status)
				continue
			}
			o.submit(r.value)
		}
		select {
		case <-o.reports.wake:
			continue
		default:
		}
		select {
		case <-o.reports.wake:
		case <-over:
			return
		}
	}
}

func (o *output) submit(value json.RawMessage) {
	err := o.hub.Submit(&gateway.Batch{
		From:      access.System,
		Source:    "actuator " + o.driver.Name,
		Confirmed: true,
		Readings:  []gateway.Reading{{Kind: gateway.KindActuator, Device: o.item.Device, Channel: o.item.Actuator, Value: value}},
	})
	if err != nil && !errors.Is(err, gateway.ErrNotKept) { // then it was handed on, and the log tells of the disk
		o.log.Error("the state of the output cannot be published", "value", string(value), "err", err)
	}
}

// snapshot gives the status as it is now.
func (o *output) snapshot() OutputStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.status
}

// dropped logs that there are more commands than can be carried out, and not each
// of them.
func (o *output) dropped() {
	now := time.Now()
	o.mu.Lock()
	news := o.flooded.IsZero() || now.Sub(o.flooded) >= quietFor
	if news {
		o.flooded = now
	}
	o.mu.Unlock()
	if news {
		o.log.Warn("commands come faster than they can be carried out, the oldest are dropped", "waiting", MaxCommands)
	}
}

// confirm tells that a level was reached.
func (o *output) confirm(level Level) {
	value := o.driver.Value(level)
	o.reports.put(report{value: value})
	now := time.Now()
	o.mu.Lock()
	old := o.status
	o.status.State, o.status.Err, o.status.Failures = OK, nil, 0
	if old.State != OK {
		o.status.Since = now
	}
	if old.Value == nil || old.Level != level {
		o.status.Level, o.status.Value, o.status.Switched = level, value, now
	}
	status := o.status
	o.mu.Unlock()
	o.level = level
	if o.logged.over(now) {
		o.log.Info("output is back", "value", string(value))
	}
	if o.onStatus != nil && (old.State != OK || old.Value == nil || old.Level != level) {
		o.reports.put(report{status: status})
	}
}

// note tells that the output could not be switched.
func (o *output) note(s State, err error) {
	now := time.Now()
	o.mu.Lock()
	if o.status.State != s {
		o.status.State, o.status.Since = s, now
	}
	o.status.Err = err
	if s == Failing {
		o.status.Failures++
	}
	status := o.status
	o.mu.Unlock()
	if o.logged.news(s, now) {
		o.log.Warn("output cannot be switched", "state", s.String(), "err", err)
	}
	if o.onStatus != nil {
		o.reports.put(report{status: status})
	}
}
