package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// paces are what a test makes shorter.
type paces struct {
	look    time.Duration // between looks at what it should say
	every   time.Duration // at least, between publications for news
	backlog time.Duration // until a backlog that changed a little is news
	repair  time.Duration // at least, between repairs of an overwritten status
	stop    time.Duration // for what is in flight at a stop
	repeat  time.Duration // between the status values of Xively
}

var defaultPaces = paces{look: 2 * time.Second, every: 10 * time.Second, backlog: 5 * time.Minute, repair: time.Second,
	stop: 500 * time.Millisecond, repeat: 5 * time.Minute}

// StatusTopic is the topic of a gateway's retained status.
func StatusTopic(gatewayID string) string { return "gateways/" + gatewayID + "/status" }

// StatusPayload is the content of the status topic: a JSON object that begins
// with state ("online" or "offline"), session and gateway, followed by fields
// in the order of their names. A field that JSON cannot hold is left out.
func StatusPayload(state string, session uint64, gatewayID string, fields map[string]any) []byte {
	name, _ := json.Marshal(gatewayID)
	b := fmt.Appendf(nil, `{"state":%q,"session":%d,"gateway":%s`, state, session, name)
	if rest, err := json.Marshal(sendable(fields)); err == nil && len(rest) > 2 {
		b = append(append(b, ','), rest[1:len(rest)-1]...)
	}
	return append(b, '}')
}

// sendable leaves out what would hide or break the fields around it.
func sendable(fields map[string]any) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(fields))
	for k, v := range fields {
		if k == "state" || k == "session" || k == "gateway" {
			continue
		}
		if raw, err := json.Marshal(v); err == nil {
			out[k] = raw
		}
	}
	return out
}

// status is what one connection says on the status topic. It does not travel in
// the data queue.
type status struct {
	u       *Uplink
	topic   string
	session uint64
	broken  chan struct{} // somebody else wrote to the topic

	send  sync.Mutex // one publication after the other
	last  said       // of keep's goroutine, after the birth
	sent  time.Time
	other bool // a newer session was seen, of the library's goroutine
}

// said is what decides whether the status has news.
type said struct {
	rest    string
	backlog uint64
}

// newStatus numbers a connection. A number that no cloud has seen is taken
// again: while the network is away each attempt would cost a write to the disk.
func (u *Uplink) newStatus() *status {
	if !u.unused {
		n, err := u.cfg.Sessions.NextSession()
		if err != nil {
			u.log.Error("the session number could not be kept: it may be used again after a restart", "err", err)
		}
		u.session = max(n, u.session+1) // in any case larger than those of this process
	}
	return &status{u: u, topic: StatusTopic(u.cfg.GatewayID), session: u.session, broken: make(chan struct{}, 1)}
}

// payload is the message for a state.
func (b *status) payload(state string, fields map[string]any) []byte {
	return StatusPayload(state, b.session, b.u.cfg.GatewayID, fields)
}

func (b *status) will() *will {
	return &will{topic: b.topic, payload: b.payload("offline", nil), qos: 1, retain: true}
}

// look is what there is to say now, and what of it decides whether to say it.
func (b *status) look() (map[string]any, said) {
	fields := map[string]any{}
	if b.u.cfg.Status != nil {
		for k, v := range b.u.cfg.Status() {
			fields[k] = v
		}
	}
	now := b.u.cfg.Clock.Now()
	fields["clock"] = now.Quality.String()
	if n := b.u.counts.deadLettered.Load(); n > 0 {
		fields["dead_letters"] = n
	}
	delete(fields, "backlog")
	delete(fields, "time")
	rest, _ := json.Marshal(sendable(fields))
	records, oldest := b.u.Backlog()
	backlog := map[string]any{"records": records}
	if !oldest.IsZero() {
		backlog["oldest"] = oldest.UTC().Format(time.RFC3339)
	}
	fields["backlog"] = backlog
	fields["time"] = now.Wall.UTC().Format(time.RFC3339)
	return fields, said{string(rest), records}
}

