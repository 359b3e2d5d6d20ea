package broker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/fakeclock"
)

// patience bounds waiting for an event that must come.
const patience = 20 * time.Second

// testHub hands on what it is given, at once or when told.
type testHub struct {
	b  *Broker
	mu sync.Mutex

	deny          func(*gateway.Batch) error // nil allows
	hold          bool                       // answers wait for letGo
	held          []func()
	batches       []*gateway.Batch
	changes       []gateway.ChangeRequest
	refused       []error
	refusedTopics []string
	arrived       chan struct{} // one per Submit and Refused
}

func newTestHub() *testHub { return &testHub{arrived: make(chan struct{}, 100_000)} }

func (h *testHub) Submit(b *gateway.Batch) error {
	h.mu.Lock()
	if h.deny != nil {
		if err := h.deny(b); err != nil {
			h.mu.Unlock()
			return err
		}
	}
	h.batches = append(h.batches, b)
	var recs []gateway.Record
	for _, r := range b.Readings {
		recs = append(recs, gateway.Record{Seq: uint64(len(h.batches)), Kind: r.Kind, Device: r.Device, Channel: r.Channel, Value: r.Value, Time: r.Time, At: r.Time})
	}
	done := b.Done
	if done == nil {
		done = func(error) {}
	}
	deliver := func() { h.b.Deliver(b, recs, done) }
	if h.hold {
		h.held = append(h.held, deliver)
		h.mu.Unlock()
		h.tell()
		return nil
	}
	h.mu.Unlock()
	deliver()
	h.tell()
	return nil
}

func (h *testHub) Change(b *gateway.Batch, req gateway.ChangeRequest) error {
	h.mu.Lock()
	h.changes = append(h.changes, req)
	h.mu.Unlock()
	return h.Submit(b)
}

func (h *testHub) Refused(_, topic string, err error) {
	h.mu.Lock()
	h.refusedTopics = append(h.refusedTopics, topic)
	h.refused = append(h.refused, err)
	h.mu.Unlock()
	h.tell()
}

func (h *testHub) tell() {
	select {
	case h.arrived <- struct{}{}:
	default: // nobody counts that far
	}
}

// letGo answers what is held.
func (h *testHub) letGo() {
	h.mu.Lock()
	held := h.held
	h.held, h.hold = nil, false
	h.mu.Unlock()
	for _, fn := range held {
		fn()
	}
}

func (h *testHub) set(fn func()) { h.mu.Lock(); defer h.mu.Unlock(); fn() }

func (h *testHub) await(t testing.TB, n int) {
	t.Helper()
	for range n {
		select {
		case <-h.arrived:
		case <-time.After(patience):
			t.Fatal("nothing arrived at the hub")
		}
	}
}

// testAccess knows users by name; the password is "pw-" and the name.
type testAccess struct {
	mu        sync.Mutex
	anonymous bool
	admins    []string
	dead      map[string]bool            // user names and keys
	view      map[string]map[string]bool // device: user names, "" is anonymous
	acl       access.ACL
	login     error
	boom      bool // TopicAllowed panics
}

func newTestAccess() *testAccess {
	return &testAccess{anonymous: true, admins: []string{"root"}, dead: map[string]bool{},
		view: map[string]map[string]bool{"D": {"": true, "ann": true, "bob": true}, "Secret": {"ann": true}},
		acl:  access.ACL{{Topic: "plain/#", User: "*", Allow: access.ReadWrite}, {Topic: "own/%u/%c", User: "*", Allow: access.ReadWrite}}}
}

func (a *testAccess) Login(_ context.Context, _, user string, password []byte, given bool) (access.Subject, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.login != nil:
		return access.Subject{}, a.login
	case user == "" && !given && a.anonymous:
		return access.Subject{}, nil
	case strings.HasPrefix(user, "key-"):
		return access.Subject{Key: user}, nil
	case given && string(password) == "pw-"+user && !a.dead[user], user == "careless":
		return access.Subject{User: user}, nil
	}
	return access.Subject{}, access.ErrBadCredentials
}

