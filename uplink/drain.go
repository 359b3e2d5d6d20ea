package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fieldgate/gateway"
)

// errLog is wrapped by the end of a drain that could not read the log.
var errLog = errors.New("log")

const (
	// flightBytes bounds what is in flight besides Window: one more publish is
	// sent while less is on its way.
	flightBytes = 128 << 10
	// slowest is the speed of a link, in bytes a second, below which it counts
	// as dead: AckTimeout grows by what is in flight over it.
	slowest = 2 << 10
	// backBurst is how long the backlog of FreshFirst may save up its rate.
	backBurst = 100 * time.Millisecond
)

// drain sends what is not acknowledged, as long as the session lasts.
type drain struct {
	u       *Uplink
	s       *session
	lane    lane
	flight  []*parcel // sent, oldest first
	bytes   int       // of flight
	full    bool      // there was no room for more, and is not enough yet
	settled int64     // taken out of flight
	moved   time.Time // when the oldest in flight became that
	acked   []gateway.Range

	live stream
	back stream // of FreshFirst and Batches
	pace pace
}

// drain returns why it ended: the session's end, errStopped, or errLog.
func (u *Uplink) drain(ctx context.Context, s *session) error {
	read, stop := context.WithCancel(ctx)
	group := max(1, u.cfg.Window/4) // several round trips may be on their way
	if u.suspect.strikes > 0 {
		group = 1 // so that the oldest without an answer is the one that is refused
	}
	d := &drain{u: u, s: s, lane: lane{conn: s.conn, group: group}}
	for _, seqs := range []map[uint64]struct{}{u.abandoned, u.gaps} {
		maps.DeleteFunc(seqs, func(seq uint64, _ struct{}) bool { return !u.unsent(seq) })
	}
	if u.cfg.CatchUp == Ordered {
		d.live.ranges = u.missing(endless)
	} else {
		split := u.cfg.Log.Head()
		d.back = stream{back: true, batch: u.cfg.CatchUp == Batches, ranges: u.missing(split)}
		d.live.ranges = beyond(u.missing(endless), split)
		if u.cfg.CatchUp == FreshFirst {
			d.pace = pace{rate: float64(u.cfg.CatchUpRate), at: time.Now()}
		}
	}
	d.live.start(read, u.cfg.Log)
	d.back.start(read, u.cfg.Log)
	err := d.loop(ctx)
	stop()
	d.live.stop()
	d.back.stop()
	if !errors.Is(err, errStopped) && !errors.Is(err, errLog) {
		s.fail(err)
		_ = d.collect() // what was acknowledged before the end counts
		u.blame(d, err)
	}
	for _, p := range d.flight {
		u.abandoned[p.about.From] = struct{}{}
	}
	u.counts.inFlight.Store(0)
	return err
}

// beyond is what of ranges lies beyond seq.
func beyond(ranges []gateway.Range, seq uint64) (out []gateway.Range) {
	for _, r := range ranges {
		if r.From = max(r.From, seq+1); r.From <= r.To {
			out = append(out, r)
		}
	}
	return out
}

// loop runs until something ends it.
func (d *drain) loop(ctx context.Context) error {
	ack := time.NewTimer(d.u.cfg.AckTimeout)
	defer ack.Stop()
	var turn, stopping <-chan time.Time
	done := ctx.Done()
	for {
		if err := d.collect(); err != nil {
			return err
		}
		broken := errors.Join(d.live.now.err, d.back.now.err)
		var live, back <-chan chunk
		if done != nil && broken == nil {
			turn = nil
			if pause := d.fill(); pause > 0 {
				turn = time.After(pause)
			}
			live, back = d.live.wants(), d.back.wants()
		}
		if len(d.flight) > 0 && d.flight[0].done() {
			continue // at QoS 0 there is nothing to wait for
		}
		if len(d.flight) == 0 && done == nil {
			return errStopped
		}
		if len(d.flight) == 0 && broken != nil {
			return fmt.Errorf("%w: %w", errLog, broken)
		}
		select {
		case <-d.s.conn.news:
		case c, open := <-live:
			d.live.take(d, c, open)
		case c, open := <-back:
			d.back.take(d, c, open)
		case <-turn:
		case <-ack.C:
			if err := d.collect(); err != nil {
				return err
			}
			left := d.deadline()
			if left <= 0 {
				return errAckTimeout
			}
			ack.Reset(left)
		case <-stopping:
			return errStopped
		case <-d.s.dead:
			return d.s.err
		case <-done:
			done, stopping = nil, time.After(d.u.paces.stop)
			d.s.conn.listen(false)
		}
	}
}

