package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
)

// packet builds a packet by hand.
func packet(header byte, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	out := []byte{header}
	for n := len(b); ; {
		d := byte(n % 128)
		if n /= 128; n > 0 {
			out = append(out, d|0x80)
			continue
		}
		return append(append(out, d), b...)
	}
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func props(b ...[]byte) []byte { return packet(0, b...)[1:] }

var (
	id1  = []byte{0, 1}
	none = []byte{0} // no properties
)

// rawConnect is a CONNECT with clean start and keep alive 60.
func rawConnect(v, flags byte, rest ...[]byte) []byte {
	head := append(text("MQTT"), v, flags|2, 0, 60)
	return packet(packets.Connect<<4, append([][]byte{head}, rest...)...)
}

// Brokers have been brought down by each of these. Here they cost their sender
// its connection at most; everybody else goes on.
func TestAttacks(t *testing.T) {
	const dies, lives = true, false
	type attack struct {
		name string
		v    byte // 0: before CONNECT
		send []byte
		dies bool
	}
	userProps := func(n int) []byte {
		return bytes.Repeat(append([]byte{packets.PropUser}, append(text("k"), text("v")...)...), n)
	}
	pub := func(topic []byte, v byte) []byte {
		if v == 5 {
			return packet(0x30, topic, none, []byte("x"))
		}
		return packet(0x30, topic, []byte("x"))
	}
	attacks := []attack{
		{"SUBSCRIBE without an options byte, v5", 5, []byte{0x82, 0x08, 0, 1, 0, 0, 3, 'a', '/', 'b'}, dies},
		{"SUBSCRIBE without an options byte, v4", 4, []byte{0x82, 0x07, 0, 1, 0, 3, 'a', '/', 'b'}, dies},
		{"SUBSCRIBE without a filter", 5, packet(0x82, id1, none), dies},
		{"SUBSCRIBE with QoS 3", 4, packet(0x82, id1, text("a"), []byte{3}), dies},
		{"SUBSCRIBE with packet id 0", 4, packet(0x82, []byte{0, 0}, text("a"), []byte{0}), dies},
		{"SUBSCRIBE with wrong flags", 4, packet(0x80, id1, text("a"), []byte{0}), dies},
		{"SUBSCRIBE with retain handling 3", 5, packet(0x82, id1, none, text("a"), []byte{0x30}), dies},
		{"100,000 filters", 4, packet(0x82, id1, bytes.Repeat(append(text("a"), 0), 100_000)), dies},
		{"65,400 slashes in a filter", 4, packet(0x82, id1, text(string(bytes.Repeat([]byte("/"), 65_400))), []byte{0}), lives},
		{"65,400 slashes in a topic", 4, pub(text(string(bytes.Repeat([]byte("/"), 65_400))), 4), lives},
		{"UNSUBSCRIBE from 65,400 slashes", 4, packet(0xa2, id1, text(string(bytes.Repeat([]byte("/"), 65_400)))), lives},
		{"Remaining Length far beyond the body", 4, []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'}, dies},
		{"Remaining Length far beyond the body, before CONNECT", 0, []byte{0x10, 0xff, 0xff, 0xff, 0x7f, 0, 4, 'M'}, dies},
		{"length of a topic beyond the body", 4, packet(0x30, []byte{0xff, 0xff, 'a'}), dies},
		{"property length beyond the body", 5, packet(0x30, text("a"), []byte{0x7f, 1}), dies},
		{"five-byte remaining length", 4, []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, dies},
		{"five-byte remaining length, before CONNECT", 0, []byte{0x10, 0xff, 0xff, 0xff, 0xff, 0x7f}, dies},
		{"five-byte property length", 5, packet(0x30, text("a"), []byte{0x80, 0x80, 0x80, 0x80, 0x01}), dies},
		{"five-byte subscription identifier", 5, packet(0x82, id1, props([]byte{packets.PropSubscriptionIdentifier, 0x80, 0x80, 0x80, 0x80, 0x01}), text("a"), []byte{0}), dies},
		{"subscription identifier in PUBLISH", 5, packet(0x30, text("a"), props([]byte{packets.PropSubscriptionIdentifier, 1})), dies},
		{"topic alias of nothing", 5, packet(0x30, text(""), props([]byte{packets.PropTopicAlias, 0, 1})), dies},
		{"topic alias 0", 5, packet(0x30, text("a"), props([]byte{packets.PropTopicAlias, 0, 0})), dies},
		{"topic alias 65535", 5, packet(0x30, text("a"), props([]byte{packets.PropTopicAlias, 255, 255})), dies},
		{"illegal properties in a will", 0, rawConnect(5, 4, none, text("c"), props([]byte{packets.PropTopicAlias, 0, 1}), text("plain/w"), text("x")), dies},
		{"session expiry in a will", 0, rawConnect(5, 4, none, text("c"), props([]byte{packets.PropSessionExpiryInterval, 0, 0, 0, 1}), text("plain/w"), text("x")), dies},
		{"will on a wildcard", 0, rawConnect(4, 4, text("c"), text("a/#"), text("x")), dies},
		{"will of QoS 3", 0, rawConnect(4, 4|0x18, text("c"), text("a"), text("x")), dies},
		{"will flags without a will", 0, rawConnect(4, 0x20, text("c")), dies},
		{"will on a topic of length 0", 0, rawConnect(4, 4, text("c"), text(""), text("x")), dies},
		{"CONNECT cut off", 0, rawConnect(4, 4, text("c"), text("a")), dies},
		{"CONNECT with something behind it", 0, rawConnect(4, 0, text("c"), []byte{1, 2, 3}), dies},
		{"CONNECT with the reserved flag", 0, rawConnect(4, 1, text("c")), dies},
		{"CONNECT with a NUL in the client id", 0, rawConnect(4, 0, text("a\x00b")), dies},
		{"CONNECT with a password but no user", 0, rawConnect(4, 0x40, text("c"), text("pw")), dies},
		{"CONNECT of 1 MB", 0, rawConnect(4, 0x40|0x80, text("c"), text("u"), make1MB()), dies},
		{"CONNECT of another protocol", 0, packet(0x10, text("HTTP"), []byte{4, 2, 0, 60}, text("c")), dies},
		{"an authentication method", 0, rawConnect(5, 0, props([]byte{packets.PropAuthenticationMethod}, text("x")), text("c")), dies},
		{"receive maximum 0", 0, rawConnect(5, 0, props([]byte{packets.PropReceiveMaximum, 0, 0}), text("c")), dies},
		{"a property twice", 0, rawConnect(5, 0, props([]byte{packets.PropReceiveMaximum, 0, 9, packets.PropReceiveMaximum, 0, 9}), text("c")), dies},
		{"PUBLISH before CONNECT", 0, pub(text("plain/a"), 4), dies},
		{"second CONNECT", 4, rawConnect(4, 0, text("c")), dies},
		{"AUTH", 5, []byte{0xf0, 0}, dies},
		{"reserved type 0", 4, []byte{0, 0}, dies},
		{"reserved type 15 to v4", 4, []byte{0xf0, 0}, dies},
		{"topic of length 0, v4", 4, pub(text(""), 4), dies},
		{"topic of length 0, v5", 5, pub(text(""), 5), dies},
		{"topic with a wildcard", 4, pub(text("plain/#"), 4), dies},
		{"topic with NUL", 4, pub(text("plain/\x00"), 4), dies},
		{"topic that is not UTF-8", 4, pub(text("plain/\xff\xfe"), 4), dies},
		{"topic with a surrogate", 4, pub(text("plain/\xed\xa0\x80"), 4), dies},
		{"topic cut off", 4, packet(0x30, []byte{0}), dies},
		{"QoS 3", 4, packet(0x36, text("plain/a"), id1), dies},
		{"DUP at QoS 0", 4, packet(0x38, text("plain/a")), dies},
		{"packet id 0", 4, packet(0x32, text("plain/a"), []byte{0, 0}), dies},
		{"PUBREL with wrong flags", 4, packet(0x60, id1), dies},
		{"PUBACK cut off", 4, packet(0x40, []byte{1}), dies},
		{"PUBACK too long", 4, packet(0x40, id1, []byte{0}), dies},
		{"PINGREQ with a body", 4, packet(0xc0, []byte{1}), dies},
		{"DISCONNECT with a body, v4", 4, packet(0xe0, []byte{0}), dies},
		{"thousands of user properties", 5, packet(0x30, text("plain/a"), props(userProps(5000))), dies},
		{"thousands of user properties in CONNECT", 0, rawConnect(5, 0, props(userProps(5000)), text("c")), dies},
		{"thousands of user properties in a will", 0, rawConnect(5, 4, none, text("c"), props(userProps(5000)), text("plain/w"), text("x")), dies},
		{"$share/x without a second slash", 5, packet(0x82, id1, none, text("$share/x"), []byte{0}), dies},
		{"$share without anything", 5, packet(0x82, id1, none, text("$share"), []byte{0}), dies},
		{"$share with an empty group", 5, packet(0x82, id1, none, text("$share//a"), []byte{0}), dies},
		{"$share with a wildcard group", 4, packet(0x82, id1, text("$share/+/a"), []byte{0}), dies},
		{"$share with an empty filter", 4, packet(0x82, id1, text("$share/g/"), []byte{0}), dies},
		{"no-local on a share", 5, packet(0x82, id1, none, text("$share/g/a"), []byte{4}), dies},
		{"UNSUBSCRIBE from $share/x", 4, packet(0xa2, id1, text("$share/x")), dies},
		{"filter a+/b", 4, packet(0x82, id1, text("a+/b"), []byte{0}), dies},
		{"filter a#", 4, packet(0x82, id1, text("a#"), []byte{0}), dies},
		{"filter #/a", 4, packet(0x82, id1, text("#/a"), []byte{0}), dies},
		{"filter of length 0", 4, packet(0x82, id1, text(""), []byte{0}), dies},
		{"filter that is not UTF-8", 4, packet(0x82, id1, text("\xff"), []byte{0}), dies},
		{"unknown acknowledgements", 4, bytes.Join([][]byte{packet(0x40, id1), packet(0x50, id1), packet(0x62, id1), packet(0x70, id1)}, nil), lives},
		{"unknown acknowledgements, v5", 5, bytes.Join([][]byte{packet(0x40, id1), packet(0x50, id1), packet(0x62, id1), packet(0x70, id1)}, nil), lives},
	}
	for kind := packets.Connack; kind <= packets.Pingresp; kind++ {
		switch kind {
		case packets.Connack, packets.Suback, packets.Unsuback, packets.Pingresp:
			for _, v := range []byte{4, 5} {
				attacks = append(attacks, attack{fmt.Sprintf("%s from a client, v%d", packets.PacketNames[kind], v), v, packet(kind<<4, id1, none, none), dies})
			}
		}
	}
	r := start(t)
	a := r.connect(who{id: "bystander"})
	a.subscribe(1, "plain/#")
	for _, at := range attacks {
		t.Run(at.name, func(t *testing.T) {
			c := r.dial()
			if at.v != 0 {
				if code := c.hello(who{v: at.v, id: "attacker"}); code != 0 {
					t.Fatal(code)
				}
			} else {
				c.v = 4
			}
			c.raw(at.send)
			if at.dies {
				closed := readToEnd(t, c)
				if at.v == 5 && (len(closed) < 3 || closed[0] != packets.Disconnect<<4 || closed[2] < codeUnspecified) {
					t.Fatalf("no DISCONNECT with a reason: % x", closed)
				}
			} else {
				c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
				for {
					pk, err := c.next()
					if err != nil {
						t.Fatal(err)
					}
					if pk.FixedHeader.Type == packets.Pingresp {
						break
					}
				}
			}
			a.t = t
			a.publish("plain/x", at.name, 1, 1)
			for range 2 { // own message and its acknowledgement, in either order
				pk, err := a.next()
				if err != nil {
					t.Fatalf("a bystander suffers: %v", err)
				}
				if pk.FixedHeader.Type == packets.Publish {
					a.reply(packets.Puback, pk.PacketID)
				}
			}
			if n := r.Stats().Panics; n != 0 {
				t.Fatalf("%d panics", n)
			}
		})
	}
}

// readToEnd reads what the broker says before it closes.
func readToEnd(t *testing.T, c *client) []byte {
	t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	var got bytes.Buffer
	_, err := got.ReadFrom(c.r)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatal("the connection lives")
	}
	return got.Bytes()
}

func TestManyQoS2WithOneID(t *testing.T) {
	r := start(t)
	r.hub.hold = true
	c := r.connect(who{v: 5, id: "c"})
	for range 5000 {
		c.publish("plain/a", "x", 2, 1)
	}
	c.quiet()
	r.hub.letGo()
	c.want(packets.Pubrec)
	if len(r.hub.batches) != 1 {
		t.Fatal(len(r.hub.batches))
	}
}

// An MQTT 5 client that ignores the receive maximum is cut; one of 3.1.1,
// which has no such thing, is not read until there is room again.
func TestReceiveMaximum(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			r := start(t, func(c *Config) { c.Limits.ReceiveMaximum = 10 })
			r.hub.hold = true
			c := r.connect(who{v: 5, id: "c"})
			if n := c.ack.Properties.ReceiveMaximum; n != 10 {
				t.Fatal(n)
			}
			for i := range 11 {
				c.publish("plain/a", "x", qos, uint16(i+1))
			}
			if code := c.wantClosed(); code != codeReceiveMaximum {
				t.Fatalf("0x%02x", code)
			}
			c = r.connect(who{v: 4, id: "d"})
			for i := range 25 {
				c.publish("plain/a", "x", qos, uint16(i+1))
			}
			r.hub.await(t, 20) // 10 of the first and 10 of the second
			r.hub.mu.Lock()
			if n := len(r.hub.batches); n != 20 {
				t.Errorf("%d at once", n)
			}
			r.hub.mu.Unlock()
			r.hub.letGo()
			for range 25 {
				if pk, err := c.next(); err != nil || pk.FixedHeader.Type != packets.Puback-1+qos {
					t.Fatal(pk, err)
				}
			}
		})
	}
}

