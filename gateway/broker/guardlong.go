package broker

import (
	"encoding/binary"
	"io"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway/xively"
)

// longRequest is the longest PUBLISH to the API, in bytes after its fixed
// header, that is read to its end though it is too long.
const longRequest = 32 << 20

// readLong reads on in a packet that is longer than limit. That ends the
// connection, but for a publish to the API by a client before MQTT 5, which
// nobody has told of a limit: what it asks for is refused, and the API's request
// log says so. Such a packet is handed on cut, marked in c.cut and at most limit
// bytes long; the rest is forgotten as it arrives and takes no memory.
func (c *conn) readLong(header byte, length, limit int) (byte, []byte, error) {
	head := len(c.packet)
	tooLarge := violation(codeTooLarge, "packet of %d bytes, at most %d", head+length, limit)
	if header>>4 != packets.Publish || c.sess == nil || c.version == 5 || c.b.api == nil || length > longRequest {
		return 0, nil, tooLarge
	}
	if err := c.fill(head + 2); err != nil {
		return 0, nil, err
	}
	opening := 2 + int(binary.BigEndian.Uint16(c.packet[head:])) // up to the topic's end
	before := opening                                            // the payload
	if header>>1&3 > 0 {
		before += 2 // packet identifier
	}
	if before > length || head+before > limit {
		return 0, nil, tooLarge
	}
	if err := c.fill(head + before); err != nil {
		return 0, nil, err
	}
	body := c.packet[head:]
	if !c.b.requests(string(body[2:opening])) {
		return 0, nil, tooLarge
	}
	if err := c.checker.check(c.version, header, body); err != nil {
		return 0, nil, err
	}
	kept := min(limit-head, before+xively.MaxBody+1)
	c.packet = append(binary.AppendUvarint([]byte{header}, uint64(kept)), body...) // MQTT 3.1.1 section 2.2.3 has the same form
	head = len(c.packet) - before
	if err := c.fill(head + kept); err != nil {
		return 0, nil, err
	}
	n, err := c.in.Discard(length - kept)
	c.b.count.bytesIn.Add(uint64(n))
	if err != nil {
		return 0, nil, err
	}
	c.cut = true
	return header, c.packet[head:], nil
}

// fill reads until c.packet has size bytes. Memory is taken as they arrive.
func (c *conn) fill(size int) error {
	for len(c.packet) < size {
		at := len(c.packet)
		n := min(size-at, readChunk)
		if cap(c.packet)-at < n {
			grown := make([]byte, at, min(size, max(2*cap(c.packet), at+n)))
			copy(grown, c.packet)
			c.packet = grown
		}
		c.packet = c.packet[:at+n]
		if _, err := io.ReadFull(&c.in, c.packet[at:]); err != nil {
			return err
		}
	}
	return nil
}

// overlong is the payload of a packet that was cut, as the API gets it: longer
// than any that it takes, however little of it was kept.
func overlong(payload []byte) []byte {
	if len(payload) > xively.MaxBody {
		return payload
	}
	out := make([]byte, xively.MaxBody+1)
	copy(out, payload)
	return out
}
