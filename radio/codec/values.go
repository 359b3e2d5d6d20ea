package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"fieldgate/gateway"
)

// Bounds of the codecs of this package, beside those of codec.go.
const (
	maxInput   = 4096 // bytes of an uplink
	maxCommand = 255  // bytes of a command's payload: the longest LoRa frame
	maxDepth   = 16   // arrays and objects in each other
)

// values gathers the values of one uplink within the bounds.
type values struct {
	Decoded
	size int // bytes of names and values
}

// add takes one value; the error wraps ErrPayload.
func (v *values) add(x Value) error {
	if err := gateway.CheckID(x.Name); err != nil {
		return fmt.Errorf("%w: %.70q cannot be the name of a value: %w", ErrPayload, x.Name, err)
	}
	if len(v.Values) == MaxValues {
		return fmt.Errorf("%w: more than %d values", ErrPayload, MaxValues)
	}
	if v.size += len(x.Name) + len(x.Value); v.size > MaxResult {
		return fmt.Errorf("%w: its values are longer than %d bytes", ErrPayload, MaxResult)
	}
	v.Values = append(v.Values, x)
	return nil
}

// warn keeps a warning, up to 16 of them.
func (v *values) warn(format string, args ...any) {
	if len(v.Warnings) < 16 {
		v.Warnings = append(v.Warnings, fmt.Sprintf(format, args...))
	}
}

// short refuses an uplink that no radio can have heard.
func short(u *Uplink) error {
	if len(u.Bytes) > maxInput {
		return fmt.Errorf("%w: %d bytes, the longest is %d", ErrPayload, len(u.Bytes), maxInput)
	}
	return nil
}

// sensible makes a name of what a device calls a value: '/', '+', '#' and control
// characters become '_', and what is longer than gateway.MaxID is cut.
func sensible(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("/+#", r) || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	if len(s) > gateway.MaxID {
		s = s[:gateway.MaxID]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	if s == "" {
		return "_"
	}
	return s
}

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be encoded
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// quoted is s as a JSON string.
func quoted(s string) json.RawMessage { return appendQuoted(nil, s) }

// names lists what a command sets, sorted. The error wraps ErrCommand.
func (c *Command) names() ([]string, error) {
	if len(c.Values) == 0 {
		return nil, fmt.Errorf("%w: it sets nothing", ErrCommand)
	}
	if len(c.Values) > MaxValues {
		return nil, fmt.Errorf("%w: it sets more than %d values", ErrCommand, MaxValues)
	}
	names := make([]string, 0, len(c.Values))
	for name, raw := range c.Values {
		if err := gateway.CheckID(name); err != nil {
			return nil, fmt.Errorf("%w: %.70q cannot be an actuator's name: %w", ErrCommand, name, err)
		}
		if err := checkJSON(raw); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCommand, name, err)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// fits gives b as the payload of a command, unless it is too long.
func fits(b []byte) (Encoded, error) {
	if len(b) > maxCommand {
		return Encoded{}, fmt.Errorf("%w: it makes %d bytes, a frame takes %d", ErrCommand, len(b), maxCommand)
	}
	return Encoded{Bytes: b}, nil
}
