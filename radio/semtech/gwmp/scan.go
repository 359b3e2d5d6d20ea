package gwmp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// ErrJSON is wrapped by errors about what is no JSON, ErrField by those about a
// field that has a wrong type or value.
var (
	ErrJSON  = errors.New("not JSON")
	ErrField = errors.New("wrong field")
)

const maxDepth = 16 // objects and arrays inside one another

type kind uint8

const (
	null kind = iota // also the nan and inf that C's printf makes
	boolean
	number
	text
	array
	object
)

// value is one JSON value as it stands in the datagram. encoding/json takes about
// four times as long and cannot go on behind a field of a wrong type.
type value struct {
	kind    kind
	raw     []byte // of a text without its quotation marks
	escaped bool   // the text has escapes
}

// scanner reads JSON values one after the other.
type scanner struct {
	b []byte
	i int
}

func (s *scanner) wrong(what string) error {
	return fmt.Errorf("gwmp: %w: byte %d: %s", ErrJSON, s.i, what)
}

// peek skips white space and gives the byte behind it, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// end checks that nothing follows but white space and zero bytes.
func (s *scanner) end() error {
	if len(bytes.Trim(s.b[s.i:], " \t\r\n\x00")) > 0 {
		return s.wrong("more behind the document")
	}
	return nil
}

// value reads one value with all that is in it.
func (s *scanner) value(depth int) (value, error) {
	if depth > maxDepth {
		return value{}, s.wrong("nested too deeply")
	}
	c, start := s.peek(), s.i
	switch {
	case c == '"':
		return s.text()
	case c == '{':
		err := s.members(func([]byte) error { _, err := s.value(depth + 1); return err })
		return value{kind: object, raw: s.b[start:s.i]}, err
	case c == '[':
		err := s.elements(func() error { _, err := s.value(depth + 1); return err })
		return value{kind: array, raw: s.b[start:s.i]}, err
	}
	for s.i < len(s.b) && literal(s.b[s.i]) {
		s.i++
	}
	raw := s.b[start:s.i]
	switch string(raw) {
	case "true", "false":
		return value{kind: boolean, raw: raw}, nil
	case "null", "nan", "-nan", "inf", "-inf", "NaN", "Infinity", "-Infinity":
		return value{kind: null, raw: raw}, nil
	}
	if len(raw) == 0 || c != '-' && (c < '0' || c > '9') {
		return value{}, s.wrong("a value is expected")
	}
	return value{kind: number, raw: raw}, nil
}

// literal reports whether c may be part of a number or of a word.
func literal(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

func (s *scanner) text() (value, error) {
	s.i++
	v := value{kind: text}
	for start := s.i; s.i < len(s.b); s.i++ {
		switch s.b[s.i] {
		case '"':
			v.raw = s.b[start:s.i]
			s.i++
			return v, nil
		case '\\':
			v.escaped = true
			s.i++
		}
	}
	s.i = len(s.b)
	return v, s.wrong("a text without an end")
}

// members calls fn for each member of the object that begins here, behind its
// colon; fn reads the value.
func (s *scanner) members(fn func(name []byte) error) error {
	if s.peek() != '{' {
		return s.wrong("an object is expected")
	}
	s.i++
	if s.peek() == '}' {
		s.i++
		return nil
	}
	for {
		if s.peek() != '"' {
			return s.wrong("a name is expected")
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if s.peek() != ':' {
			return s.wrong("a colon is expected")
		}
		s.i++
		if err := fn(name.raw); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return nil
		default:
			return s.wrong("a comma or } is expected")
		}
	}
}

// elements calls fn for each element of the array that begins here; fn reads it.
func (s *scanner) elements(fn func() error) error {
	if s.peek() != '[' {
		return s.wrong("an array is expected")
	}
	s.i++
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := fn(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return nil
		default:
			return s.wrong("a comma or ] is expected")
		}
	}
}

// text gives the content of a text.
func (v value) text() ([]byte, error) {
	if v.kind != text {
		return nil, errors.New("a text is expected")
	}
	if !v.escaped {
		return v.raw, nil
	}
	var s string
	if err := json.Unmarshal(append(append([]byte{'"'}, v.raw...), '"'), &s); err != nil {
		return nil, errors.New("a wrong escape")
	}
	return []byte(s), nil
}

// float gives a number, which may stand in a text.
func (v value) float() (float64, error) {
	if v.kind != number && (v.kind != text || len(v.raw) > 32) {
		return 0, errors.New("a number is expected")
	}
	f, err := strconv.ParseFloat(string(v.raw), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errors.New("a number is expected")
	}
	return f, nil
}

// integer gives a number rounded, which must lie within low and high.
func (v value) integer(low, high float64) (int64, error) {
	f, err := v.float()
	if err != nil {
		return 0, err
	}
	if f = math.Round(f); f < low || f > high {
		return 0, fmt.Errorf("%v is expected to be in %.0f to %.0f", f, low, high)
	}
	return int64(f), nil
}

// truth gives a boolean, which may stand as a number.
func (v value) truth() (bool, error) {
	switch string(v.raw) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errors.New("true or false is expected")
}

// absent reports whether the value says no more than that there is none.
func (v value) absent() bool { return v.kind == null || v.kind == text && len(v.raw) == 0 }
