package waziup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"unicode/utf8"

	"fieldgate/gateway"
)

// checkShape says why payload is not JSON that can be taken apart. Around the
// values, which gateway.CheckValue looks at, it allows some levels more.
func checkShape(payload []byte, around int) error {
	if !utf8.Valid(payload) {
		return fmt.Errorf("%w: not UTF-8", gateway.ErrBadPayload)
	}
	depth, inString := 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > gateway.MaxDepth+around {
				return fmt.Errorf("%w: more than %d levels", gateway.ErrTooDeep, gateway.MaxDepth)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	if !json.Valid(payload) {
		return gateway.ErrBadPayload
	}
	return nil
}

func trim(raw []byte) []byte { return bytes.Trim(raw, " \t\r\n") }

// members goes through the members of a valid JSON object, in the order and
// with the names (compared by letter case, unlike encoding/json does) and texts
// that it has.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		i := space(object, 1)
		for object[i] == '"' {
			end := skip(object, i)
			key := object[i+1 : end-1]
			if bytes.IndexByte(key, '\\') >= 0 {
				var s string
				_ = json.Unmarshal(object[i:end], &s)
				key = []byte(s)
			}
			i = space(object, end)
			i = space(object, i+1) // past the colon
			end = skip(object, i)
			if !yield(string(key), object[i:end:end]) {
				return
			}
			i = next(object, end)
		}
	}
}

// elements goes through the elements of a valid JSON array.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := space(array, 1); array[i] != ']'; {
			end := skip(array, i)
			if !yield(array[i:end:end]) {
				return
			}
			i = next(array, end)
		}
	}
}

// next gives the start of what follows after an element that ends at i: another
// one behind a comma, or the closing bracket.
func next(raw []byte, i int) int {
	if i = space(raw, i); raw[i] == ',' {
		i = space(raw, i+1)
	}
	return i
}

// space gives the index of the first byte from i on that is no white space.
func space(raw []byte, i int) int {
	for raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\r' || raw[i] == '\n' {
		i++
	}
	return i
}

// ends reports whether c cannot be part of a number, true, false or null.
func ends(c byte) bool {
	switch c {
	case ',', ':', ']', '}', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// skip gives the end of the JSON value that starts at i.
func skip(raw []byte, i int) int {
	depth := 0
	for {
		switch raw[i] {
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
			continue
		default: // number, true, false, null
			for i < len(raw) && !ends(raw[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}
