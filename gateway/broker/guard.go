package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	keepBuffer = 64 << 10        // bytes of packet buffer that an idle connection may hold
	halfPacket = 2 * time.Minute // for the rest of a packet from a client without a keep alive
	readChunk  = 16 << 10        // bytes by which memory for a packet grows
)

// conn guards one client's connection: what is read are complete packets that
// passed Check, and its Write (guardwrite.go) never blocks.
type conn struct {
	b      *Broker
	raw    net.Conn
	in     source
	kind   string // mqtt, mqtts, ws
	remote string
	source string // for logs, once the client is known

	// The reading side; one goroutine.
	checker     checker
	version     byte
	established atomic.Bool       // CONNACK has been sent: DISCONNECT may be
	idle        time.Duration     // 1.5 times the keep alive; 0 is no limit
	packet      []byte            // memory of the packet that is being read
	cut         bool              // it is a publish to the API without its end, see readLong
	aliases     []string          // topics by alias; nil until there is one
	given       map[string]uint16 // aliases towards the client; under its session's mu; nil until there is one
	filters     int               // that the client has named, see pace

	// The writing side, see guardwrite.go.
	wmu       sync.Mutex
	buf       pieces // to be written
	writing   int    // bytes taken off buf that are not written yet
	counted   int    // pieces of both, in Broker.buffered
	flushing  bool   // there is a goroutine for it, or there was the last one
	closing   bool
	closeBy   time.Time // with closing: when what is left is given up
	discard   bool      // take in what the peer is still sending before closing
	wantDrain bool      // somebody waits for room
	onDrain   func()    // called without wmu after wantDrain, when half is free
	wake      chan struct{}
	closed    chan struct{} // closed when closing is set
	flushed   chan struct{} // closed when the flusher has ended

	seq     uint64              // of acceptance
	since   time.Time           // when reading began; under the broker's lock
	present bool                // the session was there before
	asked   hello               // what CONNECT said
	sess    *session            // set by the handshake
	acks    acks                // publishes of this client on their way
	unkept  atomic.Bool         // a publish was left unacknowledged because of the disk
	bye     atomic.Pointer[bye] // how the client said goodbye; nil if it did not
}

// bye is what the client's DISCONNECT said, if there was one.
type bye struct {
	will      bool // "disconnect with will message"
	hasExpiry bool
	expiry    uint32 // seconds
}

func newConn(b *Broker, raw net.Conn, kind string) *conn {
	return &conn{
		b: b, raw: raw, kind: kind,
		in:      source{raw: raw},
		remote:  raw.RemoteAddr().String(),
		checker: checker{userProperties: b.limits.UserProperties},
		wake:    make(chan struct{}, 1),
		closed:  make(chan struct{}),
		acks:    acks{space: make(chan struct{}, 1)},
		flushed: make(chan struct{}),
	}
}

// next reads the next packet; body is good until the one after. A packet that
// must not be is answered, as far as MQTT has an answer, and ends the
// connection.
func (c *conn) next() (header byte, body []byte, err error) {
	if c.isClosed() {
		return 0, nil, net.ErrClosed
	}
	deadline := time.Time{}
	if c.idle > 0 {
		deadline = time.Now().Add(c.idle)
	}
	_ = c.raw.SetReadDeadline(deadline)
	if c.isClosed() { // and may have set a deadline that was just replaced
		return 0, nil, net.ErrClosed
	}
	header, body, err = c.readPacket(c.b.limits.PacketSize)
	if err == nil {
		err = c.check(header, body)
	}
	if err == nil && c.b.stopping.Load() {
		<-c.closed // what comes now is for the next start
		err = net.ErrClosed
	}
	if err != nil {
		c.fail(err)
		return 0, nil, err
	}
	c.b.count.bytesIn.Add(uint64(len(c.packet)))
	return header, body, nil
}

func (c *conn) check(header byte, body []byte) error {
	if header>>4 == packets.Connect {
		return violation(codeProtocol, "second CONNECT")
	}
	if err := c.checker.check(c.version, header, body); err != nil {
		return err
	}
	if header>>4 == packets.Disconnect {
		c.bye.Store(readBye(c.version, body))
	}
	return nil
}

// readBye takes what matters out of a DISCONNECT that passed Check.
func readBye(version byte, body []byte) *bye {
	d := &bye{}
	if version != 5 {
		return d
	}
	p := &parser{rest: body}
	if len(p.rest) > 0 {
		d.will = p.byte("") == codeDisconnectWill
	}
	if len(p.rest) == 0 {
		return d
	}
	pk := packets.Packet{ProtocolVersion: 5, FixedHeader: packets.FixedHeader{Type: packets.Disconnect, Remaining: len(body)}}
	if pk.DisconnectDecode(body) == nil && pk.Properties.SessionExpiryIntervalFlag {
		d.hasExpiry, d.expiry = true, pk.Properties.SessionExpiryInterval
	}
	return d
}

// fail notes why reading ended, and tells an MQTT 5 client.
func (c *conn) fail(err error) {
	var v *Violation
	switch {
	case errors.As(err, &v):
		c.b.count.closed.add(violationReason(v))
		c.b.notice("violation", "connection closed: packet not allowed", "source", c.name(), "error", v.What)
		c.goodbye(v.Code, v.What)
		c.wmu.Lock()
		c.discard = true
		c.wmu.Unlock()
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.isClosed():
		c.b.count.closed.add("keepalive")
		c.goodbye(codeKeepAlive, "")
	}
}

func violationReason(v *Violation) string {
	if v.Code == codeTooLarge {
		return "packet_too_large"
	}
	return "bad_packet"
}

// goodbye sends DISCONNECT to a client that understands it.
func (c *conn) goodbye(code byte, reason string) {
	if !c.established.Load() || c.version != 5 { // in this order: version is settled then
		return
	}
	if c.asked.noProblemInfo {
		reason = ""
	}
	_, _ = c.Write(shortPacket(packets.Disconnect<<4, code, reason))
}

// shortPacket builds a DISCONNECT of MQTT 5 with a reason string.
func shortPacket(header, code byte, reason string) []byte {
	if len(reason) > 100 {
		reason = strings.ToValidUTF8(reason[:100], "")
	}
	if reason == "" {
		return []byte{header, 1, code}
	}
	n := len(reason)
	out := []byte{header, byte(5 + n), code, byte(3 + n), packets.PropReasonString, 0, byte(n)}
	return append(out, reason...)
}

// readPacket reads one packet into c.packet, of which it takes limit bytes at
// most. Memory is taken as bytes arrive, never by what a header announces.
func (c *conn) readPacket(limit int) (header byte, body []byte, err error) {
	if cap(c.packet) > keepBuffer {
		c.packet = nil
	}
	c.packet, c.cut = c.packet[:0], false
	header, err = c.in.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	if c.idle == 0 && c.established.Load() {
		_ = c.raw.SetReadDeadline(time.Now().Add(halfPacket))
	}
	c.packet = append(c.packet, header)
	length := 0
	for i := 0; ; i++ {
		if i == maxVariableByteLength {
			return 0, nil, violation(codeMalformed, "remaining length of more than 4 bytes")
		}
		b, err := c.in.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		c.packet = append(c.packet, b)
		length |= int(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			break
		}
	}
	head := len(c.packet)
	if head+length > limit {
		return c.readLong(header, length, limit)
	}
	if err := c.fill(head + length); err != nil {
		return 0, nil, err
	}
	return header, c.packet[head:], nil
}

// name is the client for logs.
func (c *conn) name() string {
	if c.source != "" {
		return c.source
	}
	return fmt.Sprintf("mqtt (%s)", c.remote)
}
