package feeds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// maxUpdates bounds the updates that wait to be pushed. One more than that is
// kept of a feed that has none waiting yet.
const maxUpdates = 1024

// update is a new state of a feed that its subscribers are to see.
type update struct {
	*snapshot
	touched map[string]bool // sensors that changed
}

// pushQueue holds the updates that wait to be pushed, those of one feed in
// order.
type pushQueue struct {
	wake    chan struct{}
	dropped atomic.Uint64

	mu      sync.Mutex
	pending map[string][]*update // by device
	turn    []string             // devices with pending updates, the next first
	total   int
}

// add never blocks: if there is no room, the feed's oldest update goes. Those
// whom it was for see the new one.
func (q *pushQueue) add(u *update) {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := u.device.ID
	waiting := q.pending[id]
	switch {
	case len(waiting) == 0:
		q.turn = append(q.turn, id)
		q.total++
	case q.total >= maxUpdates:
		for sensor := range waiting[0].touched {
			u.touched[sensor] = true
		}
		waiting = waiting[1:]
		q.dropped.Add(1)
	default:
		q.total++
	}
	q.pending[id] = append(waiting, u)
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take gives the next update, nil if there is none. Feeds take turns.
func (q *pushQueue) take() *update {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.turn) == 0 {
		return nil
	}
	id := q.turn[0]
	q.turn = q.turn[1:]
	waiting := q.pending[id]
	u := waiting[0]
	q.total--
	if len(waiting) == 1 {
		delete(q.pending, id)
		return u
	}
	q.pending[id] = waiting[1:]
	q.turn = append(q.turn, id)
	return u
}

// subscriptions are those that updates are pushed to, by feed.
type subscriptions struct {
	mu     sync.RWMutex
	n      int
	byFeed map[uint64]map[*subscription]struct{}
}

func (l *subscriptions) add(s *subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byFeed[s.form.feed] == nil {
		l.byFeed[s.form.feed] = map[*subscription]struct{}{}
	}
	l.byFeed[s.form.feed][s] = struct{}{}
	l.n++
}

func (l *subscriptions) drop(s *subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.byFeed[s.form.feed]
	if _, ok := of[s]; !ok {
		return
	}
	l.n--
	if delete(of, s); len(of) == 0 {
		delete(l.byFeed, s.form.feed)
	}
}

func (l *subscriptions) count() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.n
}

func (l *subscriptions) any(feed uint64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.byFeed[feed]) > 0
}

func (l *subscriptions) all() []*subscription {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]*subscription, 0, l.n)
	for _, of := range l.byFeed {
		for s := range of {
			out = append(out, s)
		}
	}
	return out
}

func (l *subscriptions) of(feed uint64) []*subscription {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := make([]*subscription, 0, len(l.byFeed[feed]))
	for s := range l.byFeed[feed] {
		out = append(out, s)
	}
	return out
}

// subscription is one subscriber of a feed or a datastream.
type subscription struct {
	api     *API
	device  string
	form    form
	subject access.Subject
	addr    string
	push    func([]byte)

	mu        sync.Mutex // held while push runs
	started   bool
	cancelled bool
	denied    bool   // it may not see what is newest
	since     uint64 // version of the feed that it got at its last start
}

// Subscribe asks for the present state of what filter names and, where it is a
// feed or a datastream without a history query, for each update. Nothing is
// pushed before start is called, which pushes the present state first; nothing
// is after cancel has returned. If start is called again, as after messages
// were lost on their way, it pushes the present state again, and only newer
// updates follow; what is no feed or datastream is asked for again, but for an
// activation. Push must neither block nor call start or cancel, and must not
// change what it is given: others get the same bytes.
//
// The error, one of package gateway, says that the request is denied now. Start
// and cancel are nil then, unless the denial may end while the client waits: of
// a feed that the subject, an account or a key that is good, may not see now,
// or of a datastream that its feed has not now. Such a subscription is an open
// one. Rights are looked at with each update, so that it gets the first one
// after it may see it. Whoever does not want that calls cancel.
func (a *API) Subscribe(p gateway.Peer, filter string, push func(payload []byte)) (start, cancel func(), err error) {
	t, ok := xively.SplitTopic(filter)
	if !ok {
		return nil, nil, fmt.Errorf("%w: not one of the API's", gateway.ErrBadTopic)
	}
	answer := make(chan gateway.Response, 1)
	c := a.newCall(context.Background(), gateway.Request{Peer: p, Door: "mqtt", Method: http.MethodGet,
		Path: t.Path, Query: t.Query, Key: t.Key}, func(r gateway.Response) { answer <- r })
	var sub *subscription
	a.handle(c, func(h handler) {
		if live, err := a.live(c); err != nil {
			c.fail(err)
		} else if !live {
			h(c)
		} else {
			sub = a.subscribe(c, push)
		}
	})
	resp := <-answer
	err = resp.Err
	if resp.Status == http.StatusNotFound {
		err = refusal{gateway.ErrBadTopic, err}
	}
	switch {
	case sub != nil:
		a.subs.add(sub)
		return sub.start, sub.cancel, err
	case err != nil:
		return nil, nil, err
	}
	one := a.newOnce(c, resp.Body, push)
	return one.start, one.cancel, nil
}

