package uplink

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/gateway/access"
)

const (
	// inboxMessages is how many messages may wait for the Hub. QoS 1 messages
	// beyond are not lost: the connection is given up and they come again.
	inboxMessages = 1000
	// notKeptPause is how long a connection goes on after the disk refused a
	// command, before it is given up so that the cloud sends the command again.
	notKeptPause = 30 * time.Second
)

var errFlood = errors.New("more messages from the cloud than can be handled")

// runDown keeps the connection for commands until ctx ends.
func (u *Uplink) runDown(ctx context.Context) {
	again := retries{backoff: u.cfg.Backoff, rand: u.cfg.Rand}
	d := down{u: u, held: map[string]byte{}, seen: map[string]handled{}}
	d.load()
	for ctx.Err() == nil {
		var lasted time.Duration
		inbox := make(chan mqtt.Message, inboxMessages)
		flood := make(chan struct{}, 1)
		s, err := u.connect(ctx, dialOptions{
			clientID: u.cfg.ClientID + "-down",
			manual:   true,
			receive: func(m mqtt.Message) {
				select {
				case inbox <- m:
				default:
					kick(flood)
				}
			},
		})
		if err == nil {
			u.update(func(st *State) { st.DownConnected, st.DownLastError = true, "" })
			u.echoes.up(true)
			err = d.serve(ctx, s, inbox, flood)
			u.echoes.up(false)
			lasted = time.Since(s.started)
		}
		if ctx.Err() != nil {
			u.update(func(st *State) { st.DownConnected, st.DownLastError = false, "" })
			return
		}
		u.update(func(st *State) { st.DownConnected, st.DownLastError = false, err.Error() })
		pause := again.next(lasted, false, errors.Is(err, errUnreached))
		u.log.Warn("connection for commands down", "err", err, "lasted", lasted.Round(time.Millisecond), "retry_in", pause.Round(time.Millisecond))
		if !wait(ctx, pause) {
			return
		}
	}
}

// down is what the connection for commands remembers between connections.
type down struct {
	u *Uplink

	mu   sync.Mutex
	held map[string]byte    // filters that the cloud's session has from us, with their QoS
	old  []string           // those of them that it had when this connection began
	seen map[string]handled // by topic
}

// load reads which filters the cloud's session was given before a restart.
func (d *down) load() {
	if d.u.cfg.Table == nil {
		return
	}
	err := d.u.cfg.Table.Each(func(key string, value []byte) error {
		if f, ok := strings.CutPrefix(key, d.key("")); ok && len(value) == 1 {
			d.held[f] = value[0]
		}
		return nil
	})
	if err != nil {
		d.u.log.Warn("what the cloud's session was subscribed to is not known", "err", err)
	}
}

func (d *down) key(filter string) string { return "down/" + d.u.cfg.Name + "/" + filter }

// keep stores the difference between was and d.held. It is called with d.mu
// held.
func (d *down) keep(was map[string]byte) {
	if d.u.cfg.Table == nil {
		return
	}
	pairs := map[string][]byte{}
	for f, qos := range d.held {
		if q, ok := was[f]; !ok || q != qos {
			pairs[d.key(f)] = []byte{qos}
		}
	}
	for f := range was {
		if _, ok := d.held[f]; !ok {
			pairs[d.key(f)] = nil
		}
	}
	if len(pairs) == 0 {
		return
	}
	if err := d.u.cfg.Table.Write(pairs); err != nil {
		d.u.log.Warn("what the cloud's session is subscribed to is not kept", "err", err)
	}
}

// begin notes what the cloud's session has from before this connection.
func (d *down) begin(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.old = nil
	if s.present {
		d.old = slices.Collect(maps.Keys(d.held))
		return
	}
	was := maps.Clone(d.held)
	clear(d.held)
	d.keep(was)
}

// stale reports whether a retained message tells nothing new: the session that
// the cloud has kept for us was subscribed to its topic all along, and was sent
// each command there when it was given. What is retained may be older than the
// last of them.
func (d *down) stale(topic string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.old, func(f string) bool { return access.MatchTopic(f, topic) })
}

// pending is a message that is with the Hub.
type pending struct {
	m    mqtt.Message
	done chan error // gets nil when the cloud may forget the message
}

