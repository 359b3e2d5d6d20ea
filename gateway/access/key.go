package access

import (
	"crypto/sha256"
	"encoding/hex"
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

// Permission allows methods (get, put, post, delete) on resources; no
// resources means all.
type Permission struct {
	Methods   []string   `json:"methods"`
	Resources []Resource `json:"resources,omitempty"`
}

// Resource names a feed, or one datastream of it.
type Resource struct {
	Feed       uint64 `json:"feed,omitempty"`
	Datastream string `json:"datastream,omitempty"`
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
