package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fieldgate/gateway"
)

// Limits of one transaction, and of the queue before it.
const (
	txRecords    = 20_000
	txBytes      = 4 << 20
	queueBytes   = 2 * txBytes
	queueEntries = 2 * txRecords
)

// Log is the durable log of records: the outbox of all uplinks and the local
// history at once. It implements gateway.Log.
//
// One goroutine, that of Run, writes. All entries that are waiting when a
// commit ends share the next one, so that the disk's pace sets how many do,
// and one that comes alone waits for one commit.
type Log struct {
	path   string
	opt    Options
	log    *slog.Logger
	clocks *clocks

	index atomic.Pointer[index] // nil until the file was open once

	fileMu sync.RWMutex // held for writing to open and close file
	file   *file

	mu       sync.Mutex
	room     sync.Cond // on mu: the queue has shrunk, or its limit has changed
	queue    []*pending
	bytes    int64 // of the queue
	records  int   // of the queue
	urgent   int   // entries of the queue that somebody waits for
	status   status
	failing  error                     // why the disk does not take records
	cursors  map[string]gateway.Cursor // the truth
	moved    bool                      // a cursor is not on disk
	marks    marks
	news     chan struct{} // closed when head rises or the log closes
	health   Health        // counters and what changes rarely
	onHealth []func(Health)
	suspect  []uint64        // damaged records that were met by readers
	check    bool            // a reader met damage of the file
	worn     map[uint64]bool // segments whose columns were of no use, and whether they were made anew

	changes []Health      // not told yet
	changed chan struct{} // closed when changes grows

	wake chan struct{} // to the writer, holds 1

	readBytes atomic.Int64 // that readers have gone over since the file was opened

	generation atomic.Uint64 // counts the files, of which each numbers boots anew
	tails      tails

	tallyMu sync.Mutex
	tally   tallies

	w writer
}

type status uint8

const (
	idle    status = iota // before Run: entries queue up
	running               // Run is at work
	stopped               // Run has ended
	closed
)

// pending is an entry that is not on disk yet.
type pending struct {
	*gateway.Entry
	size    int64
	came    time.Time
	first   uint64 // sequence of its first record; 0: none was given yet
	stalled bool   // Stalled was called, or will be
}

// OpenLog opens the log in the file path, or makes it. A damaged file is set
// aside beside it, and what can be read of it is saved. If the disk refuses
// (full, read-only, missing), the log opens all the same: what is appended
// waits in memory, and Run tries again by itself. The error wraps ErrLocked if
// another process has the file open; otherwise it is a mistake in o.
func OpenLog(path string, o Options) (*Log, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("store: open log: %w", err)
	}
	l := &Log{
		path:    path,
		opt:     o,
		log:     o.Logger.With("file", path),
		clocks:  newClocks(),
		cursors: map[string]gateway.Cursor{},
		news:    make(chan struct{}),
		changed: make(chan struct{}),
		wake:    make(chan struct{}, 1),
	}
	l.room.L = &l.mu
	l.health = Health{OK: true, Since: o.Clock.Now().Wall, FreeDiskBytes: -1}
	l.w.pause, l.w.nameEvery, l.w.journalPause = newPause(), nameEvery, journalPause
	l.w.frame = uint64(newID()) // far from those of another process, should a file be an old one
	l.w.hold = newHold(^uint64(0))
	if err := l.start(); errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("store: open log: %w", err)
	} else if err != nil {
		l.fail(err, 0)
	}
	return l, nil
}

