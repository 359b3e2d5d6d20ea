package feeds

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// maxUsers bounds the accounts that the API makes.
const maxUsers = 1000

// Users are the accounts of the gateway. Administrators list, make and delete
// them; everybody reads and changes oneself. A master key acts as its owner,
// with two exceptions, because it lies about in programs and devices: it does
// no more than read what only its owner's being an administrator allows, and it
// sets no password, which would outlive it. An account that is made here is no
// administrator.

// asAdmin decides whether the caller is an administrator, or for reading the
// master key of one.
func (c *call) asAdmin() error {
	reg := c.api.cfg.Registry
	if err := c.mayAll(); err != nil {
		return err
	}
	who := c.subject
	if c.Method == http.MethodGet {
		who.Key = ""
	}
	if !reg.Admin(who) {
		return fmt.Errorf("%w: for administrators", gateway.ErrDenied)
	}
	return nil
}

// user finds the account of the URL, if it is the caller's or the caller is an
// administrator. For anybody else none exists but the own one, which any key
// reads that has get without limits to its resources and sees what is private.
func (c *call) user() (access.User, error) {
	if c.Method == http.MethodGet && c.path.ID == c.subject.User && c.subject.User != "" {
		if _, err := c.may(0, 0, ""); err != nil {
			return access.User{}, err
		}
		if k, ok := c.callersKey(); ok && !k.PrivateAccess {
			return access.User{}, fmt.Errorf("%w: the key sees nothing private", gateway.ErrDenied)
		}
		return c.api.findUser(c.path.ID)
	}
	if err := c.mayAll(); err != nil {
		return access.User{}, err
	}
	if c.path.ID != c.subject.User {
		if err := c.asAdmin(); err != nil {
			return access.User{}, err
		}
	}
	return c.api.findUser(c.path.ID)
}

func (a *API) findUser(login string) (access.User, error) {
	for _, u := range a.cfg.Registry.Users() {
		if u.Name == login {
			return u, nil
		}
	}
	return access.User{}, xively.NotFound()
}

// shownUsers are accounts as documents show them.
func (a *API) shownUsers(users ...access.User) []xively.User {
	type counts struct{ feeds, datastreams int }
	owned := map[string]counts{}
	for _, d := range a.cfg.Registry.Devices() {
		n := owned[d.Grants.Owner]
		n.feeds++
		n.datastreams += len(d.Sensors)
		owned[d.Grants.Owner] = n
	}
	out := make([]xively.User, len(users))
	for i, u := range users {
		p := a.accounts.profile(u.Name)
		out[i] = xively.User{Login: u.Name, FullName: p.FullName, FirstName: p.FirstName, LastName: p.LastName,
			Email: p.Email, About: p.About, Website: p.Website, Organisation: p.Organisation, TimeZone: p.TimeZone,
			Roles: []string{"default"}, Feeds: owned[u.Name].feeds, Datastreams: owned[u.Name].datastreams}
		if u.Admin {
			out[i].Roles = append(out[i].Roles, "admin")
		}
	}
	return out
}

func (a *API) listUsers(c *call) {
	if err := c.asAdmin(); err != nil {
		c.fail(err)
		return
	}
	c.document(xively.AppendUsers(nil, c.path.Format, a.shownUsers(a.cfg.Registry.Users()...)))
}

func (a *API) getUser(c *call) {
	u, err := c.user()
	if err != nil {
		c.fail(err)
		return
	}
	c.document(xively.AppendUser(nil, c.path.Format, &a.shownUsers(u)[0]))
}

// write gives p what w says.
func (p *profile) write(w *xively.UserWrite) {
	set(&p.FullName, w.FullName)
	set(&p.FirstName, w.FirstName)
	set(&p.LastName, w.LastName)
	set(&p.Email, w.Email)
	set(&p.About, w.About)
	set(&p.Website, w.Website)
	set(&p.Organisation, w.Organisation)
	set(&p.TimeZone, w.TimeZone)
}

// checkPassword says why a password cannot be set.
func checkPassword(password string) error {
	switch {
	case len(password) < access.GoodPassword:
		return xively.Unprocessable(xively.FieldError{Field: "password",
			Text: fmt.Sprintf("is too short (minimum is %d characters)", access.GoodPassword)})
	case len(password) > access.MaxPassword:
		return xively.Unprocessable(xively.FieldError{Field: "password",
			Text: fmt.Sprintf("is too long (maximum is %d characters)", access.MaxPassword)})
	}
	return nil
}

// hash makes the hash of a new password, one at a time.
func (a *API) hash(c *call, password string) (string, error) {
	s := a.accounts
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-c.ctx.Done():
		return "", c.ctx.Err()
	}
	return access.HashPassword([]byte(password), rand.Reader)
}

