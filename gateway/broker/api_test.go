package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

const testKey = "CeWzga5HEYyfXkqBEWbmSAKRrNdNiVkPOyoSDoHt"

// testAPI answers requests as it is told and remembers them.
type testAPI struct {
	mu            sync.Mutex
	calls         []apiCall
	asked         []apiCall                    // subscriptions
	refuse        func(topic string) error     // nil: nothing
	deny          func(filter string) error    // nil: nothing
	maybeLater    bool                         // what is denied may be granted later
	state         map[string]string            // of filters; others have one of their own
	refuseMessage func(*gateway.Message) error // nil: nothing
	hold          bool                         // publishes are answered by letGo
	held          []func()
	active        []*apiWatch
	arrived       chan struct{}
}

type apiCall struct {
	peer  gateway.Peer
	topic string
	msg   gateway.Message
}

// apiWatch keeps the promise of Subscribe about start and cancel.
type apiWatch struct {
	peer   gateway.Peer
	filter string
	push   func([]byte)
	mu     sync.Mutex
	denied bool // as long as that nothing is pushed
	on     bool
	over   bool
	starts int
}

func (w *apiWatch) send(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sendLocked(text)
}

// sendLocked needs w.mu.
func (w *apiWatch) sendLocked(text string) {
	if w.on && !w.over && !w.denied {
		w.push([]byte(text))
	}
}

// Owns takes topics whose first or second level is v1 or v2.
func (a *testAPI) Owns(topic string) bool {
	first, rest, _ := strings.Cut(strings.TrimPrefix(topic, "/"), "/")
	second, _, _ := strings.Cut(rest, "/")
	return first == "v1" || first == "v2" || second == "v1" || second == "v2"
}

func (a *testAPI) Publish(p gateway.Peer, m *gateway.Message, done func(error)) {
	a.mu.Lock()
	a.calls = append(a.calls, apiCall{p, m.Topic, *m})
	var err error
	if a.refuse != nil {
		err = a.refuse(m.Topic)
	}
	if a.refuseMessage != nil {
		err = a.refuseMessage(m)
	}
	if a.hold {
		a.held = append(a.held, func() { done(err) })
		a.mu.Unlock()
		a.arrived <- struct{}{}
		return
	}
	a.mu.Unlock()
	done(err)
	a.arrived <- struct{}{}
}

func (a *testAPI) Subscribe(p gateway.Peer, filter string, push func([]byte)) (start, cancel func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, apiCall{peer: p, topic: filter})
	w := &apiWatch{peer: p, filter: filter, push: push}
	if a.deny != nil {
		err = a.deny(filter)
		w.denied = err != nil
	}
	if err != nil && !a.maybeLater {
		return nil, nil, err
	}
	a.active = append(a.active, w)
	return func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.on = true
			w.starts++
			a.mu.Lock()
			text, ok := a.state[filter]
			a.mu.Unlock()
			if !ok {
				text = "state of " + filter
			}
			w.sendLocked(text)
		}, func() {
			w.mu.Lock()
			w.over = true
			w.mu.Unlock()
			a.mu.Lock()
			defer a.mu.Unlock()
			a.active = slices.DeleteFunc(a.active, func(o *apiWatch) bool { return o == w })
		}, err
}

// update pushes to everybody who watches filter.
func (a *testAPI) update(filter, text string) {
	a.mu.Lock()
	list := slices.Clone(a.active)
	a.mu.Unlock()
	for _, w := range list {
		if w.filter == filter {
			w.send(text)
		}
	}
}

func (a *testAPI) watching() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.active)
}

func (a *testAPI) set(fn func()) { a.mu.Lock(); defer a.mu.Unlock(); fn() }

// letGo answers what is held, in reverse order if it is to be awkward.
func (a *testAPI) letGo(reverse bool) {
	a.mu.Lock()
	held := a.held
	a.held, a.hold = nil, false
	a.mu.Unlock()
	if reverse {
		slices.Reverse(held)
	}
	for _, fn := range held {
		fn()
	}
}

func (a *testAPI) await(t testing.TB, n int) {
	t.Helper()
	for range n {
		select {
		case <-a.arrived:
		case <-time.After(patience):
			t.Fatal("nothing arrived at the API")
		}
	}
}

// withAPI starts a broker with an API.
func withAPI(t testing.TB, change ...func(*Config)) (*rig, *testAPI) {
	a := &testAPI{arrived: make(chan struct{}, 10_000)}
	return start(t, append([]func(*Config){func(c *Config) { c.API = a }}, change...)...), a
}

