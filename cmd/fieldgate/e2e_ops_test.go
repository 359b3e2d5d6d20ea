package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// TestLogCommands: inspect, verify and export through the running gateway and
// on its file after it died give the same.
func TestLogCommands(t *testing.T) {
	g := startGateway(t, t.TempDir(), surviveConfig("mqtt://127.0.0.1:1", "ordered"))
	for i := range 20 {
		mustPublish(t, g.mqtt, "-q", "1", "-t", "devices/A/sensors/S1/value", "-m", fmt.Sprint(i))
	}
	look := func() (csvOut, jsonOut string) {
		t.Helper()
		code, out, errOut := command(t, "", "log", "verify", "--config", g.file)
		if code != 0 || out != "{\n  \"ok\": true,\n  \"records\": 20,\n  \"damaged\": 0\n}\n" {
			t.Errorf("verify: status %d: %s%s", code, out, errOut)
		}
		code, out, errOut = command(t, "", "log", "inspect", "--config", g.file)
		if code != 0 || !strings.Contains(out, "cloud") {
			t.Errorf("inspect: status %d: %s%s", code, out, errOut)
		}
		code, csvOut, errOut = command(t, "", "log", "export", "--config", g.file, "--format", "csv")
		if code != 0 {
			t.Fatalf("export: status %d: %s", code, errOut)
		}
		code, jsonOut, errOut = command(t, "", "log", "export", "--config", g.file, "--format", "jsonl")
		if code != 0 {
			t.Fatalf("export: status %d: %s", code, errOut)
		}
		return csvOut, jsonOut
	}
	csvAlive, jsonAlive := look()
	rows, err := csv.NewReader(strings.NewReader(csvAlive)).ReadAll()
	if err != nil || len(rows) != 21 {
		t.Fatalf("%d rows, %v:\n%s", len(rows), err, csvAlive)
	}
	lines := strings.Split(strings.TrimSpace(jsonAlive), "\n")
	if len(lines) != 20 {
		t.Fatalf("%d lines:\n%s", len(lines), jsonAlive)
	}
	for i, line := range lines {
		var r struct {
			ID, Device, Sensor string
			Value              int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Value != i || r.Device != "A" || !strings.HasPrefix(r.ID, "gw-1/") {
			t.Errorf("line %d: %s (%v)", i, line, err)
		}
	}
	g.kill()
	csvDead, jsonDead := look()
	if csvDead != csvAlive || jsonDead != jsonAlive {
		t.Errorf("after its death the log reads differently:\n%s\n%s", csvDead, jsonDead)
	}
}

// TestAccounts makes and removes a user of a running gateway.
func TestAccounts(t *testing.T) {
	g := startGateway(t, t.TempDir(), accessConfig(hashPassword(t, "password"), ""))
	topic := "devices/Open/sensors/TC1/value"
	if code, _, errOut := command(t, "a good password\n", "user", "add", "--config", g.file, "carl"); code != 0 {
		t.Fatalf("user add: %d %s", code, errOut)
	}
	mustPublish(t, g.mqtt, "-u", "carl", "-P", "a good password", "-t", topic, "-m", "1", "-q", "1")
	if code, out, _ := command(t, "", "user", "list", "--config", g.file); code != 0 || !strings.Contains(out, "carl") || strings.Contains(out, "argon2") {
		t.Errorf("user list: %d %s", code, out)
	}
	lost := make(chan struct{})
	dial(t, g.mqtt, "idle", func(o *mqtt.ClientOptions) {
		o.SetUsername("carl").SetPassword("a good password").SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) })
	})
	if code, _, errOut := command(t, "", "user", "delete", "--config", g.file, "carl"); code != 0 {
		t.Fatalf("user delete: %d %s", code, errOut)
	}
	select {
	case <-lost:
	case <-time.After(patience):
		t.Error("a deleted user stays connected")
	}
	if code, out := publish(t, g.mqtt, "-u", "carl", "-P", "a good password", "-t", topic, "-m", "1", "-q", "1"); code == 0 {
		t.Errorf("a deleted user is let in: %s", out)
	}
	if code, _, errOut := command(t, "", "user", "delete", "--config", g.file, "login"); code == 0 || !strings.Contains(errOut, "configuration file") {
		t.Errorf("a user of the file is deleted: %d %s", code, errOut)
	}
	if code, _, errOut := command(t, "", "device", "add", "--config", g.file, "Made", "--owner", "login", "--sensor", "S1"); code != 0 {
		t.Fatalf("device add: %d %s", code, errOut)
	}
	mustPublish(t, g.mqtt, "-u", "login", "-P", "password", "-t", "devices/Made/sensors/S1/value", "-m", "1", "-q", "1")
	if code, _, errOut := command(t, "", "device", "share", "--config", g.file, "Made", "other", "view", "publish"); code != 0 {
		t.Fatalf("device share: %d %s", code, errOut)
	}
	other := subscribe(t, g.mqtt, "-u", "other", "-P", "password", "-t", "devices/#", "-q", "1")
	mustPublish(t, g.mqtt, "-u", "other", "-P", "password", "-t", "devices/Made/sensors/S1/value", "-m", "2", "-q", "1")
	if got := other.message(); got != "devices/Made/sensors/S1/value 2" {
		t.Errorf("shared: got %q", got)
	}
	if code, _, errOut := command(t, "", "device", "unshare", "--config", g.file, "Made", "other"); code != 0 {
		t.Fatalf("device unshare: %d %s", code, errOut)
	}
	mustPublish(t, g.mqtt, "-u", "login", "-P", "password", "-t", "devices/Made/sensors/S1/value", "-m", "3", "-q", "1")
	mustPublish(t, g.mqtt, "-t", topic, "-m", "4", "-q", "1")
	if got := other.message(); got != topic+" 4" {
		t.Errorf("no longer shared: got %q", got)
	}
	_, exported := exportUntil(t, g, "Made", 2)
	if strings.Count(exported, `"sensor"`) < 4 {
		t.Errorf("log:\n%s", exported)
	}
}

