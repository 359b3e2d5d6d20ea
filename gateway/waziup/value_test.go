package waziup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
)

const at2016 = "2016-06-08T18:20:27Z"

// The forms of the cloud's documentation and tests and of the edge's rule, and
// what is different here: both names of the time are read, and a time that
// cannot be read never becomes a value.
func TestDecodeValue(t *testing.T) {
	cases := []struct{ payload, value, at string }{
		// wazicloud-api: README, tests
		{`{"value": "3"}`, `"3"`, ""},
		{`{"value":"55.6","timestamp":"2016-06-08T18:20:27Z"}`, `"55.6"`, at2016},
		{`{"value":"25.6"}`, `"25.6"`, ""},
		{`{"value":25.6}`, `25.6`, ""},
		{`{"value":true}`, `true`, ""},
		{`{"value":["1","2",3]}`, `["1","2",3]`, ""},
		{`{"value":{"lat":1,"lon":2}}`, `{"lat":1,"lon":2}`, ""},
		{`{"value":null}`, `null`, ""},
		{`50`, `50`, ""}, {`true`, `true`, ""}, {`"x"`, `"x"`, ""},
		{`{"value":1,"date_received":"2016-06-08T18:20:27Z"}`, `1`, ""},
		// wazigate-edge
		{`3`, `3`, ""}, {`"3"`, `"3"`, ""}, {`[1,2]`, `[1,2]`, ""}, {`null`, `null`, ""},
		{`{"lat":1,"lon":2}`, `{"lat":1,"lon":2}`, ""},
		{`{"value":3,"time":"2016-06-08T18:20:27.5+02:00"}`, `3`, "2016-06-08T16:20:27.5Z"},
		{`{}`, `{}`, ""},
		// an object with a value stays one
		{`{"value":3,"unit":"C"}`, `3`, ""},
		{`{"value":3,"extra":{"value":4,"time":"yesterday"}}`, `3`, ""},
		{`{"Value":3}`, `{"Value":3}`, ""},
		{`{"time":"yesterday"}`, `{"time":"yesterday"}`, ""},
		{`{"timestamp":"2016-06-08T18:20:27Z"}`, `{"timestamp":"2016-06-08T18:20:27Z"}`, ""},
		{`{"value":1,"Time":"yesterday"}`, `1`, ""},
		{`{"v\u0061lue":1}`, `1`, ""},
		{`{"value":1,"value":2}`, `2`, ""},
		{`{"value":{"value":1}}`, `{"value":1}`, ""},
		{`{"value":1,"time":"2016-06-08T18:20:27Z","time":null}`, `1`, ""},
		// which time
		{`{"value":1,"timestamp":"2016-06-08T18:20:27Z","time":"2017-01-01T00:00:00Z"}`, `1`, at2016},
		{`{"value":1,"time":"2017-01-01T00:00:00Z","timestamp":"2016-06-08T18:20:27Z"}`, `1`, at2016},
		{`{"value":1,"time":"2016-06-08T18:20:27Z","timestamp":null}`, `1`, at2016},
		{`{"value":1,"time":1465410027}`, `1`, at2016},
		{`{"value":1,"time":1465410027000}`, `1`, at2016},
		{`{"value":1,"timestamp":1465410027.123456}`, `1`, "2016-06-08T18:20:27.123456Z"},
		{`{"value":1,"timestamp":1465410027123.456}`, `1`, "2016-06-08T18:20:27.123456Z"},
		{`{"value":1,"timestamp":1.465410027e9}`, `1`, at2016},
		{`{"value":1,"timestamp":0}`, `1`, "1970-01-01T00:00:00Z"},
		{`{"value":1,"time":null}`, `1`, ""},
		// the text stays as it is
		{`{"value":25.60}`, `25.60`, ""}, {`1e3`, `1e3`, ""}, {`-0.0`, `-0.0`, ""}, {`1E+02`, `1E+02`, ""},
		{`12345678901234567890123`, `12345678901234567890123`, ""},
		{"{\"value\" :\n [1, 2,\t{ \"a\":\"\\u00fc\\/\" } ] \r\n}", "[1, 2,\t{ \"a\":\"\\u00fc\\/\" } ]", ""},
		{" 3 \n", `3`, ""},
		{`{"value":"}]\\\""}`, `"}]\\\""`, ""},
		{`""`, `""`, ""},
	}
	for _, c := range cases {
		got, err := DecodeValue([]byte(c.payload))
		if err != nil {
			t.Errorf("%s: %v", c.payload, err)
			continue
		}
		if string(got.Value) != c.value {
			t.Errorf("%s: value %s, want %s", c.payload, got.Value, c.value)
		}
		if want := parse(t, c.at); !got.Time.Equal(want) || got.Time.IsZero() != want.IsZero() {
			t.Errorf("%s: time %v, want %v", c.payload, got.Time, want)
		}
	}
}

