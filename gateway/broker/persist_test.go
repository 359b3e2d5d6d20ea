package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// restart stops the broker and starts another on the same table. With kill
// nothing is written at the end.
func (r *rig) restart(table *memTable, kill bool, change ...func(*Config)) {
	r.t.Helper()
	if kill {
		copied := newMemTable()
		_ = table.Each(func(k string, v []byte) error { copied.m[k] = v; return nil })
		r.stop()
		table.mu.Lock()
		table.m = copied.m
		table.mu.Unlock()
	} else {
		r.stop()
	}
	cfg := Config{ID: "gw-1", Hub: r.hub, Access: r.access, Clock: r.clock, Table: table}
	cfg.Limits.ShutdownTimeout = 300 * time.Millisecond
	for _, fn := range change {
		fn(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	addr, err := b.Listen("127.0.0.1:0", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Broker, r.hub.b, r.addr = b, b, addr.String()
	r.run()
}

func TestRestart(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			table := newMemTable()
			r := start(t, func(c *Config) { c.Table = table })
			sub := r.connect(who{v: v, id: "sub", user: "ann", keep: true})
			sub.subscribe(2, "plain/#", "$share/g/devices/#")
			if v == 5 {
				pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3,
					Filters: packets.Subscriptions{{Filter: "plain/ids/+", Qos: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}}
				pk.Properties.SubscriptionIdentifier = []int{42}
				sub.send(pk)
				sub.want(packets.Suback)
			}
			pub := r.connect(who{v: 5, id: "pub"})
			pub.post("plain/flight", "1", 1, 1)
			first := sub.wantPublish("plain/flight", "1") // never acknowledged
			pub.post("plain/released", "2", 2, 2)
			second := sub.wantPublish("plain/released", "2")
			sub.reply(packets.Pubrec, second.PacketID)
			sub.want(packets.Pubrel)
			sub.cut()
			r.awaitAbsent(access.Subject{User: "ann"}, "sub")
			for i := range 120 {
				pub.post("plain/queue", fmt.Sprint(i), 1, uint16(i+1))
			}
			pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: true}, PacketID: 1, TopicName: "plain/ids/x", Payload: []byte("r")}
			pk.Properties.User = []packets.UserProperty{{Key: "a", Val: "b"}}
			pk.Properties.MessageExpiryInterval = 100
			pub.send(pk)
			pub.want(packets.Puback)
			pub.post("devices/D/sensors/S/value", "7", 1, 3)
			before := r.Stats()
			r.restart(table, false)
			after := r.Stats()
			if after.Sessions != 1 || after.Subscriptions != before.Subscriptions || after.QueueMessages != before.QueueMessages || after.QueueBytes != before.QueueBytes || after.Retained != 1 || after.Damaged != 0 {
				t.Fatalf("before %+v\nafter %+v", before, after)
			}
			sub = r.connect(who{v: v, id: "sub", user: "ann", keep: true})
			if !sub.ack.SessionPresent {
				t.Fatal("the session is gone")
			}
			if again := sub.wantPublish("plain/flight", "1"); !again.FixedHeader.Dup || again.PacketID != first.PacketID {
				t.Fatalf("%+v", again)
			}
			sub.reply(packets.Puback, first.PacketID)
			if rel := sub.want(packets.Pubrel); rel.PacketID != second.PacketID {
				t.Fatal(rel)
			}
			sub.reply(packets.Pubcomp, second.PacketID)
			for i := range 120 {
				sub.reply(packets.Puback, sub.wantPublish("plain/queue", fmt.Sprint(i)).PacketID)
			}
			got := sub.wantPublish("plain/ids/x", "r")
			if v == 5 {
				p := got.Properties
				if len(p.User) != 1 || p.MessageExpiryInterval != 100 || len(p.SubscriptionIdentifier) != 1 || p.SubscriptionIdentifier[0] != 42 || !got.FixedHeader.Retain {
					t.Fatalf("%+v", got)
				}
			}
			sub.reply(packets.Puback, got.PacketID)
			last := sub.wantPublish("devices/D/sensors/S/value", "7")
			sub.reply(packets.Puback, last.PacketID)
			pub = r.connect(who{id: "pub"})
			pub.post("plain/live", "8", 0, 0)
			sub.wantPublish("plain/live", "8")
			sub.leave()
			r.stop()
			if n := table.count(prefixMessage); n != 0 {
				t.Fatalf("%d messages left on disk", n)
			}
			if n := table.count(prefixSession); n != 1 {
				t.Fatalf("%d sessions on disk", n)
			}
		})
	}
}

