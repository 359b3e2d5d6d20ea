package xively

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// seedXML adds the golden files and some documents that are no good.
func seedXML(f *testing.F) {
	files, err := filepath.Glob("testdata/xml/*.xml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{laughs, "", "<", "<eeml", "<eeml/>", `<eeml><environment/></eeml>`, "<a></b>",
		`<?xml version="1.0" encoding="latin1"?><eeml/>`, strings.Repeat("<a>", 20), `<eeml a="" a=""/>`,
		inXMLData("<current_value>&#13; <![CDATA[a]]>\u2028</current_value>"),
		inXMLEnvironment(`<location domain="virtual"><lat>1e-300</lat><lon>-0</lon></location>`),
	} {
		f.Add([]byte(s))
	}
}

// refusedWell checks that err is a refusal of the client.
func refusedWell(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Status < 400 || e.Status > 499 {
		t.Fatalf("not a refusal: %v", err)
	}
}

// feedOfXML is the feed that a write to an empty one makes.
func feedOfXML(w FeedWrite) *Feed {
	feed := &Feed{
		Title: orEmpty(w.Title), Description: orEmpty(w.Description), Website: orEmpty(w.Website),
		Icon: orEmpty(w.Icon), Email: orEmpty(w.Email), Tags: orNone(w.Tags),
		Updated: w.Updated, Private: w.Private != nil && *w.Private,
	}
	if hasPlace(w.Location) || w.Location != nil && w.Location.Domain == "virtual" {
		feed.Location = w.Location
	}
	for _, d := range w.Datastreams {
		feed.Datastreams = append(feed.Datastreams, datastreamOfXML(d))
	}
	return feed
}

func datastreamOfXML(w DatastreamWrite) Datastream {
	d := Datastream{ID: w.ID, Value: orEmpty(w.Value), At: w.At, Max: orEmpty(w.Max), Min: orEmpty(w.Min), Tags: orNone(w.Tags),
		Datapoints: w.Datapoints}
	if w.Unit != nil {
		d.Unit = *w.Unit
	}
	return d
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orNone(tags *[]string) []string {
	if tags == nil || len(*tags) == 0 {
		return nil
	}
	return *tags
}

// inV1 is what version 1 shows of a feed.
func inV1(feed *Feed) *Feed {
	f := *feed
	f.Private, f.Tags, f.Updated = false, nil, f.Updated.Truncate(time.Second)
	f.Datastreams = nil
	for _, d := range feed.Datastreams {
		if d.Value == "" && d.At.IsZero() {
			d.Max, d.Min = "", ""
		}
		d.At, d.Datapoints = time.Time{}, nil
		f.Datastreams = append(f.Datastreams, d)
	}
	return &f
}

func FuzzDecodeFeedXML(f *testing.F) {
	seedXML(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := DecodeFeed(V2, XML, body)
		if err != nil {
			refusedWell(t, err)
			return
		}
		for v, want := range map[Version]*Feed{V2: feedOfXML(w), V1: inV1(feedOfXML(w))} {
			doc := mustXML(t)(AppendFeed(nil, v, XML, feedOfXML(w)))
			again, err := DecodeFeed(v, XML, doc)
			if err != nil {
				if len(doc) > MaxBody {
					continue // escapes can make a document longer
				}
				t.Fatalf("version %d: %v in\n%s", v, err, doc)
			}
			if got := feedOfXML(again); !reflect.DeepEqual(got, want) {
				t.Fatalf("version %d: got %+v, want %+v from\n%s", v, got, want, doc)
			}
		}
	})
}

func FuzzDecodeOtherXML(f *testing.F) {
	seedXML(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		again := func(doc []byte, err error) []byte {
			t.Helper()
			if len(doc) > MaxBody {
				t.Skip("escapes made the document too long")
			}
			return mustXML(t)(doc, err)
		}
		same := func(got, want any, err error) {
			t.Helper()
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
		}
		if w, err := DecodeDatastream(V2, XML, "a", body); err != nil {
			refusedWell(t, err)
		} else {
			d := datastreamOfXML(w)
			w, err := DecodeDatastream(V2, XML, "a", again(AppendDatastream(nil, V2, XML, &Feed{}, &d)))
			same(datastreamOfXML(w), d, err)
		}
		if w, err := DecodeDatastreams(V1, XML, body); err != nil {
			refusedWell(t, err)
		} else {
			want := feedOfXML(FeedWrite{Datastreams: w})
			w, err := DecodeDatastreams(V2, XML, again(AppendFeed(nil, V2, XML, want)))
			same(feedOfXML(FeedWrite{Datastreams: w}), want, err)
		}
		if points, err := DecodeDatapoints(V2, XML, body); err != nil {
			refusedWell(t, err)
		} else {
			d := Datastream{ID: "a", Datapoints: points}
			got, err := DecodeDatapoints(V2, XML, again(AppendDatastream(nil, V2, XML, &Feed{}, &d)))
			same(got, points, err)
		}
		if p, err := DecodeDatapoint(V2, XML, body); err != nil {
			refusedWell(t, err)
		} else {
			got, err := DecodeDatapoint(V2, XML, again(AppendDatapoint(nil, V2, XML, &Feed{}, "a", p)))
			same(got, p, err)
		}
		if w, err := DecodeKey(XML, body); err != nil {
			refusedWell(t, err)
		} else if w.Label != nil && w.Permissions != nil { // a whole key
			k := keyOfXML(w)
			w, err := DecodeKey(XML, again(AppendKey(nil, XML, &k)))
			same(keyOfXML(w), k, err)
		}
		if w, err := DecodeTrigger(XML, body); err != nil {
			refusedWell(t, err)
		} else if w.URL != nil && w.Type != nil && w.Threshold != nil && w.Feed != nil && w.Datastream != nil {
			got, err := DecodeTrigger(XML, again(AppendTrigger(nil, XML,
				&Trigger{URL: *w.URL, Type: *w.Type, Threshold: *w.Threshold, Feed: *w.Feed, Datastream: *w.Datastream})))
			same(got, w, err)
		}
		if w, err := DecodeUser(XML, body); err != nil {
			refusedWell(t, err)
		} else {
			u := userOfXML(w)
			w, err := DecodeUser(XML, again(AppendUser(nil, XML, &u)))
			same(userOfXML(w), u, err)
		}
	})
}

func keyOfXML(w KeyWrite) Key {
	k := Key{Label: *w.Label, PrivateAccess: w.PrivateAccess != nil && *w.PrivateAccess, Permissions: w.Permissions}
	if w.ExpiresAt != nil {
		k.ExpiresAt = w.ExpiresAt.Truncate(time.Second) // what the form holds
	}
	return k
}

func userOfXML(w UserWrite) User {
	return User{Login: orEmpty(w.Login), FullName: orEmpty(w.FullName), FirstName: orEmpty(w.FirstName), LastName: orEmpty(w.LastName),
		Email: orEmpty(w.Email), About: orEmpty(w.About), Website: orEmpty(w.Website), Organisation: orEmpty(w.Organisation),
		TimeZone: orEmpty(w.TimeZone)}
}
