package main

import (
	"bytes"
	wire "encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestUnfinishedConnections: who says nothing, or half a CONNECT, is closed in
// the time that the configuration gives (10 s, see TestDefaultLimits), and half a
// packet in one and a half times the keep alive. However many connect and say
// nothing, a bounded number of them is held, and others are let in.
func TestUnfinishedConnections(t *testing.T) {
	g, _ := startSecurity(t, "", "limits: {connect_timeout: 2s, pending: 20}")
	h := newHonest(t, g.mqtt, "plain/honest", ann("honest"))
	silent, half := dialRaw(t, g.mqtt, ""), dialRaw(t, g.mqtt, "")
	hello := bob("c").packet()
	half.say(hello[:len(hello)-1])
	l := bob("alive")
	l.alive = 1
	halfPacket := mustConnect(t, g.mqtt, l)
	halfPacket.say([]byte{0x30, 200, 1, 0})
	for _, c := range []*rawClient{silent, half, halfPacket} {
		c.mustEnd()
	}
	for range 500 {
		dialRaw(t, g.mqtt, "")
	}
	mustConnect(t, g.mqtt, bob("among them")).silent()
	if n := metric(t, g, "fieldgate_broker_pending"); n > 20 {
		t.Errorf("%v connections are held", n)
	}
	if n := metric(t, g, `fieldgate_broker_refused_connections_total{reason="pending"}`); n < 400 {
		t.Errorf("%v had to make room", n)
	}
	h.served()
	stillThere(t, g)
}

// TestPacketSizes: what is too large is refused from its header. The client is
// told of the limit, if it speaks MQTT 5; that it announces gigabytes costs
// nothing.
func TestPacketSizes(t *testing.T) {
	g, _ := startSecurity(t, "", "limits: {packet_size: 16MiB, queue_bytes: 16MiB, clients: 300, pending: 300}")
	h := newHonest(t, g.mqtt, "plain/honest", ann("honest"))
	c := dialRaw(t, g.mqtt, "")
	c.say(login{v: 5, id: "c", user: "bob", pass: "password"}.packet())
	if ack := c.must(2); ack[1] != 0 || !bytes.Contains(ack, wire.BigEndian.AppendUint32([]byte{0x27}, 16<<20)) {
		t.Errorf("CONNACK % x does not tell the maximum packet size", ack)
	}
	c.say([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}) // nothing follows
	if first, body := c.mustEnd(); first != 0xe0 || body[0] != 0x95 {
		t.Errorf("answered with %#x % x", first, body)
	}
	before := procKiB(t, g.process, "VmHWM")
	for i := range 200 {
		in, out := mustConnect(t, g.mqtt, bob(fmt.Sprint(i))), dialRaw(t, g.mqtt, "")
		in.say([]byte{0x32, 0xf0, 0xff, 0xff, 7}, make([]byte, 100)) // 16 MiB, nearly all of which stays away
		out.say([]byte{0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4, 'M', 'Q'})
		out.mustEnd()
	}
	// Goroutines, a session and buffers for each that is connected. Taken by their
	// word it would be 3 GB, and 50 GB of the others.
	if grown := procKiB(t, g.process, "VmHWM") - before; grown > 200*64 {
		t.Errorf("200 announcements cost %d KiB", grown)
	}
	h.served()
	stillThere(t, g)
}

// TestTopicLimits: 256 bytes and 32 levels are taken, one more is refused.
func TestTopicLimits(t *testing.T) {
	g, _ := startSecurity(t, "", "")
	c := mustConnect(t, g.mqtt, login{v: 5, id: "c", user: "bob", pass: "password"})
	for topic, code := range map[string]byte{
		"plain/" + strings.Repeat("x", 250):    0,
		"plain/" + strings.Repeat("x", 251):    0x90,
		"plain" + strings.Repeat("/x", 31):     0,
		"plain" + strings.Repeat("/x", 32):     0x90,
		"plain/" + strings.Repeat("x", 60_000): 0x90,
	} {
		c.say(packet(0x32, mqttString(topic), []byte{0, 1, 0}, []byte("x")))
		got := byte(0)
		if body := c.must(4); len(body) > 2 {
			got = body[2]
		}
		if got == 0x10 { // nobody subscribes
			got = 0
		}
		if got != code {
			t.Errorf("%d bytes: PUBACK %#x, not %#x", len(topic), got, code)
		}
		if code == 0x90 {
			code = 0x8f
		}
		c.say(packet(0x82, []byte{0, 1, 0}, mqttString(topic), []byte{0}))
		if body := c.must(9); body[len(body)-1] != code {
			t.Errorf("%d bytes: SUBACK % x, not %#x", len(topic), body, code)
		}
		c.say(packet(0xa2, []byte{0, 1, 0}, mqttString(topic)))
		c.must(11)
	}
}

// TestSubscribersThatStopReading: ten of them, at QoS 0 and 1, cost less than
// 8 MiB each, whatever is published; they are cut or lose messages by the rules
// of their queue, and both are counted. Who reads gets all of it.
func TestSubscribersThatStopReading(t *testing.T) {
	g, _ := startSecurity(t, "", "limits: {write_timeout: 1s}")
	for i := range 10 {
		l := bob(fmt.Sprint("stuck-", i))
		l.keep = true
		c := mustConnect(t, g.mqtt, l)
		_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
		c.subscribe4(byte(i%2), "plain/much")
	}
	reader, writer := mustConnect(t, g.mqtt, bob("reader")), mustConnect(t, g.mqtt, ann("writer"))
	reader.subscribe4(0, "plain/much")
	before := procKiB(t, g.process, "VmHWM")
	payload := strings.Repeat("x", 64<<10)
	const n = 800 // 50 MB
	for range n {
		writer.publish1("plain/much", payload, false)
		if got := reader.message(); len(got) < len(payload) {
			t.Fatal(len(got))
		}
	}
	if grown := procKiB(t, g.process, "VmHWM") - before; grown > 10*8<<10 {
		t.Errorf("ten subscribers cost %d KiB", grown)
	}
	eventually(t, "those at QoS 0 are cut", func() bool {
		return metric(t, g, `fieldgate_broker_closed_connections_total{reason="write_timeout"}`)+
			metric(t, g, `fieldgate_broker_closed_connections_total{reason="write_buffer_full"}`) >= 5
	})
	if dropped := metric(t, g, `fieldgate_broker_dropped_total{reason="queue_full"}`); dropped < n {
		t.Errorf("%v messages dropped", dropped)
	}
	stillThere(t, g)
}

// TestLimitsAreTold: at each limit the client is told, and the rest goes on.
func TestLimitsAreTold(t *testing.T) {
	g, _ := startSecurity(t, "", "limits: {clients: 10, sessions: 10, subscriptions: 5, subscriptions_total: 12, retained: 4, retained_bytes: 8KiB}")
	h := newHonest(t, g.mqtt, "plain/honest", ann("honest"))
	five := func(id string) login { return login{v: 5, id: id, user: "bob", pass: "password"} }
	subscribe5 := func(c *rawClient, n int) (out []byte) {
		for i := range n {
			c.say(packet(0x82, []byte{0, 1, 0}, mqttString(fmt.Sprint("plain/", i)), []byte{0}))
			body := c.await(9)
			out = append(out, body[len(body)-1])
		}
		return out
	}
	c := mustConnect(t, g.mqtt, five("c"))
	if codes := subscribe5(c, 7); !bytes.Equal(codes, []byte{0, 0, 0, 0, 0, 0x97, 0x97}) {
		t.Errorf("seven subscriptions of one client: % x", codes)
	}
	if codes := subscribe5(mustConnect(t, g.mqtt, five("d")), 5); !bytes.Equal(codes, make([]byte, 5)) {
		t.Errorf("% x", codes)
	}
	if codes := subscribe5(mustConnect(t, g.mqtt, five("e")), 2); !bytes.Equal(codes, []byte{0, 0x97}) {
		t.Errorf("subscriptions in total: % x", codes)
	}
	if codes := mustConnect(t, g.mqtt, bob("f")).subscribe4(0, "plain/a"); !bytes.Equal(codes, []byte{0x80}) {
		t.Errorf("subscriptions in total, MQTT 3.1.1: % x", codes)
	}
	for i, want := range []byte{0, 0, 0, 0x97} { // the gateway's status is the fourth
		c.say(packet(0x33, mqttString(fmt.Sprint("plain/kept/", i)), []byte{0, 1, 0}, []byte("x")))
		got := byte(0)
		if body := c.await(4); len(body) > 2 && body[2] != 0x10 {
			got = body[2]
		}
		if got != want {
			t.Errorf("retained message %d: PUBACK %#x", i, got)
		}
	}
	c.say(packet(0x33, mqttString("plain/kept/0"), []byte{0, 1, 0}, make([]byte, 9000)))
	if body := c.await(4); len(body) < 3 || body[2] != 0x97 {
		t.Errorf("retained bytes: PUBACK % x", body)
	}
	for i := range 5 { // with the five that are there
		mustConnect(t, g.mqtt, five(fmt.Sprint("more-", i)))
	}
	if c, code := connectRaw(t, g.mqtt, five("eleventh")); code != 0x89 {
		t.Errorf("the eleventh client: CONNACK %#x", code)
	} else {
		c.mustEnd()
	}
	if _, code := connectRaw(t, g.mqtt, bob("eleventh")); code != 3 {
		t.Errorf("the eleventh client, MQTT 3.1.1: CONNACK %#x", code)
	}
	h.served()
	if n := metric(t, g, `fieldgate_broker_refused_connections_total{reason="clients"}`); n != 2 {
		t.Errorf("%v refused clients are counted", n)
	}
	if log := g.errOut.text(); !strings.Contains(log, "too many subscriptions") || !strings.Contains(log, "too many clients") {
		t.Error("not logged")
	}
	stillThere(t, g)
}

// TestSlowRequests: 500 connections from one address and from many that send
// their header byte by byte leave the API answering; what is announced to be long
// is not read.
func TestSlowRequests(t *testing.T) {
	g, _ := startSecurity(t, "", "")
	for i := range 1000 {
		from := "127.0.0.9"
		if i >= 500 {
			from = fmt.Sprintf("127.3.%d.%d", i%5, i/5)
		}
		c := dialRaw(t, g.http, from)
		c.say([]byte("POST /devices HTTP/1.1\r\nHost: x\r\nX-Slow: "))
		if i%100 == 0 {
			if status, text := asUser(t, g, "ann", "GET", "/devices", ""); status != 200 {
				t.Fatalf("with %d slow ones: %d %s", i, status, text)
			}
		}
	}
	if n := metric(t, g, "fieldgate_http_connections"); n > 512 {
		t.Errorf("%v connections are held", n)
	}
	if status, text := asUser(t, g, "ann", "GET", "/devices", ""); status != 200 {
		t.Errorf("%d %s", status, text)
	}

	long := dialRaw(t, g.http, "")
	long.say([]byte("POST /devices/Open/sensors/S/value HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW5uOnBhc3N3b3Jk\r\nContent-Length: 1000000000\r\n\r\n" + strings.Repeat("1", 2<<20)))
	answer := make([]byte, 12)
	_ = long.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := long.r.Read(answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413") {
		t.Errorf("a body of 1 GB is answered with %q (%v)", answer, err)
	}
	head := dialRaw(t, g.http, "")
	head.say([]byte("GET /" + strings.Repeat("x", 1<<20)))
	n, err := head.r.Read(answer)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || err == nil && !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 4") {
		t.Errorf("a header of 1 MB is answered with %q (%v)", answer[:n], err)
	}
	stillThere(t, g)
}
