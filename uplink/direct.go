package uplink

import (
	"encoding/binary"
	"errors"
	"syscall"
	"time"
)

// gatherTime is how long answers gather.
const gatherTime = 50 * time.Microsecond

// The client library connects, subscribes, keeps the connection alive and
// receives. What goes up is written here, into the same stream: two goroutines,
// a map and a channel for each publish were half of what catching up cost.

// receipt is what becomes of a packet that is to be answered: one of these, or
// a token of the library.
type receipt interface {
	Done() <-chan struct{} // closed once the outcome is known
	Error() error          // nil: the cloud has answered
}

// reply is the receipt of a packet that was written here.
type reply struct {
	kind byte // of the answer that ends it
	done chan struct{}
	err  error
}

func (r *reply) Done() <-chan struct{} { return r.done }
func (r *reply) Error() error          { return r.err }

// gone is the channel of what needs no answer.
var gone = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Packet types that only clients send.
const (
	packetSubscribe   = 8
	packetUnsubscribe = 10
	packetPingreq     = 12
)

// publish is write and push.
func (c *conn) publish(m *message) *reply {
	r := c.write(m)
	c.push()
	return r
}

// ask is writeAsk and push.
func (c *conn) ask() *reply {
	r := c.writeAsk()
	c.push()
	return r
}

// write appends a PUBLISH (MQTT 3.1.1 section 3.3) to what push lets leave. At
// QoS 0 its receipt says only that it is on its way.
func (c *conn) write(m *message) *reply {
	first := byte(packetPublish<<4) | m.qos<<1
	if m.retain {
		first |= 1
	}
	n := 2 + len(m.topic) + len(m.payload)
	var answer byte
	switch m.qos {
	case 1:
		answer = packetPuback
	case 2:
		answer = packetPubcomp
	}
	if answer != 0 {
		n += 2
	}
	return c.send(answer, func(dst []byte, id uint16) []byte {
		dst = appendLength(append(dst, first), n)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.topic)))
		dst = append(dst, m.topic...)
		if answer != 0 {
			dst = binary.BigEndian.AppendUint16(dst, id)
		}
		return append(dst, m.payload...)
	})
}

// nothing is a filter that the data connection never subscribes to.
const nothing = "none"

// writeAsk is the same of a round trip: the end of a subscription that there is none of,
// because a server must answer that too (MQTT 3.1.1 section 3.10.4). Servers
// read what a client sends in its order, so the answer says that the cloud has
// what was sent before, not what it did with it.
func (c *conn) writeAsk() *reply {
	return c.send(packetUnsuback, func(dst []byte, id uint16) []byte {
		dst = append(dst, packetUnsubscribe<<4|2, 4+byte(len(nothing)))
		dst = binary.BigEndian.AppendUint16(dst, id)
		return append(append(dst, 0, byte(len(nothing))), nothing...)
	})
}

// send writes what encode appends to dst. With an answer to come, id is for it.
func (c *conn) send(answer byte, encode func(dst []byte, id uint16) []byte) *reply {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.ready(); err != nil {
		return &reply{done: gone, err: err}
	}
	r, id := &reply{kind: answer, done: gone}, uint16(0)
	if answer != 0 {
		r.done = make(chan struct{})
		id = c.identify()
		c.open[id] = r
	}
	c.pending = encode(c.pending, id)
	return r
}

// push lets leave what is written.
func (c *conn) push() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work.Signal()
}

// listen sets when news of answers come: with the next one, or not before a
// quarter of those that are missing.
func (c *conn) listen(quarter bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = 1
	if quarter {
		c.due = max(1, len(c.open)/4)
	}
}

// crowded says that too much is waiting to be written for more publishes. News
// come when it is not any more.
func (c *conn) crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full = len(c.pending)+c.busy > roomBytes
	return c.full
}

// tell says that there are news for the one who publishes.
func (c *conn) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// identify gives a packet identifier that is free: not in use here, and far from
// those that the library counts upward through. The lock is held.
func (c *conn) identify() uint16 {
	for {
		c.ours++
		if d := c.ours - c.theirs; d < 1<<14 || d > 3<<14 {
			c.ours = c.theirs + 1<<14
		}
		if _, taken := c.open[c.ours]; !taken && c.ours != 0 {
			return c.ours
		}
	}
}

// note looks at a packet that the library sends for its identifier. The lock is
// held.
func (c *conn) note(p []byte) {
	switch p[0] >> 4 {
	case packetPingreq:
		if c.ping == nil {
			c.ping = time.AfterFunc(c.patient, c.silent)
		}
		return
	case packetSubscribe, packetUnsubscribe:
	default:
		return
	}
	at := 1
	for at < len(p) && p[at]&0x80 != 0 {
		at++
	}
	if at++; at+2 <= len(p) {
		c.theirs = binary.BigEndian.Uint16(p[at:])
	}
}

// errSilent ends a connection on which nothing comes.
var errSilent = errors.New("no answer to a ping")

// The library asks for a sign of life when it has sent or got nothing for the
// time of keep-alive, and knows nothing of what is written here: its PINGREQ
// may stand behind publishes that a slow link takes long for. So how long an
// answer may take is judged here (and not by the library, see connect): while
// publishes wait for theirs, it is for their sender to lose patience.

// silent is called when a PINGREQ has been without an answer for long.
func (c *conn) silent() {
	c.mu.Lock()
	if c.ping == nil || c.err != nil {
		c.mu.Unlock()
		return
	}
	if len(c.open) > 0 || len(c.pending)+c.busy > 0 {
		c.ping.Reset(c.patient)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	_ = c.abort(errSilent)
}

// heard notes that something came: the cloud is there.
func (c *conn) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quit()
}

// quit ends the wait for an answer to a PINGREQ. The lock is held.
func (c *conn) quit() {
	if c.ping != nil {
		c.ping.Stop()
		c.ping = nil
	}
}

// answered takes an answer of the cloud if it is for a packet that was written
// here.
func (c *conn) answered(kind byte, id uint16) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.open[id]
	switch {
	case r == nil:
		return false
	case kind == packetPubrec && r.kind == packetPubcomp:
		c.pending = append(c.pending, packetPubrel<<4|2, 2, byte(id>>8), byte(id))
		c.work.Signal()
		return true
	case kind != r.kind:
		return false
	}
	delete(c.open, id)
	close(r.done)
	if c.due--; c.due <= 0 {
		c.tell()
	}
	return true
}

// gather lets answers come together while nobody waits for the next one: read
// one by one they cost the system more than the publishes. The pause is the
// system's, because Go's own are a millisecond at least.
func (c *conn) gather() {
	c.mu.Lock()
	soon := c.due < 4 || len(c.open) < c.due
	c.mu.Unlock()
	if !soon {
		pause := syscall.NsecToTimespec(gatherTime.Nanoseconds())
		_ = syscall.Nanosleep(&pause, nil)
	}
}
