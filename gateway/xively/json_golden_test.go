package xively

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// jsonTime is a time of the reference's samples.
func jsonTime(s string) time.Time {
	t, err := ParseTime(s)
	if err != nil {
		panic(err)
	}
	return t
}

func jsonFeed() *Feed {
	lat, lon := 6.37, 2.39
	return &Feed{
		ID: 504, Title: "Hut", Description: "North field", Icon: "http://x/i.png", Website: "http://x/",
		Email: "a@b.c", Tags: []string{"farm", "hut"}, URL: "https://api.xively.com/v2/feeds/504", Live: true,
		Updated: jsonTime("2013-05-10T00:18:07.703576Z"), Created: jsonTime("2013-03-29T15:50:43.398788Z"),
		Creator: "https://xively.com/users/ann", User: "ann",
		Datastreams: []Datastream{{
			ID: "soil-1", Value: "31.5", At: jsonTime("2013-05-10T00:18:07.465267Z"), Max: "44.0", Min: "12.5",
			Tags: []string{"moisture"}, Unit: Unit{"derivedUnits", "%", "percent"},
			Datapoints: []Datapoint{{jsonTime("2013-05-10T00:03:07Z"), "31.2"}},
		}, {ID: "new-one"}},
		Location: &Location{Name: "hut", Disposition: "mobile", Exposure: "outdoor", Domain: "physical", Ele: "23.0",
			Lat: &lat, Lon: &lon, Waypoints: []Waypoint{{At: jsonTime("2013-05-09T00:00:00Z"), Lat: 6.36, Lon: 2.38}}},
		ProductID: "h5wT2IlOMrd09r_qd1jm", DeviceSerial: "ABC",
	}
}

func jsonFeed1() *Feed {
	lat, lon := 51.5, -0.08
	return &Feed{
		ID: 504, Title: "Hut", URL: "http://api.xively.com/v2/feeds/504", Live: true,
		Updated: jsonTime("2011-02-22T14:28:50.590716Z"),
		Datastreams: []Datastream{{ID: "0", Value: "129", At: jsonTime("2011-02-22T14:28:50Z"), Max: "658.0", Min: "0.0",
			Tags: []string{"humidity"}, Unit: Unit{"derivedSI", "C", "Celsius"}}},
		Location: &Location{Domain: "physical", Lat: &lat, Lon: &lon},
	}
}

// jsonFeedOf is the feed that a write leaves behind on base.
func jsonFeedOf(base Feed, w FeedWrite) *Feed {
	set := func(to *string, s *string) {
		if s != nil {
			*to = *s
		}
	}
	set(&base.Title, w.Title)
	set(&base.Description, w.Description)
	set(&base.Website, w.Website)
	set(&base.Icon, w.Icon)
	set(&base.Email, w.Email)
	if w.Private != nil {
		base.Private = *w.Private
	}
	if w.Tags != nil && len(*w.Tags) > 0 {
		base.Tags = *w.Tags
	}
	base.Updated = w.Updated
	if l := w.Location; l != nil && !reflect.DeepEqual(*l, Location{}) {
		base.Location = l
	}
	base.Datastreams = nil
	for _, d := range w.Datastreams {
		base.Datastreams = append(base.Datastreams, jsonDatastreamOf(d))
	}
	return &base
}

func jsonDatastreamOf(w DatastreamWrite) (d Datastream) {
	d.ID, d.At, d.Datapoints = w.ID, w.At, w.Datapoints
	for to, s := range map[*string]*string{&d.Value: w.Value, &d.Max: w.Max, &d.Min: w.Min} {
		if s != nil {
			*to = *s
		}
	}
	if w.Tags != nil && len(*w.Tags) > 0 {
		d.Tags = *w.Tags
	}
	if w.Unit != nil {
		d.Unit = *w.Unit
	}
	return d
}

var jsonTrigger = Trigger{ID: 21962, URL: "http://h/x", Type: TriggerLT, Threshold: "15.0", User: "ann", Feed: 504,
	Datastream: "soil-1", NotifiedAt: jsonTime("2013-05-06T20:08:17.9Z")}

var jsonKey = Key{Key: "CeWz0123456789_-", ID: "k1", Label: "field node", PrivateAccess: true,
	ExpiresAt: jsonTime("2030-01-01T00:00:00Z"), Permissions: []Permission{{
		Label: "rw", Methods: []string{"get", "put"}, SourceIP: "10.0.0.7", Referer: "example.com", MinimumInterval: 60,
		Resources: []KeyResource{{Feed: 504, Datastream: "soil-1"}, {Trigger: 21962}},
	}, {Methods: []string{"get"}}}}

var jsonUser = User{Login: "ann", FullName: "Ann Agbo", FirstName: "Ann", LastName: "Agbo", Email: "a@b.c",
	About: "fields", Website: "http://x/", Organisation: "Farm", TimeZone: "UTC", Roles: []string{"default"},
	Feeds: 2, Datastreams: 7}

