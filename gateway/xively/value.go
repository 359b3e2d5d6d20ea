package xively

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode"

	"fieldgate/gateway"
)

// Text is the text of a recorded JSON value as the API shows it: a string's
// content, the literal text of anything else, "" for null.
func Text(value json.RawMessage) string {
	raw := bytes.TrimSpace(value)
	if len(raw) < 2 || raw[0] != '"' {
		if string(raw) == "null" {
			return ""
		}
		return string(raw)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return string(raw)
	}
	return s
}

// Value is how a text of the API is recorded: as the number that it is if it
// is one in JSON and within the range of a double, in that very text, else as a
// string. Text gives the same text back.
func Value(text string) json.RawMessage {
	if numberText(text) {
		return json.RawMessage(text)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil { // no string is refused
		return json.RawMessage(`""`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// numberText reports whether s is, as it stands, a number of JSON (RFC 8259
// section 6) that a double can hold.
func numberText(s string) bool {
	digits := func(i int) int {
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i
	}
	start := 0
	if strings.HasPrefix(s, "-") {
		start = 1
	}
	i := digits(start)
	if i == start || s[start] == '0' && i > start+1 {
		return false
	}
	if i < len(s) && s[i] == '.' {
		j := digits(i + 1)
		if j == i+1 {
			return false
		}
		i = j
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		j := digits(i)
		if j == i {
			return false
		}
		i = j
	}
	if i != len(s) {
		return false
	}
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && !math.IsInf(f, 0)
}

// decimal reads a number as people write it: "+5", ".5" and "007" too, but no
// words and no hexadecimal digits.
func decimal(s string) (float64, bool) {
	if s == "" || len(s) > MaxValue || strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789+-.eE", r) }) {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// Extreme is how the API writes a minimum or maximum: the shortest decimal,
// with at least one digit after the point ("333.0"). Below 0.0001 and from 1e16
// on it has an exponent ("1.0e+20"), as Ruby, in which the API was written,
// puts it. It is "" for what is no number.
func Extreme(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return ""
	}
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e16) {
		s := strconv.FormatFloat(x, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "e")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return mantissa + "e" + exponent
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// plusInSensor stands for '+' in the id of a sensor.
const plusInSensor = "%2B"

// SensorID is the id of the sensor behind a datastream: the same but for '+',
// which no MQTT topic can hold and which stands there as "%2B".
func SensorID(datastream string) string {
	return strings.ReplaceAll(datastream, "+", plusInSensor)
}

// DatastreamID is the inverse of SensorID.
func DatastreamID(sensor string) string {
	return strings.ReplaceAll(sensor, plusInSensor, "+")
}

// ValidDatastreamID reports whether a datastream of this id can be made: it has
// letters of any script, digits, '_', '+', '.' and '-', and makes a sensor's id
// of at most gateway.MaxID bytes.
func ValidDatastreamID(id string) bool {
	for _, r := range id {
		if !unicode.IsLetter(r) && (r < '0' || r > '9') && !strings.ContainsRune("_+.-", r) {
			return false
		}
	}
	return gateway.CheckID(SensorID(id)) == nil
}
