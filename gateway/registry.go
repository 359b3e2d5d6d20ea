package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"fieldgate/gateway/access"
)

// Registry knows the devices, users and keys: those the configuration declares
// and those made at run time, which it keeps in tables. Readers see one
// consistent state without locks; a change replaces that state, so it holds
// for the very next message.
type Registry struct {
	tables Tables
	gate   Gate
	clock  Clock

	mu       sync.Mutex // one change at a time
	declared Declared
	state    atomic.Pointer[state]
	changed  atomic.Pointer[func()]
}

// Tables are where the registry keeps what was made at run time.
type Tables struct{ Devices, Users, Keys Table }

// Gate checks passwords, slowly for those who guess (access.Gate is one).
type Gate interface {
	// Check compares password with hash on behalf of name from addr. Known is
	// false if there is no such user; the check must take as long.
	Check(ctx context.Context, addr, name string, password []byte, hash string, known bool) error
	// Token counts an API key that came from addr: known or guessed.
	Token(addr, key string, known bool) error
}

// Declared is what the configuration says.
type Declared struct {
	Anonymous  bool // clients without a name may connect
	AutoCreate bool // an unknown device or sensor is created for a named user who publishes to it
	Users      []access.User
	Keys       []access.Key
	ACL        access.ACL
	Devices    []*Device
}

// state is what a decision is made from. It is never changed in place.
type state struct {
	anonymous  bool
	autoCreate bool
	acl        access.ACL
	users      map[string]access.User
	keys       []access.Key
	keyIDs     map[string]string // by Hash
	keyAt      map[string]int    // index in keys, by ID
	devices    map[string]*Device
	order      []*Device // by id
	feeds      map[uint64]*Device
	declared   map[string]bool // "user/NAME", "key/ID", "owner/NAME" of a declared key
}

// ErrDeclared is returned for those changes at run time to what the configuration
// file declares: the file would bring it back.
var ErrDeclared = errors.New("declared in the configuration file: change it there and reload")

// ErrUnknownUser is returned for changes to users and keys that do not exist.
var ErrUnknownUser = errors.New("no such user or key")

// NewRegistry loads the tables. Entries that cannot be read are skipped and
// named in the error, which is then only a warning: the registry is usable.
func NewRegistry(t Tables, gate Gate, clock Clock, d Declared) (*Registry, error) {
	r := &Registry{tables: t, gate: gate, clock: clock}
	return r, r.Declare(d)
}

// Declare replaces what the configuration says. See NewRegistry for the error.
func (r *Registry) Declare(d Declared) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.declared = d
	return r.rebuild()
}

// OnChange has fn called after each change, with the lock of changes held: it
// must neither block nor change anything.
func (r *Registry) OnChange(fn func()) { r.changed.Store(&fn) }

// rebuild makes the state from the tables and the configuration.
func (r *Registry) rebuild() error {
	d := r.declared
	s := &state{anonymous: d.Anonymous, autoCreate: d.AutoCreate, acl: d.ACL,
		users: map[string]access.User{}, devices: map[string]*Device{}, declared: map[string]bool{}}
	var bad []error
	stored, keys := map[string]*storedDevice{}, map[string]storedKey{}
	overKeys, overDevices := map[string][]byte{}, map[string][]byte{}
	bad = append(bad,
		loadTable(r.tables.Users, func(_ string, u access.User) { s.users[u.Name] = u }),
		loadTable(r.tables.Keys, func(id string, k storedKey) { keys[id] = k }),
		loadTable(r.tables.Devices, func(id string, d storedDevice) { stored[id] = &d }))
	for _, u := range d.Users {
		s.users[u.Name] = u
		s.declared["user/"+u.Name] = true
	}
	for _, k := range d.Keys {
		s.declared["key/"+k.ID], s.declared["owner/"+k.Owner] = true, true
		if sk, ok := keys[k.ID]; !ok || sk.Base != fingerprint(k) {
			s.keys = append(s.keys, k)
			if ok {
				overKeys[k.ID] = nil
			}
		} else if !sk.Deleted {
			s.keys = append(s.keys, sk.Key)
		}
	}
	for id, sk := range keys {
		switch {
		case s.declared["key/"+id]:
		case sk.Base == "":
			s.keys = append(s.keys, sk.Key)
		default:
			overKeys[id] = nil
		}
	}
	slices.SortFunc(s.keys, func(a, b access.Key) int { return strings.Compare(a.ID, b.ID) })
	for id, sd := range stored {
		if !sd.Overlay { // an overlay whose device left the file waits for its return
			s.devices[id] = &sd.Device
		}
	}
	for _, dev := range d.Devices {
		dev = dev.clone()
		dev.Declared = true
		if sd := stored[dev.ID]; sd != nil {
			if sd.outdated(dev) {
				if raw, err := json.Marshal(sd); err == nil {
					overDevices[dev.ID] = raw
				}
			}
			sd.applyTo(dev)
		}
		s.devices[dev.ID] = dev
	}
	// What the file has overruled must not come back when the file does.
	for _, over := range []struct {
		table Table
		pairs map[string][]byte
	}{{r.tables.Keys, overKeys}, {r.tables.Devices, overDevices}} {
		if len(over.pairs) > 0 {
			bad = append(bad, over.table.Write(over.pairs))
		}
	}
	r.publish(s)
	return errors.Join(bad...)
}

