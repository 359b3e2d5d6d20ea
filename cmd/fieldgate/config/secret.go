package config

import (
	"encoding/json"
	"log/slog"
)

// Secret is a text that no log, error message or print shows. Convert it to
// string where it is used.
type Secret string

const hidden = "(hidden)"

// String hides the secret; "" stays "".
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON hides the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
