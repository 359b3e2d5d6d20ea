package xively

import (
	"encoding/xml"
	"strconv"
	"strings"
)

// What a document of feeds, datastreams and datapoints means is told by itself,
// not by the URL: version="5" or a namespace that ends in "/005" makes it EEML
// 5, where the value stands in <value minValue="" maxValue="">; anything else is
// EEML 0.5.1, with <current_value at="">, <max_value> and <min_value>. All else
// is read alike. Elements come in any order; those that the API does not write
// are passed over, and so are namespaces.

func decodeFeedXML(_ Version, body []byte) (FeedWrite, error) { return readEEML(body, "datastreams_") }

// decodeDatastreamXML refuses a document without exactly one <data> with 422.
// The time of its environment is that of the feed and does not count.
func decodeDatastreamXML(_ Version, body []byte) (DatastreamWrite, error) {
	w, err := readEEML(body, "")
	if err != nil {
		return DatastreamWrite{}, err
	}
	if n := len(w.Datastreams); n != 1 {
		return DatastreamWrite{}, Unprocessable(FieldError{"datastreams", "must be exactly one, not " + strconv.Itoa(n)})
	}
	return w.Datastreams[0], nil
}

func decodeDatastreamsXML(_ Version, body []byte) ([]DatastreamWrite, error) {
	w, err := readEEML(body, "datastreams_")
	for i := range w.Datastreams {
		if d := &w.Datastreams[i]; d.Value != nil && d.At.IsZero() {
			d.At = w.Updated
		}
	}
	return w.Datastreams, err
}

func decodeDatapointsXML(body []byte) ([]Datapoint, error) {
	d, err := decodeDatastreamXML(V2, body)
	return d.Datapoints, err
}

// decodeDatapointXML refuses a document without exactly one <value> with 422.
func decodeDatapointXML(body []byte) (Datapoint, error) {
	points, err := decodeDatapointsXML(body)
	if err != nil {
		return Datapoint{}, err
	}
	if n := len(points); n != 1 {
		return Datapoint{}, Unprocessable(FieldError{"datapoints", "must be exactly one, not " + strconv.Itoa(n)})
	}
	return points[0], nil
}

// readEEML reads the shell that all of these documents share. Prefix stands in
// front of the names of datastreams' fields in errors. Only what is no number or
// time is refused here; the checks of all formats follow.
func readEEML(body []byte, prefix string) (w FeedWrite, err error) {
	r := newXMLReader(body)
	r.prefix = prefix
	root, err := r.root("eeml")
	if err != nil {
		return w, err
	}
	version, _ := xmlAttribute(root, "version")
	v1 := version == "5" || strings.HasSuffix(root.Name.Space, "/005")
	environments := 0
	err = r.children(func(e xml.StartElement) error {
		if e.Name.Local != "environment" {
			return r.skip()
		}
		if environments++; environments > 1 {
			return r.malformed("more than one environment")
		}
		return r.environment(e, v1, &w)
	})
	if err == nil {
		err = r.end()
	}
	if err == nil && environments == 0 {
		err = r.malformed("there is no environment")
	}
	return w, err
}

func (r *xmlReader) environment(e xml.StartElement, v1 bool, w *FeedWrite) (err error) {
	if s, _ := xmlAttribute(e, "updated"); s != "" {
		if w.Updated, err = ParseTime(s); err != nil {
			return Unprocessable(FieldError{"updated", Invalid})
		}
	}
	err = r.children(func(e xml.StartElement) error {
		switch e.Name.Local {
		case "title":
			return r.textInto(&w.Title)
		case "description":
			return r.textInto(&w.Description)
		case "website":
			return r.textInto(&w.Website)
		case "icon":
			return r.textInto(&w.Icon)
		case "email":
			return r.textInto(&w.Email)
		case "private":
			// Empty does not mean public: nothing is published by leaving out.
			s, err := r.text()
			if err != nil {
				return err
			}
			private, ok := parseXMLBool(s)
			if !ok {
				return Unprocessable(FieldError{"private", Invalid})
			}
			w.Private = &private
		case "tag":
			return r.tag(&w.Tags)
		case "location":
			return r.location(e, w)
		case "data":
			d, err := r.data(e, v1)
			w.Datastreams = append(w.Datastreams, d)
			return err
		default:
			return r.skip()
		}
		return nil
	})
	sortXMLTags(w.Tags)
	return err
}

