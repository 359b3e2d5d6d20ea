package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"fieldgate/gateway"
)

// start opens the file unless it is open and fit for writing, and makes this
// process's mark in it.
func (l *Log) start() error {
	w := &l.w
	if err := l.keepName(); err != nil {
		return err
	}
	if l.file == nil || w.reopen {
		if err := l.open(); err != nil {
			return err
		}
	}
	if l.file.readOnly {
		w.reopen = true
		return &fs.PathError{Op: "write", Path: l.path, Err: syscall.EROFS}
	}
	if w.begun {
		return nil
	}
	err := l.commit(job{begin: true, lost: w.lost})
	if isFull(err) && (l.droppable() || len(l.withColumns()) > 0) && dropSpare(l.path) {
		if err = l.open(); err == nil {
			err = l.commit(job{begin: true, lost: w.lost})
		}
	}
	if err != nil {
		return err
	}
	w.lost = nil
	makeSpare(l.path)
	return nil
}

// setFile closes the file that is open and puts d in its place. Readers are
// waited for.
func (l *Log) setFile(d *file) {
	l.fileMu.Lock()
	defer l.fileMu.Unlock()
	l.swapFile(d)
}

// swapFile is setFile with the lock held.
func (l *Log) swapFile(d *file) {
	if l.file != nil {
		if l.file.broken.Load() {
			l.log.Error("the damaged file stays mapped into memory until the next start")
		}
		l.file.close()
	}
	l.file = d
}

// open closes the file, opens it again and reads what it says about itself.
// Damage is repaired. Readers wait unless that takes long.
func (l *Log) open() error {
	w := &l.w
	w.reopen, w.boots = false, nil
	l.readBytes.Store(0)
	err := finishRename(l.path)
	if err == nil {
		err = l.reload(w.deep)
	}
	if errors.Is(err, ErrDamaged) {
		if err = l.repair(err); err == nil {
			err = l.reload(false)
		}
	}
	if err != nil {
		w.reopen = true
		return err
	}
	if w.deep {
		w.deep, w.checked = false, time.Now()
	}
	l.tallyMu.Lock()
	l.tally = tallies{}
	l.tallyMu.Unlock()
	return nil
}

func (l *Log) reload(deep bool) error {
	l.fileMu.Lock()
	l.swapFile(nil)
	if deep {
		l.fileMu.Unlock()
	}
	d, known, err := l.openLoad(deep)
	if deep {
		l.fileMu.Lock()
	}
	defer l.fileMu.Unlock()
	if err == nil {
		l.adopt(known)
		l.file = d
	}
	return err
}

// adopt takes in what a file says about itself.
func (l *Log) adopt(known *loaded) {
	w, x, old := &l.w, &known.index, l.index.Load()
	if old != nil && known.tx == 0 { // all of it went while the log was open
		m := missing{f: &finding{first: old.first, next: old.next, jumps: old.jumps, certain: true}}
		m.end(0)
		w.lost = append(w.lost, m.ranges...)
	}
	if old == nil {
		w.hold = newHold(x.head)
	}
	w.reserved = x.reserved
	if x.reserved == 0 && old != nil {
		x.reserved = old.reserved
	}
	if w.next == 0 {
		w.next = l.firstNumber(x)
	}
	w.next = max(w.next, x.next)
	l.clocks.load(known.boots, 0)
	filed := known.cursors
	var marks []gateway.Mark
	switch {
	case w.replaced: // the new file has it all
	case old != nil:
		x.withLate(old.late)
	default:
		j, err := readJournal(l.path+journalSuffix, x.id)
		if err != nil {
			l.log.Error("the journal cannot be read", "error", err)
		}
		known.cursors, marks = l.recall(&j, x, filed)
	}
	if w.replaced || known.tx == 0 {
		w.replaced = false
		l.generation.Add(1)
	}
	l.setCursors(known.cursors, x)
	l.mu.Lock()
	if old == nil {
		if l.marks.open = known.marks; marks != nil {
			l.marks.open, l.marks.moved = marks, true
		}
	} else { // what is in memory holds, the file may be another one
		l.marks.moved = true
	}
	l.mu.Unlock()
	w.saved, w.filed = known.cursors, filed
	l.index.Store(x)
}

