package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memTable is a gateway.Table in memory.
type memTable struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (t *memTable) Each(fn func(string, []byte) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range t.m {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (t *memTable) Write(pairs map[string][]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range pairs {
		if v == nil {
			delete(t.m, k)
		} else {
			t.m[k] = v
		}
	}
	return nil
}

// memLog is a gateway.Log in memory. While it is held, entries wait in it.
type memLog struct {
	mu      sync.Mutex
	held    bool
	refuse  error // what Append answers
	waiting []*gateway.Entry
	records []gateway.Record
	queued  chan struct{} // an entry was queued while the log was held
}

func (l *memLog) Append(e *gateway.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	if l.held {
		l.waiting = append(l.waiting, e)
		l.queued <- struct{}{}
		return nil
	}
	l.take(e)
	go e.Done(nil)
	return nil
}

func (l *memLog) take(e *gateway.Entry) {
	for i := range e.Records {
		e.Records[i].Seq = uint64(len(l.records) + 1)
		l.records = append(l.records, e.Records[i])
	}
}

// release ends what waits with err.
func (l *memLog) release(err error) {
	l.mu.Lock()
	waiting := l.waiting
	l.held, l.waiting = false, nil
	if err == nil {
		for _, e := range waiting {
			l.take(e)
		}
	}
	l.mu.Unlock()
	for _, e := range waiting {
		e.Done(err)
	}
}

func (l *memLog) all() []gateway.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]gateway.Record(nil), l.records...)
}

// Values implements History over the log.
func (l *memLog) Values(_ context.Context, q HistoryQuery, fn func(gateway.Record) error) error {
	for _, r := range l.all() {
		if r.Kind != q.Kind || r.Device != q.Device || r.Channel != q.Channel ||
			!q.From.IsZero() && r.At.Before(q.From) || !q.To.IsZero() && r.At.After(q.To) {
			continue
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

type forms struct{}

func (forms) Value(r *gateway.Record) gateway.Message {
	return gateway.Message{Topic: waziup.SensorTopic(r.Device, r.Channel), Payload: r.Value}
}

func (forms) Change(req gateway.ChangeRequest, d *gateway.Device) gateway.Message {
	topic, payload, _ := waziup.EncodeChange(req)
	return gateway.Message{Topic: topic, Payload: payload}
}

// fixedClock stands still.
type fixedClock struct{}

var benchNow = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func (fixedClock) Now() gateway.Stamp {
	return gateway.Stamp{Wall: benchNow, Quality: gateway.ClockSynced}
}

// logAdmin is a LogAdmin that tells what it was asked.
type logAdmin struct {
	asked  ExportQuery
	err    error // of Export, after what it wrote
	before string
}

func (l *logAdmin) Inspect(context.Context) (any, error) {
	return map[string]int{"records": 7}, nil
}
func (l *logAdmin) Verify(context.Context) (any, error) { return map[string]bool{"ok": true}, nil }
func (l *logAdmin) Export(_ context.Context, w io.Writer, q ExportQuery) error {
	l.asked = q
	if _, err := io.WriteString(w, l.before); err != nil {
		return err
	}
	return l.err
}

type admin struct {
	*gateway.Registry
	log *logAdmin
}

func (a admin) Log() LogAdmin { return a.log }

// bench is a server over the real Hub and Registry, with a log in memory.
type bench struct {
	*Server
	t        *testing.T
	registry *gateway.Registry
	hub      *gateway.Hub
	log      *memLog
	exports  *logAdmin
	logged   *strings.Builder // what the server logged; read when nothing runs
}

// The accounts of the bench; each has its own name twice as password.
var benchHashes = map[string]string{}

func init() {
	for _, name := range []string{"ann", "bob", "root"} {
		sum := argon2.IDKey([]byte(name+name), []byte("saltsalt"), 1, 8, 1, 32)
		benchHashes[name] = fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s",
			base64.RawStdEncoding.EncodeToString([]byte("saltsalt")), base64.RawStdEncoding.EncodeToString(sum))
	}
}

// newBench makes a gateway gw-1 with the devices Open (public, anybody may
// publish), Ann (Ann's own) and gw-1 (public). Change may be nil.
func newBench(t *testing.T, change func(*Config, *gateway.Declared)) *bench {
	t.Helper()
	sensors := []gateway.Sensor{{ID: "S1", Name: "One", Unit: "DegreeCelsius"}, {ID: "S2"}}
	declared := gateway.Declared{
		Anonymous: true,
		Users: []access.User{{Name: "ann", PasswordHash: benchHashes["ann"]}, {Name: "bob", PasswordHash: benchHashes["bob"]},
			{Name: "root", PasswordHash: benchHashes["root"], Admin: true}},
		Devices: []*gateway.Device{
			{ID: "Open", Name: "Open <b>", Grants: access.Grants{Public: true, PublicWrite: true}, Sensors: sensors,
				Actuators: []gateway.Actuator{{ID: "A1"}}, Meta: json.RawMessage(`{"field":7}`), Declared: true},
			{ID: "Ann", Grants: access.Grants{Owner: "ann"}, Sensors: sensors, Declared: true},
			{ID: "gw-1", Grants: access.Grants{Public: true, PublicWrite: true}, Sensors: sensors, Declared: true},
		},
	}
	b := &bench{t: t, log: &memLog{queued: make(chan struct{}, 100)}, exports: &logAdmin{}, logged: &strings.Builder{}}
	cfg := Config{GatewayID: "gw-1", Logger: slog.New(slog.NewTextHandler(b.logged, nil)), History: b.log}
	if change != nil {
		change(&cfg, &declared)
	}
	table := func() gateway.Table { return &memTable{m: map[string][]byte{}} }
	var err error
	b.registry, err = gateway.NewRegistry(gateway.Tables{Devices: table(), Users: table(), Keys: table()},
		access.NewGate(access.GateOptions{}), fixedClock{}, declared)
	if err != nil {
		t.Fatal(err)
	}
	b.hub = gateway.NewHub(gateway.HubConfig{Registry: b.registry, Log: b.log, Clock: fixedClock{}, Forms: forms{},
		Logger: slog.New(slog.DiscardHandler)})
	cfg.Registry = b.registry
	if cfg.Hub == nil {
		cfg.Hub = b.hub
	}
	cfg.Admin = admin{b.registry, b.exports}
	b.Server = New(cfg)
	return b
}

// ask sends "METHOD /path" as user ("" for nobody).
func (b *bench) ask(user, line, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, request(b.t, user, line, body, headers...))
	return w
}

func request(t *testing.T, user, line, body string, headers ...string) *http.Request {
	t.Helper()
	method, path, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if user != "" {
		r.SetBasicAuth(user, user+user)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r.WithContext(t.Context())
}

// want checks an answer's status and, unless it is "*", body.
func (b *bench) want(w *httptest.ResponseRecorder, status int, body string) {
	b.t.Helper()
	if w.Code != status || body != "*" && strings.TrimSpace(w.Body.String()) != body {
		b.t.Errorf("%d %s, want %d %s", w.Code, strings.TrimSpace(w.Body.String()), status, body)
	}
}

var errDisk = errors.New("the disk is gone")
