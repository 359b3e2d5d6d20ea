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
	c := newConn(ours, func(error) {})
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
	c := newConn(ours, func(error) {})
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
	c := newConn(ours, func(err error) { ended <- err })
	results := make(chan error, 3)
	go func() { // blocks: far too much, and nobody reads
		var err error
		for err == nil {
			_, err = c.Write(make([]byte, blockBytes))
		}
		results <- err
	}()
	go func() {
		for c.hold() {
		}
		results <- errDiscarded
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
	c := newConn(ours, func(error) {})
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
	for _, c := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"connack, puback, pingresp", []byte{0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xd0, 0}, true},
		{"suback of one", suback(1), true},
		{"suback of none", suback(), false},
		{"suback of two", suback(1, 1), false},
		{"too large", []byte{0x30, 0x81, 0x80, 0x40}, false},
		{"largest", []byte{0x30, 0x80, 0x80, 0x40}, true},
		{"length of five bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80}, false},
		{"connect", []byte{0x10, 0}, false},
		{"type 0", []byte{0x00, 0}, false},
	} {
		var whole frames
		if err := whole.see(c.data); (err == nil) != c.ok || err != nil && !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", c.name, err)
		}
		var bytewise frames
		var err error
		for _, b := range c.data {
			if err == nil {
				err = bytewise.see([]byte{b})
			}
		}
		if (err == nil) != c.ok {
			t.Errorf("%s, byte by byte: %v", c.name, err)
		}
	}
}

// Whatever passes frames is read by the library's codec without harm, and the
// two agree on where packets end, however the stream is cut.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x40, 2, 0, 1, 0xd0, 0}, 3)
	f.Add(suback(1), 1)
	f.Add(suback(1, 2, 3), 1)
	f.Add([]byte{0x32, 7, 0, 1, 'a', 0, 1, 'x', 'y'}, 2)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 5)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		cut = max(1, cut%(len(data)+1))
		var g frames
		good := 0
		for part := range slices.Chunk(data, cut) {
			if g.see(part) != nil {
				break
			}
			good += len(part)
		}
		r := bytes.NewReader(data[:good])
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
		if got := b.delay(n, 0); got != want {
			t.Errorf("retry %d after %s, want %s", n, got, want)
		}
		if got := b.delay(n, 0.999999); got < want/2 || got > want/2+ms {
			t.Errorf("retry %d after %s at least, want %s", n, got, want/2)
		}
	}
	r := retries{backoff: b, rand: func() float64 { return 0 }}
	for range 5 {
		r.next(0)
	}
	if got := r.next(time.Second); got != 16*time.Second {
		t.Errorf("after a short connection %s", got)
	}
	if got := r.next(30 * time.Second); got != 200*ms {
		t.Errorf("after a good connection %s", got)
	}
}
