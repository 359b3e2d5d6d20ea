package main

import (
	"bufio"
	wire "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket" // a client for it
)

// rawClient says to a gateway exactly what it is told. Nothing of it ends the
// test but what is asked for with must.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	came []rawPacket // while something else was waited for
}

type rawPacket struct {
	first byte
	body  []byte
}

// dialRaw connects; from is the address to come from, "" being the kernel's
// choice. All of 127.0.0.0/8 is this machine.
func dialRaw(t testing.TB, addr, from string) *rawClient {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return rawOver(t, conn)
}

func rawOver(t testing.TB, conn net.Conn) *rawClient {
	t.Cleanup(func() { conn.Close() })
	return &rawClient{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// say sends bytes. The gateway may have closed already, and answer that with a
// reset: what it did is found out by reading.
func (c *rawClient) say(parts ...[]byte) {
	c.t.Helper()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	for _, p := range parts {
		if _, err := c.conn.Write(p); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			c.t.Fatal(err)
		}
	}
}

// hear gives the next packet.
func (c *rawClient) hear() (first byte, body []byte, err error) {
	if len(c.came) > 0 {
		p := c.came[0]
		c.came = c.came[1:]
		return p.first, p.body, nil
	}
	return c.fromWire()
}

func (c *rawClient) fromWire() (first byte, body []byte, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	if first, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := wire.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return first, body, err
}

// must reads one packet, which has to be of this type.
func (c *rawClient) must(kind byte) []byte {
	c.t.Helper()
	first, body, err := c.hear()
	if err != nil || first>>4 != kind {
		c.t.Fatalf("packet %#x % x (%v), wanted one of type %d", first, body, err, kind)
	}
	return body
}

// mustEnd reads until the gateway has closed the connection and gives the last
// packet before that.
func (c *rawClient) mustEnd() (first byte, body []byte) {
	c.t.Helper()
	for {
		f, b, err := c.hear()
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			c.t.Fatal("the connection is still open")
		case err != nil:
			return first, body
		}
		first, body = f, b
	}
}

// login is what a CONNECT says.
type login struct {
	v           byte // 4 if 0
	id          string
	user, pass  string
	keep        bool
	alive       uint16
	will, last  string // topic and payload
	delay       uint32 // of the will
	noPassword  bool   // a user name without a password
	willQoS     byte
	emptyFields bool // user name and password are there and empty
}

func (l login) packet() []byte {
	if l.v == 0 {
		l.v = 4
	}
	var flags byte
	var rest []byte
	if l.v == 5 {
		if l.keep {
			rest = append(rest, 5, 0x11, 0, 0, 0x0e, 0x10) // session expiry: an hour
		} else {
			rest = append(rest, 0)
		}
	}
	rest = append(rest, mqttString(l.id)...)
	if !l.keep {
		flags |= 2
	}
	if l.will != "" {
		flags |= 4 | l.willQoS<<3
		if l.v == 5 {
			rest = append(rest, wire.BigEndian.AppendUint32([]byte{5, 0x18}, l.delay)...)
		}
		rest = append(append(rest, mqttString(l.will)...), mqttString(l.last)...)
	}
	if l.user != "" || l.emptyFields {
		flags |= 0x80
		rest = append(rest, mqttString(l.user)...)
	}
	if l.pass != "" || (l.user != "" || l.emptyFields) && !l.noPassword {
		flags |= 0x40
		rest = append(rest, mqttString(l.pass)...)
	}
	return packet(0x10, mqttString("MQTT"), []byte{l.v, flags, byte(l.alive >> 8), byte(l.alive)}, rest)
}

// connectRaw connects and gives the code of CONNACK.
func connectRaw(t testing.TB, addr string, l login) (*rawClient, byte) {
	t.Helper()
	c := dialRaw(t, addr, "")
	return c, c.hello(l)
}

func (c *rawClient) hello(l login) byte {
	c.t.Helper()
	c.say(l.packet())
	return c.must(2)[1]
}

