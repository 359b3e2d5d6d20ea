package feeds

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// Triggers are for those who may manage their feed. A key needs the method of
// the request too, on that feed or datastream or on that trigger alone.

// somebody decides whether the caller has a good key or account at all.
func (c *call) somebody() error {
	if _, err := c.may(0, 0, ""); err != nil && !errors.Is(err, gateway.ErrDenied) {
		return err
	}
	return nil
}

// unprocessable is a document that is right in itself but does not fit here.
func unprocessable(format string, args ...any) *xively.Error {
	return &xively.Error{Status: http.StatusUnprocessableEntity, Title: "Unprocessable Entity", Text: fmt.Sprintf(format, args...)}
}

// fixed is a field that cannot be changed after creation.
const fixed = "can't be changed"

// shown is tr as documents show it.
func (tr *trigger) shown() xively.Trigger {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return xively.Trigger{ID: tr.ID, URL: tr.URL, Type: tr.Type, Threshold: tr.Threshold, Feed: tr.Feed,
		Datastream: tr.Datastream, User: tr.User, NotifiedAt: tr.Notified}
}

// url is that of a trigger.
func (t *triggers) url(id uint64) string {
	return t.cfg.BaseURL + "/v2/triggers/" + strconv.FormatUint(id, 10)
}

// mayTrigger decides about the call on a trigger.
func (c *call) mayTrigger(tr *trigger) error {
	if _, ok := c.api.triggers.device(tr); !ok {
		return fmt.Errorf("%w: feed %d", gateway.ErrUnknownDevice, tr.Feed)
	}
	ask := c.ask(access.Manage, tr.Feed, tr.Datastream)
	ask.Trigger = tr.ID
	_, err := c.api.cfg.Registry.Authorize(c.subject, ask)
	return err
}

// trigger finds the trigger of the URL, if the caller may have it.
func (c *call) trigger() (*trigger, error) {
	if err := c.somebody(); err != nil {
		return nil, err
	}
	id, err := strconv.ParseUint(c.path.ID, 10, 64)
	if err != nil {
		return nil, xively.NotFound()
	}
	tr := c.api.triggers.get(id)
	if tr == nil {
		return nil, xively.NotFound()
	}
	return tr, c.mayTrigger(tr)
}

func (a *API) listTriggers(c *call) {
	if err := c.somebody(); err != nil {
		c.fail(err)
		return
	}
	var feed uint64
	if s := c.path.Query.Get("feed_id"); s != "" {
		var err error
		if feed, err = strconv.ParseUint(s, 10, 64); err != nil || feed == 0 {
			c.fail(&xively.Error{Status: http.StatusBadRequest, Title: "Bad Request", Text: "feed_id is invalid"})
			return
		}
	}
	list := []xively.Trigger{}
	for _, tr := range a.triggers.all() {
		if (feed == 0 || feed == tr.Feed) && c.mayTrigger(tr) == nil {
			list = append(list, tr.shown())
		}
	}
	c.document(xively.AppendTriggers(nil, c.path.Format, list))
}

// document replies with what an Append function gave.
func (c *call) document(body []byte, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(body)
}

func (a *API) getTrigger(c *call) {
	tr, err := c.trigger()
	if err != nil {
		c.fail(err)
		return
	}
	shown := tr.shown()
	c.document(xively.AppendTrigger(nil, c.path.Format, &shown))
}

func (a *API) createTrigger(c *call) {
	if id, err := a.newTrigger(c); err != nil {
		c.fail(err)
	} else {
		c.created("/triggers/" + strconv.FormatUint(id, 10))
	}
}

