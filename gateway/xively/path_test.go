package xively

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestParsePath(t *testing.T) {
	at := csvTime(t, "00:18:07.703576")
	for _, c := range []struct {
		path, query string
		want        Path
	}{
		{"/v2/feeds", "", Path{Resource: ResourceFeeds}},
		{"/v2/feeds.xml", "q=hut", Path{Resource: ResourceFeeds, Format: XML, Extension: true, Query: url.Values{"q": {"hut"}}}},
		{"/v1/feeds/504", "", Path{Version: V1, Format: XML, Resource: ResourceFeed, Feed: 504}},
		{"/v1/feeds/504.json", "", Path{Version: V1, Format: JSON, Extension: true, Resource: ResourceFeed, Feed: 504}},
		{"/v2/feeds/504", "", Path{Resource: ResourceFeed, Feed: 504}},
		{"/v2/feeds/18446744073709551615.csv", "", Path{Resource: ResourceFeed, Feed: 1<<64 - 1, Format: CSV, Extension: true}},
		{"/v2/feeds/504/datastreams.json", "", Path{Resource: ResourceDatastreams, Feed: 504, Extension: true}},
		{"/v2/feeds/504/datastreams/0.csv", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "0", Format: CSV, Extension: true}},
		{"/v2/feeds/504/datastreams/deg.true.1", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "deg.true.1"}},
		{"/v2/feeds/504/datastreams/deg.true.1.csv", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "deg.true.1", Format: CSV, Extension: true}},
		{"/v2/feeds/504/datastreams/a.csv.json", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "a.csv", Extension: true}},
		{"/v2/feeds/504/datastreams/a%2Ecsv", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "a.csv"}},
		{"/v2/feeds/504/datastreams/a%2Bb", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "a+b"}},
		{"/v2/feeds/504/datastreams/a+b", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "a+b"}},
		{"/v2/feeds/504/datastreams/a%2Fb", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "a/b"}},
		{"/v2/feeds/504/datastreams/%C3%BC", "", Path{Resource: ResourceDatastream, Feed: 504, Datastream: "ü"}},
		{"/v2/feeds/504/datastreams/a.json/datapoints", "", Path{Resource: ResourceDatapoints, Feed: 504, Datastream: "a.json"}},
		{"/v2/feeds/504/datastreams/a/datapoints.csv", "", Path{Resource: ResourceDatapoints, Feed: 504, Datastream: "a", Format: CSV, Extension: true}},
		{"/v2/feeds/504/datastreams/a/datapoints/2013-05-10T00:18:07.703576Z.json", "", Path{Resource: ResourceDatapoint, Feed: 504, Datastream: "a", At: at, Extension: true}},
		{"/v2/feeds/504/datastreams/a/datapoints/2013-05-10T00%3A18%3A07.703576Z", "", Path{Resource: ResourceDatapoint, Feed: 504, Datastream: "a", At: at}},
		{"/v2/keys", "", Path{Resource: ResourceKeys}},
		{"/v2/keys/CeWz.json", "key=x", Path{Resource: ResourceKey, ID: "CeWz", Extension: true, Query: url.Values{"key": {"x"}}}},
		{"/v2/keys/Ce%57z/regenerate.xml", "", Path{Resource: ResourceKeyRegenerate, ID: "CeWz", Format: XML, Extension: true}},
		{"/v2/triggers.json", "feed_id=504", Path{Resource: ResourceTriggers, Extension: true, Query: url.Values{"feed_id": {"504"}}}},
		{"/v2/triggers/7", "", Path{Resource: ResourceTrigger, ID: "7"}},
		{"/v1/users", "", Path{Version: V1, Format: XML, Resource: ResourceUsers}},
		{"/v2/users/ann%20b.xml", "", Path{Resource: ResourceUser, ID: "ann b", Format: XML, Extension: true}},
		{"/v2/products", "", Path{Resource: ResourceProducts}},
		{"/v2/products/h5wT", "", Path{Resource: ResourceProduct, ID: "h5wT"}},
		{"/v2/products/h5wT/devices", "", Path{Resource: ResourceDevices, ID: "h5wT"}},
		{"/v2/products/h5wT/devices/A:1,2%2B", "", Path{Resource: ResourceDevice, ID: "h5wT", Serial: "A:1,2+"}},
		{"/v2/devices/abc0/activate", "", Path{Resource: ResourceActivation, ID: "abc0"}},
		{"/v2/devices/abc0/activate.csv", "", Path{Resource: ResourceActivation, ID: "abc0", Format: CSV, Extension: true}},
		{"/v2/feeds/504", "start=2013-05-10T00%3A00%3A00Z&end", Path{Resource: ResourceFeed, Feed: 504, Query: url.Values{"start": {"2013-05-10T00:00:00Z"}, "end": {""}}}},
	} {
		if c.want.Version == 0 {
			c.want.Version = V2
		}
		if c.want.Format == 0 {
			c.want.Format = JSON
		}
		if c.want.Query == nil {
			c.want.Query = url.Values{}
		}
		if got, err := ParsePath(c.path, c.query); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.path, got, err)
		}
	}
}