// publish puts s in force and numbers the feeds of devices without one.
func (r *Registry) publish(s *state) {
	s.order = slices.SortedFunc(maps.Values(s.devices), func(a, b *Device) int { return strings.Compare(a.ID, b.ID) })
	s.keyIDs, s.keyAt = make(map[string]string, len(s.keys)), make(map[string]int, len(s.keys))
	for i, k := range s.keys {
		s.keyIDs[k.Hash], s.keyAt[k.ID] = k.ID, i
	}
	s.feeds = make(map[uint64]*Device, len(s.order))
	for _, d := range s.order { // the file's numbers first
		if d.Feed != 0 && d.Declared {
			s.feeds[d.Feed] = d
		}
	}
	for _, d := range s.order {
		if d.Feed != 0 && s.feeds[d.Feed] == nil {
			s.feeds[d.Feed] = d
		}
	}
	for i, d := range s.order {
		if d.Feed == 0 || s.feeds[d.Feed] != d {
			d = d.clone()
			d.Feed = s.freeFeed(d.ID)
			s.order[i], s.devices[d.ID], s.feeds[d.Feed] = d, d, d
		}
	}
	r.state.Store(s)
	if fn := r.changed.Load(); fn != nil {
		(*fn)()
	}
}

// freeFeed is a number that no device has, the one of id if it is free.
func (st *state) freeFeed(id string) uint64 {
	n := feedNumber(id)
	for st.feeds[n] != nil {
		n++
	}
	return n
}

// feedNumber derives a feed number from a device id, the same each time and
// large enough to leave the small numbers to the configuration.
func feedNumber(id string) uint64 {
	h := uint64(14695981039346656037) // FNV-1a
	for i := 0; i < len(id); i++ {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return 1_000_000_000 + h%1_000_000_000
}

func loadTable[T any](t Table, fn func(key string, v T)) error {
	var bad []error
	err := t.Each(func(key string, raw []byte) error {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			bad = append(bad, fmt.Errorf("gateway: registry: entry %q skipped: %w", key, err))
			return nil
		}
		fn(key, v)
		return nil
	})
	return errors.Join(append(bad, err)...)
}

// Device finds a device by id. It must not be changed.
func (r *Registry) Device(id string) (*Device, bool) {
	d, ok := r.state.Load().devices[id]
	return d, ok
}

// Feed finds a device by its number as a Xively feed.
func (r *Registry) Feed(n uint64) (*Device, bool) {
	d, ok := r.state.Load().feeds[n]
	return d, ok
}

// Devices lists all devices by id. They must not be changed.
func (r *Registry) Devices() []*Device { return r.state.Load().order }

// Users lists the accounts by name, hashes included.
func (r *Registry) Users() []access.User {
	return slices.SortedFunc(maps.Values(r.state.Load().users), func(a, b access.User) int { return strings.Compare(a.Name, b.Name) })
}

// Keys lists the API keys.
func (r *Registry) Keys() []access.Key { return slices.Clone(r.state.Load().keys) }

// Login says who a client is that gives this name and password. Given tells an
// empty password from none. An API key stands for a name, whatever the password.
// The error is one of package access.
func (r *Registry) Login(ctx context.Context, addr, user string, password []byte, given bool) (access.Subject, error) {
	s := r.state.Load()
	if user == "" && !given {
		if s.anonymous {
			return access.Subject{}, nil
		}
		return access.Subject{}, access.ErrBadCredentials
	}
	if _, isUser := s.users[user]; user != "" && !isUser && (len(password) == 0 || s.hasKey(user)) {
		return r.KeyLogin(addr, user)
	}
	if user == "" || len(password) == 0 {
		return access.Subject{}, access.ErrBadCredentials
	}
	u, known := s.users[user]
	if err := r.gate.Check(ctx, addr, user, password, u.PasswordHash, known); err != nil {
		return access.Subject{}, err
	}
	return access.Subject{User: user}, nil
}

// Live reports whether the account or the key behind s still holds.
func (r *Registry) Live(s access.Subject) bool {
	st := r.state.Load()
	switch {
	case s.System:
		return true
	case s.Key != "":
		_, ok := r.liveKey(st, s.Key)
		return ok
	case s.User != "":
		_, ok := st.users[s.User]
		return ok
	}
	return st.anonymous
}

// Admin reports whether s may do everything.
func (r *Registry) Admin(s access.Subject) bool { return r.state.Load().admin(s) }

func (st *state) admin(s access.Subject) bool {
	return s.System || s.User != "" && s.Key == "" && st.users[s.User].Admin
}

// Can decides whether s may do right on a device. On a device that does not
// exist only an administrator may.
func (r *Registry) Can(s access.Subject, right access.Right, device string) bool {
	st := r.state.Load()
	if st.admin(s) {
		return true
	}
	if s.Key != "" {
		return r.keyCan(st, s, right, device)
	}
	if s.User != "" {
		if _, ok := st.users[s.User]; !ok {
			return false // the account is gone, its grants must not outlive it
		}
	}
	d, ok := st.devices[device]
	return ok && access.Can(s, false, right, d.Grants)
}

// TopicAllowed decides about a topic outside the dialects.
func (r *Registry) TopicAllowed(s access.Subject, clientID, topic string, write bool) bool {
	st := r.state.Load()
	return st.admin(s) || st.acl.Allows(s, clientID, topic, write)
}

// FilterAllowed decides whether any topic outside the dialects that matches
// filter could be read by s.
func (r *Registry) FilterAllowed(s access.Subject, clientID, filter string) bool {
	st := r.state.Load()
	return st.admin(s) || st.acl.Overlaps(s, clientID, filter)
}

// newID makes an id for what was created without one.
func newID() string { return strings.ToLower(rand.Text()[:12]) }