var jsonProduct = Product{ID: "h5wT2IlOMrd09r_qd1jm", Name: "Weather", Description: "a station",
	Secret: "0123456789abcdef0123456789abcdef01234567", State: "develop", Devices: 3, Activated: 1, User: "ann",
	Defaults: FeedDefaults{Title: "Station", Description: "d", Tags: []string{"farm", "hut"}, Private: true,
		Datastreams: []string{"a", "b"}}}

var jsonDevice = ProductDevice{Serial: "AB-1", ActivationCode: "0123456789abcdef0123456789abcdef01234567",
	Created: jsonTime("2013-03-29T15:50:43.398788Z")}

// jsonGoldens are the documents of the reference, as this package writes them.
func jsonGoldens(t *testing.T) map[string][]byte {
	ok := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	feed, feed1 := jsonFeed(), jsonFeed1()
	activated := jsonDevice
	activated.Feed, activated.Activated = 504, jsonTime("2013-05-10T00:18:07.465267Z")
	return map[string][]byte{
		"feed_v2":       ok(AppendFeed(nil, V2, JSON, feed)),
		"feed_v1":       ok(AppendFeed(nil, V1, JSON, feed1)),
		"datastream_v2": ok(AppendDatastream(nil, V2, JSON, feed, &feed.Datastreams[0])),
		"datastream_v1": ok(AppendDatastream(nil, V1, JSON, feed1, &feed1.Datastreams[0])),
		"datapoint":     ok(AppendDatapoint(nil, V2, JSON, feed, "soil-1", feed.Datastreams[0].Datapoints[0])),
		"feeds": ok(AppendFeeds(nil, V2, JSON, List{Total: 1, PerPage: 50},
			[]*Feed{{ID: 504, Title: "Hut", Datastreams: []Datastream{{ID: "temp"}}}})),
		"key": ok(AppendKey(nil, JSON, &jsonKey)),
		"keys": ok(AppendKeys(nil, JSON, []Key{
			{ID: "k1", Label: "field node", Permissions: []Permission{{Methods: []string{"get"}}}},
			{ID: "k2", Label: "master", PrivateAccess: true,
				Permissions: []Permission{{Methods: []string{"get", "put", "post", "delete"}}}}})),
		"trigger": ok(AppendTrigger(nil, JSON, &jsonTrigger)),
		"triggers": ok(AppendTriggers(nil, JSON, []Trigger{jsonTrigger,
			{ID: 2, URL: "http://h/y", Type: TriggerChange, User: "ann", Feed: 504, Datastream: "0"}})),
		"notification": AppendNotification(nil, &Notification{
			Trigger: Trigger{ID: 1, Type: TriggerGTE, Threshold: "9.0"}, TriggerURL: "https://api.xively.com/v2/triggers/1",
			At:   jsonTime("2013-05-10T00:18:08Z"),
			Feed: &Feed{ID: 504, Title: "Hut", URL: feed.URL, Location: feed.Location},
			Datastream: Datastream{ID: "0", Value: "9.07", At: jsonTime("2013-05-10T00:18:07.465267Z"),
				Max: "9.99", Min: "0.0"}}),
		"notification_change": AppendNotification(nil, &Notification{
			Trigger: Trigger{ID: 2, Type: TriggerChange, Feed: 504}, TriggerURL: "https://api.xively.com/v2/triggers/2",
			At: jsonTime("2013-05-10T00:18:08Z"), Datastream: Datastream{ID: "a+b", Value: "red car", Max: "NaN"}}),
		"user": ok(AppendUser(nil, JSON, &jsonUser)),
		"users": ok(AppendUsers(nil, JSON, []User{{Login: "ann", Roles: []string{"default"}, Feeds: 2, Datastreams: 7},
			{Login: "bob"}})),
		"product":  ok(AppendProduct(nil, JSON, &jsonProduct)),
		"products": ok(AppendProducts(nil, JSON, List{Total: 9}, []Product{{ID: "p1", Name: "Weather", State: "deploy"}})),
		"device":   ok(AppendProductDevice(nil, JSON, &jsonDevice)),
		"devices": ok(AppendProductDevices(nil, JSON, List{Total: 31, Start: 30, PerPage: 30},
			[]ProductDevice{activated})),
		"activation": ok(AppendActivation(nil, JSON, &Activation{"CeWz0123456789_-", 504, []string{"a", "b"}})),
		"error_text": AppendError(nil, JSON, NotFound()),
		"error_fields": AppendError(nil, CSV, Unprocessable(FieldError{"title", Blank},
			FieldError{"datastreams_id", Invalid}, FieldError{"datastreams_id", TooLong})),
	}
}

func readJSONFile(t *testing.T, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata", "json"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.TrimSuffix(string(b), "\n"))
}