// A client that waits for room and is taken over does not hold anybody up.
func TestBlockedPublisherCanBeTakenOver(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.ReceiveMaximum = 2 })
	r.hub.hold = true
	c := r.connect(who{id: "c"})
	for i := range 5 {
		c.publish("plain/a", "x", 1, uint16(i+1))
	}
	r.hub.await(t, 2)
	r.connect(who{id: "c"}).quiet()
}

func TestConnectDeadline(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.ConnectTimeout = time.Second })
	in := r.connect(who{id: "in"})
	silent := r.dial()
	half := r.dial()
	half.raw([]byte{0x10, 20, 0, 4, 'M'})
	for _, c := range []*client{silent, half} {
		c.wantClosed()
	}
	in.quiet() // who was let in is not hurried
}

// Half a packet is cut after one and a half times the keep alive.
func TestHalfPacket(t *testing.T) {
	for _, v := range []byte{4, 5} {
		r := start(t)
		c := r.connect(who{v: v, id: "c", alive: 1})
		c.raw([]byte{0x30, 20, 0})
		want := byte(0)
		if v == 5 {
			want = codeKeepAlive
		}
		if code := c.wantClosed(); code != want {
			t.Fatalf("v%d: 0x%02x", v, code)
		}
		if n := r.Stats().Closed["keepalive"]; n != 1 {
			t.Fatal(n)
		}
	}
}

