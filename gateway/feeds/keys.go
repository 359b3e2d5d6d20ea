package feeds

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// maxKeys bounds the keys that the API makes: there is one for each device of a
// product, besides those that people use.
const maxKeys = 2 * maxProductDevices

// Keys belong to accounts. An account sees and changes its own, an
// administrator all. A master key lists those of its owner, any other key
// itself alone. One of its owner whose id or text it knows a key sees if it has
// get without limits to its resources. It makes, changes and deletes, with the
// method of the request and without such limits too, those that can do no more
// than itself. Each key may look at itself. Only hashes are stored, so that the text of a
// key is shown where the request brought it and when it is made.

// newKeyText makes the text of a key: 48 characters of [A-Za-z0-9_-], 288
// random bits.
func newKeyText() string {
	var b [36]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// storeKey makes text the text of k, which gets its id from it.
func (a *API) storeKey(k access.Key, text string) (access.Key, error) {
	k.Hash = access.HashKey(text)
	k.ID = access.KeyID(k.Hash)
	if _, ok := a.cfg.Registry.Key(k.ID); ok {
		return k, fmt.Errorf("%w: a key with this id", gateway.ErrExists)
	}
	return k, a.cfg.Registry.PutKey(k)
}

// findKey finds a key by its id, or by its text, which it gives then.
func (a *API) findKey(idOrText string) (k access.Key, text string, ok bool) {
	if k, ok = a.cfg.Registry.Key(idOrText); ok {
		return k, "", true
	}
	hash := access.HashKey(idOrText)
	for _, k := range a.cfg.Registry.Keys() {
		if k.Hash == hash {
			return k, idOrText, true
		}
	}
	return access.Key{}, "", false
}

// callersKey is the key that the caller's rights come from; false for an
// account.
func (c *call) callersKey() (access.Key, bool) {
	if c.subject.Key == "" {
		return access.Key{}, false
	}
	k, _ := c.api.cfg.Registry.Key(c.subject.Key) // one that is gone can do nothing
	return k, true
}

// key finds the key of the URL, if the caller may do the call's method on it.
// What is not the caller's does not exist for it.
func (c *call) key() (k access.Key, text string, err error) {
	if err := c.somebody(); err != nil {
		return k, "", err
	}
	k, text, ok := c.api.findKey(c.path.ID)
	if !ok || k.Owner != c.subject.User && !c.api.cfg.Registry.Admin(c.subject) {
		return k, "", xively.NotFound()
	}
	if c.Method == http.MethodGet && c.subject.Key == k.ID {
		return k, text, nil
	}
	if _, err := c.may(0, 0, ""); err != nil {
		return k, "", err
	}
	if own, ok := c.callersKey(); ok && c.Method != http.MethodGet && !within(own, k) {
		return k, "", fmt.Errorf("%w: the key can do more than this one", gateway.ErrDenied)
	}
	return k, text, nil
}

// within reports whether everything that k can do, own can too.
func within(own, k access.Key) bool {
	switch {
	case k.Owner != own.Owner,
		k.PrivateAccess && !own.PrivateAccess,
		!own.ExpiresAt.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(own.ExpiresAt)):
		return false
	}
	for _, p := range k.Permissions {
		resources := p.Resources
		if len(resources) == 0 {
			resources = []access.Resource{{}} // everything
		}
		for _, m := range p.Methods {
			for _, r := range resources {
				if !slices.ContainsFunc(own.Permissions, func(q access.Permission) bool { return includes(q, p, m, r) }) {
					return false
				}
			}
		}
	}
	return true
}

// includes reports whether q allows all that p does with method on resource;
// the zero resource is everything.
func includes(q, p access.Permission, method string, resource access.Resource) bool {
	if !slices.Contains(q.Methods, method) || q.MinimumInterval > p.MinimumInterval ||
		q.SourceIP != "" && q.SourceIP != p.SourceIP || q.Referer != "" && q.Referer != p.Referer {
		return false
	}
	if len(q.Resources) == 0 || resource == (access.Resource{}) {
		return len(q.Resources) == 0
	}
	return slices.ContainsFunc(q.Resources, func(r access.Resource) bool {
		whole := r
		whole.Datastream = resource.Datastream
		return r == resource || r.Datastream == "" && r.Feed != 0 && whole == resource
	})
}

// shownKey is k as documents show it.
func shownKey(k access.Key, text string) xively.Key {
	out := xively.Key{Key: text, ID: k.ID, Label: k.Label, PrivateAccess: k.PrivateAccess, ExpiresAt: k.ExpiresAt}
	for _, p := range k.Permissions {
		shown := xively.Permission{Label: p.Label, Methods: p.Methods, SourceIP: p.SourceIP, Referer: p.Referer,
			MinimumInterval: p.MinimumInterval}
		for _, r := range p.Resources {
			shown.Resources = append(shown.Resources, xively.KeyResource(r))
		}
		out.Permissions = append(out.Permissions, shown)
	}
	return out
}

// listKeys lists the keys of an account, or of the owner of a master key, and
// for an administrator all. Any other key finds itself alone.
func (a *API) listKeys(c *call) {
	err := c.somebody()
	own, isKey := c.callersKey()
	alone := isKey && !own.Master()
	if err == nil && !alone {
		_, err = c.may(0, 0, "")
	}
	if err != nil {
		c.fail(err)
		return
	}
	all := !alone && a.cfg.Registry.Admin(c.subject)
	list := []xively.Key{}
	for _, k := range a.cfg.Registry.Keys() {
		if all || k.Owner == c.subject.User && !alone || alone && k.ID == own.ID {
			list = append(list, shownKey(k, ""))
		}
	}
	c.document(xively.AppendKeys(nil, c.path.Format, list))
}

