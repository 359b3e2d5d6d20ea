package xively

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var updateXML = flag.Bool("update-xml", false, "write the golden files of testdata/xml anew")

// goldenXML compares got with a golden file.
func goldenXML(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "xml", name)
	if *updateXML {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// readXML gives a file of testdata/xml.
func readXML(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "xml", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// canonicalXML is a document's tokens, one a line, without its declaration and
// the white space between elements.
func canonicalXML(t *testing.T, doc []byte) string {
	t.Helper()
	var out strings.Builder
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		switch token := token.(type) {
		case xml.ProcInst:
		case xml.CharData:
			if s := strings.TrimSpace(string(token)); s != "" {
				fmt.Fprintf(&out, "text %q\n", s)
			}
		case xml.StartElement:
			fmt.Fprintf(&out, "start %v\n", token)
		case xml.EndElement:
			fmt.Fprintf(&out, "end %v\n", token)
		default:
			t.Fatalf("%T", token)
		}
	}
}

// sameXML compares got with a block of the reference, which is laid out freely.
func sameXML(t *testing.T, name string, got []byte) {
	t.Helper()
	if got, want := canonicalXML(t, got), canonicalXML(t, readXML(t, name)); got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// xmlAt is a time of the tests.
func xmlAt(t testing.TB, s string) time.Time {
	t.Helper()
	tm, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func xmlPtr[T any](v T) *T { return &v }

// xmlFeedV2 is the feed of the reference, section 4.1.
func xmlFeedV2(t testing.TB) *Feed {
	return &Feed{
		ID: 504, Title: "Hut", Description: "North field", Website: "http://x/", Tags: []string{"farm", "hut"},
		URL: "https://api.xively.com/v2/feeds/504", Live: true, Creator: "https://xively.com/users/ann",
		Updated: xmlAt(t, "2013-05-10T00:18:07.703576Z"), Created: xmlAt(t, "2013-03-29T15:50:43.398788Z"),
		Datastreams: []Datastream{{
			ID: "soil-1", Value: "31.5", At: xmlAt(t, "2013-05-10T00:18:07.465267Z"), Max: "44.0", Min: "12.5",
			Tags: []string{"moisture"}, Unit: Unit{Type: "derivedUnits", Symbol: "%", Label: "percent"},
			Datapoints: []Datapoint{{At: xmlAt(t, "2013-05-10T00:03:07Z"), Value: "31.2"}},
		}, {ID: "new-one"}},
		Location: &Location{Name: "hut", Disposition: "mobile", Exposure: "outdoor", Domain: "physical",
			Lat: xmlPtr(6.37), Lon: xmlPtr(2.39), Ele: "23.0"},
	}
}

// xmlFeedV1 is the feed of the reference, section 4.3.
func xmlFeedV1(t testing.TB) *Feed {
	return &Feed{
		ID: 504, Title: "Hut", URL: "http://api.xively.com/v2/feeds/504", Live: true,
		Updated: xmlAt(t, "2011-02-22T14:28:50.590716Z"),
		Datastreams: []Datastream{{
			ID: "0", Value: "129", At: xmlAt(t, "2011-02-22T14:28:50.590716Z"), Max: "658.0", Min: "0.0",
			Tags: []string{"humidity"}, Unit: Unit{Type: "derivedSI", Symbol: "C", Label: "Celsius"},
		}},
		Location: &Location{Domain: "physical", Lat: xmlPtr(6.37), Lon: xmlPtr(2.39)},
	}
}

func mustXML(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestAppendFeedXML(t *testing.T) {
	must := mustXML(t)
	got := must(AppendFeed(nil, V2, XML, xmlFeedV2(t)))
	goldenXML(t, "feed_v2.xml", got)
	sameXML(t, "reference_feed_v2.xml", got)
	got = must(AppendFeed(nil, V1, XML, xmlFeedV1(t)))
	goldenXML(t, "feed_v1.xml", got)
	sameXML(t, "reference_feed_v1.xml", got)

	// What version 1 does not have is left out, the rest has its place.
	full := xmlFeedV2(t)
	full.Private, full.User, full.ProductID, full.DeviceSerial = true, "ann", "h5wT2IlOMrd09r_qd1jm", "ABC"
	full.Icon, full.Email, full.Live = "http://x/i.png", "a@b.c", false
	full.Location.Waypoints = []Waypoint{{At: xmlAt(t, "2013-05-09T00:00:00Z"), Lat: 6.36, Lon: 2.38, Ele: "22.0"}}
	goldenXML(t, "feed_full_v2.xml", must(AppendFeed(nil, V2, XML, full)))
	goldenXML(t, "feed_full_v1.xml", must(AppendFeed(nil, V1, XML, full)))
	goldenXML(t, "feed_empty_v2.xml", must(AppendFeed(nil, V2, XML, &Feed{ID: 1})))
	goldenXML(t, "feed_empty_v1.xml", must(AppendFeed(nil, V1, XML, &Feed{ID: 1})))
	if got := must(AppendFeed([]byte("before"), V2, XML, full)); !bytes.HasPrefix(got, []byte("before<?xml")) {
		t.Errorf("got %.20q", got)
	}
}

func TestAppendOtherFeedXML(t *testing.T) {
	must := mustXML(t)
	for _, v := range []Version{V1, V2} {
		feed := xmlFeedV2(t)
		goldenXML(t, fmt.Sprintf("datastream_v%d.xml", v), must(AppendDatastream(nil, v, XML, feed, &feed.Datastreams[0])))
		goldenXML(t, fmt.Sprintf("feeds_v%d.xml", v), must(AppendFeeds(nil, v, XML,
			List{Total: 12, Start: 2, PerPage: 2}, []*Feed{feed, {ID: 7, Title: "Barn"}})))
	}
	feed := xmlFeedV2(t)
	goldenXML(t, "datapoint.xml", must(AppendDatapoint(nil, V2, XML, feed, "soil-1", feed.Datastreams[0].Datapoints[0])))
}

func TestDecodeFeedXML(t *testing.T) {
	wantV2 := FeedWrite{
		Title: xmlPtr("Hut"), Private: xmlPtr(false), Description: xmlPtr("North field"), Website: xmlPtr("http://x/"),
		Tags: &[]string{"farm", "hut"}, Updated: xmlAt(t, "2013-05-10T00:18:07.703576Z"),
		Location: xmlFeedV2(t).Location,
		Datastreams: []DatastreamWrite{{
			ID: "soil-1", Value: xmlPtr("31.5"), At: xmlAt(t, "2013-05-10T00:18:07.465267Z"), Max: xmlPtr("44.0"), Min: xmlPtr("12.5"),
			Tags: &[]string{"moisture"}, Unit: &Unit{Type: "derivedUnits", Symbol: "%", Label: "percent"},
			Datapoints: []Datapoint{{At: xmlAt(t, "2013-05-10T00:03:07Z"), Value: "31.2"}},
		}, {ID: "new-one"}},
	}
	wantV1 := FeedWrite{
		Title: xmlPtr("Hut"), Updated: xmlAt(t, "2011-02-22T14:28:50Z"), Location: xmlFeedV1(t).Location,
		Datastreams: []DatastreamWrite{{
			ID: "0", Value: xmlPtr("129"), Max: xmlPtr("658.0"), Min: xmlPtr("0.0"),
			Tags: &[]string{"humidity"}, Unit: &Unit{Type: "derivedSI", Symbol: "C", Label: "Celsius"},
		}},
	}
	for _, v := range []Version{V1, V2} { // the document's version counts, not the URL's
		for _, c := range []struct {
			file string
			want FeedWrite
		}{
			{"reference_feed_v2.xml", wantV2}, {"feed_v2.xml", wantV2},
			{"reference_feed_v1.xml", wantV1}, {"feed_v1.xml", wantV1},
		} {
			got, err := DecodeFeed(v, XML, readXML(t, c.file))
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: got %+v, %v, want %+v", c.file, got, err, c.want)
			}
		}
		d, err := DecodeDatastream(v, XML, "soil-1", readXML(t, "datastream_v2.xml"))
		if err != nil || !reflect.DeepEqual(d, wantV2.Datastreams[0]) {
			t.Errorf("got %+v, %v", d, err)
		}
		p, err := DecodeDatapoint(v, XML, readXML(t, "datapoint.xml"))
		if err != nil || p != wantV2.Datastreams[0].Datapoints[0] {
			t.Errorf("got %+v, %v", p, err)
		}
		points, err := DecodeDatapoints(v, XML, readXML(t, "datapoint.xml"))
		if err != nil || len(points) != 1 || points[0] != p {
			t.Errorf("got %+v, %v", points, err)
		}
		ds, err := DecodeDatastreams(v, XML, readXML(t, "feed_v1.xml"))
		want := wantV1.Datastreams[0]
		want.At = wantV1.Updated
		if err != nil || !reflect.DeepEqual(ds, []DatastreamWrite{want}) {
			t.Errorf("got %+v, %v", ds, err)
		}
	}
}
