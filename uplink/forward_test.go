package uplink

import (
	"strings"
	"testing"

	"fieldgate/gateway/access"
)

func TestForwardMapping(t *testing.T) {
	for _, c := range []struct {
		rule          Forward
		local, remote string // "" if it does not map
	}{
		// mosquitto.conf(5): the pattern is joined with the prefix of each side.
		{Forward{Topic: "#", LocalPrefix: "L/", RemotePrefix: "R/"}, "L/a/b", "R/a/b"},
		{Forward{Topic: "#"}, "a", "a"},
		{Forward{Topic: "+/temp", RemotePrefix: "site/7/"}, "kitchen/temp", "site/7/kitchen/temp"},
		{Forward{Topic: "+/temp", RemotePrefix: "site/7/"}, "kitchen/hum", ""},
		{Forward{Topic: "", LocalPrefix: "one", RemotePrefix: "another"}, "one", "another"},
		{Forward{Topic: "", LocalPrefix: "one", RemotePrefix: "another"}, "one/more", ""},
		{Forward{Topic: "a/#", LocalPrefix: "L/"}, "L/a", "a"},
		{Forward{Topic: "a/#", LocalPrefix: "L/"}, "a/b", ""},
		{Forward{Topic: "#"}, "$SYS/x", ""},
		{Forward{Topic: "#", LocalPrefix: "$SYS/", RemotePrefix: "gw/sys/"}, "$SYS/x", "gw/sys/x"},
		{Forward{Topic: "x", LocalPrefix: "p/", RemotePrefix: "p/p/"}, "p/x", "p/p/x"},
	} {
		c.rule.Direction = Both
		if err := c.rule.check(); err != nil {
			t.Errorf("%+v: %v", c.rule, err)
		}
		got, ok := c.rule.Remote(c.local)
		if got != c.remote || ok != (c.remote != "") {
			t.Errorf("%+v: %q goes to %q, want %q", c.rule, c.local, got, c.remote)
		}
		if ok {
			if back, _ := c.rule.Local(got); back != c.local {
				t.Errorf("%+v: %q comes back as %q", c.rule, c.local, back)
			}
		}
	}
	in, out := Forward{Topic: "#", Direction: In}, Forward{Topic: "#", Direction: Out}
	if _, ok := in.Remote("a"); ok {
		t.Error("an in rule sends up")
	}
	if _, ok := out.Local("a"); ok {
		t.Error("an out rule brings down")
	}
}

func TestForwardMistakes(t *testing.T) {
	for _, f := range []Forward{
		{},
		{Topic: "", LocalPrefix: "x"},
		{Topic: "a#"},
		{Topic: "#", LocalPrefix: "no-slash"},
		{Topic: "x", LocalPrefix: "+/"},
		{Topic: "x", QoS: 3},
		{Topic: "x", Direction: "up"},
		{Topic: "x\x00"},
	} {
		if f.check() == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}

// What maps one way maps back, stays within its prefixes and is a valid topic.
func FuzzForward(f *testing.F) {
	f.Add("#", "L/", "R/", "L/a/b")
	f.Add("+/temp", "", "site/7/", "kitchen/temp")
	f.Add("", "one", "another", "one")
	f.Add("#", "$SYS/", "", "$SYS/a")
	f.Add("a/#", "L/", "L/L/", "L/a")
	f.Fuzz(func(t *testing.T, topic, local, remote, name string) {
		rule := Forward{Topic: topic, LocalPrefix: local, RemotePrefix: remote}
		if rule.check() != nil || !access.ValidTopic(name) {
			return
		}
		up, ok := rule.Remote(name)
		if !ok {
			return
		}
		if !strings.HasPrefix(up, remote) || !strings.HasPrefix(name, local) || up[len(remote):] != name[len(local):] {
			t.Fatalf("%+v: %q became %q", rule, name, up)
		}
		if !access.ValidTopic(up) {
			return // too long or too deep with its prefix: refused where it is used
		}
		back, ok := rule.Local(up)
		if !ok && up[0] == '$' != (name[0] == '$') {
			return // '$' topics match no leading wildcard
		}
		if !ok || back != name {
			t.Fatalf("%+v: %q became %q and came back as %q, %t", rule, name, up, back, ok)
		}
	})
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"#", "a/b", true}, {"#", "#", true}, {"a/#", "a", true}, {"a/#", "a/+/c", true},
		{"a/+", "a/b", true}, {"a/+", "a/#", false}, {"a/b", "a/+", false}, {"+", "a/b", false},
		{"a/+/c", "a/b/c", true}, {"a", "a/#", false}, {"#", "$SYS/a", false}, {"a/#", "b/#", false},
	} {
		if got := covers(c.a, c.b); got != c.want {
			t.Errorf("covers(%q, %q) = %t", c.a, c.b, got)
		}
	}
}

func TestDownFiltersDoNotOverlap(t *testing.T) {
	c := quick("mqtt://127.0.0.1")
	c.Devices = func() []string { return []string{"D", "E"} }
	c.Forward = []Forward{{Topic: "devices/D/#", Direction: In}, {Topic: "x", Direction: Both, QoS: 2}, {Topic: "y", Direction: Out}}
	u := &Uplink{cfg: c}
	got := u.downFilters()
	if len(got) != 8+2 || got["devices/D/#"] != 1 || got["x"] != 1 {
		t.Errorf("filters %v", got)
	}
}
