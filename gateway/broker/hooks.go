package broker

import (
	"encoding/binary"
	"strconv"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hooks is what mochi calls. All that a client may do goes through
// OnPacketRead; mochi itself answers PINGREQ only.
type hooks struct {
	mqtt.HookBase
	b *Broker
}

// ID implements mqtt.Hook.
func (h *hooks) ID() string { return "fieldgate" }

// Provides implements mqtt.Hook.
func (h *hooks) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablished,
		mqtt.OnPacketRead, mqtt.OnPacketEncode, mqtt.OnACLCheck:
		return true
	}
	return false
}

// OnConnect names the client. The name is unique to the connection, so that
// mochi never sees two connections of one client.
func (h *hooks) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	c := guarded(cl)
	if c == nil || c.sess == nil {
		return packets.ErrNotAuthorized
	}
	cl.ID = "connection-" + strconv.FormatUint(c.seq, 10)
	if c.asked.assigned {
		cl.Properties.Props.AssignedClientID = c.asked.clientID
	}
	c.client.Store(cl)
	return nil
}

// OnConnectAuthenticate lets in whom the handshake has let in.
func (h *hooks) OnConnectAuthenticate(cl *mqtt.Client, _ packets.Packet) bool {
	c := guarded(cl)
	return c != nil && c.sess != nil
}

// OnACLCheck denies: nothing reaches mochi that would ask it.
func (h *hooks) OnACLCheck(*mqtt.Client, string, bool) bool { return false }

// OnSessionEstablished follows CONNACK: messages may flow.
func (h *hooks) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c := guarded(cl)
	c.established.Store(true)
	c.sess.start(c)
	if c.present {
		c.watchAgain()
	}
}

// swallowed is a packet that mochi ignores: an acknowledgement of nothing.
var swallowed = packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}}

// OnPacketRead handles what a client sent. Mochi gets what is left to do.
func (h *hooks) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := guarded(cl)
	switch pk.FixedHeader.Type {
	case packets.Connect, packets.Pingreq:
		return pk, nil
	case packets.Disconnect:
		if d := c.bye.Load(); d != nil && d.expiry > 0 && c.asked.expiry == 0 { // MQTT 5.0 section 3.14.2.2.2
			c.bye.Store(nil)
			return pk, c.end(violation(codeProtocol, "session expiry in DISCONNECT though CONNECT had none"))
		}
		return packets.Packet{ProtocolVersion: pk.ProtocolVersion, FixedHeader: packets.FixedHeader{Type: packets.Disconnect}}, nil
	case packets.Publish:
		if err := c.publish(&pk); err != nil {
			return pk, c.end(err)
		}
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
	default:
		return pk, c.end(violation(codeProtocol, "%s is not for clients to send", packets.PacketNames[pk.FixedHeader.Type]))
	}
	return swallowed, nil
}

// end answers a packet that must not be; the error makes mochi stop reading.
func (c *conn) end(err error) error {
	c.fail(err)
	_ = c.Close()
	return packets.ErrRejectPacket
}

// OnPacketEncode completes CONNACK.
func (h *hooks) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	c := guarded(cl)
	if pk.FixedHeader.Type != packets.Connack || c == nil || c.sess == nil || pk.ReasonCode != codeSuccess {
		return pk
	}
	pk.SessionPresent = c.present && c.version > 3 // MQTT 3.1 section 3.2: a reserved byte
	pk.Properties.TopicAliasMaximum = topicAliases
	pk.Properties.MaximumPacketSize = uint32(h.b.limits.PacketSize)
	if c.asked.expiry > h.b.limits.SessionExpiry {
		pk.Properties.SessionExpiryInterval = uint32(h.b.limits.SessionExpiry.Seconds())
		pk.Properties.SessionExpiryIntervalFlag = true
	}
	return pk
}

// guarded gives the connection behind a client of mochi's.
func guarded(cl *mqtt.Client) *conn {
	c, _ := cl.Net.Conn.(*conn)
	return c
}

// reply sends PUBACK, PUBREC, PUBREL or PUBCOMP. The code and the reason are
// for MQTT 5.
func (c *conn) reply(kind byte, id uint16, code byte, reason string) {
	if c.client.Load() == nil {
		return
	}
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
// takes a packet with it (section 3.9.2.1.2), else "". Mochi counts without the header and would not send a
// packet at all that is a few bytes too long. Codes is the number of reason
// codes besides the first.
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