// mustConnect connects and has to be let in.
func mustConnect(t testing.TB, addr string, l login) *rawClient {
	t.Helper()
	c, code := connectRaw(t, addr, l)
	if code != 0 {
		t.Fatalf("CONNACK %#x for %q", code, l.user)
	}
	return c
}

// subscribe4 subscribes with MQTT 3.1.1 and gives the codes of SUBACK.
func (c *rawClient) subscribe4(qos byte, filters ...string) []byte {
	c.t.Helper()
	body := []byte{0, 9}
	for _, f := range filters {
		body = append(append(body, mqttString(f)...), qos)
	}
	c.say(packet(0x82, body))
	return c.await(9)[2:]
}

// publish1 publishes at QoS 1 with MQTT 3.1.1, and waits for PUBACK.
func (c *rawClient) publish1(topic, payload string, retain bool) {
	c.t.Helper()
	first := byte(0x32)
	if retain {
		first |= 1
	}
	c.say(packet(first, mqttString(topic), []byte{0, 7}, []byte(payload)))
	c.await(4)
}

// await reads until a packet of this type comes; messages before it wait for
// hear.
func (c *rawClient) await(kind byte) []byte {
	c.t.Helper()
	for {
		first, body, err := c.fromWire()
		switch {
		case err == nil && first>>4 == kind:
			return body
		case err != nil || first>>4 != 3:
			c.t.Fatalf("packet %#x % x (%v), wanted one of type %d", first, body, err, kind)
		}
		c.came = append(c.came, rawPacket{first, body})
	}
}

// message reads one PUBLISH (MQTT 3.1.1), acknowledges it and gives "topic
// payload".
func (c *rawClient) message() string {
	c.t.Helper()
	first, body, err := c.hear()
	if err != nil || first>>4 != 3 {
		c.t.Fatalf("packet %#x % x (%v), wanted a message", first, body, err)
	}
	n := 2 + int(wire.BigEndian.Uint16(body))
	topic, rest := string(body[2:n]), body[n:]
	if first&6 != 0 {
		c.say([]byte{0x40, 2, rest[0], rest[1]})
		rest = rest[2:]
	}
	return topic + " " + string(rest)
}

// silent makes sure that nothing waits for this client: what comes next is the
// answer to its PINGREQ.
func (c *rawClient) silent() {
	c.t.Helper()
	c.say([]byte{0xc0, 0})
	c.must(13)
}

// honest is a client that does what clients do.
type honest struct {
	*rawClient
	topic string
	n     int
}

// served makes sure that h is still connected, publishes and gets what it sends.
func (h *honest) served() {
	h.t.Helper()
	h.n++
	h.say(packet(0x32, mqttString(h.topic), []byte{0, 8}, fmt.Append(nil, h.n)))
	acked, came := false, false
	for !acked || !came {
		first, body, err := h.hear()
		switch {
		case err != nil:
			h.t.Fatalf("an honest client suffers: %v", err)
		case first>>4 == 4:
			acked = true
		case first>>4 == 3 && strings.HasSuffix(string(body), h.topic+strconv.Itoa(h.n)):
			came = true // at QoS 0
		default:
			h.t.Fatalf("an honest client gets %#x % x", first, body)
		}
	}
}

func newHonest(t testing.TB, addr, topic string, l login) *honest {
	t.Helper()
	h := &honest{rawClient: mustConnect(t, addr, l), topic: topic}
	if codes := h.subscribe4(0, topic); codes[0] != 0 {
		t.Fatalf("SUBACK % x", codes)
	}
	return h
}

// procKiB gives a line of /proc/PID/status, as "VmHWM".
func procKiB(t testing.TB, p *process, line string) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(raw)) {
		if f := strings.Fields(l); len(f) > 1 && f[0] == line+":" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	t.Fatalf("no %s", line)
	return 0
}

// openFiles counts the file descriptors of the gateway.
func openFiles(t testing.TB, g *gatewayProcess) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// metric gives a value of /metrics: name with its labels as they stand there; 0
// without one.
func metric(t testing.TB, g *gatewayProcess, name string) float64 {
	t.Helper()
	for l := range strings.Lines(get(t, g, "/metrics")) {
		if rest, ok := strings.CutPrefix(l, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			return v
		}
	}
	return 0
}

