package uplink

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/uplink/fakecloud"
)

func TestMain(m *testing.M) {
	// A case takes a tenth of a second, many of them more: the command line can
	// ask for as many as it likes.
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var t0 = time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC)

// memLog is a log in memory.
type memLog struct {
	mu        sync.Mutex
	recs      []gateway.Record
	cursors   map[string]gateway.Cursor
	grown     chan struct{}
	broken    error
	onCursor  func(gateway.Cursor) // called with mu held
	cursorSet int
}

func newMemLog() *memLog {
	return &memLog{cursors: map[string]gateway.Cursor{}, grown: make(chan struct{})}
}

// add appends records; Seq follows the last one unless it is given.
func (l *memLog) add(recs ...gateway.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range recs {
		if r.Seq == 0 {
			r.Seq = 1
			if n := len(l.recs); n > 0 {
				r.Seq = l.recs[n-1].Seq + 1
			}
		}
		if r.At.IsZero() {
			r.At = t0.Add(time.Duration(r.Seq) * time.Second)
		}
		l.recs = append(l.recs, r)
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *memLog) Read(from uint64, maxRecords, maxBytes int) ([]gateway.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return nil, l.broken
	}
	i, _ := slices.BinarySearchFunc(l.recs, from, func(r gateway.Record, seq uint64) int {
		if r.Seq < seq {
			return -1
		}
		return 1
	})
	var out []gateway.Record
	size := 0
	for _, r := range l.recs[i:] {
		if len(out) == maxRecords || len(out) > 0 && size+len(r.Value) > maxBytes {
			break
		}
		out, size = append(out, r), size+len(r.Value)
	}
	return out, nil
}

func (l *memLog) Wait(ctx context.Context, after uint64) error {
	for {
		l.mu.Lock()
		grown, n := l.grown, len(l.recs)
		head := uint64(0)
		if n > 0 {
			head = l.recs[n-1].Seq
		}
		l.mu.Unlock()
		if head > after {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *memLog) Head() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recs) == 0 {
		return 0
	}
	return l.recs[len(l.recs)-1].Seq
}

func (l *memLog) Cursor(uplink string) gateway.Cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cursors[uplink]
}

func (l *memLog) SetCursor(uplink string, c gateway.Cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cursors[uplink] = c
	l.cursorSet++
	if l.onCursor != nil {
		l.onCursor(c)
	}
}

func (l *memLog) breakWith(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
}

// counter numbers sessions.
type counter struct {
	mu  sync.Mutex
	n   uint64
	err error
}

func (c *counter) NextSession() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.n++
	return c.n, nil
}

// memHub takes what comes down and answers as it is told.
type memHub struct {
	mu      sync.Mutex
	changed chan struct{}
	batches []*gateway.Batch
	changes []gateway.ChangeRequest
	answer  func(b *gateway.Batch) error // Submit's and Change's; nil: takes
	hold    bool                         // Done is left to settle
	open    []func(error)
}

func newMemHub() *memHub { return &memHub{changed: make(chan struct{})} }

func (h *memHub) take(b *gateway.Batch, req *gateway.ChangeRequest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() {
		close(h.changed)
		h.changed = make(chan struct{})
	}()
	if h.answer != nil {
		if err := h.answer(b); err != nil {
			return err
		}
	}
	h.batches = append(h.batches, b)
	if req != nil {
		h.changes = append(h.changes, *req)
	}
	if h.hold {
		h.open = append(h.open, b.Done)
	} else {
		b.Done(nil)
	}
	return nil
}

func (h *memHub) Submit(b *gateway.Batch) error { return h.take(b, nil) }
func (h *memHub) Change(b *gateway.Batch, req gateway.ChangeRequest) error {
	return h.take(b, &req)
}

// settle answers what was held back.
func (h *memHub) settle(err error) {
	h.mu.Lock()
	open := h.open
	h.open, h.hold = nil, false
	h.mu.Unlock()
	for _, done := range open {
		done(err)
	}
}

// seen waits for n batches and gives all there are.
func (h *memHub) seen(t *testing.T, n int) []*gateway.Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		h.mu.Lock()
		out, changed := slices.Clone(h.batches), h.changed
		h.mu.Unlock()
		if len(out) >= n {
			return out
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the hub has %d batches, want %d", len(out), n)
		}
	}
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// bench is an uplink with everything around it.
type bench struct {
	*Uplink
	t     failer
	log   *memLog
	hub   *memHub
	clock *fakeclock.Clock
	cloud *fakecloud.Cloud
	stop  func()
}