// Who connects and says nothing locks nobody out.
func TestSilentConnections(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.Pending = 10 })
	for range 200 {
		r.dial()
	}
	r.connect(who{id: "c"}).quiet()
	if s := r.Stats(); s.Pending > 10 || s.Refused["pending"] < 100 {
		t.Fatalf("%+v", s)
	}
}

func TestClientLimit(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.Clients = 3 })
	for i := range 3 {
		r.connect(who{id: fmt.Sprint(i)})
	}
	for v, want := range map[byte]byte{4: 3, 5: codeBusy} {
		c := r.dial()
		if code := c.hello(who{v: v, id: "x"}); code != want {
			t.Fatalf("0x%02x", code)
		}
		c.wantClosed()
	}
	r.connect(who{id: "1"}).quiet() // coming again is not one more
}

// Keep alives of 0 and of 65,535, from which mochi would compute nonsense.
func TestExtremeKeepAlives(t *testing.T) {
	r := start(t)
	for i, alive := range []uint16{0, 1 << 15, 43691, 65535} {
		r.connect(who{id: fmt.Sprint(i), alive: alive}).quiet()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		if c.asked.keepAlive > 0 && c.idle < 30_000*time.Second {
			t.Fatalf("keep alive %d gives %v", c.asked.keepAlive, c.idle)
		}
	}
}