func (a *API) createUser(c *call) {
	login, err := a.newUser(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.created("/users/" + escaped(login))
}

func (a *API) newUser(c *call) (login string, err error) {
	if err := c.asAdmin(); err != nil {
		return "", err
	}
	w, err := xively.DecodeUser(c.path.Format, c.Body)
	if err != nil {
		return "", err
	}
	var missing []xively.FieldError
	if w.Login == nil {
		missing = append(missing, xively.FieldError{Field: "login", Text: xively.Blank})
	}
	if w.Password == nil {
		missing = append(missing, xively.FieldError{Field: "password", Text: xively.Blank})
	}
	if len(missing) > 0 {
		return "", xively.Unprocessable(missing...)
	}
	if err := checkPassword(*w.Password); err != nil {
		return "", err
	}
	u := access.User{Name: *w.Login}
	if u.PasswordHash, err = a.hash(c, *w.Password); err != nil {
		return "", err
	}
	s := a.accounts
	s.editing.Lock()
	defer s.editing.Unlock()
	if _, err := a.findUser(u.Name); err == nil {
		return "", xively.Unprocessable(xively.FieldError{Field: "login", Text: "has already been taken"})
	}
	if len(a.cfg.Registry.Users()) >= maxUsers {
		return "", unprocessable("there are %d accounts already, which is the most", maxUsers)
	}
	if err := a.dropKeys(u.Name); err != nil { // a former account's
		return "", err
	}
	if !a.known(u.Name) { // nor products or triggers; but the configuration may have a key for that name
		if err := errors.Join(s.products.dropOf(u.Name), a.triggers.dropOf(u.Name)); err != nil {
			return "", err
		}
	}
	var p profile
	p.write(&w)
	if err := s.putProfile(u.Name, &p); err != nil {
		return "", err
	}
	return u.Name, a.cfg.Registry.PutUser(u)
}

// dropKeys deletes the keys of an account that does not exist, lest another of
// the same name has them.
func (a *API) dropKeys(login string) error {
	a.accounts.keys.Lock()
	defer a.accounts.keys.Unlock()
	for _, k := range a.cfg.Registry.Keys() {
		if k.Owner != login {
			continue
		}
		if err := a.cfg.Registry.DeleteKey(k.ID); err != nil && !errors.Is(err, gateway.ErrDeclared) && !errors.Is(err, gateway.ErrUnknownUser) {
			return err
		}
	}
	return nil
}

func (a *API) putUser(c *call) {
	if err := a.changeUser(c); err != nil {
		c.fail(err)
		return
	}
	c.written()
}

func (a *API) changeUser(c *call) error {
	if _, err := c.user(); err != nil {
		return err
	}
	login := c.path.ID
	w, err := xively.DecodeUser(c.path.Format, c.Body)
	if err != nil {
		return err
	}
	if w.Login != nil && *w.Login != login {
		return xively.Unprocessable(xively.FieldError{Field: "login", Text: fixed})
	}
	var hash string
	if w.Password != nil {
		if c.subject.Key != "" {
			return fmt.Errorf("%w: a key sets no password", gateway.ErrDenied)
		}
		if err := checkPassword(*w.Password); err != nil {
			return err
		}
		if hash, err = a.hash(c, *w.Password); err != nil {
			return err
		}
	}
	s := a.accounts
	s.editing.Lock()
	defer s.editing.Unlock()
	u, err := a.findUser(login) // as it is now
	if err != nil {
		return err
	}
	if hash != "" { // first, as the configuration may have its own
		u.PasswordHash = hash
		if err := a.cfg.Registry.PutUser(u); err != nil {
			return err
		}
	}
	old := s.profile(login)
	p := old
	if p.write(&w); p == old {
		return nil
	}
	return s.putProfile(login, &p)
}

// deleteUser deletes an account with its keys, products and triggers. Its feeds
// stay. Nobody deletes oneself: somebody must be left who can log in.
func (a *API) deleteUser(c *call) {
	err := c.asAdmin()
	if err == nil && c.path.ID == c.subject.User {
		err = &xively.Error{Status: http.StatusForbidden, Title: "Forbidden", Text: "nobody can delete the account in use"}
	}
	if err == nil {
		err = a.removeUser(c.path.ID)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.written()
}

func (a *API) removeUser(login string) error {
	s := a.accounts
	s.editing.Lock()
	defer s.editing.Unlock()
	if err := a.cfg.Registry.DeleteUser(login); err != nil {
		return err
	}
	return errors.Join(a.dropKeys(login), s.putProfile(login, nil), s.products.dropOf(login), a.triggers.dropOf(login))
}
