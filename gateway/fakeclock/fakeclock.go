// Package fakeclock is a clock that tests set by hand, with the faults of a
// board without a battery: a wall clock that starts in 1970, jumps when a time
// source is found, and starts over with each boot.
package fakeclock

import (
	"sync"
	"time"

	"fieldgate/gateway"
)

// Clock implements gateway.Clock. Its methods may be called from any goroutine.
type Clock struct {
	mu  sync.Mutex
	now gateway.Stamp
}

// New starts at wall in boot number 1 with an uptime of one second.
func New(wall time.Time, quality gateway.ClockQuality) *Clock {
	return &Clock{now: gateway.Stamp{Wall: wall.UTC(), Boot: gateway.Boot{1}, Mono: time.Second, Quality: quality}}
}

// Now implements gateway.Clock.
func (c *Clock) Now() gateway.Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance lets d pass: wall and monotonic time move together.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Wall = c.now.Wall.Add(d)
	c.now.Mono += d
}

// Set sets the wall clock, as a time source or a person does. Monotonic time
// does not move.
func (c *Clock) Set(wall time.Time, quality gateway.ClockQuality) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Wall, c.now.Quality = wall.UTC(), quality
}

// Reboot starts the next boot at wall, with an uptime of one second.
func (c *Clock) Reboot(wall time.Time, quality gateway.ClockQuality) {
	c.mu.Lock()
	defer c.mu.Unlock()
	boot := c.now.Boot
	boot[0]++
	c.now = gateway.Stamp{Wall: wall.UTC(), Boot: boot, Mono: time.Second, Quality: quality}
}
