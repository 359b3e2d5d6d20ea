package feeds

import (
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// writing says which datastreams a write may name.
type writing uint8

const (
	throughFeed writing = iota // any; missing ones are created
	existing                   // only those that exist
	creating                   // only those that do not exist
)

// known says whether anybody good asks, before what was sent is looked at.
func (c *call) known() error {
	if c.subject.Anonymous() || !c.api.cfg.Registry.Live(c.subject) {
		return fmt.Errorf("%w: a good API key is needed", access.ErrBadCredentials)
	}
	if c.path.Feed != 0 {
		if _, ok := c.api.cfg.Registry.Feed(c.path.Feed); !ok {
			return fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed)
		}
	}
	return nil
}

func (a *API) putFeed(c *call) {
	err := c.known()
	var w xively.FeedWrite
	if err == nil {
		w, err = xively.DecodeFeed(c.path.Version, c.path.Format, c.Body)
	}
	if err != nil {
		c.fail(err)
		return
	}
	a.write(c, &w, throughFeed, c.finish)
}

func (a *API) putDatastream(c *call) {
	err := c.known()
	var d xively.DatastreamWrite
	if err == nil {
		d, err = xively.DecodeDatastream(c.path.Version, c.path.Format, c.path.Datastream, c.Body)
	}
	if err != nil {
		c.fail(err)
		return
	}
	a.write(c, &xively.FeedWrite{Datastreams: []xively.DatastreamWrite{d}}, existing, c.finish)
}

func (a *API) createDatastreams(c *call) {
	err := c.known()
	var ds []xively.DatastreamWrite
	if err == nil {
		ds, err = xively.DecodeDatastreams(c.path.Version, c.path.Format, c.Body)
	}
	if err != nil {
		c.fail(err)
		return
	}
	a.write(c, &xively.FeedWrite{Datastreams: ds}, creating, func(err error) {
		if err != nil {
			c.fail(err)
			return
		}
		c.created(streamPath(c.path.Feed, ds[0].ID))
	})
}

func streamPath(feed uint64, datastream string) string {
	return "/feeds/" + strconv.FormatUint(feed, 10) + "/datastreams/" + url.PathEscape(datastream)
}

func (a *API) createDatapoints(c *call) {
	err := c.known()
	var points []xively.Datapoint
	if err == nil {
		points, err = xively.DecodeDatapoints(c.path.Version, c.path.Format, c.Body)
	}
	if err != nil {
		c.fail(err)
		return
	}
	a.write(c, &xively.FeedWrite{Datastreams: []xively.DatastreamWrite{{ID: c.path.Datastream, Datapoints: points}}},
		existing, func(err error) {
			if err != nil {
				c.fail(err)
				return
			}
			c.created(streamPath(c.path.Feed, c.path.Datastream) + "/datapoints")
		})
}

func (a *API) putDatapoint(c *call) {
	err := c.known()
	var p xively.Datapoint
	if err == nil {
		p, err = xively.DecodeDatapoint(c.path.Version, c.path.Format, c.Body)
	}
	if err == nil && !p.At.IsZero() && !p.At.Equal(c.path.At) {
		err = xively.Unprocessable(xively.FieldError{Field: "at", Text: "does not match the URL"})
	}
	if err != nil {
		c.fail(err)
		return
	}
	p.At = c.path.At
	a.write(c, &xively.FeedWrite{Datastreams: []xively.DatastreamWrite{{ID: c.path.Datastream, Datapoints: []xively.Datapoint{p}}}},
		existing, c.finish)
}

// write does what w says, or nothing of it, and calls done when it is on disk.
func (a *API) write(c *call, w *xively.FeedWrite, how writing, done func(error)) {
	d, ok := a.cfg.Registry.Feed(c.path.Feed)
	if !ok {
		done(fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed))
		return
	}
	j := &join{left: 1, done: done}
	p, err := a.prepared(c, d.ID, w, how, j)
	if err == nil {
		err = a.submit(c, p, j)
	}
	j.part(err)
}

// prepared plans a write and makes its changes of metadata, one write of a
// feed's metadata at a time. Those of values alone do not wait for that.
func (a *API) prepared(c *call, device string, w *xively.FeedWrite, how writing, j *join) (*plan, error) {
	f := a.feedFor(device)
	if f == nil {
		return nil, fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, c.path.Feed)
	}
	p, err := a.plan(c, device, w, how)
	if err != nil || len(p.changes) == 0 {
		return p, err
	}
	f.meta.Lock()
	defer f.meta.Unlock()
	if p, err = a.plan(c, device, w, how); err != nil { // nobody changes anything in between now
		return p, err
	}
	for _, req := range p.changes {
		if err := a.change(c, req, j); err != nil {
			// Subscribers see what was done of it.
			a.tell(device, nil)
			return p, err
		}
	}
	if p.waypoint != nil {
		a.addWaypoint(device, *p.waypoint)
	}
	return p, nil
}

// change makes one change that is told of together with the others of a write.
func (a *API) change(c *call, req gateway.ChangeRequest, j *join) error {
	b := &gateway.Batch{From: access.System, Source: c.Source, Wait: c.Wait}
	part := j.add()
	b.Done = func(err error) {
		a.state.marks.drop(b)
		part(err)
	}
	a.state.marks.add(b)
	if err := a.cfg.Hub.Change(b, req); err != nil {
		a.state.marks.drop(b)
		part(nil)
		return err
	}
	return nil
}

// submit records the values of p, and its extremes and waypoint before them.
func (a *API) submit(c *call, p *plan, j *join) error {
	reset := a.setExtremes(p.device, p.extremes)
	if len(p.extremes) > 0 || p.waypoint != nil {
		if err := a.keep(p.device); err != nil {
			a.tell(p.device, reset)
			return err
		}
	}
	if len(p.readings) == 0 {
		if len(p.changes) > 0 || len(reset) > 0 {
			a.tell(p.device, reset)
		}
		return nil
	}
	part := j.add()
	b := &gateway.Batch{From: access.System, Source: c.Source, Wait: c.Wait, Readings: p.readings, Done: part}
	if err := a.cfg.Hub.Submit(b); err != nil {
		if len(p.changes) > 0 {
			a.tell(p.device, reset)
		}
		part(nil)
		return err
	}
	return nil
}

// tell makes the present state of a feed an update for its subscribers.
func (a *API) tell(device string, sensors []string) {
	f := a.feedFor(device)
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !a.sync(f, device) {
		return
	}
	touched := make([]bool, len(f.values))
	for _, sensor := range sensors {
		if i, ok := f.shape.index[sensor]; ok {
			touched[i] = true
		}
	}
	a.announce(f, touched)
}

// join calls done once all parts of a write are done, with the first error.
type join struct {
	done func(error)

	mu   sync.Mutex
	left int
	err  error
}

func (j *join) add() func(error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left++
	return j.part
}

func (j *join) part(err error) {
	j.mu.Lock()
	j.left--
	if j.err == nil {
		j.err = err
	}
	last, err := j.left == 0, j.err
	j.mu.Unlock()
	if last {
		j.done(err)
	}
}

// at is the time of a value in w: its own, else that of the write, zero (now)
// without either.
func at(own time.Time, w *xively.FeedWrite) time.Time {
	if own.IsZero() {
		return w.Updated
	}
	return own
}