// The limit is known from the header: a packet that is too large costs no
// memory and is not waited for.
func TestPacketLimit(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.PacketSize = 10_000 })
	c := r.connect(who{v: 5, id: "c"})
	if n := c.ack.Properties.MaximumPacketSize; n != 10_000 {
		t.Fatal(n)
	}
	c.subscribe(0, "plain/#")
	c.publish("plain/a", long(9000), 0, 0)
	c.wantPublish("plain/a", long(9000))
	c.raw([]byte{0x30, 0x91, 0x4e}) // 10,001 bytes follow, it says
	if code := c.wantClosed(); code != codeTooLarge {
		t.Fatalf("0x%02x", code)
	}
}

func TestOneByteSegments(t *testing.T) {
	r := start(t)
	sub := r.connect(who{id: "sub"})
	sub.subscribe(0, "plain/#")
	c := r.dial()
	c.v = 5
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
	}
	var all []byte
	all = append(all, encode(t, who{v: 5, id: "c", user: "ann"}.packet())...)
	for i := range 3 {
		all = append(all, encode(t, packets.Packet{ProtocolVersion: 5, FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, PacketID: uint16(i + 1), TopicName: "plain/a", Payload: []byte(long(200))})...)
	}
	for _, b := range all {
		c.raw([]byte{b})
	}
	c.want(packets.Connack)
	for range 3 {
		c.want(packets.Puback)
		sub.wantPublish("plain/a", long(200))
	}
}

