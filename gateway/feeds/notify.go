package feeds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// Bounds of notifications.
const (
	queueLength   = 256              // notifications that wait; a new one pushes out the oldest
	underway      = 64               // those taken up, being made or pausing before another attempt
	deliveries    = 4                // requests at once
	deliveryTime  = 10 * time.Second // of one request, its answer included
	deliveryReply = 64 << 10         // bytes of an answer that are read
)

// deliveryPauses come before the second and each further attempt.
var deliveryPauses = []time.Duration{time.Second, 5 * time.Second}

// firing is one notification to be sent.
type firing struct {
	trigger *trigger
	device  *gateway.Device
	text    string    // the value that made it fire
	at      time.Time // of that value
	when    time.Time // it fired
}

// newClient makes what sends notifications. It follows no redirect: who may
// set a trigger must not be able to send the gateway elsewhere than to its URL.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
			MaxResponseHeaderBytes: deliveryReply}
	}
	return &http.Client{Transport: transport, Timeout: deliveryTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fire queues a notification.
func (t *triggers) fire(tr *trigger, d *gateway.Device, text string, at time.Time, now gateway.Stamp) {
	if !t.permitted(tr, d) {
		return
	}
	f := &firing{trigger: tr, device: d, text: text, at: at, when: now.Wall}
	for {
		select {
		case t.queue <- f:
			return
		default:
		}
		select {
		case <-t.queue:
			t.dropped.Add(1)
		default:
		}
	}
}

// run sends notifications until ctx ends.
func (t *triggers) run(ctx context.Context) {
	for _, tr := range t.all() {
		t.prime(tr)
	}
	t.started.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { t.dispatch(ctx) })
	ticks := t.ticks
	if ticks == nil {
		ticker := time.NewTicker(checkEvery)
		defer ticker.Stop()
		ticks = ticker.C
	}
	var told uint64
	for ctx.Err() == nil {
		select {
		case <-ticks:
			t.freeze()
			t.save(false)
			if n := t.dropped.Load(); n != told {
				t.log.Warn("notifications of triggers were dropped: too many wait", "count", n-told)
				told = n
			}
		case <-ctx.Done():
		}
	}
	wg.Wait()
	t.save(true)
	t.client.CloseIdleConnections()
}

// dispatch takes notifications from the queue until ctx ends.
func (t *triggers) dispatch(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	room := make(chan struct{}, underway)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case f := <-t.queue:
			wg.Go(func() {
				defer func() { <-room }()
				t.deliver(ctx, f)
			})
		case <-ctx.Done():
			return
		}
	}
}

// deliver sends one notification, more than once if need be.
func (t *triggers) deliver(ctx context.Context, f *firing) {
	tr := f.trigger
	log := t.log.With("trigger", tr.ID, "feed", tr.Feed, "datastream", tr.Datastream, "host", hostOf(tr.URL))
	body, ok := t.body(f)
	if !ok {
		return
	}
	for attempt := 0; ; attempt++ {
		if t.get(tr.ID) != tr {
			return // changed or deleted meanwhile
		}
		again, err := t.attempt(ctx, tr.URL, body)
		switch {
		case err == nil:
			t.notified(tr)
			log.Info("trigger notified")
			return
		case ctx.Err() != nil:
			log.Warn("notification of a trigger given up: the gateway stops")
			return
		case !again || attempt >= len(deliveryPauses):
			log.Warn("notification of a trigger failed", "attempts", attempt+1, "error", err)
			return
		}
		if t.pause(ctx, deliveryPauses[attempt]) != nil {
			log.Warn("notification of a trigger given up: the gateway stops", "error", err)
			return
		}
	}
}

// hostOf is the host of a URL, whose path and query may hold secrets.
func hostOf(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	return u.Host
}

// describe is the describer of New.
func (a *API) describe(device, sensor string) (*xively.Feed, xively.Datastream, bool) {
	snap, ok := a.snapshotOf(device)
	if !ok {
		return nil, xively.Datastream{}, false
	}
	i, ok := snap.index[sensor]
	if !ok {
		return nil, xively.Datastream{}, false
	}
	return a.document(snap, false), snap.datastream(i), true
}

// body is what is sent; false if the datastream is gone.
func (t *triggers) body(f *firing) ([]byte, bool) {
	tr := f.trigger
	feed, stream, ok := t.describe(f.device.ID, tr.sensor().sensor)
	if !ok {
		return nil, false
	}
	stream.ID, stream.Value, stream.At = tr.Datastream, f.text, f.at
	return xively.AppendNotification(nil, &xively.Notification{Trigger: tr.shown(), TriggerURL: t.url(tr.ID),
		At: f.when, Feed: feed, Datastream: stream}), true
}

// attempt makes one request. Again tells whether another one may help: the
// connection failed, or the other side says that the fault is its own.
func (t *triggers) attempt(ctx context.Context, target string, body []byte) (again bool, err error) {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the URL is bad")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "fieldgate")
	resp, err := t.client.Do(req)
	if err != nil {
		var bad *url.Error
		if errors.As(err, &bad) {
			err = bad.Err // without the URL
		}
		return true, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, deliveryReply)) // the status says all
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode >= 500, fmt.Errorf("answered with status %d", resp.StatusCode)
	}
	return false, nil
}
