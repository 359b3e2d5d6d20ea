package xively

import (
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Window is which datapoints a history query asks for. It is empty if End lies
// before Start.
type Window struct {
	Start, End   time.Time      // both included
	Limit        int            // most datapoints of a datastream, 1 to MaxLimit
	Skip         int            // datapoints of a datastream left out before the first, for pages after the first
	Interval     time.Duration  // between samples; 0: each datapoint as it is
	Discrete     bool           // interval_type=discrete
	FindPrevious bool           // the last datapoint before Start too
	Zone         *time.Location // of times in documents; never nil
}

const day = 24 * time.Hour

// resolutions are the intervals between samples that there are, and how long a
// window each may have at most.
var resolutions = []struct{ interval, window time.Duration }{
	{0, 6 * time.Hour},
	{30 * time.Second, 12 * time.Hour},
	{time.Minute, day},
	{5 * time.Minute, 5 * day},
	{15 * time.Minute, 14 * day},
	{30 * time.Minute, 31 * day},
	{time.Hour, 31 * day},
	{3 * time.Hour, 90 * day},
	{6 * time.Hour, 180 * day},
	{12 * time.Hour, 365 * day},
	{day, 365 * day},
}

// units of a duration. A month is 30 days and a year is 365.
var units = map[string]time.Duration{
	"second": time.Second, "minute": time.Minute, "hour": time.Hour,
	"day": day, "week": 7 * day, "month": 30 * day, "year": 365 * day,
}

const (
	maxDuration = (maxYear - minYear) * 365 * day
	maxPage     = 1_000_000
)

// historyParameters make a request one for history.
var historyParameters = []string{"start", "end", "duration", "find_previous", "limit", "page", "per_page",
	"interval", "interval_type", "time"}

// ParseWindow reads the history parameters of a query. Asked is false if there
// are none: then the present state is wanted, with its times in w.Zone. Now is
// what "now" means, minimum the coarsest resolution that the key may see (0:
// any). At is the time of "time=", zero without it: the feed as it stood then
// is wanted. The error is an *Error with status 400.
//
// A window longer than its interval allows is cut: to the part after "start" if
// that is given, else to the part before its end.
func ParseWindow(q url.Values, now time.Time, minimum time.Duration) (w Window, at time.Time, asked bool, err error) {
	for _, name := range historyParameters {
		asked = asked || q.Has(name)
	}
	p := parameters{q: q}
	w.Zone = p.zone("timezone")
	at, _ = p.time("time")
	w.FindPrevious = p.bool("find_previous")
	if t := q.Get("interval_type"); t != "" {
		w.Discrete = t == "discrete"
		p.fail(!w.Discrete, "interval_type", `can only be "discrete"`)
	}
	w.Limit = p.int("per_page", DefaultLimit, 1, math.MaxInt32)
	w.Limit = min(p.int("limit", w.Limit, 1, math.MaxInt32), MaxLimit)
	w.Skip = (p.int("page", 1, 1, maxPage) - 1) * w.Limit

	interval := time.Duration(p.int("interval", 0, 0, int(day/time.Second))) * time.Second
	var longest time.Duration
	w.Interval, longest = resolution(max(interval, minimum))
	p.span(&w, now.UTC(), longest)
	if p.err != nil {
		return Window{Zone: time.UTC}, time.Time{}, asked, p.err
	}
	return w, at, asked, nil
}

// resolution rounds an interval up to one that there is. Beyond a day, which
// only a key can ask for, it is whole days.
func resolution(atLeast time.Duration) (interval, window time.Duration) {
	last := resolutions[len(resolutions)-1]
	for _, r := range resolutions {
		if r.interval >= atLeast {
			return r.interval, r.window
		}
	}
	days := (min(atLeast, maxDuration)-1)/day + 1
	return days * day, last.window
}

// parameters reads those of a query. Err is the first thing wrong with them.
type parameters struct {
	q   url.Values
	err error
}

func (p *parameters) fail(bad bool, name, text string) {
	if bad && p.err == nil {
		p.err = badURL("%s %s", name, text)
	}
}

// span finds the ends of the window.
func (p *parameters) span(w *Window, now time.Time, longest time.Duration) {
	start, hasStart := p.time("start")
	end, hasEnd := p.time("end")
	length, hasLength := p.duration("duration")
	p.fail(hasStart && hasEnd && hasLength, "duration", "cannot be given together with start and end")
	p.fail(hasStart && hasEnd && start.After(end), "start", "lies after end")
	if !hasLength || length > longest {
		length = longest
	}
	switch {
	case hasStart && hasLength:
		w.Start, w.End = start, start.Add(length)
	case hasStart:
		if !hasEnd {
			end = now
		}
		if end.Sub(start) > length {
			end = start.Add(length)
		}
		w.Start, w.End = start, end
	case hasEnd:
		w.Start, w.End = end.Add(-length), end
	default:
		w.Start, w.End = now.Add(-length), now
	}
	if w.Interval > 0 && w.End.After(now) {
		w.End = now // a value is not held into the future
	}
}

// int reads a whole number, which is preset if it is not given.
func (p *parameters) int(name string, preset, least, most int) int {
	s := strings.TrimSpace(p.q.Get(name))
	if s == "" {
		return preset
	}
	x, err := strconv.Atoi(s)
	if err != nil || x < least || x > most {
		p.fail(true, name, "must be a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
		return preset
	}
	return x
}

func (p *parameters) bool(name string) bool {
	if !p.q.Has(name) {
		return false
	}
	switch strings.ToLower(p.q.Get(name)) {
	case "", "true", "1", "yes":
		return true
	case "false", "0", "no":
		return false
	}
	p.fail(true, name, "must be true or false")
	return false
}

// time reads a time; ok is false if it is not given.
func (p *parameters) time(name string) (t time.Time, ok bool) {
	s := strings.TrimSpace(p.q.Get(name))
	if s == "" {
		return time.Time{}, false
	}
	// A '+' that was not escaped has become a space: "T00:00:00 01:00".
	if i := strings.LastIndexByte(s, ' '); i > len("2006-01-02") && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9' {
		s = s[:i] + "+" + s[i+1:]
	}
	t, err := ParseTime(s)
	p.fail(err != nil || !validTime(t), name, "is not an ISO 8601 time from "+strconv.Itoa(minYear)+" to "+strconv.Itoa(maxYear))
	return t, true
}

// duration reads "6hours": a number and a unit, in the singular or plural.
func (p *parameters) duration(name string) (d time.Duration, ok bool) {
	s := strings.TrimSpace(p.q.Get(name))
	if s == "" {
		return 0, false
	}
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		i = len(s)
	}
	n, good := decimal(s[:i])
	unit, known := units[strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s[i:])), "s")]
	length := n * float64(unit)
	if !good || !known || length < 1 || length > float64(maxDuration) {
		p.fail(true, name, `must be a number and a unit from seconds to years, as "6hours"`)
		return 0, true
	}
	return time.Duration(length), true
}
