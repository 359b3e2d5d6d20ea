package xively

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// inXMLEnvironment is a document with this in its environment.
func inXMLEnvironment(s string) string { return "<eeml><environment>" + s + "</environment></eeml>" }

// inXMLData is a document with this in its datastream "a".
func inXMLData(s string) string { return inXMLEnvironment(`<data id="a">` + s + `</data>`) }

func TestDecodeFeedXMLLeniency(t *testing.T) {
	stream := func(d DatastreamWrite) FeedWrite {
		d.ID = "a"
		return FeedWrite{Datastreams: []DatastreamWrite{d}}
	}
	one := stream(DatastreamWrite{Value: xmlPtr("1")})
	for _, c := range []struct {
		name, doc string
		want      FeedWrite
	}{
		{"minimal", inXMLData(`<current_value>1</current_value>`), one},
		{"byte order mark", "\uFEFF" + `<?xml version="1.0" encoding="utf-8"?>` + inXMLData(`<current_value>1</current_value>`), one},
		{"comments and instructions", "<!-- a -->\n<?x y?>" + inXMLData(`<!-- b --><current_value><!-- c -->1<?z?></current_value>`) + "<!-- d --> \n", one},
		{"CDATA", inXMLData(`<current_value><![CDATA[a<b & c]]></current_value>`), stream(DatastreamWrite{Value: xmlPtr("a<b & c")})},
		{"entities", inXMLData(`<current_value>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;</current_value>`), stream(DatastreamWrite{Value: xmlPtr(`<>&"'AB`)})},
		{"text is trimmed", inXMLData("<current_value>\n  red car\t</current_value>"), stream(DatastreamWrite{Value: xmlPtr("red car")})},
		{"zeros are kept", inXMLData(`<current_value>0000017</current_value>`), stream(DatastreamWrite{Value: xmlPtr("0000017")})},
		{"blank value", inXMLData(`<current_value/>`), stream(DatastreamWrite{Value: xmlPtr("")})},
		{"elements in a text", inXMLData(`<current_value>1<b>2</b></current_value>`), one},
		{"text between elements", inXMLEnvironment(`x<data id="a">y<current_value>1</current_value>z</data>`), one},
		{"namespace prefixes", `<e:eeml xmlns:e="http://www.eeml.org/xsd/0.5.1"><e:environment><e:data id="a"><e:current_value>1</e:current_value></e:data></e:environment></e:eeml>`, one},
		{"id is trimmed", inXMLEnvironment(`<data id=" a "><current_value>1</current_value></data>`), one},
		{"order free", inXMLEnvironment(`<data id="a"><min_value>1</min_value><current_value>1</current_value></data><title>t</title>`),
			FeedWrite{Title: xmlPtr("t"), Datastreams: []DatastreamWrite{{ID: "a", Value: xmlPtr("1"), Min: xmlPtr("1")}}}},
		{"unknown elements", `<eeml><x><environment/></x><environment><title2>q</title2><data id="a"><foo><current_value>3</current_value></foo><current_value>1</current_value></data></environment></eeml>`, one},
		{"empty environment", `<eeml><environment/></eeml>`, FeedWrite{}},
		{"empty clears", inXMLEnvironment(`<title/><description></description><website/><icon/><email/><tag></tag><location/><data id="a"><tag/><unit/><max_value/></data>`),
			FeedWrite{Title: xmlPtr(""), Description: xmlPtr(""), Website: xmlPtr(""), Icon: xmlPtr(""), Email: xmlPtr(""),
				Tags: &[]string{}, Location: &Location{},
				Datastreams: []DatastreamWrite{{ID: "a", Tags: &[]string{}, Unit: &Unit{}, Max: xmlPtr("")}}}},
		{"tags are sorted", inXMLEnvironment(`<tag>hut</tag><tag/><tag> Farm </tag><tag>tennis, later</tag>`),
			FeedWrite{Tags: &[]string{"Farm", "hut", "tennis, later"}}},
		{"no location as it is written", inXMLEnvironment(`<location domain="physical" exposure="" disposition=""/>`), FeedWrite{Location: &Location{}}},
		{"location", inXMLEnvironment(`<location domain="virtual" exposure="indoor" disposition="fixed"><ele>-2</ele><lon>-2.5e1</lon><lat>+4</lat><name>n</name><waypoints><waypoint><lat>1</lat></waypoint></waypoints></location>`),
			FeedWrite{Location: &Location{Name: "n", Disposition: "fixed", Exposure: "indoor", Domain: "virtual", Lat: xmlPtr(4.0), Lon: xmlPtr(-25.0), Ele: "-2"}}},
		{"private", inXMLEnvironment(`<private> True </private>`), FeedWrite{Private: xmlPtr(true)}},
		{"times with an offset", `<eeml><environment updated="2013-01-01T01:00:00+01:00"><data id="a"><current_value at="2013-01-01T00:00:00">1</current_value><datapoints><value at="">2</value><x/></datapoints></data></environment></eeml>`,
			FeedWrite{Updated: xmlAt(t, "2013-01-01T00:00:00Z"), Datastreams: []DatastreamWrite{{ID: "a", Value: xmlPtr("1"),
				At: xmlAt(t, "2013-01-01T00:00:00Z"), Datapoints: []Datapoint{{Value: "2"}}}}}},
		{"version 5 by attribute", `<eeml version="5"><environment><data id="a"><value minValue="" >1</value><current_value>2</current_value></data></environment></eeml>`,
			stream(DatastreamWrite{Value: xmlPtr("1"), Min: xmlPtr("")})},
		{"version 5 by namespace", `<eeml xmlns="http://www.eeml.org/xsd/005"><environment><data id="a"><value>1</value></data></environment></eeml>`, one},
		{"another version", `<eeml version="6"><environment><data id="a"><value>1</value></data></environment></eeml>`, stream(DatastreamWrite{})},
		{"sixteen levels", inXMLEnvironment(strings.Repeat("<a>", 14) + strings.Repeat("</a>", 14)), FeedWrite{}},
		{"20,000 elements", inXMLEnvironment(strings.Repeat("<a/>", 19998)), FeedWrite{}},
		{"64 attributes", `<eeml` + manyAttributes(64) + `><environment/></eeml>`, FeedWrite{}},
	} {
		for _, v := range []Version{V1, V2} {
			if got, err := DecodeFeed(v, XML, []byte(c.doc)); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
			}
		}
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` a%d=""`, i)
	}
	return b.String()
}

