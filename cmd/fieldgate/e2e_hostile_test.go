package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// mob is a crowd of hostile clients. They do what they do again and again until
// disperse is called, and take no notice of how they are answered.
type mob struct {
	addr string
	stop chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
	done map[string]int // rounds, by what they do
}

// misdeeds are what the members of a mob do; they add up to 1,000.
var misdeeds = []struct {
	name string
	n    int
	do   func(m *mob, i int)
}{
	{"garbage", 100, func(m *mob, i int) {
		if c := m.dial(""); c != nil {
			junk := make([]byte, 1+rand.N(4000))
			for j := range junk {
				junk[j] = byte(rand.Uint32())
			}
			if i%2 == 0 {
				m.say(c, eve(fmt.Sprint("garbage-", i)).packet())
			}
			m.say(c, junk)
			m.readAll(c)
		}
	}},
	{"silent before CONNECT", 150, func(m *mob, i int) { m.readAll(m.dial("")) }},
	{"silent after CONNECT", 150, func(m *mob, i int) {
		c := m.dial("")
		m.say(c, eve(fmt.Sprint("silent-", i)).packet())
		m.readAll(c)
	}},
	{"never read", 100, func(m *mob, i int) {
		c := m.dial("")
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetReadBuffer(4096)
		}
		m.say(c, eve(fmt.Sprint("stuck-", i)).packet(), packet(0x82, []byte{0, 1}, mqttString("plain/#"), []byte{byte(i % 2)}, mqttString("work/#"), []byte{byte(i % 2)}))
		<-m.stop
	}},
	{"flood", 10, func(m *mob, i int) {
		c := m.dial("")
		m.say(c, eve(fmt.Sprint("flood-", i)).packet())
		for range 20 {
			m.say(c, packet(0x30, mqttString(fmt.Sprint("plain/flood/", i)), make([]byte, 8<<10)))
			m.rest()
		}
		m.close(c)
	}},
	{"reconnect in a storm", 150, func(m *mob, i int) {
		c := m.dial("")
		l := eve(fmt.Sprint("storm-", i%10))
		l.keep = true
		m.say(c, l.packet(), packet(0x82, []byte{0, 1}, mqttString("plain/storm"), []byte{1}))
		if i%2 == 0 {
			m.read(c, 4)
		}
		m.close(c)
	}},
	{"steal client ids", 100, func(m *mob, i int) {
		c := m.dial("")
		l := eve(fmt.Sprintf("honest-%s-%d", []string{"pub", "sub"}[i%2], i/2%20))
		l.keep = i%4 < 2
		m.say(c, l.packet(), packet(0x82, []byte{0, 1}, mqttString("work/#"), []byte{1}))
		m.read(c, 4)
		m.close(c)
	}},
	{"huge wills", 40, func(m *mob, i int) {
		c := m.dial("")
		l := eve(fmt.Sprint("will-", i))
		l.v, l.keep, l.delay, l.will, l.last = 5, i%2 == 0, uint32(i%3), fmt.Sprint("plain/will/", i), strings.Repeat("x", 60_000)
		m.say(c, l.packet())
		m.read(c, 2)
		m.close(c)
	}},
	{"subscribe to 10,000 filters", 100, func(m *mob, i int) {
		c := m.dial("")
		m.say(c, eve(fmt.Sprint("filters-", i)).packet())
		for first := 0; first < 10_000; first += 1000 {
			body := []byte{0, 1}
			for j := range 1000 {
				body = append(append(body, mqttString(fmt.Sprintf("plain/%d/+/%d/#", i, first+j))...), 0)
			}
			m.say(c, packet(0x82, body))
			m.read(c, 1000)
		}
		m.close(c)
	}},
	{"guess credentials", 100, func(m *mob, i int) {
		c := m.dial(fmt.Sprintf("127.5.%d.%d", i, 1+rand.N(250)))
		user := []string{"ann", "boss", "nobody", fmt.Sprint("key-", rand.Uint64())}[i%4]
		m.say(c, login{id: "guess", user: user, pass: fmt.Sprint(rand.Uint64()), noPassword: i%4 == 3}.packet())
		m.read(c, 4)
		m.close(c)
	}},
}

func eve(id string) login { return login{id: id, user: "eve", pass: "password"} }

