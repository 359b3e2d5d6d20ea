package feeds

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// doc is a feed's JSON.
func (r *rig) doc(target string) map[string]any {
	r.t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.get(target)), &m); err != nil {
		r.t.Fatal(err)
	}
	return m
}

// field is the JSON of one member, "null" without it.
func field(m map[string]any, name string) string {
	raw, _ := json.Marshal(m[name])
	return string(raw)
}

// asked makes a request as an account.
func (r *rig) asked(user, method, target, body string) int {
	r.t.Helper()
	path, query, _ := strings.Cut(target, "?")
	return r.api.Serve(r.t.Context(), gateway.Request{Peer: gateway.Peer{Subject: access.Subject{User: user}, Source: "test"},
		Door: "http", Method: method, Path: path, Query: query, Body: []byte(body)}).Status
}

func TestWriteOfOneFeedIsOneBatch(t *testing.T) {
	r := newRig(t)
	b := &batches{}
	r.hub.AddSink(b)
	r.put("/v2/feeds/504.json", `{"datastreams":[
		{"id":"0","current_value":"3","at":"2026-11-22T09:59:00Z","datapoints":[
			{"at":"2026-11-22T09:00:00Z","value":"1"},{"at":"2026-11-22T09:00:00Z","value":"2"},{"at":"2026-11-22T09:59:00Z","value":"0"}]},
		{"id":"1","current_value":25}]}`)
	if len(b.got) != 1 {
		t.Fatalf("%d batches", len(b.got))
	}
	var got []string
	for _, rd := range b.got[0].Readings {
		got = append(got, fmt.Sprint(rd.Channel, " ", string(rd.Value), " ", rd.Time.Format("15:04")))
	}
	if want := "[0 2 09:00 0 3 09:59 1 25 00:00]"; fmt.Sprint(got) != want {
		t.Errorf("readings %v, want %v", got, want)
	}
	if from := b.got[0].From; !from.System || b.got[0].Carrier != nil || !b.got[0].Wait {
		t.Errorf("batch %+v", b.got[0])
	}
}

// batches is a sink that remembers.
type batches struct{ got []*gateway.Batch }

func (s *batches) Deliver(b *gateway.Batch, _ []gateway.Record, settled func(error)) {
	s.got = append(s.got, b)
	settled(nil)
}

