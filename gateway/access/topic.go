package access

import (
	"strings"
	"unicode/utf8"
)

// Limits of a topic name or filter. A topic index does work that grows with
// the square of the number of levels, so the bound is a matter of safety.
const (
	MaxTopic       = 256 // bytes
	MaxTopicLevels = 32
)

// ValidTopic reports whether topic can be published to: 1 to MaxTopic bytes of
// UTF-8 without NUL, '+' and '#', at most MaxTopicLevels levels (MQTT 3.1.1
// section 4.7).
func ValidTopic(topic string) bool {
	return validName(topic) && !strings.ContainsAny(topic, "+#")
}

// ValidFilter reports whether filter can be subscribed to: as ValidTopic, but
// '+' may stand for a whole level and '#' for the last ones (MQTT 3.1.1
// section 4.7.1). The "$share/group/" in front of a shared subscription is not
// part of its filter.
func ValidFilter(filter string) bool {
	if !validName(filter) {
		return false
	}
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#":
			return !more
		case level != "+" && strings.ContainsAny(level, "+#"):
			return false
		}
	}
	return true
}

func validName(s string) bool {
	return s != "" && len(s) <= MaxTopic &&
		strings.Count(s, "/") < MaxTopicLevels &&
		strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}

// MatchTopic reports whether topic matches filter (MQTT 3.1.1 section 4.7).
// Both are expected to be valid. A wildcard in the first level does not match
// topics that begin with '$' (section 4.7.2).
func MatchTopic(filter, topic string) bool {
	return pattern{text: filter}.match(topic)
}

// FiltersOverlap reports whether some topic matches both filters.
func FiltersOverlap(a, b string) bool {
	return pattern{text: a}.overlaps(b)
}

// pattern is a filter in which %u and %c stand for a user and a client. Values
// must not contain '/', '+' or '#'; both "" leaves the text as it is.
type pattern struct {
	text, user, client string
}

func (p pattern) match(topic string) bool {
	if topic == "" || p.text == "" || topic[0] == '$' && p.text[0] != '$' {
		return false
	}
	pr, pm := p.text, true
	tr, tm := topic, true
	for pm && tm {
		var pl, tl string
		pl, pr, pm = strings.Cut(pr, "/")
		tl, tr, tm = strings.Cut(tr, "/")
		if pl == "#" {
			return true
		}
		if pl != "+" && !p.level(pl, tl) {
			return false
		}
	}
	return pm == tm || pm && pr == "#" // "a/#" matches "a" too
}

// overlaps reports whether some topic matches both p and filter.
func (p pattern) overlaps(filter string) bool {
	if filter == "" || p.text == "" || (filter[0] == '$') != (p.text[0] == '$') {
		return false // a first level with a wildcard never stands for '$...'
	}
	if p.text == "/#" && filter == "+" || p.text == "+" && filter == "/#" {
		return false // only the empty topic, which nobody can publish to
	}
	pr, pm := p.text, true
	fr, fm := filter, true
	for pm && fm {
		var pl, fl string
		pl, pr, pm = strings.Cut(pr, "/")
		fl, fr, fm = strings.Cut(fr, "/")
		if pl == "#" || fl == "#" {
			return true
		}
		if pl != "+" && fl != "+" && !p.level(pl, fl) {
			return false
		}
	}
	return pm == fm || pm && pr == "#" || fm && fr == "#"
}

// level compares one level of the pattern, placeholders filled in, with s.
func (p pattern) level(pl, s string) bool {
	if p.user == "" && p.client == "" {
		return pl == s
	}
	for {
		i := placeholder(pl)
		if i < 0 {
			return pl == s
		}
		value := p.user
		if pl[i+1] == 'c' {
			value = p.client
		}
		var ok bool
		if s, ok = strings.CutPrefix(s, pl[:i]); !ok {
			return false
		}
		if s, ok = strings.CutPrefix(s, value); !ok {
			return false
		}
		pl = pl[i+2:]
	}
}

// placeholder gives the index of the first %u or %c, -1 without one.
func placeholder(s string) int {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '%' && (s[i+1] == 'u' || s[i+1] == 'c') {
			return i
		}
	}
	return -1
}
