package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fieldgate/gateway"
)

// delivery is a run of entries whose fate is known.
type delivery struct {
	entries []*pending
	err     error
	stalled bool // for now only
}

func (d *delivery) do() {
	for _, p := range d.entries {
		switch {
		case d.stalled:
			if p.Stalled != nil {
				p.Stalled(d.err)
			}
		default:
			if d.err == nil {
				for i := range p.Records {
					p.Records[i].Seq = p.first + uint64(i)
				}
			}
			if p.Done != nil {
				p.Done(d.err)
			}
		}
	}
}

// pause is how long to wait between attempts while the disk fails.
type pause struct{ next time.Duration }

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

func newPause() pause { return pause{firstPause} }

func (p *pause) after() time.Duration {
	d := p.next
	p.next = min(2*d, longestPause)
	return d
}

// Run writes until ctx ends, and then returns nil after the running commit and
// the calls of Done for it. What is queued then is left to Close. It can be
// called once.
func (l *Log) Run(ctx context.Context) error {
	l.mu.Lock()
	if l.status != idle {
		l.mu.Unlock()
		return errors.New("store: run: called twice or after Close")
	}
	l.status = running
	l.mu.Unlock()

	// A second goroutine calls Done, so that the next commit runs meanwhile, a
	// third tells of changes of health, which may take their time.
	var others sync.WaitGroup
	out := make(chan delivery, 4)
	l.w.deliver = out
	others.Go(func() {
		for d := range out {
			d.do()
		}
	})
	told := make(chan struct{})
	others.Go(func() { l.tell(told) })

	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(l.step())
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}

	l.mu.Lock()
	l.status = stopped
	l.room.Broadcast()
	l.mu.Unlock()
	close(told)
	close(out)
	l.w.deliver = nil
	others.Wait()
	return nil
}

// deliver hands d on to the goroutine that calls back, or calls back itself
// where there is none.
func (l *Log) deliver(d delivery) {
	switch {
	case len(d.entries) == 0:
	case l.w.deliver != nil:
		l.w.deliver <- d
	default:
		d.do()
	}
}

// tell calls those who want to know of changes of health, until done.
func (l *Log) tell(done <-chan struct{}) {
	for {
		l.mu.Lock()
		fns := l.onHealth
		changes := l.changes
		l.changes = nil
		changed := l.changed
		l.mu.Unlock()
		for _, h := range changes {
			for _, fn := range fns {
				fn(h)
			}
		}
		if len(changes) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-done:
			return
		}
	}
}

// idleFor is how long the writer sleeps if nothing happens.
const idleFor = time.Minute

// step does what is due and says for how long nothing will be.
func (l *Log) step() time.Duration {
	now := time.Now()
	l.mu.Lock()
	failing := l.failing
	due, wait := l.due(now)
	if failing == nil && l.check && now.Sub(l.w.checked) > time.Minute {
		l.w.reopen, l.w.deep, due = true, true, true
	}
	l.check = false
	l.mu.Unlock()

	if failing != nil {
		l.stall(failing)
		if wait := l.w.retryAt.Sub(now); wait > 0 {
			return wait
		}
		due = true
	}
	if !due {
		l.trim(now)
		l.impatiently(func() { wait = min(wait, l.arrange(now)) })
		return wait
	}
	l.attempt()
	l.mu.Lock()
	failing = l.failing
	l.mu.Unlock()
	if failing == nil {
		l.impatiently(func() { l.arrange(time.Now()) })
	}
	return 0
}

// due says whether something is to be written now, and else how long there is
// time. The lock is held.
func (l *Log) due(now time.Time) (bool, time.Duration) {
	wait := idleFor
	at := func(t time.Time) bool {
		wait = min(wait, t.Sub(now))
		return wait <= 0
	}
	switch {
	case l.urgent > 0 || l.bytes > txBytes || l.w.reopen || l.file == nil:
		return true, 0
	case len(l.queue) > 0 && at(l.queue[0].came.Add(l.opt.CommitEvery)):
		return true, 0
	case l.moved && at(l.w.savedAt.Add(l.cursorDelay())):
		return true, 0
	}
	if len(l.suspect) > 0 && at(l.w.examined) {
		return true, 0
	}
	x := l.index.Load()
	if n := tooMany(x.segments, x.used, l.opt.MaxSize); n > 0 {
		if l.w.hold.ready(x.segments, l.cursors, n, tooMany(x.segments, x.used, l.opt.heldSize())) > 0 {
			return true, 0
		}
		at(l.w.hold.until)
	}
	if l.opt.MaxAge > 0 && at(l.w.agedAt.Add(idleFor)) {
		if l.staleLate(x) {
			return true, 0
		}
		n := expired(x.segments, l.cursors, l.opt.Clock.Now(), l.opt.MaxAge)
		if l.w.hold.ready(x.segments, l.cursors, n, 0) > 0 {
			return true, 0
		}
		l.w.agedAt, wait = now, min(wait, idleFor)
	}
	return false, max(wait, 0)
}

