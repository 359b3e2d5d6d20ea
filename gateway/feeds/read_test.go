package feeds

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestFormatOfTheAnswer(t *testing.T) {
	for _, tc := range []struct {
		path, accept, kind string
	}{
		{"/v2/feeds/504", "", "application/json"},
		{"/v1/feeds/504", "", "application/xml"},
		{"/v2/feeds/504", "text/csv", "text/plain"},
		{"/v2/feeds/504", "image/png, application/xml;q=0.9", "application/xml"},
		{"/v1/feeds/504", "Application/JSON", "application/json"},
		{"/v2/feeds/504", "*/*", "application/json"},
		{"/v2/feeds/504.csv", "application/xml", "text/plain"},
		{"/v2/feeds/999.xml", "", "application/xml"},
		{"/v2/feeds/999.csv", "", "application/json"}, // there is no CSV of a refusal
	} {
		r := newRig(t)
		resp := r.api.Serve(t.Context(), gateway.Request{Door: "http", Method: "GET", Path: tc.path, Accept: tc.accept, Key: "master"})
		if !strings.HasPrefix(resp.ContentType, tc.kind) {
			t.Errorf("%s, %s: %s", tc.path, tc.accept, resp.ContentType)
		}
	}
}

func TestFormatOfTheRequest(t *testing.T) {
	for kind, body := range map[string]string{"text/csv": "0,7", "text/xml; charset=utf-8": `<eeml><environment><data id="0"><current_value>7</current_value></data></environment></eeml>`,
		"": `{"datastreams":[{"id":"0","current_value":7}]}`} {
		r := newRig(t)
		resp := r.api.Serve(t.Context(), gateway.Request{Door: "http", Method: "PUT", Path: "/v2/feeds/504", ContentType: kind, Key: "master", Body: []byte(body)})
		if got := r.get("/v1/feeds/504/datastreams/0.csv"); resp.Status != 200 || got != "7" {
			t.Errorf("%s: status %d, value %q", kind, resp.Status, got)
		}
	}
}

func TestWhoAsks(t *testing.T) {
	r := newRig(t)
	cat := access.Subject{User: "cat"}
	for _, tc := range []struct {
		name    string
		key     string
		query   string
		subject access.Subject
		status  int
	}{
		{"a key of the request", "master", "", access.Subject{}, 200},
		{"it wins over the connection", "master", "", cat, 200},
		{"even if it is wrong", "wrong", "", access.Subject{User: "ann"}, 401},
		{"a key in the query", "", "key=master", cat, 200},
		{"a token in the query", "", "x=1&oauth_token=master", access.Subject{}, 200},
		{"an escaped key", "", "ke%79=master&key=master", access.Subject{}, 200},
		{"the connection's account", "", "", access.Subject{User: "ann"}, 200},
		{"the connection's key", "", "", access.Subject{User: "ann", Key: "id-master"}, 200},
		{"the connection's key that expired", "", "", access.Subject{User: "ann", Key: "id-expired"}, 401},
		{"somebody else", "", "", cat, 403},
		{"nobody", "", "", access.Subject{}, 401},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp := r.api.Serve(t.Context(), gateway.Request{Peer: gateway.Peer{Subject: tc.subject}, Door: "http", Method: method,
				Path: "/v2/feeds/504", Query: tc.query, Key: tc.key})
			if resp.Status != tc.status {
				t.Errorf("%s, %s: status %d, want %d", tc.name, method, resp.Status, tc.status)
			}
		}
	}
	if e := r.last(); e.Method != "GET" {
		t.Errorf("logged %+v", e)
	}
}

func TestKeysAreNotShown(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{
		"/v2/keys/master":                       "/v2/keys/id-master",
		"/v2/keys/id-master":                    "/v2/keys/id-master",
		"/v2/keys/whatever.json":                "/v2/keys/unknown-key.json",
		"/v2/feeds/504?key=master&a=b":          "/v2/feeds/504?key=id-master&a=b",
		"/v2/feeds/504?a=b&oauth%5Ftoken=x%20y": "/v2/feeds/504?a=b&oauth%5Ftoken=unknown-key",
		"/v2/feeds/504?KEY=master&api_key=x":    "/v2/feeds/504?KEY=id-master&api_key=unknown-key", // not the API's names, but meant
		"/v2/feeds/504?duration=1hour":          "/v2/feeds/504?duration=1hour",
	} {
		if got := r.api.shown(path); got != want {
			t.Errorf("%s: shown as %s, want %s", path, got, want)
		}
	}
}

