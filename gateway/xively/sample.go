package xively

import "time"

// Sampler makes the result of a history query out of the datapoints of one
// datastream, which come in ascending order of time. With an interval there is
// one datapoint for each slot of it, counted from midnight UTC, which bears the
// slot's time and the last value at or before it; in a discrete one only for
// slots in which a value came, which is later than the slot before. Without an
// interval it is each datapoint, the last one of those with the same time.
type Sampler struct {
	w       Window
	slot    time.Time // the next one, with an interval
	last    Datapoint // not given out yet, or held; At is zero if there is none
	skipped int
	out     []Datapoint
}

// NewSampler makes a sampler for w. Before is the last datapoint before
// w.Start; its At is zero if there is none. It is part of the result only if
// w.FindPrevious, as the first datapoint.
func NewSampler(w Window, before Datapoint) *Sampler {
	s := &Sampler{w: w, out: []Datapoint{}}
	if w.FindPrevious && !before.At.IsZero() {
		s.give(before)
	}
	if w.Interval > 0 {
		s.last = before
		s.slot = ceil(w.Start, w.Interval)
	}
	return s
}

// ceil is the first slot at or after t. All intervals that divide a day have
// one at midnight UTC, where Unix time is a multiple of them.
func ceil(t time.Time, interval time.Duration) time.Time {
	over := time.Duration(t.UnixNano()) % interval
	if over < 0 {
		over += interval
	}
	if over == 0 {
		return t
	}
	return t.Add(interval - over)
}

// give puts p into the result, if it is on the page that is asked for.
func (s *Sampler) give(p Datapoint) {
	switch {
	case s.skipped < s.w.Skip:
		s.skipped++
	case !s.full():
		s.out = append(s.out, p)
	}
}

func (s *Sampler) full() bool { return len(s.out) >= s.w.Limit }

// Add takes the next datapoint. False means that enough is known. Those outside
// the window do not count.
func (s *Sampler) Add(p Datapoint) bool {
	if s.full() || p.At.After(s.w.End) {
		return false
	}
	switch {
	case s.w.Interval > 0:
		s.hold(p.At)
	case p.At.Before(s.w.Start):
		return true
	case !s.last.At.IsZero() && !s.last.At.Equal(p.At):
		s.give(s.last)
	}
	s.last = p
	return !s.full()
}

// hold gives the slots before t, up to which the last value stands.
func (s *Sampler) hold(t time.Time) {
	if s.last.At.IsZero() {
		if t.After(s.slot) {
			s.slot = ceil(t, s.w.Interval)
		}
		return
	}
	if s.w.Discrete {
		if own := ceil(s.last.At, s.w.Interval); own.Before(t) && !own.Before(s.slot) && !own.After(s.w.End) {
			s.give(Datapoint{At: own, Value: s.last.Value})
			s.slot = own.Add(s.w.Interval)
		}
		return
	}
	for ; s.slot.Before(t) && !s.slot.After(s.w.End) && !s.full(); s.slot = s.slot.Add(s.w.Interval) {
		s.give(Datapoint{At: s.slot, Value: s.last.Value})
	}
}

// Datapoints gives the result, at most w.Limit, when all have been added. It is
// not nil.
func (s *Sampler) Datapoints() []Datapoint {
	if s.last.At.IsZero() {
		return s.out
	}
	if s.w.Interval > 0 {
		s.hold(s.w.End.Add(time.Nanosecond))
	} else {
		s.give(s.last)
	}
	s.last = Datapoint{}
	return s.out
}