func TestRequestsByPublish(t *testing.T) {
	deep := "/v2/feeds/" + strings.Repeat("a/", 200) + "x.json"
	for _, v := range []byte{4, 5} {
		for qos := range byte(3) {
			t.Run(fmt.Sprint("v", v, " QoS ", qos), func(t *testing.T) {
				r, a := withAPI(t)
				r.access.set(func() { r.access.acl = access.ACL{{Topic: "#", User: "*", Allow: access.ReadWrite}} })
				every := r.connect(who{id: "every", user: "root"})
				if codes := every.subscribe(2, "#", "/v2/#", "+/v2/#", "plain/#"); slices.Max(codes) > 2 {
					t.Fatalf("SUBACK %v", codes)
				}
				c := r.connect(who{v: v, id: "c", user: "key-1"})
				topics := []string{"/v2/feeds/504.csv", "v1/feeds/504", testKey + "/v2/feeds/504/datastreams/0.csv", deep}
				for i, topic := range topics {
					c.post(topic, "0,29", qos, uint16(i+1))
				}
				c.retain("/v2/feeds/504.csv", "", 0, 0)
				a.await(t, len(topics)+1)
				for i, call := range a.calls {
					if call.msg.Retain {
						t.Error("the API is told to retain")
					}
					want := gateway.Peer{Subject: access.Subject{Key: "key-1"}, Client: "c", Session: sessionKey(access.Subject{Key: "key-1"}, "c"),
						Addr: c.conn.LocalAddr().String(), Source: "mqtt c (" + c.conn.LocalAddr().String() + ")"}
					if call.peer != want {
						t.Errorf("peer %+v, want %+v", call.peer, want)
					}
					if i < len(topics) && (call.topic != topics[i] || string(call.msg.Payload) != "0,29" || call.msg.QoS != qos) {
						t.Errorf("got %.60q %q QoS %d", call.topic, call.msg.Payload, call.msg.QoS)
					}
				}
				if n := r.Stats().Retained; n != 0 {
					t.Errorf("%d messages retained", n)
				}
				if len(r.hub.batches) != 0 || len(r.hub.refused) != 0 {
					t.Errorf("the hub got %d batches and %d refusals", len(r.hub.batches), len(r.hub.refused))
				}
				every.quiet() // wildcards never see requests
			})
		}
	}
}

// A device that has the name of a version stays a device.
func TestDialectComesFirst(t *testing.T) {
	r, a := withAPI(t)
	c := r.connect(who{id: "c", user: "ann"})
	c.post("devices/v2/sensors/S/value", "1", 1, 1)
	if len(a.calls) != 0 || len(r.hub.batches) != 1 {
		t.Errorf("the API got %d calls, the hub %d batches", len(a.calls), len(r.hub.batches))
	}
}

func TestRetainedIsNotClearedByRequest(t *testing.T) {
	r, a := withAPI(t)
	r.Publish(gateway.Message{Topic: "/v2/feeds/1.csv", Payload: []byte("x"), Retain: true})
	c := r.connect(who{id: "c"})
	c.retain("/v2/feeds/1.csv", "", 1, 1)
	c.want(packets.Puback)
	a.await(t, 1)
	if n := r.Stats().Retained; n != 1 {
		t.Errorf("%d retained", n)
	}
}

func TestRefusedRequests(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code byte
	}{
		{gateway.ErrDenied, codeNotAuthorized}, {gateway.ErrBadTopic, codeTopicInvalid},
		{gateway.ErrBadPayload, codePayloadInvalid}, {gateway.ErrTooLarge, codeQuota}, {nil, codeSuccess},
	} {
		for _, v := range []byte{4, 5} {
			for _, qos := range []byte{1, 2} {
				t.Run(fmt.Sprint(tc.err, " v", v, " QoS ", qos), func(t *testing.T) {
					r, a := withAPI(t)
					if tc.err != nil {
						a.refuse = func(string) error { return fmt.Errorf("%w: as told", tc.err) }
					}
					c := r.connect(who{v: v, id: "c"})
					c.publish(testKey+"/v2/keys/"+testKey+".json?key="+testKey, "{}", qos, 7)
					ack := c.want(map[byte]byte{1: packets.Puback, 2: packets.Pubrec}[qos])
					code, reason := tc.code, ""
					if tc.err != nil {
						reason = tc.err.Error() + ": as told"
					}
					if v == 4 {
						code, reason = 0, ""
					}
					if ack.PacketID != 7 || ack.ReasonCode != code || ack.Properties.ReasonString != reason {
						t.Errorf("0x%02x %q, want 0x%02x %q", ack.ReasonCode, ack.Properties.ReasonString, code, reason)
					}
					r.hub.set(func() {
						if (tc.err != nil) != (len(r.hub.refused) == 1) {
							t.Errorf("%d refusals counted", len(r.hub.refused))
						}
						if all := strings.Join(r.hub.refusedTopics, " "); strings.Contains(all, testKey) || tc.err != nil && !strings.Contains(all, "/v2/keys/") {
							t.Errorf("topic in the log: %s", all)
						}
					})
				})
			}
		}
	}
}

