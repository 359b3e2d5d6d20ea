package gwmp

import (
	"errors"
	"fmt"
)

// MaxDatagram is the longest datagram that is read, in bytes.
const MaxDatagram = 64 << 10

// Kind says what a datagram is for.
type Kind uint8

// The kinds of datagrams, as byte 3 has them.
const (
	PushData Kind = iota
	PushAck
	PullData
	PullResp
	PullAck
	TxAck
)

// String is such as "PUSH_DATA".
func (k Kind) String() string {
	if names := [...]string{"PUSH_DATA", "PUSH_ACK", "PULL_DATA", "PULL_RESP", "PULL_ACK", "TX_ACK"}; int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// fromForwarder reports whether datagrams of the kind carry an EUI.
func (k Kind) fromForwarder() bool { return k == PushData || k == PullData || k == TxAck }

// Token is what an acknowledgement has in common with what it acknowledges.
type Token [2]byte

// Datagram is one datagram.
type Datagram struct {
	Version uint8 // 1 or 2
	Token   Token
	Kind    Kind
	EUI     EUI // of PushData, PullData and TxAck
	// Body is the JSON of PushData, PullResp and TxAck. Parse has it point into
	// the datagram.
	Body []byte
}

// Errors of Parse.
var (
	ErrShort   = errors.New("datagram too short")
	ErrLong    = errors.New("datagram too long")
	ErrVersion = errors.New("protocol version is neither 1 nor 2")
	ErrKind    = errors.New("no such kind of datagram")
)

const (
	headerSize = 4
	euiEnd     = headerSize + 8
)

// Parse reads a datagram (PROTOCOL.TXT sections 3 and 5). The error wraps
// ErrShort, ErrLong, ErrVersion or ErrKind.
func Parse(b []byte) (Datagram, error) {
	switch {
	case len(b) < headerSize:
		return Datagram{}, fmt.Errorf("gwmp: %w: %d bytes", ErrShort, len(b))
	case len(b) > MaxDatagram:
		return Datagram{}, fmt.Errorf("gwmp: %w: %d bytes", ErrLong, len(b))
	case b[0] != 1 && b[0] != 2:
		return Datagram{}, fmt.Errorf("gwmp: %w: %d", ErrVersion, b[0])
	case b[3] > byte(TxAck):
		return Datagram{}, fmt.Errorf("gwmp: %w: %d", ErrKind, b[3])
	}
	d := Datagram{Version: b[0], Token: Token(b[1:3]), Kind: Kind(b[3]), Body: b[headerSize:]}
	if d.Kind.fromForwarder() {
		if len(b) < euiEnd {
			return Datagram{}, fmt.Errorf("gwmp: %w: %v of %d bytes", ErrShort, d.Kind, len(b))
		}
		d.EUI, d.Body = EUI(b[headerSize:euiEnd]), b[euiEnd:]
	}
	if d.Kind == PushAck || d.Kind == PullData || d.Kind == PullAck {
		d.Body = nil // nothing is defined there
	}
	return d, nil
}

// Append appends the datagram to dst.
func (d Datagram) Append(dst []byte) []byte {
	dst = append(dst, d.Version, d.Token[0], d.Token[1], byte(d.Kind))
	if d.Kind.fromForwarder() {
		dst = append(dst, d.EUI[:]...)
	}
	return append(dst, d.Body...)
}
