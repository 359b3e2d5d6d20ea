package frame

import (
	"errors"
	"fmt"
)

// Errors of this package, wrapped with what was found.
var (
	ErrLength   = errors.New("wrong length")
	ErrVersion  = errors.New("not LoRaWAN's major version 1")
	ErrKind     = errors.New("another kind of frame")
	ErrMIC      = errors.New("wrong message integrity code")
	ErrFPort0   = errors.New("MAC commands both in FOpts and at FPort 0")
	ErrRange    = errors.New("out of range")
	ErrCommand  = errors.New("unknown MAC command")
	ErrNotAKey  = errors.New("not 32 hexadecimal digits")
	ErrNotAnID  = errors.New("not hexadecimal digits of the right number")
	errNotAData = fmt.Errorf("frame: %w: no data frame", ErrKind)
)

// Kind is what a frame is: MType in LoRaWAN 1.0.3 (section 4.2.1), FType in 1.0.4.
type Kind uint8

// The kinds, by their numbers on air.
const (
	JoinRequest Kind = iota
	JoinAccept
	UnconfirmedUp
	UnconfirmedDown
	ConfirmedUp
	ConfirmedDown
	Rejoin // of LoRaWAN 1.1; RFU in 1.0.x
	Proprietary
)

// String is the kind in words, such as "join request".
func (k Kind) String() string {
	switch k {
	case JoinRequest:
		return "join request"
	case JoinAccept:
		return "join accept"
	case UnconfirmedUp:
		return "unconfirmed uplink"
	case UnconfirmedDown:
		return "unconfirmed downlink"
	case ConfirmedUp:
		return "confirmed uplink"
	case ConfirmedDown:
		return "confirmed downlink"
	case Rejoin:
		return "rejoin request"
	case Proprietary:
		return "proprietary"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Uplink reports whether end devices send the kind: a join request, a rejoin
// request or an uplink.
func (k Kind) Uplink() bool {
	return k == JoinRequest || k == UnconfirmedUp || k == ConfirmedUp || k == Rejoin
}

// Data reports whether k is one of the four kinds that ParseData reads.
func (k Kind) Data() bool { return k >= UnconfirmedUp && k <= ConfirmedDown }

// Confirmed reports whether k wants an acknowledgement.
func (k Kind) Confirmed() bool { return k == ConfirmedUp || k == ConfirmedDown }

// Lengths in bytes of whole frames.
const (
	MaxLen       = 255 // of what LoRa can carry
	JoinLen      = 23
	AcceptLen    = 17 // without a CFList
	AcceptCFLen  = 33 // with a CFList
	MinDataLen   = 12 // no FOpts, no FPort, no payload
	MaxFOpts     = 15
	micLen       = 4
	dataHeadLen  = 8 // MHDR, DevAddr, FCtrl, FCnt
	majorMask    = 0x03
	maxRejoinLen = 24
	minRejoinLen = 19
)

// KindOf reads the first byte of a frame, and checks the major version and the
// length, as far as it is known for the kind. Errors: ErrLength, ErrVersion.
func KindOf(b []byte) (Kind, error) {
	if len(b) == 0 || len(b) > MaxLen {
		return 0, fmt.Errorf("frame: %w: %d bytes", ErrLength, len(b))
	}
	k := Kind(b[0] >> 5)
	if k == Proprietary { // its layout is nobody's business, its version neither
		return k, nil
	}
	if b[0]&majorMask != 0 {
		return k, fmt.Errorf("frame: %w: MHDR %#02x", ErrVersion, b[0])
	}
	ok := false
	switch k {
	case JoinRequest:
		ok = len(b) == JoinLen
	case JoinAccept:
		ok = len(b) == AcceptLen || len(b) == AcceptCFLen
	case Rejoin:
		ok = len(b) == minRejoinLen || len(b) == maxRejoinLen
	default:
		ok = len(b) >= MinDataLen
	}
	if !ok {
		return k, fmt.Errorf("frame: %w: %s of %d bytes", ErrLength, k, len(b))
	}
	return k, nil
}

// need checks that b is a whole frame of the kind.
func need(b []byte, want Kind) error {
	k, err := KindOf(b)
	if err != nil {
		return err
	}
	if k != want {
		return fmt.Errorf("frame: %w: %s, not %s", ErrKind, k, want)
	}
	return nil
}