// deadline is how long the oldest publish in flight still has.
func (d *drain) deadline() time.Duration {
	if len(d.flight) == 0 {
		return d.u.cfg.AckTimeout
	}
	slow := time.Duration(d.bytes+d.s.conn.waiting()) * time.Second / slowest
	return d.u.cfg.AckTimeout + slow - time.Since(d.moved)
}

// room reports whether one more publish may be sent. Once there was none, it
// takes a quarter of the window until there is again: a few publishes cost the
// system as much as one.
func (d *drain) room() bool {
	window, bytes := d.u.cfg.Window, flightBytes
	if d.full {
		window, bytes = window-window/4, bytes-bytes/4
	}
	d.full = len(d.flight) >= window || d.bytes >= bytes
	return !d.full && !d.s.conn.crowded()
}

// fill sends what may be sent now. It returns how long to wait for the rate of
// the backlog if nothing else happens.
func (d *drain) fill() time.Duration {
	defer func() {
		d.lane.push()
		d.s.conn.listen(d.full)
	}()
	for d.room() {
		p := d.live.next(d)
		if p == nil {
			break
		}
		d.send(&d.live, p)
	}
	// What is new has the whole window, the backlog half of it, so that a new
	// record never waits for a window full of old ones.
	for d.room() && d.back.flying < max(1, d.u.cfg.Window/2) && d.back.holds() {
		if pause := d.pace.due(time.Now()); pause > 0 {
			return pause
		}
		if p := d.back.next(d); p != nil {
			d.send(&d.back, p)
			d.pace.spend()
		}
	}
	return 0
}

// send puts p on its way.
func (d *drain) send(st *stream, p *parcel) {
	if len(d.flight) == 0 {
		d.moved = time.Now()
	}
	d.flight = append(d.flight, p)
	d.bytes += p.size()
	st.flying++
	st.last = p
	u := d.u
	u.counts.sent.Add(1)
	u.counts.inFlight.Store(int64(len(d.flight)))
	if _, again := u.abandoned[p.about.From]; again {
		delete(u.abandoned, p.about.From)
		u.counts.resent.Add(1)
	}
	u.echoes.sent(p.message)
	d.lane.send(p)
}

// collect takes what is acknowledged out of flight, in order. An error is that of
// the oldest.
func (d *drain) collect() error {
	defer d.flush()
	for len(d.flight) > 0 && d.flight[0].done() {
		p := d.flight[0]
		if err := p.receipt.Error(); err != nil {
			return d.s.reason(p.receipt)
		}
		d.settle(p)
	}
	return nil
}

// overtaken says that the cloud acknowledged something after the oldest publish
// that it did not acknowledge.
func (d *drain) overtaken() bool {
	return slices.ContainsFunc(d.flight, func(p *parcel) bool { return p.answered() && p.completed() })
}

// settle takes the oldest publish, which is acknowledged, out of flight.
func (d *drain) settle(p *parcel) {
	d.flight[0] = nil
	d.flight = d.flight[1:]
	d.bytes -= p.size()
	d.settled++
	d.moved = time.Now()
	st := &d.live
	if p.back {
		st = &d.back
	}
	st.flying--
	if st.last == p {
		st.last = nil
	}
	d.u.counts.settled.Add(1)
	if p.qos > 0 {
		d.u.counts.acked.Add(1)
	}
	d.u.counts.inFlight.Store(int64(len(d.flight)))
	if p.covers.From <= p.covers.To {
		if n := len(d.acked); n > 0 && d.acked[n-1].To+1 == p.covers.From {
			d.acked[n-1].To = p.covers.To
		} else {
			d.acked = append(d.acked, p.covers)
		}
	}
}

// flush moves the cursor past what was settled.
func (d *drain) flush() {
	if len(d.acked) > 0 {
		d.u.advance(d.acked...)
		d.acked = d.acked[:0]
	}
}
