package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// asUser asks the gateway over HTTP.
func asUser(t testing.TB, g *gatewayProcess, user, method, path, body string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, "password")
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
	return res.StatusCode, string(raw)
}

// TestDeniedByDefault: a client sees and changes nothing but what is granted, by
// whichever door it comes. What is not ann's is denied to bob: in a publish, a
// will and a delayed will, by a topic alias, over WebSocket and HTTP; and he sees
// none of it by a subscription, wildcard, shared or not, nor as retained.
func TestDeniedByDefault(t *testing.T) {
	g, _ := startSecurity(t, "", "")
	const private, secret, marker = "devices/Private/sensors/S/value", "secret/a", "plain/marker"
	owner := mustConnect(t, g.mqtt, ann("owner"))
	owner.publish1(private, "1", true)
	owner.publish1(secret, "1", true)
	if codes := owner.subscribe4(0, private, secret, marker); !bytes.Equal(codes, []byte{0, 0, 0}) {
		t.Fatalf("SUBACK % x", codes)
	}
	for range 2 { // retained, in any order
		if m := owner.message(); !strings.HasSuffix(m, " 1") {
			t.Fatal(m)
		}
	}

	// Told where the references say so, silent where they say that.
	s := mustConnect(t, g.mqtt, bob("subscriber"))
	for filter, code := range map[string]byte{private: 1, "devices/#": 1, "#": 1, "+/+/#": 1, "$share/g/devices/#": 1, "$share/h/#": 1,
		secret: 0x80, "secret/#": 0x80, "$share/g/secret/#": 0x80, "own/ann/#": 0x80, "nothing/a": 0x80, "plain/#": 1} {
		if codes := s.subscribe4(1, filter); codes[0] != code {
			t.Errorf("%s: SUBACK % x, not %#x", filter, codes, code)
		}
	}
	s5 := mustConnect(t, g.mqtt, login{v: 5, id: "s5", user: "bob", pass: "password"})
	s5.say(packet(0x82, []byte{0, 1, 0}, mqttString("secret/#"), []byte{1}, mqttString("devices/#"), []byte{1}))
	if body := s5.must(9); !bytes.HasSuffix(body, []byte{0x87, 1}) {
		t.Errorf("SUBACK % x", body)
	}

	// Each way to write, and what its writer is told.
	wills := []login{{id: "w1"}, {id: "w2", v: 5}, {id: "w3", v: 5, keep: true, delay: 1}}
	for i, topic := range []string{private, secret} {
		for _, w := range wills {
			w.user, w.pass, w.will, w.last, w.willQoS = "bob", "password", topic, "666", 1
			w.id += fmt.Sprint(i)
			mustConnect(t, g.mqtt, w).conn.Close()
		}
		mustConnect(t, g.mqtt, bob("publisher")).publish1(topic, "666", true)
		p5 := mustConnect(t, g.mqtt, login{v: 5, id: "p5", user: "bob", pass: "password"})
		p5.say(packet(0x32, mqttString(topic), []byte{0, 1, 0}, []byte("666")))
		if body := p5.must(4); len(body) < 3 || body[2] != 0x87 {
			t.Errorf("%s: PUBACK % x", topic, body)
		}
		p5.say(packet(0x34, mqttString(topic), []byte{0, 2, 0}, []byte("666")))
		if body := p5.must(5); len(body) < 3 || body[2] != 0x87 {
			t.Errorf("%s: PUBREC % x", topic, body)
		}
		for i, name := range []string{topic, ""} { // an alias, and what it stands for
			p5.say(packet(0x32, mqttString(name), []byte{0, byte(3 + i)}, []byte{3, 0x23, 0, 1}, []byte("666")))
			if body := p5.must(4); len(body) < 3 || body[2] != 0x87 {
				t.Errorf("%s by alias: PUBACK % x", topic, body)
			}
		}
		ws := wsClient(t, g, bob("ws"))
		ws.publish1(topic, "666", false)
		if codes := ws.subscribe4(0, topic); codes[0] != map[string]byte{private: 0, secret: 0x80}[topic] {
			t.Errorf("SUBACK % x over WebSocket", codes)
		}
		ws.silent()
	}
	for _, user := range []string{"bob", ""} {
		for _, ask := range [][2]string{{"POST", "/devices/Private/sensors/S/value"}, {"POST", "/devices/Private/sensors/S/values"},
			{"POST", "/devices/Private/actuators/A/value"}, {"POST", "/devices/Private/name"}, {"POST", "/devices/Private/sensors"},
			{"DELETE", "/devices/Private/sensors/S"}, {"DELETE", "/devices/Private"}, {"PUT", "/admin/users/eve"}, {"POST", "/admin/keys"},
			{"GET", "/devices/Private"}, {"GET", "/devices/Private/sensors/S/value"}, {"GET", "/devices/Private/sensors/S/values"},
			{"GET", "/admin/users"}, {"GET", "/requests"}, {"GET", "/admin/log"}, {"GET", "/admin/log/export"}} {
			if status, text := asUser(t, g, user, ask[0], ask[1], "666"); status < 400 {
				t.Errorf("%s %s as %q: %d %s", ask[0], ask[1], user, status, text)
			}
		}
	}
	if _, text := asUser(t, g, "bob", "GET", "/devices", ""); strings.Contains(text, "Private") || !strings.Contains(text, "Open") {
		t.Errorf("bob sees %s", text)
	}
	// Six wills, two publishes and four at MQTT 5, two over WebSocket, and those over HTTP.
	eventually(t, "all of it was refused", func() bool { return metric(t, g, `fieldgate_refused_total{reason="denied"}`) >= 14 })

	// None of it arrived: the next that the owner sees is this.
	owner.publish1(private, "2", false)
	owner.publish1(secret, "2", false)
	owner.publish1(marker, "3", false)
	for _, want := range []string{private + " 2", secret + " 2", marker + " 3"} {
		if got := owner.message(); got != want {
			t.Errorf("the owner sees %q, not %q", got, want)
		}
	}
	for { // nor does bob see anything but the marker
		got := s.message()
		if got == marker+" 3" {
			break
		}
		if !strings.HasPrefix(got, "gateways/gw-1/status ") {
			t.Errorf("bob sees %q", got)
		}
	}
	s5.silent()
	_, exported, _ := command(t, "", "log", "export", "--config", g.file, "--format", "jsonl")
	if strings.Contains(exported, `"value":666`) {
		t.Errorf("recorded:\n%s", exported)
	}
	stillThere(t, g)
}

