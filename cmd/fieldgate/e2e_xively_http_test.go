package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestXivelyHTTP: the same URLs by the other door.
func TestXivelyHTTP(t *testing.T) {
	g := startXively(t, "")
	mustAsk(t, g, "PUT", "/v2/feeds/504.csv", deviceKey, "0,29\nTC1,7", 200)
	for _, c := range []struct {
		method, path, key, body string
		status                  int
		answer                  string // with TIME for times; "" any
	}{
		{"GET", "/v2/feeds/504.csv", readKey, "", 200, "TC1,TIME,7\n0,TIME,29"},
		{"GET", "/v1/feeds/504.csv", readKey, "", 200, "7,29"},
		{"GET", "/v1/feeds/504/datastreams/0.csv", readKey, "", 200, "29"},
		{"GET", "/v2/feeds/504/datastreams/0.csv?key=" + readKey, "", "", 200, "TIME,29"},
		{"GET", "/v2/feeds/504.json?datastreams=none", readKey, "", 200, ""},
		{"PUT", "/v2/feeds/504/datastreams/0.csv", deviceKey, "30", 200, " "},
		{"PUT", "/v2/feeds/504/datastreams/new.csv", deviceKey, "30", 404, ""},
		{"PUT", "/v2/feeds/504.csv", deviceKey, "new,1", 200, " "},
		{"GET", "/v1/feeds/504/datastreams/new.csv", readKey, "", 200, "1"},
		{"GET", "/v2/feeds/504", "", "", 401, ""},
		{"GET", "/v2/feeds/504", "no such key", "", 401, ""},
		{"GET", "/v2/feeds/504", expiredKey, "", 401, ""},
		{"GET", "/v2/feeds/505", readKey, "", 403,
			`{"title":"Forbidden","errors":"You do not have the necessary permissions to access this resource"}`},
		{"GET", "/v2/feeds/999", readKey, "", 404,
			`{"title":"Not found","errors":"I'm sorry we are unable to find the resource you are looking for."}`},
		{"POST", "/v2/feeds/504.csv", masterKey, "0,1", 405, ""},
		{"PUT", "/v2/feeds/504.csv", readKey, "0,1", 403, ""},
		{"GET", "/v2/nonsense", readKey, "", 404, ""},
		{"GET", "/v3/feeds/504", readKey, "", 404, ""},
		{"GET", "/v2/keys.csv", masterKey, "", 406, ""},
		{"PUT", "/v2/feeds/504.json", masterKey, `{"title":"Hut 2","tags":["hut","Farm"],"private":"false","location":{"disposition":"mobile","lat":6.37,"lon":2.39,"ele":"23.0","domain":"physical"},"datastreams":[{"id":"0","unit":{"symbol":"C","label":"Celsius","type":"derivedSI"},"tags":["air"]}]}`, 200, " "},
		{"GET", "/v2/feeds/504.json?datastreams=0", readKey, "", 200,
			`{"id":504,"title":"Hut 2","private":"false","tags":["Farm","hut"],"feed":"http://gw-x/v2/feeds/504.json","status":"live","updated":"TIME","creator":"http://gw-x/users/ann","version":"1.0.0","datastreams":[{"id":"0","current_value":"30","at":"TIME","max_value":"30.0","min_value":"29.0","tags":["air"],"unit":{"type":"derivedSI","symbol":"C","label":"Celsius"}}],"location":{"disposition":"mobile","domain":"physical","ele":"23.0","lat":6.37,"lon":2.39,"waypoints":[{"at":"TIME","lat":6.37,"lon":2.39,"ele":"23.0"}]}}`},
		{"DELETE", "/v2/feeds/504/datastreams/new", masterKey, "", 200, " "},
		{"GET", "/v2/feeds/504/datastreams/new", readKey, "", 404, ""},
		{"DELETE", "/v2/feeds/504", masterKey, "", 403, ""}, // the configuration's
	} {
		status, answer, _ := ask(t, g, c.method, c.path, c.key, c.body)
		if status != c.status || c.answer != "" && timeless(answer) != c.answer {
			t.Errorf("%s %s: %d %s\nwant %d %s", c.method, c.path, status, timeless(answer), c.status, c.answer)
		}
	}
	for _, header := range []string{"X-PachubeApiKey", "X-CosmApiKey"} {
		req, _ := http.NewRequest("GET", "http://"+g.http+"/v1/feeds/504.csv", nil)
		req.Header.Set(header, readKey)
		if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %v %v", header, res, err)
		}
	}
	// The account's own password does as well.
	req, _ := http.NewRequest("GET", "http://"+g.http+"/v2/feeds/505", nil)
	req.SetBasicAuth("ann", "password")
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != 200 {
		t.Errorf("Basic authentication: %v %v", res, err)
	}
}

