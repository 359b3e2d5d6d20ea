package xively

import "strconv"

func appendProductJSON(b []byte, p *Product) []byte {
	b = append(appendMember(append(b, '{'), "product"), '{')
	return append(appendProductMembers(b, p), '}', '}')
}

func appendProductsJSON(b []byte, list List, products []Product) []byte {
	b = appendIntMember(append(b, '{'), "totalResults", list.Total)
	b = append(appendMember(b, "products"), '[')
	for i := range products {
		b = append(appendProductMembers(append(appendComma(b), '{'), &products[i]), '}')
	}
	return append(b, ']', '}')
}

func appendProductMembers(b []byte, p *Product) []byte {
	b = appendText(b, "name", p.Name)
	b = appendText(b, "description", p.Description)
	b = appendText(b, "product_id", p.ID)
	b = appendText(b, "secret", p.Secret)
	b = appendText(b, "state", p.State)
	b = appendIntMember(b, "devices_count", p.Devices)
	b = appendIntMember(b, "activated_devices_count", p.Activated)
	b = append(appendMember(b, "feed_defaults"), '{')
	d := &p.Defaults
	b = appendText(b, "title", d.Title)
	b = appendText(b, "description", d.Description)
	b = appendTexts(b, "tags", d.Tags)
	b = appendBoolMember(b, "private", d.Private)
	if len(d.Datastreams) > 0 {
		b = append(appendMember(b, "datastreams"), '[')
		for _, id := range d.Datastreams {
			b = appendString(appendMember(append(appendComma(b), '{'), "id"), id)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = append(b, '}')
	return appendText(b, "user", p.User)
}

func decodeProductJSON(body []byte) (out ProductWrite, err error) {
	doc, err := rootObject(body, "product")
	if err != nil {
		return out, err
	}
	var r jsonReader
	out.Name = r.text("name", doc["name"])
	out.Description = r.metadata("description", doc["description"])
	out.State = r.text("state", doc["state"])
	out.Defaults = r.feedDefaults(doc["feed_defaults"])
	return out, r.err()
}

// feedDefaults reads an object; its datastreams are [{"id":"a"}] or ["a"].
func (r *jsonReader) feedDefaults(n *jsonNode) *FeedDefaults {
	if n == nil || n.kind == jsonNull {
		return nil
	}
	if n.kind != jsonObject {
		r.bad("feed_defaults")
		return nil
	}
	r.prefix = "feed_defaults_"
	defer func() { r.prefix = "" }()
	m := n.fields()
	out := &FeedDefaults{Title: r.str("title", m["title"]), Description: r.str("description", m["description"]),
		Private: true} // nothing becomes public by an omission
	if tags := r.tags("tags", m["tags"]); tags != nil && len(*tags) > 0 {
		out.Tags = *tags
	}
	if private := r.truth("private", m["private"]); private != nil {
		out.Private = *private
	}
	out.Datastreams = r.names("datastreams", "id", m["datastreams"])
	return out
}

// names reads an array whose entries are texts or objects with the text under
// one name.
func (r *jsonReader) names(field, member string, n *jsonNode) []string {
	if n == nil || n.kind == jsonNull {
		return nil
	}
	if n.kind != jsonArray {
		r.bad(field)
		return nil
	}
	var out []string
	for i := range n.kids {
		kid := &n.kids[i]
		if kid.kind == jsonObject {
			kid = kid.fields()[member]
		}
		out = append(out, r.str(member, kid))
	}
	return out
}

func appendProductDeviceJSON(b []byte, d *ProductDevice) []byte {
	b = append(appendMember(append(b, '{'), "device"), '{')
	return append(appendProductDeviceMembers(b, d), '}', '}')
}

// appendProductDevicesJSON counts startIndex from 1, as the API does for
// devices, unlike for feeds.
func appendProductDevicesJSON(b []byte, list List, devices []ProductDevice) []byte {
	b = appendIntMember(append(b, '{'), "totalResults", list.Total)
	b = appendIntMember(b, "itemsPerPage", list.PerPage)
	b = appendIntMember(b, "startIndex", list.Start+1)
	b = append(appendMember(b, "devices"), '[')
	for i := range devices {
		b = append(appendProductDeviceMembers(append(appendComma(b), '{'), &devices[i]), '}')
	}
	return append(b, ']', '}')
}

func appendProductDeviceMembers(b []byte, d *ProductDevice) []byte {
	b = appendText(b, "serial", d.Serial)
	b = appendText(b, "activation_code", d.ActivationCode)
	b = appendTimeMember(b, "created_at", d.Created)
	if d.Activated.IsZero() {
		b = append(appendMember(b, "activated_at"), "null"...)
	} else {
		b = appendTimeMember(b, "activated_at", d.Activated)
	}
	if d.Feed != 0 {
		b = appendUintMember(b, "feed_id", d.Feed)
	}
	return b
}

// decodeSerialsJSON takes {"devices":[{"serial":"a"}]}, {"device":{"serial":
// "a"}}, {"serial":"a"}, and arrays of such objects or of the serials.
func decodeSerialsJSON(body []byte) (out []string, err error) {
	n, err := parseJSON(body)
	if err != nil {
		return nil, err
	}
	var r jsonReader
	list := &n
	if n.kind == jsonObject {
		doc := n.fields()
		if devices := doc["devices"]; devices != nil {
			list = devices
		} else {
			device := doc["device"]
			if device == nil {
				device = &n
			}
			list = &jsonNode{kind: jsonArray, kids: []jsonNode{*device}}
		}
	}
	if list.kind != jsonArray {
		return nil, Malformed(JSON, "no object with devices")
	}
	out = r.names("devices", "serial", list)
	return out, r.err()
}

func appendActivationJSON(b []byte, a *Activation) []byte {
	b = appendString(appendMember(append(b, '{'), "apikey"), a.Key)
	b = strconv.AppendUint(appendMember(b, "feed_id"), a.Feed, 10)
	return append(appendStrings(appendMember(b, "datastreams"), a.Datastreams), '}')
}