func (a *testAccess) set(fn func()) { a.mu.Lock(); defer a.mu.Unlock(); fn() }

func (a *testAccess) Live(s access.Subject) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.dead[s.User] && !a.dead[s.Key]
}

func (a *testAccess) Admin(s access.Subject) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.admins, s.User)
}

func (a *testAccess) Can(s access.Subject, _ access.Right, device string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.view[device][s.User] || slices.Contains(a.admins, s.User)
}

func (a *testAccess) TopicAllowed(s access.Subject, clientID, topic string, write bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.boom {
		panic("boom")
	}
	return a.acl.Allows(s, clientID, topic, write)
}

func (a *testAccess) FilterAllowed(s access.Subject, clientID, filter string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.acl.Overlaps(s, clientID, filter)
}

// memTable is a gateway.Table in memory.
type memTable struct {
	mu     sync.Mutex
	m      map[string][]byte
	writes int
	fail   error
	gate   chan struct{} // if not nil each Write waits for one value
}

// has reports whether there is a key that starts and ends so.
func (t *memTable) has(prefix, suffix string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.m {
		if strings.HasPrefix(k, prefix) && strings.HasSuffix(k, suffix) {
			return true
		}
	}
	return false
}

func newMemTable() *memTable { return &memTable{m: map[string][]byte{}} }

func (t *memTable) Each(fn func(string, []byte) error) error {
	t.mu.Lock()
	keys := make([]string, 0, len(t.m))
	for k := range t.m {
		keys = append(keys, k)
	}
	t.mu.Unlock()
	slices.Sort(keys)
	for _, k := range keys {
		t.mu.Lock()
		v := bytes.Clone(t.m[k])
		t.mu.Unlock()
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (t *memTable) Write(pairs map[string][]byte) error {
	if t.gate != nil {
		<-t.gate
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writes++
	if t.fail != nil {
		return t.fail
	}
	for k, v := range pairs {
		if v == nil {
			delete(t.m, k)
		} else {
			t.m[k] = bytes.Clone(v)
		}
	}
	return nil
}

func (t *memTable) count(prefix string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for k := range t.m {
		if strings.HasPrefix(k, prefix) {
			n++
		}
	}
	return n
}

// rig is a running broker with its surroundings.
type rig struct {
	*Broker
	t      testing.TB
	hub    *testHub
	access *testAccess
	clock  *fakeclock.Clock
	addr   string
	stop   func() // ends Run and waits
}

func noLeaks(t testing.TB) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

// start runs a broker; change may alter its configuration.
func start(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	noLeaks(t)
	r := &rig{t: t, hub: newTestHub(), access: newTestAccess(),
		clock: fakeclock.New(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), gateway.ClockSynced)}
	cfg := Config{ID: "gw-1", Hub: r.hub, Access: r.access, Clock: r.clock}
	cfg.Limits.ShutdownTimeout = 300 * time.Millisecond
	for _, fn := range change {
		fn(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Broker, r.hub.b = b, b
	addr, err := b.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = addr.String()
	r.run()
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Broker.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				r.t.Error(err)
			}
		case <-time.After(patience):
			r.t.Error("the broker does not stop")
		}
		if n := r.Broker.Stats().Panics; n != 0 && !r.t.Failed() {
			r.t.Errorf("%d panics", n)
		}
	})
	r.t.Cleanup(r.stop)
}

// client is a client that says exactly what it is told.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	v    byte
	ack  packets.Packet // CONNACK
}

// who is how a client connects.
type who struct {
	v       byte // 4 if 0
	id      string
	user    string
	pass    string
	keep    bool // persistent session
	expiry  uint32
	dirty   bool // clean start in spite of keep
	topic   string
	payload string
	qos     byte
	retain  bool
	delay   uint32 // of the will
	window  uint16
	maxSize uint32
	alive   uint16
}

