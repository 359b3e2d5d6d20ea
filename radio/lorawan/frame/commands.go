package frame

import "fmt"

// Command is a MAC command of either direction: one of the structs of this
// package, never a pointer to one.
type Command interface {
	// ID is the CID; a request and its answer have the same.
	ID() byte
	// Uplink reports whether devices send it.
	Uplink() bool
	append(dst []byte) []byte
}

// Command identifiers (LoRaWAN 1.0.3 section 5).
const (
	CIDLinkCheck    = 0x02
	CIDLinkADR      = 0x03
	CIDDutyCycle    = 0x04
	CIDRXParamSetup = 0x05
	CIDDevStatus    = 0x06
	CIDNewChannel   = 0x07
	CIDRXTiming     = 0x08
	CIDTxParamSetup = 0x09
	CIDDlChannel    = 0x0a
	CIDDeviceTime   = 0x0d
)

// layout says how long a command is behind its CID, and reads it from exactly as
// many bytes.
type layout struct {
	len  int
	read func(b []byte) Command
}

// ParseUp reads what a device sends, in FOpts or in plain at FPort 0. A command
// whose length is not known ends it with ErrCommand, one that is cut off with
// ErrLength; those in front of it come with the error.
func ParseUp(b []byte) ([]Command, error) { return parseCommands(b, &upLayouts) }

// ParseDown reads what a network sends; otherwise as ParseUp.
func ParseDown(b []byte) ([]Command, error) { return parseCommands(b, &downLayouts) }

func parseCommands(b []byte, known *[CIDDeviceTime + 1]layout) ([]Command, error) {
	var cs []Command
	for len(b) > 0 {
		id, rest := b[0], b[1:]
		if int(id) >= len(known) || known[id].read == nil {
			return cs, fmt.Errorf("frame: %w: %#02x", ErrCommand, id)
		}
		l := known[id]
		if len(rest) < l.len {
			return cs, fmt.Errorf("frame: %w: MAC command %#02x with %d of %d bytes", ErrLength, id, len(rest), l.len)
		}
		cs = append(cs, l.read(rest[:l.len]))
		b = rest[l.len:]
	}
	return cs, nil
}

// AppendCommands appends commands as they are on air. Values that have more bits
// than their field are cut.
func AppendCommands(dst []byte, cs ...Command) []byte {
	for _, c := range cs {
		dst = c.append(dst)
	}
	return dst
}

// CommandLen is how many bytes AppendCommands makes of c.
func CommandLen(c Command) int {
	if c.Uplink() {
		return 1 + upLayouts[c.ID()].len
	}
	return 1 + downLayouts[c.ID()].len
}

// bits puts flags into a byte, the first as bit 0.
func bits(flags ...bool) (b byte) {
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return b
}

func bit(b byte, n int) bool { return b>>n&1 == 1 }

// appendFrequency appends 24 bits in steps of 100 Hz.
func appendFrequency(dst []byte, hz uint32) []byte {
	n := hz / 100
	return append(dst, byte(n), byte(n>>8), byte(n>>16))
}

func frequency(b []byte) uint32 { return uint24(b) * 100 }
