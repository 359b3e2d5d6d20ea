package chip

import (
	"context"
	"fmt"
	"slices"
	"time"

	"fieldgate/radio"
)

// job is a transmission that waits or is under way.
type job struct {
	t     *radio.Transmission
	start time.Time // of the first symbol
	end   time.Time // of the last
	done  chan error
}

// airtime is how long t takes.
func (r *Radio) airtime(t *radio.Transmission) time.Duration {
	preamble := t.Preamble
	if preamble == 0 {
		preamble = r.o.Tuning.Preamble
	}
	return radio.Airtime(t.Modulation, len(t.Payload), radio.AirtimeOptions{Preamble: int(preamble), NoCRC: !t.CRC})
}

// Send implements radio.Radio: it returns when the last symbol has left. When ctx
// ends before the transmission was begun, it is taken back; one that is under way
// is waited for, since it is on the air. The errors of package radio:
//
//   - ErrTooLate: less than 10 ms are left, the time has gone by, or this machine
//     was too slow;
//   - ErrTooEarly: more than 128 s are left;
//   - ErrCollision: the radio sends something else then, or 32 wait already;
//   - ErrFrequency, ErrPower, ErrRefused: the chip cannot send that;
//   - ErrDown: the chip does not work, or did not end the frame.
//
// Immediately means: in 10 ms, or as soon as what was to be sent then is over.
func (r *Radio) Send(ctx context.Context, t *radio.Transmission) error {
	err := r.send(ctx, t)
	if err != nil {
		r.count(func(c *radio.Counts) { c.Unsent++ })
		return fmt.Errorf("%s: %s: %w", r.o.Driver, r.o.Name, err)
	}
	return nil
}

func (r *Radio) send(ctx context.Context, t *radio.Transmission) error {
	if err := r.o.Chip.Check(t); err != nil {
		return err
	}
	j := &job{t: t, done: make(chan error, 1)}
	if err := r.admit(j); err != nil {
		return err
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if r.withdraw(j) {
			return ctx.Err()
		}
		return <-j.done
	}
}

// admit puts j into the queue, or says why it cannot be sent at its time.
func (r *Radio) admit(j *job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		if r.status.Err != nil {
			return fmt.Errorf("%w: %w", radio.ErrDown, r.status.Err)
		}
		return radio.ErrDown
	}
	now := time.Now()
	air := r.airtime(j.t)
	if air <= 0 {
		return fmt.Errorf("%w: %s with a coding rate of 4/%d", radio.ErrRefused, j.t.DataRate(), j.t.CodingRate)
	}
	if j.t.Immediately {
		j.start = r.free(now.Add(least), air)
	} else {
		j.start = r.counter.Time(j.t.Counter, now)
	}
	j.end = j.start.Add(air)
	switch left := j.start.Sub(now); {
	case left < least:
		return fmt.Errorf("%w: %v are left", radio.ErrTooLate, left.Round(time.Microsecond))
	case left > farthest:
		return fmt.Errorf("%w: %v are left", radio.ErrTooEarly, left.Round(time.Millisecond))
	}
	if len(r.queue) >= maxQueued {
		return fmt.Errorf("%w: %d others wait", radio.ErrCollision, len(r.queue))
	}
	for _, o := range r.planned() {
		if j.overlaps(o) {
			return fmt.Errorf("%w: from %v before to %v after its start", radio.ErrCollision,
				j.start.Sub(o.start).Round(time.Millisecond), o.end.Sub(j.start).Round(time.Millisecond))
		}
	}
	i, _ := slices.BinarySearchFunc(r.queue, j.start, func(o *job, at time.Time) int { return o.start.Compare(at) })
	r.queue = slices.Insert(r.queue, i, j)
	return nil
}

// planned are all jobs, by their start. The lock is held.
func (r *Radio) planned() []*job {
	if r.active == nil {
		return r.queue
	}
	return append([]*job{r.active}, r.queue...)
}

// overlaps reports whether there is no time to prepare the later of two.
func (j *job) overlaps(o *job) bool {
	return j.start.Before(o.end.Add(gap+ahead)) && o.start.Before(j.end.Add(gap+ahead))
}

// free is the first time from at on that is free for so long. The lock is held.
func (r *Radio) free(at time.Time, air time.Duration) time.Time {
	for _, o := range r.planned() {
		if (&job{start: at, end: at.Add(air)}).overlaps(o) {
			at = o.end.Add(gap + ahead)
		}
	}
	return at
}

// withdraw takes a job out of the queue, if it is still there.
func (r *Radio) withdraw(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.queue, j)
	if i < 0 {
		return false
	}
	r.queue = slices.Delete(r.queue, i, i+1)
	return true
}

// next gives the job whose preparation is due at now and makes it the active
// one; or says when that will be (zero: there is none).
func (r *Radio) next(now time.Time) (*job, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil, time.Time{}
	}
	j := r.queue[0]
	if at := j.start.Add(-ahead); at.After(now) {
		return nil, at
	}
	r.queue = slices.Delete(r.queue, 0, 1)
	r.active = j
	return j, time.Time{}
}

// finish ends the active job.
func (r *Radio) finish(j *job, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = nil
	if err == nil {
		r.status.Count.Sent++
	}
	j.done <- err
}

// drop ends all jobs that wait, and takes no more.
func (r *Radio) drop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = false
	for _, j := range r.queue {
		j.done <- err
	}
	r.queue = nil
}
