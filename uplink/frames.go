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

// frames watches the bytes that come from the cloud and stops the connection
// at packets that would hurt: larger than maxPacket, or a SUBACK that does not
// answer exactly one filter (each SUBSCRIBE of ours has one; the library indexes
// its list of filters with whatever the packet holds).
type frames struct {
	kind   byte // type of the packet being read, 0 before its first byte
	shift  uint // of the next byte of the remaining length
	length int  // remaining length; once known, bytes of the body still to come
	body   bool // the length is known
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

// see takes the next bytes of the stream.
func (f *frames) see(p []byte) error {
	for len(p) > 0 {
		switch {
		case f.kind == 0:
			f.kind = p[0] >> 4
			switch f.kind {
			case packetConnack, packetPublish, packetPuback, packetPubrec, packetPubrel,
				packetPubcomp, packetSuback, packetUnsuback, packetPingresp:
			default:
				return fmt.Errorf("%w: type %d", errFrame, f.kind)
			}
			p = p[1:]
		case !f.body:
			f.length |= int(p[0]&0x7f) << f.shift
			f.shift += 7
			f.body = p[0]&0x80 == 0
			p = p[1:]
			if !f.body && f.shift > 21 {
				return fmt.Errorf("%w: remaining length of more than four bytes", errFrame)
			}
			if f.length > maxPacket {
				return fmt.Errorf("%w: more than %d bytes", errFrame, maxPacket)
			}
			if f.body {
				if f.kind == packetSuback && f.length != 3 {
					return fmt.Errorf("%w: SUBACK of %d bytes", errFrame, f.length)
				}
				if f.length == 0 {
					*f = frames{}
				}
			}
		default:
			n := min(f.length, len(p))
			p, f.length = p[n:], f.length-n
			if f.length == 0 {
				*f = frames{}
			}
		}
	}
	return nil
}
