package uplink

import (
	"errors"
	"fmt"
)

// maxPacket is the largest MQTT packet that is taken from a cloud, in bytes.
// The client library allocates what a packet's header announces before it has
// the packet.
const maxPacket = 1 << 20

// errFrame is wrapped by what frames finds wrong.
var errFrame = errors.New("the cloud sent a packet that cannot be right")

// frames stands between the socket and the client library and lets through
// what does the library no harm. It ends the connection at packets that no
// server sends and at a SUBACK that does not answer exactly one filter (each
// SUBSCRIBE of ours has one; the library indexes its list of filters with
// whatever the packet holds). Of a PUBLISH larger than maxPacket it replaces
// the payload by a mark: the message can then be refused and acknowledged,
// where otherwise a persistent session would send it again for ever.
type frames struct {
	mark string // payload in place of one that is too large
	// take is asked about an acknowledgement, and is true if it is not for the
	// library. May be nil.
	take func(kind byte, id uint16) bool

	first  byte // of the packet being read; kind 0: before it
	kind   byte
	shift  uint   // of the next byte of the remaining length
	length int    // remaining length; once known, bytes of the body still to come
	body   bool   // the length is known
	large  bool   // the body is that of a PUBLISH larger than maxPacket
	ack    bool   // the body is a packet id and no more
	head   []byte // its topic and packet id; of ack the id
	said   bool   // what stands for it has been let through
}

// Types of MQTT control packets (MQTT 3.1.1 section 2.2.1) that a server may
// send.
const (
	packetConnack  = 2
	packetPublish  = 3
	packetPuback   = 4
	packetPubrec   = 5
	packetPubrel   = 6
	packetPubcomp  = 7
	packetSuback   = 9
	packetUnsuback = 11
	packetPingresp = 13
)

// next is ready for the next packet.
func (f *frames) next() { *f = frames{mark: f.mark, take: f.take} }

// pass takes the next bytes of the stream and appends to dst what the library
// may have of them. Dst is good on an error, too: it ends before the packet
// that is wrong.
func (f *frames) pass(dst, p []byte) ([]byte, error) {
	for len(p) > 0 {
		switch {
		case f.kind == 0:
			f.first, f.kind = p[0], p[0]>>4
			p = p[1:]
			switch f.kind {
			case packetConnack, packetPublish, packetPuback, packetPubrec, packetPubrel,
				packetPubcomp, packetSuback, packetUnsuback, packetPingresp:
			default:
				return dst, fmt.Errorf("%w: type %d", errFrame, f.kind)
			}
		case !f.body:
			f.length |= int(p[0]&0x7f) << f.shift
			f.shift += 7
			f.body = p[0]&0x80 == 0
			p = p[1:]
			if !f.body && f.shift > 21 {
				return dst, fmt.Errorf("%w: remaining length of more than four bytes", errFrame)
			}
			if f.body {
				var err error
				if dst, err = f.begin(dst); err != nil {
					return dst, err
				}
			}
		case f.ack:
			n := min(f.length, len(p))
			f.head, p, f.length = append(f.head, p[:n]...), p[n:], f.length-n
			if f.length == 0 {
				if id := uint16(f.head[0])<<8 | uint16(f.head[1]); f.take == nil || !f.take(f.kind, id) {
					dst = append(dst, f.first, 2, f.head[0], f.head[1])
				}
				f.next()
			}
		case f.large:
			n := min(f.length, len(p))
			dst = f.shorten(dst, p[:n])
			p, f.length = p[n:], f.length-n
			if f.length == 0 {
				f.next()
			}
		default:
			n := min(f.length, len(p))
			dst = append(dst, p[:n]...)
			p, f.length = p[n:], f.length-n
			if f.length == 0 {
				f.next()
			}
		}
	}
	return dst, nil
}

// begin looks at a packet whose length is known.
func (f *frames) begin(dst []byte) ([]byte, error) {
	switch {
	case f.kind == packetSuback && f.length != 3:
		return dst, fmt.Errorf("%w: SUBACK of %d bytes", errFrame, f.length)
	case f.length == 2 && (f.kind == packetPuback || f.kind == packetPubrec || f.kind == packetPubcomp || f.kind == packetUnsuback):
		f.ack = true
		return dst, nil
	case f.length > maxPacket && f.kind == packetPublish:
		f.large = true
		return dst, nil
	case f.length > maxPacket:
		return dst, fmt.Errorf("%w: more than %d bytes", errFrame, maxPacket)
	}
	dst = appendLength(append(dst, f.first), f.length)
	if f.length == 0 {
		f.next()
	}
	return dst, nil
}

// shorten takes bytes of a PUBLISH that is too large: topic and packet id are
// kept, the payload is left out.
func (f *frames) shorten(dst, p []byte) []byte {
	for want := 2; !f.said; {
		if len(f.head) >= 2 {
			want = 2 + int(f.head[0])<<8 + int(f.head[1])
			if f.first>>1&3 > 0 {
				want += 2
			}
		}
		if len(f.head) >= 2 && len(f.head) == want {
			dst = appendLength(append(dst, f.first), want+len(f.mark))
			dst = append(append(dst, f.head...), f.mark...)
			f.said = true
			break
		}
		n := min(want-len(f.head), len(p))
		if n == 0 {
			break // the rest of them is still to come
		}
		f.head, p = append(f.head, p[:n]...), p[n:]
	}
	return dst
}

// appendLength appends a remaining length (MQTT 3.1.1 section 2.2.3).
func appendLength(dst []byte, n int) []byte {
	for ; n > 127; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}