// TestRevokedGrant: a right that is taken away by a reload of the configuration
// or at run time holds for the very next message: to a subscription that is
// there, to messages that wait for a session that is away, to those that are in
// flight and would be sent again, to retained ones.
func TestRevokedGrant(t *testing.T) {
	const shared = "share: [{user: bob, can: [view, publish]}],"
	g, yaml := startSecurity(t, shared, "")
	const private, marker = "devices/Private/sensors/S/value", "plain/marker"
	bobs := func(id string) login { l := bob(id); l.keep = true; return l }
	live, away, flight := mustConnect(t, g.mqtt, bobs("live")), mustConnect(t, g.mqtt, bobs("away")), mustConnect(t, g.mqtt, bobs("flight"))
	publisher := mustConnect(t, g.mqtt, bob("publisher"))
	for _, c := range []*rawClient{live, away, flight} {
		if codes := c.subscribe4(1, "devices/#", marker); !bytes.Equal(codes, []byte{1, 1}) {
			t.Fatalf("SUBACK % x", codes)
		}
	}
	away.say([]byte{0xe0, 0})
	away.mustEnd()
	owner := mustConnect(t, g.mqtt, ann("owner"))
	owner.publish1(private, "1", true)
	if got := live.message(); got != private+" 1" {
		t.Fatal(got)
	}
	flight.must(3) // and no PUBACK
	flight.conn.Close()
	publisher.publish1(private, "2", false) // bob may still
	if got := live.message(); got != private+" 2" {
		t.Fatal(got)
	}

	reload(t, g, strings.Replace(yaml, shared, "", 1))
	owner.publish1(private, "3", true)
	publisher.publish1(private, "666", false)
	owner.publish1(marker, "4", false)
	if got := live.message(); got != marker+" 4" {
		t.Errorf("a subscription that is there: %q", got)
	}
	for _, id := range []string{"away", "flight"} {
		c := mustConnect(t, g.mqtt, bobs(id))
		if got := c.message(); got != marker+" 4" {
			t.Errorf("%s: %q", id, got)
		}
		c.subscribe4(1, "devices/Private/#") // retained
		c.silent()
	}
	if status, _ := asUser(t, g, "bob", "GET", "/devices/Private/sensors/S/value", ""); status < 400 {
		t.Errorf("over HTTP: %d", status)
	}

	// An account that is gone takes its connections and sessions with it.
	reload(t, g, strings.Replace(yaml, "    - {name: bob,", "    - {name: carl,", 1)) // and who it was shared with is nobody
	live.mustEnd()
	if _, code := connectRaw(t, g.mqtt, bobs("live")); code == 0 {
		t.Error("an account that is gone is let in")
	}
	_, exported, _ := command(t, "", "log", "export", "--config", g.file, "--format", "jsonl")
	if strings.Contains(exported, `"value":666`) {
		t.Errorf("recorded after the right was taken away:\n%s", exported)
	}
	stillThere(t, g)
}

