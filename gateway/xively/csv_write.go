package xively

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// csvRows writes CSV to the end of b: a comma between cells, LF between rows
// and none at the end.
type csvRows struct {
	b       []byte
	row     bool // there has been one
	started bool // the present row has a cell
}

// next begins a row.
func (w *csvRows) next() {
	if w.row {
		w.b = append(w.b, '\n')
	}
	w.row, w.started = true, false
}

func (w *csvRows) comma() {
	if w.started {
		w.b = append(w.b, ',')
	}
	w.started = true
}

// text writes a cell, in quotes if it is empty or would be misread without.
func (w *csvRows) text(s string) {
	w.comma()
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") {
		w.b = append(w.b, s...)
		return
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, strings.ReplaceAll(s, `"`, `""`)...)
	w.b = append(w.b, '"')
}

func (w *csvRows) number(n uint64) {
	w.comma()
	w.b = strconv.AppendUint(w.b, n, 10)
}

// time writes a cell with nothing in it for the zero time.
func (w *csvRows) time(t time.Time) {
	w.comma()
	if !t.IsZero() {
		w.b = AppendTime(w.b, t)
	}
}

// value writes the present value of d: nothing if it never had one.
func (w *csvRows) value(d *Datastream) {
	if d.Value == "" && d.At.IsZero() {
		w.comma()
		return
	}
	w.text(d.Value)
}

// appendFeedCSV writes, in version 1, one row with the present values; in
// version 2 a row ID,AT,VALUE for each datastream. Where Datapoints is not nil,
// as after a history query, there is a row for each of those instead, and all
// rows are sorted by time.
func appendFeedCSV(b []byte, v Version, feed *Feed) []byte {
	w := csvRows{b: b}
	if v == V1 {
		w.next()
		for i := range feed.Datastreams {
			w.value(&feed.Datastreams[i])
		}
		return w.b
	}
	w.datastreams(feed, 0)
	return w.b
}

// appendFeedsCSV writes rows FEED,ID,AT,VALUE.
func appendFeedsCSV(b []byte, _ Version, feeds []*Feed) []byte {
	w := csvRows{b: b}
	for _, feed := range feeds {
		w.datastreams(feed, feed.ID)
	}
	return w.b
}

// datastreams writes the rows of a feed, with its id in front if it is not 0.
func (w *csvRows) datastreams(feed *Feed, id uint64) {
	type row struct {
		stream string
		Datapoint
	}
	var rows []row
	history := false
	for i := range feed.Datastreams {
		d := &feed.Datastreams[i]
		if d.Datapoints == nil {
			rows = append(rows, row{d.ID, Datapoint{d.At, d.Value}})
			continue
		}
		history = true
		for _, p := range d.Datapoints {
			rows = append(rows, row{d.ID, p})
		}
	}
	if history {
		slices.SortStableFunc(rows, func(a, b row) int { return a.At.Compare(b.At) })
	}
	for _, r := range rows {
		w.next()
		if id != 0 {
			w.number(id)
		}
		w.text(r.stream)
		w.time(r.At)
		w.text(r.Value)
	}
}

// appendDatastreamCSV writes, in version 1, the present value alone; in version
// 2 AT,VALUE, and a row of those for each datapoint where Datapoints is not nil.
func appendDatastreamCSV(b []byte, v Version, d *Datastream) []byte {
	w := csvRows{b: b}
	if v == V1 {
		w.next()
		w.value(d)
		return w.b
	}
	points := d.Datapoints
	if points == nil {
		points = []Datapoint{{d.At, d.Value}}
	}
	for _, p := range points {
		w.datapoint(v, p)
	}
	return w.b
}

// appendDatapointCSV writes VALUE in version 1 and AT,VALUE in version 2.
func appendDatapointCSV(b []byte, v Version, p Datapoint) []byte {
	w := csvRows{b: b}
	w.datapoint(v, p)
	return w.b
}

func (w *csvRows) datapoint(v Version, p Datapoint) {
	w.next()
	if v != V1 {
		w.time(p.At)
	}
	w.text(p.Value)
}

// appendActivationCSV writes APIKEY,FEED_ID,COUNT and the datastreams.
func appendActivationCSV(b []byte, a *Activation) []byte {
	w := csvRows{b: b}
	w.next()
	w.text(a.Key)
	w.number(a.Feed)
	w.number(uint64(len(a.Datastreams)))
	for _, id := range a.Datastreams {
		w.text(id)
	}
	return w.b
}
