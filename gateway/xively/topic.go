package xively

import (
	"net/url"
	"strings"
)

// roots are the resources at the top of the API, in the order of how often they
// are asked for.
var roots = [...]string{"feeds", "keys", "triggers", "users", "products", "devices"}

// maxKey is the longest API key in a topic, in bytes.
const maxKey = 128

// SplitTopic takes an MQTT topic or filter apart:
//
//	["/"] [KEY "/"] VERSION "/" RESOURCE ["?" QUERY]
//
// Ok is false if it is none of the API's: its path must go on with the name of
// a resource, unless there is a slash and no key in front, or what is in front
// looks like a key and like nothing else; and a key must not be the first level
// of another kind of topic ("devices", "gateways", "$..."). A wildcard makes it
// none of the API's.
// VERSION is "v" with one or two digits, so that a request for a version that
// there is not is refused (by ParsePath) and logged, not taken for another kind
// of topic. It allocates nothing for other topics.
func SplitTopic(topic string) (t Topic, ok bool) {
	from := 0
	if strings.HasPrefix(topic, "/") {
		from = 1
	}
	// What follows a version need not be known where nothing but a request looks
	// like that: a misspelt one is to be answered, and noted, as one.
	if !atVersion(topic[from:], from == 1) {
		i := strings.IndexByte(topic[from:], '/')
		if i < 0 || !atVersion(topic[from+i+1:], i >= likeKey) {
			return Topic{}, false
		}
		if t.Key, ok = topicKey(topic[from : from+i]); !ok {
			return Topic{}, false
		}
		from += i + 1
	}
	if strings.ContainsAny(topic, "+#") {
		return Topic{}, false
	}
	if from == 0 {
		topic, from = "/"+topic, 1
	}
	t.Path, t.Query, _ = strings.Cut(topic[from-1:], "?")
	return t, true
}

// likeKey is the length in bytes from which a level looks like a key and like
// nothing else.
const likeKey = 20

// atVersion reports whether s goes on with a version and a resource, or with a
// version and anything.
func atVersion(s string, anything bool) bool {
	level, rest, _ := strings.Cut(s, "/")
	if !versionLevel(level) {
		return false
	}
	if anything {
		return true
	}
	for _, root := range roots {
		if after, ok := strings.CutPrefix(rest, root); ok {
			return after == "" || after[0] == '/' || after[0] == '.' || after[0] == '?'
		}
	}
	return false
}

// versionLevel reports whether s looks like a version, be there one or not.
func versionLevel(s string) bool {
	if len(s) < 2 || len(s) > 3 || s[0] != 'v' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// topicKey reads a topic's first level as an API key.
func topicKey(level string) (key string, ok bool) {
	if len(level) > 3*maxKey {
		return "", false
	}
	key = level
	if strings.IndexByte(level, '%') >= 0 {
		var err error
		if key, err = url.PathUnescape(level); err != nil {
			return "", false
		}
	}
	if key == "" || len(key) > maxKey || key == "devices" || key == "gateways" {
		return "", false
	}
	if !keyText(key) {
		return "", false
	}
	return key, true
}
