package broker

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway/access"
)

// The form of what is kept on disk. All numbers are unsigned varints, texts
// are preceded by their length, and a CRC-32 (IEEE) ends each entry.
const (
	encodingVersion = 1
	// Of a session with received identifiers, which follow the subscriptions:
	// their number, then for each by how much it is greater than the one before.
	encodingReceived = 2
	// Of a session with a mark, which follows those identifiers: the mark, the
	// count up to which they are known, and, as they are, identifiers that are
	// recorded.
	encodingMarked = 3
)

var errDamaged = errors.New("broker: damaged entry")

// storedSession is the form of a session on disk.
type storedSession struct {
	subject   access.Subject
	clientID  string
	version   byte
	expiry    time.Duration // whole seconds
	remaining time.Duration // of expiry, when it was written; whole seconds
	subs      []subscription
	received  []uint16 // QoS 2 identifiers that were not released; not 0, ascending
	mark      uint64   // 0: none, nor known and recorded
	known     uint64
	recorded  []uint16 // as received
}

// storedMessage is the form of a queued or retained message on disk.
type storedMessage struct {
	msg       *message      // nil: only the end of QoS 2 is missing
	remaining time.Duration // until it expires; 0 is never; whole seconds
	qos       byte
	retain    bool
	released  bool
	packet    uint16
	ids       []int
}

func encodeSession(s *storedSession) []byte {
	e := encoder{encodingVersion}
	if len(s.received) > 0 {
		e[0] = encodingReceived
	}
	if s.mark != 0 {
		e[0] = encodingMarked
	}
	e.text(s.subject.User)
	e.text(s.subject.Key)
	e.text(s.clientID)
	e.number(uint64(s.version))
	e.seconds(s.expiry)
	e.seconds(s.remaining)
	e.number(uint64(len(s.subs)))
	for i := range s.subs {
		sub := &s.subs[i]
		e.text(sub.filter)
		e.number(uint64(sub.qos) | flag(sub.noLocal, 4) | flag(sub.asPublished, 8) | uint64(sub.retainHandling)<<4)
		e.number(uint64(sub.id))
	}
	if e[0] >= encodingReceived {
		e.packetIDs(s.received)
	}
	if e[0] >= encodingMarked {
		e.number(s.mark)
		e.number(s.known)
		e.packetIDs(s.recorded)
	}
	return e.sum()
}

func decodeSession(raw []byte) (*storedSession, error) {
	d := newDecoder(raw, encodingMarked)
	s := &storedSession{subject: access.Subject{User: d.text(), Key: d.text()}, clientID: d.text(),
		version: byte(d.limited(5)), expiry: d.seconds(), remaining: d.seconds()}
	n := d.limited(uint64(len(d.rest)))
	for range n {
		sub := subscription{filter: d.text()}
		f := d.limited(63)
		sub.qos, sub.noLocal, sub.asPublished, sub.retainHandling = byte(f&3), f&4 != 0, f&8 != 0, byte(f>>4)
		sub.id = int(d.limited(268_435_455))
		if d.bad || sub.qos > 2 || topicFilter(sub.filter) != nil {
			return nil, errDamaged
		}
		sub.share = shareOf(sub.filter)
		s.subs = append(s.subs, sub)
	}
	if d.version >= encodingReceived {
		s.received = d.packetIDs()
	}
	if d.version >= encodingMarked {
		s.mark, s.known = d.limited(math.MaxUint64), d.limited(math.MaxUint64)
		s.recorded = d.packetIDs()
		d.bad = d.bad || s.mark == 0
	}
	return s, d.err()
}

// packetIDs are ascending identifiers, each by how much it is greater than the
// one before.
func (d *decoder) packetIDs() (ids []uint16) {
	last := uint64(0)
	for range d.limited(uint64(len(d.rest))) {
		step := d.limited(65535 - last)
		if d.bad || step == 0 {
			d.bad = true
			return nil
		}
		last += step
		ids = append(ids, uint16(last))
	}
	return ids
}

// The flags of a stored message.
const (
	flagRetain    = 4 // to be sent with
	flagReleased  = 8
	flagMessage   = 16
	flagFormat    = 32
	flagPublished = 64 // the message was published with retain
)