// serve handles one connection until it ends.
func (d *down) serve(ctx context.Context, s *session, inbox <-chan mqtt.Message, flood <-chan struct{}) error {
	d.begin(s)
	acks := make(chan pending, inboxMessages)
	acked := make(chan struct{})
	go func() {
		defer close(acked)
		d.acknowledge(s, acks)
	}()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		if err := d.follow(ctx, s); err != nil {
			s.fail(err)
		}
	}()
	err := d.receive(ctx, s, inbox, flood, acks)
	close(acks)
	if errors.Is(err, errStopped) { // a moment for what is with the Hub
		timer := time.NewTimer(d.u.paces.stop)
		defer timer.Stop()
		select {
		case <-acked:
			s.disconnect()
			return err
		case <-timer.C:
		}
	}
	s.fail(err)
	<-acked
	d.u.bury(s)
	return err
}

// receive gives messages to the Hub in the order in which they come.
func (d *down) receive(ctx context.Context, s *session, inbox <-chan mqtt.Message, flood <-chan struct{}, acks chan<- pending) error {
	for {
		select {
		case m := <-inbox:
			select {
			case acks <- d.handle(m):
			case <-s.dead:
				return s.err
			case <-ctx.Done():
				return errStopped
			}
		case <-flood:
			return errFlood
		case <-s.dead:
			return s.err
		case <-ctx.Done():
			return errStopped
		}
	}
}

// acknowledge tells the cloud which messages it may forget, in the order in
// which they came (MQTT 3.1.1 section 4.6).
func (d *down) acknowledge(s *session, acks <-chan pending) {
	for p := range acks {
		select {
		case err := <-p.done:
			if err == nil {
				p.m.Ack()
				continue
			}
			timer := time.NewTimer(notKeptPause)
			select {
			case <-timer.C:
			case <-s.dead:
				timer.Stop()
			}
			s.fail(err)
		case <-s.dead:
		}
		for range acks { // the cloud will send them again
		}
	}
}

// follow keeps the subscriptions as they should be.
func (d *down) follow(ctx context.Context, s *session) error {
	want := d.u.downFilters()
	err := d.subscribe(ctx, s, nil, want)
	for err == nil {
		select {
		case <-d.u.devices:
			had := want
			want = d.u.downFilters()
			err = d.subscribe(ctx, s, had, want)
		case <-s.dead:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return err
}

// subscribe changes the subscriptions of this connection from had to want, and
// takes back what the cloud's session has beyond. What the cloud refuses is
// asked for again on the next connection.
func (d *down) subscribe(ctx context.Context, s *session, had, want map[string]byte) error {
	d.u.echoes.listen(want)
	d.mu.Lock()
	var gone []string
	for f := range d.held {
		if _, ok := want[f]; !ok {
			gone = append(gone, f)
		}
	}
	d.mu.Unlock()
	type request struct {
		filter string
		token  mqtt.Token
	}
	var requests []request
	for _, f := range gone {
		requests = append(requests, request{"", s.client.Unsubscribe(f)})
	}
	for f, qos := range want {
		if q, ok := had[f]; ok && q == qos {
			continue
		}
		select {
		case <-s.dead:
			return s.err
		default:
			requests = append(requests, request{f, s.client.Subscribe(f, qos, nil)})
		}
	}
	timer := time.NewTimer(d.u.cfg.AckTimeout)
	defer timer.Stop()
	var refused []string
	for _, r := range requests {
		select {
		case <-r.token.Done():
			if err := s.reason(r.token); err != nil {
				return err
			}
		case <-timer.C:
			return errAckTimeout
		case <-s.dead:
			return s.err
		case <-ctx.Done():
			return nil
		}
		if t, ok := r.token.(*mqtt.SubscribeToken); ok && !granted(t, r.filter) {
			refused = append(refused, r.filter)
		}
	}
	d.mu.Lock()
	was := maps.Clone(d.held)
	for _, f := range gone {
		delete(d.held, f)
	}
	for f, qos := range want {
		if slices.Contains(refused, f) {
			delete(d.held, f)
		} else {
			d.held[f] = qos
		}
	}
	d.keep(was)
	d.mu.Unlock()
	if len(refused) > 0 {
		d.u.log.Warn("the cloud refuses subscriptions: commands on them will not come", "filters", refused)
		d.u.update(func(st *State) { st.DownLastError = errRefused.Error() + ": " + refused[0] })
	}
	return nil
}
