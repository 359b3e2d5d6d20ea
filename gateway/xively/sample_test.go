package xively

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// sampled runs points such as "00:01:30=5" through a sampler and writes the
// result in the same way.
func sampled(t *testing.T, w Window, before string, points ...string) string {
	t.Helper()
	read := func(s string) Datapoint {
		clock, value, ok := strings.Cut(s, "=")
		if !ok {
			return Datapoint{}
		}
		return Datapoint{At: csvTime(t, clock), Value: value}
	}
	if w.Limit == 0 {
		w.Limit = DefaultLimit
	}
	s := NewSampler(w, read(before))
	for _, p := range points {
		if !s.Add(read(p)) {
			break
		}
	}
	out := s.Datapoints()
	if out == nil {
		t.Error("the result is nil")
	}
	texts := make([]string, len(out))
	for i, p := range out {
		texts[i] = p.At.Format("15:04:05.999") + "=" + p.Value
	}
	return strings.Join(texts, " ")
}

func TestSampler(t *testing.T) {
	span := func(from, to string, interval time.Duration) Window {
		return Window{Start: csvTime(t, from), End: csvTime(t, to), Interval: interval}
	}
	with := func(w Window, change func(*Window)) Window { change(&w); return w }
	raw := span("01:00:00", "02:00:00", 0)
	minutes := span("01:00:00", "01:05:00", time.Minute)
	discrete := func(w *Window) { w.Discrete = true }
	previous := func(w *Window) { w.FindPrevious = true }
	for _, c := range []struct {
		name   string
		w      Window
		before string
		points string
		want   string
	}{
		{"nothing", raw, "", "", ""},
		{"as they are", raw, "00:59:00=0", "01:00:00=1 01:00:00.5=2 02:00:00=3", "01:00:00=1 01:00:00.5=2 02:00:00=3"},
		{"outside", raw, "", "00:59:59=0 01:30:00=1 02:00:00.001=2", "01:30:00=1"},
		{"same time", raw, "", "01:00:00=1 01:00:00=2 01:30:00=3 01:30:00=4", "01:00:00=2 01:30:00=4"},
		{"before", with(raw, previous), "00:59:00=0", "01:30:00=1", "00:59:00=0 01:30:00=1"},
		{"no before", with(raw, previous), "", "01:30:00=1", "01:30:00=1"},
		{"limit", with(raw, func(w *Window) { w.Limit = 2 }), "", "01:01:00=1 01:02:00=2 01:03:00=3", "01:01:00=1 01:02:00=2"},
		{"second page", with(raw, func(w *Window) { w.Limit, w.Skip = 2, 2 }), "", "01:01:00=1 01:02:00=2 01:03:00=3 01:04:00=4 01:05:00=5", "01:03:00=3 01:04:00=4"},
		{"page past the end", with(raw, func(w *Window) { w.Skip = 100 }), "", "01:01:00=1", ""},
		{"before counts", with(raw, func(w *Window) { w.Limit, w.FindPrevious = 1, true }), "00:59:00=0", "01:30:00=1", "00:59:00=0"},

		{"held", minutes, "", "01:00:30=1 01:02:30=2 01:02:40=3", "01:01:00=1 01:02:00=1 01:03:00=3 01:04:00=3 01:05:00=3"},
		{"held from before", minutes, "00:10:00=0", "01:02:30=2", "01:00:00=0 01:01:00=0 01:02:00=0 01:03:00=2 01:04:00=2 01:05:00=2"},
		{"held from before, no others", minutes, "00:10:00=0", "", "01:00:00=0 01:01:00=0 01:02:00=0 01:03:00=0 01:04:00=0 01:05:00=0"},
		{"at a slot", minutes, "", "01:01:00=1 01:03:00=2", "01:01:00=1 01:02:00=1 01:03:00=2 01:04:00=2 01:05:00=2"},
		{"same time at a slot", minutes, "", "01:04:00=1 01:04:00=2", "01:04:00=2 01:05:00=2"},
		{"no value", minutes, "", "", ""},
		{"not from the window's start", span("01:00:30", "01:02:30", time.Minute), "00:10:00=0", "01:01:30=1", "01:01:00=0 01:02:00=1"},
		{"from midnight", span("01:30:00", "06:30:00", 3*time.Hour), "", "02:00:00=1 05:00:00=2", "03:00:00=1 06:00:00=2"},
		{"no slot", span("01:00:01", "01:00:59", time.Minute), "00:10:00=0", "01:00:30=1", ""},
		{"empty window", span("02:00:00", "01:00:00", time.Minute), "00:10:00=0", "", ""},
		{"held with before", with(minutes, func(w *Window) { w.Limit, w.FindPrevious = 2, true }), "00:10:00=0", "", "00:10:00=0 01:00:00=0"},
		{"second page of slots", with(minutes, func(w *Window) { w.Limit, w.Skip = 2, 2 }), "", "01:00:00=1 01:03:00=2", "01:02:00=1 01:03:00=2"},

		{"discrete", with(minutes, discrete), "", "01:00:30=1 01:02:30=2 01:02:40=3", "01:01:00=1 01:03:00=3"},
		{"discrete at a slot", with(minutes, discrete), "", "01:01:00=1 01:01:00.001=2", "01:01:00=1 01:02:00=2"},
		{"discrete, long before", with(minutes, discrete), "00:10:00=0", "01:04:30=1", "01:05:00=1"},
		{"discrete, just before", with(minutes, discrete), "00:59:30=0", "01:04:30=1", "01:00:00=0 01:05:00=1"},
		{"discrete, slot past the end", with(span("01:00:00", "01:05:30", time.Minute), discrete), "", "01:05:10=1", ""},
	} {
		if got := sampled(t, c.w, c.before, strings.Fields(c.points)...); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
}

// A long window of a fine interval takes no longer than its result, and no
// datapoint after the last one that counts is asked for.
func TestSamplerStops(t *testing.T) {
	w := Window{Start: csvTime(t, "00:00:00"), End: csvTime(t, "23:59:59"), Limit: 10, Interval: time.Minute}
	s := NewSampler(w, Datapoint{})
	added := 0
	for i := range 1000 {
		added++
		if !s.Add(Datapoint{At: w.Start.Add(time.Duration(i) * time.Minute), Value: fmt.Sprint(i)}) {
			break
		}
	}
	if out := s.Datapoints(); added != 11 || len(out) != 10 || out[9].Value != "9" {
		t.Errorf("%d added for %v", added, out)
	}
	if s.Add(Datapoint{At: w.End, Value: "x"}) {
		t.Error("more is wanted after the result")
	}
}
