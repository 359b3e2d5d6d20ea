package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"time"

	"fieldgate/gateway"
)

// Inspection is what is in a log.
type Inspection struct {
	Path      string                    `json:"path"`
	Damage    string                    `json:"damage,omitempty"` // what is wrong with the file; its records are found by salvage then
	FileBytes int64                     `json:"file_bytes"`
	UsedBytes int64                     `json:"used_bytes"` // without free pages
	Records   uint64                    `json:"records"`
	First     uint64                    `json:"first"`             // lowest sequence, 0 if empty
	Head      uint64                    `json:"head"`              // highest sequence ever, 0 if none
	Opened    uint64                    `json:"opened"`            // how often for writing
	Damaged   uint64                    `json:"damaged"`           // records known to be damaged
	Journal   uint64                    `json:"journal,omitempty"` // records that are in no segment yet
	Segments  []SegmentInfo             `json:"segments"`
	Cursors   map[string]gateway.Cursor `json:"cursors"`
	Boots     []BootInfo                `json:"boots"`
}

// SegmentInfo is a run of records that will be dropped together.
type SegmentInfo struct {
	From    uint64    `json:"from"`
	To      uint64    `json:"to"`
	Records uint64    `json:"records"`
	Bytes   uint64    `json:"bytes"`             // as encoded
	Columns uint64    `json:"columns,omitempty"` // bytes of pages that queries read instead, about
	Oldest  time.Time `json:"oldest,omitzero"`
	Newest  time.Time `json:"newest,omitzero"`
}

// BootInfo is what is known about the clock of one run of the kernel.
type BootInfo struct {
	Boot    string    `json:"boot"` // id in hexadecimal
	Booted  time.Time `json:"booted,omitzero"`
	Quality string    `json:"clock"`
}

func (i *Inspection) fill(x *index, cursors map[string]gateway.Cursor, t *bootTable) {
	i.FileBytes, i.UsedBytes = x.length, x.used
	i.Records, i.First, i.Head, i.Opened, i.Damaged = x.total(), x.firstSeq(), x.head, x.epoch, uint64(len(x.bad))
	i.Cursors, i.Journal = cursors, uint64(len(x.waiting()))
	for _, s := range x.segments {
		info := SegmentInfo{From: s.base, To: s.last, Records: s.records, Bytes: s.bytes, Columns: s.columns.bytes}
		if s.to != 0 {
			info.Oldest, info.Newest = time.UnixMicro(s.from).UTC(), time.UnixMicro(s.to).UTC()
		}
		i.Segments = append(i.Segments, info)
	}
	for n := uint64(1); n <= t.highest; n++ {
		b := t.byNumber[n]
		if b == nil {
			continue
		}
		info := BootInfo{Boot: fmt.Sprintf("%x", b.id), Quality: b.quality.String()}
		if b.quality != gateway.ClockUnset {
			info.Booted = time.UnixMicro(b.offset.Microseconds()).UTC()
		}
		i.Boots = append(i.Boots, info)
	}
}

// Inspect tells what is in the log, while it is in use.
func (l *Log) Inspect() (Inspection, error) {
	x := l.index.Load()
	if x == nil {
		return Inspection{}, fmt.Errorf("store: inspect: %w", ErrUnavailable)
	}
	i := Inspection{Path: l.path}
	l.mu.Lock()
	cursors := cloneCursors(l.cursors)
	l.mu.Unlock()
	i.fill(x, cursors, l.clocks.table.Load())
	return i, nil
}

// Inspect tells what is in the log's file path, which nobody may have open for
// writing: the error wraps ErrLocked then. A damaged file is no error.
func Inspect(path string) (Inspection, error) {
	r, err := OpenReader(path)
	if err != nil {
		return Inspection{}, err
	}
	defer r.Close()
	return r.Inspect()
}

// Verification is the result of reading a whole log.
type Verification struct {
	OK       bool     `json:"ok"`
	Records  uint64   `json:"records"` // whose checksum is right
	Damaged  uint64   `json:"damaged"` // whose checksum is wrong
	Problems []string `json:"problems,omitempty"`
}

func (v *Verification) problem(format string, a ...any) {
	if len(v.Problems) < 100 {
		v.Problems = append(v.Problems, fmt.Sprintf(format, a...))
	}
}

