package js

import (
	"fmt"
	"time"
)

// A script that runs out of its bounds costs the gateway its whole allowance
// each time. After pauseAfter times in a row it is left alone for firstPause, then,
// each time that it happens again, for twice as long up to longestPause.
const (
	pauseAfter   = 3
	firstPause   = time.Second
	longestPause = 10 * time.Minute
)

// pauses counts how often in a row a script ran out of its bounds.
type pauses struct {
	row   int
	until time.Time
	why   error // the last one
}

// refused says why a script may not run now; nil if it may.
func (p *pauses) refused(now time.Time) error {
	if p.row < pauseAfter || !now.Before(p.until) {
		return nil
	}
	return fmt.Errorf("%w for another %v: %d times in a row: %w", ErrPaused, p.until.Sub(now).Round(time.Millisecond), p.row, p.why)
}

// ended notes how a call ended: why is the bound that it ran out of, or nil.
func (p *pauses) ended(now time.Time, why error) {
	if why == nil {
		*p = pauses{}
		return
	}
	p.row++
	p.why = why
	if n := p.row - pauseAfter; n >= 0 {
		p.until = now.Add(min(firstPause<<min(n, 20), longestPause))
	}
}
