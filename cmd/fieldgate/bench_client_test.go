package main

import (
	"bufio"
	wire "encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// bareClient speaks MQTT 3.1.1 with packets encoded by hand on a socket with
// TCP_NODELAY, so that a benchmark measures the broker and not a client.
type bareClient struct {
	t    testing.TB
	conn *net.TCPConn
	r    *bufio.Reader
	body []byte
	next uint16 // packet identifier
}

// benchDeadline ends a benchmark that would hang.
const benchDeadline = 2 * time.Minute

// connectBare connects; clean is the clean session flag of CONNECT.
func connectBare(t testing.TB, addr, id string, clean bool) *bareClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &bareClient{t: t, conn: conn.(*net.TCPConn), r: bufio.NewReaderSize(conn, 16<<10)}
	if err := c.conn.SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.SetDeadline(time.Now().Add(benchDeadline)); err != nil {
		t.Fatal(err)
	}
	var flags byte
	if clean {
		flags = 2
	}
	body := []byte{0, 4, 'M', 'Q', 'T', 'T', 4, flags, 0, 120}
	c.write(packet(0x10, body, mqttString(id)))
	if kind, body := c.read(); kind>>4 != 2 || body[1] != 0 {
		t.Fatalf("CONNECT of %s is answered by %#x %v", id, kind, body)
	}
	return c
}

func mqttString(s string) []byte {
	return append(wire.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// packet encodes one control packet (MQTT 3.1.1 section 2).
func packet(first byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := wire.AppendUvarint([]byte{first}, uint64(n)) // the same encoding as the remaining length
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func (c *bareClient) write(p []byte) {
	if _, err := c.conn.Write(p); err != nil {
		c.t.Helper()
		c.t.Fatal(err)
	}
}

// read gives the next packet; body is valid until the next call.
func (c *bareClient) read() (first byte, body []byte) {
	first, body, err := c.packet()
	if err != nil {
		c.t.Helper()
		c.t.Fatal(err)
	}
	return first, body
}

func (c *bareClient) packet() (first byte, body []byte, err error) {
	if first, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := wire.ReadUvarint(c.r)
	if err != nil {
		return 0, nil, err
	}
	if uint64(cap(c.body)) < n {
		c.body = make([]byte, n)
	}
	c.body = c.body[:n]
	_, err = io.ReadFull(c.r, c.body)
	return first, c.body, err
}

// subscribe waits for the SUBACK.
func (c *bareClient) subscribe(filter string, qos byte) {
	c.t.Helper()
	c.write(packet(0x82, []byte{0, 1}, mqttString(filter), []byte{qos}))
	if kind, body := c.read(); kind>>4 != 9 || body[2] != qos {
		c.t.Fatalf("SUBSCRIBE is answered by %#x %v", kind, body)
	}
}

// publish appends a PUBLISH to buf.
func (c *bareClient) publish(buf []byte, topic string, qos byte, payload []byte) []byte {
	var id []byte
	if qos > 0 {
		if c.next++; c.next == 0 {
			c.next = 1
		}
		id = wire.BigEndian.AppendUint16(nil, c.next)
	}
	return append(buf, packet(0x30|qos<<1, mqttString(topic), id, payload)...)
}

// flood publishes n messages at QoS 1, to topics in turn, with at most window of
// them not acknowledged, and returns when all are. It can be called in any goroutine.
func (c *bareClient) flood(topics []string, n, window int) error {
	var buf []byte
	sent, acked := 0, 0
	for acked < n {
		buf = buf[:0]
		for ; sent < n && sent-acked < window; sent++ {
			buf = c.publish(buf, topics[sent%len(topics)], 1, fmt.Appendf(nil, `{"value": %d}`, 100000+sent%100000))
		}
		if len(buf) > 0 {
			if _, err := c.conn.Write(buf); err != nil {
				return err
			}
		}
		for first := true; first || c.r.Buffered() >= 4 && acked < n; first = false {
			kind, _, err := c.packet()
			if err != nil {
				return err
			}
			if kind != 0x40 {
				return fmt.Errorf("%#x instead of PUBACK", kind)
			}
			acked++
		}
	}
	return nil
}

// receive hands every PUBLISH's payload to fn and acknowledges it, until the
// connection is closed.
func (c *bareClient) receive(fn func(topic string, payload []byte)) {
	var acks []byte
	for {
		kind, body, err := c.packet()
		if err != nil {
			return
		}
		if kind>>4 != 3 {
			continue
		}
		end := 2 + int(wire.BigEndian.Uint16(body))
		rest := body[end:]
		if kind&6 != 0 {
			acks = append(acks, 0x40, 2, rest[0], rest[1])
			rest = rest[2:]
		}
		fn(string(body[2:end]), rest)
		if len(acks) > 0 && c.r.Buffered() == 0 {
			if _, err := c.conn.Write(acks); err != nil {
				return
			}
			acks = acks[:0]
		}
	}
}

// openScratch makes a file of n written bytes in dir.
func openScratch(t testing.TB, dir string, n int) *os.File {
	t.Helper()
	f, err := os.CreateTemp(dir, "scratch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return f
}
