package gateway

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// timeError is the state adjtimex(2) returns while the clock is not
// synchronised (TIME_ERROR).
const timeError = 5

// SystemClock is the machine's clock: boot id and uptime from /proc, quality
// from adjtimex(2).
type SystemClock struct {
	boot    Boot
	started time.Time     // carries Go's monotonic reading
	uptime  time.Duration // of the machine when the process started

	mu      sync.Mutex
	checked time.Duration // Mono of the last question to the kernel
	synced  bool
}

// NewSystemClock reads the boot id and the uptime. On a machine without them
// each process counts as a boot of its own.
func NewSystemClock() *SystemClock {
	c := &SystemClock{started: time.Now(), checked: -time.Hour}
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		raw := bytes.ReplaceAll(bytes.TrimSpace(b), []byte("-"), nil)
		if len(raw) == 32 {
			_, _ = hex.Decode(c.boot[:], raw)
		}
	}
	if c.boot == (Boot{}) {
		copy(c.boot[:], strconv.FormatInt(c.started.UnixNano(), 36)+strconv.Itoa(os.Getpid()))
	}
	if b, err := os.ReadFile("/proc/uptime"); err == nil {
		field, _, _ := strings.Cut(string(b), " ")
		if s, err := strconv.ParseFloat(field, 64); err == nil {
			c.uptime = time.Duration(s * float64(time.Second))
		}
	}
	return c
}

// Now implements Clock. The kernel is asked for its synchronisation state at
// most once a second.
func (c *SystemClock) Now() Stamp {
	now := time.Now()
	s := Stamp{
		Wall:    now.Round(0).UTC(),
		Boot:    c.boot,
		Mono:    c.uptime + now.Sub(c.started),
		Quality: ClockUnsynced,
	}
	if s.Wall.Before(Earliest) {
		s.Quality = ClockUnset
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.Mono-c.checked >= time.Second {
		c.checked = s.Mono
		var tx syscall.Timex
		state, err := syscall.Adjtimex(&tx)
		c.synced = err == nil && state != timeError
	}
	if c.synced {
		s.Quality = ClockSynced
	}
	return s
}
