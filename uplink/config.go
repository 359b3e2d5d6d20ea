package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// Log is the durable log as an uplink reads it (gateway/store has it).
type Log interface {
	// Read gives records with Seq >= from, ascending, with At and Clock filled
	// in: at most maxRecords of them and about maxBytes, but at least one if
	// there is one.
	Read(from uint64, maxRecords, maxBytes int) ([]gateway.Record, error)
	// Wait blocks until Head() > after or ctx ends.
	Wait(ctx context.Context, after uint64) error
	// Head is the sequence of the newest record that is on disk; 0 without any.
	Head() uint64
	// Cursor is what SetCursor was last called with for that uplink.
	Cursor(uplink string) gateway.Cursor
	// SetCursor remembers how far an uplink is. It is cheap and need not be
	// durable at once: a cursor that falls back makes duplicates, not losses.
	SetCursor(uplink string, c gateway.Cursor)
}

// Hub is where commands and messages that come down go (gateway.Hub).
type Hub interface {
	Submit(*gateway.Batch) error
	Change(*gateway.Batch, gateway.ChangeRequest) error
}

// Sessions numbers the connections.
type Sessions interface {
	// NextSession gives a number larger than all before, also over restarts.
	NextSession() (uint64, error)
}

// Dialect is the form in which readings go up.
type Dialect string

// The dialects.
const (
	Waziup Dialect = "waziup" // devices/D/sensors/S/value with value, timestamp and id
	Xively Dialect = "xively" // /v2/feeds/N.csv with the rows of a feed; sensors only
	None   Dialect = "none"   // only what Forward says, the status and gaps
)

// CatchUp says how a backlog goes up; see the package's documentation.
type CatchUp string

// The ways to catch up.
const (
	Ordered    CatchUp = "ordered"
	FreshFirst CatchUp = "fresh_first"
	Batches    CatchUp = "batches"
)

// Direction says which way a Forward rule works, seen from the gateway.
type Direction string

// The directions.
const (
	In   Direction = "in"
	Out  Direction = "out"
	Both Direction = "both"
)

// Forward maps topics between the local broker and the cloud, as a "topic"
// line of a Mosquitto bridge does (mosquitto.conf(5)): Topic is a filter
// relative to both prefixes. With an empty Topic the two prefixes are whole
// topics. QoS is the highest that is used.
type Forward struct {
	Topic        string
	Direction    Direction
	QoS          byte
	LocalPrefix  string
	RemotePrefix string
}

// Limits and defaults of a Config.
const (
	DefaultWindow      = 100
	MaxWindow          = 10000
	DefaultAckTimeout  = 20 * time.Second
	DefaultKeepAlive   = 30 * time.Second
	DefaultCatchUpRate = 100
	DefaultClockWait   = 30 * time.Second
	DefaultConnectWait = 20 * time.Second
)

// Config is what an Uplink works with. Name, GatewayID, URL, Log, Hub, Sessions
// and Clock are required; the zero value of the rest means its default.
type Config struct {
	Name      string // of this uplink: cursors, origins and logs know it by it
	GatewayID string

	URL      string // mqtt, mqtts, ws or wss (tcp and ssl are taken too); without user and password
	ClientID string // default GatewayID; the down connection appends "-down"
	Username string
	// Password is asked at each connection, so that a changed file counts.
	Password func() (string, error)
	// TLS is asked at each connection; nil means the system's authorities.
	// TLSFiles.Config fits.
	TLS func() (*tls.Config, error)

	KeepAlive   time.Duration // whole seconds, 1 s to 18 h; default 30 s
	ConnectWait time.Duration // longest time to establish a connection; default 20 s
	Window      int           // publishes in flight, 1 to 10000; default 100
	AckTimeout  time.Duration // longest wait without an acknowledgement; default 20 s
	CatchUp     CatchUp       // default Ordered
	CatchUpRate int           // records of the backlog a second, FreshFirst only; default 100
	IDs         bool          // record ids in the payloads; Xively has no place for them
	Dialect     Dialect       // default Waziup
	Forward     []Forward
	// Filter are topic filters of which readings and changes go up, in the form
	// of Waziup whatever the dialect; empty means all. Status, gaps and forwarded
	// messages do not ask it.
	Filter []string
	// Xively are the settings of that dialect, which needs Feed too: the number
	// of the feed that a device is at the cloud; ok is false if it is none there,
	// and then its readings do not go up. It may be called from any goroutine and
	// must give the same number while readings of the device wait.
	Xively XivelyOptions
	Feed   func(device string) (feed uint64, ok bool)

	// Devices gives the ids of the devices whose commands are subscribed to.
	// Call Uplink.DevicesChanged when they change. Nil means none.
	Devices func() []string
	// Status gives further fields of the status, such as version or store. It
	// is asked every few seconds, and each change of what it gives is news: it
	// must not contain what changes all the time. May be nil.
	Status func() map[string]any
	// Backlog gives how many records this uplink has still to send, and the
	// time of the oldest, for the status. Nil: worked out from the cursor, which
	// counts records that are not for this uplink too.
	Backlog func() (records uint64, oldest time.Time)
	// Table remembers over a restart which subscriptions the cloud's session has,
	// so that a retained command that is older than the last one is known as
	// such. Its keys begin with "down/" and Name. Nil: that memory ends with Run.
	Table gateway.Table
	// ClockWait is how long data is held back after the first connection while
	// the clock is unset, because a time source usually follows the network.
	// Default 30 s; negative: not at all.
	ClockWait time.Duration
	// DeadLetter gets each record that the cloud refuses for ever (or that can
	// never be sent), and why. It must not block. Nil: they are logged.
	DeadLetter func(gateway.Record, error)
	// OnState is called with each change of Connected, DownConnected or
	// LastError, one call at a time. It must not block. May be nil.
	OnState func(State)

	Backoff  Backoff
	Log      Log
	Hub      Hub
	Sessions Sessions
	Clock    gateway.Clock
	Logger   *slog.Logger   // default: discards
	Rand     func() float64 // 0 <= x < 1, for jitter; from any goroutine; default math/rand/v2
}

