package sensors

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
)

func TestBuiltin(t *testing.T) {
	if got := Builtin().Names(); !slices.Contains(got, "fake") || !slices.Contains(got, "replay") || !slices.IsSorted(got) {
		t.Errorf("drivers %v", got)
	}
	for _, name := range Builtin().Names() {
		d, _ := Builtin().Lookup(name)
		if d.Doc == "" {
			t.Errorf("%s has no line of documentation", name)
		}
		for _, o := range d.Options {
			if o.Doc == "" || o.Name == "" {
				t.Errorf("%s: option %q has no documentation", name, o.Name)
			}
			if slices.Contains([]string{"driver", "device", "sensor", "every", "bus"}, o.Name) {
				t.Errorf("%s: option %s is a key that every sensor has", name, o.Name)
			}
		}
	}
}

func TestRegisterRefusesMistakes(t *testing.T) {
	open := func(context.Context, Env, Options) (Sampler, error) { return nil, nil }
	channels := func(Options) []Channel { return nil }
	for what, d := range map[string]Driver{
		"no name":     {Channels: channels, Open: open},
		"no channels": {Name: "a", Open: open},
		"no open":     {Name: "a", Channels: channels},
		"default":     {Name: "a", Channels: channels, Open: open, Options: []Option{{Name: "x", Kind: Integer, Default: "1.5"}}},
		"twice":       {Name: "twice", Channels: channels, Open: open},
	} {
		var r Registry
		r.Register(Driver{Name: "twice", Channels: channels, Open: open})
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			r.Register(d)
		}()
	}
}

