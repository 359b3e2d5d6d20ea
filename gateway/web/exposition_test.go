package web

import (
	"bytes"
	"math"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt" // Prometheus' own parser, as a witness
	"github.com/prometheus/common/model"

	"fieldgate/gateway"
)

func TestExposition(t *testing.T) {
	var e Exposition
	e.Gauge("b", "Second.", 1.5)
	e.Counter("a_total", "First,\nwith \\.", 3, "reason", "say \"no\"\n\\", "at", "x")
	e.Counter("a_total", "First,\nwith \\.", 1e21, "reason", "\xff", "at", "x")
	e.Gauge("c", "", math.Inf(1))
	e.Gauge("d", "", math.NaN())
	var b bytes.Buffer
	n, err := e.WriteTo(&b)
	want := `# HELP a_total First,\nwith \\.
# TYPE a_total counter
a_total{at="x",reason="say \"no\"\n\\"} 3
a_total{at="x",reason="�"} 1e+21
# HELP b Second.
# TYPE b gauge
b 1.5
# HELP c` + " " + `
# TYPE c gauge
c +Inf
# HELP d` + " " + `
# TYPE d gauge
d NaN
`
	if err != nil || n != int64(b.Len()) || b.String() != want {
		t.Errorf("%d, %v:\n%s", n, err, b.String())
	}
}

// FuzzExposition: whatever labels and texts are, Prometheus reads back what was
// put in.
func FuzzExposition(f *testing.F) {
	f.Add("Help.", "value", 1.0)
	f.Add("\\n\n\"", "a\"b\\\n", -0.5)
	f.Fuzz(func(t *testing.T, help, label string, v float64) {
		var e Exposition
		e.Counter("x_total", help, v, "l", label)
		e.Gauge("y", help, v)
		var b bytes.Buffer
		if _, err := e.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		parser := expfmt.NewTextParser(model.UTF8Validation)
		got, err := parser.TextToMetricFamilies(&b)
		if err != nil || len(got) != 2 {
			t.Fatalf("%v: %v in %q", err, got, text)
		}
		m := got["x_total"].GetMetric()
		if len(m) != 1 || m[0].GetLabel()[0].GetValue() != strings.ToValidUTF8(label, "�") ||
			m[0].GetCounter().GetValue() != v && !math.IsNaN(v) {
			t.Errorf("%v from %q", m, text)
		}
	})
}

// TestProcess: what every process tells of itself.
func TestProcess(t *testing.T) {
	b := newBench(t, func(c *Config, _ *gateway.Declared) { c.Metrics, c.OpenMetrics = func(*Exposition) {}, true })
	w := httptest.NewRecorder()
	b.ServeHTTP(w, request(t, "", "GET /metrics", ""))
	if got := w.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Error(got)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	got, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) float64 {
		m := got[name].GetMetric()
		if len(m) != 1 {
			t.Fatalf("%s: %v", name, m)
		}
		return m[0].GetGauge().GetValue() + m[0].GetCounter().GetValue()
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	if rss, virtual := value("process_resident_memory_bytes"), value("process_virtual_memory_bytes"); rss < 1<<20 || rss > virtual || virtual < float64(mem.Sys) {
		t.Errorf("resident %v, virtual %v, from the system %v", rss, virtual, mem.Sys)
	}
	if open, most := value("process_open_fds"), value("process_max_fds"); open < 3 || open > most {
		t.Errorf("%v of %v descriptors", open, most)
	}
	if start := value("process_start_time_seconds"); start < 1.7e9 || value("process_threads") < 1 || value("process_cpu_seconds_total") < 0 {
		t.Errorf("started at %v", start)
	}
}
