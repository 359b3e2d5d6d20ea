package feeds

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// maxAnswered bounds the datapoints of one answer, over all datastreams. Those
// with long values count for more than one, see weight.
const maxAnswered = 50_000

// weight is for how many datapoints these count, so that an answer has a few
// megabytes at most.
func weight(points []xively.Datapoint) int {
	n := len(points)
	for i := range points {
		n += len(points[i].Value) / 64
	}
	return n
}

// maxReading bounds the histories that are read at once: each may take some ten
// megabytes until it is written, and a thousand clients may ask.
const maxReading = 4

// errEnough ends a walk through the history.
var errEnough = errors.New("enough")

// history writes what c asks for with the datapoints of w.
func (a *API) history(c *call, snap *snapshot, w xively.Window) ([]byte, error) {
	select {
	case a.reading <- struct{}{}:
		defer func() { <-a.reading }()
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	f := formOf(&c.path)
	doc := a.document(snap, f.showUser)
	left := maxAnswered
	for _, i := range snap.chosen(f) {
		d := snap.datastream(i)
		w.Limit = max(0, min(w.Limit, left))
		points, err := a.points(c.ctx, snap, snap.streams[i].sensor, w)
		if err != nil {
			return nil, err
		}
		if d.Datapoints = points; points == nil {
			d.Datapoints = []xively.Datapoint{} // none in the window; nil would be the present
		}
		left -= weight(points)
		doc.Datastreams = append(doc.Datastreams, d)
	}
	inZone(doc, w.Zone)
	return appendDocument(f, doc)
}

// points reads the datapoints of w.
func (a *API) points(ctx context.Context, snap *snapshot, sensor string, w xively.Window) ([]xively.Datapoint, error) {
	if w.Limit <= 0 || w.End.Before(w.Start) {
		return nil, nil
	}
	var before xively.Datapoint
	if w.FindPrevious || w.Interval > 0 {
		var err error
		if before, err = a.pointBefore(ctx, snap, sensor, w.Start.Add(-time.Microsecond)); err != nil {
			return nil, err
		}
	}
	s := xively.NewSampler(w, before)
	q := a.query(snap, sensor)
	q.From, q.To = w.Start, w.End
	err := a.cfg.History.History(ctx, q, func(r gateway.Record) error {
		if !s.Add(point(&r)) {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("feeds: history: %w", err)
	}
	return s.Datapoints(), nil
}

func (a *API) query(snap *snapshot, sensor string) gateway.HistoryQuery {
	return gateway.HistoryQuery{Kind: gateway.KindSensor, Device: snap.device.ID, Channel: sensor}
}

func point(r *gateway.Record) xively.Datapoint {
	return xively.Datapoint{At: r.At, Value: xively.Text(r.Value)}
}

// pointBefore is the newest datapoint at or before t; its At is zero if there
// is none.
func (a *API) pointBefore(ctx context.Context, snap *snapshot, sensor string, t time.Time) (p xively.Datapoint, err error) {
	q := a.query(snap, sensor)
	q.To, q.Limit, q.Backward = t, 1, true
	err = a.cfg.History.History(ctx, q, func(r gateway.Record) error {
		p = point(&r)
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("feeds: history: %w", err)
	}
	return p, nil
}

// pointAt is the datapoint at t, of several the one recorded last; its At is
// zero if there is none.
func (a *API) pointAt(ctx context.Context, snap *snapshot, sensor string, t time.Time) (p xively.Datapoint, err error) {
	q := a.query(snap, sensor)
	q.From, q.To = t, t
	err = a.cfg.History.History(ctx, q, func(r gateway.Record) error {
		p = point(&r)
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("feeds: history: %w", err)
	}
	return p, nil
}

// stood writes what c asks for as it stood at t. Datastreams without a value
// then are left out.
func (a *API) stood(c *call, snap *snapshot, t time.Time) ([]byte, error) {
	f := formOf(&c.path)
	doc := a.document(snap, f.showUser)
	doc.Updated, doc.Live = time.Time{}, false
	for _, i := range snap.chosen(f) {
		p, err := a.pointBefore(c.ctx, snap, snap.streams[i].sensor, t)
		if err != nil {
			return nil, err
		}
		if p.At.IsZero() {
			continue
		}
		d := snap.datastream(i)
		d.Value, d.At = p.Value, p.At
		d.Max, d.Min = "", "" // nobody knows what they were
		if p.At.After(doc.Updated) {
			doc.Updated = p.At
		}
		doc.Datastreams = append(doc.Datastreams, d)
	}
	doc.Live = !doc.Updated.IsZero() && t.Sub(doc.Updated) < frozenAfter
	if f.zone != "" {
		w, _, _, err := xively.ParseWindow(c.path.Query, c.began, 0)
		if err != nil {
			return nil, err
		}
		inZone(doc, w.Zone)
	}
	return appendDocument(f, doc)
}

func (a *API) listDatapoints(c *call) {
	snap, p, err := a.allowed(c)
	if err != nil {
		c.fail(err)
		return
	}
	// What is asked for is history, parameters or not.
	w, _, _, err := xively.ParseWindow(c.path.Query, c.began, time.Duration(p.MinimumInterval)*time.Second)
	var body []byte
	if err == nil {
		body, err = a.history(c, snap, w)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(body)
}

func (a *API) getDatapoint(c *call) {
	snap, err := a.viewed(c)
	var p xively.Datapoint
	if err == nil {
		p, err = a.pointAt(c.ctx, snap, snap.streams[snap.find(c.path.Datastream)].sensor, c.path.At)
	}
	if err == nil && p.At.IsZero() {
		err = xively.NotFound()
	}
	var body []byte
	if err == nil {
		body, err = xively.AppendDatapoint(nil, c.path.Version, c.path.Format, a.document(snap, false), c.path.Datastream, p)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(body)
}

// deletion reads which datapoints a DELETE of the collection means. A zero end
// is open; both are never.
func deletion(c *call) (from, to time.Time, err error) {
	bad := func(text string) error { return &xively.Error{Status: 400, Title: "Bad Request", Text: text} }
	q := c.path.Query
	for name, t := range map[string]*time.Time{"start": &from, "end": &to} {
		if s := q.Get(name); s != "" {
			if *t, err = xively.ParseTime(s); err != nil {
				return from, to, bad(name + " is not an ISO 8601 time")
			}
		}
	}
	length := q.Get("duration")
	switch {
	case length == "" && from.IsZero() && to.IsZero():
		return from, to, bad("start, end or duration is needed")
	case !from.IsZero() && !to.IsZero() && (length != "" || from.After(to)):
		return from, to, bad("start and end must be in order, and without a duration")
	case length == "":
		return from, to, nil
	}
	// The longest window that there is has daily values of a year.
	w, _, _, err := xively.ParseWindow(map[string][]string{"end": {"2026-01-01T00:00:00Z"}, "duration": {length}, "interval": {"86400"}}, c.began, 0)
	if err != nil {
		return from, to, err
	}
	d := w.End.Sub(w.Start)
	switch {
	case d >= 365*24*time.Hour:
		return from, to, bad("a duration must be shorter than a year: use start and end")
	case !from.IsZero():
		to = from.Add(d)
	case !to.IsZero():
		from = to.Add(-d)
	default:
		from, to = c.began.Add(-d), c.began
	}
	return from, to, nil
}

func (a *API) deleteDatapoints(c *call) {
	snap, sensor, err := a.managed(c, access.Manage)
	if err != nil {
		c.fail(err)
		return
	}
	from, to, err := deletion(c)
	if err != nil {
		c.fail(err)
		return
	}
	a.erase(c, snap, sensor, from, to)
}

func (a *API) deleteDatapoint(c *call) {
	snap, sensor, err := a.managed(c, access.Manage)
	if err != nil {
		c.fail(err)
		return
	}
	p, err := a.pointAt(c.ctx, snap, sensor, c.path.At)
	if err == nil && p.At.IsZero() {
		err = xively.NotFound()
	}
	if err != nil {
		c.fail(err)
		return
	}
	a.erase(c, snap, sensor, c.path.At, c.path.At)
}

// managed gives the feed and the sensor of the path, on which c must have
// right.
func (a *API) managed(c *call, right access.Right) (*snapshot, string, error) {
	if _, err := c.may(right, c.path.Feed, c.path.Datastream); err != nil {
		return nil, "", err
	}
	d, ok := a.cfg.Registry.Feed(c.path.Feed)
	if !ok {
		return nil, "", fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed)
	}
	snap, ok := a.snapshotOf(d.ID)
	if !ok {
		return nil, "", fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed)
	}
	if c.path.Datastream == "" {
		return snap, "", nil
	}
	i := snap.find(c.path.Datastream)
	if i < 0 {
		return nil, "", fmt.Errorf("%w: datastream %q", gateway.ErrUnknownSensor, c.path.Datastream)
	}
	return snap, snap.streams[i].sensor, nil
}

// erase takes datapoints out of the history. The present value stays.
func (a *API) erase(c *call, snap *snapshot, sensor string, from, to time.Time) {
	b := &gateway.Batch{From: access.System, Source: c.Source, Wait: c.Wait, Done: c.finish}
	if err := a.cfg.Hub.Erase(b, snap.device.ID, sensor, from, to); err != nil {
		c.fail(err)
	}
}

// finish answers a write once it is on disk, or will never be.
func (c *call) finish(err error) {
	if err != nil {
		c.fail(err)
		return
	}
	c.written()
}
