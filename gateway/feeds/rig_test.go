package feeds

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/fakeclock"
	"fieldgate/gateway/waziup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rigLog is a log in memory: what is appended is durable at once, or when the
// test says so.
type rigLog struct {
	mu      sync.Mutex
	records []gateway.Record
	queue   []*gateway.Entry
	held    bool
	refuse  error
}

func (l *rigLog) Append(e *gateway.Entry) error {
	l.mu.Lock()
	if l.refuse != nil {
		defer l.mu.Unlock()
		return l.refuse
	}
	l.queue = append(l.queue, e)
	held := l.held
	l.mu.Unlock()
	if !held {
		l.commit()
	}
	return nil
}

// hold makes entries wait for commit.
func (l *rigLog) hold(held bool) {
	l.mu.Lock()
	l.held = held
	l.mu.Unlock()
	if !held {
		l.commit()
	}
}

func (l *rigLog) commit() {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	for _, e := range queue {
		for i := range e.Records {
			e.Records[i].Seq = uint64(len(l.records) + 1)
			l.records = append(l.records, e.Records[i])
		}
	}
	l.mu.Unlock()
	for _, e := range queue {
		e.Done(nil)
	}
}

// of lists the records of a kind.
func (l *rigLog) of(kind gateway.Kind) []gateway.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []gateway.Record
	for _, r := range l.records {
		if r.Kind == kind {
			out = append(out, r)
		}
	}
	return out
}

// History implements History as the real log does.
func (l *rigLog) History(ctx context.Context, q gateway.HistoryQuery, fn func(gateway.Record) error) error {
	l.mu.Lock()
	var found []gateway.Record
	for _, r := range l.records {
		if r.Device != q.Device || r.Channel != q.Channel {
			continue
		}
		switch r.Kind {
		case gateway.KindErase:
			var e gateway.Erasure
			if err := json.Unmarshal(r.Value, &e); err != nil {
				l.mu.Unlock()
				return err
			}
			found = slices.DeleteFunc(found, func(r gateway.Record) bool {
				return !r.At.Before(e.From) && (e.To.IsZero() || !r.At.After(e.To))
			})
		case q.Kind:
			found = append(found, r)
		}
	}
	l.mu.Unlock()
	found = slices.DeleteFunc(found, func(r gateway.Record) bool {
		return r.Stamp.Wall.Before(q.Born) || r.At.Before(q.From) || !q.To.IsZero() && r.At.After(q.To)
	})
	slices.SortStableFunc(found, func(a, b gateway.Record) int { return a.At.Compare(b.At) })
	if q.Backward {
		slices.Reverse(found)
	}
	if q.Limit > 0 {
		found = found[:min(q.Limit, len(found))]
	}
	for _, r := range found {
		if err := errors.Join(ctx.Err(), fn(r)); err != nil {
			return err
		}
	}
	return nil
}

// rigTable is a table in memory.
type rigTable struct {
	mu     sync.Mutex
	pairs  map[string][]byte
	writes int
	fail   error
}