// trim lets go of the memory map if readers have drawn much of the file into
// it, which counts as this process's memory until somebody else needs it.
func (l *Log) trim(now time.Time) {
	const enough, every = 8 << 20, 10 * time.Second
	if l.readBytes.Load() < enough || now.Sub(l.w.trimmed) < every || l.file == nil || !l.w.begun {
		return
	}
	l.w.trimmed = now
	if err := l.open(); err != nil {
		l.log.Debug("reopening the file failed", "error", err)
	}
}

func (l *Log) openLoad(deep bool) (*file, *loaded, error) {
	d, err := openFile(l.path, opening{sizing: l.opt.sizing(), create: true, all: deep})
	if err != nil {
		return nil, nil, err
	}
	known, err := load(d)
	if err == nil && known == nil {
		known = &loaded{}
		known.id = newID()
		known.next, known.first = 1, 1
		known.length, known.used, err = d.space()
		l.w.begun = false
	}
	if err != nil {
		d.close()
		return nil, nil, err
	}
	return d, known, nil
}

func newID() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint32(b[:]) | 1
}

// firstNumber is the sequence that this process starts with. A number that may
// have been given out already is never given out again, whatever became of the
// log's file.
func (l *Log) firstNumber(x *index) uint64 {
	if l.opt.Reserve == nil {
		return x.next
	}
	reserved, err := l.opt.Reserve.Reserved()
	switch {
	case err != nil && x.next == 1:
		n := randomNumber()
		l.log.Warn("neither the log nor the reservation says which sequences are taken: starting far above", "sequence", n, "error", err)
		return n
	case err != nil || reserved <= x.reserved && x.next > 1:
		return x.next
	case x.next == 1 && reserved > 0:
		l.log.Warn("the log's file is gone: its records are lost, its sequences are not used again", "sequence", reserved+1)
		l.w.lost = []lostRange{{gateway.Range{From: 1, To: reserved}, false}}
	}
	return max(x.next, reserved+1)
}

// randomNumber is far above what a log reaches by itself, and below 2^53, so
// that JSON holds it exactly.
func randomNumber() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return 1<<40 + binary.LittleEndian.Uint64(b[:])%(1<<52-1<<40)
}