// gather sends all of them to addr, but for those who do what is in without.
func gather(addr string, without ...string) *mob {
	m := &mob{addr: addr, stop: make(chan struct{}), open: map[net.Conn]bool{}, done: map[string]int{}}
	for _, deed := range misdeeds {
		if slices.Contains(without, deed.name) {
			continue
		}
		for i := range deed.n {
			m.wg.Go(func() {
				for {
					select {
					case <-m.stop:
						return
					default:
					}
					deed.do(m, i)
					m.mu.Lock()
					m.done[deed.name]++
					m.mu.Unlock()
					m.rest()
				}
			})
		}
	}
	return m
}

// rest is what keeps the mob from being a benchmark of this machine: a round of
// one member every 50 ms.
func (m *mob) rest() {
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-m.stop:
	}
}

// disperse ends all of it.
func (m *mob) disperse() {
	close(m.stop)
	m.mu.Lock()
	for c := range m.open {
		c.Close()
	}
	m.mu.Unlock()
	m.wg.Wait()
}

// await waits until each kind of those that the broker does not keep waiting
// has done its deed at least n times.
func (m *mob) await(t testing.TB, n int) {
	t.Helper()
	m.awaitOnly(t, n, "garbage", "silent before CONNECT", "flood", "reconnect in a storm", "steal client ids", "huge wills",
		"subscribe to 10,000 filters", "guess credentials")
}

func (m *mob) awaitOnly(t testing.TB, n int, names ...string) {
	t.Helper()
	eventually(t, "everybody has had a turn", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return !slices.ContainsFunc(names, func(name string) bool { return m.done[name] < n })
	})
}

// rounds is how often each thing was done so far.
func (m *mob) rounds() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.done)
}

// dial gives nil if it is not let in, or if all is over.
func (m *mob) dial(from string) net.Conn {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.Dial("tcp", m.addr)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.stop:
		c.Close()
		return nil
	default:
	}
	m.open[c] = true
	return c
}

func (m *mob) close(c net.Conn) {
	if c == nil {
		return
	}
	c.Close()
	m.mu.Lock()
	delete(m.open, c)
	m.mu.Unlock()
}

func (m *mob) say(c net.Conn, parts ...[]byte) {
	if c != nil {
		_, _ = c.Write(bytes.Join(parts, nil))
	}
}

func (m *mob) read(c net.Conn, n int) {
	if c != nil {
		_, _ = io.ReadFull(c, make([]byte, n))
	}
}

// readAll reads until the gateway has had enough.
func (m *mob) readAll(c net.Conn) {
	if c != nil {
		_, _ = io.Copy(io.Discard, c)
		m.close(c)
	}
}

// hostileConfig has an account for the mob, which may read what honest clients
// say, and room for both.
func hostileConfig(t testing.TB) string {
	yaml := strings.Replace(securityConfig(t, "", "limits: {clients: 1500}"), `    - {name: boss,`, `    - {name: eve, password_hash: "EVE"}
    - {name: boss,`, 1)
	yaml = strings.Replace(yaml, "  acl:\n", `  acl:
    - {topic: "work/#", user: ann, allow: readwrite}
    - {topic: "work/#", user: eve, allow: read}
`, 1)
	return strings.Replace(yaml, "EVE", hashPassword(t, "password"), 1)
}

// startHostile starts a gateway for it.
func startHostile(t testing.TB) *gatewayProcess {
	file := filepath.Join(t.TempDir(), "fieldgate.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(hostileConfig(t), "DATA", t.TempDir())), 0o600); err != nil {
		t.Fatal(err)
	}
	return startGatewayFile(t, file, smallBoard)
}

// pair is an honest publisher with its subscriber. Each message is sent when the
// one before has arrived and, at QoS 1, was acknowledged.
type pair struct {
	pub, sub *rawClient
	topic    string
	qos      byte
	n        int
}

const pairs = 20 // half of them at QoS 0, half at QoS 1

func honestPairs(t testing.TB, addr string) []*pair {
	var all []*pair
	for i := range pairs {
		p := &pair{topic: fmt.Sprint("work/", i), qos: byte(i % 2)}
		p.pub = mustConnect(t, addr, ann(fmt.Sprint("honest-pub-", i)))
		l := ann(fmt.Sprint("honest-sub-", i))
		l.keep = true
		p.sub = mustConnect(t, addr, l)
		p.sub.subscribe4(p.qos, p.topic)
		all = append(all, p)
	}
	return all
}

