package broker

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway/access"
)

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
