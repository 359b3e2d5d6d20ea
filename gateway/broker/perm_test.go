package broker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// A subscription on the dialect is always granted, and each message is checked
// for its reader.
func TestDeliveryIsChecked(t *testing.T) {
	r := start(t)
	readers := map[string]*client{}
	for _, u := range []string{"", "ann", "bob", "root"} {
		readers[u] = r.connect(who{v: 5, id: "r", user: u})
		for _, f := range []string{"#", "+/+/sensors/+/value", "devices/Secret/#", "devices/#"} {
			if codes := readers[u].subscribe(1, f); codes[0] != 1 {
				t.Fatalf("%q as %q: 0x%02x", f, u, codes[0])
			}
		}
	}
	pub := r.connect(who{id: "pub"})
	pub.publish("devices/Secret/sensors/S/value", "1", 1, 1)
	pub.publish("devices/D/sensors/S/value", "2", 1, 2)
	pub.want(packets.Puback)
	pub.want(packets.Puback)
	for u, c := range readers {
		if u == "ann" || u == "root" {
			c.wantPublish("devices/Secret/sensors/S/value", "1")
		}
		c.wantPublish("devices/D/sensors/S/value", "2")
		c.quiet()
	}
}

func TestRevocation(t *testing.T) {
	for _, qos := range []byte{0, 1, 2} {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			r := start(t)
			live := r.connect(who{id: "live", user: "bob"})
			live.subscribe(qos, "#")
			gone := r.connect(who{id: "gone", user: "bob", keep: true})
			gone.subscribe(qos, "#")
			flight := r.connect(who{id: "flight", user: "bob", keep: true})
			flight.subscribe(qos, "#")
			gone.cut()
			r.awaitAbsent(access.Subject{User: "bob"}, "gone")
			pub := r.connect(who{id: "pub", user: "root"})
			pub.retain("devices/D/sensors/S/value", "1", qos, 1)
			live.wantPublish("devices/D/sensors/S/value", "1")
			flight.wantPublish("devices/D/sensors/S/value", "1") // and not acknowledged
			flight.cut()
			r.awaitAbsent(access.Subject{User: "bob"}, "flight")
			r.access.set(func() { r.access.view["D"] = nil })
			pub.publish("devices/D/sensors/S/value", "2", qos, 2)
			pub.publish("plain/end", "3", qos, 3)
			live.wantPublish("plain/end", "3") // and nothing before it
			for _, id := range []string{"gone", "flight"} {
				c := r.connect(who{id: id, user: "bob", keep: true})
				if !c.ack.SessionPresent {
					t.Fatal("no session")
				}
				if qos > 0 {
					c.wantPublish("plain/end", "3")
				}
				c.quiet()
				c.subscribe(qos, "devices/D/#") // retained: nothing either
				c.quiet()
			}
		})
	}
}

func TestSubscribePermissions(t *testing.T) {
	r := start(t)
	cases := []struct {
		user, filter string
		granted      bool
	}{
		{"", "devices/Secret/#", true}, {"", "#", true}, {"", "+/x", true}, {"", "devices", true}, {"", "+", true},
		{"", "plain/x", true}, {"", "plain", true}, {"", "factory/x", false}, {"", "factory/#", false},
		{"", "gateways/gw-1/status", true}, {"", "gateways/+/status", true}, {"", "gateways/#", true},
		{"", "gateways/gw-1/secret", false}, {"root", "gateways/gw-1/secret", true},
		{"", "$SYS/#", false}, {"root", "$SYS/#", true}, {"root", "$SYS/broker/x", true},
		{"ann", "own/ann/r", true}, {"bob", "own/ann/r", false}, {"ann", "own/+/r", true}, {"ann", "own/ann/other", false},
		{"", "$share/g/factory/x", false}, {"", "$share/g/plain/x", true}, {"", "$share/g/devices/#", true},
	}
	for _, tc := range cases {
		for _, v := range []byte{4, 5} {
			c := r.connect(who{v: v, id: "r", user: tc.user})
			code := c.subscribe(1, tc.filter)[0]
			want := byte(1)
			if !tc.granted {
				want = map[byte]byte{4: codeUnspecified, 5: codeNotAuthorized}[v]
			}
			if code != want {
				t.Errorf("v%d %q as %q: 0x%02x, want 0x%02x", v, tc.filter, tc.user, code, want)
			}
			c.leave()
		}
	}
}

