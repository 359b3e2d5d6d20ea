package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// Hub takes readings and changes (gateway.Hub is one).
type Hub interface {
	// Accept returns when b is on disk and handed on, or with the reason why not.
	Accept(ctx context.Context, b *gateway.Batch) error
	// Change makes one registry change; b.Done is called if it returns nil.
	Change(b *gateway.Batch, req gateway.ChangeRequest) error
	Current(device, channel string, kind gateway.Kind) (gateway.Record, bool)
	// Refused counts and logs what was refused before it reached the Hub, too.
	Refused(source, topic string, err error)
}

// Registry knows the devices and who may do what (gateway.Registry is one).
type Registry interface {
	Device(id string) (*gateway.Device, bool)
	Devices() []*gateway.Device
	Can(s access.Subject, right access.Right, device string) bool
	Admin(s access.Subject) bool
	// Login says who sends this name and password. Given tells an empty
	// password from none. The error is one of package access.
	Login(ctx context.Context, addr, user string, password []byte, given bool) (access.Subject, error)
}

// HistoryQuery asks for the values of one sensor or actuator. A Server leaves
// Born to the History, which knows whose they are.
type HistoryQuery = gateway.HistoryQuery

// History reads the log.
type History interface {
	// Values calls fn for each record that q asks for in the order of time, the
	// oldest first unless q.Backward is set, until fn returns an error, which it
	// returns.
	Values(ctx context.Context, q HistoryQuery, fn func(gateway.Record) error) error
}

// ExportQuery says what of the log to export.
type ExportQuery struct {
	Format         string    // "csv" or "jsonl"
	From, To       time.Time // both included; zero: no limit
	Device, Sensor string    // "": all
}

// LogAdmin looks into the log. What Inspect and Verify give is answered as JSON.
type LogAdmin interface {
	Inspect(ctx context.Context) (any, error)
	Verify(ctx context.Context) (any, error)
	// Export writes the records of q to w.
	Export(ctx context.Context, w io.Writer, q ExportQuery) error
}

// Admin is what administrators may do. gateway.Registry has all but Log.
type Admin interface {
	Log() LogAdmin
	Users() []access.User
	PutUser(access.User) error
	DeleteUser(name string) error
	Keys() []access.Key
	PutKey(access.Key) error
	DeleteKey(id string) error
	PutDevice(*gateway.Device) error
}

// Limits of the server. Zero values stand for the defaults.
type Limits struct {
	Header      time.Duration // from the connection, or the end of the last request, to the end of a header: 10 s
	Body        time.Duration // from there to the end of the body: 30 s
	Write       time.Duration // longest time without progress in an answer: 30 s
	Idle        time.Duration // of a connection between requests: 60 s
	Disk        time.Duration // longest wait for the disk to take something: 20 s
	BodyBytes   int64         // 1 MiB; the API at /v1 and /v2 has xively.MaxBody
	HeaderBytes int           // 16 KiB
	Conns       int           // connections in total, without MQTT over WebSocket: 512
	// ConnsPerAddress is the number of connections from one address: 64. Beyond
	// it the one that has been waiting longest for its next request is closed.
	ConnsPerAddress int
}

func orElse[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (l *Limits) defaults() {
	orElse(&l.Header, 10*time.Second)
	orElse(&l.Body, 30*time.Second)
	orElse(&l.Write, 30*time.Second)
	orElse(&l.Idle, time.Minute)
	orElse(&l.Disk, 20*time.Second)
	orElse(&l.BodyBytes, 1<<20)
	orElse(&l.HeaderBytes, 16<<10)
	orElse(&l.Conns, 512)
	orElse(&l.ConnsPerAddress, 64)
}

// Config is what a Server works with.
type Config struct {
	GatewayID string
	Hub       Hub
	Registry  Registry
	History   History           // nil: .../values cannot be read
	Admin     Admin             // nil: no /admin
	Radio     Radio             // nil: no /admin/radios
	MQTT      http.Handler      // at /mqtt; nil: none
	API       API               // at /v1 and /v2; nil: none
	Requests  func() any        // the API's last requests, an array as JSON, at /requests; nil: none
	Health    func() []string   // what is wrong now, a line each; empty: all is well
	Status    func() any        // what GET /status answers, as JSON
	Metrics   func(*Exposition) // adds samples to those of the process; nil: no /metrics
	// Trouble says why sensors and actuators that are attached to the board fail, by
	// "device/sensors/id" and "device/actuators/id". Only who may view the device is
	// told. May be nil.
	Trouble func() map[string]string
	// OpenMetrics lets everybody read /metrics. Otherwise administrators may,
	// and programs on this machine.
	OpenMetrics bool
	Logger      *slog.Logger
	Limits      Limits
}