func (w who) packet() packets.Packet {
	if w.v == 0 {
		w.v = 4
	}
	pk := packets.Packet{ProtocolVersion: w.v, FixedHeader: packets.FixedHeader{Type: packets.Connect},
		Connect: packets.ConnectParams{ProtocolName: []byte("MQTT"), ClientIdentifier: w.id, Clean: !w.keep || w.dirty, Keepalive: w.alive}}
	if w.v == 3 {
		pk.Connect.ProtocolName = []byte("MQIsdp")
	}
	if w.user != "" {
		pk.Connect.UsernameFlag, pk.Connect.Username = true, []byte(w.user)
		if w.pass == "" {
			w.pass = "pw-" + w.user
		}
		pk.Connect.PasswordFlag, pk.Connect.Password = true, []byte(w.pass)
	}
	if w.v == 5 {
		pk.Properties.ReceiveMaximum = w.window
		pk.Properties.MaximumPacketSize = w.maxSize
		if w.keep && w.expiry == 0 {
			w.expiry = 3600
		}
		if w.expiry > 0 {
			pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = w.expiry, true
		}
	}
	if w.topic != "" {
		pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, w.topic, []byte(w.payload)
		pk.Connect.WillQos, pk.Connect.WillRetain = w.qos, w.retain
		pk.Connect.WillProperties.WillDelayInterval = w.delay
	}
	return pk
}

func (r *rig) dial() *client {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.over(conn)
}

func newReader(conn net.Conn) *bufio.Reader { return bufio.NewReader(conn) }

func (r *rig) over(conn net.Conn) *client {
	r.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: r.t, conn: conn, r: bufio.NewReader(conn)}
}

// connect connects and expects to be let in.
func (r *rig) connect(w who) *client {
	r.t.Helper()
	c := r.dial()
	if code := c.hello(w); code != 0 {
		r.t.Fatalf("CONNACK 0x%02x", code)
	}
	return c
}

// hello sends CONNECT and gives the code of CONNACK.
func (c *client) hello(w who) byte {
	c.t.Helper()
	pk := w.packet()
	c.v = pk.ProtocolVersion
	c.send(pk)
	c.ack = c.want(packets.Connack)
	return c.ack.ReasonCode
}

func encode(t testing.TB, pk packets.Packet) []byte {
	t.Helper()
	var buf bytes.Buffer
	var err error
	pk.Mods.AllowResponseInfo = true
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectEncode(&buf)
	case packets.Publish:
		err = pk.PublishEncode(&buf)
	case packets.Puback:
		err = pk.PubackEncode(&buf)
	case packets.Pubrec:
		err = pk.PubrecEncode(&buf)
	case packets.Pubrel:
		pk.FixedHeader.Qos = 1
		err = pk.PubrelEncode(&buf)
	case packets.Pubcomp:
		err = pk.PubcompEncode(&buf)
	case packets.Subscribe:
		pk.FixedHeader.Qos = 1
		err = pk.SubscribeEncode(&buf)
	case packets.Unsubscribe:
		pk.FixedHeader.Qos = 1
		err = pk.UnsubscribeEncode(&buf)
	case packets.Pingreq:
		err = pk.PingreqEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	default:
		t.Fatalf("type %d", pk.FixedHeader.Type)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func (c *client) send(pk packets.Packet) {
	c.t.Helper()
	pk.ProtocolVersion = c.v
	c.raw(encode(c.t, pk))
}

func (c *client) raw(b []byte) {
	c.t.Helper()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// next reads one packet.
func (c *client) next() (packets.Packet, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	pk := packets.Packet{ProtocolVersion: c.v}
	header, err := c.r.ReadByte()
	if err != nil {
		return pk, err
	}
	if err := pk.FixedHeader.Decode(header); err != nil {
		return pk, err
	}
	n, _, err := packets.DecodeLength(c.r)
	if err != nil {
		return pk, err
	}
	pk.FixedHeader.Remaining = n
	body := make([]byte, n)
	if _, err := io.ReadFull(c.r, body); err != nil {
		return pk, err
	}
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback:
		err = pk.PubackDecode(body)
	case packets.Pubrec:
		err = pk.PubrecDecode(body)
	case packets.Pubrel:
		err = pk.PubrelDecode(body)
	case packets.Pubcomp:
		err = pk.PubcompDecode(body)
	case packets.Suback:
		err = pk.SubackDecode(body)
	case packets.Unsuback:
		err = pk.UnsubackDecode(body)
	case packets.Disconnect:
		pk.ReasonCode = 0
		if len(body) > 0 {
			pk.ReasonCode = body[0]
		}
	case packets.Pingresp:
	default:
		err = fmt.Errorf("unexpected packet type %d", pk.FixedHeader.Type)
	}
	return pk, err
}

// want reads one packet, which must be of this type.
func (c *client) want(kind byte) packets.Packet {
	c.t.Helper()
	pk, err := c.next()
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", packets.PacketNames[kind], err)
	}
	if pk.FixedHeader.Type != kind {
		c.t.Fatalf("got %s (code 0x%02x, topic %q, id %d), want %s", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode, pk.TopicName, pk.PacketID, packets.PacketNames[kind])
	}
	return pk
}

