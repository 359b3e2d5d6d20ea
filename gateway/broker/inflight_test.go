package broker

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway/access"
)

func (h *testHub) taken() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.batches)
}

func (c *client) publish2(payload string, id uint16, dup bool) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2, Dup: dup}, TopicName: "plain/a", Payload: []byte(payload), PacketID: id})
}

// A QoS 2 publish that was answered with PUBREC before a crash is not taken
// again after it.
func TestReceivedQoS2OverCrash(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			table := newMemTable()
			late := func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour }
			r := start(t, late)
			c := r.connect(who{v: v, id: "c", keep: true})
			c.publish2("x", 7, false)
			c.want(packets.Pubrec)
			r.restart(table, true, late)
			c = r.connect(who{v: v, id: "c", keep: true})
			if !c.ack.SessionPresent {
				t.Fatal("no session")
			}
			sub := r.connect(who{id: "sub"})
			sub.subscribe(0, "plain/#")
			c.publish2("x", 7, true)
			c.want(packets.Pubrec)
			c.reply(packets.Pubrel, 7)
			if a := c.want(packets.Pubcomp); a.ReasonCode != 0 {
				t.Fatalf("0x%02x", a.ReasonCode)
			}
			sub.quiet()
			if n := r.hub.taken(); n != 1 {
				t.Fatalf("taken %d times", n)
			}
		})
	}
}

// An identifier that was released before a crash is free after it, for a
// message sent for the first time and for one that is sent again.
func TestReleasedQoS2OverCrash(t *testing.T) {
	for _, dup := range []bool{false, true} {
		t.Run(fmt.Sprint("dup ", dup), func(t *testing.T) {
			table := newMemTable()
			late := func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour }
			r := start(t, late)
			c := r.connect(who{id: "c", keep: true})
			c.publish2("old", 7, false)
			c.want(packets.Pubrec)
			c.reply(packets.Pubrel, 7)
			c.want(packets.Pubcomp)
			r.restart(table, true, late)
			sub := r.connect(who{id: "sub"})
			sub.subscribe(0, "plain/#")
			c = r.connect(who{id: "c", keep: true})
			c.publish2("new", 7, dup)
			c.want(packets.Pubrec)
			if n := r.hub.taken(); n != 2 {
				t.Fatal("the new message was swallowed")
			}
			sub.wantPublish("plain/a", "new")
		})
	}
}

// PUBREC and PUBCOMP wait for the disk in a session that is kept, and for
// nothing in another.
func TestQoS2WaitsForTheDisk(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour })
	fleeting := r.connect(who{id: "fleeting"})
	fleeting.post("plain/a", "x", 2, 7)
	table.mu.Lock()
	writes := table.writes
	table.mu.Unlock()
	if writes != 0 {
		t.Fatalf("%d writes for a session that is not kept", writes)
	}
	c := r.connect(who{id: "c", keep: true})
	table.gate = make(chan struct{}) // before anything of c is written
	open := sync.OnceFunc(func() { close(table.gate) })
	t.Cleanup(open)
	c.publish2("x", 7, false)
	r.hub.await(t, 2)
	c.publish2("x", 7, true)
	c.quiet()
	table.gate <- struct{}{}
	c.want(packets.Pubrec)
	c.reply(packets.Pubrel, 7)
	c.quiet()
	table.gate <- struct{}{}
	c.want(packets.Pubcomp)
	c.quiet()
	open()
}

