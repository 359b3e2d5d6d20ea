package access

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestACL(t *testing.T) {
	ann, key := Subject{User: "ann"}, Subject{User: "ann", Key: "k"}
	anyone := ACL{{"news/#", AnyUser, Read}}
	own := ACL{{"factory/%u/#", AnyUser, ReadWrite}}
	client := ACL{{"c/%c/x-%c", AnyUser, Write}}
	cases := []struct {
		name        string
		acl         ACL
		who         Subject
		client      string
		topic       string
		read, write bool
	}{
		{"no rules", nil, ann, "c1", "a", false, false},
		{"no rules, the gateway", nil, System, "", "a", true, true},
		{"the gateway, no topic", nil, System, "", "a/#", false, false},
		{"any user: a user", anyone, ann, "c1", "news/today", true, false},
		{"any user: anonymous", anyone, Subject{}, "c1", "news/today", true, false},
		{"any user: a key", anyone, key, "c1", "news/today", true, false},
		{"any user: other topic", anyone, ann, "c1", "new", false, false},
		{"own", own, ann, "c1", "factory/ann/x", true, true},
		{"own: root", own, ann, "c1", "factory/ann", true, true},
		{"own: another's", own, ann, "c1", "factory/bob/x", false, false},
		{"own: longer name", own, ann, "c1", "factory/anna/x", false, false},
		{"own: anonymous", own, Subject{}, "c1", "factory//x", false, false},
		{"own: key", own, key, "c1", "factory/ann/x", false, false},
		{"own: the placeholder itself", own, ann, "c1", "factory/%u/x", false, false},
		{"own: name with #", own, Subject{User: "#"}, "c1", "factory/bob/x", false, false},
		{"own: name with + ", own, Subject{User: "+"}, "c1", "factory/bob/x", false, false},
		{"own: name with + as the topic", own, Subject{User: "a+b"}, "c1", "factory/a/x", false, false},
		{"own: name with /", own, Subject{User: "a/b"}, "c1", "factory/a/b/x", false, false},
		{"own: name that is a placeholder", own, Subject{User: "%c"}, "bob", "factory/bob/x", false, false},
		{"own: name that is a placeholder, literally", own, Subject{User: "%c"}, "bob", "factory/%c/x", true, true},
		{"own: name with a regular expression", own, Subject{User: ".*"}, "c1", "factory/bob/x", false, false},
		{"client", client, Subject{}, "c1", "c/c1/x-c1", false, true},
		{"client: another's", client, Subject{}, "c1", "c/c1/x-c2", false, false},
		{"client: empty id", client, Subject{}, "", "c//x-", false, false},
		{"client: id with #", client, Subject{}, "#", "c/#/x-#", false, false},
		{"client: id with +", client, Subject{}, "+", "c/c1/x-c1", false, false},
		{"named", ACL{{"t", "ann", Read}}, ann, "", "t", true, false},
		{"named: another", ACL{{"t", "ann", Read}}, Subject{User: "bob"}, "", "t", false, false},
		{"named: her key", ACL{{"t", "ann", Read}}, key, "", "t", false, false},
		{"named: anonymous", ACL{{"t", "ann", Read}}, Subject{}, "", "t", false, false},
		{"anonymous", ACL{{"t", AnonymousUser, Read}}, Subject{}, "", "t", true, false},
		{"anonymous: a user of that name", ACL{{"t", AnonymousUser, Read}}, Subject{User: "anonymous"}, "", "t", false, false},
		{"anonymous: a key", ACL{{"t", AnonymousUser, Read}}, Subject{Key: "k"}, "", "t", false, false},
		{"no user", ACL{{"t", "", Read}}, Subject{}, "", "t", false, false},
		{"two rules add up", ACL{{"t", AnyUser, Read}, {"t", "ann", Write}}, ann, "", "t", true, true},
		{"everything but $", ACL{{"#", AnyUser, ReadWrite}}, ann, "", "$SYS/x", false, false},
		{"everything", ACL{{"#", AnyUser, ReadWrite}}, ann, "", "a/b", true, true},
		{"$ on purpose", ACL{{"$SYS/#", AnyUser, Read}}, ann, "", "$SYS/x", true, false},
		{"a name cannot reach $", ACL{{"%u/#", AnyUser, ReadWrite}}, Subject{User: "$SYS"}, "", "$SYS/x", false, false},
		{"a client id cannot reach $", ACL{{"%c/#", AnyUser, ReadWrite}}, ann, "$SYS", "$SYS/x", false, false},
		{"bad topic: NUL", ACL{{"#", AnyUser, ReadWrite}}, ann, "", "a\x00", false, false},
		{"bad topic: empty", ACL{{"#", AnyUser, ReadWrite}}, ann, "", "", false, false},
		{"bad topic: wildcard", ACL{{"#", AnyUser, ReadWrite}}, ann, "", "a/+", false, false},
		{"bad topic: long", ACL{{"#", AnyUser, ReadWrite}}, ann, "", strings.Repeat("a", 257), false, false},
	}
	for _, c := range cases {
		if got := c.acl.Allows(c.who, c.client, c.topic, false); got != c.read {
			t.Errorf("%s: read = %v", c.name, got)
		}
		if got := c.acl.Allows(c.who, c.client, c.topic, true); got != c.write {
			t.Errorf("%s: write = %v", c.name, got)
		}
	}
}

