package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"fieldgate/gateway"
)

// A record on disk is a blob whose body is:
//
//	varint  sequence
//	varint  epoch: how often the log had been opened when it was written
//	byte    kind
//	byte    flags, below
//	varint  number of the boot of its stamp; with flagBoot its 16 bytes follow
//	signed  stamp: microseconds since the boot
//	signed  stamp: microseconds since 1970 of the wall clock
//	signed  with flagTime: microseconds since 1970 of the source's own time
//	raw     device, channel, value
//	raw     with flagMore: topic, origin, uplink, lost (JSON, empty if none)
//
// Where a raw is a length as varint and that many bytes. "Signed" is a zigzag
// varint.
const (
	flagRetain  = 1 << 0
	flagQoS     = 3 << 1 // two bits
	flagTime    = 1 << 3
	flagQuality = 3 << 4 // two bits
	flagBoot    = 1 << 6
	flagMore    = 1 << 7

	shiftQoS     = 1
	shiftQuality = 4
)

// stored is a record with what only the log needs.
type stored struct {
	gateway.Record
	epoch   uint64
	boot    uint64 // number of Stamp.Boot
	hasBoot bool   // the boot's id is in the record itself
}

// appendRecord encodes s as the body of a blob.
func appendRecord(dst []byte, s *stored) ([]byte, error) {
	r := &s.Record
	flags := byte(0)
	if r.Retain {
		flags |= flagRetain
	}
	flags |= r.QoS << shiftQoS & flagQoS
	if !r.Time.IsZero() {
		flags |= flagTime
	}
	flags |= byte(r.Stamp.Quality) << shiftQuality & flagQuality
	if s.hasBoot {
		flags |= flagBoot
	}
	more := r.Topic != "" || r.Origin != "" || r.Uplink != "" || r.Lost != nil
	if more {
		flags |= flagMore
	}
	dst = binary.AppendUvarint(dst, r.Seq)
	dst = binary.AppendUvarint(dst, s.epoch)
	dst = append(dst, byte(r.Kind), flags)
	dst = binary.AppendUvarint(dst, s.boot)
	if s.hasBoot {
		dst = append(dst, r.Stamp.Boot[:]...)
	}
	dst = binary.AppendVarint(dst, r.Stamp.Mono.Microseconds())
	dst = binary.AppendVarint(dst, r.Stamp.Wall.UnixMicro())
	if flags&flagTime != 0 {
		dst = binary.AppendVarint(dst, r.Time.UnixMicro())
	}
	dst = appendRaw(dst, r.Device)
	dst = appendRaw(dst, r.Channel)
	dst = appendRaw(dst, r.Value)
	if more {
		dst = appendRaw(dst, r.Topic)
		dst = appendRaw(dst, r.Origin)
		dst = appendRaw(dst, r.Uplink)
		var lost []byte
		if r.Lost != nil {
			var err error
			if lost, err = json.Marshal(r.Lost); err != nil {
				return nil, fmt.Errorf("gap: %w", err)
			}
		}
		dst = appendRaw(dst, lost)
	}
	return dst, nil
}

// decodeRecord reads the body of a record's blob. The result holds no memory
// of body. Stamp.Boot is filled in only if the record holds it itself.
func decodeRecord(body []byte) (stored, error) {
	f := fields{b: body}
	var s stored
	r := &s.Record
	r.Seq = f.uint()
	s.epoch = f.uint()
	r.Kind = gateway.Kind(f.byte())
	flags := f.byte()
	s.boot = f.uint()
	if s.hasBoot = flags&flagBoot != 0; s.hasBoot {
		f.fixed(r.Stamp.Boot[:])
	}
	mono := f.int()
	if max := int64(1<<63-1) / 1000; mono > max || mono < -max {
		return s, errors.New("time since boot out of range")
	}
	r.Stamp.Mono = time.Duration(mono) * time.Microsecond
	r.Stamp.Wall = time.UnixMicro(f.int()).UTC()
	r.Stamp.Quality = gateway.ClockQuality(flags & flagQuality >> shiftQuality)
	if flags&flagTime != 0 {
		r.Time = time.UnixMicro(f.int()).UTC()
	}
	r.Device = f.string()
	r.Channel = f.string()
	if v := f.raw(); len(v) > 0 {
		r.Value = append(json.RawMessage(nil), v...)
	}
	r.QoS = flags & flagQoS >> shiftQoS
	r.Retain = flags&flagRetain != 0
	if flags&flagMore != 0 {
		r.Topic = f.string()
		r.Origin = f.string()
		r.Uplink = f.string()
		if lost := f.raw(); len(lost) > 0 {
			r.Lost = new(gateway.Lost)
			if err := json.Unmarshal(lost, r.Lost); err != nil {
				return s, fmt.Errorf("gap: %w", err)
			}
		}
	}
	if r.Seq == 0 && f.err == nil {
		return s, errors.New("sequence 0")
	}
	return s, f.end()
}

// recordSize is about how many bytes a record takes, in memory and as encoded;
// it takes at most that many as encoded.
func recordSize(r *gateway.Record) int64 {
	n := int64(160)
	for _, l := range []int{len(r.Device), len(r.Channel), len(r.Topic), len(r.Value), len(r.Origin), len(r.Uplink)} {
		n += int64(l)
	}
	if r.Lost != nil {
		n += 256
		for k := range r.Lost.Counts {
			n += int64(6*len(k)) + 32 // as JSON escapes it
		}
	}
	return n
}

// entrySize is the memory that an entry holds until it is on disk.
func entrySize(e *gateway.Entry) int64 {
	n := int64(128)
	for i := range e.Records {
		n += recordSize(&e.Records[i])
	}
	return n
}
