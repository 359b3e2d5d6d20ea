package xively

func decodeFeedJSON(v Version, body []byte) (out FeedWrite, err error) {
	doc, err := rootObject(body)
	if err != nil {
		return out, err
	}
	var r jsonReader
	out.Title = r.text("title", doc["title"])
	out.Private = r.truth("private", doc["private"])
	out.Description = r.metadata("description", doc["description"])
	out.Website = r.metadata("website", doc["website"])
	out.Icon = r.metadata("icon", doc["icon"])
	out.Email = r.metadata("email", doc["email"])
	out.Tags = r.tags("tags", doc["tags"])
	out.Location = r.location(doc["location"])
	out.Updated = r.time("updated", doc["updated"])
	if ds := doc["datastreams"]; ds != nil && ds.kind != jsonNull {
		if ds.kind != jsonArray {
			return out, Malformed(JSON, `"datastreams" is no array`)
		}
		if out.Datastreams, err = r.datastreams(shapeOf(v, doc), ds.kids); err != nil {
			return out, err
		}
	}
	return out, r.err()
}

// decodeDatastreamJSON takes a datastream, also one alone in the shell of a feed
// as it is created: that would otherwise change nothing without a word.
func decodeDatastreamJSON(v Version, body []byte) (out DatastreamWrite, err error) {
	doc, err := rootObject(body)
	if err != nil {
		return out, err
	}
	var r jsonReader
	shape := shapeOf(v, doc)
	if ds := doc["datastreams"]; ds != nil {
		if ds.kind != jsonArray || len(ds.kids) != 1 || ds.kids[0].kind != jsonObject {
			return out, Malformed(JSON, `"datastreams" is no array of one object`)
		}
		doc = ds.kids[0].fields()
	}
	out = r.datastream(shape, doc)
	return out, r.err()
}

// decodeDatastreamsJSON takes {"datastreams":[...]}, a bare array and a bare
// datastream.
func decodeDatastreamsJSON(v Version, body []byte) (out []DatastreamWrite, err error) {
	n, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	doc := n.fields()
	kids := []jsonNode{n}
	if n.kind == jsonArray {
		kids = n.kids
	} else if n.kind != jsonObject {
		return nil, Malformed(JSON, "the document is no object")
	} else if ds := doc["datastreams"]; ds != nil {
		if ds.kind != jsonArray {
			return nil, Malformed(JSON, `"datastreams" is no array`)
		}
		kids = ds.kids
	}
	var r jsonReader
	if out, err = r.datastreams(shapeOf(v, doc), kids); err != nil {
		return nil, err
	}
	return out, r.err()
}

func decodeDatapointsJSON(body []byte) (out []Datapoint, err error) {
	n, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	list := &n
	if n.kind != jsonArray {
		if n.kind != jsonObject {
			return nil, Malformed(JSON, "the document is no object")
		}
		list = n.fields()["datapoints"]
		if list == nil || list.kind != jsonArray {
			return nil, Malformed(JSON, `"datapoints" is no array`)
		}
	}
	var r jsonReader
	out = r.datapoints(list)
	return out, r.err()
}

func decodeDatapointJSON(body []byte) (out Datapoint, err error) {
	doc, err := rootObject(body, "datapoint")
	if err != nil {
		return out, err
	}
	var r jsonReader
	out = Datapoint{Value: r.str("value", doc["value"]), At: r.time("at", doc["at"])}
	return out, r.err()
}

// jsonShape is how a document's datastreams carry their values.
type jsonShape uint8

const (
	jsonShape2      jsonShape = iota // current_value, at, max_value, min_value
	jsonShape1                       // values, with one object
	jsonShapeEither                  // values where there are any
)

// shapeOf goes by the document's version whatever the URL says: "0.6-alpha" is
// the old shape and anything else the new one. Only a URL of v1 lets "values"
// count without the version.
func shapeOf(v Version, doc map[string]*jsonNode) jsonShape {
	if n := doc["version"]; n != nil && (n.text == jsonVersion1 || n.text == "0.6") {
		return jsonShape1
	}
	if v == V1 {
		return jsonShapeEither
	}
	return jsonShape2
}

// datastreams reads those of a feed.
func (r *jsonReader) datastreams(shape jsonShape, kids []jsonNode) ([]DatastreamWrite, error) {
	r.prefix = "datastreams_"
	defer func() { r.prefix = "" }()
	out := make([]DatastreamWrite, 0, min(len(kids), MaxDatastreams))
	for i := range kids {
		if kids[i].kind != jsonObject {
			return nil, Malformed(JSON, "entry %d of the datastreams is no object", i+1)
		}
		out = append(out, r.datastream(shape, kids[i].fields()))
	}
	return out, nil
}

func (r *jsonReader) datastream(shape jsonShape, doc map[string]*jsonNode) (out DatastreamWrite) {
	out.ID = r.str("id", doc["id"])
	value, at, most, least := "current_value", "at", "max_value", "min_value"
	from := doc
	if values := doc["values"]; shape != jsonShape2 && values != nil && values.kind != jsonNull {
		value, at = "value", "recorded_at"
		switch list := r.list("values", values); len(list) {
		case 0:
			from = nil
		case 1:
			from = list[0].fields()
		default:
			r.bad("values") // there is one present value; which, nobody says
			from = nil
		}
	}
	out.Value = r.text("current_value", from[value])
	out.At = r.time("at", from[at])
	out.Max = r.number("max_value", from[most])
	out.Min = r.number("min_value", from[least])
	out.Tags = r.tags("tags", doc["tags"])
	out.Unit = r.unit(doc["unit"])
	out.Datapoints = r.datapoints(doc["datapoints"])
	return out
}

// datapoints reads an array of {"value":..,"at":..}.
func (r *jsonReader) datapoints(n *jsonNode) []Datapoint {
	list := r.list("datapoints", n)
	if len(list) == 0 {
		return nil
	}
	out := make([]Datapoint, len(list))
	for i := range list {
		p := list[i].fields()
		out[i] = Datapoint{Value: r.str("datapoints_value", p["value"]), At: r.time("datapoints_at", p["at"])}
	}
	return out
}

// unit reads an object; empty removes it.
func (r *jsonReader) unit(n *jsonNode) *Unit {
	if n == nil {
		return nil
	}
	if n.empty() {
		return &Unit{}
	}
	if n.kind != jsonObject {
		r.bad("unit")
		return nil
	}
	m := n.fields()
	return &Unit{
		Type:   r.str("unit_type", m["type"]),
		Symbol: r.str("unit_symbol", m["symbol"]),
		Label:  r.str("unit_label", m["label"]),
	}
}

// location reads an object; empty removes it. Waypoints are the server's.
func (r *jsonReader) location(n *jsonNode) *Location {
	if n == nil {
		return nil
	}
	if n.empty() {
		return &Location{}
	}
	if n.kind != jsonObject {
		r.bad("location")
		return nil
	}
	m := n.fields()
	out := &Location{
		Name:        r.str("location_name", m["name"]),
		Disposition: r.str("location_disposition", m["disposition"]),
		Exposure:    r.str("location_exposure", m["exposure"]),
		Domain:      r.str("location_domain", m["domain"]),
		Lat:         r.degrees("location_lat", m["lat"]),
		Lon:         r.degrees("location_lon", m["lon"]),
	}
	if ele := r.number("location_ele", m["ele"]); ele != nil {
		out.Ele = *ele
	}
	return out
}
