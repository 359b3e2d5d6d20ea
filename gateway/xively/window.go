package xively

import "time"

// Window is which datapoints a history query asks for.
type Window struct {
	Start, End   time.Time      // both included
	Limit        int            // most datapoints of a datastream, 1 to MaxLimit
	Interval     time.Duration  // between samples; 0: each datapoint as it is
	Discrete     bool           // interval_type=discrete
	FindPrevious bool           // the last datapoint before Start too
	Zone         *time.Location // of times in documents; never nil
}
