package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a single value.
const (
	MaxValue = 64 << 10 // bytes of JSON text
	MaxDepth = 32       // nesting of arrays and objects
)

// CheckValue says why raw is not one JSON value that can be recorded: it must
// be UTF-8 JSON of at most MaxValue bytes, nested at most MaxDepth deep, each
// number within the range of a double. The error wraps ErrTooLarge,
// ErrTooDeep, ErrBadNumber or ErrBadPayload.
func CheckValue(raw []byte) error {
	if len(raw) > MaxValue {
		return fmt.Errorf("%w: value of %d bytes, at most %d", ErrTooLarge, len(raw), MaxValue)
	}
	return CheckJSON(raw)
}

// CheckJSON is CheckValue without the limit on size.
func CheckJSON(raw []byte) error {
	if plainNumber(raw) {
		return nil
	}
	if !utf8.Valid(raw) {
		return fmt.Errorf("%w: not UTF-8", ErrBadPayload)
	}
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ { // bounds the depth before the decoder recurses
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("%w: more than %d levels", ErrTooDeep, MaxDepth)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	if !json.Valid(raw) {
		return ErrBadPayload
	}
	if !bytes.ContainsAny(raw, "0123456789") {
		return nil
	}
	for i := 0; i < len(raw); i++ { // valid JSON: a digit outside a string begins or continues a number
		switch c := raw[i]; {
		case c == '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case c >= '0' && c <= '9':
			j := i + 1
			for j < len(raw) && strings.IndexByte("0123456789.eE+-", raw[j]) >= 0 {
				j++
			}
			if err := checkNumber(raw[i:j]); err != nil {
				return err
			}
			i = j - 1
		}
	}
	return nil
}

// plainNumber says that raw is a short number without exponent (RFC 8259 section
// 6), which is what most readings are: they need no parser.
func plainNumber(raw []byte) bool {
	if len(raw) > 40 {
		return false
	}
	if len(raw) > 0 && raw[0] == '-' {
		raw = raw[1:]
	}
	whole := digits(raw)
	rest := raw[whole:]
	if whole == 0 || whole > 1 && raw[0] == '0' {
		return false
	}
	if len(rest) > 0 && rest[0] == '.' {
		fraction := digits(rest[1:])
		if fraction == 0 {
			return false
		}
		rest = rest[1+fraction:]
	}
	return len(rest) == 0
}

// digits counts those that raw begins with.
func digits(raw []byte) int {
	for i, c := range raw {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(raw)
}

func checkNumber(raw []byte) error {
	if len(raw) < 300 && !bytes.ContainsAny(raw, "eE") {
		return nil // cannot reach 1e308
	}
	s := string(raw)
	if f, err := strconv.ParseFloat(s, 64); err != nil || math.IsInf(f, 0) {
		return fmt.Errorf("%w: %.40s", ErrBadNumber, s)
	}
	return nil
}
