package broker

import (
	"encoding/binary"
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"
)

// frame is a PUBLISH on its way to one client (MQTT 5.0 section 3.3). It is
// written into the memory of the connection directly: a message for hundreds of
// subscribers is not built anew for each. Mochi's encoder needs several pieces
// of memory a packet.
type frame struct {
	flags   byte // DUP, QoS and RETAIN, as in the header
	topic   string
	packet  uint16 // identifier, for QoS 1 and 2
	payload []byte

	// Of MQTT 5.
	v5     bool
	props  *packets.Properties // of the message; nil: none
	expiry uint32              // seconds; 0: none
	ids    []int               // subscription identifiers
	alias  uint16              // of the topic; 0: none
}

// size gives the length of the properties and what the fixed header calls the
// remaining length.
func (f *frame) size() (props, rest int) {
	rest = 2 + len(f.topic) + len(f.payload)
	if f.flags&qosFlags != 0 {
		rest += 2
	}
	if !f.v5 {
		return 0, rest
	}
	if p := f.props; p != nil {
		if p.PayloadFormatFlag {
			props += 2
		}
		props += textSize(len(p.ContentType)) + textSize(len(p.ResponseTopic)) + textSize(len(p.CorrelationData))
		for i := range p.User {
			props += 5 + len(p.User[i].Key) + len(p.User[i].Val)
		}
	}
	if f.expiry > 0 {
		props += 5
	}
	if f.alias > 0 {
		props += 3
	}
	for _, id := range f.ids {
		props += 1 + varintLen(id)
	}
	return props, rest + varintLen(props) + props
}

// textSize is the size of a property with n bytes, which is left out when there
// are none.
func textSize(n int) int {
	if n == 0 {
		return 0
	}
	return 3 + n
}

// appendHead adds the packet up to its payload to b; props and rest are its sizes.
func (f *frame) appendHead(b []byte, props, rest int) []byte {
	b = append(b, packets.Publish<<4|f.flags)
	b = binary.AppendUvarint(b, uint64(rest)) // MQTT's variable byte integer is the same
	b = appendText(b, f.topic)
	if f.flags&qosFlags != 0 {
		b = binary.BigEndian.AppendUint16(b, f.packet)
	}
	if f.v5 {
		b = binary.AppendUvarint(b, uint64(props))
		if props > 0 {
			b = f.appendProps(b)
		}
	}
	return b
}

func (f *frame) appendProps(b []byte) []byte {
	p := f.props
	if p == nil {
		p = &packets.Properties{}
	}
	if p.PayloadFormatFlag {
		b = append(b, packets.PropPayloadFormat, p.PayloadFormat)
	}
	if f.expiry > 0 {
		b = binary.BigEndian.AppendUint32(append(b, packets.PropMessageExpiryInterval), f.expiry)
	}
	if p.ContentType != "" {
		b = appendText(append(b, packets.PropContentType), p.ContentType)
	}
	if p.ResponseTopic != "" {
		b = appendText(append(b, packets.PropResponseTopic), p.ResponseTopic)
	}
	if len(p.CorrelationData) > 0 {
		b = appendText(append(b, packets.PropCorrelationData), p.CorrelationData)
	}
	for _, id := range f.ids {
		b = binary.AppendUvarint(append(b, packets.PropSubscriptionIdentifier), uint64(id))
	}
	if f.alias > 0 {
		b = binary.BigEndian.AppendUint16(append(b, packets.PropTopicAlias), f.alias)
	}
	for i := range p.User {
		b = appendText(append(b, packets.PropUser), p.User[i].Key)
		b = appendText(b, p.User[i].Val)
	}
	return b
}

func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

var errTooLarge = errors.New("the client takes no packets of that size")

// send is Write for a PUBLISH. It fails with errTooLarge where the client takes
// no packets of that size (MQTT 5.0 section 3.1.2.11.4).
func (c *conn) send(f *frame) error {
	props, rest := f.size()
	n := 1 + varintLen(rest) + rest
	if most := c.asked.maxPacket; most > 0 && uint64(n) > uint64(most) {
		return errTooLarge
	}
	if err := c.startWrite(n); err != nil {
		return err
	}
	if b := c.buf.room(n); b != nil {
		_ = append(f.appendHead(b, props, rest), f.payload...)
		c.buf.taken(n)
	} else {
		var room [1024]byte
		c.buf.write(f.appendHead(room[:0], props, rest))
		c.buf.write(f.payload)
	}
	c.endWrite(n)
	return nil
}
