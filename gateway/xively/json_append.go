package xively

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Documents are written without reflection, since each update of a feed is
// written anew for each format that somebody reads.

// appendMember starts a member of the object that b ends in.
func appendMember(b []byte, name string) []byte {
	b = appendComma(b)
	b = append(b, '"')
	b = append(b, name...) // names of the API need no escapes
	return append(b, '"', ':')
}

// appendComma separates what follows from what stands before it in the same
// object or array.
func appendComma(b []byte) []byte {
	if c := b[len(b)-1]; c != '{' && c != '[' {
		b = append(b, ',')
	}
	return b
}

// appendText writes a member that is left out if it is empty.
func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(appendMember(b, name), value)
}

// appendTexts writes an array that is left out if it is empty.
func appendTexts(b []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	return appendStrings(appendMember(b, name), values)
}

func appendStrings(b []byte, values []string) []byte {
	b = append(b, '[')
	for _, v := range values {
		b = appendString(appendComma(b), v)
	}
	return append(b, ']')
}

// appendTimeMember writes a time that is left out if it is zero.
func appendTimeMember(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(appendMember(b, name), '"')
	return append(AppendTime(b, t), '"')
}

// appendSecondsMember is appendTimeMember in whole seconds.
func appendSecondsMember(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(appendMember(b, name), '"')
	return append(t.AppendFormat(b, "2006-01-02T15:04:05Z07:00"), '"')
}

// appendFloatMember writes a number that is left out if JSON has none for it.
func appendFloatMember(b []byte, name string, x float64) []byte {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return b
	}
	b = appendMember(b, name)
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e21) { // else it is up to 300 digits
		return strconv.AppendFloat(b, x, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, x, 'f', -1, 64)
}

func appendUintMember(b []byte, name string, n uint64) []byte {
	return strconv.AppendUint(appendMember(b, name), n, 10)
}

func appendIntMember(b []byte, name string, n int) []byte {
	return strconv.AppendInt(appendMember(b, name), int64(n), 10)
}

func appendBoolMember(b []byte, name string, yes bool) []byte {
	return strconv.AppendBool(appendMember(b, name), yes)
}

// appendString writes s in quotes. What is not UTF-8 becomes U+FFFD; U+2028 and
// U+2029 are escaped, since they end a line in JavaScript.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0 // of what has not been copied yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size, escape := 1, true
		if c >= utf8.RuneSelf {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			escape = r == '\u2028' || r == '\u2029' || r == utf8.RuneError && size == 1
		}
		if !escape {
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case size == 1:
			b = append(b, `\ufffd`...)
		default:
			b = append(b, `\u202`...)
			b = append(b, hex[s[i+2]&15])
		}
		i += size
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
