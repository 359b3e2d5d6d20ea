package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestWill(t *testing.T) {
	mine := who{id: "w", topic: "plain/will", payload: "bye", qos: 1}
	for _, tc := range []struct {
		name  string
		v     byte
		end   func(t *testing.T, r *rig, c *client)
		fires bool
	}{
		{"link broken", 4, func(t *testing.T, r *rig, c *client) { c.cut() }, true},
		{"DISCONNECT", 4, func(t *testing.T, r *rig, c *client) { c.leave() }, false},
		{"DISCONNECT", 5, func(t *testing.T, r *rig, c *client) { c.leave() }, false},
		{"DISCONNECT with will", 5, func(t *testing.T, r *rig, c *client) {
			c.raw([]byte{packets.Disconnect << 4, 1, codeDisconnectWill}) // no property length: legal
			c.wantClosed()
		}, true},
		{"DISCONNECT with another reason", 5, func(t *testing.T, r *rig, c *client) {
			c.raw([]byte{packets.Disconnect << 4, 2, codeUnspecified, 0})
			c.wantClosed()
		}, false},
		{"bad packet", 4, func(t *testing.T, r *rig, c *client) { c.raw([]byte{0, 0}); c.wantClosed() }, true},
		{"second CONNECT", 5, func(t *testing.T, r *rig, c *client) { c.send(who{v: 5, id: "w"}.packet()); c.wantClosed() }, true},
		{"takeover", 5, func(t *testing.T, r *rig, c *client) { r.connect(who{v: 5, id: "w"}) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := start(t)
			watch := r.connect(who{id: "watch"})
			watch.subscribe(1, "plain/#")
			w := mine
			w.v = tc.v
			c := r.connect(w)
			tc.end(t, r, c)
			r.awaitWillOf("w", tc.fires)
			if tc.fires {
				watch.wantPublish("plain/will", "bye")
			}
			watch.quiet()
		})
	}
}

// awaitWillOf waits until the connection of an anonymous client is dealt with.
func (r *rig) awaitWillOf(id string, fires bool) {
	r.t.Helper()
	if fires {
		r.eventually("the will", func() bool { return r.Stats().Wills == 1 })
		return
	}
	r.awaitAbsent(nobody, id)
}

// The rights at the time of firing count, wills on any topic included.
func TestWillIsChecked(t *testing.T) {
	for _, topic := range []string{"factory/x", "$SYS/broker/x", "gateways/gw-1/status", "devices/Secret/sensors/S/value", "plain/now-forbidden"} {
		t.Run(topic, func(t *testing.T) {
			r := start(t)
			watch := r.connect(who{id: "watch", user: "root"})
			watch.subscribe(1, "#", "$SYS/#")
			r.hub.deny = func(b *gateway.Batch) error {
				if len(b.Readings) > 0 {
					return gateway.ErrDenied
				}
				return nil
			}
			c := r.connect(who{id: "w", topic: topic, payload: "1", qos: 2, retain: true})
			r.access.set(func() { r.access.acl = nil })
			c.cut()
			r.hub.await(t, 1) // Refused
			watch.quiet()
			r.hub.mu.Lock()
			defer r.hub.mu.Unlock()
			if len(r.hub.refused) != 1 || !errors.Is(r.hub.refused[0], gateway.ErrDenied) || r.Stats().Wills != 0 || r.Stats().Retained != 0 {
				t.Fatal(r.hub.refused)
			}
		})
	}
}

// A will that is a reading goes the way of readings.
func TestWillReading(t *testing.T) {
	r := start(t)
	c := r.connect(who{id: "w", topic: "devices/D/sensors/S/value", payload: "0", qos: 1})
	c.cut()
	r.hub.await(t, 1)
	if b := r.hub.batches[0]; len(b.Readings) != 1 || !b.Wait || string(b.Readings[0].Value) != "0" {
		t.Fatalf("%+v", b)
	}
}

// A will may be empty: it clears a retained message.
func TestEmptyWillClears(t *testing.T) {
	r := start(t)
	pub := r.connect(who{id: "pub"})
	pub.retain("plain/here", "yes", 1, 1)
	pub.want(packets.Puback)
	pk := who{id: "w"}.packet()
	pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillRetain = true, "plain/here", true
	c := r.dial()
	c.v = 4
	c.send(pk)
	if code := c.want(packets.Connack).ReasonCode; code != 0 {
		t.Fatal(code)
	}
	c.cut()
	r.eventually("cleared", func() bool { return r.Stats().Retained == 0 })
}

func TestWillProperties(t *testing.T) {
	r := start(t)
	watch := r.connect(who{v: 5, id: "watch"})
	watch.subscribe(1, "plain/#")
	pk := who{v: 5, id: "w", topic: "plain/will", payload: "bye"}.packet()
	p := &pk.Connect.WillProperties
	p.ContentType, p.MessageExpiryInterval = "text/plain", 60
	p.User = []packets.UserProperty{{Key: "a", Val: "b"}}
	c := r.dial()
	c.v = 5
	c.send(pk)
	c.want(packets.Connack)
	c.cut()
	got := watch.wantPublish("plain/will", "bye").Properties
	if got.ContentType != "text/plain" || got.MessageExpiryInterval != 60 || len(got.User) != 1 {
		t.Fatalf("%+v", got)
	}
}

