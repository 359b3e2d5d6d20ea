package broker

import (
	"io"
)

// Sizes of a source's buffer, in bytes.
const (
	leastSource = 512
	mostSource  = 16 << 10
	calmReads   = 16 // small reads in a row after which the buffer is small again
)

// source buffers what is read from a socket, as bufio.Reader does, with a buffer
// that is small for those who send little, and grows for those who send much.
type source struct {
	raw  io.Reader
	buf  []byte
	rest []byte // of buf, not taken yet
	full bool   // the last read filled the buffer
	calm int    // small reads in a row
}

// fill reads once. At the end of the stream it returns the error.
func (s *source) fill() error {
	switch {
	case s.buf == nil, s.calm >= calmReads && len(s.buf) > leastSource:
		s.buf, s.calm = make([]byte, leastSource), 0
	case s.full && len(s.buf) < mostSource:
		s.buf = make([]byte, min(mostSource, 4*len(s.buf)))
	}
	n, err := s.raw.Read(s.buf)
	s.rest, s.full = s.buf[:n], n == len(s.buf)
	if s.calm++; n > leastSource {
		s.calm = 0
	}
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// ReadByte implements io.ByteReader.
func (s *source) ReadByte() (byte, error) {
	if len(s.rest) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return b, nil
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		if len(p) >= mostSource {
			return s.raw.Read(p)
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// Discard skips n bytes, and says how many it has skipped if there are fewer.
func (s *source) Discard(n int) (done int, err error) {
	for done < n {
		if len(s.rest) == 0 {
			if err := s.fill(); err != nil {
				return done, err
			}
		}
		k := min(n-done, len(s.rest))
		s.rest = s.rest[k:]
		done += k
	}
	return done, nil
}
