package uplink

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// announcer says on one connection that the gateway is there.
type announcer interface {
	will() *will                                 // nil: none
	birth(ctx context.Context, s *session) error // nil: the cloud has answered
	keep(ctx context.Context, s *session)        // until ctx or the session ends
	offline(s *session) error                    // before a clean end
	seen(payload []byte)                         // a message to the data connection
}

// newAnnouncer numbers a connection.
func (u *Uplink) newAnnouncer() announcer {
	b := u.newStatus()
	if u.cfg.Dialect != Xively {
		return b
	}
	o := u.cfg.Xively
	x := &beacon{u: u, qos: o.QoS}
	if o.StatusDatastream != "" {
		x.topic = datastreamTopic(o.StatusFeed, o.StatusDatastream)
	}
	return x
}

// beacon is the status in the form of Xively: the value of a datastream, "1"
// from birth on and "0" as the will and after a clean stop. The cloud dates the
// values itself. A will of a former connection that comes after the birth is
// not seen from here; "1" is therefore said again every few minutes, which
// keeps the feed live as well (spec/xively.md section 2.1: 15 minutes).
type beacon struct {
	u     *Uplink
	topic string // "": there is no status
	qos   byte
}

func (b *beacon) will() *will {
	if b.topic == "" {
		return nil
	}
	return &will{topic: b.topic, payload: []byte("0"), qos: b.qos}
}

func (b *beacon) say(ctx context.Context, s *session, wait time.Duration, value string) error {
	m := message{topic: b.topic, payload: []byte(value), qos: b.qos, asked: b.qos == 0}
	if err := s.publish(ctx, wait, m); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}

func (b *beacon) birth(ctx context.Context, s *session) error {
	if b.topic == "" {
		return s.trip(ctx, b.u.cfg.AckTimeout)
	}
	return b.say(ctx, s, b.u.cfg.AckTimeout, "1")
}

func (b *beacon) keep(ctx context.Context, s *session) {
	if b.topic == "" {
		return
	}
	tick := time.NewTicker(b.u.paces.repeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.dead:
			return
		case <-tick.C:
		}
		if err := b.say(ctx, s, b.u.cfg.AckTimeout, "1"); errors.Is(err, errAckTimeout) {
			s.fail(err)
			return
		}
	}
}

func (b *beacon) offline(s *session) error {
	if b.topic == "" {
		return nil
	}
	return b.say(context.Background(), s, offlineWait, "0")
}

func (b *beacon) seen([]byte) {} // nothing is subscribed to