// TestXivelyHistory: datapoints in and out, by both doors, over a restart.
func TestXivelyHistory(t *testing.T) {
	g := startXively(t, "")
	var points []string
	for i := range 500 {
		points = append(points, fmt.Sprintf(`{"at":"2026-11-20T%02d:%02d:00Z","value":"%d"}`, i/60, i%60, i))
	}
	all := `{"datapoints":[` + strings.Join(points, ",") + `]}`
	mustAsk(t, g, "POST", "/v2/feeds/504/datastreams/0/datapoints", masterKey, all, 201)
	many := strings.Replace(all, "]", `,{"at":"2026-11-20T23:00:00Z","value":"1"}]`, 1)
	mustAsk(t, g, "POST", "/v2/feeds/504/datastreams/TC1/datapoints", masterKey, many, 422)
	if got := mustAsk(t, g, "GET", "/v2/feeds/504/datastreams/TC1.csv", readKey, "", 200); got != `,""` {
		t.Errorf("501 datapoints left %q", got)
	}
	check := func() {
		t.Helper()
		for query, want := range map[string]string{
			"start=2026-11-20T01:00:00Z&duration=2minutes":                      "TIME1:00,60\nTIME1:01,61\nTIME1:02,62",
			"start=2026-11-20T01:00:00Z&end=2026-11-20T01:01:00Z":               "TIME1:00,60\nTIME1:01,61",
			"end=2026-11-20T08:19:00Z&duration=1minute":                         "TIME8:18,498\nTIME8:19,499",
			"start=2026-11-20T01:00:30Z&duration=40seconds&find_previous":       "TIME1:00,60\nTIME1:01,61",
			"start=2026-11-20T01:00:00Z&duration=1hour&limit=2":                 "TIME1:00,60\nTIME1:01,61",
			"start=2026-11-20T01:00:00Z&end=2026-11-20T02:00:00Z&interval=1800": "TIME1:00,60\nTIME1:30,90\nTIME2:00,120",
			"start=2026-11-20T09:00:00Z&duration=1hour":                         "",
		} {
			got := mustAsk(t, g, "GET", "/v2/feeds/504/datastreams/0.csv?"+query, readKey, "", 200)
			got = strings.NewReplacer("2026-11-20T0", "TIME", ":00.000000Z", "").Replace(got)
			if got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		mustAsk(t, g, "GET", "/v2/feeds/504/datastreams/0.csv?start=2026-11-20T01:00:00Z&end=2026-11-20T02:00:00Z&duration=1hour", readKey, "", 400)
	}
	check()
	s := subscribe(t, g.mqtt, "-u", readKey, "-t", "/v2/feeds/504.json?duration=1minute&end=2026-11-20T01:01:00Z&datastreams=0")
	var feed struct {
		Datastreams []struct {
			Datapoints []struct{ At, Value string }
		}
	}
	_, doc, _ := strings.Cut(s.message(), " ")
	if err := json.Unmarshal([]byte(doc), &feed); err != nil || len(feed.Datastreams) != 1 || len(feed.Datastreams[0].Datapoints) != 2 ||
		feed.Datastreams[0].Datapoints[1].Value != "61" {
		t.Errorf("over MQTT: %s: %v", doc, err)
	}
	mustAsk(t, g, "PUT", "/v2/feeds/504/datastreams/0/datapoints/2026-11-20T01:01:00Z", masterKey, `{"value":"sixty-one"}`, 200)
	mustAsk(t, g, "DELETE", "/v2/feeds/504/datastreams/0/datapoints/2026-11-20T01:02:00Z", masterKey, "", 200)
	mustAsk(t, g, "DELETE", "/v2/feeds/504/datastreams/0/datapoints?end=2026-11-20T00:59:00Z", masterKey, "", 200)
	want := "2026-11-20T01:00:00.000000Z,60\n2026-11-20T01:01:00.000000Z,sixty-one\n2026-11-20T01:03:00.000000Z,63"
	q := "/v2/feeds/504/datastreams/0.csv?start=2026-11-20T00:00:00Z&end=2026-11-20T01:03:00Z&limit=1000"
	if got := mustAsk(t, g, "GET", q, readKey, "", 200); got != want {
		t.Errorf("after changes: %q", got)
	}
	g.kill() // what was answered is on disk
	g = startGatewayFile(t, g.file)
	if got := mustAsk(t, g, "GET", q, readKey, "", 200); got != want {
		t.Errorf("after kill -9: %q", got)
	}
	if got := mustAsk(t, g, "GET", "/v2/feeds/504/datastreams/0.csv", readKey, "", 200); got != "2026-11-20T08:19:00.000000Z,499" {
		t.Errorf("the present value after kill -9: %q", got)
	}
}

// TestXivelyBadInput: nothing stored, nothing sent, an entry in the request
// log, and the connection stays.
func TestXivelyBadInput(t *testing.T) {
	g := startXively(t, "")
	long := strings.Repeat("x", 256)
	var rows []string
	for i := range 501 {
		rows = append(rows, fmt.Sprintf("0,2026-11-20T%02d:%02d:00Z,%d", i/60, i%60, i))
	}
	entities := `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]><eeml><environment><title>&c;</title></environment></eeml>`
	cases := []struct {
		name, path, body string
		status           int
	}{
		{"malformed JSON", "/v2/feeds/504.json", `{"datastreams":[{"id":"0","current_value":"1"}`, 400},
		{"JSON that is no object", "/v2/feeds/504.json", `[1]`, 400},
		{"datastreams no array", "/v2/feeds/504.json", `{"datastreams":{}}`, 400},
		{"malformed XML", "/v2/feeds/504.xml", `<eeml><environment><data id="0"><current_value>1</current_value></data></eeml>`, 400},
		{"nested entities", "/v2/feeds/504.xml", entities, 400},
		{"malformed CSV", "/v2/feeds/504.csv", `0,"1`, 400},
		{"one cell", "/v2/feeds/504.csv", `0`, 400},
		{"four cells", "/v2/feeds/504.csv", `0,1,2,3`, 400},
		{"501 datapoints", "/v2/feeds/504.csv", strings.Join(rows, "\n"), 422},
		{"256 characters", "/v2/feeds/504.csv", "0," + long, 422},
		{"256 characters in JSON", "/v2/feeds/504/datastreams/0.json", `{"current_value":"` + long + `"}`, 422},
		{"id red hat", "/v2/feeds/504.csv", "red hat,1", 422},
		{"id foo*", "/v2/feeds/504.json", `{"datastreams":[{"id":"foo*","current_value":"1"}]}`, 422},
		{"id KYB:FOO", "/v2/feeds/504.csv", "KYB:FOO,1", 422},
		{"timed and untimed rows", "/v2/feeds/504.csv", "0,2026-11-20T10:00:00Z,1\n0,2", 0}, // 400 or 422
		{"a bad time", "/v2/feeds/504.csv", "0,yesterday,1", 0},
		{"twice the same id", "/v2/feeds/504.json", `{"datastreams":[{"id":"0","current_value":"1"},{"id":"0","current_value":"2"}]}`, 422},
		{"no such feed", "/v2/feeds/77.csv", "0,1", 404},
		{"no such datastream", "/v2/feeds/504/datastreams/none.csv", "1", 404},
		{"bytes that are no UTF-8", "/v2/feeds/504.csv", "0,\xff\xfe", 0},
		{"half of it is wrong", "/v2/feeds/504.csv", "0,1\nTC1,1\nred hat,1", 422},
		{"nothing", "/v2/feeds/504.csv", "", 400},
	}
	c := dial(t, g.mqtt, "bad", withUser(masterKey))
	defer c.Disconnect(0)
	for i, bad := range cases {
		status, answer, _ := ask(t, g, "PUT", bad.path, masterKey, bad.body)
		if bad.status != 0 && status != bad.status || status < 400 || status > 499 {
			t.Errorf("%s: %d %s", bad.name, status, answer)
		}
		if !strings.Contains(answer, "title") || !strings.Contains(answer, "error") {
			t.Errorf("%s: the body is %s", bad.name, answer)
		}
		if tok := c.Publish(bad.path, 1, false, bad.body); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("%s: MQTT: %v", bad.name, tok.Error())
		}
		list, _ := requests(t, g)
		if len(list) != 2*(i+1) || list[0]["status"] != list[1]["status"] || list[0]["error"] == nil {
			t.Fatalf("%s: %d requests in the log, the last two %v %v", bad.name, len(list), list[0], list[1])
		}
	}
	before := len(cases) * 2
	for _, topic := range []string{
		"/v2" + strings.Repeat("/feeds", 200), "/v2/feeds/abc.csv", "/v2/feeds/504.png", "/v2/feeds/504/nothing",
		"/v2/feeds/504.csv?duration=%zz", "/v2/feeds/99999999999999999999999.csv",
	} {
		if tok := c.Publish(topic, 1, false, "0,1"); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("%s: %v", topic, tok.Error())
		}
		before++
		if list, raw := requests(t, g); len(list) != before {
			t.Fatalf("%.40s is not in the request log: %.300s", topic, raw)
		}
	}
	status, answer, _ := ask(t, g, "PUT", "/v2/feeds/504.xml", masterKey, entities+strings.Repeat(" ", 10<<20))
	if status != 413 || !strings.Contains(answer, "title") {
		t.Errorf("10 MB of XML: %d %.200s", status, answer)
	}
	if !c.IsConnectionOpen() {
		t.Error("the connection did not stay")
	}
	if got := mustAsk(t, g, "GET", "/v2/feeds/504.csv", masterKey, "", 200); got != "TC1,,\"\"\n0,,\"\"" {
		t.Errorf("after all that the feed is %q", got)
	}
	if _, exported, _ := command(t, "", "log", "export", "--config", g.configFile(), "--format", "jsonl"); strings.TrimSpace(exported) != "" {
		t.Errorf("records: %s", exported)
	}
}

