package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway/access"
)

// scriptedLog is a Log whose disk the test plays.
type scriptedLog struct {
	mu      sync.Mutex
	queue   []*Entry
	records []Record
	refuse  error
}

func (l *scriptedLog) Append(e *Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	l.queue = append(l.queue, e)
	return nil
}

func (l *scriptedLog) take() []*Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queue
	l.queue = nil
	return q
}

// commit makes everything that is queued durable.
func (l *scriptedLog) commit() {
	for _, e := range l.take() {
		for i := range e.Records {
			e.Records[i].Seq = uint64(len(l.records) + 1)
			l.records = append(l.records, e.Records[i])
		}
		e.Done(nil)
	}
}

// stall tells everybody that the disk refuses, and keeps the entries.
func (l *scriptedLog) stall() {
	q := l.take()
	for _, e := range q {
		if e.Stalled != nil {
			e.Stalled(errors.New("no space left on device"))
		}
	}
	l.queue = append(q, l.queue...)
}

type memTable struct {
	mu    sync.Mutex
	pairs map[string][]byte
	fail  error
}

func (m *memTable) Each(fn func(string, []byte) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.pairs {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (m *memTable) Write(pairs map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.pairs == nil {
		m.pairs = map[string][]byte{}
	}
	for k, v := range pairs {
		if v == nil {
			delete(m.pairs, k)
		} else {
			m.pairs[k] = v
		}
	}
	return nil
}

type openGate struct{}

func (openGate) Check(context.Context, string, string, []byte, string, bool) error { return nil }

func (openGate) Token(_, _ string, known bool) error {
	if !known {
		return access.ErrBadCredentials
	}
	return nil
}

type plainForms struct{}

func (plainForms) Value(r *Record) Message {
	return Message{Topic: "devices/" + r.Device + "/sensors/" + r.Channel + "/value", Payload: r.Value, QoS: 1}
}

func (plainForms) Change(req ChangeRequest, d *Device) Message {
	raw, _ := json.Marshal(d.ID)
	return Message{Topic: "devices", Payload: raw}
}

// testSink remembers what it was handed and settles when told.
type testSink struct {
	mu      sync.Mutex
	got     []*Batch
	records [][]Record
	hold    bool
	waiting []func(error)
}

func (s *testSink) Deliver(b *Batch, records []Record, settled func(error)) {
	s.mu.Lock()
	s.got, s.records = append(s.got, b), append(s.records, records)
	hold := s.hold
	if hold {
		s.waiting = append(s.waiting, settled)
	}
	s.mu.Unlock()
	if !hold {
		settled(nil)
	}
}

func (s *testSink) delivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

type testClock struct{ s Stamp }

func (c *testClock) Now() Stamp { return c.s }

type fixture struct {
	hub    *Hub
	reg    *Registry
	log    *scriptedLog
	sink   *testSink
	clock  *testClock
	tables Tables
	logged *bytes.Buffer
}

func newFixture(t *testing.T, d Declared, edit ...func(*HubConfig)) *fixture {
	t.Helper()
	f := &fixture{log: &scriptedLog{}, sink: &testSink{}, logged: &bytes.Buffer{},
		clock:  &testClock{Stamp{Wall: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Quality: ClockSynced}},
		tables: Tables{Devices: &memTable{}, Users: &memTable{}, Keys: &memTable{}}}
	var err error
	if f.reg, err = NewRegistry(f.tables, openGate{}, f.clock, d); err != nil {
		t.Fatal(err)
	}
	cfg := HubConfig{Registry: f.reg, Log: f.log, Clock: f.clock, Forms: plainForms{},
		Logger: slog.New(slog.NewTextHandler(f.logged, nil))}
	for _, fn := range edit {
		fn(&cfg)
	}
	f.hub = NewHub(cfg)
	f.hub.AddSink(f.sink)
	return f
}

var (
	ann = access.Subject{User: "ann"}
	bob = access.Subject{User: "bob"}
)

func declared() Declared {
	return Declared{
		Anonymous: true,
		Users:     []access.User{{Name: "ann"}, {Name: "bob"}, {Name: "root", Admin: true}},
		Devices: []*Device{
			{ID: "Open", Name: "Open device", Grants: access.Grants{Public: true, PublicWrite: true},
				Sensors: []Sensor{{ID: "TC1", Name: "Temperature"}}, Actuators: []Actuator{{ID: "relay"}}},
			{ID: "Anns", Grants: access.Grants{Owner: "ann"}, Sensors: []Sensor{{ID: "TC1"}}},
		},
	}
}

func reading(device, sensor, value string) *Batch {
	return &Batch{Source: "test", Wait: true,
		Readings: []Reading{{Kind: KindSensor, Device: device, Channel: sensor, Value: json.RawMessage(value)}}}
}

func TestAcknowledgedOnlyWhenOnDiskAndHandedOn(t *testing.T) {
	f := newFixture(t, declared())
	f.sink.hold = true
	acked := 0
	b := reading("Open", "TC1", "3")
	b.Done = func(err error) {
		if err != nil {
			t.Error(err)
		}
		acked++
	}
	if err := f.hub.Submit(b); err != nil {
		t.Fatal(err)
	}
	if acked != 0 || f.sink.delivered() != 0 {
		t.Fatalf("before the commit: acknowledged %d times, handed on %d times", acked, f.sink.delivered())
	}
	f.log.commit()
	if acked != 0 || f.sink.delivered() != 1 {
		t.Fatalf("before the sink settled: acknowledged %d times, handed on %d times", acked, f.sink.delivered())
	}
	f.sink.waiting[0](nil)
	if acked != 1 {
		t.Fatalf("acknowledged %d times, want once", acked)
	}
}

func TestUnwaitedIsHandedOnAtOnceAndRecorded(t *testing.T) {
	f := newFixture(t, declared())
	b := reading("Open", "TC1", "3")
	b.Wait = false
	if err := f.hub.Submit(b); err != nil {
		t.Fatal(err)
	}
	if f.sink.delivered() != 1 {
		t.Fatal("not handed on before the commit")
	}
	f.log.commit()
	if f.sink.delivered() != 1 || len(f.log.records) != 1 {
		t.Fatalf("handed on %d times, %d records", f.sink.delivered(), len(f.log.records))
	}
}

func TestFailingDisk(t *testing.T) {
	for _, anyway := range []bool{false, true} {
		f := newFixture(t, declared(), func(c *HubConfig) { c.AcknowledgeWithoutDisk = anyway })
		acked := 0
		b := reading("Open", "TC1", "3")
		b.Done = func(error) { acked++ }
		if err := f.hub.Submit(b); err != nil {
			t.Fatal(err)
		}
		f.log.stall()
		if f.sink.delivered() != 1 {
			t.Error("local subscribers wait for the disk")
		}
		if (acked == 1) != anyway {
			t.Errorf("acknowledged %d times with AcknowledgeWithoutDisk %v", acked, anyway)
		}
		f.log.commit()
		if acked != 1 || f.sink.delivered() != 1 {
			t.Errorf("after recovery: acknowledged %d times, handed on %d times", acked, f.sink.delivered())
		}
	}
}

func TestDiskFailingForLong(t *testing.T) {
	f := newFixture(t, declared())
	f.log.refuse = ErrNotKept
	b := reading("Open", "TC1", "3")
	b.Done = func(error) { t.Error("answered although it was refused") }
	if err := f.hub.Submit(b); !errors.Is(err, ErrNotKept) {
		t.Fatalf("Submit = %v, want ErrNotKept", err)
	}
	if f.sink.delivered() != 1 {
		t.Error("not handed on")
	}
	f.log.refuse = nil
	if err := f.hub.Recovered([]string{"cloud", "other"}); err != nil {
		t.Fatal(err)
	}
	f.log.commit()
	if len(f.log.records) != 2 || f.log.records[0].Kind != KindGap || f.log.records[0].Lost.Counts["Open/TC1"] != 1 ||
		f.log.records[1].Uplink != "other" {
		t.Errorf("no gap records: %+v", f.log.records)
	}
	if err := f.hub.Recovered([]string{"cloud"}); err != nil || len(f.log.take()) != 0 {
		t.Error("the same gap is told twice")
	}
}

// What the log has from before a crash is handed on, and neither recorded nor
// made again.
func TestRecordedIsOnlyHandedOn(t *testing.T) {
	f := newFixture(t, declared())
	mark := Mark{Session: 7, Count: 1, Packet: 3}
	for _, recorded := range []bool{false, true} {
		acked := 0
		b := reading("Open", "TC1", "3")
		b.Mark, b.Recorded = mark, recorded
		b.Done = func(error) { acked++ }
		if err := f.hub.Submit(b); err != nil {
			t.Fatal(err)
		}
		for _, e := range f.log.queue {
			if e.Mark != mark {
				t.Errorf("the entry has the mark %v", e.Mark)
			}
		}
		before, _ := f.hub.Current("Open", "TC1", KindSensor)
		f.log.commit()
		after, _ := f.hub.Current("Open", "TC1", KindSensor)
		if recorded && before.Seq != after.Seq {
			t.Error("the present value is another one")
		}
		if acked != 1 {
			t.Errorf("recorded %v: acknowledged %d times", recorded, acked)
		}
	}
	if len(f.log.records) != 1 || f.sink.delivered() != 2 {
		t.Errorf("%d records, handed on %d times", len(f.log.records), f.sink.delivered())
	}
	for _, c := range []struct {
		what  string
		req   ChangeRequest
		heard bool // by neighbours
	}{
		{"made", ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "Made", Name: "Made"}}, true},
		{"made without an id", ChangeRequest{Op: CreateDevice, NewDevice: &Device{Name: "Made"}}, false},
		{"renamed", ChangeRequest{Op: SetName, Device: "Open", Name: "other"}, true},
		{"deleted, and so unknown now", ChangeRequest{Op: Delete, Device: "Made"}, true},
	} {
		done, before := 0, f.sink.delivered()
		b := &Batch{From: access.System, Source: "test", Wait: true, Recorded: true, Carrier: &Message{Topic: "devices"}, Done: func(error) { done++ }}
		if err := f.hub.Change(b, c.req); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		if got := f.sink.got[before:]; len(got) != 1 || (got[0].Carrier != nil) != c.heard || len(f.sink.records[before]) != 0 || done != 1 {
			t.Errorf("%s: handed on %d times, answered %d times", c.what, len(got), done)
		}
	}
	if _, made := f.hub.cfg.Registry.Device("Made"); made || f.hub.cfg.Registry.Devices()[0].Name == "other" || len(f.log.records) != 1 {
		t.Errorf("made again: %v, %d records", made, len(f.log.records))
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t, declared())
	deep := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
	for _, c := range []struct {
		from          access.Subject
		device, value string
		want          error
	}{
		{access.Subject{}, "Anns", "1", ErrDenied},
		{bob, "Anns", "1", ErrDenied},
		{access.Subject{User: "nobody"}, "Anns", "1", ErrDenied},
		{ann, "Nowhere", "1", ErrUnknownDevice},
		{ann, "Anns", deep, ErrTooDeep},
		{ann, "Anns", "NaN", ErrBadPayload},
		{ann, "Anns", "1e999", ErrBadNumber},
		{ann, "Anns", "1", nil},
		{access.Subject{User: "root"}, "Anns", "1", nil},
		{access.System, "Anns", "1", nil},
	} {
		b := reading(c.device, "TC1", c.value)
		b.From = c.from
		if err := f.hub.Submit(b); !errors.Is(err, c.want) {
			t.Errorf("%s on %s with %.10s: %v, want %v", c.from, c.device, c.value, err, c.want)
		}
	}
	b := reading("Open", "nothing", "1")
	if err := f.hub.Submit(b); !errors.Is(err, ErrUnknownSensor) {
		t.Errorf("unknown sensor: %v", err)
	}
	f.log.commit()
	if n := f.sink.delivered(); n != 3 || len(f.log.records) != 3 {
		t.Errorf("%d handed on and %d recorded, want 3", n, len(f.log.records))
	}
}

