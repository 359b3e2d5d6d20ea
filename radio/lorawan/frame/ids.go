package frame

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
)

// EUI is a 64-bit identifier as it is written, most significant byte first; on
// air it is the other way round.
type EUI [8]byte

// ParseEUI reads 16 hexadecimal digits of either case.
func ParseEUI(s string) (EUI, error) {
	var e EUI
	if len(s) != 2*len(e) {
		return EUI{}, fmt.Errorf("frame: EUI: %w: %.40q, 16 are needed", ErrNotAnID, s)
	}
	if _, err := hex.Decode(e[:], []byte(s)); err != nil {
		return EUI{}, fmt.Errorf("frame: EUI: %w: %.40q", ErrNotAnID, s)
	}
	return e, nil
}

// String is 16 hexadecimal digits in lower case.
func (e EUI) String() string { return hex.EncodeToString(e[:]) }

// MarshalText is String, for JSON and YAML.
func (e EUI) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText is ParseEUI.
func (e *EUI) UnmarshalText(b []byte) (err error) {
	*e, err = ParseEUI(string(b))
	return err
}

// appendLE appends the identifier as it is on air.
func (e EUI) appendLE(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(dst, binary.BigEndian.Uint64(e[:]))
}

// euiLE reads an identifier as it is on air.
func euiLE(b []byte) (e EUI) {
	binary.BigEndian.PutUint64(e[:], binary.LittleEndian.Uint64(b))
	return e
}

// DevAddr is the address of a device within its network.
type DevAddr uint32

// ParseDevAddr reads 8 hexadecimal digits, such as "26011bda".
func ParseDevAddr(s string) (DevAddr, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 8 {
		return 0, fmt.Errorf("frame: DevAddr: %w: %.40q, 8 are needed", ErrNotAnID, s)
	}
	return DevAddr(n), nil
}

// String is 8 hexadecimal digits in lower case.
func (a DevAddr) String() string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(a))
	return hex.EncodeToString(b[:])
}

// MarshalText is String, for JSON and YAML.
func (a DevAddr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is ParseDevAddr.
func (a *DevAddr) UnmarshalText(b []byte) (err error) {
	*a, err = ParseDevAddr(string(b))
	return err
}

// Key is a secret AES-128 key. Whatever prints or encodes one shows "***"; only
// k[:] gives the bytes. Do not print a struct that has keys in fields that are
// not exported: package fmt does not ask those how they want to be shown.
type Key [16]byte

// hidden is what a key looks like.
const hidden = "***"

// ParseKey reads 32 hexadecimal digits of either case. The error, ErrNotAKey,
// does not quote them.
func ParseKey(s string) (Key, error) {
	var k Key
	if len(s) != 2*len(k) {
		return Key{}, fmt.Errorf("frame: key: %w", ErrNotAKey)
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return Key{}, fmt.Errorf("frame: key: %w", ErrNotAKey)
	}
	return k, nil
}

// Zero reports whether k is all zeros, as one that was never set.
func (k Key) Zero() bool { return k == Key{} }

// String is "***".
func (Key) String() string { return hidden }

// GoString is "***".
func (Key) GoString() string { return hidden }

// Format writes "***" for every verb, %x and %d included.
func (Key) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(hidden)) }

// LogValue is "***".
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText is "***", for YAML and the keys of JSON's objects.
func (Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON is "***" in quotes.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// UnmarshalText is ParseKey.
func (k *Key) UnmarshalText(b []byte) (err error) {
	*k, err = ParseKey(string(b))
	return err
}
