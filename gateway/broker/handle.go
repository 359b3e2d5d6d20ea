package broker

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"
)

var errDisconnected = errors.New("the client said goodbye")

// loop handles what the client sends until the connection ends. It is shallow: a
// goroutine that waits here has a small stack, where mochi's loop has 16 KiB of
// it for each client, and another goroutine beside it.
func (c *conn) loop() {
	for {
		header, body, err := c.next()
		if err != nil {
			return
		}
		if err := c.handle(header, body); err != nil {
			if !errors.Is(err, errDisconnected) {
				c.fail(err)
			}
			return
		}
	}
}

// handle handles one packet that passed Check. An error ends the connection. It
// is not inlined: a packet in loop's frame would be there while that waits.
//
//go:noinline
func (c *conn) handle(header byte, body []byte) error {
	var pk packets.Packet
	if err := decode(&pk, c.version, header, body); err != nil {
		return err
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		return c.publish(&pk)
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		c.sess.acknowledged(c, pk.FixedHeader.Type, pk.PacketID, pk.ReasonCode)
	case packets.Pubrel:
		c.release(pk.PacketID)
	case packets.Subscribe:
		c.pace(len(pk.Filters))
		c.subscribe(&pk)
	case packets.Unsubscribe:
		c.pace(len(pk.Filters))
		c.unsubscribe(&pk)
	case packets.Pingreq:
		_, _ = c.Write([]byte{packets.Pingresp << 4, 0})
	case packets.Disconnect:
		if d := c.bye.Load(); d != nil && d.expiry > 0 && c.asked.expiry == 0 { // MQTT 5.0 section 3.14.2.2.2
			c.bye.Store(nil)
			return violation(codeProtocol, "session expiry in DISCONNECT though CONNECT had none")
		}
		return errDisconnected
	default:
		return violation(codeProtocol, "%s is not for clients to send", packets.PacketNames[pk.FixedHeader.Type])
	}
	return nil
}

// decode makes pk of a packet that passed Check. The texts of pk lie in body,
// whose memory the next packet uses again; a publish, which lives on, has a copy.
func decode(pk *packets.Packet, version, header byte, body []byte) error {
	pk.ProtocolVersion = version
	pk.FixedHeader = packets.FixedHeader{Type: header >> 4, Remaining: len(body)}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		pk.FixedHeader.Qos, pk.FixedHeader.Dup, pk.FixedHeader.Retain = header&qosFlags>>1, header&dupFlag != 0, header&retainFlag != 0
		return pk.PublishDecode(bytes.Clone(body))
	case packets.Puback:
		return pk.PubackDecode(body)
	case packets.Pubrec:
		return pk.PubrecDecode(body)
	case packets.Pubrel:
		return pk.PubrelDecode(body)
	case packets.Pubcomp:
		return pk.PubcompDecode(body)
	case packets.Subscribe:
		return pk.SubscribeDecode(body)
	case packets.Unsubscribe:
		return pk.UnsubscribeDecode(body)
	}
	return nil
}

// reply sends PUBACK, PUBREC, PUBREL or PUBCOMP. The code and the reason are
// for MQTT 5.
func (c *conn) reply(kind byte, id uint16, code byte, reason string) {
	if c.version != 5 {
		code, reason = codeSuccess, ""
	}
	var room [ackRoom]byte
	_, _ = c.Write(appendAck(room[:0], kind, id, code, c.fitting(reason, 0))) // fails if the connection is ending; the client asks again
}

const ackRoom = 2 + 2 + 1 + 1 + 3 + 200 // a reason string is no longer, see reasonString

// appendAck builds an acknowledgement. Mochi's encoder leaves out codes that are
// no failures, and "no matching subscribers" is one (MQTT 5.0 section 3.4.2.1).
func appendAck(b []byte, kind byte, id uint16, code byte, reason string) []byte {
	header := kind << 4
	if kind == packets.Pubrel {
		header |= 2
	}
	switch {
	case code == codeSuccess && reason == "":
		return append(b, header, 2, byte(id>>8), byte(id))
	case reason == "":
		return append(b, header, 3, byte(id>>8), byte(id), code)
	}
	n := 3 + len(reason) // the property
	rest := 2 + 1 + varintLen(n) + n
	b = binary.AppendUvarint(append(b, header), uint64(rest)) // MQTT's variable byte integer is the same
	b = binary.AppendUvarint(append(b, byte(id>>8), byte(id), code), uint64(n))
	return append(append(b, packets.PropReasonString, byte(len(reason)>>8), byte(len(reason))), reason...)
}

// varintLen is the length of a variable byte integer.
func varintLen(n int) int {
	size := 1
	for ; n > 127; n >>= 7 {
		size++
	}
	return size
}

// fitting is a reason if the client wants one (MQTT 5.0 section 3.1.2.11.7) and
// takes a packet with it (section 3.9.2.1.2), else "". Codes is the number of
// reason codes besides the first.
func (c *conn) fitting(reason string, codes int) string {
	const most = 5 + 2 + 1 + 4 + 3 // header, identifier, code, length of properties, property
	if c.asked.noProblemInfo {
		return ""
	}
	if c.asked.maxPacket > 0 && uint64(most+codes+len(reason)) > uint64(c.asked.maxPacket) {
		return ""
	}
	return reason
}