// Verify reads all records of the log while it is in use. What it finds
// damaged is announced as if an uplink had met it.
func (l *Log) Verify(ctx context.Context) (Verification, error) {
	var v Verification
	x := l.index.Load()
	if x == nil {
		return v, fmt.Errorf("store: verify: %w", ErrUnavailable)
	}
	seen := uint64(0)
	for from := x.first; from != 0 && from <= x.head; {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		var bad []uint64
		recs, after, _, err := l.readSome(from, viewRecords, viewBytes, &bad)
		if err != nil {
			return v, fmt.Errorf("store: verify: %w", err)
		}
		for _, seq := range bad {
			if seq <= x.head {
				seen++
				v.Damaged++
				v.problem("record %d is damaged", seq)
			}
		}
		for i := range recs {
			if recs[i].Seq <= x.head {
				seen++
				v.Records++
			}
		}
		from = after
	}
	if now := l.index.Load(); now.first == x.first && now.id == x.id && seen != x.total() {
		v.problem("%d records are there, of %d", seen, x.total())
	}
	v.OK = len(v.Problems) == 0
	return v, nil
}

// Verify checks the structure of the log's file path and reads all of its
// records. Nobody may have it open for writing: the error wraps ErrLocked then.
func Verify(ctx context.Context, path string) (Verification, error) {
	r, err := OpenReader(path)
	if err != nil {
		return Verification{}, err
	}
	defer r.Close()
	return r.Verify(ctx)
}

// Reader reads a log's file that nobody writes to: after the gateway has
// ended, or died. It reads damaged files as well.
type Reader struct {
	path    string
	f       *os.File
	log     *Log     // nil if the file is damaged
	found   *finding // if it is
	damage  error
	journal journaled
	next    func() ([]gateway.Record, bool)
	stop    func()
	from    uint64
}

// OpenReader opens the log's file path for reading. The error wraps ErrLocked
// if a gateway has it open, or is the system's.
func OpenReader(path string) (*Reader, error) {
	f, _, fresh, err := lockFile(path, opening{read: true})
	if err != nil {
		return nil, fmt.Errorf("store: open log: %w", err)
	}
	r := &Reader{path: path, f: f}
	if fresh {
		r.found = scanFile(f, 0, nil)
		r.damage = fmt.Errorf("%w: empty", ErrDamaged)
		return r, nil
	}
	if r.damage = checkRecords(f); r.damage == nil {
		r.damage = r.open()
	}
	switch {
	case r.damage == nil:
	case errors.Is(r.damage, ErrDamaged):
		err = r.salvage()
	default:
		err = r.damage
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("store: open log: %w", err)
	}
	return r, nil
}

// checkRecords checks a whole file, the records included.
func checkRecords(f *os.File) error {
	if err := checkFile(f, true); err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := openPages(f, st.Size())
	if err != nil {
		return err
	}
	bad := 0
	err = p.checkTree(true, func(bucket []byte, e element) error {
		if len(bucket) == nameSize {
			if _, err := readRecord(e.key, e.value, 0); err != nil {
				bad++
			}
		}
		return nil
	})
	if err == nil && bad > 0 {
		err = fmt.Errorf("%w: the checksums of %d records do not match", ErrDamaged, bad)
	}
	return err
}

func (r *Reader) open() error {
	d, err := openFile(r.path, opening{read: true, all: false})
	if err != nil {
		return err
	}
	known, err := load(d)
	if err == nil && known == nil {
		err = fmt.Errorf("%w: no log", ErrDamaged)
	}
	if err != nil {
		d.close()
		return err
	}
	if p, err := openPages(r.f, known.length); err == nil {
		if free, err := p.free(); err == nil {
			known.used = int64(p.meta.pages-uint64(len(free))) * int64(p.meta.pageSize)
		}
	}
	var o Options
	if err := o.complete(); err != nil {
		return err
	}
	j, err := readJournal(r.path+journalSuffix, known.id)
	if err != nil {
		d.close()
		return err
	}
	r.journal = j
	l := &Log{path: r.path, opt: o, log: o.Logger, clocks: newClocks(), file: d, cursors: known.cursors, wake: make(chan struct{}, 1)}
	l.clocks.load(known.boots, 0)
	l.cursors, _ = l.recall(&j, &known.index, known.cursors)
	l.index.Store(&known.index)
	r.log = l
	return nil
}

