package feeds

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// A device that was made in numbers knows its activation code and nothing else.
// With that it asks, without a key, for a feed and a key of its own, once. A
// second time it must bring the key that it got. If that is lost, a master key
// or the account of the product's owner issues another one, and the former is
// good for nothing then.

func (a *API) activate(c *call) {
	answer, err := a.activation(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.document(xively.AppendActivation(nil, c.path.Format, answer))
}

// refused is a second activation without the right to it.
func refused(text string) error {
	return &xively.Error{Status: http.StatusForbidden, Title: "Forbidden", Text: text}
}

func (a *API) activation(c *call) (*xively.Activation, error) {
	if _, err := xively.AppendActivation(nil, c.path.Format, &xively.Activation{}); err != nil {
		return nil, err // before anything is made
	}
	s := &a.accounts.products
	s.editing.Lock()
	defer s.editing.Unlock()
	p, d, ok := s.coded(c.path.ID)
	if !ok {
		return nil, xively.NotFound()
	}
	feed, ok := a.feedOf(p, d)
	if !d.Activated.IsZero() {
		if text := c.keyText(); d.Key != "" && c.subject.Key == d.Key && a.cfg.Registry.Live(c.subject) {
			switch {
			case text == "":
				return nil, refused("activated already; the key has to come with the request itself")
			case !ok:
				return nil, refused("activated already, and its feed was deleted")
			}
			return activated(text, feed), nil
		}
		if c.mayAll() != nil || c.subject.User != p.User && !a.cfg.Registry.Admin(c.subject) {
			return nil, refused("activated already")
		}
	}
	if !a.known(p.User) {
		return nil, refused("the owner of the product has no account any more")
	}
	if !ok {
		var err error
		if feed, err = a.feedFrom(c, p, d); err != nil {
			return nil, err
		}
	}
	text, err := a.issue(p, d, feed)
	if err != nil {
		return nil, err
	}
	return activated(text, feed), nil
}

// keyText is the text of the key that came with the request itself.
func (c *call) keyText() string {
	if c.Key != "" {
		return c.Key
	}
	return keyOf(c.Query)
}

// known reports whether there is an account of this name, or a good key of it.
func (a *API) known(user string) bool {
	return a.cfg.Registry.Live(access.Subject{User: user}) ||
		slices.ContainsFunc(a.cfg.Registry.Keys(), func(k access.Key) bool {
			return k.Owner == user && a.cfg.Registry.Live(access.Subject{User: user, Key: k.ID})
		})
}

// feedOf is the feed that d got, unless that is gone or somebody else's.
func (a *API) feedOf(p *product, d *made) (*gateway.Device, bool) {
	if d.Feed == 0 {
		return nil, false
	}
	feed, ok := a.cfg.Registry.Feed(d.Feed)
	return feed, ok && feed.Created.Equal(d.Born) && feed.Grants.Owner == p.User
}

// feedFrom makes the feed of d by the defaults of its product. It is noted
// before the key is: if the key fails, the next activation finds the feed. One
// that cannot be noted is deleted again: who tries and tries must not fill the
// gateway with feeds.
func (a *API) feedFrom(c *call, p *product, d *made) (*gateway.Device, error) {
	w := feedCreation{title: p.Defaults.Title, description: p.Defaults.Description, tags: p.Defaults.Tags,
		private: p.Defaults.Private, datastreams: p.Defaults.Datastreams, product: p.ID, serial: d.Serial}
	if w.title == "" {
		w.title = p.Name
	}
	feed, err := a.create(c, p.User, w)
	if err != nil {
		return nil, err
	}
	noted := *d
	noted.Feed, noted.Born = feed.Feed, feed.Created
	if err := a.accounts.products.putDevices(p, nil, &noted); err != nil {
		b := &gateway.Batch{From: access.System, Source: c.Source}
		return nil, errors.Join(err, a.cfg.Hub.Change(b, gateway.ChangeRequest{Op: gateway.Delete, Device: feed.ID}))
	}
	return feed, nil
}

// issue makes a key for d and its feed, in the place of a former one. The former
// key goes last: whatever fails before leaves one that works.
func (a *API) issue(p *product, d *made, feed *gateway.Device) (text string, err error) {
	text = newKeyText()
	k, err := a.storeKey(access.Key{Label: d.Serial, Owner: p.User, PrivateAccess: true, Permissions: []access.Permission{
		{Methods: []string{"get", "put"}, Resources: []access.Resource{{Feed: feed.Feed}}}}}, text)
	if err != nil {
		return "", err
	}
	now := *d
	now.Feed, now.Born, now.Key = feed.Feed, feed.Created, k.ID
	if now.Activated.IsZero() {
		now.Activated = a.cfg.Clock.Now().Wall.Truncate(time.Microsecond)
	}
	if err := a.accounts.products.putDevices(p, nil, &now); err != nil {
		return "", errors.Join(err, a.cfg.Registry.DeleteKey(k.ID))
	}
	if d.Key != "" {
		if err := a.cfg.Registry.DeleteKey(d.Key); err != nil && !errors.Is(err, gateway.ErrUnknownUser) {
			return "", err
		}
	}
	return text, nil
}

// activated is what a device learns.
func activated(key string, feed *gateway.Device) *xively.Activation {
	out := &xively.Activation{Key: key, Feed: feed.Feed}
	for i := range feed.Sensors {
		out.Datastreams = append(out.Datastreams, xively.DatastreamID(feed.Sensors[i].ID))
	}
	return out
}
