package feeds

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// inbox is what a subscriber gets.
type inbox struct {
	t  testing.TB
	ch chan string
}

func newInbox(t testing.TB) *inbox { return &inbox{t, make(chan string, 10_000)} }

func (in *inbox) push(payload []byte) { in.ch <- string(payload) }

// next waits for the next message.
func (in *inbox) next() string {
	in.t.Helper()
	select {
	case got := <-in.ch:
		return got
	case <-time.After(10 * time.Second):
		in.t.Fatal("no message")
		return ""
	}
}

// want waits for messages.
func (in *inbox) want(all ...string) {
	in.t.Helper()
	for _, want := range all {
		if got := in.next(); got != want {
			in.t.Errorf("got %q, want %q", got, want)
		}
	}
}

// empty reports what came although nothing should have.
func (in *inbox) empty() {
	in.t.Helper()
	select {
	case got := <-in.ch:
		in.t.Errorf("got %q, want nothing", got)
	default:
	}
}

var annPeer = gateway.Peer{Subject: access.Subject{User: "ann"}, Client: "c", Addr: "192.0.2.1:1", Source: "mqtt c"}

// subscribe subscribes and starts.
func (r *rig) subscribe(p gateway.Peer, filter string) *inbox {
	r.t.Helper()
	in := newInbox(r.t)
	start, cancel, err := r.api.Subscribe(p, filter, in.push)
	if err != nil {
		r.t.Fatalf("%s: %v", filter, err)
	}
	r.t.Cleanup(cancel)
	start()
	return in
}

// drain pushes what waits, in the test's own time.
func (r *rig) drain() {
	for u := r.api.pushes.take(); u != nil; u = r.api.pushes.take() {
		r.api.push(u)
	}
}

const ten = "2026-11-22T10:00:00.000000Z"

func TestPresentStateThenEachUpdate(t *testing.T) {
	r := newRig(t)
	feed := r.subscribe(annPeer, "/v2/feeds/504.csv")
	zero := r.subscribe(annPeer, "/v1/feeds/504/datastreams/0.csv")
	one := r.subscribe(annPeer, "master/v2/feeds/504/datastreams/1.csv")
	feed.want("0,,\"\"\n1,,\"\"")
	zero.empty() // not even a bare value
	one.want(",\"\"")

	r.put("/v2/feeds/504.csv", "0,1\n1,2") // both in one message
	r.value("Hut", "0", `"00017"`, rigStart)
	r.drain()
	feed.want("0,"+ten+",1\n1,"+ten+",2", "0,"+ten+",00017\n1,"+ten+",2")
	zero.want("1", "00017")
	one.want(ten + ",2")

	// What only enters history is no update.
	r.value("Hut", "0", `5`, rigStart.Add(-time.Hour))
	r.drain()
	for _, in := range []*inbox{feed, zero, one} {
		in.empty()
	}
}

func TestMetadataIsPushed(t *testing.T) {
	r := newRig(t)
	title := func(payload string) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		return field(m, "title") + field(m, "tags")
	}
	feed := r.subscribe(annPeer, "/v2/feeds/504")
	zero := r.subscribe(annPeer, "/v2/feeds/504/datastreams/0")
	one := r.subscribe(annPeer, "/v2/feeds/504/datastreams/1")
	for _, in := range []*inbox{feed, zero, one} {
		in.next()
	}
	r.put("/v2/feeds/504.json", `{"title":"New","tags":["a"],"datastreams":[{"id":"0","tags":["b"]},{"id":"new"}]}`)
	r.drain()
	if got := title(feed.next()); got != `"New"["a"]` {
		t.Errorf("got %s", got)
	}
	if got := title(zero.next()); got != `null["b"]` {
		t.Errorf("got %s", got)
	}
	// As it comes by another dialect.
	if err := r.hub.Change(&gateway.Batch{From: access.System}, gateway.ChangeRequest{Op: gateway.SetName, Device: "Hut", Name: "Newer"}); err != nil {
		t.Fatal(err)
	}
	r.drain()
	if got := title(feed.next()); got != `"Newer"["a"]` {
		t.Errorf("got %s", got)
	}
	// Metadata and a value are one update, old values and extremes too.
	r.put("/v2/feeds/504.json", `{"title":"Newest","datastreams":[{"id":"0","current_value":"1"},{"id":"made","current_value":"2"}]}`)
	r.drain()
	if got := title(feed.next()); got != `"Newest"["a"]` {
		t.Errorf("got %s", got)
	}
	zero.next()
	r.put("/v2/feeds/504.json", `{"title":"Last","datastreams":[{"id":"0","datapoints":[{"at":"2020-01-01T00:00:00Z","value":"1"}]}]}`)
	r.drain()
	if got := title(feed.next()); got != `"Last"["a"]` {
		t.Errorf("got %s", got)
	}
	r.put("/v2/feeds/504/datastreams/0.json", `{"max_value":"100"}`)
	r.drain()
	if got := zero.next(); !strings.Contains(got, `"100.0"`) {
		t.Errorf("got %s", got)
	}
	feed.next()
	for _, in := range []*inbox{feed, zero, one} {
		in.empty()
	}
	if n := r.api.state.marks.n.Load(); n != 0 {
		t.Errorf("%d marks left", n)
	}
}

