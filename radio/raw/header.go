package raw

import (
	"errors"
	"fmt"

	"fieldgate/radio"
)

// HeaderSize is how many bytes a Header takes.
const HeaderSize = 4

// Addresses.
const (
	Broadcast = 0
	Gateway   = 1 // nodes have 2 to 255
)

// Type is what a frame is (bits 4 to 7), with its flags.
type Type uint8

// The types.
const (
	Data Type = 0x10
	Ack  Type = 0x20
	RTS  Type = 0x30 // asks for the channel
)

// The flags.
const (
	AckRequest Type = 0x08
	Encrypted  Type = 0x04 // the payload is
	AppKey     Type = 0x02 // four bytes of an application's key stand before the payload
	Downlink   Type = 0x01 // it comes from a gateway
)

// Kind is t without its flags.
func (t Type) Kind() Type { return t & 0xf0 }

// Has reports whether a flag is set.
func (t Type) Has(flag Type) bool { return t&flag != 0 }

// Header is what stands before the payload of a frame of Pham's nodes.
type Header struct {
	Destination byte
	Type        Type
	Source      byte
	Sequence    byte // counts the source's frames, and wraps
}

// ErrHeader is returned for what has no header.
var ErrHeader = errors.New("no header")

// Parse takes a frame apart; the payload is a part of b. Any four bytes can be a
// header, but for the types that there are.
func Parse(b []byte) (h Header, payload []byte, err error) {
	if len(b) < HeaderSize {
		return Header{}, nil, fmt.Errorf("raw: %w: %d bytes", ErrHeader, len(b))
	}
	h = Header{b[0], Type(b[1]), b[2], b[3]}
	switch h.Type.Kind() {
	case Data, Ack, RTS:
		return h, b[HeaderSize:], nil
	}
	return Header{}, nil, fmt.Errorf("raw: %w: type 0x%02x", ErrHeader, b[1])
}

// Append appends header and payload. The error wraps ErrTooLong.
func (h Header) Append(dst, payload []byte) ([]byte, error) {
	if len(payload) > radio.MaxPayload-HeaderSize {
		return nil, fmt.Errorf("raw: %w: %d bytes, %d fit behind a header", ErrTooLong, len(payload), radio.MaxPayload-HeaderSize)
	}
	return append(append(dst, h.Destination, byte(h.Type), h.Source, h.Sequence), payload...), nil
}

// Acknowledge is the frame that acknowledges one with header h, which was heard
// with an SNR in dB: an Ack of the same sequence number whose payload says two
// bytes, none, SNR.
func (h Header) Acknowledge(snr float32) []byte {
	n := int8(max(-128, min(127, int(snr))))
	return []byte{h.Source, byte(Ack), Gateway, h.Sequence, 2, 0, byte(n)}
}
