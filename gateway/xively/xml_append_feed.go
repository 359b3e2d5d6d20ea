package xively

import (
	"math"
	"strconv"
	"time"
)

// The shells of EEML 0.5.1 and EEML 5. Lists of feeds have the namespace of
// OpenSearch besides.
const (
	eemlV2 = xmlDeclaration + "\n" +
		`<eeml xmlns="http://www.eeml.org/xsd/0.5.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="0.5.1"` +
		` xsi:schemaLocation="http://www.eeml.org/xsd/0.5.1 http://www.eeml.org/xsd/0.5.1/0.5.1.xsd"`
	eemlV1 = xmlDeclaration + "\n" +
		`<eeml xmlns="http://www.eeml.org/xsd/005" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="5"` +
		` xsi:schemaLocation="http://www.eeml.org/xsd/005 http://www.eeml.org/xsd/005/005.xsd"`
	openSearch = ` xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"`
	eemlEnd    = "\n</eeml>\n"

	// creatorV1 is what EEML 5 of the service named, whoever made the feed.
	creatorV1 = "http://www.haque.co.uk"
)

// Elements come one to a line, in the order of the service's own templates.

func appendFeedXML(b []byte, v Version, feed *Feed) []byte {
	b = appendEEML(b, v, "")
	b = appendEnvironmentXML(b, v, feed)
	return append(b, eemlEnd...)
}

func appendFeedsXML(b []byte, v Version, list List, feeds []*Feed) []byte {
	b = appendEEML(b, v, openSearch)
	b = appendXMLInt(b, 1, "opensearch:totalResults", list.Total)
	b = appendXMLInt(b, 1, "opensearch:startIndex", list.Start)
	b = appendXMLInt(b, 1, "opensearch:itemsPerPage", list.PerPage)
	for _, feed := range feeds {
		b = appendEnvironmentXML(b, v, feed)
	}
	return append(b, eemlEnd...)
}

func appendDatastreamXML(b []byte, v Version, feed *Feed, d *Datastream) []byte {
	b = appendEEML(b, v, "")
	b = appendEnvironmentTagXML(b, v, feed)
	b = appendDataXML(b, v, d)
	b = append(b, "\n  </environment>"...)
	return append(b, eemlEnd...)
}

// appendDatapointXML writes EEML 0.5.1 for both versions: EEML 5 has no
// datapoints.
func appendDatapointXML(b []byte, _ Version, feed *Feed, id string, p Datapoint) []byte {
	b = appendEEML(b, V2, "")
	b = appendEnvironmentTagXML(b, V2, feed)
	b = append(b, "\n    <data"...)
	b = appendXMLAttribute(b, "id", id)
	b = append(b, '>')
	b = appendDatapointsXML(b, []Datapoint{p})
	b = append(b, "\n    </data>\n  </environment>"...)
	return append(b, eemlEnd...)
}

// appendEEML opens the root element; namespaces are its further attributes.
func appendEEML(b []byte, v Version, namespaces string) []byte {
	if v == V1 {
		b = append(b, eemlV1...)
	} else {
		b = append(b, eemlV2...)
	}
	b = append(b, namespaces...)
	return append(b, '>')
}

func appendEnvironmentTagXML(b []byte, v Version, feed *Feed) []byte {
	b = append(b, "\n  <environment"...)
	if v == V1 {
		if !feed.Updated.IsZero() {
			b = append(b, ` updated="`...)
			b = feed.Updated.AppendFormat(b, time.RFC3339)
			b = append(b, '"')
		}
	} else {
		b = appendXMLTime(b, "updated", feed.Updated)
		b = appendXMLTime(b, "created", feed.Created)
	}
	b = append(b, ` id="`...)
	b = strconv.AppendUint(b, feed.ID, 10)
	b = append(b, '"')
	if v == V1 {
		b = appendXMLAttribute(b, "creator", creatorV1)
	} else if feed.Creator != "" {
		b = appendXMLAttribute(b, "creator", feed.Creator)
	}
	return append(b, '>')
}

func appendEnvironmentXML(b []byte, v Version, feed *Feed) []byte {
	b = appendEnvironmentTagXML(b, v, feed)
	b = appendXMLGiven(b, 2, "title", feed.Title)
	if feed.URL != "" {
		b = append(b, "\n    <feed>"...)
		b = appendXMLText(b, feed.URL)
		b = append(b, ".xml</feed>"...)
	}
	if feed.Live {
		b = append(b, "\n    <status>live</status>"...)
	} else {
		b = append(b, "\n    <status>frozen</status>"...)
	}
	b = appendXMLGiven(b, 2, "description", feed.Description)
	b = appendXMLGiven(b, 2, "icon", feed.Icon)
	b = appendXMLGiven(b, 2, "website", feed.Website)
	b = appendXMLGiven(b, 2, "email", feed.Email)
	if v != V1 {
		b = appendXMLGiven(b, 2, "product_id", feed.ProductID)
		b = appendXMLGiven(b, 2, "device_serial", feed.DeviceSerial)
		b = appendXMLElement(b, 2, "private", strconv.FormatBool(feed.Private))
		for _, tag := range feed.Tags {
			b = appendXMLElement(b, 2, "tag", tag)
		}
	}
	b = appendLocationXML(b, v, feed.Location)
	if v != V1 && feed.User != "" {
		b = append(b, "\n    <user>"...)
		b = appendXMLElement(b, 3, "login", feed.User)
		b = append(b, "\n    </user>"...)
	}
	for i := range feed.Datastreams {
		b = appendDataXML(b, v, &feed.Datastreams[i])
	}
	return append(b, "\n  </environment>"...)
}