// repair saves what can be read of the damaged file into a new one, which
// takes its place, and sets the damaged one aside.
func (l *Log) repair(damage error) error {
	var p *panicError
	if errors.As(damage, &p) {
		l.log.Debug("damage was met", "stack", string(p.stack))
	}
	f, readOnly, _, err := lockFile(l.path, opening{})
	if errors.Is(err, errNotFile) {
		return l.setAsideOther()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if readOnly {
		return fmt.Errorf("%w; it cannot be repaired: %w", damage, syscall.EROFS)
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	l.log.Error("the log's file is damaged; saving what can be read", "error", damage, "bytes", st.Size())
	return l.replace(f, st.Size(), damage)
}

// replace puts a new file in the place of f with all records of it that can be
// read, and sets f aside if it still has a name.
func (l *Log) replace(f *os.File, size int64, damage error) error {
	w, began := &l.w, time.Now()
	found := scanFile(f, size, l.index.Load())
	l.findLate(found)
	defer debug.FreeOSMemory()
	if found.scan.unreadable >= size {
		return fmt.Errorf("%w; nothing of it can be read now", damage)
	}
	fresh := l.path + newSuffix
	saved, err := l.rewrite(fresh, found, false)
	if isFull(err) {
		removeAside(l.path, 0, "")
		if saved, err = l.rewrite(fresh, found, false); isFull(err) {
			saved, err = l.rewrite(fresh, found, true)
		}
	}
	if err != nil {
		_ = os.Remove(fresh)
		return fmt.Errorf("%w; there is no saving its records now: %w", damage, err)
	}
	aside, err := setAside(l.path, l.asideStamp())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(fresh, l.path); err != nil {
		return err
	}
	if err := syncDir(l.path); err != nil {
		return err
	}
	w.next, w.begun, w.deep, w.replaced = max(w.next, saved.next), false, false, true
	l.mu.Lock()
	for _, e := range l.queue {
		e.first = 0 // the new file's records come before it
	}
	l.health.SetAside, l.health.Salvaged = aside, saved.records
	l.mu.Unlock()
	l.log.Error("the log's records were saved into a new file", "set_aside", aside, "salvaged", saved.records,
		"missing_ranges", saved.missing, "unreadable_bytes", found.scan.unreadable, "took", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// errRemoved says that somebody has removed the file of a log in use.
var errRemoved = fmt.Errorf("%w: it was removed while in use", ErrDamaged)

// keepName sees to it that the file still has its name: what is written to one
// that was removed is gone with the end of the process.
func (l *Log) keepName() error {
	if l.file == nil || l.file.readOnly || time.Since(l.w.named) < l.w.nameEvery {
		return nil
	}
	l.w.named = time.Now()
	if _, err := os.Lstat(l.path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	st, err := l.file.f.Stat()
	if err != nil {
		return err
	}
	l.log.Error("the log's file was removed while in use; making a new one of its records")
	if err := l.replace(l.file.f, st.Size(), errRemoved); err != nil {
		return err
	}
	l.w.reopen = true
	return nil
}

// nameEvery is how often the name is looked for.
const nameEvery = 5 * time.Second

// rewritten is what was put into the new file.
type rewritten struct {
	records uint64
	missing int
	next    uint64
}

// rewrite makes a new file of what was found, with gap records for what was
// not. Lean leaves out what every uplink has acknowledged.
func (l *Log) rewrite(path string, f *finding, lean bool) (out rewritten, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, err
	}
	d, err := openFile(path, opening{sizing: l.opt.sizing(), create: true})
	if err != nil {
		return out, err
	}
	defer d.close()
	l.clocks.renumber(f.boots)
	l.w.boots = nil
	x := &index{id: f.scan.id}
	if x.id == 0 {
		x.id = newID()
	}
	x.next, x.first, x.epoch = max(f.first, 1), max(f.first, 1), f.epoch()
	l.setCursors(f.cursors, x)
	l.mu.Lock()
	cursors := cloneCursors(l.cursors)
	l.mu.Unlock()
	reserved, base := l.above(f)
	m := missing{f: f}

	var batch []stored
	size := 0
	flush := func(last *missing) error {
		b := &build{Log: l, x: x.clone(), cursors: cursors, table: l.clocks.table.Load(),
			job: job{saved: batch, begin: x.tx == 0 || last != nil}}
		if last != nil {
			l.w.next, b.lost = base, last.ranges
		}
		if _, err := d.update(b.run); err != nil {
			return err
		}
		x, cursors = b.x, b.cursors
		batch, size = batch[:0], 0
		_, x.used, err = d.space()
		return err
	}
	keep := l.w.next
	l.w.next = 0 // so that no jump is noted before the last batch
	defer func() { l.w.next = max(keep, l.w.next) }()
	err = f.records(func(s *stored) error {
		m.found(s.Seq)
		if lean && ackedByAll(cursors, s.Seq) {
			return nil
		}
		out.records++
		batch = append(batch, *s)
		if size += 128 + len(s.Value); size > txBytes || len(batch) >= txRecords {
			return flush(nil)
		}
		return nil
	})
	if err == nil && (len(batch) > 0 || x.tx == 0) {
		err = flush(nil)
	}
	if err != nil {
		return out, err
	}
	m.end(reserved)
	out.missing = len(m.ranges)
	if err := flush(&m); err != nil {
		return out, err
	}
	out.next = l.w.next
	return out, nil
}

// above gives the highest sequence that may have been given out by the log
// that f is of, and the one to go on with.
func (l *Log) above(f *finding) (reserved, next uint64) {
	highest := max(f.highest(), l.w.next)
	if l.w.scrub {
		highest += mostNumbers
	}
	if l.w.next > 0 { // this process knows
		return l.w.next - 1, l.w.next
	}
	if l.opt.Reserve != nil {
		if r, err := l.opt.Reserve.Reserved(); err == nil && r >= highest {
			return r, r + 1
		}
	}
	if f.certain {
		return highest, highest + 1
	}
	if highest == 0 {
		n := randomNumber()
		return n - 1, n
	}
	// A file holds fewer records than this.
	reserved = highest + 1<<24
	return reserved, reserved + 1
}

func ackedByAll(cursors map[string]gateway.Cursor, seq uint64) bool {
	for _, c := range cursors {
		if !acked(&c, seq) {
			return false
		}
	}
	return true
}

// asideStamp is the time for the name of a file that is set aside.
func (l *Log) asideStamp() string { return asideStamp(l.opt.Clock.Now().Wall) }

func asideStamp(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

// setAsideOther moves away what is no file at all.
func (l *Log) setAsideOther() error {
	aside, err := setAside(l.path, l.asideStamp())
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.health.SetAside = aside
	l.mu.Unlock()
	l.log.Error("what was in the place of the log's file is not a file; it was set aside", "set_aside", aside)
	return nil
}