func TestParsePathRefusals(t *testing.T) {
	long := strings.Repeat("a", 1024)
	for _, c := range []struct {
		path, query string
		status      int
		says        string
	}{
		{"", "", 404, ""}, {"/", "", 404, ""}, {"v2/feeds", "", 404, ""}, {"/v2", "", 404, ""}, {"/v2/", "", 404, ""},
		{"/v3/feeds/504.json", "", 404, "no version v3"}, {"/v9/feeds", "", 404, "no version v9"},
		{"/SECRET/feeds", "", 404, "unable to find"}, {"/v2/other", "", 404, ""}, {"/v2/devices", "", 404, ""},
		{"/v2/devices/a", "", 404, ""}, {"/v2/devices/a/deactivate", "", 404, ""},
		{"/v2/feeds/", "", 404, ""}, {"/v2/feeds/.json", "", 404, ""}, {"/v2/feeds/0", "", 404, ""}, {"/v2/feeds/+5", "", 404, ""},
		{"/v2/feeds/-5", "", 404, ""}, {"/v2/feeds/5x", "", 404, ""}, {"/v2/feeds/18446744073709551616", "", 404, ""},
		{"/v2/feeds/504/other", "", 404, ""}, {"/v2/feeds/504.json/datastreams", "", 404, ""},
		{"/v2/feeds/504//0", "", 404, ""}, {"/v2/feeds/504/datastreams/a/other", "", 404, ""}, {"/v2/feeds/504/other/a/datapoints", "", 404, ""},
		{"/v2/feeds/504/datastreams/a/datapoints/2013-05-10T00:18:07Z/x", "", 404, ""},
		{"/v2/feeds/504/datastreams/a/datapoints/yesterday", "", 400, "not an ISO 8601 time"},
		{"/v2/feeds/504/datastreams/a/datapoints/1066-10-14", "", 400, "1970"},
		{"/v2/keys/a/other", "", 404, ""}, {"/v2/keys/a/regenerate/x", "", 404, ""}, {"/v2/triggers/x", "", 404, ""},
		{"/v2/users/a/b", "", 404, ""}, {"/v2/products/a/other", "", 404, ""}, {"/v2/products/a/devices/b/c", "", 404, ""},
		{"/v2/feeds/504/datastreams/a%2", "", 400, "escape"}, {"/v2/feeds/504/datastreams/a%zz", "", 400, "escape"},
		{"/v2/feeds/504/datastreams/%ff", "", 400, "UTF-8"}, {"/v2/feeds/504/datastreams/a%00", "", 400, "control"},
		{"/v2/feeds/504/datastreams/a\x7f", "", 400, "control"}, {"/v2/feeds/504/datastreams/\xc3\x28", "", 400, "UTF-8"},
		{"/v2/feeds" + strings.Repeat("/x", 200), "", 404, ""}, {"/v2/users/" + long + long, "", 404, ""},
		{"/v2/feeds", "a=%zz", 400, "malformed"}, {"/v2/feeds", "a=1;b=2", 400, "malformed"}, {"/v2/feeds", "a=%ff", 400, "UTF-8"},
		{"/v2/feeds", "%00=1", 400, "control"}, {"/v2/feeds", "a=" + long, 400, "longer"}, {"/v2/feeds", strings.Repeat("a&", 32), 400, "longer"},
	} {
		got, err := ParsePath(c.path, c.query)
		if err == nil {
			t.Errorf("%.60s?%.20s: %+v", c.path, c.query, got)
			continue
		}
		refused(t, err, c.status, c.says)
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error shows what may be a key: %v", c.path, err)
		}
	}
}

