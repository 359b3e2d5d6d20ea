package uplink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

func TestConnGathersWrites(t *testing.T) {
	ours, theirs := net.Pipe()
	c := newConn(ours, "", time.Minute, func(error) {})
	var want bytes.Buffer
	for i := range 100 {
		p := bytes.Repeat([]byte{byte(i)}, i)
		want.Write(p)
		if _, err := c.Write(p); err != nil { // nobody reads yet
			t.Fatal(err)
		}
	}
	if c.waiting() == 0 {
		t.Error("nothing waits although nobody reads")
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(theirs, got); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("read %v, equal %t", err, bytes.Equal(got, want.Bytes()))
	}
	c.Close()
	theirs.Close()
}

func TestConnCloseLetsTheLastWordsOut(t *testing.T) {
	ours, theirs := net.Pipe()
	c := newConn(ours, "", time.Minute, func(error) {})
	go func() {
		c.Write([]byte("goodbye"))
		c.Close()
	}()
	got, err := io.ReadAll(theirs)
	if string(got) != "goodbye" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestConnAbortEndsAllWaiting(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ended := make(chan error, 1)
	c := newConn(ours, "", time.Minute, func(err error) { ended <- err })
	results := make(chan error, 3)
	go func() { // blocks: far too much, and nobody reads
		var err error
		for err == nil {
			_, err = c.Write(make([]byte, blockBytes))
		}
		results <- err
	}()
	go func() {
		for {
			if r := c.publish(&message{topic: "t", qos: 1, payload: make([]byte, blockBytes)}); r.err != nil {
				results <- r.err
				return
			}
		}
	}()
	go func() {
		_, err := c.Read(make([]byte, 1))
		results <- err
	}()
	c.abort(net.ErrClosed)
	for range 3 {
		if err := <-results; !errors.Is(err, errDiscarded) {
			t.Errorf("%v, want errDiscarded: the library waits for ever on other words", err)
		}
	}
	if err := <-ended; !errors.Is(err, errDiscarded) {
		t.Errorf("cause %v", err)
	}
	<-c.flushed
}

func TestConnKeepsTheFirstCause(t *testing.T) {
	ours, theirs := net.Pipe()
	c := newConn(ours, "", time.Minute, func(error) {})
	theirs.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	c.abort(errDiscarded)
	if err := c.cause(); !closedByPeer(err) {
		t.Errorf("cause %v", err)
	}
	c.Close()
}

func suback(codes ...byte) []byte {
	var b bytes.Buffer
	p := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	p.ReturnCodes = codes
	p.Write(&b)
	return b.Bytes()
}

func TestFrames(t *testing.T) {
	zeros := func(n int) string { return string(make([]byte, n)) }
	for _, c := range []struct {
		name, data string
		pass       string // "same" for data itself
		ok         bool
	}{
		{"connack, puback, pingresp", "\x20\x02\x00\x00\x40\x02\x00\x01\xd0\x00", "same", true},
		{"publish", "\x32\x07\x00\x01a\x00\x01xy", "same", true},
		{"suback of one", string(suback(1)), "same", true},
		{"suback of none", string(suback()), "", false},
		{"suback of two", "\xd0\x00" + string(suback(1, 1)), "\xd0\x00", false},
		{"connack too large", "\x20\x81\x80\x40", "", false},
		{"largest", "\x30\x80\x80\x40" + zeros(maxPacket), "same", true},
		{"larger", "\x33\x81\x80\x40\x00\x03a/b\x01\x02" + zeros(maxPacket-6) + "\xd0\x00", "\x33\x0b\x00\x03a/b\x01\x02MARK\xd0\x00", true},
		{"larger at QoS 0", "\x30\x81\x80\x40\x00\x00" + zeros(maxPacket-1) + "\xd0\x00", "\x30\x06\x00\x00MARK\xd0\x00", true},
		{"length of five bytes", "\x30\x80\x80\x80\x80", "", false},
		{"connect", "\x10\x00", "", false},
		{"type 0", "\x00\x00", "", false},
	} {
		if c.pass == "same" {
			c.pass = c.data
		}
		for _, size := range []int{1, 7, len(c.data)} {
			f := frames{mark: "MARK"}
			var got []byte
			var err error
			for part := range slices.Chunk([]byte(c.data), size) {
				if err == nil {
					got, err = f.pass(got, part)
				}
			}
			if (err == nil) != c.ok || err != nil && !errors.Is(err, errFrame) {
				t.Errorf("%s in pieces of %d: %v", c.name, size, err)
			}
			if string(got) != c.pass {
				t.Errorf("%s in pieces of %d: %.60q passes, want %.60q", c.name, size, got, c.pass)
			}
		}
	}
}

// Whatever frames lets through is read by the library's codec without harm,
// however the stream is cut, and a stream of small good packets is left alone.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xd0, 0}, 3)
	f.Add(suback(1), 1)
	f.Add(suback(1, 2, 3), 1)
	f.Add([]byte{0x32, 7, 0, 1, 'a', 0, 1, 'x', 'y'}, 2)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a', 'b'}, 5)
	f.Add([]byte{0x32, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a', 'b', 'c', 'd'}, 1)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		cut = max(1, cut%(len(data)+1))
		g, whole := frames{mark: "MARK"}, frames{mark: "MARK"}
		var passed []byte
		var err error
		for part := range slices.Chunk(data, cut) {
			if passed, err = g.pass(passed, part); err != nil {
				break
			}
		}
		if same, _ := whole.pass(nil, data); !bytes.Equal(same, passed) {
			t.Fatalf("whole %q, in pieces %q", same, passed)
		}
		r := bytes.NewReader(passed)
		for {
			p, err := packets.ReadPacket(r)
			if err != nil {
				return
			}
			if s, ok := p.(*packets.SubackPacket); ok && len(s.ReturnCodes) != 1 {
				t.Fatalf("a SUBACK with %d codes passes", len(s.ReturnCodes))
			}
		}
	})
}

func TestBackoff(t *testing.T) {
	var b Backoff
	b.fill()
	for n, want := range []time.Duration{200 * ms, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second,
		16 * time.Second, 32 * time.Second, 64 * time.Second, 2 * time.Minute, 2 * time.Minute} {
		if got := b.delay(n, b.Max, 0); got != want {
			t.Errorf("retry %d after %s, want %s", n, got, want)
		}
		if got := b.delay(n, b.Max, 0.999999); got < want/2 || got > want/2+ms {
			t.Errorf("retry %d after %s at least, want %s", n, got, want/2)
		}
	}
	r := retries{backoff: b, rand: func() float64 { return 0 }}
	for range 5 {
		r.next(0, false, false)
	}
	if got := r.next(time.Second, false, false); got != 16*time.Second {
		t.Errorf("after a short connection %s", got)
	}
	if got := r.next(30*time.Second, false, false); got != 200*ms {
		t.Errorf("after a good connection %s", got)
	}
	for range 8 {
		r.next(0, false, true)
	}
	if got := r.next(0, false, true); got != 15*time.Second {
		t.Errorf("while nobody answers %s", got)
	}
	if got := r.next(time.Millisecond, true, false); got != 200*ms {
		t.Errorf("after a short connection that brought records up %s", got)
	}
	for range 20 {
		if got := r.next(time.Millisecond, true, false); got != time.Second {
			t.Errorf("after one such connection more %s", got)
		}
	}
	if got := b.delay(50, b.Unreached, 0.5); got != 15*time.Second*3/4 {
		t.Errorf("while nobody answers all gateways wait %s", got)
	}
}
