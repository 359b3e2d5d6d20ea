package broker

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Violation is a packet that ends its connection. Code is the MQTT 5 reason
// (MQTT 5.0 section 2.4).
type Violation struct {
	Code byte
	What string
}

// Error says what is wrong with the packet.
func (v *Violation) Error() string { return fmt.Sprintf("%s (0x%02x)", v.What, v.Code) }

// Reason codes of MQTT 5.0 section 2.4 that this package sends.
const (
	codeSuccess           byte = 0x00
	codeDisconnectWill    byte = 0x04
	codeNoSubscribers     byte = 0x10
	codeNoSubscription    byte = 0x11
	codeUnspecified       byte = 0x80
	codeMalformed         byte = 0x81
	codeProtocol          byte = 0x82
	codeImplementation    byte = 0x83
	codeVersion           byte = 0x84
	codeClientID          byte = 0x85
	codeBadCredentials    byte = 0x86
	codeNotAuthorized     byte = 0x87
	codeBusy              byte = 0x89
	codeShutdown          byte = 0x8B
	codeAuthMethod        byte = 0x8C
	codeKeepAlive         byte = 0x8D
	codeTakenOver         byte = 0x8E
	codeFilterInvalid     byte = 0x8F
	codeTopicInvalid      byte = 0x90
	codeIDNotFound        byte = 0x92
	codeReceiveMaximum    byte = 0x93
	codeTopicAlias        byte = 0x94
	codeTooLarge          byte = 0x95
	codeQuota             byte = 0x97
	codeAdministrative    byte = 0x98
	codePayloadInvalid    byte = 0x99
	codeSharedUnsupported byte = 0x9E
	codeConnectionRate    byte = 0x9F
	maxFilterCount             = 1024 // filters in one packet
	maxVariableByteLength      = 4    // bytes of a variable byte integer
)

// Check says whether a packet that a client sent after its CONNECT, or that
// CONNECT itself, is one that MQTT allows a client to send (MQTT 3.1.1 and 5.0
// chapters 2 and 3) with the default limits. Version is 3, 4 or 5 as the
// client's CONNECT said, and without meaning for CONNECT. Header is the first
// byte, body what follows the remaining length. An error is a *Violation, for
// which MQTT demands that the connection is closed.
//
// Topics and filters that are merely longer or deeper than the limits pass:
// they are refused one by one later.
func Check(version, header byte, body []byte) error {
	return checker{userProperties: 64}.check(version, header, body)
}

// dupFlag says in a PUBLISH, and in MQTT 3.1 in other packets, that it was sent
// before.
const dupFlag byte = 8

// The other flags of a PUBLISH.
const (
	qosFlags   byte = 6
	retainFlag byte = 1
)

type checker struct {
	userProperties int
}

func (k checker) check(version, header byte, body []byte) error {
	kind, flags := header>>4, header&0x0f
	if kind != packets.Publish {
		want := byte(0)
		if kind == packets.Pubrel || kind == packets.Subscribe || kind == packets.Unsubscribe {
			want = 2
			if version == 3 {
				flags &^= dupFlag // MQTT 3.1 section 2.1: these have it when they are sent again
			}
		}
		if flags != want {
			return violation(codeMalformed, "reserved flags of %s are %04b", packets.PacketNames[kind], flags)
		}
	}
	p := &parser{rest: body}
	v5 := version == 5
	var err error
	switch kind {
	case packets.Connect:
		err = k.connect(p)
	case packets.Publish:
		err = k.publish(p, v5, flags)
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		err = k.ack(p, v5, kind)
	case packets.Subscribe:
		err = k.subscribe(p, v5)
	case packets.Unsubscribe:
		err = k.unsubscribe(p, v5)
	case packets.Pingreq:
	case packets.Disconnect:
		err = k.disconnect(p, v5)
	case packets.Auth:
		return violation(codeProtocol, "AUTH without an authentication method in CONNECT")
	default:
		return violation(codeProtocol, "%s is not for clients to send", packets.PacketNames[kind])
	}
	switch {
	case p.failed != "":
		return violation(codeMalformed, "%s: %s", packets.PacketNames[kind], p.failed)
	case err != nil:
		return err
	case len(p.rest) > 0:
		return violation(codeMalformed, "%s: %d bytes too many", packets.PacketNames[kind], len(p.rest))
	}
	return nil
}

