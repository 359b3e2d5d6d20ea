package forwarder

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// version is that of the protocol: servers know both, and 2 has TX_ACK.
const version = 2

var errSilent = errors.New("the server does not answer")

// session is the conversation over one socket.
type session struct {
	*Forwarder
	conn net.Conn

	up       bool // the server answers
	proven   bool // it has acknowledged a PUSH_DATA since it is up
	flights  []*flight
	pull     gwmp.Token // of the last PULL_DATA
	pulled   time.Time
	answered bool // that has been acknowledged
	unheard  int  // PULL_DATA in a row that were not
	reported time.Time
	reports  map[gwmp.Token]bool // stats that were sent
}

// flight is a PUSH_DATA that waits for its acknowledgement.
type flight struct {
	token   gwmp.Token
	entries []*entry
	gram    []byte
	sent    time.Time
	tries   int
	late    bool
}

// session talks to the server until ctx ends or the server is silent.
func (f *Forwarder) session(ctx context.Context, conn net.Conn) error {
	s := &session{Forwarder: f, conn: conn, reported: time.Now(), reports: map[gwmp.Token]bool{}}
	in := make(chan gwmp.Datagram)
	ended := make(chan struct{})
	failed := make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() { failed <- s.read(in, ended) })
	err := s.talk(ctx, in, failed)
	close(ended)
	conn.Close()
	reader.Wait()
	s.land()
	return err
}

// read hands over what comes in.
func (s *session) read(in chan<- gwmp.Datagram, ended <-chan struct{}) error {
	buf := make([]byte, gwmp.MaxDatagram+1)
	for {
		n, err := s.conn.Read(buf)
		if err != nil {
			return err
		}
		d, err := gwmp.Parse(buf[:n])
		if err != nil || d.Kind != gwmp.PushAck && d.Kind != gwmp.PullAck && d.Kind != gwmp.PullResp {
			s.mu.Lock()
			s.status.Garbage++
			s.mu.Unlock()
			s.log.Debug("datagram refused", "kind", d.Kind, "error", err)
			continue
		}
		d.Body = append([]byte(nil), d.Body...)
		select {
		case in <- d:
		case <-ended:
			return nil
		}
	}
}

// talk is the session's loop.
func (s *session) talk(ctx context.Context, in <-chan gwmp.Datagram, failed <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	if err := s.sendPull(); err != nil {
		return err
	}
	for {
		timer.Reset(time.Until(s.next()))
		select {
		case d := <-in:
			s.handle(ctx, d)
		case <-s.wake:
		case <-timer.C:
			if err := s.due(); err != nil {
				return err
			}
		case err := <-failed:
			return err // such as: nobody listens there
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.pump(); err != nil {
			return err
		}
	}
}

// next is when something is to be done without anything having come.
func (s *session) next() time.Time {
	at := s.pulled.Add(s.pause())
	for _, t := range s.flights {
		if late := t.sent.Add(s.cfg.AckWithin); late.Before(at) {
			at = late
		}
	}
	if report := s.reported.Add(s.cfg.StatEvery); report.Before(at) {
		at = report
	}
	return at
}

// pause is the time between PULL_DATA.
func (s *session) pause() time.Duration {
	if s.answered {
		return s.cfg.Keepalive
	}
	return s.cfg.Keepalive / 2
}

// due does what is to be done by the clock.
func (s *session) due() error {
	now := time.Now()
	for _, t := range s.flights {
		if now.Before(t.sent.Add(s.cfg.AckWithin)) {
			continue
		}
		if t.tries >= tries {
			// The way is closed, or the server's. What is under way goes back into the
			// queue, until a PULL_DATA is acknowledged.
			s.lower(fmt.Errorf("%w to PUSH_DATA", errSilent))
			if err := s.sendPull(); err != nil {
				return err
			}
			break
		}
		t.tries++
		t.sent = now
		s.mu.Lock()
		s.status.Again++
		s.mu.Unlock()
		if _, err := s.conn.Write(t.gram); err != nil {
			return err
		}
	}
	if !now.Before(s.pulled.Add(s.pause())) {
		if !s.answered {
			if s.unheard++; s.unheard >= tries {
				return fmt.Errorf("%w to PULL_DATA", errSilent)
			}
		}
		if err := s.sendPull(); err != nil {
			return err
		}
	}
	if !now.Before(s.reported.Add(s.cfg.StatEvery)) {
		return s.report(now)
	}
	return nil
}

// lower notes that the server does not answer.
func (s *session) lower(err error) {
	s.up, s.proven, s.answered = false, false, false
	s.land()
	s.setUp(false, fmt.Errorf("forwarder: %w", err))
}

// land takes back what is under way.
func (s *session) land() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.flights {
		for _, e := range t.entries {
			e.flying = false
		}
	}
	s.flights = nil
}

func newToken() gwmp.Token {
	n := rand.Uint32()
	return gwmp.Token{byte(n), byte(n >> 8)}
}

func (s *session) sendPull() error {
	s.pull, s.pulled, s.answered = newToken(), time.Now(), false
	_, err := s.conn.Write(gwmp.Datagram{Version: version, Token: s.pull, Kind: gwmp.PullData, EUI: s.cfg.EUI}.Append(nil))
	return err
}

// report sends the counters. It is not sent again: the next one comes soon.
func (s *session) report(now time.Time) error {
	s.reported = now
	s.mu.Lock()
	st := s.stat
	s.stat = gwmp.Stat{}
	if s.grams > 0 {
		st.Acked = 100 * float64(min(s.acks, s.grams)) / float64(s.grams)
	}
	s.grams, s.acks = 1, 0
	s.mu.Unlock()
	st.Time, st.Position = s.cfg.Clock.Now().Wall, s.cfg.Position
	token := newToken()
	clear(s.reports)
	s.reports[token] = true
	_, err := s.conn.Write(gwmp.Datagram{Version: version, Token: token, Kind: gwmp.PushData, EUI: s.cfg.EUI, Body: gwmp.AppendPush(nil, nil, &st)}.Append(nil))
	return err
}