// TestXivelyDurable: acknowledged is on disk, and goes to the cloud.
func TestXivelyDurable(t *testing.T) {
	cloud := startMosquitto(t)
	up := fmt.Sprintf("uplink:\n  - {name: cloud, url: %q}\n", cloud.url())
	g := startXively(t, up)
	seen := subscribe(t, net.JoinHostPort("127.0.0.1", cloud.port), "-t", "devices/#", "-q", "1")
	mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "TC1,2026-11-20T10:00:00Z,0000017")
	want := `devices/MyDevice/sensors/TC1/value {"value":"0000017","timestamp":"2026-11-20T10:00:00.000000Z","id":"gw-x/`
	if got := seen.message(); !strings.HasPrefix(got, want) {
		t.Errorf("the cloud sees %q", got)
	}
	for i := range 20 {
		mustPublish(t, g.mqtt, "-u", masterKey, "-q", "2", "-t", "/v2/feeds/504.csv", "-m", fmt.Sprintf("0,%d", i))
		g.kill()
		g = startGatewayFile(t, g.file)
		if got := mustAsk(t, g, "GET", "/v1/feeds/504.csv", readKey, "", 200); got != fmt.Sprintf("0000017,%d", i) {
			t.Fatalf("after kill -9 %d: %q", i, got)
		}
		if i == 4 {
			break
		}
	}
}

