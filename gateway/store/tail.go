package store

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// tail holds the columns of one segment in memory: of the active one for as
// long as somebody asks for its history, of another one while its columns are
// made or stood in for. It reads records once, in the order of their sequence.
type tail struct {
	mu         sync.Mutex
	base       uint64
	next       uint64 // sequence to go on with
	generation uint64 // of the file
	only       string // name of the one column that is wanted; "": all
	columns    map[string]*tailColumn

	key []byte
}

type tailColumn struct {
	columnKey
	blocks []block
	open   [lastGroup + 1]int // block of each group that is added to, plus one
	erased erasure            // the last one
}

var (
	// errGone says that a segment was dropped.
	errGone = errors.New("segment was dropped")
	// errStale says that a query must plan anew: the file was replaced, or
	// what it meant to read is damaged or gone.
	errStale = errors.New("columns have changed")
)

func newTail(base, generation uint64, only []byte) *tail {
	return &tail{base: base, next: base, generation: generation, only: string(only), columns: map[string]*tailColumn{}}
}

// extend takes in the records up to last. The lock is held.
func (t *tail) extend(l *Log, last uint64) error {
	for t.next <= last {
		bytes := 0
		err := l.view(func(tx *bbolt.Tx, x *index) error {
			bytes = 0
			if l.generation.Load() != t.generation {
				return errStale
			}
			b := tx.Bucket(seqKey(t.base))
			if b == nil {
				return errGone
			}
			from, n := t.next, 0
			c := b.Cursor()
			for k, v := c.Seek(seqKey(from)); k != nil; k, v = c.Next() {
				seq := seqOf(k)
				if seq > last {
					break
				}
				if seq < from {
					continue // a damaged key
				}
				if n++; n > viewRecords || bytes > viewBytes {
					return nil
				}
				bytes += len(v)
				if t.skips(v) {
					t.next = seq + 1
					continue
				}
				if s, err := readRecord(k, v, x.id); err == nil {
					t.add(&s)
				}
				t.next = seq + 1
			}
			t.next = last + 1
			return nil
		})
		l.readBytes.Add(int64(bytes))
		if err != nil {
			return err
		}
	}
	return nil
}

// skips says that a record is certainly of no column that is wanted, at the
// price of a look. A damaged one may be taken for it.
func (t *tail) skips(v []byte) bool {
	if t.only == "" || len(v) > MaxRecord {
		return false
	}
	o, err := measureBlob(v, 0, MaxRecord)
	if err != nil || o.size != len(v) {
		return true
	}
	f := fields{b: v[o.body0:]}
	f.uint()
	f.uint()
	kind, flags := gateway.Kind(f.byte()), f.byte()
	f.uint()
	if flags&flagBoot != 0 {
		var boot gateway.Boot
		f.fixed(boot[:])
	}
	f.int()
	f.int()
	if flags&flagTime != 0 {
		f.int()
	}
	device, channel := f.raw(), f.raw()
	if f.err != nil || columnKind(kind) == 0 {
		return true
	}
	t.key = append(t.key[:0], byte(columnKind(kind)))
	t.key = appendRaw(t.key, device)
	t.key = append(t.key, channel...)
	return string(t.key) != t.only
}

func (t *tail) add(s *stored) {
	kind := columnKind(s.Kind)
	if kind == 0 || len(s.Device)+len(s.Channel) > longestName && t.only == "" {
		return
	}
	t.key = appendKey(t.key[:0], kind, s.Device, s.Channel)
	if t.only != "" && string(t.key) != t.only {
		return
	}
	c := t.columns[string(t.key)]
	if c == nil {
		c = &tailColumn{columnKey: columnKey{kind, s.Device, s.Channel}}
		t.columns[string(t.key)] = c
	}
	if s.Kind == gateway.KindErase {
		if e, ok := erasureOf(&s.Record); ok {
			b := c.into(groupErased, 0)
			if b.count == 0 {
				c.erased = erasure{}
			}
			b.body = appendErasure(b.body, &e, &c.erased)
			c.erased = e
			b.count++
		}
		return
	}
	e := entryOf(s)
	c.add(&e)
}

func (c *tailColumn) add(e *entry) {
	boot := e.boot
	if e.group() == groupFixed {
		boot = 0
	}
	c.into(e.group(), boot).add(e)
}

// into is the block that the next entry of a group goes into.
func (c *tailColumn) into(group uint8, boot uint64) *block {
	if i := c.open[group]; i > 0 {
		if b := &c.blocks[i-1]; b.boot == boot && len(b.body) < blockBytes {
			return b
		}
	}
	c.blocks = append(c.blocks, block{group: group, boot: boot})
	c.open[group] = len(c.blocks)
	return &c.blocks[len(c.blocks)-1]
}

// leastBlock is how many entries a block has before a gap in time ends it.
const leastBlock = 16

// sorted is the column with its blocks in the order of time, as far as that is
// known, so that few of them overlap.
func (c *tailColumn) sorted() (*tailColumn, error) {
	out := &tailColumn{columnKey: c.columnKey}
	type key struct {
		group uint8
		boot  uint64
	}
	groups, counts := map[key][]entry{}, map[key]int{}
	for i := range c.blocks {
		b := &c.blocks[i]
		counts[key{b.group, b.boot}] += b.count
	}
	for i := range c.blocks {
		b := &c.blocks[i]
		if b.group == groupErased {
			out.blocks = append(out.blocks, *b)
			continue
		}
		k := key{b.group, b.boot}
		if groups[k] == nil {
			groups[k] = make([]entry, 0, counts[k])
		}
		var err error
		if groups[k], err = decodeEntries(groups[k], b.body, b.count); err != nil {
			return nil, err
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(groups), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.boot, b.boot))
	}) {
		all := groups[k]
		at := func(e *entry) int64 {
			if k.group == groupFixed {
				return e.at(nil)
			}
			return e.mono
		}
		slices.SortFunc(all, func(a, b entry) int {
			return cmp.Or(cmp.Compare(at(&a), at(&b)), cmp.Compare(a.seq, b.seq))
		})
		first := 0
		for i := range all {
			// What was caught up with shares no block with what is of today: a
			// block that spans both would be held from the one to the other.
			if n := i - first; n >= leastBlock && at(&all[i])-at(&all[i-1]) > 4*(at(&all[i-1])-at(&all[first])) {
				out.open[k.group], first = 0, i
			}
			out.add(&all[i])
			if b := &out.blocks[len(out.blocks)-1]; b.count == 1 {
				first = i
			}
		}
	}
	return out, nil
}

// tails are those that are kept: of the active segment and of the one before.
type tails struct {
	mu   sync.Mutex
	kept []*tail
}

// get gives the tail of a segment if it is kept, or makes it if it is the
// active one.
func (k *tails) get(base, generation uint64, create bool) *tail {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = slices.DeleteFunc(k.kept, func(t *tail) bool { return t.generation != generation })
	for _, t := range k.kept {
		if t.base == base {
			return t
		}
	}
	if !create {
		return nil
	}
	t := newTail(base, generation, nil)
	k.kept = append(k.kept, t)
	if n := len(k.kept); n > 2 {
		k.kept = slices.Delete(k.kept, 0, n-2)
	}
	return t
}

// drop lets go of the tail of a segment.
func (k *tails) drop(base uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept = slices.DeleteFunc(k.kept, func(t *tail) bool { return t.base == base })
}