func (m *rigTable) Each(fn func(string, []byte) error) error {
	m.mu.Lock()
	pairs := maps.Clone(m.pairs)
	m.mu.Unlock()
	for k, v := range pairs {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (m *rigTable) Write(pairs map[string][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if m.pairs == nil {
		m.pairs = map[string][]byte{}
	}
	m.writes++
	for k, v := range pairs {
		if m.pairs[k] = v; v == nil {
			delete(m.pairs, k)
		}
	}
	return nil
}

func (m *rigTable) get(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.pairs[key])
}

// rigGate lets every key in that is known.
type rigGate struct{}

func (rigGate) Check(context.Context, string, string, []byte, string, bool) error { return nil }

func (rigGate) Token(_, _ string, known bool) error {
	if !known {
		return access.ErrBadCredentials
	}
	return nil
}

// rigForms is the Waziup dialect, as the real program has it.
type rigForms struct{}

func (rigForms) Value(r *gateway.Record) gateway.Message {
	return gateway.Message{Topic: "devices/" + r.Device + "/sensors/" + r.Channel + "/value", Payload: r.Value, QoS: 1}
}

func (rigForms) Change(req gateway.ChangeRequest, _ *gateway.Device) gateway.Message {
	topic, payload, err := waziup.EncodeChange(req)
	if err != nil {
		return gateway.Message{}
	}
	return gateway.Message{Topic: topic, Payload: payload, QoS: 1}
}

// rigStart is when the tests begin.
var rigStart = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// rig is an API over the real Hub and Registry.
type rig struct {
	t      testing.TB
	api    *API
	hub    *gateway.Hub
	reg    *gateway.Registry
	log    *rigLog
	clock  *fakeclock.Clock
	tables Tables
	feeds  *rigTable
}

// perm is a permission for methods on resources.
func perm(methods string, resources ...access.Resource) access.Permission {
	return access.Permission{Methods: strings.Fields(methods), Resources: resources}
}

// key declares a key of ann's whose text is its label.
func key(text string, private bool, permissions ...access.Permission) access.Key {
	return access.Key{ID: "id-" + text, Label: text, Hash: access.HashKey(text), Owner: "ann", PrivateAccess: private, Permissions: permissions}
}

const allMethods = "get put post delete"

func rigDeclared() gateway.Declared {
	limited := perm("get put", access.Resource{Feed: 504, Datastream: "0"})
	away := perm(allMethods)
	away.SourceIP = "198.51.100.7"
	page := perm(allMethods)
	page.Referer = "example.com"
	slow := perm("get")
	slow.MinimumInterval = 60
	expired := key("expired", true, perm(allMethods))
	expired.ExpiresAt = rigStart.Add(-time.Hour)
	short := key("short", true, perm(allMethods))
	short.ExpiresAt = rigStart.Add(time.Hour)
	bobs := key("bobs", true, perm(allMethods))
	bobs.Owner = "bob"
	return gateway.Declared{
		Anonymous: true,
		Users:     []access.User{{Name: "ann"}, {Name: "bob"}, {Name: "cat"}, {Name: "root", Admin: true}},
		Keys: []access.Key{
			key("master", true, perm(allMethods)),
			key("reader", true, perm("get")),
			key("public", false, perm("get put")),
			key("stream0", true, limited),
			key("fresh", true, perm("put", access.Resource{Feed: 504, Datastream: "fresh"})),
			key("feed504", true, perm("get put post", access.Resource{Feed: 504})),
			key("feed505", true, perm(allMethods, access.Resource{Feed: 505})),
			key("away", true, away), key("page", true, page), key("slow", true, slow),
			expired, short, bobs,
		},
		Devices: []*gateway.Device{
			{ID: "Hut", Name: "Hut", Feed: 504, Grants: access.Grants{Owner: "ann",
				Share: []access.Share{{User: "bob", Can: []access.Right{access.View, access.Publish}}}},
				Sensors: []gateway.Sensor{{ID: "0", Unit: "DegreeCelsius"}, {ID: "1"}}},
			{ID: "Open", Name: "Open field", Feed: 505, Grants: access.Grants{Owner: "ann", Public: true},
				Sensors: []gateway.Sensor{{ID: "temp"}}},
		},
	}
}

// newRig makes an API; edit may change what is declared.
func newRig(t testing.TB, edit ...func(*gateway.Declared)) *rig {
	t.Helper()
	d := rigDeclared()
	for _, fn := range edit {
		fn(&d)
	}
	r := &rig{t: t, log: &rigLog{}, clock: fakeclock.New(rigStart, gateway.ClockSynced), feeds: &rigTable{}}
	r.tables = Tables{Feeds: r.feeds, Triggers: &rigTable{}, Profiles: &rigTable{}, Products: &rigTable{}}
	reg := gateway.Tables{Devices: &rigTable{}, Users: &rigTable{}, Keys: &rigTable{}}
	var err error
	if r.reg, err = gateway.NewRegistry(reg, rigGate{}, r.clock, d); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	r.hub = gateway.NewHub(gateway.HubConfig{Registry: r.reg, Log: r.log, Clock: r.clock, Forms: rigForms{}, Logger: logger})
	r.api = r.open()
	r.hub.AddSink(r.api)
	return r
}

// open makes another API over the same tables, as after a restart.
func (r *rig) open() *API {
	r.t.Helper()
	a, err := New(Config{GatewayID: "gw-1", BaseURL: "http://gw-1:8080", Hub: r.hub, Registry: r.reg, History: r.log,
		Tables: r.tables, Clock: r.clock})
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// run starts Run and ends it with the test.
func (r *rig) run() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- r.api.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-over; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	})
}

// ask makes a request over HTTP with a key.
func (r *rig) ask(key, method, target, body string) gateway.Response {
	r.t.Helper()
	path, query, _ := strings.Cut(target, "?")
	return r.api.Serve(context.Background(), gateway.Request{Peer: gateway.Peer{Addr: "192.0.2.9:4000", Source: "test"},
		Door: "http", Method: method, Path: path, Query: query, Key: key, Body: []byte(body)})
}

// must is ask for what is to be answered with status; it gives the body.
func (r *rig) must(status int, key, method, target, body string) string {
	r.t.Helper()
	resp := r.ask(key, method, target, body)
	if resp.Status != status {
		r.t.Fatalf("%s %s with %s: status %d, want %d: %s (%v)", method, target, key, resp.Status, status, resp.Body, resp.Err)
	}
	return string(resp.Body)
}

func (r *rig) get(target string) string {
	r.t.Helper()
	return r.must(http.StatusOK, "master", http.MethodGet, target, "")
}

func (r *rig) put(target, body string) {
	r.t.Helper()
	r.must(http.StatusOK, "master", http.MethodPut, target, body)
}

// publish sends an MQTT message and gives the error that it was settled with.
func (r *rig) publish(p gateway.Peer, topic, payload string, qos byte) error {
	r.t.Helper()
	done := make(chan error, 2)
	r.api.Publish(p, &gateway.Message{Topic: topic, Payload: []byte(payload), QoS: qos}, func(err error) { done <- err })
	return <-done
}

// value publishes a reading as another dialect does.
func (r *rig) value(device, sensor, raw string, at time.Time) {
	r.t.Helper()
	b := &gateway.Batch{From: access.System, Source: "test", Readings: []gateway.Reading{{Kind: gateway.KindSensor,
		Device: device, Channel: sensor, Value: json.RawMessage(raw), Time: at}}}
	if err := r.hub.Submit(b); err != nil {
		r.t.Fatal(err)
	}
}

// last is the newest entry of the request log.
func (r *rig) last() Entry {
	r.t.Helper()
	all := r.api.Requests()
	if len(all) == 0 {
		r.t.Fatal("nothing in the request log")
	}
	return all[0]
}
