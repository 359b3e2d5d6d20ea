package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestWhoMayReadWhat(t *testing.T) {
	b := newBench(t, nil)
	b.want(b.ask("ann", "POST /devices/Ann/sensors/S1/value", `25.60`), 200, "")
	for _, path := range []string{"", "/name", "/meta", "/sensors", "/actuators", "/sensors/S1", "/sensors/S1/name", "/sensors/S1/meta", "/sensors/S1/value", "/sensors/S1/values"} {
		for user, status := range map[string]int{"": 401, "bob": 403, "ann": 200, "root": 200} {
			if w := b.ask(user, "GET /devices/Ann"+path, ""); w.Code != status {
				t.Errorf("%q reads %s: %d", user, path, w.Code)
			} else if status != 200 && strings.Contains(w.Body.String(), "25.6") {
				t.Errorf("%q reads %s: %s", user, path, w.Body)
			}
		}
		if w := b.ask("", "GET /devices/Open"+path, ""); w.Code != 200 {
			t.Errorf("anonymous reads %s of a public device: %d", path, w.Code)
		}
		if w := b.ask("root", "GET /devices/None"+path, ""); w.Code != 404 {
			t.Errorf("%s of no device: %d", path, w.Code)
		}
	}
	b.want(b.ask("ann", "GET /devices/Ann/sensors/S9", ""), 404, "*")
	b.want(b.ask("ann", "GET /devices/Ann/sensors/S9/value", ""), 404, "*")
	b.want(b.ask("ann", "GET /devices/Ann/actuators/S1/value", ""), 404, "*")
}

