package frame

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"sync"
)

const blockLen = aes.BlockSize

type block [blockLen]byte

// xor adds b, up to 16 bytes.
func (x *block) xor(b []byte) { subtle.XORBytes(x[:len(b)], x[:len(b)], b) }

// double multiplies by x in GF(2^128), which makes CMAC's subkeys (RFC 4493
// section 2.3).
func (x *block) double() {
	hi, lo := binary.BigEndian.Uint64(x[:8]), binary.BigEndian.Uint64(x[8:])
	carry := hi >> 63
	binary.BigEndian.PutUint64(x[:8], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(x[8:], lo<<1^carry*0x87)
}

// scratch is the room that one frame needs. Blocks go to the cipher through an
// interface, which would put each on the heap, so they are kept for the next one.
type scratch struct {
	state, last, sub block
	n                int // bytes in last
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) free() {
	*s = scratch{}
	scratches.Put(s)
}

func newCipher(k *Key) cipher.Block {
	c, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // a key has 16 bytes
	}
	return c
}

// write goes on with the AES-CMAC of what was written.
func (s *scratch) write(c cipher.Block, b []byte) {
	for len(b) > 0 {
		if s.n == blockLen { // not the last one, so it takes no subkey
			s.state.xor(s.last[:])
			c.Encrypt(s.state[:], s.state[:])
			s.n = 0
		}
		n := copy(s.last[s.n:], b)
		s.n += n
		b = b[n:]
	}
}

// sum gives the AES-CMAC of all that was written (RFC 4493 section 2.4). The
// scratch is used up.
func (s *scratch) sum(c cipher.Block) block {
	c.Encrypt(s.sub[:], s.sub[:]) // of zeros
	s.sub.double()
	if s.n < blockLen {
		s.sub.double()
		s.last[s.n] = 0x80
		clear(s.last[s.n+1:])
	}
	s.state.xor(s.last[:])
	s.state.xor(s.sub[:])
	c.Encrypt(s.state[:], s.state[:])
	return s.state
}

// cmac is AES-CMAC of head and then b, cut to the four bytes that a frame has.
func cmac(k *Key, head, b []byte) [micLen]byte {
	c, s := newCipher(k), scratches.Get().(*scratch)
	defer s.free()
	s.write(c, head)
	s.write(c, b)
	sum := s.sum(c)
	return [micLen]byte(sum[:micLen])
}

// same compares MICs in constant time.
func same(a [micLen]byte, b []byte) bool { return subtle.ConstantTimeCompare(a[:], b) == 1 }

// Values of the byte Dir in the blocks below.
const (
	dirUp   = 0
	dirDown = 1
)

// head is the block B0 of a MIC, or A_i of the encryption, which differ in their
// first and last byte (LoRaWAN 1.0.3 sections 4.3.3 and 4.4).
func (x *block) head(first, dir byte, a DevAddr, fcnt uint32, last byte) {
	*x = block{0: first, 5: dir, 15: last}
	binary.LittleEndian.PutUint32(x[6:], uint32(a))
	binary.LittleEndian.PutUint32(x[10:], fcnt)
}

// dataMIC is the MIC of a data frame, msg being all in front of it.
func dataMIC(k *Key, dir byte, a DevAddr, fcnt uint32, msg []byte) [micLen]byte {
	c, s := newCipher(k), scratches.Get().(*scratch)
	defer s.free()
	s.last.head(0x49, dir, a, fcnt, byte(len(msg)))
	s.n = blockLen
	s.write(c, msg)
	sum := s.sum(c)
	return [micLen]byte(sum[:micLen])
}

// crypt encrypts or decrypts the payload b in place.
func crypt(k *Key, dir byte, a DevAddr, fcnt uint32, b []byte) {
	if len(b) == 0 {
		return
	}
	c, s := newCipher(k), scratches.Get().(*scratch)
	defer s.free()
	for i := byte(1); len(b) > 0; i++ {
		s.last.head(0x01, dir, a, fcnt, i)
		c.Encrypt(s.state[:], s.last[:])
		n := subtle.XORBytes(b, b, s.state[:])
		b = b[n:]
	}
}

// SessionKeys derives the keys of a session from the AppKey (LoRaWAN 1.0.3
// section 6.2.5). JoinNonce and netID have 24 bits.
func SessionKeys(app Key, joinNonce, netID uint32, devNonce uint16) (nwkSKey, appSKey Key) {
	c, s := newCipher(&app), scratches.Get().(*scratch)
	defer s.free()
	for i, k := range []*Key{&nwkSKey, &appSKey} {
		s.last = block{0: byte(i + 1)}
		putUint24(s.last[1:], joinNonce)
		putUint24(s.last[4:], netID)
		binary.LittleEndian.PutUint16(s.last[7:], devNonce)
		c.Encrypt(s.state[:], s.last[:])
		*k = Key(s.state)
	}
	return nwkSKey, appSKey
}

func putUint24(b []byte, n uint32) { b[0], b[1], b[2] = byte(n), byte(n>>8), byte(n>>16) }

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }
