package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"go.etcd.io/bbolt"
)

// repair saves what can be read of the damaged file into a new one, which
// takes its place, and sets the damaged one aside.
func (t *Tables) repair(damage error) error {
	f, readOnly, _, err := lockFile(t.path, opening{})
	if errors.Is(err, errNotFile) {
		t.aside, err = setAside(t.path, asideStamp(t.opt.Clock.Now().Wall))
		if err == nil {
			t.log.Error("what was in the place of the tables' file is not a file; it was set aside", "set_aside", t.aside)
		}
		return err
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
	s := scanner{r: f, size: st.Size(), most: MaxRecord}
	pairs, version, live := scanPairs(&s)
	if s.unreadable >= st.Size() {
		return fmt.Errorf("%w; nothing of it can be read now", damage)
	}
	fresh := t.path + newSuffix
	if err := t.rewrite(fresh, s.id, version, pairs); err != nil {
		_ = os.Remove(fresh)
		return fmt.Errorf("%w; there is no saving its content now: %w", damage, err)
	}
	aside, err := setAside(t.path, asideStamp(t.opt.Clock.Now().Wall))
	if err != nil {
		return err
	}
	if err := os.Rename(fresh, t.path); err != nil {
		return err
	}
	t.aside = aside
	t.log.Error("the file of tables was damaged; it was set aside and its content saved as far as it could be read",
		"damage", damage, "set_aside", aside, "saved", len(pairs), "with_deleted_ones", !live)
	return syncDir(t.path)
}

type pairKey struct{ table, key string }

// scanPairs finds the newest version of each pair. Live says that pages which
// were given up could be told from the others, so that no deleted pair comes
// back.
func scanPairs(s *scanner) (pairs map[pairKey]pair, version uint64, live bool) {
	pairs = map[pairKey]pair{}
	if s.id = s.vote(); s.id == 0 {
		return pairs, 0, true
	}
	take := func(_ int64, b blob) bool {
		switch b.typ {
		case blobPair:
			p, err := decodePair(b.body)
			if err != nil {
				return true
			}
			k := pairKey{p.table, p.key}
			if old, ok := pairs[k]; !ok || p.version > old.version {
				pairs[k] = p
			}
			version = max(version, p.version)
		case blobTables:
			f := fields{b: b.body}
			version = max(version, f.uint())
		}
		return true
	}
	p, err := openPages(s.r, s.size)
	var free []uint64
	if err == nil && p.ok[0] && p.ok[1] {
		free, err = p.free()
	} else {
		err = ErrDamaged
	}
	if err != nil {
		s.each(0, s.size, take)
		return pairs, version, false
	}
	from, ps := int64(0), int64(p.meta.pageSize)
	for _, id := range append(free, p.meta.pages) {
		if to := min(int64(id)*ps, s.size); to > from {
			s.each(from, to, take)
		}
		from = int64(id+1) * ps
	}
	return pairs, version, true
}

func (t *Tables) rewrite(path string, id uint32, version uint64, pairs map[pairKey]pair) error {
	if id == 0 {
		id = newID()
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	o := t.opening()
	d, err := openFile(path, o)
	if err != nil {
		return err
	}
	defer d.close()
	_, err = d.update(func(tx *bbolt.Tx) error {
		for _, p := range pairs {
			b, err := tx.CreateBucketIfNotExists([]byte(tablePrefix + p.table))
			if err != nil {
				return err
			}
			if err := b.Put([]byte(p.key), appendPair(id, &p)); err != nil {
				return err
			}
		}
		return putTablesState(tx, id, version+1)
	})
	return err
}