func encodeMessage(s *storedMessage) []byte {
	e := encoder{encodingVersion}
	m := s.msg
	f := uint64(s.qos) | flag(s.retain, flagRetain) | flag(s.released, flagReleased) | flag(m != nil, flagMessage)
	if m != nil {
		f |= flag(m.retain, flagPublished) | flag(m.props != nil && m.props.PayloadFormatFlag, flagFormat)
	}
	e.number(f)
	e.number(uint64(s.packet))
	e.number(uint64(len(s.ids)))
	for _, id := range s.ids {
		e.number(uint64(id))
	}
	if m == nil {
		return e.sum()
	}
	e.seconds(s.remaining)
	e.text(m.topic)
	e.text(string(m.payload))
	e.number(uint64(m.qos))
	e.text(m.client)
	e.text(m.from)
	p := m.props
	if p == nil {
		p = &packets.Properties{}
	}
	e.number(uint64(p.PayloadFormat))
	e.text(p.ContentType)
	e.text(p.ResponseTopic)
	e.text(string(p.CorrelationData))
	e.number(uint64(len(p.User)))
	for i := range p.User {
		e.text(p.User[i].Key)
		e.text(p.User[i].Val)
	}
	return e.sum()
}

// decodeMessage reads a message; its reach and device are for the broker to
// fill in.
func decodeMessage(raw []byte) (*storedMessage, error) {
	d := newDecoder(raw, encodingVersion)
	f := d.limited(127)
	s := &storedMessage{qos: byte(f & 3), retain: f&flagRetain != 0, released: f&flagReleased != 0, packet: uint16(d.limited(65535))}
	for range d.limited(uint64(len(d.rest))) {
		s.ids = append(s.ids, int(d.limited(268_435_455)))
	}
	if s.qos > 2 {
		return nil, errDamaged
	}
	if f&flagMessage == 0 {
		return s, d.err()
	}
	s.remaining = d.seconds()
	m := &message{topic: d.text(), payload: []byte(d.text()), qos: byte(d.limited(2)), client: d.text(), from: d.text(),
		retain: f&flagPublished != 0}
	p := packets.Properties{PayloadFormat: byte(d.limited(255)), PayloadFormatFlag: f&flagFormat != 0,
		ContentType: d.text(), ResponseTopic: d.text()}
	if c := d.text(); c != "" {
		p.CorrelationData = []byte(c)
	}
	for range d.limited(uint64(len(d.rest))) {
		p.User = append(p.User, packets.UserProperty{Key: d.text(), Val: d.text()})
	}
	if d.bad || topicName(m.topic) != nil {
		return nil, errDamaged
	}
	m.size = len(m.topic) + len(m.payload) + messageOverhead
	if p.PayloadFormatFlag || p.ContentType != "" || p.ResponseTopic != "" || p.CorrelationData != nil || p.User != nil || s.remaining > 0 {
		m.props = &p
		m.size += propertySize(&p)
	}
	s.msg = m
	return s, d.err()
}

func flag(on bool, bit uint64) uint64 {
	if on {
		return bit
	}
	return 0
}

type encoder []byte

func (e *encoder) number(n uint64) { *e = binary.AppendUvarint(*e, n) }
func (e *encoder) text(s string)   { e.number(uint64(len(s))); *e = append(*e, s...) }
func (e *encoder) packetIDs(ids []uint16) {
	e.number(uint64(len(ids)))
	last := uint16(0)
	for _, id := range ids {
		e.number(uint64(id - last))
		last = id
	}
}
func (e *encoder) seconds(d time.Duration) {
	e.number(uint64(max(0, (d+time.Second-1)/time.Second)))
}
func (e *encoder) sum() []byte { return binary.BigEndian.AppendUint32(*e, crc32.ChecksumIEEE(*e)) }

type decoder struct {
	version byte
	rest    []byte
	bad     bool
}

// newDecoder reads an entry of any version up to newest.
func newDecoder(raw []byte, newest byte) *decoder {
	n := len(raw) - 4
	if n < 1 || crc32.ChecksumIEEE(raw[:n]) != binary.BigEndian.Uint32(raw[n:]) || raw[0] < encodingVersion || raw[0] > newest {
		return &decoder{bad: true}
	}
	return &decoder{version: raw[0], rest: raw[1:n]}
}

func (d *decoder) limited(most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.bad || n <= 0 || v > most {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) text() string {
	n := d.limited(uint64(len(d.rest)))
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) seconds() time.Duration {
	return time.Duration(d.limited(1<<32)) * time.Second
}

func (d *decoder) err() error {
	if d.bad || len(d.rest) > 0 {
		return errDamaged
	}
	return nil
}