func TestBatchIsRecordedWholeOrNot(t *testing.T) {
	f := newFixture(t, declared())
	b := reading("Open", "TC1", "1")
	b.Readings = append(b.Readings, Reading{Kind: KindSensor, Device: "Anns", Channel: "TC1", Value: json.RawMessage("2")})
	if err := f.hub.Submit(b); !errors.Is(err, ErrDenied) {
		t.Fatal(err)
	}
	f.log.commit()
	if len(f.log.records) != 0 {
		t.Error("half of a batch was recorded")
	}
}

func TestAutoCreate(t *testing.T) {
	d := declared()
	d.AutoCreate = true
	f := newFixture(t, d)
	b := reading("New", "TC1", "1")
	if err := f.hub.Submit(b); !errors.Is(err, ErrUnknownDevice) {
		t.Fatalf("for an anonymous client: %v", err)
	}
	b.From = ann
	if err := f.hub.Submit(b); err != nil {
		t.Fatal(err)
	}
	dev, ok := f.reg.Device("New")
	if !ok || dev.Grants.Owner != "ann" || dev.Grants.Public || len(dev.Sensors) != 1 {
		t.Fatalf("created %+v", dev)
	}
	b2 := reading("New", "TC2", "1")
	b2.From = bob
	if err := f.hub.Submit(b2); !errors.Is(err, ErrDenied) {
		t.Errorf("somebody else adds a sensor: %v", err)
	}
	f.log.commit()
	kinds := []Kind{}
	for _, r := range f.log.records {
		kinds = append(kinds, r.Kind)
	}
	if !slices.Equal(kinds, []Kind{KindChange, KindChange, KindSensor}) {
		t.Errorf("records %v", kinds)
	}
}

