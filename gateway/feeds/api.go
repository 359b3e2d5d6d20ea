package feeds

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// API answers requests. Its methods may be called from any goroutine.
type API struct {
	cfg      Config
	log      *slog.Logger
	requests requestLog
	triggers *triggers
	accounts *accounts
	table    map[xively.Resource]map[string]handler

	state  states
	urgent chan struct{} // something saved must go
	rights chan struct{} // devices, accounts or keys have changed
	subs   subscriptions
	pushes pushQueue
	saving sync.Mutex // one write to Tables.Feeds at a time

	reading chan struct{} // holds one for each history that is being read
	held    atomic.Int64  // bytes of answers that wait for the start of their subscriptions

	statuses [6]atomic.Uint64 // requests answered by the first digit of their status
	renders  atomic.Uint64
	pushed   atomic.Uint64
}

// Stats counts since the start.
type Stats struct {
	Requests      map[string]uint64 // answered requests by class of status: "2xx", "4xx", "5xx"
	Subscriptions int               // open now
	Pushes        uint64            // messages given to subscribers
	Renders       uint64            // documents written for them
	Dropped       uint64            // updates that a newer one of the same feed overtook
}

// saveEvery is the least time between two writes of running extremes: they may
// lag behind, a card must not wear for them.
const saveEvery = 5 * time.Minute

// New makes an API and loads its tables. The Hub must have its present values
// from before the start by then (Hub.Restore), and is not told of the API here:
// that is Hub.AddSink.
func New(cfg Config) (*API, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	for _, t := range []*gateway.Table{&cfg.Tables.Triggers, &cfg.Tables.Profiles, &cfg.Tables.Products} {
		*t = &cautious{Table: *t, log: cfg.Logger}
	}
	a := &API{cfg: cfg, log: cfg.Logger, reading: make(chan struct{}, maxReading)}
	a.table, a.urgent, a.rights = a.routes(), make(chan struct{}, 1), make(chan struct{}, 1)
	a.state.feeds, a.state.gone = map[string]*feed{}, map[string]bool{}
	a.subs.byFeed = map[uint64]map[*subscription]struct{}{}
	a.pushes.wake, a.pushes.pending = make(chan struct{}, 1), map[string][]*update{}
	a.state.marks.quiet = map[*gateway.Batch]bool{}
	a.loadFeeds()
	var err error
	if a.triggers, err = newTriggers(cfg, a.describe); err != nil {
		return nil, err
	}
	if a.accounts, err = newAccounts(cfg); err != nil {
		return nil, err
	}
	return a, nil
}

// Run pushes updates and sends notifications until ctx ends.
func (a *API) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { a.triggers.run(ctx) })
	wg.Go(func() { a.saveUntil(ctx) })
	for ctx.Err() == nil {
		if u := a.pushes.take(); u != nil {
			a.push(u)
			continue
		}
		select {
		case <-a.pushes.wake:
		case <-a.rights:
			a.grant()
		case <-ctx.Done():
		}
	}
	wg.Wait()
	return a.saveAll(true)
}

// saveUntil saves now and then until ctx ends.
func (a *API) saveUntil(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-a.urgent:
		case <-ctx.Done():
			return
		}
		if err := a.save(); err != nil {
			a.log.Error("extremes and waypoints are not saved", "error", err)
		}
	}
}

// Stats counts what passed.
func (a *API) Stats() Stats {
	s := Stats{Requests: map[string]uint64{}, Subscriptions: a.subs.count(), Pushes: a.pushed.Load(),
		Renders: a.renders.Load(), Dropped: a.pushes.dropped.Load()}
	for i := 2; i < len(a.statuses); i++ {
		s.Requests[fmt.Sprintf("%dxx", i)] = a.statuses[i].Load()
	}
	return s
}

// Owns reports whether an MQTT topic, or a filter without wildcards, is a
// request to the API.
func (a *API) Owns(topic string) bool {
	_, ok := xively.SplitTopic(topic)
	return ok
}

// Publish takes a message on one of the API's topics: PUT of an item, POST to a
// collection. Its retain flag does not count. Done is called exactly once, with
// an error of package gateway if the request was refused.
func (a *API) Publish(p gateway.Peer, m *gateway.Message, done func(error)) {
	t, ok := xively.SplitTopic(m.Topic)
	if !ok {
		done(fmt.Errorf("%w: not one of the API's", gateway.ErrBadTopic))
		return
	}
	c := a.newCall(context.Background(), gateway.Request{Peer: p, Door: "mqtt", Path: t.Path, Query: t.Query,
		Key: t.Key, Body: m.Payload, Wait: m.QoS > 0}, func(r gateway.Response) { done(r.Err) })
	a.handle(c, nil)
}

