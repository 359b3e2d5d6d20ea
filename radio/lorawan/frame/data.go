package frame

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// NoFPort is the FPort of a frame that has none, and therefore no payload.
const NoFPort = -1

// Bits of FCtrl. Those of one direction only are named so.
const (
	fctrlADR       = 0x80
	fctrlADRACKReq = 0x40 // up; RFU down
	fctrlACK       = 0x20
	fctrlBit4      = 0x10 // ClassB up, FPending down
	fctrlFOpts     = 0x0f
)

// Data is a data frame (LoRaWAN 1.0.3 section 4.3).
type Data struct {
	Kind      Kind // UnconfirmedUp, UnconfirmedDown, ConfirmedUp or ConfirmedDown
	DevAddr   DevAddr
	ADR       bool
	ADRACKReq bool   // up
	ACK       bool   // of the last confirmed frame the other way
	Pending   bool   // down: there is more
	ClassB    bool   // up
	FCnt      uint16 // the low half of the counter
	FOpts     []byte // MAC commands, up to MaxFOpts bytes
	FPort     int    // 0 to 255, or NoFPort
	Payload   []byte // encrypted after ParseData; MAC commands at FPort 0
}

func (k Kind) dir() byte {
	if k.Uplink() {
		return dirUp
	}
	return dirDown
}

// ParseData reads a data frame of either direction. FOpts and Payload are parts
// of b; Payload is nil where there is no FPort. Errors: ErrLength, also where
// FOpts is longer than the frame; ErrVersion; ErrKind; ErrFPort0, as a device
// must not take such a frame (section 4.3.2).
func ParseData(b []byte) (Data, error) {
	k, err := KindOf(b)
	if err != nil {
		return Data{}, err
	}
	if !k.Data() {
		return Data{}, errNotAData
	}
	ctrl := b[5]
	d := Data{
		Kind: k, DevAddr: DevAddr(binary.LittleEndian.Uint32(b[1:])), ADR: ctrl&fctrlADR != 0, ACK: ctrl&fctrlACK != 0,
		FCnt: binary.LittleEndian.Uint16(b[6:]), FPort: NoFPort,
	}
	if k.Uplink() {
		d.ADRACKReq, d.ClassB = ctrl&fctrlADRACKReq != 0, ctrl&fctrlBit4 != 0
	} else {
		d.Pending = ctrl&fctrlBit4 != 0
	}
	rest, n := b[dataHeadLen:len(b)-micLen], int(ctrl&fctrlFOpts)
	if n > len(rest) {
		return Data{}, fmt.Errorf("frame: %w: FOpts of %d bytes in a frame of %d", ErrLength, n, len(b))
	}
	if n > 0 {
		d.FOpts = rest[:n:n]
	}
	if rest = rest[n:]; len(rest) > 0 {
		d.FPort, d.Payload = int(rest[0]), rest[1:len(rest):len(rest)]
	}
	if d.FPort == 0 && n > 0 {
		return Data{}, fmt.Errorf("frame: %w", ErrFPort0)
	}
	return d, nil
}

// CheckData reports whether b is a data frame with the MIC that the NwkSKey and
// the whole counter give. The low half of fcnt must be that of the frame.
func CheckData(b []byte, nwk Key, fcnt uint32) bool {
	if k, err := KindOf(b); err != nil || !k.Data() || binary.LittleEndian.Uint16(b[6:]) != uint16(fcnt) {
		return false
	}
	end := len(b) - micLen
	a := DevAddr(binary.LittleEndian.Uint32(b[1:]))
	return same(dataMIC(&nwk, Kind(b[0]>>5).dir(), a, fcnt, b[:end]), b[end:])
}

// Decrypt gives the payload of d in plain, in memory of its own; nil where there
// is none. K is the NwkSKey for FPort 0 and the AppSKey for all others. The same
// function encrypts.
func Decrypt(d *Data, k Key, fcnt uint32) []byte {
	if len(d.Payload) == 0 {
		return nil
	}
	plain := slices.Clone(d.Payload)
	crypt(&k, d.Kind.dir(), d.DevAddr, fcnt, plain)
	return plain
}

// Append appends the frame with its payload, which is in plain, encrypted (with
// nwk at FPort 0, otherwise with app), and signed. FCnt on air is the low half of
// fcnt; d.FCnt is not looked at. Flags of the other direction are left out.
// Errors: ErrKind; ErrRange for FOpts over MaxFOpts, an FPort that is none, a
// payload without FPort, and a frame over MaxLen; ErrFPort0.
func (d *Data) Append(dst []byte, nwk, app Key, fcnt uint32) ([]byte, error) {
	switch {
	case !d.Kind.Data():
		return dst, errNotAData
	case len(d.FOpts) > MaxFOpts:
		return dst, fmt.Errorf("frame: %w: FOpts of %d bytes", ErrRange, len(d.FOpts))
	case d.FPort < NoFPort || d.FPort > 255:
		return dst, fmt.Errorf("frame: %w: FPort %d", ErrRange, d.FPort)
	case d.FPort == NoFPort && len(d.Payload) > 0:
		return dst, fmt.Errorf("frame: %w: payload without FPort", ErrRange)
	case d.FPort == 0 && len(d.FOpts) > 0:
		return dst, fmt.Errorf("frame: %w", ErrFPort0)
	}
	if n := MinDataLen + len(d.FOpts) + min(d.FPort+1, 1) + len(d.Payload); n > MaxLen {
		return dst, fmt.Errorf("frame: %w: %d bytes", ErrRange, n)
	}
	start, up := len(dst), d.Kind.Uplink()
	ctrl := byte(len(d.FOpts))
	for _, f := range [...]struct {
		set bool
		bit byte
	}{{d.ADR, fctrlADR}, {d.ADRACKReq && up, fctrlADRACKReq}, {d.ACK, fctrlACK}, {d.ClassB && up || d.Pending && !up, fctrlBit4}} {
		if f.set {
			ctrl |= f.bit
		}
	}
	dst = append(dst, byte(d.Kind)<<5)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(d.DevAddr))
	dst = append(dst, ctrl)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(fcnt))
	dst = append(dst, d.FOpts...)
	if d.FPort != NoFPort {
		dst = append(dst, byte(d.FPort))
		k := &app
		if d.FPort == 0 {
			k = &nwk
		}
		at := len(dst)
		dst = append(dst, d.Payload...)
		crypt(k, d.Kind.dir(), d.DevAddr, fcnt, dst[at:])
	}
	mic := dataMIC(&nwk, d.Kind.dir(), d.DevAddr, fcnt, dst[start:])
	return append(dst, mic[:]...), nil
}

// FullFCnt gives the lowest counter from last on whose low half is low, which is
// the only one that a frame can be checked with (section 4.3.1.5). It begins
// again at 0 behind 2^32-1, so that a counter at its end gives less than last.
func FullFCnt(last uint32, low uint16) uint32 {
	return last + uint32(low-uint16(last))
}