func TestLiveAndFrozen(t *testing.T) {
	r := newRig(t)
	status := func() string { return field(r.doc("/v2/feeds/504.json"), "status") }
	if got := status(); got != `"frozen"` {
		t.Errorf("without a value: %s", got)
	}
	r.put("/v2/feeds/504/datastreams/0.csv", "1")
	r.clock.Advance(15*time.Minute - time.Second)
	if got := status(); got != `"live"` {
		t.Errorf("before 15 minutes: %s", got)
	}
	r.clock.Advance(time.Second)
	if got := status(); got != `"frozen"` {
		t.Errorf("after 15 minutes: %s", got)
	}
	if got := field(r.doc("/v2/feeds/504.json"), "updated"); got != `"`+ten+`"` {
		t.Errorf("updated %s", got)
	}
}

func TestNewestTimeIsThePresent(t *testing.T) {
	r := newRig(t)
	const target = "/v1/feeds/504/datastreams/0.csv"
	r.value("Hut", "0", "1", rigStart)
	r.value("Hut", "0", "2", rigStart.Add(-time.Second))
	if got := r.get(target); got != "1" {
		t.Errorf("an older value: %s", got)
	}
	r.value("Hut", "0", "3", rigStart)
	if got := r.get(target); got != "3" {
		t.Errorf("the later one of two: %s", got)
	}
	r.value("Hut", "0", "4", rigStart.Add(24*time.Hour)) // a clock that was wrong
	r.value("Hut", "0", "5", time.Time{})
	if got := r.get(target); got != "5" {
		t.Errorf("after one from the future: %s", got)
	}
}

func TestStateFollowsTheRegistry(t *testing.T) {
	r := newRig(t, func(d *gateway.Declared) { d.AutoCreate = true })
	b := &gateway.Batch{From: access.Subject{User: "ann"}, Readings: []gateway.Reading{{Kind: gateway.KindSensor, Device: "Fresh", Channel: "s", Value: []byte("7")}}}
	if err := r.hub.Submit(b); err != nil {
		t.Fatal(err)
	}
	d, _ := r.reg.Device("Fresh")
	if got := r.get(fmt.Sprintf("/v1/feeds/%d.csv", d.Feed)); got != "7" {
		t.Errorf("a device made by a reading: %q", got)
	}
	// A reload of the configuration tells nobody.
	decl := rigDeclared()
	decl.Devices[0].Sensors = append(decl.Devices[0].Sensors, gateway.Sensor{ID: "2"})
	r.value("Hut", "0", "1", rigStart)
	if err := r.reg.Declare(decl); err != nil {
		t.Fatal(err)
	}
	if got := r.get("/v1/feeds/504.csv"); got != "1,," {
		t.Errorf("after a reload: %q", got)
	}
	r.value("Hut", "2", "3", rigStart)
	if got := r.get("/v1/feeds/504.csv"); got != "1,,3" {
		t.Errorf("after a reload: %q", got)
	}
}

