package xively

import (
	"fmt"
	"time"
)

// Years that a value of the API may bear.
const (
	minYear = 1970
	maxYear = 2200
)

// timeLayout has the six digits of a fraction that the API writes, and "Z" in
// UTC.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// AppendTime writes t as "2006-01-02T15:04:05.000000Z"; in another zone than
// UTC with its offset.
func AppendTime(dst []byte, t time.Time) []byte { return t.AppendFormat(dst, timeLayout) }

// ParseTime reads a time as the API takes it: ISO 8601 with any offset, with up
// to microseconds or without a fraction. The result is UTC. Finer fractions are
// cut to microseconds; without an offset the time is UTC; a date alone is its
// midnight; a space may stand for the T, and " UTC" for the Z, as Ruby writes
// them.
func ParseTime(s string) (time.Time, error) {
	t, ok := parseTime(s)
	if !ok {
		return time.Time{}, fmt.Errorf("%.40q is not an ISO 8601 time", s)
	}
	return t, nil
}

// maxTimeText is longer than "2006-01-02T15:04:05.000000000 +00:00".
const maxTimeText = 40

func parseTime(s string) (t time.Time, ok bool) {
	if len(s) > maxTimeText {
		return t, false
	}
	in := timeText{rest: s, ok: true}
	year := in.number(4)
	in.skip('-')
	month := in.number(2)
	in.skip('-')
	day := in.number(2)
	var hour, minute, second, micros, offset int
	if in.rest != "" {
		if !in.has('T') && !in.has('t') {
			in.skip(' ')
		}
		hour = in.number(2)
		in.skip(':')
		minute = in.number(2)
		if in.has(':') {
			second = in.number(2)
			if in.has('.') || in.has(',') {
				micros = in.fraction()
			}
		}
		offset = in.offset()
	}
	if !in.ok || in.rest != "" || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, micros*1000, time.UTC)
	if t.Day() != day { // there is no 30th of February
		return time.Time{}, false
	}
	return t.Add(-time.Duration(offset) * time.Minute), true
}

// timeText is what is left to read of a time. Ok turns false at the first thing
// that does not belong there.
type timeText struct {
	rest string
	ok   bool
}

func (in *timeText) has(c byte) bool {
	if in.rest == "" || in.rest[0] != c {
		return false
	}
	in.rest = in.rest[1:]
	return true
}

func (in *timeText) skip(c byte) {
	if !in.has(c) {
		in.ok = false
	}
}

// number reads exactly n digits.
func (in *timeText) number(n int) (x int) {
	if len(in.rest) < n {
		in.ok = false
		return 0
	}
	for i := range n {
		c := in.rest[i]
		if c < '0' || c > '9' {
			in.ok = false
			return 0
		}
		x = 10*x + int(c-'0')
	}
	in.rest = in.rest[n:]
	return x
}

// fraction reads 1 to 9 digits of a second, in microseconds.
func (in *timeText) fraction() (micros int) {
	digits := 0
	for in.rest != "" && in.rest[0] >= '0' && in.rest[0] <= '9' {
		if digits < 6 {
			micros = 10*micros + int(in.rest[0]-'0')
		}
		digits++
		in.rest = in.rest[1:]
	}
	if digits == 0 || digits > 9 {
		in.ok = false
	}
	for ; digits < 6; digits++ {
		micros *= 10
	}
	return micros
}

// offset reads "Z", "+01:00", "+0100", "+01", " UTC" or nothing, in minutes.
func (in *timeText) offset() int {
	if in.has(' ') && in.rest == "" {
		in.ok = false
	}
	if in.rest == "" || in.has('Z') || in.has('z') {
		return 0
	}
	if in.rest == "UTC" {
		in.rest = ""
		return 0
	}
	sign := 1
	if in.has('-') {
		sign = -1
	} else {
		in.skip('+')
	}
	hours, minutes := in.number(2), 0
	if in.has(':') || in.rest != "" {
		minutes = in.number(2)
	}
	if hours > 23 || minutes > 59 {
		in.ok = false
	}
	return sign * (60*hours + minutes)
}

// validTime reports whether a value may bear the time t; zero is no time.
func validTime(t time.Time) bool {
	return t.IsZero() || t.Year() >= minYear && t.Year() <= maxYear
}
