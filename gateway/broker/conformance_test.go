package broker

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway/access"
)

// The tests of this file and of conformance_table_test.go know bytes, as they
// stand in the specification, and no packets of a library.

// exactly reads as many bytes as want has and compares.
func (c *client) exactly(what string, want []byte) {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(got, want) {
		c.t.Errorf("%s: got % x, want % x (%v)", what, got[:n], want, err)
	}
}

// ended reads until the end of the connection and gives what came before it.
func (c *client) ended() []byte {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c.r)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Errorf("the connection is not closed; it had % x", got)
	}
	return got
}

// stream is packets in hexadecimal digits, "..." being a string of MQTT and
// '...' bytes as they are.
func stream(t testing.TB, s string) (out []byte) {
	t.Helper()
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		switch s[0] {
		case '"', '\'':
			end := strings.IndexByte(s[1:], s[0]) + 1
			if s[0] == '"' {
				out = append(out, byte((end-1)>>8), byte(end-1))
			}
			out = append(out, s[1:end]...)
			s = s[end+1:]
		default:
			b, err := hex.DecodeString(s[:2])
			if err != nil {
				t.Fatalf("%q: %v", s, err)
			}
			out, s = append(out, b...), s[2:]
		}
	}
	return out
}

// TestEveryPacketCutOff sends each beginning of each packet a client may send
// and goes away: nothing comes of it, nothing is left of it.
func TestEveryPacketCutOff(t *testing.T) {
	r := start(t)
	hello := map[byte]string{
		3: `10 10 "MQIsdp" 03 02 00 3c "c3"`,
		4: `10 0e "MQTT" 04 02 00 3c "c4"`,
		5: `10 0f "MQTT" 05 02 00 3c 00 "c5"`,
	}
	length := map[byte]int{3: 4, 4: 4} // of CONNACK; at MQTT 5 it says itself
	type whole struct {
		v    byte // 0: instead of CONNECT
		text string
	}
	var all []whole
	for _, v := range []byte{3, 4, 5} {
		all = append(all, whole{0, hello[v]})
		none := ""
		if v == 5 {
			none = "00"
		}
		n := len(none) / 2
		for _, p := range []string{
			fmt.Sprintf(`30 %02x "plain/cut" %s 'x'`, 12+n, none),
			fmt.Sprintf(`32 %02x "plain/cut" 0001 %s 'x'`, 14+n, none),
			fmt.Sprintf(`34 %02x "plain/cut" 0002 %s 'x'`, 14+n, none),
			`40 02 0003`, `50 02 0003`, `62 02 0003`, `70 02 0003`,
			fmt.Sprintf(`82 %02x 0004 %s "plain/#" 01`, 12+n, none),
			fmt.Sprintf(`a2 %02x 0005 %s "plain/#"`, 11+n, none),
			`c0 00`, `e0 00`,
		} {
			all = append(all, whole{v, p})
		}
	}
	all = append(all,
		whole{0, `10 29 "MQTT" 04 c6 00 3c "cw" "plain/cut" "x" "ann" "pw-ann"`},
		whole{5, `30 22 "plain/cut" 15 01 01 02 00000001 23 0001 03 "t" 26 "k" "v" 'x'`})
	before := r.Stats().Clients
	for _, w := range all {
		p := stream(t, w.text)
		for n := 1; n < len(p); n++ {
			c := r.dial()
			if w.v > 0 {
				c.raw(stream(t, hello[w.v]))
				if w.v == 5 {
					c.v = 5
					if _, err := c.next(); err != nil {
						t.Fatal(err)
					}
				} else {
					c.exactly("CONNACK", []byte{0x20, 2, 0, 0}[:length[w.v]])
				}
			}
			c.raw(p[:n])
			if half, ok := c.conn.(*net.TCPConn); !ok || half.CloseWrite() != nil {
				t.Fatal("the stream cannot be ended")
			}
			if got := c.ended(); len(got) > 0 && got[0] != 0xe0 && got[0] != 0x20 {
				t.Errorf("%s cut at %d: % x", w.text, n, got)
			}
			c.cut()
		}
	}
	r.eventually("no client is left", func() bool { return r.Stats().Clients == before })
	r.hub.set(func() {
		if len(r.hub.batches) > 0 {
			t.Errorf("%d messages of packets that were cut off", len(r.hub.batches))
		}
	})
	c := r.connect(who{id: "afterwards"})
	c.quiet()
}

