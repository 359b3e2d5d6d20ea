package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
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
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %v", ErrBadPayload, err)
		}
		if n, ok := tok.(json.Number); ok {
			if err := checkNumber(string(n)); err != nil {
				return err
			}
		}
	}
}

func checkNumber(s string) error {
	if len(s) < 300 && !strings.ContainsAny(s, "eE") {
		return nil // cannot reach 1e308
	}
	if f, err := strconv.ParseFloat(s, 64); err != nil || math.IsInf(f, 0) {
		return fmt.Errorf("%w: %.40s", ErrBadNumber, s)
	}
	return nil
}