type forwardAll struct{}

func (forwardAll) Forward(m *Message, origin string) []string {
	if origin == "cloud" {
		return nil
	}
	return []string{"cloud"}
}

func TestForwardedMessagesAreRecords(t *testing.T) {
	f := newFixture(t, declared(), func(c *HubConfig) { c.Forward = forwardAll{} })
	acked := false
	b := &Batch{From: ann, Source: "test", Wait: true, Carrier: &Message{Topic: "factory/a", Payload: []byte("x"), QoS: 1},
		Done: func(error) { acked = true }}
	if err := f.hub.Submit(b); err != nil {
		t.Fatal(err)
	}
	if acked {
		t.Fatal("acknowledged before it is on disk")
	}
	f.log.commit()
	if !acked || len(f.log.records) != 1 || f.log.records[0].Kind != KindMessage || f.log.records[0].Uplink != "cloud" {
		t.Fatalf("acked %v, records %+v", acked, f.log.records)
	}
	back := &Batch{From: access.System, Origin: "cloud", Source: "cloud", Carrier: &Message{Topic: "factory/a"}}
	if err := f.hub.Submit(back); err != nil || len(f.log.take()) != 0 {
		t.Error("what came from the cloud goes back to it")
	}
	if err := f.hub.Submit(reading("Open", "TC1", "7")); err != nil {
		t.Fatal(err)
	}
	f.log.commit()
	last := f.log.records[len(f.log.records)-1]
	if last.Topic != "devices/Open/sensors/TC1/value" {
		t.Errorf("a reading without a message is not forwarded in its form: %+v", last)
	}
}

