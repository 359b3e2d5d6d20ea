package broker

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// longFilters is how much longer than other filters one to the API may be, by
// Limits.TopicBytes: it holds a key and a query.
const longFilters = 4

// watch is a subscription to the API by a session that is connected. What the
// API pushes goes to that session only, and ends with the connection.
//
// A session that outlives its connections keeps its subscriptions to the API,
// without a watch while it is absent: nothing is queued for it then, and the
// present state comes when it is back. They outlive the process too, unless a
// filter has an API key in it. Keys are to be nowhere on the card, so that a
// session with such a filter is not kept on disk at all: after a restart of the
// gateway its client is told that no session is present, and subscribes anew.
type watch struct {
	sub    *subscription
	over   atomic.Bool // nothing more is sent; set under the session's lock
	behind int         // bytes of the last push if it was dropped for want of room, else 0; under the session's lock
	begin  func()      // pushes the present state
	cancel func()
	turn   sync.Mutex // one start at a time
}

// start has the API push the present state. It must not be called under the
// session's lock.
func (w *watch) start() {
	w.turn.Lock()
	defer w.turn.Unlock()
	if !w.over.Load() {
		w.begin()
	}
}

// push sends one message of the API. The API decides each time whether the
// client may have it.
func (w *watch) push(payload []byte) {
	s, topic := w.sub.sess, w.sub.filter
	defer s.b.caught("push")
	m := &message{topic: topic, payload: payload, reach: reachRequest, watch: w,
		size: len(topic) + len(payload) + messageOverhead}
	var ids []int
	if w.sub.id > 0 {
		ids = []int{w.sub.id}
	}
	s.send(m, 0, false, ids)
}

// watch asks the API for sub. With an error there is a watch nevertheless if
// what is denied now may come later. It must not be called under the session's
// lock, which a push takes.
func (c *conn) watch(sub *subscription) (*watch, error) {
	w := &watch{sub: sub}
	s := c.sess
	var err error
	w.begin, w.cancel, err = c.b.api.Subscribe(peer(s.subject, s.clientID, s.key, c.remote, c.source), sub.filter, w.push)
	if w.begin == nil || w.cancel == nil {
		return nil, err
	}
	return w, err
}

// unwatch ends watches; nil is none. It must not be called under the session's
// lock.
func unwatch(watches ...*watch) {
	for _, w := range watches {
		if w != nil {
			w.over.Store(true)
			w.cancel()
		}
	}
}

// subscribeAPI handles one filter that is a request to the API. It gives the
// code for SUBACK, a reason for a failure, and what to call after SUBACK; nil
// if nothing is to come. A client before MQTT 5 is not told of a denial. Its
// session keeps the filter, as it was granted: what is denied comes when the API
// grants it later, or is asked for again when the session resumes.
func (c *conn) subscribeAPI(sub *subscription) (code byte, reason string, start func()) {
	s, b := c.sess, c.b
	if sub.share != "" { // the API answers who asked it, and nobody else
		if c.version < 5 {
			return codeSuccess, "", nil
		}
		return codeSharedUnsupported, "the API has no shared subscriptions", nil
	}
	sub.makeAPI()
	if !s.mayAdd(sub.filter) {
		return codeQuota, refusedFilter(codeQuota, b.masked(sub.filter)), nil
	}
	w, err := c.watch(sub)
	tooLong := len(sub.filter) > longFilters*b.limits.TopicBytes
	if tooLong || err != nil && c.version == 5 {
		unwatch(w, s.removeSub(sub.filter))
		switch {
		case err == nil:
			return codeFilterInvalid, refusedFilter(codeFilterInvalid, b.masked(sub.filter)), nil
		case c.version < 5:
			return codeSuccess, "", nil
		}
		code, reason = denial(err)
		return code, reason, nil
	}
	sub.watch = w
	old, ok := s.putAPI(sub)
	unwatch(old)
	if !ok {
		unwatch(w)
		return codeUnspecified, refusedFilter(codeUnspecified, b.masked(sub.filter)), nil
	}
	if w == nil {
		return codeSuccess, "", nil
	}
	return codeSuccess, "", w.start
}