// While the disk refuses, a request is not acknowledged, so that the client
// sends it again.
func TestRequestNotKept(t *testing.T) {
	for _, v := range []byte{4, 5} {
		r, a := withAPI(t)
		a.refuse = func(string) error { return gateway.ErrNotKept }
		c := r.connect(who{v: v, id: "c"})
		c.publish("/v2/feeds/1.csv", "0,1", 1, 1)
		a.await(t, 1)
		c.quiet()
		r.Recovered()
		c.wantClosed()
	}
}

func TestRequestsAreAcknowledgedInOrder(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		r, a := withAPI(t)
		a.hold = true
		a.refuse = func(topic string) error {
			if strings.Contains(topic, "2.csv") {
				return gateway.ErrDenied
			}
			return nil
		}
		c := r.connect(who{v: 5, id: "c"})
		for i := range 3 {
			c.publish(fmt.Sprintf("/v2/feeds/%d.csv", i+1), "0,1", qos, uint16(i+1))
		}
		c.publish("plain/x", "1", qos, 4)
		a.await(t, 3)
		c.quiet()
		a.letGo(true)
		for i := range uint16(4) {
			ack := c.want(map[byte]byte{1: packets.Puback, 2: packets.Pubrec}[qos])
			if ack.PacketID != i+1 || (ack.ReasonCode >= codeUnspecified) != (i == 1) {
				t.Errorf("QoS %d: answer %d is for %d with 0x%02x", qos, i+1, ack.PacketID, ack.ReasonCode)
			}
		}
	}
}

func TestWillIsARequest(t *testing.T) {
	deep := testKey + "/v2/feeds/1/datastreams/status.csv?" + strings.Repeat("x/", 200)
	for _, v := range []byte{4, 5} {
		r, a := withAPI(t)
		a.refuse = func(string) error { return gateway.ErrDenied }
		c := r.connect(who{v: v, id: "w", user: "key-9", topic: deep, payload: "0", qos: 1, retain: true})
		addr := c.conn.LocalAddr().String()
		c.cut()
		a.await(t, 1)
		r.hub.await(t, 1)
		call := a.calls[0]
		want := gateway.Peer{Subject: access.Subject{Key: "key-9"}, Client: "w", Session: sessionKey(access.Subject{Key: "key-9"}, "w"),
			Addr: addr, Source: "will of mqtt w"}
		if call.peer != want || call.topic != deep || string(call.msg.Payload) != "0" || call.msg.QoS != 1 {
			t.Errorf("v%d: %+v", v, call)
		}
		r.hub.set(func() {
			if strings.Contains(strings.Join(r.hub.refusedTopics, ""), testKey) {
				t.Error("a key in the log")
			}
		})
	}
	// Without an API such a will stays too long.
	r := start(t)
	if code := r.dial().hello(who{v: 5, id: "w", topic: deep, payload: "0"}); code != codeTopicInvalid {
		t.Errorf("CONNACK 0x%02x", code)
	}
}

// Others than administrators never see what the API tells about requests.
func TestRequestLogIsForAdministrators(t *testing.T) {
	r, _ := withAPI(t)
	root, ann := r.connect(who{id: "a", user: "root"}), r.connect(who{id: "b", user: "ann"})
	root.subscribe(0, "gateways/gw-1/requests")
	ann.subscribe(0, "#", "gateways/+/requests", "gateways/gw-1/requests")
	r.Broker.Publish(gateway.Message{Topic: "gateways/gw-1/requests", Payload: []byte("{}")})
	root.wantPublish("gateways/gw-1/requests", "{}")
	ann.quiet()
	ann.publish("gateways/gw-1/requests", "forged", 0, 0)
	r.hub.await(t, 1)
	root.quiet()
	if !errors.Is(r.hub.refused[0], gateway.ErrDenied) {
		t.Error(r.hub.refused[0])
	}
}
