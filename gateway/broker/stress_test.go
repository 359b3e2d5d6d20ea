package broker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
)

// TestStress lets many clients do everything at once while one publisher and
// one subscriber go on counting: nothing of theirs is lost or out of order.
func TestStress(t *testing.T) {
	table := newMemTable()
	r := start(t, func(c *Config) {
		c.Table = table
		c.Limits.FlushEvery = 20 * time.Millisecond
		c.Limits.Sessions = 60
		c.Limits.WriteBuffer = 64 << 10
		c.Limits.WriteTimeout = 500 * time.Millisecond
	})
	duration := 2 * time.Second
	if testing.Short() {
		duration = 300 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), duration)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Add(1)
		go func() { defer wg.Done(); r.rowdy(ctx, rand.New(rand.NewPCG(7, uint64(i)))) }()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for ctx.Err() == nil {
			r.DropDead()
			r.housekeep()
			r.Recovered()
			if err := r.Probe(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			r.Publish(gateway.Message{Topic: "gateways/gw-1/status", Payload: []byte("online"), Retain: true, QoS: 1})
			r.publishSys()
		}
	}()
	defer func() {
		if t.Failed() {
			t.Logf("%+v", r.Stats())
		}
	}()
	sub := r.connect(who{v: 5, id: "counting", user: "ann", keep: true})
	sub.subscribe(1, "devices/D/sensors/count/value")
	pub := r.connect(who{v: 4, id: "publishing", user: "ann"})
	for i := 0; ctx.Err() == nil; i++ {
		pub.post("devices/D/sensors/count/value", fmt.Sprint(i), byte(1+i%2), uint16(i%60_000+1))
		got := sub.wantPublish("devices/D/sensors/count/value", fmt.Sprint(i))
		sub.reply(packets.Puback, got.PacketID)
		if i%50 == 49 {
			sub.cut()
			sub = r.connect(who{v: 5, id: "counting", user: "ann", keep: true})
		}
	}
	wg.Wait()
	r.stop()
	s := r.Stats()
	if s.Panics != 0 || s.Clients != 0 || s.Pending != 0 {
		t.Fatalf("%+v", s)
	}
	var messages, bytes int64
	for _, sess := range r.allSessions() {
		sess.eachOutgoing(func(o *outgoing) {
			messages++
			if o.msg != nil {
				bytes += int64(o.msg.size)
			}
		})
		bytes -= int64(sess.retainBytes) // shared with the store, and not counted
	}
	if messages != s.QueueMessages || bytes != s.QueueBytes {
		t.Fatalf("%d messages of %d bytes are there, counted are %d of %d", messages, bytes, s.QueueMessages, s.QueueBytes)
	}
	t.Logf("%d connections, %d in, %d out, dropped %v, closed %v", s.Connections, s.MessagesIn, s.MessagesOut, s.Dropped, s.Closed)
	// What is on disk can be read again.
	b, err := New(Config{ID: "gw-1", Hub: r.hub, Access: r.access, Clock: r.clock, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	kept := s.Retained
	if r.retained.get("gateways/gw-1/status") != nil {
		kept-- // the gateway's own topics are not on disk
	}
	if s2 := b.Stats(); s2.Damaged != 0 || s2.Sessions != s.Sessions || s2.Retained != kept {
		t.Fatalf("%+v\nbefore\n%+v", s2, s)
	}
}

// rowdy connects again and again and does this and that.
func (r *rig) rowdy(ctx context.Context, rnd *rand.Rand) {
	filters := []string{"#", "plain/#", "plain/+", "devices/+/sensors/+/value", "$share/g/plain/#", "$share/h/#", "gateways/#", "factory/x"}
	users := []string{"", "ann", "bob", "root"}
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			continue
		}
		v := byte(3 + rnd.IntN(3))
		w := who{v: v, id: fmt.Sprint("rowdy", rnd.IntN(8)), user: users[rnd.IntN(4)], keep: rnd.IntN(2) == 0, dirty: rnd.IntN(4) == 0}
		if rnd.IntN(2) == 0 {
			w.topic, w.payload, w.qos, w.retain = "plain/will", "bye", byte(rnd.IntN(3)), rnd.IntN(2) == 0
		}
		send := func(pk packets.Packet) bool {
			pk.ProtocolVersion = v
			raw := encode(r.t, pk)
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			if rnd.IntN(200) == 0 && len(raw) > 3 {
				raw[rnd.IntN(len(raw))] ^= byte(1 << rnd.IntN(8))
			}
			_, err := conn.Write(raw)
			return err == nil
		}
		reader := make(chan struct{})
		reads := rnd.IntN(4) > 0
		go func() {
			defer close(reader)
			if !reads {
				return
			}
			c := r.quietClient(conn, v)
			for {
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				pk, err := c.next()
				if err != nil {
					return
				}
				if pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 0 {
					raw := []byte{0x40, 2, byte(pk.PacketID >> 8), byte(pk.PacketID)}
					if pk.FixedHeader.Qos == 2 {
						raw[0] = 0x50
					}
					_, _ = conn.Write(raw)
				}
			}
		}()
		ok := send(w.packet())
		for range rnd.IntN(60) {
			if !ok {
				break
			}
			id := uint16(rnd.IntN(20) + 1)
			switch rnd.IntN(8) {
			case 0:
				ok = send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: id, Filters: packets.Subscriptions{{Filter: filters[rnd.IntN(len(filters))], Qos: byte(rnd.IntN(3))}}})
			case 1:
				ok = send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: id, Filters: packets.Subscriptions{{Filter: filters[rnd.IntN(len(filters))]}}})
			case 2:
				ok = send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel}, PacketID: id})
			case 3:
				ok = send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubcomp}, PacketID: id})
			default:
				qos := byte(rnd.IntN(3))
				if qos == 0 {
					id = 0
				}
				topic := []string{"plain/a", "plain/b", "devices/D/sensors/S/value", "factory/x"}[rnd.IntN(4)]
				ok = send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Retain: rnd.IntN(4) == 0}, PacketID: id, TopicName: topic, Payload: []byte(fmt.Sprint(rnd.IntN(1000)))})
			}
		}
		if rnd.IntN(2) == 0 {
			send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
		}
		_ = conn.Close()
		<-reader
	}
}

func (r *rig) quietClient(conn net.Conn, v byte) *client {
	return &client{t: r.t, conn: conn, r: newReader(conn), v: v}
}

func TestProbe(t *testing.T) {
	r := start(t)
	if err := r.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.Stats().Subscriptions; n != 0 {
		t.Fatal(n)
	}
	r.stop()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.Probe(ctx); err == nil {
		t.Fatal("moves though it stopped")
	}
}

func TestSys(t *testing.T) {
	r := start(t)
	root := r.connect(who{id: "root", user: "root"})
	root.subscribe(0, "$SYS/broker/clients/connected")
	c := r.connect(who{id: "c"})
	c.subscribe(0, "#")
	r.publishSys()
	root.wantPublish("$SYS/broker/clients/connected", "2")
	c.quiet()
}
