package uplink

import (
	"bufio"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// directRig is a conn whose other end is read and written packet by packet.
type directRig struct {
	t      *testing.T
	c      *conn
	theirs net.Conn
	r      *bufio.Reader
	passed chan byte // types of packets that the library gets
}

func newDirectRig(t *testing.T) *directRig {
	ours, theirs := net.Pipe()
	r := &directRig{t: t, c: newConn(ours, "", time.Minute, func(error) {}), theirs: theirs, r: bufio.NewReader(theirs), passed: make(chan byte, 10)}
	t.Cleanup(func() {
		r.c.abort(errDiscarded)
		theirs.Close()
		<-r.c.flushed
	})
	go func() {
		for {
			p, err := packets.ReadPacket(r.c)
			if err != nil {
				close(r.passed)
				return
			}
			switch p.(type) {
			case *packets.PubackPacket:
				r.passed <- packetPuback
			case *packets.SubackPacket:
				r.passed <- packetSuback
			case *packets.UnsubackPacket:
				r.passed <- packetUnsuback
			default:
				r.passed <- 0
			}
		}
	}()
	return r
}

func (r *directRig) next() packets.ControlPacket {
	r.t.Helper()
	p, err := packets.ReadPacket(r.r)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *directRig) answer(p ...byte) {
	r.t.Helper()
	if _, err := r.theirs.Write(p); err != nil {
		r.t.Fatal(err)
	}
}

// TestDirectPublish: packets as a server reads them, and whose answer is whose.
func TestDirectPublish(t *testing.T) {
	r := newDirectRig(t)
	m := message{topic: "devices/D/sensors/S/value", payload: []byte("25.60"), retain: true}
	var receipts []*reply
	for qos := range byte(3) {
		m.qos = qos
		receipts = append(receipts, r.c.publish(&m))
		p, ok := r.next().(*packets.PublishPacket)
		if !ok || p.TopicName != m.topic || string(p.Payload) != "25.60" || p.Qos != qos || !p.Retain || p.Dup || (p.MessageID == 0) != (qos == 0) {
			t.Fatalf("QoS %d: %+v", qos, p)
		}
		id := []byte{byte(p.MessageID >> 8), byte(p.MessageID)}
		if qos > 0 {
			select {
			case <-receipts[qos].Done():
				t.Errorf("QoS %d is done before its answer", qos)
			default:
			}
		}
		switch qos {
		case 1:
			r.answer(0x40, 2, id[0])
			r.answer(id[1]) // in two pieces
		case 2:
			for range 2 { // the second one is a repetition
				r.answer(0x50, 2, id[0], id[1])
				if p, ok := r.next().(*packets.PubrelPacket); !ok || p.MessageID != uint16(id[0])<<8|uint16(id[1]) {
					t.Fatalf("PUBREC is answered by %v", p)
				}
			}
			r.answer(0x70, 2, id[0], id[1])
		}
		<-receipts[qos].Done()
		if err := receipts[qos].Error(); err != nil {
			t.Errorf("QoS %d: %v", qos, err)
		}
	}

	trip := r.c.ask()
	u, ok := r.next().(*packets.UnsubscribePacket)
	if !ok || len(u.Topics) != 1 || u.Topics[0] != nothing {
		t.Fatalf("round trip: %+v", u)
	}
	r.answer(0x40, 2, byte(u.MessageID>>8), byte(u.MessageID)) // a PUBACK for it is no answer to it
	if kind := <-r.passed; kind != packetPuback {
		t.Errorf("the library got packet type %d", kind)
	}
	r.answer(0xb0, 2, byte(u.MessageID>>8), byte(u.MessageID))
	<-trip.Done()
	r.answer(0xb0, 2, byte(u.MessageID>>8), byte(u.MessageID)) // nobody waits for it any more
	if kind := <-r.passed; kind != packetUnsuback {
		t.Errorf("the library got packet type %d", kind)
	}
	r.answer(0x90, 3, 0, 1, 1)
	if kind := <-r.passed; kind != packetSuback {
		t.Errorf("the library got packet type %d", kind)
	}

	r.c.abort(errDiscarded)
	if p := r.c.publish(&m); !errors.Is(p.err, errDiscarded) {
		t.Errorf("a publish after the end: %v", p.err)
	} else {
		<-p.Done()
	}
}

// TestDirectIdentifiers: those of the library's packets and those of publishes
// never meet, wherever the library is.
func TestDirectIdentifiers(t *testing.T) {
	ours, theirs := net.Pipe()
	c := newConn(ours, "", time.Minute, func(error) {})
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := theirs.Read(buf); err != nil {
				return
			}
		}
	}()
	defer func() {
		c.abort(errDiscarded)
		theirs.Close()
		<-c.flushed
	}()
	for library := 1; library < 1<<16; library += 997 {
		s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
		s.MessageID, s.Topics, s.Qoss = uint16(library), []string{"gateways/gw-1/status"}, []byte{1}
		if err := s.Write(c); err != nil {
			t.Fatal(err)
		}
		if c.theirs != uint16(library) {
			t.Fatalf("%d was not seen, but %d", library, c.theirs)
		}
		seen := map[uint16]bool{}
		for range MaxWindow {
			c.mu.Lock()
			id := c.identify()
			c.open[id] = nil
			c.mu.Unlock()
			if distance := id - uint16(library); id == 0 || seen[id] || distance < 1<<14 || distance > 3<<14 {
				t.Fatalf("identifier %d beside the library's %d, given before: %t", id, library, seen[id])
			}
			seen[id] = true
		}
		clear(c.open)
	}
}

// TestPingBehindPublishes: a PINGREQ that waits behind publishes on a slow link
// ends no connection; one on a silent link does.
func TestPingBehindPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDirectRig(t)
		ping := func() {
			t.Helper()
			if _, err := r.c.Write([]byte{packetPingreq << 4, 0}); err != nil {
				t.Fatal(err)
			}
		}
		const slow = 10 * time.Minute // ten times what the rig is patient for
		receipt := r.c.publish(&message{topic: "t", qos: 1, payload: []byte("1")})
		ping()
		p := r.next().(*packets.PublishPacket)
		if _, ok := r.next().(*packets.PingreqPacket); !ok {
			t.Fatal("the PINGREQ did not leave")
		}
		time.Sleep(slow)
		if err := r.c.cause(); err != nil {
			t.Fatalf("while a publish waited: %v", err)
		}
		r.answer(0x40, 2, byte(p.MessageID>>8), byte(p.MessageID))
		<-receipt.Done()
		time.Sleep(slow) // what came after it said that the cloud is there
		ping()
		r.next()
		r.answer(packetPingresp<<4, 0)
		time.Sleep(slow)
		if err := r.c.cause(); err != nil {
			t.Fatal(err)
		}
		ping()
		r.next()
		asked := time.Now()
		<-r.c.flushed
		if err := r.c.cause(); !errors.Is(err, errSilent) || time.Since(asked) != time.Minute {
			t.Errorf("after %v: %v", time.Since(asked), err)
		}
	})
}
