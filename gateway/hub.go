package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway/access"
)

// Forms gives readings and changes that came without an MQTT message the form
// that local subscribers and bridges know (cmd wires gateway/waziup here).
type Forms interface {
	// Value is the message for a record of KindSensor, KindActuator or KindCommand.
	Value(r *Record) Message
	// Change is the message for a change that was made; d is the device after
	// it (before it, for Delete).
	Change(req ChangeRequest, d *Device) Message
}

// HubConfig is what a Hub works with. Forward may be nil.
type HubConfig struct {
	Registry *Registry
	Log      Log
	Clock    Clock
	Forms    Forms
	Forward  Forwarder
	// Actuators may be nil.
	Actuators Actuators
	Logger    *slog.Logger
	// AcknowledgeWithoutDisk acknowledges batches while the disk refuses them.
	// They are kept in memory only, and lost with the power.
	AcknowledgeWithoutDisk bool
}

// Hub is where all readings pass: permission, validation, the clock's stamp,
// the log, the current state, the local subscribers, and only then the
// acknowledgement. Its methods may be called from any goroutine.
type Hub struct {
	*Refusals
	cfg     HubConfig
	current current
	sinks   atomic.Pointer[[]Sink]
	stats   hubStats
	missed  missed
}

type hubStats struct {
	readings, messages, changes atomic.Uint64
}

// HubStats counts what passed since the start.
type HubStats struct {
	Readings uint64 // sensor and actuator values and commands accepted
	Messages uint64 // messages outside the dialects accepted
	Changes  uint64 // registry changes made
	Missed   uint64 // records that the disk never took and memory could not keep
}

// NewHub returns a Hub without sinks.
func NewHub(cfg HubConfig) *Hub {
	h := &Hub{cfg: cfg}
	h.Refusals = NewRefusals(cfg.Logger, func() time.Time {
		// Monotonic: a clock that jumps must neither flood nor silence the log.
		return time.Unix(0, 0).Add(cfg.Clock.Now().Mono)
	})
	h.current.last = map[currentKey]Record{}
	h.sinks.Store(&[]Sink{})
	return h
}

// AddSink adds a way out. Sinks are added before anything is submitted.
func (h *Hub) AddSink(s Sink) {
	sinks := append(*h.sinks.Load(), s)
	h.sinks.Store(&sinks)
}

// Stats counts what passed.
func (h *Hub) Stats() HubStats {
	return HubStats{
		Readings: h.stats.readings.Load(),
		Messages: h.stats.messages.Load(),
		Changes:  h.stats.changes.Load(),
		Missed:   h.missed.total(),
	}
}

// Submit takes b on its way, or says at once why not (then b.Done is not
// called): an error of this package, see Reason. ErrNotKept means that b was
// handed to local subscribers but can neither be recorded nor remembered now.
// Submit blocks while the log's queue is full.
func (h *Hub) Submit(b *Batch) error {
	for i := range b.Readings {
		if err := h.admit(b, &b.Readings[i]); err != nil {
			return err
		}
	}
	if len(b.Readings) == 0 && b.Carrier == nil {
		return fmt.Errorf("%w: nothing in it", ErrBadPayload)
	}
	h.stats.readings.Add(uint64(len(b.Readings)))
	if len(b.Readings) == 0 {
		h.stats.messages.Add(1)
	}
	f := &flight{}
	return h.launch(f, b, h.records(b, f.one[:0]))
}

// Accept is Submit for those who wait: it returns when b is on disk and handed
// on, or refused, or ctx ends (b may still be recorded then). It sets Wait and
// replaces b.Done.
func (h *Hub) Accept(ctx context.Context, b *Batch) error {
	done := make(chan error, 1)
	b.Wait, b.Done = true, func(err error) { done <- err }
	if err := h.Submit(b); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("gateway: accept: %w", ctx.Err())
	}
}