func TestHistory(t *testing.T) {
	r := newRig(t)
	for i := range 60 { // each minute from 09:00 on
		at := rigStart.Add(time.Duration(i-60) * time.Minute)
		r.value("Hut", "0", fmt.Sprint(i), at)
		if i%30 == 0 {
			r.value("Hut", "1", fmt.Sprintf("\"b%d\"", i), at)
		}
	}
	for _, tc := range []struct{ key, target, want string }{
		{"master", "/v2/feeds/504/datastreams/0.csv?start=2026-11-22T09:00:00Z&end=2026-11-22T09:01:00Z",
			"2026-11-22T09:00:00.000000Z,0\n2026-11-22T09:01:00.000000Z,1"},
		{"master", "/v2/feeds/504/datastreams/0.csv?duration=1minute", "2026-11-22T09:59:00.000000Z,59"},
		{"master", "/v2/feeds/504/datastreams/0.csv?start=2026-11-22T09:00:00Z&limit=1", "2026-11-22T09:00:00.000000Z,0"},
		{"master", "/v2/feeds/504.csv?duration=31minutes&interval=900",
			"0,2026-11-22T09:30:00.000000Z,30\n1,2026-11-22T09:30:00.000000Z,b30\n0,2026-11-22T09:45:00.000000Z,45\n1,2026-11-22T09:45:00.000000Z,b30\n" +
				"0,2026-11-22T10:00:00.000000Z,59\n1,2026-11-22T10:00:00.000000Z,b30"},
		{"master", "/v2/feeds/504.csv?start=2026-11-22T09:59:30Z", ""}, // no row of the present
		{"master", "/v2/feeds/504/datastreams/1.csv?start=2026-11-22T09:59:30Z", ""},
		{"master", "/v2/feeds/504.csv?duration=1minute", "0,2026-11-22T09:59:00.000000Z,59"},
		{"master", "/v2/feeds/504/datastreams/1.csv?start=2026-11-22T09:59:30Z&find_previous=true", "2026-11-22T09:30:00.000000Z,b30"},
		{"master", "/v2/feeds/504/datastreams/0/datapoints.csv?duration=1minute&timezone=1", "2026-11-22T10:59:00.000000+01:00,59"},
		{"slow", "/v2/feeds/504/datastreams/0.csv?start=2026-11-22T09:00:30Z&end=2026-11-22T09:02:00Z&interval=30",
			"2026-11-22T09:01:00.000000Z,1\n2026-11-22T09:02:00.000000Z,2"}, // the key may not see it finer
		{"slow", "/v2/feeds/504/datastreams/0/datapoints.csv?start=2026-11-22T09:00:30Z&end=2026-11-22T09:01:00Z&interval=30",
			"2026-11-22T09:01:00.000000Z,1"},
		{"master", "/v2/feeds/504.csv?time=2026-11-22T09:30:30Z", "0,2026-11-22T09:30:00.000000Z,30\n1,2026-11-22T09:30:00.000000Z,b30"},
		{"master", "/v2/feeds/504.csv?time=2026-11-22T08:30:30Z", ""},
		{"stream0", "/v2/feeds/504.csv?duration=1minute&datastreams=0", "0,2026-11-22T09:59:00.000000Z,59"},
		{"master", "/v2/feeds/504/datastreams/0.csv?timezone=1", "2026-11-22T10:59:00.000000+01:00,59"},
	} {
		if got := r.must(200, tc.key, "GET", tc.target, ""); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", tc.target, got, tc.want)
		}
	}
	m := r.doc("/v2/feeds/504.json?duration=1minute")
	streams := m["datastreams"].([]any)
	if got, want := field(streams[0].(map[string]any), "datapoints"), `[{"at":"2026-11-22T09:59:00.000000Z","value":"59"}]`; got != want {
		t.Errorf("datapoints %s, want %s", got, want)
	}
	if field(streams[0].(map[string]any), "current_value") != `"59"` || field(m, "title") != `"Hut"` {
		t.Errorf("feed %v", m)
	}
	r.must(403, "stream0", "GET", "/v2/feeds/504.csv?datastreams=0,1", "")
}

func TestHistoryThatFails(t *testing.T) {
	r := newRig(t)
	r.value("Hut", "0", "1", rigStart)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	resp := r.api.Serve(ctx, gateway.Request{Door: "http", Method: "GET", Path: "/v2/feeds/504", Query: "duration=1hour", Key: "master"})
	if resp.Status != http.StatusServiceUnavailable {
		t.Errorf("status %d", resp.Status)
	}
}

