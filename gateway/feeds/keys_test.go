package feeds

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// made is what a POST made: the last level of its Location.
func (r *rig) made(key, target, body string) string {
	r.t.Helper()
	resp := r.ask(key, "POST", target, body)
	if resp.Status != 201 {
		r.t.Fatalf("POST %s: %d %s", target, resp.Status, resp.Body)
	}
	return resp.Location[strings.LastIndexByte(resp.Location, '/')+1:]
}

func TestKeysLiveAndDie(t *testing.T) {
	r := newRig(t)
	text := r.made("master", "/v2/keys", `{"key":{"label":"field node","private_access":true,
		"permissions":[{"access_methods":["GET","put"],"source_ip":"192.0.2.9","minimum_interval":60,
		"resources":[{"feed_id":"504","datastream_id":"0"}]}]}}`)
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{48}$`).MatchString(text) {
		t.Fatalf("key %q", text)
	}
	id := access.KeyID(access.HashKey(text))
	k, ok := r.reg.Key(id)
	if !ok || k.Owner != "ann" || k.Hash != access.HashKey(text) {
		t.Fatalf("stored %+v", k)
	}
	r.must(200, text, "PUT", "/v2/feeds/504/datastreams/0.csv", "5")
	r.must(403, text, "PUT", "/v2/feeds/504/datastreams/1.csv", "5")

	var doc struct {
		Key struct {
			APIKey string `json:"api_key"`
			Label  string
		}
	}
	for key, target := range map[string]string{"master": "/v2/keys/" + text, text: "/v2/keys/" + text} {
		if err := json.Unmarshal([]byte(r.must(200, key, "GET", target, "")), &doc); err != nil || doc.Key.APIKey != text || doc.Key.Label != "field node" {
			t.Errorf("by its text: %+v, %v", doc, err)
		}
	}
	if got := r.get("/v2/keys/" + id); strings.Contains(got, text) || !strings.Contains(got, id) {
		t.Errorf("by its id: %s", got)
	}
	if got := r.get("/v2/keys"); strings.Contains(got, text) || !strings.Contains(got, "field node") || strings.Contains(got, "bobs") {
		t.Errorf("list: %s", got)
	}
	r.must(406, "master", "GET", "/v2/keys.csv", "")
	if got := r.get("/v2/keys/" + id + ".xml"); !strings.Contains(got, "<label>field node</label>") {
		t.Errorf("as XML: %s", got)
	}

	r.must(200, "master", "PUT", "/v2/keys/"+text, `{"key":{"label":"renamed"}}`)
	if k, _ := r.reg.Key(id); k.Label != "renamed" || !k.PrivateAccess || len(k.Permissions) != 1 {
		t.Errorf("after a change of its label: %+v", k)
	}

	resp := r.ask("master", "POST", "/v2/keys/"+text+"/regenerate", "{}")
	fresh := resp.Location[strings.LastIndexByte(resp.Location, '/')+1:]
	if resp.Status != 200 || fresh == text || !strings.HasPrefix(resp.Location, "http://gw-1:8080/v2/keys/") {
		t.Fatalf("regenerate: %+v", resp)
	}
	r.must(401, text, "GET", "/v2/feeds/504/datastreams/0", "")
	r.must(200, fresh, "GET", "/v2/feeds/504/datastreams/0", "")

	r.must(200, "master", "DELETE", "/v2/keys/"+fresh, "")
	r.must(401, fresh, "GET", "/v2/feeds/504/datastreams/0", "")
	r.must(404, "master", "GET", "/v2/keys/"+fresh, "")
}

func TestWhoMayMakeKeys(t *testing.T) {
	const all = `"access_methods":["get","put","post","delete"]`
	r := newRig(t, func(d *gateway.Declared) {
		d.Keys = append(d.Keys, key("maker", false, perm("get post")), key("writer", true, perm("put delete")))
	})
	for _, tt := range []struct {
		name, key, body string
		status          int
	}{
		{"nobody", "", `{"key":{"label":"x","permissions":[{"access_methods":["get"]}]}}`, 401},
		{"key without post", "reader", `{"key":{"label":"x","permissions":[{"access_methods":["get"]}]}}`, 403},
		{"key of one feed", "feed505", `{"key":{"label":"x","permissions":[{"access_methods":["get"],"resources":[{"feed_id":505}]}]}}`, 403},
		{"as much as itself", "maker", `{"key":{"label":"x","permissions":[{"access_methods":["post","get"]}]}}`, 201},
		{"less", "maker", `{"key":{"label":"x","permissions":[{"access_methods":["get"],"resources":[{"feed_id":505}]}]}}`, 201},
		{"more methods", "maker", `{"key":{"label":"x","permissions":[{"access_methods":["get","put"]}]}}`, 403},
		{"more in a second one", "maker", `{"key":{"label":"x","permissions":[{"access_methods":["get"]},{` + all + `}]}}`, 403},
		{"private", "maker", `{"key":{"label":"x","private_access":true,"permissions":[{"access_methods":["get"]}]}}`, 403},
		{"outlives its maker", "short", `{"key":{"label":"x","permissions":[{"access_methods":["get"]}]}}`, 403},
		{"ends with its maker", "short", `{"key":{"label":"x","expires_at":"2026-11-22T11:00:00Z","permissions":[{"access_methods":["get"]}]}}`, 201},
		{"from another address", "away", `{"key":{"label":"x","permissions":[{"access_methods":["get"]}]}}`, 403},
		{"no label", "master", `{"key":{"permissions":[{"access_methods":["get"]}]}}`, 422},
		{"no permissions", "master", `{"key":{"label":"x"}}`, 422},
		{"empty permissions", "master", `{"key":{"label":"x","permissions":[]}}`, 422},
		{"unknown method", "master", `{"key":{"label":"x","permissions":[{"access_methods":["patch"]}]}}`, 422},
		{"unknown feed", "master", `{"key":{"label":"x","permissions":[{"access_methods":["get"],"resources":[{"feed_id":999}]}]}}`, 422},
		{"hidden feed", "cats", `{"key":{"label":"x","permissions":[{"access_methods":["get"],"resources":[{"feed_id":504}]}]}}`, 422},
		{"unknown trigger", "master", `{"key":{"label":"x","permissions":[{"access_methods":["get"],"resources":[{"datastream_trigger_id":9}]}]}}`, 422},
		{"bad address", "master", `{"key":{"label":"x","permissions":[{"access_methods":["get"],"source_ip":"x"}]}}`, 422},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.key == "cats" {
				k := key("cats", true, perm(allMethods))
				k.Owner = "cat"
				if err := r.reg.PutKey(k); err != nil {
					t.Fatal(err)
				}
			}
			r.must(tt.status, tt.key, "POST", "/v2/keys", tt.body)
		})
	}

	// A key that may write changes and deletes what can do no more than itself.
	less := r.made("master", "/v2/keys", `{"key":{"label":"x","permissions":[{"access_methods":["put"],"resources":[{"feed_id":504}]}]}}`)
	more := r.made("master", "/v2/keys", `{"key":{"label":"x","permissions":[{"access_methods":["get"]}]}}`)
	r.must(200, "writer", "PUT", "/v2/keys/"+less, `{"key":{"label":"y"}}`)
	r.must(403, "writer", "PUT", "/v2/keys/"+less, `{"key":{"permissions":[{"access_methods":["get"]}]}}`)
	r.must(403, "writer", "PUT", "/v2/keys/"+more, `{"key":{"label":"y"}}`)
	r.must(403, "writer", "DELETE", "/v2/keys/"+more, "")
	r.must(403, "writer", "POST", "/v2/keys/"+less+"/regenerate", "{}")
	r.must(200, "writer", "DELETE", "/v2/keys/"+less, "")

	made := r.made("maker", "/v2/keys", `{"key":{"label":"x","permissions":[{"access_methods":["get"]}]}}`)
	r.must(403, "maker", "POST", "/v2/keys/"+made+"/regenerate", "{}") // no master key
	r.must(200, "stream0", "GET", "/v2/keys/stream0", "")              // itself
	r.must(403, "stream0", "GET", "/v2/keys/master", "")
	for _, self := range []string{"stream0", "reader", "maker", "writer"} { // no master keys
		if got := r.must(200, self, "GET", "/v2/keys", ""); strings.Count(got, `"id":`) != 1 || !strings.Contains(got, `"id-`+self+`"`) {
			t.Errorf("%s lists %s", self, got)
		}
	}
	r.must(401, "", "GET", "/v2/keys", "")
	r.must(401, "expired", "GET", "/v2/keys", "")
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		r.must(404, "bobs", method, "/v2/keys/"+more, `{"key":{"label":"y"}}`)
		r.must(404, "bobs", method, "/v2/keys/unknown", `{"key":{"label":"y"}}`)
	}
	r.must(404, "bobs", "POST", "/v2/keys/"+more+"/regenerate", "{}")
}

// TestKeysOfTheConfiguration: the owner may change them like others; the file
// has a new word only when it says something else (package gateway tests that).
func TestKeysOfTheConfiguration(t *testing.T) {
	r := newRig(t)
	before := len(r.reg.Keys())
	r.must(200, "master", "PUT", "/v2/keys/reader", `{"key":{"label":"y"}}`)
	r.must(200, "reader", "GET", "/v2/feeds/504", "")
	resp := r.ask("master", "POST", "/v2/keys/reader/regenerate", "{}")
	if resp.Status != 200 {
		t.Fatalf("%d %v", resp.Status, resp.Err)
	}
	text := resp.Location[strings.LastIndex(resp.Location, "/")+1:]
	r.must(401, "reader", "GET", "/v2/feeds/504", "")
	r.must(200, text, "GET", "/v2/feeds/504", "")
	r.must(200, "master", "DELETE", "/v2/keys/"+text, "")
	r.must(401, text, "GET", "/v2/feeds/504", "")
	if n := len(r.reg.Keys()); n != before-1 {
		t.Errorf("%d keys, %d before", n, before)
	}
}

func TestWithin(t *testing.T) {
	feed := access.Resource{Feed: 1}
	stream := access.Resource{Feed: 1, Datastream: "a"}
	limit := func(p access.Permission, ip string, interval int) access.Permission {
		p.SourceIP, p.MinimumInterval = ip, interval
		return p
	}
	for _, tt := range []struct {
		name     string
		own, new []access.Permission
		want     bool
	}{
		{"a datastream of a feed", []access.Permission{perm("get", feed)}, []access.Permission{perm("get", stream)}, true},
		{"the feed of a datastream", []access.Permission{perm("get", stream)}, []access.Permission{perm("get", feed)}, false},
		{"everything by a feed", []access.Permission{perm("get", feed)}, []access.Permission{perm("get")}, false},
		{"another feed", []access.Permission{perm("get", feed)}, []access.Permission{perm("get", access.Resource{Feed: 2})}, false},
		{"methods of two permissions", []access.Permission{perm("get"), perm("put")}, []access.Permission{perm("get put")}, true},
		{"a trigger by a feed", []access.Permission{perm("get", feed)}, []access.Permission{perm("get", access.Resource{Trigger: 1})}, false},
		{"finer", []access.Permission{limit(perm("get"), "", 60)}, []access.Permission{perm("get")}, false},
		{"coarser", []access.Permission{limit(perm("get"), "", 60)}, []access.Permission{limit(perm("get"), "", 300)}, true},
		{"any address", []access.Permission{limit(perm("get"), "192.0.2.1", 0)}, []access.Permission{perm("get")}, false},
		{"same address", []access.Permission{limit(perm("get"), "192.0.2.1", 0)}, []access.Permission{limit(perm("get"), "192.0.2.1", 0)}, true},
	} {
		if got := within(access.Key{Permissions: tt.own}, access.Key{Permissions: tt.new}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
