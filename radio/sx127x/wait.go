package sx127x

import (
	"runtime"
	"time"
)

// spin is how long before its time a goroutine stops sleeping: what is woken up by
// the kernel may be later than asked by a millisecond.
const spin = 2 * time.Millisecond

// waitUntil returns at t, to some microseconds. It keeps a core busy for the last
// two milliseconds.
func waitUntil(t time.Time) {
	if d := time.Until(t) - spin; d > 0 {
		time.Sleep(d)
	}
	last, still := time.Time{}, 0
	for {
		now := time.Now()
		if !now.Before(t) {
			return
		}
		if now.Equal(last) {
			// A clock that stands still while we look at it is that of a
			// testing/synctest bubble: it goes on when we sleep, to the very time.
			if still++; still == 1000 {
				time.Sleep(t.Sub(now))
			}
		} else {
			last, still = now, 0
		}
		runtime.Gosched()
	}
}
