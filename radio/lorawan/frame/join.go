package frame

import (
	"encoding/binary"
	"fmt"
)

// Join is a join request (LoRaWAN 1.0.3 section 6.2.4).
type Join struct {
	JoinEUI  EUI // AppEUI up to LoRaWAN 1.0.3
	DevEUI   EUI
	DevNonce uint16
}

// ParseJoin reads a join request, whose MIC CheckJoin looks at. Errors:
// ErrLength, ErrVersion, ErrKind.
func ParseJoin(b []byte) (Join, error) {
	if err := need(b, JoinRequest); err != nil {
		return Join{}, err
	}
	return Join{JoinEUI: euiLE(b[1:]), DevEUI: euiLE(b[9:]), DevNonce: binary.LittleEndian.Uint16(b[17:])}, nil
}

// CheckJoin reports whether b is a join request with the MIC that the AppKey
// gives.
func CheckJoin(b []byte, k Key) bool {
	if need(b, JoinRequest) != nil {
		return false
	}
	return same(cmac(&k, nil, b[:JoinLen-micLen]), b[JoinLen-micLen:])
}

// Append appends the join request, signed with the AppKey.
func (j Join) Append(dst []byte, k Key) []byte {
	start := len(dst)
	dst = append(dst, byte(JoinRequest)<<5)
	dst = j.JoinEUI.appendLE(dst)
	dst = j.DevEUI.appendLE(dst)
	dst = binary.LittleEndian.AppendUint16(dst, j.DevNonce)
	mic := cmac(&k, nil, dst[start:])
	return append(dst, mic[:]...)
}

// CFListLen is the length of a CFList in bytes, the last of which is its type.
const CFListLen = 16

// Accept is a join accept (LoRaWAN 1.0.3 section 6.2.5).
type Accept struct {
	JoinNonce   uint32 // 24 bits; AppNonce up to LoRaWAN 1.0.3
	NetID       uint32 // 24 bits
	DevAddr     DevAddr
	RX1Offset   uint8 // 0 to 7
	RX2DataRate uint8 // 0 to 15
	RxDelay     uint8 // 0 to 15, in seconds; 0 means 1 as well
	CFList      []byte
}

// Append appends the join accept, signed and encrypted with the AppKey. A field
// out of its range is ErrRange.
//
// The network encrypts with AES's decryption, so that a device needs no more
// than AES's encryption.
func (a Accept) Append(dst []byte, k Key) ([]byte, error) {
	switch {
	case a.JoinNonce >= 1<<24:
		return dst, fmt.Errorf("frame: join accept: %w: JoinNonce %#x", ErrRange, a.JoinNonce)
	case a.NetID >= 1<<24:
		return dst, fmt.Errorf("frame: join accept: %w: NetID %#x", ErrRange, a.NetID)
	case a.RX1Offset > 7:
		return dst, fmt.Errorf("frame: join accept: %w: RX1 offset %d", ErrRange, a.RX1Offset)
	case a.RX2DataRate > 15:
		return dst, fmt.Errorf("frame: join accept: %w: RX2 data rate %d", ErrRange, a.RX2DataRate)
	case a.RxDelay > 15:
		return dst, fmt.Errorf("frame: join accept: %w: RxDelay %d", ErrRange, a.RxDelay)
	case len(a.CFList) != 0 && len(a.CFList) != CFListLen:
		return dst, fmt.Errorf("frame: join accept: %w: CFList of %d bytes", ErrRange, len(a.CFList))
	}
	start := len(dst)
	var f [AcceptLen - micLen]byte
	f[0] = byte(JoinAccept) << 5
	putUint24(f[1:], a.JoinNonce)
	putUint24(f[4:], a.NetID)
	binary.LittleEndian.PutUint32(f[7:], uint32(a.DevAddr))
	f[11] = a.RX1Offset<<4 | a.RX2DataRate
	f[12] = a.RxDelay
	dst = append(append(dst, f[:]...), a.CFList...)
	mic := cmac(&k, nil, dst[start:])
	dst = append(dst, mic[:]...)
	c := newCipher(&k)
	for b := dst[start+1:]; len(b) > 0; b = b[blockLen:] {
		c.Decrypt(b[:blockLen], b[:blockLen])
	}
	return dst, nil
}

// ParseAccept decrypts a join accept and checks its MIC; b is left as it is.
// Errors: ErrLength, ErrVersion, ErrKind, and ErrMIC, also for an accept to
// another device.
func ParseAccept(b []byte, k Key) (Accept, error) {
	if err := need(b, JoinAccept); err != nil {
		return Accept{}, err
	}
	plain := make([]byte, len(b))
	plain[0] = b[0]
	c := newCipher(&k)
	for i := 1; i < len(b); i += blockLen {
		c.Encrypt(plain[i:i+blockLen], b[i:i+blockLen])
	}
	end := len(b) - micLen
	if !same(cmac(&k, nil, plain[:end]), plain[end:]) {
		return Accept{}, fmt.Errorf("frame: join accept: %w", ErrMIC)
	}
	a := Accept{
		JoinNonce: uint24(plain[1:]), NetID: uint24(plain[4:]), DevAddr: DevAddr(binary.LittleEndian.Uint32(plain[7:])),
		RX1Offset: plain[11] >> 4 & 7, RX2DataRate: plain[11] & 15, RxDelay: plain[12] & 15,
	}
	if len(b) == AcceptCFLen {
		a.CFList = plain[13:end:end]
	}
	return a, nil
}
