package xively

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// says is what a check is told: "field text, field text", or "" for nothing.
func says(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e) || e.Status != 422 || len(e.Fields) == 0:
		return "an error that is none of a field: " + err.Error()
	}
	return strings.TrimPrefix(e.Error(), e.Title+": ")
}

func TestCheckFeed(t *testing.T) {
	s := csvPtr[string]
	streams := func(ds ...DatastreamWrite) FeedWrite { return FeedWrite{Datastreams: ds} }
	far, long := time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC), strings.Repeat("ü", 255)
	points := func(n int) []Datapoint { return slices.Repeat([]Datapoint{{Value: "1"}}, n) }
	many := make([]DatastreamWrite, MaxDatastreams+1)
	for i := range many {
		many[i].ID = strconv.Itoa(i)
	}
	for _, c := range []struct {
		name string
		w    FeedWrite
		want string
	}{
		{"nothing", FeedWrite{}, ""},
		{"blank texts", FeedWrite{Title: s(""), Website: s(""), Tags: &[]string{}, Location: &Location{}}, ""},
		{"long texts", FeedWrite{Title: s(strings.Repeat("a", 4097)), Icon: s(strings.Repeat("a", 4096))}, "title is too long (maximum is 4096 bytes)"},
		{"not UTF-8", FeedWrite{Description: s("\xff"), Email: s("\xff")}, "description is invalid, email is invalid"},
		{"tags", FeedWrite{Tags: &[]string{strings.Repeat("ü", 254), "a"}}, "tags is too long (maximum is 255 characters)"},
		{"short tags", FeedWrite{Tags: &[]string{strings.Repeat("ü", 253), "a"}}, ""},
		{"updated", FeedWrite{Updated: far}, "updated is invalid"},
		{"location", FeedWrite{Location: &Location{Disposition: "fixed", Exposure: "indoor", Domain: "virtual", Lat: csvPtr(-90.0), Lon: csvPtr(180.0), Ele: "23.0"}}, ""},
		{"bad location", FeedWrite{Location: &Location{Disposition: "x", Exposure: "x", Domain: "x", Lat: csvPtr(90.1), Lon: csvPtr(-180.1), Ele: "high"}},
			"location_disposition is invalid, location_exposure is invalid, location_domain is invalid, location_ele is invalid, location_lat is invalid, location_lon is invalid"},
		{"only lat", FeedWrite{Location: &Location{Lat: csvPtr(1.0)}}, "location_lon can't be blank"},
		{"only lon", FeedWrite{Location: &Location{Lon: csvPtr(math.NaN())}}, "location_lat can't be blank, location_lon is invalid"},
		{"datastream", streams(DatastreamWrite{ID: "a", Value: s(""), Max: s("333.0"), Min: s(""), Unit: &Unit{Type: "derivedSI"}}, DatastreamWrite{ID: "b", Value: &long, Unit: &Unit{}}), ""},
		{"id", streams(DatastreamWrite{ID: "red hat"}, DatastreamWrite{ID: "foo*"}, DatastreamWrite{}), "datastreams_id is invalid, datastreams_id can't be blank"},
		{"value", streams(DatastreamWrite{ID: "a", Value: s(long + "x")}), "datastreams_current_value is too long (maximum is 255 characters)"},
		{"rest", streams(DatastreamWrite{ID: "a", At: far, Max: s("x"), Min: s("0x1"), Tags: &[]string{long + "x"}, Unit: &Unit{Type: "metric"}}),
			"datastreams_at is invalid, datastreams_max_value is invalid, datastreams_min_value is invalid, datastreams_tags is too long (maximum is 255 characters), datastreams_unit_type is invalid"},
		{"duplicates", streams(DatastreamWrite{ID: "a"}, DatastreamWrite{ID: "b"}, DatastreamWrite{ID: "a"}, DatastreamWrite{ID: "b"}, DatastreamWrite{ID: "a"}, DatastreamWrite{ID: "c"}),
			"datastreams can't have duplicate IDs: a, b"},
		{"datapoints", streams(DatastreamWrite{ID: "a", Datapoints: []Datapoint{{Value: " "}, {Value: long + "x"}, {At: far, Value: "1"}}}),
			"datastreams_datapoints_value can't be blank, datastreams_datapoints_value is too long (maximum is 255 characters), datastreams_datapoints_at is invalid"},
		{"500 datapoints", streams(DatastreamWrite{ID: "a", Datapoints: points(250)}, DatastreamWrite{ID: "b", Datapoints: points(250)}), ""},
		{"501 datapoints", streams(DatastreamWrite{ID: "a", Datapoints: points(250)}, DatastreamWrite{ID: "b", Datapoints: points(251)}), "datastreams_datapoints are too many (maximum is 500)"},
		{"1000 datastreams", streams(many[1:]...), ""},
		{"1001 datastreams", streams(many...), "datastreams are too many (maximum is 1000)"},
	} {
		if got := says(checkFeed(c.w)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCheckDatastreams(t *testing.T) {
	if got := says(checkCreated(nil)); got != "datastreams can't be blank" {
		t.Errorf("none: %q", got)
	}
	if got := says(checkCreated([]DatastreamWrite{{ID: "a b"}})); got != "datastreams_id is invalid" {
		t.Errorf("created: %q", got)
	}
	// One that exists may have an id that the API itself would not give.
	long := strings.Repeat("a", 256)
	for want, d := range map[string]DatastreamWrite{
		"":              {ID: "a b"},
		"id is invalid": {ID: "a/b"},
		"current_value is too long (maximum is 255 characters)": {ID: "a", Value: &long},
		"datapoints are too many (maximum is 500)":              {ID: "a", Datapoints: slices.Repeat([]Datapoint{{Value: "1"}}, 501)},
		"datapoints_value can't be blank":                       {ID: "a", Datapoints: make([]Datapoint, 3)},
	} {
		if got := says(checkDatastreams([]DatastreamWrite{d}, false)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, points := range map[string][]Datapoint{
		"":                          slices.Repeat([]Datapoint{{Value: "1"}}, 500),
		"datapoints can't be blank": nil,
		"datapoints are too many (maximum is 500)": slices.Repeat([]Datapoint{{Value: "1"}}, 501),
		"datapoints_value can't be blank":          {{}},
	} {
		if got := says(checkDatapoints(points)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, p := range map[string]Datapoint{"": {Value: "1"}, "value can't be blank": {}, "at is invalid": {Value: "1", At: time.Unix(-1, 0).UTC()}} {
		if got := says(checkDatapoint(p)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCheckKey(t *testing.T) {
	get := []string{"get"}
	one := func(p Permission) KeyWrite { return KeyWrite{Permissions: []Permission{p}} }
	for _, c := range []struct {
		w    KeyWrite
		want string
	}{
		{KeyWrite{}, ""},
		{KeyWrite{Label: csvPtr("x"), ExpiresAt: &time.Time{}, Permissions: []Permission{{Methods: []string{"get", "put", "post", "delete"}, SourceIP: "10.0.0.0/8", MinimumInterval: 60,
			Resources: []KeyResource{{Feed: 504}, {Feed: 504, Datastream: "a+b"}, {Trigger: 1}}}}}, ""},
		{KeyWrite{Label: csvPtr(" ")}, "label can't be blank"},
		{KeyWrite{ExpiresAt: csvPtr(time.Unix(-1, 0).UTC())}, "expires_at is invalid"},
		{KeyWrite{Permissions: []Permission{}}, "permissions can't be blank"},
		{KeyWrite{Permissions: slices.Repeat([]Permission{{Methods: get}}, 101)}, "permissions are too many (maximum is 100)"},
		{one(Permission{}), "permissions_access_methods can't be blank"},
		{one(Permission{Methods: []string{"get", "patch"}}), "permissions_access_methods is invalid"},
		{one(Permission{Methods: get, SourceIP: "here"}), "permissions_source_ip is invalid"},
		{one(Permission{Methods: get, SourceIP: "10.0.0.0/99"}), "permissions_source_ip is invalid"},
		{one(Permission{Methods: get, MinimumInterval: -1}), "permissions_minimum_interval is invalid"},
		{one(Permission{Methods: get, Resources: []KeyResource{{Datastream: "a"}}}), "permissions_resources need a feed_id where they have a datastream_id"},
		{one(Permission{Methods: get, Resources: []KeyResource{{}}}), "permissions_resources need a feed_id or a datastream_trigger_id"},
		{one(Permission{Methods: get, Resources: []KeyResource{{Feed: 1, Trigger: 1}}}), "permissions_resources cannot have a feed_id and a datastream_trigger_id at once"},
		{one(Permission{Methods: get, Resources: []KeyResource{{Feed: 1, Datastream: "a/b"}}}), "permissions_resources_datastream_id is invalid"},
		{one(Permission{Methods: get, Resources: slices.Repeat([]KeyResource{{Feed: 1}}, 1001)}), "permissions_resources are too many (maximum is 1000)"},
	} {
		if got := says(checkKey(c.w)); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestCheckTrigger(t *testing.T) {
	s := csvPtr[string]
	for _, typ := range []string{"gt", "gte", "lt", "lte", "eq", "change", "frozen", "live"} {
		if got := says(checkTrigger(TriggerWrite{Type: &typ, Threshold: s("-1.5e3"), URL: s("https://h:8080/x?y"), Feed: csvPtr(uint64(1)), Datastream: s("a+b")})); got != "" {
			t.Errorf("%s: %s", typ, got)
		}
	}
	for _, c := range []struct {
		w    TriggerWrite
		want string
	}{
		{TriggerWrite{}, ""},
		{TriggerWrite{Type: s("frozen"), Threshold: s("")}, ""},
		{TriggerWrite{Type: s("lt"), Threshold: s("")}, "threshold_value can't be blank"},
		{TriggerWrite{Type: s("ne")}, "trigger_type is invalid"},
		{TriggerWrite{Threshold: s("high")}, "threshold_value is invalid"},
		{TriggerWrite{Threshold: s("NaN")}, "threshold_value is invalid"},
		{TriggerWrite{URL: s("")}, "url can't be blank"},
		{TriggerWrite{URL: s("http://ann:pw@h/")}, "url is invalid"},
		{TriggerWrite{URL: s("ftp://h/")}, "url is invalid"},
		{TriggerWrite{URL: s("http:///x")}, "url is invalid"},
		{TriggerWrite{URL: s("http://:80/")}, "url is invalid"},
		{TriggerWrite{URL: s("h/x")}, "url is invalid"},
		{TriggerWrite{URL: s("http://h/\x00")}, "url is invalid"},
		{TriggerWrite{URL: s("http://h/" + strings.Repeat("a", 4096))}, "url is too long (maximum is 4096 bytes)"},
		{TriggerWrite{Feed: csvPtr(uint64(0)), Datastream: s("")}, "environment_id is invalid, stream_id can't be blank"},
		{TriggerWrite{Datastream: s("a/b")}, "stream_id is invalid"},
	} {
		if got := says(checkTrigger(c.w)); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestCheckUserProductSerials(t *testing.T) {
	s := csvPtr[string]
	for login, want := range map[string]string{"ann": "", "ann.b@c": "", strings.Repeat("a", 64): "", "": "login can't be blank", "a/b": "login is invalid", "a+b": "login is invalid",
		"a#": "login is invalid", "a:b": "login is invalid", "a\n": "login is invalid", strings.Repeat("a", 65): "login is invalid", "*": "login is invalid"} {
		if got := says(checkUser(UserWrite{Login: &login})); got != want {
			t.Errorf("%q: %q, want %q", login, got, want)
		}
	}
	if got, want := says(checkUser(UserWrite{Password: s(""), About: s(strings.Repeat("a", 4097))})), "password can't be blank, about is too long (maximum is 4096 bytes)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range []struct {
		w    ProductWrite
		want string
	}{
		{ProductWrite{}, ""},
		{ProductWrite{Name: s("Hut"), State: s("deploy"), Defaults: &FeedDefaults{Tags: []string{"a"}, Datastreams: []string{"a", "b"}}}, ""},
		{ProductWrite{Name: s("")}, "name can't be blank"},
		{ProductWrite{State: s("")}, "state is invalid"},
		{ProductWrite{Defaults: &FeedDefaults{Datastreams: []string{"a b", "c", "c"}}}, "feed_defaults_datastreams_id is invalid, feed_defaults_datastreams can't have duplicate IDs: c"},
	} {
		if got := says(checkProduct(c.w)); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	for _, c := range []struct {
		serials []string
		want    string
	}{
		{nil, "serial can't be blank"}, {[]string{""}, "serial can't be blank"}, {[]string{"aB0+-_:,"}, ""}, {many[1:], ""},
		{many, "devices are too many (maximum is 1000)"}, {[]string{"a b"}, "serial is invalid"}, {[]string{"ü"}, "serial is invalid"},
		{[]string{strings.Repeat("a", 65)}, "serial is invalid"}, {[]string{"a", "b", "a"}, "serial can't come twice"},
	} {
		if got := says(checkSerials(c.serials)); got != c.want {
			t.Errorf("%.20q: %q, want %q", c.serials, got, c.want)
		}
	}
}

func TestTags(t *testing.T) {
	for s, want := range map[string][]string{
		"":                      {},
		" , ,":                  {},
		"hut,Farm":              {"Farm", "hut"},
		" b , a,b":              {"a", "b"},
		`"tennis, later",apple`: {"apple", "tennis, later"},
		`'big house', l'eau`:    {"big house", "l'eau"},
		`say \"x\", y`:          {`say "x"`, "y"},
		`"a \"b, c\"",d`:        {`a "b, c"`, "d"},
		`open "quote, here`:     {"open quote, here"},
		"\\,a":                  {"\\", "a"},
		`""`:                    {},
	} {
		if got := parseTags(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", s, got, want)
		}
	}
	in := []string{"b", "A", "a", " b "}
	if got := sortTags(in); !reflect.DeepEqual(got, []string{"A", "a", "b"}) || in[0] != "b" || in[3] != " b " {
		t.Errorf("%q of %q", got, in)
	}
	if got := sortTags(nil); got == nil || len(got) != 0 {
		t.Errorf("no tags: %#v", got)
	}
}

func FuzzTags(f *testing.F) {
	f.Add(`"tennis, later",'a b', \"c`)
	f.Fuzz(func(t *testing.T, s string) {
		tags := parseTags(s)
		if again := sortTags(tags); !reflect.DeepEqual(again, tags) {
			t.Fatalf("%q: %q, and then %q", s, tags, again)
		}
	})
}

// TestListTags: an entry of a list is one tag, whatever it is quoted with.
func TestListTags(t *testing.T) {
	for in, want := range map[string]string{
		`"tennis, later"`: "tennis, later", `'q'`: "q", `""a""`: "a", ` "b" `: "b", "a,b": "a,b", `a'b`: `a'b`, `"`: `"`, `'"c"'`: "c",
	} {
		if got := listTags([]string{"", in, in}); !reflect.DeepEqual(got, []string{want}) {
			t.Errorf("%s: %q", in, got)
		}
	}
}
