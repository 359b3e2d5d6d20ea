package broker

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/freeport"
)

// mosquitto runs one of Mosquitto's clients, or skips.
func mosquitto(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatalf("%s is not installed (package mosquitto-clients)", name)
		}
		t.Skipf("%s is not installed (package mosquitto-clients)", name)
	}
	return exec.Command(path, args...)
}

// subscriber runs mosquitto_sub until it has printed n messages.
func (r *rig) subscriber(t *testing.T, args ...string) (lines chan string) {
	t.Helper()
	before := r.Stats().Subscriptions
	cmd := mosquitto(t, "mosquitto_sub", append([]string{"-W", "20"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines = make(chan string, 100)
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
		}
		close(lines)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r.eventually("mosquitto_sub subscribes", func() bool { return r.Stats().Subscriptions > before })
	return lines
}

func expect(t *testing.T, lines chan string, want string) {
	t.Helper()
	select {
	case got := <-lines:
		if got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no %q", want)
	}
}

func TestMosquittoClients(t *testing.T) {
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		t.Run(version, func(t *testing.T) {
			r := start(t)
			host, port, _ := net.SplitHostPort(r.addr)
			url := "mqtt://" + r.addr + "/devices/D/sensors/S/value"
			at := func(more ...string) []string { return append([]string{"-h", host, "-p", port, "-V", version}, more...) }
			run := func(name string, args ...string) {
				t.Helper()
				if out, err := mosquitto(t, name, args...).CombinedOutput(); err != nil {
					t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
				}
			}
			exact := r.subscriber(t, "-V", version, "-L", url)
			wild := r.subscriber(t, at("-t", "devices/D/sensors/+/value", "-q", "2")...)
			all := r.subscriber(t, at("-t", "devices/D/#", "-q", "1")...)
			private := r.subscriber(t, at("-t", "devices/Secret/#", "-t", "devices/D/#", "-u", "ann", "-P", "pw-ann", "-i", "ann")...)
			silent := r.subscriber(t, at("-t", "devices/Secret/#", "-t", "plain/end", "-u", "bob", "-P", "pw-bob", "-i", "bob")...)
			run("mosquitto_pub", "-V", version, "-L", url, "-m", `{"value": "3"}`)
			for _, l := range []chan string{exact, wild, all, private} {
				expect(t, l, `{"value": "3"}`)
			}
			for _, qos := range []string{"0", "1", "2"} {
				run("mosquitto_pub", at("-t", "devices/D/sensors/S/value", "-m", qos, "-q", qos)...)
				expect(t, wild, qos)
			}
			run("mosquitto_pub", at("-t", "devices/Secret/sensors/S/value", "-m", "5", "-q", "1", "-u", "ann", "-P", "pw-ann")...)
			for _, want := range []string{"0", "1", "2", "5"} {
				expect(t, private, want)
			}
			run("mosquitto_pub", at("-t", "plain/end", "-m", "end", "-q", "1")...)
			expect(t, silent, "end") // and nothing before it
			// Denied, and accepted all the same as far as 3.1.1 is concerned.
			r.hub.set(func() { r.hub.deny = func(*gateway.Batch) error { return gateway.ErrDenied } })
			out, _ := mosquitto(t, "mosquitto_pub", at("-t", "devices/D/sensors/S/value", "-m", "9", "-q", "1")...).CombinedOutput()
			if version != "mqttv5" && len(out) > 0 {
				t.Fatalf("said: %s", out)
			}
			if version == "mqttv5" && !strings.Contains(string(out), "Not authorized") && !strings.Contains(string(out), "135") {
				t.Fatalf("said: %q", out)
			}
			if out, err := mosquitto(t, "mosquitto_pub", at("-t", "plain/a", "-m", "x", "-u", "ann", "-P", "wrong")...).CombinedOutput(); err == nil {
				t.Fatalf("let in: %s", out)
			}
		})
	}
}

// A Mosquitto bridge greets with a protocol level of its own. What it publishes
// does not come back to it, and it learns what is retained.
func TestMosquittoBridge(t *testing.T) {
	r := start(t)
	there, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(there)
	conf := filepath.Join(t.TempDir(), "bridge.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nconnection b\naddress %s\nrestart_timeout 1\ntopic plain/# both 1\n", port, r.addr)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	path := "/usr/sbin/mosquitto"
	if p, err := exec.LookPath("mosquitto"); err == nil {
		path = p
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatal("mosquitto is not installed")
		}
		t.Skip("mosquitto is not installed")
	}
	cmd := exec.Command(path, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	r.eventually("the bridge subscribes", func() bool { return r.Stats().Subscriptions > 0 })
	out := r.connect(who{id: "out"})
	out.subscribe(1, "plain/up")
	if out, err := mosquitto(t, "mosquitto_pub", "-h", "127.0.0.1", "-p", port, "-t", "plain/up", "-m", "x", "-q", "1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out.wantPublish("plain/up", "x")
	far := mosquitto(t, "mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-t", "plain/down", "-C", "1", "-W", "20", "-F", "%r %p")
	out.retain("plain/down", "y", 1, 1)
	out.want(packets.Puback)
	r.eventually("the bridge has it", func() bool { return r.Stats().QueueMessages == 1 }) // the one that out does not acknowledge
	if got, err := far.CombinedOutput(); err != nil || string(got) != "1 y\n" {
		t.Fatalf("%q, %v", got, err)
	}
}
