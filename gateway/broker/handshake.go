package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// hello is what a CONNECT asks for.
type hello struct {
	version        byte
	clientID       string
	assigned       bool // clientID was made here
	bridge         bool // what it publishes does not come back to it, and it sees the retain flag
	clean          bool
	expiry         time.Duration // of the session, as asked
	keepAlive      uint16        // seconds
	receiveMaximum int
	maxPacket      uint32 // 0: no limit
	aliasMaximum   uint16 // topic aliases it takes; 0: none
	noProblemInfo  bool
	user           string
	password       []byte
	passwordGiven  bool
	will           *will
}

// refusal is a CONNECT that is not let in.
type refusal struct {
	v5, v3 byte // v3 0: close without a word
	reason string
	text   string
}

func (r *refusal) Error() string { return r.text }

var (
	errTooManySessions = &refusal{codeQuota, 3, "sessions", "too many sessions"}
	errTooManyClients  = &refusal{codeBusy, 3, "clients", "too many clients"}
	errSuperseded      = &refusal{codeTakenOver, 0, "superseded", "another connection with the same client identifier came later"}
	errSlowTakeover    = &refusal{codeBusy, 3, "takeover", "the former connection does not end"}
	errNoWord          = errors.New("no CONNECT") // the client left, or never spoke
)

// receiveConnect reads and checks the first packet. Only CONNECT may be it.
func (c *conn) receiveConnect() (*hello, error) {
	limit := min(c.b.limits.ConnectSize, c.b.limits.PacketSize)
	header, body, err := c.readPacket(limit)
	if err != nil {
		var v *Violation
		if errors.As(err, &v) {
			return nil, &refusal{v.Code, 0, "too_large", v.What}
		}
		return nil, fmt.Errorf("%w: %w", errNoWord, err)
	}
	c.b.count.bytesIn.Add(uint64(len(c.packet)))
	if header>>4 != packets.Connect {
		return nil, &refusal{0, 0, "not_connect", "the first packet is not CONNECT"}
	}
	if name, level, ok := versionOf(body); ok && !spoken(name, level) && (name == "MQTT" || name == "MQIsdp") {
		if level >= 5 && level&bridgeBit == 0 {
			c.version = 5
		}
		return nil, &refusal{codeVersion, 1, "version", fmt.Sprintf("protocol level %d", level)}
	}
	if err := c.checker.check(0, header, body); err != nil {
		_, level, _ := versionOf(body)
		c.version = level
		var v *Violation
		errors.As(err, &v)
		return nil, &refusal{v.Code, 0, "bad_packet", v.What}
	}
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect, Remaining: len(body)}}
	if err := pk.ConnectDecode(bytes.Clone(body)); err != nil {
		return nil, &refusal{codeMalformed, 0, "bad_packet", err.Error()}
	}
	bridge := pk.ProtocolVersion&bridgeBit != 0
	pk.ProtocolVersion &^= bridgeBit
	c.version = pk.ProtocolVersion
	h, err := c.b.readHello(&pk)
	if err == nil {
		h.bridge = bridge
	}
	return h, err
}

// versionOf reads protocol name and level, if they are there.
func versionOf(body []byte) (name string, level byte, ok bool) {
	p := &parser{rest: body}
	name, level = p.str(""), p.byte("")
	return name, level, p.failed == ""
}

