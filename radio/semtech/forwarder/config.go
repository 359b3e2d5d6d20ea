package forwarder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// Late says what becomes of frames that are sent too late to be answered.
type Late uint8

// What becomes of late frames, see the package's documentation.
const (
	Send Late = iota
	Drop
	Mark
)

// ParseLate reads "send", "drop" or "mark".
func ParseLate(s string) (Late, error) {
	for l, name := range [...]string{"send", "drop", "mark"} {
		if s == name {
			return Late(l), nil
		}
	}
	return 0, fmt.Errorf("forwarder: %w: late is %.20q: send, drop or mark is expected", ErrConfig, s)
}

// Config is what a Forwarder is made of. Durations and numbers that are 0 get
// their defaults.
type Config struct {
	Server string // host:port; the name is resolved anew with each connection
	EUI    gwmp.EUI
	// Table keeps the frames that are not acknowledged; it is this forwarder's
	// alone. Nil: they are kept in memory only.
	Table     gateway.Table
	MaxFrames int           // that wait, in memory and on disk; default 10,000
	MaxAge    time.Duration // of a frame that waits; default 7 days
	Late      Late
	LateAfter time.Duration // default 6 s: the last receive window of a join
	Clock     gateway.Clock
	// Radio sends what the server wants to be sent; nil: that is refused.
	Radio interface {
		Send(ctx context.Context, t *radio.Transmission) error
	}
	// Name is the radio for transmissions that answer none of the last frames; ""
	// is the one that heard the last. Others go to the radio that heard the frame.
	Name     string
	Position *gwmp.Position // for the server's map; may be nil

	Keepalive   time.Duration // between PULL_DATA; default 10 s, half of it until one is acknowledged
	StatEvery   time.Duration // between reports; default 30 s
	AckWithin   time.Duration // then a PUSH_DATA is sent again; default 1 s
	Grace       time.Duration // then an unacknowledged frame is written to disk; default 2 s
	CommitEvery time.Duration // between transactions; default 1 s
	Log         *slog.Logger  // may be nil
}

// ErrConfig is wrapped by New's errors.
var ErrConfig = errors.New("wrong configuration")

const (
	tries     = 3    // of a PUSH_DATA, and of PULL_DATA, before the link counts as down
	window    = 32   // PUSH_DATA under way while all is well
	perGram   = 8    // frames in a datagram
	gramSize  = 1300 // bytes of a datagram of several frames: it fits an Ethernet frame and most tunnels
	maxDowns  = 16   // transmissions that the radio works on
	perCommit = 500  // frames written in one transaction
)

func (c *Config) fill() error {
	var err error
	wrong := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("forwarder: %w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if host, port, e := net.SplitHostPort(c.Server); e != nil || host == "" || port == "" {
		wrong("server is %.100q: host:port is expected, such as \"lora.example:1700\"", c.Server)
	}
	if c.EUI == (gwmp.EUI{}) {
		wrong("no EUI")
	}
	if c.Late > Mark {
		wrong("late is %d", c.Late)
	}
	if c.Clock == nil {
		c.Clock = gateway.NewSystemClock()
	}
	if c.MaxFrames <= 0 {
		c.MaxFrames = 10_000
	}
	for _, d := range []struct {
		d     *time.Duration
		usual time.Duration
	}{
		{&c.MaxAge, 7 * 24 * time.Hour}, {&c.LateAfter, 6 * time.Second}, {&c.Keepalive, 10 * time.Second}, {&c.StatEvery, 30 * time.Second},
		{&c.AckWithin, time.Second}, {&c.Grace, 2 * time.Second}, {&c.CommitEvery, time.Second},
	} {
		if *d.d <= 0 {
			*d.d = d.usual
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return err
}
