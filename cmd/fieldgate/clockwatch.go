package main

import (
	"log/slog"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/store"
)

// clockWatch tells the log when this boot's wall clock became better known, so
// that what was recorded before can be given its true time.
type clockWatch struct {
	clock gateway.Clock
	note  func(gateway.Stamp)
	log   *slog.Logger

	mu   sync.Mutex
	last gateway.Stamp
	seen bool
}

// clockedLog looks at the clock before each read: what goes up right after the
// clock was set must already have its true time.
type clockedLog struct {
	*store.Log
	watch *clockWatch
}

// Read implements uplink.Log.
func (l clockedLog) Read(from uint64, maxRecords, maxBytes int) ([]gateway.Record, error) {
	l.watch.look()
	return l.Log.Read(from, maxRecords, maxBytes)
}

// step is a change of the wall clock against the monotonic one that is no drift.
const step = 2 * time.Second

// look takes note of the clock as it is now.
func (c *clockWatch) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	defer func() { c.last, c.seen = now, true }()
	if !c.seen {
		c.note(now)
		return
	}
	moved := now.Wall.Sub(c.last.Wall) - (now.Mono - c.last.Mono)
	switch {
	case now.Quality > c.last.Quality:
		c.log.Info("the clock is better known", "now", now.Wall, "quality", now.Quality.String(), "was", c.last.Quality.String(), "moved", moved)
		c.note(now)
	case moved > step || moved < -step:
		c.log.Warn("the clock was set", "now", now.Wall, "quality", now.Quality.String(), "moved", moved)
		if now.Quality >= c.last.Quality {
			c.note(now)
		}
	}
}
