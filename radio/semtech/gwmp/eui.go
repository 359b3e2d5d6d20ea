package gwmp

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// EUI is the identifier of a forwarder, most significant byte first.
type EUI [8]byte

// ErrEUI is returned for what is no EUI.
var ErrEUI = errors.New("no EUI: 16 hex digits are expected")

// ParseEUI reads 16 hex digits, which may be in pairs with "-" or ":" between them.
func ParseEUI(s string) (EUI, error) {
	var e EUI
	digits := s
	if len(s) == 23 {
		digits = strings.ReplaceAll(s, s[2:3], "")
		if s[2] != '-' && s[2] != ':' {
			digits = ""
		}
	}
	if len(digits) != 16 {
		return e, fmt.Errorf("gwmp: %w: %.40q", ErrEUI, s)
	}
	if _, err := hex.Decode(e[:], []byte(digits)); err != nil {
		return EUI{}, fmt.Errorf("gwmp: %w: %.40q", ErrEUI, s)
	}
	return e, nil
}

// String gives 16 hex digits in lower case.
func (e EUI) String() string { return hex.EncodeToString(e[:]) }
