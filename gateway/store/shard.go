package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// columnInfo says what columns a segment has, in the bucket cols:
//
//	varint  version of the format, 1
//	varint  base, last and records of the segment
//	varint  shards, blocks
//	varint  bytes of pages, about
//
// The columns' own bucket is named by the letter h and the segment's base, 8
// bytes big-endian. It holds shards, the directory, under "d" and a number of
// 4 bytes, and blocks under "v" and a number. A sensor is in the shard that the
// checksum of its name says, or has no values in the segment: that it is not
// there is as certain as the shard's own checksum.
type columnInfo struct {
	shards uint32 // 0: there are none
	blocks uint32
	bytes  uint64
}

const columnsVersion = 1

func appendColumns(dst []byte, seg *segment, c columnInfo) []byte {
	for _, v := range []uint64{columnsVersion, seg.base, seg.last, seg.records, uint64(c.shards), uint64(c.blocks), c.bytes} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

// decodeColumns reads what columns seg has; the error says that they are of no
// use.
func decodeColumns(body []byte, seg *segment) (columnInfo, error) {
	f := fields{b: body}
	if f.uint() != columnsVersion || f.uint() != seg.base || f.uint() != seg.last || f.uint() != seg.records {
		return columnInfo{}, errColumn
	}
	shards, blocks := f.uint(), f.uint()
	c := columnInfo{uint32(shards), uint32(blocks), f.uint()}
	if err := f.end(); err != nil {
		return columnInfo{}, err
	}
	if uint64(c.shards) != shards || uint64(c.blocks) != blocks || c.shards == 0 || c.bytes > 1<<40 {
		return columnInfo{}, errColumn
	}
	return c, nil
}

// columnName is the name of the bucket of a segment's columns.
func columnName(base uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{'h'}, base)
}

// columnBase is the segment whose columns a bucket holds.
func columnBase(name []byte) (base uint64, ok bool) {
	if len(name) != nameSize+1 || name[0] != 'h' {
		return 0, false
	}
	return binary.BigEndian.Uint64(name[1:]), true
}

func shardKey(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{'d'}, n) }
func blockKey(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{'v'}, n) }

// shardOf is the shard of a column, by its name as appendKey makes it.
func shardOf(key []byte, shards uint32) uint32 {
	return crc32.Checksum(key, castagnoli) % shards
}

// appendDirectory encodes what is known about the blocks of one column. They
// have consecutive numbers.
func appendDirectory(dst []byte, blocks []block) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(blocks)))
	if len(blocks) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(blocks[0].number))
	last := int64(0)
	for i := range blocks {
		b := &blocks[i]
		dst = append(dst, b.group)
		dst = binary.AppendUvarint(dst, uint64(b.count))
		if b.group == groupErased {
			continue
		}
		dst = binary.AppendVarint(dst, b.lo-last)
		dst = binary.AppendUvarint(dst, uint64(b.hi-b.lo))
		last = b.lo
		if b.group != groupFixed {
			dst = binary.AppendUvarint(dst, b.boot)
			dst = binary.AppendVarint(dst, b.monoLo)
			dst = binary.AppendUvarint(dst, uint64(b.monoHi-b.monoLo))
		}
	}
	return dst
}

func decodeDirectory(body []byte) ([]block, error) {
	f := fields{b: body}
	n := f.uint()
	if n > uint64(len(f.b)) {
		return nil, errShort
	}
	if n == 0 {
		return nil, f.end()
	}
	first := f.uint()
	if first+n > 1<<32-1 || first > 1<<32-1 {
		return nil, errors.New("number of a block out of range")
	}
	blocks := make([]block, n)
	last := int64(0)
	for i := range blocks {
		b := &blocks[i]
		b.number = uint32(first) + uint32(i)
		b.group = f.byte()
		count := f.uint()
		if b.group > lastGroup || count > MaxRecord {
			return nil, errColumn
		}
		if b.count = int(count); b.group == groupErased {
			continue
		}
		b.lo = last + f.int()
		b.hi = b.lo + int64(f.uint())
		last = b.lo
		if b.group != groupFixed {
			b.boot = f.uint()
			b.monoLo = f.int()
			b.monoHi = b.monoLo + int64(f.uint())
		}
		if f.err == nil && (b.hi < b.lo || b.monoHi < b.monoLo) {
			return nil, errors.New("bounds of a block out of range")
		}
	}
	return blocks, f.end()
}

// A shard is the base of its segment, its number and how many there are, then
// pairs of raw: the name of a column as appendKey makes it and its directory.
func appendShardHead(dst []byte, base uint64, number, shards uint32) []byte {
	dst = binary.AppendUvarint(dst, base)
	dst = binary.AppendUvarint(dst, uint64(number))
	return binary.AppendUvarint(dst, uint64(shards))
}

// findInShard gives the blocks of a column; none if it is not there.
func findInShard(body []byte, base uint64, number, shards uint32, key []byte) ([]block, error) {
	f := fields{b: body}
	if f.uint() != base || f.uint() != uint64(number) || f.uint() != uint64(shards) || f.err != nil {
		return nil, errColumn
	}
	for len(f.b) > 0 {
		name, dir := f.raw(), f.raw()
		if f.err == nil && string(name) == string(key) {
			return decodeDirectory(dir)
		}
	}
	return nil, f.end()
}
