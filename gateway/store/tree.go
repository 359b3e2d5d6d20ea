package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// pageSet is a set of page numbers.
type pageSet []uint64

func newPageSet(pages uint64) pageSet { return make(pageSet, pages/64+1) }

func (s pageSet) has(id uint64) bool { return s[id/64]>>(id%64)&1 != 0 }

// add reports whether id was not there yet.
func (s pageSet) add(id uint64) bool {
	if s.has(id) {
		return false
	}
	s[id/64] |= 1 << (id % 64)
	return true
}

// nameSize is the length of the name of a bucket of records: its lowest
// sequence. No other bucket's name is that long.
const nameSize = 8

// treeCheck walks a bbolt file along its buckets and finds pages that are
// used twice, out of order or not what they should be: what would make bbolt
// panic, recurse without end or write over live data.
type treeCheck struct {
	*pageFile
	used pageSet
	free pageSet
	// all reads every page. Otherwise the lowest pages of a bucket of records or
	// columns are
	// left alone but for the first and the last: reading them is what takes
	// long, and a record is checked when it is read anyway.
	all bool
	// each, if not nil, is called with the entries of all buckets in order, of
	// record buckets only if all is set.
	each func(bucket []byte, e element) error
}

// checkTree checks the file's structure. The error wraps ErrDamaged unless it
// is one of reading.
func (p *pageFile) checkTree(all bool, each func(bucket []byte, e element) error) error {
	c := treeCheck{pageFile: p, used: newPageSet(p.meta.pages), free: newPageSet(p.meta.pages), all: all, each: each}
	if need := int64(p.meta.pages) * int64(p.meta.pageSize); p.size < need {
		return fmt.Errorf("%w: %d bytes long instead of %d or more", ErrDamaged, p.size, need)
	}
	ids, err := p.free()
	if err != nil {
		return err
	}
	for _, id := range ids {
		c.free.add(id)
	}
	list, err := p.read(p.meta.freelist)
	if err != nil {
		return err
	}
	if err := c.claim(&list); err != nil {
		return err
	}
	if err := c.walk(p.meta.root, nil); err != nil {
		return err
	}
	if !all {
		return nil
	}
	inUse := uint64(2)
	for id := uint64(2); id < p.meta.pages; id++ {
		if c.used.has(id) {
			inUse++
		}
	}
	if inUse+uint64(len(ids)) != p.meta.pages {
		return fmt.Errorf("%w: %d pages are neither in use nor free", ErrDamaged, p.meta.pages-inUse-uint64(len(ids)))
	}
	return nil
}

// claim marks a page as used.
func (c *treeCheck) claim(g *page) error {
	for id := g.id; id <= g.id+g.overflow; id++ {
		if c.free.has(id) {
			return g.bad("in use and free")
		}
		if !c.used.add(id) {
			return g.bad("used twice")
		}
	}
	return nil
}

// walk checks the bucket named bucket (nil: the root) from its root page on.
func (c *treeCheck) walk(root uint64, bucket []byte) error {
	_, column := columnBase(bucket)
	sparse := !c.all && (column || len(bucket) == nameSize)
	depth := 0
	for id := root; ; depth++ { // how deep are the leaves
		g, err := c.read(id)
		if err != nil {
			return err
		}
		if g.flags == pageLeaf {
			break
		}
		if g.flags != pageBranch || g.count == 0 || depth > deepestTree {
			return g.bad("flags %#x, %d elements in a tree", g.flags, g.count)
		}
		if _, id, err = g.branchElement(0); err != nil {
			return err
		}
	}
	return c.level(root, depth, span{}, bucket, sparse, true)
}

// span is a range of keys: from lo on and below hi; nil is no bound.
type span struct{ lo, hi []byte }

func (s span) holds(key []byte) bool {
	return bytes.Compare(key, s.lo) >= 0 && (s.hi == nil || bytes.Compare(key, s.hi) < 0)
}

// level checks page id, depth levels above the leaves, whose keys must lie in
// keys. Last says that it is the rightmost of its level.
func (c *treeCheck) level(id uint64, depth int, keys span, bucket []byte, sparse, last bool) error {
	if depth == 0 && sparse && !last {
		if id < 2 || id >= c.meta.pages {
			return fmt.Errorf("%w: page number %d out of range", ErrDamaged, id)
		}
		return c.claim(&page{id: id})
	}
	g, err := c.read(id)
	if err != nil {
		return err
	}
	if err := c.claim(&g); err != nil {
		return err
	}
	if depth == 0 {
		if g.flags != pageLeaf {
			return g.bad("flags %#x where a leaf should be", g.flags)
		}
		return c.leaf(&g, keys, bucket)
	}
	if g.flags != pageBranch || g.count == 0 {
		return g.bad("flags %#x, %d elements where a branch should be", g.flags, g.count)
	}
	key, child, err := g.branchElement(0)
	for i := 1; err == nil; i++ {
		below := span{key, keys.hi}
		next := uint64(0)
		if i < g.count {
			if below.hi, next, err = g.branchElement(i); err != nil {
				break
			}
		}
		if !keys.holds(key) || below.hi != nil && bytes.Compare(key, below.hi) >= 0 {
			return g.bad("keys out of order")
		}
		if err := c.level(child, depth-1, below, bucket, sparse, last && i == g.count); err != nil {
			return err
		}
		if i == g.count {
			return nil
		}
		key, child = below.hi, next
	}
	return err
}

// leaf checks the entries of one leaf and walks the buckets among them.
func (c *treeCheck) leaf(g *page, keys span, bucket []byte) error {
	for i := range g.count {
		e, err := g.leafElement(i)
		if err != nil {
			return err
		}
		if !keys.holds(e.key) || i > 0 && bytes.Equal(e.key, keys.lo) {
			return g.bad("keys out of order")
		}
		keys.lo = e.key
		if e.bucket != (bucket == nil) {
			return g.bad("a bucket in a bucket, or a value outside of one")
		}
		if !e.bucket {
			if c.each != nil && (c.all || len(bucket) != nameSize) {
				if err := c.each(bucket, e); err != nil {
					return err
				}
			}
			continue
		}
		if len(e.value) < bucketHead {
			return g.bad("bucket too short")
		}
		if root := binary.LittleEndian.Uint64(e.value); root != 0 {
			err = c.walk(root, e.key)
		} else {
			var in page
			if in, err = inlinePage(e.value); err == nil {
				err = c.leaf(&in, span{}, e.key)
			}
		}
		if err != nil {
			return fmt.Errorf("bucket %x: %w", e.key, err)
		}
	}
	return nil
}
