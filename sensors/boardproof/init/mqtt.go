package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// MQTT 3.1.1 by hand, as much of it as one subscription and one publish need:
// the proof then does not depend on a client that the project uses elsewhere.

// Types of control packets (MQTT 3.1.1 section 2.2.1).
const (
	connect   = 1
	connack   = 2
	publish   = 3
	puback    = 4
	subscribe = 8
	suback    = 9
)

// maxPacket is how long a packet from the broker may be, in bytes.
const maxPacket = 1 << 20

// packet is a control packet without its length.
type packet struct {
	kind  byte // 1 to 14
	flags byte // 0 to 15
	body  []byte
}

// appendString adds a string with its length (MQTT 3.1.1 section 1.5.3).
func appendString(to []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(s))), s...)
}

// encode makes the bytes of a packet (MQTT 3.1.1 section 2.2.3).
func (p packet) encode() []byte {
	out := []byte{p.kind<<4 | p.flags}
	n := len(p.body)
	for n >= 0x80 {
		out = append(out, byte(n)|0x80)
		n >>= 7
	}
	return append(append(out, byte(n)), p.body...)
}

// readPacket reads one packet. The error is io.EOF at the end between two.
func readPacket(r *bufio.Reader) (packet, error) {
	first, err := r.ReadByte()
	if err != nil {
		return packet{}, err
	}
	length, shift := 0, 0
	for {
		b, err := r.ReadByte()
		if err != nil {
			return packet{}, fmt.Errorf("mqtt: length: %w", noEOF(err))
		}
		length |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		if shift += 7; shift > 21 {
			return packet{}, errors.New("mqtt: length has more than four bytes")
		}
	}
	if length > maxPacket {
		return packet{}, fmt.Errorf("mqtt: packet of %d bytes", length)
	}
	p := packet{kind: first >> 4, flags: first & 0x0f, body: make([]byte, length)}
	if _, err := io.ReadFull(r, p.body); err != nil {
		return packet{}, fmt.Errorf("mqtt: body: %w", noEOF(err))
	}
	return p, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// message is a PUBLISH (MQTT 3.1.1 section 3.3).
type message struct {
	topic    string
	payload  []byte
	qos      byte
	id       uint16 // with QoS 1 and 2 only
	retained bool
}

func parsePublish(p packet) (message, error) {
	m := message{qos: p.flags >> 1 & 3, retained: p.flags&1 != 0}
	if p.kind != publish || m.qos == 3 {
		return message{}, fmt.Errorf("mqtt: packet of type %d, flags %d is no PUBLISH", p.kind, p.flags)
	}
	rest := p.body
	if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
		return message{}, errors.New("mqtt: PUBLISH ends in its topic")
	}
	n := int(binary.BigEndian.Uint16(rest))
	m.topic, rest = string(rest[2:2+n]), rest[2+n:]
	if m.qos > 0 {
		if len(rest) < 2 {
			return message{}, errors.New("mqtt: PUBLISH ends in its packet identifier")
		}
		m.id, rest = binary.BigEndian.Uint16(rest), rest[2:]
	}
	m.payload = rest
	return m, nil
}

// session is a connection to a broker.
type session struct {
	conn  net.Conn
	in    *bufio.Reader
	early []packet // messages that came before an acknowledgement
}

// dial connects to a broker as a client with a clean session and no name.
func dial(broker, clientID string) (*session, error) {
	conn, err := net.Dial("tcp", broker)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	s := &session{conn: conn, in: bufio.NewReader(conn)}
	if err := s.connect(clientID); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// connect asks for protocol level 4, a clean session and no keep-alive (MQTT
// 3.1.1 section 3.1).
func (s *session) connect(clientID string) error {
	body := append(appendString(nil, "MQTT"), 4, 0x02, 0, 0)
	return s.ask(packet{connect, 0, appendString(body, clientID)}, connack, []byte{0, 0})
}

// ask sends a packet and wants that answer. A broker may send messages before it
// acknowledges the subscription (MQTT 3.1.1 section 3.8.4).
func (s *session) ask(p packet, kind byte, body []byte) error {
	if _, err := s.conn.Write(p.encode()); err != nil {
		return fmt.Errorf("mqtt: %w", err)
	}
	got, err := readPacket(s.in)
	for ; err == nil && got.kind == publish; got, err = readPacket(s.in) {
		s.early = append(s.early, got)
	}
	if err != nil {
		return noEOF(err)
	}
	if got.kind != kind || string(got.body) != string(body) {
		return fmt.Errorf("mqtt: answer of type %d, %x to a packet of type %d; %d, %x is wanted", got.kind, got.body, p.kind, kind, body)
	}
	return nil
}

// subscribe asks for a topic filter with QoS 1.
func (s *session) subscribe(filter string) error {
	body := append(appendString([]byte{0, 1}, filter), 1)
	return s.ask(packet{subscribe, 2, body}, suback, []byte{0, 1, 1})
}

// publish sends a message with QoS 1 and waits for its PUBACK.
func (s *session) publish(topic, payload string) error {
	body := append(appendString(nil, topic), 0, 1)
	return s.ask(packet{publish, 1 << 1, append(body, payload...)}, puback, []byte{0, 1})
}

// next waits for the next message and acknowledges it.
func (s *session) next() (message, error) {
	for {
		p, err := s.read()
		if err != nil {
			return message{}, noEOF(err)
		}
		if p.kind != publish {
			continue
		}
		m, err := parsePublish(p)
		if err != nil {
			return message{}, err
		}
		if m.qos > 0 {
			if _, err := s.conn.Write(packet{puback, 0, binary.BigEndian.AppendUint16(nil, m.id)}.encode()); err != nil {
				return message{}, fmt.Errorf("mqtt: %w", err)
			}
		}
		return m, nil
	}
}

func (s *session) read() (packet, error) {
	if len(s.early) > 0 {
		p := s.early[0]
		s.early = s.early[1:]
		return p, nil
	}
	return readPacket(s.in)
}

func (s *session) close() { s.conn.Close() }
