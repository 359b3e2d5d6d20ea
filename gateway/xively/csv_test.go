package xively

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func csvPtr[T any](v T) *T { return &v }

// csvTime is a time of the reference's day, "00:18:07.465267" or so.
func csvTime(t testing.TB, clock string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.999999999", "2013-05-10T"+clock)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// refused checks that err is an *Error with the status, whose text has says.
func refused(t *testing.T, err error, status int, says string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("error is %v, not an *Error", err)
		return
	}
	if e.Status != status || !strings.Contains(e.Error(), says) {
		t.Errorf("error is %d %v, want %d %s", e.Status, e, status, says)
	}
}

const csvAt = "2013-05-10T00:18:07.465267Z"

func TestDecodeFeedCSV(t *testing.T) {
	at := csvTime(t, "00:18:07.465267")
	value := func(id, v string) DatastreamWrite { return DatastreamWrite{ID: id, Value: &v} }
	for _, c := range []struct {
		name, body string
		version    Version
		want       []DatastreamWrite
	}{
		{"one", "0,29", V2, []DatastreamWrite{value("0", "29")}},
		{"zeros are kept", "a,0000017", V2, []DatastreamWrite{value("a", "0000017")}},
		{"space after the comma", "example, 333", V2, []DatastreamWrite{value("example", "333")}},
		{"CRLF and an end of line", "ADC0,12\r\nADC1,7\r\n", V2, []DatastreamWrite{value("ADC0", "12"), value("ADC1", "7")}},
		{"CR", "a,1\rb,2", V2, []DatastreamWrite{value("a", "1"), value("b", "2")}},
		{"byte order mark", "\ufeffa,1", V2, []DatastreamWrite{value("a", "1")}},
		{"trimmed within quotes", `a," red car "`, V2, []DatastreamWrite{value("a", "red car")}},
		{"quotes", "a,\"x,y \"\"z\"\"\nw\"\nb,\"\"", V2, []DatastreamWrite{value("a", "x,y \"z\"\nw"), value("b", "")}},
		{"with a time", "a," + csvAt + ",1", V2, []DatastreamWrite{{ID: "a", Value: csvPtr("1"), At: at}}},
		{"with an offset", "a,2013-05-10T02:18:07.465267+02:00,1", V2, []DatastreamWrite{{ID: "a", Value: csvPtr("1"), At: at}}},
		{"empty value", "id,", V2, []DatastreamWrite{value("id", "")}},
		{"empty time and value", "0,,", V2, []DatastreamWrite{value("0", "")}},
		{"letters", "üöä,1", V2, []DatastreamWrite{value("üöä", "1")}},
		{"grouped", "a," + csvAt + ",1\nb,5\na,2013-05-10T00:19:07Z,2", V2, []DatastreamWrite{
			{ID: "a", Datapoints: []Datapoint{{At: at, Value: "1"}, {At: csvTime(t, "00:19:07"), Value: "2"}}}, value("b", "5")}},
		{"v1", "15,912,0327,0", V1, []DatastreamWrite{value("0", "15"), value("1", "912"), value("2", "0327"), value("3", "0")}},
		{"v1 empty", "0,,", V1, []DatastreamWrite{value("0", "0"), value("1", ""), value("2", "")}},
	} {
		got, err := DecodeFeed(c.version, CSV, []byte(c.body))
		if err != nil || !reflect.DeepEqual(got, FeedWrite{Datastreams: c.want}) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestDecodeFeedCSVRefusals(t *testing.T) {
	for _, c := range []struct {
		name, body string
		version    Version
		status     int
		says       string
	}{
		{"empty", "", V2, 400, "empty"},
		{"white space", " \r\n ", V2, 400, "empty"},
		{"one cell", "29", V2, 400, "row 1: 1 cells"},
		{"four cells", "a,1\nb," + csvAt + ",1,2", V2, 400, "row 2: 4 cells"},
		{"blank line", "a,1\n\nb,2", V2, 400, "row 2: 1 cells"},
		{"no time", "a,12,5", V2, 400, `"12" is not an ISO 8601 time`},
		{"mixed timed and untimed", "a,2013-05-10T00:18:07Z,1\na,2", V2, 400, `the datastream "a"`},
		{"several with an empty time", "a,2013-05-10T00:18:07Z,1\na,,2", V2, 400, `the datastream "a"`},
		{"open quote", `a,"1`, V2, 400, "not closed"},
		{"quote in a cell", `a,1"2"`, V2, 400, "a quote within a cell"},
		{"quote after a space", `a, "1"`, V2, 400, "a quote within a cell"},
		{"text after a quote", `a,"1"2`, V2, 400, "after a closing quote"},
		{"not UTF-8", "a,\xff", V2, 400, "UTF-8"},
		{"bad id", "red hat,1", V2, 422, "datastreams_id is invalid"},
		{"bad id", "foo*,1", V2, 422, "datastreams_id is invalid"},
		{"bad id", "KYB:FOO,1", V2, 422, "datastreams_id is invalid"},
		{"no id", ",1", V2, 422, "datastreams_id can't be blank"},
		{"long value", "a," + strings.Repeat("ü", 256), V2, 422, "datastreams_current_value is too long (maximum is 255 characters)"},
		{"501 datapoints", strings.Repeat("a,"+csvAt+",1\n", 501), V2, 422, "datapoints are too many (maximum is 500)"},
		{"very many rows", strings.Repeat("a,1\n", 2000), V2, 422, "too many"},
		{"far time", "a,2500-01-01T00:00:00Z,1", V2, 422, "datastreams_at is invalid"},
		{"blank datapoint", "a,2013-05-10T00:18:07Z,\na,2013-05-10T00:18:08Z,1", V2, 422, "datastreams_datapoints_value can't be blank"},
		{"v1 rows", "1,2\n3,4", V1, 400, "2 rows"},
		{"v1 empty", "", V1, 400, "empty"},
		{"v1 many", strings.Repeat("1,", 1000) + "1", V1, 422, "datastreams are too many"},
		{"large", strings.Repeat("x", MaxBody+1), V2, 413, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := DecodeFeed(c.version, CSV, []byte(c.body))
			refused(t, err, c.status, c.says)
			if !reflect.DeepEqual(got, FeedWrite{}) {
				t.Errorf("and gives %+v", got)
			}
		})
	}
	if _, err := DecodeFeed(V2, CSV, []byte(strings.Repeat("a,"+csvAt+",1\n", 500))); err != nil {
		t.Errorf("500 datapoints: %v", err)
	}
	if _, err := DecodeFeed(V2, CSV, []byte("a,"+strings.Repeat("ü", 255))); err != nil {
		t.Errorf("255 characters: %v", err)
	}
}

func TestDecodeDatastreamCSV(t *testing.T) {
	at := csvTime(t, "00:18:07.465267")
	for _, c := range []struct {
		body    string
		version Version
		want    DatastreamWrite
	}{
		{"29", V2, DatastreamWrite{Value: csvPtr("29")}},
		{"29\n", V2, DatastreamWrite{Value: csvPtr("29")}},
		{`"12,5"`, V2, DatastreamWrite{Value: csvPtr("12,5")}},
		{`""`, V2, DatastreamWrite{Value: csvPtr("")}},
		{csvAt + ",29", V2, DatastreamWrite{Value: csvPtr("29"), At: at}},
		{csvAt + ",29\n2013-05-10T00:19:07Z, 30", V2, DatastreamWrite{Datapoints: []Datapoint{{at, "29"}, {csvTime(t, "00:19:07"), "30"}}}},
		{"29", V1, DatastreamWrite{Value: csvPtr("29")}},
		{`"12,5"`, V1, DatastreamWrite{Value: csvPtr("12,5")}},
	} {
		got, err := DecodeDatastream(c.version, CSV, "0", []byte(c.body))
		if c.want.ID = "0"; err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("v%d %q: %+v, %v", c.version, c.body, got, err)
		}
	}
	for _, c := range []struct {
		body    string
		version Version
		status  int
	}{
		{"", V2, 400}, {"12,5", V2, 400}, {"1\n2", V2, 400}, {csvAt + ",1\n2", V2, 400}, {"a," + csvAt + ",1", V2, 400},
		{csvAt + ",29", V1, 400}, {"1\n2", V1, 400}, {strings.Repeat("1", 256), V1, 422},
	} {
		_, err := DecodeDatastream(c.version, CSV, "0", []byte(c.body))
		refused(t, err, c.status, "")
	}
}

