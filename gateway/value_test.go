package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestCheckValue(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"number", "25.60", nil},
		{"negative exponent", "-1e-300", nil},
		{"string", `"0000017"`, nil},
		{"string with brackets", `"` + strings.Repeat("[", 100) + `"`, nil},
		{"string with escaped quote", `"\"[[[["`, nil},
		{"bool", "true", nil},
		{"null", "null", nil},
		{"object", `{"lat":1,"lon":2}`, nil},
		{"array", "[1,2]", nil},
		{"deepest", nest(MaxDepth), nil},
		{"one deeper", nest(MaxDepth + 1), ErrTooDeep},
		{"depth 1,000", nest(1000), ErrTooDeep},
		{"empty", "", ErrBadPayload},
		{"text", "abc", ErrBadPayload},
		{"NaN", "NaN", ErrBadPayload},
		{"Infinity", "-Infinity", ErrBadPayload},
		{"two values", "3 4", ErrBadPayload},
		{"not UTF-8", "\"\xff\"", ErrBadPayload},
		{"double's largest", "1.7976931348623157e308", nil},
		{"too large a number", "1e309", ErrBadNumber},
		{"too large inside", `{"a":[1,-2e999]}`, ErrBadNumber},
		{"long digits", strings.Repeat("9", 400), ErrBadNumber},
		{"large digits in a string", `"1e999"`, nil},
		{"1 MB", `"` + strings.Repeat("x", 1<<20) + `"`, ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckValue([]byte(c.in))
			if !errors.Is(err, c.want) {
				t.Errorf("CheckValue = %v, want %v", err, c.want)
			}
		})
	}
}

// FuzzCheckValue compares with encoding/json: what is accepted is JSON whose
// numbers all fit a double, and of what is refused for a number, one does not.
func FuzzCheckValue(f *testing.F) {
	for _, s := range []string{"1", `{"a":[1,2e3,"x\\"]}`, "[[[[", `"\"`, "1e400", "\xff", `{"1e999":-1e308}`, `[1E+999,"\"1e999"]`,
		`{"a":"\u00e9","b":-0.0e-0}`, strings.Repeat("9", 310)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		err := CheckValue(raw)
		if err != nil && !errors.Is(err, ErrBadNumber) {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is no JSON, but CheckValue says %v", raw, err)
		}
		if fit := numbersFit(raw); fit != (err == nil) {
			t.Fatalf("%q: numbers fit a double: %v, but CheckValue says %v", raw, fit, err)
		}
	})
}

// numbersFit walks valid JSON with the standard decoder.
func numbersFit(raw []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if err != nil {
			return true
		}
		if n, ok := tok.(json.Number); ok {
			if v, err := strconv.ParseFloat(string(n), 64); err != nil || math.IsInf(v, 0) {
				return false
			}
		}
	}
}

func TestCheckID(t *testing.T) {
	for id, ok := range map[string]bool{
		"MyDevice": true, "üöä": true, "a b": true, "deg.true.1": true, strings.Repeat("x", MaxID): true,
		"": false, "a/b": false, "a+": false, "#": false, "a\x00b": false, "a\nb": false, "\xff": false,
		strings.Repeat("x", MaxID+1): false,
	} {
		if err := CheckID(id); (err == nil) != ok || err != nil && !errors.Is(err, ErrBadID) {
			t.Errorf("CheckID(%q) = %v, want ok = %v", id, err, ok)
		}
	}
}

// TestPlainNumber: what needs no parser is JSON, in all short texts of the
// bytes that numbers are made of.
func TestPlainNumber(t *testing.T) {
	var plain int
	var try func(raw []byte)
	try = func(raw []byte) {
		if plainNumber(raw) {
			plain++
			if !json.Valid(raw) {
				t.Errorf("%q", raw)
			}
		} else if json.Valid(raw) && !bytes.ContainsAny(raw, "e ") {
			t.Errorf("%q is a plain number", raw)
		}
		if len(raw) < 6 {
			for _, c := range []byte("0 1.-e") {
				try(append(raw[:len(raw):len(raw)], c))
			}
		}
	}
	try(nil)
	if plain < 100 {
		t.Errorf("%d of all texts are plain numbers", plain)
	}
}
