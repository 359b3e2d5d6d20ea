package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

var nobody = access.Subject{}

func TestResumeInOrder(t *testing.T) {
	for _, v := range []byte{4, 5} {
		for _, qos := range []byte{1, 2} {
			t.Run(fmt.Sprintf("v%d qos%d", v, qos), func(t *testing.T) {
				r := start(t)
				sub := r.connect(who{v: v, id: "sub", keep: true})
				if sub.ack.SessionPresent {
					t.Fatal("a session out of nothing")
				}
				sub.subscribe(qos, "plain/#")
				pub := r.connect(who{id: "pub"})
				const n = 300
				for i := range 3 { // three are on their way when the link breaks
					pub.post("plain/a", fmt.Sprint(i), qos, uint16(i+1))
				}
				var ids []uint16
				for i := range 3 {
					ids = append(ids, sub.wantPublish("plain/a", fmt.Sprint(i)).PacketID)
				}
				sub.cut()
				r.awaitAbsent(nobody, "sub")
				for i := 3; i < n; i++ {
					pub.post("plain/a", fmt.Sprint(i), qos, uint16(i+1))
				}
				sub = r.connect(who{v: v, id: "sub", keep: true})
				if !sub.ack.SessionPresent {
					t.Fatal("the session is gone")
				}
				for i := 0; i < n; {
					pk, err := sub.next()
					if err != nil {
						t.Fatal(err)
					}
					if pk.FixedHeader.Type == packets.Pubrel {
						sub.reply(packets.Pubcomp, pk.PacketID)
						continue
					}
					if again := i < 3; string(pk.Payload) != fmt.Sprint(i) || pk.FixedHeader.Dup != again || again && pk.PacketID != ids[i] {
						t.Fatalf("message %d: %q dup %v, id %d", i, pk.Payload, pk.FixedHeader.Dup, pk.PacketID)
					}
					sub.reply(packets.Puback-1+qos, pk.PacketID) // PUBACK or PUBREC
					i++
				}
			})
		}
	}
}

func TestWindow(t *testing.T) {
	for _, tc := range []struct {
		v      byte
		window uint16
		want   int
	}{{4, 0, 100}, {5, 0, 100}, {5, 7, 7}, {5, 60000, 100}} {
		t.Run(fmt.Sprintf("v%d receive maximum %d", tc.v, tc.window), func(t *testing.T) {
			r := start(t)
			sub := r.connect(who{v: tc.v, id: "sub", window: tc.window})
			sub.subscribe(1, "plain/#")
			pub := r.connect(who{id: "pub"})
			const n = 250
			for i := range n {
				pub.publish("plain/a", fmt.Sprint(i), 1, uint16(i+1))
				pub.want(packets.Puback)
			}
			var ids []uint16
			for i := range tc.want {
				ids = append(ids, sub.wantPublish("plain/a", fmt.Sprint(i)).PacketID)
			}
			sub.quiet()
			sub.reply(packets.Puback, ids[0])
			sub.wantPublish("plain/a", fmt.Sprint(tc.want))
			sub.quiet()
		})
	}
}

func TestQueueDropsOldest(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.QueueMessages = 10; c.Limits.Window = 2 })
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(1, "plain/#")
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	pub := r.connect(who{id: "pub"})
	for i := range 30 {
		pub.publish("plain/a", fmt.Sprint(i), 1, uint16(i+1))
		pub.want(packets.Puback)
	}
	if n := r.Stats().Dropped["queue_full"]; n != 20 {
		t.Fatalf("%d dropped", n)
	}
	sub = r.connect(who{id: "sub", keep: true})
	for i := 20; i < 30; i++ {
		got := sub.wantPublish("plain/a", fmt.Sprint(i))
		sub.reply(packets.Puback, got.PacketID)
	}
	sub.quiet()
}