func TestCurrentIgnoresTheBackDated(t *testing.T) {
	f := newFixture(t, declared())
	now := f.clock.s.Wall
	for _, c := range []struct {
		value string
		at    time.Time
		want  string
	}{{"1", now, "1"}, {"2", now.Add(-time.Hour), "1"}, {"3", time.Time{}, "3"}} {
		b := reading("Open", "TC1", c.value)
		b.Readings[0].Time = c.at
		if err := f.hub.Submit(b); err != nil {
			t.Fatal(err)
		}
		f.log.commit()
		if r, _ := f.hub.Current("Open", "TC1", KindSensor); string(r.Value) != c.want {
			t.Errorf("after %s: %s, want %s", c.value, r.Value, c.want)
		}
	}
	g := newFixture(t, declared())
	if err := g.hub.Restore(func(fn func(Record) bool) error {
		for _, r := range slices.Backward(f.log.records) {
			if !fn(r) {
				break
			}
		}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	if r, _ := g.hub.Current("Open", "TC1", KindSensor); string(r.Value) != "3" {
		t.Errorf("restored %s, want 3", r.Value)
	}
}

func TestRefusedIsCountedAndLoggedOnceAMinute(t *testing.T) {
	f := newFixture(t, declared())
	for range 100 {
		f.hub.Refused("mqtt x", "devices/a/sensors/b/value", ErrBadPayload)
	}
	f.hub.Refused("mqtt x", "devices/a/sensors/b/value", ErrDenied)
	if n := strings.Count(f.logged.String(), "bad_payload"); n != 1 {
		t.Errorf("%d lines for one cause within a minute", n)
	}
	f.clock.s.Mono += time.Minute
	f.hub.Refused("mqtt x", "devices/a/sensors/b/value", ErrBadPayload)
	if !strings.Contains(f.logged.String(), "since_last_line=99") {
		t.Errorf("the silent ones are not counted: %s", f.logged)
	}
	if c := f.hub.Counts(); c["bad_payload"] != 101 || c["denied"] != 1 {
		t.Errorf("counts %v", c)
	}
}

func TestAcceptEndsWithItsContext(t *testing.T) {
	f := newFixture(t, declared())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.hub.Accept(ctx, reading("Open", "TC1", "1")); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept = %v", err)
	}
	f.log.commit() // the late answer blocks nobody
}

func TestNeighboursHearACreationAsItCame(t *testing.T) {
	f := newFixture(t, declared())
	for _, c := range []struct {
		req         ChangeRequest
		heard, logs string
	}{
		{ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "N1"}}, "as it came", `"N1"`},
		{ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "N2", Sensors: []Sensor{{Name: "no id"}}}}, `"N2"`, `"N2"`},
		{ChangeRequest{Op: CreateSensor, Device: "N1", NewSensor: &Sensor{ID: "S"}}, "as it came", `"N1"`},
		{ChangeRequest{Op: CreateActuator, Device: "N1", NewActuator: &Actuator{}}, `"N1"`, `"N1"`},
	} {
		b := &Batch{From: ann, Source: "test", Carrier: &Message{Topic: "devices", Payload: []byte("as it came"), QoS: 1, Retain: true}}
		if err := f.hub.Change(b, c.req); err != nil {
			t.Fatal(err)
		}
		f.log.commit()
		got := f.sink.got[len(f.sink.got)-1].Carrier
		if string(got.Payload) != c.heard || got.Retain {
			t.Errorf("%+v: neighbours hear %q, retained %v; want %q", c.req, got.Payload, got.Retain, c.heard)
		}
		if rec := f.log.records[len(f.log.records)-1]; string(rec.Value) != c.logs {
			t.Errorf("%+v: the cloud is told %q, want %q", c.req, rec.Value, c.logs)
		}
	}
}