func (a *API) newTrigger(c *call) (uint64, error) {
	if err := c.somebody(); err != nil {
		return 0, err
	}
	w, err := xively.DecodeTrigger(c.path.Format, c.Body)
	if err != nil {
		return 0, err
	}
	var missing []xively.FieldError
	for _, f := range []struct {
		name  string
		given bool
	}{{"url", w.URL != nil}, {"trigger_type", w.Type != nil}, {"environment_id", w.Feed != nil}, {"stream_id", w.Datastream != nil}} {
		if !f.given {
			missing = append(missing, xively.FieldError{Field: f.name, Text: xively.Blank})
		}
	}
	if len(missing) > 0 {
		return 0, xively.Unprocessable(missing...)
	}
	r := rule{URL: *w.URL, Type: *w.Type, Feed: *w.Feed, Datastream: *w.Datastream, User: c.subject.User}
	set(&r.Threshold, w.Threshold)
	if err := r.complete(); err != nil {
		return 0, err
	}
	if _, err := c.may(access.Manage, r.Feed, r.Datastream); errors.Is(err, gateway.ErrUnknownDevice) {
		return 0, xively.Unprocessable(xively.FieldError{Field: "environment_id", Text: xively.Invalid})
	} else if err != nil {
		return 0, err
	}
	d, ok := a.cfg.Registry.Feed(r.Feed)
	if !ok {
		return 0, xively.Unprocessable(xively.FieldError{Field: "environment_id", Text: xively.Invalid})
	}
	if _, ok := d.Sensor(r.sensor().sensor); !ok {
		return 0, xively.Unprocessable(xively.FieldError{Field: "stream_id", Text: xively.Invalid})
	}
	r.Born = d.Created
	return a.triggers.add(r)
}

// complete checks that r has a threshold if its type needs one, and none if
// not.
func (r *rule) complete() error {
	switch r.Type {
	case xively.TriggerChange, xively.TriggerFrozen, xively.TriggerLive:
		r.Threshold = ""
	default:
		if r.Threshold == "" {
			return xively.Unprocessable(xively.FieldError{Field: "threshold_value", Text: xively.Blank})
		}
	}
	return nil
}

// add stores a new trigger and gives its id.
func (t *triggers) add(r rule) (uint64, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	all, same := t.all(), 0
	if len(all) >= maxTriggers { // those of feeds that are gone make room
		var gone []*trigger
		for _, tr := range all {
			if _, ok := t.device(tr); !ok {
				gone = append(gone, tr)
			}
		}
		if err := t.drop(gone...); err != nil {
			return 0, err
		}
		if all = t.all(); len(all) >= maxTriggers {
			return 0, unprocessable("there are %d triggers already, which is the most", maxTriggers)
		}
	}
	for _, tr := range all {
		if tr.Feed == r.Feed && tr.Born.Equal(r.Born) {
			same++
		}
	}
	if same >= maxFeedTriggers {
		return 0, unprocessable("the feed has %d triggers already, which is the most", maxFeedTriggers)
	}
	t.last++
	r.ID = t.last
	tr := &trigger{rule: r}
	t.prime(tr)
	return r.ID, t.store(tr)
}

func (a *API) putTrigger(c *call) {
	if err := a.changeTrigger(c); err != nil {
		c.fail(err)
		return
	}
	c.written()
}

func (a *API) changeTrigger(c *call) error {
	old, err := c.trigger()
	if err != nil {
		return err
	}
	w, err := xively.DecodeTrigger(c.path.Format, c.Body)
	if err != nil {
		return err
	}
	t := a.triggers
	t.writing.Lock()
	defer t.writing.Unlock()
	if old = t.get(old.ID); old == nil {
		return xively.NotFound()
	}
	switch {
	case w.Feed != nil && *w.Feed != old.Feed:
		return xively.Unprocessable(xively.FieldError{Field: "environment_id", Text: fixed})
	case w.Datastream != nil && *w.Datastream != old.Datastream:
		return xively.Unprocessable(xively.FieldError{Field: "stream_id", Text: fixed})
	}
	old.mu.Lock()
	tr := &trigger{rule: old.rule, fired: old.fired, ever: old.ever, saved: old.saved}
	old.mu.Unlock()
	set(&tr.URL, w.URL)
	set(&tr.Type, w.Type)
	set(&tr.Threshold, w.Threshold)
	if err := tr.complete(); err != nil {
		return err
	}
	t.prime(tr)
	return t.store(tr)
}

func (a *API) deleteTrigger(c *call) {
	tr, err := c.trigger()
	if err == nil {
		a.triggers.writing.Lock()
		err = a.triggers.drop(tr)
		a.triggers.writing.Unlock()
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.written()
}