func TestQueueBytes(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.QueueBytes = 10_000 })
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(1, "plain/#")
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	pub := r.connect(who{id: "pub"})
	for i := range 30 {
		pub.publish("plain/a", fmt.Sprint(i)+"-"+long(1000), 1, uint16(i+1))
		pub.want(packets.Puback)
	}
	if n := r.Stats().QueueBytes; n > 10_000 || n < 8000 {
		t.Fatalf("%d bytes", n)
	}
	pub.publish("plain/a", long(20_000), 1, 40) // can never fit
	pub.want(packets.Puback)
	if n := r.Stats().QueueBytes; n > 10_000 {
		t.Fatalf("%d bytes", n)
	}
}

// QoS 2 towards a subscriber: PUBREL is sent again, not the message, once
// PUBREC came.
func TestResumeReleased(t *testing.T) {
	r := start(t)
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(2, "plain/#")
	pub := r.connect(who{id: "pub"})
	pub.publish("plain/a", "x", 2, 1)
	pub.want(packets.Pubrec)
	got := sub.wantPublish("plain/a", "x")
	sub.reply(packets.Pubrec, got.PacketID)
	sub.want(packets.Pubrel)
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	sub = r.connect(who{id: "sub", keep: true})
	if rel := sub.want(packets.Pubrel); rel.PacketID != got.PacketID {
		t.Fatal(rel)
	}
	sub.reply(packets.Pubcomp, got.PacketID)
	sub.quiet()
	sub.reply(packets.Pubrec, 4711) // unknown: the client is helped out of it
	sub.want(packets.Pubrel)
	sub.quiet()
}

func TestCleanStartForgets(t *testing.T) {
	r := start(t)
	sub := r.connect(who{v: 5, id: "sub", keep: true})
	sub.subscribe(1, "plain/#")
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	pub := r.connect(who{id: "pub"})
	pub.publish("plain/a", "x", 1, 1)
	pub.want(packets.Puback)
	sub = r.connect(who{v: 5, id: "sub", keep: true, dirty: true})
	if sub.ack.SessionPresent {
		t.Fatal("session present")
	}
	pub.publish("plain/a", "y", 1, 2)
	pub.want(packets.Puback)
	sub.quiet()
	if s := r.Stats(); s.Subscriptions != 0 || s.QueueMessages != 0 {
		t.Fatalf("%+v", s)
	}
}

func TestSessionExpiry(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.SessionExpiry = 1000 * time.Second })
	sub := r.connect(who{v: 5, id: "sub", keep: true, expiry: 10})
	sub.subscribe(1, "plain/#")
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	r.clock.Set(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), gateway.ClockSynced) // a clock that jumps ends nothing
	r.housekeep()
	r.clock.Advance(9 * time.Second)
	r.housekeep()
	sub = r.connect(who{v: 5, id: "sub", keep: true, expiry: 10})
	if !sub.ack.SessionPresent {
		t.Fatal("too early")
	}
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	r.clock.Advance(10 * time.Second)
	r.housekeep()
	if s := r.Stats(); s.Sessions != 0 || s.Subscriptions != 0 {
		t.Fatalf("%+v", s)
	}
	// What is asked beyond the limit is granted up to it, and the client told.
	sub = r.connect(who{v: 5, id: "sub", keep: true, expiry: 1 << 31})
	if p := sub.ack.Properties; !p.SessionExpiryIntervalFlag || p.SessionExpiryInterval != 1000 {
		t.Fatalf("%+v", p)
	}
	// DISCONNECT may shorten it, to nothing even.
	sub.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect},
		Properties: packets.Properties{SessionExpiryInterval: 0, SessionExpiryIntervalFlag: true}})
	sub.wantClosed()
	r.eventually("the session ends", func() bool { return r.Stats().Sessions == 0 })
	// But it may not prolong one that ends with its connection.
	sub = r.connect(who{v: 5, id: "sub"})
	sub.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect},
		Properties: packets.Properties{SessionExpiryInterval: 5, SessionExpiryIntervalFlag: true}})
	if code := sub.wantClosed(); code != codeProtocol {
		t.Fatalf("0x%02x", code)
	}
}

