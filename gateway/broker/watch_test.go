package broker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/fakeclock"
)

const feed = "/v2/feeds/504.json"

func TestRequestsBySubscribe(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			r, a := withAPI(t)
			r.access.set(func() { r.access.acl = access.ACL{{Topic: "#", User: "*", Allow: access.ReadWrite}} })
			every := r.connect(who{v: v, id: "every", user: "root"})
			every.subscribe(2, "#", "+/v2/#", "/v2/#", "/v2/feeds/+")
			other := r.connect(who{v: v, id: "other", user: "ann"})
			other.subscribe(0, "plain/#")
			c := r.connect(who{v: v, id: "c", user: "key-1"})
			filters := []string{feed, testKey + "/v2/feeds/504/datastreams/0.csv?duration=6hours", "v1/feeds/1"}
			pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3}
			for _, f := range filters {
				pk.Filters = append(pk.Filters, packets.Subscription{Filter: f, Qos: 2, NoLocal: v == 5, RetainAsPublished: v == 5})
			}
			if v == 5 {
				pk.Properties.SubscriptionIdentifier = []int{42}
			}
			c.send(pk)
			if codes := c.want(packets.Suback).ReasonCodes; string(codes) != "\x00\x00\x00" {
				t.Errorf("SUBACK %v", codes)
			}
			for _, f := range filters {
				c.wantPublish(f, "state of "+f)
			}
			// A message is counted after it was written.
			counted := func(n int) func() bool {
				return func() bool { return r.Stats().MessagesOut == uint64(n*len(filters)) }
			}
			r.eventually("the states are counted", counted(1))
			for _, f := range filters {
				a.update(f, "news")
				got := c.wantPublish(f, "news")
				if got.FixedHeader.Qos != 0 || got.FixedHeader.Retain || v == 5 && !slices.Equal(got.Properties.SubscriptionIdentifier, []int{42}) {
					t.Errorf("QoS %d, retain %v, identifiers %v", got.FixedHeader.Qos, got.FixedHeader.Retain, got.Properties.SubscriptionIdentifier)
				}
			}
			r.eventually("the updates are counted", counted(2))
			want := gateway.Peer{Subject: access.Subject{Key: "key-1"}, Client: "c", Session: sessionKey(access.Subject{Key: "key-1"}, "c"),
				Addr: c.conn.LocalAddr().String(), Source: "mqtt c (" + c.conn.LocalAddr().String() + ")"}
			for i, call := range a.asked {
				if call.topic != filters[i] || call.peer != want {
					t.Errorf("asked %+v", call)
				}
			}
			every.quiet()
			other.quiet()
			if n := r.Stats().Subscriptions; n != 4+1+3 {
				t.Errorf("%d subscriptions counted", n)
			}

			// The same filter again: the present state again, and then one message each.
			c.subscribe(0, feed)
			c.wantPublish(feed, "state of "+feed)
			a.update(feed, "more")
			c.wantPublish(feed, "more")
			c.quiet()
			if n := a.watching(); n != 3 {
				t.Errorf("%d are watched", n)
			}
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 5,
				Filters: packets.Subscriptions{{Filter: feed}, {Filter: "/v2/feeds/9"}}})
			if codes := c.want(packets.Unsuback).ReasonCodes; v == 5 && string(codes) != string([]byte{codeSuccess, codeNoSubscription}) {
				t.Errorf("UNSUBACK %v", codes)
			}
			a.update(feed, "too late")
			c.quiet()
			c.leave()
			r.eventually("nothing is watched", func() bool { return a.watching() == 0 && r.Stats().Subscriptions == 5 })
		})
	}
}

// A filter twice in one packet is one subscription.
func TestSameRequestTwiceInOneSubscribe(t *testing.T) {
	r, a := withAPI(t)
	c := r.connect(who{id: "c"})
	c.subscribe(0, feed, feed)
	c.wantPublish(feed, "state of "+feed)
	c.quiet()
	if a.watching() != 1 || r.Stats().Subscriptions != 1 {
		t.Errorf("%d watched, %d counted", a.watching(), r.Stats().Subscriptions)
	}
}

