package xively

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func jsonPtr[T any](v T) *T { return &v }

// jsonAt is a time that the documents below name in several forms.
var jsonAt = time.Date(2013, 5, 10, 0, 18, 7, 0, time.UTC)

func TestDecodeFeedJSON(t *testing.T) {
	ds := func(d ...DatastreamWrite) FeedWrite { return FeedWrite{Datastreams: d} }
	for _, c := range []struct {
		name string
		v    Version
		body string
		want FeedWrite
	}{
		{"empty", V2, ` {} `, FeedWrite{}},
		{"typical", V2, `{"version":"1.0.0","datastreams":[{"id":"a","current_value":"1"},{"id":"b"}]}`,
			ds(DatastreamWrite{ID: "a", Value: jsonPtr("1")}, DatastreamWrite{ID: "b"})},
		{"values keep their text", V2, `{"datastreams":[{"id":"a","current_value":21.50},{"id":"b","current_value":"0000017"},
			{"id":"c","current_value":true},{"id":"d","current_value":false},{"id":"e","current_value":null},
			{"id":"f","current_value":""},{"id":"g","current_value":-1.0E+5},{"id":"h","current_value":1e999}]}`,
			ds(DatastreamWrite{ID: "a", Value: jsonPtr("21.50")}, DatastreamWrite{ID: "b", Value: jsonPtr("0000017")},
				DatastreamWrite{ID: "c", Value: jsonPtr("true")}, DatastreamWrite{ID: "d", Value: jsonPtr("false")},
				DatastreamWrite{ID: "e"}, DatastreamWrite{ID: "f", Value: jsonPtr("")},
				DatastreamWrite{ID: "g", Value: jsonPtr("-1.0E+5")}, DatastreamWrite{ID: "h", Value: jsonPtr("1e999")})},
		{"the last of several members counts", V2, `{"title":"a","title":"b","datastreams":[{"id":"x"}],
			"datastreams":[{"id":"a","current_value":[],"current_value":"1","at":"never","at":null}]}`,
			FeedWrite{Title: jsonPtr("b"), Datastreams: []DatastreamWrite{{ID: "a", Value: jsonPtr("1")}}}},
		{"unknown members", V2, `{"id":[1],"status":{"a":1},"user":null,"datastreams":[{"id":"a","x":{"y":[[]]}}]}`,
			ds(DatastreamWrite{ID: "a"})},
		{"escapes", V2, `{"title":"a\"\\\/\b\f\n\r\t\u00e4\uD83D\ude00ä\u2028<"}`,
			FeedWrite{Title: jsonPtr("a\"\\/\b\f\n\r\tä😀ä\u2028<")}},
		{"metadata", V2, `{"title":"Hut","description":"d","website":"w","icon":"i","email":5,"private":"true",
			"tags":["Hut","farm"," a "],"updated":"2013-05-10T02:18:07+02:00"}`,
			FeedWrite{Title: jsonPtr("Hut"), Description: jsonPtr("d"), Website: jsonPtr("w"), Icon: jsonPtr("i"),
				Email: jsonPtr("5"), Private: jsonPtr(true), Tags: &[]string{"a", "farm", "Hut"}, Updated: jsonAt}},
		{"empty removes", V2, `{"title":"","description":"","website":null,"icon":[],"email":{},"tags":"","location":{},"updated":"",
			"datastreams":[{"id":"a","tags":[],"unit":{},"max_value":"","at":""},{"id":"b","tags":null,"unit":null},{"id":"c","unit":""}]}`,
			FeedWrite{Title: jsonPtr(""), Description: jsonPtr(""), Website: jsonPtr(""), Icon: jsonPtr(""), Email: jsonPtr(""),
				Tags: &[]string{}, Location: &Location{}, Datastreams: []DatastreamWrite{
					{ID: "a", Tags: &[]string{}, Unit: &Unit{}, Max: jsonPtr("")},
					{ID: "b", Tags: &[]string{}, Unit: &Unit{}}, {ID: "c", Unit: &Unit{}}}}},
		{"blank makes nothing public", V2, `{"private":"","title":null}`, FeedWrite{}},
		{"private as bool", V2, `{"private":false}`, FeedWrite{Private: jsonPtr(false)}},
		{"private in capitals", V2, `{"private":"False"}`, FeedWrite{Private: jsonPtr(false)}},
		{"tags in one text", V2, `{"tags":"hut, \"tennis, later\",farm"}`,
			FeedWrite{Tags: &[]string{"farm", "hut", "tennis, later"}}},
		{"location of numbers", V2, `{"location":{"lat":6.37,"lon":-2.5e0,"ele":23.0}}`,
			FeedWrite{Location: &Location{Lat: jsonPtr(6.37), Lon: jsonPtr(-2.5), Ele: "23.0"}}},
		{"location of texts", V2, `{"location":{"lat":"6.37","lon":" -2.5 ","ele":"23","name":"hut","disposition":"mobile",
			"exposure":"outdoor","domain":"physical","waypoints":[{"lat":"x"}]}}`,
			FeedWrite{Location: &Location{Lat: jsonPtr(6.37), Lon: jsonPtr(-2.5), Ele: "23", Name: "hut",
				Disposition: "mobile", Exposure: "outdoor", Domain: "physical"}}},
		{"location with blanks", V2, `{"location":{"lat":null,"lon":"","ele":null,"name":"hut"}}`,
			FeedWrite{Location: &Location{Name: "hut"}}},
		{"id as number", V2, `{"datastreams":[{"id":0,"current_value":1}]}`, ds(DatastreamWrite{ID: "0", Value: jsonPtr("1")})},
		{"all of a datastream", V2, `{"datastreams":[{"id":"a","at":"2013-05-10T00:18:07Z","max_value":44,"min_value":"-1.5",
			"unit":{"label":"percent"},"datapoints":[{"value":1,"at":"2013-05-10T00:18:07Z"},{"value":"2"}]}]}`,
			ds(DatastreamWrite{ID: "a", At: jsonAt, Max: jsonPtr("44"), Min: jsonPtr("-1.5"), Unit: &Unit{Label: "percent"},
				Datapoints: []Datapoint{{jsonAt, "1"}, {time.Time{}, "2"}}})},
		{"no datastreams", V2, `{"datastreams":null}`, FeedWrite{}},
		{"old shape by its version", V2, `{"version":"0.6","datastreams":[{"id":"0","values":[{"value":1.50,
			"recorded_at":"2013-05-10T00:18:07Z","max_value":"2","min_value":0}]}]}`,
			ds(DatastreamWrite{ID: "0", Value: jsonPtr("1.50"), At: jsonAt, Max: jsonPtr("2"), Min: jsonPtr("0")})},
		{"old shape by the URL", V1, `{"datastreams":[{"id":"0","values":[{"value":"1"}]},{"id":"1","current_value":"2"}]}`,
			ds(DatastreamWrite{ID: "0", Value: jsonPtr("1")}, DatastreamWrite{ID: "1", Value: jsonPtr("2")})},
		{"old shape without a value", V2, `{"version":"0.6-alpha","datastreams":[{"id":"0","values":[]}]}`,
			ds(DatastreamWrite{ID: "0"})},
		{"old version with the new fields", V2, `{"version":"0.6-alpha","datastreams":[{"id":"0","current_value":"1"}]}`,
			ds(DatastreamWrite{ID: "0", Value: jsonPtr("1")})},
		{"new shape has no values", V2, `{"version":"1.0.0","datastreams":[{"id":"0","values":[{"value":"1"}]}]}`,
			ds(DatastreamWrite{ID: "0"})},
		{"new shape at the old URL", V1, `{"version":"1.0.0","datastreams":[{"id":"0","current_value":"1"}]}`,
			ds(DatastreamWrite{ID: "0", Value: jsonPtr("1")})},
		{"another version is the new shape", V2, `{"version":7,"datastreams":[{"id":"0","current_value":"1"}]}`,
			ds(DatastreamWrite{ID: "0", Value: jsonPtr("1")})},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := DecodeFeed(c.v, JSON, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Datastreams) == 0 {
				got.Datastreams = nil
			}
			if !reflect.DeepEqual(got, c.want) {
				g, _ := json.Marshal(got)
				w, _ := json.Marshal(c.want)
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

// The decoders of the feed's parts, each with the forms that it takes.
func TestDecodePartsJSON(t *testing.T) {
	datastream := func(b []byte) (any, error) { return DecodeDatastream(V2, JSON, "a", b) }
	datastream1 := func(b []byte) (any, error) { return DecodeDatastream(V1, JSON, "a", b) }
	datastreams := func(b []byte) (any, error) { return DecodeDatastreams(V2, JSON, b) }
	datapoints := func(b []byte) (any, error) { return DecodeDatapoints(V2, JSON, b) }
	datapoint := func(b []byte) (any, error) { return DecodeDatapoint(V2, JSON, b) }
	one := DatastreamWrite{ID: "a", Value: jsonPtr("1")}
	points := []Datapoint{{jsonAt, "1"}, {time.Time{}, "2.50"}}
	for _, c := range []struct {
		name   string
		decode func([]byte) (any, error)
		body   string
		want   any
	}{
		{"datastream", datastream, `{"current_value":1}`, one},
		{"datastream with its id", datastream, `{"id":"a","current_value":"1","version":"1.0.0"}`, one},
		{"datastream in a feed", datastream, `{"version":"1.0.0","datastreams":[{"id":"a","current_value":1}]}`, one},
		{"datastream of v1", datastream, `{"version":"0.6-alpha","values":[{"value":"1"}]}`, one},
		{"datastream at a URL of v1", datastream1, `{"values":[{"value":"1"}]}`, one},
		{"datastreams in a feed", datastreams, `{"version":"1.0.0","datastreams":[{"id":"a","current_value":1}]}`, []DatastreamWrite{one}},
		{"datastreams in an array", datastreams, `[{"id":"a","current_value":1},{"id":"b"}]`, []DatastreamWrite{one, {ID: "b"}}},
		{"one bare datastream", datastreams, `{"id":"a","current_value":1}`, []DatastreamWrite{one}},
		{"datastreams of v1", datastreams, `{"version":"0.6","datastreams":[{"id":"a","values":[{"value":1}]}]}`, []DatastreamWrite{one}},
		{"datapoints", datapoints, `{"datapoints":[{"at":"2013-05-10T00:18:07Z","value":1},{"value":2.50}]}`, points},
		{"datapoints in an array", datapoints, `[{"at":"2013-05-10T00:18:07Z","value":"1"},{"value":2.50,"at":null}]`, points},
		{"datapoint", datapoint, `{"value":"1","at":"2013-05-10T00:18:07.000000Z"}`, points[0]},
		{"datapoint without time", datapoint, `{"value":2.50}`, points[1]},
		{"datapoint in a wrapper", datapoint, `{"datapoint":{"value":2.50}}`, points[1]},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.decode([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestDecodeFeedJSONRefuses(t *testing.T) {
	feed := func(b []byte) error { _, err := DecodeFeed(V2, JSON, b); return err }
	datastream := func(b []byte) error { _, err := DecodeDatastream(V2, JSON, "a", b); return err }
	datastreams := func(b []byte) error { _, err := DecodeDatastreams(V2, JSON, b); return err }
	datapoints := func(b []byte) error { _, err := DecodeDatapoints(V2, JSON, b); return err }
	datapoint := func(b []byte) error { _, err := DecodeDatapoint(V2, JSON, b); return err }
	in := func(members string) string { return `{"datastreams":[{"id":"a",` + members + `}]}` }
	nested := func(depth int) string {
		return `{"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
	}
	if err := feed([]byte(nested(maxJSONDepth - 1))); err != nil {
		t.Errorf("as deep as can be: %v", err)
	}
	many := func(n int) string { return `{"x":[` + strings.Repeat("0,", n-3) + `0]}` }
	if err := feed([]byte(many(maxJSONElements))); err != nil {
		t.Errorf("as many as can be: %v", err)
	}
	for _, c := range []struct {
		name   string
		decode func([]byte) error
		body   string
		status int
		want   string // field, or part of the text
	}{
		{"nothing", feed, ``, 400, "empty"},
		{"white space", feed, " \n", 400, "empty"},
		{"not UTF-8", feed, "{\"title\":\"\xff\"}", 400, "UTF-8"},
		{"array", feed, `[]`, 400, "no object"},
		{"text", feed, `"a"`, 400, "no object"},
		{"cut off", feed, `{"title":"a`, 400, "ends"},
		{"cut off after an escape", feed, `{"title":"a\`, 400, "ends"},
		{"cut off in a list", feed, `{"a":[1,`, 400, "ends"},
		{"comma too many", feed, `{"a":1,}`, 400, "name"},
		{"comma too many in an array", feed, `{"a":[1,]}`, 400, `']'`},
		{"no colon", feed, `{"a" 1}`, 400, "':'"},
		{"no quotes", feed, `{a:1}`, 400, "line 1, column 2"},
		{"line and column", feed, "{\"ä\":1,\n  x}", 400, "line 2, column 3"},
		{"more after the end", feed, `{} {}`, 400, "after the end"},
		{"leading zero", feed, `{"a":017}`, 400, "','"},
		{"no digit", feed, `{"a":-}`, 400, "not a number"},
		{"no digit after the point", feed, `{"a":1.}`, 400, "not a number"},
		{"no exponent", feed, `{"a":1e+}`, 400, "not a number"},
		{"NaN", feed, `{"a":NaN}`, 400, "unexpected"},
		{"half a word", feed, `{"a":tru}`, 400, "not a value"},
		{"line end in a string", feed, "{\"a\":\"\n\"}", 400, "string"},
		{"unknown escape", feed, `{"a":"\x41"}`, 400, "escape"},
		{"half a surrogate pair", feed, `{"a":"\ud83d"}`, 400, "surrogate"},
		{"two first halves", feed, `{"a":"\ud83d\ud83d"}`, 400, "surrogate"},
		{"bad digits", feed, `{"a":"\u00g0"}`, 400, "hexadecimal"},
		{"too few digits", feed, `{"a":"\u00"}`, 400, "hexadecimal"},
		{"deep", feed, nested(maxJSONDepth), 400, "32 levels"},
		{"very deep", feed, strings.Repeat(`{"a":`, 100_000), 400, "32 levels"},
		{"many", feed, many(maxJSONElements + 1), 400, "50000 elements"},
		{"long", feed, `{"x":"` + strings.Repeat("a", MaxBody) + `"}`, 413, "bytes"},
		{"datastreams object", feed, `{"datastreams":{}}`, 400, "no array"},
		{"datastreams text", feed, `{"datastreams":"a"}`, 400, "no array"},
		{"datastream text", feed, `{"datastreams":["a"]}`, 400, "entry 1"},
		{"title object", feed, `{"title":{"a":1}}`, 422, "title"},
		{"private", feed, `{"private":"yes"}`, 422, "private"},
		{"tags object", feed, `{"tags":{"a":1}}`, 422, "tags"},
		{"tags of arrays", feed, `{"tags":[["a"]]}`, 422, "tags"},
		{"updated", feed, `{"updated":"yesterday"}`, 422, "updated"},
		{"location text", feed, `{"location":"here"}`, 422, "location"},
		{"latitude", feed, `{"location":{"lat":"north","lon":1}}`, 422, "location_lat"},
		{"latitude in hexadecimal", feed, `{"location":{"lat":"0x1p2","lon":1}}`, 422, "location_lat"},
		{"longitude infinite", feed, `{"location":{"lat":1,"lon":"Inf"}}`, 422, "location_lon"},
		{"elevation bool", feed, `{"location":{"lat":1,"lon":1,"ele":true}}`, 422, "location_ele"},
		{"value array", feed, in(`"current_value":[1]`), 422, "datastreams_current_value"},
		{"value object", feed, in(`"current_value":{}`), 422, "datastreams_current_value"},
		{"time", feed, in(`"at":"2013-13-01T00:00:00Z"`), 422, "datastreams_at"},
		{"time number", feed, in(`"at":1368144000`), 422, "datastreams_at"},
		{"maximum", feed, in(`"max_value":"high"`), 422, "datastreams_max_value"},
		{"minimum bool", feed, in(`"min_value":true`), 422, "datastreams_min_value"},
		{"unit text", feed, in(`"unit":"C"`), 422, "datastreams_unit"},
		{"unit symbol", feed, in(`"unit":{"symbol":[1]}`), 422, "datastreams_unit_symbol"},
		{"datapoints object", feed, in(`"datapoints":{"a":1}`), 422, "datastreams_datapoints"},
		{"datapoint text", feed, in(`"datapoints":["1"]`), 422, "datastreams_datapoints"},
		{"datapoint time", feed, in(`"datapoints":[{"value":1,"at":"x"}]`), 422, "datastreams_datapoints_at"},
		{"datapoint array", feed, in(`"datapoints":[{"value":[]}]`), 422, "datastreams_datapoints_value"},
		{"two present values", feed, `{"version":"0.6","datastreams":[{"id":"a","values":[{"value":1},{"value":2}]}]}`,
			422, "datastreams_values"},
		{"values object", feed, `{"version":"0.6","datastreams":[{"id":"a","values":{"value":1}}]}`, 422, "datastreams_values"},
		{"id array", feed, `{"datastreams":[{"id":["a"]}]}`, 422, "datastreams_id"},
		{"another id", datastream, `{"id":"b","current_value":1}`, 422, "id"},
		{"two datastreams for one", datastream, `{"datastreams":[{"id":"a"},{"id":"b"}]}`, 400, "one object"},
		{"datastream array", datastream, `[{"current_value":1}]`, 400, "no object"},
		{"value of a datastream", datastream, `{"current_value":[]}`, 422, "current_value"},
		{"time of a datastream", datastream, `{"at":"x"}`, 422, "at"},
		{"no datastream text", datastreams, `"a"`, 400, "no object"},
		{"datastreams no array", datastreams, `{"datastreams":null}`, 400, "no array"},
		{"datastreams of texts", datastreams, `["a"]`, 400, "entry 1"},
		{"no datapoints", datapoints, `{}`, 400, "no array"},
		{"datapoints text", datapoints, `"1"`, 400, "no object"},
		{"datapoints of texts", datapoints, `["1"]`, 422, "datapoints"},
		{"datapoint without value", datapoints, `[{"at":"2013-05-10T00:18:07Z"}]`, 422, "datapoints_value"},
		{"501 datapoints", datapoints, `[` + strings.Repeat(`{"value":1},`, MaxDatapoints) + `{"value":1}]`, 422, "datapoints"},
		{"one datapoint array", datapoint, `[]`, 400, "no object"},
		{"one datapoint wrapped text", datapoint, `{"datapoint":"1"}`, 400, "no object"},
		{"time of one datapoint", datapoint, `{"value":1,"at":"x"}`, 422, "at"},
	} {
		t.Run(c.name, func(t *testing.T) { checkJSONRefusal(t, c.decode([]byte(c.body)), c.status, c.want) })
	}
}

func checkJSONRefusal(t *testing.T, err error, status int, want string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("no refusal: %v", err)
	}
	if e.Status != status {
		t.Errorf("status %d, want %d: %v", e.Status, status, e)
	}
	if status == 400 && e.Title != "JSON Parser Error" {
		t.Errorf("title %q", e.Title)
	}
	if status == 422 {
		if len(e.Fields) == 0 || e.Fields[0].Field != want {
			t.Errorf("fields %v, want %s", e.Fields, want)
		}
	} else if !strings.Contains(e.Text, want) {
		t.Errorf("text %q without %q", e.Text, want)
	}
}

// A refusal names some of the wrong fields, each once.
func TestJSONRefusalIsBounded(t *testing.T) {
	body := `{"datastreams":[` + strings.Repeat(`{"id":[],"at":"x"},`, 500) + `{"id":[]}],"title":[1]}`
	_, err := DecodeFeed(V2, JSON, []byte(body))
	var e *Error
	if !errors.As(err, &e) || len(e.Fields) != 3 {
		t.Errorf("got %v", err)
	}
}