// TestSuccessorSeesNoHistory: who makes a device of the id of a deleted one
// does not get to see what was measured before.
func TestSuccessorSeesNoHistory(t *testing.T) {
	g := startGateway(t, t.TempDir(), accessConfig(hashPassword(t, "password"), ""))
	add := func(owner string) {
		t.Helper()
		if code, _, errOut := command(t, "", "device", "add", "--config", g.file, "Made", "--owner", owner, "--public", "--sensor", "S1"); code != 0 {
			t.Fatalf("device add: %d %s", code, errOut)
		}
	}
	publish := func(user, value string) {
		t.Helper()
		mustPublish(t, g.mqtt, "-u", user, "-P", "password", "-t", "devices/Made/sensors/S1/value", "-m", value, "-q", "1")
	}
	add("login")
	publish("login", "111")
	if body := get(t, g, "/devices/Made/sensors/S1/values"); !strings.Contains(body, `"value":111`) {
		t.Fatalf("the history is %s", body)
	}
	if code, _, errOut := command(t, "", "device", "delete", "--config", g.file, "Made"); code != 0 {
		t.Fatalf("device delete: %d %s", code, errOut)
	}
	add("other")
	publish("other", "222")
	if body := get(t, g, "/devices/Made/sensors/S1/values"); strings.Contains(body, `"value":111`) || !strings.Contains(body, `"value":222`) {
		t.Errorf("the successor's history is %s", body)
	}
}

// TestSystemd: readiness, watchdog and stopping are told to systemd.
func TestSystemd(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify.sock")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file := filepath.Join(dir, "fieldgate.yaml")
	yaml := strings.ReplaceAll(surviveConfig("mqtt://127.0.0.1:1", "ordered"), "DATA", filepath.Join(dir, "data"))
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGatewayFile(t, file, "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=300000")
	await := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		for {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no %s: %v", want, err)
			}
			if strings.Contains(string(buf[:n]), want) {
				return
			}
		}
	}
	await("READY=1")
	await("WATCHDOG=1")
	await("WATCHDOG=1")
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	await("STOPPING=1")
	if code := g.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestFullDisk fills the disk below the gateway: local traffic goes on, QoS 1
