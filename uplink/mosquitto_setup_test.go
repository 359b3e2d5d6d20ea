package uplink

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/gateway/freeport"
)

// mosquitto is a real broker in the role of the cloud.
type mosquitto struct {
	t      testing.TB
	config string
	port   int
	cmd    *exec.Cmd
	ended  chan struct{}
}

// findMosquitto skips the test where it is not installed.
func findMosquitto(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto"
		if _, err := os.Stat(path); err != nil {
			if os.Getenv("FIELDGATE_CI") != "" {
				t.Fatal("mosquitto is not installed")
			}
			t.Skip("mosquitto is not installed")
		}
	}
	return path
}

func freePort(t testing.TB) int {
	t.Helper()
	port, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// newMosquitto starts a broker with the given lines after the listener's.
func newMosquitto(t testing.TB, lines ...string) *mosquitto {
	t.Helper()
	m := &mosquitto{t: t, port: freePort(t), config: filepath.Join(t.TempDir(), "mosquitto.conf")}
	dir := filepath.Dir(m.config)
	text := fmt.Sprintf("listener %d 127.0.0.1\n%s\nallow_anonymous true\npersistence true\npersistence_location %s/\n"+
		"max_queued_messages 0\nmax_inflight_messages 0\nlog_type all\nlog_dest stderr\n",
		m.port, strings.Join(lines, "\n"), dir)
	if u := os.Getuid(); u == 0 {
		text += "user root\n" // the folder is ours
	}
	if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run()
	t.Cleanup(m.stop)
	return m
}

// run starts the process and waits for the line that says it runs.
func (m *mosquitto) run() {
	m.t.Helper()
	m.cmd = exec.Command(findMosquitto(m.t), "-c", m.config)
	out, err := m.cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	running := make(chan struct{})
	m.ended = make(chan struct{})
	var said bytes.Buffer
	go func() {
		defer close(m.ended)
		lines := bufio.NewScanner(out)
		up := false
		for lines.Scan() {
			if !up {
				said.WriteString(lines.Text() + "\n")
			}
			if !up && strings.Contains(lines.Text(), " running") {
				up = true
				close(running)
			}
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	select {
	case <-running:
	case <-m.ended:
		_ = m.cmd.Wait()
		m.t.Fatalf("mosquitto did not start:\n%s", said.String())
	}
}

// stop ends the process and waits for it; it saves its sessions first.
func (m *mosquitto) stop() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(os.Interrupt)
	<-m.ended
	_ = m.cmd.Wait()
	m.cmd = nil
}

func (m *mosquitto) url() string { return "mqtt://127.0.0.1:" + strconv.Itoa(m.port) }

// observer subscribes to everything with a persistent session.
type observer struct {
	mu       sync.Mutex
	changed  chan struct{}
	messages []mqtt.Message
	retained map[string]string // newest payload by topic
	client   mqtt.Client
}

func observe(t testing.TB, url string) *observer {
	t.Helper()
	o := &observer{changed: make(chan struct{}), retained: map[string]string{}}
	take := func(_ mqtt.Client, m mqtt.Message) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.messages = append(o.messages, m)
		o.retained[m.Topic()] = string(m.Payload())
		close(o.changed)
		o.changed = make(chan struct{})
	}
	o.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID("observer").SetCleanSession(false).
		SetProtocolVersion(4).SetConnectRetry(true).SetConnectRetryInterval(20 * ms).SetMaxReconnectInterval(50 * ms).
		SetDefaultPublishHandler(take))
	if token := o.client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("observer: %v", token.Error())
	}
	if token := o.client.Subscribe("#", 1, nil); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("observer: %v", token.Error())
	}
	t.Cleanup(func() { o.client.Disconnect(250) })
	return o
}

// until waits until is holds for what was observed.
func (o *observer) until(t testing.TB, what string, is func() bool) {
	t.Helper()
	end := time.After(2 * patience)
	for {
		o.mu.Lock()
		ok, changed := is(), o.changed
		o.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%s: not within %s", what, 2*patience)
		}
	}
}

// ids lists the records that were observed, in order, and how often.
func (o *observer) ids() (first []element, duplicates int) {
	seen := map[string]bool{}
	for _, m := range o.messages {
		if !strings.HasPrefix(m.Topic(), "devices/") {
			continue
		}
		var e element
		if json.Unmarshal(m.Payload(), &e) != nil {
			continue
		}
		e.topic = m.Topic()
		if seen[e.ID] {
			duplicates++
			continue
		}
		seen[e.ID] = true
		first = append(first, e)
	}
	return first, duplicates
}

// startAt runs an uplink on a broker that is none of ours.
func startAt(t testing.TB, url string, change func(*Config)) *bench {
	return start(t, nil, func(c *Config) {
		c.URL = url
		if change != nil {
			change(c)
		}
	}, nil)
}

// proxy is a link that can be cut.
type proxy struct {
	t      testing.TB
	addr   string
	target string
	mu     sync.Mutex
	l      net.Listener
	conns  []net.Conn
	wg     sync.WaitGroup
}

func newProxy(t testing.TB, target string) *proxy {
	p := &proxy{t: t, target: target, addr: "127.0.0.1:" + strconv.Itoa(freePort(t))}
	p.open()
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) open() {
	p.t.Helper()
	l, err := freeport.ListenAgain(p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.l, p.addr = l, l.Addr().String()
	p.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.wg.Go(func() { io.Copy(in, out); in.Close(); out.Close() })
			p.wg.Go(func() { io.Copy(out, in); in.Close(); out.Close() })
			p.mu.Unlock()
		}
	})
}

func (p *proxy) cut() {
	p.mu.Lock()
	p.l.Close()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.wg.Wait()
}

// pki is an authority with a server and a client.
type pki struct{ ca, serverCert, serverKey, clientCert, clientKey string }

func newPKI(t testing.TB, dir string) pki {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	template := func(n int64, name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := template(1, "test authority")
	ca.IsCA, ca.KeyUsage = true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	issue := func(n int64, name string, use x509.ExtKeyUsage) (cert, key string) {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		c := template(n, name)
		c.ExtKeyUsage, c.DNSNames = []x509.ExtKeyUsage{use}, []string{name}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &k.PublicKey, caKey)
		must(err)
		keyDER, err := x509.MarshalECPrivateKey(k)
		must(err)
		return write(name+".pem", "CERTIFICATE", der), write(name+".key", "EC PRIVATE KEY", keyDER)
	}
	p := pki{ca: write("ca.pem", "CERTIFICATE", caDER)}
	p.serverCert, p.serverKey = issue(2, "cloud.example", x509.ExtKeyUsageServerAuth)
	p.clientCert, p.clientKey = issue(3, "gw-1", x509.ExtKeyUsageClientAuth)
	if _, err := tls.LoadX509KeyPair(p.clientCert, p.clientKey); err != nil {
		t.Fatal(err)
	}
	return p
}