// Serve answers a request.
func (a *API) Serve(ctx context.Context, r gateway.Request) gateway.Response {
	r.Wait = true
	answer := make(chan gateway.Response, 1)
	c := a.newCall(ctx, r, func(resp gateway.Response) { answer <- resp })
	a.handle(c, nil)
	select {
	case resp := <-answer:
		return resp
	case <-ctx.Done():
		c.fail(ctx.Err()) // unless it was answered just now
		return <-answer
	}
}

// newCall makes a call that nobody answers yet.
func (a *API) newCall(ctx context.Context, r gateway.Request, done func(gateway.Response)) *call {
	return &call{Request: r, api: a, ctx: ctx, began: a.cfg.Clock.Now().Wall, done: done}
}

// handle answers c, now or once what it writes is on disk. Instead of the
// handler of its resource it calls instead, unless that is nil.
func (a *API) handle(c *call, instead func(handler)) {
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("request panicked", "method", c.Method, "path", a.shown(c.Path), "source", c.Source,
				"panic", p, "stack", string(debug.Stack()))
			c.fail(&xively.Error{Status: http.StatusInternalServerError, Title: "Internal Server Error", Text: "internal error"})
		}
	}()
	switch h := a.prepare(c); {
	case h == nil:
	case instead != nil:
		instead(h)
	default:
		h(c)
	}
}

// prepare finds out who asks for what; nil means that it has answered.
func (a *API) prepare(c *call) handler {
	path, bad := xively.ParsePath(c.Path, c.Query)
	c.path = path
	if c.Method == "" { // over MQTT
		c.Method = http.MethodPut
		if path.Resource.Collection() {
			c.Method = http.MethodPost
		}
	}
	if c.Method == http.MethodHead {
		c.Method = http.MethodGet
	}
	if c.Door == "http" && !path.Extension {
		c.path.Format = negotiated(c)
	}
	if err := a.identify(c); err != nil {
		c.fail(err)
		return nil
	}
	if bad != nil {
		c.fail(bad)
		return nil
	}
	h := a.table[path.Resource][c.Method]
	switch {
	case h == nil:
		c.fail(&xively.Error{Status: http.StatusMethodNotAllowed, Title: "Method Not Allowed",
			Text: fmt.Sprintf("%.10q is not possible here", c.Method)})
	case len(c.Body) > xively.MaxBody:
		c.fail(&xively.Error{Status: http.StatusRequestEntityTooLarge, Title: "Request Entity Too Large",
			Text: fmt.Sprintf("%d bytes, at most %d", len(c.Body), xively.MaxBody)})
		return nil
	case c.Door == "mqtt" && c.Method != http.MethodGet && len(c.Body) == 0:
		c.fail(&xively.Error{Status: http.StatusBadRequest, Title: "Bad Request",
			Text: "the payload is empty; nothing can be deleted over MQTT"})
		return nil
	}
	return h
}

// identify finds out whose rights count: those of a key that came with the
// request, else those of the connection.
func (a *API) identify(c *call) error {
	key := c.Key
	if key == "" {
		key = keyOf(c.Query)
	}
	if key == "" {
		c.subject = c.Peer.Subject
		return nil
	}
	s, err := a.cfg.Registry.KeyLogin(c.Addr, key)
	if err != nil {
		return err
	}
	c.subject = s
	return nil
}

// keyParameters can carry a key in a URL.
var keyParameters = []string{"key", "oauth_token"}

// keyOf gives the key in a query, "" without.
func keyOf(query string) string {
	if !strings.Contains(query, "key=") && !strings.Contains(query, "oauth_token=") {
		return ""
	}
	q, _ := url.ParseQuery(query) // what can be read of it
	for _, name := range keyParameters {
		if key := q.Get(name); key != "" {
			return key
		}
	}
	return ""
}

// shown is a path, maybe with a query, as it may stand in logs: without keys.
func (a *API) shown(path string) string { return xively.MaskPath(path, a.keyName) }

// keyName names a key in logs: by its id, or as one that nobody knows.
func (a *API) keyName(key string) string {
	if _, ok := a.cfg.Registry.Key(key); ok {
		return key // it is an id already
	}
	hash := access.HashKey(key)
	for _, k := range a.cfg.Registry.Keys() {
		if k.Hash == hash {
			return k.ID
		}
	}
	return "unknown-key"
}

// negotiated is the format that the headers of an HTTP request name, else the
// version's.
func negotiated(c *call) xively.Format {
	header := c.Accept
	if c.Method != http.MethodGet && c.Method != http.MethodDelete {
		header = c.ContentType
	}
	for part := range strings.SplitSeq(header, ",") {
		kind, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "application/json", "text/json":
			return xively.JSON
		case "application/xml", "text/xml":
			return xively.XML
		case "text/csv", "application/csv":
			return xively.CSV
		}
	}
	return c.path.Format
}
