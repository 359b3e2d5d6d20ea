package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// finish writes what the log knows about itself.
func (b *build) finish() error {
	meta := b.tx.Bucket(bucketMeta)
	if meta == nil {
		return fmt.Errorf("%w: no state", ErrDamaged)
	}
	if t := b.clocks.table.Load(); t.unsaved || b.lowestBoot > 0 {
		b.table = t
		if err := b.saveBoots(t); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.cursors)) {
		c := b.cursors[name]
		if old, ok := b.w.filed[name]; ok && sameCursor(old, c) && !b.begin {
			continue
		}
		key := append(slices.Clone(prefixCursor), name...)
		if err := meta.Put(key, appendBlob(nil, blobCursor, b.x.id, appendCursor(nil, name, c))); err != nil {
			return err
		}
	}
	if b.begin {
		c := meta.Cursor()
		var gone [][]byte
		for k, _ := c.Seek(prefixCursor); bytes.HasPrefix(k, prefixCursor); k, _ = c.Next() {
			if _, ok := b.cursors[string(k[len(prefixCursor):])]; !ok {
				gone = append(gone, slices.Clone(k))
			}
		}
		for _, k := range gone {
			if err := meta.Delete(k); err != nil {
				return err
			}
		}
	}
	if err := b.saveMarks(meta); err != nil {
		return err
	}
	b.x.tx = uint64(b.tx.ID())
	b.x.active = segment{}
	if n := len(b.x.segments); n > 0 {
		b.x.active = b.x.segments[n-1]
	}
	return meta.Put(keyState, appendBlob(nil, blobState, b.x.id, appendState(nil, &b.x.state)))
}

func (b *build) saveBoots(t *bootTable) error {
	boots := b.tx.Bucket(bucketBoots)
	if boots == nil {
		return fmt.Errorf("%w: no boots", ErrDamaged)
	}
	for _, n := range slices.Sorted(maps.Keys(t.byNumber)) {
		if n < b.lowestBoot {
			if err := boots.Delete(seqKey(n)); err != nil {
				return err
			}
			continue
		}
		if err := boots.Put(seqKey(n), appendBlob(nil, blobBoot, b.x.id, appendBoot(nil, t.byNumber[n]))); err != nil {
			return err
		}
	}
	return nil
}