func TestDelayedWill(t *testing.T) {
	for _, tc := range []struct {
		name          string
		delay, expiry uint32
		wait          time.Duration // until it fires
	}{{"delay", 10, 100, 10 * time.Second}, {"session ends first", 100, 10, 10 * time.Second}} {
		t.Run(tc.name, func(t *testing.T) {
			r := start(t)
			watch := r.connect(who{id: "watch"})
			watch.subscribe(1, "plain/#")
			w := who{v: 5, id: "w", topic: "plain/will", payload: "bye", keep: true, expiry: tc.expiry, delay: tc.delay}
			r.connect(w).cut()
			r.awaitAbsent(nobody, "w")
			r.clock.Advance(tc.wait - time.Second)
			r.housekeep()
			watch.quiet()
			c := r.connect(w) // in time: no will
			r.clock.Advance(10 * tc.wait)
			r.housekeep()
			watch.quiet()
			c.cut()
			r.awaitAbsent(nobody, "w")
			r.clock.Advance(tc.wait)
			r.housekeep()
			watch.wantPublish("plain/will", "bye")
			r.housekeep()
			watch.quiet()
		})
	}
}

// A clean start ends the session, and a will that waits for its end is sent.
func TestDelayedWillAtCleanStart(t *testing.T) {
	r := start(t)
	watch := r.connect(who{id: "watch"})
	watch.subscribe(1, "plain/#")
	w := who{v: 5, id: "w", topic: "plain/will", payload: "bye", keep: true, expiry: 100, delay: 50}
	r.connect(w).cut()
	r.awaitAbsent(nobody, "w")
	r.connect(who{v: 5, id: "w", dirty: true, keep: true})
	watch.wantPublish("plain/will", "bye")
}

// The will of the former connection precedes what the new one says: a late
// "offline" must not overwrite "online".
func TestTakeoverWillComesFirst(t *testing.T) {
	r := start(t)
	w := who{id: "w", topic: "plain/state", payload: "offline", qos: 1, retain: true, keep: true}
	r.connect(w)
	for i := range 20 {
		c := r.connect(w)
		c.retain("plain/state", "online", 1, uint16(i+1))
		c.want(packets.Puback)
		if m := r.retained.get("plain/state"); string(m.payload) != "online" {
			t.Fatalf("round %d: %s", i, m.payload)
		}
	}
}

// Stopping publishes the wills, then tells the clients.
func TestStop(t *testing.T) {
	r := start(t)
	watch := r.connect(who{v: 5, id: "watch"})
	watch.subscribe(1, "plain/#")
	r.connect(who{id: "w", topic: "plain/will", payload: "bye"})
	r.connect(who{v: 5, id: "d", topic: "plain/later", payload: "bye", keep: true, delay: 50}).cut()
	r.awaitAbsent(nobody, "d")
	old := r.connect(who{v: 4, id: "old"})
	r.stop()
	got := map[string]bool{}
	for range 2 {
		got[watch.want(packets.Publish).TopicName] = true
	}
	if !got["plain/will"] || !got["plain/later"] {
		t.Fatal(got)
	}
	if code := watch.wantClosed(); code != codeShutdown {
		t.Fatalf("0x%02x", code)
	}
	if code := old.wantClosed(); code != 0 {
		t.Fatal("DISCONNECT to a client that does not know it")
	}
	if err := r.Broker.Run(context.Background()); err == nil {
		t.Fatal("ran twice")
	}
}

// Stopping waits for publishes under way, so that what is durable is said to
// be.
func TestStopAnswersFirst(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.ShutdownTimeout = patience })
	r.hub.hold = true
	c := r.connect(who{v: 5, id: "c"})
	c.publish("devices/D/sensors/S/value", "1", 1, 1)
	r.hub.await(t, 1)
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	r.eventually("stopping", func() bool { return r.stopping.Load() })
	r.hub.letGo()
	c.want(packets.Puback)
	if pk := c.want(packets.Disconnect); pk.ReasonCode != codeShutdown {
		t.Fatal(pk)
	}
	<-stopped
}

func TestDeadSubjectFiresNothing(t *testing.T) {
	r := start(t)
	watch := r.connect(who{id: "watch"})
	watch.subscribe(1, "plain/#")
	r.access.set(func() {
		r.access.acl = access.ACL{{Topic: "plain/#", User: "ann", Allow: access.Write}, {Topic: "plain/#", User: "*", Allow: access.Read}}
	})
	c := r.connect(who{id: "w", user: "ann", topic: "plain/will", payload: "bye"})
	r.access.set(func() { r.access.dead["ann"] = true; r.access.acl = r.access.acl[1:] })
	r.DropDead()
	c.wantClosed()
	r.hub.await(t, 1)
	watch.quiet()
}
