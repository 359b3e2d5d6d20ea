package config

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"fieldgate/gateway/access"
)

// shortKey is the length in bytes below which an API key is warned about: 16
// random letters and digits hold about 95 bits.
const shortKey = 16

// maxInterval is the largest minimum_interval: a year, the largest window of
// the API's history.
const maxInterval = 365 * 24 * time.Hour

// topicKey is a key that can be the first level of a topic.
var topicKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)

func (c *Config) key(t *table, first map[string]int) {
	var k access.Key
	var secret Secret
	t.get("label").text(&k.Label)
	switch key := t.get("key"); {
	case !key.present():
		key.missing("a long random text: openssl rand -hex 24")
	case key.secret(&secret) && secret == "":
		key.mistake("is empty", "a long random text: openssl rand -hex 24")
	case secret != "":
		if len(secret) < shortKey {
			key.warn("is short enough to be guessed", "a long random text: openssl rand -hex 24")
		}
		if !topicKey.MatchString(string(secret)) {
			key.warn("cannot stand in a topic", "1 to 128 letters, digits, '_' and '-': openssl rand -hex 24")
		}
		k.Hash = access.HashKey(string(secret))
		k.ID = access.KeyID(k.Hash)
		if line, twice := first[k.Hash]; twice {
			key.mistake("is the same as in line "+strconv.Itoa(line), "give each its own key")
		} else {
			first[k.Hash] = key.at.Line
		}
	}
	owner := t.get("owner")
	if !owner.present() {
		owner.missing("the user on whose behalf the key acts")
	} else if owner.text(&k.Owner) {
		c.known(owner, k.Owner)
	}
	t.get("private_access").boolean(&k.PrivateAccess)
	var expires string
	if at := t.get("expires_at"); at.text(&expires) {
		var err error
		if k.ExpiresAt, err = time.Parse(time.RFC3339, expires); err != nil {
			at.mistake(fmt.Sprintf("%.40q is no date and time", expires), "write it as 2030-01-01T00:00:00Z")
		}
	}
	for _, p := range t.get("permissions").tables() {
		k.Permissions = append(k.Permissions, permission(p))
	}
	t.close()
	c.Access.Keys = append(c.Access.Keys, k)
}

func permission(t *table) access.Permission {
	var p access.Permission
	methods := t.get("methods")
	for _, m := range methods.list() {
		var method string
		if m.choice(&method, "get", "put", "post", "delete") {
			p.Methods = append(p.Methods, method)
		}
	}
	if !methods.present() || len(p.Methods) == 0 && len(methods.list()) == 0 {
		methods.missing("some of get, put, post, delete")
	}
	for _, res := range t.get("resources").tables() {
		p.Resources = append(p.Resources, resource(res))
	}
	t.get("label").text(&p.Label)
	if ip := t.get("source_ip"); ip.text(&p.SourceIP) && p.SourceIP != "" {
		if err := access.CheckSourceIP(p.SourceIP); err != nil {
			ip.mistake(reason(err), "an address such as 192.0.2.7, or a network such as 192.0.2.0/24")
		}
	}
	t.get("referer").text(&p.Referer)
	t.get("minimum_interval").seconds(&p.MinimumInterval, maxInterval)
	t.close()
	return p
}

// resource reads what a permission is for: a feed, a datastream of it, or a
// trigger.
func resource(t *table) access.Resource {
	var r access.Resource
	feed, datastream, trigger := t.get("feed"), t.get("datastream"), t.get("trigger")
	if !trigger.present() && !feed.present() {
		feed.missing("the number of a device as a feed; or the number of a trigger")
	}
	feed.number(&r.Feed)
	datastream.text(&r.Datastream)
	trigger.number(&r.Trigger)
	if trigger.present() && (feed.present() || datastream.present()) {
		trigger.mistake("stands beside a feed or datastream", "give each a resource of its own")
	}
	t.close()
	return r
}

// seconds reads a number of seconds, or a length of time in whole seconds, from
// 0 to high.
func (v value) seconds(dst *int, high time.Duration) bool {
	if !v.present() {
		return false
	}
	if n, err := strconv.Atoi(v.node.Value); err == nil {
		if n < 0 || n > int(high/time.Second) {
			v.mistake(fmt.Sprintf("%.40q is out of range", v.node.Value), "seconds, from 0 to "+strconv.Itoa(int(high/time.Second)))
			return false
		}
		*dst = n
		return true
	}
	var d time.Duration
	if !v.duration(&d, 0, high) {
		return false
	}
	if d%time.Second != 0 {
		v.mistake("is not in whole seconds", "a number of seconds, or a time such as 5m")
		return false
	}
	*dst = int(d / time.Second)
	return true
}
