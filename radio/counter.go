package radio

import "time"

// Counter counts the microseconds of a chip that has no counter of its own.
type Counter struct{ start time.Time }

// NewCounter begins at 0 now.
func NewCounter() Counter { return Counter{time.Now()} }

// At gives the count at t, which needs Go's monotonic reading.
func (c Counter) At(t time.Time) uint32 { return uint32(t.Sub(c.start).Microseconds()) }

// Time gives when the count has been, or will be, n: the time next to now of
// all at which it is.
func (c Counter) Time(n uint32, now time.Time) time.Time {
	return now.Add(time.Duration(int32(n-c.At(now))) * time.Microsecond)
}
