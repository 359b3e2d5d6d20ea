package fakecloud

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func newCloud(t *testing.T, o Options) *Cloud {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func until(t *testing.T, c *Cloud, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.WaitFor(ctx, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// client is a paho client with what it got.
type client struct {
	mqtt.Client
	mu  sync.Mutex
	got []mqtt.Message
	in  chan struct{}
}

func connect(t *testing.T, c *Cloud, id string, clean bool, change func(*mqtt.ClientOptions)) *client {
	t.Helper()
	cl := &client{in: make(chan struct{}, 1000)}
	o := mqtt.NewClientOptions().AddBroker(c.URL()).SetClientID(id).SetCleanSession(clean).SetAutoReconnect(false).SetProtocolVersion(4).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			cl.mu.Lock()
			defer cl.mu.Unlock()
			cl.got = append(cl.got, m)
			cl.in <- struct{}{}
		})
	if change != nil {
		change(o)
	}
	cl.Client = mqtt.NewClient(o)
	done(t, cl.Connect())
	t.Cleanup(func() { cl.Disconnect(100) })
	return cl
}

func done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("%T: %v", token, token.Error())
	}
}

// next waits for the next message.
func (cl *client) next(t *testing.T) mqtt.Message {
	t.Helper()
	select {
	case <-cl.in:
	case <-time.After(patience):
		t.Fatal("no message")
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	m := cl.got[0]
	cl.got = cl.got[1:]
	return m
}

func TestPublishAndSubscribe(t *testing.T) {
	c := newCloud(t, Options{})
	pub, sub := connect(t, c, "pub", true, nil), connect(t, c, "sub", true, nil)
	done(t, pub.Publish("a/r", 1, true, "kept"))
	done(t, sub.Subscribe("a/+", 1, nil))
	if m := sub.next(t); m.Topic() != "a/r" || !m.Retained() || string(m.Payload()) != "kept" {
		t.Errorf("retained: %v", m)
	}
	for qos := range byte(3) {
		done(t, pub.Publish("a/x", qos, false, []byte{qos}))
		if m := sub.next(t); m.Payload()[0] != qos || m.Qos() != min(qos, 1) || m.Retained() {
			t.Errorf("QoS %d came as %d", qos, m.Qos())
		}
	}
	done(t, pub.Publish("a/r", 1, true, ""))
	if _, ok := c.Retained("a/r"); ok {
		t.Error("an empty message does not clear the retained one")
	}
	sub.next(t)
	c.Publish("a/c", []byte("from the cloud"), 1, false)
	if m := sub.next(t); string(m.Payload()) != "from the cloud" {
		t.Errorf("%s", m.Payload())
	}
	done(t, sub.Unsubscribe("a/+"))
	if n := len(c.Subscriptions("sub")); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
	if n := len(c.Messages()); n != 5 {
		t.Errorf("%d messages taken", n)
	}
}

func TestPersistentSession(t *testing.T) {
	c := newCloud(t, Options{})
	sub := connect(t, c, "sub", false, nil)
	done(t, sub.Subscribe("a/#", 1, nil))
	sub.Disconnect(100)
	until(t, c, "gone", func() bool { return !c.Connected("sub") })
	c.Publish("a", []byte("1"), 1, false)
	c.Publish("a", []byte("2"), 0, false)
	c.Publish("a", []byte("3"), 1, false)
	sub = connect(t, c, "sub", false, nil)
	for _, want := range []string{"1", "3"} {
		if m := sub.next(t); string(m.Payload()) != want {
			t.Errorf("%s, want %s", m.Payload(), want)
		}
	}
	until(t, c, "acknowledged", func() bool { return c.Unacknowledged("sub") == 0 })
	sub.Disconnect(100)
	until(t, c, "gone", func() bool { return !c.Connected("sub") })
	connect(t, c, "sub", true, nil)
	if n := len(c.Subscriptions("sub")); n != 0 {
		t.Errorf("%d subscriptions after a clean session", n)
	}
}

func TestWills(t *testing.T) {
	c := newCloud(t, Options{})
	will := func(o *mqtt.ClientOptions) { o.SetWill("will", o.ClientID, 1, true) }
	connect(t, c, "polite", true, will).Disconnect(100)
	until(t, c, "gone", func() bool { return !c.Connected("polite") })
	if len(c.Messages()) != 0 {
		t.Error("a will after DISCONNECT")
	}
	connect(t, c, "cut", true, will)
	c.Disconnect("cut")
	connect(t, c, "taken", true, will)
	connect(t, c, "taken", true, will)
	until(t, c, "two wills", func() bool { return len(c.Messages()) == 2 })
	for i, want := range []string{"cut", "taken"} {
		if m := c.Messages()[i]; !m.Will || string(m.Payload) != want {
			t.Errorf("will %d: %+v", i, m)
		}
	}
}

func TestLink(t *testing.T) {
	c := newCloud(t, Options{})
	connect(t, c, "a", true, nil)
	c.SetLink(false)
	if c.Connected("a") {
		t.Error("connected without a link")
	}
	if nc, err := net.Dial("tcp", c.Addr()); err == nil {
		nc.Close()
		t.Error("somebody listens without a link")
	}
	c.SetLink(true)
	connect(t, c, "a", true, nil)
	if n := c.Connects("a"); n != 2 {
		t.Errorf("%d connects", n)
	}
}

func TestHeldAcknowledgements(t *testing.T) {
	c := newCloud(t, Options{})
	cl := connect(t, c, "a", true, nil)
	c.HoldAcks(true)
	var tokens []mqtt.Token
	for qos := byte(1); qos < 3; qos++ {
		tokens = append(tokens, cl.Publish("x", qos, false, "1"))
	}
	until(t, c, "both taken", func() bool { return len(c.Messages()) == 2 })
	for _, token := range tokens {
		select {
		case <-token.Done():
			t.Error("acknowledged")
		default:
		}
	}
	c.HoldAcks(false)
	for _, token := range tokens {
		done(t, token)
	}
}

func TestStopReading(t *testing.T) {
	c := newCloud(t, Options{})
	cl := connect(t, c, "a", true, nil)
	c.StopReading(true)
	for range 3 {
		cl.Publish("x", 0, false, "1")
	}
	if n := len(c.Messages()); n > 1 { // the one that was being waited for
		t.Errorf("%d messages read", n)
	}
	c.StopReading(false)
	until(t, c, "all", func() bool { return len(c.Messages()) == 3 })
}

func TestVerdicts(t *testing.T) {
	verdicts := map[string]Verdict{"silence": Silence, "ignore": Ignore, "close": Close, "after": CloseAfter}
	c := newCloud(t, Options{Policy: func(m Message) Verdict { return verdicts[m.Topic] }})
	c.RefuseTopic("refused/#")
	for topic, want := range map[string]struct{ taken, closed bool }{
		"fine": {true, false}, "silence": {true, false}, "ignore": {false, false},
		"close": {false, true}, "after": {true, true}, "refused/x": {false, true},
	} {
		before := len(c.Messages())
		lost := make(chan struct{})
		cl := connect(t, c, "c-"+topic[:4], true, func(o *mqtt.ClientOptions) {
			o.SetConnectionLostHandler(func(mqtt.Client, error) { close(lost) })
		})
		token := cl.Publish(topic, 1, false, "1")
		if want.closed {
			<-lost
		} else {
			done(t, cl.Subscribe("$none", 1, nil)) // comes after the publish
		}
		if got := len(c.Messages()) - before; (got == 1) != want.taken {
			t.Errorf("%s: taken %d times", topic, got)
		}
		if topic == "fine" {
			done(t, token)
		}
	}
}

func TestRefusedSubscription(t *testing.T) {
	c := newCloud(t, Options{})
	c.RefuseSubscription("secret")
	cl := connect(t, c, "a", true, nil)
	token := cl.SubscribeMultiple(map[string]byte{"secret": 1, "open": 2}, nil).(*mqtt.SubscribeToken)
	done(t, token)
	if r := token.Result(); r["secret"] != 0x80 || r["open"] != 1 {
		t.Errorf("result %v", r)
	}
}

func TestKeepAliveIsEnforced(t *testing.T) {
	c := newCloud(t, Options{})
	nc, err := net.Dial("tcp", c.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier, p.Keepalive = "MQTT", 4, true, "mute", 1
	p.WillFlag, p.WillTopic, p.WillMessage = true, "w", []byte("late")
	if err := p.Write(nc); err != nil {
		t.Fatal(err)
	}
	until(t, c, "connected", func() bool { return c.Connected("mute") })
	until(t, c, "thrown out, with its will", func() bool { return len(c.Messages()) == 1 })
}

func TestBadClients(t *testing.T) {
	c := newCloud(t, Options{})
	for name, data := range map[string][]byte{
		"publish first":    {0x30, 3, 0, 1, 'a'},
		"nonsense":         {0xff, 0xff, 0xff, 0xff, 0xff},
		"wrong version":    {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 9, 2, 0, 0, 0, 1, 'x'},
		"wildcard publish": append([]byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 1, 'x'}, 0x30, 3, 0, 1, '#'),
	} {
		nc, err := net.Dial("tcp", c.Addr())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		nc.Write(data)
		buf := make([]byte, 100)
		for err == nil {
			_, err = nc.Read(buf)
		}
		if e, ok := err.(net.Error); ok && e.Timeout() {
			t.Errorf("%s: the connection stays open", name)
		}
		nc.Close()
	}
}

func TestMessagesAreBounded(t *testing.T) {
	c := newCloud(t, Options{Keep: 10})
	cl := connect(t, c, "a", true, nil)
	for i := range 100 {
		done(t, cl.Publish("x", 1, false, []byte{byte(i)}))
	}
	m := c.Messages()
	if len(m) > 10 || m[len(m)-1].Payload[0] != 99 || c.Total() != 100 {
		t.Errorf("%d messages of %d", len(m), c.Total())
	}
}
