package store

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"

	"fieldgate/gateway"
)

// journaled is what a journal holds.
type journaled struct {
	id      uint32
	frames  []frame // whole ones, in the order of their commits
	damaged int     // blocks that are neither sound nor empty, but for those of:
	torn    bool    // a commit that was cut off
}

// frame is one commit.
type frame struct {
	epoch, number uint64
	records       []stored // with their boots
	cursors       map[string]gateway.Cursor
	marks         []gateway.Mark // all of them; nil: as before
	next          uint64         // sequence that follows
}

// journalPart is one block of a frame.
type journalPart struct {
	frame
	part, parts uint64
	at          int // block
}

// readJournal reads what is in a journal of the log with that id, 0 for any.
// There is none if the file is missing. The error is that of reading.
func readJournal(path string, id uint32) (journaled, error) {
	out := journaled{id: id}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	} else if err != nil {
		return out, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return out, err
	}
	b := make([]byte, min(st.Size(), 2*mostJournal*journalBlock))
	if _, err := f.ReadAt(b, 0); err != nil {
		return out, err
	}
	out.parse(b)
	return out, nil
}

// parse reads the blocks of a journal.
func (j *journaled) parse(b []byte) {
	var parts []journalPart
	var broken []int
	for n := 0; len(b) >= journalBlock; n, b = n+1, b[journalBlock:] {
		p, err := parseJournalBlock(b[:journalBlock], j.id)
		if err != nil {
			if slices.ContainsFunc(b[:journalBlock], func(c byte) bool { return c != 0 }) && !errors.Is(err, errBlobID) {
				broken = append(broken, n)
			}
			continue
		}
		if j.id == 0 {
			o, _ := measureBlob(b, 0, journalBlock)
			j.id = o.id
		}
		p.at = n
		parts = append(parts, p)
	}
	slices.SortStableFunc(parts, func(a, b journalPart) int {
		switch {
		case a.epoch != b.epoch && a.epoch < b.epoch, a.epoch == b.epoch && a.number != b.number && a.number < b.number,
			a.epoch == b.epoch && a.number == b.number && a.part < b.part:
			return -1
		}
		return 1
	})
	// One that was cut off follows the newest, or is at the start.
	last := 0
	if n := len(parts); n > 0 {
		last = parts[n-1].at + 1
	}
	for _, n := range broken {
		if n < mostParts || last <= n && n < last+mostParts {
			j.torn = true
		} else {
			j.damaged++
		}
	}
	for len(parts) > 0 {
		n := 1
		for n < len(parts) && parts[n].epoch == parts[0].epoch && parts[n].number == parts[0].number {
			n++
		}
		f, whole := joinParts(parts[:n])
		parts = parts[n:]
		switch {
		case whole || len(parts) > 0: // a later commit says that it was acknowledged
			j.frames = append(j.frames, f)
		default:
			j.torn = true
		}
	}
}

// joinParts makes a frame of the parts of it that there are.
func joinParts(parts []journalPart) (frame, bool) {
	f := parts[0].frame
	whole := uint64(len(parts)) == parts[0].parts && parts[0].part == 0
	for i, p := range parts[1:] {
		whole = whole && p.part == uint64(i)+1 && p.parts == parts[0].parts
		f.records = append(f.records, p.records...)
		f.next = max(f.next, p.next)
		if p.cursors != nil {
			f.cursors, f.marks = p.cursors, p.marks
		}
	}
	return f, whole
}

// parseJournalBlock reads one block.
func parseJournalBlock(b []byte, id uint32) (journalPart, error) {
	var p journalPart
	o, err := parseBlob(b, id, journalBlock)
	if err != nil {
		return p, err
	}
	if o.typ != blobJournal {
		return p, errNoBlob
	}
	f := fields{b: o.body}
	p.epoch, p.number, p.part, p.parts, p.next = f.uint(), f.uint(), f.uint(), f.uint(), f.uint()
	n := f.uint()
	if p.parts == 0 || p.parts > mostParts || p.part >= p.parts || n > uint64(len(f.b)) || p.next == 0 {
		return p, errNoBlob
	}
	for range n {
		s, err := decodeRecord(f.raw())
		if err != nil || f.err != nil {
			return p, errNoBlob
		}
		if s.Seq < p.next {
			return p, errNoBlob
		}
		p.next = s.Seq + 1
		p.records = append(p.records, s)
	}
	if p.part == p.parts-1 {
		p.cursors = map[string]gateway.Cursor{}
		for n := f.uint(); n > 0 && f.err == nil; n-- {
			name, c, err := decodeCursor(f.raw())
			if err != nil {
				return p, errNoBlob
			}
			p.cursors[name] = c
		}
		if f.byte() != 0 {
			if p.marks, err = decodeMarks(f.raw()); err != nil {
				return p, errNoBlob
			}
			p.marks = append(make([]gateway.Mark, 0, 1), p.marks...)
		}
	}
	if f.end() != nil {
		return p, errNoBlob
	}
	return p, nil
}

// after gives what of the journal belongs to a log whose file has the records
// below next, as of the opening epoch: the records, ascending, and what the
// commits say besides; no marks if they say nothing of them.
func (j *journaled) after(next, epoch uint64) (records []stored, cursors map[string]gateway.Cursor, marks []gateway.Mark) {
	cursors = map[string]gateway.Cursor{}
	for _, f := range j.frames {
		if f.epoch < epoch || f.next < next {
			continue
		}
		for name, c := range f.cursors {
			cursors[name] = mergeCursors(cursors[name], c)
		}
		if f.marks != nil && (f.next > next || len(f.records) == 0) {
			marks = f.marks
		}
		for _, s := range f.records {
			if s.Seq >= next {
				records = append(records, s)
				next = s.Seq + 1
			}
		}
	}
	return records, cursors, marks
}

// recall takes in what an earlier process left in the journal alone, and gives
// the cursors as that moved them, and the marks.
func (l *Log) recall(j *journaled, x *index, filed map[string]gateway.Cursor) (map[string]gateway.Cursor, []gateway.Mark) {
	w := &l.w
	records, moved, marks := j.after(x.next, x.epoch)
	cursors := maps.Clone(filed)
	for name, c := range moved {
		cursors[name] = mergeCursors(cursors[name], c)
	}
	next := x.next
	for i := range records {
		if seq := records[i].Seq; seq > next {
			w.lost = append(w.lost, lostRange{gateway.Range{From: next, To: seq - 1}, true})
		}
		next = records[i].Seq + 1
	}
	w.next = max(w.next, next)
	if j.torn || j.damaged > 0 {
		// The numbers of what cannot be read are not given out again.
		w.next, w.scrub = w.next+mostNumbers, true
	}
	if len(records) > 0 || j.torn {
		l.log.Info("records of the journal are taken over", "records", len(records), "damaged_blocks", j.damaged, "cut_off", j.torn)
	}
	x.withLate(l.clocks.lateRecords(records))
	return cursors, marks
}

// findLate adds what is in the journal to what was found in a damaged file.
func (l *Log) findLate(f *finding) {
	if x := l.index.Load(); x != nil {
		for _, r := range x.late.from(0) {
			if s, err := r.decode(l.clocks); err == nil {
				f.late = append(f.late, s)
			}
		}
		return
	}
	j, err := readJournal(l.path+journalSuffix, f.scan.id)
	if err != nil {
		l.log.Error("the journal cannot be read", "error", err)
	}
	l.w.scrub = l.w.scrub || j.torn || j.damaged > 0
	f.addJournal(&j)
}
