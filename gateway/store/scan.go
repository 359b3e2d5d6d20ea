package store

import (
	"errors"
	"io"
)

// scanner finds blobs in a file by their magic and checksum alone, whatever
// became of the pages around them. What the disk cannot read is passed over.
type scanner struct {
	r    io.ReaderAt
	size int64
	id   uint32 // of the file; 0: any
	most int    // longest body

	buf        []byte
	at         int64 // of buf in the file
	unreadable int64 // bytes
}

const scanWindow = 256 << 10

// window gives the bytes from off on: as many as there are, at least need
// unless the file ends before.
func (s *scanner) window(off int64, need int) []byte {
	if have := s.at + int64(len(s.buf)) - off; off >= s.at && have > 0 &&
		(have >= int64(need) || off+have == s.size) {
		return s.buf[off-s.at:]
	}
	n := min(int64(max(need, scanWindow)), s.size-off)
	if int64(cap(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	s.buf, s.at = s.buf[:n], off
	if _, err := s.r.ReadAt(s.buf, off); err == nil || errors.Is(err, io.EOF) {
		return s.buf
	}
	const step = 512
	for i := int64(0); i < n; i += step { // find out what can be read of it
		part := s.buf[i:min(i+step, n)]
		if _, err := s.r.ReadAt(part, off+i); err != nil && !errors.Is(err, io.EOF) {
			clear(part)
			s.unreadable += int64(len(part))
		}
	}
	return s.buf
}

// each calls fn with every whole blob between from and to, until it returns
// false. The blob's body is valid during the call only.
func (s *scanner) each(from, to int64, fn func(off int64, b blob) bool) {
	for off := from; off < to; {
		b := s.window(off, blobHeader+16)
		if i := nextMagic(b); i > 0 {
			off += int64(i)
			continue
		}
		o, err := measureBlob(b, s.id, s.most)
		if err == nil {
			o, err = parseBlob(s.window(off, o.size), s.id, s.most)
		}
		if err != nil {
			off++
			continue
		}
		if !fn(off, o) {
			return
		}
		off += int64(o.size)
	}
}

// vote finds out the id that most blobs of the file carry; 0 if there is none.
func (s *scanner) vote() uint32 {
	votes := map[uint32]int{}
	n := 0
	s.most = 16 << 10
	s.each(0, s.size, func(_ int64, b blob) bool {
		votes[b.id]++
		n++
		return n < 10_000
	})
	s.most = MaxRecord
	best := uint32(0)
	for id, v := range votes {
		if v > votes[best] {
			best = id
		}
	}
	return best
}
