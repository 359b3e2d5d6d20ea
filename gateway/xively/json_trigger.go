package xively

import (
	"math"
	"net/url"
	"strconv"
)

// appendTriggerJSON writes threshold_value and notified_at even if they are
// empty: readers of the API count on them.
func appendTriggerJSON(b []byte, t *Trigger) []byte {
	b = append(b, '{')
	b = appendUintMember(b, "id", t.ID)
	b = appendText(b, "url", t.URL)
	b = appendText(b, "trigger_type", t.Type)
	b = appendString(appendMember(b, "threshold_value"), t.Threshold)
	b = appendText(b, "user", t.User)
	b = appendUintMember(b, "environment_id", t.Feed)
	b = appendText(b, "stream_id", t.Datastream)
	if t.NotifiedAt.IsZero() {
		b = appendString(appendMember(b, "notified_at"), "")
	} else {
		b = appendSecondsMember(b, "notified_at", t.NotifiedAt)
	}
	return append(b, '}')
}

func appendTriggersJSON(b []byte, triggers []Trigger) []byte {
	b = append(b, '[')
	for i := range triggers {
		b = appendTriggerJSON(appendComma(b), &triggers[i])
	}
	return append(b, ']')
}

func decodeTriggerJSON(body []byte) (out TriggerWrite, err error) {
	doc, err := rootObject(body, "trigger", "datastream_trigger")
	if err != nil {
		return out, err
	}
	var r jsonReader
	out.URL = r.text("url", doc["url"])
	out.Type = r.text("trigger_type", doc["trigger_type"])
	out.Threshold = r.number("threshold_value", doc["threshold_value"])
	out.Datastream = r.text("stream_id", doc["stream_id"])
	if n := doc["environment_id"]; n != nil && !n.empty() {
		id := r.id("environment_id", n)
		out.Feed = &id
	}
	return out, r.err()
}

// appendNotificationJSON writes what a trigger sends (section 6.2 of the
// reference). It differs from the feed's own shape: extremes and threshold are
// numbers where they are known, else "", and the longitude is "lng".
func appendNotificationJSON(b []byte, n *Notification) []byte {
	t, d := &n.Trigger, &n.Datastream
	feed := n.Feed
	if feed == nil {
		feed = &Feed{ID: t.Feed}
	}
	b = append(b, '{')
	b = appendUintMember(b, "id", t.ID)
	b = appendText(b, "url", n.TriggerURL)
	b = appendText(b, "type", t.Type)
	b = appendNumberOrBlank(b, "threshold_value", t.Threshold)
	b = appendTimeMember(b, "timestamp", n.At)

	b = append(appendMember(b, "environment"), '{')
	b = appendUintMember(b, "id", feed.ID)
	b = appendString(appendMember(b, "title"), feed.Title)
	b = appendString(appendMember(b, "description"), feed.Description)
	b = appendText(b, "feed", feed.URL)
	b = append(appendMember(b, "location"), '{')
	if l := feed.Location; l != nil {
		if l.Lat != nil {
			b = appendFloatMember(b, "lat", *l.Lat)
		}
		if l.Lon != nil {
			b = appendFloatMember(b, "lng", *l.Lon)
		}
		b = appendText(b, "name", l.Name)
	}
	b = append(b, '}', '}')

	b = append(appendMember(b, "triggering_datastream"), '{')
	b = appendText(b, "id", d.ID)
	if feed.URL != "" {
		b = appendText(b, "url", feed.URL+"/datastreams/"+url.PathEscape(d.ID))
	}
	b = appendTimeMember(b, "at", d.At)
	b = append(appendMember(b, "value"), '{')
	b = appendString(appendMember(b, "current_value"), d.Value)
	b = appendNumberOrBlank(b, "max_value", d.Max)
	b = appendNumberOrBlank(b, "min_value", d.Min)
	return append(b, '}', '}', '}')
}

// appendNumberOrBlank writes the number that s is, in its own text where JSON
// can hold that, or "".
func appendNumberOrBlank(b []byte, name, s string) []byte {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return appendString(appendMember(b, name), "")
	}
	if numberEnd(s, 0) == len(s) {
		return append(appendMember(b, name), s...)
	}
	return appendFloatMember(b, name, x)
}
