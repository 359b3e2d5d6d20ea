package main

import (
	"log/slog"
	"time"

	"fieldgate/gateway"
)

// clockWatch tells the log when this boot's wall clock became better known, so
// that what was recorded before can be given its true time.
type clockWatch struct {
	note func(gateway.Stamp)
	log  *slog.Logger
	last gateway.Stamp
	seen bool
}

// step is a change of the wall clock against the monotonic one that is no drift.
const step = 2 * time.Second

func (c *clockWatch) see(now gateway.Stamp) {
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
