package xively

import (
	"strconv"
	"strings"
)

func appendKeyJSON(b []byte, k *Key) []byte {
	b = append(appendMember(append(b, '{'), "key"), '{')
	return append(appendKeyMembers(b, k), '}', '}')
}

func appendKeysJSON(b []byte, keys []Key) []byte {
	b = append(appendMember(append(b, '{'), "keys"), '[')
	for i := range keys {
		b = append(appendKeyMembers(append(appendComma(b), '{'), &keys[i]), '}')
	}
	return append(b, ']', '}')
}

// appendKeyMembers writes "id" besides what the reference has: the text of a
// key is known only where it has just been made, since only its hash is kept.
func appendKeyMembers(b []byte, k *Key) []byte {
	b = appendText(b, "api_key", k.Key)
	b = appendString(appendMember(b, "id"), k.ID)
	b = appendText(b, "label", k.Label)
	b = appendBoolMember(b, "private_access", k.PrivateAccess)
	if k.ExpiresAt.Nanosecond() == 0 {
		b = appendSecondsMember(b, "expires_at", k.ExpiresAt)
	} else {
		b = appendTimeMember(b, "expires_at", k.ExpiresAt)
	}
	b = append(appendMember(b, "permissions"), '[')
	for i := range k.Permissions {
		p := &k.Permissions[i]
		b = append(appendComma(b), '{')
		b = appendText(b, "label", p.Label)
		b = appendTexts(b, "access_methods", p.Methods)
		b = appendText(b, "source_ip", p.SourceIP)
		b = appendText(b, "referer", p.Referer)
		if p.MinimumInterval != 0 {
			b = appendIntMember(b, "minimum_interval", p.MinimumInterval)
		}
		if len(p.Resources) > 0 {
			b = append(appendMember(b, "resources"), '[')
			for j := range p.Resources {
				b = appendKeyResource(appendComma(b), &p.Resources[j])
			}
			b = append(b, ']')
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendKeyResource(b []byte, r *KeyResource) []byte {
	b = append(b, '{')
	if r.Feed != 0 {
		b = appendUintMember(b, "feed_id", r.Feed)
	}
	b = appendText(b, "datastream_id", r.Datastream)
	if r.Trigger != 0 {
		b = appendUintMember(b, "datastream_trigger_id", r.Trigger)
	}
	return append(b, '}')
}

func decodeKeyJSON(body []byte) (out KeyWrite, err error) {
	doc, err := rootObject(body, "key")
	if err != nil {
		return out, err
	}
	var r jsonReader
	out.Label = r.text("label", doc["label"])
	out.PrivateAccess = r.truth("private_access", doc["private_access"])
	if n := doc["expires_at"]; n != nil { // null and "" are never, too
		t := r.time("expires_at", n)
		out.ExpiresAt = &t
	}
	if n := doc["permissions"]; n != nil && n.kind != jsonNull {
		out.Permissions = []Permission{}
		list := r.list("permissions", n)
		r.prefix = "permissions_"
		for i := range list {
			out.Permissions = append(out.Permissions, r.permission(list[i].fields()))
		}
	}
	return out, r.err()
}

func (r *jsonReader) permission(doc map[string]*jsonNode) (out Permission) {
	out.Label = r.str("label", doc["label"])
	for _, m := range r.texts("access_methods", doc["access_methods"]) {
		out.Methods = append(out.Methods, strings.ToLower(strings.TrimSpace(m)))
	}
	out.SourceIP = r.str("source_ip", doc["source_ip"])
	out.Referer = r.str("referer", doc["referer"])
	if s := r.number("minimum_interval", doc["minimum_interval"]); s != nil && *s != "" {
		seconds, err := strconv.ParseInt(*s, 10, 32) // the same on boards of 32 bits
		if err != nil || seconds < 0 {
			r.bad("minimum_interval")
		}
		out.MinimumInterval = int(seconds)
	}
	list := r.list("resources", doc["resources"])
	for i := range list {
		m := list[i].fields()
		out.Resources = append(out.Resources, KeyResource{
			Feed:       r.id("resources_feed_id", m["feed_id"]),
			Datastream: r.str("resources_datastream_id", m["datastream_id"]),
			Trigger:    r.id("resources_datastream_trigger_id", m["datastream_trigger_id"]),
		})
	}
	return out
}