// Backlog is how many records are not acknowledged by the cloud, and the time
// of the oldest of them (zero if there is none).
func (u *Uplink) Backlog() (records uint64, oldest time.Time) {
	if u.cfg.Backlog != nil {
		return u.cfg.Backlog()
	}
	records, first := u.behind()
	if records == 0 {
		return 0, time.Time{}
	}
	if recs, err := u.cfg.Log.Read(first, 1, 1); err == nil && len(recs) > 0 {
		oldest = recs[0].At
	}
	return records, oldest
}

// behind is how many records are not acknowledged, and the sequence to look for
// the first of them at (unless Config.Backlog counts).
func (u *Uplink) behind() (records, first uint64) {
	if u.cfg.Backlog != nil {
		records, _ = u.cfg.Backlog()
		return records, 0
	}
	head := u.cfg.Log.Head()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.acked.count(head), u.acked.Next
}

// news reports whether now is worth saying after before, when the last words
// are so old.
func (t paces) news(before, now said, age time.Duration) bool {
	switch {
	case age < t.every:
		return false
	case before.rest != now.rest:
		return true
	case before.backlog == now.backlog:
		return false
	case now.backlog == 0, age >= t.backlog:
		return true
	}
	// A few records are always on their way. Beyond, an order of magnitude counts.
	return max(before.backlog, now.backlog) >= 100 && digits(before.backlog) != digits(now.backlog)
}

func digits(n uint64) int { return len(strconv.FormatUint(n, 10)) }

// say publishes the state as it is now.
func (b *status) say(ctx context.Context, s *session, wait time.Duration, state string) error {
	b.send.Lock() // an online that is on its way goes out before an offline
	fields, now := b.look()
	if state == "online" {
		b.last, b.sent = now, time.Now()
	}
	r := s.conn.publish(&message{topic: b.topic, qos: 1, retain: true, payload: b.payload(state, fields)})
	b.send.Unlock()
	if err := s.await(ctx, wait, r); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

// birth says online and begins to listen to the topic.
func (b *status) birth(ctx context.Context, s *session) error {
	if err := b.say(ctx, s, b.u.cfg.AckTimeout, "online"); err != nil {
		return err
	}
	err := s.subscribe(ctx, b.u.cfg.AckTimeout, b.topic)
	if errors.Is(err, errRefused) {
		b.u.log.Warn("a late will of an older connection would not be noticed", "err", err)
		return nil
	}
	return err
}

// offline says so and waits for the acknowledgement.
func (b *status) offline(s *session) error {
	return b.say(context.Background(), s, offlineWait, "offline")
}

// seen looks at what is on the topic: an older session's will that came late
// makes the status wrong, as does anybody else's message.
func (b *status) seen(payload []byte) {
	var m struct {
		State   string `json:"state"`
		Session uint64 `json:"session"`
	}
	err := json.Unmarshal(payload, &m)
	switch {
	case err == nil && m.Session == b.session && m.State == "online":
	case err == nil && m.Session > b.session:
		if !b.other {
			b.other = true
			b.u.log.Error("the status topic has a newer session: does another gateway have the same id?",
				"session", b.session, "other", m.Session)
		}
	default:
		kick(b.broken)
	}
}

// keep publishes news until ctx ends. Failures are left to the data's side of
// the connection to notice, except a missing acknowledgement.
func (b *status) keep(ctx context.Context, s *session) {
	times := b.u.paces
	tick := time.NewTicker(times.look)
	defer tick.Stop()
	for {
		broken := false
		select {
		case <-ctx.Done():
			return
		case <-s.dead:
			return
		case <-tick.C:
		case <-b.u.refresh:
		case <-b.broken:
			broken = true
		}
		b.send.Lock()
		last, age := b.last, time.Since(b.sent)
		b.send.Unlock()
		if broken {
			if age < times.repair && !wait(ctx, times.repair-age) {
				return
			}
		} else if _, now := b.look(); !times.news(last, now, age) {
			continue
		}
		if err := b.say(ctx, s, b.u.cfg.AckTimeout, "online"); errors.Is(err, errAckTimeout) {
			s.fail(err)
			return
		}
	}
}
