package broker

import (
	"io"
	"net"
	"strconv"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// hooks is what mochi calls while it greets a client.
type hooks struct {
	mqtt.HookBase
	b *Broker
}

// ID implements mqtt.Hook.
func (h *hooks) ID() string { return "fieldgate" }

// Provides implements mqtt.Hook.
func (h *hooks) Provides(b byte) bool {
	switch b {
	case mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnSessionEstablished, mqtt.OnPacketEncode, mqtt.OnACLCheck:
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
	g, ok := cl.Net.Conn.(*greeting)
	if !ok {
		return nil
	}
	return g.c
}

// greeting is a connection as mochi sees it: one packet to read, CONNECT, and
// then its end. What mochi closes stays open.
type greeting struct {
	c    *conn
	rest []byte
}

// Read implements net.Conn.
func (g *greeting) Read(p []byte) (int, error) {
	if len(g.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// Write implements net.Conn.
func (g *greeting) Write(p []byte) (int, error) { return g.c.Write(p) }

// Close implements net.Conn and does nothing.
func (g *greeting) Close() error { return nil }

// SetDeadline implements net.Conn and does nothing: this package sets the
// deadlines itself.
func (g *greeting) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn and does nothing, see SetDeadline.
func (g *greeting) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn and does nothing, see SetDeadline.
func (g *greeting) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn.
func (g *greeting) LocalAddr() net.Addr { return g.c.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (g *greeting) RemoteAddr() net.Addr { return g.c.raw.RemoteAddr() }
