package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/gateway/freeport"
)

// The tests of this package drive the real binary from outside: files, ports,
// signals, stock MQTT clients, a real Mosquitto as the cloud.

// patience is how long a test waits for what must come. It is no measure of
// speed: it only ends a test that would hang.
const patience = 30 * time.Second

var (
	buildOnce sync.Once
	binary    string
	errBuild  error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if binary != "" {
		os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// fieldgate builds the binary once and gives its path.
func fieldgate(t testing.TB) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "fieldgate-e2e-")
		if err != nil {
			errBuild = err
			return
		}
		path := filepath.Join(dir, "fieldgate")
		cmd := exec.Command("go", "build", "-o", path, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			errBuild = fmt.Errorf("go build: %w\n%s", err, out)
		}
		binary = path
	})
	if errBuild != nil {
		t.Fatal(errBuild)
	}
	return binary
}

// need finds a program of the system, or skips the test. In CI nothing is
// skipped: there it fails.
func need(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return filepath.Join(dir, name)
			}
		}
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed: apt-get install mosquitto mosquitto-clients", name)
	}
	return path
}

// lines collects what a process prints and lets tests wait for it.
type lines struct {
	mu    sync.Mutex
	all   []string
	ended bool
	more  chan struct{}
}

func (l *lines) read(r io.Reader, done func()) {
	defer done()
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), 4<<20)
	for sc.Scan() {
		l.mu.Lock()
		l.all = append(l.all, sc.Text())
		l.wake()
		l.mu.Unlock()
	}
	l.mu.Lock()
	l.ended = true
	l.wake()
	l.mu.Unlock()
}

func (l *lines) wake() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// snapshot gives the lines so far.
func (l *lines) snapshot() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

func (l *lines) text() string { return strings.Join(l.snapshot(), "\n") }

// await returns the first line from number from on for which ok holds, and the
// number after it.
func (l *lines) await(t testing.TB, what string, from int, ok func(string) bool) (string, int) {
	t.Helper()
	deadline := time.After(patience)
	for i := from; ; {
		l.mu.Lock()
		for ; i < len(l.all); i++ {
			if ok(l.all[i]) {
				line := l.all[i]
				l.mu.Unlock()
				return line, i + 1
			}
		}
		if l.ended {
			l.mu.Unlock()
			t.Fatalf("the process ended without %s; it printed:\n%s", what, l.text())
		}
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("no %s within %s; printed so far:\n%s", what, patience, l.text())
		}
	}
}

// process is a program that a test started.
type process struct {
	t           testing.TB
	cmd         *exec.Cmd
	out, errOut lines
	exited      chan struct{}
	err         error
}

// spawn starts a program and collects its output. It is killed when the test ends.
func spawn(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, exited: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(2)
	go p.out.read(stdout, wg.Done)
	go p.errOut.read(stderr, wg.Done)
	go func() {
		wg.Wait()
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), p.errOut.text())
		}
	})
	return p
}

// wait gives the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.cmd.Path)
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop asks the process to end, and gives its exit status.
func (p *process) stop() int {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	return p.wait()
}

// gatewayProcess is a running `fieldgate run`.
type gatewayProcess struct {
	*process
	file              string // its configuration
	mqtt, mqtts, http string // host:port
	semtech           string
}

var readyField = regexp.MustCompile(`\b(mqtts?|http|semtech)=(\S+)`)

// startGateway runs the binary with configuration yaml in which DATA stands for
// the folder data, and waits until it is ready. Where yaml leaves the port for
// MQTT to the kernel it gets one that stays, so that clients find the gateway
// there when startAgain starts it once more.
func startGateway(t testing.TB, data, yaml string) *gatewayProcess {
	t.Helper()
	yaml = strings.Replace(yaml, `mqtt: "127.0.0.1:0"`, `mqtt: "127.0.0.1:`+freePort(t)+`"`, 1)
	file := filepath.Join(t.TempDir(), "fieldgate.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(yaml, "DATA", data)), 0o600); err != nil {
		t.Fatal(err)
	}
	return startGatewayFile(t, file)
}

// startAgain starts a gateway that has ended as it was started.
func startAgain(t testing.TB, g *gatewayProcess) *gatewayProcess {
	t.Helper()
	return startGatewayFile(t, g.file)
}

func startGatewayFile(t testing.TB, file string, env ...string) *gatewayProcess {
	t.Helper()
	cmd := exec.Command(fieldgate(t), "run", "--config", file)
	cmd.Env = append(os.Environ(), env...)
	g := &gatewayProcess{process: spawn(t, cmd), file: file}
	g.awaitReady()
	return g
}

