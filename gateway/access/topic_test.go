package access

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestValid(t *testing.T) {
	levels := func(n int) string { return strings.Repeat("/", n-1) }
	cases := []struct {
		name          string
		topic, filter bool
	}{
		{"a", true, true}, {"/", true, true}, {"//a", true, true}, {"$SYS/x", true, true}, {" ", true, true},
		{"a/b/ü", true, true}, {"devices/D/sensors/S/value", true, true},
		{"", false, false}, {"a\x00b", false, false}, {"a\xffb", false, false}, {"\xed\xa0\x80", false, false},
		{"+", false, true}, {"#", false, true}, {"+/+/#", false, true}, {"a/+/b", false, true}, {"/#", false, true}, {"/+", false, true},
		{"a+", false, false}, {"+a/b", false, false}, {"a#", false, false}, {"a/#/b", false, false}, {"#/", false, false},
		{"a/b+/c", false, false}, {"++", false, false}, {"a/##", false, false}, {"a+/b", false, false},
		{strings.Repeat("x", MaxTopic), true, true}, {strings.Repeat("x", MaxTopic+1), false, false},
		{levels(MaxTopicLevels), true, true}, {levels(MaxTopicLevels + 1), false, false},
	}
	for _, c := range cases {
		if got := ValidTopic(c.name); got != c.topic {
			t.Errorf("ValidTopic(%q) = %v", c.name, got)
		}
		if got := ValidFilter(c.name); got != c.filter {
			t.Errorf("ValidFilter(%q) = %v", c.name, got)
		}
	}
}

// The examples of MQTT 3.1.1 section 4.7.
func TestMatchTopic(t *testing.T) {
	cases := []struct {
		filter, topic string
		want          bool
	}{
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player10", false},
		{"sport/#", "sport", true},
		{"#", "a/b", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/a", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/a", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"a/#", "ab", false},
		{"a", "A", false},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"+/#", "a", true},
		{"50%/u", "50%/u", true},
	}
	for _, c := range cases {
		if got := MatchTopic(c.filter, c.topic); got != c.want {
			t.Errorf("MatchTopic(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

func TestFiltersOverlap(t *testing.T) {
	cases := []struct {
		a, b string
		want bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"#", "#", true}, {"a/#", "a", true}, {"a/#", "+", true},
		{"a/#", "b/#", false}, {"a/+", "+/b", true}, {"a/+/c", "a/b/#", true}, {"a/+", "a", false},
		{"a/+", "a/b/c", false}, {"#", "$SYS/a", false}, {"+/a", "$SYS/a", false}, {"$SYS/#", "$SYS/+/x", true},
		{"$SYS/#", "#", false}, {"/#", "+", false}, {"/#", "+/+", true}, {"a/b/#", "a", false}, {"a/b/#", "a/+", true}, {"+/b/+", "a/+/c", true}, {"+/b", "+/c", false},
	}
	for _, c := range cases {
		if got := FiltersOverlap(c.a, c.b); got != c.want {
			t.Errorf("FiltersOverlap(%q, %q) = %v", c.a, c.b, got)
		}
		if got := FiltersOverlap(c.b, c.a); got != c.want {
			t.Errorf("FiltersOverlap(%q, %q) = %v", c.b, c.a, got)
		}
	}
}

// naiveMatch is the rule of MQTT 3.1.1 section 4.7 by recursion over levels.
func naiveMatch(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	var match func(f, t []string) bool
	match = func(f, t []string) bool {
		switch {
		case len(f) == 1 && f[0] == "#":
			return true
		case len(f) == 0 || len(t) == 0:
			return len(f) == 0 && len(t) == 0
		}
		return (f[0] == "+" || f[0] == t[0]) && match(f[1:], t[1:])
	}
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	return match(f, t)
}

var (
	genTopic  = rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "$s", ""}), 1, 4), join)
	genFilter = rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "$s", "", "+", "+", "#"}), 1, 4), join)
)

func join(levels []string) string { return strings.Join(levels, "/") }

func TestMatchTopicIsTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter, topic := genFilter.Draw(t, "filter"), genTopic.Draw(t, "topic")
		if !ValidFilter(filter) || !ValidTopic(topic) {
			t.Skip()
		}
		if got, want := MatchTopic(filter, topic), naiveMatch(filter, topic); got != want {
			t.Fatalf("MatchTopic(%q, %q) = %v", filter, topic, got)
		}
	})
}

// allTopics are all topics of up to 5 levels of a few names: enough to witness
// whether filters of up to 4 levels overlap.
func allTopics() []string {
	var out []string
	level := []string{""}
	for n := range 5 {
		var next []string
		for _, prefix := range level {
			for _, name := range []string{"a", "b", "$s", ""} {
				if n == 0 {
					next = append(next, name)
				} else {
					next = append(next, prefix+"/"+name)
				}
			}
		}
		level = next
		for _, topic := range level {
			if ValidTopic(topic) {
				out = append(out, topic)
			}
		}
	}
	return out
}

func TestFiltersOverlapIsTheNaiveModel(t *testing.T) {
	topics := allTopics()
	rapid.Check(t, func(t *rapid.T) {
		a, b := genFilter.Draw(t, "a"), genFilter.Draw(t, "b")
		if !ValidFilter(a) || !ValidFilter(b) {
			t.Skip()
		}
		want := false
		for _, topic := range topics {
			if naiveMatch(a, topic) && naiveMatch(b, topic) {
				want = true
				break
			}
		}
		if got := FiltersOverlap(a, b); got != want {
			t.Fatalf("FiltersOverlap(%q, %q) = %v", a, b, got)
		}
	})
}

func FuzzTopics(f *testing.F) {
	for _, s := range []string{"a/b", "+/#", "$SYS/#", "/", "a\x00", "%u/%c", "a/#"} {
		f.Add(s, "a/b")
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		if ValidTopic(filter) && !ValidFilter(filter) {
			t.Errorf("%q is a topic and no filter", filter)
		}
		match, overlap := MatchTopic(filter, topic), FiltersOverlap(filter, topic)
		if !ValidFilter(filter) || !ValidTopic(topic) {
			return
		}
		if match != naiveMatch(filter, topic) {
			t.Errorf("MatchTopic(%q, %q) = %v", filter, topic, match)
		}
		if match != overlap {
			t.Errorf("%q matches %q: %v, overlaps: %v", filter, topic, match, overlap)
		}
	})
}
