package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar gives the text of a value as it stands in the file, false if it is
// absent or no single value.
func (v value) scalar(want string) (string, bool) {
	if !v.present() {
		return "", false
	}
	if v.node.Kind != yaml.ScalarNode {
		v.mistake("is "+kindOf(v.node), "must be "+want)
		return "", false
	}
	return v.node.Value, true
}

// text reads a text into dst and reports whether it did. Numbers and dates
// count as the text they were written as, so that `id: 007` is "007".
func (v value) text(dst *string) bool {
	s, ok := v.scalar("text")
	if !ok {
		return false
	}
	switch tag := v.node.ShortTag(); tag {
	case "!!str", "!!int", "!!float", "!!timestamp":
		*dst = s
		return true
	case "!!bool":
		v.mistake("is "+s+", not text", "put it in quotes")
	default:
		v.mistake("is "+kindOf(v.node), "must be text")
	}
	return false
}

// secret reads a text that no message shows.
func (v value) secret(dst *Secret) bool {
	var s string
	if !v.text(&s) {
		return false
	}
	*dst = Secret(s)
	v.r.secrets = v.r.secrets || s != ""
	return true
}

// choice reads one of some words.
func (v value) choice(dst *string, words ...string) bool {
	var s string
	if !v.text(&s) {
		return false
	}
	for _, w := range words {
		if s == w {
			*dst = s
			return true
		}
	}
	remedy := "one of " + strings.Join(words, ", ")
	if near := nearest(s, words); near != "" {
		remedy = "did you mean " + near + "? It is " + remedy
	}
	v.mistake(fmt.Sprintf("%.40q is not possible", s), remedy)
	return false
}

func (v value) boolean(dst *bool) bool {
	s, ok := v.scalar("true or false")
	if !ok {
		return false
	}
	if v.node.ShortTag() != "!!bool" {
		v.mistake(fmt.Sprintf("%.40q is neither true nor false", s), "write true or false")
		return false
	}
	*dst = s[0] == 't' || s[0] == 'T'
	return true
}

// integer reads a whole number from low to high.
func (v value) integer(dst *int, low, high int) bool {
	want := fmt.Sprintf("a whole number from %d to %d", low, high)
	s, ok := v.scalar(want)
	if !ok {
		return false
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		v.mistake(fmt.Sprintf("%.40q is not possible", s), "must be "+want)
		return false
	}
	*dst = n
	return true
}

// number reads a positive number of up to 64 bits.
func (v value) number(dst *uint64) bool {
	const want = "a whole number from 1"
	s, ok := v.scalar(want)
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 {
		v.mistake(fmt.Sprintf("%.40q is not possible", s), "must be "+want)
		return false
	}
	*dst = n
	return true
}

// duration reads a length of time from low to high.
func (v value) duration(dst *time.Duration, low, high time.Duration) bool {
	s, ok := v.scalar("a time such as 30s")
	if !ok {
		return false
	}
	d, err := parseDuration(s)
	switch {
	case err != nil:
		v.mistake(fmt.Sprintf("%.40q is no length of time", s), err.Error())
	case d < low || d > high:
		v.mistake(fmt.Sprintf("%.40q is out of range", s), "from "+formatDuration(low)+" to "+formatDuration(high))
	default:
		*dst = d
		return true
	}
	return false
}

// size reads a number of bytes from low to high.
func (v value) size(dst *int64, low, high int64, why string) bool {
	s, ok := v.scalar("a size such as 64MiB")
	if !ok {
		return false
	}
	n, err := parseSize(s)
	switch {
	case err != nil:
		v.mistake(fmt.Sprintf("%.40q is no size", s), err.Error())
	case n < low || n > high:
		v.mistake(fmt.Sprintf("%.40q is out of range", s), "from "+formatSize(low)+" to "+formatSize(high)+why)
	default:
		*dst = n
		return true
	}
	return false
}

var errDuration = errors.New("write a number with its unit, such as 20ms, 30s, 5m, 12h or 30d")

// parseDuration reads what time.ParseDuration does, and days ("30d", "1d12h").
func parseDuration(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	var days time.Duration
	rest := s
	if head, tail, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(head, 10, 32)
		if err != nil || time.Duration(n) > math.MaxInt64/day {
			return 0, errDuration
		}
		days, rest = time.Duration(n)*day, tail
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || strings.ContainsAny(rest, "+-") || d > math.MaxInt64-days {
		return 0, errDuration
	}
	return days + d, nil
}

func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"B", 1},
}

var errSize = errors.New("write a number of bytes, or one with a unit: 512KiB, 256MiB, 1GB")

// parseSize reads a number of bytes: whole, or with a unit that also takes a
// fraction.
func parseSize(s string) (int64, error) {
	for _, u := range units {
		head, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(head), 64)
		if err != nil || f < 0 || math.IsNaN(f) || f*float64(u.bytes) >= math.MaxInt64 {
			return 0, errSize
		}
		return int64(f * float64(u.bytes)), nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, errSize
	}
	return n, nil
}

func formatSize(n int64) string {
	for i := 2; i >= 0; i-- {
		if u := units[i]; n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