// Each document says what the reference's does, and in these very bytes.
func TestJSONGolden(t *testing.T) {
	goldens := jsonGoldens(t)
	files, err := os.ReadDir(filepath.Join("testdata", "json", "reference"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(goldens) {
		t.Errorf("%d documents of the reference, %d written", len(files), len(goldens))
	}
	for name, got := range goldens {
		t.Run(name, func(t *testing.T) {
			var g, w any
			if err := json.Unmarshal(got, &g); err != nil {
				t.Fatalf("%v in %s", err, got)
			}
			if err := json.Unmarshal(readJSONFile(t, "reference", name+".json"), &w); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(g, w) {
				t.Errorf("not what the reference says:\n%s", got)
			}
			if want := readJSONFile(t, name+".json"); string(got) != string(want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// What is read of a document, written again, is the same document.
func TestJSONGoldenBothWays(t *testing.T) {
	for _, c := range []struct {
		name  string
		again func(body []byte) ([]byte, error) // reads body and writes what it said
	}{
		{"feed_v2", func(b []byte) ([]byte, error) {
			base := Feed{ID: 504, URL: "https://api.xively.com/v2/feeds/504", Live: true,
				Created: jsonFeed().Created, Creator: "https://xively.com/users/ann", User: "ann",
				ProductID: "h5wT2IlOMrd09r_qd1jm", DeviceSerial: "ABC"}
			w, err := DecodeFeed(V2, JSON, b)
			f := jsonFeedOf(base, w)
			if f.Location != nil {
				f.Location.Waypoints = jsonFeed().Location.Waypoints
			}
			return appendFeedJSON(nil, V2, f), err
		}},
		{"feed_v1", func(b []byte) ([]byte, error) {
			w, err := DecodeFeed(V2, JSON, b) // the document's version counts
			return appendFeedJSON(nil, V1, jsonFeedOf(Feed{ID: 504, URL: "http://api.xively.com/v2/feeds/504", Live: true}, w)), err
		}},
		{"datastream_v2", func(b []byte) ([]byte, error) {
			w, err := DecodeDatastream(V1, JSON, "soil-1", b)
			d := jsonDatastreamOf(w)
			return appendDatastreamJSON(nil, V2, &d), err
		}},
		{"datastream_v1", func(b []byte) ([]byte, error) {
			w, err := DecodeDatastream(V2, JSON, "0", b)
			d := jsonDatastreamOf(w)
			return appendDatastreamJSON(nil, V1, &d), err
		}},
		{"datapoint", func(b []byte) ([]byte, error) {
			p, err := DecodeDatapoint(V2, JSON, b)
			return appendDatapointJSON(nil, p), err
		}},
		{"key", func(b []byte) ([]byte, error) {
			w, err := DecodeKey(JSON, b)
			if err != nil {
				return nil, err
			}
			return appendKeyJSON(nil, &Key{Key: jsonKey.Key, ID: "k1", Label: *w.Label, PrivateAccess: *w.PrivateAccess,
				ExpiresAt: *w.ExpiresAt, Permissions: w.Permissions}), nil
		}},
		{"trigger", func(b []byte) ([]byte, error) {
			w, err := DecodeTrigger(JSON, b)
			if err != nil {
				return nil, err
			}
			return appendTriggerJSON(nil, &Trigger{ID: 21962, User: "ann", NotifiedAt: jsonTrigger.NotifiedAt, URL: *w.URL,
				Type: *w.Type, Threshold: *w.Threshold, Feed: *w.Feed, Datastream: *w.Datastream}), nil
		}},
		{"user", func(b []byte) ([]byte, error) {
			w, err := DecodeUser(JSON, b)
			if err != nil {
				return nil, err
			}
			return appendUserJSON(nil, &User{Roles: []string{"default"}, Feeds: 2, Datastreams: 7, Login: *w.Login,
				FullName: *w.FullName, FirstName: *w.FirstName, LastName: *w.LastName, Email: *w.Email, About: *w.About,
				Website: *w.Website, Organisation: *w.Organisation, TimeZone: *w.TimeZone}), nil
		}},
		{"product", func(b []byte) ([]byte, error) {
			w, err := DecodeProduct(JSON, b)
			if err != nil {
				return nil, err
			}
			p := jsonProduct
			p.Name, p.Description, p.State, p.Defaults = *w.Name, *w.Description, *w.State, *w.Defaults
			return appendProductJSON(nil, &p), nil
		}},
		{"devices", func(b []byte) ([]byte, error) {
			serials, err := DecodeSerials(JSON, b)
			if err != nil {
				return nil, err
			}
			d := jsonDevice
			d.Serial, d.Feed, d.Activated = serials[0], 504, jsonTime("2013-05-10T00:18:07.465267Z")
			return appendProductDevicesJSON(nil, List{Total: 31, Start: 30, PerPage: 30}, []ProductDevice{d}), nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := readJSONFile(t, c.name+".json")
			for _, from := range [][]byte{readJSONFile(t, "reference", c.name+".json"), want} {
				got, err := c.again(from)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != string(want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}