func TestOneMessageOnly(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504/datastreams/0.csv", "1")
	for _, filter := range []string{"/v2/feeds/504.csv?duration=1hour", "/v2/feeds/504/datastreams/0/datapoints/" + ten + ".csv",
		"/v2/feeds/504/datastreams/0/datapoints.csv", "/v2/feeds.csv", "/v2/keys", "/v2/triggers", "/v2/users/ann", "/v2/feeds/504.csv?time=" + ten} {
		in := r.subscribe(annPeer, filter)
		if in.next() == "" {
			t.Errorf("%s: nothing in it", filter)
		}
		r.put("/v2/feeds/504/datastreams/0.csv", "2")
		r.put("/v2/feeds/504/datastreams/0.csv", "1")
		r.drain()
		in.empty()
	}
	if n := r.api.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions", n)
	}
}

func TestSubscriptionRefused(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		filter string
		peer   gateway.Peer
		is     error
		status int
		later  bool // it may be allowed later
	}{
		{"/v2/feeds/999.json", annPeer, gateway.ErrBadTopic, 404, false},
		{"/v2/feeds/504/datastreams/nope", annPeer, gateway.ErrBadTopic, 404, true},
		{"/v2/feeds/504/datastreams/nope?limit=1", annPeer, gateway.ErrBadTopic, 404, false},
		{"/v2/nonsense", annPeer, gateway.ErrBadTopic, 404, false},
		{"/v2/feeds/504", gateway.Peer{}, gateway.ErrDenied, 401, false},
		{"wrong/v2/feeds/504", annPeer, gateway.ErrDenied, 401, false},
		{"expired/v2/feeds/504", annPeer, gateway.ErrDenied, 401, false},
		{"feed505/v2/feeds/504", annPeer, gateway.ErrDenied, 403, true},
		{"feed505/v2/feeds/504?limit=1", annPeer, gateway.ErrDenied, 403, false},
		{"feed505/v2/feeds/999", annPeer, gateway.ErrBadTopic, 404, false},
		{"stream0/v2/feeds/504", annPeer, gateway.ErrDenied, 403, true},
		{"/v2/feeds/504", gateway.Peer{Subject: access.Subject{User: "cat"}}, gateway.ErrDenied, 403, true},
		{"/v2/feeds/504/datastreams/nope", gateway.Peer{Subject: access.Subject{User: "cat"}}, gateway.ErrDenied, 403, true},
		{"/v2/feeds/504", gateway.Peer{Subject: access.Subject{User: "gone"}}, gateway.ErrDenied, 401, false},
		{"/v2/feeds/504?duration=x", annPeer, gateway.ErrBadPayload, 400, false},
	} {
		if !strings.HasPrefix(tc.filter, "/") || r.api.Owns(tc.filter) {
			start, cancel, err := r.api.Subscribe(tc.peer, tc.filter, func([]byte) { t.Error("pushed") })
			if !errors.Is(err, tc.is) || (start != nil) != tc.later || (cancel != nil) != tc.later {
				t.Errorf("%s: error %v, want %v", tc.filter, err, tc.is)
			}
			if start != nil {
				start()
				defer cancel()
			}
			if e := r.last(); e.Status != tc.status || e.Method != http.MethodGet {
				t.Errorf("%s: logged %+v", tc.filter, e)
			}
		}
	}
	r.put("/v2/feeds/504.csv", "0,1")
	r.drain()
}

func TestSubscribeIsLoggedAndPushesAreNot(t *testing.T) {
	r := newRig(t)
	in := r.subscribe(annPeer, "/v2/feeds/504.csv")
	r.value("Hut", "0", "1", rigStart)
	r.drain()
	in.next()
	in.next()
	if all := r.api.Requests(); len(all) != 1 || all[0].Method != "GET" || all[0].Status != 200 {
		t.Errorf("logged %+v", all)
	}
}

