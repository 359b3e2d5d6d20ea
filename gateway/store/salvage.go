package store

import (
	"io"
	"math"
	"slices"

	"fieldgate/gateway"
)

// Salvage reads a damaged file from end to end for blobs. What it finds are
// the records that are still in the log, older copies of them in pages that
// were given up, records that were dropped long ago, and records of a commit
// that never ended. They are told apart like this:
//
//   - Copies of a record are the same, since a record never changes and two
//     never carry the same number in one run of the program. Those of an
//     unfinished commit before a restart may be numbered like others after it;
//     the higher epoch counts, and with it everything that it would follow.
//   - A record below the state's first was dropped, and what was not
//     acknowledged of it announced. The state counts whose transaction the
//     meta pages name; if that is not known, the more cautious of the newest
//     two does.
//   - If the newest state is certain, so is where the log ended.

// run is a stretch of a file with records of consecutive numbers.
type run struct {
	first, last uint64
	off, end    int64
}

const longestRun = 512

// finding is what a scan found in a damaged file.
type finding struct {
	scan    scanner
	runs    []run
	cursors map[string]gateway.Cursor
	boots   map[uint64]boot
	epochs  map[uint64]uint64 // to its lowest sequence
	states  []state           // the newest two, newest first
	meta    *pageFile         // nil if both meta pages are gone

	first   uint64 // records below were dropped
	next    uint64 // records from here on were never acknowledged
	jumps   []jump
	certain bool     // first, next and jumps are the log's last
	late    []stored // of the journal, ascending, with their boots; some may be in the file too
}

// lostRange is a run of numbers whose records were not found. Exact says that
// each of them did exist.
type lostRange struct {
	gateway.Range
	exact bool
}

// scanFile looks through a damaged file. Known is what this process knows of
// it; nil if it has not had it open.
func scanFile(r io.ReaderAt, size int64, known *index) *finding {
	f := &finding{
		scan:    scanner{r: r, size: size, most: MaxRecord},
		cursors: map[string]gateway.Cursor{},
		boots:   map[uint64]boot{},
		epochs:  map[uint64]uint64{},
	}
	f.next = math.MaxUint64
	if known != nil {
		f.scan.id = known.id
	} else if f.scan.id = f.scan.vote(); f.scan.id == 0 {
		return f
	}
	f.scan.each(0, size, func(off int64, b blob) bool {
		f.take(off, b)
		return true
	})
	if known != nil {
		f.first, f.next, f.jumps, f.certain = known.first, known.head+1, known.jumps, true
		f.states = []state{known.state}
		return f
	}
	f.meta, _ = openPages(r, size)
	f.judge()
	return f
}

func (f *finding) take(off int64, b blob) {
	switch b.typ {
	case blobRecord:
		s, err := decodeRecord(b.body)
		if err != nil {
			return
		}
		end := off + int64(b.size)
		n := len(f.runs)
		if n > 0 && s.Seq == f.runs[n-1].last+1 && s.Seq-f.runs[n-1].first < longestRun {
			f.runs[n-1].last, f.runs[n-1].end = s.Seq, end
		} else {
			f.runs = append(f.runs, run{s.Seq, s.Seq, off, end})
		}
		if low, ok := f.epochs[s.epoch]; !ok || s.Seq < low {
			f.epochs[s.epoch] = s.Seq
		}
		if s.hasBoot {
			f.boot(boot{number: s.boot, id: s.Stamp.Boot})
		}
	case blobCursor:
		if name, c, err := decodeCursor(b.body); err == nil {
			f.cursors[name] = mergeCursors(f.cursors[name], c)
		}
	case blobBoot:
		if b, err := decodeBoot(b.body); err == nil {
			f.boot(b)
		}
	case blobState:
		if s, err := decodeState(b.body); err == nil {
			f.states = append(f.states, s)
			slices.SortStableFunc(f.states, func(a, b state) int {
				switch {
				case a.tx > b.tx:
					return -1
				case a.tx < b.tx:
					return 1
				}
				return 0
			})
			f.states = slices.CompactFunc(f.states, func(a, b state) bool { return a.tx == b.tx })
			f.states = f.states[:min(len(f.states), 3)]
		}
	}
}

func (f *finding) boot(b boot) {
	if old, ok := f.boots[b.number]; !ok || b.version > old.version {
		f.boots[b.number] = b
	}
}

// judge works out where the log began and ended.
func (f *finding) judge() {
	if len(f.states) == 0 {
		return
	}
	newest := f.states[0]
	f.jumps = newest.jumps
	if f.meta != nil {
		tx := f.meta.meta.tx
		for i := range f.states {
			if f.states[i].tx == tx && f.meta.ok[0] && f.meta.ok[1] {
				newest, f.certain = f.states[i], true
			}
		}
		if !f.certain && f.meta.ok[0] != f.meta.ok[1] {
			// The page that is gone named the transaction before tx or after.
			f.certain = newest.tx == tx+1 || newest.tx == tx && f.meta.checkTree(true, nil) == nil
		}
	}
	f.first = newest.first
	one := f.meta == nil || f.meta.ok[0] != f.meta.ok[1]
	if (!f.certain || one) && len(f.states) > 1 {
		f.first = min(f.states[0].first, f.states[1].first)
	}
	if f.certain {
		f.jumps = newest.jumps
		f.next = newest.next
	}
}

