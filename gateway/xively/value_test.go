package xively

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"fieldgate/gateway"
)

func TestValue(t *testing.T) {
	for text, want := range map[string]string{
		"25": "25", "-0": "-0", "21.50": "21.50", "1e5": "1e5", "1E-5": "1E-5", "-1.5e+10": "-1.5e+10", "0": "0", "0.0": "0.0",
		"1e400": `"1e400"`, "-1e400": `"-1e400"`, "1e-400": "1e-400",
		"0000017": `"0000017"`, "00": `"00"`, "+5": `"+5"`, ".5": `".5"`, "5.": `"5."`, "1e": `"1e"`, "-": `"-"`, "": `""`, " 1": `" 1"`, "1 ": `"1 "`,
		"NaN": `"NaN"`, "Infinity": `"Infinity"`, "0x10": `"0x10"`, "1_000": `"1_000"`, "true": `"true"`, "null": `"null"`,
		"red car": `"red car"`, `a"b\c`: `"a\"b\\c"`, "<&>": `"<&>"`, "a\nb": `"a\nb"`, "ü": `"ü"`, `{"a":1}`: `"{\"a\":1}"`,
	} {
		if got := string(Value(text)); got != want {
			t.Errorf("%q is recorded as %s, want %s", text, got, want)
		}
		if got := Text(Value(text)); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
}

func TestText(t *testing.T) {
	for raw, want := range map[string]string{
		"21.50": "21.50", `"0000017"`: "0000017", "null": "", "true": "true", "false": "false", `"a\u00fcb\n"`: "aüb\n", `""`: "",
		`{"a": 1}`: `{"a": 1}`, "[1, 2]": "[1, 2]", " 5 ": "5", ` "x" `: "x", "": "", `"`: `"`, `"open`: `"open`,
	} {
		if got := Text(json.RawMessage(raw)); got != want {
			t.Errorf("%s shows as %q, want %q", raw, got, want)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, s := range []string{"25", "0000017", "1e400", "red car", "\"\\u2028<>&", "-0.0e+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		Text(json.RawMessage(text))
		decimal(text)
		raw := Value(text)
		if !utf8.ValidString(text) {
			return
		}
		if got := Text(raw); got != text {
			t.Fatalf("%q comes back as %q", text, got)
		}
		if err := gateway.CheckValue(raw); err != nil && len(raw) <= gateway.MaxValue {
			t.Fatalf("%q makes %s: %v", text, raw, err)
		}
		var f64 float64
		if number := json.Unmarshal([]byte(text), &f64) == nil && strings.TrimSpace(text) == text && text != "null"; number != (raw[0] != '"') {
			t.Fatalf("%q is recorded as %s", text, raw)
		}
	})
}

func TestExtreme(t *testing.T) {
	for want, x := range map[string]float64{
		"333.0": 333, "-32768.0": -32768, "12.5": 12.5, "0.0": 0, "0.1": 0.1, "0.0001": 0.0001, "1.0e-05": 0.00001, "1.5e-05": 0.000015,
		"1000000000000000.0": 1e15, "1.0e+16": 1e16, "-1.0e+20": -1e20, "1.7976931348623157e+308": math.MaxFloat64, "": math.NaN(),
	} {
		if got := Extreme(x); got != want {
			t.Errorf("%v is written as %s, want %s", x, got, want)
		}
	}
	if got := Extreme(math.Inf(-1)); got != "" {
		t.Errorf("infinity is written as %s", got)
	}
}

func TestSensorID(t *testing.T) {
	for stream, sensor := range map[string]string{"a+b": "a%2Bb", "++": "%2B%2B", "deg.true.1": "deg.true.1", "üöä": "üöä", "0": "0"} {
		if got := SensorID(stream); got != sensor {
			t.Errorf("%s: %s, want %s", stream, got, sensor)
		}
		if got := DatastreamID(sensor); got != stream {
			t.Errorf("%s: %s, want %s", sensor, got, stream)
		}
	}
}

func TestValidDatastreamID(t *testing.T) {
	for id, want := range map[string]bool{
		"üöä": true, "deg.true.1": true, "soil-1": true, "a+b": true, "_": true, "温度": true, strings.Repeat("a", 64): true, strings.Repeat("+", 21): true,
		"": false, "red hat": false, "foo*": false, "KYB:FOO": false, "a/b": false, "a%2Bb": false, "a\n": false, "a\xff": false, "٣": false,
		strings.Repeat("a", 65): false, strings.Repeat("ü", 33): false, strings.Repeat("+", 22): false,
	} {
		if got := ValidDatastreamID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
}
