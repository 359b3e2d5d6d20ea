package xively

import (
	"encoding/json"
	"net/url"
	"time"
)

func decodeFeedCSV(v Version, body []byte) (out FeedWrite, err error)             { panic("not yet") }
func decodeDatastreamCSV(v Version, body []byte) (out DatastreamWrite, err error) { panic("not yet") }
func decodeDatastreamsCSV(v Version, body []byte) (out []DatastreamWrite, err error) {
	panic("not yet")
}
func decodeDatapointsCSV(body []byte) (out []Datapoint, err error)  { panic("not yet") }
func decodeDatapointCSV(body []byte) (out Datapoint, err error)     { panic("not yet") }
func appendFeedCSV(b []byte, v Version, feed *Feed) []byte          { panic("not yet") }
func appendFeedsCSV(b []byte, v Version, feeds []*Feed) []byte      { panic("not yet") }
func appendDatastreamCSV(b []byte, v Version, d *Datastream) []byte { panic("not yet") }
func appendDatapointCSV(b []byte, v Version, p Datapoint) []byte    { panic("not yet") }
func appendActivationCSV(b []byte, a *Activation) []byte            { panic("not yet") }

// SplitTopic takes an MQTT topic or filter apart. Ok is false if it is none of
// the API's: its path must go on with the name of a resource, and a key in
// front must not be the first level of another kind of topic ("devices",
// "gateways", "$...").
func SplitTopic(topic string) (t Topic, ok bool) { panic("not yet") }

// ParsePath reads the path of a URL, percent-encoded, from "/v1" or "/v2" on,
// and its query. The error is an *Error with status 404 or 400.
func ParsePath(path, query string) (Path, error) { panic("not yet") }

// MaskPath is path without the text of an API key in it, for logs: what stands
// in the place of a key goes through name.
func MaskPath(path string, name func(key string) string) string { panic("not yet") }

// ParseTime reads a time as the API takes it: ISO 8601 with any offset, with up
// to microseconds or without a fraction. The result is UTC.
func ParseTime(s string) (time.Time, error) { panic("not yet") }

// AppendTime writes t as "2006-01-02T15:04:05.000000Z"; in another zone than
// UTC with its offset.
func AppendTime(dst []byte, t time.Time) []byte { panic("not yet") }

// Text is the text of a recorded JSON value as the API shows it: a string's
// content, the literal text of anything else, "" for null.
func Text(value json.RawMessage) string { panic("not yet") }

// Value is how a text of the API is recorded: as the number that it is if it
// is one in JSON and within the range of a double, in that very text, else as a
// string. Text gives the same text back.
func Value(text string) json.RawMessage { panic("not yet") }

// Extreme is how the API writes a minimum or maximum: the shortest decimal,
// with at least one digit after the point ("333.0").
func Extreme(x float64) string { panic("not yet") }

// SensorID is the id of the sensor behind a datastream: the same but for '+',
// which no MQTT topic can hold and which stands there as "%2B".
func SensorID(datastream string) string { panic("not yet") }

// DatastreamID is the inverse of SensorID.
func DatastreamID(sensor string) string { panic("not yet") }

// ValidDatastreamID reports whether a datastream of this id can be made.
func ValidDatastreamID(id string) bool { panic("not yet") }

// ParseWindow reads the history parameters of a query. Asked is false if there
// are none: then the present state is wanted. Now is what "now" means, minimum
// the coarsest resolution that the key may see (0: any). At is the time of
// "time=", zero without it. The error is an *Error with status 400.
func ParseWindow(q url.Values, now time.Time, minimum time.Duration) (w Window, at time.Time, asked bool, err error) {
	panic("not yet")
}

// Sampler thins out datapoints, which come in ascending order of time: for each
// slot of w.Interval, counted from midnight UTC, the last value at or before it.
type Sampler struct{}

// NewSampler makes a sampler for w. Before is the last datapoint before
// w.Start; its At is zero if there is none.
func NewSampler(w Window, before Datapoint) *Sampler { panic("not yet") }

// Add takes the next datapoint. False means that enough is known.
func (s *Sampler) Add(p Datapoint) bool { panic("not yet") }

// Datapoints gives the result, at most w.Limit.
func (s *Sampler) Datapoints() []Datapoint { panic("not yet") }

func checkFeed(w FeedWrite) error                                { panic("not yet") }
func checkDatastreams(ds []DatastreamWrite, creating bool) error { panic("not yet") }
func checkCreated(ds []DatastreamWrite) error                    { return checkDatastreams(ds, true) }
func checkDatapoints(points []Datapoint) error                   { panic("not yet") }
func checkDatapoint(p Datapoint) error                           { panic("not yet") }
func checkKey(w KeyWrite) error                                  { panic("not yet") }
func checkTrigger(w TriggerWrite) error                          { panic("not yet") }
func checkUser(w UserWrite) error                                { panic("not yet") }
func checkProduct(w ProductWrite) error                          { panic("not yet") }
func checkSerials(serials []string) error                        { panic("not yet") }
