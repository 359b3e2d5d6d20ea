package feeds

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// Bounds of products, over all accounts.
const (
	maxProducts       = 1000
	maxProductDevices = 10_000
)

// Rows of the table of products.
const (
	productRow = "product/" // and the product's id
	deviceRow  = "device/"  // and the product's id, '/', the serial
)

// products are kinds of devices that are made in numbers, and those devices.
type products struct {
	table gateway.Table

	editing sync.Mutex // one change at a time; taken before mu
	mu      sync.RWMutex
	byID    map[string]*product
	codes   map[string]*made // by activation code
}

// product is one kind of devices.
type product struct {
	ID          string              `json:"id"`
	User        string              `json:"user"`
	Name        string              `json:"name"`
	Description string              `json:"description,omitempty"`
	State       string              `json:"state"`
	Secret      string              `json:"secret"` // 40 hexadecimal digits
	Created     time.Time           `json:"created"`
	Defaults    xively.FeedDefaults `json:"feed_defaults"`

	devices map[string]*made // by serial; shared by all versions of the product, guarded by products.mu
}

// made is one device of a product. It is never changed in place.
type made struct {
	Product   string    `json:"product"`
	Serial    string    `json:"serial"`
	Created   time.Time `json:"created"`
	Activated time.Time `json:"activated,omitzero"`
	Feed      uint64    `json:"feed,omitempty"`
	Born      time.Time `json:"born,omitzero"` // when the feed's device was made: another one may get its number
	Key       string    `json:"key,omitempty"` // id of the key that was issued

	code string
}

// load reads the table. What cannot be read is skipped.
func (s *products) load(table gateway.Table, log *slog.Logger) error {
	s.table, s.byID, s.codes = table, map[string]*product{}, map[string]*made{}
	var devices []*made
	err := table.Each(func(key string, raw []byte) error {
		var err error
		switch {
		case strings.HasPrefix(key, productRow):
			p := &product{devices: map[string]*made{}}
			if err = json.Unmarshal(raw, p); err == nil {
				s.byID[p.ID] = p
			}
		case strings.HasPrefix(key, deviceRow):
			d := &made{}
			if err = json.Unmarshal(raw, d); err == nil {
				devices = append(devices, d)
			}
		}
		if err != nil {
			log.Warn("product or device of one cannot be read and is skipped", "key", key, "error", err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("feeds: products: %w", err)
	}
	for _, d := range devices {
		p := s.byID[d.Product]
		if p == nil {
			log.Warn("device of an unknown product is skipped", "product", d.Product, "serial", d.Serial)
			continue
		}
		d.code = p.code(d.Serial)
		p.devices[d.Serial], s.codes[d.code] = d, d
	}
	return nil
}

// code is the activation code of a serial.
func (p *product) code(serial string) string {
	secret, err := hex.DecodeString(p.Secret)
	if err != nil {
		secret = []byte(p.Secret) // not one that was made here
	}
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(serial))
	return hex.EncodeToString(mac.Sum(nil))
}

func newProduct(owner string, now time.Time) *product {
	var id [15]byte
	var secret [20]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	_, _ = rand.Read(secret[:])
	return &product{ID: base64.RawURLEncoding.EncodeToString(id[:]), Secret: hex.EncodeToString(secret[:]),
		User: owner, State: "develop", Created: now.Truncate(time.Microsecond), devices: map[string]*made{}}
}

// shown is p as documents show it. s.mu is held.
func (p *product) shown() xively.Product {
	out := xively.Product{ID: p.ID, Name: p.Name, Description: p.Description, Secret: p.Secret, State: p.State,
		Devices: len(p.devices), Defaults: p.Defaults, User: p.User}
	for _, d := range p.devices {
		if !d.Activated.IsZero() {
			out.Activated++
		}
	}
	return out
}

func (d *made) shown() xively.ProductDevice {
	return xively.ProductDevice{Serial: d.Serial, ActivationCode: d.code, Feed: d.Feed, Created: d.Created, Activated: d.Activated}
}

func (s *products) get(id string) (*product, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, ok := s.byID[id]
	return p, ok
}

// device finds a device of p.
func (s *products) device(p *product, serial string) (*made, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, ok := p.devices[serial]
	return d, ok
}

// coded finds a device by its activation code.
func (s *products) coded(code string) (*product, *made, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d, ok := s.codes[strings.ToLower(code)]
	if !ok {
		return nil, nil, false
	}
	return s.byID[d.Product], d, true
}

// of lists the products of owner, or all, in the order they were made in.
func (s *products) of(owner string, all bool) []xively.Product {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var chosen []*product
	for _, p := range s.byID {
		if all || p.User == owner {
			chosen = append(chosen, p)
		}
	}
	slices.SortFunc(chosen, func(a, b *product) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	out := make([]xively.Product, len(chosen))
	for i, p := range chosen {
		out[i] = p.shown()
	}
	return out
}

// devicesOf lists the devices of p that keep returns true for, in the order
// they were made in.
func (s *products) devicesOf(p *product, keep func(*made) bool) []*made {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*made
	for _, d := range p.devices {
		if keep(d) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *made) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Serial, b.Serial)) })
	return out
}

// write stores rows, then has apply put them in force. s.editing is held.
func (s *products) write(rows map[string]any, apply func()) error {
	pairs := make(map[string][]byte, len(rows))
	for key, v := range rows {
		pairs[key] = nil
		if v != nil {
			raw, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("feeds: products: %w", err)
			}
			pairs[key] = raw
		}
	}
	if err := s.table.Write(pairs); err != nil {
		return fmt.Errorf("feeds: products: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	apply()
	return nil
}

// put stores p, new or instead of that with its id. s.editing is held.
func (s *products) put(p *product) error {
	return s.write(map[string]any{productRow + p.ID: p}, func() { s.byID[p.ID] = p })
}

// drop deletes products with their devices. s.editing is held.
func (s *products) drop(gone ...*product) error {
	rows := map[string]any{}
	for _, p := range gone {
		rows[productRow+p.ID] = nil
		for serial := range p.devices { // nobody else changes it now
			rows[p.row(serial)] = nil
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return s.write(rows, func() {
		for _, p := range gone {
			delete(s.byID, p.ID)
			for _, d := range p.devices {
				delete(s.codes, d.code)
			}
		}
	})
}

// dropOf deletes all products of an account.
func (s *products) dropOf(owner string) error {
	s.editing.Lock()
	defer s.editing.Unlock()
	return s.drop(slices.DeleteFunc(slices.Collect(maps.Values(s.byID)), func(p *product) bool { return p.User != owner })...)
}

func (p *product) row(serial string) string { return deviceRow + p.ID + "/" + serial }

// putDevices stores devices of p: new ones, and former ones that are gone or
// replaced. s.editing is held.
func (s *products) putDevices(p *product, gone []*made, now ...*made) error {
	rows := map[string]any{}
	for _, d := range gone {
		rows[p.row(d.Serial)] = nil
	}
	for _, d := range now {
		d.code = p.code(d.Serial)
		rows[p.row(d.Serial)] = d
	}
	return s.write(rows, func() {
		for _, d := range gone {
			delete(p.devices, d.Serial)
			delete(s.codes, d.code)
		}
		for _, d := range now {
			p.devices[d.Serial], s.codes[d.code] = d, d
		}
	})
}