// What was queued for an absent client is on disk before its publisher is
// acknowledged: a crash loses nothing.
func TestStoredBeforeAcknowledged(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour })
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(1, "devices/#")
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	pub := r.connect(who{id: "pub"})
	table.gate = make(chan struct{})
	pub.publish("devices/D/sensors/S/value", "1", 1, 1)
	r.hub.await(t, 1)
	pub.quiet() // not acknowledged while the disk works
	table.gate <- struct{}{}
	pub.want(packets.Puback)
	for i := 2; i < 10; i++ { // these share a write
		pub.publish("devices/D/sensors/S/value", fmt.Sprint(i), 1, uint16(i))
	}
	r.hub.await(t, 8)
	pub.quiet()
	table.gate <- struct{}{}
	pub.want(packets.Puback)
	close(table.gate)
	for range 7 {
		pub.want(packets.Puback)
	}
	table.mu.Lock()
	writes := table.writes
	table.mu.Unlock()
	if writes > 4 {
		t.Fatalf("%d writes for 9 publishes of which 8 came together", writes)
	}
	pub.post("devices/D/sensors/S/value", "qos 0", 0, 0)
	r.restart(table, true)
	sub = r.connect(who{id: "sub", keep: true})
	for i := 1; i < 10; i++ {
		got := sub.wantPublish("devices/D/sensors/S/value", fmt.Sprint(i))
		sub.reply(packets.Puback, got.PacketID)
	}
	sub.quiet()
}

// A command waits for the disk for any persistent subscriber, a connected one
// included; a reading only for absent ones.
func TestCommandWaitsForTheDisk(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour })
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(1, "devices/#")
	fleeting := r.connect(who{id: "fleeting"})
	fleeting.subscribe(1, "devices/#")
	table.gate = make(chan struct{})
	deliver := func(kind gateway.Kind, wait bool) chan error {
		settled := make(chan error, 1)
		rec := gateway.Record{Kind: kind, Device: "D", Channel: "A", Value: []byte("1")}
		r.Deliver(&gateway.Batch{From: access.System, Wait: wait, Readings: []gateway.Reading{{Kind: kind, Device: "D", Channel: "A"}}}, []gateway.Record{rec}, func(err error) { settled <- err })
		return settled
	}
	for _, ch := range []chan error{deliver(gateway.KindSensor, true), deliver(gateway.KindCommand, false)} {
		select {
		case <-ch:
		default:
			t.Fatal("waits for the disk")
		}
	}
	ch := deliver(gateway.KindCommand, true)
	sub.want(packets.Publish) // delivery does not wait
	select {
	case <-ch:
		t.Fatal("does not wait for the disk")
	default:
	}
	close(table.gate)
	if err := <-ch; err != nil {
		t.Fatal(err)
	}
	if table.count(prefixMessage) == 0 {
		t.Fatal("not on disk")
	}
}

// A disk that fails acknowledges nothing, and loses nothing when it is back.
func TestFailingTable(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour })
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(1, "plain/#")
	sub.cut()
	r.awaitAbsent(nobody, "sub")
	gone := r.connect(who{v: 5, id: "gone", keep: true})
	gone.cut()
	r.awaitAbsent(nobody, "gone")
	pub := r.connect(who{id: "pub"})
	pub.post("plain/a", "0", 1, 1)
	table.mu.Lock()
	table.fail = errors.New("no space left on device")
	table.mu.Unlock()
	pub.publish("plain/a", "1", 1, 2)
	r.hub.await(t, 3) // two batches and one refusal
	pub.quiet()
	r.connect(who{v: 5, id: "gone", dirty: true}).leave() // a session ends meanwhile
	if n := r.Stats().FlushErrors; n == 0 {
		t.Fatal("not counted")
	}
	table.mu.Lock()
	table.fail = nil
	table.mu.Unlock()
	r.Recovered()
	pub.wantClosed()
	pub = r.connect(who{id: "pub"})
	pub.post("plain/a", "1", 1, 2)
	r.restart(table, true)
	if s := r.Stats(); s.Sessions != 1 {
		t.Fatalf("%+v", s)
	}
	sub = r.connect(who{id: "sub", keep: true})
	for _, want := range []string{"0", "1", "1"} {
		sub.wantPublish("plain/a", want)
	}
	sub.quiet()
}

// What is acknowledged soon never touches the disk.
func TestGentle(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour })
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(1, "plain/#")
	pub := r.connect(who{id: "pub"})
	for i := range 200 {
		pub.post("plain/a", "x", 1, uint16(i+1))
		sub.reply(packets.Puback, sub.want(packets.Publish).PacketID)
	}
	sub.quiet()
	r.stop()
	if n := table.count(prefixMessage); n != 0 || table.writes != 1 {
		t.Fatalf("%d messages, %d writes", n, table.writes)
	}
}

func TestDamagedEntries(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table })
	for i := range 5 {
		c := r.connect(who{id: fmt.Sprint("c", i), keep: true})
		c.subscribe(1, "plain/#")
		c.cut()
		r.awaitAbsent(nobody, fmt.Sprint("c", i))
	}
	pub := r.connect(who{id: "pub"})
	for i := range 10 {
		pub.retain(fmt.Sprint("plain/", i), "x", 1, uint16(i+1))
		pub.want(packets.Puback)
	}
	r.stop()
	n := 0
	for k, v := range table.m {
		switch n++; n % 5 {
		case 0:
			table.m[k] = v[:len(v)/2]
		case 1:
			v[len(v)/2] ^= 0x10
		}
	}
	table.m["m/nobody/0000000000000001"] = encodeMessage(&storedMessage{msg: &message{topic: "a"}, qos: 1})
	table.m["m/x"] = []byte("?")
	table.m["s/"] = nil
	table.m["unknown"] = []byte("left alone")
	r.restart(table, false)
	s := r.Stats()
	if s.Damaged == 0 || s.Sessions == 0 || s.Sessions > 5 || s.Retained == 0 {
		t.Fatalf("%+v", s)
	}
	for i := range 5 {
		c := r.connect(who{id: fmt.Sprint("c", i), keep: true})
		c.quiet2()
	}
	r.stop()
	if _, ok := table.m["m/nobody/0000000000000001"]; ok {
		t.Fatal("a message without a session stays")
	}
}

