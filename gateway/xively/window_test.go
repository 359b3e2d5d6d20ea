package xively

import (
	"net/url"
	"os"
	"testing"
	"time"
)

var csvNow = time.Date(2013, 5, 10, 12, 0, 0, 0, time.UTC)

func TestParseWindow(t *testing.T) {
	const hour = time.Hour
	ago := func(d time.Duration) time.Time { return csvNow.Add(-d) }
	for _, c := range []struct {
		query   string
		minimum time.Duration
		want    Window
	}{
		{"", 0, Window{}},
		{"start", 0, Window{}},
		{"duration=6hours", 0, Window{}},
		{"duration=6hours&interval=60", 0, Window{Interval: time.Minute}},
		{"duration=90+seconds", 0, Window{Start: ago(90 * time.Second)}},
		{"duration=1second", 0, Window{Start: ago(time.Second)}},
		{"duration=1.5Hours", 0, Window{Start: ago(90 * time.Minute)}},
		{"duration=3minutes", 0, Window{Start: ago(3 * time.Minute)}},
		{"duration=1day&interval=60", 0, Window{Start: ago(24 * hour), Interval: time.Minute}},
		{"duration=2weeks&interval=900", 0, Window{Start: ago(14 * 24 * hour), Interval: 15 * time.Minute}},
		{"duration=1month&interval=3600", 0, Window{Start: ago(30 * 24 * hour), Interval: hour}},
		{"duration=1year&interval=86400", 0, Window{Start: ago(365 * 24 * hour), Interval: 24 * hour}},
		// A window too long for its interval is cut to what lies next to its end,
		{"duration=1day", 0, Window{}},
		{"duration=200years&interval=30", 0, Window{Start: ago(12 * hour), Interval: 30 * time.Second}},
		{"end=2013-05-10T10:00:00Z&duration=1day", 0, Window{Start: ago(8 * hour), End: ago(2 * hour)}},
		{"end=2013-05-10T10:00:00Z", 0, Window{Start: ago(8 * hour), End: ago(2 * hour)}},
		// or next to its start where that is given.
		{"start=2013-05-01T00:00:00Z", 0, Window{Start: ago(228 * hour), End: ago(222 * hour)}},
		{"start=2013-05-01T00:00:00Z&duration=1day", 0, Window{Start: ago(228 * hour), End: ago(222 * hour)}},
		{"start=2013-05-01T00:00:00Z&end=2013-05-09T00:00:00Z", 0, Window{Start: ago(228 * hour), End: ago(222 * hour)}},
		{"start=2013-05-10T11:00:00Z", 0, Window{Start: ago(hour)}},
		{"start=2013-05-10T11:00:00Z&duration=1minute", 0, Window{Start: ago(hour), End: ago(59 * time.Minute)}},
		{"start=2013-05-10T13:00:00+02:00", 0, Window{Start: ago(hour)}},
		{"start=2013-05-10T13:00:00%2B02:00", 0, Window{Start: ago(hour)}},
		{"start=2013-05-10+11:00:00", 0, Window{Start: ago(hour)}},
		{"start=2013-05-10T08:00:00Z&end=2013-05-10T09:00:00Z", 0, Window{Start: ago(4 * hour), End: ago(3 * hour)}},
		{"start=2013-05-10T13:00:00Z&duration=1hour", 0, Window{Start: ago(-hour), End: ago(-2 * hour)}},
		{"start=2013-05-10T11:00:00Z&duration=2hours&interval=60", 0, Window{Start: ago(hour), Interval: time.Minute}},
		{"start=2013-05-10T13:00:00Z", 0, Window{Start: ago(-hour)}},
		// Intervals are rounded up, and a key can ask for coarser ones.
		{"interval=1", 0, Window{Start: ago(12 * hour), Interval: 30 * time.Second}},
		{"interval=31", 0, Window{Start: ago(24 * hour), Interval: time.Minute}},
		{"interval=301", 0, Window{Start: ago(14 * 24 * hour), Interval: 15 * time.Minute}},
		{"interval=43201", 0, Window{Start: ago(365 * 24 * hour), Interval: 24 * hour}},
		{"duration=1hour", 45 * time.Second, Window{Start: ago(hour), Interval: time.Minute}},
		{"duration=1hour&interval=30", 300 * time.Second, Window{Start: ago(hour), Interval: 5 * time.Minute}},
		{"interval=3600&duration=1hour", 60 * time.Second, Window{Start: ago(hour), Interval: hour}},
		{"interval=3600", 25 * hour, Window{Start: ago(365 * 24 * hour), Interval: 48 * hour}},
		{"interval_type=discrete&find_previous=true", 0, Window{Discrete: true, FindPrevious: true}},
		{"find_previous", 0, Window{FindPrevious: true}},
		{"find_previous=false", 0, Window{}},
		{"limit=1", 0, Window{Limit: 1}},
		{"limit=1000", 0, Window{Limit: 1000}},
		{"limit=5000", 0, Window{Limit: 1000}},
		{"per_page=10&page=3", 0, Window{Limit: 10, Skip: 20}},
		{"per_page=5000&page=2", 0, Window{Limit: 1000, Skip: 1000}},
		{"page=2", 0, Window{Limit: 100, Skip: 100}},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		want := c.want
		if want.Limit == 0 {
			want.Limit = DefaultLimit
		}
		if want.Start.IsZero() {
			want.Start = ago(6 * hour)
		}
		if want.End.IsZero() {
			want.End = csvNow
		}
		want.Zone = time.UTC
		got, at, asked, err := ParseWindow(q, csvNow, c.minimum)
		if err != nil || got != want || !at.IsZero() || asked != (c.query != "") {
			t.Errorf("%s: %+v, %v, %v, %v\nwant %+v", c.query, got, at, asked, err, want)
		}
	}
}

