package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// withStrictAPI starts a broker whose API refuses what is longer than its limit.
func withStrictAPI(t testing.TB, packetSize int) (*rig, *testAPI) {
	r, a := withAPI(t, func(c *Config) { c.Limits.PacketSize = packetSize })
	a.refuseMessage = func(m *gateway.Message) error {
		if len(m.Payload) > xively.MaxBody {
			return fmt.Errorf("%w: as told", gateway.ErrTooLarge)
		}
		return nil
	}
	return r, a
}

// A publish to the API that is longer than any packet may be is refused by the
// API, whose log then shows it, and the connection goes on.
func TestLongRequest(t *testing.T) {
	const topic = "/v2/feeds/504.xml"
	for _, v := range []byte{3, 4} {
		for qos := range byte(3) {
			for _, tc := range []struct{ limit, length int }{
				{0, 10 << 20}, {0, longRequest - 100}, {1024, 2000}, {1024, 10 << 20}, {xively.MaxBody, xively.MaxBody},
			} {
				t.Run(fmt.Sprint("v", v, " QoS ", qos, " ", tc), func(t *testing.T) {
					r, a := withStrictAPI(t, tc.limit)
					c := r.connect(who{v: v, id: "c", user: "ann"})
					doc := "<eeml>" + strings.Repeat("x", tc.length)
					c.post(topic, doc, qos, 7)
					a.await(t, 1)
					c.post(topic, "<eeml/>", qos, 8) // the next packet begins where it should
					a.await(t, 1)
					c.quiet()
					got := a.calls[0].msg
					if got.Topic != topic || len(got.Payload) != xively.MaxBody+1 || !strings.HasPrefix(string(got.Payload), doc[:500]) || got.QoS != qos {
						t.Errorf("%s: %d bytes: %.20q", got.Topic, len(got.Payload), got.Payload)
					}
					if got := a.calls[1].msg; string(got.Payload) != "<eeml/>" {
						t.Errorf("then %.20q", got.Payload)
					}
					r.hub.set(func() {
						if len(r.hub.refused) != 1 || len(r.hub.batches) != 0 {
							t.Errorf("%d refusals, %d batches", len(r.hub.refused), len(r.hub.batches))
						}
					})
					if n := r.Stats().BytesIn; n < uint64(tc.length) {
						t.Errorf("%d bytes counted", n)
					}
				})
			}
		}
	}
}

func TestLongRequestInOneByteSegments(t *testing.T) {
	r, a := withStrictAPI(t, 1024)
	c := r.connect(who{id: "c"})
	for _, b := range encode(t, packets.Packet{ProtocolVersion: 4, FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2},
		TopicName: feed, Payload: []byte(long(3000)), PacketID: 1}) {
		c.raw([]byte{b})
	}
	c.want(packets.Pubrec)
	c.reply(packets.Pubrel, 1)
	c.want(packets.Pubcomp)
	c.quiet()
	a.await(t, 1)
}

// Memory is taken for what is kept only, and the packet is a whole one.
func TestLongRequestTakesNoMemory(t *testing.T) {
	r, _ := withAPI(t)
	for _, limit := range []int{1024, 2 << 20} {
		whole := encode(t, packets.Packet{ProtocolVersion: 4, FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1},
			TopicName: feed, Payload: bytes.Repeat([]byte("x"), 10<<20), PacketID: 258})
		near, far := net.Pipe()
		defer near.Close()
		go func() {
			defer far.Close()
			_, _ = far.Write(append(whole, 0xc0, 0))
		}()
		c := newConn(r.Broker, near, kindTCP)
		c.sess, c.version = &session{}, 4
		header, body, err := c.readPacket(limit)
		if err != nil || header != 0x32 || !c.cut {
			t.Fatalf("0x%02x %v, cut %v", header, err, c.cut)
		}
		n, size := binary.Uvarint(c.packet[1:])
		if int(n) != len(body) || 1+size+len(body) != len(c.packet) || !bytes.HasPrefix(whole[5:], body) {
			t.Errorf("a packet of %d bytes says %d", len(c.packet), n)
		}
		if cap(c.packet) > min(limit, xively.MaxBody+1024) {
			t.Errorf("%d bytes of memory for a limit of %d", cap(c.packet), limit)
		}
		if header, _, err = c.readPacket(limit); header != 0xc0 || err != nil || c.cut {
			t.Errorf("then 0x%02x %v, cut %v", header, err, c.cut)
		}
	}
}