// send has one message go its way and gives the time it took to its subscriber.
func (p *pair) send() (time.Duration, error) {
	p.n++
	_ = p.pub.conn.SetWriteDeadline(time.Now().Add(patience))
	_ = p.sub.conn.SetWriteDeadline(time.Now().Add(patience))
	var id []byte
	if p.qos > 0 {
		id = []byte{0, 1}
	}
	begun := time.Now()
	if _, err := p.pub.conn.Write(packet(0x30|p.qos<<1, mqttString(p.topic), id, fmt.Append(nil, p.n))); err != nil {
		return 0, err
	}
	first, body, err := p.sub.hear()
	took := time.Since(begun)
	if err != nil || first>>4 != 3 || !strings.HasSuffix(string(body), fmt.Sprint(p.n)) || !strings.HasPrefix(string(body[2:]), p.topic) {
		return 0, fmt.Errorf("message %d of %s: the subscriber gets %#x %q (%w)", p.n, p.topic, first, body, err)
	}
	if p.qos == 0 {
		return took, nil
	}
	at := 2 + len(p.topic)
	if _, err := p.sub.conn.Write([]byte{0x40, 2, body[at], body[at+1]}); err != nil {
		return 0, err
	}
	if first, body, err := p.pub.hear(); err != nil || first != 0x40 {
		return 0, fmt.Errorf("message %d of %s: instead of PUBACK %#x % x (%w)", p.n, p.topic, first, body, err)
	}
	return took, nil
}

// work has all pairs send one message after the other for so long, at a pace of
// one in 10 ms, and gives what each took, sorted.
func work(t testing.TB, all []*pair, during time.Duration) (took []time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	over := time.Now().Add(during)
	for _, p := range all {
		wg.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for time.Now().Before(over) {
				<-tick.C
				d, err := p.send()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took
}

// The gateway under attack runs as on a board with 512 MiB, where it bounds
// itself to 256 MiB, and is to stay near that: 1,000 connections, 50,000
// subscriptions, one hash of 19 MiB, queues and buffers of those that do not
// read.
const (
	smallBoard     = "GOMEMLIMIT=256MiB"
	maxUnderAttack = 300 << 10 // KiB
)

// TestHostileClients: honest clients beside a thousand hostile ones lose nothing
// and stay connected; when the others are gone, so is all that they took.
func TestHostileClients(t *testing.T) {
	g := startHostile(t)
	all := honestPairs(t, g.mqtt)
	work(t, all, time.Second)
	fds, goroutines := openFiles(t, g), metric(t, g, "fieldgate_goroutines")

	m := gather(g.mqtt)
	stopped := false
	defer func() {
		if !stopped {
			m.disperse()
		}
	}()
	m.await(t, 3)
	took := work(t, all, 8*time.Second)
	m.await(t, 6)
	for _, p := range all {
		if p.n < 50 {
			t.Errorf("%s: only %d messages", p.topic, p.n)
		}
	}
	peak := procKiB(t, g.process, "VmHWM")
	t.Logf("%d messages of %d pairs, p50 %v, p99 %v; memory %d KiB at most; rounds %v", len(took), len(all), took[len(took)/2], took[len(took)*99/100], peak, m.rounds())
	if peak > maxUnderAttack {
		t.Errorf("it took %d KiB", peak)
	}
	for _, name := range []string{`fieldgate_logins_total{result="failed"}`, `fieldgate_logins_total{result="busy"}`, "fieldgate_broker_subscriptions", "fieldgate_login_hashes_total",
		"fieldgate_broker_clients", "fieldgate_broker_pending", "fieldgate_broker_sessions", "fieldgate_broker_queued_bytes"} {
		t.Logf("%s %v", name, metric(t, g, name))
	}
	m.disperse()
	stopped = true

	work(t, all, time.Second)
	for _, p := range all {
		p.pub.silent()
		p.sub.silent()
	}
	eventually(t, "what they took is free again", func() bool {
		return metric(t, g, "fieldgate_broker_clients") == 2*pairs && metric(t, g, "fieldgate_broker_pending") == 0 &&
			openFiles(t, g) <= fds+5 && metric(t, g, "fieldgate_goroutines") <= goroutines+10
	})
	stillThere(t, g)
	if code := g.stop(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
