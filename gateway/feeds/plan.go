package feeds

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// plan is what a write comes to when it is allowed and in order.
type plan struct {
	device   string
	changes  []gateway.ChangeRequest // of the registry, in this order
	readings []gateway.Reading
	extremes []extremes
	waypoint *xively.Waypoint
}

// extremes sets those of a sensor. Nil: as they are.
type extremes struct {
	sensor   string
	min, max *string
}

// plan checks a write whole: who may do it, what exists, and the limits.
func (a *API) plan(c *call, device string, w *xively.FeedWrite, how writing) (*plan, error) {
	snap, ok := a.snapshotOf(device)
	if !ok {
		return nil, fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed)
	}
	p := &plan{device: device}
	err := p.feed(snap, w, a.cfg.Clock.Now().Wall)
	rights := writes{edits: len(p.changes) > 0 || err != nil}
	if err == nil {
		rights.makes, err = p.datastreams(snap, w, how)
	}
	for _, req := range p.changes {
		if req.Op == gateway.SetMeta && req.Sensor != "" {
			rights.of = append(rights.of, xively.DatastreamID(req.Sensor))
		}
	}
	// Who may not write is told so first, whatever else is wrong.
	if denied := c.mayWrite(snap, w, how, rights); denied != nil {
		return nil, denied
	}
	if err != nil {
		return nil, err
	}
	p.values(w)
	return p, nil
}

// writes is what a write changes besides values.
type writes struct {
	edits bool     // metadata of the feed itself
	of    []string // ids of the datastreams whose metadata it changes
	makes int      // datastreams
}

// mayWrite decides whether the caller may write w, which changes what also
// says.
func (c *call) mayWrite(snap *snapshot, w *xively.FeedWrite, how writing, also writes) error {
	feed := snap.device.Feed
	_, err := c.may(access.Publish, feed, "")
	whole := err == nil
	if !whole && (how == creating || len(w.Datastreams) == 0 && !also.edits) {
		return err
	}
	if !whole { // a key for some datastreams may write to these
		for i := range w.Datastreams {
			if _, err := c.may(access.Publish, feed, w.Datastreams[i].ID); err != nil {
				return err
			}
		}
	}
	if also.makes > 0 && c.subject.Key != "" && !whole {
		return fmt.Errorf("%w: the key is for some datastreams only", gateway.ErrDenied)
	}
	// A key may no more than its owner.
	if also.edits || also.makes > 0 {
		_, err := c.may(access.Manage, feed, "")
		return err
	}
	for _, id := range also.of {
		if _, err := c.may(access.Manage, feed, id); err != nil {
			return err
		}
	}
	return nil
}

// feed plans the metadata of the feed itself.
func (p *plan) feed(snap *snapshot, w *xively.FeedWrite, now time.Time) error {
	d := snap.device
	if w.Title != nil && *w.Title != d.Name && (d.Name != "" || *w.Title != d.ID) {
		p.changes = append(p.changes, gateway.ChangeRequest{Op: gateway.SetName, Device: d.ID, Name: *w.Title})
	}
	if w.Private != nil && *w.Private == d.Grants.Public {
		p.changes = append(p.changes, gateway.ChangeRequest{Op: gateway.SetPublic, Device: d.ID, Public: !*w.Private})
	}
	m := snap.meta.merged(w)
	patch, err := patchMeta(d.Meta, snap.meta, m)
	if err != nil {
		return err
	}
	if patch != nil {
		p.changes = append(p.changes, gateway.ChangeRequest{Op: gateway.SetMeta, Device: d.ID, Meta: patch})
		p.waypoint = waypoint(snap.meta.Location, m.Location, now)
	}
	return nil
}

// waypoint is where a mobile feed is at now, nil if it is not elsewhere than it
// was.
func waypoint(was, is *xively.Location, now time.Time) *xively.Waypoint {
	if is == nil || is.Disposition != "mobile" || is.Lat == nil || is.Lon == nil {
		return nil
	}
	if was != nil && was.Lat != nil && was.Lon != nil && *was.Lat == *is.Lat && *was.Lon == *is.Lon && was.Ele == is.Ele {
		return nil
	}
	return &xively.Waypoint{At: now.UTC().Truncate(time.Microsecond), Lat: *is.Lat, Lon: *is.Lon, Ele: is.Ele}
}