// dead says that a record of that epoch belongs to a commit that never ended.
func (f *finding) dead(seq, epoch uint64) bool {
	for e, low := range f.epochs {
		if e > epoch && low <= seq {
			return true
		}
	}
	return false
}

// highest is the highest sequence that is mentioned anywhere.
func (f *finding) highest() uint64 {
	h := uint64(0)
	for _, r := range f.runs {
		h = max(h, r.last)
	}
	if n := len(f.late); n > 0 {
		h = max(h, f.late[n-1].Seq)
	}
	for _, s := range f.states {
		h = max(h, s.next-1)
	}
	for _, c := range f.cursors {
		if c.Next > 0 {
			h = max(h, c.Next-1)
		}
	}
	return h
}

func (f *finding) epoch() uint64 {
	e := uint64(0)
	for n := range f.epochs {
		e = max(e, n)
	}
	for _, s := range f.states {
		e = max(e, s.epoch)
	}
	return e
}

// records calls fn with every record that was in the log, ascending, once
// each, with its boot filled in. An error of fn ends it.
func (f *finding) records(fn func(s *stored) error) error {
	late := f.late
	err := f.filed(func(s *stored) error {
		for ; len(late) > 0 && late[0].Seq <= s.Seq; late = late[1:] {
			if late[0].Seq == s.Seq { // the same one
				continue
			}
			if err := fn(&late[0]); err != nil {
				return err
			}
		}
		return fn(s)
	})
	for ; err == nil && len(late) > 0; late = late[1:] {
		err = fn(&late[0])
	}
	return err
}

// addJournal adds what a journal of the same log holds.
func (f *finding) addJournal(j *journaled) {
	if f.scan.id == 0 {
		f.scan.id = j.id
	}
	records, cursors, _ := j.after(f.first, 0)
	f.late = records
	for name, c := range cursors {
		f.cursors[name] = mergeCursors(f.cursors[name], c)
	}
}

// filed calls fn with those of the file.
func (f *finding) filed(fn func(s *stored) error) error {
	runs := slices.Clone(f.runs)
	slices.SortFunc(runs, func(a, b run) int {
		switch {
		case a.first < b.first:
			return -1
		case a.first > b.first:
			return 1
		}
		return 0
	})
	for len(runs) > 0 {
		n, last := 1, runs[0].last
		for n < len(runs) && runs[n].first <= last {
			last = max(last, runs[n].last)
			n++
		}
		if err := f.cluster(runs[:n], fn); err != nil {
			return err
		}
		runs = runs[n:]
	}
	return nil
}

// cluster reads runs that overlap.
func (f *finding) cluster(runs []run, fn func(s *stored) error) error {
	if runs[len(runs)-1].last < f.first && len(runs) == 1 {
		return nil
	}
	var order []uint64
	best := map[uint64]*stored{}
	for _, r := range runs {
		f.scan.each(r.off, r.end, func(_ int64, b blob) bool {
			if b.typ != blobRecord {
				return true
			}
			s, err := decodeRecord(b.body)
			if err != nil || s.Seq < f.first || s.Seq >= f.next || f.dead(s.Seq, s.epoch) {
				return true
			}
			old, ok := best[s.Seq]
			if !ok {
				order = append(order, s.Seq)
			}
			if !ok || s.epoch > old.epoch {
				best[s.Seq] = &s
			}
			return true
		})
	}
	slices.Sort(order)
	for _, seq := range order {
		s := best[seq]
		if !s.hasBoot {
			s.Stamp.Boot = f.boots[s.boot].id
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}

// missing gathers the numbers between those of the records that were found.
type missing struct {
	f      *finding
	last   uint64 // newest record
	ranges []lostRange
}

func (m *missing) found(seq uint64) {
	m.hole(m.last+1, seq-1)
	m.last = seq
}

// hole notes that nothing was found from from to to, of what should be there.
func (m *missing) hole(from, to uint64) {
	from = max(from, m.f.first)
	if from > to {
		return
	}
	js := slices.Clone(m.f.jumps)
	slices.SortFunc(js, func(a, b jump) int {
		if a.after < b.after {
			return -1
		}
		return 1
	})
	for _, j := range js { // j.after+1 to j.next-1 never were
		if j.next <= from || j.after >= to {
			continue
		}
		m.add(from, min(to, j.after))
		from = max(from, j.next)
	}
	m.add(from, to)
}

func (m *missing) add(from, to uint64) {
	if from > to {
		return
	}
	m.ranges = append(m.ranges, lostRange{gateway.Range{From: from, To: to}, m.f.certain})
	if n := len(m.ranges); n > 1 && n > 10_000 { // more is no use to anybody
		a, b := m.ranges[n-2], m.ranges[n-1]
		m.ranges = append(m.ranges[:n-2], lostRange{gateway.Range{From: a.From, To: b.To}, false})
	}
}

// end notes what is missing behind the last record. Reserved is the highest
// number that may have been given out, if the log's end is not certain.
func (m *missing) end(reserved uint64) {
	if m.f.next != math.MaxUint64 {
		m.hole(m.last+1, m.f.next-1)
		return
	}
	m.hole(m.last+1, reserved)
}
