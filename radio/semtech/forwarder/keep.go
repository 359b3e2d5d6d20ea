package forwarder

import "strconv"

// load reads what an earlier run has kept. If the disk cannot be read, that is
// tried again before the first write, so that nothing is written over.
func (f *Forwarder) load() {
	if f.cfg.Table == nil {
		return
	}
	var found []*entry
	var last uint64
	var damaged []uint64
	err := f.cfg.Table.Each(func(k string, value []byte) error {
		seq, err := strconv.ParseUint(k, 16, 64)
		if err != nil {
			return nil // not ours
		}
		last = max(last, seq)
		e, err := parseEntry(value)
		if err != nil {
			damaged = append(damaged, seq)
			return nil
		}
		e.seq = seq
		found = append(found, e)
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.diskIs(err)
	if err != nil {
		return
	}
	f.loaded, f.seq = true, last
	f.deletes = append(f.deletes, damaged...)
	f.status.Damaged += uint64(len(damaged))
	f.queue = append(found, f.queue...)
	f.waiting += len(found)
	f.trim()
	if len(found)+len(damaged) > 0 {
		f.log.Info("frames of an earlier run wait to be sent", "frames", len(found), "damaged", len(damaged))
	}
	signal(f.wake)
}

// diskIs notes whether the disk works. It needs mu.
func (f *Forwarder) diskIs(err error) {
	if (err == nil) != (f.status.Disk == nil) {
		if err != nil {
			f.log.Error("the disk refuses the frames that wait; they are in memory only", "error", err)
		} else {
			f.log.Info("the disk takes the frames that wait again")
		}
	}
	f.status.Disk = err
}

// commit writes to disk what has to be there and removes what need not. All: also
// what is not old enough.
func (f *Forwarder) commit(all bool) {
	f.expire()
	if f.cfg.Table == nil {
		return
	}
	if !f.loaded { // only this goroutine changes it
		if f.load(); !f.loaded {
			return
		}
	}
	for f.commitSome(all) {
	}
}

// commitSome makes one transaction and reports whether there is more.
func (f *Forwarder) commitSome(all bool) bool {
	f.mu.Lock()
	now := f.cfg.Clock.Now()
	pairs := map[string][]byte{}
	deletes := f.deletes
	if len(deletes) > perCommit {
		deletes = deletes[:perCommit]
	}
	for _, seq := range deletes {
		pairs[key(seq)] = nil
	}
	var written []*entry
	for _, e := range f.queue {
		if e.gone || e.kept {
			continue
		}
		if age, known := e.age(now); !all && f.status.Up && known && age < f.cfg.Grace {
			break // those behind it are younger
		}
		if len(written) == perCommit {
			break
		}
		if e.seq == 0 {
			f.seq++
			e.seq = f.seq
		}
		pairs[key(e.seq)] = e.append(nil)
		written = append(written, e)
	}
	f.mu.Unlock()
	if len(pairs) == 0 {
		return false
	}
	err := f.cfg.Table.Write(pairs)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.diskIs(err)
	if err != nil {
		return false
	}
	for _, e := range written {
		e.kept = true
	}
	f.deletes = f.deletes[len(deletes):]
	if len(f.deletes) == 0 {
		f.deletes = nil
	}
	return len(written) == perCommit || len(deletes) == perCommit
}

// expire drops what is too old.
func (f *Forwarder) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Clock.Now()
	for _, e := range f.queue {
		if e.gone {
			continue
		}
		age, known := e.age(now)
		if known && age <= f.cfg.MaxAge {
			break // those behind it are younger
		}
		if known {
			f.drop(e, &f.status.Expired, "they are too old")
		}
	}
	f.pop()
}
