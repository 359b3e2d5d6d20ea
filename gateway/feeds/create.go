package feeds

import (
	"fmt"
	"strconv"
	"strings"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// feedCreation is what a new feed starts with.
type feedCreation struct {
	title, description string
	tags               []string
	private            bool
	datastreams        []string // ids
	product, serial    string
}

// create makes a feed for owner out of w, with the given product and serial
// ("" without), and gives its device.
func (a *API) create(c *call, owner string, w feedCreation) (*gateway.Device, error) {
	fw := &xively.FeedWrite{Title: &w.title, Description: &w.description, Tags: &w.tags, Private: &w.private}
	for _, id := range w.datastreams {
		fw.Datastreams = append(fw.Datastreams, xively.DatastreamWrite{ID: id})
	}
	j := &join{left: 1, done: func(error) {}}
	return a.make(c, owner, fw, w.product, w.serial, j)
}

// make makes the device that w describes, without values.
func (a *API) make(c *call, owner string, w *xively.FeedWrite, product, serial string, j *join) (*gateway.Device, error) {
	m := feedMeta{Product: product, Serial: serial}.merged(w)
	meta, err := patchMeta(nil, feedMeta{}, m)
	if err != nil {
		return nil, err
	}
	d := &gateway.Device{Meta: meta}
	if w.Title != nil {
		d.Name = *w.Title
	}
	d.Grants.Public = w.Private != nil && !*w.Private
	for i := range w.Datastreams {
		s, err := newSensor(&w.Datastreams[i])
		if err != nil {
			return nil, err
		}
		d.Sensors = append(d.Sensors, *s)
	}
	if len(d.Sensors) > gateway.MaxChannels {
		return nil, fmt.Errorf("%w: a feed of %d datastreams, at most %d", gateway.ErrTooLarge, len(d.Sensors), gateway.MaxChannels)
	}
	part := j.add()
	b := &gateway.Batch{From: access.Subject{User: owner}, Source: c.Source, Wait: c.Wait, Done: part}
	if err := a.cfg.Hub.Change(b, gateway.ChangeRequest{Op: gateway.CreateDevice, NewDevice: d}); err != nil {
		part(nil)
		return nil, err
	}
	made, ok := a.cfg.Registry.Device(b.Changed) // with the number of its feed
	if !ok {
		return nil, fmt.Errorf("%w: %q was deleted at once", gateway.ErrUnknownDevice, b.Changed)
	}
	return made, nil
}

// createFeed makes a feed that belongs to the account that asks, or to the
// owner of the key. It is private unless it says otherwise, as a device is.
func (a *API) createFeed(c *call) {
	err := c.known()
	if err == nil {
		_, err = c.may(0, 0, "")
	}
	var w xively.FeedWrite
	if err == nil {
		w, err = xively.DecodeFeed(c.path.Version, c.path.Format, c.Body)
	}
	if err == nil && (w.Title == nil || strings.TrimSpace(*w.Title) == "") {
		err = xively.Unprocessable(xively.FieldError{Field: "title", Text: xively.Blank})
	}
	if err != nil {
		c.fail(err)
		return
	}
	var feed uint64
	j := &join{left: 1, done: func(err error) {
		if err != nil {
			c.fail(err)
			return
		}
		c.created("/feeds/" + strconv.FormatUint(feed, 10))
	}}
	d, err := a.make(c, c.subject.User, &w, "", "", j)
	if err == nil {
		feed = d.Feed
		p := &plan{device: d.ID, waypoint: waypoint(nil, feedMeta{}.merged(&w).Location, a.cfg.Clock.Now().Wall)}
		p.values(&w)
		if p.waypoint != nil {
			a.addWaypoint(d.ID, *p.waypoint)
		}
		err = a.submit(c, p, j)
	}
	j.part(err)
}

func (a *API) deleteFeed(c *call) {
	snap, _, err := a.managed(c, access.Manage)
	if err != nil {
		c.fail(err)
		return
	}
	a.remove(c, gateway.ChangeRequest{Op: gateway.Delete, Device: snap.device.ID})
}

func (a *API) deleteDatastream(c *call) {
	snap, sensor, err := a.managed(c, access.Manage)
	if err != nil {
		c.fail(err)
		return
	}
	a.remove(c, gateway.ChangeRequest{Op: gateway.Delete, Device: snap.device.ID, Sensor: sensor})
}

// remove deletes a feed or a datastream, and what is saved of it.
func (a *API) remove(c *call, req gateway.ChangeRequest) {
	done := make(chan error, 1)
	b := &gateway.Batch{From: access.System, Source: c.Source, Wait: c.Wait, Done: func(err error) { done <- err }}
	err := a.cfg.Hub.Change(b, req)
	if err == nil {
		select {
		case err = <-done:
		case <-c.ctx.Done():
			err = c.ctx.Err()
		}
	}
	if err == nil {
		err = a.keep(req.Device)
	}
	c.finish(err)
}