// TestHandshakeStopsAnywhere leaves each exchange after each of its steps and
// comes back for the session, before and after a restart of the broker.
func TestHandshakeStopsAnywhere(t *testing.T) {
	hello := map[byte]string{4: `10 0d "MQTT" 04 00 00 3c "c"`, 5: `10 13 "MQTT" 05 00 00 3c 05 11 00000e10 "c"`}
	for _, v := range []byte{4, 5} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("v%d, restart %t", v, restarted), func(t *testing.T) {
				table := newMemTable()
				r := start(t, func(c *Config) { c.Table = table })
				back := func(present byte) *client {
					t.Helper()
					c := r.dial()
					c.v = v
					c.raw(stream(t, hello[v]))
					ack, err := c.next()
					if err != nil || ack.ReasonCode != 0 || ack.SessionPresent != (present == 1) {
						t.Fatalf("CONNACK %+v, %v", ack, err)
					}
					return c
				}
				away := func(c *client) *client {
					t.Helper()
					c.cut()
					if restarted {
						r.awaitAbsent(access.Subject{}, "c")
						r.restart(table, false)
					}
					return back(1)
				}
				none, extra := "", 0 // properties of PUBLISH and SUBSCRIBE
				if v == 5 {
					none, extra = "00", 1
				}
				publish := func(first byte, id uint16, payload string) []byte {
					return stream(t, fmt.Sprintf(`%02x %02x "plain/t" %04x %s '%s'`, first, 9+2+extra+len(payload), id, none, payload))
				}
				c := back(0)
				c.raw(stream(t, fmt.Sprintf(`82 %02x 0007 %s "plain/t" 02`, 12+extra, none)))
				c.exactly("SUBACK", stream(t, fmt.Sprintf(`90 %02x 0007 %s 02`, 3+extra, none)))
				other := func() *client {
					return r.connect(who{id: "other"})
				}
				send := func(payload string, qos byte, id uint16) { other().post("plain/t", payload, qos, id) }

				// arrives reads the PUBLISH that came by send and gives its identifier.
				arrives := func(first byte, payload string) uint16 {
					t.Helper()
					got := make([]byte, len(publish(first, 0, payload)))
					_ = c.conn.SetReadDeadline(time.Now().Add(patience))
					_, err := io.ReadFull(c.r, got)
					id := binary.BigEndian.Uint16(got[11:])
					if err != nil || id == 0 || !bytes.Equal(got, publish(first, id, payload)) {
						t.Fatalf("PUBLISH: got % x, want % x", got, publish(first, id, payload))
					}
					return id
				}
				ack := func(first byte, id uint16) []byte { return []byte{first, 2, byte(id >> 8), byte(id)} }

				// To the client, at QoS 1.
				send("one", 1, 1)
				id := arrives(0x32, "one")
				c = away(c) // before PUBACK
				c.exactly("PUBLISH again", publish(0x3a, id, "one"))
				c.raw(ack(0x40, id))
				c.quiet()
				c = away(c) // after it
				c.quiet()

				// To the client, at QoS 2.
				send("two", 2, 1)
				id = arrives(0x34, "two")
				c = away(c) // before PUBREC
				c.exactly("PUBLISH again", publish(0x3c, id, "two"))
				c.raw(ack(0x50, id))
				c.exactly("PUBREL", ack(0x62, id))
				c = away(c) // before PUBCOMP
				c.exactly("PUBREL again", ack(0x62, id))
				c.raw(ack(0x70, id))
				c.quiet()
				c = away(c)
				c.quiet()

				// From the client, at QoS 2.
				own := func(first byte, payload string) []byte {
					return bytes.Replace(publish(first, 0x21, payload), []byte("plain/t"), []byte("plain/u"), 1)
				}
				pubrec := stream(t, `50 02 0021`)
				if v == 5 {
					pubrec = stream(t, `50 03 0021 10`) // nobody has subscribed to it
				}
				c.raw(own(0x34, "three"))
				c.exactly("PUBREC", pubrec)
				c = away(c)               // it has not heard it
				c.raw(own(0x3c, "three")) // and sends it again
				c.exactly("PUBREC again", stream(t, `50 02 0021`))
				c.raw(stream(t, `62 02 0021`))
				c.exactly("PUBCOMP", stream(t, `70 02 0021`))
				c = away(c) // nor that
				c.raw(stream(t, `62 02 0021`))
				if v == 5 {
					if got, err := c.next(); err != nil || got.FixedHeader.Type != 7 || got.PacketID != 0x21 || got.ReasonCode != 0x92 {
						t.Errorf("PUBREL of what is over: %+v, %v", got, err)
					}
				} else {
					c.exactly("PUBCOMP again", stream(t, `70 02 0021`))
				}
				c.raw(own(0x34, "four")) // the identifier is free
				c.exactly("PUBREC", pubrec)
				var came []string
				r.hub.set(func() {
					for _, b := range r.hub.batches {
						if b.Carrier.Topic == "plain/u" {
							came = append(came, string(b.Carrier.Payload))
						}
					}
				})
				if fmt.Sprint(came) != "[three four]" {
					t.Errorf("the hub got %v", came)
				}
			})
		}
	}
}
