package waziup

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"fieldgate/gateway"
)

// Years outside of which a time is taken for a mistake.
const (
	minYear = 1970
	maxYear = 2200
)

// fromMillis is the number from which on Unix times are milliseconds: as
// seconds it is the year 5138, as milliseconds 1973.
const fromMillis = 1e11

// decodeTime reads a JSON value as a time; the zero time for null and nil.
func decodeTime(raw []byte) (time.Time, error) {
	switch {
	case raw == nil, string(raw) == "null":
		return time.Time{}, nil
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return time.Time{}, badTime(raw)
		}
		return ParseTime(s)
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return time.Time{}, badTime(raw)
		}
		if f < fromMillis {
			f *= 1e6
		} else {
			f *= 1e3
		}
		if !(f >= 0 && f < 1e16) { // exact in microseconds up to 2^53
			return time.Time{}, badTime(raw)
		}
		return inRange(time.UnixMicro(int64(f+0.5)).UTC(), raw)
	}
	return time.Time{}, badTime(raw)
}

// ParseTime reads a date and time of ISO 8601 as the Waziup cloud accepts it:
// RFC 3339 with any offset, and also with the offset's colon or minutes left
// out, a space for the T, a comma for the point, and without seconds. It is
// given in UTC, cut to whole microseconds. The error wraps gateway.ErrBadTime:
// also for a time without an offset, and for years before 1970 and after 2200.
func ParseTime(s string) (time.Time, error) {
	p := timeText{rest: s}
	year := p.digits(4)
	p.one("-")
	month := p.digits(2)
	p.one("-")
	day := p.digits(2)
	p.one("Tt ")
	hour := p.digits(2)
	p.one(":")
	minute := p.digits(2)
	second, nanos := 0, 0
	if p.maybe(":") {
		second = p.digits(2)
		if p.maybe(".,") {
			nanos = p.fraction()
		}
	}
	offset := 0
	switch {
	case p.maybe("Zz"):
	default:
		sign := 1
		if !p.maybe("+") {
			p.one("-")
			sign = -1
		}
		h, m := p.digits(2), 0
		if p.rest != "" {
			p.maybe(":")
			m = p.digits(2)
		}
		if h > 23 || m > 59 {
			p.bad = true
		}
		offset = sign * (h*60 + m)
	}
	if p.bad || p.rest != "" || hour > 23 || minute > 59 || second > 60 { // 60: a leap second
		return time.Time{}, badTime([]byte(s))
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC); date.Day() != day || int(date.Month()) != month {
		return time.Time{}, badTime([]byte(s))
	}
	return inRange(at.Add(-time.Duration(offset)*time.Minute).Truncate(time.Microsecond), []byte(s))
}

func inRange(at time.Time, text []byte) (time.Time, error) {
	if y := at.Year(); y < minYear || y > maxYear {
		return time.Time{}, badTime(text)
	}
	return at, nil
}

func badTime(text []byte) error {
	return fmt.Errorf("%w: %.40q", gateway.ErrBadTime, text)
}

// timeText is read from left to right; bad stays true after a mistake.
type timeText struct {
	rest string
	bad  bool
}

func (p *timeText) digits(n int) int {
	if len(p.rest) < n {
		p.bad, p.rest = true, ""
		return 0
	}
	v := 0
	for i := range n {
		c := p.rest[i]
		if c < '0' || c > '9' {
			p.bad = true
			return 0
		}
		v = v*10 + int(c-'0')
	}
	p.rest = p.rest[n:]
	return v
}

// fraction reads one digit or more as nanoseconds; what is finer is dropped.
func (p *timeText) fraction() int {
	n, v := 0, 0
	for ; n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9'; n++ {
		if n < 9 {
			v = v*10 + int(p.rest[n]-'0')
		}
	}
	if n == 0 {
		p.bad = true
	}
	p.rest = p.rest[n:]
	for ; n < 9; n++ {
		v *= 10
	}
	return v
}

func (p *timeText) maybe(chars string) bool {
	for i := 0; p.rest != "" && i < len(chars); i++ {
		if p.rest[0] == chars[i] {
			p.rest = p.rest[1:]
			return true
		}
	}
	return false
}

func (p *timeText) one(chars string) {
	if !p.maybe(chars) {
		p.bad = true
	}
}