// datastreams plans the metadata of datastreams, and those that are made.
func (p *plan) datastreams(snap *snapshot, w *xively.FeedWrite, how writing) (made int, err error) {
	first := 0 // the change that makes them
	for i := range w.Datastreams {
		ds := &w.Datastreams[i]
		at := snap.find(ds.ID)
		if at >= 0 {
			if how == creating {
				return made, xively.Unprocessable(xively.FieldError{Field: "datastreams_id", Text: "has already been taken"})
			}
			if err := p.edit(snap, at, ds); err != nil {
				return made, err
			}
			continue
		}
		if how == existing {
			return made, fmt.Errorf("%w: datastream %q", gateway.ErrUnknownSensor, ds.ID)
		}
		s, err := newSensor(ds)
		if err != nil {
			return made, err
		}
		if made++; made == 1 { // all in one, so that a card is written to once
			p.changes = append(p.changes, gateway.ChangeRequest{Op: gateway.CreateSensor, Device: p.device, NewSensor: s})
			first = len(p.changes) - 1
		} else {
			p.changes[first].More = append(p.changes[first].More, *s)
		}
	}
	if n := len(snap.streams) + made; made > 0 && n > gateway.MaxChannels {
		return made, fmt.Errorf("%w: a feed of %d datastreams, at most %d", gateway.ErrTooLarge, n, gateway.MaxChannels)
	}
	return made, nil
}

// edit plans the metadata of a datastream that exists.
func (p *plan) edit(snap *snapshot, at int, ds *xively.DatastreamWrite) error {
	st := &snap.streams[at]
	m := st.meta.merged(ds)
	if st.meta.Unit == nil && m.Unit != nil && *m.Unit == st.unit {
		m.Unit = nil // as the sensor has it
	}
	patch, err := patchMeta(snap.device.Sensors[at].Meta, st.meta, m)
	if err != nil || patch == nil {
		return err
	}
	p.changes = append(p.changes, gateway.ChangeRequest{Op: gateway.SetMeta, Device: p.device, Sensor: st.sensor, Meta: patch})
	return nil
}

// newSensor is the sensor of a datastream that is made.
func newSensor(ds *xively.DatastreamWrite) (*gateway.Sensor, error) {
	id := xively.SensorID(ds.ID)
	if !xively.ValidDatastreamID(ds.ID) || gateway.CheckID(id) != nil {
		return nil, xively.Unprocessable(xively.FieldError{Field: "datastreams_id", Text: xively.Invalid})
	}
	meta, err := patchMeta(nil, streamMeta{}, streamMeta{}.merged(ds))
	if err != nil {
		return nil, err
	}
	return &gateway.Sensor{ID: id, Meta: meta}, nil
}

// values plans the readings and extremes. Of several values of a datastream
// for one time the last counts, a current value more than any datapoint.
func (p *plan) values(w *xively.FeedWrite) {
	type key struct {
		sensor string
		at     int64
	}
	var all []gateway.Reading
	for i := range w.Datastreams {
		ds := &w.Datastreams[i]
		sensor := xively.SensorID(ds.ID)
		add := func(value string, own time.Time) {
			all = append(all, gateway.Reading{Kind: gateway.KindSensor, Device: p.device, Channel: sensor,
				Value: json.RawMessage(xively.Value(value)), Time: at(own, w)})
		}
		for _, point := range ds.Datapoints {
			add(point.Value, point.At)
		}
		if ds.Value != nil {
			add(*ds.Value, ds.At)
		}
		if ds.Min != nil || ds.Max != nil {
			p.extremes = append(p.extremes, extremes{sensor: sensor, min: ds.Min, max: ds.Max})
		}
	}
	seen := make(map[key]bool, len(all))
	for _, r := range slices.Backward(all) {
		k := key{sensor: r.Channel}
		if !r.Time.IsZero() {
			k.at = r.Time.UnixMicro() + 1 // 0 is now
		}
		if !seen[k] {
			seen[k] = true
			p.readings = append(p.readings, r)
		}
	}
	slices.Reverse(p.readings)
}
