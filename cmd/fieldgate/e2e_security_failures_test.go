package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket" // speaks frames by hand
)

// Ways in which MQTT brokers have been brought down, in public. Each is done to
// the real gateway; afterwards an honest client beside it is served as before,
// over the connection that it had.
func TestBrokerFailures(t *testing.T) {
	g, yaml := startSecurity(t, "share: [{user: bob, can: [view, publish]}],", "limits: {connect_timeout: 2s}")
	h := newHonest(t, g.mqtt, "plain/honest", ann("honest"))
	in := func(t *testing.T, v byte) *rawClient {
		l := bob("attacker")
		l.v = v
		return mustConnect(t, g.mqtt, l)
	}
	// ends: the packet costs its sender the connection.
	ends := func(v byte, bad []byte) func(*testing.T) {
		return func(t *testing.T) {
			c := in(t, v)
			c.say(bad)
			c.mustEnd()
		}
	}
	// refused: so does this instead of CONNECT.
	refused := func(bad []byte) func(*testing.T) {
		return func(t *testing.T) {
			c := dialRaw(t, g.mqtt, "")
			c.say(bad)
			if first, body := c.mustEnd(); first>>4 == 2 && body[1] == 0 {
				t.Fatal("let in")
			}
		}
	}
	connect5 := func(flags byte, rest ...[]byte) []byte {
		head := append(mqttString("MQTT"), 5, flags|2, 0, 60)
		return packet(0x10, append([][]byte{head}, rest...)...)
	}
	userProperties := bytes.Repeat(append([]byte{0x26}, append(mqttString("k"), mqttString("v")...)...), 5000)
	many := packet(0, userProperties)[1:] // with its length

	for _, a := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"SUBSCRIBE without an options byte", ends(5, []byte{0x82, 8, 0, 1, 0, 0, 3, 'a', '/', 'b'})},
		{"SUBSCRIBE without an options byte, 3.1.1", ends(4, []byte{0x82, 7, 0, 1, 0, 3, 'a', '/', 'b'})},
		{"Remaining Length far beyond the body", ends(4, []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'})},
		{"Remaining Length far beyond the body, before CONNECT", refused([]byte{0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4, 'M'})},
		{"many QoS 2 messages with one packet id", func(t *testing.T) {
			c := in(t, 4)
			one := packet(0x34, mqttString("plain/qos2"), []byte{0, 1}, []byte("x"))
			c.say(bytes.Repeat(one, 5000), []byte{0x62, 2, 0, 1})
			for {
				first, _, err := c.hear()
				if err != nil {
					t.Fatal(err)
				}
				if first>>4 == 7 { // PUBCOMP
					return
				}
			}
		}},
		{"illegal properties in a will", refused(connect5(4|0x80|0x40, []byte{0}, mqttString("c"), []byte{3, 0x23, 0, 1},
			mqttString("plain/w"), mqttString("x"), mqttString("bob"), mqttString("password")))},
		{"a will on $SYS", func(t *testing.T) {
			l := bob("attacker")
			l.will, l.last = "$SYS/broker/version", "x"
			c := mustConnect(t, g.mqtt, l)
			s := mustConnect(t, g.mqtt, login{id: "boss", user: "boss", pass: "password"})
			s.subscribe4(0, "$SYS/#", "plain/marker")
			c.conn.Close()
			s.publish1("plain/marker", "1", false)
			for msg := ""; msg != "plain/marker 1"; {
				if msg = s.message(); strings.HasPrefix(msg, "$SYS/broker/version x") {
					t.Fatal("the will was published")
				}
			}
		}},
		{"CONNACK from a client", ends(4, []byte{0x20, 2, 0, 0})},
		{"SUBACK from a client", ends(5, []byte{0x90, 4, 0, 1, 0, 0})},
		{"UNSUBACK from a client", ends(4, []byte{0xb0, 2, 0, 1})},
		{"PINGRESP from a client", ends(5, []byte{0xd0, 0})},
		{"a topic of length 0", ends(4, packet(0x30, mqttString(""), []byte("x")))},
		{"a topic of length 0 with an alias", ends(5, packet(0x30, mqttString(""), []byte{3, 0x23, 0, 1}, []byte("x")))},
		{"thousands of user properties", ends(5, packet(0x30, mqttString("plain/a"), many, []byte("x")))},
		{"thousands of user properties in CONNECT", refused(connect5(0, many, mqttString("c")))},
		{"a topic that is not UTF-8", ends(4, packet(0x30, mqttString("plain/\xff\xfe"), []byte("x")))},
		{"a topic made of slashes", func(t *testing.T) {
			c := in(t, 4)
			slashes := strings.Repeat("/", 65_000)
			c.say(packet(0x30, mqttString(slashes), []byte("x")))
			for range 20 {
				if codes := c.subscribe4(0, slashes, strings.Repeat("+/", 30_000)+"#"); codes[0] != 0x80 || codes[1] != 0x80 {
					t.Fatalf("SUBACK % x", codes)
				}
				h.t = t
				h.served()
			}
			c.silent()
		}},
		{"keep alive of 0 and 65,535 by the hundred", func(t *testing.T) {
			for i := range 400 {
				l := bob(fmt.Sprint("alive-", i))
				l.alive = uint16(i%2) * 65535
				mustConnect(t, g.mqtt, l)
			}
		}},
		{"a five-byte remaining length", ends(4, []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1})},
		{"a five-byte remaining length, before CONNECT", refused([]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0x7f})},
		{"a five-byte property length", ends(5, packet(0x30, mqttString("plain/a"), []byte{0x80, 0x80, 0x80, 0x80, 1}))},
		{"a five-byte subscription identifier", ends(5, packet(0x82, []byte{0, 1}, []byte{6, 0x0b, 0x80, 0x80, 0x80, 0x80, 1}, mqttString("a"), []byte{0}))},
		{"WebSocket frames shorter than the packet", func(t *testing.T) { webSocketFrames(t, g) }},
		{"$share/x without a second slash", ends(5, packet(0x82, []byte{0, 1, 0}, mqttString("$share/x"), []byte{0}))},
		{"$share/x without a second slash, 3.1.1", ends(4, packet(0x82, []byte{0, 1}, mqttString("$share/x"), []byte{0}))},
		{"UNSUBSCRIBE from $share/x", ends(4, packet(0xa2, []byte{0, 1}, mqttString("$share/x")))},
		{"a reconnect storm with one id", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for range 25 {
						c := dialRaw(t, g.mqtt, "")
						l := bob("storm")
						l.keep = true
						c.say(l.packet(), packet(0x82, []byte{0, 1}, mqttString("plain/storm"), []byte{1}))
					}
				})
			}
			wg.Wait()
			l := bob("storm")
			l.keep = true
			eventually(t, "the storm is over", func() bool {
				c := dialRaw(t, g.mqtt, "")
				c.say(l.packet(), []byte{0xc0, 0})
				first, _, err := c.hear()
				again, _, err2 := c.hear()
				return err == nil && err2 == nil && first == 0x20 && again == 0xd0
			})
		}},
		{"CONNECT without a user", func(t *testing.T) {
			if c, code := connectRaw(t, g.mqtt, login{id: "nobody"}); code != 5 {
				t.Fatalf("CONNACK %#x", code)
			} else {
				c.mustEnd()
			}
		}},
		{"takeover of a client id by another credential", func(t *testing.T) {
			first := mustConnect(t, g.mqtt, login{id: "mine", user: "ann", pass: "password", keep: true})
			first.subscribe4(1, "secret/#")
			thief := mustConnect(t, g.mqtt, login{id: "mine", user: "bob", pass: "password", keep: true})
			first.silent()
			first.publish1("secret/a", "x", false)
			if got := first.message(); got != "secret/a x" {
				t.Error(got)
			}
			thief.silent()
		}},
		{"user names that read as patterns", func(t *testing.T) {
			if codes := mustConnect(t, g.mqtt, login{id: "#", user: "#", pass: "password"}).subscribe4(0, "own/#", "own/bob/#", "own/+/a", "client/#", "client/x/a"); !bytes.Equal(codes, bytes.Repeat([]byte{0x80}, 5)) {
				t.Fatalf("SUBACK % x", codes)
			}
		}},
		{"a damaged password file", func(t *testing.T) {
			// It changes nothing: who had an account still has one, nobody else has.
			reload(t, g, strings.Replace(yaml, "$argon2id$", "$argon2id$v=0$", 1))
			mustConnect(t, g.mqtt, ann("again")).silent()
			if code, _, errOut := command(t, "", "check", "--config", g.file); code != 2 || !strings.Contains(errOut, "password_hash") {
				t.Errorf("check: status %d: %s", code, errOut)
			}
			if err := os.WriteFile(g.file, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a will that outlives a right", func(t *testing.T) {
			l := bob("dying")
			l.will, l.last, l.willQoS = "devices/Private/sensors/S/value", "666", 1
			dying := mustConnect(t, g.mqtt, l)
			s := mustConnect(t, g.mqtt, ann("watch"))
			s.subscribe4(0, "devices/Private/#", "plain/marker")
			outlived := mustConnect(t, g.mqtt, bob("outlived"))
			outlived.subscribe4(1, "devices/Private/#")
			reload(t, g, strings.Replace(yaml, "share: [{user: bob, can: [view, publish]}],", "", 1))
			dying.conn.Close()
			eventually(t, "the will is refused", func() bool { return metric(t, g, `fieldgate_refused_total{reason="denied"}`) >= 1 })
			s.publish1("devices/Private/sensors/S/value", "7", false)
			if got := s.message(); got != "devices/Private/sensors/S/value 7" {
				t.Errorf("the will was published: %q", got)
			}
			outlived.silent()
		}},
	} {
		t.Run(a.name, func(t *testing.T) {
			a.do(t)
			h.t = t
			h.served()
			stillThere(t, g)
		})
	}
}

