package uplink

import (
	"sync/atomic"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fieldgate/gateway"
)

// parcel is one publish on its way.
type parcel struct {
	message
	covers gateway.Range // records that are acknowledged with it; From > To: none
	about  gateway.Range // records that it is made of, or part of (a batch)
	batch  bool
	back   bool // of the backlog stream
	token  mqtt.Token
}

// lane sends parcels in order and reports them back, in the same order, as the
// cloud acknowledges them. What is to be asked for at QoS 0 it sends in groups
// with a round trip behind each, whose answer counts for the group. It never makes its user wait for the client library:
// what hangs in there hangs in a goroutine of the lane, which the session's
// wait group knows.
type lane struct {
	out    chan *parcel // to be sent; closed by its user
	posted chan *parcel // sent
	acked  chan *parcel // acknowledged; closed at the end
	// overtaken says, once acked is closed, that the cloud acknowledged
	// something after the oldest publish that it did not acknowledge.
	overtaken atomic.Bool
	group     int          // parcels with one round trip, at most
	count     atomic.Int64 // parcels that went out
}

// newLane starts a lane for at most window parcels at once; with that, sending
// to out never blocks.
func newLane(s *session, window, group int) *lane {
	l := &lane{
		group:  group,
		out:    make(chan *parcel, window),
		posted: make(chan *parcel, window),
		acked:  make(chan *parcel, window),
	}
	s.wg.Add(2)
	go func() {
		defer s.wg.Done()
		l.post(s)
	}()
	go func() {
		defer s.wg.Done()
		l.watch(s)
	}()
	return l
}

func (l *lane) post(s *session) {
	defer close(l.posted)
	var open []*parcel // sent, with no round trip behind them yet
	for p := range l.out {
		if !s.conn.hold() {
			return
		}
		if !p.asked && len(open) > 0 {
			l.ask(s, open)
			open = open[:0]
		}
		p.token = s.client.Publish(p.topic, p.qos, p.retain, p.payload)
		l.count.Add(1)
		if !p.asked {
			l.posted <- p
			continue
		}
		open = append(open, p)
		if len(l.out) == 0 || len(open) >= l.group {
			l.ask(s, open)
			open = open[:0]
		}
	}
}

// ask sends a round trip behind parcels.
func (l *lane) ask(s *session, group []*parcel) {
	token := s.ask(group[len(group)-1].token)
	for _, p := range group {
		if p.token.Error() == nil {
			p.token = token
		}
		l.posted <- p
	}
}

func (l *lane) watch(s *session) {
	defer close(l.acked)
	for p := range l.posted {
		select {
		case <-p.token.Done():
		case <-s.dead:
		}
		if !completed(p.token) {
			if err := s.reason(p.token); err != nil {
				s.fail(err)
			}
			break
		}
		l.acked <- p
	}
	for {
		select {
		case p, ok := <-l.posted:
			if !ok {
				return
			}
			if p.answered() && completed(p.token) {
				l.overtaken.Store(true)
			}
		default:
			return
		}
	}
}

// completed reports whether the cloud has acknowledged the publish of t.
func completed(t mqtt.Token) bool {
	select {
	case <-t.Done():
		return t.Error() == nil
	default:
		return false
	}
}
