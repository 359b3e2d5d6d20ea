package feeds

import (
	"encoding/json"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// Bounds of the request log.
const (
	requestsKept = 1000 // entries
	headBytes    = 256  // of a payload
	pathBytes    = 512  // of a path with its query
	textBytes    = 512  // of an error
	nameBytes    = 128  // of a client id or an address
	livePerSec   = 50   // entries published in one second
)

// Entry is one request in the request log.
type Entry struct {
	Time    time.Time `json:"time"`
	Door    string    `json:"door"`             // mqtt or http
	Client  string    `json:"client,omitempty"` // MQTT client id
	Addr    string    `json:"addr,omitempty"`   // of the client
	Key     string    `json:"key,omitempty"`    // label of the API key, or its id; never the key
	User    string    `json:"user,omitempty"`   // owner of the key, or account
	Method  string    `json:"method"`
	Path    string    `json:"path"` // with the query; keys in it are replaced
	Status  int       `json:"status"`
	Error   string    `json:"error,omitempty"`
	Payload string    `json:"payload,omitempty"` // head of the request's body
	Bytes   int       `json:"bytes"`             // of the body
}

// requestLog keeps the last requests in memory. The zero value is ready: what
// else it needs it takes from the calls' API. Each entry is also published on
// gateways/{id}/requests, but for those beyond livePerSec in a second, which
// the next message counts.
type requestLog struct {
	mu      sync.Mutex
	ring    []Entry
	next    int // where in ring the next one goes once it is full
	second  time.Duration
	sent    int    // published in that second
	skipped uint64 // not published since the last that was
}

// note takes in an answered call.
func (l *requestLog) note(c *call, r *gateway.Response) {
	e := entryOf(c, r)
	cfg := &c.api.cfg
	live := liveEntry{Entry: &e}
	publish := false

	l.mu.Lock()
	if len(l.ring) < requestsKept {
		l.ring = append(l.ring, e)
	} else {
		l.ring[l.next] = e
		l.next = (l.next + 1) % requestsKept
	}
	if cfg.Publish != nil {
		if s := cfg.Clock.Now().Mono.Truncate(time.Second); s != l.second {
			l.second, l.sent = s, 0
		}
		if publish = l.sent < livePerSec; publish {
			l.sent++
			live.Skipped, l.skipped = l.skipped, 0
		} else {
			l.skipped++
		}
	}
	l.mu.Unlock()

	if !publish {
		return
	}
	payload, err := json.Marshal(live)
	if err != nil { // no Entry is known for which it does
		c.api.log.Error("request not published", "error", err)
		return
	}
	cfg.Publish(gateway.Message{Topic: "gateways/" + cfg.GatewayID + "/requests", Payload: payload})
}

// liveEntry is what is published of an entry.
type liveEntry struct {
	*Entry
	Skipped uint64 `json:"skipped,omitempty"` // requests before this one that were not published
}

// Requests gives the last requests, the newest first.
func (a *API) Requests() []Entry {
	l := &a.requests
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.ring)
	out := make([]Entry, n)
	for i := range out {
		out[i] = l.ring[(l.next+n-1-i)%n]
	}
	return out
}

// entryOf describes an answered call.
func entryOf(c *call, r *gateway.Response) Entry {
	e := Entry{Time: c.began, Door: c.Door, Client: head(c.Client, nameBytes), Addr: head(c.Addr, nameBytes),
		User: c.subject.User, Method: c.Method, Status: r.Status, Bytes: len(c.Body), Payload: payloadHead(c)}
	if id := c.subject.Key; id != "" {
		e.Key = id
		if k, ok := c.api.cfg.Registry.Key(id); ok && k.Label != "" {
			e.Key = head(k.Label, nameBytes)
		}
	}
	asked := c.Path
	if c.Query != "" {
		asked += "?" + c.Query
	}
	shown := asked
	if mayHoldKey(c) {
		shown = c.api.shown(asked)
	}
	e.Path = head(shown, pathBytes)
	if r.Err != nil {
		text := r.Err.Error()
		if shown != asked { // the reason may repeat the path
			text = strings.ReplaceAll(text, asked, shown)
			if path, _, ok := strings.Cut(shown, "?"); ok || c.Query == "" {
				text = strings.ReplaceAll(text, c.Path, path)
			}
		}
		if c.Key != "" {
			text = strings.ReplaceAll(text, c.Key, "...")
		}
		e.Error = head(text, textBytes)
	}
	return e
}

// mayHoldKey reports whether the URL of c has a place for a key. Most have not,
// and need not be taken apart again.
func mayHoldKey(c *call) bool {
	switch c.path.Resource {
	case xively.ResourceKeys, xively.ResourceKey, xively.ResourceKeyRegenerate, xively.ResourceActivation, 0:
		return true
	}
	return c.Query != ""
}

// payloadHead is the beginning of the request's body. Those that hold a
// password or a key are left out, also where the URL is only nearly right.
func payloadHead(c *call) string {
	switch c.path.Resource {
	case xively.ResourceUsers, xively.ResourceUser,
		xively.ResourceKeys, xively.ResourceKey, xively.ResourceKeyRegenerate:
		return ""
	case 0:
		if p := strings.ToLower(c.Path); strings.Contains(p, "user") || strings.Contains(p, "key") || strings.Contains(p, "%") {
			return ""
		}
	}
	body := c.Body
	if len(body) > headBytes+utf8.UTFMax {
		body = body[:headBytes+utf8.UTFMax] // not all of it in a string
	}
	return head(string(body), headBytes)
}

// head is the beginning of s as valid UTF-8, at most n bytes. It holds on to no
// more memory than that.
func head(s string, n int) string {
	if len(s) <= n && utf8.ValidString(s) {
		return s
	}
	s = strings.ToValidUTF8(s[:min(len(s), n+utf8.UTFMax)], "\uFFFD")
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.Clone(s)
}