func (a *API) getKey(c *call) {
	k, text, err := c.key()
	if err != nil {
		c.fail(err)
		return
	}
	shown := shownKey(k, text)
	c.document(xively.AppendKey(nil, c.path.Format, &shown))
}

// writeKey gives k what w says. Nil parts of w leave k's.
func (a *API) writeKey(c *call, k *access.Key, w *xively.KeyWrite) error {
	set(&k.Label, w.Label)
	if w.PrivateAccess != nil {
		k.PrivateAccess = *w.PrivateAccess
	}
	if w.ExpiresAt != nil {
		k.ExpiresAt = w.ExpiresAt.UTC()
	}
	if w.Permissions != nil {
		k.Permissions = nil
		for _, p := range w.Permissions {
			kept := access.Permission{Label: p.Label, Methods: p.Methods, SourceIP: p.SourceIP, Referer: p.Referer,
				MinimumInterval: p.MinimumInterval}
			for _, r := range p.Resources {
				if err := a.checkResource(k.Owner, r); err != nil {
					return err
				}
				kept.Resources = append(kept.Resources, access.Resource(r))
			}
			k.Permissions = append(k.Permissions, kept)
		}
	}
	if own, ok := c.callersKey(); ok && !within(own, *k) {
		return fmt.Errorf("%w: a key cannot make one that can do more than itself", gateway.ErrDenied)
	}
	return nil
}

// checkResource checks that the owner of a key can reach what it is to open.
// What exists but is hidden from the owner is as invalid as what does not.
func (a *API) checkResource(owner string, r xively.KeyResource) error {
	if r.Trigger != 0 {
		if tr := a.triggers.get(r.Trigger); tr == nil || tr.User != owner {
			return xively.Unprocessable(xively.FieldError{Field: "datastream_trigger_id", Text: xively.Invalid})
		}
		return nil
	}
	d, ok := a.cfg.Registry.Feed(r.Feed)
	if !ok || d.Grants.Owner != owner && !a.cfg.Registry.Can(access.Subject{User: owner}, access.View, d.ID) {
		return xively.Unprocessable(xively.FieldError{Field: "feed_id", Text: xively.Invalid})
	}
	return nil
}

func (a *API) createKey(c *call) {
	text, err := a.newKey(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.created("/keys/" + text)
}

func (a *API) newKey(c *call) (text string, err error) {
	if _, err := c.may(0, 0, ""); err != nil {
		return "", err
	}
	w, err := xively.DecodeKey(c.path.Format, c.Body)
	if err != nil {
		return "", err
	}
	var missing []xively.FieldError
	if w.Label == nil {
		missing = append(missing, xively.FieldError{Field: "label", Text: xively.Blank})
	}
	if w.Permissions == nil {
		missing = append(missing, xively.FieldError{Field: "permissions", Text: xively.Blank})
	}
	if len(missing) > 0 {
		return "", xively.Unprocessable(missing...)
	}
	k := access.Key{Owner: c.subject.User}
	if err := a.writeKey(c, &k, &w); err != nil {
		return "", err
	}
	if n := len(a.cfg.Registry.Keys()); n >= maxKeys {
		return "", unprocessable("there are %d keys already", n)
	}
	text = newKeyText()
	_, err = a.storeKey(k, text)
	return text, err
}

func (a *API) putKey(c *call) {
	a.accounts.keys.Lock()
	defer a.accounts.keys.Unlock()
	k, _, err := c.key()
	if err == nil {
		err = a.changeKey(c, k)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.written()
}

func (a *API) changeKey(c *call, k access.Key) error {
	w, err := xively.DecodeKey(c.path.Format, c.Body)
	if err != nil {
		return err
	}
	if err := a.writeKey(c, &k, &w); err != nil {
		return err
	}
	return a.cfg.Registry.PutKey(k)
}

func (a *API) deleteKey(c *call) {
	a.accounts.keys.Lock()
	defer a.accounts.keys.Unlock()
	k, _, err := c.key()
	if err == nil {
		err = a.cfg.Registry.DeleteKey(k.ID)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.written()
}

// regenerateKey gives a key another text, for which it takes a master key. The
// old text is good for nothing when the answer comes.
func (a *API) regenerateKey(c *call) {
	a.accounts.keys.Lock()
	defer a.accounts.keys.Unlock()
	k, _, err := c.key()
	if err == nil {
		err = c.mayAll()
	}
	var text string
	if err == nil {
		text, err = a.replaceKey(k)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.answer(gateway.Response{Status: http.StatusOK, ContentType: c.path.Format.ContentType(), Body: []byte(" "),
		Location: c.location("/keys/" + text)})
}

// replaceKey puts a key of another text in the place of old. The new one is
// stored first: if only that happens, the old text, which somebody knows, holds
// on.
func (a *API) replaceKey(old access.Key) (text string, err error) {
	text = newKeyText()
	k, err := a.storeKey(old, text)
	if err != nil {
		return "", err
	}
	if err := a.cfg.Registry.DeleteKey(old.ID); err != nil {
		return "", errors.Join(err, a.cfg.Registry.DeleteKey(k.ID))
	}
	return text, nil
}