// makeAPI makes a subscription one to the API: at QoS 0, and what is pushed is
// nobody's publish.
func (sub *subscription) makeAPI() {
	sub.api, sub.secret = true, secretive(sub.filter)
	sub.qos, sub.noLocal, sub.asPublished, sub.retainHandling = 0, false, false, 0
}

// denial is verdict for a SUBSCRIBE (MQTT 5.0 section 3.9.3).
func denial(err error) (code byte, reason string) {
	code, reason, silent := verdict(err)
	switch {
	case silent:
		return codeUnspecified, reasonString(err)
	case code == codeNotAuthorized:
		return code, reason
	case code == codeTopicInvalid:
		return codeFilterInvalid, reason
	}
	return codeUnspecified, reason
}

// mayAdd says whether there is room for a subscription to filter.
func (s *session) mayAdd(filter string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, existed := s.subs[filter]
	return existed || !s.full()
}

// full says whether there is no room for one more subscription, and logs that.
// Needs s.mu.
func (s *session) full() bool {
	b := s.b
	total := b.subscriptions()
	if len(s.subs) < b.limits.Filters && total < b.limits.FiltersTotal {
		return false
	}
	b.notice("filters", "too many subscriptions", "client", s.clientID, "of_client", len(s.subs), "in_total", total)
	return true
}

// subscriptions counts those of all sessions.
func (b *Broker) subscriptions() int { return b.index.len() + int(b.apiSubs.Load()) }

// putAPI notes a subscription to the API, in the place of the session's one
// with the same filter, whose watch it gives. False: the session has ended.
func (s *session) putAPI(sub *subscription) (old *watch, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, false
	}
	old, _ = s.dropSub(sub.filter)
	s.addAPI(sub)
	s.metaDirty = true
	s.markDirty()
	return old, true
}

// addAPI counts sub in. Needs s.mu.
func (s *session) addAPI(sub *subscription) {
	s.subs[sub.filter] = sub
	s.b.apiSubs.Add(1)
	if sub.secret {
		s.secrets++
	}
}

// removeSub takes a subscription off the session and gives its watch.
func (s *session) removeSub(filter string) *watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, _ := s.dropSub(filter)
	return w
}

// dropSub takes the subscription to filter, if there is one, off the session.
// A watch is for the caller to end, without the lock. Needs s.mu.
func (s *session) dropSub(filter string) (w *watch, ok bool) {
	sub, ok := s.subs[filter]
	if !ok {
		return nil, false
	}
	delete(s.subs, filter)
	s.metaDirty = true
	s.markDirty()
	if !sub.api {
		s.b.index.remove(sub)
		return nil, true
	}
	s.b.apiSubs.Add(-1)
	if sub.secret {
		s.secrets--
	}
	if sub.watch != nil {
		sub.watch.over.Store(true)
	}
	return sub.watch, true
}

// pause takes the watches off a session whose connection has ended. They are
// for the caller to end, without the lock. Needs s.mu.
func (s *session) pause() (out []*watch) {
	for _, sub := range s.subs {
		if sub.watch != nil {
			sub.watch.over.Store(true)
			out = append(out, sub.watch)
			sub.watch = nil
		}
	}
	s.lagging = nil
	return out
}

// watchAgain asks the API for what a session that was resumed is subscribed to,
// in the order of filters. What is denied now, and for good, is asked for again
// next time: its client was told in SUBACK that it has the subscription.
func (c *conn) watchAgain() {
	s := c.sess
	s.mu.Lock()
	var subs []*subscription
	for _, sub := range s.subs {
		if sub.api && c.b.api != nil {
			subs = append(subs, sub)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(subs, func(a, b *subscription) int { return cmp.Compare(a.filter, b.filter) })
	for _, sub := range subs {
		w, _ := c.watch(sub) // the API's request log tells of a denial
		if w == nil {
			continue
		}
		s.mu.Lock()
		current := s.conn == c
		if current {
			sub.watch = w
		}
		s.mu.Unlock()
		if !current {
			unwatch(w)
			return
		}
		w.start()
	}
}
