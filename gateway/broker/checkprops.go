package broker

import (
	"github.com/mochi-mqtt/server/v2/packets"
)

// shape is how a property's value is encoded (MQTT 5.0 section 2.2.2.2).
type shape byte

const (
	shapeByte shape = 1 + iota // 0 or 1 for all that clients may send
	shapeUint16
	shapeUint32
	shapeVarint
	shapeString
	shapeBytes
	shapePair
)

// allowed says in which packets of a client a property may stand, and its
// shape.
type allowed struct {
	shape   shape
	packets [3]byte // packet types; 0 is none
}

// clientProperties holds what a client may send. User properties, which may
// stand everywhere and repeatedly, and reason strings are not in it.
func clientProperty(id byte) allowed {
	switch id {
	case packets.PropPayloadFormat:
		return allowed{shapeByte, [3]byte{packets.Publish, packets.WillProperties}}
	case packets.PropMessageExpiryInterval:
		return allowed{shapeUint32, [3]byte{packets.Publish, packets.WillProperties}}
	case packets.PropContentType, packets.PropResponseTopic:
		return allowed{shapeString, [3]byte{packets.Publish, packets.WillProperties}}
	case packets.PropCorrelationData:
		return allowed{shapeBytes, [3]byte{packets.Publish, packets.WillProperties}}
	case packets.PropSubscriptionIdentifier:
		return allowed{shapeVarint, [3]byte{packets.Subscribe}}
	case packets.PropSessionExpiryInterval:
		return allowed{shapeUint32, [3]byte{packets.Connect, packets.Disconnect}}
	case packets.PropAuthenticationMethod:
		return allowed{shapeString, [3]byte{packets.Connect}}
	case packets.PropAuthenticationData:
		return allowed{shapeBytes, [3]byte{packets.Connect}}
	case packets.PropRequestProblemInfo, packets.PropRequestResponseInfo:
		return allowed{shapeByte, [3]byte{packets.Connect}}
	case packets.PropWillDelayInterval:
		return allowed{shapeUint32, [3]byte{packets.WillProperties}}
	case packets.PropReceiveMaximum, packets.PropTopicAliasMaximum:
		return allowed{shapeUint16, [3]byte{packets.Connect}}
	case packets.PropTopicAlias:
		return allowed{shapeUint16, [3]byte{packets.Publish}}
	case packets.PropMaximumPacketSize:
		return allowed{shapeUint32, [3]byte{packets.Connect}}
	}
	return allowed{}
}

func (a allowed) in(kind byte) bool {
	for _, k := range a.packets {
		if k != 0 && k == kind {
			return true
		}
	}
	return false
}

// properties checks the properties of a packet of the given type, or those of
// a will (packets.WillProperties).
func (k checker) properties(p *parser, kind byte) error {
	n := p.varint("property length")
	b := p.take(n, "properties")
	if p.failed != "" {
		return nil
	}
	q := &parser{rest: b}
	var seen [64]bool
	user := 0
	for len(q.rest) > 0 && q.failed == "" {
		id := q.byte("property identifier")
		if id == packets.PropUser {
			if user++; user > k.userProperties {
				return violation(codeQuota, "more than %d user properties", k.userProperties)
			}
			q.str("user property")
			q.str("user property")
			continue
		}
		a := clientProperty(id)
		if id == packets.PropReasonString {
			a = allowed{shapeString, [3]byte{kind}}
			if kind != packets.Puback && kind != packets.Pubrec && kind != packets.Pubrel &&
				kind != packets.Pubcomp && kind != packets.Disconnect {
				a = allowed{}
			}
		}
		if !a.in(kind) {
			return violation(codeProtocol, "property %d does not belong here", id)
		}
		if seen[id] {
			return violation(codeProtocol, "property %d twice", id)
		}
		seen[id] = true
		if err := k.property(q, id, a.shape); err != nil {
			return err
		}
	}
	if q.failed != "" {
		p.failed = q.failed
	}
	p.alias = seen[packets.PropTopicAlias]
	return nil
}

func (k checker) property(q *parser, id byte, s shape) error {
	const what = "property"
	switch s {
	case shapeByte:
		if v := q.byte(what); v > 1 {
			return violation(codeProtocol, "property %d is %d", id, v)
		}
	case shapeUint16:
		v := q.uint16(what)
		switch {
		case q.failed != "":
		case id == packets.PropTopicAlias && (v == 0 || v > topicAliases):
			return violation(codeTopicAlias, "topic alias %d: 1 to %d are offered", v, topicAliases)
		case id == packets.PropReceiveMaximum && v == 0:
			return violation(codeProtocol, "receive maximum 0")
		}
	case shapeUint32:
		if v := q.uint32(what); v == 0 && q.failed == "" && id == packets.PropMaximumPacketSize {
			return violation(codeProtocol, "maximum packet size 0")
		}
	case shapeVarint:
		if v := q.varint(what); v == 0 && q.failed == "" {
			return violation(codeProtocol, "subscription identifier 0")
		}
	case shapeString:
		v := q.str(what)
		if id == packets.PropResponseTopic && q.failed == "" {
			return topicName(v)
		}
	case shapeBytes:
		q.bytes(what)
	}
	return nil
}