// TestDeletedDeviceLeavesNoValues: who makes a device of the same id later
// must not see what was measured before.
func TestDeletedDeviceLeavesNoValues(t *testing.T) {
	f := newFixture(t, declared())
	change := func(req ChangeRequest) {
		t.Helper()
		if err := f.hub.Change(&Batch{From: access.Subject{User: "root"}, Source: "test"}, req); err != nil {
			t.Fatal(err)
		}
	}
	made := &Device{ID: "X", Sensors: []Sensor{{ID: "S"}, {ID: "T"}}}
	change(ChangeRequest{Op: CreateDevice, NewDevice: made})
	for _, s := range []string{"S", "T"} {
		b := reading("X", s, "1")
		b.From = access.System
		if err := f.hub.Submit(b); err != nil {
			t.Fatal(err)
		}
	}
	f.log.commit()
	change(ChangeRequest{Op: Delete, Device: "X", Sensor: "S"})
	if _, ok := f.hub.Current("X", "S", KindSensor); ok {
		t.Error("the value of a deleted sensor is still there")
	}
	if _, ok := f.hub.Current("X", "T", KindSensor); !ok {
		t.Error("its neighbour's is gone")
	}
	change(ChangeRequest{Op: Delete, Device: "X"})
	change(ChangeRequest{Op: CreateDevice, NewDevice: made})
	if _, ok := f.hub.Current("X", "T", KindSensor); ok {
		t.Error("the new device shows the old one's value")
	}
}

// ownActuators owns Open/relay, which knows true and false.
type ownActuators struct{}

