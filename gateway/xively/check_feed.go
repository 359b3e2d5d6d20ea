package xively

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"fieldgate/gateway"
)

// maxNamed is how many repeated ids a refusal names.
const maxNamed = 10

func checkFeed(w FeedWrite) error {
	var p problems
	p.text("title", w.Title)
	p.text("description", w.Description)
	p.text("website", w.Website)
	p.text("icon", w.Icon)
	p.text("email", w.Email)
	if w.Tags != nil {
		p.tags("tags", *w.Tags)
	}
	p.addIf(!validTime(w.Updated), "updated", Invalid)
	if w.Location != nil {
		p.location(w.Location)
	}
	p.datastreams(w.Datastreams)
	return p.err()
}

func (p *problems) location(l *Location) {
	p.text("location_name", &l.Name)
	p.enum("location_disposition", l.Disposition, "fixed", "mobile")
	p.enum("location_exposure", l.Exposure, "indoor", "outdoor")
	p.enum("location_domain", l.Domain, "physical", "virtual")
	p.number("location_ele", &l.Ele)
	p.addIf(l.Lat == nil && l.Lon != nil, "location_lat", Blank)
	p.addIf(l.Lon == nil && l.Lat != nil, "location_lon", Blank)
	p.addIf(l.Lat != nil && !(math.Abs(*l.Lat) <= 90), "location_lat", Invalid)
	p.addIf(l.Lon != nil && !(math.Abs(*l.Lon) <= 180), "location_lon", Invalid)
}

// datastreams checks those of a feed: no id may come twice, and the datapoints
// of all of them count together.
func (p *problems) datastreams(ds []DatastreamWrite) {
	if len(ds) > MaxDatastreams {
		p.add("datastreams", tooMany(MaxDatastreams))
		return
	}
	nested := problems{prefix: p.prefix + "datastreams_"}
	points := 0
	seen := make(map[string]bool, len(ds))
	var twice []string
	for i := range ds {
		d := &ds[i]
		if blank(d.ID) {
			nested.add("id", Blank)
		} else if !ValidDatastreamID(d.ID) {
			nested.add("id", Invalid)
		} else if seen[d.ID] && len(twice) < maxNamed && !slices.Contains(twice, d.ID) {
			twice = append(twice, d.ID)
		}
		seen[d.ID] = true
		nested.datastream(d)
		points += len(d.Datapoints)
	}
	p.fields = append(p.fields, nested.fields...)
	p.addIf(len(twice) > 0, "datastreams", "can't have duplicate IDs: "+strings.Join(twice, ", "))
	p.addIf(points > MaxDatapoints, "datastreams_datapoints", tooMany(MaxDatapoints))
}

// datastream checks all of d but its id.
func (p *problems) datastream(d *DatastreamWrite) {
	if d.Value != nil {
		p.value("current_value", *d.Value)
	}
	p.addIf(!validTime(d.At), "at", Invalid)
	p.number("max_value", d.Max)
	p.number("min_value", d.Min)
	if d.Tags != nil {
		p.tags("tags", *d.Tags)
	}
	if d.Unit != nil {
		p.enum("unit_type", d.Unit.Type, UnitTypes...)
		p.text("unit_symbol", &d.Unit.Symbol)
		p.text("unit_label", &d.Unit.Label)
	}
	nested := problems{prefix: p.prefix + "datapoints_"}
	for _, point := range d.Datapoints {
		nested.datapoint(point)
	}
	p.fields = append(p.fields, nested.fields...)
}

// value checks a value's length, in characters.
func (p *problems) value(field, s string) {
	p.addIf(utf8.RuneCountInString(s) > MaxValue, field, TooLong)
	p.addIf(!utf8.ValidString(s), field, Invalid)
}

func (p *problems) datapoint(point Datapoint) {
	p.addIf(blank(point.Value), "value", Blank)
	p.value("value", point.Value)
	p.addIf(!validTime(point.At), "at", Invalid)
}

// checkDatastreams checks datastreams that are created, whose fields are
// reported as those of a feed's, or else the one that a write to it names: that
// one exists already, be its id one of the API's or not.
func checkDatastreams(ds []DatastreamWrite, creating bool) error {
	var p problems
	if creating {
		p.addIf(len(ds) == 0, "datastreams", Blank)
		p.datastreams(ds)
		return p.err()
	}
	for i := range ds {
		p.addIf(gateway.CheckID(SensorID(ds[i].ID)) != nil, "id", Invalid)
		p.datastream(&ds[i])
		p.addIf(len(ds[i].Datapoints) > MaxDatapoints, "datapoints", tooMany(MaxDatapoints))
	}
	return p.err()
}

func checkCreated(ds []DatastreamWrite) error { return checkDatastreams(ds, true) }

func checkDatapoints(points []Datapoint) error {
	var p problems
	p.addIf(len(points) == 0, "datapoints", Blank)
	p.addIf(len(points) > MaxDatapoints, "datapoints", tooMany(MaxDatapoints))
	nested := problems{prefix: "datapoints_"}
	for _, point := range points {
		nested.datapoint(point)
	}
	p.fields = append(p.fields, nested.fields...)
	return p.err()
}

func checkDatapoint(point Datapoint) error {
	var p problems
	p.datapoint(point)
	return p.err()
}
