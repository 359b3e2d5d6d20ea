package uplink

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// XivelyOptions are the settings of the dialect Xively.
type XivelyOptions struct {
	// QoS of readings and status, 0 or 1. Clouds of the original kind know 0
	// only; see the package's documentation for what that means.
	QoS byte
	// The datastream that says whether the gateway is there: "1" while it is,
	// "0" when it is not. Zero and "": none.
	StatusFeed       uint64
	StatusDatastream string
}

func (o *XivelyOptions) check() error {
	switch {
	case o.QoS > 1:
		return fmt.Errorf("qos %d: 0 or 1", o.QoS)
	case (o.StatusFeed == 0) != (o.StatusDatastream == ""):
		return errors.New("a status needs feed and datastream")
	case o.StatusDatastream != "" && !xively.ValidDatastreamID(o.StatusDatastream):
		return fmt.Errorf("status: %.40q is no id of a datastream", o.StatusDatastream)
	}
	return nil
}

// feedTopic is where the values of a feed are written to (spec/xively.md
// section 3.2).
func feedTopic(feed uint64) string {
	return "/v2/feeds/" + strconv.FormatUint(feed, 10) + ".csv"
}

// datastreamTopic is where the value of one datastream is written to. The
// datastream must exist there (spec/xively.md section 0).
func datastreamTopic(feed uint64, datastream string) string {
	return "/v2/feeds/" + strconv.FormatUint(feed, 10) + "/datastreams/" + xively.SensorID(datastream) + ".csv"
}

// row is a sensor's record as a row of a feed's CSV. The error wraps
// errUnsendable.
func row(r *gateway.Record) (datastream, value string, err error) {
	datastream, value = xively.DatastreamID(r.Channel), xively.Text(r.Value)
	switch {
	case !xively.ValidDatastreamID(datastream):
		return "", "", fmt.Errorf("%w: a datastream cannot have this sensor's id", errUnsendable)
	case utf8.RuneCountInString(value) > xively.MaxValue:
		return "", "", fmt.Errorf("%w: more than %d characters", errUnsendable, xively.MaxValue)
	case !utf8.ValidString(value):
		return "", "", fmt.Errorf("%w: not UTF-8", errUnsendable)
	}
	return datastream, value, nil
}

// feedRow encodes one record. A clock that was never set has no form here: the
// row then has the best time that there is.
func feedRow(r *gateway.Record) ([]byte, error) {
	id, value, err := row(r)
	if err != nil {
		return nil, err
	}
	return xively.AppendFeed(nil, xively.V2, xively.CSV,
		&xively.Feed{Datastreams: []xively.Datastream{{ID: id, Value: value, At: r.At}}})
}

// rows gathers records of one feed for one message.
type rows struct {
	at      int // where it will be in the list of messages
	topic   string
	streams []xively.Datastream
	index   map[string]int // of an id in streams
	count   int
	size    int // bytes, about
}

func (w *rows) add(id string, p xively.Datapoint, size int) {
	i, ok := w.index[id]
	if !ok {
		i = len(w.streams)
		w.index[id] = i
		w.streams = append(w.streams, xively.Datastream{ID: id})
	}
	w.streams[i].Datapoints = append(w.streams[i].Datapoints, p)
	w.count++
	w.size += size
}

func (w *rows) message(qos byte) message {
	// The only error is a resource without a CSV, and a feed has one.
	payload, _ := xively.AppendFeed(make([]byte, 0, w.size), xively.V2, xively.CSV, &xively.Feed{Datastreams: w.streams})
	return message{topic: w.topic, qos: qos, asked: qos == 0, payload: payload}
}

// rowSize is about how many bytes a row has.
func rowSize(id, value string) int {
	return len(id) + len(value) + strings.Count(value, `"`) + len("2006-01-02T15:04:05.000000Z") + 5
}

// feedBatch is batch in the form of Xively: the values of each feed as rows of
// one message, at most 500 and about limit bytes of them. What the cloud takes
// for a row of its own only, a blank value or one without a time, is sent as
// such (spec/xively.md sections 3.2 and 7).
func (e *encoder) feedBatch(recs []gateway.Record, limit int) (out []message, refused []int, err error) {
	open := map[uint64]*rows{}
	refuse := func(i int, bad error) {
		refused = append(refused, i)
		if err == nil {
			err = bad
		}
	}
	flush := func(feed uint64) {
		if w := open[feed]; w != nil {
			delete(open, feed)
			out[w.at] = w.message(e.xively.QoS)
		}
	}
	for i := range recs {
		r := &recs[i]
		topic, ok := e.topic(r)
		if !ok {
			continue
		}
		if r.Kind != gateway.KindSensor {
			if m, ok, bad := e.message(r); bad != nil {
				refuse(i, bad)
			} else if ok {
				out = append(out, m)
			}
			continue
		}
		id, value, bad := row(r)
		if bad != nil {
			refuse(i, bad)
			continue
		}
		feed, _ := e.feed(r.Device)
		if strings.TrimSpace(value) == "" || r.At.IsZero() {
			flush(feed)
			if m, ok, bad := e.message(r); bad != nil {
				refuse(i, bad)
			} else if ok {
				out = append(out, m)
			}
			continue
		}
		size := rowSize(id, value)
		if w := open[feed]; w != nil && (w.count == xively.MaxDatapoints || w.size+size > limit) {
			flush(feed)
		}
		w := open[feed]
		if w == nil {
			w = &rows{at: len(out), topic: topic, index: map[string]int{}}
			open[feed] = w
			out = append(out, message{})
		}
		w.add(id, xively.Datapoint{At: r.At, Value: value}, size)
	}
	for feed := range open {
		flush(feed)
	}
	return out, refused, err
}

// noteGaps counts and logs the gaps among recs, each once: Xively has no form
// for them, so that this is the only place that tells of them.
func (u *Uplink) noteGaps(recs []gateway.Record) {
	if u.cfg.Dialect != Xively {
		return
	}
	for i := range recs {
		r := &recs[i]
		if r.Kind != gateway.KindGap || r.Uplink != u.cfg.Name || r.Lost == nil || !u.unsent(r.Seq) {
			continue
		}
		if _, twice := u.gaps[r.Seq]; twice {
			continue
		}
		u.gaps[r.Seq] = struct{}{}
		u.counts.gaps.Add(1)
		u.log.Warn("records were lost before the cloud had them; it cannot be told in this dialect",
			"record", r.ID(u.cfg.GatewayID), "reason", r.Lost.Reason, "from", r.Lost.From, "to", r.Lost.To, "count", r.Lost.Count,
			"first", r.Lost.First.UTC().Format(time.RFC3339), "last", r.Lost.Last.UTC().Format(time.RFC3339))
	}
}
