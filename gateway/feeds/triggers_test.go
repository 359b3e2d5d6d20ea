package feeds

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// trigger makes a trigger on datastream 0 of feed 504.
func (r *rig) trigger(kind, threshold, url string) string {
	r.t.Helper()
	resp := r.ask("master", "POST", "/v2/triggers", fmt.Sprintf(
		`{"url":%q,"trigger_type":%q,"threshold_value":%q,"environment_id":504,"stream_id":"0"}`, url, kind, threshold))
	if resp.Status != 201 {
		r.t.Fatalf("trigger: %d %s", resp.Status, resp.Body)
	}
	return resp.Location[strings.LastIndexByte(resp.Location, '/')+1:]
}

// fired takes what waits to be sent.
func (r *rig) fired() (texts []string) {
	for {
		select {
		case f := <-r.api.triggers.queue:
			texts = append(texts, f.text)
		default:
			return texts
		}
	}
}

func TestTriggersFireOnEnteringTheirCondition(t *testing.T) {
	for _, tt := range []struct {
		kind, threshold string
		values          string // as JSON
		want            string
	}{
		{"gt", "10", "9 10 11 12 10 11", "11 11"},
		{"gte", "10", "9 10 11 9.5 10.0", "10 10.0"},
		{"lt", "-1.5", "0 -1.5 -1.6 -2 0 -3", "-1.6 -3"},
		{"lte", "1e1", "11 10 9 11 10", "10 10"},
		{"eq", "5", `4 5.0 5 6 "5"`, "5.0 5"},
		{"gt", "10", `"red" "car" 11 "red" 12`, "11 12"},
		{"gt", "10", `"NaN" "Inf" "0x20" ""`, ""},
		{"change", "", `1 1 2 "2" 2.0 3`, "2 2.0 3"}, // it compares texts
		{"frozen", "", "1 2 3", ""},
		{"live", "", "1 2 3", ""},
	} {
		t.Run(tt.kind+" "+tt.values, func(t *testing.T) {
			r := newRig(t)
			r.api.triggers.started.Store(true)
			r.trigger(tt.kind, tt.threshold, "http://127.0.0.1:9/x")
			for i, v := range strings.Fields(tt.values) {
				r.clock.Advance(10 * time.Second)
				r.value("Hut", "0", v, r.clock.Now().Wall)
				r.value("Hut", "1", fmt.Sprint(i), r.clock.Now().Wall) // nobody watches it
			}
			if got := strings.Join(r.fired(), " "); got != tt.want {
				t.Errorf("fired at %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEqualNotificationsAreFiveSecondsApart(t *testing.T) {
	r := newRig(t)
	r.trigger("change", "", "http://127.0.0.1:9/x")
	for i := range 12 { // one each second
		r.value("Hut", "0", fmt.Sprint(i), r.clock.Now().Wall)
		r.clock.Advance(time.Second)
	}
	if got := r.fired(); !slices.Equal(got, []string{"1", "6", "11"}) {
		t.Errorf("fired at %v", got)
	}
}

func TestFrozenAndLiveAgain(t *testing.T) {
	r := newRig(t)
	r.trigger("frozen", "", "http://127.0.0.1:9/x")
	r.trigger("live", "", "http://127.0.0.1:9/y")
	step := func(what string, want ...string) {
		t.Helper()
		r.api.triggers.freeze()
		if got := r.fired(); !slices.Equal(got, want) {
			t.Errorf("%s: fired at %q, want %q", what, got, want)
		}
	}
	r.clock.Advance(time.Hour)
	step("never a value")
	r.value("Hut", "0", "1", r.clock.Now().Wall)
	r.clock.Set(r.clock.Now().Wall.Add(24*time.Hour), gateway.ClockSynced) // the wall clock alone jumps
	step("a wall clock that jumps")
	r.clock.Advance(frozenAfter - time.Second)
	step("not long enough")
	r.clock.Advance(time.Second)
	step("frozen", "1")
	r.clock.Advance(time.Hour)
	step("still frozen")
	r.value("Hut", "0", "2", r.clock.Now().Wall)
	step("live", "2")
	r.clock.Advance(time.Minute)
	r.value("Hut", "0", "3", r.clock.Now().Wall)
	step("live as before")
	r.clock.Advance(frozenAfter)
	step("frozen again", "3")
}

// restart makes another API over the same tables.
func (r *rig) restart() {
	r.t.Helper()
	r.api = r.open()
	for _, tr := range r.api.triggers.all() { // as run does
		r.api.triggers.prime(tr)
	}
	r.api.triggers.started.Store(true)
}

func TestTriggersOutliveARestart(t *testing.T) {
	r := newRig(t)
	r.api.triggers.started.Store(true)
	r.trigger("gt", "10", "http://127.0.0.1:9/x")
	r.trigger("frozen", "", "http://127.0.0.1:9/x")
	gone := r.trigger("lt", "10", "http://127.0.0.1:9/x")
	r.must(200, "master", "DELETE", "/v2/triggers/"+gone, "")
	r.value("Hut", "0", "11", r.clock.Now().Wall)
	if got := r.fired(); !slices.Equal(got, []string{"11"}) {
		t.Fatalf("fired at %v", got)
	}
	r.clock.Advance(10 * time.Minute)
	r.restart()
	observe := func(v string) {
		d, _ := r.reg.Device("Hut")
		r.api.triggers.observe(d, &gateway.Record{Device: "Hut", Channel: "0", Value: []byte(v), At: r.clock.Now().Wall})
	}
	observe("12")
	if got := r.fired(); got != nil {
		t.Errorf("fired at %v though the condition held before the restart", got)
	}
	observe("9")
	observe("13")
	if got := r.fired(); !slices.Equal(got, []string{"13"}) {
		t.Errorf("fired at %v, want 13", got)
	}
	if id := r.trigger("eq", "1", "http://127.0.0.1:9/x"); id != "4" {
		t.Errorf("id %s, want 4: ids are never given again", id)
	}
	r.clock.Advance(16 * time.Minute)
	r.restart() // silent for longer than 15 minutes: frozen is no news
	r.api.triggers.freeze()
	if got := r.fired(); got != nil {
		t.Errorf("fired at %v", got)
	}
}

// The log may give values of before the restart only after the API is there.
func TestTheFirstValueBeforeTheStartIsNoNews(t *testing.T) {
	r := newRig(t)
	r.trigger("gt", "10", "http://127.0.0.1:9/x")
	r.value("Hut", "0", "11", rigStart)
	r.api.triggers.started.Store(true)
	r.value("Hut", "0", "12", rigStart.Add(time.Second))
	if got := r.fired(); got != nil {
		t.Errorf("fired at %v", got)
	}
}

func TestATriggerDoesNotPassToASuccessorOfItsDevice(t *testing.T) {
	r := newRig(t)
	make := func() {
		if err := r.reg.PutDevice(&gateway.Device{ID: "New", Feed: 600, Grants: access.Grants{Owner: "ann"},
			Sensors: []gateway.Sensor{{ID: "0"}}}); err != nil {
			t.Fatal(err)
		}
	}
	make()
	r.must(201, "master", "POST", "/v2/triggers", `{"url":"http://127.0.0.1:9/x","trigger_type":"change","environment_id":600,"stream_id":"0"}`)
	change := func() int {
		for _, v := range []string{"1", "2"} {
			r.clock.Advance(10 * time.Second)
			r.value("New", "0", v, r.clock.Now().Wall)
		}
		return len(r.fired())
	}
	if n := change(); n != 1 {
		t.Fatalf("fired %d times", n)
	}
	if err := r.reg.DeleteDevice("New"); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Second)
	make()
	if n := change(); n != 0 {
		t.Errorf("fired %d times for a successor", n)
	}
	r.must(404, "master", "GET", "/v2/triggers/1", "")
}

func TestTriggersOfWhoMayNotAnyMoreAreSilent(t *testing.T) {
	own := func(d *gateway.Declared) { d.Devices[0].Grants.Share[0].Can = []access.Right{access.Manage} }
	r := newRig(t, own)
	r.must(201, "bobs", "POST", "/v2/triggers",
		`{"url":"http://127.0.0.1:9/x","trigger_type":"change","environment_id":504,"stream_id":"0"}`)
	change := func() int {
		for _, v := range []string{"1", "2"} {
			r.clock.Advance(10 * time.Second)
			r.value("Hut", "0", v, r.clock.Now().Wall)
		}
		return len(r.fired())
	}
	if n := change(); n != 1 {
		t.Fatalf("fired %d times, want once", n)
	}
	if err := r.reg.Declare(rigDeclared()); err != nil { // bob may view and publish now
		t.Fatal(err)
	}
	if n := change(); n != 0 {
		t.Errorf("fired %d times for somebody who may not manage the feed", n)
	}
	r.must(403, "bobs", "GET", "/v2/triggers/1", "")
	if body := r.must(200, "bobs", "GET", "/v2/triggers", ""); body != "[]" {
		t.Errorf("list: %s", body)
	}
}

func TestTriggersAsAResource(t *testing.T) {
	r := newRig(t)
	const good = `{"url":"http://h/x","trigger_type":"lt","threshold_value":"15.0","environment_id":504,"stream_id":"0"}`
	for _, tt := range []struct {
		name, key, body string
		status          int
	}{
		{"no key", "", good, 401},
		{"a key without post", "reader", good, 403},
		{"a key for another feed", "feed505", good, 403},
		{"somebody else's", "bobs", good, 403},
		{"unknown feed", "master", strings.Replace(good, "504", "999", 1), 422},
		{"unknown datastream", "master", strings.Replace(good, `"0"`, `"9"`, 1), 422},
		{"no threshold", "master", strings.Replace(good, `"threshold_value":"15.0",`, "", 1), 422},
		{"no url", "master", strings.Replace(good, `"url":"http://h/x",`, "", 1), 422},
		{"unknown type", "master", strings.Replace(good, `"lt"`, `"le"`, 1), 422},
		{"bad target", "master", strings.Replace(good, "http://h/x", "file:///etc/passwd", 1), 422},
		{"malformed", "master", "{", 400},
		{"good", "master", good, 201},
		{"good with a key for the feed", "feed504", good, 201},
	} {
		t.Run(tt.name, func(t *testing.T) { r.must(tt.status, tt.key, "POST", "/v2/triggers", tt.body) })
	}
	const shown = `{"id":1,"url":"http://h/x","trigger_type":"lt","threshold_value":"15.0","user":"ann",` +
		`"environment_id":504,"stream_id":"0","notified_at":""}`
	if got := r.get("/v2/triggers/1"); got != shown {
		t.Errorf("trigger:\n%s\nwant\n%s", got, shown)
	}
	if got := r.must(200, "", "GET", "/v2/triggers/1?key=master", ""); got != shown {
		t.Errorf("by another key")
	}
}

func TestTriggersChange(t *testing.T) {
	r := newRig(t)
	r.api.triggers.started.Store(true)
	id := r.trigger("gt", "10", "http://h/x")
	at := "/v2/triggers/" + id
	r.must(422, "master", "PUT", at, `{"environment_id":505}`)
	r.must(422, "master", "PUT", at, `{"stream_id":"1"}`)
	r.must(403, "reader", "PUT", at, `{"url":"http://h/y"}`)
	r.must(404, "master", "PUT", "/v2/triggers/99", `{"url":"http://h/y"}`)
	r.must(200, "master", "PUT", at, `{"url":"http://h/y","environment_id":504,"threshold_value":5}`)
	if got := r.get(at); !strings.Contains(got, `"url":"http://h/y"`) || !strings.Contains(got, `"threshold_value":"5"`) {
		t.Errorf("after the change: %s", got)
	}
	r.value("Hut", "0", "6", rigStart)
	if n := len(r.fired()); n != 1 {
		t.Errorf("fired %d times with the new threshold", n)
	}
	r.must(200, "master", "PUT", at, `{"trigger_type":"change"}`)
	if got := r.get(at); !strings.Contains(got, `"threshold_value":""`) && strings.Contains(got, "threshold_value") {
		t.Errorf("a change has no threshold: %s", got)
	}
	if got := r.get("/v2/triggers?feed_id=505"); got != "[]" {
		t.Errorf("triggers of another feed: %s", got)
	}
	if got := r.get("/v2/triggers.xml?feed_id=504"); !strings.Contains(got, "<datastream-trigger>") {
		t.Errorf("as XML: %s", got)
	}
	r.must(400, "master", "GET", "/v2/triggers?feed_id=x", "")
	r.must(200, "master", "DELETE", at, "")
	r.must(404, "master", "GET", at, "")
	r.value("Hut", "0", "7", rigStart.Add(time.Minute))
	if n := len(r.fired()); n != 0 {
		t.Errorf("fired %d times after it was deleted", n)
	}
}

func TestTriggersAreBounded(t *testing.T) {
	r := newRig(t)
	for range maxFeedTriggers {
		r.trigger("gt", "1", "http://h/x")
	}
	r.must(422, "master", "POST", "/v2/triggers", `{"url":"http://h/x","trigger_type":"change","environment_id":504,"stream_id":"0"}`)
	r.must(201, "master", "POST", "/v2/triggers", `{"url":"http://h/x","trigger_type":"change","environment_id":505,"stream_id":"temp"}`)
}

func TestTriggersChangeWhileValuesCome(t *testing.T) {
	r := newRig(t)
	r.trigger("gt", "0", "http://127.0.0.1:9/x")
	d, _ := r.reg.Device("Hut")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 200 {
				v := json.RawMessage(fmt.Sprint(j%2*(i+1) - 1))
				r.api.triggers.observe(d, &gateway.Record{Device: "Hut", Channel: "0", Value: v, At: rigStart})
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			r.api.triggers.freeze()
			r.api.triggers.save(true)
			r.get("/v2/triggers")
		}
	})
	for range 50 {
		id := r.trigger("change", "", "http://127.0.0.1:9/x")
		r.must(200, "master", "PUT", "/v2/triggers/"+id, `{"trigger_type":"frozen"}`)
		r.must(200, "master", "DELETE", "/v2/triggers/"+id, "")
	}
	wg.Wait()
}

func BenchmarkObserve(b *testing.B) {
	r := newRig(b)
	r.trigger("gt", "1000", "http://127.0.0.1:9/x")
	d, _ := r.reg.Device("Hut")
	rec := &gateway.Record{Device: "Hut", Channel: "0", Value: json.RawMessage("21.5"), At: rigStart}
	b.ReportAllocs()
	for b.Loop() {
		r.api.triggers.observe(d, rec)
	}
}
