package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// hashPassword makes a hash as a user would.
func hashPassword(t testing.TB, password string) string {
	t.Helper()
	code, out, errOut := command(t, password+"\n", "user", "hash")
	if code != 0 || !strings.HasPrefix(out, "$argon2id$") {
		t.Fatalf("user hash: status %d, printed %q %q", code, out, errOut)
	}
	return strings.TrimSpace(out)
}

// TestExampleWordForWord runs the example configuration and the commands that
// Waziup's documentation gives, with the address of the gateway.
func TestExampleWordForWord(t *testing.T) {
	example, err := os.ReadFile("../../configs/fieldgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	yaml := string(example)
	for _, change := range [][2]string{ // only what two machines cannot share
		{"\ndata: /var/lib/fieldgate", "\ndata: DATA"},
		{`mqtt: "127.0.0.1:1883"`, `mqtt: "127.0.0.1:0"`},
		{`http: "127.0.0.1:8080"`, `http: "127.0.0.1:0"`},
	} {
		if !strings.Contains(yaml, change[0]) {
			t.Fatalf("configs/fieldgate.yaml does not contain %q", change[0])
		}
		yaml = strings.Replace(yaml, change[0], change[1], 1)
	}
	g := startGateway(t, t.TempDir(), yaml)
	url := "mqtt://" + g.mqtt + "/devices/MyDevice/sensors/TC1/value"
	var subs []*subscriber
	for _, topic := range []string{"devices/MyDevice/sensors/TC1/value", "devices/MyDevice/sensors/+/value", "devices/MyDevice/#", "#"} {
		subs = append(subs, subscribe(t, g.mqtt, "-t", topic))
	}
	plain := spawn(t, commandFor(t, "mosquitto_sub", "-L", url, "-C", "1"))
	// mosquitto_sub -L says nothing before its first message; publish until it has one.
	for done := false; !done; {
		mustPublishURL(t, url, `{"value": "3"}`)
		select {
		case <-plain.exited:
			done = true
		default:
		}
	}
	if got := plain.out.text(); got != `{"value": "3"}` {
		t.Errorf("mosquitto_sub -L printed %q", got)
	}
	for _, s := range subs {
		if got, want := s.message(), `devices/MyDevice/sensors/TC1/value {"value": "3"}`; strings.TrimPrefix(got, "retained ") != want {
			if strings.Contains(got, "gateways/") { // '#' sees the status too
				continue
			}
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d after SIGTERM", code)
	}
}

const accessYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access:
  anonymous: true
  users:
    - {name: login, password_hash: "HASH"}
    - {name: other, password_hash: "HASH"}
    - {name: boss, password_hash: "HASH", admin: true}
  acl:
    - {topic: "factory/%u/#", user: "*", allow: readwrite}
    - {topic: "news/#", user: "*", allow: read}
devices:
  - id: Open
    visibility: public
    public_write: true
    sensors: [{id: TC1}]
    actuators: [{id: relay}]
  - id: Private
    owner: login
    SHARE
    sensors: [{id: TC1}]
`

func accessConfig(hash, share string) string {
	return strings.NewReplacer("HASH", hash, "SHARE", share).Replace(accessYAML)
}

// TestPrivateDevice: what a stranger publishes is acknowledged and goes
// nowhere; what a stranger subscribes to is granted and stays silent.
func TestPrivateDevice(t *testing.T) {
	hash := hashPassword(t, "password")
	g := startGateway(t, t.TempDir(), accessConfig(hash, ""))
	topic := "devices/Private/sensors/TC1/value"
	owner := subscribe(t, g.mqtt, "-u", "login", "-P", "password", "-t", "devices/Private/#", "-q", "1")
	stranger := subscribe(t, g.mqtt, "-t", "#", "-t", topic, "-q", "1")
	other := subscribe(t, g.mqtt, "-u", "other", "-P", "password", "-t", "devices/#", "-q", "1")

	mustPublish(t, g.mqtt, "-t", topic, "-m", `{"value": 1}`, "-q", "1")
	mustPublish(t, g.mqtt, "-u", "other", "-P", "password", "-t", topic, "-m", `{"value": 2}`, "-q", "2")
	mustPublish(t, g.mqtt, "-u", "login", "-P", "password", "-t", topic, "-m", `{"value": 3}`, "-q", "1")
	mustPublish(t, g.mqtt, "-t", "devices/Open/sensors/TC1/value", "-m", "4", "-q", "1")
	if got := owner.message(); got != topic+` {"value": 3}` {
		t.Errorf("the owner sees %q", got)
	}
	last := "devices/Open/sensors/TC1/value 4"
	for name, s := range map[string]*subscriber{"stranger": stranger, "other user": other} {
		for {
			got := s.message()
			if got == last {
				break
			}
			if strings.Contains(got, "Private") {
				t.Errorf("the %s sees %q", name, got)
			}
		}
	}
	if code, out := publish(t, g.mqtt, "-u", "login", "-P", "wrong", "-t", topic, "-m", "5"); code == 0 {
		t.Errorf("a wrong password is let in: %s", out)
	}
	if code, out := publish(t, g.mqtt, "-V", "5", "-q", "1", "-t", topic, "-m", `{"value": 6}`, "-d"); !strings.Contains(out, "RC:135") {
		t.Errorf("MQTT 5 is not told of the denial: status %d\n%s", code, out)
	}
	// Nothing of it was recorded either.
	_, exported, _ := command(t, "", "log", "export", "--config", g.configFile(), "--format", "jsonl")
	if n := strings.Count(exported, `"Private"`); n != 1 {
		t.Errorf("%d records of the private device, want 1:\n%s", n, exported)
	}
}

// TestRevokedRight: taking a right away holds from the next message on.
func TestRevokedRight(t *testing.T) {
	hash := hashPassword(t, "password")
	dir := t.TempDir()
	file := filepath.Join(dir, "fieldgate.yaml")
	write := func(share string) {
		yaml := strings.ReplaceAll(accessConfig(hash, share), "DATA", filepath.Join(dir, "data"))
		if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("share: [{user: other, can: [view]}]")
	g := startGatewayFile(t, file)
	other := subscribe(t, g.mqtt, "-u", "other", "-P", "password", "-t", "devices/#", "-q", "1")
	pub := func(topic, m string) {
		mustPublish(t, g.mqtt, "-u", "login", "-P", "password", "-t", topic, "-m", m, "-q", "1")
	}
	pub("devices/Private/sensors/TC1/value", "1")
	if got := other.message(); got != "devices/Private/sensors/TC1/value 1" {
		t.Fatalf("shared, but got %q", got)
	}
	write("")
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.errOut.await(t, "reload", 0, func(l string) bool { return strings.Contains(l, "configuration reloaded") })
	pub("devices/Private/sensors/TC1/value", "2")
	pub("devices/Open/sensors/TC1/value", "3")
	if got := other.message(); got != "devices/Open/sensors/TC1/value 3" {
		t.Errorf("after the right was taken away: %q", got)
	}
}

// TestPlainTopics: outside the dialects an ACL decides, and nothing without one.
func TestPlainTopics(t *testing.T) {
	g := startGateway(t, t.TempDir(), accessConfig(hashPassword(t, "password"), ""))
	s := subscribe(t, g.mqtt, "-u", "login", "-P", "password", "-t", "factory/login/#", "-q", "2")
	mustPublish(t, g.mqtt, "-u", "other", "-P", "password", "-t", "factory/login/a", "-m", "no", "-q", "1")
	mustPublish(t, g.mqtt, "-u", "login", "-P", "password", "-t", "factory/login/a", "-m", "yes", "-q", "2")
	if got := s.message(); got != "factory/login/a yes" {
		t.Errorf("got %q", got)
	}
	denied := spawn(t, commandFor(t, "mosquitto_sub", "-h", "127.0.0.1", "-p", portOf(g.mqtt), "-d", "-t", "factory/login/#"))
	if line, _ := denied.out.await(t, "SUBACK", 0, func(l string) bool { return strings.HasPrefix(l, "Subscribed (mid") }); !strings.HasSuffix(line, ": 128") {
		t.Errorf("an anonymous subscription is answered %q", line)
	}
}

// TestBadInput: refused, counted, told to MQTT 5, and the connection is kept.
func TestBadInput(t *testing.T) {
	g := startGateway(t, t.TempDir(), accessConfig(hashPassword(t, "password"), ""))
	s := subscribe(t, g.mqtt, "-t", "devices/#")
	topic := "devices/Open/sensors/TC1/value"
	deep := strings.Repeat("[", 1000) + strings.Repeat("]", 1000)
	c := dial(t, g.mqtt, "bad-input")
	defer c.Disconnect(0)
	bad := []struct{ topic, payload, reason string }{
		{topic, "abc", "bad_payload"},
		{topic, "NaN", "bad_payload"},
		{topic, "", "bad_payload"},
		{topic, `{"value":1e999}`, "bad_number"},
		{topic, deep, "too_deep"},
		{topic, `"` + strings.Repeat("x", 1<<20) + `"`, "too_large"},
		{topic, `{"value":3,"time":"yesterday"}`, "bad_time"},
		{"devices/Nowhere/sensors/TC1/value", "1", "unknown_device"},
		{"devices/Open/sensors/nothing/value", "1", "unknown_sensor"},
		{"devices/Open/sensors/TC1/nothing", "1", "bad_topic"},
	}
	for _, b := range bad {
		if tok := c.Publish(b.topic, 1, false, b.payload); !tok.WaitTimeout(patience) || tok.Error() != nil {
			t.Fatalf("%s %.20q: not acknowledged: %v", b.topic, b.payload, tok.Error())
		}
	}
	if !c.IsConnectionOpen() {
		t.Fatal("the connection was closed")
	}
	if tok := c.Publish(topic, 1, false, "7"); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	if got := s.message(); got != topic+" 7" {
		t.Errorf("forwarded: %q", got)
	}
	metrics := get(t, g, "/metrics")
	for _, b := range bad {
		if want := `fieldgate_refused_total{reason="` + b.reason + `"} `; !strings.Contains(metrics, want) || strings.Contains(metrics, want+"0\n") {
			t.Errorf("%.20q is not counted as %s", b.payload, b.reason)
		}
	}
	if n := strings.Count(g.errOut.text(), "reason=bad_payload"); n != 1 {
		t.Errorf("%d log lines for one cause within a minute", n)
	}
}

// TestStatusIsRetainedLocally and healthz agrees with it.
func TestStatusIsRetainedLocally(t *testing.T) {
	g := startGateway(t, t.TempDir(), accessConfig(hashPassword(t, "password"), ""))
	s := subscribe(t, g.mqtt, "-t", "gateways/gw-1/status")
	_, payload, _ := strings.Cut(strings.TrimPrefix(s.message(), "retained "), " ")
	var st status
	if err := json.Unmarshal([]byte(payload), &st); err != nil {
		t.Fatalf("%v in %s", err, payload)
	}
	if st.State != "online" || st.Session == 0 || st.Store.State != "ok" || st.Clock == "" {
		t.Errorf("status %s", payload)
	}
	if body := get(t, g, "/healthz"); body != "ok\n" {
		t.Errorf("/healthz says %q", body)
	}
}

// get fetches a page of the gateway.
func get(t testing.TB, g *gatewayProcess, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.http+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