// handle takes what came.
func (s *session) handle(ctx context.Context, d gwmp.Datagram) {
	switch d.Kind {
	case gwmp.PullAck:
		if d.Token == s.pull {
			s.answered, s.unheard = true, 0
			if !s.up {
				s.up = true
				s.setUp(true, nil)
			}
		}
	case gwmp.PushAck:
		s.landed(d.Token)
	case gwmp.PullResp:
		select {
		case s.downs <- struct{}{}:
			s.sends.Go(func() { // it may outlive the session
				defer func() { <-s.downs }()
				s.transmit(ctx, d)
			})
		default:
			s.answer(d.Token, gwmp.Ack{Error: gwmp.CollisionPacket}) // Semtech's word for a full queue
		}
	}
}

// landed handles a PUSH_ACK.
func (s *session) landed(token gwmp.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reports[token] {
		delete(s.reports, token)
		s.acks++
		return
	}
	for i, t := range s.flights {
		if t.token != token {
			continue
		}
		s.flights = append(s.flights[:i], s.flights[i+1:]...)
		s.proven = true
		s.acks++
		for _, e := range t.entries {
			e.flying = false
			if !e.gone {
				s.status.Forwarded++
				s.forget(e)
			}
		}
		s.pop()
		return
	}
}

// pump sends as many frames as may be under way.
func (s *session) pump() error {
	for s.up {
		most := 1 // until the server has shown that it takes them
		if s.proven {
			most = window
		}
		if len(s.flights) >= most || len(s.flights) > 0 && s.flights[len(s.flights)-1].late {
			return nil
		}
		t := s.board(len(s.flights) == 0)
		if t == nil {
			return nil
		}
		s.flights = append(s.flights, t)
		if _, err := s.conn.Write(t.gram); err != nil {
			return err
		}
	}
	return nil
}

// board makes a PUSH_DATA of the frames that are to go next; nil if there are none.
// Late ones only if nothing else is under way: the server must get them in order.
func (s *session) board(alone bool) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock.Now()
	t := &flight{token: newToken(), sent: time.Now(), tries: 1}
	var packets []gwmp.Rxpk
	size := 12
	for _, e := range s.queue {
		if e.gone || e.flying {
			continue
		}
		age, known := e.age(now)
		late := e.old || !known || age > s.cfg.LateAfter
		if late && s.cfg.Late == Drop {
			s.drop(e, &s.status.Late, "they are late")
			continue
		}
		size += 250 + len(e.packet.Data)*4/3
		if late && !alone || len(packets) > 0 && (late != t.late || size > gramSize || len(packets) == perGram) {
			break
		}
		p := e.packet
		p.Time = e.heard(now, late)
		if late {
			s.recent.add(p.Counter, e.radio, true)
			if s.cfg.Late == Mark {
				p.Late = max(age, time.Second)
			}
		}
		if !e.counts {
			e.counts = true
			s.stat.Forwarded++
		}
		e.flying, t.late = true, late
		t.entries = append(t.entries, e)
		packets = append(packets, p)
	}
	s.pop()
	if len(packets) == 0 {
		return nil
	}
	s.grams++
	t.gram = gwmp.Datagram{Version: version, Token: t.token, Kind: gwmp.PushData, EUI: s.cfg.EUI, Body: gwmp.AppendPush(nil, packets, nil)}.Append(nil)
	return t
}

// transmit has the radio send what the server wants to be sent.
func (s *session) transmit(ctx context.Context, d gwmp.Datagram) {
	t, err := gwmp.ParseTxpk(d.Body)
	if err == nil {
		s.mu.Lock()
		s.stat.Downlinks++
		s.status.Asked++
		s.mu.Unlock()
		if t.GPS != 0 { // no radio here has GPS time
			s.answer(d.Token, gwmp.Ack{Error: gwmp.GPSUnlocked})
			return
		}
		err = s.send(ctx, &t.Transmission, d.Token)
	}
	if err != nil {
		s.log.Debug("not sent", "error", err)
	} else {
		s.mu.Lock()
		s.stat.Sent++
		s.status.Sent++
		s.mu.Unlock()
	}
	s.answer(d.Token, gwmp.AckOf(err))
}

func (s *session) send(ctx context.Context, t *radio.Transmission, token gwmp.Token) error {
	if s.cfg.Radio == nil {
		return radio.ErrNoRadio
	}
	s.mu.Lock()
	if t.Radio = s.cfg.Name; t.Radio == "" {
		t.Radio = s.recent.last
	}
	name, late, ok := s.recent.find(t.Counter)
	s.mu.Unlock()
	if !t.Immediately {
		if ok && late {
			return fmt.Errorf("forwarder: the frame was heard long ago: %w", radio.ErrTooLate)
		}
		if ok {
			t.Radio = name
		}
	}
	t.ID = fmt.Sprintf("server-%x", token)
	return s.cfg.Radio.Send(ctx, t)
}

// answer sends a TX_ACK. It may be called from any goroutine.
func (s *session) answer(t gwmp.Token, a gwmp.Ack) {
	b := gwmp.Datagram{Version: version, Token: t, Kind: gwmp.TxAck, EUI: s.cfg.EUI, Body: a.Append(nil)}.Append(nil)
	if _, err := s.conn.Write(b); err != nil {
		s.log.Debug("TX_ACK not sent", "error", err)
	}
}