// admit checks one reading: permission, existence, value.
func (h *Hub) admit(b *Batch, r *Reading) error {
	if err := CheckValue(r.Value); err != nil {
		return err
	}
	reg := h.cfg.Registry
	d, ok := reg.Device(r.Device)
	if ok && !reg.Can(b.From, access.Publish, r.Device) {
		return fmt.Errorf("%w: %s may not publish for device %q", ErrDenied, b.From, r.Device)
	}
	create := reg.state.Load().autoCreate && b.From.User != "" && b.From.Key == "" && reg.Live(b.From)
	if !ok {
		if !create || CheckID(r.Device) != nil {
			return fmt.Errorf("%w: %q", ErrUnknownDevice, shorten(r.Device, MaxID))
		}
		req := ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: r.Device}}
		made, err := h.make(b, req, b.From.User)
		if err != nil {
			return err
		}
		d = made
	}
	if r.Kind == KindSensor {
		_, ok = d.Sensor(r.Channel)
	} else {
		_, ok = d.Actuator(r.Channel)
	}
	if ok {
		return h.command(b, r)
	}
	if !create || CheckID(r.Channel) != nil {
		return fmt.Errorf("%w: %q of device %q", ErrUnknownSensor, shorten(r.Channel, MaxID), r.Device)
	}
	req := ChangeRequest{Op: CreateSensor, Device: r.Device, NewSensor: &Sensor{ID: r.Channel}}
	if r.Kind != KindSensor {
		req = ChangeRequest{Op: CreateActuator, Device: r.Device, NewActuator: &Actuator{ID: r.Channel}}
	}
	_, err := h.make(b, req, b.From.User)
	return err
}

// command makes a value for an actuator of this gateway a command to it, if it
// can be one.
func (h *Hub) command(b *Batch, r *Reading) error {
	if r.Kind == KindSensor || b.Confirmed || h.cfg.Actuators == nil {
		return nil
	}
	owned, err := h.cfg.Actuators.Check(r.Device, r.Channel, r.Value)
	if err == nil && owned {
		r.Kind = KindCommand
		if b.Carrier != nil {
			b.Carrier.Retain = false // a command is no state, which is what is retained of a topic
		}
	}
	return err
}

// make creates what a reading names but nobody declared.
func (h *Hub) make(b *Batch, req ChangeRequest, owner string) (*Device, error) {
	d, _, err := h.cfg.Registry.Apply(req, owner)
	if errors.Is(err, ErrExists) {
		return d, nil // somebody else was quicker
	}
	if err != nil {
		return nil, err
	}
	h.cfg.Logger.Info("created", "device", d.ID, "owner", d.Grants.Owner, "by", b.Source)
	m := h.cfg.Forms.Change(req, d)
	h.stats.changes.Add(1)
	nb := &Batch{From: access.System, Source: b.Source, Origin: b.Origin, Carrier: &m, Changed: d.ID}
	return d, h.record(nb, h.changeRecord(&m, b.Origin))
}

// Change makes one registry change and hands it on like a reading. The error
// is as of Submit. A change that changes nothing is accepted and ends there,
// so that two gateways that tell each other come to rest.
func (h *Hub) Change(b *Batch, req ChangeRequest) error {
	reg := h.cfg.Registry
	if b.Recorded { // made before a crash, but its neighbours may not have heard of it
		if b.Carrier == nil || creates(req.Op) && !named(req) { // they were to hear the ids that were given, too
			b.Carrier = nil
		}
		return h.record(b, nil)
	}
	if req.Op == CreateDevice {
		if b.From.Anonymous() || b.From.Key != "" || !reg.Live(b.From) { // for keys the API decides
			return fmt.Errorf("%w: %s may not create devices", ErrDenied, b.From)
		}
	} else {
		if _, ok := reg.Device(req.Device); !ok {
			return fmt.Errorf("%w: %q", ErrUnknownDevice, shorten(req.Device, MaxID))
		}
		if !reg.Can(b.From, access.Manage, req.Device) {
			return fmt.Errorf("%w: %s may not manage device %q", ErrDenied, b.From, req.Device)
		}
	}
	d, changed, err := reg.Apply(req, b.From.User)
	if err != nil {
		return err
	}
	if !changed {
		if b.Done != nil {
			b.Done(nil)
		}
		return nil
	}
	b.Changed = d.ID
	if req.Op == Delete {
		h.current.forget(req.Device, req.Sensor, req.Actuator)
	}
	if b.Carrier != nil && !creates(req.Op) {
		h.stats.changes.Add(1)
		return h.record(b, append(h.changeRecord(b.Carrier, b.Origin), h.orphaned(req, d)...))
	}
	if more := len(req.More); more > 0 {
		// The log keeps the order: when the last one is on disk, all are.
		for i := range d.Sensors[len(d.Sensors)-more-1 : len(d.Sensors)-1] {
			one := ChangeRequest{Op: CreateSensor, Device: d.ID, NewSensor: &d.Sensors[len(d.Sensors)-more-1+i]}
			m := h.cfg.Forms.Change(one, d)
			h.stats.changes.Add(1)
			nb := &Batch{From: b.From, Source: b.Source, Origin: b.Origin, Carrier: &m, Wait: b.Wait}
			if err := h.record(nb, h.changeRecord(&m, b.Origin)); err != nil {
				return err
			}
		}
		req.NewSensor, req.More = &d.Sensors[len(d.Sensors)-1], nil
	}
	m := h.cfg.Forms.Change(req, d) // says who may see it, and the ids that were given
	if m.Topic == "" {              // the dialect has no words for it: it is a matter of this gateway
		h.stats.changes.Add(1)
		return h.record(b, nil)
	}
	if b.Carrier != nil {
		m.Client, m.QoS, m.Props = b.Carrier.Client, b.Carrier.QoS, b.Carrier.Props
	}
	recs := h.changeRecord(&m, b.Origin)
	if b.Carrier != nil && named(req) { // neighbours hear it as it came
		m.Payload = b.Carrier.Payload
	}
	b.Carrier = &m
	h.stats.changes.Add(1)
	return h.record(b, append(recs, h.orphaned(req, d)...))
}