func TestSearch(t *testing.T) {
	r := newRig(t)
	for i, body := range []string{
		`{"title":"Weather Hut","tags":["farm"],"location":{"domain":"physical","lat":51.5,"lon":-0.1},"datastreams":[{"id":"w","unit":{"label":"Celsius","symbol":"C"}}]}`,
		`{"title":"Well","private":"false","description":"behind the hut","location":{"domain":"physical","lat":48.85,"lon":2.35},"datastreams":[{"id":"level","current_value":"3","tags":["water"]}]}`,
	} {
		if resp := r.ask("master", "POST", "/v2/feeds", body); resp.Status != 201 {
			t.Fatal(i, string(resp.Body))
		}
		r.clock.Advance(time.Minute)
	}
	titles := func(key, query string) string {
		t.Helper()
		body := r.must(200, key, "GET", "/v2/feeds.json?"+query, "")
		var out []string
		for _, part := range strings.Split(body, `"title":"`)[1:] {
			out = append(out, part[:strings.IndexByte(part, '"')])
		}
		return strings.Join(out, ",")
	}
	two := titles("master", "q=w")
	for _, tc := range []struct{ key, query, want string }{
		{"feed505", "", "Open field"},
		{"public", "order=created_at", "Well,Open field"},
		{"master", "order=created_at&per_page=1", "Well"},
		{"master", "order=created_at&per_page=1&page=2", "Weather Hut"},
		{"master", "per_page=1&page=9", ""},
		{"master", "order=retrieved_at&per_page=1", "Well"},
		{"master", "tag=FARM", "Weather Hut"},
		{"master", "tag=water", "Well"},
		{"master", "units=celsius", "Weather Hut"},
		{"master", "user=bob", ""},
		{"master", "status=live", "Well"},
		{"master", "status=frozen&user=ann&q=open", "Open field"},
		{"master", "lat=51.4&lon=0&distance=50", "Weather Hut"},
		{"master", "lat=51.4&lon=0&distance=250&distance_units=miles&tag=water", "Well"},
		{"master", "lat=51.4&lon=0&distance=250&tag=water", ""},
	} {
		if got := titles(tc.key, tc.query); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.key, tc.query, got, tc.want)
		}
	}
	if !strings.Contains(two, "Weather Hut") || !strings.Contains(two, "Well") {
		t.Errorf("q=w: %s", two)
	}
	if got := titles("master", "q=hut"); !strings.HasSuffix(got, ",Well") { // only in its description
		t.Errorf("q=hut: %s", got)
	}
	if body := r.get("/v2/feeds.json?content=summary&tag=water&show_user=true"); strings.Contains(body, "level") || !strings.Contains(body, `"login":"ann"`) {
		t.Errorf("summary %s", body)
	}
	if body := r.get("/v2/feeds.json?q=well"); !strings.HasPrefix(body, `{"totalResults":1,"startIndex":0,"itemsPerPage":50,"results":[`) {
		t.Errorf("list %s", body)
	}
	r.must(401, "", "GET", "/v2/feeds", "")
	for _, query := range []string{"page=0", "per_page=1001", "content=x", "status=x", "order=x", "lat=91&lon=1&distance=1", "lat=1", "lat=NaN&lon=1&distance=1", "lat=1&lon=1&distance=1&distance_units=x"} {
		r.must(400, "master", "GET", "/v2/feeds?"+query, "")
	}
}

func TestRunSavesAtTheEnd(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- r.api.Run(ctx) }()
	r.value("Hut", "0", "5", rigStart)
	cancel()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if got := r.feeds.get("Hut"); got != `{"extremes":{"0":[5,5]},"saved":"2026-11-22T10:00:00Z"}` {
		t.Errorf("saved %s", got)
	}
}

func TestStartsWithoutItsTable(t *testing.T) {
	r := newRig(t)
	r.value("Hut", "0", "5", rigStart)
	r.tables.Feeds = brokenTable{r.feeds}
	r.api = r.open()
	if got := r.get("/v1/feeds/504.csv"); got != "5," {
		t.Errorf("got %q", got)
	}
}

// brokenTable cannot be read.
type brokenTable struct{ *rigTable }

func (brokenTable) Each(func(string, []byte) error) error { return io.ErrUnexpectedEOF }

func TestTableThatCannotBeRead(t *testing.T) {
	r := newRig(t)
	r.feeds.pairs = map[string][]byte{"Hut": []byte("{"), "Gone": []byte(`{"extremes":{"x":[1,2]}}`)}
	r.api = r.open()
	r.value("Hut", "0", "5", rigStart)
	if got := r.get("/v1/feeds/504.csv"); got != "," {
		t.Errorf("got %q", got) // the Hub tells the first API alone
	}
}