// subscribe answers whether c may see what it asks for now, and makes the
// subscription if it may, or may later.
func (a *API) subscribe(c *call, push func([]byte)) *subscription {
	_, err := a.viewed(c)
	if err != nil {
		c.fail(err)
	} else {
		c.answer(gateway.Response{Status: http.StatusOK, ContentType: c.path.Format.ContentType()})
	}
	later := errors.Is(err, gateway.ErrUnknownSensor) ||
		errors.Is(err, gateway.ErrDenied) && !errors.Is(err, access.ErrBadCredentials)
	d, ok := a.cfg.Registry.Feed(c.path.Feed)
	if !ok || err != nil && !later {
		return nil
	}
	return &subscription{api: a, device: d.ID, form: formOf(&c.path), subject: c.subject, addr: c.Addr, push: push}
}

// live reports whether c asks for what is pushed at each update.
func (a *API) live(c *call) (bool, error) {
	if c.path.Resource != xively.ResourceFeed && c.path.Resource != xively.ResourceDatastream {
		return false, nil
	}
	_, at, asked, err := xively.ParseWindow(c.path.Query, c.began, 0)
	return !asked && at.IsZero(), err
}

// start pushes the present state, and lets those updates follow that are newer.
func (s *subscription) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancelled {
		return
	}
	s.started = true
	s.present()
}

// present shows what the feed is now. s.mu is held.
func (s *subscription) present() {
	snap, ok := s.api.snapshotOf(s.device)
	if !ok {
		s.denied = true
		return
	}
	s.since = snap.version
	s.show(snap, nil)
}

// RightsChanged is to be called when devices, accounts or keys have changed:
// who was denied the newest state of a feed, and may see it now, gets it. It
// does not block.
func (a *API) RightsChanged() {
	select {
	case a.rights <- struct{}{}:
	default:
	}
}

// grant shows their feeds to those who were denied them.
func (a *API) grant() {
	for _, s := range a.subs.all() {
		s.again()
	}
}

func (s *subscription) again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.api.caught(s.device)
	if s.denied && s.started && !s.cancelled {
		s.present()
	}
}

// caught ends a push that panicked, and nothing else.
func (a *API) caught(device string) {
	if p := recover(); p != nil {
		a.log.Error("push panicked", "device", device, "panic", p, "stack", string(debug.Stack()))
	}
}

func (s *subscription) cancel() {
	s.api.subs.drop(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelled = true
}

// show pushes snap unless the subscriber may not see it now. Rendered holds the
// documents of snap that exist already, nil if there is nobody to share with.
func (s *subscription) show(snap *snapshot, rendered map[form][]byte) {
	a := s.api
	s.denied = true
	if _, err := a.canView(s.subject, s.ask(), snap.device.Feed, s.form); err != nil {
		return
	}
	body, ok := rendered[s.form]
	if !ok {
		var err error
		if body, err = a.render(snap, s.form); err != nil {
			return // the datastream is gone
		}
		a.renders.Add(1)
		if rendered != nil {
			rendered[s.form] = body
		}
	}
	if s.denied = false; len(body) == 0 {
		return // the bare value of a datastream that never had one: nothing is no state
	}
	a.pushed.Add(1)
	s.push(body)
}

func (s *subscription) ask() access.Ask {
	return access.Ask{Method: "get", Right: access.View, Addr: s.addr}
}

// push gives u to all who are to see it. A document that several see is written
// once.
func (a *API) push(u *update) {
	defer a.caught(u.device.ID)
	rendered := map[form][]byte{}
	for _, s := range a.subs.of(u.device.Feed) {
		if s.form.resource != xively.ResourceDatastream || u.touched[xively.SensorID(s.form.stream)] {
			s.offer(u, rendered)
		}
	}
}

// offer shows u unless the subscriber has seen it at its start.
func (s *subscription) offer(u *update, rendered map[form][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started && !s.cancelled && u.version > s.since && s.device == u.device.ID {
		s.show(u.snapshot, rendered)
	}
}