// orphaned erases the history of the sensors that req deletes, of d as it was:
// the next ones of their ids, which may be somebody else's, start anew.
func (h *Hub) orphaned(req ChangeRequest, d *Device) (recs []Record) {
	switch {
	case req.Op != Delete || req.Actuator != "":
	case req.Sensor != "":
		recs = append(recs, h.erasure(d.ID, req.Sensor, json.RawMessage("{}")))
	default:
		for i := range d.Sensors {
			recs = append(recs, h.erasure(d.ID, d.Sensors[i].ID, json.RawMessage("{}")))
		}
	}
	return recs
}

// Erase takes values of a sensor out of its history: those that are recorded
// already and whose time is from to to, both included, a zero end being open.
// The log keeps their records until it drops them, and uplinks still send them.
// Permission is the caller's matter. The error and b.Done are as of Submit.
func (h *Hub) Erase(b *Batch, device, sensor string, from, to time.Time) error {
	raw, err := json.Marshal(Erasure{From: from, To: to})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadTime, err)
	}
	return h.record(b, []Record{h.erasure(device, sensor, raw)})
}

func (h *Hub) erasure(device, sensor string, raw json.RawMessage) Record {
	return Record{Kind: KindErase, Device: device, Channel: sensor, Value: raw, Stamp: h.cfg.Clock.Now()}
}

func creates(op Op) bool { return op == CreateDevice || op == CreateSensor || op == CreateActuator }

// named reports whether what req makes came with all its ids.
func named(req ChangeRequest) bool {
	switch req.Op {
	case CreateSensor:
		return req.NewSensor.ID != ""
	case CreateActuator:
		return req.NewActuator.ID != ""
	}
	d := req.NewDevice
	return d.ID != "" &&
		!slices.ContainsFunc(d.Sensors, func(s Sensor) bool { return s.ID == "" }) &&
		!slices.ContainsFunc(d.Actuators, func(a Actuator) bool { return a.ID == "" })
}

func (h *Hub) changeRecord(m *Message, origin string) []Record {
	return append([]Record{{Kind: KindChange, Topic: m.Topic, Value: m.Payload,
		Origin: origin, Stamp: h.cfg.Clock.Now()}}, h.forwards(m, origin)...)
}