const laughs = `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;">` +
	`<!ENTITY lol2 "&lol1;&lol1;&lol1;&lol1;&lol1;">]><eeml><environment><title>&lol2;</title></environment></eeml>`

// Each refusal is one line of the table: what the document is, its status, and
// what the error has to say.
func TestDecodeFeedXMLRefusals(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		status    int
		says      string
	}{
		{"billion laughs", laughs, 400, "document types and entities"},
		{"external entity", `<!DOCTYPE a SYSTEM "file:///etc/passwd"><eeml><environment/></eeml>`, 400, "document types and entities"},
		{"parameter entity", `<!DOCTYPE a [<!ENTITY % p SYSTEM "http://x/"> %p;]><eeml><environment/></eeml>`, 400, "document types and entities"},
		{"document type within", `<eeml><!DOCTYPE a><environment/></eeml>`, 400, "document types and entities"},
		{"document type after", `<eeml><environment/></eeml><!DOCTYPE a>`, 400, "document types and entities"},
		{"unknown entity", inXMLEnvironment(`<title>&nbsp;</title>`), 400, "invalid character entity"},
		{"10 MB, not even parsed", strings.Repeat("<!ENTITY", 10<<17), 413, "10485760 bytes"},
		{"seventeen levels", inXMLEnvironment(strings.Repeat("<a>", 15) + strings.Repeat("</a>", 15)), 400, "more than 16 elements within"},
		{"seventeen levels in a text", inXMLEnvironment("<title>" + strings.Repeat("<a>", 14) + strings.Repeat("</a>", 14) + "</title>"), 400, "more than 16"},
		{"100,000 levels", strings.Repeat("<a>", 100000), 400, "root element"},
		{"100,000 levels below", "<eeml>" + strings.Repeat("<a>", 100000), 400, "more than 16"},
		{"20,001 elements", inXMLEnvironment(strings.Repeat("<a/>", 19999)), 400, "more than 20000 elements"},
		{"65 attributes", `<eeml` + manyAttributes(65) + `><environment/></eeml>`, 400, "65 attributes"},
		{"100,000 attributes", `<eeml` + strings.Repeat(` a=""`, 100000) + `><environment/></eeml>`, 400, "100000 attributes"},
		{"attribute twice", `<eeml version="1" version="2"><environment/></eeml>`, 400, "twice"},
		{"unclosed", "<eeml>\n<environment>\n<title>", 400, "line 3: unexpected EOF"},
		{"unclosed root", `<eeml><environment/>`, 400, "unexpected EOF"},
		{"cut within a tag", `<eeml><environ`, 400, "unexpected EOF"},
		{"wrong nesting", "<eeml>\n<environment></eeml></environment>", 400, "line 2: element <environment> closed by </eeml>"},
		{"long names", "<eeml><" + strings.Repeat("n", 100000) + "></b></eeml>", 400, "..."},
		{"no attribute value", `<eeml a><environment/></eeml>`, 400, "attribute"},
		{"control character", inXMLEnvironment("<title>\x01</title>"), 400, "illegal character"},
		{"control character escaped", inXMLEnvironment("<title>&#1;</title>"), 400, "illegal character"},
		{"invalid UTF-8", inXMLEnvironment("<title>\xff</title>"), 400, "invalid UTF-8"},
		{"Latin-1", `<?xml version="1.0" encoding="ISO-8859-1"?><eeml><environment/></eeml>`, 400, "only UTF-8"},
		{"UTF-16", "\xff\xfe<\x00e\x00", 400, "invalid UTF-8"},
		{"XML 1.1", `<?xml version="1.1"?><eeml><environment/></eeml>`, 400, "version"},
		{"nothing", "", 400, "no element"},
		{"no XML", `{"version":"1.0.0"}`, 400, "text before the root element"},
		{"only a comment", `<!-- a -->`, 400, "no element"},
		{"open comment", `<!-- a `, 400, "unexpected EOF"},
		{"open CDATA", `<eeml><![CDATA[`, 400, "unexpected EOF"},
		{"open instruction", `<?xml `, 400, "unexpected EOF"},
		{"text after", `<eeml><environment/></eeml>x`, 400, "text after the root element"},
		{"two roots", `<eeml><environment/></eeml><eeml/>`, 400, "second root"},
		{"another root", `<feed><environment/></feed>`, 400, "root element must be eeml, not feed"},
		{"no environment", `<eeml><data id="a"/></eeml>`, 400, "no environment"},
		{"two environments", `<eeml><environment/><environment/></eeml>`, 400, "more than one environment"},
		{"bad time of a value", inXMLData(`<current_value at="yesterday">1</current_value>`), 422, "datastreams_at is invalid"},
		{"bad time of a datapoint", inXMLData(`<datapoints><value at="12">1</value></datapoints>`), 422, "datastreams_datapoints_at is invalid"},
		{"bad time of the feed", `<eeml><environment updated="x"/></eeml>`, 422, "updated is invalid"},
		{"latitude", inXMLEnvironment(`<location><lat>north</lat><lon>1</lon></location>`), 422, "location_lat is invalid"},
		{"longitude", inXMLEnvironment(`<location><lat>1</lat><lon>0x1p3</lon></location>`), 422, "location_lon is invalid"},
		{"latitude out of range", inXMLEnvironment(`<location><lat>91</lat><lon>1</lon></location>`), 422, "location_lat is invalid"},
		{"latitude not finite", inXMLEnvironment(`<location><lat>NaN</lat><lon>1e999</lon></location>`), 422, "location_lat is invalid"},
		{"elevation", inXMLEnvironment(`<location><ele>high</ele></location>`), 422, "location_ele is invalid"},
		{"maximum", inXMLData(`<max_value>a</max_value>`), 422, "datastreams_max_value is invalid"},
		{"minimum", inXMLData(`<min_value>Inf</min_value>`), 422, "datastreams_min_value is invalid"},
		{"maximum of version 1", `<eeml version="5"><environment><data id="a"><value maxValue="a">1</value></data></environment></eeml>`, 422, "datastreams_max_value is invalid"},
		{"private", inXMLEnvironment(`<private>perhaps</private>`), 422, "private is invalid"},
		{"private empty", inXMLEnvironment(`<private/>`), 422, "private is invalid"},
		{"datastream without id", inXMLEnvironment(`<data><current_value>1</current_value></data>`), 422, "datastreams_id can't be blank"},
		{"bad id", inXMLEnvironment(`<data id="red hat"/>`), 422, "datastreams_id is invalid"},
		{"value of 256 characters", inXMLData(`<current_value>` + strings.Repeat("ü", 256) + `</current_value>`), 422, "datastreams_current_value " + TooLong},
		{"501 datapoints", inXMLData(`<datapoints>` + strings.Repeat(`<value at="2013-01-01T00:00:00Z">1</value>`, 501) + `</datapoints>`), 422, "datapoints"},
	} {
		_, err := DecodeFeed(V2, XML, []byte(c.doc))
		refusedXML(t, c.name, err, c.status, c.says)
	}
}

