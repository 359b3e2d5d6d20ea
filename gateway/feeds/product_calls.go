package feeds

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fieldgate/gateway/xively"
)

// Products and their devices take a master key or an account. They are seen
// and changed by their owner and by administrators; for others they do not
// exist.

// escaped is s as a level of a path.
func escaped(s string) string { return url.PathEscape(s) }

// product finds the product of the URL, if it is the caller's.
func (c *call) product() (*product, error) {
	if err := c.mayAll(); err != nil {
		return nil, err
	}
	p, ok := c.api.accounts.products.get(c.path.ID)
	if !ok || p.User != c.subject.User && !c.api.cfg.Registry.Admin(c.subject) {
		return nil, xively.NotFound()
	}
	return p, nil
}

// pageOf reads page and per_page.
func (c *call) pageOf(perPage int) (xively.List, error) {
	page := 1
	for _, v := range []struct {
		name string
		to   *int
		most int
	}{{"page", &page, 1_000_000}, {"per_page", &perPage, 1000}} {
		s := c.path.Query.Get(v.name)
		if s == "" {
			continue
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > v.most {
			return xively.List{}, &xively.Error{Status: http.StatusBadRequest, Title: "Bad Request",
				Text: fmt.Sprintf("%s must be a whole number from 1 to %d", v.name, v.most)}
		}
		*v.to = n
	}
	return xively.List{Start: (page - 1) * perPage, PerPage: perPage}, nil
}

// part is the page of all that list asks for. It fills in list.Total.
func part[T any](all []T, list *xively.List) []T {
	list.Total = len(all)
	from := min(list.Start, len(all))
	return all[from:min(from+list.PerPage, len(all))]
}

func (a *API) listProducts(c *call) {
	if err := c.mayAll(); err != nil {
		c.fail(err)
		return
	}
	list, err := c.pageOf(30)
	if err != nil {
		c.fail(err)
		return
	}
	all := a.accounts.products.of(c.subject.User, a.cfg.Registry.Admin(c.subject))
	page := part(all, &list)
	c.document(xively.AppendProducts(nil, c.path.Format, list, page))
}

func (a *API) getProduct(c *call) {
	p, err := c.product()
	if err != nil {
		c.fail(err)
		return
	}
	s := &a.accounts.products
	s.mu.RLock()
	shown := p.shown()
	s.mu.RUnlock()
	c.document(xively.AppendProduct(nil, c.path.Format, &shown))
}

func (a *API) createProduct(c *call) {
	id, err := a.addProduct(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.created("/products/" + id)
}

func (a *API) addProduct(c *call) (id string, err error) {
	if err := c.mayAll(); err != nil {
		return "", err
	}
	w, err := xively.DecodeProduct(c.path.Format, c.Body)
	if err != nil {
		return "", err
	}
	if w.Name == nil {
		return "", xively.Unprocessable(xively.FieldError{Field: "name", Text: xively.Blank})
	}
	p := newProduct(c.subject.User, a.cfg.Clock.Now().Wall)
	p.Name, p.Defaults.Private = *w.Name, true // public only if it says so
	set(&p.Description, w.Description)
	if w.State != nil && *w.State != "" {
		p.State = *w.State
	}
	if w.Defaults != nil {
		p.Defaults = *w.Defaults
	}
	s := &a.accounts.products
	s.editing.Lock()
	defer s.editing.Unlock()
	if len(s.byID) >= maxProducts {
		return "", unprocessable("there are %d products already, which is the most", maxProducts)
	}
	return p.ID, s.put(p)
}

func (a *API) putProduct(c *call) {
	if err := a.changeProduct(c); err != nil {
		c.fail(err)
		return
	}
	c.written()
}

// changeProduct changes the name and the defaults, which hold for the feeds of
// devices that activate themselves from now on.
func (a *API) changeProduct(c *call) error {
	if _, err := c.product(); err != nil {
		return err
	}
	w, err := xively.DecodeProduct(c.path.Format, c.Body)
	if err != nil {
		return err
	}
	s := &a.accounts.products
	s.editing.Lock()
	defer s.editing.Unlock()
	old, ok := s.get(c.path.ID)
	if !ok {
		return xively.NotFound()
	}
	switch { // a client may send back what it has read
	case w.Description != nil && *w.Description != old.Description:
		return xively.Unprocessable(xively.FieldError{Field: "description", Text: fixed})
	case w.State != nil && *w.State != old.State:
		return xively.Unprocessable(xively.FieldError{Field: "state", Text: fixed})
	}
	p := *old
	set(&p.Name, w.Name)
	if w.Defaults != nil {
		p.Defaults = *w.Defaults
	}
	return s.put(&p)
}

// deleteProduct deletes a product and its devices. Their feeds and keys stay.
func (a *API) deleteProduct(c *call) {
	s := &a.accounts.products
	s.editing.Lock()
	defer s.editing.Unlock()
	p, err := c.product()
	if err == nil {
		err = s.drop(p)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.written()
}

func (a *API) listDevices(c *call) {
	p, err := c.product()
	if err != nil {
		c.fail(err)
		return
	}
	list, err := c.pageOf(30)
	if err != nil {
		c.fail(err)
		return
	}
	serial, activated := c.path.Query.Get("serial"), c.path.Query.Get("activated")
	all := a.accounts.products.devicesOf(p, func(d *made) bool {
		return strings.Contains(d.Serial, serial) && (activated == "" || truth(activated) != d.Activated.IsZero())
	})
	shown := []xively.ProductDevice{}
	for _, d := range part(all, &list) {
		shown = append(shown, d.shown())
	}
	c.document(xively.AppendProductDevices(nil, c.path.Format, list, shown))
}

// device finds the device of the URL with its product, if it is the caller's.
func (c *call) device() (*product, *made, error) {
	p, err := c.product()
	if err != nil {
		return nil, nil, err
	}
	d, ok := c.api.accounts.products.device(p, c.path.Serial)
	if !ok {
		return nil, nil, xively.NotFound()
	}
	return p, d, nil
}

func (a *API) getDevice(c *call) {
	_, d, err := c.device()
	if err != nil {
		c.fail(err)
		return
	}
	shown := d.shown()
	c.document(xively.AppendProductDevice(nil, c.path.Format, &shown))
}

func (a *API) createDevices(c *call) {
	path, err := a.addDevices(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.created(path)
}

// addDevices adds all devices of the body, or none.
func (a *API) addDevices(c *call) (path string, err error) {
	s := &a.accounts.products
	s.editing.Lock()
	defer s.editing.Unlock()
	p, err := c.product()
	if err != nil {
		return "", err
	}
	serials, err := xively.DecodeSerials(c.path.Format, c.Body)
	if err != nil {
		return "", err
	}
	if len(s.codes)+len(serials) > maxProductDevices {
		return "", unprocessable("there would be more than %d devices of products", maxProductDevices)
	}
	now := a.cfg.Clock.Now().Wall.Truncate(time.Microsecond)
	devices := make([]*made, len(serials))
	for i, serial := range serials {
		if _, ok := s.device(p, serial); ok || slices.Contains(serials[:i], serial) {
			return "", taken(serial)
		}
		devices[i] = &made{Product: p.ID, Serial: serial, Created: now}
	}
	path = "/products/" + p.ID + "/devices"
	if len(serials) == 1 {
		path += "/" + escaped(serials[0])
	}
	return path, s.putDevices(p, nil, devices...)
}

func taken(serial string) error {
	return xively.Unprocessable(xively.FieldError{Field: "serial", Text: fmt.Sprintf("%q has already been taken", serial)})
}

func (a *API) putDevice(c *call) {
	if err := a.changeDevice(c); err != nil {
		c.fail(err)
		return
	}
	c.written()
}

// changeDevice gives a device another serial and with it another activation
// code.
func (a *API) changeDevice(c *call) error {
	s := &a.accounts.products
	s.editing.Lock()
	defer s.editing.Unlock()
	p, old, err := c.device()
	if err != nil {
		return err
	}
	serials, err := xively.DecodeSerials(c.path.Format, c.Body)
	if err != nil {
		return err
	}
	if len(serials) != 1 {
		return xively.Unprocessable(xively.FieldError{Field: "serial", Text: xively.Invalid})
	}
	if serials[0] == old.Serial {
		return nil
	}
	if _, ok := s.device(p, serials[0]); ok {
		return taken(serials[0])
	}
	d := *old
	d.Serial = serials[0]
	return s.putDevices(p, []*made{old}, &d)
}

// deleteDevice deletes a device of a product. Its feed and its key stay.
func (a *API) deleteDevice(c *call) {
	s := &a.accounts.products
	s.editing.Lock()
	defer s.editing.Unlock()
	p, d, err := c.device()
	if err == nil {
		err = s.putDevices(p, []*made{d})
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.written()
}
