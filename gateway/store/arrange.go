package store

import (
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// columnSet is the columns of one segment as they are written, all as blobs.
type columnSet struct {
	segment
	id      uint32
	summary columnInfo
	shards  [][]byte
	blocks  [][]byte
}

// shardBytes is about how long a shard gets, more if a column's directory is.
const shardBytes = 1000

// makeColumns sorts what t holds of seg.
func makeColumns(t *tail, seg *segment, id uint32) (*columnSet, error) {
	set := &columnSet{segment: *seg, id: id}
	names := slices.Sorted(maps.Keys(t.columns))
	directories := make([][]byte, len(names))
	total := 0
	var body []byte
	for i, name := range names {
		c, err := t.columns[name].sorted()
		if err != nil {
			return nil, err
		}
		for n := range c.blocks {
			b := &c.blocks[n]
			b.number = uint32(len(set.blocks))
			body = appendBlock(body[:0], seg.base, b)
			set.blocks = append(set.blocks, appendBlob(make([]byte, 0, len(body)+blobHeader+5), blobColumn, id, body))
		}
		directories[i] = appendDirectory(nil, c.blocks)
		total += len(name) + len(directories[i]) + 4
	}
	shards := make([][]byte, total/shardBytes+1)
	for i := range shards {
		shards[i] = appendShardHead(nil, seg.base, uint32(i), uint32(len(shards)))
	}
	for i, name := range names {
		n := shardOf([]byte(name), uint32(len(shards)))
		shards[n] = appendRaw(shards[n], name)
		shards[n] = appendRaw(shards[n], directories[i])
	}
	bytes := 0
	for _, s := range shards {
		if len(s) > MaxRecord {
			return nil, errors.New("directory too long")
		}
		set.shards = append(set.shards, appendBlob(nil, blobShard, id, s))
	}
	for _, all := range [][][]byte{set.shards, set.blocks} {
		for _, blob := range all {
			bytes += len(blob) + elementSize + 5
		}
	}
	bytes += bytes / 16 // what is left of pages
	set.summary = columnInfo{uint32(len(set.shards)), uint32(len(set.blocks)), uint64(bytes/ourPageSize+2) * ourPageSize}
	return set, nil
}

// arrange makes the columns of one segment that lacks them, the youngest
// first, or removes columns that belong to none. It returns for how long there
// is nothing more to do. What fails is tried again later: a query reads the
// records instead.
func (l *Log) arrange(now time.Time) time.Duration {
	const vain = time.Minute
	x := l.index.Load()
	if x == nil || l.file == nil || l.file.readOnly || l.w.reopen || !l.w.begun {
		return idleFor
	}
	i := lacking(x.segments)
	worn := l.wornOut()
	if i < 0 && len(x.stray)+len(worn) == 0 {
		return idleFor
	}
	if wait := l.w.arrangeAt.Sub(now); wait > 0 {
		return wait
	}
	l.w.arrangeAt = now.Add(vain)
	j := job{stray: append(worn, x.stray...)}
	if i >= 0 && !l.fits(x, int64(x.segments[i].bytes/8)) {
		return vain
	}
	if i >= 0 {
		set, err := l.columnsOf(&x.segments[i])
		if err != nil {
			l.log.Warn("the columns of a segment could not be made", "segment", x.segments[i].base, "error", err)
			return vain
		}
		if !l.roomFor(x, int64(set.summary.bytes)) {
			return vain
		}
		j.columns = set
	}
	if err := l.commit(j); err != nil {
		l.log.Warn("the columns of a segment could not be written", "error", err)
		return vain
	}
	l.renewing(worn)
	y := l.index.Load()
	if i >= 0 {
		if n := y.position(x.segments[i].base); n >= 0 && y.segments[n].columns.shards == 0 {
			return vain // there is no room
		}
		l.tails.drop(x.segments[i].base)
	}
	l.w.arrangeAt = now.Add(5 * time.Since(now)) // others have their turn
	return 0
}

// wearOut notes that a reader met damaged columns.
func (l *Log) wearOut(base uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.worn[base]; ok {
		return
	}
	if l.worn == nil {
		l.worn = map[uint64]bool{}
	}
	l.worn[base] = false
	l.log.Warn("the columns of a segment are damaged or gone; its records are read instead", "segment", base)
	l.poke()
}

// wornOut lists the segments whose columns are to be made anew, once each.
func (l *Log) wornOut() (bases []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for base, done := range l.worn {
		if !done {
			bases = append(bases, base)
		}
	}
	return bases
}

func (l *Log) renewing(bases []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, base := range bases {
		l.worn[base] = true
	}
}

// lacking is the position of the youngest full segment without columns, -1 if
// there is none.
func lacking(segs []segment) int {
	for i := len(segs) - 2; i >= 0; i-- {
		if segs[i].columns.shards == 0 && segs[i].records > 0 {
			return i
		}
	}
	return -1
}

func (l *Log) columnsOf(seg *segment) (*columnSet, error) {
	generation := l.generation.Load()
	t := l.tails.get(seg.base, generation, false)
	if t == nil {
		t = newTail(seg.base, generation, nil)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.extend(l, seg.last); err != nil {
		return nil, err
	}
	return makeColumns(t, seg, l.index.Load().id)
}

// fits says that columns of about that many bytes have room in the file, or
// that it is made by dropping what nobody waits for.
func (l *Log) fits(x *index, bytes int64) bool {
	n := tooMany(x.segments, x.used+bytes, l.opt.MaxSize)
	l.mu.Lock()
	defer l.mu.Unlock()
	return n == 0 || n <= acknowledged(x.segments, l.cursors)
}

// roomFor says that columns of that many bytes leave enough of the disk to
// records: appends never fail for their sake.
func (l *Log) roomFor(x *index, bytes int64) bool {
	free := freeDisk(l.path)
	return free < 0 || x.length-x.used > 2*bytes || free > bytes+4*l.opt.SegmentBytes
}

// spareColumns removes some columns from a file on a full disk.
func (l *Log) spareColumns() error {
	bases := l.withColumns()
	if len(bases) == 0 {
		return errors.New("no columns to remove")
	}
	l.w.arrangeAt = time.Now().Add(10 * time.Minute)
	return l.removeSome(job{stray: bases, free: true})
}

// withColumns lists segments that have columns, the oldest first, as many as
// one transaction should remove.
func (l *Log) withColumns() (bases []uint64) {
	if x := l.index.Load(); x != nil && l.file != nil && !l.file.readOnly {
		for i := range x.segments {
			if len(bases) < 4*mostEvicted && x.segments[i].columns.shards > 0 {
				bases = append(bases, x.segments[i].base)
			}
		}
	}
	return bases
}

// arrangeColumns puts the job's columns into the file.
func (b *build) arrangeColumns() error {
	for _, base := range b.stray {
		if err := b.dropColumns(base); err != nil {
			return err
		}
	}
	b.x.stray = slices.DeleteFunc(slices.Clone(b.x.stray), func(base uint64) bool { return slices.Contains(b.stray, base) })
	set := b.columns
	if set == nil || set.id != b.x.id {
		return nil
	}
	i := b.x.position(set.base)
	if i < 0 || b.x.segments[i].last != set.last || b.x.segments[i].records != set.records {
		return nil
	}
	if err := b.dropColumns(set.base); err != nil {
		return err
	}
	list, err := b.tx.CreateBucketIfNotExists(bucketCols)
	if err != nil {
		return err
	}
	bucket, err := b.tx.CreateBucket(columnName(set.base))
	if err != nil {
		return err
	}
	bucket.FillPercent = fill
	for n, blob := range set.shards {
		if err := bucket.Put(shardKey(uint32(n)), blob); err != nil {
			return err
		}
	}
	for n, blob := range set.blocks {
		if err := bucket.Put(blockKey(uint32(n)), blob); err != nil {
			return err
		}
	}
	b.x.segments[i].columns = set.summary
	return list.Put(seqKey(set.base), appendBlob(nil, blobColumns, b.x.id, appendColumns(nil, &set.segment, set.summary)))
}

// dropColumns removes the columns of a segment, if it has any.
func (b *build) dropColumns(base uint64) error {
	if name := columnName(base); b.tx.Bucket(name) != nil {
		if err := b.tx.DeleteBucket(name); err != nil {
			return err
		}
	}
	if list := b.tx.Bucket(bucketCols); list != nil {
		if err := list.Delete(seqKey(base)); err != nil {
			return err
		}
	}
	if i := b.x.position(base); i >= 0 {
		b.x.segments[i].columns = columnInfo{}
	}
	return nil
}

// loadColumns finds out which segments have columns. What is wrong with them
// is no damage of the log.
func (l *loaded) loadColumns(tx *bbolt.Tx) error {
	list := tx.Bucket(bucketCols)
	err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		base, ok := columnBase(name)
		if !ok {
			return nil
		}
		if i := l.position(base); i >= 0 && list != nil && i < len(l.segments)-1 {
			if body, err := exactBlob(list.Get(seqKey(base)), blobColumns, l.id); err == nil {
				if c, err := decodeColumns(body, &l.segments[i]); err == nil {
					l.segments[i].columns = c
					return nil
				}
			}
		}
		l.stray = append(l.stray, base)
		return nil
	})
	if err != nil || list == nil {
		return err
	}
	return list.ForEach(func(k, _ []byte) error { // of which the bucket is gone
		base := seqOf(k)
		if i := l.position(base); (i < 0 || l.segments[i].columns.shards == 0) && !slices.Contains(l.stray, base) && len(k) == nameSize {
			l.stray = append(l.stray, base)
		}
		return nil
	})
}

// position is that of the segment with this base, -1 if there is none.
func (x *index) position(base uint64) int {
	i, ok := slices.BinarySearchFunc(x.segments, base, func(s segment, base uint64) int {
		switch {
		case s.base < base:
			return -1
		case s.base > base:
			return 1
		}
		return 0
	})
	if !ok {
		return -1
	}
	return i
}
