package forwarder

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/semtech/gwmp"
)

// Forwarder forwards frames to a network server. Its methods may be called from
// any goroutine.
type Forwarder struct {
	cfg  Config
	log  *slog.Logger
	dial func(ctx context.Context) (net.Conn, error)
	wake chan struct{} // there are frames
	keep chan struct{} // write them now

	downs chan struct{} // a place for each transmission that the radio works on
	sends sync.WaitGroup

	mu      sync.Mutex
	queue   []*entry // in the order in which they were heard
	waiting int      // of them not gone
	seq     uint64   // the last key on disk
	loaded  bool     // the disk has been read
	deletes []uint64 // keys that are no longer needed
	recent  recent
	status  Status
	stat    gwmp.Stat // since the last report
	grams   int       // PUSH_DATA since the last report
	acks    int
}

// Status is how the link is doing, and what was done since the start.
type Status struct {
	Up    bool      // the server answers
	Since time.Time // of Up
	Err   error     // why it is not up
	Disk  error     // why frames cannot be kept on disk; nil: they can
	// Waiting frames are not acknowledged; Kept of them are on disk.
	Waiting, Kept int

	Taken     uint64 // frames with a right checksum
	Ignored   uint64 // frames without one: servers have no use for them
	Forwarded uint64 // acknowledged
	Again     uint64 // PUSH_DATA sent once more
	Full      uint64 // frames dropped because there were too many
	Expired   uint64 // because they were too old
	Late      uint64 // because they were late and Late is Drop
	Damaged   uint64 // found on disk and not readable
	Asked     uint64 // transmissions that the server asked for
	Sent      uint64 // of these sent
	Garbage   uint64 // datagrams that are none of the protocol's
}

// New checks the configuration. The error wraps ErrConfig and names every mistake.
func New(cfg Config) (*Forwarder, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	f := &Forwarder{cfg: cfg, log: cfg.Log.With("server", cfg.Server), wake: make(chan struct{}, 1), keep: make(chan struct{}, 1),
		downs: make(chan struct{}, maxDowns)}
	f.dial = func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: cfg.Keepalive}
		return d.DialContext(ctx, "udp", cfg.Server)
	}
	f.loaded = cfg.Table == nil
	f.status.Since = time.Now()
	return f, nil
}

// Take takes a frame that a radio heard. It does not block. Frames without a right
// checksum are counted only, as Semtech's forwarder does when it is delivered.
func (f *Forwarder) Take(frame *radio.Frame) {
	at := f.cfg.Clock.Now()
	if !frame.At.IsZero() { // it may have waited in a queue
		if d := time.Since(frame.At); d > 0 && d < time.Minute {
			at.Wall, at.Mono = at.Wall.Add(-d), at.Mono-d
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stat.Received++
	if frame.CRC != radio.CRCOK {
		f.status.Ignored++
		return
	}
	f.stat.OK++
	f.status.Taken++
	f.recent.add(frame.Counter, frame.Radio, false)
	f.queue = append(f.queue, &entry{packet: gwmp.FromFrame(frame), radio: frame.Radio, at: at})
	f.waiting++
	f.trim()
	signal(f.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// trim drops the oldest frames where there are too many. It needs mu.
func (f *Forwarder) trim() {
	for i := 0; f.waiting > f.cfg.MaxFrames && i < len(f.queue); i++ {
		if e := f.queue[i]; !e.gone {
			f.drop(e, &f.status.Full, "there are too many")
		}
	}
	f.pop()
}

// drop counts and forgets a frame. It needs mu.
func (f *Forwarder) drop(e *entry, count *uint64, why string) {
	if *count++; *count == 1 || *count%1000 == 0 {
		f.log.Warn("frames that could not be sent are dropped: "+why, "dropped", *count)
	}
	f.forget(e)
}

// forget takes a frame from the queue, and from the disk with the next
// transaction. It needs mu.
func (f *Forwarder) forget(e *entry) {
	if e.gone {
		return
	}
	e.gone = true
	f.waiting--
	if e.seq != 0 { // also if it is being written just now
		f.deletes = append(f.deletes, e.seq)
	}
}

// pop takes those that are gone from the head of the queue. It needs mu.
func (f *Forwarder) pop() {
	n := 0
	for n < len(f.queue) && f.queue[n].gone {
		f.queue[n] = nil
		n++
	}
	f.queue = f.queue[n:]
}

// Status tells how the link is doing.
func (f *Forwarder) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.status
	st.Waiting = f.waiting
	for _, e := range f.queue {
		if e.kept && !e.gone {
			st.Kept++
		}
	}
	return st
}

// Run works until ctx ends, which is no error. What waits then is written to disk.
func (f *Forwarder) Run(ctx context.Context) error {
	f.load()
	var link sync.WaitGroup
	link.Go(func() { f.link(ctx) })
	every := time.NewTicker(f.cfg.CommitEvery)
	defer every.Stop()
	for ctx.Err() == nil {
		select {
		case <-every.C:
		case <-f.keep:
		case <-ctx.Done():
			continue
		}
		f.commit(false)
	}
	link.Wait()
	f.sends.Wait()
	f.commit(true)
	if st := f.Status(); st.Disk != nil && st.Waiting > st.Kept {
		return fmt.Errorf("forwarder: %d frames are lost: %w", st.Waiting-st.Kept, st.Disk)
	}
	return nil
}

// link connects to the server again and again: at once after a conversation that
// lasted, otherwise after a pause.
func (f *Forwarder) link(ctx context.Context) {
	for ctx.Err() == nil {
		begin := time.Now()
		conn, err := f.dial(ctx)
		if err == nil {
			err = f.session(ctx, conn)
		}
		if ctx.Err() != nil {
			return
		}
		f.setUp(false, fmt.Errorf("forwarder: %w", err))
		if time.Since(begin) >= f.cfg.Keepalive {
			continue
		}
		// Shortened at random, so that not all gateways come back in step.
		pause := f.cfg.Keepalive/2 - time.Duration(rand.Int64N(int64(f.cfg.Keepalive/4)+1))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// setUp notes whether the server answers.
func (f *Forwarder) setUp(up bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.status.Up != up || f.status.Err == nil != (err == nil)
	if f.status.Up != up {
		f.status.Since = time.Now()
	}
	f.status.Up, f.status.Err = up, err
	switch {
	case !changed:
	case up:
		f.log.Info("the network server answers", "waiting", f.waiting)
	default:
		f.log.Warn("the network server does not answer; frames are kept", "error", err)
	}
	if !up {
		signal(f.keep)
	}
}

// recent are the last frames, by which transmissions find their radio.
type recent struct {
	ring [512]struct {
		counter uint32
		radio   string
		late    bool
		set     bool
	}
	next int
	last string // the radio that heard a frame last
}

func (r *recent) add(counter uint32, radio string, late bool) {
	e := &r.ring[r.next%len(r.ring)]
	e.counter, e.radio, e.late, e.set = counter, radio, late, true
	r.next++
	r.last = radio
}

// find gives the latest frame that a transmission at tmst would answer: receive
// windows open full seconds after a frame, at most 16.
func (r *recent) find(tmst uint32) (radio string, late, ok bool) {
	for i := r.next - 1; i >= 0 && i >= r.next-len(r.ring); i-- {
		e := &r.ring[i%len(r.ring)]
		d := tmst - e.counter
		if e.set && d%1_000_000 == 0 && d >= 1_000_000 && d <= 16_000_000 {
			return e.radio, e.late, true
		}
	}
	return "", false, false
}
