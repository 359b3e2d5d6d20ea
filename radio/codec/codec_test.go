package codec

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
)

// golden are payloads that codecs read without an error, in hex. A codec that is
// not here is tried with those of all others.
var golden = map[string][]string{}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open gives a codec that is registered.
func open(t testing.TB, name string) Codec {
	t.Helper()
	c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shown writes values as name=value@age, with the words of their sensors in
// brackets; an actuator's name has a '!' before it.
func shown(d Decoded) string {
	var s []string
	for _, v := range d.Values {
		name := v.Name
		if v.Actuator {
			name = "!" + name
		}
		line := name + "=" + string(v.Value)
		if v.Age != 0 {
			line += "@" + v.Age.String()
		}
		s = append(s, line)
	}
	return strings.Join(s, " ")
}

// words writes kind, quantity and unit of the first value.
func words(d Decoded) string {
	return d.Values[0].Kind + "," + d.Values[0].Quantity + "," + d.Values[0].Unit
}

func decode(t testing.TB, name string, b []byte) (Decoded, error) {
	t.Helper()
	d, err := open(t, name).Decode(context.Background(), &Uplink{Bytes: b})
	kept(t, name, b, d, err)
	return d, err
}

// encode makes the payload of a command, given as JSON.
func encode(t testing.TB, name, values string, variables map[string]string) (Encoded, error) {
	t.Helper()
	c := &Command{Variables: variables}
	if err := json.Unmarshal([]byte(values), &c.Values); err != nil {
		t.Fatal(err)
	}
	e, err := open(t, name).Encode(context.Background(), c)
	if err != nil && !errors.Is(err, ErrCommand) {
		t.Errorf("%s: %s: %v wraps no ErrCommand", name, values, err)
	}
	return e, err
}

// kept reports what a decoder must never do, whatever the payload.
func kept(t testing.TB, name string, b []byte, d Decoded, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrPayload) {
		t.Errorf("%s: %x: %v wraps no ErrPayload", name, b, err)
	}
	if err != nil && !utf8.ValidString(err.Error()) {
		t.Errorf("%s: %x: the error is not UTF-8: %q", name, b, err)
	}
	if len(d.Values) > MaxValues {
		t.Errorf("%s: %x: %d values", name, b, len(d.Values))
	}
	size := 0
	for _, v := range d.Values {
		size += len(v.Value)
		if err := gateway.CheckID(v.Name); err != nil {
			t.Errorf("%s: %x: a value is called %q: %v", name, b, v.Name, err)
		}
		if !json.Valid(v.Value) || !utf8.Valid(v.Value) {
			t.Errorf("%s: %x: %s is no JSON: %q", name, b, v.Name, v.Value)
		}
		var x any
		if err := json.Unmarshal(v.Value, &x); err != nil {
			t.Errorf("%s: %x: %s: %v", name, b, v.Name, err)
		}
		if v.Age < 0 {
			t.Errorf("%s: %x: %s is of the future: %v", name, b, v.Name, v.Age)
		}
	}
	if size > MaxResult {
		t.Errorf("%s: %x: %d bytes of values", name, b, size)
	}
	for _, w := range d.Warnings {
		if len(w) > 1000 || !utf8.ValidString(w) {
			t.Errorf("%s: %x: warning %q", name, b, w)
		}
	}
}

