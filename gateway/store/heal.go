package store

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// examine deals with the damaged records that readers have met: if the file's
// structure is sound, older copies of them are looked for in the file, and
// what is lost is announced; otherwise the file is repaired as a whole.
func (l *Log) examine() error {
	w := &l.w
	l.mu.Lock()
	bad := l.suspect
	l.mu.Unlock()
	if len(bad) == 0 || time.Now().Before(w.examined) {
		return nil
	}
	if err := l.start(); err != nil {
		return err
	}
	began := time.Now()
	if err := checkFile(l.file.f, true); err != nil {
		w.reopen, w.deep = true, errors.Is(err, ErrDamaged)
		l.dropSuspects(bad) // a repair announces what is lost
		return l.start()
	}
	err := l.commit(job{bad: bad, healed: l.copies(bad)})
	// A file that goes bad record by record is not read through all the time.
	w.examined = time.Now().Add(max(time.Second, 10*time.Since(began)))
	if err == nil {
		l.dropSuspects(bad)
	}
	return err
}

func (l *Log) dropSuspects(bad []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspect = slices.Clone(l.suspect[len(bad):])
}

// copies looks through the whole file, and the journal, for sound copies of
// records.
func (l *Log) copies(seqs []uint64) map[uint64][]byte {
	x := l.index.Load()
	want := map[uint64]bool{}
	for _, seq := range seqs {
		want[seq] = true
	}
	length, _, err := l.file.space()
	if err != nil {
		return nil
	}
	found := map[uint64][]byte{}
	epochs := map[uint64]uint64{}
	s := scanner{r: l.file.f, size: length, id: x.id, most: MaxRecord}
	s.each(0, length, func(_ int64, b blob) bool {
		if b.typ != blobRecord {
			return true
		}
		f := fields{b: b.body}
		seq, epoch := f.uint(), f.uint()
		if !want[seq] || found[seq] != nil && epochs[seq] >= epoch {
			return true
		}
		if _, err := decodeRecord(b.body); err == nil {
			found[seq], epochs[seq] = appendBlob(nil, blobRecord, b.id, b.body), epoch
		}
		return true
	})
	if j, err := readJournal(l.path+journalSuffix, x.id); err == nil {
		for _, f := range j.frames {
			for i := range f.records {
				s := &f.records[i]
				if !want[s.Seq] || found[s.Seq] != nil && epochs[s.Seq] >= s.epoch {
					continue
				}
				s.boot = l.clocks.number(s.Stamp)
				if body, err := appendRecord(nil, s); err == nil {
					found[s.Seq], epochs[s.Seq] = appendBlob(nil, blobRecord, x.id, body), s.epoch
				}
			}
		}
	}
	return found
}

// heal puts sound copies in the place of damaged records.
func (b *build) heal() error {
	n := 0
	for seq, blob := range b.healed {
		i := b.x.find(seq)
		if i == len(b.x.segments) || seq < b.x.segments[i].base {
			continue
		}
		bucket := b.tx.Bucket(seqKey(b.x.segments[i].base))
		if bucket == nil {
			return fmt.Errorf("%w: segment %d is missing", ErrDamaged, b.x.segments[i].base)
		}
		bucket.FillPercent = fill
		if err := bucket.Put(seqKey(seq), blob); err != nil {
			return err
		}
		if err := b.dropColumns(b.x.segments[i].base); err != nil {
			return err
		}
		n++
	}
	b.bad = slices.DeleteFunc(slices.Clone(b.bad), func(seq uint64) bool { return b.healed[seq] != nil })
	if n > 0 {
		b.log.Warn("damaged records were replaced by older copies of them", "count", n)
	}
	return nil
}