func TestDecodeDatapointsCSV(t *testing.T) {
	at := csvTime(t, "00:18:07.465267")
	got, err := DecodeDatapoints(V2, CSV, []byte(csvAt+",1\r\n"+csvAt+",2\r\n"))
	if want := []Datapoint{{at, "1"}, {at, "2"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for body, status := range map[string]int{"": 400, "1": 400, ",1": 400, "12,5": 400, csvAt + ",1,2": 400,
		csvAt + ",": 422, strings.Repeat(csvAt+",1\n", 501): 422} {
		_, err := DecodeDatapoints(V2, CSV, []byte(body))
		refused(t, err, status, "")
	}
	for body, want := range map[string]Datapoint{"5": {Value: "5"}, csvAt + ",5": {at, "5"}} {
		if got, err := DecodeDatapoint(V2, CSV, []byte(body)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", body, got, err)
		}
	}
	for body, status := range map[string]int{"": 400, "1\n2": 400, "1,2": 400, `""`: 422} {
		_, err := DecodeDatapoint(V2, CSV, []byte(body))
		refused(t, err, status, "")
	}
	ds, err := DecodeDatastreams(V2, CSV, []byte("a,1\nb,"))
	if want := []DatastreamWrite{{ID: "a", Value: csvPtr("1")}, {ID: "b", Value: csvPtr("")}}; err != nil || !reflect.DeepEqual(ds, want) {
		t.Errorf("%+v, %v", ds, err)
	}
}

// What is written as CSV is read back as the same. Version 1 has no ids.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"0,29", "0,,", "a,\"x,\"\"y\"\"\"\r\nb, 2\n", "a," + csvAt + ",1\na," + csvAt + ",2", "15,912,327,0", `""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, v := range []Version{V1, V2} {
			if w, err := DecodeFeed(v, CSV, []byte(body)); err == nil {
				again, err := DecodeFeed(v, CSV, appendFeedCSV(nil, v, csvFeedOf(w)))
				if err != nil && len(w.Datastreams) != 1 {
					t.Fatalf("v%d: %q is read, but not as it is written: %v", v, body, err)
				}
				if got, want := csvSum(again), csvSum(w); err == nil && got != want {
					t.Fatalf("v%d: %q is read as\n%s\nand then as\n%s", v, body, want, got)
				}
			}
			DecodeDatastream(v, CSV, "0", []byte(body))
		}
		DecodeDatapoints(V2, CSV, []byte(body))
		DecodeDatapoint(V2, CSV, []byte(body))
	})
}

// csvFeedOf is a feed that holds just what was written.
func csvFeedOf(w FeedWrite) *Feed {
	feed := &Feed{ID: 504}
	for _, d := range w.Datastreams {
		stream := Datastream{ID: d.ID, At: d.At, Datapoints: d.Datapoints}
		if d.Value != nil {
			stream.Value = *d.Value
		}
		feed.Datastreams = append(feed.Datastreams, stream)
	}
	return feed
}

// csvSum is all values of w in the order of their datastreams' ids and times.
func csvSum(w FeedWrite) string {
	feed := csvFeedOf(w)
	for i := range feed.Datastreams {
		d := &feed.Datastreams[i]
		if d.Datapoints == nil {
			d.Datapoints = []Datapoint{{d.At, d.Value}}
		}
	}
	return string(appendFeedsCSV(nil, V2, []*Feed{feed}))
}
