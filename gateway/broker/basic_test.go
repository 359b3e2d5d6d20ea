package broker

import (
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestQoSBothWays(t *testing.T) {
	for _, v := range []byte{3, 4, 5} {
		for qos := byte(0); qos <= 2; qos++ {
			t.Run(fmt.Sprintf("v%d qos%d", v, qos), func(t *testing.T) {
				r := start(t)
				sub := r.connect(who{v: v, id: "sub"})
				if codes := sub.subscribe(qos, "plain/#", "devices/+/sensors/+/value"); codes[0] != qos || codes[1] != qos {
					t.Fatal(codes)
				}
				pub := r.connect(who{v: v, id: "pub"})
				for i, m := range []struct{ topic, payload string }{
					{"plain/a", "hello"}, {"devices/D/sensors/S/value", `{"value": "3"}`}, {"plain/a", ""},
				} {
					id := uint16(0)
					if qos > 0 {
						id = uint16(i + 1)
					}
					pub.publish(m.topic, m.payload, qos, id)
					switch qos {
					case 1:
						if a := pub.want(packets.Puback); a.PacketID != id || a.ReasonCode != 0 {
							t.Fatal(a)
						}
					case 2:
						pub.want(packets.Pubrec)
						pub.reply(packets.Pubrel, id)
						if a := pub.want(packets.Pubcomp); a.PacketID != id || a.ReasonCode != 0 {
							t.Fatal(a)
						}
					}
					got := sub.wantPublish(m.topic, m.payload)
					if got.FixedHeader.Qos != qos || got.FixedHeader.Retain || got.FixedHeader.Dup {
						t.Fatalf("%+v", got.FixedHeader)
					}
					switch qos {
					case 1:
						sub.reply(packets.Puback, got.PacketID)
					case 2:
						sub.reply(packets.Pubrec, got.PacketID)
						if rel := sub.want(packets.Pubrel); rel.PacketID != got.PacketID || rel.ReasonCode != 0 {
							t.Fatal(rel)
						}
						sub.reply(packets.Pubcomp, got.PacketID)
					}
				}
				sub.quiet()
				if n := r.Stats().QueueMessages; n != 0 {
					t.Fatalf("%d messages left", n)
				}
				if n := r.Stats().QueueBytes; n != 0 {
					t.Fatalf("%d bytes left", n)
				}
			})
		}
	}
}

func TestAcknowledgedOnlyWhenDone(t *testing.T) {
	r := start(t)
	r.hub.hold = true
	c := r.connect(who{id: "c"})
	c.publish("devices/D/sensors/S/value", "1", 1, 1)
	c.publish("devices/D/sensors/S/value", "2", 2, 2)
	c.publish("devices/D/sensors/S/value", "3", 1, 3)
	r.hub.await(t, 3)
	c.quiet()
	r.hub.letGo()
	if a := c.want(packets.Puback); a.PacketID != 1 {
		t.Fatal(a)
	}
	if a := c.want(packets.Pubrec); a.PacketID != 2 {
		t.Fatal(a)
	}
	if a := c.want(packets.Puback); a.PacketID != 3 {
		t.Fatal(a)
	}
}

// Acknowledgements come in the order of the publishes (MQTT 5.0 section 4.6),
// though a refusal is known at once.
func TestAcknowledgedInOrder(t *testing.T) {
	r := start(t)
	r.hub.hold = true
	c := r.connect(who{v: 5, id: "c"})
	c.publish("plain/a", "1", 1, 1)
	r.hub.await(t, 1)
	c.publish("devices/D/sensors/S/value", "{", 1, 2)
	r.hub.await(t, 1)
	c.quiet()
	r.hub.letGo()
	if a := c.want(packets.Puback); a.PacketID != 1 || a.ReasonCode != codeNoSubscribers {
		t.Fatal(a)
	}
	if a := c.want(packets.Puback); a.PacketID != 2 || a.ReasonCode != codePayloadInvalid {
		t.Fatal(a)
	}
}

func TestDuplicateQoS2(t *testing.T) {
	r := start(t)
	sub := r.connect(who{id: "sub"})
	sub.subscribe(0, "plain/#")
	r.hub.hold = true
	c := r.connect(who{v: 5, id: "c", keep: true})
	again := func(dup bool) {
		c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2, Dup: dup}, TopicName: "plain/a", Payload: []byte("x"), PacketID: 7})
	}
	again(false)
	r.hub.await(t, 1)
	again(true)
	c.quiet() // swallowed while it is on its way
	r.hub.letGo()
	c.want(packets.Pubrec)
	again(true)
	c.want(packets.Pubrec)
	c.cut()
	r.awaitAbsent(access.Subject{}, "c")
	c = r.connect(who{v: 5, id: "c", keep: true}) // the identifier outlives the connection
	again(true)
	c.want(packets.Pubrec)
	c.reply(packets.Pubrel, 7)
	if a := c.want(packets.Pubcomp); a.ReasonCode != 0 {
		t.Fatal(a)
	}
	c.reply(packets.Pubrel, 7)
	if a := c.want(packets.Pubcomp); a.ReasonCode != codeIDNotFound {
		t.Fatal(a)
	}
	sub.wantPublish("plain/a", "x")
	sub.quiet()
	again(false) // free again
	c.want(packets.Pubrec)
	sub.wantPublish("plain/a", "x")
}