func TestOptions(t *testing.T) {
	d := Driver{Name: "d", Options: []Option{
		{Name: "choice", Kind: Text, Choices: []string{"a", "b"}, Default: "a"},
		{Name: "text", Kind: Text},
		{Name: "decimal", Kind: Decimal, Min: -1, Max: 1},
		{Name: "integer", Kind: Integer, Min: 0x48, Max: 0x4b, Default: "0x48"},
		{Name: "switch", Kind: Switch},
		{Name: "span", Kind: Span, Min: 0.001, Max: 60},
		{Name: "file", Kind: File, Required: true, Doc: "the file"},
	}, Check: func(o Options) []OptionError {
		if o.Text("text") == "cross" {
			return []OptionError{{"text", "cross", "straight"}}
		}
		return nil
	}}
	o, wrong := d.Parse(map[string]string{"text": "t", "decimal": "-0.5", "integer": "0x4a", "switch": "true", "span": "1500ms", "file": "/x"})
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if o.Text("choice") != "a" || o.Text("text") != "t" || o.Decimal("decimal") != -0.5 || o.Integer("integer") != 0x4a ||
		!o.Switch("switch") || o.Span("span") != 1500*time.Millisecond || o.Text("file") != "/x" {
		t.Errorf("options %v", o)
	}
	if o, wrong = d.Parse(map[string]string{"file": "x"}); len(wrong) > 0 || !reflect.DeepEqual(o, Options{"choice": "a", "integer": int64(0x48), "file": "x"}) {
		t.Errorf("defaults %v, %v", o, wrong)
	}
	_, wrong = d.Parse(map[string]string{"choice": "c", "decimal": "NaN", "integer": "1", "switch": "on", "span": "5", "other": "x"})
	var got []string
	for _, e := range wrong {
		got = append(got, e.Error())
	}
	want := []string{
		`choice: "c" is not possible; one of a, b`,
		`decimal: "NaN" is not possible; a number from -1 to 1`,
		`file: missing; the file`,
		`integer: "1" is not possible; a whole number from 72 to 75`,
		`other: unknown option of driver d; it has choice, text, decimal, integer, switch, span, file`,
		`span: "5" is not possible; a time such as 500ms, 10s or 5m from 1ms to 1m0s`,
		`switch: "on" is not possible; true or false`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, wrong = d.Parse(map[string]string{"file": "x", "text": "cross"}); len(wrong) != 1 || wrong[0].Problem != "cross" {
		t.Errorf("Check: %v", wrong)
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v        float64
		decimals int
		want     string
	}{{1, 2, "1.00"}, {20.005, 1, "20.0"}, {-0.001, 2, "0.00"}, {-1.5, 0, "-2"}, {0.1, -1, "0.1"}, {1e300, 0, "1" + strings.Repeat("0", 300)}, {1, 99, "1.000000000000000"}} {
		got, err := Number(c.v, c.decimals)
		if c.v == 1e300 { // its decimal digits are those of the double
			got, c.want = got[:2], "10"
		}
		if err != nil || string(got) != c.want {
			t.Errorf("Number(%v, %d) = %s, %v; want %s", c.v, c.decimals, got, err, c.want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got, err := Number(v, 2); err == nil {
			t.Errorf("Number(%v) = %s", v, got)
		}
	}
}

// clock is a time that the test moves on.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func open(t *testing.T, driver string, c *clock, sensor string, written map[string]string) Sampler {
	t.Helper()
	d, _ := Builtin().Lookup(driver)
	o, wrong := d.Parse(written)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	s, err := d.Open(t.Context(), Env{Device: "D", Sensor: sensor, Now: c.now}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// series takes n samples, one every step.
func series(t *testing.T, s Sampler, c *clock, n int, step time.Duration) []string {
	t.Helper()
	var out []string
	for range n {
		samples, err := s.Sample(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var values []string
		for _, x := range samples {
			if err := gateway.CheckValue(x.Value); err != nil {
				t.Errorf("%s: %v", x.Value, err)
			}
			values = append(values, string(x.Value))
		}
		out = append(out, strings.Join(values, " "))
		c.t = c.t.Add(step)
	}
	return out
}

func TestFakeWaves(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	take := func(sensor string, written map[string]string) []string {
		c := &clock{start}
		return series(t, open(t, "fake", c, sensor, written), c, 5, time.Minute)
	}
	for _, c := range []struct {
		written map[string]string
		want    string
	}{
		{map[string]string{"kind": "sine", "period": "4m", "min": "-10", "max": "10", "decimals": "1"}, "0.0 10.0 0.0 -10.0 0.0"},
		{map[string]string{"kind": "ramp", "period": "4m", "min": "0", "max": "100", "decimals": "0"}, "0 25 50 75 0"},
		{map[string]string{"kind": "noise", "min": "3", "max": "3"}, "3.00 3.00 3.00 3.00 3.00"},
	} {
		if got := strings.Join(take("S", c.written), " "); got != c.want {
			t.Errorf("%v: %s, want %s", c.written, got, c.want)
		}
	}
	for _, kind := range []string{"noise", "random-walk"} {
		w := map[string]string{"kind": kind, "min": "20", "max": "22", "step": "0.5"}
		a, b, other := take("S", w), take("S", w), take("T", w)
		w["seed"] = "2"
		seeded := take("S", w)
		if !slices.Equal(a, b) {
			t.Errorf("%s: %v and then %v with the same seed", kind, a, b)
		}
		if slices.Equal(a, other) || slices.Equal(a, seeded) {
			t.Errorf("%s: %v for another sensor %v, for another seed %v", kind, a, other, seeded)
		}
		last := math.NaN()
		for _, s := range a {
			var v float64
			if err := json.Unmarshal([]byte(s), &v); err != nil || v < 20 || v > 22 {
				t.Errorf("%s: %s out of its limits", kind, s)
			}
			if kind == "random-walk" && math.Abs(v-last) > 0.51 {
				t.Errorf("a step from %v to %v", last, v)
			}
			last = v
		}
	}
	d, _ := Builtin().Lookup("fake")
	if _, wrong := d.Parse(map[string]string{"min": "5", "max": "1"}); len(wrong) != 1 {
		t.Errorf("limits the wrong way round: %v", wrong)
	}
	o, _ := d.Parse(map[string]string{"unit": "Volt", "quantity": "Voltage"})
	if ch := d.Channels(o); len(ch) != 1 || ch[0] != (Channel{Quantity: "Voltage", Unit: "Volt"}) {
		t.Errorf("channels %v", ch)
	}
}

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
	d, _ := Builtin().Lookup("replay")
	o, _ := d.Parse(map[string]string{"file": file + ".none"})
	if _, err := d.Open(t.Context(), Env{Now: c.now}, o); !errors.Is(err, os.ErrNotExist) {
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

func TestSensorID(t *testing.T) {
	for _, c := range []struct{ sensor, suffix, want string }{
		{"TC1", "", "TC1"}, {"", "", "bme280"}, {"", "humidity", "humidity"}, {"roof", "humidity", "roof-humidity"},
	} {
		it := Item{Driver: "bme280", Sensor: c.sensor}
		if got := it.SensorID(c.suffix); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