func violation(code byte, format string, args ...any) error {
	return &Violation{Code: code, What: fmt.Sprintf(format, args...)}
}

// connect checks CONNECT (MQTT 5.0 section 3.1) of a version that is spoken
// here; others pass with their first five fields only, to be answered.
func (k checker) connect(p *parser) error {
	name := p.str("protocol name")
	level := p.byte("protocol level")
	if p.failed != "" {
		return nil
	}
	if !spoken(name, level) {
		if name != "MQTT" && name != "MQIsdp" {
			return violation(codeProtocol, "protocol name %.10q", name)
		}
		p.rest = nil
		return nil
	}
	flags := p.byte("connect flags")
	p.skip(2, "keep alive")
	if p.failed != "" {
		return nil
	}
	will, qos, retain := flags&4 != 0, flags>>3&3, flags&0x20 != 0
	password, user := flags&0x40 != 0, flags&0x80 != 0
	switch {
	case flags&1 != 0:
		return violation(codeMalformed, "reserved connect flag")
	case !will && (qos != 0 || retain):
		return violation(codeMalformed, "will flags without a will")
	case qos > 2:
		return violation(codeMalformed, "will QoS 3")
	case password && !user && level < 5:
		return violation(codeProtocol, "password without a user name")
	}
	if level == 5 {
		if err := k.properties(p, packets.Connect); err != nil {
			return err
		}
	}
	p.str("client identifier")
	if will {
		if level == 5 {
			if err := k.properties(p, packets.WillProperties); err != nil {
				return err
			}
		}
		if err := topicName(p.str("will topic")); err != nil && p.failed == "" {
			return err
		}
		p.bytes("will payload")
	}
	if user {
		p.str("user name")
	}
	if password {
		p.bytes("password")
	}
	return nil
}

// bridgeBit in the protocol level says that the client is a bridge (Mosquitto
// and RSMB send it).
const bridgeBit = 0x80

// spoken says whether name and level of a CONNECT are a version of MQTT that
// is understood here.
func spoken(name string, level byte) bool {
	if level != 5|bridgeBit {
		level &^= bridgeBit
	}
	return name == "MQIsdp" && level == 3 || name == "MQTT" && (level == 4 || level == 5)
}

func (k checker) publish(p *parser, v5 bool, flags byte) error {
	qos := flags >> 1 & 3
	switch {
	case qos == 3:
		return violation(codeMalformed, "QoS 3")
	case qos == 0 && flags&8 != 0:
		return violation(codeMalformed, "DUP with QoS 0")
	}
	topic := p.str("topic")
	if qos > 0 {
		p.id()
	}
	if v5 {
		if err := k.properties(p, packets.Publish); err != nil {
			return err
		}
	}
	if topic == "" && p.alias { // conn.resolve knows what it stands for
		topic = "alias"
	}
	if err := topicName(topic); err != nil && p.failed == "" {
		return err
	}
	p.rest = nil // the payload may be anything
	return nil
}

// topicName checks the characters of a topic to publish to (MQTT 5.0 section
// 4.7).
func topicName(topic string) error {
	switch {
	case topic == "":
		return violation(codeProtocol, "topic of length 0")
	case strings.ContainsAny(topic, "+#"):
		return violation(codeTopicInvalid, "wildcard in a topic name")
	}
	return nil
}

// topicFilter checks the form of a filter (MQTT 5.0 sections 4.7.1 and 4.8.2).
func topicFilter(filter string) error {
	if filter == "" {
		return violation(codeProtocol, "filter of length 0")
	}
	inner := filter
	if rest, ok := cutShare(filter); ok {
		group, tail, more := strings.Cut(rest, "/")
		switch {
		case group == "" || strings.ContainsAny(group, "+#"):
			return violation(codeFilterInvalid, "bad name of a share")
		case !more || tail == "":
			return violation(codeFilterInvalid, "share without a filter")
		}
		inner = tail
	}
	for rest, more := inner, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && !more, level == "+":
		case strings.ContainsAny(level, "+#"):
			return violation(codeFilterInvalid, "wildcard beside other characters, or '#' before the end")
		}
	}
	return nil
}

// cutShare cuts "$share/" off the filter of a shared subscription.
func cutShare(filter string) (rest string, ok bool) {
	if filter == "$share" {
		return "", true
	}
	return strings.CutPrefix(filter, "$share/")
}