func TestTakeover(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			r := start(t)
			one := r.connect(who{v: v, id: "c", keep: true})
			one.subscribe(1, "plain/#")
			two := r.connect(who{v: v, id: "c", keep: true})
			if !two.ack.SessionPresent {
				t.Fatal("no session")
			}
			want := byte(0)
			if v == 5 {
				want = codeTakenOver
			}
			if code := one.wantClosed(); code != want {
				t.Fatalf("0x%02x", code)
			}
			pub := r.connect(who{id: "pub"})
			pub.publish("plain/a", "x", 1, 1)
			two.wantPublish("plain/a", "x")
		})
	}
}

// The same client id under another credential is another session: nobody can
// take over, disturb or inherit somebody else's.
func TestSameClientIDOtherCredential(t *testing.T) {
	r := start(t)
	ann := r.connect(who{id: "c", user: "ann", keep: true})
	ann.subscribe(1, "devices/Secret/#")
	bob := r.connect(who{id: "c", user: "bob", keep: true})
	anon := r.connect(who{id: "c", keep: true})
	key := r.connect(who{id: "c", user: "key-ann", pass: "x", keep: true})
	for _, c := range []*client{bob, anon, key} {
		if c.ack.SessionPresent {
			t.Fatal("somebody else's session")
		}
	}
	for _, c := range []*client{ann, bob, anon, key} {
		c.quiet() // all are connected
	}
	ann.cut()
	r.awaitAbsent(access.Subject{User: "ann"}, "c")
	pub := r.connect(who{id: "pub", user: "root"})
	pub.publish("devices/Secret/sensors/S/value", "1", 1, 1)
	pub.want(packets.Puback)
	for _, w := range []who{{id: "c", user: "bob", keep: true}, {id: "c", keep: true}} {
		c := r.connect(w)
		c.quiet()
	}
	ann = r.connect(who{id: "c", user: "ann", keep: true})
	ann.wantPublish("devices/Secret/sensors/S/value", "1")
}

// A storm of connections with one id ends with one of them connected.
func TestReconnectStorm(t *testing.T) {
	r := start(t)
	other := r.connect(who{id: "other"})
	const n = 60
	all := make([]*client, n)
	for i := range all {
		all[i] = r.dial()
		all[i].v = 4
		all[i].send(who{id: "c", keep: true}.packet())
	}
	r.eventually("one is left", func() bool {
		s := r.Stats()
		dealtWith := s.Connections
		for _, refused := range s.Refused {
			dealtWith += refused
		}
		return s.Clients == 2 && s.Pending == 0 && dealtWith == 1+n // none is still to be accepted
	})
	other.quiet()
	last := r.connect(who{id: "c", keep: true})
	last.quiet()
	if s := r.Stats(); s.Sessions != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestSessionLimitEvicts(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.Sessions = 5 })
	ann := r.connect(who{id: "a", user: "ann", keep: true})
	ann.cut()
	r.awaitAbsent(access.Subject{User: "ann"}, "a")
	for i := range 10 { // anonymous clients crowd out each other, not ann
		r.clock.Advance(time.Second)
		id := fmt.Sprint("x", i)
		c := r.connect(who{id: id, keep: true})
		c.cut()
		r.awaitAbsent(nobody, id)
	}
	if s := r.Stats(); s.Sessions != 5 {
		t.Fatalf("%+v", s)
	}
	if ann = r.connect(who{id: "a", user: "ann", keep: true}); !ann.ack.SessionPresent {
		t.Fatal("ann's session is gone")
	}
	var here []*client
	for i := range 4 {
		here = append(here, r.connect(who{id: fmt.Sprint("y", i)}))
	}
	c := r.dial()
	if code := c.hello(who{v: 5, id: "z"}); code != codeQuota {
		t.Fatalf("0x%02x", code)
	}
	for _, c := range here {
		c.quiet()
	}
}

