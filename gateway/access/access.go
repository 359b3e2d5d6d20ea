// Package access decides who may do what. It holds decisions over plain
// values and knows no other package of fieldgate: the caller looks up the user
// and the device and asks.
package access

import (
	"fmt"
	"slices"
)

// Subject is who asks: the holder of a user name or of an API key, an
// anonymous client, or the gateway itself. It is an identity, not a set of
// rights: rights are looked up again for each decision, so that taking one away
// holds from the next message on.
type Subject struct {
	User   string // login name; "" is anonymous
	Key    string // id of the API key it came with; "" without one
	System bool   // the gateway itself (attached sensors, uplinks): may do everything
}

// System is the gateway itself.
var System = Subject{System: true}

// Anonymous reports whether nobody vouched for this subject.
func (s Subject) Anonymous() bool { return !s.System && s.User == "" && s.Key == "" }

// String names the subject for logs and for keys of sessions. Different
// subjects have different strings.
func (s Subject) String() string {
	switch {
	case s.System:
		return "system"
	case s.Key != "":
		return "key:" + s.Key
	case s.User != "":
		return "user:" + s.User
	}
	return "anonymous"
}

// Right is something that can be allowed on a device.
type Right uint8

// The rights on a device. Manage includes the other two.
const (
	View    Right = 1 + iota // read values, names and meta
	Publish                  // publish readings and actuator values
	Manage                   // change name and meta, add sensors, delete
)

// String gives the name used in configurations: view, publish or manage.
func (r Right) String() string {
	switch r {
	case View:
		return "view"
	case Publish:
		return "publish"
	case Manage:
		return "manage"
	}
	return fmt.Sprintf("right(%d)", uint8(r))
}

// ParseRight reads view, publish or manage.
func ParseRight(s string) (Right, error) {
	for _, r := range []Right{View, Publish, Manage} {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("access: unknown right %q: view, publish or manage", s)
}

// MarshalText gives the name used in configurations.
func (r Right) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads view, publish or manage.
func (r *Right) UnmarshalText(b []byte) (err error) { *r, err = ParseRight(string(b)); return err }

// User is an account.
type User struct {
	Name         string `json:"name"`
	PasswordHash string `json:"password_hash,omitempty"` // argon2id in PHC form; "" lets nobody in
	Admin        bool   `json:"admin,omitempty"`         // may do everything
}

// Share gives one user rights on one device.
type Share struct {
	User string  `json:"user"`
	Can  []Right `json:"can"`
}

// Grants is what a device says about who may do what with it.
type Grants struct {
	Owner       string  `json:"owner,omitempty"` // "" is owned by nobody, not by anonymous
	Public      bool    `json:"public,omitempty"`
	PublicWrite bool    `json:"public_write,omitempty"` // anybody may publish readings
	Share       []Share `json:"share,omitempty"`
}

// Can decides whether s may do r on a device with grants g. Admin says whether
// the account behind s is an administrator's now.
func Can(s Subject, admin bool, r Right, g Grants) bool {
	if s.System || admin {
		return true
	}
	switch {
	case r == View && g.Public, r == Publish && g.PublicWrite:
		return true
	case s.User == "":
		return false
	case g.Owner == s.User:
		return true
	}
	for _, sh := range g.Share {
		if sh.User == s.User && (slices.Contains(sh.Can, r) || slices.Contains(sh.Can, Manage)) {
			return true
		}
	}
	return false
}