func (g *gatewayProcess) configFile() string { return g.file }

func (g *gatewayProcess) awaitReady() {
	g.t.Helper()
	line, _ := g.errOut.await(g.t, "ready line", 0, func(s string) bool { return strings.HasPrefix(s, "ready") })
	for _, m := range readyField.FindAllStringSubmatch(line, -1) {
		switch m[1] {
		case "mqtt":
			g.mqtt = m[2]
		case "mqtts":
			g.mqtts = m[2]
		case "http":
			g.http = m[2]
		case "semtech":
			g.semtech = m[2]
		}
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// mosquitto is a real Mosquitto as the cloud.
type mosquitto struct {
	t    testing.TB
	port string
	conf string
	p    *process
}

// startMosquitto runs Mosquitto on a loopback port with extra configuration lines.
func startMosquitto(t testing.TB, extra ...string) *mosquitto {
	t.Helper()
	need(t, "mosquitto")
	dir := t.TempDir()
	m := &mosquitto{t: t, port: freePort(t), conf: filepath.Join(dir, "mosquitto.conf")}
	conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"+
		"persistence true\npersistence_location %s/\nautosave_interval 0\nuser root\n"+
		"log_type error\nlog_type warning\nlog_type notice\nlog_type information\nlog_type subscribe\n%s\n", m.port, dir, strings.Join(extra, "\n"))
	if err := os.WriteFile(m.conf, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	m.start()
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	m.p = spawn(m.t, exec.Command(need(m.t, "mosquitto"), "-c", m.conf))
	m.p.errOut.await(m.t, "Mosquitto running", 0, func(s string) bool { return strings.Contains(s, "running") })
}

func (m *mosquitto) stop() { m.p.stop() }

func (m *mosquitto) url() string { return "mqtt://127.0.0.1:" + m.port }

// subscriber is a mosquitto_sub whose lines are "topic payload".
type subscriber struct {
	*process
	next int
}

// subscribe starts mosquitto_sub and waits for its SUBACK.
func subscribe(t testing.TB, addr string, args ...string) *subscriber {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	args = append([]string{"-h", host, "-p", port, "-d", "-F", "MSG %r %t %p"}, args...)
	s := &subscriber{process: spawn(t, commandFor(t, "mosquitto_sub", args...))}
	_, s.next = s.out.await(t, "SUBACK", 0, func(l string) bool { return strings.HasPrefix(l, "Subscribed (mid") })
	return s
}

// message gives the next message as "topic payload"; a retained one as
// "retained topic payload".
func (s *subscriber) message() string {
	s.t.Helper()
	line, next := s.out.await(s.t, "message", s.next, func(l string) bool { return strings.HasPrefix(l, "MSG ") })
	s.next = next
	line = strings.TrimPrefix(line, "MSG ")
	if rest, ok := strings.CutPrefix(line, "1 "); ok {
		return "retained " + rest
	}
	return strings.TrimPrefix(line, "0 ")
}

// publish runs mosquitto_pub and gives its exit status and output.
func publish(t testing.TB, addr string, args ...string) (int, string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, need(t, "mosquitto_pub"), append([]string{"-h", host, "-p", port}, args...)...)
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

func mustPublish(t testing.TB, addr string, args ...string) {
	t.Helper()
	if code, out := publish(t, addr, args...); code != 0 {
		t.Fatalf("mosquitto_pub %q: exit status %d\n%s", args, code, out)
	}
}

// command runs a fieldgate command to its end.
func command(t testing.TB, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	path := fieldgate(t) // builds it, which may take longer than patience has
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// dial connects a paho client that does not hide broken connections.
func dial(t testing.TB, addr, id string, edit ...func(*mqtt.ClientOptions)) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectRetry(false).SetCleanSession(true).SetConnectTimeout(10 * time.Second)
	for _, fn := range edit {
		fn(o)
	}
	c := mqtt.NewClient(o)
	if tok := c.Connect(); !tok.WaitTimeout(patience) || tok.Error() != nil {
		t.Fatalf("connect %s as %q: %v", addr, id, tok.Error())
	}
	return c
}

// commandFor prepares a program of the system; stdbuf has what it prints come
// line by line, as on a terminal.
func commandFor(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(need(t, "stdbuf"), append([]string{"-oL", need(t, name)}, args...)...)
}

func mustPublishURL(t testing.TB, url, payload string) {
	t.Helper()
	out, err := commandFor(t, "mosquitto_pub", "-L", url, "-m", payload).CombinedOutput()
	if err != nil {
		t.Fatalf("mosquitto_pub -L %s: %v\n%s", url, err, out)
	}
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
