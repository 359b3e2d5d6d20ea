package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads bbolt's file format (version 2, little-endian) without
// mapping it into memory and without trusting a byte of it: to find damage
// before bbolt trips over it, and to look into files that nobody may write.
//
// A page starts with its number (8 bytes), flags (2), count of elements (2)
// and the number of further pages that it extends over (4). Pages 0 and 1 are
// the meta pages, of which the one with the higher transaction counts.

const (
	pageHead   = 16
	pageBranch = 0x01
	pageLeaf   = 0x02
	pageMeta   = 0x04
	pageFree   = 0x10

	elementSize  = 16
	bucketFlag   = 0x01 // of a leaf's element
	bucketHead   = 16   // root page and sequence of a bucket
	metaSize     = 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	noFreelist   = 1<<64 - 1
	deepestTree  = 16
	largestPage  = 64 << 10
	ourPageSize  = 4096 // whatever the kernel's; a Pi 5 has 16 KiB
	maxPageCount = 1 << 28
)

// metaPage is the content of a valid meta page.
type metaPage struct {
	pageSize int
	root     uint64
	freelist uint64
	pages    uint64 // all pages have lower numbers
	tx       uint64
}

// parseMeta reads a meta page; b starts with its page header.
func parseMeta(b []byte) (metaPage, error) {
	var m metaPage
	if len(b) < pageHead+metaSize {
		return m, errShort
	}
	b = b[pageHead:]
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8])
	le := binary.LittleEndian
	m = metaPage{
		pageSize: int(le.Uint32(b[8:])),
		root:     le.Uint64(b[16:]),
		freelist: le.Uint64(b[32:]),
		pages:    le.Uint64(b[40:]),
		tx:       le.Uint64(b[48:]),
	}
	switch {
	case le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != metaVersion:
		return m, errors.New("no meta page")
	case le.Uint64(b[56:]) != h.Sum64():
		return m, errBlobCRC
	case m.pageSize < 1024 || m.pageSize > largestPage || m.pageSize&(m.pageSize-1) != 0:
		return m, fmt.Errorf("page size %d", m.pageSize)
	case m.pages > maxPageCount || m.root < 2 || m.root >= m.pages:
		return m, errors.New("page number out of range")
	}
	return m, nil
}

// pageFile is a bbolt file that is only read.
type pageFile struct {
	r    io.ReaderAt
	size int64
	meta metaPage
	ok   [2]bool // which meta pages are valid
}

// openPages reads the meta pages. The error wraps ErrDamaged if neither is
// valid, otherwise it is one of reading.
func openPages(r io.ReaderAt, size int64) (*pageFile, error) {
	p := &pageFile{r: r, size: size}
	var readErr error
	take := func(i int, at int64) {
		if p.ok[i] {
			return
		}
		var b [pageHead + metaSize]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			if err != io.EOF {
				readErr = err
			}
			return
		}
		m, err := parseMeta(b[:])
		if err != nil || i == 1 && int64(m.pageSize) != at {
			return
		}
		p.ok[i] = true
		if i == 0 || !p.ok[0] || m.tx > p.meta.tx {
			p.meta = m
		}
	}
	take(0, 0)
	if p.ok[0] {
		take(1, int64(p.meta.pageSize))
	}
	for at := int64(1024); at <= largestPage; at *= 2 {
		if !p.ok[0] {
			take(1, at)
		}
	}
	switch {
	case p.ok[0] || p.ok[1]:
		return p, nil
	case readErr != nil:
		return nil, readErr
	}
	return nil, fmt.Errorf("%w: no valid meta page", ErrDamaged)
}

// page is one page with those that it extends over.
type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint64
	b        []byte
}