func TestDeniedRequestsBySubscribe(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code byte
	}{
		{gateway.ErrDenied, codeNotAuthorized}, {gateway.ErrUnknownDevice, codeFilterInvalid}, {gateway.ErrBadTopic, codeFilterInvalid},
		{gateway.ErrBadTime, codeUnspecified}, {gateway.ErrNotKept, codeUnspecified},
	} {
		for _, v := range []byte{4, 5} {
			r, a := withAPI(t)
			a.deny = func(f string) error {
				if f == feed {
					return fmt.Errorf("%w: as told", tc.err)
				}
				return nil
			}
			c := r.connect(who{v: v, id: "c"})
			c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3,
				Filters: packets.Subscriptions{{Filter: feed, Qos: 1}, {Filter: "/v2/feeds/1"}}})
			ack := c.want(packets.Suback)
			want, reason := []byte{tc.code, 0}, tc.err.Error()+": as told"
			if v == 4 {
				want, reason = []byte{0, 0}, ""
			}
			if string(ack.ReasonCodes) != string(want) || ack.Properties.ReasonString != reason {
				t.Errorf("v%d %v: %v %q", v, tc.err, ack.ReasonCodes, ack.Properties.ReasonString)
			}
			c.wantPublish("/v2/feeds/1", "state of /v2/feeds/1")
			c.quiet()
		}
	}
}

// A client that was told of no denial is served when it comes back and may.
func TestDenialIsForgottenWithTheConnection(t *testing.T) {
	r, a := withAPI(t)
	a.deny = func(string) error { return gateway.ErrDenied }
	c := r.connect(who{id: "c", keep: true})
	c.subscribe(0, feed)
	c.cut()
	r.awaitAbsent(access.Subject{}, "c")
	a.set(func() { a.deny = nil })
	c = r.connect(who{id: "c", keep: true})
	c.wantPublish(feed, "state of "+feed)
	c.quiet()
}

func TestNoSharedRequests(t *testing.T) {
	for _, v := range []byte{4, 5} {
		r, a := withAPI(t)
		c := r.connect(who{v: v, id: "c"})
		want := byte(0)
		if v == 5 {
			want = codeSharedUnsupported
		}
		if codes := c.subscribe(2, "$share/g"+feed, "$share/g/"+testKey+feed); codes[1] != want || v == 5 && codes[0] != want {
			t.Errorf("v%d: SUBACK %v", v, codes)
		}
		c.quiet()
		if len(a.asked) != 0 {
			t.Errorf("the API was asked for %q", a.asked[0].topic)
		}
	}
}

func TestLimitsCountRequests(t *testing.T) {
	for _, v := range []byte{4, 5} {
		r, a := withAPI(t, func(c *Config) { c.Limits.Filters, c.Limits.FiltersTotal = 3, 4 })
		full := codeQuota
		if v == 4 {
			full = codeUnspecified
		}
		c, d := r.connect(who{v: v, id: "c"}), r.connect(who{v: v, id: "d"})
		if codes := c.subscribe(0, "v2/a", "v2/b", "plain/#", "v2/c"); codes[2] != 0 || codes[3] != full {
			t.Errorf("v%d: SUBACK %v", v, codes)
		}
		c.wantPublish("v2/a", "state of v2/a")
		c.wantPublish("v2/b", "state of v2/b")
		if codes := d.subscribe(0, "v2/a", "v2/b", "plain/#"); codes[0] != 0 || codes[1] != full || codes[2] != full {
			t.Errorf("v%d: SUBACK %v in total", v, codes)
		}
		c.leave()
		r.eventually("there is room", func() bool { return r.Stats().Subscriptions == 1 })
		d.wantPublish("v2/a", "state of v2/a")
		long := "v2/" + strings.Repeat("x", 4*256)
		bad := codeFilterInvalid
		if v == 4 {
			bad = codeUnspecified
		}
		if codes := d.subscribe(0, "v2/b", long, "v2/"+strings.Repeat("y/", 200)); codes[0] != 0 || codes[1] != bad || codes[2] != 0 {
			t.Errorf("v%d: SUBACK %v", v, codes)
		}
		if a.watching() != 3 {
			t.Errorf("%d watched", a.watching())
		}
	}
}

