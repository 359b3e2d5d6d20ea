package xively

import (
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
