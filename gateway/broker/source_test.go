package broker

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// TestSource: whatever pieces the bytes come in, and however they are asked for,
// all come out in order; the buffer grows under load and is small again after it.
func TestSource(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	for name, raw := range map[string]io.Reader{
		"whole": bytes.NewReader(data), "bytes": iotest.OneByteReader(bytes.NewReader(data)), "halves": iotest.HalfReader(bytes.NewReader(data)),
		"error with data": iotest.DataErrReader(bytes.NewReader(data)),
	} {
		s := &source{raw: raw}
		most := 0
		for at := 0; at < len(data); {
			switch rnd.IntN(4) {
			case 0:
				b, err := s.ReadByte()
				if err != nil || b != data[at] {
					t.Fatalf("%s: byte %d: %v", name, at, err)
				}
				at++
			case 1:
				n, err := s.Discard(rnd.IntN(300))
				if at += n; err != nil && at < len(data) {
					t.Fatalf("%s: %v", name, err)
				}
			default:
				p := make([]byte, rnd.IntN(20_000))
				n, err := s.Read(p)
				if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p[:n], data[at:at+n]) {
					t.Fatalf("%s: %d bytes at %d: %v", name, n, at, err)
				}
				at += n
			}
			most = max(most, len(s.buf))
		}
		if _, err := s.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %v", name, err)
		}
		if name == "bytes" && most != leastSource || name == "whole" && most != mostSource {
			t.Errorf("%s: a buffer of up to %d bytes", name, most)
		}
	}
	s := &source{raw: bytes.NewReader(data)}
	for range 100_000 {
		if _, err := s.ReadByte(); err != nil {
			t.Fatal(err)
		}
	}
	grown := len(s.buf)
	s.raw, s.rest = iotest.OneByteReader(bytes.NewReader(data)), nil
	for range 2 * calmReads {
		if _, err := s.ReadByte(); err != nil {
			t.Fatal(err)
		}
	}
	if grown != mostSource || len(s.buf) != leastSource {
		t.Errorf("from %d to %d bytes", grown, len(s.buf))
	}
}