// failer is what testing.T and rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// newCloud starts a fake cloud that ends with the test.
func newCloud(t testing.TB, o fakecloud.Options) *fakecloud.Cloud {
	t.Helper()
	c, err := fakecloud.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// quick is a Config whose times suit tests.
func quick(url string) Config {
	return Config{
		Name: "cloud", GatewayID: "gw-1", URL: url, IDs: true,
		AckTimeout: 10 * time.Second,
		Backoff:    Backoff{First: time.Millisecond, Min: 2 * time.Millisecond, Max: 20 * time.Millisecond},
	}
}

// start runs an uplink on cloud until the test ends or stop is called.
func start(t testing.TB, cloud *fakecloud.Cloud, change func(*Config), b *bench) *bench {
	t.Helper()
	if b == nil {
		b = &bench{log: newMemLog(), hub: newMemHub(), clock: fakeclock.New(t0, gateway.ClockSynced)}
	}
	url := ""
	if cloud != nil {
		url = cloud.URL()
	}
	cfg := quick(url)
	cfg.Log, cfg.Hub, cfg.Sessions, cfg.Clock = b.log, b.hub, &counter{}, b.clock
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&cfg)
	}
	u, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	around := *b // others may use b with another cloud
	around.cloud = cloud
	u.paces = paces{look: 2 * time.Millisecond, every: 4 * time.Millisecond, backlog: time.Minute, repair: time.Millisecond, stop: 100 * time.Millisecond, repeat: time.Minute}
	return startUplink(t, u, &around)
}

// startUplink runs u with what is around b until the test ends or stop is called.
func startUplink(t testing.TB, u *Uplink, b *bench) *bench {
	nb := &bench{Uplink: u, t: t, log: b.log, hub: b.hub, clock: b.clock, cloud: b.cloud}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	nb.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return")
		}
	})
	t.Cleanup(nb.stop)
	return nb
}

// until waits until is holds; it is asked after each event of the cloud, and
// now and then for what the cloud is not told of.
func (b *bench) until(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		err := b.cloud.WaitFor(ctx, is)
		cancel()
		if err == nil {
			return
		}
	}
	b.t.Fatalf("%s: not within %s; state %+v, cursor %+v", what, patience, b.State(), b.log.Cursor("cloud"))
}

// eventually waits until is holds for something that the cloud is not told of.
func (b *bench) eventually(what string, is func() bool) {
	b.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-end:
			b.t.Fatalf("%s: not within %s; state %+v, cursor %+v", what, patience, b.State(), b.log.Cursor("cloud"))
		}
	}
}

// reading is a record of a sensor.
func reading(device, sensor string, value any) gateway.Record {
	raw, _ := json.Marshal(value)
	return gateway.Record{Kind: gateway.KindSensor, Device: device, Channel: sensor, Value: raw, Clock: gateway.ClockSynced}
}

// readings makes n records of a few sensors.
func readingsOf(n, sensors int) []gateway.Record {
	out := make([]gateway.Record, n)
	for i := range out {
		out[i] = reading("D", "S"+strconv.Itoa(i%sensors), i)
	}
	return out
}

// element is a reading as the cloud gets it.
type element struct {
	Value     json.RawMessage `json:"value"`
	Timestamp string          `json:"timestamp"`
	ID        string          `json:"id"`
	Clock     string          `json:"clock"`
	topic     string
}

func (e element) seq() uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(e.ID, "gw-1/"), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("id %q: %v", e.ID, err))
	}
	return n
}

// received lists the readings that the cloud got, duplicates included.
func received(c *fakecloud.Cloud) []element {
	var out []element
	for _, m := range c.Messages() {
		if !strings.HasPrefix(m.Topic, "devices/") {
			continue
		}
		var list []element
		if strings.HasSuffix(m.Topic, "/values") {
			if err := json.Unmarshal(m.Payload, &list); err != nil {
				panic(err)
			}
		} else {
			var e element
			if err := json.Unmarshal(m.Payload, &e); err != nil {
				panic(err)
			}
			list = append(list, e)
		}
		for _, e := range list {
			e.topic = m.Topic
			out = append(out, e)
		}
	}
	return out
}

// distinct is the set of sequences that the cloud got.
func distinct(c *fakecloud.Cloud) map[uint64]bool {
	out := map[uint64]bool{}
	for _, e := range received(c) {
		out[e.seq()] = true
	}
	return out
}

// online reports whether the retained status says so, and its session.
func statusOf(c *fakecloud.Cloud) (state string, session uint64) {
	m, ok := c.Retained("gateways/gw-1/status")
	if !ok {
		return "", 0
	}
	var s struct {
		State   string
		Session uint64
	}
	_ = json.Unmarshal(m.Payload, &s) // a test may have put nonsense there
	return s.State, s.Session
}
