package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"fieldgate/gateway/access"
)

// The methods here are for administrators: they set whole entries and ask
// nobody for permission.

// PutUser makes or replaces an account.
func (r *Registry) PutUser(u access.User) error {
	if err := CheckID(u.Name); err != nil {
		return fmt.Errorf("gateway: registry: user name: %w", err)
	}
	return r.change("user/"+u.Name, r.tables.Users, u.Name, u, func(s *state) { s.users[u.Name] = u })
}

// DeleteUser removes an account and its keys, so that the next account of that
// name does not find them; its connections end with their next packet.
func (r *Registry) DeleteUser(name string) error {
	st := r.state.Load()
	if _, ok := st.users[name]; !ok {
		return fmt.Errorf("gateway: registry: %w: %q", ErrUnknownUser, name)
	}
	if !st.declared["user/"+name] {
		for _, k := range st.keys {
			if k.Owner != name || st.declared["key/"+k.ID] {
				continue
			}
			if err := r.DeleteKey(k.ID); err != nil && !errors.Is(err, ErrUnknownUser) {
				return err
			}
		}
	}
	return r.change("user/"+name, r.tables.Users, name, nil, func(s *state) { delete(s.users, name) })
}

// PutKey makes or replaces an API key. What replaces one of the configuration
// holds until the configuration says something else about it.
func (r *Registry) PutKey(k access.Key) error {
	if k.ID == "" || k.Hash == "" {
		return fmt.Errorf("gateway: registry: key without id or hash")
	}
	if !r.state.Load().owner(k.Owner) {
		return fmt.Errorf("gateway: registry: %w: %q, to own a key", ErrUnknownUser, k.Owner)
	}
	return r.changeKey(k.ID, storedKey{Key: k}, func(s *state) {
		s.keys = append(slices.DeleteFunc(s.keys, func(o access.Key) bool { return o.ID == k.ID }), k)
	})
}

// DeleteKey removes an API key. One of the configuration stays away until the
// configuration says something else about it.
func (r *Registry) DeleteKey(id string) error {
	if _, ok := r.state.Load().key(id); !ok {
		return fmt.Errorf("gateway: registry: %w: %q", ErrUnknownUser, id)
	}
	return r.changeKey(id, storedKey{Deleted: true}, func(s *state) {
		s.keys = slices.DeleteFunc(s.keys, func(o access.Key) bool { return o.ID == id })
	})
}

// storedKey is a key in its table: made at run time, or what became at run time
// of one that the configuration declares.
type storedKey struct {
	access.Key
	// Base is the fingerprint of the declared key when it was changed: the
	// change holds until the file says something new.
	Base    string `json:"base,omitempty"`
	Deleted bool   `json:"deleted,omitempty"` // with Base only
}

// fingerprint tells a declared key from what the file may say another time.
func fingerprint(k access.Key) string {
	raw, err := json.Marshal(k)
	if err != nil {
		return "" // texts, numbers and times always have a form
	}
	return access.HashKey(string(raw))[:16]
}

// changeKey stores sk under id, then edits the state.
func (r *Registry) changeKey(id string, sk storedKey, apply func(*state)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.declared.Keys, func(k access.Key) bool { return k.ID == id }); i >= 0 {
		sk.Base = fingerprint(r.declared.Keys[i])
	}
	var raw []byte
	if !sk.Deleted || sk.Base != "" {
		var err error
		if raw, err = json.Marshal(sk); err != nil {
			return fmt.Errorf("gateway: registry: key %s: %w", id, err)
		}
	}
	if err := r.tables.Keys.Write(map[string][]byte{id: raw}); err != nil {
		return fmt.Errorf("gateway: registry: key %s: %w", id, err)
	}
	s := r.state.Load().copy()
	apply(s)
	r.publish(s)
	return nil
}

// PutDevice makes or replaces a device, grants included.
func (r *Registry) PutDevice(d *Device) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.declaredDevice(d.ID) != nil {
		return fmt.Errorf("gateway: registry: device %q: %w", d.ID, ErrDeclared)
	}
	d = d.clone()
	if err := checkDevice(d); err != nil {
		return err
	}
	now := r.clock.Now().Wall.Truncate(time.Microsecond)
	st := r.state.Load()
	if old, ok := st.devices[d.ID]; ok {
		d.Created = old.Created
		if d.Feed == 0 {
			d.Feed = old.Feed
		}
	} else {
		d.Created = now
		if d.Feed == 0 || st.feeds[d.Feed] != nil {
			d.Feed = st.freeFeed(d.ID)
		}
	}
	d.Modified, d.Declared = now, false
	return r.putDevice(d)
}

// DeleteDevice removes a device; its records stay in the log.
func (r *Registry) DeleteDevice(id string) error {
	_, _, err := r.Apply(ChangeRequest{Op: Delete, Device: id}, "")
	return err
}

// change stores value under key (nil deletes), then edits the state. What names
// the entry as the configuration would.
func (r *Registry) change(what string, t Table, key string, value any, apply func(*state)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state.Load().copy()
	if s.declared[what] {
		return fmt.Errorf("gateway: registry: %s: %w", what, ErrDeclared)
	}
	var raw []byte
	if value != nil {
		var err error
		if raw, err = json.Marshal(value); err != nil {
			return fmt.Errorf("gateway: registry: %s: %w", what, err)
		}
	}
	if err := t.Write(map[string][]byte{key: raw}); err != nil {
		return fmt.Errorf("gateway: registry: %s: %w", what, err)
	}
	apply(s)
	r.publish(s)
	return nil
}
