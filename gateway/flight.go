package gateway

import (
	"sync"
)

// flight is one batch between Submit and its answer. The log calls it from its
// own goroutine, the sinks from theirs.
// It is one piece of memory with what it carries: there is one for each publish.
type flight struct {
	hub   *Hub
	batch *Batch
	entry Entry
	one   [1]Record // room for the records of most

	mu       sync.Mutex
	handed   bool // local subscribers have it
	settled  bool // and what is held for absent ones is safe, or failed with err
	err      error
	durable  bool
	answered bool
}

// hand gives the batch to local subscribers, once.
func (f *flight) hand() {
	f.mu.Lock()
	first := !f.handed
	f.handed = true
	f.mu.Unlock()
	if !first {
		return
	}
	f.hub.deliver(f.batch, f.entry.Records, f.settle)
}

// settle is the sinks' word.
func (f *flight) settle(err error) {
	f.mu.Lock()
	f.settled, f.err = true, err
	ready := f.durable
	f.mu.Unlock()
	if ready {
		f.answer(err)
	}
}

// done is the log's word: on disk, or never.
func (f *flight) done(err error) {
	if err != nil {
		f.answer(err)
		return
	}
	f.hand()
	f.mu.Lock()
	f.durable = true
	ready, err := f.settled, f.err
	f.mu.Unlock()
	if ready {
		f.answer(err)
	}
}

// stalled is the log's word that the disk does not take it now. The field goes
// on without the disk; the acknowledgement waits for it.
func (f *flight) stalled(error) {
	f.hand()
	if f.hub.cfg.AcknowledgeWithoutDisk {
		f.answer(nil)
	}
}

func (f *flight) answer(err error) {
	f.mu.Lock()
	first := !f.answered
	f.answered = true
	f.mu.Unlock()
	if first && f.batch.Done != nil {
		f.batch.Done(err)
	}
}
