package drivers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fieldgate/gateway"
	"fieldgate/sensors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBuiltin(t *testing.T) {
	if got := sensors.Builtin().Names(); !slices.Contains(got, "fake") || !slices.Contains(got, "replay") || !slices.IsSorted(got) {
		t.Errorf("drivers %v", got)
	}
	for _, name := range sensors.Builtin().Names() {
		d, _ := sensors.Builtin().Lookup(name)
		if d.Doc == "" {
			t.Errorf("%s has no line of documentation", name)
		}
		for _, o := range d.Options {
			if o.Doc == "" || o.Name == "" {
				t.Errorf("%s: option %q has no documentation", name, o.Name)
			}
			if slices.Contains([]string{"driver", "device", "sensor", "every", "bus", "channels", "name", "sensor_kind", "quantity", "unit", "scale", "offset", "points", "limits", "publish"}, o.Name) {
				t.Errorf("%s: option %s is a key that every sensor has", name, o.Name)
			}
		}
	}
}

// clock is a time that the test moves on.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func open(t *testing.T, driver string, c *clock, sensor string, written map[string]string) sensors.Sampler {
	t.Helper()
	d, _ := sensors.Builtin().Lookup(driver)
	o, wrong := d.Parse(written)
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	s, err := d.Open(t.Context(), sensors.Env{Device: "D", Sensor: sensor, Now: c.now}, o)
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
func series(t *testing.T, s sensors.Sampler, c *clock, n int, step time.Duration) []string {
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
