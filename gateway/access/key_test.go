package access

import (
	"strconv"
	"testing"
	"time"
)

func TestKeyAllows(t *testing.T) {
	feed := []Resource{{Feed: 504}}
	stream := []Resource{{Feed: 504, Datastream: "0"}}
	for _, c := range []struct {
		name string
		p    Permission
		a    Ask
		want bool
	}{
		{"all of a method", Permission{Methods: []string{"get"}}, Ask{Method: "get", Feed: 504}, true},
		{"another method", Permission{Methods: []string{"get"}}, Ask{Method: "put", Feed: 504}, false},
		{"no method", Permission{}, Ask{Method: "get"}, false},
		{"methods in any case", Permission{Methods: []string{"GET"}}, Ask{Method: "get"}, true},
		{"a collection", Permission{Methods: []string{"post"}}, Ask{Method: "post"}, true},
		{"a collection with a limited key", Permission{Methods: []string{"post"}, Resources: feed}, Ask{Method: "post"}, false},
		{"the feed", Permission{Methods: []string{"get"}, Resources: feed}, Ask{Method: "get", Feed: 504}, true},
		{"a datastream of the feed", Permission{Methods: []string{"get"}, Resources: feed}, Ask{Method: "get", Feed: 504, Datastream: "7"}, true},
		{"another feed", Permission{Methods: []string{"get"}, Resources: feed}, Ask{Method: "get", Feed: 505}, false},
		{"the datastream", Permission{Methods: []string{"get"}, Resources: stream}, Ask{Method: "get", Feed: 504, Datastream: "0"}, true},
		{"another datastream", Permission{Methods: []string{"get"}, Resources: stream}, Ask{Method: "get", Feed: 504, Datastream: "1"}, false},
		{"the same datastream of another feed", Permission{Methods: []string{"get"}, Resources: stream}, Ask{Method: "get", Feed: 5, Datastream: "0"}, false},
		{"the feed of the datastream", Permission{Methods: []string{"get"}, Resources: stream}, Ask{Method: "get", Feed: 504}, false},
		{"the trigger", Permission{Methods: []string{"get"}, Resources: []Resource{{Trigger: 3}}}, Ask{Method: "get", Feed: 504, Trigger: 3}, true},
		{"a feed by a trigger", Permission{Methods: []string{"get"}, Resources: []Resource{{Trigger: 3}}}, Ask{Method: "get", Feed: 504}, false},
		{"an empty resource", Permission{Methods: []string{"get"}, Resources: []Resource{{}}}, Ask{Method: "get"}, false},
		{"the address", Permission{Methods: []string{"get"}, SourceIP: "192.0.2.7"}, Ask{Method: "get", Addr: "192.0.2.7:5000"}, true},
		{"the address without port", Permission{Methods: []string{"get"}, SourceIP: "192.0.2.7"}, Ask{Method: "get", Addr: "192.0.2.7"}, true},
		{"the address as IPv6", Permission{Methods: []string{"get"}, SourceIP: "192.0.2.7"}, Ask{Method: "get", Addr: "[::ffff:192.0.2.7]:5000"}, true},
		{"another address", Permission{Methods: []string{"get"}, SourceIP: "192.0.2.7"}, Ask{Method: "get", Addr: "192.0.2.8:5000"}, false},
		{"no address", Permission{Methods: []string{"get"}, SourceIP: "192.0.2.7"}, Ask{Method: "get"}, false},
		{"the network", Permission{Methods: []string{"get"}, SourceIP: "192.0.2.0/24"}, Ask{Method: "get", Addr: "192.0.2.8:5000"}, true},
		{"an address that is none", Permission{Methods: []string{"get"}, SourceIP: "x"}, Ask{Method: "get", Addr: "192.0.2.8:5000"}, false},
		{"the page", Permission{Methods: []string{"get"}, Referer: "example.com"}, Ask{Method: "get", Referer: "https://example.com/a?b"}, true},
		{"the page's domain alone", Permission{Methods: []string{"get"}, Referer: "example.com"}, Ask{Method: "get", Referer: "Example.com"}, true},
		{"a subdomain is another domain", Permission{Methods: []string{"get"}, Referer: "example.com"}, Ask{Method: "get", Referer: "https://www.example.com/"}, false},
		{"a page that only names it", Permission{Methods: []string{"get"}, Referer: "example.com"}, Ask{Method: "get", Referer: "https://evil.example/?example.com"}, false},
		{"no page", Permission{Methods: []string{"get"}, Referer: "example.com"}, Ask{Method: "get"}, false},
	} {
		if _, got := (Key{Permissions: []Permission{c.p}}).Allows(c.a); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestOnePermission: parts of two permissions do not add up, and of two that fit
// the finer one counts.
func TestOnePermission(t *testing.T) {
	k := Key{Permissions: []Permission{
		{Methods: []string{"get"}, MinimumInterval: 300},
		{Methods: []string{"put"}, Resources: []Resource{{Feed: 1}}},
		{Methods: []string{"get"}, MinimumInterval: 60, Resources: []Resource{{Feed: 1}}},
	}}
	if _, ok := k.Allows(Ask{Method: "put", Feed: 2}); ok {
		t.Error("put on what only get is for")
	}
	if p, ok := k.Allows(Ask{Method: "get", Feed: 1}); !ok || p.MinimumInterval != 60 {
		t.Errorf("%+v %v", p, ok)
	}
	if p, ok := k.Allows(Ask{Method: "get", Feed: 2}); !ok || p.MinimumInterval != 300 {
		t.Errorf("%+v %v", p, ok)
	}
}

func TestMaster(t *testing.T) {
	all := Permission{Methods: []string{"delete", "post", "put", "get"}}
	for _, c := range []struct {
		k    Key
		want bool
	}{
		{Key{PrivateAccess: true, Permissions: []Permission{all}}, true},
		{Key{Permissions: []Permission{all}}, false},
		{Key{PrivateAccess: true, Permissions: []Permission{{Methods: []string{"get", "put", "post"}}}}, false},
		{Key{PrivateAccess: true, Permissions: []Permission{{Methods: all.Methods, Resources: []Resource{{Feed: 1}}}}}, false},
		{Key{PrivateAccess: true}, false},
	} {
		if got := c.k.Master(); got != c.want {
			t.Errorf("%+v: %v", c.k, got)
		}
	}
}

// TestToken: guessed keys block their address, and nobody else's, nor a key that
// was good there before.
func TestToken(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	g := NewGate(GateOptions{Now: func() time.Time { return now }})
	want := func(what, addr, key string, known bool, err error) {
		t.Helper()
		if got := g.Token(addr, key, known); got != err {
			t.Errorf("%s: %v, want %v", what, got, err)
		}
	}
	want("a good key", "192.0.2.1:1", "good", true, nil)
	for range 100 { // a device that nobody told of its new key
		want("a former key", "192.0.2.1:1", "former", false, ErrBadCredentials)
	}
	want("another good key", "192.0.2.1:2", "good 2", true, nil)
	for i := range 9 {
		want("a guess", "192.0.2.1:1", strconv.Itoa(i), false, ErrBadCredentials)
	}
	want("one guess too many", "192.0.2.1:2", "x", false, ErrThrottled)
	want("a key that was not seen there", "192.0.2.1:2", "good 3", true, ErrThrottled)
	want("a key that was good there", "192.0.2.1:9", "good", true, nil)
	want("another address", "192.0.2.2:1", "good 3", true, nil)
	now = now.Add(2 * time.Minute)
	want("after the block", "192.0.2.1:3", "good 3", true, nil)
	now = now.Add(time.Hour)
	for i := range 10 {
		want("a guess, later", "192.0.2.1:1", strconv.Itoa(i), false, ErrBadCredentials)
	}
	want("a key that was good there long ago", "192.0.2.1:1", "good", true, ErrThrottled)
	if s := g.Stats(); s.OK != 5 || s.Failed != 119 || s.Throttled != 3 {
		t.Errorf("%+v", s)
	}
}