// quiet2 is quiet for a client that may be sent messages.
func (c *client) quiet2() {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	for {
		pk, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		if pk.FixedHeader.Type == packets.Pingresp {
			return
		}
	}
}

// The time that is left to a session goes on after a restart, whatever the
// wall clock says.
func TestExpiryOverRestart(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table })
	r.connect(who{v: 5, id: "c", keep: true, expiry: 100}).cut()
	r.awaitAbsent(nobody, "c")
	r.clock.Advance(60 * time.Second)
	r.restart(table, false)
	r.clock.Set(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), gateway.ClockUnset)
	r.clock.Advance(39 * time.Second)
	r.housekeep()
	c := r.connect(who{v: 5, id: "c", keep: true, expiry: 100})
	if !c.ack.SessionPresent {
		t.Fatal("gone too early")
	}
	c.cut()
	r.awaitAbsent(nobody, "c")
	r.restart(table, false) // nothing but time has passed
	r.clock.Advance(99 * time.Second)
	r.restart(table, false)
	r.clock.Advance(time.Second)
	r.housekeep()
	if r.Stats().Sessions != 0 {
		t.Fatal("restarts prolong a session")
	}
	r.connect(who{v: 5, id: "c", keep: true, expiry: 100}).cut()
	r.awaitAbsent(nobody, "c")
	r.clock.Advance(100 * time.Second)
	r.housekeep()
	r.restart(table, false)
	if r.Stats().Sessions != 0 {
		t.Fatal("a lapsed session came back")
	}
	if n := table.count("s/"); n != 0 {
		t.Fatal(n)
	}
}

// A user whose right was taken away between two runs gets nothing of what was
// queued.
func TestRevokedOverRestart(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table })
	sub := r.connect(who{id: "sub", user: "bob", keep: true})
	sub.subscribe(1, "devices/#")
	sub.cut()
	r.awaitAbsent(access.Subject{User: "bob"}, "sub")
	pub := r.connect(who{id: "pub"})
	pub.post("devices/D/sensors/S/value", "1", 1, 1)
	r.restart(table, true)
	r.access.set(func() { r.access.view["D"] = nil })
	sub = r.connect(who{id: "sub", user: "bob", keep: true})
	if !sub.ack.SessionPresent {
		t.Fatal("no session")
	}
	sub.quiet()
}

// After the broker has stopped, a delivery does not claim what it cannot do.
func TestDeliverAfterStop(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table })
	r.connect(who{id: "sub", keep: true}).subscribe(1, "plain/#")
	r.stop()
	settled := make(chan error, 1)
	r.Deliver(&gateway.Batch{Wait: true, Carrier: &gateway.Message{Topic: "plain/a", QoS: 1}}, nil, func(err error) { settled <- err })
	if err := <-settled; !errors.Is(err, gateway.ErrClosed) {
		t.Fatal(err)
	}
}

func TestQueueTotal(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.QueueTotal = 20_000 })
	for i := range 10 {
		c := r.connect(who{id: fmt.Sprint("c", i), keep: true})
		c.subscribe(1, "plain/#")
		c.cut()
		r.awaitAbsent(nobody, fmt.Sprint("c", i))
	}
	pub := r.connect(who{id: "pub"})
	for i := range 20 {
		pub.post("plain/a", strings.Repeat("x", 1000), 1, uint16(i+1))
	}
	if n := r.Stats().QueueBytes; n > 20_000 {
		t.Fatal(n)
	}
}

// TestOwnWordsAreNotKept: what the gateway itself retains says how things are
// now. It is not on disk, and takes what a client had retained there with it.
func TestOwnWordsAreNotKept(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table })
	pub := r.connect(who{id: "pub"})
	pub.retain("plain/a", "a client's", 1, 1)
	pub.want(packets.Puback)
	r.stop()
	r.restart(table, false)
	if r.retained.get("plain/a") == nil {
		t.Fatal("a client's retained message is gone after a restart")
	}
	for _, topic := range []string{"plain/a", "devices/D/sensors/S/status"} {
		r.Publish(gateway.Message{Topic: topic, Payload: []byte("own"), QoS: 1, Retain: true})
		if m := r.retained.get(topic); m == nil || string(m.payload) != "own" {
			t.Fatalf("%s is not retained", topic)
		}
	}
	r.stop()
	r.restart(table, false)
	for _, topic := range []string{"plain/a", "devices/D/sensors/S/status"} {
		if m := r.retained.get(topic); m != nil {
			t.Errorf("%s is %q after a restart", topic, m.payload)
		}
	}
}
