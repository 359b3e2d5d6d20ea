package feeds

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// Hub takes readings and changes (gateway.Hub).
type Hub interface {
	Submit(b *gateway.Batch) error
	Change(b *gateway.Batch, req gateway.ChangeRequest) error
	Erase(b *gateway.Batch, device, sensor string, from, to time.Time) error
	Current(device, channel string, kind gateway.Kind) (gateway.Record, bool)
}

// Registry knows devices, accounts and keys (gateway.Registry).
type Registry interface {
	Device(id string) (*gateway.Device, bool)
	Feed(n uint64) (*gateway.Device, bool)
	Devices() []*gateway.Device
	Can(s access.Subject, right access.Right, device string) bool
	Admin(s access.Subject) bool
	Live(s access.Subject) bool
	// Authorize decides about one request, see gateway.Registry.
	Authorize(s access.Subject, a access.Ask) (access.Permission, error)
	// KeyLogin says whom a key stands for. The error is one of package access.
	KeyLogin(addr, key string) (access.Subject, error)
	Key(id string) (access.Key, bool)
	Keys() []access.Key
	PutKey(access.Key) error
	DeleteKey(id string) error
	Users() []access.User
	PutUser(access.User) error
	DeleteUser(name string) error
}

// History reads the log (store.Log).
type History interface {
	// History calls fn with each value that q asks for, in the order of time,
	// until fn returns an error, which it returns.
	History(ctx context.Context, q gateway.HistoryQuery, fn func(gateway.Record) error) error
}

// Tables keep what the registry does not know of.
type Tables struct {
	Feeds    gateway.Table // extremes and waypoints, by device id
	Triggers gateway.Table
	Profiles gateway.Table // of accounts, by login
	Products gateway.Table // products and their devices
}

// Config is what an API works with. Publish, Transport and Logger may be nil.
type Config struct {
	GatewayID string
	BaseURL   string // of documents: "http://gw-1:8080", without slash at the end
	Hub       Hub
	Registry  Registry
	History   History
	Tables    Tables
	Clock     gateway.Clock
	Publish   func(gateway.Message) // to the local broker, for the request log
	Transport http.RoundTripper     // for the notifications of triggers
	Logger    *slog.Logger
}
