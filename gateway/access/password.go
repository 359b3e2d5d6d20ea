package access

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Lengths of a password, in bytes. A shorter one than GoodPassword deserves a
// warning where it is set; who sets it may have no choice: some field devices
// cannot send more.
const (
	GoodPassword = 8
	MaxPassword  = 1024
)

// What HashPassword uses: the second choice of the OWASP Password Storage
// Cheat Sheet, which fits a board with 512 MiB of memory.
const (
	hashMemory  = 19456 // KiB
	hashPasses  = 2
	hashThreads = 1
	saltBytes   = 16
	hashBytes   = 32
)

// What a configured hash may ask for.
const (
	maxMemory  = 256 << 10 // KiB
	maxPasses  = 16
	maxThreads = 16
)

// Why a password or a hash is refused where it is set.
var (
	ErrBadHash         = errors.New("access: not an argon2id hash")
	ErrPasswordEmpty   = errors.New("access: password is empty")
	ErrPasswordTooLong = fmt.Errorf("access: password has more than %d bytes", MaxPassword)
)

// argonHash is a parsed argon2id hash (RFC 9106).
type argonHash struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
	salt    []byte
	sum     []byte
}

// HashPassword gives the argon2id hash of password in PHC string form,
// "$argon2id$v=19$m=19456,t=2,p=1$salt$hash", with a salt from rand. The error
// is ErrPasswordEmpty, ErrPasswordTooLong or that of rand.
func HashPassword(password []byte, rand io.Reader) (string, error) {
	switch {
	case len(password) == 0:
		return "", ErrPasswordEmpty
	case len(password) > MaxPassword:
		return "", ErrPasswordTooLong
	}
	h := argonHash{memory: hashMemory, passes: hashPasses, threads: hashThreads, salt: make([]byte, saltBytes)}
	if _, err := io.ReadFull(rand, h.salt); err != nil {
		return "", fmt.Errorf("access: salt: %w", err)
	}
	h.sum = h.compute(password, hashBytes)
	return h.String(), nil
}

// CheckHash says why phc is not a hash that passwords can be checked against:
// the PHC string form of argon2id version 19, with a salt of 8 to 64 bytes, a
// hash of 16 to 64 bytes, at most 256 MiB, 16 passes and 16 lanes. The error
// wraps ErrBadHash.
func CheckHash(phc string) error {
	_, err := parseHash(phc)
	return err
}

func parseHash(phc string) (argonHash, error) {
	bad := func(what string) (argonHash, error) {
		return argonHash{}, fmt.Errorf("%w: %s", ErrBadHash, what)
	}
	if len(phc) > 512 || strings.ContainsAny(phc, "\r\n") { // base64 would skip line ends
		return bad("too long, or more than one line")
	}
	f := strings.Split(phc, "$")
	if len(f) != 6 || f[0] != "" {
		return bad("want $argon2id$v=19$m=...,t=...,p=...$salt$hash")
	}
	if f[1] != "argon2id" {
		return bad("the kind is not argon2id")
	}
	if f[2] != "v=19" {
		return bad("the version is not v=19")
	}
	var h argonHash
	params := strings.Split(f[3], ",")
	if len(params) != 3 {
		return bad("want the parameters m, t and p")
	}
	limits := []struct {
		name     string
		min, max uint64
		set      func(uint64)
	}{
		{"m=", 8, maxMemory, func(v uint64) { h.memory = uint32(v) }},
		{"t=", 1, maxPasses, func(v uint64) { h.passes = uint32(v) }},
		{"p=", 1, maxThreads, func(v uint64) { h.threads = uint8(v) }},
	}
	for i, l := range limits {
		digits, ok := strings.CutPrefix(params[i], l.name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || v < l.min || v > l.max || digits[0] == '0' {
			return bad(fmt.Sprintf("want %s%d to %d", l.name, l.min, l.max))
		}
		l.set(v)
	}
	if h.memory < 8*uint32(h.threads) {
		return bad("less than 8 KiB for each lane") // RFC 9106 section 3.1
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(f[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return bad("the salt is not 8 to 64 bytes in unpadded base64")
	}
	if h.sum, err = base64.RawStdEncoding.Strict().DecodeString(f[5]); err != nil || len(h.sum) < 16 || len(h.sum) > 64 {
		return bad("the hash is not 16 to 64 bytes in unpadded base64")
	}
	return h, nil
}

// String gives the PHC string form.
func (h argonHash) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.memory, h.passes, h.threads, enc.EncodeToString(h.salt), enc.EncodeToString(h.sum))
}

func (h argonHash) compute(password []byte, n int) []byte {
	return argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(n))
}

// matches compares in constant time.
func (h argonHash) matches(password []byte) bool {
	return subtle.ConstantTimeCompare(h.compute(password, len(h.sum)), h.sum) == 1
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
