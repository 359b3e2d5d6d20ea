package broker

import (
	"fmt"
	"log/slog"
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
			sent := r.Stats().MessagesOut
			for _, f := range filters {
				a.update(f, "news")
				got := c.wantPublish(f, "news")
				if got.FixedHeader.Qos != 0 || got.FixedHeader.Retain || v == 5 && !slices.Equal(got.Properties.SubscriptionIdentifier, []int{42}) {
					t.Errorf("QoS %d, retain %v, identifiers %v", got.FixedHeader.Qos, got.FixedHeader.Retain, got.Properties.SubscriptionIdentifier)
				}
			}
			if n := r.Stats().MessagesOut - sent; n != uint64(len(filters)) {
				t.Errorf("%d messages counted", n)
			}
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

func TestRequestsOfAbsentSession(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			r, a := withAPI(t)
			w := who{v: v, id: "c", user: "ann", keep: true}
			c := r.connect(w)
			c.subscribe(0, feed, testKey+feed)
			c.wantPublish(feed, "state of "+feed)
			c.wantPublish(testKey+feed, "state of "+testKey+feed)
			c.cut()
			r.awaitAbsent(access.Subject{User: "ann"}, "c")
			if a.watching() != 0 {
				t.Errorf("%d watched for nobody", a.watching())
			}
			a.update(feed, "missed")
			if n := r.Stats(); n.QueueMessages != 0 || n.Subscriptions != 2 {
				t.Errorf("%d queued, %d subscriptions", n.QueueMessages, n.Subscriptions)
			}
			c = r.connect(w)
			if !c.ack.SessionPresent {
				t.Error("no session present")
			}
			c.wantPublish(feed, "state of "+feed)
			c.wantPublish(testKey+feed, "state of "+testKey+feed)
			a.update(feed, "news")
			c.wantPublish(feed, "news")

			// Takeover: the new connection gets it, from its own address.
			d := r.connect(w)
			c.wantClosed()
			d.wantPublish(feed, "state of "+feed)
			d.wantPublish(testKey+feed, "state of "+testKey+feed)
			a.set(func() {
				if len(a.active) != 2 || a.active[0].peer.Addr != d.conn.LocalAddr().String() {
					t.Errorf("%d watched", len(a.active))
				}
			})
			d.quiet()

			// A clean start ends them.
			w.dirty = true
			e := r.connect(w)
			d.wantClosed()
			a.update(feed, "news")
			e.quiet()
			if a.watching() != 0 || r.Stats().Subscriptions != 0 {
				t.Errorf("%d watched, %d counted", a.watching(), r.Stats().Subscriptions)
			}
		})
	}
}

func TestRequestsOverARestart(t *testing.T) {
	for _, v := range []byte{4, 5} {
		t.Run(fmt.Sprint("v", v), func(t *testing.T) {
			table := newMemTable()
			log := &lockedBuffer{}
			conf := func(c *Config) { c.Table, c.Logger = table, slog.New(slog.NewTextHandler(log, nil)) }
			r, a := withAPI(t, conf)
			open := who{v: v, id: "open", user: "ann", keep: true}
			c := r.connect(open)
			c.subscribe(1, feed, "plain/#")
			c.wantPublish(feed, "state of "+feed)
			var secret []who
			for i, filter := range []string{testKey + feed, "/" + testKey + feed, "/v2/keys/" + testKey + ".json", feed + "?key=" + testKey} {
				w := who{v: v, id: fmt.Sprint("secret", i), user: "ann", keep: true}
				secret = append(secret, w)
				s := r.connect(w)
				s.subscribe(1, "plain/#")
				r.connect(who{id: "p"}).post("plain/x", "kept", 1, 1)
				s.want(packets.Publish) // and never acknowledged
				r.flushed()
				if table.count("s/user:ann\x00"+w.id) != 1 || table.count("m/user:ann\x00"+w.id) != 1 {
					t.Error("an ordinary session is not on disk")
				}
				s.subscribe(0, filter)
				s.wantPublish(filter, "state of "+filter)
				s.cut()
				r.awaitAbsent(access.Subject{User: "ann"}, w.id)
				if w.id == "secret0" { // it is kept in memory
					s = r.connect(w)
					if !s.ack.SessionPresent || s.want(packets.Publish).TopicName != "plain/x" {
						t.Error("session lost")
					}
					s.wantPublish(filter, "state of "+filter)
				}
				r.flushed()
				if table.count("s/user:ann\x00"+w.id) != 0 || table.count("m/user:ann\x00"+w.id) != 0 {
					t.Errorf("a session with %s is on disk", filter)
				}
			}
			table.mustNotHold(t, testKey)
			r.restart(table, true, func(c *Config) { c.API = a }, conf)
			table.mustNotHold(t, testKey)
			if n := r.Stats().Subscriptions; n != 2 {
				t.Errorf("%d subscriptions restored", n)
			}
			c = r.connect(open)
			if !c.ack.SessionPresent {
				t.Error("no session present")
			}
			for range 2 { // the former message is sent again, the state comes again
				pk := c.want(packets.Publish)
				for pk.TopicName == "plain/x" {
					pk = c.want(packets.Publish)
				}
				if pk.TopicName != feed {
					t.Errorf("got %s", pk.TopicName)
				}
				a.update(feed, "news")
			}
			for _, w := range secret {
				s := r.connect(w)
				if s.ack.SessionPresent {
					t.Errorf("%s: session present", w.id)
				}
			}
			if strings.Contains(log.String(), testKey) {
				t.Errorf("a key in the log: %s", log)
			}
		})
	}
}

// Without the filter that has the key in it a session is on disk again.
func TestSessionWithoutItsKeyIsKept(t *testing.T) {
	table := newMemTable()
	r, _ := withAPI(t, func(c *Config) { c.Table = table })
	c := r.connect(who{id: "c", user: "ann", keep: true})
	c.subscribe(1, testKey+feed, "plain/#")
	c.want(packets.Publish)
	r.flushed()
	if n := table.count("s/"); n != 0 {
		t.Fatalf("%d sessions on disk", n)
	}
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 5, Filters: packets.Subscriptions{{Filter: testKey + feed}}})
	c.want(packets.Unsuback)
	r.connect(who{id: "p"}).post("plain/x", "kept", 1, 1)
	c.want(packets.Publish)
	r.flushed()
	if s, m := table.count("s/"), table.count("m/"); s != 1 || m != 1 {
		t.Errorf("%d sessions, %d messages on disk", s, m)
	}
}

// A session that was kept before there was an API loses its place on disk.
func TestOldSessionWithAKeyLeavesTheDisk(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) { c.Table = table })
	r.access.acl = append(r.access.acl, access.Rule{Topic: "#", User: "*", Allow: access.ReadWrite})
	c := r.connect(who{id: "c", user: "ann", keep: true})
	c.subscribe(1, testKey+feed)
	r.flushed()
	a := &testAPI{arrived: make(chan struct{}, 10)}
	r.restart(table, false, func(c *Config) { c.API = a })
	r.flushed()
	table.mustNotHold(t, testKey)
	c = r.connect(who{id: "c", user: "ann", keep: true})
	c.wantPublish(testKey+feed, "state of "+testKey+feed)
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

// flushed waits until sessions are on disk as they are.
func (r *rig) flushed() {
	r.t.Helper()
	done := make(chan error, 1)
	r.whenStored(func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			r.t.Fatal(err)
		}
	case <-time.After(patience):
		r.t.Fatal("not written")
	}
}

func (t *memTable) mustNotHold(tb testing.TB, text string) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, v := range t.m {
		if strings.Contains(k, text) || strings.Contains(string(v), text) {
			tb.Errorf("%q in the entry %q", text, k)
		}
	}
}

// lockedBuffer is what was logged so far.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
