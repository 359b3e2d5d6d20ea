package store

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"fieldgate/gateway"
)

// The journal is a small file beside the log's, NAME.journal, that takes small
// commits. bbolt writes five pages and waits for the disk twice for a single
// record; here it is one block and one wait. What lies in the journal is in
// memory too (late), where readers find it, and goes into the log's file with
// the next commit that is written there: a large one, one that drops or mends
// something, the one that finds the journal full, or that of Close.
//
// The file has its full length from the start, so that a commit changes no
// metadata of the file system and needs no room on the disk. It is written from
// its first block on, again whenever all of it is in the log's file. Each block
// is a blob by itself (blobJournal) with these fields as varints:
//
//	epoch   how often the log had been opened
//	frame   number of the commit, ascending in one process from any number on;
//	        its blocks follow each other
//	part    of the commit, from 0
//	parts
//	first   sequence of the first record of the block
//	count   of records; those follow as raw, encoded as in the log's file
//
// The last part of a commit goes on with the cursors that have moved, a count
// and each as raw, and, if 1 and not 0 follows, with all marks, as raw. A commit is whole if
// all of its parts are: one that is not was never acknowledged, unless there is
// a later one.

const (
	journalSuffix = ".journal"
	journalBlock  = 4096
	journalHead   = 80 // bytes of a block, at most, before its records

	mostParts       = 4       // blocks of one commit
	mostSmall       = 128     // records of one commit
	mostNumbers     = 1 << 14 // records of a journal
	leastJournal    = 16
	mostJournal     = 128       // blocks
	journalMinSpare = 256 << 10 // bytes of a disk that is not yet as good as full
	journalPause    = time.Minute
)

// errNoJournal says that a commit has to go into the log's file.
var errNoJournal = errors.New("no commit for the journal")

// journal is the open file. The writing goroutine alone uses it.
type journal struct {
	f      *os.File
	next   int    // block that is written next
	frame  uint64 // number of the newest commit
	buf    []byte
	looked time.Time // when its name was looked for
}

// journalBlocks is how long the journal is.
func (o *Options) journalBlocks() int {
	return min(max(int(o.MaxSize/64/journalBlock), leastJournal), mostJournal)
}

// makeJournal opens path with its full length on disk. What is in it stays
// until it is overwritten, or goes at once.
func makeJournal(path string, blocks int, scrub bool) (*journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errNotFile
	}
	if err == nil && scrub {
		if err = f.Truncate(0); err == nil {
			st, err = f.Stat()
		}
	}
	if size := int64(blocks) * journalBlock; err == nil && st.Size() < size {
		_, err = f.WriteAt(make([]byte, size-st.Size()), st.Size())
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &journal{f: f, looked: time.Now()}, nil
}

// small says whether j may go into the journal, and opens that if need be.
func (l *Log) small(j *job) bool {
	w, x := &l.w, l.index.Load()
	l.mu.Lock()
	failing := l.failing != nil
	l.mu.Unlock()
	plain := len(j.bad)+len(j.healed)+len(j.saved)+len(j.lost)+len(j.stray) == 0 && !j.begin && !j.free && !j.flush && j.columns == nil
	if failing || !plain || !w.begun || w.reopen || w.journalAt.After(time.Now()) || x.reserved != w.reserved || l.clocks.table.Load().unsaved {
		return false
	}
	next, size, n := x.end(), int64(0), 0
	for _, p := range j.entries {
		if len(p.Records) > 0 && p.first != next {
			return false
		}
		next += uint64(len(p.Records))
		size += p.size
		n += len(p.Records)
	}
	if n > mostSmall || size > 4*mostParts*journalBlock || l.mustDrop(x) {
		return false
	}
	// On a disk that is full nothing should look as if it were not.
	if free := freeDisk(l.path); free >= 0 && free < journalMinSpare {
		return false
	}
	if w.journal != nil && time.Since(w.journal.looked) >= w.nameEvery {
		w.journal.looked = time.Now()
		if _, err := os.Lstat(l.path + journalSuffix); errors.Is(err, fs.ErrNotExist) {
			l.closeJournal()
		}
	}
	if w.journal == nil {
		if len(x.waiting()) > 0 {
			return false // of the one that is gone
		}
		var err error
		if w.journal, err = makeJournal(l.path+journalSuffix, l.opt.journalBlocks(), w.scrub); err != nil {
			l.log.Debug("there is no journal for small commits now", "error", err)
			w.journalAt = time.Now().Add(w.journalPause)
			return false
		}
		w.journal.frame, w.scrub = w.frame, false
	}
	return true
}

// mustDrop says that records are due to be dropped.
func (l *Log) mustDrop(x *index) bool {
	n := tooMany(x.segments, x.used, l.opt.MaxSize)
	if l.opt.MaxAge > 0 {
		l.mu.Lock()
		n += expired(x.segments, l.cursors, l.opt.Clock.Now(), l.opt.MaxAge)
		l.mu.Unlock()
	}
	return n > 0
}

func (l *Log) closeJournal() {
	if l.w.journal != nil {
		_ = l.w.journal.f.Close()
		l.w.journal = nil
	}
}

