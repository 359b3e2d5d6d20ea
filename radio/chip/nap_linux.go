package chip

import (
	"syscall"
	"time"
)

// nap sleeps for d at most: a signal ends it.
func nap(d time.Duration) {
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	_ = syscall.Nanosleep(&ts, nil)
}