// tag adds what one element says; an empty one says that there are none.
func (r *xmlReader) tag(to **[]string) error {
	s, err := r.text()
	if *to == nil {
		*to = &[]string{}
	}
	**to = append(**to, s)
	return err
}

// sortXMLTags: an element holds one tag, commas and all.
func sortXMLTags(tags *[]string) {
	if tags != nil {
		*tags = listTags(*tags)
	}
}

func (r *xmlReader) location(e xml.StartElement, w *FeedWrite) error {
	l := &Location{}
	l.Domain, _ = xmlAttribute(e, "domain")
	l.Exposure, _ = xmlAttribute(e, "exposure")
	l.Disposition, _ = xmlAttribute(e, "disposition")
	err := r.children(func(e xml.StartElement) (err error) {
		switch e.Name.Local {
		case "name":
			l.Name, err = r.text()
		case "lat":
			l.Lat, err = r.number("location_lat")
		case "lon":
			l.Lon, err = r.number("location_lon")
		case "ele":
			l.Ele, err = r.text()
		default:
			err = r.skip()
		}
		return err
	})
	if l.Domain == "physical" && !hasPlace(l) {
		l.Domain = "" // this is how a feed without a location is written
	}
	w.Location = l
	return err
}

// number is the text of the element that was entered; nil if it is empty.
func (r *xmlReader) number(field string) (*float64, error) {
	s, err := r.text()
	if err != nil || s == "" {
		return nil, err
	}
	x, ok := decimal(s)
	if !ok {
		return nil, Unprocessable(FieldError{field, Invalid})
	}
	return &x, nil
}

func (r *xmlReader) data(e xml.StartElement, v1 bool) (d DatastreamWrite, err error) {
	d.ID, _ = xmlAttribute(e, "id")
	err = r.children(func(e xml.StartElement) (err error) {
		name := e.Name.Local
		switch {
		case name == "tag":
			return r.tag(&d.Tags)
		case name == "unit":
			u := &Unit{}
			u.Type, _ = xmlAttribute(e, "type")
			u.Symbol, _ = xmlAttribute(e, "symbol")
			u.Label, err = r.text()
			d.Unit = u
		case name == "datapoints":
			return r.datapoints(&d.Datapoints)
		case v1 && name == "value":
			if s, ok := xmlAttribute(e, "minValue"); ok {
				d.Min = &s
			}
			if s, ok := xmlAttribute(e, "maxValue"); ok {
				d.Max = &s
			}
			return r.textInto(&d.Value)
		case !v1 && name == "current_value":
			p, err := r.datapoint(e, r.prefix+"at")
			d.Value, d.At = &p.Value, p.At
			return err
		case !v1 && name == "max_value":
			return r.textInto(&d.Max)
		case !v1 && name == "min_value":
			return r.textInto(&d.Min)
		default:
			return r.skip()
		}
		return err
	})
	sortXMLTags(d.Tags)
	return d, err
}

func (r *xmlReader) datapoints(to *[]Datapoint) error {
	return r.children(func(e xml.StartElement) error {
		if e.Name.Local != "value" {
			return r.skip()
		}
		p, err := r.datapoint(e, r.prefix+"datapoints_at")
		*to = append(*to, p)
		return err
	})
}

// datapoint is an element with a value and the attribute "at", which errors call
// field.
func (r *xmlReader) datapoint(e xml.StartElement, field string) (p Datapoint, err error) {
	if s, _ := xmlAttribute(e, "at"); s != "" {
		if p.At, err = ParseTime(s); err != nil {
			return p, Unprocessable(FieldError{field, Invalid})
		}
	}
	p.Value, err = r.text()
	return p, err
}

// parseXMLBool reads a boolean as XML and Ruby write it.
func parseXMLBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	return false, false
}
