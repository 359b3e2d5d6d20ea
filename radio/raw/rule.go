package raw

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/radio"
)

// Rule says whose frames are which. Of several rules that a frame fits, the first
// has it. A rule is for frames with a header, by their Source, or for plain
// frames: all that it asks for must hold then, and it must ask for something.
type Rule struct {
	Device string // id
	Source byte   // 2 to 255: address in the header; 0: plain frames
	Radio  string // name of the radio, "" for any
	NoCRC  bool   // take frames that came without a checksum too

	Prefix               []byte         // first bytes
	Strip                bool           // the device's payload begins behind Prefix
	MinLength, MaxLength int            // bytes; 0: any
	Match                *regexp.Regexp // over the frame, which is UTF-8
}

// ErrConfig is wrapped by New for what cannot be served.
var ErrConfig = errors.New("wrong configuration")

// check says what is wrong with a rule.
func (r *Rule) check() error {
	wrong := func(what string) error {
		return fmt.Errorf("raw: %w: rule of device %.64q: %s", ErrConfig, r.Device, what)
	}
	criteria := len(r.Prefix) > 0 || r.MinLength != 0 || r.MaxLength != 0 || r.Match != nil
	if err := gateway.CheckID(r.Device); err != nil {
		return fmt.Errorf("raw: %w: device: %w", ErrConfig, err)
	}
	switch {
	case r.Source == Gateway:
		return wrong("1 is the gateway's own address, nodes have 2 to 255")
	case r.Source != 0 && (criteria || r.Strip):
		return wrong("a source is for frames with a header; prefix, length and match are for those without")
	case r.Source == 0 && !criteria && r.Radio == "":
		return wrong("it takes any frame: give a source, prefix, length, match or radio")
	case r.Strip && len(r.Prefix) == 0:
		return wrong("there is no prefix to strip")
	case r.MinLength < 0 || r.MaxLength < 0 || r.MinLength > radio.MaxPayload || r.MaxLength > radio.MaxPayload:
		return wrong(fmt.Sprintf("lengths are 0 to %d", radio.MaxPayload))
	case r.MaxLength != 0 && r.MaxLength < max(r.MinLength, len(r.Prefix)) || len(r.Prefix) > radio.MaxPayload:
		return wrong("no frame has such a length")
	}
	return nil
}

// plain reports whether a frame without header fits.
func (r *Rule) plain(b []byte) bool {
	return bytes.HasPrefix(b, r.Prefix) && len(b) >= r.MinLength && (r.MaxLength == 0 || len(b) <= r.MaxLength) &&
		(r.Match == nil || utf8.Valid(b) && r.Match.Match(b))
}
