package harness

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// inFlight is a publish at QoS 2 that is not over.
type inFlight struct {
	value    int
	id       uint16
	released bool // PUBREC came
}

// resumeWindow is how many publishes a resuming publisher has in flight.
const resumeWindow = 5

// resume is Run in a session that is kept, in bytes of MQTT 3.1.1, because it
// is about what is sent again: all that was not answered, in its order (section
// 4.4). Every value may reach the cloud under one id only.
func (p *Publisher) resume(ctx context.Context, addr string) {
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	in := bufio.NewReader(conn)
	client := "pub-" + p.Device + "-" + p.Sensor
	hello := append([]byte{0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0}, field(client)...)
	if _, err := conn.Write(append([]byte{0x10, byte(len(hello))}, hello...)); err != nil {
		return
	}
	kind, body, err := packet(in)
	if err != nil || kind != 0x20 || len(body) != 2 || body[1] != 0 {
		return
	}
	if body[0]&1 == 0 { // the gateway never had the session on disk: there is nothing to resume
		p.flight = nil
	}
	for i := range p.flight {
		if err := p.sendAgain(conn, &p.flight[i]); err != nil {
			return
		}
	}
	for {
		for len(p.flight) < resumeWindow {
			p.value++
			p.packet = p.packet%60_000 + 1
			p.Ledger.sent()
			p.flight = append(p.flight, inFlight{value: p.value, id: p.packet})
			if err := p.publish(conn, &p.flight[len(p.flight)-1], 0); err != nil {
				return
			}
		}
		kind, body, err := packet(in)
		if err != nil || len(body) != 2 {
			return
		}
		i := slices.IndexFunc(p.flight, func(f inFlight) bool { return f.id == binary.BigEndian.Uint16(body) })
		switch {
		case i < 0:
		case kind == 0x50: // PUBREC
			p.flight[i].released = true
			err = p.sendAgain(conn, &p.flight[i])
		case kind == 0x70: // PUBCOMP
			p.Ledger.acknowledge(p.Device+"/"+p.Sensor, p.flight[i].value)
			p.flight = slices.Delete(p.flight, i, i+1)
		}
		if err != nil {
			return
		}
		if p.Pace > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(p.Pace):
			}
		}
	}
}

func (p *Publisher) sendAgain(w io.Writer, f *inFlight) error {
	if !f.released {
		return p.publish(w, f, 0x08)
	}
	_, err := w.Write([]byte{0x62, 2, byte(f.id >> 8), byte(f.id)})
	return err
}

func (p *Publisher) publish(w io.Writer, f *inFlight, dup byte) error {
	body := field(fmt.Sprintf("devices/%s/sensors/%s/value", p.Device, p.Sensor))
	body = binary.BigEndian.AppendUint16(body, f.id)
	body = fmt.Appendf(body, `{"value":%d}`, f.value)
	_, err := w.Write(append([]byte{0x34 | dup, byte(len(body))}, body...)) // below 128 bytes
	return err
}

func field(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// packet reads one of less than 128 bytes.
func packet(in *bufio.Reader) (kind byte, body []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	if head[1] > 127 {
		return 0, nil, fmt.Errorf("harness: a packet of type 0x%02x with more than 127 bytes", head[0])
	}
	body = make([]byte, head[1])
	_, err = io.ReadFull(in, body)
	return head[0], body, err
}
