package waziup

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Datum is one value to be written.
type Datum struct {
	Value json.RawMessage // valid JSON, written as it is
	Time  time.Time       // left away if zero
	ID    string          // identity of the record; left away if ""
	Clock string          // how far Time can be trusted ("unset"); left away if ""
}

// timeFormat is RFC 3339 in UTC with microseconds, always six digits.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// EncodeValue appends the payload of .../value as it goes to a Waziup cloud:
// {"value":25.60,"timestamp":"2026-11-22T10:00:00.123456Z","id":"gw-1/17"}. A
// zero time, an empty id and an empty clock are left away.
func EncodeValue(dst []byte, value json.RawMessage, at time.Time, id, clock string) []byte {
	dst = appendTimed(dst, value, "timestamp", at)
	if id != "" {
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, id)
	}
	if clock != "" {
		dst = append(dst, `,"clock":`...)
		dst = appendString(dst, clock)
	}
	return append(dst, '}')
}

// EncodeValues appends the payload of .../values: an array of what EncodeValue
// writes.
func EncodeValues(dst []byte, data []Datum) []byte {
	dst = append(dst, '[')
	for i, d := range data {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = EncodeValue(dst, d.Value, d.Time, d.ID, d.Clock)
	}
	return append(dst, ']')
}

// EncodeEdgeValue appends one element of the history that the edge's REST
// answers: {"value":25.60,"time":"2026-11-22T10:00:00.123456Z"}.
func EncodeEdgeValue(dst []byte, value json.RawMessage, at time.Time) []byte {
	return append(appendTimed(dst, value, "time", at), '}')
}

// appendTimed begins an object with a value and its time.
func appendTimed(dst []byte, value json.RawMessage, name string, at time.Time) []byte {
	dst = append(dst, `{"value":`...)
	dst = append(dst, value...)
	if !at.IsZero() {
		dst = append(dst, `,"`...)
		dst = append(dst, name...)
		dst = append(dst, `":"`...)
		dst = at.UTC().AppendFormat(dst, timeFormat)
		dst = append(dst, '"')
	}
	return dst
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r) // U+FFFD for what is not UTF-8
		}
	}
	return append(dst, '"')
}
