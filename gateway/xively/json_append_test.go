package xively

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"time"
)

func TestAppendString(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{``, `""`},
		{`<a href="x">\&'</a>`, `"<a href=\"x\">\\&'</a>"`},
		{"\x00\b\t\n\f\r\x1f\x7f", `"\u0000\u0008\t\n\u000c\r\u001f` + "\x7f" + `"`},
		{"a\xffb\xc3", `"a\ufffdb\ufffd"`},
		{"\u2027\u2028\u2029\u202a", `"` + "\u2027" + `\u2028\u2029` + "\u202a" + `"`},
		{"üöä 😀 \ufffd", `"üöä 😀 ` + "\ufffd" + `"`},
	} {
		got := string(appendString(nil, c.in))
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.in, got, c.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%q: not JSON: %s", c.in, got)
		}
	}
}

func TestAppendFeedJSON(t *testing.T) {
	at := time.Date(2013, 5, 10, 0, 18, 7, 465267000, time.UTC)
	east := at.In(time.FixedZone("", 2*3600))
	inf, tiny, zero := math.Inf(1), 1e-9, 0.0
	ds := func(d ...Datastream) *Feed { return &Feed{ID: 1, Datastreams: d} }
	const head2 = `{"id":1,"private":"false","status":"frozen","version":"1.0.0"`
	const head1 = `{"id":1,"status":"frozen","version":"0.6-alpha"`
	for _, c := range []struct {
		name string
		v    Version
		feed *Feed
		want string
	}{
		{"nothing", V2, &Feed{ID: 1, Tags: []string{}, Location: &Location{Waypoints: []Waypoint{}}, Datastreams: []Datastream{}},
			head2 + `}`},
		{"nothing in v1", V1, &Feed{ID: 1}, head1 + `}`},
		{"never had a value", V2, ds(Datastream{ID: "temp", Tags: []string{}, Datapoints: []Datapoint{}}),
			head2 + `,"datastreams":[{"id":"temp"}]}`},
		{"never had a value in v1", V1, ds(Datastream{ID: "temp"}), head1 + `,"datastreams":[{"id":"temp"}]}`},
		{"blank value", V2, ds(Datastream{ID: "a", At: at}),
			head2 + `,"datastreams":[{"id":"a","at":"2013-05-10T00:18:07.465267Z"}]}`},
		{"zone", V2, ds(Datastream{ID: "a", Value: "1", At: east}),
			head2 + `,"datastreams":[{"id":"a","current_value":"1","at":"2013-05-10T02:18:07.465267+02:00"}]}`},
		{"whole seconds in v1", V1, ds(Datastream{ID: "a", Value: "1", At: at}),
			head1 + `,"datastreams":[{"id":"a","values":[{"recorded_at":"2013-05-10T00:18:07Z","value":"1"}]}]}`},
		{"history", V2, ds(Datastream{ID: "a", Datapoints: []Datapoint{{at, "1"}, {at, ""}}, Function: "average"}),
			head2 + `,"datastreams":[{"id":"a","datapoints":[{"value":"1","at":"2013-05-10T00:18:07.465267Z"},` +
				`{"value":"","at":"2013-05-10T00:18:07.465267Z"}],"datapoints_function":"average"}]}`},
		{"part of a unit", V2, ds(Datastream{ID: "a", Unit: Unit{Symbol: "%"}}),
			head2 + `,"datastreams":[{"id":"a","unit":{"symbol":"%"}}]}`},
		{"what v1 does not have", V1, &Feed{ID: 1, Private: true, Tags: []string{"a"}, Created: at, Creator: "c", User: "u",
			ProductID: "p", DeviceSerial: "s", Email: "e", Location: &Location{Name: "n", Waypoints: []Waypoint{{At: at}}}},
			`{"id":1,"status":"frozen","email":"e","version":"0.6-alpha","location":{"name":"n"}}`},
		{"places", V2, &Feed{ID: 1, Location: &Location{Lat: &zero, Lon: &tiny}}, head2 + `,"location":{"lat":0,"lon":1e-09}}`},
		{"no place", V2, &Feed{ID: 1, Location: &Location{Lat: &inf}}, head2 + `}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(appendFeedJSON([]byte("before"), c.v, c.feed))
			if got != "before"+c.want {
				t.Errorf("got  %s\nwant before%s", got, c.want)
			}
			if !json.Valid([]byte(c.want)) {
				t.Errorf("not JSON: %s", c.want)
			}
		})
	}
}

func TestAppendOtherJSON(t *testing.T) {
	for want, got := range map[string][]byte{
		`{"totalResults":0,"startIndex":0,"itemsPerPage":50,"results":[]}`: appendFeedsJSON(nil, V2, List{PerPage: 50}, nil),
		`{"keys":[]}`:                                appendKeysJSON(nil, nil),
		`[]`:                                         appendTriggersJSON(nil, nil),
		`{"totalResults":0,"products":[]}`:           appendProductsJSON(nil, List{}, nil),
		`{"title":"a<b","errors":""}`:                appendErrorJSON(nil, &Error{Title: "a<b"}),
		`{"id":"a","version":"0.6-alpha"}`:           appendDatastreamJSON(nil, V1, &Datastream{ID: "a"}),
		`{"apikey":"","feed_id":0,"datastreams":[]}`: appendActivationJSON(nil, &Activation{}),
		`{"key":{"id":"i","private_access":false,"expires_at":"2013-05-10T00:18:07.500000Z","permissions":[]}}`: appendKeyJSON(nil,
			&Key{ID: "i", ExpiresAt: jsonAt.Add(time.Second / 2)}),
	} {
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	for in, want := range map[string]string{"9": "9", "-1.50": "-1.50", "": `""`, "NaN": `""`, "1e999": `""`, "x": `""`,
		".5": "0.5", "+5": "5", "017": "17", "0x10p0": "16"} {
		if got := string(appendNumberOrBlank([]byte("{"), "v", in)); got != `{"v":`+want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// Updates are written for each of their readers' formats: without garbage.
func TestAppendFeedJSONDoesNotAllocate(t *testing.T) {
	feed := jsonFeed50()
	buf := appendFeedJSON(nil, V2, feed)
	for _, v := range []Version{V1, V2} {
		if n := testing.AllocsPerRun(10, func() { buf = appendFeedJSON(buf[:0], v, feed) }); n > 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}

// jsonFeed50 has 50 datastreams with all that they can have.
func jsonFeed50() *Feed {
	feed := jsonFeed()
	d := feed.Datastreams[0]
	feed.Datastreams = nil
	for i := range 50 {
		d.ID = "stream-" + strconv.Itoa(i)
		d.Datapoints = nil
		feed.Datastreams = append(feed.Datastreams, d)
	}
	return feed
}

func BenchmarkAppendFeedJSON(b *testing.B) {
	feed := jsonFeed50()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendFeedJSON(buf[:0], V2, feed)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeFeedJSON(b *testing.B) {
	body := appendFeedJSON(nil, V2, jsonFeed50())
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := DecodeFeed(V2, JSON, body); err != nil {
			b.Fatal(err)
		}
	}
}