// attempt commits what is queued, as far as it fits into one transaction.
func (l *Log) attempt() {
	l.mu.Lock()
	batch := l.take()
	l.mu.Unlock()
	began := time.Now()
	var err error
	l.impatiently(func() {
		if err = l.examine(); err == nil {
			err = l.writeUnlessEmpty(job{entries: batch})
		}
	})
	if err != nil {
		l.fail(err, time.Since(began))
		l.stall(err)
		return
	}
	l.recovered()
	l.remove(len(batch))
	l.deliver(delivery{entries: batch})
}

// writeUnlessEmpty spares the commit if there is nothing to write.
func (l *Log) writeUnlessEmpty(j job) error {
	l.mu.Lock()
	empty := l.failing == nil && !l.moved
	l.mu.Unlock()
	for _, p := range j.entries {
		empty = empty && len(p.Records) == 0
	}
	if x := l.index.Load(); empty && len(j.entries) > 0 && x != nil && l.w.begun && !l.w.reopen {
		return nil
	}
	return l.write(j)
}

// take gives the entries that the next transaction gets. The lock is held.
func (l *Log) take() []*pending {
	records, bytes, n := 0, int64(0), 0
	for _, p := range l.queue {
		records += len(p.Records)
		bytes += p.size
		if n > 0 && p.first == 0 && (records > txRecords || bytes > txBytes) {
			break
		}
		n++
	}
	return append([]*pending(nil), l.queue[:n]...)
}

// remove takes the first n entries off the queue.
func (l *Log) remove(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.queue[:n] {
		l.forget(p)
	}
	clear(l.queue[:n])
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	l.room.Broadcast()
}

func (l *Log) forget(p *pending) {
	l.bytes -= p.size
	l.records -= len(p.Records)
	if p.Wait {
		l.urgent--
	}
}

// fail notes that the disk does not take records, and when to try again: a
// vain attempt that took long is not made all the time.
func (l *Log) fail(err error, took time.Duration) {
	l.w.retryAt = time.Now().Add(max(l.w.pause.after(), 5*took))
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.failing
	l.failing = err
	switch {
	case was == nil:
		l.log.Error("the disk does not take records; they wait in memory", "error", err)
		l.change()
	case was.Error() != err.Error():
		l.log.Warn("the disk still does not take records", "error", err)
	}
	l.room.Broadcast()
}

// recovered notes that the disk takes records.
func (l *Log) recovered() {
	l.w.pause = newPause()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing == nil {
		return
	}
	l.failing = nil
	l.log.Info("the disk takes records again", "waiting", l.records)
	l.change()
}

// change tells of a change of health. The lock is held.
func (l *Log) change() {
	l.health.Since = l.opt.Clock.Now().Wall
	l.changes = append(l.changes, l.healthLocked())
	close(l.changed)
	l.changed = make(chan struct{})
}

// stall tells the entries in the queue that they have to wait. Those without
// records need no disk and are done.
func (l *Log) stall(err error) {
	var wait, done []*pending
	l.mu.Lock()
	rest := l.queue[:0:0]
	for _, p := range l.queue {
		if len(p.Records) == 0 {
			l.forget(p)
			done = append(done, p)
			continue
		}
		rest = append(rest, p)
		if !p.stalled {
			p.stalled = true
			wait = append(wait, p)
		}
	}
	l.queue = rest
	l.mu.Unlock()
	l.deliver(delivery{entries: wait, err: err, stalled: true})
	l.deliver(delivery{entries: done})
}

// Close commits what is queued if the disk takes it, and closes the file.
// Entries that it does not take are done with an error that wraps
// gateway.ErrClosed. To be called once, after Run has ended or if it is never
// called. The error tells of records or cursors that could not be written.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.status == running || l.status == closed {
		l.mu.Unlock()
		return errors.New("store: close: Run has not ended, or closed already")
	}
	l.status = stopped
	l.mu.Unlock()
	var err error
	for err == nil {
		l.mu.Lock()
		batch := l.take()
		rest := len(batch) > 0 || l.moved
		l.mu.Unlock()
		if !rest {
			break
		}
		if err = l.writeUnlessEmpty(job{entries: batch}); err == nil {
			l.remove(len(batch))
			l.deliver(delivery{entries: batch})
		}
	}
	if x := l.index.Load(); err == nil && x != nil && x.late != nil {
		if err := l.write(job{flush: true}); err != nil {
			l.log.Warn("what is in the journal stays there until the next start", "error", err)
		}
	}
	l.closeJournal()
	l.mu.Lock()
	left := l.queue
	l.queue, l.bytes, l.records, l.urgent = nil, 0, 0, 0
	l.status = closed
	close(l.news)
	l.news = make(chan struct{})
	l.mu.Unlock()
	l.setFile(nil)
	l.deliver(delivery{entries: left, err: fmt.Errorf("store: %w: %w", gateway.ErrClosed, err)})
	if err != nil {
		return fmt.Errorf("store: close: %d entries not written: %w", len(left), err)
	}
	return nil
}
