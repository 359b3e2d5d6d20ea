package sensors

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// published feeds a gauge one value a second and gives what came out of each,
// "-" for nothing and "!" for an error.
func published(g *gauge, values string) string {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var out []string
	for _, v := range strings.Fields(values) {
		got, err := g.take(nil, json.RawMessage(v), now, false)
		switch {
		case err != nil && len(got) == 0:
			out = append(out, "!")
		case err != nil:
			out = append(out, "!with values")
		case len(got) == 0:
			out = append(out, "-")
		}
		for _, r := range got {
			out = append(out, strings.TrimPrefix(r.id+"=", "s=")+string(r.value))
		}
		now = now.Add(time.Second)
	}
	return strings.Join(out, " ")
}

func TestRules(t *testing.T) {
	points := []Point{{1, 10}, {2, 30}, {4, 40}}
	for _, c := range []struct {
		name       string
		rules      Rules
		in, wanted string
	}{
		{"nothing to do keeps the text", Rules{}, `1 1.50 1e1 "on" [1]`, `1 1.50 1e1 "on" [1]`},
		{"scale and offset", Rules{Scale: 2, Offset: -1}, `1 -0.5 0.5`, `1.00 -2.00 0.00`},
		{"offset alone", Rules{Offset: 0.25}, `1`, `1.25`},
		{"points", Rules{Points: points}, `1 1.5 2 3 4`, `10.00 20.00 30.00 35.00 40.00`},
		{"beyond the points", Rules{Points: points}, `0 6`, `-10.00 50.00`},
		{"falling", Rules{Points: []Point{{1.2, 100}, {2.8, 0}}}, `2.8 2 1.2`, `0.00 50.00 100.00`},
		{"no number to calibrate", Rules{Scale: 2}, `"on" true 1`, `! ! 2.00`},
		{"limits", Rules{Limits: &Limits{-40, 85}}, `-40 85 -40.01 85.5 20`, `-40 85 ! ! 20`},
		{"limits after calibration", Rules{Scale: 10, Limits: &Limits{0, 100}}, `9 11`, `90.00 !`},
		{"limits and no number", Rules{Limits: &Limits{0, 1}}, `null`, `!`},
		{"overflow", Rules{Scale: 1e300}, `1e300`, `!`},
		{"any change", Rules{Publish: Publish{OnChange: true}}, `1 1 2 2 1 "a" "a"`, `1 - 2 - 1 "a" -`},
		{"a change of 0.2", Rules{Publish: Publish{OnChange: true, Change: 0.2}}, `20.1 20.2 20.3 20.4 20.1 20.0`, `20.1 - 20.3 - 20.1 -`},
		{"small steps add up", Rules{Publish: Publish{OnChange: true, Change: 1}}, `0 0.4 0.8 1.2 1.6`, `0 - - 1.2 -`},
		{"a change among words", Rules{Publish: Publish{OnChange: true, Change: 1}}, `1 "off" "off" 1 "on"`, `1 "off" - 1 "on"`},
		{"a bad value does not count as the last", Rules{Limits: &Limits{0, 10}, Publish: Publish{OnChange: true, Change: 1}}, `5 50 5.5 6`, `5 ! - 6`},
		{"at most", Rules{Publish: Publish{Min: 3 * time.Second}}, `1 2 3 4 5 6 7`, `1 - - 4 - - 7`},
		{"at least", Rules{Publish: Publish{OnChange: true, Max: 3 * time.Second}}, `1 1 1 1 2 2`, `1 - - 1 2 -`},
		{"lowest and highest", Rules{Publish: Publish{Extremes: 3 * time.Second}}, `2 1 3 7 9 8 4`, `- - - s-min=1.00 s-max=3.00 - - s-min=7.00 s-max=9.00`},
	} {
		if got := published(newGauge("s", Channel{Decimals: 2}, c.rules, time.Second), c.in); got != c.wanted {
			t.Errorf("%s: %s\ngives  %s\nwanted %s", c.name, c.in, got, c.wanted)
		}
	}
	_, err := newGauge("s", Channel{}, Rules{Limits: &Limits{0, 1}}, time.Second).take(nil, json.RawMessage("2"), time.Time{}, false)
	if !errors.Is(err, ErrLimits) || !strings.Contains(err.Error(), "s: 2") {
		t.Errorf("outside: %v", err)
	}
}

func FuzzRules(f *testing.F) {
	f.Add(1.5, 2.0, 0.5, 1.0, "20.5")
	f.Add(0.0, 0.0, 0.0, 0.0, `"on"`)
	f.Add(1e308, 1e308, -1e308, 1e-300, "1e308")
	f.Fuzz(func(t *testing.T, scale, offset, change, step float64, value string) {
		if !json.Valid([]byte(value)) {
			return
		}
		g := newGauge("s", Channel{Decimals: 3}, Rules{Scale: scale, Offset: offset, Publish: Publish{OnChange: true, Change: change}}, time.Second)
		for range 2 {
			got, err := g.take(nil, json.RawMessage(value), time.Time{}, false)
			if err != nil && len(got) > 0 {
				t.Errorf("%v with %v", got, err)
			}
			for _, r := range got {
				if !json.Valid(r.value) {
					t.Errorf("%s", r.value)
				}
			}
		}
	})
}