// TestAllCodecs gives each codec that is registered all sorts of payloads and
// commands.
func TestAllCodecs(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			payloads := [][]byte{nil, {}}
			for b := range 256 {
				payloads = append(payloads, bytes.Repeat([]byte{byte(b)}, 255), bytes.Repeat([]byte{byte(b)}, 10000), []byte{byte(b)}, []byte{1, byte(b)})
			}
			for of, list := range golden {
				for _, s := range list {
					whole := unhex(t, s)
					d, err := decode(t, name, whole)
					if of == name && (err != nil || len(d.Values)+len(d.Warnings) == 0) {
						t.Errorf("%s: %v, %v", s, shown(d), err)
					}
					for i := range whole {
						payloads = append(payloads, whole[:i])
						for _, x := range []byte{0x00, 0x01, 0x7f, 0x80, 0xff} {
							damaged := bytes.Clone(whole)
							damaged[i] = x
							payloads = append(payloads, damaged)
						}
					}
				}
			}
			c := open(t, name)
			for _, b := range payloads {
				before := bytes.Clone(b)
				u := &Uplink{Bytes: b, FPort: 2, Received: time.Unix(1893553445, 0)}
				d, err := c.Decode(t.Context(), u)
				kept(t, name, b, d, err)
				if !bytes.Equal(b, before) {
					t.Fatalf("%x became %x", before, b)
				}
			}
			if d, err := c.Decode(t.Context(), &Uplink{}); len(d.Values) > 0 || err != nil && !errors.Is(err, ErrPayload) {
				t.Errorf("nothing at all: %s, %v", shown(d), err)
			}
			for _, values := range []string{`{}`, `{"a":null}`, `{"a":1}`, `{"a":"x"}`, `{"a":[1]}`, `{"a":{"b":1}}`, `{"a/b":1}`, `{"":1}`,
				`{"a":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, `{"a":"` + strings.Repeat("x", 300) + `"}`} {
				e, err := encode(t, name, values, nil)
				if err == nil && (len(e.Bytes) == 0 || len(e.Bytes) > 255) {
					t.Errorf("%.40s: %d bytes", values, len(e.Bytes))
				}
			}
			for _, raw := range []string{"", "{", "1 2", "\"\xff\"", "1e999"} {
				if _, err := c.Encode(t.Context(), &Command{Values: map[string]json.RawMessage{"a": json.RawMessage(raw)}}); !errors.Is(err, ErrCommand) {
					t.Errorf("%q was taken: %v", raw, err)
				}
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	for _, name := range []string{"cayenne", "cbor", "hex", "json", "text", "xlpp"} {
		open(t, name)
	}
	if _, err := Open("nothing"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a name could be registered twice")
		}
	}()
	Register("hex", nil)
}

// TestWords checks that the codecs' quantities and units are words of the
// vocabulary, whose package must not be imported here.
func TestWords(t *testing.T) {
	source, err := os.ReadFile("../../sensors/vocabulary.go")
	if err != nil {
		t.Fatal(err)
	}
	quantities, units, ok := strings.Cut(string(source), "units ")
	if !ok {
		t.Fatal("the vocabulary looks different now")
	}
	has := func(words, word string) bool {
		return word == "" || regexp.MustCompile(`\b`+word+`\b`).MatchString(words)
	}
	check := func(name, quantity, unit string) {
		if !has(quantities, quantity) {
			t.Errorf("%s: there is no quantity %s", name, quantity)
		}
		if !has(units, unit) {
			t.Errorf("%s: there is no unit %s", name, unit)
		}
	}
	for _, types := range [][]lppType{cayenneTypes, xlppTypes} {
		for _, x := range types {
			check(x.name, x.quantity, x.unit)
		}
	}
	for name, x := range textMeanings {
		check(name, x.Quantity, x.Unit)
	}
	if has(units, "Hectopascal") || !has(units, "Lux") {
		t.Error("the test does not find words")
	}
}

func TestBounds(t *testing.T) {
	var v values
	for i := range MaxValues {
		if err := v.add(Value{Name: fmt.Sprint(i), Value: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.add(Value{Name: "one more", Value: []byte("1")}); !errors.Is(err, ErrPayload) || len(v.Values) != MaxValues {
		t.Errorf("%d values, %v", len(v.Values), err)
	}
	v = values{}
	if err := v.add(Value{Name: "a", Value: make([]byte, MaxResult)}); !errors.Is(err, ErrPayload) || len(v.Values) != 0 {
		t.Errorf("%d values, %v", len(v.Values), err)
	}
	if err := v.add(Value{Name: "a/b", Value: []byte("1")}); !errors.Is(err, ErrPayload) || !errors.Is(err, gateway.ErrBadID) {
		t.Error(err)
	}
	for range 100 {
		v.warn("x")
	}
	if len(v.Warnings) != 16 {
		t.Errorf("%d warnings", len(v.Warnings))
	}
}

func TestSensible(t *testing.T) {
	for s, want := range map[string]string{
		"": "_", "a": "a", "a/b+c#d": "a_b_c_d", "a\nb\x00": "a_b_", "\xff": "_", "Température": "Température",
		strings.Repeat("x", 70): strings.Repeat("x", 64), strings.Repeat("é", 40): strings.Repeat("é", 32),
		"x" + strings.Repeat("é", 40): "x" + strings.Repeat("é", 31),
	} {
		if got := sensible(s); got != want || gateway.CheckID(got) != nil {
			t.Errorf("%q: %q", s, got)
		}
	}
}