// Wrong protocol levels are answered as MQTT says.
func TestProtocolLevels(t *testing.T) {
	r := start(t)
	for level, want := range map[byte][]byte{2: {0x20, 2, 0, 1}, 0x85: {0x20, 2, 0, 1}, 6: {0x20, 22, 0, 0x84}} {
		c := r.dial()
		c.raw(packet(0x10, text("MQTT"), []byte{level, 2, 0, 60}, text("c")))
		if got := readToEnd(t, c); !bytes.HasPrefix(got, want) {
			t.Errorf("level %d: % x, want % x", level, got, want)
		}
	}
	c := r.connect(who{v: 3, id: long(100)}) // more than the 23 bytes of 3.1
	c.quiet()
}

// A panic in what a client triggers ends its connection only, leaves nothing
// behind, and does not forget the will.
func TestPanicIsCaught(t *testing.T) {
	r := start(t)
	watch := r.connect(who{id: "watch"})
	watch.subscribe(0, "plain/#")
	c := r.connect(who{id: "c", topic: "plain/will", payload: "bye"})
	r.hub.set(func() {
		r.hub.deny = func(b *gateway.Batch) error {
			if b.Carrier.Topic == "plain/boom" {
				r.hub.mu.Unlock() // it is locked again by nobody: the panic leaves it so
				panic("boom")
			}
			return nil
		}
	})
	c.publish("plain/boom", "x", 1, 1)
	c.wantClosed()
	watch.wantPublish("plain/will", "bye")
	watch.quiet()
	r.connect(who{id: "c"}).quiet()
	if n := r.Stats().Panics; n != 1 {
		t.Fatal(n)
	}
	if n := r.server.Clients.Len(); n != 0 {
		t.Fatalf("mochi holds %d clients that it has greeted", n)
	}
	r.count.panics.Store(0) // expected
}

func TestDeliverPanicSettles(t *testing.T) {
	r := start(t)
	c := r.connect(who{id: "c", user: "ann"})
	c.subscribe(0, "plain/#")
	r.access.set(func() { r.access.boom = true })
	settled := make(chan error, 1)
	r.Deliver(&gateway.Batch{Carrier: &gateway.Message{Topic: "plain/x", Payload: []byte("x")}}, nil, func(err error) { settled <- err })
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	r.access.set(func() { r.access.boom = false })
	if n := r.count.panics.Swap(0); n != 1 {
		t.Fatal(n)
	}
	c.publish("plain/x", "y", 0, 0)
	c.wantPublish("plain/x", "y")
}