func TestRightsCountAtEachPush(t *testing.T) {
	r := newRig(t)
	short := r.subscribe(annPeer, "short/v2/feeds/504.csv")
	stream := r.subscribe(annPeer, "stream0/v2/feeds/504.csv?datastreams=0")
	short.next()
	stream.want("0,,\"\"")
	r.value("Hut", "0", "1", rigStart)
	r.drain()
	short.next()
	stream.want("0," + ten + ",1")
	r.clock.Advance(2 * time.Hour) // the key expires
	r.value("Hut", "0", "2", rigStart)
	r.drain()
	short.empty()
	stream.next()

	// What expires before the start is not shown at all.
	r = newRig(t)
	in := newInbox(t)
	for _, filter := range []string{"short/v2/feeds/504.csv", "short/v2/keys"} {
		r.clock.Set(rigStart, gateway.ClockSynced)
		start, cancel, err := r.api.Subscribe(annPeer, filter, in.push)
		if err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(2 * time.Hour)
		start()
		in.empty()
		cancel()
	}
}

func TestNothingAfterCancel(t *testing.T) {
	r := newRig(t)
	in := newInbox(t)
	start, cancel, err := r.api.Subscribe(annPeer, "/v2/feeds/504.csv", in.push)
	if err != nil {
		t.Fatal(err)
	}
	r.value("Hut", "0", "1", rigStart) // queued, but before the start
	start()
	in.want("0," + ten + ",1\n1,,\"\"")
	r.drain()
	in.empty() // not doubled
	r.value("Hut", "0", "2", rigStart)
	u := r.api.pushes.take()
	subs := r.api.subs.of(504) // as a push sees them that goes on
	cancel()
	cancel()
	subs[0].offer(u, nil)
	r.api.push(u)
	in.empty()
	if n := r.api.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions", n)
	}
	start()
	in.empty()
}

// Whatever the moment of the start, a subscriber sees each value from there on
// once and in order.
func TestNoUpdateIsLostOrDoubledAtTheStart(t *testing.T) {
	r := newRig(t)
	r.run()
	const n = 300 // fewer than wait
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; i <= n; i++ {
			r.value("Hut", "0", fmt.Sprint(i), time.Time{})
		}
	})
	inboxes := make([]*inbox, 8)
	for i := range inboxes {
		inboxes[i] = r.subscribe(annPeer, "/v1/feeds/504/datastreams/0.csv")
	}
	wg.Wait()
	for _, in := range inboxes {
		last := 0
		for first := true; last < n; first = false {
			x := 0
			if got := in.next(); got != "" {
				if _, err := fmt.Sscan(got, &x); err != nil {
					t.Fatal(err)
				}
			}
			if !first && x != last+1 {
				t.Fatalf("%d came after %d", x, last)
			}
			last = x
		}
	}
}

func TestRenderedOncePerForm(t *testing.T) {
	r := newRig(t)
	var all []*inbox
	for range 5 {
		for _, filter := range []string{"/v2/feeds/504.csv", "/v2/feeds/504", "feed504/v2/feeds/504.json", "/v1/feeds/504", "/v2/feeds/504.csv?datastreams=1", "/v2/feeds/505"} {
			all = append(all, r.subscribe(annPeer, filter))
		}
	}
	for _, in := range all {
		in.next()
	}
	before := r.api.Stats()
	r.value("Hut", "0", "1", rigStart)
	r.drain()
	after := r.api.Stats()
	if renders, pushes := after.Renders-before.Renders, after.Pushes-before.Pushes; renders != 4 || pushes != 25 {
		t.Errorf("%d renders for %d pushes, want 4 for 25", renders, pushes)
	}
	if after.Subscriptions != len(all) {
		t.Errorf("%d subscriptions", after.Subscriptions)
	}
}