func TestTooLongAsEver(t *testing.T) {
	publish := func(flags byte, length int, parts ...[]byte) []byte {
		out := binary.AppendUvarint([]byte{packets.Publish<<4 | flags}, uint64(length))
		return append(out, bytes.Join(parts, nil)...)
	}
	id := []byte{0, 1}
	for name, tc := range map[string]struct {
		v      byte
		begin  []byte
		code   byte
		reason string
	}{
		"MQTT 5":              {5, publish(0, 5000), codeTooLarge, "packet_too_large"},
		"more than 32 MiB":    {4, publish(0, longRequest+1), 0, "packet_too_large"},
		"another topic":       {4, publish(0, 5000, text("plain/a")), 0, "packet_too_large"},
		"the dialect's":       {4, publish(0, 5000, text("devices/v2/sensors/S/value")), 0, "packet_too_large"},
		"wildcard":            {4, publish(0, 5000, text("/v2/feeds/#")), 0, "packet_too_large"},
		"topic over the end":  {4, publish(0, 5000, []byte{0xff, 0xff}), 0, "packet_too_large"},
		"topic over all room": {4, publish(0, 5000, []byte{0x10, 0x00}), 0, "packet_too_large"},
		"not UTF-8":           {4, publish(0, 5000, text("/v2/\xff")), 0, "bad_packet"},
		"NUL":                 {4, publish(0, 5000, text("/v2/\x00")), 0, "bad_packet"},
		"packet identifier 0": {4, publish(2, 5000, text("/v2/x"), []byte{0, 0}), 0, "bad_packet"},
		"QoS 3":               {4, publish(6, 5000, text("/v2/x"), id), 0, "bad_packet"},
		"not a PUBLISH":       {4, append([]byte{packets.Subscribe<<4 | 2, 0x88, 0x27}, id...), 0, "packet_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			r, a := withStrictAPI(t, 1024)
			c := r.connect(who{v: tc.v, id: "c"})
			c.raw(tc.begin)
			if code := c.wantClosed(); code != tc.code {
				t.Errorf("0x%02x", code)
			}
			if n := r.Stats().Closed[tc.reason]; n != 1 {
				t.Errorf("counted: %v", r.Stats().Closed)
			}
			if len(a.calls) != 0 {
				t.Errorf("the API was asked for %s", a.calls[0].topic)
			}
		})
	}
	// Nobody sends anything before CONNECT.
	r, a := withStrictAPI(t, 1024)
	c := r.dial()
	c.raw(publish(0, 5000, text("/v2/x")))
	c.wantClosed()
	// Half of it is nothing.
	c = r.connect(who{id: "c"})
	c.raw(publish(0, 5000, text("/v2/x"), []byte(long(4000))))
	c.cut()
	r.awaitAbsent(access.Subject{}, "c")
	// Whoever stops in the middle has as long as for any packet.
	c = r.connect(who{id: "c", alive: 1})
	c.raw(publish(0, 5000, text("/v2/x"), []byte(long(4000))))
	c.wantClosed()
	if n := r.Stats().Closed["keepalive"]; n != 1 {
		t.Errorf("%d keep alives", n)
	}
	if len(a.calls) != 0 {
		t.Errorf("the API was asked for %s", a.calls[0].topic)
	}
	// Without an API there is no exception.
	plain := start(t, func(c *Config) { c.Limits.PacketSize = 1024 })
	c = plain.connect(who{id: "c"})
	c.raw(publish(0, 5000, text("/v2/x")))
	c.wantClosed()
}