// Names that read like patterns widen nothing.
func TestPatternNames(t *testing.T) {
	r := start(t)
	r.access.set(func() { r.access.acl = access.ACL{{Topic: "own/%u/%c/#", User: "*", Allow: access.ReadWrite}} })
	pub := r.connect(who{id: "c", user: "ann"})
	for _, user := range []string{"#", "+", "ann/../ann", ".*", "<b>"} {
		for _, id := range []string{"+", "#", "c/#", "<script>"} {
			c := r.connect(who{id: id, user: user})
			c.subscribe(0, "own/#", "#")
			pub.publish("own/ann/c/x", "secret", 1, 1)
			pub.want(packets.Puback)
			c.quiet()
			c.leave()
		}
	}
}

func TestOwnStatus(t *testing.T) {
	r := start(t)
	r.Publish(gateway.Message{Topic: "gateways/gw-1/status", Payload: []byte("online"), QoS: 1, Retain: true})
	r.Publish(gateway.Message{Topic: "gateways/gw-1/internal", Payload: []byte("x"), QoS: 1, Retain: true})
	c := r.connect(who{v: 5, id: "c"})
	c.subscribe(1, "gateways/#")
	if got := c.wantPublish("gateways/gw-1/status", "online"); !got.FixedHeader.Retain {
		t.Fatal("not marked as retained")
	}
	c.quiet()
	r.Publish(gateway.Message{Topic: "gateways/gw-1/status", Payload: []byte("offline"), QoS: 1, Retain: true})
	if got := c.wantPublish("gateways/gw-1/status", "offline"); got.FixedHeader.Retain {
		t.Fatal("news marked as retained")
	}
	root := r.connect(who{v: 5, id: "c", user: "root"})
	root.subscribe(1, "gateways/gw-1/+")
	got := map[string]bool{}
	for range 2 {
		got[root.want(packets.Publish).TopicName] = true
	}
	if len(got) != 2 {
		t.Fatal(got)
	}
}

func TestRetained(t *testing.T) {
	r := start(t)
	pub := r.connect(who{v: 5, id: "pub"})
	pub.retain("plain/a", "1", 1, 1)
	pub.want(packets.Puback)
	pub.retain("devices/Secret/sensors/S/value", "2", 1, 2)
	pub.want(packets.Puback)
	subscribe := func(c *client, handling byte, filter string) {
		c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3, Filters: packets.Subscriptions{{Filter: filter, Qos: 1, RetainHandling: handling}}})
		c.want(packets.Suback)
	}
	c := r.connect(who{v: 5, id: "c"})
	subscribe(c, 2, "#")
	c.quiet()
	subscribe(c, 1, "#") // exists
	c.quiet()
	subscribe(c, 1, "plain/#") // does not
	got := c.wantPublish("plain/a", "1")
	if !got.FixedHeader.Retain || got.FixedHeader.Qos != 1 {
		t.Fatalf("%+v", got.FixedHeader)
	}
	subscribe(c, 0, "plain/+")
	c.wantPublish("plain/a", "1")
	subscribe(c, 0, "$share/g/plain/a")
	c.quiet()
	ann := r.connect(who{v: 5, id: "c", user: "ann"})
	ann.subscribe(0, "devices/#")
	ann.wantPublish("devices/Secret/sensors/S/value", "2")
	pub.retain("plain/a", "", 1, 3)
	pub.want(packets.Puback)
	late := r.connect(who{id: "late"})
	late.subscribe(0, "plain/#")
	late.quiet()
	if n := r.Stats().Retained; n != 1 {
		t.Fatal(n)
	}
}

