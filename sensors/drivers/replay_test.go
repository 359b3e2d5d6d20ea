package drivers

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

func TestReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.csv")
	if err := os.WriteFile(file, []byte("offset,value\n0,20.50\n# a comment\n1.5,on\n2s,\"{\"\"a\"\": 1}\"\n4s, true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	got := series(t, open(t, "replay", c, "S", map[string]string{"file": file}), c, 7, time.Second)
	want := []string{`20.50`, ``, `"on" {"a": 1}`, ``, `true`, ``, ``}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = series(t, open(t, "replay", c, "S", map[string]string{"file": file, "loop": "true"}), c, 9, 2*time.Second)
	want = []string{`20.50`, `"on" {"a": 1}`, `true`, `20.50`, `"on" {"a": 1}`, `true`, `20.50`, `"on" {"a": 1}`, `true`}
	if !slices.Equal(got, want) {
		t.Errorf("in a loop: got %q, want %q", got, want)
	}
	s := open(t, "replay", c, "S", map[string]string{"file": file, "loop": "true"})
	series(t, s, c, 1, 1000*time.Hour)
	if n := len(strings.Fields(series(t, s, c, 1, 0)[0])); n > 12 {
		t.Errorf("%d values at once after a long sleep", n)
	}
	d, _ := sensors.Builtin().Lookup("replay")
	o, _ := d.Parse(map[string]string{"file": file + ".none"})
	if _, err := d.Open(t.Context(), sensors.Env{Now: c.now}, o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestParseReplayRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "no values",
		"time,value\n":              "no values",
		"1,1\nx,2\n":                `line 2: "x" is no offset`,
		"2,1\n1,2\n":                "line 2: offset 1 is before",
		"1,1,1\n":                   "wrong number of fields",
		"0,1\n-1,2\n":               `line 2: "-1" is no offset`,
		"0,1\n1e12,2\n":             `line 2: "1e12" is no offset`,
		"0,1\nNaN,2\n":              `line 2: "NaN" is no offset`,
		"0,\"" + string(rune(0xff)): `extraneous or missing`,
		"0,\xff\n":                  "line 1: value is not UTF-8",
		"0,1\n1,nan\n":              `line 2: "nan" is no number`,
		"0,1\n1,-Inf\n":             `line 2: "-Inf" is no number`,
		"0,1\n1,1e999\n":            `line 2: "1e999" is no number`,
		"0,1\n1,\n":                 "line 2: no value",
	} {
		if rows, err := ParseReplay(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, rows, err, want)
		}
	}
}

func FuzzParseReplay(f *testing.F) {
	for _, s := range []string{"offset,value\n0,1\n1.5,on\n", "0,\"{\"\"a\"\":1}\"\n1h,[1]", "1,1\n0,2", "0,1e999", "\xff,1", "0,-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rows, err := ParseReplay(strings.NewReader(s))
		if err != nil {
			return
		}
		var last time.Duration
		for _, r := range rows {
			if r.Offset < last || gateway.CheckValue(r.Value) != nil {
				t.Errorf("row %+v", r)
			}
			last = r.Offset
		}
		if len(rows) == 0 {
			t.Error("neither rows nor an error")
		}
	})
}
