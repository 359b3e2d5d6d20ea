package gateway

import (
	"fmt"

	"fieldgate/gateway/access"
)

// Key finds an API key by its id.
func (r *Registry) Key(id string) (access.Key, bool) { return r.state.Load().key(id) }

func (st *state) key(id string) (access.Key, bool) {
	i, ok := st.keyAt[id]
	if !ok {
		return access.Key{}, false
	}
	return st.keys[i], true
}

func (st *state) hasKey(key string) bool {
	_, ok := st.keyIDs[access.HashKey(key)]
	return ok
}

// KeyLogin says whom an API key that came from addr stands for. The error is
// one of package access; an expired key is a wrong one.
func (r *Registry) KeyLogin(addr, key string) (access.Subject, error) {
	st := r.state.Load()
	id, ok := st.keyIDs[access.HashKey(key)]
	if !ok {
		return access.Subject{}, r.gate.Token(addr, key, false)
	}
	k, ok := r.liveKey(st, id)
	if !ok {
		return access.Subject{}, access.ErrBadCredentials
	}
	if err := r.gate.Token(addr, key, true); err != nil {
		return access.Subject{}, err
	}
	return access.Subject{User: k.Owner, Key: k.ID}, nil
}

// liveKey finds a key that has not expired and whose owner is known.
func (r *Registry) liveKey(st *state, id string) (access.Key, bool) {
	k, ok := st.key(id)
	return k, ok && !k.Expired(r.clock.Now().Wall) && st.owner(k.Owner)
}

// owner reports whether name can own keys: it is that of an account, or the
// configuration has a key of its.
func (st *state) owner(name string) bool {
	_, ok := st.users[name]
	return ok || st.declared["owner/"+name]
}

// keyCan decides what the holder of a key may do on a device by its id, which
// is what topics beside the API's ask: view takes get; publish, put; manage, a
// master key. Of a permission that asks for an address or a page, or that is
// for some datastreams only, nobody here can tell whether it fits.
func (r *Registry) keyCan(st *state, s access.Subject, right access.Right, device string) bool {
	d, ok := st.devices[device]
	k, live := r.liveKey(st, s.Key)
	if !ok || !live {
		return false
	}
	method := "get"
	switch right {
	case access.Publish:
		method = "put"
	case access.Manage:
		if !k.Master() {
			return false
		}
		method = "delete"
	}
	_, ok = k.Allows(access.Ask{Method: method, Feed: d.Feed})
	return ok && st.reach(k, right, d)
}

// reach decides whether the owner of k lets it do right on d at all.
func (st *state) reach(k access.Key, right access.Right, d *Device) bool {
	if !d.Grants.Public && !k.PrivateAccess {
		return false
	}
	owner := access.Subject{User: k.Owner}
	return access.Can(owner, st.admin(owner), right, d.Grants)
}

// Authorize decides about a request to the API that s makes, by its key's
// permissions or its account's rights. The permission tells how fine a history
// may be. Errors: access.ErrBadCredentials if nobody asks or the key or account
// does not hold any more; ErrUnknownDevice if the feed does not exist;
// ErrDenied.
func (r *Registry) Authorize(s access.Subject, a access.Ask) (access.Permission, error) {
	st := r.state.Load()
	whole := access.Permission{Methods: access.Methods}
	if s.System {
		return whole, nil
	}
	if s.Anonymous() || !r.Live(s) {
		return access.Permission{}, fmt.Errorf("%w: a good API key is needed", access.ErrBadCredentials)
	}
	var d *Device
	if a.Feed != 0 {
		var ok bool
		if d, ok = st.feeds[a.Feed]; !ok {
			return access.Permission{}, fmt.Errorf("%w: feed %d", ErrUnknownDevice, a.Feed)
		}
	}
	if s.Key == "" {
		if d != nil && a.Right != 0 && !r.Can(s, a.Right, d.ID) {
			return access.Permission{}, fmt.Errorf("%w: %s may not %s feed %d", ErrDenied, s, a.Right, a.Feed)
		}
		return whole, nil
	}
	k, _ := st.key(s.Key)
	p, ok := k.Allows(a)
	if !ok || d != nil && a.Right != 0 && !st.reach(k, a.Right, d) {
		return access.Permission{}, fmt.Errorf("%w: %s may not %s this", ErrDenied, s, a.Method)
	}
	return p, nil
}
