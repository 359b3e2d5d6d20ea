package access

import (
	"encoding/json"
	"testing"
	"time"
)

func TestCan(t *testing.T) {
	const v, p, m = 1, 2, 4 // what is allowed, as a set
	share := func(user string, r ...Right) []Share { return []Share{{User: user, Can: r}} }
	key := Subject{Key: "k1"}
	bob := Subject{User: "bob"}
	cases := []struct {
		name  string
		who   Subject
		admin bool
		g     Grants
		want  int
	}{
		{"anonymous, private", Subject{}, false, Grants{Owner: "ann"}, 0},
		{"anonymous, owned by nobody", Subject{}, false, Grants{}, 0},
		{"anonymous, public", Subject{}, false, Grants{Public: true}, v},
		{"anonymous, public write", Subject{}, false, Grants{PublicWrite: true}, p},
		{"anonymous, public and public write", Subject{}, false, Grants{Public: true, PublicWrite: true}, v | p},
		{"anonymous, shared with nobody's name", Subject{}, false, Grants{Share: share("", View, Publish, Manage)}, 0},
		{"anonymous, shared with somebody", Subject{}, false, Grants{Share: share("bob", Manage)}, 0},
		{"key without user, owned by nobody", key, false, Grants{Share: share("", Manage)}, 0},
		{"stranger, private", bob, false, Grants{Owner: "ann"}, 0},
		{"stranger, public", bob, false, Grants{Owner: "ann", Public: true}, v},
		{"stranger, public write", bob, false, Grants{Owner: "ann", PublicWrite: true}, p},
		{"owner", bob, false, Grants{Owner: "bob"}, v | p | m},
		{"owner in other letters", Subject{User: "Bob"}, false, Grants{Owner: "bob"}, 0},
		{"shared view", bob, false, Grants{Share: share("bob", View)}, v},
		{"shared publish", bob, false, Grants{Share: share("bob", Publish)}, p},
		{"shared view and publish", bob, false, Grants{Share: share("bob", View, Publish)}, v | p},
		{"shared manage includes the others", bob, false, Grants{Share: share("bob", Manage)}, v | p | m},
		{"shared nothing", bob, false, Grants{Share: share("bob")}, 0},
		{"shared twice", bob, false, Grants{Share: append(share("bob", View), share("bob", Publish)...)}, v | p},
		{"shared with another", bob, false, Grants{Share: share("carl", Manage)}, 0},
		{"admin", bob, true, Grants{Owner: "ann"}, v | p | m},
		{"the gateway itself", System, false, Grants{Owner: "ann"}, v | p | m},
		{"a user who is called system", Subject{User: "system"}, false, Grants{Owner: "ann"}, 0},
	}
	for _, c := range cases {
		for i, r := range []Right{View, Publish, Manage} {
			if got, want := Can(c.who, c.admin, r, c.g), c.want&(1<<i) != 0; got != want {
				t.Errorf("%s: %v = %v, want %v", c.name, r, got, want)
			}
		}
	}
}

func TestSubjectsHaveDifferentNames(t *testing.T) {
	subjects := []Subject{{}, System, {User: "system"}, {User: "anonymous"}, {User: "key:1"}, {Key: "1"}, {User: "1"}, {Key: "user:1"}}
	seen := map[string]Subject{}
	for _, s := range subjects {
		if other, ok := seen[s.String()]; ok {
			t.Errorf("%+v and %+v are both %q", s, other, s)
		}
		seen[s.String()] = s
		if got, want := s.Anonymous(), s == (Subject{}); got != want {
			t.Errorf("%v.Anonymous() = %v", s, got)
		}
	}
}

func TestRightsAsText(t *testing.T) {
	b, err := json.Marshal([]Right{View, Publish, Manage})
	if err != nil || string(b) != `["view","publish","manage"]` {
		t.Fatalf("%s, %v", b, err)
	}
	var back []Right
	if err := json.Unmarshal(b, &back); err != nil || back[2] != Manage {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "View", "read", "right(9)"} {
		if _, err := ParseRight(bad); err == nil {
			t.Errorf("ParseRight(%q) took it", bad)
		}
	}
	if got := Right(9).String(); got != "right(9)" {
		t.Error(got)
	}
}

func TestKey(t *testing.T) {
	// printf abc | sha256sum
	if got := HashKey("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(got)
	}
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at   time.Time
		want bool
	}{{time.Time{}, false}, {now.Add(time.Second), false}, {now, true}, {now.Add(-time.Hour), true}} {
		if got := (Key{ExpiresAt: c.at}).Expired(now); got != c.want {
			t.Errorf("expires at %v: %v", c.at, got)
		}
	}
}
