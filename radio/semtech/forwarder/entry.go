package forwarder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio/semtech/gwmp"
)

// entry is a frame that waits for its acknowledgement. Forwarder.mu guards it.
type entry struct {
	packet gwmp.Rxpk
	radio  string        // that heard it
	at     gateway.Stamp // when
	old    bool          // of an earlier run: its counter means nothing now
	seq    uint64        // its key on disk; 0: it has none yet
	kept   bool          // it is on disk
	flying bool          // in a PUSH_DATA that is under way
	gone   bool          // acknowledged or dropped
	counts bool          // it is in the report's rxfw
}

// key has entries in their order.
func key(seq uint64) string { return fmt.Sprintf("%016x", seq) }

// What is on disk of an entry: form, quality, boot, wall and monotonic time in µs
// big-endian, the length of the radio's name and the name, and the JSON of a
// PUSH_DATA with the frame.
const (
	entryForm = 1
	entryHead = 1 + 1 + 16 + 8 + 8 + 1
)

var errEntry = errors.New("no kept frame")

func (e *entry) append(dst []byte) []byte {
	dst = append(dst, entryForm, byte(e.at.Quality))
	dst = append(dst, e.at.Boot[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.at.Wall.UnixMicro()))
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.at.Mono.Microseconds()))
	name := e.radio[:min(len(e.radio), 255)]
	dst = append(append(dst, byte(len(name))), name...)
	return gwmp.AppendPush(dst, []gwmp.Rxpk{e.packet}, nil)
}

func parseEntry(b []byte) (*entry, error) {
	if len(b) < entryHead || b[0] != entryForm || b[1] > byte(gateway.ClockSynced) {
		return nil, errEntry
	}
	e := &entry{old: true, kept: true}
	e.at.Quality = gateway.ClockQuality(b[1])
	copy(e.at.Boot[:], b[2:])
	e.at.Wall = time.UnixMicro(int64(binary.BigEndian.Uint64(b[18:]))).UTC()
	mono := int64(binary.BigEndian.Uint64(b[26:]))
	if limit := math.MaxInt64 / int64(time.Microsecond); mono > limit || mono < -limit {
		return nil, errEntry
	}
	e.at.Mono = time.Duration(mono) * time.Microsecond
	name, rest := int(b[34]), b[entryHead:]
	if len(rest) < name {
		return nil, errEntry
	}
	e.radio = string(rest[:name])
	var p gwmp.Push
	if err := p.Parse(rest[name:]); err != nil || len(p.Packets) != 1 || p.Bad > 0 {
		return nil, fmt.Errorf("%w: %w", errEntry, errors.Join(err, p.BadErr))
	}
	e.packet = p.Packets[0]
	return e, nil
}

// age is how long ago the frame was heard; not ok if no clock can tell.
func (e *entry) age(now gateway.Stamp) (d time.Duration, ok bool) {
	if e.at.Boot == now.Boot {
		return max(now.Mono-e.at.Mono, 0), true
	}
	if e.at.Quality == gateway.ClockUnset || now.Quality == gateway.ClockUnset {
		return 0, false
	}
	d = now.Wall.Sub(e.at.Wall)
	return max(d, 0), d >= 0
}

// heard is the time for the server; zero if there is none to be trusted. For a
// late frame one that nobody vouches for is better than none: without one the
// server takes its own.
func (e *entry) heard(now gateway.Stamp, late bool) time.Time {
	switch {
	case !e.packet.Time.IsZero():
		return e.packet.Time
	case e.at.Quality == gateway.ClockSynced:
		return e.at.Wall
	case e.at.Boot == now.Boot && now.Quality == gateway.ClockSynced:
		return now.Wall.Add(e.at.Mono - now.Mono)
	case late && e.at.Quality == gateway.ClockUnsynced:
		return e.at.Wall
	}
	return time.Time{}
}
