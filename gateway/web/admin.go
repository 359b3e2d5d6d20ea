package web

import (
	"fmt"
	"net/http"
	"slices"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// adminRoutes are what administrators and the command line tools use.
func (s *Server) adminRoutes(mux *http.ServeMux) {
	for pattern, h := range map[string]handle{
		"GET /admin/log/inspect":             s.inspectLog,
		"GET /admin/log/verify":              s.verifyLog,
		"GET /admin/log/export":              s.exportLog,
		"GET /admin/users":                   s.getUsers,
		"GET /admin/users/{name}":            s.getUser,
		"PUT /admin/users/{name}":            s.putUser,
		"DELETE /admin/users/{name}":         s.deleteUser,
		"GET /admin/keys":                    s.getKeys,
		"POST /admin/keys":                   s.postKey,
		"GET /admin/keys/{id}":               s.getKey,
		"PUT /admin/keys/{id}":               s.putKey,
		"DELETE /admin/keys/{id}":            s.deleteKey,
		"GET /admin/devices":                 s.adminDevices,
		"GET /admin/devices/{d}":             s.adminDevice,
		"PUT /admin/devices/{d}":             s.putDevice,
		"DELETE /admin/devices/{d}":          s.deleteDevice,
		"POST /admin/devices/{d}/share":      s.shareDevice,
		"POST /admin/devices/{d}/unshare":    s.unshareDevice,
		"POST /admin/devices/{d}/owner":      s.ownDevice,
		"POST /admin/devices/{d}/visibility": s.showDevice,
	} {
		mux.HandleFunc(pattern, s.administrator(h))
	}
	if s.cfg.Radio == nil {
		return
	}
	for pattern, h := range map[string]handle{
		"GET /admin/radios":       s.getRadios,
		"GET /admin/radio/frames": s.getFrames,
		"POST /admin/radio/send":  s.sendFrame,
	} {
		mux.HandleFunc(pattern, s.administrator(h))
	}
}

// done answers what changed something, or failed to.
func (s *Server) done(w http.ResponseWriter, r *http.Request, c caller, err error) {
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.log.Info("changed by an administrator", "method", r.Method, "path", shorten(r.URL.Path), "source", c.source)
	w.WriteHeader(http.StatusNoContent)
}

// UserForm is an account as /admin/users shows it, without its hash.
type UserForm struct {
	Name     string `json:"name"`
	Admin    bool   `json:"admin"`
	Password bool   `json:"password"` // false: nobody can log in by this name
}

// UserChange is the body of PUT /admin/users/{name}. What is absent stays as it
// is.
type UserChange struct {
	Password     *string `json:"password,omitempty"`      // in clear, 8 to 1024 bytes; or
	PasswordHash *string `json:"password_hash,omitempty"` // as of access.HashPassword; "" lets nobody in
	Admin        *bool   `json:"admin,omitempty"`
}

func formOf(u access.User) UserForm {
	return UserForm{Name: u.Name, Admin: u.Admin, Password: u.PasswordHash != ""}
}

func (s *Server) getUsers(w http.ResponseWriter, r *http.Request, _ caller) {
	out := []UserForm{}
	for _, u := range s.cfg.Admin.Users() {
		out = append(out, formOf(u))
	}
	s.sendJSON(w, r, out)
}

func (s *Server) findUser(name string) (access.User, error) {
	for _, u := range s.cfg.Admin.Users() {
		if u.Name == name {
			return u, nil
		}
	}
	return access.User{Name: name}, fmt.Errorf("%w: %q", gateway.ErrUnknownUser, shorten(name))
}

func (s *Server) getUser(w http.ResponseWriter, r *http.Request, c caller) {
	u, err := s.findUser(r.PathValue("name"))
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.sendJSON(w, r, formOf(u))
}

func (s *Server) putUser(w http.ResponseWriter, r *http.Request, c caller) {
	s.done(w, r, c, func() error {
		var change UserChange
		if err := bodyJSON(r, &change); err != nil {
			return err
		}
		u, err := s.findUser(r.PathValue("name"))
		if err != nil { // a new one
			if err := access.CheckUserName(u.Name); err != nil {
				return fmt.Errorf("%w: %w", errBadQuery, err)
			}
		}
		switch {
		case change.Password != nil && change.PasswordHash != nil:
			return fmt.Errorf("%w: password and password_hash", errBadQuery)
		case change.Password != nil:
			if u.PasswordHash, err = s.hash(*change.Password); err != nil {
				return fmt.Errorf("%w: %w", errBadQuery, err)
			}
		case change.PasswordHash != nil:
			if u.PasswordHash = *change.PasswordHash; u.PasswordHash != "" {
				if err := access.CheckHash(u.PasswordHash); err != nil {
					return fmt.Errorf("%w: %w", errBadQuery, err)
				}
			}
		}
		if change.Admin != nil {
			u.Admin = *change.Admin
		}
		return s.cfg.Admin.PutUser(u)
	}())
}

func (s *Server) deleteUser(w http.ResponseWriter, r *http.Request, c caller) {
	s.done(w, r, c, s.cfg.Admin.DeleteUser(r.PathValue("name")))
}

func (s *Server) adminDevices(w http.ResponseWriter, r *http.Request, _ caller) {
	out := s.cfg.Registry.Devices()
	if out == nil {
		out = []*gateway.Device{}
	}
	s.sendJSON(w, r, out)
}

func (s *Server) findDevice(r *http.Request) (*gateway.Device, error) {
	id := r.PathValue("d")
	d, ok := s.cfg.Registry.Device(id)
	if !ok {
		return nil, fmt.Errorf("%w: %q", gateway.ErrUnknownDevice, shorten(id))
	}
	return d, nil
}

func (s *Server) adminDevice(w http.ResponseWriter, r *http.Request, c caller) {
	d, err := s.findDevice(r)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.sendJSON(w, r, d)
}

// putDevice makes or replaces a device, grants included. A new one is announced
// like any other that is created.
func (s *Server) putDevice(w http.ResponseWriter, r *http.Request, c caller) {
	s.done(w, r, c, func() error {
		d := &gateway.Device{}
		if err := bodyJSON(r, d); err != nil {
			return err
		}
		id := r.PathValue("d")
		if d.ID != "" && d.ID != id {
			return fmt.Errorf("%w: the body's id is another one than the path's", errBadQuery)
		}
		d.ID = id
		raw, err := waziup.EncodeDevice(d) // what a client may create an administrator may, no more
		if err == nil {
			_, err = waziup.DecodeDevice(raw)
		}
		if err != nil {
			return err
		}
		s.editing.Lock()
		defer s.editing.Unlock()
		old, ok := s.cfg.Registry.Device(id)
		if !ok {
			if err := s.change(w, r, c, gateway.ChangeRequest{Op: gateway.CreateDevice, NewDevice: d}); err != nil {
				return err
			}
			if old, ok = s.cfg.Registry.Device(id); !ok {
				return fmt.Errorf("%w: %q is gone already", gateway.ErrUnknownDevice, id)
			}
		}
		orElse(&d.Feed, old.Feed)
		return s.cfg.Admin.PutDevice(d)
	}())
}

// edit changes the grants of a device. The body is read into change first.
func (s *Server) edit(w http.ResponseWriter, r *http.Request, c caller, change any, apply func(*access.Grants) error) {
	s.done(w, r, c, func() error {
		if err := bodyJSON(r, change); err != nil {
			return err
		}
		s.editing.Lock()
		defer s.editing.Unlock()
		d, err := s.findDevice(r)
		if err != nil {
			return err
		}
		edited := *d
		edited.Grants.Share = slices.Clone(d.Grants.Share)
		if err := apply(&edited.Grants); err != nil {
			return err
		}
		return s.cfg.Admin.PutDevice(&edited)
	}())
}

// ShareChange is the body of POST /admin/devices/{d}/share, and with the name
// alone of .../unshare.
type ShareChange struct {
	User string         `json:"user"`
	Can  []access.Right `json:"can,omitempty"`
}

// shareDevice gives a user the rights of the body instead of what he had.
func (s *Server) shareDevice(w http.ResponseWriter, r *http.Request, c caller) {
	var change ShareChange
	s.edit(w, r, c, &change, func(g *access.Grants) error {
		if len(change.Can) == 0 {
			return fmt.Errorf("%w: share what? can: view, publish or manage", errBadQuery)
		}
		if _, err := s.findUser(change.User); err != nil {
			return err
		}
		g.Share = append(without(g.Share, change.User), access.Share{User: change.User, Can: change.Can})
		return nil
	})
}

func (s *Server) unshareDevice(w http.ResponseWriter, r *http.Request, c caller) {
	var change ShareChange
	s.edit(w, r, c, &change, func(g *access.Grants) error {
		n := len(g.Share)
		if g.Share = without(g.Share, change.User); len(g.Share) == n {
			return fmt.Errorf("%w: the device is not shared with %q", gateway.ErrUnknownUser, shorten(change.User))
		}
		return nil
	})
}

func without(share []access.Share, user string) []access.Share {
	return slices.DeleteFunc(share, func(sh access.Share) bool { return sh.User == user })
}

// OwnerChange is the body of POST /admin/devices/{d}/owner; "" takes the owner
// away.
type OwnerChange struct {
	Owner string `json:"owner"`
}

func (s *Server) ownDevice(w http.ResponseWriter, r *http.Request, c caller) {
	var change OwnerChange
	s.edit(w, r, c, &change, func(g *access.Grants) error {
		if change.Owner != "" {
			if _, err := s.findUser(change.Owner); err != nil {
				return err
			}
		}
		g.Owner = change.Owner
		return nil
	})
}

// VisibilityChange is the body of POST /admin/devices/{d}/visibility. What is
// absent stays as it is.
type VisibilityChange struct {
	Visibility  string `json:"visibility,omitempty"` // public or private
	PublicWrite *bool  `json:"public_write,omitempty"`
}

func (s *Server) showDevice(w http.ResponseWriter, r *http.Request, c caller) {
	var change VisibilityChange
	s.edit(w, r, c, &change, func(g *access.Grants) error {
		switch change.Visibility {
		case "public":
			g.Public = true
		case "private":
			g.Public = false
		case "":
		default:
			return fmt.Errorf("%w: visibility: public or private", errBadQuery)
		}
		if change.PublicWrite != nil {
			g.PublicWrite = *change.PublicWrite
		}
		return nil
	})
}

func (s *Server) inspectLog(w http.ResponseWriter, r *http.Request, c caller) {
	v, err := s.cfg.Admin.Log().Inspect(r.Context())
	s.report(w, r, c, v, err)
}

func (s *Server) verifyLog(w http.ResponseWriter, r *http.Request, c caller) {
	s.patient(w, 0) // reading all of a large log takes its time
	v, err := s.cfg.Admin.Log().Verify(r.Context())
	s.patient(w, s.cfg.Limits.Write)
	s.report(w, r, c, v, err)
}

func (s *Server) report(w http.ResponseWriter, r *http.Request, c caller, v any, err error) {
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.sendJSON(w, r, v)
}

// exportLog streams records. Query: format (csv or jsonl), from, to, device,
// sensor.
func (s *Server) exportLog(w http.ResponseWriter, r *http.Request, c caller) {
	query := r.URL.Query()
	q := ExportQuery{Format: query.Get("format"), Device: query.Get("device"), Sensor: query.Get("sensor")}
	orElse(&q.Format, "csv")
	kind := map[string]string{"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}[q.Format]
	var err error
	if kind == "" {
		err = fmt.Errorf("%w: format: csv or jsonl", errBadQuery)
	} else {
		q.From, q.To, err = span(query)
	}
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="fieldgate.`+q.Format+`"`)
	st := s.stream(w)
	err = s.cfg.Admin.Log().Export(r.Context(), st, q)
	s.end(st, r, c, err)
}
