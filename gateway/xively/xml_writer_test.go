package xively

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestAppendXMLEscapes(t *testing.T) {
	for _, c := range []struct{ in, text, attribute string }{
		{"", "", ""},
		{"üöä €😀", "üöä €😀", "üöä €😀"},
		{`<a b="c">&amp;'`, `&lt;a b="c"&gt;&amp;amp;'`, `&lt;a b=&quot;c&quot;&gt;&amp;amp;'`},
		{"]]>", "]]&gt;", "]]&gt;"},
		{"a\tb\nc\rd", "a\tb\nc&#xD;d", "a&#x9;b&#xA;c&#xD;d"},
		{"\x00a\x1f\x0b", "\uFFFDa\uFFFD\uFFFD", "\uFFFDa\uFFFD\uFFFD"},
		{"\xffa\xc3", "\uFFFDa\uFFFD", "\uFFFDa\uFFFD"},
		{"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD", "\uFFFD\uFFFD\uFFFD"}, // half of a pair
		{"\uFFFE\uFFFF\uFFFD\u007f\u0085", "\uFFFD\uFFFD\uFFFD\u007f\u0085", "\uFFFD\uFFFD\uFFFD\u007f\u0085"},
	} {
		if got := string(appendXMLText([]byte("x"), c.in)); got != "x"+c.text {
			t.Errorf("%q as text: got %q, want %q", c.in, got, c.text)
		}
		if got := string(appendXMLEscaped(nil, c.in, true)); got != c.attribute {
			t.Errorf("%q as attribute: got %q, want %q", c.in, got, c.attribute)
		}
		// A reader that knows nothing of us gets the same text.
		var back struct {
			A string `xml:"a,attr"`
			T string `xml:",chardata"`
		}
		doc := append(append(append([]byte("<e a=\""), c.attribute...), `">`...), c.text...)
		want := strings.NewReplacer("\x00", "\uFFFD", "\x1f", "\uFFFD", "\x0b", "\uFFFD", "\uFFFE", "\uFFFD", "\uFFFF", "\uFFFD").
			Replace(string([]rune(c.in)))
		if err := xml.Unmarshal(append(doc, "</e>"...), &back); err != nil || back.A != want || back.T != want {
			t.Errorf("%q: read back %q and %q, %v", c.in, back.A, back.T, err)
		}
	}
}

// Whatever a feed holds, its document stays one.
func TestAppendFeedXMLHostile(t *testing.T) {
	bad := "\"'><&]]>\x00\xff\uFFFE--><!ENTITY"
	lat := 1e-300
	feed := &Feed{ID: 1, Title: bad, Description: bad, Website: bad, Icon: bad, Email: bad, Tags: []string{bad}, URL: bad, Creator: bad,
		User: bad, ProductID: bad, DeviceSerial: bad, Location: &Location{Name: bad, Disposition: bad, Exposure: bad, Domain: bad,
			Ele: bad, Lat: &lat, Lon: &lat, Waypoints: []Waypoint{{Ele: bad}}},
		Datastreams: []Datastream{{ID: bad, Value: bad, Max: bad, Min: bad, Tags: []string{bad},
			Unit: Unit{Type: bad, Symbol: bad, Label: bad}, Datapoints: []Datapoint{{Value: bad}}}}}
	plain := *feed
	clean := strings.NewReplacer("\x00", "\uFFFD", "\xff", "\uFFFD", "\uFFFE", "\uFFFD").Replace(bad)
	for _, v := range []Version{V1, V2} {
		doc := canonicalXML(t, mustXML(t)(AppendFeed(nil, v, XML, &plain)))
		if n := strings.Count(doc, fmt.Sprintf("text %q\n", clean)); n < 6 {
			t.Errorf("version %d: %d texts in\n%s", v, n, doc)
		}
		canonicalXML(t, mustXML(t)(AppendDatastream(nil, v, XML, feed, &feed.Datastreams[0])))
		canonicalXML(t, mustXML(t)(AppendDatapoint(nil, v, XML, feed, bad, Datapoint{Value: bad})))
	}
	canonicalXML(t, mustXML(t)(AppendKeys(nil, XML, []Key{{ID: bad, Key: bad, Label: bad, Permissions: []Permission{{Label: bad,
		Methods: []string{bad}, SourceIP: bad, Referer: bad, Resources: []KeyResource{{Datastream: bad}}}}}})))
	canonicalXML(t, mustXML(t)(AppendTriggers(nil, XML, []Trigger{{URL: bad, Type: bad, Threshold: bad, Datastream: bad, User: bad}})))
	canonicalXML(t, mustXML(t)(AppendUsers(nil, XML, []User{{Login: bad, About: bad, Roles: []string{bad}}})))
	canonicalXML(t, AppendError(nil, XML, &Error{Title: bad, Fields: []FieldError{{bad, bad}}}))
}

// Times are written in the zone that they come in, as the timezone parameter
// asks for.
func TestAppendFeedXMLZone(t *testing.T) {
	zone := time.FixedZone("", -(3*3600 + 1800))
	feed := &Feed{ID: 1, Updated: xmlAt(t, "2013-05-10T00:18:07.703576Z").In(zone)}
	for v, want := range map[Version]string{
		V2: `updated="2013-05-09T20:48:07.703576-03:30"`, V1: `updated="2013-05-09T20:48:07-03:30"`,
	} {
		if got := string(mustXML(t)(AppendFeed(nil, v, XML, feed))); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %s", got, want)
		}
	}
}

// xmlFeed50 has 50 datastreams as they are in use.
func xmlFeed50(t testing.TB) *Feed {
	feed := xmlFeedV2(t)
	d := feed.Datastreams[0]
	d.Datapoints = nil
	feed.Datastreams = nil
	for i := range 50 {
		d.ID = fmt.Sprintf("sensor-%d", i)
		feed.Datastreams = append(feed.Datastreams, d)
	}
	return feed
}

// Writing a feed into a slice that is large enough takes no memory.
func TestAppendFeedXMLAllocations(t *testing.T) {
	feed := xmlFeed50(t)
	b := appendFeedXML(nil, V2, feed)
	for _, v := range []Version{V1, V2} {
		if n := testing.AllocsPerRun(10, func() { b = appendFeedXML(b[:0], v, feed) }); n > 0 {
			t.Errorf("version %d: %v allocations", v, n)
		}
	}
}

func BenchmarkAppendFeedXML(b *testing.B) {
	feed := xmlFeed50(b)
	for v, name := range map[Version]string{V1: "v1", V2: "v2"} {
		b.Run(name, func(b *testing.B) {
			doc := appendFeedXML(nil, v, feed)
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				doc = appendFeedXML(doc[:0], v, feed)
			}
		})
	}
}
