package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// fill is how full bbolt packs a page whose keys come in ascending order. Its
// own default of a half is for keys that come in between.
const fill = 0.95

// reserveStep is how many sequences are reserved at a time.
const reserveStep = 1 << 16

// mostEvicted bounds the segments that one transaction drops: their pages are
// listed in it.
const mostEvicted = 4

// writer is what the writing goroutine alone touches: that of Run, OpenLog
// before it and Close after it.
type writer struct {
	next      uint64 // sequence that is given out next, also to what is not on disk yet
	begun     bool   // this process has made its mark in the file
	reopen    bool   // the file must be opened again before the next attempt
	deep      bool   // and every page of it be looked at
	checked   time.Time
	boots     map[uint64]bool           // whose ids the active segment holds
	saved     map[string]gateway.Cursor // on disk
	filed     map[string]gateway.Cursor // of those, in the log's file
	reserved  uint64                    // what the log's file says of the reservation
	journal   *journal                  // nil: there is none now
	journalAt time.Time                 // when one may be opened again
	frame     uint64                    // number of the newest commit to one

	journalPause time.Duration // after which a journal that failed is opened again

	marksLate bool        // the marks are in the journal alone
	scrub     bool        // the journal that is there has blocks of no use
	lost      []lostRange // what is to be announced with the first commit
	nameEvery time.Duration
	trimmed   time.Time // when the memory map was made anew
	named     time.Time // when the file's name was looked for
	examined  time.Time // when damaged records may be looked for again
	savedAt   time.Time // last commit
	agedAt    time.Time // last look for records past MaxAge
	arrangeAt time.Time // when columns may be made again
	replaced  bool      // the file was, by one that repairs it
	hold      hold
	pause     pause
	arenas    arenas
	retryAt   time.Time
	deliver   chan<- delivery // nil: before and after Run
}

// job is what one transaction does.
type job struct {
	entries []*pending
	bad     []uint64          // damaged records to announce
	healed  map[uint64][]byte // blobs of damaged records that were found elsewhere
	begin   bool              // first one of this process
	free    bool              // drop what everybody has acknowledged
	saved   []stored          // records of a damaged file, with their numbers
	lost    []lostRange
	columns *columnSet // of a full segment, for queries
	stray   []uint64   // segments whose columns are to be removed
	flush   bool       // nothing may stay in the journal alone
}

