//go:build !linux

package chip

import "time"

// nap sleeps for d.
func nap(d time.Duration) { time.Sleep(d) }
