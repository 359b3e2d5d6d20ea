package xively

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var updateCSV = flag.Bool("update-csv", false, "write the golden files of testdata/csv anew")

func goldenCSV(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "csv", name)
	if *updateCSV {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

// csvFeed is a feed of which one datastream never had a value.
func csvFeed(t testing.TB) *Feed {
	return &Feed{ID: 504, Title: "Hut", Datastreams: []Datastream{
		{ID: "0", Value: "15", At: csvTime(t, "00:18:07.465267"), Tags: []string{"moisture"}},
		{ID: "soil-1", Value: "0000017", At: csvTime(t, "00:18:07")},
		{ID: "temp"},
		{ID: "text", Value: "red \"car\", used\nonce", At: csvTime(t, "00:18:08.1")},
		{ID: "blank", At: csvTime(t, "00:18:09")},
	}}
}

func csvHistory(t testing.TB) *Feed {
	return &Feed{ID: 504, Datastreams: []Datastream{
		{ID: "0", Value: "15", At: csvTime(t, "03:00:00"), Datapoints: []Datapoint{{csvTime(t, "00:00:00"), "1"}, {csvTime(t, "02:00:00"), "3"}}},
		{ID: "1", Value: "99", At: csvTime(t, "04:00:00"), Datapoints: []Datapoint{{csvTime(t, "01:00:00"), "2"}, {csvTime(t, "02:00:00"), "4"}}},
		{ID: "quiet", Value: "7", At: csvTime(t, "00:00:00"), Datapoints: []Datapoint{}},
	}}
}

func TestAppendCSV(t *testing.T) {
	doc := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	feed, history := csvFeed(t), csvHistory(t)
	other := &Feed{ID: 505, Datastreams: []Datastream{{ID: "a+b", Value: "1", At: csvTime(t, "00:00:00")}}}
	for name, got := range map[string][]byte{
		"feed_v1.csv":               doc(AppendFeed(nil, V1, CSV, feed)),
		"feed_v2.csv":               doc(AppendFeed(nil, V2, CSV, feed)),
		"feed_history_v2.csv":       doc(AppendFeed(nil, V2, CSV, history)),
		"feed_history_v1.csv":       doc(AppendFeed(nil, V1, CSV, history)),
		"feeds_v2.csv":              doc(AppendFeeds(nil, V2, CSV, List{Total: 2}, []*Feed{feed, other})),
		"datastream_v1.csv":         doc(AppendDatastream(nil, V1, CSV, feed, &feed.Datastreams[0])),
		"datastream_v2.csv":         doc(AppendDatastream(nil, V2, CSV, feed, &feed.Datastreams[0])),
		"datastream_never_v1.csv":   doc(AppendDatastream(nil, V1, CSV, feed, &feed.Datastreams[2])),
		"datastream_never_v2.csv":   doc(AppendDatastream(nil, V2, CSV, feed, &feed.Datastreams[2])),
		"datastream_history_v2.csv": doc(AppendDatastream(nil, V2, CSV, history, &history.Datastreams[1])),
		"datapoint_v1.csv":          doc(AppendDatapoint(nil, V1, CSV, feed, "0", Datapoint{csvTime(t, "00:00:00"), "12,5"})),
		"datapoint_v2.csv":          doc(AppendDatapoint(nil, V2, CSV, feed, "0", Datapoint{csvTime(t, "00:00:00"), "12,5"})),
		"activation.csv":            doc(AppendActivation(nil, CSV, &Activation{Key: "CeWz_-0", Feed: 504, Datastreams: []string{"a", "b"}})),
		"activation_none.csv":       doc(AppendActivation(nil, CSV, &Activation{Key: "CeWz_-0", Feed: 504})),
	} {
		goldenCSV(t, name, got)
	}
	if got := doc(AppendDatapoint([]byte("x"), V1, CSV, feed, "0", Datapoint{Value: "1"})); string(got) != "x1" {
		t.Errorf("appended to x: %q", got)
	}
	if got := doc(AppendFeed(nil, V2, CSV, &Feed{ID: 1})); len(got) != 0 {
		t.Errorf("a feed without datastreams: %q", got)
	}
}

// Times stand in the zone that a history query asked for.
func TestAppendCSVZone(t *testing.T) {
	zone := time.FixedZone("", -(3*60+30)*60)
	got := appendDatastreamCSV(nil, V2, &Datastream{ID: "0", Value: "1", At: csvTime(t, "00:18:07.465267").In(zone)})
	if want := "2013-05-09T20:48:07.465267-03:30,1"; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What can be read and written comes back as it went out.
func TestCSVBothWays(t *testing.T) {
	for name, feed := range map[string]*Feed{"present": csvFeed(t), "history": csvHistory(t)} {
		doc := appendFeedCSV(nil, V2, feed)
		w, err := DecodeFeed(V2, CSV, doc)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := appendFeedCSV(nil, V2, csvFeedOf(w)); string(again) != string(doc) {
			t.Errorf("%s:\n%s\ncomes back as\n%s", name, doc, again)
		}
	}
	w, err := DecodeFeed(V1, CSV, []byte("15,912,327,0"))
	if err != nil {
		t.Fatal(err)
	}
	if again := appendFeedCSV(nil, V1, csvFeedOf(w)); string(again) != "15,912,327,0" {
		t.Errorf("v1 comes back as %s", again)
	}
}