func TestMaskPath(t *testing.T) {
	for path, want := range map[string]string{
		"/v2/keys/SECRET":                           "/v2/keys/<SECRET>",
		"/v2/keys/SECRET.json":                      "/v2/keys/<SECRET>.json",
		"/v2/keys/SECRET/regenerate":                "/v2/keys/<SECRET>/regenerate",
		"/v2/keys/SE%43RET/regenerate.xml":          "/v2/keys/<SECRET>/regenerate.xml",
		"/v2/%6Beys/SECRET":                         "/v2/%6Beys/<SECRET>",
		"/v2/keys.json/SECRET":                      "/v2/keys.json/<SECRET>",
		"/v2/keys/SECRET/x/y":                       "/v2/keys/<SECRET>/x/y",
		"/v3/keys/SECRET":                           "/v3/keys/<SECRET>",
		"/v2/keys":                                  "/v2/keys",
		"/v2/keys.json?key=SECRET&a=b":              "/v2/keys.json?key=<SECRET>&a=b",
		"/v2/feeds/504.json?a=1&oauth_token=S%20":   "/v2/feeds/504.json?a=1&oauth_token=<S >",
		"/v2/feeds/504/datastreams/keys.csv":        "/v2/feeds/504/datastreams/keys.csv",
		"/v2/feeds/504/datastreams/keys/datapoints": "/v2/feeds/504/datastreams/keys/datapoints",
		"/v2/devices/0123456789abcdef/activate":     "/v2/devices/01234567.../activate",
		"/v2/devices/0123456789abcdef.csv":          "/v2/devices/01234567....csv",
		"/v2/devices/short/activate":                "/v2/devices/short/activate",
		"/v2/products/p/devices/0123456789abcdef":   "/v2/products/p/devices/0123456789abcdef",
		"SECRET/v2/feeds/504.json":                  "<SECRET>/v2/feeds/504.json",
		"/SECRET/v2/keys/OTHER":                     "/<SECRET>/v2/keys/<OTHER>",
		"/v2/feeds/504?duration=6hours":             "/v2/feeds/504?duration=6hours",
		"":                                          "",
		"/":                                         "/",
		"SECRET/v2/feed/#":                          "<SECRET>/v2/feed/#",
		"+/v2/feeds":                                "+/v2/feeds",
		"$SYS/v2/feeds":                             "$SYS/v2/feeds",
		"devices/v2/sensors/x/value":                "devices/v2/sensors/x/value",
		"factory/keys/door/1":                       "factory/keys/door/1",
		"factory/devices/0123456789abcdef/x":        "factory/devices/0123456789abcdef/x",
	} {
		if got := MaskPath(path, func(key string) string { return "<" + key + ">" }); got != want {
			t.Errorf("%s is shown as %s, want %s", path, got, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/v2/feeds/504.json?duration=6hours", "KEY/v2/feeds/504/datastreams/a%2Bb.csv", "/v1/keys/KEY/regenerate",
		"/v2/feeds/1/datastreams/a/datapoints/2013-05-10T00:18:07.703576Z.json", "/v2/devices/0123456789abcdef/activate?key=x&a=%zz"} {
		f.Add(s)
	}
	const secret = "s3cr3t"
	now := time.Date(2013, 5, 10, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		MaskPath(s, func(string) string { return "" })
		topic, ok := SplitTopic(s)
		if !ok {
			topic.Path, topic.Query, _ = strings.Cut(s, "?")
		} else if strings.ContainsAny(s, "+#") || !strings.HasPrefix(topic.Path, "/v") {
			t.Fatalf("%q: %+v", s, topic)
		}
		p, err := ParsePath(topic.Path, topic.Query)
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Status != 400 && e.Status != 404 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if p.Resource == 0 || p.Format == 0 || p.Version == 0 || !utf8.ValidString(p.ID+p.Datastream+p.Serial) {
			t.Fatalf("%q: %+v", s, p)
		}
		if w, _, _, err := ParseWindow(p.Query, now, 0); err == nil {
			checkWindow(t, w)
		}
		if p.Resource == ResourceKey && len(p.ID) > 5 && !strings.Contains(topic.Path, "%") {
			path := strings.Replace(topic.Path, "/"+p.ID, "/"+secret+p.ID, 1)
			if got := MaskPath(path, func(string) string { return "" }); strings.Contains(got, secret) {
				t.Fatalf("%q is shown as %q", path, got)
			}
		}
	})
}

// checkWindow fails unless w is within the bounds of any window.
func checkWindow(t *testing.T, w Window) {
	t.Helper()
	if w.Zone == nil || w.Limit < 1 || w.Limit > MaxLimit || w.Skip < 0 || w.Interval < 0 || w.End.Sub(w.Start) > 365*day {
		t.Fatalf("window %+v", w)
	}
	if w.Interval > 0 && w.End.Sub(w.Start)/w.Interval > 1500 {
		t.Fatalf("window %+v has too many slots", w)
	}
}