func TestMessageExpiry(t *testing.T) {
	r := start(t)
	sub := r.connect(who{v: 5, id: "sub", keep: true})
	sub.subscribe(1, "plain/#")
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	pub := r.connect(who{v: 5, id: "pub"})
	for i, expiry := range []uint32{10, 100} {
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: true}, TopicName: fmt.Sprint("plain/", i), Payload: []byte("x"), PacketID: 1}
		pk.Properties.MessageExpiryInterval = expiry
		pub.send(pk)
		pub.want(packets.Puback)
	}
	r.clock.Advance(30 * time.Second)
	sub = r.connect(who{v: 5, id: "sub", keep: true})
	got := sub.wantPublish("plain/1", "x")
	if got.Properties.MessageExpiryInterval != 70 {
		t.Fatal(got.Properties.MessageExpiryInterval)
	}
	sub.quiet()
	r.housekeep()
	if s := r.Stats(); s.Retained != 1 || s.Dropped["expired"] != 1 {
		t.Fatalf("%+v", s)
	}
}

// TestMessageExpiryReachesTheHub: what is not delivered to subscribers, such as a
// command, has to know it too.
func TestMessageExpiryReachesTheHub(t *testing.T) {
	r := start(t)
	for _, c := range []struct {
		v        byte
		interval uint32
		want     time.Duration
	}{{5, 60, time.Minute}, {5, 0, 0}, {4, 0, 0}, {5, 1<<32 - 1, (1<<32 - 1) * time.Second}} {
		pub := r.connect(who{v: c.v, id: fmt.Sprint("pub", c.interval, c.v)})
		pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, TopicName: "plain/x", Payload: []byte("x"), PacketID: 1}
		pk.Properties.MessageExpiryInterval = c.interval
		before := time.Now()
		pub.send(pk)
		pub.want(packets.Puback)
		after := time.Now()
		var got time.Time
		r.hub.set(func() { got = r.hub.batches[len(r.hub.batches)-1].Carrier.Expires })
		if c.want == 0 && !got.IsZero() || c.want > 0 && (got.Before(before.Add(c.want)) || got.After(after.Add(c.want))) {
			t.Errorf("version %d, interval %d: %v", c.v, c.interval, got)
		}
	}
}

func TestPropertiesTravel(t *testing.T) {
	r := start(t)
	sub := r.connect(who{v: 5, id: "sub"})
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3,
		Filters: packets.Subscriptions{{Filter: "plain/#", Qos: 1}, {Filter: "plain/+", Qos: 2}}}
	pk.Properties.SubscriptionIdentifier = []int{77}
	sub.send(pk)
	sub.want(packets.Suback)
	old := r.connect(who{v: 4, id: "old"})
	old.subscribe(2, "plain/#")
	pub := r.connect(who{v: 5, id: "pub"})
	pk = packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2}, TopicName: "plain/a", Payload: []byte("x"), PacketID: 1}
	pk.Properties.User = []packets.UserProperty{{Key: "k", Val: "1"}, {Key: "k", Val: "2"}}
	pk.Properties.ContentType, pk.Properties.ResponseTopic, pk.Properties.CorrelationData = "text/plain", "plain/answer", []byte{1, 2}
	pk.Properties.PayloadFormat, pk.Properties.PayloadFormatFlag = 1, true
	pub.send(pk)
	if rec := pub.want(packets.Pubrec); len(rec.Properties.User) != 0 {
		t.Fatal("the acknowledgement carries the publisher's properties")
	}
	got := sub.wantPublish("plain/a", "x")
	p := got.Properties
	if got.FixedHeader.Qos != 2 || len(p.User) != 2 || p.User[1].Val != "2" || p.ContentType != "text/plain" || p.ResponseTopic != "plain/answer" ||
		string(p.CorrelationData) != "\x01\x02" || p.PayloadFormat != 1 || !p.PayloadFormatFlag {
		t.Fatalf("%+v", p)
	}
	if len(p.SubscriptionIdentifier) != 2 || p.SubscriptionIdentifier[0] != 77 {
		t.Fatal(p.SubscriptionIdentifier)
	}
	sub.quiet() // once, though two filters match
	old.wantPublish("plain/a", "x")
}

