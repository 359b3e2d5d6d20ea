package semtech

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// Send implements radio.Radio: it hands t to its forwarder and waits until that
// says whether it will be sent, see the package's documentation. Besides the
// errors of package radio it gives that of ctx.
func (s *Server) Send(ctx context.Context, t *radio.Transmission) error {
	body, err := gwmp.AppendTxpk(nil, t, 0)
	if err != nil {
		return fmt.Errorf("semtech: %w", err)
	}
	if t.Immediately {
		if err := s.hold(ctx, t); err != nil {
			return fmt.Errorf("semtech: %s: %w", t.Radio, err)
		}
	}
	q, err := s.ask(t.Radio)
	if err != nil {
		return fmt.Errorf("semtech: %s: %w", t.Radio, err)
	}
	b := gwmp.Datagram{Version: q.version, Token: q.token, Kind: gwmp.PullResp, Body: body}.Append(nil)
	if _, err = q.sock.WriteToUDPAddrPort(b, q.to); err != nil {
		err = fmt.Errorf("%w: %w", radio.ErrDown, err)
	} else if q.version > 1 {
		err = s.await(ctx, q)
	}
	s.mu.Lock()
	if q.gateway.pending[q.token] == q.answer {
		delete(q.gateway.pending, q.token)
	}
	if err == nil {
		q.gateway.count.Sent++
	} else {
		q.gateway.count.Unsent++
	}
	s.mu.Unlock()
	if err != nil {
		return fmt.Errorf("semtech: %s: %w", t.Radio, err)
	}
	return nil
}

// between is the room between two immediate transmissions: what their ways to the
// forwarder may differ by.
const between = 100 * time.Millisecond

// hold waits until the immediate transmission before t has left. Semtech's
// forwarder acknowledges one that comes while it sends, and then drops it.
func (s *Server) hold(ctx context.Context, t *radio.Transmission) error {
	e, err := gwmp.ParseEUI(t.Radio)
	if err != nil {
		return radio.ErrNoRadio
	}
	s.mu.Lock()
	g := s.gateways[e]
	if g == nil {
		s.mu.Unlock()
		return radio.ErrNoRadio
	}
	now := time.Now()
	begin := g.free
	if begin.Before(now) {
		begin = now
	}
	g.free = begin.Add(radio.Airtime(t.Modulation, len(t.Payload), radio.AirtimeOptions{Preamble: int(t.Preamble), NoCRC: !t.CRC}) + between)
	s.mu.Unlock()
	if begin == now {
		return nil
	}
	timer := time.NewTimer(begin.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: another one is on the air: %w", radio.ErrCollision, ctx.Err())
	}
}

// question is a PULL_RESP that waits for its TX_ACK.
type question struct {
	gateway *gateway
	sock    socket
	to      netip.AddrPort
	gone    chan struct{}
	version uint8
	token   gwmp.Token
	answer  chan gwmp.Ack
}

// ask prepares a PULL_RESP to the forwarder of that name.
func (s *Server) ask(name string) (*question, error) {
	e, err := gwmp.ParseEUI(name)
	if err != nil {
		return nil, radio.ErrNoRadio
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gateways[e]
	switch {
	case g == nil:
		return nil, radio.ErrNoRadio
	case s.sock == nil:
		return nil, fmt.Errorf("%w: the server is not listening", radio.ErrDown)
	case g.pulled.IsZero() || time.Since(g.pulled) >= silence:
		return nil, fmt.Errorf("%w: no PULL_DATA for %v", radio.ErrDown, silence)
	case len(g.pending) >= maxPending:
		return nil, fmt.Errorf("%w: %d transmissions wait for an answer", radio.ErrRefused, maxPending)
	}
	q := &question{gateway: g, sock: s.sock, to: g.down, gone: s.gone, version: g.version, answer: make(chan gwmp.Ack, 1)}
	for {
		s.token += 40503 // odd: all values come before one comes again
		q.token = gwmp.Token{byte(s.token >> 8), byte(s.token)}
		if g.pending[q.token] == nil {
			break
		}
	}
	g.pending[q.token] = q.answer
	return q, nil
}

// await waits for the TX_ACK.
func (s *Server) await(ctx context.Context, q *question) error {
	timer := time.NewTimer(s.cfg.AnswerWithin)
	defer timer.Stop()
	select {
	case a := <-q.answer:
		if a.Warning != "" {
			s.log.Debug("sent otherwise than asked for", "forwarder", q.gateway.name, "warning", a.Warning, "value", a.Value)
		}
		return a.Err()
	case <-q.gone:
		return fmt.Errorf("%w: the server has stopped", radio.ErrDown)
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.gateway.answers {
		return fmt.Errorf("%w: no answer within %v", radio.ErrNoAnswer, s.cfg.AnswerWithin)
	}
	return nil
}

// acked handles a TX_ACK. It needs mu.
func (s *Server) acked(g *gateway, d *gwmp.Datagram) {
	g.answers = true
	a, err := gwmp.ParseAck(d.Body)
	if err != nil {
		s.count.BadJSON++
		g.count.Garbage++
		s.log.Debug("TX_ACK is damaged", "forwarder", g.name, "error", err)
		return
	}
	answer := g.pending[d.Token]
	if answer == nil {
		s.count.Unasked++
		s.log.Debug("TX_ACK that nobody waits for", "forwarder", g.name, "error", a.Error)
		return
	}
	delete(g.pending, d.Token)
	answer <- a // it has room for one
}