// An empty retained message on a topic of values clears what is retained, is no
// reading, and takes the right to publish there.
func TestClearRetainedValue(t *testing.T) {
	r := start(t)
	pub := r.connect(who{v: 5, id: "pub", user: "ann"})
	pub.retain("devices/Secret/sensors/S/value", "2", 1, 1)
	pub.want(packets.Puback)
	eve := r.connect(who{v: 5, id: "eve"})
	eve.retain("devices/Secret/sensors/S/value", "", 1, 1)
	if a := eve.want(packets.Puback); a.ReasonCode != codeNotAuthorized {
		t.Fatalf("0x%02x", a.ReasonCode)
	}
	if r.Stats().Retained != 1 {
		t.Fatal("cleared by a stranger")
	}
	pub.retain("devices/Secret/sensors/S/value", "", 1, 2)
	if a := pub.want(packets.Puback); a.ReasonCode != 0 {
		t.Fatalf("0x%02x", a.ReasonCode)
	}
	if r.Stats().Retained != 0 {
		t.Fatal("not cleared")
	}
	if n := len(r.hub.batches); n != 1 {
		t.Fatalf("%d batches", n)
	}
	pub.publish("devices/Secret/sensors/S/value", "", 1, 3) // without retain it is a bad reading
	if a := pub.want(packets.Puback); a.ReasonCode != codePayloadInvalid {
		t.Fatalf("0x%02x", a.ReasonCode)
	}
	// Clearing a retained message does not delete a device.
	r.Publish(gateway.Message{Topic: "devices/Secret", Payload: []byte("x"), Retain: true})
	pub.retain("devices/Secret", "", 1, 4)
	pub.want(packets.Puback)
	if len(r.hub.changes) != 0 || r.Stats().Retained != 0 {
		t.Fatal(r.hub.changes)
	}
}

func TestRetainedLimits(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.Retained = 3; c.Limits.RetainedBytes = 2000 })
	pub := r.connect(who{v: 5, id: "pub"})
	r.connect(who{id: "sub"}).subscribe(0, "plain/#")
	code := func(topic, payload string) byte {
		pub.retain(topic, payload, 1, 1)
		return pub.want(packets.Puback).ReasonCode
	}
	for i := range 3 {
		if c := code(fmt.Sprint("plain/", i), "x"); c != 0 {
			t.Fatal(c)
		}
	}
	if c := code("plain/3", "x"); c != codeQuota {
		t.Fatal(c)
	}
	if c := code("plain/2", long(2000)); c != codeQuota {
		t.Fatal(c)
	}
	if c := code("plain/2", "y"); c != 0 {
		t.Fatal(c)
	}
	if c := code("devices/D/sensors/S/value", "5"); c != 0 { // a reading counts all the same
		t.Fatal(c)
	}
	if n := r.Stats().Retained; n != 3 {
		t.Fatal(n)
	}
}

// Many retained messages reach a subscriber whole, whatever the length of its
// queue, and before what comes later.
func TestManyRetained(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			r := start(t, func(c *Config) { c.Limits.QueueMessages = 10; c.Limits.WriteBuffer = 4096 })
			const n = 2000
			for i := range n {
				r.Publish(gateway.Message{Topic: fmt.Sprint("plain/", i), Payload: []byte(long(100)), QoS: 1, Retain: true})
			}
			c := r.connect(who{id: "c"})
			c.subscribe(qos, "plain/#")
			seen := map[string]bool{}
			for range n {
				pk := c.want(packets.Publish)
				if !pk.FixedHeader.Retain {
					t.Fatal("not retained")
				}
				seen[pk.TopicName] = true
				if len(seen) == 1 {
					r.Publish(gateway.Message{Topic: "plain/live", Payload: []byte("x"), QoS: 1})
				}
				if qos > 0 {
					c.reply(packets.Puback, pk.PacketID)
				}
			}
			if len(seen) != n {
				t.Fatal(len(seen))
			}
			c.wantPublish("plain/live", "x")
		})
	}
}