func (k checker) ack(p *parser, v5 bool, kind byte) error {
	p.id()
	if !v5 || len(p.rest) == 0 {
		return nil
	}
	p.byte("reason code")
	if len(p.rest) == 0 {
		return nil
	}
	return k.properties(p, kind)
}

func (k checker) subscribe(p *parser, v5 bool) error {
	p.id()
	if v5 {
		if err := k.properties(p, packets.Subscribe); err != nil {
			return err
		}
	}
	n := 0
	for p.failed == "" && (n == 0 || len(p.rest) > 0) {
		if n++; n > maxFilterCount {
			return violation(codeQuota, "more than %d filters in one packet", maxFilterCount)
		}
		if n == 1 && len(p.rest) == 0 {
			return violation(codeProtocol, "SUBSCRIBE without a filter")
		}
		filter := p.str("filter")
		options := p.byte("subscription options")
		if p.failed != "" {
			return nil
		}
		if err := topicFilter(filter); err != nil {
			return err
		}
		_, shared := cutShare(filter)
		switch {
		case options&3 == 3:
			return violation(codeMalformed, "QoS 3")
		case !v5 && options > 2, options&0xc0 != 0, options>>4&3 == 3:
			return violation(codeMalformed, "reserved subscription options")
		case shared && options&4 != 0:
			return violation(codeProtocol, "no-local on a shared subscription")
		}
	}
	return nil
}

func (k checker) unsubscribe(p *parser, v5 bool) error {
	p.id()
	if v5 {
		if err := k.properties(p, packets.Unsubscribe); err != nil {
			return err
		}
	}
	n := 0
	for p.failed == "" && (n == 0 || len(p.rest) > 0) {
		if n++; n > maxFilterCount {
			return violation(codeQuota, "more than %d filters in one packet", maxFilterCount)
		}
		if n == 1 && len(p.rest) == 0 {
			return violation(codeProtocol, "UNSUBSCRIBE without a filter")
		}
		filter := p.str("filter")
		if p.failed != "" {
			return nil
		}
		if err := topicFilter(filter); err != nil {
			return err
		}
	}
	return nil
}

func (k checker) disconnect(p *parser, v5 bool) error {
	if !v5 || len(p.rest) == 0 {
		return nil
	}
	p.byte("reason code")
	if len(p.rest) == 0 {
		return nil
	}
	return k.properties(p, packets.Disconnect)
}

// parser takes fields off a packet. Its first failure stays.
type parser struct {
	rest   []byte
	failed string
	alias  bool // the properties have a topic alias
}

func (p *parser) take(n int, what string) []byte {
	if p.failed != "" || len(p.rest) < n {
		if p.failed == "" {
			p.failed = what + " is cut off"
		}
		p.rest = nil
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) skip(n int, what string) { p.take(n, what) }

func (p *parser) byte(what string) byte {
	if b := p.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) uint16(what string) uint16 {
	if b := p.take(2, what); b != nil {
		return uint16(b[0])<<8 | uint16(b[1])
	}
	return 0
}

func (p *parser) uint32(what string) uint32 {
	if b := p.take(4, what); b != nil {
		return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	return 0
}

// id takes a packet identifier, which is never 0 (MQTT 5.0 section 2.2.1).
func (p *parser) id() uint16 {
	id := p.uint16("packet identifier")
	if id == 0 && p.failed == "" {
		p.failed = "packet identifier 0"
	}
	return id
}

func (p *parser) bytes(what string) []byte {
	return p.take(int(p.uint16(what)), what)
}

// str takes a string, which is UTF-8 without NUL (MQTT 5.0 section 1.5.4).
func (p *parser) str(what string) string {
	b := p.bytes(what)
	if p.failed != "" {
		return ""
	}
	if !utf8.Valid(b) {
		p.failed = what + " is not UTF-8"
	}
	s := string(b)
	if strings.IndexByte(s, 0) >= 0 {
		p.failed = what + " holds NUL"
	}
	return s
}

// varint takes a variable byte integer of at most 4 bytes (MQTT 5.0 section
// 1.5.5).
func (p *parser) varint(what string) int {
	n := 0
	for i := 0; i < maxVariableByteLength; i++ {
		b := p.byte(what)
		n |= int(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			return n
		}
	}
	if p.failed == "" {
		p.failed = what + " has more than 4 bytes"
	}
	return 0
}