// TestXivelyUpward: an uplink in the Xively dialect, to a stock broker and to
// another gateway.
func TestXivelyUpward(t *testing.T) {
	cloud := startMosquitto(t)
	seen := subscribe(t, net.JoinHostPort("127.0.0.1", cloud.port), "-t", "#", "-q", "1")
	g := startXively(t, fmt.Sprintf(`
uplink:
  - {name: cloud, url: %q, dialect: xively, username: %s, ids: false, xively: {status: {feed: 504, datastream: gateway}}}
`, cloud.url(), masterKey))
	if got := seen.message(); got != "/v2/feeds/504/datastreams/gateway.csv 1" {
		t.Errorf("birth: %q", got)
	}
	mustPublish(t, g.mqtt, "-u", "ann", "-P", "password", "-q", "1", "-t", "devices/MyDevice/sensors/TC1/value", "-m", `{"value": 21.50, "timestamp": "2026-11-20T10:00:00Z"}`)
	if got := seen.message(); got != "/v2/feeds/504.csv TC1,2026-11-20T10:00:00.000000Z,21.50" {
		t.Errorf("a reading: %q", got)
	}
	g.kill()
	if got := seen.message(); got != "/v2/feeds/504/datastreams/gateway.csv 0" {
		t.Errorf("will: %q", got)
	}

	// Another gateway as the cloud, with its guarantee.
	above := startXively(t, "")
	below := startGateway(t, t.TempDir(), strings.Replace(xivelyConfig(hashPassword(t, "password"), fmt.Sprintf(`
uplink:
  - {name: cloud, url: "mqtt://%s", dialect: xively, username: %s, ids: false, xively: {qos: 1, status: {feed: 504, datastream: "0"}}}
`, above.mqtt, masterKey)), "id: gw-x", "id: gw-below", 1))
	for i := range 50 {
		mustPublish(t, below.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", fmt.Sprintf("TC1,2026-11-20T10:%02d:00Z,%d", i, i))
		if i == 20 {
			above.kill()
		}
	}
	above = startAgain(t, above)
	s := subscribe(t, above.mqtt, "-u", readKey, "-t", "/v1/feeds/504/datastreams/TC1.csv")
	for end := time.Now().Add(patience); s.message() != "/v1/feeds/504/datastreams/TC1.csv 49"; {
		if time.Now().After(end) {
			t.Fatal("the last value does not arrive")
		}
	}
	got := mustAsk(t, above, "GET", "/v2/feeds/504/datastreams/TC1.csv?start=2026-11-20T10:00:00Z&duration=1hour&limit=1000", readKey, "", 200)
	if n := strings.Count(got, "\n") + 1; n != 50 {
		t.Errorf("%d of 50 values arrived: %s", n, got)
	}
}