// refusedXML checks that err is a refusal of this status that says so, briefly.
func refusedXML(t *testing.T, name string, err error, status int, says string) {
	t.Helper()
	var e *Error
	switch {
	case !errors.As(err, &e):
		t.Errorf("%s: got %v", name, err)
	case e.Status != status || !strings.Contains(e.Error(), says):
		t.Errorf("%s: got %d %v, want %d with %q", name, e.Status, e, status, says)
	case len(e.Error()) > 400:
		t.Errorf("%s: %d bytes of error", name, len(e.Error()))
	case status == 400 && e.Title != "XML Parser Error":
		t.Errorf("%s: title %q", name, e.Title)
	}
}

func TestDecodeOtherXMLRefusals(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		decode    func([]byte) error
		status    int
		says      string
	}{
		{"datastream: no data", `<eeml><environment/></eeml>`, decodesDatastream, 422, "datastreams must be exactly one, not 0"},
		{"datastream: two", inXMLEnvironment(`<data id="a"/><data id="b"/>`), decodesDatastream, 422, "datastreams must be exactly one, not 2"},
		{"datastream: another id", inXMLEnvironment(`<data id="b"/>`), decodesDatastream, 422, "id does not match"},
		{"datastream: bad time", inXMLData(`<current_value at="x">1</current_value>`), decodesDatastream, 422, "at is invalid"},
		{"datastream: malformed", `<eeml>`, decodesDatastream, 400, "unexpected EOF"},
		{"datastreams: none", `<eeml><environment/></eeml>`, decodesDatastreams, 422, "datastreams can't be blank"},
		{"datastreams: malformed", `<`, decodesDatastreams, 400, "unexpected EOF"},
		{"datapoints: none", inXMLData(``), decodesDatapoints, 422, "datapoints can't be blank"},
		{"datapoints: blank", inXMLData(`<datapoints><value/></datapoints>`), decodesDatapoints, 422, "value can't be blank"},
		{"datapoints: 501", inXMLData(`<datapoints>` + strings.Repeat(`<value>1</value>`, 501) + `</datapoints>`), decodesDatapoints, 422, "datapoints"},
		{"datapoint: none", inXMLData(`<datapoints/>`), decodesDatapoint, 422, "datapoints must be exactly one, not 0"},
		{"datapoint: two", inXMLData(`<datapoints><value>1</value><value>2</value></datapoints>`), decodesDatapoint, 422, "datapoints must be exactly one, not 2"},
		{"key: another root", `<keys><key/></keys>`, decodesKey, 400, "root element must be key"},
		{"key: end", `<key><expires-at>soon</expires-at></key>`, decodesKey, 422, "expires_at is invalid"},
		{"key: private", `<key><private-access>x</private-access></key>`, decodesKey, 422, "private_access is invalid"},
		{"key: no permission", `<key><permissions/></key>`, decodesKey, 422, "permissions can't be blank"},
		{"key: feed", inXMLResource(`<feed-id>-1</feed-id>`), decodesKey, 422, "permissions_feed_id is invalid"},
		{"key: trigger", inXMLResource(`<datastream-trigger-id>1.5</datastream-trigger-id>`), decodesKey, 422, "permissions_datastream_trigger_id is invalid"},
		{"key: interval", `<key><permissions><permission><minimum-interval>99999999999</minimum-interval></permission></permissions></key>`, decodesKey, 422, "minimum_interval is invalid"},
		{"key: two", `<key/><key/>`, decodesKey, 400, "second root"},
		{"key: entities", `<!DOCTYPE key [<!ENTITY a "b">]><key><label>&a;</label></key>`, decodesKey, 400, "entities"},
		{"trigger: another root", `<datastream-triggers/>`, decodesTrigger, 400, "root element must be datastream-trigger"},
		{"trigger: feed", `<trigger><environment-id>hut</environment-id></trigger>`, decodesTrigger, 422, "environment_id is invalid"},
		{"trigger: threshold", `<trigger><threshold-value>hot</threshold-value></trigger>`, decodesTrigger, 422, "threshold_value is invalid"},
		{"trigger: more", `<trigger/>x`, decodesTrigger, 400, "text after"},
		{"user: another root", `<users/>`, decodesUser, 400, "root element must be user"},
		{"user: login", `<user><login> </login></user>`, decodesUser, 422, "login can't be blank"},
		{"user: malformed", `<user><password>`, decodesUser, 400, "unexpected EOF"},
	} {
		refusedXML(t, c.name, c.decode([]byte(c.doc)), c.status, c.says)
	}
}