func TestSharedSubscription(t *testing.T) {
	r := start(t)
	ann1 := r.connect(who{id: "1", user: "ann"})
	ann2 := r.connect(who{id: "2", user: "ann"})
	bob := r.connect(who{id: "3", user: "bob"}) // may not see Secret
	for _, c := range []*client{ann1, bob, ann2} {
		c.subscribe(0, "$share/g/devices/#")
	}
	other := r.connect(who{id: "4", user: "ann"})
	other.subscribe(0, "$share/h/devices/#")
	pub := r.connect(who{id: "pub", user: "root"})
	const n = 40
	for i := range n {
		pub.publish("devices/Secret/sensors/S/value", fmt.Sprint(i), 1, uint16(i+1))
		pub.want(packets.Puback)
	}
	bob.quiet()
	for i := range n {
		other.wantPublish("devices/Secret/sensors/S/value", fmt.Sprint(i))
	}
	count := func(c *client) int {
		c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
		for n := 0; ; n++ {
			pk, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			if pk.FixedHeader.Type == packets.Pingresp {
				return n
			}
		}
	}
	a, b := count(ann1), count(ann2)
	if a+b != n || a < n/4 || b < n/4 {
		t.Fatalf("%d and %d of %d", a, b, n)
	}
	// Nobody connected: one who is absent gets it later.
	ann3 := r.connect(who{id: "5", user: "ann", keep: true})
	ann3.subscribe(1, "$share/k/plain/#")
	ann3.cut()
	r.awaitAbsent(access.Subject{User: "ann"}, "5")
	pub.publish("plain/x", "later", 1, 1)
	pub.want(packets.Puback)
	ann3 = r.connect(who{id: "5", user: "ann", keep: true})
	ann3.wantPublish("plain/x", "later")
}

func TestAccountGone(t *testing.T) {
	r := start(t)
	c := r.connect(who{v: 5, id: "c", user: "ann", keep: true})
	c.subscribe(1, "plain/#")
	away := r.connect(who{v: 5, id: "away", user: "ann", keep: true})
	away.subscribe(1, "plain/#")
	away.cut()
	r.awaitAbsent(access.Subject{User: "ann"}, "away")
	r.access.set(func() { r.access.dead["ann"] = true })
	r.DropDead()
	if code := c.wantClosed(); code != codeAdministrative {
		t.Fatalf("0x%02x", code)
	}
	r.eventually("the sessions are gone", func() bool { return r.Stats().Sessions == 0 })
	r.access.set(func() { delete(r.access.dead, "ann") }) // somebody else of that name
	for _, id := range []string{"c", "away"} {
		if c := r.connect(who{v: 5, id: id, user: "ann", keep: true}); c.ack.SessionPresent {
			t.Fatal("inherited a session")
		}
	}
}

func TestDeviceCreationIsSeenByAdminAndCreator(t *testing.T) {
	r := start(t)
	readers := map[string]*client{}
	for _, u := range []string{"", "ann", "bob", "root"} {
		readers[u] = r.connect(who{id: "r", user: u})
		readers[u].subscribe(0, "devices", "+")
	}
	pub := r.connect(who{id: "pub", user: "ann"})
	pub.publish("devices", `{"id":"N","name":"n"}`, 1, 1)
	pub.want(packets.Puback)
	readers["ann"].wantPublish("devices", `{"id":"N","name":"n"}`)
	readers["root"].wantPublish("devices", `{"id":"N","name":"n"}`)
	readers[""].quiet()
	readers["bob"].quiet()
	if len(r.hub.changes) != 1 || r.hub.changes[0].Op != gateway.CreateDevice || r.hub.changes[0].NewDevice.ID != "N" {
		t.Fatalf("%+v", r.hub.changes)
	}
}

