package lorawan

import "encoding/binary"

// reader takes a record apart; bad says that it was too short.
type reader struct {
	b   []byte
	bad bool
}

// zeros stand for what a record lacks.
var zeros [16]byte

// take gives the next n bytes, at most 16.
func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return zeros[:n]
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) text() string {
	n := int(r.uint16())
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// append stores the oldest uplink first.
func (h *history) append(b []byte) []byte {
	b = append(b, h.n)
	for i := range h.n {
		at := (h.next + historyLen - h.n + i) % historyLen
		b = binary.BigEndian.AppendUint16(append(b, byte(h.snr[at])), h.fcnt[at])
	}
	return b
}

func (r *reader) history() (h history) {
	for range r.byte() {
		snr := int8(r.byte())
		h.add(r.uint16(), float32(snr)/4)
	}
	return h
}

// done is errRecord unless the record was read to its end and no further.
func (r *reader) done() error {
	if r.bad || len(r.b) > 0 {
		return errRecord
	}
	return nil
}

// appendText appends up to 64 KiB with their length.
func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 1<<16-1)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
