package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Keys of xivelyConfig.
const (
	masterKey  = "master-Key_of-ann_0123456789abcdefghijklmnopqrstuv"
	deviceKey  = "device-Key_of-ann_0123456789abcdefghijklmnopqrstuv"
	readKey    = "reading-Key_of-ann_0123456789abcdefghijklmnopqrstu"
	streamKey  = "stream-Key_of-ann_0123456789abcdefghijklmnopqrstuv"
	expiredKey = "expired-Key_of-ann_0123456789abcdefghijklmnopqrstu"
	afarKey    = "afar-Key_of-ann_0123456789abcdefghijklmnopqrstuvwx"
)

// xivelyConfig declares a public feed 504 of TC1 and 0, and a private one 505.
func xivelyConfig(hash, more string) string {
	return fmt.Sprintf(`
id: gw-x
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access:
  anonymous: true
  users:
    - {name: ann, password_hash: "%s"}
    - {name: boss, password_hash: "%s", admin: true}
  keys:
    - {label: master, key: "%s", owner: ann, private_access: true, permissions: [{methods: [get, put, post, delete]}]}
    - {label: field node, key: "%s", owner: ann, private_access: true, permissions: [{methods: [get, put], resources: [{feed: 504}]}]}
    - {label: display, key: "%s", owner: ann, permissions: [{methods: [get]}]}
    - {label: one stream, key: "%s", owner: ann, private_access: true, permissions: [{methods: [get, put], resources: [{feed: 504, datastream: "0"}]}]}
    - {label: old, key: "%s", owner: ann, expires_at: "2020-01-01T00:00:00Z", permissions: [{methods: [get, put]}]}
    - {label: from afar, key: "%s", owner: ann, permissions: [{methods: [get, put], source_ip: 192.0.2.1}]}
devices:
  - {id: MyDevice, name: Hut, feed: 504, owner: ann, visibility: public, sensors: [{id: TC1, unit: DegreeCelsius}, {id: "0"}]}
  - {id: Cellar, feed: 505, owner: ann, sensors: [{id: t}]}
%s`, hash, hash, masterKey, deviceKey, readKey, streamKey, expiredKey, afarKey, more)
}

func startXively(t *testing.T, more string) *gatewayProcess {
	t.Helper()
	return startGateway(t, t.TempDir(), xivelyConfig(hashPassword(t, "password"), more))
}

// ask makes one HTTP request to the API.
func ask(t testing.TB, g *gatewayProcess, method, path, key, body string) (status int, answer string, header http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+g.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("X-ApiKey", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw), res.Header
}

func mustAsk(t testing.TB, g *gatewayProcess, method, path, key, body string, want int) string {
	t.Helper()
	status, answer, _ := ask(t, g, method, path, key, body)
	if status != want {
		t.Fatalf("%s %s: %d %s, want %d", method, path, status, answer, want)
	}
	return answer
}

