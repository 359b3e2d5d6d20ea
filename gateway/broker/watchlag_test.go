package broker

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
)

func (a *testAPI) starts() int {
	a.mu.Lock()
	list := slices.Clone(a.active)
	a.mu.Unlock()
	n := 0
	for _, w := range list {
		w.mu.Lock()
		n += w.starts
		w.mu.Unlock()
	}
	return n
}

// A client that does not read for a while and then reads all ends with the
// present state of whatever it is subscribed to.
func TestNewestPushWinsInTheEnd(t *testing.T) {
	for _, v := range []byte{4, 5} {
		for _, size := range []int{8 << 10, 40 << 10, 100 << 10} { // less and more than half of the buffer, and more than it
			for _, filters := range []int{1, 3} {
				t.Run(fmt.Sprint("v", v, " ", size, " bytes of ", filters), func(t *testing.T) {
					r, a := withAPI(t, func(c *Config) { c.Limits.WriteBuffer, c.Limits.WriteTimeout = 64<<10, patience })
					a.state = map[string]string{}
					c := r.connect(who{v: v, id: "c"})
					_ = c.conn.(*net.TCPConn).SetReadBuffer(128 << 10)
					var names []string
					for i := range filters {
						names = append(names, fmt.Sprintf("/v2/feeds/%d.json", i))
					}
					c.subscribe(0, names...)
					n := 0
					update := func() {
						n++
						for _, f := range names {
							text := fmt.Sprint(n, " ", strings.Repeat("x", size))
							a.set(func() { a.state[f] = text })
							a.update(f, text)
						}
					}
					r.eventually("much is dropped", func() bool {
						for range 20 {
							update()
						}
						return r.Stats().Dropped["buffer_full"] > 20
					})
					last := fmt.Sprint(n, " ")
					missing := map[string]bool{}
					for _, f := range names {
						missing[f] = true
					}
					for len(missing) > 0 {
						pk := c.want(packets.Publish)
						if strings.HasPrefix(string(pk.Payload), last) {
							delete(missing, pk.TopicName)
						} else if !missing[pk.TopicName] {
							t.Fatalf("after the newest comes %.10q", pk.Payload)
						}
					}
					update()
					for got := 0; got < filters; { // the former may come twice
						switch pk := c.want(packets.Publish); {
						case strings.HasPrefix(string(pk.Payload), fmt.Sprint(n, " ")):
							got++
						case !strings.HasPrefix(string(pk.Payload), last):
							t.Fatalf("then %.10q", pk.Payload)
						}
					}
					if starts, dropped := max(0, a.starts()-filters), r.Stats().Dropped["buffer_full"]; uint64(starts) > dropped {
						t.Errorf("%d times started anew for %d messages lost", starts, dropped)
					}
				})
			}
		}
	}
}

// A push that has to wait behind retained messages, and is driven out of the
// queue by others, comes after all.
func TestPushDrivenOutOfTheQueue(t *testing.T) {
	r, _ := withAPI(t, func(c *Config) { c.Limits.Window, c.Limits.QueueMessages = 1, 1 })
	for _, topic := range []string{"plain/1", "plain/2"} {
		r.Publish(gateway.Message{Topic: topic, Payload: []byte("x"), QoS: 1, Retain: true})
	}
	c := r.connect(who{id: "c", user: "ann"})
	c.subscribe(1, "plain/#")
	first := c.want(packets.Publish)
	c.subscribe(0, "/v2/a", "/v2/b") // there is room for one
	r.eventually("one is dropped", func() bool { return r.Stats().Dropped["queue_full"] == 1 })
	c.reply(packets.Puback, first.PacketID)
	second := c.want(packets.Publish)
	got := map[string]bool{}
	for range 2 {
		got[c.want(packets.Publish).TopicName] = true
	}
	if !got["/v2/a"] || !got["/v2/b"] {
		t.Errorf("got %v", got)
	}
	c.reply(packets.Puback, second.PacketID)
	c.quiet()
}

// A later push does not overtake one that waits.
func TestPushesKeepTheirOrder(t *testing.T) {
	r, a := withAPI(t, func(c *Config) { c.Limits.Window = 1 })
	for _, topic := range []string{"plain/1", "plain/2"} {
		r.Publish(gateway.Message{Topic: topic, Payload: []byte("x"), QoS: 1, Retain: true})
	}
	c := r.connect(who{id: "c", user: "ann"})
	c.subscribe(1, "plain/#")
	first := c.want(packets.Publish)
	r.connect(who{id: "p", user: "ann"}).post("plain/3", "x", 1, 1)
	c.subscribe(0, feed)
	c.reply(packets.Puback, first.PacketID)
	second := c.want(packets.Publish) // the window is closed, plain/3 and the push wait
	a.update(feed, "news")
	c.quiet()
	c.reply(packets.Puback, second.PacketID)
	third := c.want(packets.Publish)
	c.wantPublish(feed, "state of "+feed)
	c.wantPublish(feed, "news")
	c.reply(packets.Puback, third.PacketID)
	c.quiet()
}

// What is denied now may be granted later, for a client that was not told.
func TestGrantedLater(t *testing.T) {
	grant := func(a *testAPI) {
		a.mu.Lock()
		a.deny = nil
		list := slices.Clone(a.active)
		a.mu.Unlock()
		for _, w := range list {
			w.mu.Lock()
			w.denied = false
			w.mu.Unlock()
		}
	}
	for _, v := range []byte{4, 5} {
		r, a := withAPI(t)
		a.deny, a.maybeLater = func(string) error { return gateway.ErrDenied }, true
		c := r.connect(who{v: v, id: "c", user: "ann"})
		want, watched := byte(0), 1
		if v == 5 {
			want, watched = codeNotAuthorized, 0
		}
		if codes := c.subscribe(0, feed); codes[0] != want {
			t.Errorf("v%d: SUBACK %v", v, codes)
		}
		c.quiet()
		if a.watching() != watched || r.Stats().Subscriptions != watched || a.starts() != watched {
			t.Errorf("v%d: %d watched, %d counted, %d started", v, a.watching(), r.Stats().Subscriptions, a.starts())
		}
		a.update(feed, "secret")
		c.quiet()
		grant(a)
		a.update(feed, "news")
		if v == 4 {
			c.wantPublish(feed, "news")
		}
		c.quiet()
		c.leave()
		r.eventually("nothing is watched", func() bool { return a.watching() == 0 })

		// A session that comes back has its subscription, whatever the version.
		w := who{v: v, id: "k", user: "ann", keep: true}
		c = r.connect(w)
		c.subscribe(0, feed)
		c.wantPublish(feed, "state of "+feed)
		c.leave()
		r.eventually("nothing is watched", func() bool { return a.watching() == 0 })
		a.set(func() { a.deny = func(string) error { return gateway.ErrDenied } })
		c = r.connect(w)
		c.quiet()
		r.eventually("it is watched", func() bool { return a.starts() == 1 })
		grant(a)
		a.update(feed, "news")
		c.wantPublish(feed, "news")
		c.quiet()
	}
}