func (o *Options) complete() error {
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxSize < LeastMaxSize || o.MaxSize > LargestMaxSize {
		return fmt.Errorf("a size of %d bytes is out of range, %d to %d", o.MaxSize, LeastMaxSize, LargestMaxSize)
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	if o.CommitEvery <= 0 {
		o.CommitEvery = 20 * time.Millisecond
	}
	if o.CursorEvery <= 0 {
		o.CursorEvery = 5 * time.Second
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = min(max(o.MaxSize/64, 64<<10), 4<<20)
	}
	o.SegmentBytes = min(o.SegmentBytes, o.MaxSize/8)
	if o.PendingBytes <= 0 {
		o.PendingBytes = 8 << 20
	}
	if o.Clock == nil {
		o.Clock = gateway.NewSystemClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	o.Uplinks = slices.Clone(o.Uplinks)
	for _, u := range o.Uplinks {
		if len(u) > 255 {
			return fmt.Errorf("the name of an uplink is %d bytes long, at most 255", len(u))
		}
	}
	return nil
}

// sizing is how a log's file grows: in steps small against MaxSize, mapped as
// far as a 32-bit address space allows.
func (o *Options) sizing() sizing {
	s := sizing{alloc: int(min(max(o.MaxSize/16, 64<<10), 1<<20)), mmap: 1 << 20}
	for int64(s.mmap) < o.MaxSize+o.SegmentBytes && s.mmap < 256<<20 {
		s.mmap *= 2
	}
	return s
}

// wants says whether the uplink is sent r.
func (l *Log) wants(uplink string, r *gateway.Record) bool {
	switch r.Kind {
	case gateway.KindGap:
		return r.Uplink == uplink
	case gateway.KindMessage:
		if r.Uplink != uplink {
			return false
		}
	default:
		if r.Origin == uplink {
			return false
		}
	}
	return l.opt.Filter == nil || l.opt.Filter(uplink, r)
}

// checkRecord refuses what could never be committed.
func checkRecord(r *gateway.Record) error {
	if n := recordSize(r); n > MaxRecord {
		return fmt.Errorf("%w: a record of %d bytes, at most %d", gateway.ErrTooLarge, n, MaxRecord)
	}
	if r.Lost != nil {
		if _, err := json.Marshal(r.Lost); err != nil {
			return fmt.Errorf("gap: %w", err)
		}
	}
	return nil
}

// Append queues e and returns; see gateway.Log. The error wraps
// gateway.ErrNotKept, gateway.ErrClosed, or gateway.ErrTooLarge for a record
// of more than MaxRecord bytes. The records must not be changed until Done,
// which finds their Seq filled in. An entry without records passes through the
// writer without a commit, also while the disk fails. Done and Stalled must
// not call Append: both wait for the same goroutine.
func (l *Log) Append(e *gateway.Entry) error {
	p := &pending{Entry: e, size: entrySize(e)}
	for i := range e.Records {
		if err := checkRecord(&e.Records[i]); err != nil {
			return fmt.Errorf("store: append: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.status >= stopped:
			return fmt.Errorf("store: append: %w", gateway.ErrClosed)
		case len(e.Records) == 0: // always fits
		case l.failing != nil && l.bytes+p.size > l.opt.PendingBytes:
			return fmt.Errorf("store: append: %w: %w", gateway.ErrNotKept, l.failing)
		case l.failing == nil && len(l.queue) > 0 && (l.bytes+p.size > queueBytes || len(l.queue) >= queueEntries):
			l.room.Wait()
			continue
		}
		break
	}
	p.came = time.Now()
	l.queue = append(l.queue, p)
	l.bytes += p.size
	l.records += len(e.Records)
	if e.Wait {
		l.urgent++
	}
	if e.Wait || len(l.queue) == 1 || l.failing != nil || l.bytes > txBytes {
		l.poke()
	}
	return nil
}

// poke wakes the writer.
func (l *Log) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Head is the highest sequence that is on disk, 0 if there never was one.
func (l *Log) Head() uint64 {
	if x := l.index.Load(); x != nil {
		return x.head
	}
	return 0
}

// First is the lowest sequence in the log, 0 if it is empty.
func (l *Log) First() uint64 {
	if x := l.index.Load(); x != nil {
		return x.firstSeq()
	}
	return 0
}

// Wait blocks until Head is above after. It returns the error of ctx, or one
// that wraps gateway.ErrClosed once the log is closed.
func (l *Log) Wait(ctx context.Context, after uint64) error {
	for {
		l.mu.Lock()
		news, st := l.news, l.status
		l.mu.Unlock()
		switch {
		case l.Head() > after:
			return nil
		case st == closed:
			return fmt.Errorf("store: wait: %w", gateway.ErrClosed)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Health tells the state of the log.
func (l *Log) Health() Health {
	free := freeDisk(l.path)
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.healthLocked()
	h.FreeDiskBytes = free
	return h
}

func (l *Log) healthLocked() Health {
	h := l.health
	h.PendingBytes, h.PendingRecords = l.bytes, l.records
	if h.OK = l.failing == nil; !h.OK {
		h.Error = l.failing.Error()
	}
	if x := l.index.Load(); x != nil {
		h.FileBytes, h.UsedBytes = x.length, x.used
		h.Records, h.First, h.Head, h.Segments = x.total(), x.firstSeq(), x.head, len(x.segments)
	}
	return h
}

// OnHealth has fn called whenever Health.OK changes, from a goroutine of Run.
// To be called before Run.
func (l *Log) OnHealth(fn func(Health)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onHealth = append(l.onHealth, fn)
}

// setCursors makes the cursors of the listed uplinks out of what a file says
// and what is known already. An uplink that is new starts with what is there.
func (l *Log) setCursors(saved map[string]gateway.Cursor, x *index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	had := maps.Clone(l.cursors)
	clear(l.cursors)
	for _, name := range l.opt.Uplinks {
		c, known := saved[name]
		if mem, ok := had[name]; ok {
			c, known = mergeCursors(c, mem), true
		}
		if !known {
			c.Next = x.first
		}
		c.Next = max(c.Next, 1)
		l.cursors[name] = mergeCursors(c, gateway.Cursor{})
	}
}
