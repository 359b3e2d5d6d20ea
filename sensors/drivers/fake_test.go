package drivers

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldgate/sensors"
)

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
	d, _ := sensors.Builtin().Lookup("fake")
	if _, wrong := d.Parse(map[string]string{"min": "5", "max": "1"}); len(wrong) != 1 {
		t.Errorf("limits the wrong way round: %v", wrong)
	}
	o, _ := d.Parse(map[string]string{"decimals": "3"})
	if ch := d.Channels(o); len(ch) != 1 || ch[0] != (sensors.Channel{Decimals: 3}) {
		t.Errorf("channels %v", ch)
	}
}
