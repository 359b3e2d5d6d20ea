package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// statusAt reads the next status of gw-1 that s sees.
func nextStatus(t testing.TB, s *subscriber) (state string, session uint64) {
	t.Helper()
	for {
		topic, payload, _ := strings.Cut(strings.TrimPrefix(s.message(), "retained "), " ")
		if topic != "gateways/gw-1/status" {
			continue
		}
		var st struct {
			State   string `json:"state"`
			Session uint64 `json:"session"`
		}
		if err := json.Unmarshal([]byte(payload), &st); err != nil {
			t.Fatalf("%v in %s", err, payload)
		}
		return st.State, st.Session
	}
}

// awaitStatus waits for a state at the cloud and gives its session.
func awaitStatus(t testing.TB, s *subscriber, want string) uint64 {
	t.Helper()
	for {
		if state, session := nextStatus(t, s); state == want {
			return session
		}
	}
}

// TestStatusCannotLie: online after the birth, offline by the Will after kill
// -9 and by itself after a clean stop, each with its connection's number.
func TestStatusCannotLie(t *testing.T) {
	cloud := startMosquitto(t)
	s := subscribe(t, "127.0.0.1:"+cloud.port, "-q", "1", "-t", "gateways/gw-1/status")
	data := t.TempDir()
	config := surviveConfig(cloud.url(), "ordered")

	g := startGateway(t, data, config)
	first := awaitStatus(t, s, "online")
	g.kill()
	if gone := awaitStatus(t, s, "offline"); gone != first {
		t.Errorf("online in session %d, but the Will is of session %d", first, gone)
	}
	g = startGateway(t, data, config)
	second := awaitStatus(t, s, "online")
	if second <= first {
		t.Errorf("session %d follows %d", second, first)
	}
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	if gone := awaitStatus(t, s, "offline"); gone != second {
		t.Errorf("online in session %d, offline in %d", second, gone)
	}
	late := subscribe(t, "127.0.0.1:"+cloud.port, "-t", "gateways/gw-1/status")
	if m := late.message(); !strings.HasPrefix(m, `retained gateways/gw-1/status {"state":"offline"`) {
		t.Errorf("retained after a clean stop: %q", m)
	}
}

// TestPayloadAtTheCloud checks what the contract says about it.
func TestPayloadAtTheCloud(t *testing.T) {
	cloud := startMosquitto(t)
	s := subscribe(t, "127.0.0.1:"+cloud.port, "-q", "1", "-t", "devices/#")
	g := startGateway(t, t.TempDir(), surviveConfig(cloud.url(), "ordered"))
	topic := "devices/A/sensors/S1/value"
	for _, c := range []struct{ in, value, timestamp string }{
		{`{"value": "25.60", "timestamp": "2016-06-08T20:20:27.5+02:00"}`, `"25.60"`, "2016-06-08T18:20:27.500000Z"},
		{`25.60`, `25.60`, ""},
		{`{"value":[1,{"a":null}],"time":1465410027}`, `[1,{"a":null}]`, "2016-06-08T18:20:27.000000Z"},
		{`true`, `true`, ""},
	} {
		before := time.Now().Add(-time.Second)
		mustPublish(t, g.mqtt, "-q", "1", "-t", topic, "-m", c.in)
		got, payload, _ := strings.Cut(s.message(), " ")
		var m struct {
			Value     json.RawMessage `json:"value"`
			Timestamp string          `json:"timestamp"`
			ID        string          `json:"id"`
		}
		if err := json.Unmarshal([]byte(payload), &m); err != nil || got != topic {
			t.Fatalf("%s %s: %v", got, payload, err)
		}
		if string(m.Value) != c.value || !strings.HasPrefix(m.ID, "gw-1/") {
			t.Errorf("%s became %s", c.in, payload)
		}
		at, err := time.Parse("2006-01-02T15:04:05.000000Z", m.Timestamp)
		if err != nil || c.timestamp != "" && m.Timestamp != c.timestamp || c.timestamp == "" && (at.Before(before) || at.After(time.Now())) {
			t.Errorf("%s: timestamp %s (%v)", c.in, m.Timestamp, err)
		}
	}
}