func TestUpdatedIsTheDefaultTime(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504.json", `{"updated":"2026-11-22T08:00:00Z","datastreams":[{"id":"0","current_value":"1"},
		{"id":"1","current_value":"2","at":"2026-11-22T08:30:00+01:00"}]}`)
	if got, want := r.get("/v2/feeds/504.csv"), "0,2026-11-22T08:00:00.000000Z,1\n1,2026-11-22T07:30:00.000000Z,2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMissingDatastreamsAreMadeThroughTheFeedOnly(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504.json", `{"datastreams":[{"id":"a+b","current_value":"1","tags":["x"],"unit":{"label":"percent","symbol":"%"}},{"id":"empty"}]}`)
	d, _ := r.reg.Device("Hut")
	if s, ok := d.Sensor("a%2Bb"); !ok || string(s.Meta) != `{"xively":{"tags":["x"],"unit":{"symbol":"%","label":"percent"}}}` {
		t.Errorf("sensor %+v", s)
	}
	if got, want := r.get("/v2/feeds/504.csv?datastreams=a%2Bb,empty"), "a+b,2026-11-22T10:00:00.000000Z,1\nempty,,\"\""; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.must(404, "master", "PUT", "/v2/feeds/504/datastreams/other.csv", "1")
	if got := r.get("/v1/feeds/504/datastreams/a%2Bb.csv"); got != "1" {
		t.Errorf("got %q", got)
	}
}

func TestWhoMayWriteWhat(t *testing.T) {
	for _, tc := range []struct {
		who, target, body string // who is a key, or an account with @ in front
		status            int
	}{
		{"@ann", "/v2/feeds/504.csv", "0,1\nnew,2", 200},
		{"@root", "/v2/feeds/504.csv", "0,1\nnew,2", 200},
		{"@bob", "/v2/feeds/504.csv", "0,1", 200},        // shared: publish
		{"@bob", "/v2/feeds/504.csv", "0,1\nnew,2", 403}, // making one takes manage
		{"@bob", "/v2/feeds/504.json", `{"title":"x"}`, 403},
		{"@bob", "/v2/feeds/504.json", `{"title":"Hut","datastreams":[{"id":"0","current_value":"1"}]}`, 200}, // changes nothing
		{"@cat", "/v2/feeds/504.csv", "0,1", 403},
		{"feed504", "/v2/feeds/504.json", `{"title":"x","datastreams":[{"id":"new","current_value":"1"}]}`, 200},
		{"bobs", "/v2/feeds/504.csv", "new,1", 403}, // a key may no more than its owner
		{"bobs", "/v2/feeds/504.json", `{"tags":["x"]}`, 403},
		{"stream0", "/v2/feeds/504.csv", "0,1", 200},
		{"stream0", "/v2/feeds/504.json", `{}`, 403},
		{"stream0", "/v2/feeds/504/datastreams/0.json", `{"current_value":"1"}`, 200},
		{"stream0", "/v2/feeds/504/datastreams/0.json", `{"id":"0","current_value":"7","unit":{"label":"C"},"tags":[]}`, 200},
		{"stream0", "/v2/feeds/504.json", `{"datastreams":[{"id":"0","current_value":"7","tags":["x"]}]}`, 200},
		{"stream0", "/v2/feeds/504.json", `{"title":"x","datastreams":[{"id":"0","tags":["x"]}]}`, 403},
		{"stream0", "/v2/feeds/504.json", `{"datastreams":[{"id":"0","tags":["x"]},{"id":"1","tags":["x"]}]}`, 403},
		{"bobs0", "/v2/feeds/504/datastreams/0.json", `{"current_value":"1"}`, 200},
		{"bobs0", "/v2/feeds/504/datastreams/0.json", `{"tags":["x"]}`, 403}, // its owner may not
		{"@bob", "/v2/feeds/504/datastreams/0.json", `{"tags":["x"]}`, 403},
		{"stream0", "/v2/feeds/504/datastreams/1.json", `{"current_value":"1"}`, 403},
		{"public", "/v2/feeds/505.csv", "temp,1", 200},
	} {
		t.Run(tc.who+" "+tc.body, func(t *testing.T) {
			r := newRig(t, func(d *gateway.Declared) {
				k := key("bobs0", true, perm("get put", access.Resource{Feed: 504, Datastream: "0"}))
				k.Owner = "bob"
				d.Keys = append(d.Keys, k)
			})
			status := 0
			if user, ok := strings.CutPrefix(tc.who, "@"); ok {
				status = r.asked(user, "PUT", tc.target, tc.body)
			} else {
				status = r.ask(tc.who, "PUT", tc.target, tc.body).Status
			}
			if status != tc.status {
				t.Errorf("status %d, want %d: %s", status, tc.status, r.last().Error)
			}
		})
	}
}

func TestMetadataIsReplacedWholeAndRemovedByEmpty(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504.json", `{"title":"North","description":"d","website":"http://x/","icon":"http://i/","email":"a@b.c","tags":["b","A"],
		"location":{"name":"hut","disposition":"fixed","exposure":"outdoor","domain":"physical","lat":6.37,"lon":"2.39","ele":23.0},
		"datastreams":[{"id":"0","unit":{"type":"derivedSI","symbol":"C","label":"Celsius"},"tags":"t1,t2"}]}`)
	m := r.doc("/v2/feeds/504.json")
	for name, want := range map[string]string{"title": `"North"`, "description": `"d"`, "tags": `["A","b"]`, "private": `"true"`,
		"location": `{"disposition":"fixed","domain":"physical","ele":"23.0","exposure":"outdoor","lat":6.37,"lon":2.39,"name":"hut"}`,
		"feed":     `"http://gw-1:8080/v2/feeds/504.json"`, "creator": `"http://gw-1:8080/users/ann"`, "user": "null"} {
		if got := field(m, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := field(r.doc("/v2/feeds/504/datastreams/0.json"), "unit"); got != `{"label":"Celsius","symbol":"C","type":"derivedSI"}` {
		t.Errorf("unit %s", got)
	}
	r.put("/v2/feeds/504.json", `{"description":"","tags":[],"location":{},"datastreams":[{"id":"0","unit":{}}]}`)
	m = r.doc("/v2/feeds/504.json?show_user=true")
	for name, want := range map[string]string{"title": `"North"`, "description": "null", "tags": "null", "website": `"http://x/"`,
		"location": "null", "user": `{"login":"ann"}`} {
		if got := field(m, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := field(r.doc("/v2/feeds/504/datastreams/0.json"), "unit"); got != `{"label":"DegreeCelsius"}` {
		t.Errorf("unit %s, want the sensor's", got)
	}
	r.put("/v2/feeds/504.json", `{"title":""}`)
	if got := field(r.doc("/v2/feeds/504.json"), "title"); got != `"Hut"` {
		t.Errorf("title %s, want the device's id", got)
	}
}

func TestMetadataThatChangesNothingIsNoChange(t *testing.T) {
	r := newRig(t)
	body := `{"title":"Hut","private":true,"tags":["x"],"datastreams":[{"id":"0","unit":{"label":"DegreeCelsius"}}]}`
	r.put("/v2/feeds/504.json", body)
	n := r.hub.Stats().Changes
	if n != 1 { // the tags
		t.Errorf("%d changes", n)
	}
	r.put("/v2/feeds/504.json", body)
	if r.hub.Stats().Changes != n {
		t.Errorf("%d changes more", r.hub.Stats().Changes-n)
	}
}

func TestOtherMetaStays(t *testing.T) {
	r := newRig(t)
	b := &gateway.Batch{From: access.System}
	if err := r.hub.Change(b, gateway.ChangeRequest{Op: gateway.SetMeta, Device: "Hut",
		Meta: json.RawMessage(`{"mine":1,"xively":{"description":5,"website":"w","location":[]}}`)}); err != nil {
		t.Fatal(err)
	}
	if got := field(r.doc("/v2/feeds/504.json"), "website"); got != `"w"` {
		t.Errorf("website %s", got)
	}
	r.put("/v2/feeds/504.json", `{"description":"d"}`)
	if d, _ := r.reg.Device("Hut"); string(d.Meta) != `{"mine":1,"xively":{"description":"d","website":"w"}}` {
		t.Errorf("meta %s", d.Meta)
	}
}

func TestExtremesRunAndAreWritable(t *testing.T) {
	r := newRig(t)
	of := func() string {
		m := r.doc("/v2/feeds/504/datastreams/0.json")
		return field(m, "min_value") + field(m, "max_value")
	}
	step := func(what, want string) {
		t.Helper()
		if got := of(); got != want {
			t.Errorf("after %s: %s, want %s", what, got, want)
		}
		r.clock.Advance(time.Second)
	}
	step("nothing", "nullnull")
	r.put("/v2/feeds/504/datastreams/0.csv", "red")
	step("a text", "nullnull")
	r.put("/v2/feeds/504/datastreams/0.csv", "5")
	r.put("/v2/feeds/504/datastreams/0.csv", "-7.25")
	step("numbers", `"-7.25""5.0"`)
	r.put("/v2/feeds/504/datastreams/0.json", `{"max_value":"6"}`)
	step("a greater maximum", `"-7.25""6.0"`)
	r.put("/v2/feeds/504/datastreams/0.json", `{"max_value":"1","min_value":"0","current_value":"3"}`)
	step("a reset and a value", `"0.0""3.0"`)
	r.put("/v2/feeds/504/datastreams/0.json", `{"max_value":"","min_value":""}`)
	step("forgetting", "nullnull")
	r.put("/v2/feeds/504/datastreams/0.csv", "9")
	step("the next value", `"9.0""9.0"`)

	// They outlive a restart, and a value that came before the next save does too.
	r.put("/v2/feeds/504/datastreams/0.csv", "4")
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	r.put("/v2/feeds/504/datastreams/0.csv", "11")
	r.api = r.open()
	step("a restart", `"4.0""11.0"`)
}

func TestExtremesAreWrittenSeldom(t *testing.T) {
	r := newRig(t)
	for i := range 20 {
		r.value("Hut", "0", fmt.Sprint(i), time.Time{})
	}
	r.put("/v2/feeds/504/datastreams/0.csv", "20")
	if r.feeds.writes != 0 {
		t.Errorf("%d writes", r.feeds.writes)
	}
	r.feeds.fail = http.ErrServerClosed
	if r.api.save() == nil {
		t.Error("a failing table goes unnoticed")
	}
	r.feeds.fail = nil
	for range 2 {
		if err := r.api.save(); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.feeds.get("Hut"); got != `{"extremes":{"0":[0,20]},"saved":"2026-11-22T10:00:00Z"}` || r.feeds.writes != 1 {
		t.Errorf("saved %s in %d writes", got, r.feeds.writes)
	}
}

func TestWaypointsOfAMobileFeed(t *testing.T) {
	r := newRig(t)
	at := func(disposition string, lat float64) {
		r.put("/v2/feeds/504.json", fmt.Sprintf(`{"location":{"disposition":%q,"domain":"physical","lat":%v,"lon":2}}`, disposition, lat))
		r.clock.Advance(time.Second)
	}
	at("fixed", 1)
	at("mobile", 1) // it did not move
	at("mobile", 2)
	at("mobile", 2)
	at("mobile", 3)
	loc := r.doc("/v2/feeds/504.json")["location"].(map[string]any)
	if got, want := field(loc, "waypoints"), `[{"at":"2026-11-22T10:00:02.000000Z","lat":2,"lon":2},{"at":"2026-11-22T10:00:04.000000Z","lat":3,"lon":2}]`; got != want {
		t.Errorf("waypoints %s, want %s", got, want)
	}
	for i := range maxWaypoints + 5 {
		r.api.addWaypoint("Hut", xively.Waypoint{At: rigStart, Lat: float64(i), Lon: 1})
	}
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	r.api = r.open()
	loc = r.doc("/v2/feeds/504.json")["location"].(map[string]any)
	points := loc["waypoints"].([]any)
	if first := points[0].(map[string]any); len(points) != maxWaypoints || first["lat"] != 5.0 {
		t.Errorf("%d waypoints from %v on", len(points), first)
	}
}

func TestMakeAndDeleteFeedsAndDatastreams(t *testing.T) {
	r := newRig(t)
	r.must(403, "feed504", "POST", "/v2/feeds.json", `{"title":"New"}`) // its permission names resources
	resp := r.ask("master", "POST", "/v2/feeds.json", `{"title":"New","tags":["t"],"private":false,"datastreams":[{"id":"a","current_value":"7"},{"id":"b"}]}`)
	if resp.Status != 201 || string(resp.Body) != " " || !strings.HasPrefix(resp.Location, "http://gw-1:8080/v2/feeds/") {
		t.Fatalf("%+v", resp)
	}
	path := strings.TrimPrefix(resp.Location, "http://gw-1:8080")
	m := r.doc(path + ".json")
	if field(m, "title") != `"New"` || field(m, "tags") != `["t"]` || field(m, "private") != `"false"` || field(m, "creator") != `"http://gw-1:8080/users/ann"` {
		t.Errorf("made %v", m)
	}
	if got := r.get(strings.Replace(path, "v2", "v1", 1) + ".csv"); got != "7," {
		t.Errorf("values %q", got)
	}

	resp = r.ask("master", "POST", path+"/datastreams", `{"version":"1.0.0","datastreams":[{"id":"c+d","current_value":"1"},{"id":"e"}]}`)
	if resp.Status != 201 || resp.Location != "http://gw-1:8080/v2"+strings.TrimPrefix(path, "/v2")+"/datastreams/c+d" {
		t.Fatalf("%+v", resp)
	}
	if got := r.get(strings.Replace(path, "v2", "v1", 1) + ".csv"); got != "7,,1," {
		t.Errorf("values %q", got)
	}
	r.must(200, "master", "DELETE", path+"/datastreams/a", "")
	r.must(404, "master", "GET", path+"/datastreams/a", "")
	r.put(path+".csv", "a,")
	if got := r.get(path + "/datastreams/a.csv?start=2026-11-01&interval=86400"); strings.Contains(got, "7") {
		t.Errorf("the next one of its id has its history: %q", got)
	}
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	device := ""
	for _, d := range r.reg.Devices() {
		if d.Name == "New" {
			device = d.ID
		}
	}
	if r.feeds.get(device) == "" {
		t.Error("no extremes saved")
	}
	r.must(403, "reader", "DELETE", path, "")
	r.must(200, "master", "DELETE", path, "")
	r.must(404, "master", "GET", path, "")
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	if got := r.feeds.get(device); got != "" {
		t.Errorf("left in the table: %s", got)
	}
}

func TestAccountMakesAFeedThatIsItsOwn(t *testing.T) {
	r := newRig(t)
	if status := r.asked("cat", "POST", "/v2/feeds", `{"title":"Cat's"}`); status != 201 {
		t.Fatalf("status %d", status)
	}
	for _, d := range r.reg.Devices() {
		if d.Name == "Cat's" && (d.Grants.Owner != "cat" || d.Grants.Public) {
			t.Errorf("made %+v", d.Grants)
		}
	}
	if status := r.asked("", "POST", "/v2/feeds", `{"title":"x"}`); status != 401 {
		t.Errorf("nobody: status %d", status)
	}
}

// Each of two writers finds what it wrote, whatever the other one writes.
func TestOneWriteOfMetadataAtATime(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	for _, name := range []string{"description", "website"} {
		wg.Go(func() {
			for i := range 300 {
				want := fmt.Sprintf("%q", fmt.Sprint(i))
				r.ask("master", "PUT", "/v2/feeds/504.json", fmt.Sprintf(`{%q:%s}`, name, want))
				var m map[string]any
				if err := json.Unmarshal(r.ask("master", "GET", "/v2/feeds/504.json", "").Body, &m); err != nil {
					t.Error(err)
				}
				if got := field(m, name); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestValuesDoNotWaitForMetadata(t *testing.T) {
	r := newRig(t)
	f := r.api.feedFor("Hut")
	f.meta.Lock()
	defer f.meta.Unlock()
	r.put("/v2/feeds/504.csv", "0,1")
}

// A sensor that was deleted and made again has no value, even if nobody looked
// in between.
func TestSensorMadeAnewHasNoValue(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504.csv", "new,7")
	r.log.hold(true) // subscribers hear of changes later
	for _, req := range []gateway.ChangeRequest{
		{Op: gateway.Delete, Device: "Hut", Sensor: "new"},
		{Op: gateway.CreateSensor, Device: "Hut", NewSensor: &gateway.Sensor{ID: "new"}},
	} {
		if err := r.hub.Change(&gateway.Batch{From: access.System, Wait: true}, req); err != nil {
			t.Fatal(err)
		}
	}
	r.log.hold(false)
	if got := r.get("/v2/feeds/504/datastreams/new"); got != `{"id":"new","version":"1.0.0"}` {
		t.Errorf("got %s", got)
	}
}

func TestDatapoints(t *testing.T) {
	r := newRig(t)
	const base = "/v2/feeds/504/datastreams/0/datapoints"
	r.must(201, "master", "POST", base+".json", `{"datapoints":[{"at":"2026-11-22T09:00:00Z","value":"1"},{"at":"2026-11-22T09:10:00Z","value":"2"},
		{"at":"2026-11-22T09:20:00Z","value":"3"}]}`)
	if got := r.get("/v1/feeds/504/datastreams/0.csv"); got != "3" {
		t.Errorf("the newest one is not the present: %q", got)
	}
	r.put(base+"/2026-11-22T09:10:00Z.json", `{"value":"2.50"}`)
	if got, want := r.get(base+"/2026-11-22T09:10:00Z.json"), `{"value":"2.50","at":"2026-11-22T09:10:00.000000Z"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	r.must(422, "master", "PUT", base+"/2026-11-22T09:10:00Z.json", `{"value":"2","at":"2026-11-22T09:11:00Z"}`)
	r.must(404, "master", "GET", base+"/2026-11-22T09:11:00Z", "")
	if got, want := r.get(base+".csv"), "2026-11-22T09:00:00.000000Z,1\n2026-11-22T09:10:00.000000Z,2.50\n2026-11-22T09:20:00.000000Z,3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.must(404, "master", "DELETE", base+"/2026-11-22T09:11:00Z", "")
	r.must(200, "master", "DELETE", base+"/2026-11-22T09:10:00Z", "")
	r.must(404, "master", "GET", base+"/2026-11-22T09:10:00Z", "")
	r.must(403, "feed504", "DELETE", base+"?start=2026-11-22T09:00:00Z", "")
	r.must(200, "master", "DELETE", base+"?start=2026-11-22T08:59:00Z&duration=2minutes", "")
	if got, want := r.get(base+".csv"), "2026-11-22T09:20:00.000000Z,3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r.must(200, "master", "DELETE", base+"?end=2026-11-22T09:30:00Z", "")
	if got := r.get(base + ".csv"); got != "" {
		t.Errorf("left: %q", got)
	}
	if got := r.get("/v1/feeds/504/datastreams/0.csv"); got != "3" {
		t.Errorf("the present went with its datapoint: %q", got)
	}
	r.must(400, "master", "DELETE", base+"?duration=2years", "")
	r.must(400, "master", "DELETE", base+"?start=yesterday", "")
}
