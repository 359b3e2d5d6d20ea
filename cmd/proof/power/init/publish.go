package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

const window = 20

// publish publishes rising values from first on at QoS 1, and says which are
// acknowledged. When the gateway closes the connection it connects again and
// goes on with new values.
func publish(sensor string, first int) {
	next := first
	for ; ; time.Sleep(200 * time.Millisecond) {
		next = session(sensor, next)
	}
}

// session is one connection. It returns the next value that was never sent.
func session(sensor string, next int) int {
	conn, err := net.Dial("tcp", mqtt)
	if err != nil {
		return next
	}
	defer conn.Close()
	// MQTT 3.1.1 section 3.1: clean session, no keep alive.
	id := "pub-" + sensor
	hello := append([]byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, byte(len(id))}, id...)
	r := bufio.NewReader(conn)
	var answer [4]byte
	if _, err := conn.Write(hello); err != nil {
		return next
	}
	if _, err := io.ReadFull(r, answer[:]); err != nil || answer[3] != 0 {
		return next
	}
	topic := "devices/D/sensors/" + sensor + "/value"
	base, acked := next, next // values from base on were sent here; below acked they are acknowledged
	for {
		var out []byte
		for ; next-acked < window; next++ {
			payload := fmt.Sprintf(`{"value":%d}`, next)
			n := 2 + len(topic) + 2 + len(payload)
			out = append(out, 0x32, byte(n), 0, byte(len(topic)))
			out = append(out, topic...)
			out = binary.BigEndian.AppendUint16(out, uint16((next-base)%50_000+1))
			out = append(out, payload...)
		}
		if _, err := conn.Write(out); err != nil {
			return next
		}
		from := acked
		for first := true; first || r.Buffered() >= 4; first = false {
			if _, err := io.ReadFull(r, answer[:]); err != nil {
				return next
			}
			if answer[0] != 0x40 || int(binary.BigEndian.Uint16(answer[2:])) != (acked-base)%50_000+1 {
				say("died answer %x to value %d", answer, acked)
				return next
			}
			acked++
		}
		say("ack %s %d %d", sensor, from, acked-1)
	}
}
