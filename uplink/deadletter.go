package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fieldgate/gateway"
)

const (
	// aloneStrikes is how many connections must have died on a record before it
	// is sent alone.
	aloneStrikes = 2
	// deadStrikes is how many, before another record is tried beside it.
	deadStrikes = 5
	// controls is how many other records must fail too, before it is the cloud
	// rather than the record.
	controls = 3
	// Where a control is looked for.
	controlRecords = 1000
	controlBytes   = 1 << 20
	// quiet is how long a connection must have stood before a suspect is sent
	// on it alone, so that a link that dies by itself is not the record's fault.
	quiet = time.Second
	// leastBatch is where halving the arrays of a backlog ends.
	leastBatch = 1 << 10
)

// ErrRefusedByCloud is wrapped by the reason given with a dead letter that the
// cloud refused for ever.
var ErrRefusedByCloud = errors.New("the cloud does not take this record but others")

// suspect is the record that connections die on. MQTT 3.1.1 has no way to
// refuse a publish but to close the connection or to say nothing, so a record
// that is too large or against a policy would block all behind it for ever.
//
// The verdict takes several connections, each of which acknowledged its birth:
// two that the cloud ended while the record was the oldest in flight, three
// more with the record alone on a quiet connection, and one on which another
// record alone was acknowledged and then this one alone was not. A link that is
// bad, or a cloud that takes nothing at all, does not pass that.
type suspect struct {
	about   gateway.Range // zero: none
	batch   bool
	strikes int
	tried   []uint64 // records that failed as controls
	cause   error    // of the last strike

	singles []gateway.Range // not to be sent in arrays: an array of them failed
	limit   int             // bytes of an array, 0 for batchBytes
}

// clear ends the suspicion.
func (q *suspect) clear() {
	q.about, q.batch, q.strikes, q.tried, q.cause = gateway.Range{}, false, 0, nil, nil
}

// strike counts a failure with the record.
func (q *suspect) strike(about gateway.Range, batch bool, cause error) {
	if q.about != about || q.batch != batch {
		q.clear()
		q.about, q.batch = about, batch
	}
	q.strikes++
	q.cause = cause
}

// single reports whether records in r must not be sent in arrays.
func (q *suspect) single(r gateway.Range) bool {
	for _, s := range q.singles {
		if s.From <= r.To && r.From <= s.To {
			return true
		}
	}
	return false
}

// batchLimit is how many bytes an array may have.
func (q *suspect) batchLimit() int {
	if q.limit == 0 {
		return batchBytes
	}
	return q.limit
}

// unpack gives up arrays for a run of records on which connections died.
func (q *suspect) unpack() {
	q.singles = append(q.singles, q.about)
	q.limit = max(q.batchLimit()/2, leastBatch)
	q.clear()
}

// blame looks at how a drain ended: with the cloud closing the connection, or
// passing over the oldest publish, that is a strike against the latter.
func (u *Uplink) blame(d *drain, err error) {
	if len(d.flight) == 0 || d.lane.count <= d.settled {
		return // nothing was on its way
	}
	head := d.flight[0]
	if head.answered() && (closedByPeer(err) || errors.Is(err, errAckTimeout) && d.overtaken()) {
		u.suspect.strike(head.about, head.batch, err)
	}
}

// question clears a suspicion on a new connection, one way or the other. An
// error is the end of the connection.
func (u *Uplink) question(ctx context.Context, s *session) error {
	q := &u.suspect
	if q.strikes < aloneStrikes {
		return nil
	}
	if q.batch {
		u.log.Warn("the cloud does not take an array of readings: sending them one by one", "from", q.about.From, "to", q.about.To, "err", q.cause)
		q.unpack()
		return nil
	}
	if err := u.pause(ctx, s, min(quiet, u.cfg.AckTimeout/4)); err != nil {
		return err
	}
	rec, ok, err := u.fetch(q.about.From)
	if err != nil {
		return nil // the drain will meet it again
	}
	if !ok {
		q.clear()
		return nil
	}
	if q.strikes >= deadStrikes {
		return u.sentence(ctx, s, rec)
	}
	u.log.Warn("connections die on a record: sending it alone", "record", rec.ID(u.cfg.GatewayID), "times", q.strikes, "err", q.cause)
	err = u.alone(ctx, s, rec)
	switch {
	case err == nil:
		q.clear()
	case refusal(err):
		q.strike(q.about, false, err)
	}
	return err
}