func TestFullQueueDropsTheOldestOfTheFeed(t *testing.T) {
	r := newRig(t)
	feed := r.subscribe(annPeer, "/v2/feeds/505.csv")
	busy := r.subscribe(annPeer, "/v1/feeds/504/datastreams/0.csv")
	one := r.subscribe(annPeer, "/v1/feeds/504/datastreams/1.csv")
	feed.next() // the others have no value yet
	r.value("Hut", "1", "7", rigStart)
	for i := 1; i <= maxUpdates+9; i++ {
		r.value("Hut", "0", fmt.Sprint(i), rigStart)
	}
	r.value("Open", "temp", "5", rigStart)
	if n := r.api.Stats().Dropped; n != 10 {
		t.Errorf("%d dropped, want 10", n)
	}
	r.drain()
	feed.want("temp," + ten + ",5") // another feed loses nothing
	one.want("7")                   // nor does one whose update was overtaken lose its value
	last := ""
	for len(busy.ch) > 0 {
		last = busy.next()
	}
	if last != fmt.Sprint(maxUpdates+9) {
		t.Errorf("the last is %s", last)
	}
}

func TestDeletedFeedIsPushedNoMore(t *testing.T) {
	r := newRig(t)
	resp := r.ask("master", "POST", "/v2/feeds.json", `{"title":"New","datastreams":[{"id":"a"},{"id":"b"}]}`)
	path := strings.TrimPrefix(resp.Location, "http://gw-1:8080")
	feed := r.subscribe(annPeer, path+".csv")
	a := r.subscribe(annPeer, path+"/datastreams/a.csv")
	feed.next()
	a.next()
	r.must(200, "master", "DELETE", path+"/datastreams/a", "")
	r.drain()
	feed.want("b,,\"\"")
	r.must(200, "master", "DELETE", path, "")
	r.drain()
	feed.empty()
	a.empty()
}

// A feed that becomes private is pushed no more to a key without private
// access, and again when it is public.
func TestPrivacyCountsAtOnce(t *testing.T) {
	r := newRig(t)
	resp := r.ask("master", "POST", "/v2/feeds.json", `{"title":"New","private":false,"datastreams":[{"id":"a"}]}`)
	path := strings.TrimPrefix(resp.Location, "http://gw-1:8080")
	in := r.subscribe(gateway.Peer{}, "public"+path+"/datastreams/a.csv")
	in.next()
	r.put(path+".json", `{"private":"true","datastreams":[{"id":"a","current_value":1}]}`)
	r.drain()
	in.empty()
	r.must(403, "public", "GET", path, "")
	if _, _, err := r.api.Subscribe(gateway.Peer{}, "public"+path, in.push); !errors.Is(err, gateway.ErrDenied) {
		t.Errorf("error %v", err)
	}
	r.put(path+".json", `{"private":false,"datastreams":[{"id":"a","current_value":2}]}`)
	r.drain()
	in.want(ten + ",2")
}

func TestFilteredFeed(t *testing.T) {
	r := newRig(t)
	in := r.subscribe(annPeer, "/v2/feeds/504.csv?datastreams=1,nope")
	in.want("1,,\"\"")
	r.put("/v2/feeds/504.csv", "0,1\n1,2")
	r.drain()
	in.want("1," + ten + ",2")
}

// A document that cannot be written ends neither Run nor other subscriptions.
func TestPushThatPanicsIsOver(t *testing.T) {
	r := newRig(t)
	in := newInbox(t)
	bad := true
	start, cancel, err := r.api.Subscribe(annPeer, "/v2/feeds/504.csv", func(p []byte) {
		if bad {
			bad = false
			return
		}
		in.push(p)
		panic("at the disco")
	})
	if err != nil {
		t.Fatal(err)
	}
	start()
	for range 2 {
		r.value("Hut", "0", "1", rigStart)
		r.drain()
		in.next()
	}
	cancel()
}

// TestGrant: who was denied the newest state gets it with the right to it, and
// nobody else is told anything.
func TestGrant(t *testing.T) {
	r := newRig(t)
	in := newInbox(t)
	if err := r.reg.PutUser(access.User{Name: "stranger"}); err != nil {
		t.Fatal(err)
	}
	stranger := gateway.Peer{Subject: access.Subject{User: "stranger"}, Source: "test"}
	start, cancel, err := r.api.Subscribe(stranger, "/v1/feeds/504/datastreams/0.csv", in.push)
	if !errors.Is(err, gateway.ErrDenied) || start == nil {
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	start()
	mine := r.subscribe(annPeer, "/v2/feeds/504/datastreams/0.csv")
	mine.next()
	r.value("Hut", "0", "1", rigStart)
	r.drain()
	mine.next()
	r.api.grant()
	in.empty()
	r.put("/v2/feeds/504.json", `{"private":false}`)
	r.api.grant()
	in.want("1")
	r.api.grant()
	in.empty()
	mine.empty()
}