// TestCommands: from the cloud while the gateway is there and while it is away,
// from the LAN, and none comes back as an echo.
func TestCommands(t *testing.T) {
	cloud := startMosquitto(t)
	addr := "127.0.0.1:" + cloud.port
	yaml := strings.Replace(surviveConfig(cloud.url(), "ordered"), "sensors: [{id: S1}, {id: S2}]", "actuators: [{id: relay}]", 1)
	topic := "devices/A/actuators/relay/value"
	data := t.TempDir()
	g := startGateway(t, data, yaml)
	lan := subscribe(t, g.mqtt, "-q", "1", "-t", "devices/A/actuators/#")
	up := subscribe(t, addr, "-q", "1", "-t", "devices/A/actuators/#")
	awaitSubscribed(t, cloud, "gw-1-down")

	mustPublish(t, addr, "-q", "1", "-t", topic, "-m", "true")
	if got := lan.message(); got != topic+" true" {
		t.Errorf("the LAN sees %q", got)
	}
	if got := up.message(); got != topic+" true" {
		t.Errorf("the cloud sees %q", got)
	}
	mustPublish(t, g.mqtt, "-q", "1", "-t", topic, "-m", "false") // from the LAN: news for the cloud
	if got := lan.message(); got != topic+" false" {
		t.Errorf("the LAN sees %q", got)
	}
	if got := up.message(); !strings.HasPrefix(got, topic+` {"value":false,`) {
		t.Errorf("the cloud sees %q", got)
	}
	g.kill()
	mustPublish(t, addr, "-q", "1", "-t", topic, "-m", "1")
	if got := up.message(); got != topic+" 1" {
		t.Errorf("the cloud sees %q", got)
	}
	g = startAgain(t, g)
	lan = subscribe(t, g.mqtt, "-q", "1", "-i", "relay-node", "-c", "-t", "devices/A/actuators/#")
	_, exported := exportUntil(t, g, `"command"`, 2)
	if !strings.Contains(exported, `"value":1`) {
		t.Errorf("the command sent while the gateway was away is not in the log:\n%s", exported)
	}
	mustPublish(t, addr, "-q", "1", "-t", topic, "-m", `"end"`)
	for {
		got := lan.message()
		if got == topic+` "end"` {
			break
		}
		if got != topic+" 1" {
			t.Errorf("the LAN sees %q: an echo?", got)
		}
	}
}

// awaitSubscribed waits until Mosquitto has taken a subscription of client.
func awaitSubscribed(t testing.TB, m *mosquitto, client string) {
	t.Helper()
	m.p.errOut.await(t, "subscription of "+client, 0, func(l string) bool { return strings.Contains(l, ": "+client+" ") && strings.Contains(l, "/") })
}

// exportUntil exports the log until word stands in it n times.
func exportUntil(t testing.TB, g *gatewayProcess, word string, n int) (int, string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		code, out, errOut := command(t, "", "log", "export", "--config", g.file, "--format", "jsonl")
		if strings.Count(out, word) >= n {
			return code, out
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not %d times in the log:\n%s\n%s", word, n, out, errOut)
		}
	}
}

// TestCatchUpModes: whatever the way, everything arrives.
func TestCatchUpModes(t *testing.T) {
	for _, mode := range []string{"fresh_first", "batches"} {
		t.Run(mode, func(t *testing.T) {
			cloud := startMosquitto(t)
			addr := "127.0.0.1:" + cloud.port
			watch := subscribe(t, addr, "-q", "1", "-c", "-i", "watch", "-t", "devices/#")
			cloud.stop()
			g := startGateway(t, t.TempDir(), surviveConfig(cloud.url(), mode))
			l := newLedger(t)
			stop := l.load(g.mqtt, publishers(l)[:1])
			l.await("acknowledgements", func() bool { return len(l.acked) >= 150 })
			stop()
			cloud.start()
			ids, fresh := map[string]bool{}, false
			mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/B/sensors/S1/value", "-m", "99")
			arrays := 0
			for len(ids) < l.ackedNow()+1 {
				topic, payload, _ := strings.Cut(watch.message(), " ")
				type reading struct{ ID string }
				var many []reading
				if strings.HasSuffix(topic, "/values") {
					arrays++
					if err := json.Unmarshal([]byte(payload), &many); err != nil {
						t.Fatal(err)
					}
				} else {
					var one reading
					if err := json.Unmarshal([]byte(payload), &one); err != nil {
						t.Fatal(err)
					}
					many = append(many, one)
				}
				for _, r := range many {
					ids[r.ID] = true
				}
				fresh = fresh || strings.HasPrefix(topic, "devices/B/")
			}
			if !fresh {
				t.Error("the fresh reading did not arrive")
			}
			if mode == "batches" && arrays == 0 {
				t.Error("the backlog did not come as arrays")
			}
			t.Logf("%d records in the cloud, %d of the messages were arrays", len(ids), arrays)
		})
	}
}

