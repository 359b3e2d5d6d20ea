package gateway

import (
	"encoding/json"
	"errors"
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

func FuzzCheckValue(f *testing.F) {
	for _, s := range []string{"1", `{"a":[1,2e3,"x\\"]}`, "[[[[", `"\"`, "1e400", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if CheckValue(raw) != nil {
			return
		}
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
	})
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