func (b *Broker) readHello(pk *packets.Packet) (*hello, error) {
	con, props := &pk.Connect, &pk.Properties
	h := &hello{
		version:        pk.ProtocolVersion,
		clientID:       strings.Clone(con.ClientIdentifier),
		clean:          con.Clean,
		keepAlive:      con.Keepalive,
		receiveMaximum: math.MaxUint16,
		user:           string(con.Username),
		password:       con.Password,
		passwordGiven:  con.PasswordFlag,
	}
	if h.version == 5 {
		if props.AuthenticationMethod != "" || props.AuthenticationData != nil {
			return nil, &refusal{codeAuthMethod, 0, "auth_method", "no authentication methods are known here"}
		}
		h.expiry = time.Duration(props.SessionExpiryInterval) * time.Second
		if props.ReceiveMaximum > 0 {
			h.receiveMaximum = int(props.ReceiveMaximum)
		}
		h.maxPacket = props.MaximumPacketSize
		h.aliasMaximum = props.TopicAliasMaximum
		h.noProblemInfo = props.RequestProblemInfoFlag && props.RequestProblemInfo == 0
	} else if !con.Clean {
		h.expiry = b.limits.SessionExpiry
	}
	switch {
	case len(h.clientID) > b.limits.ClientID:
		return nil, &refusal{codeClientID, 2, "client_id", fmt.Sprintf("client identifier of %d bytes, at most %d", len(h.clientID), b.limits.ClientID)}
	case h.clientID == "" && (h.version == 3 || h.version == 4 && !con.Clean):
		return nil, &refusal{codeClientID, 2, "client_id", "empty client identifier" /* MQTT 3.1.1 section 3.1.3.1 */}
	case h.clientID == "":
		h.clientID, h.assigned = newClientID(), true
	}
	if con.WillFlag {
		if !b.withinLimits(con.WillTopic) && !b.requests(con.WillTopic) {
			return nil, &refusal{codeTopicInvalid, 5, "will_topic", "will topic too long or too deep"}
		}
		h.will = &will{
			delay: time.Duration(con.WillProperties.WillDelayInterval) * time.Second,
			props: con.WillProperties,
			msg: gateway.Message{Topic: strings.Clone(con.WillTopic), Payload: con.WillPayload,
				QoS: con.WillQos, Retain: con.WillRetain},
		}
	}
	return h, nil
}

// newClientID makes an identifier that nobody can guess.
func newClientID() string {
	var raw [12]byte
	_, _ = rand.Read(raw[:]) // never fails, see crypto/rand
	return "auto-" + hex.EncodeToString(raw[:])
}

// login asks who the client is.
func (c *conn) login(ctx context.Context, h *hello) (access.Subject, error) {
	ctx, cancel := context.WithTimeout(ctx, c.b.limits.ConnectTimeout)
	defer cancel()
	s, err := c.b.access.Login(ctx, c.remote, h.user, h.password, h.passwordGiven)
	if err == nil && (s.System || s.User != "" && s.Key == "" && len(h.password) == 0) {
		// Whatever the accounts say: nobody is somebody without a password.
		err = access.ErrBadCredentials
	}
	switch {
	case errors.Is(err, access.ErrBadCredentials):
		if h.user == "" && !h.passwordGiven {
			return s, &refusal{codeNotAuthorized, 5, "anonymous", "a user name is needed"}
		}
		return s, &refusal{codeBadCredentials, 4, "bad_credentials", "wrong user name or password"}
	case errors.Is(err, access.ErrThrottled):
		return s, &refusal{codeConnectionRate, 5, "throttled", "too many failed logins"}
	case errors.Is(err, access.ErrBusy):
		return s, &refusal{codeBusy, 3, "busy", "too many logins at once"}
	case err != nil:
		return s, &refusal{codeNotAuthorized, 5, "login", err.Error()}
	}
	return s, nil
}

// refuse answers a CONNECT that is not let in, and closes.
func (c *conn) refuse(err error) {
	var r *refusal
	if !errors.As(err, &r) {
		c.b.count.refused.add("no_connect")
		_ = c.Close()
		return
	}
	c.b.count.refused.add(r.reason)
	c.b.notice("refused "+r.reason, "connection refused", "reason", r.reason, "source", c.name(), "error", r.text)
	switch {
	case c.version == 5 && r.v5 != 0:
		reason := shortPacket(0, r.v5, r.text)[3:] // properties with a reason string
		out := append([]byte{packets.Connack << 4, byte(2 + len(reason)), 0, r.v5}, reason...)
		_, _ = c.Write(out)
	case c.version != 5 && r.v3 != 0:
		_, _ = c.Write([]byte{packets.Connack << 4, 2, 0, r.v3})
	}
	c.wmu.Lock()
	c.discard = true
	c.wmu.Unlock()
	_ = c.Close()
}

// introduction is the CONNECT for mochi of a client that has been let in: what
// it needs to know for its CONNACK and no more. Sessions, wills and credentials
// are no matter of its.
func introduction(h *hello) []byte {
	pk := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Connect},
		ProtocolVersion: h.version,
		Connect:         packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, ClientIdentifier: "c"},
	}
	if h.version == 3 {
		pk.Connect.ProtocolName = []byte("MQIsdp")
	}
	if h.version == 5 {
		pk.Properties.MaximumPacketSize = h.maxPacket
		pk.Properties.RequestProblemInfoFlag = h.noProblemInfo
	}
	var buf bytes.Buffer
	_ = pk.ConnectEncode(&buf) // has no error to return
	return buf.Bytes()
}

// shown is a client identifier as it may stand in logs.
func shown(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