func (r *Reader) salvage() error {
	if r.log != nil {
		r.log.setFile(nil)
		r.log = nil
	}
	st, err := r.f.Stat()
	if err != nil {
		return err
	}
	r.found = scanFile(r.f, st.Size(), nil)
	if r.journal, err = readJournal(r.path+journalSuffix, r.found.scan.id); err != nil {
		return err
	}
	r.found.addJournal(&r.journal)
	r.next, r.stop = iter.Pull(r.batches())
	return nil
}

// batches gives what salvage finds, in runs.
func (r *Reader) batches() iter.Seq[[]gateway.Record] {
	clocks := newClocks()
	clocks.load(r.found.boots, 0)
	stop := errors.New("stop")
	return func(yield func([]gateway.Record) bool) {
		var out []gateway.Record
		err := r.found.records(func(s *stored) error {
			if s.Seq < r.from {
				return nil
			}
			clocks.complete(s)
			if out = append(out, s.Record); len(out) < viewRecords/4 {
				return nil
			}
			if !yield(out) {
				return stop
			}
			out = nil
			return nil
		})
		if err == nil && len(out) > 0 {
			yield(out)
		}
	}
}

// Damage says what is wrong with the file; nil if nothing is.
func (r *Reader) Damage() error { return r.damage }

// Next gives the next records, ascending; none at the end.
func (r *Reader) Next() ([]gateway.Record, error) {
	if r.log != nil {
		recs, err := r.log.Read(r.from, viewRecords/4, viewBytes)
		if err == nil {
			if len(recs) > 0 {
				r.from = recs[len(recs)-1].Seq + 1
			}
			return recs, nil
		}
		r.damage = err
		if err := r.salvage(); err != nil {
			return nil, fmt.Errorf("store: read: %w", err)
		}
	}
	if r.next == nil {
		return nil, nil
	}
	recs, _ := r.next()
	if len(recs) > 0 {
		r.from = recs[len(recs)-1].Seq + 1
	}
	return recs, nil
}

// Inspect tells what is in the file.
func (r *Reader) Inspect() (Inspection, error) {
	if r.log != nil {
		i, err := r.log.Inspect()
		i.Path = r.path
		return i, err
	}
	i := Inspection{Path: r.path, Damage: r.damage.Error(), Cursors: r.found.cursors}
	if st, err := r.f.Stat(); err == nil {
		i.FileBytes = st.Size()
	}
	i.Opened = r.found.epoch()
	err := r.found.records(func(s *stored) error {
		if i.Records++; i.First == 0 {
			i.First = s.Seq
		}
		i.Head = s.Seq
		return nil
	})
	return i, err
}

// verify says what is wrong with a journal. A commit that was cut off is not: a
// process that was killed may leave one.
func (j *journaled) verify(v *Verification) {
	if j.damaged > 0 {
		v.problem("%d blocks of the journal are damaged", j.damaged)
	}
}

// Verify reads the whole file.
func (r *Reader) Verify(ctx context.Context) (Verification, error) {
	if r.log != nil {
		v, err := r.log.Verify(ctx)
		for _, lost := range r.log.w.lost {
			v.problem("records %d to %d are missing", lost.From, lost.To)
		}
		r.journal.verify(&v)
		v.OK = len(v.Problems) == 0
		return v, err
	}
	var v Verification
	v.problem("%v", r.damage)
	r.journal.verify(&v)
	m := missing{f: r.found, last: max(r.found.first, 1) - 1}
	err := r.found.records(func(s *stored) error {
		v.Records++
		m.found(s.Seq)
		return ctx.Err()
	})
	if r.found.next != math.MaxUint64 {
		m.end(0)
	}
	for _, g := range m.ranges {
		v.problem("records %d to %d are missing", g.From, g.To)
	}
	return v, err
}

// Close closes the file.
func (r *Reader) Close() error {
	if r.stop != nil {
		r.stop()
	}
	if r.log != nil {
		r.log.setFile(nil)
	}
	return r.f.Close()
}

// Export gives the records of the log in runs, ascending, as ExportCSV and
// ExportJSONLines take them, while the log is in use.
func (l *Log) Export() func() ([]gateway.Record, error) {
	from, head := uint64(0), l.Head()
	return func() ([]gateway.Record, error) {
		recs, err := l.Read(from, viewRecords/4, viewBytes)
		if i := slices.IndexFunc(recs, func(r gateway.Record) bool { return r.Seq > head }); i >= 0 {
			recs = recs[:i]
		}
		if len(recs) > 0 {
			from = recs[len(recs)-1].Seq + 1
		}
		return recs, err
	}
}
