package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Everything this package puts into a file is wrapped in a blob that can be
// told from any other bytes wherever it lies, so that it can be found again
// when nothing around it is left:
//
//	0      magic 0xFD, which occurs in no UTF-8 text
//	1      type; its upper half is the version of the format, 1
//	2-5    CRC-32C (Castagnoli) of everything else, little-endian
//	6-9    id of the file: a random number, so that bytes that somebody
//	       publishes as a payload are never taken for a blob of this file
//	10-    length of the body as a varint, then the body
const (
	blobMagic  = 0xFD
	blobHeader = 10

	blobRecord  = 0x11
	blobState   = 0x12
	blobCursor  = 0x13
	blobBoot    = 0x14
	blobSegment = 0x15
	blobPair    = 0x16
	blobTables  = 0x17
	blobColumn  = 0x18 // derived from records, as the following are: salvage takes none
	blobShard   = 0x19
	blobColumns = 0x1A
	blobMarks   = 0x1B
	blobJournal = 0x1C // in a journal only
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errNoBlob  = errors.New("not a blob")
	errBlobCRC = errors.New("checksum does not match")
	errBlobID  = errors.New("blob of another file")
	errShort   = errors.New("ends too early")
)

// appendBlob wraps body and appends it to dst.
func appendBlob(dst []byte, typ byte, id uint32, body []byte) []byte {
	start := len(dst)
	dst = append(dst, blobMagic, typ, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, id)
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	dst = append(dst, body...)
	binary.LittleEndian.PutUint32(dst[start+2:], blobSum(dst[start:]))
	return dst
}

func blobSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:2], castagnoli), castagnoli, b[6:])
}

// blob is one that was read. Its body points into what it was read from.
type blob struct {
	typ  byte
	id   uint32
	body []byte
	size int // of the whole

	body0 int // where the body starts
}

// parseBlob reads the blob at the start of b. Bytes may follow it. An id of 0
// accepts that of any file. A body longer than limit is refused.
func parseBlob(b []byte, id uint32, limit int) (blob, error) {
	o, err := measureBlob(b, id, limit)
	if err != nil {
		return o, err
	}
	if len(b) < o.size {
		return o, errShort
	}
	if binary.LittleEndian.Uint32(b[2:]) != blobSum(b[:o.size]) {
		return o, errBlobCRC
	}
	o.body = b[o.body0:o.size:o.size]
	return o, nil
}

// measureBlob reads the header alone: the type, the id and the size.
func measureBlob(b []byte, id uint32, limit int) (blob, error) {
	if len(b) < blobHeader+1 {
		return blob{}, errShort
	}
	if b[0] != blobMagic || b[1]>>4 != 1 {
		return blob{}, errNoBlob
	}
	o := blob{typ: b[1], id: binary.LittleEndian.Uint32(b[6:])}
	if id != 0 && o.id != id {
		return o, errBlobID
	}
	n, w := binary.Uvarint(b[blobHeader:min(len(b), blobHeader+binary.MaxVarintLen64)])
	if w == 0 {
		return o, errShort
	}
	if w < 0 || n > uint64(limit) {
		return o, errNoBlob
	}
	o.body0 = blobHeader + w
	o.size = o.body0 + int(n)
	return o, nil
}

// exactBlob reads a blob that is all of b and has the type wanted.
func exactBlob(b []byte, typ byte, id uint32) ([]byte, error) {
	o, err := parseBlob(b, id, MaxRecord)
	switch {
	case err != nil:
		return nil, err
	case o.size != len(b) || o.typ != typ:
		return nil, errNoBlob
	}
	return o.body, nil
}

// nextMagic is the position of the next byte in b that may start a blob, or
// len(b).
func nextMagic(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], blobMagic)
		if i < 0 {
			return len(b)
		}
		at += i
		if at+1 == len(b) || b[at+1]>>4 == 1 {
			return at
		}
		at++
	}
}

// fields reads a body field by field. After the first mistake everything is
// zero and err says why.
type fields struct {
	b   []byte
	err error
}

func (f *fields) fail() {
	f.err = errShort
	f.b = nil
}

func (f *fields) byte() byte {
	if len(f.b) == 0 {
		f.fail()
		return 0
	}
	c := f.b[0]
	f.b = f.b[1:]
	return c
}

func (f *fields) uint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) int() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.fail()
		return 0
	}
	f.b = f.b[n:]
	return v
}

// raw reads a length and that many bytes; they point into the body.
func (f *fields) raw() []byte {
	n := f.uint()
	if n > uint64(len(f.b)) {
		f.fail()
		return nil
	}
	v := f.b[:n:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) string() string { return string(f.raw()) }

func (f *fields) fixed(dst []byte) {
	if len(f.b) < len(dst) {
		f.fail()
		return
	}
	copy(dst, f.b)
	f.b = f.b[len(dst):]
}

// end says what was wrong, or that something is left over.
func (f *fields) end() error {
	if f.err == nil && len(f.b) > 0 {
		return errors.New("bytes left over")
	}
	return f.err
}

func appendRaw[T ~string | ~[]byte](dst []byte, v T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}