// TestSessionBelongsToItsCredential: the same client id under another user, a key
// or none is another session. It gets neither the first's subscriptions nor its
// messages, and does not end its connection.
func TestSessionBelongsToItsCredential(t *testing.T) {
	const key = "key0key0key0key0key0key0key0key0"
	yaml := securityConfig(t, "", "")
	yaml = strings.Replace(yaml, "access:\n", "access:\n  anonymous: true\n  keys: [{label: k, key: "+key+", owner: ann, permissions: [{methods: [get]}]}]\n", 1)
	g := startGateway(t, t.TempDir(), yaml)
	all := []login{{user: "ann", pass: "password"}, {user: "bob", pass: "password"}, {user: key, noPassword: true}, {}}
	var open []*rawClient
	for i, l := range all {
		l.id, l.keep = "the same", true
		c := dialRaw(t, g.mqtt, "")
		c.say(l.packet())
		if ack := c.must(2); !bytes.Equal(ack, []byte{0, 0}) { // no session was there
			t.Fatalf("%d: CONNACK % x", i, ack)
		}
		open = append(open, c)
		if i == 0 {
			c.subscribe4(1, "secret/#", "plain/mine")
		}
	}
	for _, c := range open {
		c.silent() // and still connected
	}
	open[0].conn.Close()
	other := mustConnect(t, g.mqtt, ann("other"))
	other.publish1("secret/a", "waits", false)
	other.publish1("plain/mine", "waits", false)
	for i, l := range slices.Backward(all) {
		l.id, l.keep = "the same", true
		c := dialRaw(t, g.mqtt, "")
		c.say(l.packet())
		if ack := c.must(2); !bytes.Equal(ack, []byte{1, 0}) {
			t.Fatalf("%d: CONNACK % x", i, ack)
		}
		if i == 0 {
			for _, want := range []string{"secret/a waits", "plain/mine waits"} {
				if got := c.message(); got != want {
					t.Errorf("the first gets %q, not %q", got, want)
				}
			}
		}
		c.silent()
	}
	stillThere(t, g)
}

// TestStrangeNames: names of users and clients that mean something elsewhere
// widen no rule, and stand escaped where they are shown.
func TestStrangeNames(t *testing.T) {
	g, _ := startSecurity(t, "", "\nlog: {level: debug}\n")
	const html = "<b>.*"
	for _, c := range []struct {
		user, id string
		filters  map[string]byte
	}{
		{"#", "+", map[string]byte{"own/#": 0x80, "own/#/a": 0, "own/bob/a": 0x80, "own/+/a": 0x80, "client/+/a": 0x80, "client/x/a": 0x80}},
		{html, "a/b", map[string]byte{"own/<b>.*/a": 0, "own/<b>xx/a": 0x80, "own/bob/a": 0x80, "client/a/b/c": 0x80, "client/#": 0x80}},
		{"bob", ".*", map[string]byte{"own/bob/a": 0, "own/bo./a": 0x80, "client/.*/a": 0, "client/x/a": 0x80}},
		{"bob", "<script>alert(1)</script>", nil},
		{"bob", "line\nlevel=ERROR msg=forged", nil},
		{"bob", "\x1b[31mred", nil},
	} {
		s := mustConnect(t, g.mqtt, login{id: c.id, user: c.user, pass: "password"})
		for filter, want := range c.filters {
			if strings.Contains(filter, "own/#/a") {
				continue // no filter at all, see below
			}
			if codes := s.subscribe4(0, filter); codes[0] != want {
				t.Errorf("%q as %q, %s: SUBACK % x, not %#x", c.user, c.id, filter, codes, want)
			}
		}
		s.say(packet(0x82, []byte{0, 1}, mqttString("own/#/a"), []byte{0}))
		s.mustEnd()
	}
	for _, path := range []string{"/", "/devices", "/status", "/metrics", "/admin/users", "/requests"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.http+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(html, "password")
		if strings.HasPrefix(path, "/admin") || path == "/requests" {
			req.SetBasicAuth("boss", "password")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", path, res.StatusCode, err)
		}
		switch text := string(raw); {
		case strings.Contains(text, html) && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"),
			strings.Contains(text, "<script>"):
			t.Errorf("%s shows it as it is:\n%s", path, text)
		case path == "/" && !strings.Contains(text, "&lt;b&gt;.*"):
			t.Errorf("the page does not greet by name:\n%s", text)
		}
	}
	for _, line := range g.errOut.snapshot() {
		if strings.HasPrefix(line, "level=ERROR msg=forged") || strings.Contains(line, "\x1b") {
			t.Errorf("a client writes lines into the log: %q", line)
		}
	}
	stillThere(t, g)
}