// is not acknowledged, the status says so; with room again all is well.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatal("mounting a small disk needs root")
		}
		t.Skip("mounting a small disk needs root")
	}
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk).CombinedOutput(); err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatalf("mount: %v %s", err, out)
		}
		t.Skipf("mount: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	cloud := startMosquitto(t)
	l := newLedger(t)
	l.watch("127.0.0.1:" + cloud.port)
	g := startGateway(t, filepath.Join(disk, "data"), surviveConfig(cloud.url(), "ordered"))
	s := subscribe(t, g.mqtt, "-t", "devices/B/#", "-t", "gateways/gw-1/status")
	p := &publisher{l: l, device: "A", sensor: "S1"}
	stop := l.load(g.mqtt, []*publisher{p})
	l.await("acknowledgements", func() bool { return len(l.acked) > 100 })
	stop()
	ballast := filepath.Join(disk, "ballast")
	_ = exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=4096").Run() // until the disk is full
	topic := "devices/B/sensors/S1/value"
	big := `{"value":1,"pad":"` + strings.Repeat("x", 100) + `"}`
	c := dial(t, g.mqtt, "honest")
	defer c.Disconnect(0)
	before := l.ackedNow()
	c.Publish(topic, 1, false, big)
	// Free pages inside of the file may take a few more; publish until one hangs.
	state := func() status {
		var st status
		if err := json.Unmarshal([]byte(get(t, g, "/status")), &st); err != nil {
			t.Fatal(err)
		}
		return st
	}
	deadline := time.Now().Add(patience)
	n := 1
	for state().Store.State != "failing" {
		if time.Now().After(deadline) {
			t.Fatal("the disk is full and the gateway does not notice")
		}
		n++
		c.Publish(topic, 1, false, fmt.Sprintf(`{"value":%d}`, n))
	}
	if body := get(t, g, "/healthz"); !strings.Contains(body, "store") {
		t.Errorf("/healthz says %q", body)
	}
	n++
	waiting := c.Publish(topic, 1, false, fmt.Sprintf(`{"value":%d}`, n))
	s.out.await(t, "local delivery without the disk", 0, func(line string) bool {
		return strings.Contains(line, fmt.Sprintf(`{"value":%d}`, n))
	})
	if waiting.WaitTimeout(0) {
		t.Error("acknowledged although the disk is full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if !waiting.WaitTimeout(patience) || waiting.Error() != nil {
		t.Fatalf("not acknowledged after the disk has room again: %v", waiting.Error())
	}
	s.out.await(t, "a status that says failing", 0, func(line string) bool { return strings.Contains(line, `"state":"failing"`) })
	stop = l.load(g.mqtt, []*publisher{p})
	l.await("acknowledgements", func() bool { return len(l.acked) > before+100 })
	stop()
	l.settle()
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestDemo: the demo cuts its link, catches up with nothing missing, ends
// within its time, and goes on with what it had.
func TestDemo(t *testing.T) {
	data := filepath.Join(t.TempDir(), "demo")
	start := func() *process {
		return spawn(t, exec.Command(fieldgate(t), "demo", "--data", data, "--cut-every", "3s", "--cut-for", "2s"))
	}
	p := start()
	p.errOut.await(t, "ready", 0, func(l string) bool { return strings.HasPrefix(l, "ready ") })
	_, next := p.out.await(t, "cut", 0, func(l string) bool { return strings.Contains(l, "link CUT") })
	_, next = p.out.await(t, "offline", next, func(l string) bool { return strings.Contains(l, "cloud says offline") })
	line, _ := p.out.await(t, "catch-up", next, func(l string) bool { return strings.Contains(l, "caught up") })
	if !strings.Contains(line, " 0 missing") || !strings.HasSuffix(line, "cloud says online") {
		t.Errorf("%s", line)
	}
	end := func(p *process) {
		t.Helper()
		_ = p.cmd.Process.Signal(syscall.SIGINT)
		if code := p.wait(); code != 0 {
			t.Errorf("exit status %d after Ctrl-C", code)
		}
	}
	_, next = p.out.await(t, "the next cut", next, func(l string) bool { return strings.Contains(l, "link CUT") })
	_, _ = p.out.await(t, "readings on disk", next, func(l string) bool { return strings.Contains(l, "wait on disk") })
	end(p)
	p = start()
	_, _ = p.out.await(t, "what the last run left", 0, func(l string) bool { return strings.Contains(l, "of the last run wait on disk") })
	line, _ = p.out.await(t, "catch-up", 0, func(l string) bool { return strings.Contains(l, "caught up") })
	if !strings.Contains(line, " 0 missing") {
		t.Errorf("%s", line)
	}
	end(p)
}
