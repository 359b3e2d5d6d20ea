package main

import (
	"strings"
	"testing"
)

// TestXivelyMetadataSurvives: what was answered about a feed and its keys is on
// disk, also for what the configuration declares.
func TestXivelyMetadataSurvives(t *testing.T) {
	g := startXively(t, "")
	mustAsk(t, g, "PUT", "/v2/feeds/504.json", masterKey, `{"datastreams":[{"id":"dur","current_value":"5","max_value":"500","min_value":"-500"}],"location":{"disposition":"mobile","lat":1,"lon":2}}`, 200)
	mustAsk(t, g, "PUT", "/v2/feeds/504.json", masterKey, `{"title":"Moved","private":true,"location":{"disposition":"mobile","lat":3,"lon":4}}`, 200)
	mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "TC1,1")
	mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "TC1,149")
	_, _, h := ask(t, g, "POST", "/v2/keys/"+readKey+"/regenerate", masterKey, "{}")
	_, renewed, _ := strings.Cut(h.Get("Location"), "/v2/keys/")
	mustAsk(t, g, "PUT", "/v2/feeds/504.json", masterKey, `{"datastreams":[{"id":"again","current_value":"77","max_value":"99"}]}`, 200)
	mustAsk(t, g, "DELETE", "/v2/feeds/504/datastreams/again", masterKey, "", 200)
	mustAsk(t, g, "PUT", "/v2/feeds/504.csv", masterKey, "again,5", 200)
	g.kill()
	g = startGatewayFile(t, g.file)
	got := timeless(mustAsk(t, g, "GET", "/v2/feeds/504.json", masterKey, "", 200))
	for _, want := range []string{
		`"title":"Moved"`, `"private":"true"`, `"current_value":"5","at":"TIME","max_value":"500.0","min_value":"-500.0"`,
		`{"id":"again","current_value":"5","at":"TIME","max_value":"5.0","min_value":"5.0"}`,
		`"waypoints":[{"at":"TIME","lat":1,"lon":2},{"at":"TIME","lat":3,"lon":4}]`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("after kill -9 no %s in %s", want, got)
		}
	}
	mustAsk(t, g, "GET", "/v2/feeds/504", readKey, "", 401)
	mustAsk(t, g, "GET", "/v2/feeds/504", renewed, "", 403) // no private access, and it is private now
	mustAsk(t, g, "PUT", "/v2/feeds/504.json", masterKey, `{"private":"false"}`, 200)
	mustAsk(t, g, "GET", "/v2/feeds/504", renewed, "", 200)
}

// TestXivelyHugePublish: 10 MB of XML over MQTT are refused without taking the
// connection or the memory.
func TestXivelyHugePublish(t *testing.T) {
	g := startXively(t, "")
	c := dial(t, g.mqtt, "huge", withUser(masterKey))
	defer c.Disconnect(0)
	huge := `<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">]><eeml><environment><title>` + strings.Repeat("&a;", 10<<20/3) + `</title></environment></eeml>`
	for _, qos := range []byte{0, 1, 2} {
		if tok := c.Publish("/v2/feeds/504.xml", qos, false, huge); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("QoS %d: %v", qos, tok.Error())
		}
	}
	if tok := c.Publish("/v2/feeds/504.csv", 1, false, "0,1"); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	list, raw := requests(t, g)
	if len(list) != 4 || list[0]["status"] != 200.0 || list[1]["status"] != 413.0 || list[2]["status"] != 413.0 || list[3]["status"] != 413.0 {
		t.Errorf("the request log: %.1000s", raw)
	}
	if !c.IsConnectionOpen() {
		t.Error("the connection did not stay")
	}
}

// TestXivelyMisspelt: a misspelt request is granted in silence, and noted.
func TestXivelyMisspelt(t *testing.T) {
	g := startXively(t, "")
	mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feed/504.csv", "-m", "0,1")
	s := subscribe(t, g.mqtt, "-u", masterKey, "-t", "/v2/feed/504.csv") // waits for its SUBACK
	s.kill()
	list, raw := requests(t, g)
	if len(list) != 2 || list[0]["status"] != 404.0 || list[1]["status"] != 404.0 {
		t.Errorf("the request log: %s", raw)
	}
}

// TestXivelyLateRight: a subscription that was granted in silence comes alive
// with the right to it, and with the datastream.
func TestXivelyLateRight(t *testing.T) {
	g := startXively(t, "")
	private := subscribe(t, g.mqtt, "-u", readKey, "-t", "/v1/feeds/505/datastreams/t.csv")
	later := subscribe(t, g.mqtt, "-u", readKey, "-t", "/v1/feeds/504/datastreams/later.csv")
	mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/505.csv", "-m", "t,1")
	mustAsk(t, g, "PUT", "/v2/feeds/505.json", masterKey, `{"private":false}`, 200)
	if got := private.message(); got != "/v1/feeds/505/datastreams/t.csv 1" { // the present state, at once
		t.Errorf("got %q", got)
	}
	mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/505.csv", "-m", "t,2")
	if got := private.message(); got != "/v1/feeds/505/datastreams/t.csv 2" {
		t.Errorf("got %q", got)
	}
	mustPublish(t, g.mqtt, "-u", masterKey, "-q", "1", "-t", "/v2/feeds/504.csv", "-m", "later,3")
	if got := later.message(); got != "/v1/feeds/504/datastreams/later.csv 3" {
		t.Errorf("got %q", got)
	}
}
