package chip

import (
	"context"
	"runtime"
	"time"
)

// wait returns at that time, give or take what timers take: some milliseconds
// at worst.
func wait(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Timers of Go's are up to a millisecond late on Linux, where a sleeping program
// waits in epoll, which counts in milliseconds. The end of a waiting is spent
// turning.
const (
	turning = 2 * time.Millisecond
	// tight is the part in which nobody else is let in.
	tight = 200 * time.Microsecond
	// still is how often in a row the clock may show the same: it stands, as it
	// does in a testing/synctest bubble while somebody turns.
	still = 1000
)

// until returns at that time, to some ten microseconds if the machine has a
// processor to spare.
func until(ctx context.Context, at time.Time) error {
	if time.Until(at) > turning {
		if err := wait(ctx, at.Add(-turning)); err != nil {
			return err
		}
	}
	var last time.Duration
	same := 0
	for {
		left := time.Until(at)
		if left <= 0 {
			return ctx.Err()
		}
		if left != last {
			last, same = left, 0
		} else if same++; same == still {
			return wait(ctx, at)
		}
		if left > tight {
			runtime.Gosched()
		}
	}
}