// timeless takes the times out of a document.
func timeless(s string) string {
	return regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`).ReplaceAllString(s, "TIME")
}

// TestXivelyWordForWord: what stock clients and old device code do.
func TestXivelyWordForWord(t *testing.T) {
	g := startXively(t, "")
	stream := subscribe(t, g.mqtt, "-u", deviceKey, "-t", "/v1/feeds/504/datastreams/0.csv")
	mustPublish(t, g.mqtt, "-u", deviceKey, "-t", "/v2/feeds/504.csv", "-m", "0,29")
	if got := stream.message(); got != "/v1/feeds/504/datastreams/0.csv 29" {
		t.Fatalf("got %q", got)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"a datastream", []string{"-u", deviceKey, "-t", "/v2/feeds/504/datastreams/0.csv", "-m", "30"}, "30"},
		{"key in both places", []string{"-u", deviceKey, "-P", deviceKey, "-t", deviceKey + "/v2/feeds/504.csv", "-m", "0,PASS"}, "PASS"},
		{"key in the topic alone", []string{"-t", deviceKey + "/v2/feeds/504.csv", "-m", "0, 31"}, "31"},
		{"slash in front of the key", []string{"-t", "/" + deviceKey + "/v2/feeds/504.csv", "-m", "0,32"}, "32"},
		{"the topic's key wins", []string{"-u", readKey, "-t", deviceKey + "/v2/feeds/504.csv", "-m", "0,33"}, "33"},
		{"QoS 1", []string{"-u", deviceKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "0,34"}, "34"},
		{"QoS 2", []string{"-u", deviceKey, "-q", "2", "-t", "/v2/feeds/504.csv", "-m", "0,35"}, "35"},
		{"MQTT 5", []string{"-V", "5", "-u", deviceKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "0,36"}, "36"},
		{"MQTT 3.1", []string{"-V", "mqttv31", "-u", deviceKey, "-t", "/v2/feeds/504.csv", "-m", "0,37"}, "37"},
		{"retained", []string{"-u", deviceKey, "-r", "-t", "/v2/feeds/504.csv", "-m", "0,38"}, "38"},
		{"JSON with a number", []string{"-u", deviceKey, "-t", "/v2/feeds/504.json", "-m",
			`{"version":"1.0.0","datastreams":[{"id":"0","current_value":39.50}]}`}, "39.50"},
		{"no extension", []string{"-u", deviceKey, "-t", "/v2/feeds/504", "-m", `{"datastreams":[{"id":"0","current_value":"40"}]}`}, "40"},
		{"XML", []string{"-u", deviceKey, "-t", "/v2/feeds/504.xml", "-m",
			`<eeml><environment><data id="0"><current_value>41</current_value></data></environment></eeml>`}, "41"},
		{"v1 without extension is XML", []string{"-u", deviceKey, "-t", "/v1/feeds/504", "-m",
			`<eeml version="5"><environment><data id="0"><value>42</value></data></environment></eeml>`}, "42"},
		{"v1 CSV", []string{"-u", deviceKey, "-t", "/v1/feeds/504.csv", "-m", "0000017"}, "0000017"},
		{"carriage returns", []string{"-u", deviceKey, "-t", "/v2/feeds/504.csv", "-m", "0,43\r\nTC1,7\r\n"}, "43"},
	} {
		mustPublish(t, g.mqtt, c.args...)
		if got := stream.message(); got != "/v1/feeds/504/datastreams/0.csv "+c.want {
			t.Errorf("%s: got %q, want %s", c.name, got, c.want)
		}
	}
	// The present state at once, on exactly the topic subscribed to.
	for topic, want := range map[string]string{
		"/v2/feeds/504.csv":                      "TC1,TIME,7\n0,TIME,43", // mosquitto_sub prints two lines
		"/v1/feeds/504.csv":                      "7,43",
		"/v2/feeds/504/datastreams/0.csv":        "TIME,43",
		deviceKey + "/v1/feeds/504.csv":          "7,43",
		"/" + deviceKey + "/v1/feeds/504.csv":    "7,43",
		"/v2/feeds/504/datastreams/0.json":       `{"id":"0","current_value":"43","at":"TIME","max_value":"43.0","min_value":"17.0","version":"1.0.0"}`,
		"/v2/feeds/504/datastreams/0":            `{"id":"0","current_value":"43","at":"TIME","max_value":"43.0","min_value":"17.0","version":"1.0.0"}`,
		"/v2/feeds/504.csv?datastreams=0":        "0,TIME,43",
		"/v2/feeds/504/datastreams/%30.csv":      "TIME,43",
		"/v2/feeds/504.csv?datastreams=0&x=y":    "0,TIME,43",
		"/v1/feeds/504/datastreams/TC1.csv":      "7",
		"/v2/feeds/504/datastreams/TC1.csv":      "TIME,7",
		"/v1/feeds/504/datastreams/TC1.csv?a=%2": "", // a broken escape: refused, in silence
	} {
		s := subscribe(t, g.mqtt, "-u", deviceKey, "-t", topic)
		if want == "" {
			s.stop()
			for _, l := range s.out.snapshot() {
				if strings.HasPrefix(l, "MSG ") {
					t.Errorf("%s: got %q", topic, l)
				}
			}
			continue
		}
		got := timeless(s.message())
		first, _, _ := strings.Cut(want, "\n")
		if got != topic+" "+first {
			t.Errorf("%s: got %q, want %q", topic, got, want)
		}
		s.kill()
	}
}

// TestXivelyOneTruth: two views of the same devices.
func TestXivelyOneTruth(t *testing.T) {
	g := startXively(t, "")
	feed := subscribe(t, g.mqtt, "-u", masterKey, "-t", "/v2/feeds/504.csv?datastreams=TC1")
	stream := subscribe(t, g.mqtt, "-u", masterKey, "-t", "/v1/feeds/504/datastreams/TC1.csv")
	if got := feed.message(); got != `/v2/feeds/504.csv?datastreams=TC1 TC1,,""` {
		t.Errorf("a stream without a value: %q", got)
	}
	waziup := subscribe(t, g.mqtt, "-u", "ann", "-P", "password", "-t", "devices/MyDevice/sensors/TC1/value")
	for _, c := range []struct{ payload, at, text string }{
		{`{"value": 21.50, "timestamp": "2026-06-08T18:20:27.5Z"}`, "2026-06-08T18:20:27.500000Z", "21.50"},
		{`{"value": "0000017", "timestamp": "2026-06-08T18:20:28+02:00"}`, "", "0000017"}, // older: no news
		{`{"value": "0000017", "timestamp": "2026-06-08T18:20:28Z"}`, "2026-06-08T18:20:28.000000Z", "0000017"},
		{`{"value": true, "timestamp": "2026-06-08T18:20:29Z"}`, "2026-06-08T18:20:29.000000Z", "true"},
		{`{"value": "red, car", "timestamp": "2026-06-08T18:20:30Z"}`, "2026-06-08T18:20:30.000000Z", `"red, car"`},
	} {
		mustPublish(t, g.mqtt, "-u", "ann", "-P", "password", "-q", "1", "-t", "devices/MyDevice/sensors/TC1/value", "-m", c.payload)
		if got := waziup.message(); got != "devices/MyDevice/sensors/TC1/value "+c.payload {
			t.Errorf("Waziup sees %q", got)
		}
		if c.at == "" {
			continue
		}
		if got := feed.message(); got != "/v2/feeds/504.csv?datastreams=TC1 TC1,"+c.at+","+c.text {
			t.Errorf("%s: the feed is %q", c.payload, got)
		}
		if got := stream.message(); got != "/v1/feeds/504/datastreams/TC1.csv "+c.text {
			t.Errorf("%s: the stream is %q", c.payload, got)
		}
	}
	// And the other way round, with the type and the text that came in.
	for _, c := range []struct{ csv, value string }{
		{"21.50", `21.50`}, {"0000017", `"0000017"`}, {"red car", `"red car"`}, {"-1e3", `-1e3`}, {"1e999", `"1e999"`}, {"", `""`},
	} {
		mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "TC1,2026-07-01T10:00:00.25Z,"+c.csv)
		want := `devices/MyDevice/sensors/TC1/value {"value":` + c.value + `,"timestamp":"2026-07-01T10:00:00.250000Z"}`
		if got := waziup.message(); got != want {
			t.Errorf("%q: Waziup sees %q", c.csv, got)
		}
	}
	if got := mustAsk(t, g, "GET", "/v2/feeds/504/datastreams/TC1.csv", masterKey, "", 200); got != `2026-07-01T10:00:00.250000Z,""` {
		t.Errorf("over HTTP: %q", got)
	}
}

// TestXivelyKeys: who may what, when it happens.
func TestXivelyKeys(t *testing.T) {
	g := startXively(t, "")
	for _, key := range []string{"no-such-key", expiredKey, masterKey + "x"} {
		if code, out := publish(t, g.mqtt, "-u", key, "-t", "/v2/feeds/504.csv", "-m", "0,1"); code == 0 {
			t.Errorf("%s was let in: %s", key, out)
		}
	}
	// Silent to MQTT 3.1.1, said to MQTT 5.
	for _, c := range []struct {
		name string
		args []string
		code string
	}{
		{"without the method", []string{"-u", readKey, "-t", "/v2/feeds/504.csv", "-m", "0,1"}, "RC:135"},
		{"without the feed", []string{"-u", deviceKey, "-t", "/v2/feeds/505.csv", "-m", "t,1"}, "RC:135"},
		{"without the datastream", []string{"-u", streamKey, "-t", "/v2/feeds/504.csv", "-m", "TC1,1"}, "RC:135"},
		{"expired key in the topic", []string{"-t", expiredKey + "/v2/feeds/504.csv", "-m", "0,1"}, "RC:135"},
		{"from another address", []string{"-u", afarKey, "-t", "/v2/feeds/504.csv", "-m", "0,1"}, "RC:135"},
		{"no key at all", []string{"-t", "/v2/feeds/504.csv", "-m", "0,1"}, "RC:135"},
		{"no such feed", []string{"-u", masterKey, "-t", "/v2/feeds/999.csv", "-m", "0,1"}, "RC:144"},
		{"no such datastream", []string{"-u", masterKey, "-t", "/v2/feeds/504/datastreams/none.csv", "-m", "1"}, "RC:144"},
	} {
		if code, out := publish(t, g.mqtt, append([]string{"-q", "1", "-d"}, c.args...)...); code != 0 || !strings.Contains(out, "PUBACK") {
			t.Errorf("%s, MQTT 3.1.1: exit status %d\n%s", c.name, code, out)
		}
		if _, out := publish(t, g.mqtt, append([]string{"-V", "5", "-q", "1", "-d"}, c.args...)...); !strings.Contains(out, c.code) {
			t.Errorf("%s, MQTT 5: no %s in\n%s", c.name, c.code, out)
		}
	}
	mustPublish(t, g.mqtt, "-u", streamKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "0,5")
	if got := timeless(mustAsk(t, g, "GET", "/v2/feeds/504.csv", readKey, "", 200)); got != "TC1,,\"\"\n0,TIME,5" {
		t.Errorf("what stands after all that: %q", got)
	}
	mustAsk(t, g, "GET", "/v2/feeds/505.csv", readKey, "", 403)
	// A key that changes stops receiving at once.
	body := `{"key":{"label":"short","private_access":true,"permissions":[{"access_methods":["get"]}]}}`
	_, _, h := ask(t, g, "POST", "/v2/keys", masterKey, body)
	at := h.Get("Location")
	text := at[strings.LastIndex(at, "/")+1:]
	if len(text) < 40 {
		t.Fatalf("Location %q", at)
	}
	sub := subscribe(t, g.mqtt, "-u", text, "-t", "/v1/feeds/504/datastreams/0.csv")
	if got := sub.message(); got != "/v1/feeds/504/datastreams/0.csv 5" {
		t.Fatalf("got %q", got)
	}
	mustAsk(t, g, "PUT", "/v2/keys/"+text, masterKey, `{"key":{"label":"short","permissions":[{"access_methods":["put"]}]}}`, 200)
	witness := subscribe(t, g.mqtt, "-u", masterKey, "-t", "/v1/feeds/504/datastreams/0.csv")
	if got := witness.message(); got != "/v1/feeds/504/datastreams/0.csv 5" {
		t.Fatalf("got %q", got)
	}
	mustPublish(t, g.mqtt, "-u", deviceKey, "-t", "/v2/feeds/504.csv", "-m", "0,6")
	if got := witness.message(); got != "/v1/feeds/504/datastreams/0.csv 6" {
		t.Fatalf("got %q", got)
	}
	mustAsk(t, g, "PUT", "/v2/keys/"+text, masterKey, `{"key":{"label":"short","permissions":[{"access_methods":["get"]}]}}`, 200)
	if got := sub.message(); got != "/v1/feeds/504/datastreams/0.csv 6" { // what it missed
		t.Errorf("after a time without the right: %q", got)
	}
	mustPublish(t, g.mqtt, "-u", deviceKey, "-t", "/v2/feeds/504.csv", "-m", "0,7")
	if got := sub.message(); got != "/v1/feeds/504/datastreams/0.csv 7" {
		t.Errorf("after a time without the right: %q", got)
	}
	mustAsk(t, g, "DELETE", "/v2/keys/"+text, masterKey, "", 200)
	select {
	case <-sub.exited: // its connection ended
	case <-time.After(patience):
		t.Error("a connection outlives its key")
	}
}

// TestXivelyWill: the Last Will is a request in the dead client's name.
func TestXivelyWill(t *testing.T) {
	g := startXively(t, "")
	watch := subscribe(t, g.mqtt, "-u", masterKey, "-t", "/v1/feeds/504/datastreams/0.csv")
	dead := subscribe(t, g.mqtt, "-u", deviceKey, "-t", "devices/none", "--will-topic", "/v2/feeds/504/datastreams/0.csv", "--will-payload", "0")
	mustPublish(t, g.mqtt, "-u", deviceKey, "-t", "/v2/feeds/504/datastreams/0.csv", "-m", "1")
	if got := watch.message(); got != "/v1/feeds/504/datastreams/0.csv 1" {
		t.Fatalf("got %q", got)
	}
	dead.kill()
	if got := watch.message(); got != "/v1/feeds/504/datastreams/0.csv 0" {
		t.Fatalf("the will: %q", got)
	}
	// Without the right to it nothing happens.
	live := subscribe(t, g.mqtt, "-u", "boss", "-P", "password", "-t", "gateways/gw-x/requests")
	dead = subscribe(t, g.mqtt, "-u", readKey, "-t", "devices/none", "--will-topic", "/v2/feeds/504/datastreams/0.csv", "--will-payload", "66")
	dead.kill()
	got := live.message()
	for !strings.Contains(got, `"payload":"66"`) { // what came before it may be told late
		got = live.message()
	}
	if !strings.Contains(got, `"status":403`) {
		t.Errorf("the request log says %s", got)
	}
	mustPublish(t, g.mqtt, "-u", deviceKey, "-t", "/v2/feeds/504/datastreams/0.csv", "-m", "2")
	if got := watch.message(); got != "/v1/feeds/504/datastreams/0.csv 2" {
		t.Errorf("a will without right: %q", got)
	}
}

// requests is the request log as the administrator reads it.
func requests(t testing.TB, g *gatewayProcess) (list []map[string]any, raw string) {
	t.Helper()
	req, _ := http.NewRequest("GET", "http://"+g.http+"/requests", nil)
	req.SetBasicAuth("boss", "password")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 {
		t.Fatalf("GET /requests: %d %s", res.StatusCode, body)
	}
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("GET /requests: %v: %s", err, body)
	}
	return list, string(body)
}

// TestXivelyRequestLog: what nobody is told can be read here.
func TestXivelyRequestLog(t *testing.T) {
	g := startXively(t, "")
	live := subscribe(t, g.mqtt, "-u", "boss", "-P", "password", "-t", "gateways/gw-x/requests")
	stranger := subscribe(t, g.mqtt, "-u", "ann", "-P", "password", "-t", "gateways/gw-x/#", "-t", "devices/#")
	mustPublish(t, g.mqtt, "-i", "node-7", "-q", "1", "-u", readKey, "-t", "/v2/feeds/504.csv", "-m", "0,1")
	mustAsk(t, g, "PUT", "/v2/feeds/504.json?key="+deviceKey, "", "{", 400)
	mustAsk(t, g, "GET", "/v2/keys/"+readKey+".json", masterKey, "", 200)
	first, second := live.message(), live.message()
	for _, want := range []string{`"door":"mqtt"`, `"client":"node-7"`, `"key":"display"`, `"method":"PUT"`, `"path":"/v2/feeds/504.csv"`, `"status":403`, `"payload":"0,1"`} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in %s", want, first)
		}
	}
	if !strings.Contains(second, `"door":"http"`) || !strings.Contains(second, `"status":400`) {
		t.Errorf("the second is %s", second)
	}
	list, raw := requests(t, g)
	if len(list) != 3 {
		t.Errorf("%d requests: %s", len(list), raw)
	}
	for _, secret := range []string{readKey, deviceKey, masterKey} {
		if strings.Contains(raw+first+second, secret) || strings.Contains(g.errOut.text(), secret) {
			t.Errorf("%s stands in a log", secret)
		}
	}
	mustPublish(t, g.mqtt, "-u", "ann", "-P", "password", "-t", "devices/MyDevice/sensors/TC1/value", "-m", "1")
	for {
		got := stranger.message()
		if got == "devices/MyDevice/sensors/TC1/value 1" {
			break
		}
		if !strings.Contains(got, "gateways/gw-x/status") {
			t.Fatalf("ann sees %q", got)
		}
	}
	mustAsk(t, g, "GET", "/requests", masterKey, "", 401)
}

// TestXivelyTrigger: a value that enters the condition is posted once.
func TestXivelyTrigger(t *testing.T) {
	got := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
	}))
	defer hook.Close()
	g := startXively(t, "")
	body := fmt.Sprintf(`{"url":"%s/x","trigger_type":"gte","threshold_value":"9","environment_id":504,"stream_id":"0"}`, hook.URL)
	if status, answer, h := ask(t, g, "POST", "/v2/triggers", masterKey, body); status != 201 || !strings.HasSuffix(h.Get("Location"), "/v2/triggers/1") {
		t.Fatalf("%d %s %v", status, answer, h)
	}
	for _, v := range []string{"8", "9.07", "10", "3"} {
		mustPublish(t, g.mqtt, "-u", deviceKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "0,"+v)
	}
	select {
	case b := <-got:
		var n struct {
			Type       string  `json:"type"`
			Threshold  float64 `json:"threshold_value"`
			Datastream struct {
				ID    string
				Value struct {
					Current string `json:"current_value"`
				}
			} `json:"triggering_datastream"`
		}
		if err := json.Unmarshal([]byte(b), &n); err != nil || n.Type != "gte" || n.Threshold != 9 || n.Datastream.ID != "0" || n.Datastream.Value.Current != "9.07" {
			t.Errorf("%s: %+v %v", b, n, err)
		}
	case <-time.After(patience):
		t.Fatal("no notification")
	}
	if list := mustAsk(t, g, "GET", "/v2/triggers?feed_id=504", masterKey, "", 200); !strings.HasPrefix(list, `[{"id":1,`) {
		t.Errorf("list %s", list)
	}
}

// TestXivelyActivation: a device with nothing but its activation code.
func TestXivelyActivation(t *testing.T) {
	g := startXively(t, "")
	_, _, h := ask(t, g, "POST", "/v2/products", masterKey, `{"product":{"name":"Mast","feed_defaults":{"title":"A mast","datastreams":[{"id":"wind"}]}}}`)
	_, product, _ := strings.Cut(h.Get("Location"), "/v2")
	mustAsk(t, g, "POST", "/v2"+product+"/devices", masterKey, `{"devices":[{"serial":"A:1"}]}`, 201)
	var d struct {
		Device struct {
			Code string `json:"activation_code"`
		}
	}
	if err := json.Unmarshal([]byte(mustAsk(t, g, "GET", "/v2"+product+"/devices/A:1", masterKey, "", 200)), &d); err != nil || len(d.Device.Code) != 40 {
		t.Fatal(d, err)
	}
	s := subscribe(t, g.mqtt, "-t", "/v2/devices/"+d.Device.Code+"/activate.csv")
	answer := strings.TrimPrefix(s.message(), "/v2/devices/"+d.Device.Code+"/activate.csv ")
	f := strings.Split(answer, ",")
	if len(f) != 4 || f[2] != "1" || f[3] != "wind" {
		t.Fatalf("activation %q", answer)
	}
	mustPublish(t, g.mqtt, "-u", f[0], "-q", "1", "-t", "/v2/feeds/"+f[1]+".csv", "-m", "wind,4.2")
	if got := timeless(mustAsk(t, g, "GET", "/v2/feeds/"+f[1]+".csv", f[0], "", 200)); got != "wind,TIME,4.2" {
		t.Errorf("the feed is %q", got)
	}
	mustAsk(t, g, "GET", "/v2/devices/"+d.Device.Code+"/activate", "", "", 403)
}

func withUser(user string) func(*mqtt.ClientOptions) {
	return func(o *mqtt.ClientOptions) { o.SetUsername(user) }
}
