package xively

// The names of the two shapes of a feed in "version" (section 2 of the
// reference).
const (
	jsonVersion1 = "0.6-alpha"
	jsonVersion2 = "1.0.0"
)

func jsonVersion(v Version) string {
	if v == V1 {
		return jsonVersion1
	}
	return jsonVersion2
}

func appendFeedJSON(b []byte, v Version, f *Feed) []byte {
	b = append(b, '{')
	b = appendUintMember(b, "id", f.ID)
	b = appendText(b, "title", f.Title)
	if v != V1 {
		// A string: that is how the API has always written it.
		if f.Private {
			b = appendText(b, "private", "true")
		} else {
			b = appendText(b, "private", "false")
		}
	}
	b = appendText(b, "icon", f.Icon)
	b = appendText(b, "website", f.Website)
	if v != V1 {
		b = appendTexts(b, "tags", f.Tags)
	}
	b = appendText(b, "description", f.Description)
	if f.URL != "" {
		b = appendString(appendMember(b, "feed"), f.URL)
		b = append(b[:len(b)-1], `.json"`...)
	}
	if f.Live {
		b = appendText(b, "status", "live")
	} else {
		b = appendText(b, "status", "frozen")
	}
	b = appendTimeMember(b, "updated", f.Updated)
	if v != V1 {
		b = appendTimeMember(b, "created", f.Created)
	}
	b = appendText(b, "email", f.Email)
	if v != V1 {
		b = appendText(b, "creator", f.Creator)
		if f.User != "" {
			b = append(appendText(append(appendMember(b, "user"), '{'), "login", f.User), '}')
		}
	}
	b = appendText(b, "version", jsonVersion(v))
	if len(f.Datastreams) > 0 {
		b = append(appendMember(b, "datastreams"), '[')
		for i := range f.Datastreams {
			b = append(appendComma(b), '{')
			b = appendDatastreamMembers(b, v, &f.Datastreams[i])
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = appendLocation(b, v, f.Location)
	if v != V1 {
		b = appendText(b, "product_id", f.ProductID)
		b = appendText(b, "device_serial", f.DeviceSerial)
	}
	return append(b, '}')
}

// appendLocation writes the location, which is left out if nothing is known.
func appendLocation(b []byte, v Version, l *Location) []byte {
	if l == nil {
		return b
	}
	before := len(b)
	b = append(appendMember(b, "location"), '{')
	opened := len(b)
	b = appendText(b, "disposition", l.Disposition)
	b = appendText(b, "name", l.Name)
	b = appendText(b, "exposure", l.Exposure)
	b = appendText(b, "domain", l.Domain)
	b = appendText(b, "ele", l.Ele)
	if l.Lat != nil {
		b = appendFloatMember(b, "lat", *l.Lat)
	}
	if l.Lon != nil {
		b = appendFloatMember(b, "lon", *l.Lon)
	}
	if v != V1 && len(l.Waypoints) > 0 {
		b = append(appendMember(b, "waypoints"), '[')
		for i := range l.Waypoints {
			p := &l.Waypoints[i]
			b = append(appendComma(b), '{')
			b = appendTimeMember(b, "at", p.At)
			b = appendFloatMember(b, "lat", p.Lat)
			b = appendFloatMember(b, "lon", p.Lon)
			b = appendText(b, "ele", p.Ele)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	if len(b) == opened {
		return b[:before]
	}
	return append(b, '}')
}

// appendDatastreamMembers writes what stands between the braces.
func appendDatastreamMembers(b []byte, v Version, d *Datastream) []byte {
	b = appendText(b, "id", d.ID)
	if v == V1 {
		b = appendTexts(b, "tags", d.Tags)
		if d.Value != "" || !d.At.IsZero() || d.Max != "" || d.Min != "" {
			b = append(appendMember(b, "values"), '[', '{')
			b = appendSecondsMember(b, "recorded_at", d.At)
			b = appendText(b, "value", d.Value)
			b = appendText(b, "max_value", d.Max)
			b = appendText(b, "min_value", d.Min)
			b = append(b, '}', ']')
		}
	} else {
		b = appendText(b, "current_value", d.Value)
		b = appendTimeMember(b, "at", d.At)
		b = appendText(b, "max_value", d.Max)
		b = appendText(b, "min_value", d.Min)
		b = appendTexts(b, "tags", d.Tags)
	}
	if d.Unit != (Unit{}) {
		b = append(appendMember(b, "unit"), '{')
		b = appendText(b, "type", d.Unit.Type)
		b = appendText(b, "symbol", d.Unit.Symbol)
		b = appendText(b, "label", d.Unit.Label)
		b = append(b, '}')
	}
	if len(d.Datapoints) > 0 {
		b = append(appendMember(b, "datapoints"), '[')
		for i := range d.Datapoints {
			b = appendDatapointJSON(appendComma(b), d.Datapoints[i])
		}
		b = append(b, ']')
	}
	return appendText(b, "datapoints_function", d.Function)
}

func appendFeedsJSON(b []byte, v Version, list List, feeds []*Feed) []byte {
	b = append(b, '{')
	b = appendIntMember(b, "totalResults", list.Total)
	b = appendIntMember(b, "startIndex", list.Start)
	b = appendIntMember(b, "itemsPerPage", list.PerPage)
	b = append(appendMember(b, "results"), '[')
	for _, f := range feeds {
		b = appendFeedJSON(appendComma(b), v, f)
	}
	return append(b, ']', '}')
}

func appendDatastreamJSON(b []byte, v Version, d *Datastream) []byte {
	b = appendDatastreamMembers(append(b, '{'), v, d)
	return append(appendText(b, "version", jsonVersion(v)), '}')
}

// appendDatapointJSON writes the value even if it is blank: without it there is
// no datapoint.
func appendDatapointJSON(b []byte, p Datapoint) []byte {
	b = appendString(appendMember(append(b, '{'), "value"), p.Value)
	return append(appendTimeMember(b, "at", p.At), '}')
}
