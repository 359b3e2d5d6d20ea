package chip

import (
	"context"
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

// Pause waits for d, or until ctx ends. Pauses of less than two milliseconds are not
// left to Go's timers, see until; ctx does not end them.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	if at := time.Now().Add(d); d >= 2*time.Millisecond || stands() {
		return wait(ctx, at)
	}
	nap(d)
	return ctx.Err()
}

// turning is how much of a waiting is spent looking at the clock: the kernel wakes a
// program up a little late. More does not pay: who turns for long is the first to be
// taken off a busy processor.
const turning = time.Millisecond

// until returns at that time, to some microseconds if the machine has a processor to
// spare. Go's timers are not used for the last of it: they are up to a millisecond
// late on Linux, where a program without work waits in epoll, which counts in
// milliseconds.
func until(ctx context.Context, at time.Time) error {
	if stands() {
		return wait(ctx, at)
	}
	if time.Until(at) > 2*ahead {
		if err := wait(ctx, at.Add(-ahead)); err != nil {
			return err
		}
	}
	for left := time.Until(at); left > turning && ctx.Err() == nil; left = time.Until(at) {
		nap(left - turning)
	}
	for time.Until(at) > 0 {
	}
	return ctx.Err()
}

// stands reports whether the clock stands while it is looked at. It does in a
// testing/synctest bubble, where timers are exact.
func stands() bool {
	began := time.Now()
	for range 100 {
		if !time.Now().Equal(began) {
			return false
		}
	}
	return true
}
