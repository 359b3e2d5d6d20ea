package station

import (
	"context"
	"sync"
)

// lane is a script's own goroutine: one that takes its time holds up no other.
// What is put into it is done in that order.
type lane struct {
	wake chan struct{}

	mu     sync.Mutex
	jobs   []func(context.Context)
	open   int // jobs that are not done
	closed bool
}

// laneRoom is how many uplinks and commands wait for one script.
const laneRoom = 4096

func newLane() *lane { return &lane{wake: make(chan struct{}, 1)} }

// put queues a job and reports whether it could: there is room, and the lane is
// not closed.
func (l *lane) put(job func(context.Context)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.open >= laneRoom {
		return false
	}
	l.jobs = append(l.jobs, job)
	l.open++
	notify(l.wake)
	return true
}

// close has run end when all that was put is done.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	notify(l.wake)
}

// run does the jobs until close. They get ctx; its end does not end run, because
// somebody waits for each job.
func (l *lane) run(ctx context.Context) {
	for {
		l.mu.Lock()
		jobs, closed := l.jobs, l.closed
		l.jobs = nil
		l.mu.Unlock()
		for _, job := range jobs {
			job(ctx)
			l.done()
		}
		if len(jobs) > 0 {
			continue
		}
		if closed {
			return
		}
		<-l.wake
	}
}

func (l *lane) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// notify sends on a channel of capacity 1 unless it is full.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