func TestACLOverlaps(t *testing.T) {
	acl := ACL{{"factory/%u/#", AnyUser, ReadWrite}, {"in/%c", AnyUser, Write}, {"out/x-%c/+", AnyUser, Read}, {"%u/own", AnyUser, Read}}
	ann := Subject{User: "ann"}
	cases := []struct {
		who    Subject
		client string
		filter string
		want   bool
	}{
		{ann, "c1", "#", true},
		{ann, "c1", "factory/#", true},
		{ann, "c1", "factory/+/x", true},
		{ann, "c1", "factory/bob/#", false},
		{ann, "c1", "+/ann", true},
		{ann, "c1", "in/c1", false}, // write only
		{ann, "c1", "out/+/y", true},
		{ann, "c1", "out/x-c1/y", true},
		{ann, "c1", "out/x-c2/y", false},
		{ann, "c1", "$SYS/#", false},
		{ann, "c1", "a+/b", false}, // no filter
		{Subject{User: "$SYS"}, "c1", "$SYS/#", false},
		{Subject{}, "c1", "factory/#", false},
		{Subject{}, "c1", "out/#", true},
		{Subject{}, "a+", "out/#", false},
		{Subject{User: "$s"}, "c1", "+/own", false}, // stands for no topic: "+" is not "$s"
		{ann, "c1", "+/own", true},
		{Subject{User: "#"}, "c1", "factory/#", false},
		{Subject{User: "+"}, "c1", "factory/+", false},
		{System, "", "anything/#", true},
		{System, "", "bad#", false},
	}
	for _, c := range cases {
		if got := acl.Overlaps(c.who, c.client, c.filter); got != c.want {
			t.Errorf("%v %s: Overlaps(%q) = %v", c.who, c.client, c.filter, got)
		}
	}
}

// Whoever may read a topic may subscribe to each filter that matches it; and
// filled in, a rule says what its text says.
func TestACLProperties(t *testing.T) {
	names := rapid.SampledFrom([]string{"", "a", "b", "$s", "a/b", "+", "#", "%c", "%u"})
	rules := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "%u", "%c", "x%u", "+", "#", "$s", ""}), 1, 4), join)
	topics := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "xa", "$s", "%c", ""}), 1, 4), join)
	rapid.Check(t, func(t *rapid.T) {
		rule := Rule{Topic: rules.Draw(t, "rule"), User: AnyUser, Allow: Read}
		if rule.Check() != nil {
			t.Skip()
		}
		s, client := Subject{User: names.Draw(t, "user")}, names.Draw(t, "client")
		topic, filter := topics.Draw(t, "topic"), genFilter.Draw(t, "filter")
		acl := ACL{rule}
		got := acl.Allows(s, client, topic, false)

		want := ValidTopic(topic)
		for placeholder, value := range map[string]string{"%u": s.User, "%c": client} {
			if strings.Contains(rule.Topic, placeholder) && (value == "" || strings.ContainsAny(value, "/+#")) {
				want = false
			}
		}
		filled := strings.NewReplacer("%u", s.User, "%c", client).Replace(rule.Topic)
		want = want && naiveMatch(filled, topic) && (topic[0] != '$' || rule.Topic[0] == '$')
		if got != want {
			t.Fatalf("rule %q, %q as %q, topic %q: %v", rule.Topic, s.User, client, topic, got)
		}
		if got && ValidFilter(filter) && naiveMatch(filter, topic) && !acl.Overlaps(s, client, filter) {
			t.Fatalf("rule %q, %q as %q may read %q but not subscribe to %q", rule.Topic, s.User, client, topic, filter)
		}
	})
}

func TestRuleCheck(t *testing.T) {
	for _, r := range []Rule{{"factory/%u/#", AnyUser, ReadWrite}, {"a", AnonymousUser, Read}, {"%c", "ann", Write}} {
		if err := r.Check(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range []Rule{
		{"", AnyUser, Read}, {"a#", AnyUser, Read}, {"a/#/b", AnyUser, Read}, {"a\x00", AnyUser, Read},
		{"a", "", Read}, {"a", AnyUser, 0}, {"a", AnyUser, 4}, {"a/%u", AnonymousUser, Read},
	} {
		if err := r.Check(); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

func TestModeAsText(t *testing.T) {
	b, err := json.Marshal([]Mode{Read, Write, ReadWrite})
	if err != nil || string(b) != `["read","write","readwrite"]` {
		t.Fatalf("%s, %v", b, err)
	}
	var back []Mode
	if err := json.Unmarshal(b, &back); err != nil || len(back) != 3 || back[2] != ReadWrite {
		t.Errorf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`["rw"]`), &back); err == nil {
		t.Error("rw was taken")
	}
}

func TestCheckUserName(t *testing.T) {
	for _, ok := range []string{"ann", "Ann Lee", "a/b", "#", "ü", "ann@example.org", strings.Repeat("x", MaxUserName)} {
		if err := CheckUserName(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "*", "anonymous", "a:b", "a\nb", "a\x00", "\xff", "a\u202eb", strings.Repeat("x", MaxUserName+1)} {
		if err := CheckUserName(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func BenchmarkACLAllows(b *testing.B) {
	acl := ACL{{"news/#", AnyUser, Read}, {"factory/%u/#", AnyUser, ReadWrite}}
	s := Subject{User: "ann"}
	b.ReportAllocs()
	for b.Loop() {
		acl.Allows(s, "c1", "factory/ann/line/3", false)
	}
}
