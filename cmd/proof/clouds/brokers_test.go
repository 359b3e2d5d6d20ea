package clouds

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/cmd/proof/harness"
	"fieldgate/gateway/freeport"
)

const user, password = "gateway", "change-me"

// cloud is a broker, or several that are one, as a gateway sees it.
type cloud struct {
	addr  string // where the gateway connects
	watch string // where the books are kept, a part that is not killed
	// fail lets something die in the middle of everything, and come back.
	fail func(t *testing.T)
}

// need finds a program or skips the test; in CI it fails.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := harness.Look(name)
	if err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// configure writes testdata/name into dir with replacements of what the machine
// decides: ports and folders. Each must be there to be replaced.
func configure(t *testing.T, name, dir string, pairs ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s has no %q", name, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func port(t *testing.T) int {
	t.Helper()
	p, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// spawn starts a process that the test's end kills.
func spawn(t *testing.T, cmd *exec.Cmd) *harness.Process {
	t.Helper()
	p, err := harness.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			out := p.Out.Text()
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), out[max(0, len(out)-4000):])
		}
	})
	return p
}

// listening waits until something accepts on addr.
func listening(t *testing.T, addr string, p *harness.Process) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); ; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-p.Exited():
			t.Fatalf("%s ended:\n%s", p.Cmd.Path, p.Out.Text())
		case <-time.After(20 * time.Millisecond): // there is no event for it
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing listens on %s: %v\n%s", addr, err, p.Out.Text())
		}
	}
}

func mosquitto(t *testing.T) cloud {
	path := need(t, "mosquitto")
	dir, at := t.TempDir(), loopback(port(t))
	passwd := filepath.Join(dir, "passwd")
	if out, err := exec.Command(need(t, "mosquitto_passwd"), "-b", "-c", passwd, user, password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	conf := configure(t, "mosquitto.conf", dir, "listener 1883", "listener "+at[strings.Index(at, ":")+1:],
		"/etc/mosquitto/passwd", passwd, "/var/lib/mosquitto/", dir+"/", "set_tcp_nodelay true", "set_tcp_nodelay true\nuser root")
	p := spawn(t, exec.Command(path, "-c", conf))
	listening(t, at, p)
	return cloud{addr: at, watch: at, fail: func(t *testing.T) {
		// A clean stop: what Mosquitto acknowledged and lost in a crash is not
		// the gateway's to keep.
		if _, err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		p = spawn(t, exec.Command(path, "-c", conf))
		listening(t, at, p)
	}}
}

// nats is three servers with MQTT; one is killed and comes back.
func nats(t *testing.T) cloud {
	dir := t.TempDir()
	server := filepath.Join(dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", server, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	routes := []int{port(t), port(t), port(t)}
	var mqtt [3]string
	var start [3]func() *harness.Process
	for i := range 3 {
		own := filepath.Join(dir, fmt.Sprint("n", i+1))
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		mqtt[i] = loopback(port(t))
		conf := configure(t, "nats.conf", own, "n1", fmt.Sprint("n", i+1), `127.0.0.1:4222`, loopback(port(t)),
			`listen: "127.0.0.1:6222"`, fmt.Sprintf("listen: %q", loopback(routes[i])),
			"nats://127.0.0.1:6222", "nats://"+loopback(routes[0]), "nats://127.0.0.1:6223", "nats://"+loopback(routes[1]),
			"nats://127.0.0.1:6224", "nats://"+loopback(routes[2]), "127.0.0.1:1883", mqtt[i], "/var/lib/nats", own)
		start[i] = func() *harness.Process { return spawn(t, exec.Command(server, "-c", conf)) }
	}
	var first *harness.Process
	for i := range 3 {
		p := start[i]()
		if i == 0 {
			first = p
		}
		defer listening(t, mqtt[i], p)
	}
	return cloud{addr: balance(t, mqtt[:]), watch: mqtt[2], fail: func(t *testing.T) {
		first.Kill()
		time.Sleep(3 * time.Second) // an outage of one server takes its time
		first = start[0]()
		listening(t, mqtt[0], first)
	}}
}

// balance stands for a load balancer: it connects each client to the first
// server that accepts.
func balance(t *testing.T, servers []string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				for _, addr := range servers {
					server, err := net.Dial("tcp", addr)
					if err != nil {
						continue
					}
					stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
					defer stop()
					wg.Go(func() { _, _ = io.Copy(client, server); client.Close() })
					_, _ = io.Copy(server, client)
					server.Close()
					return
				}
			})
		}
	})
	return ln.Addr().String()
}

// rabbitmq is one RabbitMQ node with its MQTT plugin, all of it in a folder of
// its own; it is stopped and started.
func rabbitmq(t *testing.T) cloud {
	server := need(t, "/usr/lib/rabbitmq/bin/rabbitmq-server")
	epmd := need(t, "epmd")
	dir, at := t.TempDir(), loopback(port(t))
	configure(t, "rabbitmq.conf", dir, "127.0.0.1:1883", at)
	plugins := filepath.Join(dir, "enabled_plugins")
	if err := os.WriteFile(plugins, []byte("[rabbitmq_mqtt].\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	names := port(t) // of Erlang's name server, which would stay behind otherwise
	spawn(t, exec.Command(epmd, "-port", fmt.Sprint(names), "-address", "127.0.0.1"))
	env := append(os.Environ(), "HOME="+dir, "RABBITMQ_NODENAME=proof@localhost", "RABBITMQ_MNESIA_BASE="+dir+"/mnesia",
		"RABBITMQ_LOG_BASE="+dir+"/log", "RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq"), "RABBITMQ_ENABLED_PLUGINS_FILE="+plugins,
		"RABBITMQ_PID_FILE="+dir+"/pid", "RABBITMQ_DIST_PORT="+fmt.Sprint(port(t)), "ERL_EPMD_PORT="+fmt.Sprint(names),
		"ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-start_epmd false +sbwt none")
	start := func() *harness.Process {
		cmd := exec.Command(server)
		cmd.Env = env
		p := spawn(t, cmd)
		listening(t, at, p)
		return p
	}
	p := start()
	return cloud{addr: at, watch: at, fail: func(t *testing.T) {
		if _, err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		p = start()
	}}
}
