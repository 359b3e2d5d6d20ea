package sensors

import (
	"context"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

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
		`integer: "1" is not possible; a whole number from 0x48 to 0x4b`,
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

func TestSensorID(t *testing.T) {
	for _, c := range []struct{ sensor, suffix, want string }{
		{"TC1", "", "TC1"}, {"", "", "bme280"}, {"", "humidity", "humidity"}, {"roof", "humidity", "roof-humidity"},
	} {
		it := Item{Driver: "bme280", Sensor: c.sensor}
		if got := it.SensorID(c.suffix); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	for sensor, want := range map[string]string{"": "temperature", "roof": "roof"} {
		it := Item{Driver: "lm75", Sensor: sensor, Alone: true}
		if got := it.SensorID("temperature"); got != want {
			t.Errorf("alone: %q is published as %s", sensor, got)
		}
	}
}
