package broker

import "time"

// A client may subscribe to, or unsubscribe from, freeFilters filters over one
// connection as fast as it likes. From then on it waits its turn among those
// that do the same, and each filter takes filterPause of it: thousands of
// filters from a hundred clients leave the processor to the others.
const (
	freeFilters = 100
	filterPause = 50 * time.Microsecond
)

// allowance lets rate events a second happen, and after a quiet time twice as
// many at once. The zero time is when it was full.
type allowance struct {
	rate  int
	spent float64 // events that are not paid for by time yet
	at    time.Time
}

// take takes one event and tells how long it has to wait.
func (a *allowance) take(now time.Time) time.Duration {
	a.spent = max(0, a.spent-now.Sub(a.at).Seconds()*float64(a.rate)) + 1
	a.at = now
	over := a.spent - 2*float64(a.rate)
	if over <= 0 {
		return 0
	}
	return time.Duration(over / float64(a.rate) * float64(time.Second))
}

// pace has c wait before n filters more are looked at. It returns at once if the
// connection ends.
func (c *conn) pace(n int) {
	if c.filters += n; c.filters <= freeFilters {
		return
	}
	select {
	case c.b.bulk <- struct{}{}:
	case <-c.closed:
		return
	}
	defer func() { <-c.b.bulk }()
	t := time.NewTimer(time.Duration(n) * filterPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.closed:
	}
}