// write commits entries. If the disk is full, damaged files that were set aside
// give way, whose records were saved, then what every uplink has acknowledged,
// but nothing else.
func (l *Log) write(j job) error {
	if err := l.start(); err != nil {
		return err
	}
	if err := l.number(j.entries); err != nil {
		return err
	}
	if l.small(&j) {
		if err := l.commitSmall(j.entries); !errors.Is(err, errNoJournal) {
			return err // the next attempt is for the log's file
		}
	}
	err := l.commit(j)
	if !isFull(err) {
		return err
	}
	if removeAside(l.path, 0, "") {
		if err = l.commit(j); !isFull(err) {
			return err
		}
	}
	l.w.hold = hold{} // there is no room to grow
	if l.makeRoom() == nil {
		err = l.commit(j)
	}
	if isFull(err) && l.spareColumns() == nil {
		err = l.commit(j)
	}
	return err
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// makeRoom drops a few segments that everybody has acknowledged.
func (l *Log) makeRoom() error {
	if !l.droppable() {
		return errors.New("nothing to drop")
	}
	return l.removeSome(job{free: true})
}

// removeSome commits what makes room. That takes some new pages itself: there
// is a spare file to give way for them.
func (l *Log) removeSome(j job) error {
	err := l.start()
	if err == nil {
		err = l.commit(j)
	}
	if isFull(err) && dropSpare(l.path) {
		if err = l.start(); err == nil {
			err = l.commit(j)
		}
	}
	if err == nil {
		err = l.start()
	}
	return err
}

// number gives the entries their sequences. What has one keeps it, so that two
// different records never carry the same one, be it in a page that a failed
// commit left behind.
func (l *Log) number(entries []*pending) error {
	w := &l.w
	need := w.next + 1000 // for gap records
	for _, p := range entries {
		if p.first == 0 {
			need += uint64(len(p.Records))
		}
	}
	if x := l.index.Load(); l.opt.Reserve != nil && need > x.reserved {
		upTo := need + reserveStep
		if err := l.opt.Reserve.Reserve(upTo); err != nil {
			return fmt.Errorf("reserve sequences: %w", err)
		}
		y := *x
		y.reserved = upTo
		l.index.Store(&y)
	}
	for _, p := range entries {
		if p.first == 0 {
			p.first = w.next
			w.next += uint64(len(p.Records))
		}
	}
	return nil
}

// commit runs one transaction and publishes what it made.
func (l *Log) commit(j job) error {
	old := l.index.Load()
	l.mu.Lock()
	cursors := cloneCursors(l.cursors)
	l.moved = false
	b := &build{Log: l, job: j, x: old.clone(), cursors: cursors, table: l.clocks.table.Load(), marks: slices.Clone(l.marks.open), marksMoved: l.marks.moved || l.w.marksLate}
	l.marks.moved = false
	l.mu.Unlock()
	written, err := l.file.update(b.run)
	l.w.arenas.back(b.taken) // bbolt has copied what it keeps, or dropped it
	if err != nil {
		// After a write that the disk had no room for, bbolt goes on with what
		// it had. After anything else only the file itself knows what it holds.
		var write *fs.PathError
		l.w.reopen = !isFull(err) || !errors.As(err, &write)
		l.w.deep = l.w.deep || errors.Is(err, ErrDamaged)
		l.w.boots = nil
		l.mu.Lock()
		l.moved = true
		l.marks.moved = l.marks.moved || b.marksMoved
		l.mu.Unlock()
		return err
	}
	l.clocks.saved(b.table)
	if length, used, err := l.file.space(); err == nil {
		b.x.length, b.x.used = length, used
	}
	l.w.saved, l.w.filed, l.w.savedAt = b.cursors, b.cursors, time.Now()
	if b.x.late == nil && l.w.journal != nil {
		l.w.journal.next = 0
	}
	l.w.begun = l.w.begun || j.begin
	l.w.marksLate, l.w.reserved = false, b.x.reserved
	l.index.Store(b.x)
	if len(j.healed) > 0 {
		l.generation.Add(1) // columns lack what was damaged
	}
	if b.lowestBoot > 1 {
		l.clocks.forget(b.lowestBoot)
	}
	l.mu.Lock()
	for name, c := range b.cursors {
		if now, ok := l.cursors[name]; ok {
			l.cursors[name] = mergeCursors(now, c)
		}
	}
	l.addMarks(b.marked)
	l.health.Commits++
	l.health.BytesWritten += uint64(written)
	l.health.Evicted += b.evicted
	for _, seq := range j.bad {
		if !old.bad[seq] { // else readers met it twice
			l.health.Damaged++
		}
	}
	l.tellHead(old, b.x)
	l.mu.Unlock()
	for _, p := range b.losses {
		l.log.Warn("records were dropped before an uplink had them", "uplink", p.Uplink,
			"reason", p.Lost.Reason, "count", p.Lost.Count, "from", p.Lost.From, "to", p.Lost.To)
	}
	return nil
}

// tellHead wakes those who wait for records. The lock is held.
func (l *Log) tellHead(old, x *index) {
	if x.head > old.head {
		close(l.news)
		l.news = make(chan struct{})
	}
}

// build makes the content of one transaction.
type build struct {
	*Log
	job
	tx         *bbolt.Tx
	x          *index // as it will be
	cursors    map[string]gateway.Cursor
	table      *bootTable
	bucket     *bbolt.Bucket // of the active segment
	arena      []byte
	taken      [][]byte // arenas to give back
	body       []byte
	record     stored // the one being added
	losses     []gateway.Record
	evicted    uint64
	lowestBoot uint64

	marks      []gateway.Mark // on disk, or as they will be
	marksMoved bool           // they are not on disk as they are
	marked     []gateway.Mark // of entries
}

func (b *build) run(tx *bbolt.Tx) error {
	b.tx = tx
	if b.begin {
		if err := b.buckets(); err != nil {
			return err
		}
	}
	tally := losses{build: b}
	if err := b.evict(&tally); err != nil {
		return err
	}
	if err := b.heal(); err != nil {
		return err
	}
	if err := b.announceBad(&tally); err != nil {
		return err
	}
	if !b.free && b.columns == nil && len(b.stray) == 0 {
		if err := b.addLate(); err != nil {
			return err
		}
	}
	if b.begin {
		b.jump()
	}
	tally.missing(b.lost)
	for i := range b.job.saved {
		if err := b.add(b.job.saved[i].Seq, &b.job.saved[i].Record); err != nil {
			return err
		}
	}
	for _, p := range b.entries {
		for i := range p.Records {
			if err := b.add(p.first+uint64(i), &p.Records[i]); err != nil {
				return err
			}
		}
	}
	if err := b.arrangeColumns(); err != nil {
		return err
	}
	if b.losses = tally.records(); len(b.losses) > 0 {
		if err := b.addLate(); err != nil { // their numbers are higher
			return err
		}
	}
	for i := range b.losses {
		seq := b.w.next
		b.w.next++
		if err := b.add(seq, &b.losses[i]); err != nil {
			return err
		}
	}
	return b.finish()
}

// buckets makes those that are missing.
func (b *build) buckets() error {
	for _, name := range [][]byte{bucketMeta, bucketSegs, bucketBoots, bucketBad} {
		if _, err := b.tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	b.x.epoch++
	return nil
}

// addLate puts what is in the journal alone into the file.
func (b *build) addLate() error {
	t := b.x.late
	b.x.late = nil
	if t == nil {
		return nil
	}
	for i := range t.records {
		s, err := t.records[i].decode(b.clocks)
		if err != nil {
			return fmt.Errorf("journal: record %d: %w", t.records[i].seq, err)
		}
		if err := b.add(s.Seq, &s.Record); err != nil {
			return err
		}
	}
	return nil
}

// jump notes that this process goes on with a number of its own.
func (b *build) jump() {
	if after := b.x.next - 1; b.w.next > b.x.next {
		b.x.jumps = addJump(b.x.jumps, after, b.w.next, b.x.first)
		b.x.next = b.w.next
		if len(b.x.segments) == 0 {
			b.x.first, b.x.head = b.x.next, b.x.next-1
		}
	}
}

// add puts one record into the active segment.
func (b *build) add(seq uint64, r *gateway.Record) error {
	number := b.clocks.number(r.Stamp)
	b.clocks.note(r.Stamp)
	s := &b.record
	*s = stored{Record: *r, epoch: b.x.epoch, boot: number}
	s.Seq = seq
	known := b.clocks.table.Load().byNumber[number]
	s.At, s.Clock = bestTime(&s.Record, known)
	at, q := stampTime(&s.Record, known)
	bucket, again := b.twice(seq)
	var seg *segment
	var err error
	if !again {
		if seg, err = b.segment(seq, at, q); err != nil {
			return err
		}
		bucket = b.bucket
	}
	if s.hasBoot = again || !b.w.boots[number]; s.hasBoot && !again {
		b.w.boots[number] = true
	}
	if b.body, err = appendRecord(b.body[:0], s); err != nil {
		return err
	}
	if len(b.body) > MaxRecord {
		return fmt.Errorf("record %d: %w", seq, gateway.ErrTooLarge)
	}
	blob := appendBlob(b.alloc(len(b.body)+blobHeader+5), blobRecord, b.x.id, b.body)
	if err := bucket.Put(seqKey(seq), blob); err != nil {
		return err
	}
	if again {
		return nil
	}
	seg.note(seq, number, len(blob), at, q)
	b.x.records++
	for _, name := range b.opt.Uplinks {
		if b.wants(name, &s.Record) {
			seg.wanted[name]++
		}
	}
	if seq > b.x.next {
		b.x.jumps = addJump(b.x.jumps, b.x.next-1, seq, b.x.first)
	}
	b.x.next, b.x.head = max(b.x.next, seq+1), max(b.x.head, seq)
	return nil
}

// twice finds the bucket that a record is in already: a commit of it went
// through although it said that it did not. It is written once more, so that
// it is on disk for sure.
func (b *build) twice(seq uint64) (*bbolt.Bucket, bool) {
	if seq >= b.x.next {
		return nil, false
	}
	i := b.x.find(seq)
	if i == len(b.x.segments) {
		return nil, false
	}
	bucket := b.tx.Bucket(seqKey(b.x.segments[i].base))
	return bucket, bucket != nil && bucket.Get(seqKey(seq)) != nil
}

// stampTime is when the gateway took r, as far as known.
func stampTime(r *gateway.Record, known *boot) (time.Time, gateway.ClockQuality) {
	own := *r
	own.Time = time.Time{}
	return bestTime(&own, known)
}

// segment is the one that a record of that time belongs into; a full one gives
// way to a new one.
func (b *build) segment(seq uint64, at time.Time, q gateway.ClockQuality) (*segment, error) {
	segs := b.x.segments
	if n := len(segs); n > 0 {
		seg := &segs[n-1]
		full := seg.bytes >= uint64(b.opt.SegmentBytes) || b.opt.MaxAge > 0 && q != gateway.ClockUnset && b.stale(seg, at)
		if !full {
			if b.bucket == nil {
				if b.bucket = b.tx.Bucket(seqKey(seg.base)); b.bucket == nil {
					return nil, fmt.Errorf("%w: segment %d is missing", ErrDamaged, seg.base)
				}
				b.bucket.FillPercent = fill
				for _, name := range b.opt.Uplinks {
					seg.wanted[name] = seg.want(name)
				}
				if b.w.boots == nil {
					b.w.boots = map[uint64]bool{}
				}
			}
			return seg, nil
		}
		if err := b.seal(seg); err != nil {
			return nil, err
		}
	}
	var err error
	if b.bucket, err = b.tx.CreateBucket(seqKey(seq)); err != nil {
		return nil, err
	}
	b.bucket.FillPercent = fill
	b.w.boots = map[uint64]bool{}
	wanted := map[string]uint64{}
	for _, name := range b.opt.Uplinks {
		wanted[name] = 0
	}
	b.x.segments = append(b.x.segments, segment{base: seq, last: seq, wanted: wanted})
	if len(b.x.segments) == 1 {
		b.x.first = seq
	}
	return &b.x.segments[len(b.x.segments)-1], nil
}

// seal notes what is in a segment that nothing will be added to.
func (b *build) seal(seg *segment) error {
	segs := b.tx.Bucket(bucketSegs)
	if segs == nil {
		return fmt.Errorf("%w: no list of segments", ErrDamaged)
	}
	return segs.Put(seqKey(seg.base), appendBlob(nil, blobSegment, b.x.id, appendSegment(nil, seg)))
}