func TestParseWindowTime(t *testing.T) {
	_, at, asked, err := ParseWindow(url.Values{"time": {"2013-05-10T02:00:00+02:00"}}, csvNow, 0)
	if want := csvNow.Add(-12 * time.Hour); err != nil || !asked || !at.Equal(want) {
		t.Errorf("%v, %v, %v", at, asked, err)
	}
	w, _, asked, err := ParseWindow(url.Values{"timezone": {"-3.5"}, "datastreams": {"a"}}, csvNow, 0)
	if err != nil || asked || csvNow.In(w.Zone).Format(time.RFC3339) != "2013-05-10T08:30:00-03:30" {
		t.Errorf("a time zone alone: %v, %v, %v", w.Zone, asked, err)
	}
}

func TestParseWindowRefusals(t *testing.T) {
	for _, query := range []string{
		"start=2013-05-10&end=2013-05-11&duration=1hour", "start=2013-05-11&end=2013-05-10",
		"start=yesterday", "start=1066-10-14", "end=9999-01-01", "time=12", "end=2013-05-10T00:00:00+99:00",
		"duration=6", "duration=hours", "duration=0hours", "duration=-1hour", "duration=1fortnight", "duration=1e9years", "duration=999999999999999999999years",
		"duration=1..5hours", "duration=6hourss", "duration=1 2hours",
		"interval=-1", "interval=x", "interval=86401", "interval=99999999999999999999", "interval=1.5", "interval_type=continuous",
		"limit=0", "limit=-1", "limit=x", "limit=99999999999999999999", "per_page=0", "page=0", "page=1000001", "page=-1", "find_previous=maybe",
		"timezone=15", "timezone=-14.5", "timezone=1e300", "timezone=NaN", "timezone=Nowhere", "timezone=Local", "timezone=../../etc/passwd", "timezone=/etc/localtime",
		"timezone=Europe/../Europe/Berlin", "timezone=a/b/c/d", "timezone=Europe//Berlin", `timezone=Europe\Berlin`, "timezone=.hidden", "timezone=zone.tab",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		w, _, _, err := ParseWindow(q, csvNow, 0)
		if err == nil {
			t.Errorf("%s: %+v", query, w)
			continue
		}
		refused(t, err, 400, "")
		if w.Zone == nil {
			t.Errorf("%s: no zone beside the error", query)
		}
	}
}

func TestZones(t *testing.T) {
	offset := func(zone string) (string, error) {
		w, _, _, err := ParseWindow(url.Values{"timezone": {zone}}, csvNow, 0)
		return csvNow.In(w.Zone).Format("-07:00"), err
	}
	for zone, want := range map[string]string{"": "+00:00", "UTC": "+00:00", "-3.5": "-03:30", "+2": "+02:00", " 2": "+02:00", "14": "+14:00", "5.75": "+05:45", "0": "+00:00"} {
		if got, err := offset(zone); err != nil || got != want {
			t.Errorf("%q: %s, %v", zone, got, err)
		}
	}
	if _, err := time.LoadLocation("Europe/Berlin"); err != nil {
		if os.Getenv("FIELDGATE_CI") != "" {
			t.Fatal(err)
		}
		t.Skip("this machine has no database of time zones:", err)
	}
	for zone, want := range map[string]string{"Europe/Berlin": "+02:00", "Berlin": "+02:00", "America/Argentina/Buenos_Aires": "-03:00", "Etc/GMT+5": "-05:00",
		"Eastern Time (US & Canada)": "-04:00", "New Delhi": "+05:30"} {
		if got, err := offset(zone); err != nil || got != want {
			t.Errorf("%q: %s, %v", zone, got, err)
		}
	}
	for name, iana := range railsZones {
		if !zoneName(iana) {
			t.Errorf("%s stands for %s, which is no name of a zone", name, iana)
		}
		if _, err := offset(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzWindow(f *testing.F) {
	for _, s := range []string{"duration=6hours&interval=60", "start=2013-05-10T00:00:00+02:00&duration=1day", "page=3&per_page=10&timezone=-3.5", "time=2013-05-10&find_previous"} {
		f.Add(s, int64(60))
	}
	f.Fuzz(func(t *testing.T, query string, minimum int64) {
		q, err := parseQuery(query)
		if err != nil {
			return
		}
		w, _, _, err := ParseWindow(q, csvNow, time.Duration(minimum))
		if err != nil {
			refused(t, err, 400, "")
			return
		}
		checkWindow(t, w)
		if w.Interval < time.Duration(minimum) && time.Duration(minimum) < maxDuration {
			t.Fatalf("%s: interval %v, but at least %v is to be", query, w.Interval, time.Duration(minimum))
		}
		s := NewSampler(w, Datapoint{At: w.Start.Add(-time.Hour), Value: "0"})
		for at := w.Start.Add(-time.Minute); !at.After(w.End.Add(time.Hour)) && s.Add(Datapoint{At: at, Value: "1"}); {
			at = at.Add(max(w.End.Sub(w.Start)/50, time.Minute))
		}
		if n := len(s.Datapoints()); n > w.Limit {
			t.Fatalf("%s: %d datapoints", query, n)
		}
	})
}