// hasPlace reports whether l says more than its domain.
func hasPlace(l *Location) bool {
	return l != nil && (l.Name != "" || l.Exposure != "" || l.Disposition != "" || l.Lat != nil || l.Lon != nil ||
		l.Ele != "" || len(l.Waypoints) > 0)
}

func appendLocationXML(b []byte, v Version, l *Location) []byte {
	if !hasPlace(l) && (l == nil || l.Domain == "" || l.Domain == "physical") {
		if v != V1 { // there it is always, as the service had it
			b = append(b, "\n    "+`<location domain="physical" exposure="" disposition=""/>`...)
		}
		return b
	}
	b = append(b, "\n    <location"...)
	for _, a := range [...]struct{ name, value string }{
		{"domain", l.Domain}, {"exposure", l.Exposure}, {"disposition", l.Disposition},
	} {
		if a.value != "" {
			b = appendXMLAttribute(b, a.name, a.value)
		}
	}
	b = append(b, '>')
	b = appendXMLGiven(b, 3, "name", l.Name)
	b = appendDegreesXML(b, "lat", l.Lat)
	b = appendDegreesXML(b, "lon", l.Lon)
	b = appendXMLGiven(b, 3, "ele", l.Ele)
	if v != V1 {
		b = appendWaypointsXML(b, l)
	}
	return append(b, "\n    </location>"...)
}

func appendDegreesXML(b []byte, name string, degrees *float64) []byte {
	if degrees == nil {
		return b
	}
	b = append(appendXMLLine(b, 3), '<')
	b = append(b, name...)
	b = append(b, '>')
	return appendXMLEnd(appendXMLFloat(b, *degrees), name)
}

// appendXMLFloat writes x without an exponent, unless that took hundreds of
// digits.
func appendXMLFloat(b []byte, x float64) []byte {
	format := byte('f')
	if x != 0 && math.Abs(x) < 1e-9 {
		format = 'e'
	}
	return strconv.AppendFloat(b, x, format, -1, 64)
}

func appendWaypointsXML(b []byte, l *Location) []byte {
	if len(l.Waypoints) == 0 {
		if l.Disposition == "mobile" {
			b = append(b, "\n      <waypoints/>"...)
		}
		return b
	}
	b = append(b, "\n      <waypoints>"...)
	for _, w := range l.Waypoints {
		b = append(b, "\n        <waypoint"...)
		b = appendXMLTime(b, "at", w.At)
		b = append(b, "><lat>"...)
		b = appendXMLFloat(b, w.Lat)
		b = append(b, "</lat><lon>"...)
		b = appendXMLFloat(b, w.Lon)
		b = append(b, "</lon>"...)
		if w.Ele != "" {
			b = append(b, "<ele>"...)
			b = appendXMLText(b, w.Ele)
			b = append(b, "</ele>"...)
		}
		b = append(b, "</waypoint>"...)
	}
	return append(b, "\n      </waypoints>"...)
}

func appendDataXML(b []byte, v Version, d *Datastream) []byte {
	b = append(b, "\n    <data"...)
	b = appendXMLAttribute(b, "id", d.ID)
	b = append(b, '>')
	open := len(b)
	for _, tag := range d.Tags {
		b = appendXMLElement(b, 3, "tag", tag)
	}
	valued := d.Value != "" || !d.At.IsZero()
	if v == V1 {
		if valued {
			b = append(b, "\n      <value"...)
			if d.Min != "" {
				b = appendXMLAttribute(b, "minValue", d.Min)
			}
			if d.Max != "" {
				b = appendXMLAttribute(b, "maxValue", d.Max)
			}
			b = append(b, '>')
			b = appendXMLText(b, d.Value)
			b = append(b, "</value>"...)
		}
		b = appendUnitXML(b, d.Unit)
	} else {
		if valued {
			b = append(b, "\n      <current_value"...)
			b = appendXMLTime(b, "at", d.At)
			b = append(b, '>')
			b = appendXMLText(b, d.Value)
			b = append(b, "</current_value>"...)
		}
		b = appendXMLGiven(b, 3, "max_value", d.Max)
		b = appendXMLGiven(b, 3, "min_value", d.Min)
		b = appendUnitXML(b, d.Unit)
		if len(d.Datapoints) > 0 {
			b = appendDatapointsXML(b, d.Datapoints)
		}
	}
	if len(b) == open {
		return append(b[:open-1], "/>"...)
	}
	return append(b, "\n    </data>"...)
}

func appendUnitXML(b []byte, u Unit) []byte {
	if u == (Unit{}) {
		return b
	}
	b = append(b, "\n      <unit"...)
	if u.Type != "" {
		b = appendXMLAttribute(b, "type", u.Type)
	}
	if u.Symbol != "" {
		b = appendXMLAttribute(b, "symbol", u.Symbol)
	}
	if u.Label == "" {
		return append(b, "/>"...)
	}
	b = append(b, '>')
	b = appendXMLText(b, u.Label)
	return append(b, "</unit>"...)
}

func appendDatapointsXML(b []byte, points []Datapoint) []byte {
	b = append(b, "\n      <datapoints>"...)
	for _, p := range points {
		b = append(b, "\n        <value"...)
		b = appendXMLTime(b, "at", p.At)
		b = append(b, '>')
		b = appendXMLText(b, p.Value)
		b = append(b, "</value>"...)
	}
	return append(b, "\n      </datapoints>"...)
}
