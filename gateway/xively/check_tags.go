package xively

import (
	"cmp"
	"slices"
	"strings"
)

// parseTags reads tags that stand in one text: a comma separates them, unless
// it is within double quotes ("tennis, later" is one tag). Double quotes are
// dropped, but for those escaped as \", and so are single quotes around a tag.
// The result is as sortTags gives it.
func parseTags(s string) []string {
	var tags []string
	var tag strings.Builder
	quoted := false
	end := func() {
		t := strings.TrimSpace(tag.String())
		if inner, ok := strings.CutPrefix(t, "'"); ok {
			t = inner
		}
		tags = append(tags, strings.TrimSuffix(t, "'"))
		tag.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] == '"':
			tag.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			end()
		default:
			tag.WriteByte(c)
		}
	}
	end()
	return sortTags(tags)
}

// listTags reads tags that stand in a list, where one entry is one tag: quotes
// around it are dropped, a comma in it stays, so that what was read can be
// written back.
func listTags(list []string) []string {
	tags := make([]string, len(list))
	for i, t := range list {
		t = strings.TrimSpace(t)
		for len(t) >= 2 && (t[0] == '"' || t[0] == '\'') && t[len(t)-1] == t[0] {
			t = strings.TrimSpace(t[1 : len(t)-1])
		}
		tags[i] = t
	}
	return sortTags(tags)
}

// sortTags gives tags without the white space around them, blank ones and
// repetitions, sorted case-insensitively. It is never nil and shares no memory
// with tags.
func sortTags(tags []string) []string {
	out := make([]string, 0, len(tags))
	for _, t := range tags {
		if t = strings.TrimSpace(t); t != "" {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
	})
	return slices.Compact(out)
}
