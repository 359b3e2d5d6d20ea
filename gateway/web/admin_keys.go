package web

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// hash makes the hash of a new password, one at a time.
func (s *Server) hash(password string) (string, error) {
	s.hashing.Lock()
	defer s.hashing.Unlock()
	return access.HashPassword([]byte(password), rand.Reader)
}

// KeyForm is an API key as /admin/keys shows it, without its hash, and the body
// of PUT /admin/keys/{id} and POST /admin/keys.
type KeyForm struct {
	ID string `json:"id,omitempty"`
	// Key is the key itself: in the answer to POST, which shows it this once,
	// and in a PUT or POST that brings its own (at least 16 bytes).
	Key           string              `json:"key,omitempty"`
	Label         string              `json:"label,omitempty"`
	Owner         string              `json:"owner,omitempty"`
	PrivateAccess bool                `json:"private_access,omitempty"`
	ExpiresAt     time.Time           `json:"expires_at,omitzero"`
	Permissions   []access.Permission `json:"permissions,omitempty"`
}

const minKey = 16 // bytes of a key that somebody brings

func keyForm(k access.Key) KeyForm {
	return KeyForm{ID: k.ID, Label: k.Label, Owner: k.Owner, PrivateAccess: k.PrivateAccess,
		ExpiresAt: k.ExpiresAt, Permissions: k.Permissions}
}

func (s *Server) getKeys(w http.ResponseWriter, r *http.Request, _ caller) {
	out := []KeyForm{}
	for _, k := range s.cfg.Admin.Keys() {
		out = append(out, keyForm(k))
	}
	s.sendJSON(w, r, out)
}

func (s *Server) findKey(id string) (access.Key, error) {
	for _, k := range s.cfg.Admin.Keys() {
		if k.ID == id {
			return k, nil
		}
	}
	return access.Key{ID: id}, fmt.Errorf("%w: %q", gateway.ErrUnknownUser, shorten(id))
}

func (s *Server) getKey(w http.ResponseWriter, r *http.Request, c caller) {
	k, err := s.findKey(r.PathValue("id"))
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.sendJSON(w, r, keyForm(k))
}

// postKey makes a key and answers with its text, once.
func (s *Server) postKey(w http.ResponseWriter, r *http.Request, c caller) {
	var form KeyForm
	err := bodyJSON(r, &form)
	if err == nil && form.ID != "" {
		err = fmt.Errorf("%w: the id is given by the gateway", errBadQuery)
	}
	if err == nil {
		form.ID = newID()
		orElse(&form.Key, rand.Text()+rand.Text())
		err = s.keep(form, access.Key{ID: form.ID})
	}
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.log.Info("key made by an administrator", "id", form.ID, "source", c.source)
	s.sendJSON(w, r, form)
}

// putKey changes a key, or makes one whose text the body brings.
func (s *Server) putKey(w http.ResponseWriter, r *http.Request, c caller) {
	s.done(w, r, c, func() error {
		var form KeyForm
		if err := bodyJSON(r, &form); err != nil {
			return err
		}
		id := r.PathValue("id")
		if form.ID != "" && form.ID != id {
			return fmt.Errorf("%w: the body's id is another one than the path's", errBadQuery)
		}
		form.ID = id
		old, err := s.findKey(id)
		if err != nil {
			if form.Key == "" {
				return err
			}
			if err := gateway.CheckID(id); err != nil {
				return err
			}
		}
		return s.keep(form, old)
	}())
}

// keep stores form, with the hash of old if it brings no key.
func (s *Server) keep(form KeyForm, old access.Key) error {
	k := access.Key{ID: form.ID, Hash: old.Hash, Label: form.Label, Owner: form.Owner, PrivateAccess: form.PrivateAccess,
		ExpiresAt: form.ExpiresAt, Permissions: form.Permissions}
	if form.Key != "" {
		if len(form.Key) < minKey {
			return fmt.Errorf("%w: a key has at least %d bytes", errBadQuery, minKey)
		}
		k.Hash = access.HashKey(form.Key)
	}
	if form.Owner != "" {
		if _, err := s.findUser(form.Owner); err != nil {
			return err
		}
	}
	for _, p := range form.Permissions {
		for _, m := range p.Methods {
			if !strings.Contains(" get put post delete ", " "+m+" ") {
				return fmt.Errorf("%w: method %.20q: get, put, post or delete", errBadQuery, m)
			}
		}
	}
	return s.cfg.Admin.PutKey(k)
}

func (s *Server) deleteKey(w http.ResponseWriter, r *http.Request, c caller) {
	s.done(w, r, c, s.cfg.Admin.DeleteKey(r.PathValue("id")))
}