func inXMLResource(s string) string {
	return `<key><permissions><permission><resources><resource>` + s + `</resource></resources></permission></permissions></key>`
}

func decodesDatastream(b []byte) error  { _, err := DecodeDatastream(V2, XML, "a", b); return err }
func decodesDatastreams(b []byte) error { _, err := DecodeDatastreams(V2, XML, b); return err }
func decodesDatapoints(b []byte) error  { _, err := DecodeDatapoints(V2, XML, b); return err }
func decodesDatapoint(b []byte) error   { _, err := DecodeDatapoint(V2, XML, b); return err }
func decodesKey(b []byte) error         { _, err := DecodeKey(XML, b); return err }
func decodesTrigger(b []byte) error     { _, err := DecodeTrigger(XML, b); return err }
func decodesUser(b []byte) error        { _, err := DecodeUser(XML, b); return err }

// A datastream's document has its own times only.
func TestDecodeDatastreamXML(t *testing.T) {
	got, err := DecodeDatastream(V2, XML, "a", []byte(`<eeml><environment updated="2013-01-01T00:00:00Z"><data><current_value>1</current_value></data></environment></eeml>`))
	if want := (DatastreamWrite{ID: "a", Value: xmlPtr("1")}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	points, err := DecodeDatapoints(V1, XML, []byte(`<eeml><environment><data><datapoints><value at="2013-01-01T00:00:00Z">1</value>`+
		`<value>2</value></datapoints><datapoints><value>3</value></datapoints></data></environment></eeml>`))
	want := []Datapoint{{At: xmlAt(t, "2013-01-01T00:00:00Z"), Value: "1"}, {Value: "2"}, {Value: "3"}}
	if err != nil || !reflect.DeepEqual(points, want) {
		t.Errorf("got %+v, %v, want %+v", points, err, want)
	}
}

// What is decoded shares no memory with the body, which callers use again.
func TestDecodeFeedXMLCopies(t *testing.T) {
	body := readXML(t, "feed_v2.xml")
	want, err := DecodeFeed(V2, XML, bytes.Clone(body))
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeFeed(V2, XML, body)
	for i := range body {
		body[i] = 'x'
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
