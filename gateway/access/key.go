package access

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Key is an API key of the Xively dialect (spec: Xively API, "keys").
type Key struct {
	ID            string       `json:"id"` // stable, safe to show
	Label         string       `json:"label,omitempty"`
	Hash          string       `json:"hash"` // hex SHA-256 of the key; the key itself is never stored
	Owner         string       `json:"owner,omitempty"`
	PrivateAccess bool         `json:"private_access,omitempty"`
	ExpiresAt     time.Time    `json:"expires_at,omitzero"` // zero: never
	Permissions   []Permission `json:"permissions,omitempty"`
}

// Permission allows what fits all that it says.
type Permission struct {
	Label           string     `json:"label,omitempty"`
	Methods         []string   `json:"methods"`                    // get, put, post, delete
	SourceIP        string     `json:"source_ip,omitempty"`        // address, or network as 192.0.2.0/24; "": any
	Referer         string     `json:"referer,omitempty"`          // domain of the page that asks; "": any
	MinimumInterval int        `json:"minimum_interval,omitempty"` // seconds between the values of a history that it shows
	Resources       []Resource `json:"resources,omitempty"`        // none: all
}

// Resource names a feed, one datastream of it, or a trigger.
type Resource struct {
	Feed       uint64 `json:"feed,omitempty"`
	Datastream string `json:"datastream,omitempty"`
	Trigger    uint64 `json:"trigger,omitempty"`
}

// Ask is one request to the API.
type Ask struct {
	Method     string // get, put, post or delete
	Right      Right  // on the feed's device that it takes; 0: none, as for a collection
	Feed       uint64 // 0: it is not about a feed
	Datastream string // "": the feed itself
	Trigger    uint64 // 0: it is not about a trigger
	Addr       string // whom it comes from, with or without a port; "": unknown
	Referer    string // URL of the page that asks; "" without
}

// Allows reports whether one permission of k, taken alone, fits all of a, and
// the finest one of those that do: the one with the least MinimumInterval. It
// knows nothing of who owns what, nor of time.
func (k Key) Allows(a Ask) (best Permission, ok bool) {
	for _, p := range k.Permissions {
		if p.allows(a) && (!ok || p.MinimumInterval < best.MinimumInterval) {
			best, ok = p, true
		}
	}
	return best, ok
}

func (p Permission) allows(a Ask) bool {
	switch {
	case !slices.ContainsFunc(p.Methods, func(m string) bool { return strings.EqualFold(m, a.Method) }):
		return false
	case p.SourceIP != "" && !within(p.SourceIP, a.Addr):
		return false
	case p.Referer != "" && !strings.EqualFold(p.Referer, domain(a.Referer)):
		return false
	}
	return len(p.Resources) == 0 || slices.ContainsFunc(p.Resources, func(r Resource) bool { return r.covers(a) })
}

// covers: a feed covers all of its datastreams.
func (r Resource) covers(a Ask) bool {
	if r.Trigger != 0 {
		return r.Trigger == a.Trigger
	}
	return r.Feed != 0 && r.Feed == a.Feed && (r.Datastream == "" || r.Datastream == a.Datastream)
}

// Master reports whether k has a permission for all methods on everything, and
// may see what is private.
func (k Key) Master() bool {
	return k.PrivateAccess && slices.ContainsFunc(k.Permissions, func(p Permission) bool {
		for _, m := range Methods {
			if !slices.Contains(p.Methods, m) {
				return false
			}
		}
		return len(p.Resources) == 0
	})
}

// Methods are those that a Permission can have.
var Methods = []string{"get", "put", "post", "delete"}

// within reports whether addr is the address, or in the network, that allowed
// names.
func within(allowed, addr string) bool {
	host := addr
	if h, _, err := net.SplitHostPort(addr); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap().WithZone("")
	if want, err := netip.ParseAddr(allowed); err == nil {
		return want.Unmap() == ip
	}
	net, err := netip.ParsePrefix(allowed)
	return err == nil && net.Contains(ip)
}

// CheckSourceIP says why s cannot be a Permission's SourceIP.
func CheckSourceIP(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := netip.ParsePrefix(s); err != nil {
		return fmt.Errorf("access: %.40q is no address or network", s)
	}
	return nil
}

// domain is the host of a page's URL, or of a bare domain.
func domain(referer string) string {
	if u, err := url.Parse(referer); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return referer
}

// HashKey gives the Hash of an API key: the SHA-256 of its text, in hex. A key
// is random and long, so that a fast hash is enough.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Expired reports whether the key has come to its end at now.
func (k Key) Expired(now time.Time) bool {
	return !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt)
}

// KeyID derives the id of a key from its hash: 12 hexadecimal digits, safe to
// show, of which nothing of the hash can be told.
func KeyID(hash string) string { return HashKey(hash)[:12] }