// What the disk does not take is not acknowledged, and the client is made to
// send it again when the disk does.
func TestNotKept(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			r := start(t)
			r.hub.deny = func(*gateway.Batch) error { return fmt.Errorf("submit: %w", gateway.ErrNotKept) }
			c := r.connect(who{v: v, id: "c"})
			c.publish("devices/D/sensors/S/value", "1", 1, 1)
			c.publish("devices/D/sensors/S/value", "1", 2, 2)
			r.hub.await(t, 2)
			c.quiet()
			other := r.connect(who{v: v, id: "other"})
			r.Recovered()
			want := byte(0)
			if v == 5 {
				want = codeBusy
			}
			if code := c.wantClosed(); code != want {
				t.Fatalf("0x%02x", code)
			}
			other.quiet()
			r.hub.set(func() { r.hub.deny = nil })
			c = r.connect(who{v: v, id: "c"})
			c.publish("devices/D/sensors/S/value", "1", 1, 1)
			c.publish("devices/D/sensors/S/value", "1", 2, 2)
			c.want(packets.Puback)
			c.want(packets.Pubrec)
		})
	}
}

func TestReadingsWithoutCarrier(t *testing.T) {
	r := start(t)
	c := r.connect(who{id: "c"})
	c.subscribe(1, "devices/#")
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	settled := make(chan error, 1)
	r.Deliver(&gateway.Batch{From: access.System}, []gateway.Record{
		{Kind: gateway.KindSensor, Device: "D", Channel: "S", Value: []byte("25.60"), At: at},
		{Kind: gateway.KindMessage, Topic: "forward/only", Value: []byte("x")},
		{Kind: gateway.KindCommand, Device: "D", Channel: "A", Value: []byte("true"), At: at},
	}, func(err error) { settled <- err })
	if err := <-settled; err != nil {
		t.Fatal(err)
	}
	c.wantPublish("devices/D/sensors/S/value", `{"value":25.60,"timestamp":"2026-11-22T10:00:00.000000Z"}`)
	c.wantPublish("devices/D/actuators/A/value", `{"value":true,"timestamp":"2026-11-22T10:00:00.000000Z"}`)
	c.quiet()
}

func TestLoginAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		w      who
		err    error
		anon   bool
		v5, v3 byte
	}{
		{"wrong password", who{user: "ann", pass: "x"}, nil, true, codeBadCredentials, 4},
		{"unknown name", who{user: "zoe", pass: "x"}, nil, true, codeBadCredentials, 4},
		{"no name", who{}, nil, false, codeNotAuthorized, 5},
		{"throttled", who{user: "ann"}, access.ErrThrottled, true, codeConnectionRate, 5},
		{"busy", who{user: "ann"}, access.ErrBusy, true, codeBusy, 3},
		{"anything else", who{user: "ann"}, errors.New("?"), true, codeNotAuthorized, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := start(t)
			r.access.anonymous, r.access.login = tc.anon, tc.err
			for v, want := range map[byte]byte{3: tc.v3, 4: tc.v3, 5: tc.v5} {
				w := tc.w
				w.v, w.id = v, "c"
				c := r.dial()
				if code := c.hello(w); code != want {
					t.Errorf("v%d: 0x%02x, want 0x%02x", v, code, want)
				}
				c.wantClosed()
			}
			if s := r.Stats(); s.Clients != 0 || s.Sessions != 0 {
				t.Fatalf("%+v", s)
			}
		})
	}
}

// Whatever the accounts say, nobody is somebody without a password (RabbitMQ
// once let such clients in).
func TestNameWithoutPassword(t *testing.T) {
	r := start(t)
	for _, given := range []bool{false, true} {
		pk := who{id: "c"}.packet()
		pk.Connect.UsernameFlag, pk.Connect.Username, pk.Connect.PasswordFlag = true, []byte("careless"), given
		c := r.dial()
		c.v = 4
		c.send(pk)
		if code := c.want(packets.Connack).ReasonCode; code != 4 {
			t.Fatalf("password given %v: %d", given, code)
		}
		c.wantClosed()
	}
	c := r.dial() // a key needs none
	c.v = 4
	pk := who{id: "c"}.packet()
	pk.Connect.UsernameFlag, pk.Connect.Username = true, []byte("key-1")
	c.send(pk)
	if code := c.want(packets.Connack).ReasonCode; code != 0 {
		t.Fatal(code)
	}
}
