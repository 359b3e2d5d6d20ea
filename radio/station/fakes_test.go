package station

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
)

// table is a gateway.Table in memory.
type table struct {
	mu     sync.Mutex
	pairs  map[string][]byte
	writes int
	err    error         // writes fail with it
	slow   time.Duration // a write takes so long
}

func (t *table) Each(fn func(string, []byte) error) error {
	t.mu.Lock()
	pairs := maps.Clone(t.pairs)
	t.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		if err := fn(k, bytes.Clone(pairs[k])); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) Write(pairs map[string][]byte) error {
	t.mu.Lock()
	slow := t.slow
	t.mu.Unlock()
	if slow > 0 {
		time.Sleep(slow)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	t.writes++
	if t.pairs == nil {
		t.pairs = map[string][]byte{}
	}
	for k, v := range pairs {
		if v == nil {
			delete(t.pairs, k)
		} else {
			t.pairs[k] = bytes.Clone(v)
		}
	}
	return nil
}

// refuse has writes fail with err; nil: not any more.
func (t *table) refuse(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// done counts the writes and the records.
func (t *table) done() (writes, records int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writes, len(t.pairs)
}

// takes makes each write last so long.
func (t *table) takes(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slow = d
}

func (t *table) clone() *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &table{pairs: maps.Clone(t.pairs)}
}

// hub is registry and Hub in one.
type hub struct {
	t       testing.TB
	mu      sync.Mutex
	devices map[string]*gateway.Device
	lines   []string // what was submitted: "2s D/S=value", with its time if it has one
	changes int
	err     error         // Submit gives it
	failing error         // changes fail with it
	stall   bool          // nothing gets to disk
	stalled []func(error) // what waits for it
	begin   time.Time
}

func (h *hub) Device(id string) (*gateway.Device, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.devices[id]
	return d, ok
}

func (h *hub) Submit(b *gateway.Batch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return h.err
	}
	for _, r := range b.Readings {
		if err := gateway.CheckValue(r.Value); err != nil {
			h.t.Errorf("%s/%s: %v", r.Device, r.Channel, err)
		}
		d := h.devices[r.Device]
		if d == nil {
			return gateway.ErrUnknownDevice
		}
		_, ok := d.Sensor(r.Channel)
		if r.Kind == gateway.KindActuator {
			_, ok = d.Actuator(r.Channel)
			if !b.Confirmed {
				h.t.Errorf("%s/%s would be a command", r.Device, r.Channel)
			}
		}
		if !ok {
			return fmt.Errorf("%w: %s/%s", gateway.ErrUnknownSensor, r.Device, r.Channel)
		}
		line := fmt.Sprintf("%s/%s=%s", r.Device, r.Channel, r.Value)
		if !r.Time.IsZero() {
			line += r.Time.Sub(h.begin).Round(time.Millisecond).String()
			line = strings.Replace(line, "="+string(r.Value), "="+string(r.Value)+" at ", 1)
		}
		h.lines = append(h.lines, line)
	}
	if b.Done == nil {
		return nil
	}
	if h.stall {
		h.stalled = append(h.stalled, b.Done)
		return nil
	}
	time.AfterFunc(time.Millisecond, func() { b.Done(nil) })
	return nil
}

// settle answers what waits for the disk.
func (h *hub) settle(err error) {
	h.mu.Lock()
	list := h.stalled
	h.stalled = nil
	h.mu.Unlock()
	for _, done := range list {
		done(err)
	}
}

func (h *hub) Change(_ *gateway.Batch, req gateway.ChangeRequest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failing != nil {
		return h.failing
	}
	h.changes++
	d := *h.devices[req.Device]
	d.Sensors, d.Actuators = slices.Clone(d.Sensors), slices.Clone(d.Actuators)
	switch req.Op {
	case gateway.CreateSensor:
		for _, s := range append([]gateway.Sensor{*req.NewSensor}, req.More...) {
			if _, ok := d.Sensor(s.ID); ok {
				return gateway.ErrExists
			}
			d.Sensors = append(d.Sensors, s)
		}
	case gateway.CreateActuator:
		if _, ok := d.Actuator(req.NewActuator.ID); ok {
			return gateway.ErrExists
		}
		d.Actuators = append(d.Actuators, *req.NewActuator)
	default:
		h.t.Errorf("change %+v", req)
	}
	h.devices[req.Device] = &d
	return nil
}

// take gives what was submitted since the last call.
func (h *hub) take() []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	lines := h.lines
	h.lines = nil
	return lines
}

// wall is the bubble's clock, with a quality.
type wall struct {
	mu      sync.Mutex
	quality gateway.ClockQuality
}

func (w *wall) Now() gateway.Stamp {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	return gateway.Stamp{Wall: now.UTC(), Quality: w.quality, Mono: now.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))}
}

func (w *wall) set(q gateway.ClockQuality) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quality = q
}

// ether is a radio that reaches everything at once, at the exact time.
type ether struct {
	name    string
	counter radio.Counter
	mu      sync.Mutex
	receive func(*radio.Frame)
	sent    []radio.Transmission
	at      []time.Time // when they left
	fail    error
}

func (e *ether) Run(ctx context.Context, receive func(*radio.Frame)) error {
	e.mu.Lock()
	e.receive = receive
	e.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (e *ether) Send(ctx context.Context, t *radio.Transmission) error {
	e.mu.Lock()
	err := e.fail
	e.mu.Unlock()
	if err != nil {
		return err
	}
	now := time.Now()
	start := e.counter.Time(t.Counter, now)
	if t.Immediately {
		start = now
	}
	if start.Before(now) {
		return radio.ErrTooLate
	}
	select {
	case <-time.After(start.Sub(now)):
	case <-ctx.Done():
		return ctx.Err()
	}
	e.mu.Lock()
	e.sent, e.at = append(e.sent, *t), append(e.at, start)
	e.mu.Unlock()
	select {
	case <-time.After(radio.Airtime(t.Modulation, len(t.Payload), radio.AirtimeOptions{NoCRC: !t.CRC})):
	case <-ctx.Done():
	}
	return nil
}

func (e *ether) Status() []radio.Status {
	return []radio.Status{{Radio: e.name, State: radio.OK}}
}

// hear has the radio hear a frame now.
func (e *ether) hear(f *radio.Frame) {
	f.Radio, f.At = e.name, time.Now()
	f.Counter = e.counter.At(f.At)
	if f.Frequency == 0 {
		f.Frequency = 868_100_000
	}
	if f.SF == 0 {
		f.Modulation = radio.Modulation{SF: 7, Bandwidth: 125000, CodingRate: 5}
	}
	if f.CRC == radio.CRCNone {
		f.CRC, f.RSSI, f.SNR = radio.CRCOK, -80, 7
	}
	e.mu.Lock()
	receive := e.receive
	e.mu.Unlock()
	receive(f)
}

// take gives what was sent since the last call.
func (e *ether) take() []radio.Transmission {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	sent := e.sent
	e.sent, e.at = nil, nil
	return sent
}

// left gives when what was sent since take left.
func (e *ether) left() []time.Time {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.at)
}

func (e *ether) refuse(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = err
}
