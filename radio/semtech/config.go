package semtech

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"fieldgate/radio/semtech/gwmp"
)

// Any as the only gateway lets every EUI in.
const Any = "any"

// Config is what a Server is made of.
type Config struct {
	// Listen is the UDP address, default "127.0.0.1:1700".
	Listen string
	// Gateways are the EUIs of the forwarders that are let in, 16 hex digits each,
	// or Any alone. There must be one.
	Gateways []string
	// AnswerWithin is how long Send waits for TX_ACK; default 300 ms.
	AnswerWithin time.Duration
	Log          *slog.Logger // may be nil
}

// ErrConfig is wrapped by New's errors.
var ErrConfig = errors.New("wrong configuration")

const (
	silence     = 60 * time.Second // after which a forwarder is down
	hold        = 20 * time.Second // that another host waits, see the package's documentation
	reopen      = 5 * time.Second  // between attempts to listen
	maxGateways = 64               // that Any lets in
	maxPending  = 256              // transmissions that wait for TX_ACK, per forwarder
	maxQueue    = 1024             // datagrams that wait to be read
	maxQueued   = 4 << 20          // their bytes
	readBuffer  = 1 << 20          // of the kernel, bytes
)

// fill sets what is not given and reports all mistakes at once.
func (c *Config) fill() (euis []gwmp.EUI, err error) {
	wrong := func(format string, args ...any) {
		err = errors.Join(err, fmt.Errorf("semtech: %w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:1700"
	}
	if _, e := net.ResolveUDPAddr("udp", c.Listen); e != nil {
		wrong("listen: %w", e)
	}
	if len(c.Gateways) == 0 {
		wrong(`no gateways: list the EUIs of the packet forwarders that may connect, or "any" alone`)
	}
	seen := map[gwmp.EUI]bool{}
	for _, s := range c.Gateways {
		if s == Any {
			if len(c.Gateways) > 1 {
				wrong(`"any" stands beside EUIs: it must stand alone`)
			}
			continue
		}
		e, bad := gwmp.ParseEUI(s)
		switch {
		case bad != nil:
			wrong("gateways: %w", bad)
		case seen[e]:
			wrong("gateways: %v is there twice", e)
		default:
			euis = append(euis, e)
		}
		seen[e] = true
	}
	if c.AnswerWithin <= 0 {
		c.AnswerWithin = 300 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return euis, err
}