// webSocketFrames sends MQTT over WebSocket in frames that hold less than a
// packet, nothing, or something else.
func webSocketFrames(t *testing.T, g *gatewayProcess) {
	dial := func() *websocket.Conn {
		ws, res, err := (&websocket.Dialer{Subprotocols: []string{"mqtt"}}).Dial("ws://"+g.http+"/mqtt", http.Header{})
		if err != nil {
			t.Fatalf("%v (%v)", err, res)
		}
		t.Cleanup(func() { ws.Close() })
		return ws
	}
	send := func(ws *websocket.Conn, kind int, frames ...[]byte) {
		for _, f := range frames {
			if err := ws.WriteMessage(kind, f); err != nil {
				t.Fatal(err)
			}
		}
	}
	hello := bob("ws").packet()
	ws := dial()
	for _, b := range hello { // a byte a frame, and empty ones between them
		send(ws, websocket.BinaryMessage, []byte{b}, nil)
	}
	if kind, ack, err := ws.ReadMessage(); err != nil || kind != websocket.BinaryMessage || !bytes.Equal(ack, []byte{0x20, 2, 0, 0}) {
		t.Fatalf("%d % x %v", kind, ack, err)
	}
	send(ws, websocket.BinaryMessage, []byte{0x30, 100, 0, 1, 'a'}) // 97 bytes are missing
	ws.Close()

	for name, end := range map[string]func(*websocket.Conn){
		"text":              func(ws *websocket.Conn) { send(ws, websocket.TextMessage, hello) },
		"no MQTT":           func(ws *websocket.Conn) { send(ws, websocket.BinaryMessage, []byte("GET / HTTP/1.1\r\n\r\n")) },
		"a reserved opcode": func(ws *websocket.Conn) { _, _ = ws.NetConn().Write([]byte{0x83, 0x80, 0, 0, 0, 0}) },
		"no mask":           func(ws *websocket.Conn) { _, _ = ws.NetConn().Write([]byte{0x82, 1, 0x10}) },
		"2^63 bytes follow": func(ws *websocket.Conn) {
			_, _ = ws.NetConn().Write([]byte{0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		},
		"a control frame of": func(ws *websocket.Conn) { _, _ = ws.NetConn().Write([]byte{0x89, 0xfe, 1, 0, 0, 0, 0, 0}) },
	} {
		ws := dial()
		end(ws)
		if _, msg, err := ws.ReadMessage(); err == nil {
			t.Errorf("%s: answered with % x", name, msg)
		}
	}
}
