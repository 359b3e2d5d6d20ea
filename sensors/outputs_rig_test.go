package sensors

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/fakeclock"
)

// journal notes what happened and when, in time since its beginning.
type journal struct {
	mu    sync.Mutex
	begin time.Time
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%v ", time.Since(j.begin).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// take gives what happened since it was asked last.
func (j *journal) take() []string {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.lines
	j.lines = nil
	return out
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	if got := j.take(); !slices.Equal(got, want) {
		t.Errorf("happened:\n\t%s\nwanted:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// outputBench is a board, a hub, a table and a clock for Outputs. What the
// hardware does and what the hub is told goes into journals.
type outputBench struct {
	t        *testing.T
	clock    *fakeclock.Clock
	table    *fakeTable
	hardware journal
	hub      journal
	status   journal
	log      journal
	full     chan struct{} // not nil: the hub has no room until it is closed

	mu     sync.Mutex
	hooks  map[string]func(l Level) error // by actuator: before it is opened or set
	refuse error                          // of the hub

	*Outputs
	cancel context.CancelFunc
	done   chan error
}

func newOutputBench(t *testing.T) *outputBench {
	now := time.Now()
	return &outputBench{
		t:        t,
		clock:    fakeclock.New(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), gateway.ClockSynced),
		table:    &fakeTable{pairs: map[string][]byte{}},
		hardware: journal{begin: now},
		hub:      journal{begin: now},
		status:   journal{begin: now},
		log:      journal{begin: now},
		hooks:    map[string]func(Level) error{},
	}
}

// Submit implements Hub.
func (b *outputBench) Submit(batch *gateway.Batch) error {
	if b.full != nil {
		<-b.full
	}
	r := batch.Readings[0]
	if batch.From != access.System || !batch.Confirmed || batch.Wait || batch.Carrier != nil || len(batch.Readings) != 1 ||
		r.Kind != gateway.KindActuator || r.Device != "D" || !strings.HasPrefix(batch.Source, "actuator ") {
		b.t.Errorf("submitted %+v", batch)
	}
	b.hub.add("%s=%s", r.Channel, r.Value)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refuse
}

// refuseWith has the hub refuse all states.
func (b *outputBench) refuseWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = err
}

// registry has the drivers "switch" and "dimmer", whose hardware is the bench's.
func (b *outputBench) registry() *Registry {
	r := &Registry{}
	for _, percent := range []bool{false, true} {
		name := map[bool]string{false: "switch", true: "dimmer"}[percent]
		r.RegisterOutput(OutputDriver{Name: name, Percent: percent,
			Open: func(_ context.Context, env Env, _ Options, first Level) (Actuator, error) {
				return benchActuator{b, env.Sensor}, b.do("open", env.Sensor, first)
			}})
	}
	return r
}

// hook has f called before the hardware of an actuator is opened or set.
func (b *outputBench) hook(actuator string, f func(l Level) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hooks[actuator] = f
}

func (b *outputBench) do(what, actuator string, l Level) error {
	b.mu.Lock()
	hook := b.hooks[actuator]
	b.mu.Unlock()
	if hook != nil {
		if err := hook(l); err != nil {
			return err
		}
	}
	b.hardware.add("%s %s %v", what, actuator, l)
	return nil
}

type benchActuator struct {
	b    *outputBench
	name string
}

func (a benchActuator) Set(l Level) error { return a.b.do("set", a.name, l) }
func (a benchActuator) Close() error      { a.b.hardware.add("close %s", a.name); return nil }

// Write makes the bench's log a journal of its messages.
func (b *outputBench) Write(line []byte) (int, error) {
	b.log.add("%s", line)
	return len(line), nil
}

// start runs Outputs with these items, of device D and driver switch if they do
// not say.
func (b *outputBench) start(items ...OutputItem) {
	b.t.Helper()
	for i := range items {
		items[i].Device = "D"
		if items[i].Driver == "" {
			items[i].Driver = "switch"
		}
	}
	p, err := NewOutputs(OutputsConfig{Items: items, Hub: b, Table: b.table, Clock: b.clock, Registry: b.registry(),
		Log: slog.New(slog.NewTextHandler(b, nil)),
		OnStatus: func(s OutputStatus) {
			b.status.add("%s %v %s %v", s.Actuator, s.State, s.Value, s.Err)
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Outputs = p
	ctx, cancel := context.WithCancel(b.t.Context())
	b.cancel, b.done = cancel, make(chan error, 1)
	go func() { b.done <- p.Run(ctx) }()
	synctest.Wait()
}

// stop ends Run and returns its error.
func (b *outputBench) stop() error {
	b.cancel()
	return <-b.done
}

// kill is a kill -9: what Run does at its end does not count.
func (b *outputBench) kill() {
	synctest.Wait()
	pairs := b.table.copy()
	_ = b.stop()
	b.table.pairs = pairs
	b.forget()
}

func (b *outputBench) forget() {
	for _, j := range []*journal{&b.hardware, &b.hub, &b.status, &b.log} {
		j.take()
	}
}

// pass lets time pass.
func (b *outputBench) pass(d time.Duration) {
	time.Sleep(d)
	b.clock.Advance(d)
	synctest.Wait()
}

func (b *outputBench) command(actuator string, values ...string) {
	for _, v := range values {
		settled := 0
		b.Deliver(&gateway.Batch{Readings: []gateway.Reading{
			{Kind: gateway.KindCommand, Device: "D", Channel: actuator, Value: json.RawMessage(v)}}}, nil,
			func(err error) {
				if settled++; err != nil {
					b.t.Error(err)
				}
			})
		if settled != 1 {
			b.t.Errorf("settled %d times", settled)
		}
	}
	synctest.Wait()
}

// fakeTable is a gateway.Table in memory.
type fakeTable struct {
	mu     sync.Mutex
	pairs  map[string][]byte
	fail   error
	full   chan struct{} // not nil: writes wait until it is closed
	writes int
}

func (f *fakeTable) Each(fn func(key string, value []byte) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(f.pairs)) {
		if err := fn(k, f.pairs[k]); err != nil {
			return err
		}
	}
	return f.fail
}

func (f *fakeTable) Write(pairs map[string][]byte) error {
	if f.full != nil {
		<-f.full
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	if f.fail != nil {
		return f.fail
	}
	for k, v := range pairs {
		if v == nil {
			delete(f.pairs, k)
		} else {
			f.pairs[k] = v
		}
	}
	return nil
}

func (f *fakeTable) copy() map[string][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.pairs)
}

func (f *fakeTable) failWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *fakeTable) put(t *testing.T, key string, r *outputRecord) {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(map[string][]byte{key: raw}); err != nil {
		t.Fatal(err)
	}
}

func (f *fakeTable) record(t *testing.T, key string) *outputRecord {
	t.Helper()
	raw, ok := f.copy()[key]
	if !ok {
		return nil
	}
	var r outputRecord
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}