func TestMaximumPacketSizeOfClient(t *testing.T) {
	r := start(t)
	sub := r.connect(who{v: 5, id: "sub", maxSize: 200})
	sub.subscribe(1, "plain/#")
	pub := r.connect(who{id: "pub"})
	const rest = 3 + 2 + len("plain/a") + 2 + 1 // of such a packet, beside the payload
	pub.publish("plain/a", long(200-rest+1), 1, 1)
	pub.want(packets.Puback)
	pub.publish("plain/a", long(200-rest), 1, 2)
	pub.want(packets.Puback)
	sub.wantPublish("plain/a", long(200-rest))
	if n := r.Stats().Dropped["too_large_for_client"]; n != 1 {
		t.Fatal(n)
	}
}

func TestNoLocalAndRetainAsPublished(t *testing.T) {
	r := start(t)
	c := r.connect(who{v: 5, id: "c"})
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3, Filters: packets.Subscriptions{
		{Filter: "plain/quiet", NoLocal: true}, {Filter: "plain/keep", RetainAsPublished: true}, {Filter: "plain/both", NoLocal: true}, {Filter: "plain/+/#", Qos: 0}}})
	c.want(packets.Suback)
	c.publish("plain/quiet/below", "1", 0, 0)
	c.wantPublish("plain/quiet/below", "1")
	c.retain("plain/keep", "2", 0, 0)
	if got := c.wantPublish("plain/keep", "2"); !got.FixedHeader.Retain {
		t.Fatal("retain flag lost")
	}
	// One subscription with no-local does not silence another without.
	c.publish("plain/both", "3", 0, 0)
	c.wantPublish("plain/both", "3")
	other := r.connect(who{v: 5, id: "other"})
	other.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3, Filters: packets.Subscriptions{
		{Filter: "plain/quiet", NoLocal: true}}})
	other.want(packets.Suback)
	other.publish("plain/quiet", "mine", 0, 0)
	c.wantPublish("plain/quiet", "mine")
	other.quiet()
	c.publish("plain/quiet", "yours", 0, 0)
	other.wantPublish("plain/quiet", "yours")
}

func TestUnsubscribe(t *testing.T) {
	r := start(t)
	c := r.connect(who{v: 5, id: "c"})
	c.subscribe(1, "plain/a", "plain/b")
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 3, Filters: packets.Subscriptions{{Filter: "plain/a"}, {Filter: "plain/c"}}})
	if a := c.want(packets.Unsuback); a.ReasonCodes[0] != 0 || a.ReasonCodes[1] != codeNoSubscription {
		t.Fatal(a.ReasonCodes)
	}
	c.publish("plain/a", "x", 0, 0)
	c.publish("plain/b", "y", 0, 0)
	c.wantPublish("plain/b", "y")
}

func TestSubscriptionLimits(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.Filters = 3; c.Limits.FiltersTotal = 5 })
	a := r.connect(who{v: 5, id: "a"})
	if codes := a.subscribe(0, "plain/1", "plain/2", "plain/3", "plain/4", "plain/1"); fmt.Sprint(codes) != "[0 0 0 151 0]" {
		t.Fatal(codes)
	}
	b := r.connect(who{v: 4, id: "b"})
	if codes := b.subscribe(1, "plain/1", "plain/2", "plain/3"); fmt.Sprint(codes) != "[1 1 128]" {
		t.Fatal(codes)
	}
	if codes := a.subscribe(0, "plain/"+long(300), "plain"+slashes(40)); codes[0] != codeFilterInvalid || codes[1] != codeFilterInvalid {
		t.Fatal(codes)
	}
}

func TestAssignedClientID(t *testing.T) {
	r := start(t)
	c := r.connect(who{v: 5, keep: true})
	id := c.ack.Properties.AssignedClientID
	if id == "" {
		t.Fatal("none assigned")
	}
	c.cut()
	r.awaitAbsent(nobody, id)
	if c = r.connect(who{v: 5, id: id, keep: true}); !c.ack.SessionPresent || c.ack.Properties.AssignedClientID != "" {
		t.Fatal("not the same session")
	}
	r.connect(who{v: 4}).quiet() // clean session without an id is fine
	for _, w := range []who{{v: 4, keep: true}, {v: 3}} {
		c := r.dial()
		if code := c.hello(w); code != 2 {
			t.Fatalf("%+v: 0x%02x", w, code)
		}
		c.wantClosed()
	}
}
