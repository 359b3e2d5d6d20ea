package broker

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// A subscriber that stops reading delays nobody, costs a bounded amount of
// memory, and is cut.
func TestStuckSubscriber(t *testing.T) {
	for _, qos := range []byte{0, 1, 2} {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			r := start(t, func(c *Config) {
				c.Limits.WriteBuffer = 256 << 10
				c.Limits.WriteTimeout = time.Second
				c.Limits.QueueBytes = 1 << 20
			})
			stuck := r.connect(who{id: "stuck", keep: true})
			stuck.subscribe(qos, "plain/#")
			_ = stuck.conn.(*net.TCPConn).SetReadBuffer(4096)
			good := r.connect(who{id: "good"})
			good.subscribe(0, "plain/#")
			pub := r.connect(who{id: "pub"})
			payload := long(32 << 10)
			// At QoS 0 all goes to the socket until that is full for too long. At
			// QoS 1 and 2 the window closes first, and the queue fills.
			done := func(s Stats) bool { return s.Closed["write_timeout"] == 1 }
			if qos > 0 {
				done = func(s Stats) bool { return s.Dropped["queue_full"] > 50 }
			}
			for i := 0; ; i++ {
				pub.post("plain/a", payload, qos, uint16(i%1000+1))
				good.wantPublish("plain/a", payload)
				s := r.Stats()
				if s.QueueBytes > 2<<20 {
					t.Fatalf("%d bytes queued", s.QueueBytes)
				}
				if done(s) {
					break
				}
			}
			pub.post("plain/a", "x", 1, 1)
			good.wantPublish("plain/a", "x")
			again := r.connect(who{id: "stuck", keep: true}) // its session waits for it
			if qos > 0 {
				again.want(packets.Publish)
			}
		})
	}
}

// Subscribers that do not read share a bound: the more there are, the less waits
// for each. Who reads gets everything, and when the others have gone nothing is
// counted as waiting.
func TestStuckSubscribersShare(t *testing.T) {
	const stuck = 30
	r := start(t, func(c *Config) {
		c.Limits.WriteBuffer, c.Limits.WriteTotal, c.Limits.WriteTimeout = 1<<20, 4<<20, patience
	})
	var all []*client
	for i := range stuck {
		c := r.connect(who{id: fmt.Sprint("stuck-", i)})
		c.subscribe(0, "plain/#")
		_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
		all = append(all, c)
	}
	good := r.connect(who{id: "good"})
	good.subscribe(0, "plain/#")
	pub := r.connect(who{id: "pub"})
	payload, most := long(8<<10), int64(0)
	for i := range 1500 { // 12 MB to each, of which the kernel takes some
		pub.post("plain/a", payload, 1, uint16(i%1000+1))
		good.wantPublish("plain/a", payload)
		most = max(most, r.buffered.Load())
	}
	if dropped := r.Stats().Dropped["buffer_full"]; most > 4<<20 || most < 1<<20 || dropped < 1000 {
		t.Errorf("%d bytes waited at most, %d messages were dropped: %v", most, dropped, r.Stats().Dropped)
	}
	for _, c := range all {
		_ = c.conn.Close()
	}
	r.eventually("nothing waits", func() bool { return r.buffered.Load() == 0 })
}

// A client that sends much and reads no acknowledgements is cut when they fill
// its buffer.
func TestUnreadAcknowledgements(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.WriteBuffer = 1024; c.Limits.WriteTimeout = patience })
	good := r.connect(who{id: "good"})
	c := r.connect(who{id: "c"})
	_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
	ping := []byte{packets.Pingreq << 4, 0}
	var many []byte
	for range 10_000 {
		many = append(many, ping...)
	}
	for { // until the broker hangs up
		_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := c.conn.Write(many); err != nil {
			if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
				break
			}
			t.Fatal(err)
		}
	}
	if n := r.Stats().Closed["write_buffer_full"]; n != 1 {
		t.Fatal(n)
	}
	good.quiet()
}

// A message larger than the buffer still passes when nothing waits before it.
func TestLargeMessage(t *testing.T) {
	r := start(t, func(c *Config) { c.Limits.WriteBuffer = 4096 })
	sub := r.connect(who{id: "sub"})
	sub.subscribe(1, "plain/#")
	pub := r.connect(who{id: "pub"})
	for i := range 5 {
		pub.post("plain/a", fmt.Sprint(i)+long(1<<20), 1, uint16(i+1))
		got := sub.wantPublish("plain/a", fmt.Sprint(i)+long(1<<20))
		sub.reply(packets.Puback, got.PacketID)
	}
}

// flaky fails now and then, as accept does without file descriptors.
type flaky struct {
	net.Listener
	mu   sync.Mutex
	left int
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	fail := f.left > 0
	f.left--
	f.mu.Unlock()
	if fail {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestAcceptErrorsPass(t *testing.T) {
	r := start(t)
	r.stop()
	b, err := New(Config{ID: "gw-1", Hub: r.hub, Access: r.access})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.attach(&flaky{Listener: l, left: 4}, kindTCP); err != nil {
		t.Fatal(err)
	}
	r.Broker, r.hub.b, r.addr = b, b, l.Addr().String()
	r.run()
	r.connect(who{id: "c"}).quiet()
}

func TestListenErrors(t *testing.T) {
	r := start(t)
	b, err := New(Config{ID: "gw-1", Hub: r.hub, Access: r.access})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Listen(r.addr, nil); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatal(err)
	}
	addr, err := b.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := b.Addrs(); len(a) != 1 || a[0].Addr.String() != addr.String() || a[0].TLS {
		t.Fatal(a)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", addr.String()); err == nil {
		t.Fatal("the address is still taken")
	}
	for _, cfg := range []Config{{}, {ID: "a/b", Hub: r.hub, Access: r.access}, {ID: "gw"}, {ID: "gw", Hub: r.hub, Access: r.access, Limits: Limits{ReceiveMaximum: 70000}}} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}
