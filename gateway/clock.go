package gateway

import (
	"time"
)

// ClockQuality says how far a wall clock time can be trusted. Higher is better.
type ClockQuality uint8

// The qualities of a clock. Their numbers are on disk.
const (
	ClockUnset    ClockQuality = 0 // earlier than any time this program could run at: nobody set it
	ClockUnsynced ClockQuality = 1 // a plausible time that no time source vouches for
	ClockSynced   ClockQuality = 2 // the kernel says that it is synchronised
)

// String is unset, unsynced or synced.
func (q ClockQuality) String() string {
	switch q {
	case ClockSynced:
		return "synced"
	case ClockUnsynced:
		return "unsynced"
	}
	return "unset"
}

// Boot identifies one run of the kernel. Monotonic times compare within one.
type Boot [16]byte

// Stamp is a moment as honestly as a board without a clock battery can tell it.
type Stamp struct {
	Wall    time.Time     // UTC wall clock, microsecond resolution when stored
	Boot    Boot          // the kernel run that Mono counts in
	Mono    time.Duration // since that boot
	Quality ClockQuality  // of Wall
}

// Clock tells the time. Tests own theirs.
type Clock interface {
	// Now never blocks. Mono never goes back within one Boot; Wall may jump
	// either way.
	Now() Stamp
}

// Earliest is the time below which a wall clock is taken to be unset: this
// program did not exist yet.
var Earliest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
