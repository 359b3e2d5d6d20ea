package store

import "time"

// lookAgain is how often entries that came meanwhile are told while the disk
// does not answer.
const lookAgain = 50 * time.Millisecond

// impatiently runs fn, which writes to the disk. When that takes longer than
// Options.Patience the log counts as failing, as if the disk had refused: some
// cards stop for half a minute. What fn does in the end decides then. When
// impatiently returns, nobody is told anything any more.
func (l *Log) impatiently(fn func()) {
	over, told := make(chan struct{}), make(chan struct{})
	timer := time.AfterFunc(l.opt.Patience, func() {
		defer close(told)
		l.slow(over)
	})
	fn()
	close(over)
	if !timer.Stop() {
		<-told
	}
}

// slow tells everybody that the disk does not answer, until over.
func (l *Log) slow(over <-chan struct{}) {
	for {
		l.mu.Lock()
		if l.failing == nil {
			l.failing = ErrSlow
			l.log.Error("the disk does not answer; records wait in memory", "for", l.opt.Patience)
			l.change()
			l.room.Broadcast()
		}
		var wait []*pending
		for _, p := range l.queue {
			if len(p.Records) > 0 && !p.stalled {
				p.stalled = true
				wait = append(wait, p)
			}
		}
		l.mu.Unlock()
		l.deliver(delivery{entries: wait, err: ErrSlow, stalled: true})
		select {
		case <-over:
			return
		case <-time.After(lookAgain):
		}
	}
}