// A QoS 2 publish whose connection ends before it is answered is answered over
// the next one, and not taken twice.
func TestQoS2AnsweredOverNextConnection(t *testing.T) {
	r := start(t)
	r.hub.hold = true
	c := r.connect(who{id: "c", keep: true})
	c.publish("plain/a", "x", 2, 5)
	r.hub.await(t, 1)
	c.cut()
	r.awaitAbsent(access.Subject{}, "c")
	c = r.connect(who{id: "c", keep: true})
	if !c.ack.SessionPresent {
		t.Fatal("no session")
	}
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2, Dup: true}, TopicName: "plain/a", Payload: []byte("x"), PacketID: 5})
	c.quiet()
	r.hub.letGo()
	c.want(packets.Pubrec)
	c.reply(packets.Pubrel, 5)
	c.want(packets.Pubcomp)
	if n := len(r.hub.batches); n != 1 {
		t.Fatalf("taken %d times", n)
	}
}

// A QoS 1 acknowledgement belongs to its connection: over the next one it could
// confirm something else.
func TestNoStalePuback(t *testing.T) {
	r := start(t)
	r.hub.hold = true
	c := r.connect(who{id: "c", keep: true})
	c.publish("plain/a", "x", 1, 5)
	r.hub.await(t, 1)
	c.cut()
	r.awaitAbsent(access.Subject{}, "c")
	c = r.connect(who{id: "c", keep: true})
	r.hub.letGo()
	c.quiet()
}

func TestRefusedPublish(t *testing.T) {
	cases := []struct {
		name, topic, payload string
		deny                 error
		code                 byte
	}{
		{"denied by the hub", "devices/D/sensors/S/value", "1", gateway.ErrDenied, codeNotAuthorized},
		{"unknown device", "devices/X/sensors/S/value", "1", gateway.ErrUnknownDevice, codeTopicInvalid},
		{"unknown sensor", "devices/D/sensors/X/value", "1", gateway.ErrUnknownSensor, codeTopicInvalid},
		{"no JSON", "devices/D/sensors/S/value", "abc", nil, codePayloadInvalid},
		{"not a number", "devices/D/sensors/S/value", "NaN", nil, codePayloadInvalid},
		{"number out of range", "devices/D/sensors/S/value", "1e999", nil, codePayloadInvalid},
		{"unreadable time", "devices/D/sensors/S/value", `{"value":1,"time":"yesterday"}`, nil, codePayloadInvalid},
		{"too deep", "devices/D/sensors/S/value", deep(1000), nil, codePayloadInvalid},
		{"1 MB", "devices/D/sensors/S/value", `"` + string(make1MB()) + `"`, nil, codeQuota},
		{"no such topic", "devices/D/sensors/S/colour", "1", nil, codeTopicInvalid},
		{"too long a topic", "plain/" + long(300), "1", nil, codeTopicInvalid},
		{"too deep a topic", "plain" + slashes(40), "1", nil, codeTopicInvalid},
		{"outside the ACL", "factory/a", "1", nil, codeNotAuthorized},
		{"$SYS", "$SYS/broker/version", "1", nil, codeNotAuthorized},
		{"the gateway's own", "gateways/gw-1/status", "1", nil, codeNotAuthorized},
		{"the gateway's own, below", "gateways/gw-1/x/y", "1", nil, codeNotAuthorized},
		{"somebody else's topic", "own/ann/c", "1", nil, codeNotAuthorized},
		{"codec payload", "devices/D", "xyz", nil, codeTopicInvalid},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := start(t)
			r.hub.deny = func(*gateway.Batch) error { return tc.deny }
			all := r.connect(who{v: 5, id: "all", user: "root"})
			all.subscribe(2, "#", "$SYS/#")
			for _, v := range []byte{4, 5} {
				c := r.connect(who{v: v, id: "c"})
				c.publish(tc.topic, tc.payload, 0, 0)
				c.publish(tc.topic, tc.payload, 1, 1)
				a := c.want(packets.Puback)
				c.publish(tc.topic, tc.payload, 2, 2)
				b := c.want(packets.Pubrec)
				if v == 4 {
					if a.ReasonCode != 0 || b.ReasonCode != 0 {
						t.Fatal("a 3.1.1 client was told")
					}
					c.reply(packets.Pubrel, 2)
					c.want(packets.Pubcomp)
				} else {
					if a.ReasonCode != tc.code || b.ReasonCode != tc.code {
						t.Fatalf("0x%02x and 0x%02x, want 0x%02x", a.ReasonCode, b.ReasonCode, tc.code)
					}
					if a.Properties.ReasonString == "" || b.Properties.ReasonString == "" {
						t.Fatal("no reason string")
					}
					c.publish("plain/x", "", 2, 2) // the identifier is free again
					r.hub.set(func() { r.hub.deny = nil })
					c.want(packets.Pubrec)
				}
				c.quiet()
			}
			r.hub.mu.Lock()
			n := len(r.hub.refused)
			r.hub.mu.Unlock()
			if n < 6 {
				t.Fatalf("%d refusals counted", n)
			}
			if tc.deny == nil {
				all.wantPublish("plain/x", "")
			}
		})
	}
}

func deep(n int) string {
	b := make([]byte, 0, 2*n)
	for range n {
		b = append(b, '[')
	}
	for range n {
		b = append(b, ']')
	}
	return string(b)
}

func make1MB() []byte {
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

func long(n int) string {
	return string(make1MB()[:n])
}

func slashes(n int) string {
	s := ""
	for range n {
		s += "/a"
	}
	return s
}
