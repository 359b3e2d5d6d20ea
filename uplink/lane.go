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
// cloud acknowledges them. It never makes its user wait for the client library:
// what hangs in there hangs in a goroutine of the lane, which the session's
// wait group knows.
type lane struct {
	out    chan *parcel // to be sent; closed by its user
	posted chan *parcel // sent
	acked  chan *parcel // acknowledged; closed at the end
	// overtaken says, once acked is closed, that the cloud acknowledged
	// something after the oldest publish that it did not acknowledge.
	overtaken atomic.Bool
	count     atomic.Int64 // parcels that went out
}

// newLane starts a lane for at most window parcels at once; with that, sending
// to out never blocks.
func newLane(s *session, window int) *lane {
	l := &lane{
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
	for p := range l.out {
		if !s.conn.hold() {
			return
		}
		p.token = s.client.Publish(p.topic, p.qos, p.retain, p.payload)
		l.count.Add(1)
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
			if p.qos > 0 && completed(p.token) {
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