func (ownActuators) Check(device, actuator string, value json.RawMessage) (bool, error) {
	if device != "Open" || actuator != "relay" {
		return false, nil
	}
	if s := string(value); s != "true" && s != "false" {
		return true, fmt.Errorf("%w: %s", ErrBadPayload, s)
	}
	return true, nil
}

// TestCommandToAnOwnActuator: it is recorded as a command, which no cloud takes
// for news; what counts is the state that is reached.
func TestCommandToAnOwnActuator(t *testing.T) {
	d := declared()
	d.Devices[0].Actuators = append(d.Devices[0].Actuators, Actuator{ID: "valve"})
	f := newFixture(t, d, func(c *HubConfig) { c.Actuators = ownActuators{}; c.Forward = forwardAll{} })
	send := func(actuator, value string, carrier, confirmed bool) error {
		b := &Batch{Source: "test", Confirmed: confirmed,
			Readings: []Reading{{Kind: KindActuator, Device: "Open", Channel: actuator, Value: json.RawMessage(value)}}}
		if confirmed {
			b.From = access.System
		}
		if carrier {
			b.Carrier = &Message{Topic: "devices/Open/actuators/" + actuator + "/value", Payload: []byte(value), Retain: true}
		}
		return f.hub.Submit(b)
	}
	current := func() string {
		r, _ := f.hub.Current("Open", "relay", KindActuator)
		return string(r.Value)
	}
	for _, carrier := range []bool{true, false} {
		f.sink.got, f.sink.records = nil, nil
		if err := send("relay", "true", carrier, false); err != nil {
			t.Fatal(err)
		}
		if len(f.sink.got) != 1 || f.sink.got[0].Readings[0].Kind != KindCommand {
			t.Errorf("carrier %v: handed on as %+v", carrier, f.sink.got)
		}
		if c := f.sink.got[0].Carrier; c != nil && c.Retain {
			t.Error("a command is retained as if it were a state")
		}
		if n := len(f.sink.records[0]); n > 0 != carrier {
			t.Errorf("carrier %v: subscribers get the forms of %d records", carrier, n)
		}
		if c := current(); c != "" {
			t.Errorf("carrier %v: the value asked for, %s, is taken for the state", carrier, c)
		}
		f.log.commit()
	}
	kinds := func() (kinds string) {
		for _, r := range f.log.records {
			kinds += r.Kind.String() + " "
		}
		return kinds
	}
	if k := kinds(); k != "command message command " { // what came as a message is forwarded as one
		t.Errorf("recorded %s", k)
	}
	f.log.records = nil
	if err := send("relay", "true", false, true); err != nil {
		t.Fatal(err)
	}
	f.log.commit()
	if k := kinds(); k != "actuator message " || current() != "true" {
		t.Errorf("confirmed: recorded %s, current %q", k, current())
	}
	if err := send("relay", `"up"`, true, false); !errors.Is(err, ErrBadPayload) {
		t.Errorf("no command: %v", err)
	}
	b := reading("Anns", "TC1", "1")
	b.From, b.Readings[0].Kind = bob, KindActuator
	if err := f.hub.Submit(b); !errors.Is(err, ErrDenied) {
		t.Errorf("without the right: %v", err)
	}
	f.log.records = nil
	if err := send("valve", "50", true, false); err != nil {
		t.Fatal(err)
	}
	f.log.commit()
	if k := kinds(); k != "actuator message " {
		t.Errorf("somebody else's actuator: recorded %s", k)
	}

	// After a restart the last state counts, not a command after it.
	back := newFixture(t, d, func(c *HubConfig) { c.Actuators = ownActuators{} })
	recs := []Record{{Seq: 2, Kind: KindCommand, Device: "Open", Channel: "relay", Value: json.RawMessage("false")},
		{Seq: 1, Kind: KindActuator, Device: "Open", Channel: "relay", Value: json.RawMessage("true")}}
	if err := back.hub.Restore(func(fn func(Record) bool) error {
		for _, r := range recs {
			fn(r)
		}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	if r, _ := back.hub.Current("Open", "relay", KindActuator); string(r.Value) != "true" {
		t.Errorf("after a restart: %s", r.Value)
	}
}