func parse(t *testing.T, s string) (at time.Time) {
	t.Helper()
	if s != "" {
		var err error
		if at, err = time.Parse(time.RFC3339Nano, s); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestDecodeValueMistakes(t *testing.T) {
	cases := []struct {
		payload string
		want    error
	}{
		{``, gateway.ErrBadPayload}, {` `, gateway.ErrBadPayload}, {`abc`, gateway.ErrBadPayload}, {`3 x`, gateway.ErrBadPayload},
		{`NaN`, gateway.ErrBadPayload}, {`{"value":NaN}`, gateway.ErrBadPayload}, {`Infinity`, gateway.ErrBadPayload},
		{`{"value":3`, gateway.ErrBadPayload}, {`{"value":}`, gateway.ErrBadPayload}, {`{"value":01}`, gateway.ErrBadPayload},
		{`3,5`, gateway.ErrBadPayload}, {"\"\xff\"", gateway.ErrBadPayload}, {"\x00", gateway.ErrBadPayload}, {"\ufeff3", gateway.ErrBadPayload},
		{`{'value':3}`, gateway.ErrBadPayload}, {`{"value":3,}`, gateway.ErrBadPayload}, {`{"value":"` + "\n" + `"}`, gateway.ErrBadPayload},
		{`1e309`, gateway.ErrBadNumber}, {`{"value":-1e999}`, gateway.ErrBadNumber}, {`[1,[1e400]]`, gateway.ErrBadNumber},
		{`{"value":3,"time":"yesterday"}`, gateway.ErrBadTime}, {`{"value":3,"time":""}`, gateway.ErrBadTime},
		{`{"value":3,"time":true}`, gateway.ErrBadTime}, {`{"value":3,"time":{}}`, gateway.ErrBadTime}, {`{"value":3,"time":[1]}`, gateway.ErrBadTime},
		{`{"value":3,"time":-1}`, gateway.ErrBadTime}, {`{"value":3,"time":1e10}`, gateway.ErrBadTime}, {`{"value":3,"time":1e300}`, gateway.ErrBadTime},
		{`{"value":3,"time":1e999}`, gateway.ErrBadTime}, {`{"value":3,"time":"1465410027"}`, gateway.ErrBadTime},
		{`{"value":3,"timestamp":"2016-06-08T18:20:27Z","time":"yesterday"}`, gateway.ErrBadTime},
		{`{"value":3,"timestamp":"yesterday","time":"2016-06-08T18:20:27Z"}`, gateway.ErrBadTime},
		{nested(33), gateway.ErrTooDeep}, {nested(1000), gateway.ErrTooDeep}, {strings.Repeat("[", 60_000), gateway.ErrTooDeep},
		{`{"value":` + nested(33) + `}`, gateway.ErrTooDeep}, {`{"value":` + nested(1000) + `}`, gateway.ErrTooDeep},
		{`"` + strings.Repeat("x", 1<<20) + `"`, gateway.ErrTooLarge},
		{`"` + strings.Repeat("x", gateway.MaxValue-1) + `"`, gateway.ErrTooLarge},
		{`{"value":"` + strings.Repeat("x", gateway.MaxValue-1) + `"}`, gateway.ErrTooLarge},
	}
	for _, c := range cases {
		if got, err := DecodeValue([]byte(c.payload)); !errors.Is(err, c.want) || got.Value != nil {
			t.Errorf("%.60q: %s, %v; want %v", c.payload, got.Value, err, c.want)
		}
	}
}

// A value is as large and as deep inside an object as it may be bare.
func TestDecodeValueLimits(t *testing.T) {
	for _, value := range []string{nested(gateway.MaxDepth), `"` + strings.Repeat("x", gateway.MaxValue-2) + `"`} {
		for _, payload := range []string{value, `{"value":` + value + `}`, `{"value":` + value + `,"timestamp":"2016-06-08T18:20:27Z","id":"gw-1/17"}`} {
			if got, err := DecodeValue([]byte(payload)); err != nil || string(got.Value) != value {
				t.Errorf("%.40s...: %v", payload, err)
			}
			if got, err := DecodeValues([]byte("[" + payload + "]")); err != nil || string(got[0].Value) != value {
				t.Errorf("[%.40s...]: %v", payload, err)
			}
		}
	}
}

func TestDecodeKeepsNoPartOfThePayload(t *testing.T) {
	one, many := []byte(`{"value":"abc"}`), []byte(`["abc"]`)
	a, _ := DecodeValue(one)
	b, _ := DecodeValues(many)
	clear(one)
	clear(many)
	if string(a.Value) != `"abc"` || string(b[0].Value) != `"abc"` {
		t.Errorf("%q, %q", a.Value, b[0].Value)
	}
}

func TestParseTime(t *testing.T) {
	const base = "2016-06-08T18:20:27Z"
	good := map[string]string{
		"2016-06-08T18:20:27Z":              base,
		"2016-06-08t18:20:27z":              base,
		"2016-06-08 18:20:27Z":              base,
		"2016-06-08T20:20:27+02:00":         base,
		"2016-06-08T20:20:27+0200":          base,
		"2016-06-08T20:20:27+02":            base,
		"2016-06-08T12:50:27-05:30":         base,
		"2016-06-09T08:20:27+14:00":         base,
		"2016-06-08T18:20:27-00:00":         base,
		"2016-06-08T18:20:27.0Z":            base,
		"2016-06-08T18:20Z":                 "2016-06-08T18:20:00Z",
		"2016-06-08T18:20:27.1Z":            "2016-06-08T18:20:27.1Z",
		"2016-06-08T18:20:27,123456Z":       "2016-06-08T18:20:27.123456Z",
		"2016-06-08T18:20:27.1234569Z":      "2016-06-08T18:20:27.123456Z",
		"2016-06-08T18:20:27.000000000000Z": base,
		"2016-12-31T23:59:60Z":              "2017-01-01T00:00:00Z",
		"2016-02-29T00:00:00Z":              "2016-02-29T00:00:00Z",
		"1970-01-01T00:00:00Z":              "1970-01-01T00:00:00Z",
		"2200-12-31T23:59:59.999999Z":       "2200-12-31T23:59:59.999999Z",
		"1969-12-31T23:00:00-01:00":         "1970-01-01T00:00:00Z",
	}
	for in, want := range good {
		got, err := ParseTime(in)
		if err != nil || !got.Equal(parse(t, want)) || got.Location() != time.UTC {
			t.Errorf("%s: %v, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "now", "2016", "2016-06-08", "18:20:27", "2016-06-08T18:20:27", "2016-06-08T18:20:27 Z", " 2016-06-08T18:20:27Z",
		"2016-06-08T18:20:27Z ", "2016-06-08T18:20:27ZZ", "2016-06-08T18:20:27.Z", "2016-06-08T18:20:27+2:00", "2016-06-08T18:20:27+24:00",
		"2016-06-08T18:20:27+02:60", "2016-06-08T18:20:27+02:", "2016-06-08T24:00:00Z", "2016-06-08T18:60:00Z", "2016-06-08T18:20:61Z",
		"2016-02-30T00:00:00Z", "2015-02-29T00:00:00Z", "2016-13-01T00:00:00Z", "2016-00-01T00:00:00Z", "2016-01-00T00:00:00Z", "2016-06-08T18Z",
		"16-06-08T18:20:27Z", "+2016-06-08T18:20:27Z", "20160608T182027Z", "1969-12-31T23:59:59Z", "2201-01-01T00:00:00Z", "0000-00-00T00:00:00Z",
		"2016-06-08T18:20:27\u00b1" + "02:00", "2016-06-08T18:20:27.5.5Z", "٢٠١٦-06-08T18:20:27Z",
	} {
		if got, err := ParseTime(in); !errors.Is(err, gateway.ErrBadTime) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

func TestDecodeValues(t *testing.T) {
	got, err := DecodeValues([]byte(` [ 1 , {"value":2,"time":"2016-06-08T18:20:27Z"}, {"a":[3]} ,[4],null, {"value":5,"timestamp":1465410027}] `))
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, s := range got {
		text = append(text, fmt.Sprint(string(s.Value), " ", s.Time.Unix()))
	}
	const none int64 = -62135596800
	if want := fmt.Sprintf(`[1 %[1]d 2 1465410027 {"a":[3]} %[1]d [4] %[1]d null %[1]d 5 1465410027]`, none); fmt.Sprint(text) != want {
		t.Errorf("%v\nwant\n%s", text, want)
	}
	if got, err := DecodeValues([]byte(`[]`)); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	many := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	if got, err := DecodeValues([]byte(many(MaxValues))); err != nil || len(got) != MaxValues {
		t.Errorf("%d values: %v", len(got), err)
	}
	for _, c := range []struct {
		payload string
		want    error
	}{
		{``, gateway.ErrBadPayload}, {`3`, gateway.ErrBadPayload}, {`{"value":[1]}`, gateway.ErrBadPayload}, {`[1,]`, gateway.ErrBadPayload}, {`[1`, gateway.ErrBadPayload},
		{`[1,{"value":2,"time":"yesterday"}]`, gateway.ErrBadTime}, {`[1,1e999]`, gateway.ErrBadNumber},
		{`[` + nested(33) + `]`, gateway.ErrTooDeep}, {nested(1000), gateway.ErrTooDeep},
		{many(MaxValues + 1), gateway.ErrTooLarge}, {`["` + strings.Repeat("x", gateway.MaxValue) + `"]`, gateway.ErrTooLarge},
		{"[1" + strings.Repeat(" ", MaxValuesBytes) + "]", gateway.ErrTooLarge},
	} {
		if got, err := DecodeValues([]byte(c.payload)); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%.60q: %d values, %v; want %v", c.payload, len(got), err, c.want)
		}
	}
}

func TestEncodeValue(t *testing.T) {
	at := time.Date(2026, 11, 22, 11, 0, 0, 123456789, time.FixedZone("CET", 3600))
	for _, c := range []struct {
		d    Datum
		want string
	}{
		{Datum{json.RawMessage(`25.60`), at, "gw-1/17", ""}, `{"value":25.60,"timestamp":"2026-11-22T10:00:00.123456Z","id":"gw-1/17"}`},
		{Datum{json.RawMessage(`"x"`), at.Truncate(time.Second), "", ""}, `{"value":"x","timestamp":"2026-11-22T10:00:00.000000Z"}`},
		{Datum{json.RawMessage(`1`), time.Time{}, "", ""}, `{"value":1}`},
		{Datum{json.RawMessage(`null`), time.Unix(5, 0), "gw/1", "unset"}, `{"value":null,"timestamp":"1970-01-01T00:00:05.000000Z","id":"gw/1","clock":"unset"}`},
		{Datum{json.RawMessage(`1`), time.Time{}, "a\"b\\c\n\x7fü\xff/1", ""}, `{"value":1,"id":"a\"b\\c\u000a\u007fü�/1"}`},
	} {
		got := EncodeValue([]byte("x"), c.d.Value, c.d.Time, c.d.ID, c.d.Clock)
		if string(got) != "x"+c.want {
			t.Errorf("%s, want %s", got[1:], c.want)
		}
		if !json.Valid(got[1:]) {
			t.Errorf("%s is no JSON", got[1:])
		}
	}
	data := []Datum{{Value: json.RawMessage(`1`), ID: "g/1"}, {Value: json.RawMessage(`[2]`), Time: at}}
	if got := string(EncodeValues(nil, data)); got != `[{"value":1,"id":"g/1"},{"value":[2],"timestamp":"2026-11-22T10:00:00.123456Z"}]` {
		t.Error(got)
	}
	if got := string(EncodeValues(nil, nil)); got != `[]` {
		t.Error(got)
	}
	if got := string(EncodeEdgeValue(nil, json.RawMessage(`2.50`), at)); got != `{"value":2.50,"time":"2026-11-22T10:00:00.123456Z"}` {
		t.Error(got)
	}
}

// testdata/values.txt has payloads and what becomes of them.
func TestGoldenValues(t *testing.T) {
	raw, err := os.ReadFile("testdata/values.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(raw)) {
		if payload, ok := strings.CutPrefix(line, "< "); ok {
			got.WriteString(line)
			s, err := DecodeValue([]byte(strings.TrimSuffix(payload, "\n")))
			if err != nil {
				fmt.Fprintf(&got, "! %s\n", gateway.Reason(err))
				continue
			}
			fmt.Fprintf(&got, "> %s\n", EncodeValue(nil, s.Value, s.Time, "gw-1/17", ""))
		} else if strings.HasPrefix(line, "#") || line == "\n" {
			got.WriteString(line)
		}
	}
	if got.String() != string(raw) {
		t.Errorf("testdata/values.txt should be\n%s", got.String())
	}
}

func FuzzDecodeValue(f *testing.F) {
	for _, s := range []string{`{"value":3,"timestamp":"2016-06-08T18:20:27.5+02:00"}`, `{"value":1,"time":1465410027.25}`, `[1,{"value":2}]`, `"\u00fc"`, ` 1e3 `, `{"v\u0061lue":{}}`, nested(33)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		s, err := DecodeValue(payload)
		if err != nil {
			known(t, err)
			return
		}
		if !json.Valid(s.Value) {
			t.Fatalf("%q gave %q", payload, s.Value)
		}
		again, err := DecodeValue(EncodeValue(nil, s.Value, s.Time, "gw/1", "unset"))
		same(t, s, again, err)
	})
}

func FuzzDecodeValues(f *testing.F) {
	for _, s := range []string{`[]`, `[1,{"value":2,"time":1465410027000}]`, `[[],{},"]"]`, `{}`, "[1,\t2]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		all, err := DecodeValues(payload)
		if err != nil {
			known(t, err)
			return
		}
		var data []Datum
		for _, s := range all {
			data = append(data, Datum{Value: s.Value, Time: s.Time})
		}
		again, err := DecodeValues(EncodeValues(nil, data))
		if errors.Is(err, gateway.ErrTooLarge) {
			return // the encoded form is longer
		}
		if err != nil || len(again) != len(all) {
			t.Fatalf("%q: %d values became %d: %v", payload, len(all), len(again), err)
		}
		for i := range all {
			same(t, all[i], again[i], nil)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2016-06-08T18:20:27Z", "2016-06-08 18:20:27,5+0200", "2016-12-31T23:59:60Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTime(s)
		if err != nil {
			known(t, err)
			return
		}
		if y := got.Year(); y < minYear || y > maxYear {
			t.Errorf("%q is %v", s, got)
		}
		want, err := time.Parse(time.RFC3339Nano, s)
		if err == nil && want.UTC().Year() >= minYear && want.UTC().Year() <= maxYear && !got.Equal(want.Truncate(time.Microsecond)) {
			t.Errorf("%q is %v, want %v", s, got, want)
		}
	})
}

func same(t *testing.T, want, got Sample, err error) {
	t.Helper()
	if err != nil || string(got.Value) != string(want.Value) || !got.Time.Equal(want.Time) {
		t.Fatalf("%s at %v became %s at %v: %v", want.Value, want.Time, got.Value, got.Time, err)
	}
}

// known fails for errors that nobody counts by their reason.
func known(t *testing.T, err error) {
	t.Helper()
	if gateway.Reason(err) == "other" {
		t.Fatalf("%v wraps no known error", err)
	}
}

func BenchmarkDecodeValue(b *testing.B) {
	payload := []byte(`{"value":25.60,"timestamp":"2026-11-22T10:00:00.123456Z","id":"gw-1/17"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeValue(payload); err != nil {
			b.Fatal(err)
		}
	}
}