func TestGetDevices(t *testing.T) {
	b := newBench(t, nil)
	b.ask("", "POST /devices/Open/sensors/S1/value", `{"value":25.60,"time":"2026-11-22T09:00:00Z"}`)
	ids := func(user, query string) string {
		t.Helper()
		w := b.ask(user, "GET /devices"+query, "")
		var list []struct{ ID string }
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		var out []string
		for _, d := range list {
			out = append(out, d.ID)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct{ user, query, want string }{
		{"", "", "Open gw-1"}, {"bob", "", "Open gw-1"}, {"ann", "", "Ann Open gw-1"}, {"root", "", "Ann Open gw-1"},
		{"ann", "?limit=1", "Ann"}, {"ann", "?limit=0", "Ann Open gw-1"}, {"ann", "?meta=field", "Open"}, {"ann", "?meta=field,other", ""},
	} {
		if got := ids(c.user, c.query); got != c.want {
			t.Errorf("%q%s: %s, want %s", c.user, c.query, got, c.want)
		}
	}
	b.want(b.ask("", "GET /devices?select=name,sensors.value&meta=field", ""), 200,
		`[{"id":"Open","name":"Open <b>","sensors":[{"id":"S1","value":25.60},{"id":"S2","value":null}]}]`)
	b.want(b.ask("", "GET /devices/Open?select=meta.field", ""), 200, `{"id":"Open","meta":{"field":7}}`)
	b.want(b.ask("", "GET /devices?limit=x", ""), 400, "*")
	b.want(b.ask("", "GET /devices?limit=-1", ""), 400, "*")
	b.want(b.ask("", "GET /devices/Open/sensors/S1", ""), 200,
		`{"id":"S1","name":"One","kind":"","quantity":"","unit":"DegreeCelsius","time":"2026-11-22T09:00:00Z","value":25.60,"created":null,"modified":null,"meta":{}}`)
	b.want(b.ask("", "GET /devices/Open/sensors/S2/value", ""), 200, `null`)
	b.want(b.ask("", "GET /devices/Open/name", ""), 200, `"Open <b>"`)
	b.want(b.ask("", "GET /devices/Open/meta", ""), 200, `{"field":7}`)
	b.want(b.ask("", "GET /devices/Open/actuators", ""), 200, `[{"id":"A1","name":"","time":null,"value":null,"created":null,"modified":null,"meta":{}}]`)
}

func TestTheGatewayItself(t *testing.T) {
	b := newBench(t, nil)
	b.want(b.ask("", "GET /device/id", ""), 200, "gw-1")
	b.want(b.ask("", "POST /sensors/S1/value", "3"), 200, "")
	b.want(b.ask("", "GET /sensors/S1/value", ""), 200, "3")
	b.want(b.ask("", "GET /devices/gw-1/sensors/S1/value", ""), 200, "3")
	b.want(b.ask("root", "POST /device/name", "Barn"), 200, "")
	b.want(b.ask("", "GET /device/name", ""), 200, `"Barn"`)
	b.want(b.ask("root", "DELETE /device", ""), 405, "*")
	r := b.log.all()[0]
	if r.Device != "gw-1" || r.Channel != "S1" || r.Kind != gateway.KindSensor {
		t.Errorf("%+v", r)
	}
}

func TestPostValue(t *testing.T) {
	b := newBench(t, nil)
	at := time.Date(2016, 6, 8, 18, 20, 27, 0, time.UTC)
	for _, c := range []struct {
		path, body string
		want       []gateway.Reading
	}{
		{"sensors/S1/value", `{"value": "3"}`, []gateway.Reading{{Kind: gateway.KindSensor, Channel: "S1", Value: json.RawMessage(`"3"`)}}},
		{"sensors/S1/value", `25.60`, []gateway.Reading{{Kind: gateway.KindSensor, Channel: "S1", Value: json.RawMessage(`25.60`)}}},
		{"sensors/S2/value", `{"value":1,"timestamp":"2016-06-08T18:20:27Z"}`, []gateway.Reading{{Kind: gateway.KindSensor, Channel: "S2", Value: json.RawMessage(`1`), Time: at}}},
		{"actuators/A1/value", `true`, []gateway.Reading{{Kind: gateway.KindActuator, Channel: "A1", Value: json.RawMessage(`true`)}}},
		{"sensors/S1/values", `[1,{"value":2,"time":"2016-06-08T18:20:27Z"}]`, []gateway.Reading{
			{Kind: gateway.KindSensor, Channel: "S1", Value: json.RawMessage(`1`)}, {Kind: gateway.KindSensor, Channel: "S1", Value: json.RawMessage(`2`), Time: at}}},
		{"actuators/A1/values", `[1]`, []gateway.Reading{{Kind: gateway.KindActuator, Channel: "A1", Value: json.RawMessage(`1`)}}},
		{"sensors/S1/values", `[]`, nil},
	} {
		n := len(b.log.all())
		b.want(b.ask("", "POST /devices/Open/"+c.path, c.body), 200, "")
		recs := b.log.all()[n:]
		if len(recs) != len(c.want) {
			t.Fatalf("%s %s: %d records", c.path, c.body, len(recs))
		}
		for i, want := range c.want {
			r := recs[i]
			if r.Kind != want.Kind || r.Device != "Open" || r.Channel != want.Channel || string(r.Value) != string(want.Value) || !r.Time.Equal(want.Time) || r.Origin != "" {
				t.Errorf("%s %s: %+v, want %+v", c.path, c.body, r, want)
			}
		}
	}
	b.want(b.ask("", "GET /devices/Open/actuators/A1/value", ""), 200, "1")
}

func TestPostValueRefused(t *testing.T) {
	b := newBench(t, nil)
	for _, c := range []struct {
		user, path, body string
		status           int
		reason           string
	}{
		{"", "Open/sensors/S1/value", ``, 400, "bad_payload"},
		{"", "Open/sensors/S1/value", `abc`, 400, "bad_payload"},
		{"", "Open/sensors/S1/value", `NaN`, 400, "bad_payload"},
		{"", "Open/sensors/S1/value", `1e999`, 400, "bad_number"},
		{"", "Open/sensors/S1/value", `{"value":1,"time":"yesterday"}`, 400, "bad_time"},
		{"", "Open/sensors/S1/value", strings.Repeat("[", 1000), 400, "too_deep"},
		{"", "Open/sensors/S1/value", `"` + strings.Repeat("x", 100_000) + `"`, 413, "too_large"},
		{"", "Open/sensors/S1/value", `"` + strings.Repeat("x", 2<<20) + `"`, 413, "too_large"},
		{"", "Open/sensors/S1/values", `{"value":1}`, 400, "bad_payload"},
		{"", "Open/sensors/S1/values", `[1,x]`, 400, "bad_payload"},
		{"", "Open/sensors/S9/value", `1`, 404, "unknown_sensor"},
		{"", "Open/sensors/S9/values", `[]`, 404, "unknown_sensor"},
		{"", "Open/actuators/S1/value", `1`, 404, "unknown_sensor"},
		{"", "None/sensors/S1/value", `1`, 404, "unknown_device"},
		{"", "Ann/sensors/S1/value", `1`, 401, "denied"},
		{"", "Ann/sensors/S1/values", `[]`, 401, "denied"},
		{"bob", "Ann/sensors/S1/value", `1`, 403, "denied"},
	} {
		before := b.hub.Counts()[c.reason]
		b.want(b.ask(c.user, "POST /devices/"+c.path, c.body), c.status, "*")
		if got := b.hub.Counts()[c.reason] - before; got != 1 {
			t.Errorf("%s %.40s: counted %d times as %s", c.path, c.body, got, c.reason)
		}
	}
	if recs := b.log.all(); len(recs) != 0 {
		t.Errorf("recorded: %+v", recs)
	}
}

// Success is answered only after the log has it.
func TestSuccessMeansOnDisk(t *testing.T) {
	for _, c := range []struct{ line, body string }{
		{"POST /devices/Open/sensors/S1/value", "1"},
		{"POST /devices/Open/sensors/S1/values", "[1,2]"},
		{"POST /devices/Open/actuators/A1/value", "1"},
		{"POST /devices", `{"id":"New"}`},
		{"POST /devices/Open/name", "New"},
		{"POST /devices/Open/meta", `{"a":1}`},
		{"POST /devices/Open/sensors", `{"id":"New"}`},
	} {
		for _, disk := range []error{nil, gateway.ErrClosed, errDisk} {
			b := newBench(t, nil)
			b.log.held = true
			answered := make(chan *httptest.ResponseRecorder, 1)
			r := request(t, "root", c.line, c.body)
			go func() {
				w := httptest.NewRecorder()
				b.ServeHTTP(w, r)
				answered <- w
			}()
			<-b.log.queued
			b.want(b.ask("", "GET /devices", ""), 200, "*") // others are answered meanwhile
			select {
			case w := <-answered:
				t.Errorf("%s: %d before it is on disk", c.line, w.Code)
				continue
			default:
			}
			b.log.release(disk)
			w := <-answered
			if want := map[error]int{nil: 200, gateway.ErrClosed: 503, errDisk: 500}[disk]; w.Code != want {
				t.Errorf("%s, %v: %d %s", c.line, disk, w.Code, w.Body)
			}
		}
	}
}

func TestDiskThatDoesNotAnswer(t *testing.T) {
	b := newBench(t, func(c *Config, _ *gateway.Declared) { c.Limits.Disk = 1 })
	b.log.held = true
	w := b.ask("", "POST /devices/Open/sensors/S1/value", "1")
	b.want(w, 503, "*")
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.want(b.ask("root", "POST /devices/Open/name", "x"), 503, "*")
	b.log.release(nil)
	b.log.refuse = gateway.ErrNotKept
	b.want(b.ask("", "POST /devices/Open/sensors/S1/value", "1"), 503, "*")
}

func TestChanges(t *testing.T) {
	b := newBench(t, nil)
	b.want(b.ask("ann", "POST /devices", `{"id":"Mine","name":"My own","visibility":"public","sensors":[{"id":"T"}]}`), 200, `"Mine"`)
	d, ok := b.registry.Device("Mine")
	if !ok || d.Grants.Owner != "ann" || !d.Grants.Public || len(d.Sensors) != 1 {
		t.Fatalf("%+v", d)
	}
	b.want(b.ask("ann", "POST /devices", `{"id":"Mine"}`), 409, "*")
	b.want(b.ask("", "POST /devices", `{"id":"Other"}`), 401, "*")
	b.want(b.ask("bob", "POST /devices/Mine/name", `x`), 403, "*")
	b.want(b.ask("ann", "POST /devices/Mine/name", `"K\u00fcche"`), 200, "")
	b.want(b.ask("ann", "GET /devices/Mine/name", ""), 200, `"Küche"`)
	b.want(b.ask("ann", "POST /devices/Mine/meta", `{"a":1,"b":2}`), 200, "")
	b.want(b.ask("ann", "POST /devices/Mine/meta", `{"a":null,"c":3}`), 200, "")
	b.want(b.ask("ann", "GET /devices/Mine/meta", ""), 200, `{"b":2,"c":3}`)
	b.want(b.ask("ann", "POST /devices/Mine/meta", `[1]`), 400, "*")
	b.want(b.ask("ann", "POST /devices/Mine/sensors", `{"id":"H","sensor_kind":"k"}`), 200, `"H"`)
	b.want(b.ask("ann", "POST /devices/Mine/sensors", `{"id":"H"}`), 409, "*")
	b.want(b.ask("ann", "POST /devices/Mine/sensors", `{"id":"a/b"}`), 400, "*")
	b.want(b.ask("ann", "POST /devices/Mine/actuators", `{"id":"R"}`), 200, `"R"`)
	b.want(b.ask("ann", "POST /devices/Mine/sensors/H/name", `Humidity`), 200, "")
	b.want(b.ask("ann", "POST /devices/Mine/actuators/R/name", `Relay`), 200, "")
	b.want(b.ask("ann", "POST /devices/Mine/actuators/R/meta", `{"x":1}`), 200, "")
	b.want(b.ask("ann", "GET /devices/Mine/actuators/R/name", ``), 200, `"Relay"`)
	b.want(b.ask("ann", "POST /devices/Mine/sensors/Z/name", `x`), 404, "*")
	b.want(b.ask("bob", "DELETE /devices/Mine/sensors/H", ""), 403, "*")
	b.want(b.ask("ann", "DELETE /devices/Mine/sensors/H", ""), 200, "")
	b.want(b.ask("ann", "DELETE /devices/Mine/actuators/R", ""), 200, "")
	b.want(b.ask("ann", "DELETE /devices/Mine/sensors/H", ""), 404, "*")
	b.want(b.ask("bob", "DELETE /devices/Mine", ""), 403, "*")
	b.want(b.ask("ann", "DELETE /devices/Mine", ""), 200, "")
	b.want(b.ask("ann", "DELETE /devices/Mine", ""), 404, "*")
	b.want(b.ask("root", "DELETE /devices/Open", ""), 409, "*") // the configuration's
	b.want(b.ask("ann", "DELETE /devices", ""), 405, "*")
	var topics, erased []string
	for _, r := range b.log.all() {
		if r.Kind == gateway.KindErase && r.Device == "Mine" {
			erased = append(erased, r.Channel) // what a deleted sensor had measured
			continue
		}
		if r.Kind != gateway.KindChange {
			t.Errorf("%+v", r)
		}
		topics = append(topics, r.Topic)
	}
	const want = "devices devices/Mine/name devices/Mine/meta devices/Mine/meta devices/Mine/sensors devices/Mine/actuators " +
		"devices/Mine/sensors/H/name devices/Mine/actuators/R/name devices/Mine/actuators/R/meta devices/Mine/sensors/H devices/Mine/actuators/R devices/Mine"
	if got := strings.Join(topics, " "); got != want {
		t.Errorf("recorded\n%s, want\n%s", got, want)
	}
	if got := strings.Join(erased, " "); got != "H T" { // T with its device
		t.Errorf("the values of deleted sensors were erased: %s", got)
	}
}

func TestCreateWithoutID(t *testing.T) {
	b := newBench(t, nil)
	var device, sensor, actuator string
	for _, c := range []struct {
		path func() string
		id   *string
	}{
		{func() string { return "/devices" }, &device},
		{func() string { return "/devices/" + device + "/sensors" }, &sensor},
		{func() string { return "/devices/" + device + "/actuators" }, &actuator},
	} {
		w := b.ask("ann", "POST "+c.path(), `{"name":"n"}`)
		if err := json.Unmarshal(w.Body.Bytes(), c.id); err != nil || gateway.CheckID(*c.id) != nil {
			t.Fatalf("%s: %d %s", c.path(), w.Code, w.Body)
		}
	}
	b.want(b.ask("ann", "GET /devices/"+device+"/sensors/"+sensor+"/name", ""), 200, `"n"`)
	b.want(b.ask("ann", "GET /devices/"+device+"/actuators/"+actuator+"/name", ""), 200, `"n"`)
}

func TestHistory(t *testing.T) {
	b := newBench(t, nil)
	for i := range 5 {
		b.want(b.ask("", "POST /devices/Open/sensors/S1/value", fmt.Sprintf(`{"value":%d.0,"time":"2026-11-22T10:00:0%dZ"}`, i, i)), 200, "")
	}
	at := func(i int) string {
		return fmt.Sprintf(`{"value":%d.0,"time":"2026-11-22T10:00:0%d.000000Z"}`, i, i)
	}
	const path = "GET /devices/Open/sensors/S1/values"
	b.want(b.ask("", path, ""), 200, "["+at(0)+","+at(1)+","+at(2)+","+at(3)+","+at(4)+"]")
	b.want(b.ask("", path+"?limit=2", ""), 200, "["+at(0)+","+at(1)+"]")
	b.want(b.ask("", path+"?from=2026-11-22T10:00:01Z&to=2026-11-22T12:00:03%2B02:00", ""), 200, "["+at(1)+","+at(2)+","+at(3)+"]")
	b.want(b.ask("", path+"?from=2026-11-22T10:00:03Z&limit=1", ""), 200, "["+at(3)+"]")
	b.want(b.ask("", "GET /devices/Open/sensors/S2/values", ""), 200, "[]")
	b.want(b.ask("", "GET /devices/Open/actuators/A1/values", ""), 200, "[]")
	b.want(b.ask("", path+"?from=yesterday", ""), 400, "*")
	b.want(b.ask("", path+"?limit=many", ""), 400, "*")
	b.want(newBench(t, func(c *Config, _ *gateway.Declared) { c.History = nil }).ask("", path, ""), 400, "*")
}

// history fails after some records.
type history struct {
	n   int
	err error
}

func (h history) Values(_ context.Context, _ HistoryQuery, fn func(gateway.Record) error) error {
	for range h.n {
		if err := fn(gateway.Record{Value: json.RawMessage(`"` + strings.Repeat("x", 100) + `"`)}); err != nil {
			return err
		}
	}
	return h.err
}

// A history that breaks off is not taken for a whole one.
func TestHistoryCut(t *testing.T) {
	for _, c := range []struct {
		n      int
		err    error
		status int // 0: the connection is cut
	}{{1000, nil, 200}, {0, errDisk, 500}, {1000, errDisk, 0}} {
		b := newBench(t, func(cfg *Config, _ *gateway.Declared) { cfg.History = history{c.n, c.err} })
		web := httptest.NewServer(b)
		resp, err := http.Get(web.URL + "/devices/Open/sensors/S1/values")
		if err != nil {
			t.Fatal(err)
		}
		var all []any
		err = json.NewDecoder(resp.Body).Decode(&all)
		resp.Body.Close()
		switch {
		case c.status == 200 && (resp.StatusCode != 200 || err != nil || len(all) != c.n),
			c.status == 500 && resp.StatusCode != 500,
			c.status == 0 && err == nil:
			t.Errorf("%d records, then %v: %d, %d read, %v", c.n, c.err, resp.StatusCode, len(all), err)
		}
		web.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestLogin(t *testing.T) {
	b := newBench(t, nil)
	w := b.ask("", "GET /devices/Open", "", "Authorization", "Bearer abc")
	b.want(w, 401, "*")
	if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic ") {
		t.Error("nothing says how to log in")
	}
	wrong := func(addr string) *httptest.ResponseRecorder {
		r := request(t, "", "GET /devices/Open", "")
		r.SetBasicAuth("ann", "wrong")
		r.RemoteAddr = addr
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		return w
	}
	b.want(wrong("198.51.100.1:1"), 401, "*")

	closed := newBench(t, func(_ *Config, d *gateway.Declared) { d.Anonymous = false })
	for _, path := range []string{"/", "/devices", "/devices/Open", "/devices/Open/sensors/S1/value", "/status"} {
		closed.want(closed.ask("", "GET "+path, ""), 401, "*")
		closed.want(closed.ask("ann", "GET "+path, ""), 200, "*")
	}
	closed.want(closed.ask("", "POST /devices/Open/sensors/S1/value", "1"), 401, "*")
	closed.want(closed.ask("", "GET /healthz", ""), 200, "ok")
}

// login answers every name with err.
type login struct {
	Registry
	err error
}

func (l login) Login(context.Context, string, string, []byte, bool) (access.Subject, error) {
	return access.Subject{}, l.err
}

func TestLoginRefused(t *testing.T) {
	for err, want := range map[error]int{access.ErrBadCredentials: 401, access.ErrThrottled: 429, access.ErrBusy: 503, errors.New("else"): 500} {
		b := newBench(t, nil)
		b.cfg.Registry = login{b.cfg.Registry, err}
		w := b.ask("ann", "GET /devices", "")
		b.want(w, want, "*")
		if (want == 429 || want == 503) && w.Header().Get("Retry-After") == "" {
			t.Errorf("%v: no Retry-After", err)
		}
		if want == 500 && strings.Contains(w.Body.String(), "else") {
			t.Errorf("an error of the gateway's own is shown: %s", w.Body)
		}
	}
}

// Pages of other sites cannot send changes in somebody's name.
func TestCrossSite(t *testing.T) {
	b := newBench(t, nil)
	const line = "POST /devices/Open/sensors/S1/value"
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{nil, 200}, // no browser
		{[]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{[]string{"Origin", "http://example.com"}, 200}, // httptest's host
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 403},
		{[]string{"Origin", "http://evil.example"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site", "X-Requested-With", "x"}, 403},
	} {
		b.want(b.ask("root", line, "1", c.headers...), c.status, "*")
	}
	for _, line := range []string{"DELETE /devices/Open", "PUT /admin/users/eve", "POST /admin/keys", "POST /admin/devices/Ann/share", "POST /devices"} {
		b.want(b.ask("root", line, `{"id":"x"}`, "Sec-Fetch-Site", "cross-site"), 403, "*")
	}
	if w := b.ask("", "GET /devices", "", "Origin", "http://evil.example"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("other sites may read")
	}
}