// A client that does not read loses messages, and holds nobody up.
func TestPushToOneWhoDoesNotRead(t *testing.T) {
	r, a := withAPI(t, func(c *Config) { c.Limits.WriteBuffer = 64 << 10 })
	c := r.connect(who{id: "c"})
	c.subscribe(0, feed)
	c.wantPublish(feed, "state of "+feed)
	text := strings.Repeat("x", 32<<10)
	r.eventually("something is dropped", func() bool {
		a.update(feed, text)
		return r.Stats().Dropped["buffer_full"] > 0
	})
	if n := r.Stats().QueueMessages; n != 0 {
		t.Errorf("%d queued", n)
	}
}

// The connection of a key that was deleted or has expired ends. That it has
// expired nobody says.
func TestConnectionEndsWithItsKey(t *testing.T) {
	for _, how := range []string{"deleted", "expired", "owner gone"} {
		t.Run(how, func(t *testing.T) {
			clock := fakeclock.New(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), gateway.ClockSynced)
			reg, err := gateway.NewRegistry(gateway.Tables{Devices: newMemTable(), Users: newMemTable(), Keys: newMemTable()},
				access.NewGate(access.GateOptions{}), clock, gateway.Declared{})
			if err != nil {
				t.Fatal(err)
			}
			id := access.KeyID(access.HashKey(testKey))
			for _, err := range []error{reg.PutUser(access.User{Name: "ann"}), reg.PutKey(access.Key{ID: id, Hash: access.HashKey(testKey),
				Owner: "ann", ExpiresAt: clock.Now().Wall.Add(time.Hour), Permissions: []access.Permission{{Methods: []string{"get"}}}})} {
				if err != nil {
					t.Fatal(err)
				}
			}
			r, a := withAPI(t, func(c *Config) { c.Access, c.Clock = reg, clock })
			c := r.connect(who{v: 5, id: "c", user: testKey, pass: "ignored", keep: true})
			c.subscribe(0, feed)
			c.wantPublish(feed, "state of "+feed)
			switch how {
			case "deleted":
				if err := reg.DeleteKey(id); err != nil {
					t.Fatal(err)
				}
				r.DropDead()
			case "expired":
				clock.Advance(time.Hour)
			default:
				if err := reg.DeleteUser("ann"); err != nil {
					t.Fatal(err)
				}
			}
			if code := c.wantClosed(); code != codeAdministrative {
				t.Errorf("DISCONNECT 0x%02x", code)
			}
			r.eventually("the session is gone", func() bool { return r.Stats().Sessions == 0 && a.watching() == 0 })
			if code := r.dial().hello(who{v: 5, id: "c", user: testKey, pass: "x"}); code != codeBadCredentials {
				t.Errorf("CONNACK 0x%02x", code)
			}
		})
	}
}

// Pushes, subscriptions and connections that come and go at once.
func TestRequestsUnderStress(t *testing.T) {
	r, a := withAPI(t, func(c *Config) { c.Table = newMemTable() })
	stop := make(chan struct{})
	var pushing, clients sync.WaitGroup
	for range 2 {
		pushing.Add(1)
		go func() {
			defer pushing.Done()
			for {
				select {
				case <-stop:
					return
				default:
					a.update(feed, "news")
				}
			}
		}()
	}
	for n := range 6 {
		clients.Add(1)
		go func() {
			defer clients.Done()
			for i := range 15 {
				conn := r.dial()
				conn.send(who{id: fmt.Sprint("c", n/2), keep: true}.packet()) // two take turns
				conn.v = 4
				pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 3,
					Filters: packets.Subscriptions{{Filter: feed}, {Filter: testKey + feed}}}
				pk.ProtocolVersion = 4
				_, _ = conn.conn.Write(encode(t, pk))
				for range i % 4 {
					if _, err := conn.next(); err != nil {
						break
					}
				}
				conn.cut()
			}
		}()
	}
	clients.Wait()
	close(stop)
	pushing.Wait()
	r.eventually("nobody watches", func() bool { return a.watching() == 0 })
}