// sentence sends another record alone, then rec. If the first is taken and rec
// is not, rec is a dead letter.
func (u *Uplink) sentence(ctx context.Context, s *session, rec gateway.Record) error {
	q := &u.suspect
	head := u.cfg.Log.Head()
	control, ok, err := u.control(rec)
	for err == nil && !ok { // nothing waits behind it: no hurry
		if err := u.awaitRecord(ctx, s, head); err != nil {
			return err
		}
		head = u.cfg.Log.Head()
		control, ok, err = u.control(rec)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errLog, err)
	}
	if err := u.alone(ctx, s, control); err != nil {
		if refusal(err) {
			q.tried = append(q.tried, control.Seq)
			if _, more, _ := u.control(rec); !more || len(q.tried) == controls {
				u.log.Error("the cloud takes no records at all", "err", err)
				q.strikes, q.tried = aloneStrikes, nil
			}
		}
		return err
	}
	err = u.alone(ctx, s, rec)
	switch {
	case err == nil:
		q.clear()
	case refusal(err):
		u.deadLetter(rec, fmt.Errorf("%w: %w", ErrRefusedByCloud, err))
		q.clear()
	}
	return err
}

// refusal reports whether err may be how a cloud refuses a publish.
func refusal(err error) bool { return closedByPeer(err) || errors.Is(err, errAckTimeout) }

// fetch reads one record; ok is false if it need not be sent any more.
func (u *Uplink) fetch(seq uint64) (rec gateway.Record, ok bool, err error) {
	if !u.unsent(seq) {
		return rec, false, nil
	}
	recs, err := u.cfg.Log.Read(seq, 1, 1)
	if err != nil || len(recs) == 0 || recs[0].Seq != seq {
		return rec, false, err
	}
	return recs[0], u.Takes(&recs[0]), nil
}

func (u *Uplink) unsent(seq uint64) bool {
	for _, r := range u.missing(seq) {
		if r.From <= seq && seq <= r.To {
			return true
		}
	}
	return false
}

// control chooses a record to try instead of rec: the next one of another
// channel, small if possible; or one that the cloud has already, which it will
// know by its id; or, if all that there is are later records of the same
// channel, the next of these. Other than that last resort, none of them can
// bring a channel's records out of order.
func (u *Uplink) control(rec gateway.Record) (control gateway.Record, ok bool, err error) {
	behind, err := u.cfg.Log.Read(rec.Seq+1, controlRecords, controlBytes)
	if err != nil {
		return control, false, err
	}
	before, err := u.cfg.Log.Read(max(rec.Seq, controlRecords)-controlRecords, controlRecords, controlBytes)
	if err != nil {
		return control, false, err
	}
	own, _ := u.enc.topic(&rec)
	known := map[string]bool{}
	best := 0 // rank of control; 0: none
	others := false
	for _, r := range append(before, behind...) {
		m, takes, bad := u.enc.message(&r)
		if !takes || bad != nil || !m.answered() || r.Seq == rec.Seq {
			continue
		}
		rank := 2
		if u.unsent(r.Seq) {
			if r.Seq < rec.Seq || known[m.topic] {
				continue
			}
			known[m.topic] = true
			if rank = 1; m.topic == own {
				rank = 3
			}
		}
		others = others || rank < 3
		if slices.Contains(u.suspect.tried, r.Seq) {
			continue
		}
		if best == 0 || rank < best || rank == best && len(r.Value) < len(control.Value) {
			best, control = rank, r
		}
	}
	return control, best > 0 && !(best == 3 && others), nil
}

// awaitRecord waits until the log has more than head.
func (u *Uplink) awaitRecord(ctx context.Context, s *session, head uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	more := make(chan error, 1)
	go func() { more <- u.cfg.Log.Wait(ctx, head) }()
	defer func() {
		cancel()
		if more != nil {
			<-more
		}
	}()
	select {
	case err := <-more:
		more = nil
		if ctx.Err() != nil {
			return errStopped
		}
		return err
	case <-s.dead:
		return s.err
	}
}

// alone sends one record with nothing else in flight and waits for the answer.
func (u *Uplink) alone(ctx context.Context, s *session, rec gateway.Record) error {
	m, _, err := u.enc.message(&rec)
	if err != nil {
		u.deadLetter(rec, err)
		return nil
	}
	u.counts.sent.Add(1)
	u.echoes.sent(m)
	if err := s.publish(ctx, u.cfg.AckTimeout, m); err != nil {
		u.abandoned[rec.Seq] = struct{}{}
		if ctx.Err() != nil {
			return errStopped
		}
		return err
	}
	u.counts.settled.Add(1)
	if m.qos > 0 {
		u.counts.acked.Add(1)
	}
	u.advance(gateway.Range{From: rec.Seq, To: rec.Seq})
	return nil
}

// deadLetter sets a record aside.
func (u *Uplink) deadLetter(rec gateway.Record, why error) {
	u.counts.deadLettered.Add(1)
	if u.cfg.DeadLetter != nil {
		u.cfg.DeadLetter(rec, why)
	} else {
		u.log.Error("record set aside", "record", rec.ID(u.cfg.GatewayID), "kind", rec.Kind, "bytes", len(rec.Value), "err", why)
	}
	u.advance(gateway.Range{From: rec.Seq, To: rec.Seq})
	u.Refresh()
}