// TestForward maps plain topics both ways as a bridge does, without loops.
func TestForward(t *testing.T) {
	cloud := startMosquitto(t)
	addr := "127.0.0.1:" + cloud.port
	yaml := strings.Replace(surviveConfig(cloud.url(), "ordered"), `catch_up: ordered`,
		`dialect: none, forward: [{topic: "#", direction: both, qos: 1, local_prefix: "plant/", remote_prefix: "site7/"}]`, 1)
	yaml = strings.Replace(yaml, "access: {anonymous: true}", `access: {anonymous: true, acl: [{topic: "plant/#", user: "*", allow: readwrite}]}`, 1)
	g := startGateway(t, t.TempDir(), yaml)
	lan := subscribe(t, g.mqtt, "-q", "1", "-t", "plant/#")
	up := subscribe(t, addr, "-q", "1", "-t", "#")
	awaitSubscribed(t, cloud, "gw-1-down")
	mustPublish(t, g.mqtt, "-q", "1", "-t", "plant/a", "-m", "out 1")
	mustPublish(t, addr, "-q", "1", "-t", "site7/b", "-m", "in 1")
	mustPublish(t, g.mqtt, "-q", "1", "-t", "plant/a", "-m", "out 2")
	mustPublish(t, addr, "-q", "1", "-t", "site7/b", "-m", "in 2")
	// Both directions end; whatever order, each message is there once.
	count := func(all []string) map[string]int {
		n := map[string]int{}
		for _, m := range all {
			n[m]++
		}
		return n
	}
	var lanGot, upGot []string
	for len(count(lanGot)) < 4 {
		lanGot = append(lanGot, lan.message())
	}
	for len(count(upGot)) < 4 {
		if m := up.message(); !strings.HasPrefix(strings.TrimPrefix(m, "retained "), "gateways/") {
			upGot = append(upGot, m)
		}
	}
	for m, n := range count(lanGot) {
		if n != 1 || !strings.HasPrefix(m, "plant/") {
			t.Errorf("the LAN saw %q %d times", m, n)
		}
	}
	for m, n := range count(upGot) {
		if n != 1 || !strings.HasPrefix(m, "site7/") {
			t.Errorf("the cloud saw %q %d times", m, n)
		}
	}
}

// TestTLSAndWebSocket: client certificates on mqtts, MQTT over WebSocket on the
// HTTP port.
func TestTLSAndWebSocket(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	cert, key := ca.issue(t, "gateway")
	yaml := strings.Replace(accessConfig(hashPassword(t, "password"), ""), `listen: {`,
		`tls: {cert: "`+cert+`", key: "`+key+`", client_ca: "`+ca.file+`"}`+"\nlisten: {mqtts: \"127.0.0.1:0\", ", 1)
	g := startGateway(t, filepath.Join(dir, "data"), yaml)
	s := subscribe(t, g.mqtt, "-t", "devices/#")
	clientCert, clientKey := ca.issue(t, "client")
	topic := "devices/Open/sensors/TC1/value"
	host, port, _ := net.SplitHostPort(g.mqtts)
	if out, err := commandFor(t, "mosquitto_pub", "-h", host, "-p", port, "--cafile", ca.file, "--cert", clientCert,
		"--key", clientKey, "-t", topic, "-m", "1", "-q", "1").CombinedOutput(); err != nil {
		t.Fatalf("with a certificate: %v\n%s", err, out)
	}
	if out, err := commandFor(t, "mosquitto_pub", "-h", host, "-p", port, "--cafile", ca.file,
		"-t", topic, "-m", "2", "-q", "1").CombinedOutput(); err == nil {
		t.Errorf("without a certificate: let in: %s", out)
	}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ws://" + g.http + "/mqtt").SetProtocolVersion(4).
		SetHTTPHeaders(http.Header{}).SetAutoReconnect(false))
	if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatal("WebSocket:", tok.Error())
	}
	defer c.Disconnect(0)
	if tok := c.Publish(topic, 1, false, "3"); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	for _, want := range []string{topic + " 1", topic + " 3"} {
		if got := s.message(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