// check fills in defaults and reports all mistakes at once.
func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		bad("no name")
	}
	if err := gateway.CheckID(c.GatewayID); err != nil {
		bad("gateway id: %w", err)
	}
	if _, err := parseURL(c.URL); err != nil {
		bad("url: %w", err)
	}
	setDefault(&c.ClientID, c.GatewayID)
	if c.Username == "" && c.Password != nil {
		bad("a password without a user name: MQTT 3.1.1 does not allow it")
	}
	setDefault(&c.KeepAlive, DefaultKeepAlive)
	if c.KeepAlive < time.Second || c.KeepAlive > 18*time.Hour || c.KeepAlive%time.Second != 0 {
		bad("keep alive of %s: whole seconds, 1s to 18h", c.KeepAlive)
	}
	setDefault(&c.ConnectWait, DefaultConnectWait)
	setDefault(&c.Window, DefaultWindow)
	if c.Window < 1 || c.Window > MaxWindow {
		bad("window of %d: 1 to %d", c.Window, MaxWindow)
	}
	setDefault(&c.AckTimeout, DefaultAckTimeout)
	setDefault(&c.CatchUpRate, DefaultCatchUpRate)
	if c.ConnectWait < 0 || c.AckTimeout < 0 || c.CatchUpRate < 0 {
		bad("connect wait, ack timeout and catch-up rate must be positive")
	}
	setDefault(&c.CatchUp, Ordered)
	if c.CatchUp != Ordered && c.CatchUp != FreshFirst && c.CatchUp != Batches {
		bad("catch_up %q: ordered, fresh_first or batches", c.CatchUp)
	}
	setDefault(&c.Dialect, Waziup)
	switch c.Dialect {
	case Waziup, None:
		if c.Xively != (XivelyOptions{}) {
			bad("xively: has no use with dialect %s", c.Dialect)
		}
	case Xively:
		if c.Feed == nil {
			bad("dialect xively needs the numbers of the feeds")
		}
		if err := c.Xively.check(); err != nil {
			bad("xively: %w", err)
		}
	default:
		bad("dialect %q: waziup, xively or none", c.Dialect)
	}
	for i := range c.Forward {
		if err := c.Forward[i].check(); err != nil {
			bad("forward[%d]: %w", i, err)
		}
	}
	for i, f := range c.Filter {
		if !access.ValidFilter(f) {
			bad("filter[%d]: %q is not a topic filter", i, f)
		}
	}
	if c.ClockWait == 0 {
		c.ClockWait = DefaultClockWait
	}
	if c.Log == nil || c.Hub == nil || c.Sessions == nil || c.Clock == nil {
		bad("log, hub, sessions and clock are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	c.Backoff.fill()
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("uplink %q: %w", c.Name, errors.Join(errs...))
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// check says what is wrong with a rule.
func (f *Forward) check() error {
	setDefault(&f.Direction, Both)
	switch {
	case f.Direction != In && f.Direction != Out && f.Direction != Both:
		return fmt.Errorf("direction %q: in, out or both", f.Direction)
	case f.QoS > 2:
		return fmt.Errorf("qos %d: 0, 1 or 2", f.QoS)
	case strings.ContainsAny(f.LocalPrefix+f.RemotePrefix, "+#"):
		return errors.New("a prefix cannot contain wildcards")
	case f.Topic == "" && (f.LocalPrefix == "" || f.RemotePrefix == ""):
		return errors.New("no topic: then both prefixes must be whole topics")
	case !access.ValidFilter(f.LocalPrefix + f.Topic):
		return fmt.Errorf("%q is not a topic filter", f.LocalPrefix+f.Topic)
	case !access.ValidFilter(f.RemotePrefix + f.Topic):
		return fmt.Errorf("%q is not a topic filter", f.RemotePrefix+f.Topic)
	}
	return nil
}
