package feeds

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
)

// leakFree checks at the end of t, after all that comes later is closed, that
// nothing goes on.
func leakFree(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// receiver takes notifications.
type receiver struct {
	*httptest.Server
	got   chan string // bodies of good requests
	mu    sync.Mutex
	codes []int // what it answers next; 200 when there are no more
}

func newReceiver(t *testing.T, codes ...int) *receiver {
	v := &receiver{got: make(chan string, 100), codes: codes}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Method != "POST" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s with %q: %v", req.Method, req.Header.Get("Content-Type"), err)
		}
		v.mu.Lock()
		code := 200
		if len(v.codes) > 0 {
			code, v.codes = v.codes[0], v.codes[1:]
		}
		v.mu.Unlock()
		if code == 302 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(code)
		v.got <- req.URL.Path + " " + string(body)
	}))
	t.Cleanup(v.Close)
	return v
}

// running starts the API with a clock of ticks and without pauses, which it
// gives.
func (r *rig) running() (tick func(), pauses chan time.Duration) {
	ticks := make(chan time.Time)
	pauses = make(chan time.Duration, 100)
	r.api.triggers.ticks = ticks
	r.api.triggers.pause = func(ctx context.Context, d time.Duration) error { pauses <- d; return ctx.Err() }
	r.run()
	ticks <- time.Time{}
	return func() { ticks <- time.Time{}; ticks <- time.Time{} }, pauses // the second one comes after all of the first
}

func TestNotificationsArrive(t *testing.T) {
	leakFree(t)
	r := newRig(t)
	v := newReceiver(t)
	tick, _ := r.running()
	r.must(200, "master", "PUT", "/v2/feeds/504", `{"description":"North","location":{"lat":6.5,"lon":2.25,"name":"hut"}}`)
	r.value("Hut", "0", "8.5", rigStart)
	id := r.trigger("gte", "9.0", v.URL+"/x?secret=1")
	r.clock.Advance(time.Minute)
	r.value("Hut", "0", "9.07", r.clock.Now().Wall)
	got := strings.TrimPrefix(<-v.got, "/x ")
	var doc struct {
		ID          int
		URL, Type   string
		Threshold   float64 `json:"threshold_value"`
		Environment struct {
			ID          int
			Title       string
			Description string
			Feed        string
			Location    struct{ Lat, Lng float64 }
		}
		Stream struct {
			ID    string
			At    time.Time
			Value struct {
				Current string  `json:"current_value"`
				Max     float64 `json:"max_value"`
				Min     float64 `json:"min_value"`
			}
		} `json:"triggering_datastream"`
	}
	if err := json.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if doc.ID != 1 || doc.URL != "http://gw-1:8080/v2/triggers/1" || doc.Type != "gte" || doc.Threshold != 9 ||
		doc.Environment.ID != 504 || doc.Environment.Title != "Hut" || doc.Environment.Description != "North" ||
		doc.Environment.Feed != "http://gw-1:8080/v2/feeds/504" || doc.Environment.Location.Lng != 2.25 ||
		doc.Stream.ID != "0" || doc.Stream.Value.Current != "9.07" || doc.Stream.Value.Max != 9.07 || doc.Stream.Value.Min != 8.5 ||
		!doc.Stream.At.Equal(rigStart.Add(time.Minute)) {
		t.Errorf("notification: %s", got)
	}
	for !strings.Contains(r.get("/v2/triggers/"+id), `"notified_at":"2026-11-22T10:01:00Z"`) { // noted after the answer
		tick()
	}
	for !strings.Contains(r.tables.Triggers.(*rigTable).get(id), "notified_at") {
		tick()
	}
}

func TestNotificationsAreTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		codes  []int
		tries  int
		wanted bool // notified_at is set
	}{
		{"at first", nil, 1, true},
		{"third time", []int{500, 503}, 3, true},
		{"never", []int{500, 500, 500, 500}, 3, false},
		{"refused", []int{404}, 1, false},
		{"sent elsewhere", []int{302}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leakFree(t)
			r := newRig(t)
			v := newReceiver(t, tt.codes...)
			tick, pauses := r.running()
			id := r.trigger("gt", "1", v.URL+"/x")
			r.value("Hut", "0", "2", rigStart)
			for range tt.tries {
				<-v.got
			}
			// A notification of another trigger to the same place comes later.
			marker := r.trigger("gt", "2", v.URL+"/marker")
			v.mu.Lock()
			v.codes = nil
			v.mu.Unlock()
			r.clock.Advance(time.Minute)
			r.value("Hut", "0", "3", r.clock.Now().Wall)
			if got := <-v.got; !strings.HasPrefix(got, "/marker ") {
				t.Errorf("one attempt too many: %s", got)
			}
			for strings.Contains(r.get("/v2/triggers/"+marker), `"notified_at":""`) {
				tick()
			}
			for tt.wanted && strings.Contains(r.get("/v2/triggers/"+id), `"notified_at":""`) {
				tick()
			}
			if got := r.get("/v2/triggers/" + id); strings.Contains(got, `"notified_at":""`) == tt.wanted {
				t.Errorf("notified %v: %s", tt.wanted, got)
			}
			if n := len(pauses); n != tt.tries-1 {
				t.Errorf("%d pauses, want %d", n, tt.tries-1)
			}
			for i := range len(pauses) {
				if d := <-pauses; d != deliveryPauses[i] {
					t.Errorf("pause %d is %v", i, d)
				}
			}
		})
	}
}

func TestNotifiedAtIsWrittenOnceAMinute(t *testing.T) {
	r := newRig(t)
	id := r.trigger("gt", "1", "http://127.0.0.1:9/x")
	tr, table := r.api.triggers.get(1), r.tables.Triggers.(*rigTable)
	before := table.writes
	for range 120 { // two minutes
		r.clock.Advance(time.Second)
		r.api.triggers.notified(tr)
		r.api.triggers.save(false)
	}
	if n := table.writes - before; n != 2 {
		t.Errorf("%d writes in two minutes, want 2", n)
	}
	r.api.triggers.save(true)
	if got := table.get(id); !strings.Contains(got, "2026-11-22T10:02:00Z") {
		t.Errorf("at the end: %s", got)
	}
	r.must(200, "master", "DELETE", "/v2/triggers/"+id, "")
	r.api.triggers.notified(tr)
	r.api.triggers.save(true)
	if got := table.get(id); got != "" {
		t.Errorf("a deleted trigger comes back: %s", got)
	}
}

func TestTooManyNotificationsPushOutTheOldest(t *testing.T) {
	r := newRig(t)
	r.trigger("change", "", "http://127.0.0.1:9/x")
	tr := r.api.triggers.get(1)
	d, _ := r.reg.Device("Hut")
	const n = queueLength + 44
	for i := range n {
		r.api.triggers.fire(tr, d, string(rune('a'+i%26)), rigStart, gateway.Stamp{})
	}
	if got := r.api.triggers.dropped.Load(); got != 44 {
		t.Errorf("%d dropped, want 44", got)
	}
	if texts := r.fired(); len(texts) != queueLength || texts[0] != string(rune('a'+44%26)) {
		t.Errorf("%d left, the first is %s", len(texts), texts[0])
	}
}

func TestAHangingReceiverEndsWithTheGateway(t *testing.T) {
	leakFree(t)
	r := newRig(t)
	asked := make(chan struct{})
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		close(asked)
		<-hang
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(hang) })
	r.running() // ends before the two above: Run must not wait for them
	r.trigger("gt", "1", srv.URL)
	r.value("Hut", "0", "2", rigStart)
	<-asked
}