// records makes the log's records of b, in room if that is enough.
func (h *Hub) records(b *Batch, room []Record) []Record {
	now := h.cfg.Clock.Now()
	recs := slices.Grow(room, len(b.Readings))
	for i := range b.Readings {
		r := &b.Readings[i]
		recs = append(recs, Record{Kind: r.Kind, Device: r.Device, Channel: r.Channel, Value: r.Value,
			Time: r.Time, Stamp: now, Origin: b.Origin, At: r.Time, Clock: now.Quality})
		if r.Time.IsZero() {
			recs[i].At = now.Wall
		}
	}
	if b.Carrier != nil {
		return append(recs, h.forwards(b.Carrier, b.Origin)...)
	}
	for i := range recs[:len(b.Readings)] {
		if recs[i].Kind == KindCommand {
			continue // the state that it reaches is the news
		}
		m := h.cfg.Forms.Value(&recs[i])
		recs = append(recs, h.forwards(&m, b.Origin)...)
	}
	return recs
}

func (h *Hub) forwards(m *Message, origin string) []Record {
	if h.cfg.Forward == nil {
		return nil
	}
	var recs []Record
	for _, name := range h.cfg.Forward.Forward(m, origin) {
		recs = append(recs, Record{Kind: KindMessage, Topic: m.Topic, Value: json.RawMessage(m.Payload),
			QoS: m.QoS, Retain: m.Retain, Uplink: name, Origin: origin, Stamp: h.cfg.Clock.Now()})
	}
	return recs
}

// record takes b through the log and hands it on. Records that nobody waits
// for are handed on at once.
func (h *Hub) record(b *Batch, recs []Record) error { return h.launch(&flight{}, b, recs) }

func (h *Hub) launch(f *flight, b *Batch, recs []Record) error {
	if len(recs) == 0 || b.Recorded { // nothing to keep: an ordinary MQTT message, or one that a crash interrupted
		h.deliver(b, recs, b.Done)
		return nil
	}
	f.hub, f.batch = h, b
	f.entry = Entry{Records: recs, Wait: b.Wait, Done: f.done, Mark: b.Mark}
	if b.Wait {
		f.entry.Stalled = f.stalled
	} else {
		f.hand()
	}
	if err := h.cfg.Log.Append(&f.entry); err != nil {
		f.hand()
		if !errors.Is(err, ErrNotKept) {
			return fmt.Errorf("gateway: submit: %w", err)
		}
		h.missed.add(recs)
		if !b.Wait || h.cfg.AcknowledgeWithoutDisk {
			f.answer(nil)
			return nil
		}
		return fmt.Errorf("gateway: submit: %w", err)
	}
	return nil
}

// owned reports whether r is a command to an actuator of this gateway.
func (h *Hub) owned(r *Record) bool {
	if r.Kind != KindCommand || h.cfg.Actuators == nil {
		return false
	}
	owned, _ := h.cfg.Actuators.Check(r.Device, r.Channel, r.Value)
	return owned
}

// deliver hands b to all sinks; settled is called when the last one has.
func (h *Hub) deliver(b *Batch, recs []Record, settled func(error)) {
	owned := false
	for i := range recs {
		if h.owned(&recs[i]) {
			owned = true
			continue // its present value is what it reaches, not what was asked for
		}
		if !b.Recorded { // else it is known from the log, with its time
			h.current.note(&recs[i])
		}
	}
	if owned && b.Carrier == nil { // in the dialects' form a command looks like the state that follows it
		recs = slices.DeleteFunc(slices.Clone(recs), func(r Record) bool { return h.owned(&r) })
	}
	if settled == nil {
		settled = func(error) {}
	}
	sinks := *h.sinks.Load()
	switch len(sinks) {
	case 0:
		settled(nil)
		return
	case 1:
		sinks[0].Deliver(b, recs, settled)
		return
	}
	all := &countdown{left: len(sinks), then: settled}
	one := all.one
	for _, s := range sinks {
		s.Deliver(b, recs, one)
	}
}

// countdown calls then with the first error when all are done.
type countdown struct {
	mu    sync.Mutex
	left  int
	first error
	then  func(error)
}

func (c *countdown) one(err error) {
	c.mu.Lock()
	c.left--
	if c.first == nil {
		c.first = err
	}
	last, err := c.left == 0, c.first
	c.mu.Unlock()
	if last {
		c.then(err)
	}
}

// Probe passes through the log's writer as a reading would, without writing,
// and so shows that it moves.
func (h *Hub) Probe(ctx context.Context) error {
	done := make(chan error, 1)
	if err := h.cfg.Log.Append(&Entry{Wait: true, Done: func(err error) { done <- err }}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("gateway: probe: %w", ctx.Err())
	}
}
