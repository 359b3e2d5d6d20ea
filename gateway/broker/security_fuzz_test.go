package broker

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// FuzzConversation sends whatever bytes over a connection of its own, before or
// after a CONNECT that is let in: it ends at most that connection. No panic is
// caught on the way, and an honest client beside it is served over the
// connection that it had.
func FuzzConversation(f *testing.F) {
	for _, b := range [][]byte{
		{0x82, 8, 0, 1, 0, 0, 3, 'a', '/', 'b'}, {0x30, 0xff, 0xff, 0xff, 0x7f}, {0xc0, 0, 0xe0, 0},
		packet(0x32, text("plain/a"), id1, []byte("x")), packet(0x34, text("devices/D/sensors/S/value"), id1, []byte("1")),
		bytes.Join([][]byte{packet(0x82, id1, text("#"), []byte{2}), packet(0x33, text("plain/a"), id1, []byte("x")), packet(0x50, id1), packet(0x62, id1)}, nil),
		bytes.Join([][]byte{packet(0x82, id1, none, text("$share/g/plain/+"), []byte{1}), packet(0x32, text("plain/a"), id1, none, []byte("x")), packet(0xa2, id1, none, text("$share/g/plain/+"))}, nil),
		rawConnect(5, 4|0x80|0x40, none, text("x"), none, text("plain/w"), text("x"), text("ann"), text("pw-ann")),
		packet(0x30, text("plain/a"), props(append([]byte{packets.PropUser}, append(text("k"), text("v")...)...)), []byte("x")),
	} {
		for v := range byte(4) {
			f.Add(v, b)
		}
	}
	r := start(f)
	honest := r.connect(who{id: "honest", user: "bob"})
	honest.subscribe(0, "plain/honest")
	f.Fuzz(func(t *testing.T, v byte, b []byte) {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Skip(err) // no ports are left: the fuzzer is faster than the kernel
		}
		c := &client{t: t, conn: conn, r: newReader(conn), v: 4}
		if v %= 4; v > 0 {
			if code := c.hello(who{v: v + 2, id: "fuzz", user: "ann", keep: true}); code != 0 {
				t.Fatalf("CONNACK 0x%02x", code)
			}
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write(b)               // it may be closed already
		_, _ = conn.Write([]byte{0xc0, 0}) // so that there is an answer or an end, if the bytes were whole packets
		_ = conn.(*net.TCPConn).CloseWrite()
		var out bytes.Buffer
		if _, err := out.ReadFrom(conn); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Fatal("the connection stays open")
			}
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
		honest.t = t
		honest.publish("plain/honest", "x", 0, 0)
		for { // others publish there too
			if pk := honest.want(packets.Publish); string(pk.Payload) == "x" {
				break
			}
		}
		if n := r.Stats().Panics; n != 0 {
			t.Fatalf("%d panics", n)
		}
	})
}
