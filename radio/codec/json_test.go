package codec

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// received is when the uplinks of the tests of times came.
var received = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// structured are documents and the values in them; the codecs json and cbor read
// them in the same way.
var structured = []struct{ document, want string }{
	{`{"temperature":21.5,"door":true}`, "door=true temperature=21.5"},
	{` { "a" : [ 1, 2 ], "b" : { "x" : "y" }, "c" : null, "d":"25.6" } `, `a=[1,2] b={"x":"y"} c=null d="25.6"`},
	{`{"a":{"value":1},"b":{"value":null,"unit":"Lux"}}`, "a=1 b=null"},
	{`{"value":5}`, "value=5"},
	{`5`, "value=5"},
	{`"on"`, `value="on"`},
	{`[1,2]`, "value=[1,2]"},
	{`[]`, "value=[]"},
	{`{}`, ""},
	{`[{"value":1},{"value":2}]`, "value=1 value=2"},
	{`[{"name":"a","value":1},{"id":"b","value":2},{"c":3}]`, "a=1 b=2 c=3"},
	{`{"a":[{"value":1},{"value":2}],"b":[{"value":1},{"v":2}]}`, `a=1 a=2 b=[{"value":1},{"v":2}]`},
	{`{"a":{"value":1,"time":"2030-01-02T03:00:00Z"}}`, "a=1@4m5s"},
	{`{"a":[{"value":1,"timestamp":"2030-01-02T04:04:04+01:00"},{"value":2,"timestamp":null}]}`, "a=1@1s a=2"},
	{`{"a":{"value":1,"time":1893553440}}`, "a=1@5s"},
	{`{"a":{"value":1,"time":1893553440500}}`, "a=1@4.5s"},
	{`{"a":{"value":1,"time":1893553446}}`, "a=1"}, // its clock is ahead
	{`{"temp/in":1,"a#b":2,"":3}`, "_=3 a_b=2 temp_in=1"},
	{`{"lat":51.0493,"big":12345678901234567,"neg":-0.001}`, "big=12345678901234567 lat=51.0493 neg=-0.001"},
	{`{"a":"<&>\u2028\u00e9"}`, ""},
}

func init() {
	for _, v := range structured {
		if v.want != "" {
			golden["json"] = append(golden["json"], hex.EncodeToString([]byte(v.document)))
		}
	}
}

func TestJSONDecode(t *testing.T) {
	for _, v := range structured {
		d, err := open(t, "json").Decode(t.Context(), &Uplink{Bytes: []byte(v.document), Received: received})
		kept(t, "json", []byte(v.document), d, err)
		if got := shown(d); err != nil || got != v.want && v.want != "" {
			t.Errorf("%s:\n%s, %v\nwant %s", v.document, got, err, v.want)
		}
	}
	for document, want := range map[string]string{
		`{"a":1`:               "it is not JSON",
		`{"a":1} x`:            "it is not JSON",
		`{a:1}`:                "it is not JSON",
		`NaN`:                  "it is not JSON",
		"{\"a\":\"\xff\"}":     "it is not UTF-8",
		`{"a":1e999}`:          "is too large",
		`{"a":[{"b":-1e400}]}`: "is too large",
		strings.Repeat("[", 17) + strings.Repeat("]", 17):          "more than 16 arrays",
		`{"a":{"value":1,"time":"yesterday"}}`:                     `the time of "a": "yesterday" is not as in RFC 3339`,
		`{"a":{"value":1,"time":true}}`:                            "true is no time",
		`{"a":{"value":1,"time":-5}}`:                              "-5 is no time",
		`{"a":{"value":1,"timestamp":1e18}}`:                       "is no time",
		strings.Repeat(" ", 4097) + "1":                            "the longest is 4096",
		"[" + strings.Repeat(`{"value":1},`, 300) + `{"value":1}]`: "more than 256 values",
	} {
		d, err := decode(t, "json", []byte(document))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %s, %v", document, shown(d), err)
		}
	}
	d, err := open(t, "json").Decode(t.Context(), &Uplink{Bytes: []byte(`{"a":{"value":1,"time":1893553440,"kind":"Thermometer","quantity":"RoadTemperature","unit":"DegreeCelsius"}}`)})
	if err != nil || shown(d) != "a=1" || len(d.Warnings) != 1 || words(d) != "Thermometer,RoadTemperature,DegreeCelsius" {
		t.Errorf("%s, %q, %v", shown(d), d.Warnings, err)
	}
	d, err = decode(t, "json", []byte(`{"a":{"value":1,"kind":"x y","quantity":5,"unit":"`+strings.Repeat("x", 65)+`"}}`))
	if err != nil || words(d) != ",," {
		t.Errorf("%s, %v", words(d), err)
	}
}

func TestJSONEncode(t *testing.T) {
	for values, want := range map[string]string{
		`{"relay":true}`:            `{"relay":true}`,
		`{"b":[ 1, 2 ],"a":"<&\""}`: `{"a":"<&\"","b":[1,2]}`,
		`{"a":1.50}`:                `{"a":1.50}`,
		`{"a":null}`:                `{"a":null}`,
	} {
		e, err := encode(t, "json", values, nil)
		if err != nil || string(e.Bytes) != want || e.FPort != 0 {
			t.Errorf("%s: %s, %v", values, e.Bytes, err)
		}
		d, err := decode(t, "json", e.Bytes)
		if err != nil {
			t.Error(err)
		}
		again(t, "json", d)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range golden["json"] {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := open(t, "json").Decode(context.Background(), &Uplink{Bytes: b, Received: received})
		kept(t, "json", b, d, err)
		for _, v := range d.Values { // an object with a value is read as that value
			if strings.Contains(string(v.Value), "value") {
				return
			}
		}
		again(t, "json", d)
	})
}