// commitSmall writes entries to the journal. The error is errNoJournal if they
// have to go into the log's file for another reason than the disk's.
func (l *Log) commitSmall(entries []*pending) error {
	w, j, old := &l.w, l.w.journal, l.index.Load()
	marked := markedOf(entries)
	l.mu.Lock()
	cursors := cloneCursors(l.cursors)
	l.moved = false
	var marks []gateway.Mark // nil: as they were
	marksMoved := l.marks.moved
	if len(marked) > 0 || marksMoved {
		marks = append(append(make([]gateway.Mark, 0, len(l.marks.open)+len(marked)+1), l.marks.open...), marked...)
	}
	l.marks.moved = false
	l.mu.Unlock()
	moved := map[string]gateway.Cursor{}
	for name, c := range cursors {
		if was, ok := w.saved[name]; !ok || !sameCursor(was, c) {
			moved[name] = c
		}
	}
	records, err := l.lateOf(entries, old)
	parts := 0
	if err == nil {
		parts, err = j.encode(old, records, moved, marks, l.opt.journalBlocks())
	}
	if err == nil {
		w.frame++ // what may be on disk has a number that no other gets
		err = j.write(parts)
	}
	if err != nil {
		if !errors.Is(err, errNoJournal) {
			l.closeJournal()
			w.journalAt = time.Now().Add(w.journalPause)
		}
		l.mu.Lock()
		l.moved = true
		l.marks.moved = l.marks.moved || marksMoved
		l.mu.Unlock()
		return err
	}
	x := old.clone()
	t := &late{}
	if old.late != nil {
		*t = *old.late
	}
	for _, r := range records {
		t.bytes += int64(len(r.body))
	}
	t.records = append(t.records, records...)
	x.withLate(t)
	w.saved, w.savedAt = cursors, time.Now()
	w.marksLate = w.marksLate || marks != nil
	l.index.Store(x)
	l.mu.Lock()
	l.addMarks(marked)
	l.health.Commits++
	l.health.BytesWritten += uint64(parts * journalBlock)
	l.tellHead(old, x)
	l.mu.Unlock()
	return nil
}

// lateOf encodes the records of entries.
func (l *Log) lateOf(entries []*pending, x *index) (out []lateRecord, err error) {
	var buf []byte
	for _, p := range entries {
		for i := range p.Records {
			s := stored{Record: p.Records[i], epoch: x.epoch}
			s.Seq = p.first + uint64(i)
			l.clocks.note(s.Stamp)
			s.boot, s.hasBoot = l.clocks.number(s.Stamp), true
			if l.clocks.table.Load().unsaved { // what it tells about a clock belongs into the log's file
				return nil, errNoJournal
			}
			n := len(buf)
			if buf, err = appendRecord(buf, &s); err != nil {
				return nil, err
			}
			out = append(out, lateRecord{s.Seq, buf[n:len(buf):len(buf)]})
		}
	}
	return out, nil
}

// encode puts a commit into the buffer and says how many blocks it takes.
func (j *journal) encode(x *index, records []lateRecord, cursors map[string]gateway.Cursor, marks []gateway.Mark, blocks int) (int, error) {
	const room = journalBlock - journalHead
	tail := binary.AppendUvarint(nil, uint64(len(cursors)))
	for _, name := range slices.Sorted(maps.Keys(cursors)) {
		tail = appendRaw(tail, appendCursor(nil, name, cursors[name]))
	}
	if marks == nil {
		tail = append(tail, 0)
	} else {
		tail = appendRaw(append(tail, 1), appendMarks(nil, marks))
	}
	if len(tail) > room {
		return 0, errNoJournal
	}
	type part struct{ from, to, bytes int }
	parts := []part{{}}
	for i := range records {
		n := len(records[i].body) + binary.MaxVarintLen32
		if n > room {
			return 0, errNoJournal
		}
		if parts[len(parts)-1].bytes+n > room {
			parts = append(parts, part{i, i, 0})
		}
		p := &parts[len(parts)-1]
		p.to, p.bytes = i+1, p.bytes+n
	}
	if n := len(records); parts[len(parts)-1].bytes+len(tail) > room {
		parts = append(parts, part{n, n, 0})
	}
	if len(parts) > mostParts || j.next+len(parts) > blocks {
		return 0, errNoJournal
	}
	j.buf = j.buf[:0]
	var body []byte
	for i, p := range parts {
		first := x.end()
		if p.from < len(records) {
			first = records[p.from].seq
		}
		body = body[:0]
		for _, v := range []uint64{x.epoch, j.frame + 1, uint64(i), uint64(len(parts)), first, uint64(p.to - p.from)} {
			body = binary.AppendUvarint(body, v)
		}
		for _, r := range records[p.from:p.to] {
			body = appendRaw(body, r.body)
		}
		if i == len(parts)-1 {
			body = append(body, tail...)
		}
		j.buf = appendBlob(j.buf, blobJournal, x.id, body)
		j.buf = append(j.buf, make([]byte, (i+1)*journalBlock-len(j.buf))...)
	}
	return len(parts), nil
}

// write writes what encode has made, and waits until it is on disk.
func (j *journal) write(parts int) error {
	if _, err := j.f.WriteAt(j.buf, int64(j.next)*journalBlock); err != nil {
		return err
	}
	if !noSync {
		if err := fdatasync(j.f); err != nil {
			return err
		}
	}
	j.next += parts
	j.frame++
	return nil
}

func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}