// eventually polls a state that nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// stillThere makes sure that the process that was started still runs, and that
// it caught no panic.
func stillThere(t testing.TB, g *gatewayProcess) {
	t.Helper()
	select {
	case <-g.exited:
		t.Fatalf("the gateway has ended:\n%s", g.errOut.text())
	default:
	}
	for _, m := range []string{"fieldgate_broker_panics_total", "fieldgate_http_panics_total"} {
		if n := metric(t, g, m); n != 0 {
			t.Errorf("%s is %v:\n%s", m, n, g.errOut.text())
		}
	}
}

// reload writes another configuration and has the gateway take it over.
func reload(t testing.TB, g *gatewayProcess, yaml string) {
	t.Helper()
	if err := os.WriteFile(g.file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	from := len(g.errOut.snapshot())
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.errOut.await(t, "reload", from, func(l string) bool { return strings.Contains(l, "reloaded") })
}

// securityYAML has users whose names are patterns and HTML, and a device that
// is nobody's business but ann's. All passwords are "password".
const securityYAML = `
id: gw-1
data: DATA
listen: {mqtt: "127.0.0.1:0", http: "127.0.0.1:0"}
access:
  users:
    - {name: ann, password_hash: "HASH"}
    - {name: bob, password_hash: "HASH"}
    - {name: "PATTERN", password_hash: "HASH"}
    - {name: "<b>.*", password_hash: "HASH"}
    - {name: boss, password_hash: "HASH", admin: true}
  acl:
    - {topic: "plain/#", user: "*", allow: readwrite}
    - {topic: "own/%u/#", user: "*", allow: readwrite}
    - {topic: "client/%c/#", user: "*", allow: readwrite}
    - {topic: "secret/#", user: ann, allow: readwrite}
devices:
  - {id: Open, visibility: public, public_write: true, sensors: [{id: S}]}
  - {id: Private, owner: ann, SHARE sensors: [{id: S}], actuators: [{id: A}]}
MORE
`

// securityConfig fills securityYAML in; share as "share: [...],".
func securityConfig(t testing.TB, share, more string) string {
	t.Helper()
	return strings.NewReplacer("HASH", hashPassword(t, "password"), "PATTERN", "#", "SHARE", share, "MORE", more).Replace(securityYAML)
}

// startSecurity runs a gateway with that configuration.
func startSecurity(t testing.TB, share, more string) (*gatewayProcess, string) {
	t.Helper()
	yaml := strings.ReplaceAll(securityConfig(t, share, more), "DATA", filepath.Join(t.TempDir(), "data"))
	return startGateway(t, "", yaml), yaml
}

func ann(id string) login { return login{id: id, user: "ann", pass: "password"} }
func bob(id string) login { return login{id: id, user: "bob", pass: "password"} }

// wsStream has a WebSocket's binary frames as a stream.
type wsStream struct {
	net.Conn
	ws   *websocket.Conn
	rest []byte
}

func (w *wsStream) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		_, msg, err := w.ws.ReadMessage()
		if err != nil {
			return 0, err
		}
		w.rest = msg
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wsStream) Write(p []byte) (int, error) {
	return len(p), w.ws.WriteMessage(websocket.BinaryMessage, p)
}

// wsClient connects over WebSocket.
func wsClient(t testing.TB, g *gatewayProcess, l login) *rawClient {
	t.Helper()
	ws, res, err := (&websocket.Dialer{Subprotocols: []string{"mqtt"}}).Dial("ws://"+g.http+"/mqtt", nil)
	if err != nil {
		t.Fatalf("%v (%v)", err, res)
	}
	c := rawOver(t, &wsStream{Conn: ws.NetConn(), ws: ws})
	if code := c.hello(l); code != 0 {
		t.Fatalf("CONNACK %#x over WebSocket", code)
	}
	return c
}