// While the disk fails nothing is answered; when it is back the client's second
// attempt is answered and not taken again.
func TestQoS2WithFailingTable(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table; c.Limits.FlushEvery = time.Hour })
	fail := func(err error) {
		table.mu.Lock()
		table.fail = err
		table.mu.Unlock()
	}
	again := func(c *client) *client {
		r.eventually("the failure", func() bool {
			for _, conn := range r.allConns() {
				if conn.unkept.Load() {
					return true
				}
			}
			return false
		})
		c.quiet()
		fail(nil)
		r.Recovered()
		c.wantClosed()
		r.awaitAbsent(access.Subject{}, "c")
		return r.connect(who{id: "c", keep: true})
	}
	c := r.connect(who{id: "c", keep: true})
	fail(errors.New("no space left on device"))
	c.publish2("x", 7, false)
	c = again(c)
	c.publish2("x", 7, true)
	c.want(packets.Pubrec)
	fail(errors.New("no space left on device"))
	c.reply(packets.Pubrel, 7)
	c = again(c)
	c.reply(packets.Pubrel, 7)
	c.want(packets.Pubcomp)
	if n := r.hub.taken(); n != 1 {
		t.Fatalf("taken %d times", n)
	}
	r.restart(table, true)
	c = r.connect(who{id: "c", keep: true})
	c.publish2("y", 7, false)
	c.want(packets.Pubrec)
	if n := r.hub.taken(); n != 2 {
		t.Fatal("a new message was swallowed")
	}
}

// An entry without received identifiers has the form that it always had.
func TestSessionEncodings(t *testing.T) {
	s := &storedSession{clientID: "c", version: 4, expiry: time.Hour, subs: []subscription{{filter: "a/#", qos: 1}}}
	if raw := encodeSession(s); raw[0] != encodingVersion {
		t.Fatal(raw[0])
	} else if got, err := decodeSession(raw); err != nil || got.received != nil || len(got.subs) != 1 {
		t.Fatal(got, err)
	}
	for id := range 65535 {
		s.received = append(s.received, uint16(id+1))
	}
	got, err := decodeSession(encodeSession(s))
	if err != nil || !slices.Equal(got.received, s.received) || len(got.subs) != 1 {
		t.Fatal(err)
	}
}

// A reason never makes an answer too long for its reader.
func TestReasonFits(t *testing.T) {
	r := start(t)
	for size := uint32(20); size < 80; size++ {
		c := r.connect(who{v: 5, id: "c", maxSize: size})
		if codes := c.subscribe(0, "factory/long/long/long"); codes[0] != codeNotAuthorized {
			t.Fatal(codes)
		}
		c.publish("factory/long/long/long", "", 1, 1)
		if a := c.want(packets.Puback); a.ReasonCode != codeNotAuthorized {
			t.Fatal(a)
		}
		c.leave()
	}
}

// SUBACK says in words why a filter was refused, to who wants to know.
func TestSubackReason(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.Filters = 1 })
	refusals := []struct {
		filter string
		code   byte
		reason string
	}{
		{"factory/#", codeNotAuthorized, "not allowed: factory/#"},
		{"plain/" + slashes(40), codeFilterInvalid, "too long or too deep: plain/" + slashes(40)},
		{"plain/b", codeQuota, "too many subscriptions: plain/b"},
	}
	for _, want := range []bool{true, false} {
		c := r.dial()
		pk := who{v: 5, id: "c"}.packet()
		pk.Properties.RequestProblemInfoFlag = !want // the value is 0: none
		c.v = 5
		c.send(pk)
		c.want(packets.Connack)
		ask := func(filters ...string) packets.Packet {
			pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9}
			for _, f := range filters {
				pk.Filters = append(pk.Filters, packets.Subscription{Filter: f})
			}
			c.send(pk)
			return c.want(packets.Suback)
		}
		if a := ask("plain/a"); a.ReasonCodes[0] != 0 || a.Properties.ReasonString != "" {
			t.Fatalf("%+v", a)
		}
		for _, tc := range refusals {
			reason := tc.reason
			if !want {
				reason = ""
			}
			a := ask("plain/a", tc.filter, "factory/x")
			if a.ReasonCodes[0] != 0 || a.ReasonCodes[1] != tc.code || a.Properties.ReasonString != reason {
				t.Errorf("codes %x, reason %q, want %x and %q", a.ReasonCodes, a.Properties.ReasonString, tc.code, reason)
			}
		}
		c.leave()
	}
}