// wantPublish reads a PUBLISH with this topic and payload.
func (c *client) wantPublish(topic, payload string) packets.Packet {
	c.t.Helper()
	pk := c.want(packets.Publish)
	if pk.TopicName != topic || string(pk.Payload) != payload {
		c.t.Fatalf("got %q %.60q, want %q %.60q", pk.TopicName, pk.Payload, topic, payload)
	}
	return pk
}

// wantClosed reads until the connection ends and gives the reason of a
// DISCONNECT on the way, 0 without one.
func (c *client) wantClosed() byte {
	c.t.Helper()
	code := byte(0)
	for {
		pk, err := c.next()
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				c.t.Fatal("the connection is not closed")
			}
			return code
		}
		if pk.FixedHeader.Type == packets.Disconnect {
			code = pk.ReasonCode
		}
	}
}

// quiet makes sure that nothing waits to be read: what comes next is the answer
// to a PINGREQ.
func (c *client) quiet() {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	c.want(packets.Pingresp)
}

func (c *client) subscribe(qos byte, filters ...string) []byte {
	c.t.Helper()
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9}
	for _, f := range filters {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: f, Qos: qos})
	}
	c.send(pk)
	return c.want(packets.Suback).ReasonCodes
}

func (c *client) publish(topic, payload string, qos byte, id uint16) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, TopicName: topic, Payload: []byte(payload), PacketID: id})
}

// post publishes and waits until the broker has taken it over.
func (c *client) post(topic, payload string, qos byte, id uint16) {
	c.t.Helper()
	c.publish(topic, payload, qos, id)
	switch qos {
	case 1:
		c.want(packets.Puback)
	case 2:
		c.want(packets.Pubrec)
		c.reply(packets.Pubrel, id)
		c.want(packets.Pubcomp)
	}
}

func (c *client) retain(topic, payload string, qos byte, id uint16) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Retain: true}, TopicName: topic, Payload: []byte(payload), PacketID: id})
}

// reply sends an acknowledgement.
func (c *client) reply(kind byte, id uint16) {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, PacketID: id})
}

// leave sends DISCONNECT.
func (c *client) leave() {
	c.t.Helper()
	c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
	c.wantClosed()
}

// cut ends the connection as a broken link does.
func (c *client) cut() { _ = c.conn.Close() }

// session waits until the session of an anonymous client has no connection.
func (r *rig) awaitAbsent(s access.Subject, id string) {
	r.t.Helper()
	r.eventually("the session is absent", func() bool {
		r.mu.Lock()
		sess := r.sessions[sessionKey(s, id)]
		_, held := r.slots[sessionKey(s, id)]
		r.mu.Unlock()
		return !held && (sess == nil || sess.connection() == nil)
	})
}

// eventually polls a state that nothing announces.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