// read reads page id. The error wraps ErrDamaged unless it is one of reading.
func (p *pageFile) read(id uint64) (page, error) {
	bad := func(format string, a ...any) (page, error) {
		return page{}, fmt.Errorf("%w: page %d: %s", ErrDamaged, id, fmt.Sprintf(format, a...))
	}
	ps := uint64(p.meta.pageSize)
	if id < 2 || id >= p.meta.pages {
		return bad("number out of range")
	}
	buf := make([]byte, ps)
	if n, err := p.r.ReadAt(buf, int64(id*ps)); err == io.EOF {
		return bad("beyond the end of the file, %d bytes of it there", n)
	} else if err != nil {
		return page{}, err
	}
	le := binary.LittleEndian
	pg := page{id: le.Uint64(buf), flags: le.Uint16(buf[8:]), count: int(le.Uint16(buf[10:])),
		overflow: uint64(le.Uint32(buf[12:])), b: buf}
	switch {
	case pg.id != id:
		return bad("says it is page %d", pg.id)
	case pg.flags != pageBranch && pg.flags != pageLeaf && pg.flags != pageFree:
		return bad("flags %#x", pg.flags)
	case id+pg.overflow >= p.meta.pages:
		return bad("extends beyond the end")
	}
	if pg.overflow > 0 {
		more := make([]byte, (pg.overflow+1)*ps)
		copy(more, buf)
		if _, err := p.r.ReadAt(more[ps:], int64((id+1)*ps)); err == io.EOF {
			return bad("beyond the end of the file")
		} else if err != nil {
			return page{}, err
		}
		pg.b = more
	}
	return pg, nil
}

// element is one entry of a leaf.
type element struct {
	bucket     bool
	key, value []byte
}

// leafElement reads entry i of a leaf page (or of the page of an inline
// bucket, which has no number).
func (g *page) leafElement(i int) (element, error) {
	at := pageHead + i*elementSize
	if at+elementSize > len(g.b) {
		return element{}, g.bad("count")
	}
	le := binary.LittleEndian
	flags, pos := le.Uint32(g.b[at:]), uint64(le.Uint32(g.b[at+4:]))
	k, v := uint64(le.Uint32(g.b[at+8:])), uint64(le.Uint32(g.b[at+12:]))
	from := uint64(at) + pos
	if k == 0 || from+k+v > uint64(len(g.b)) || flags > bucketFlag {
		return element{}, g.bad("element %d out of bounds", i)
	}
	return element{flags == bucketFlag, g.b[from : from+k : from+k], g.b[from+k : from+k+v : from+k+v]}, nil
}

func (g *page) branchElement(i int) (key []byte, child uint64, err error) {
	at := pageHead + i*elementSize
	if at+elementSize > len(g.b) {
		return nil, 0, g.bad("count")
	}
	le := binary.LittleEndian
	from, k := uint64(at)+uint64(le.Uint32(g.b[at:])), uint64(le.Uint32(g.b[at+4:]))
	if k == 0 || from+k > uint64(len(g.b)) {
		return nil, 0, g.bad("element %d out of bounds", i)
	}
	return g.b[from : from+k : from+k], le.Uint64(g.b[at+8:]), nil
}

func (g *page) bad(format string, a ...any) error {
	return fmt.Errorf("%w: page %d: %s", ErrDamaged, g.id, fmt.Sprintf(format, a...))
}

// inlinePage is the page inside of the value of a small bucket.
func inlinePage(value []byte) (page, error) {
	b := value[bucketHead:]
	if len(b) < pageHead {
		return page{}, fmt.Errorf("%w: bucket too short", ErrDamaged)
	}
	le := binary.LittleEndian
	g := page{flags: le.Uint16(b[8:]), count: int(le.Uint16(b[10:])), b: b}
	if g.flags != pageLeaf {
		return g, g.bad("inline bucket with flags %#x", g.flags)
	}
	return g, nil
}

// free reads the list of free pages, ascending.
func (p *pageFile) free() ([]uint64, error) {
	if p.meta.freelist == noFreelist {
		return nil, fmt.Errorf("%w: no list of free pages", ErrDamaged)
	}
	g, err := p.read(p.meta.freelist)
	if err != nil {
		return nil, err
	}
	if g.flags != pageFree {
		return nil, g.bad("flags %#x where the list of free pages should be", g.flags)
	}
	le := binary.LittleEndian
	n, b := uint64(g.count), g.b[pageHead:]
	if n == 0xFFFF {
		n, b = le.Uint64(b), b[8:]
	}
	if n > uint64(len(b)/8) {
		return nil, g.bad("%d free pages", n)
	}
	ids := make([]uint64, n)
	for i := range ids {
		ids[i] = le.Uint64(b[i*8:])
		if ids[i] < 2 || ids[i] >= p.meta.pages || i > 0 && ids[i] <= ids[i-1] {
			return nil, g.bad("free page %d", ids[i])
		}
	}
	return ids, nil
}
