package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// History calls fn with each value that q asks for in the order of time
// (Record.At, and where that is the same, Seq), or in the reverse, until fn
// returns an error, which it returns, or q.Limit values were given. Records
// have the content and the times that Read gives them. Values of a sensor that
// a KindErase record with a higher sequence erases are left out. Fn runs
// outside of any transaction. What is appended meanwhile may be left out. The
// error wraps ErrUnavailable if the file cannot be read at the moment, or is
// that of ctx.
//
// A query reads the columns of the one sensor (doc.go), blocks within the
// window alone, and holds those that overlap in time: memory does not grow with
// the window unless values were appended in no order at all.
func (l *Log) History(ctx context.Context, q gateway.HistoryQuery, fn func(gateway.Record) error) error {
	h := &query{Log: l, HistoryQuery: q, back: q.Backward, ctx: ctx}
	if h.column.kind = columnKind(q.Kind); h.column.kind == 0 || q.Kind == gateway.KindErase {
		return fmt.Errorf("store: history: %v has none", q.Kind)
	}
	h.column.device, h.column.channel = q.Device, q.Channel
	h.name = appendKey(nil, h.column.kind, q.Device, q.Channel)
	h.lo, h.hi = window(q.From, q.To)
	for {
		err := h.plan()
		if err == nil {
			err = h.sweep(fn)
		}
		switch {
		case err == nil || errors.Is(err, errEnough):
			return nil
		case errors.Is(err, errStale):
			continue
		}
		return err
	}
}

var errEnough = errors.New("enough")

// query is one walk through the history of one sensor or actuator.
type query struct {
	*Log
	gateway.HistoryQuery
	ctx    context.Context
	column columnKey
	name   []byte
	lo, hi int64 // of the window, microseconds
	back   bool  // the newest first

	generation uint64
	table      *bootTable
	broken     map[uint64]bool // segments whose columns are of no use
	reading    uint64          // the one that is being read

	erased  erased
	late    *late   // when the plan was made
	pending []piece // in the order of their keys
	loaded  merger
	given   int
	last    place // of the value that was given last
}

// place is where a value lies in the order of the query.
type place struct {
	at  int64  // complemented if backward
	seq uint64 // so is this
}

func (a place) compare(b place) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq))
}

func (h *query) place(at int64, seq uint64) place {
	if h.back {
		return place{^at, ^seq}
	}
	return place{at, seq}
}

// piece is what can be loaded: a block, or with scan all of a segment that has
// no columns.
type piece struct {
	block
	base uint64
	last uint64 // of the segment
	scan bool
	key  int64 // no value in it comes before that, as place.at
}

// plan finds the blocks that may hold values, and what is erased of them.
func (h *query) plan() error {
	generation := h.Log.generation.Load()
	if h.broken == nil || generation != h.generation {
		h.broken, h.generation, h.table = map[uint64]bool{}, generation, h.clocks.table.Load()
	}
	h.pending, h.loaded = nil, merger{}
	x := h.index.Load()
	if x == nil {
		return fmt.Errorf("store: history: %w", ErrUnavailable)
	}
	var erasures []erasure
	var direct []*segment
	for i := range x.segments {
		if seg := &x.segments[i]; h.direct(seg) {
			direct = append(direct, seg)
			continue
		}
		if err := h.ctx.Err(); err != nil {
			return err
		}
		err := h.indirect(&x.segments[i], i == len(x.segments)-1, &erasures)
		if err != nil && !errors.Is(err, errGone) {
			return h.failed(err)
		}
	}
	for len(direct) > 0 {
		n := min(len(direct), 64)
		if err := h.view(func(tx *bbolt.Tx, _ *index) error {
			for _, seg := range direct[:n] {
				if err := h.directory(tx, seg, &erasures); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return h.failed(err)
		}
		direct = direct[n:]
	}
	if err := h.fromJournal(x, &erasures); err != nil {
		return h.failed(err)
	}
	h.erased = newErased(erasures)
	slices.SortFunc(h.pending, func(a, b piece) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.base, b.base)) })
	return nil
}

func (h *query) direct(seg *segment) bool {
	return seg.columns.shards > 0 && !h.broken[seg.base] && len(h.Device)+len(h.Channel) <= longestName
}

// failed says how to go on after err: without the columns that were being read
// if they are damaged.
func (h *query) failed(err error) error {
	switch {
	case errors.Is(err, errStale), h.ctx.Err() != nil && errors.Is(err, h.ctx.Err()):
		return err
	case h.reading != 0 && !h.broken[h.reading]:
		h.broken[h.reading] = true
		h.wearOut(h.reading)
		h.reading = 0
		return errStale
	}
	return fmt.Errorf("store: history: %w", err)
}

// directory takes in what the columns of a segment say.
func (h *query) directory(tx *bbolt.Tx, seg *segment, erasures *[]erasure) error {
	if h.Log.generation.Load() != h.generation {
		return errStale
	}
	h.reading = seg.base
	bucket := tx.Bucket(columnName(seg.base))
	if bucket == nil {
		if tx.Bucket(seqKey(seg.base)) == nil {
			return nil // dropped meanwhile
		}
		return errColumn
	}
	id := h.index.Load().id
	n := shardOf(h.name, seg.columns.shards)
	raw := bucket.Get(shardKey(n))
	h.readBytes.Add(int64(len(raw)))
	body, err := exactBlob(raw, blobShard, id)
	if err != nil {
		return err
	}
	blocks, err := findInShard(body, seg.base, n, seg.columns.shards, h.name)
	if err != nil {
		return err
	}
	for i := range blocks {
		if blocks[i].group != groupErased {
			h.offer(piece{block: blocks[i], base: seg.base, last: seg.last})
			continue
		}
		if body, err = h.fetch(bucket, seg.base, blocks[i].number); err != nil {
			return err
		}
		if *erasures, err = decodeErasures(*erasures, body, blocks[i].count); err != nil {
			return err
		}
	}
	h.reading = 0
	return nil
}

// fetch gives the entries of a block; they lie in the file.
func (h *query) fetch(bucket *bbolt.Bucket, base uint64, number uint32) ([]byte, error) {
	raw := bucket.Get(blockKey(number))
	h.readBytes.Add(int64(len(raw)))
	body, err := exactBlob(raw, blobColumn, h.index.Load().id)
	if err != nil {
		return nil, err
	}
	return blockBody(body, base, number)
}

// offer notes a piece if it may hold values of the window.
func (h *query) offer(p piece) {
	lo, hi := p.lo, p.hi
	if !p.scan {
		lo, hi = p.bounds(h.table)
	}
	if hi < h.lo || lo > h.hi {
		return
	}
	p.key = h.place(max(lo, h.lo), 0).at
	if h.back {
		p.key = h.place(min(hi, h.hi), 0).at
	}
	h.pending = append(h.pending, p)
}

// indirect takes in a segment without columns: out of memory if it is the
// active one, else from its records.
func (h *query) indirect(seg *segment, active bool, erasures *[]erasure) error {
	t := h.tails.get(seg.base, h.generation, active)
	scan := t == nil || len(h.Device)+len(h.Channel) > longestName
	if scan {
		t = newTail(seg.base, h.generation, h.name)
	}
	blocks, err := h.blocksOf(t, seg.last)
	if err != nil {
		return err
	}
	whole := piece{base: seg.base, last: seg.last, scan: true}
	whole.lo, whole.hi = math.MaxInt64, math.MinInt64
	for i := range blocks {
		switch b := &blocks[i]; {
		case b.group == groupErased:
			if *erasures, err = decodeErasures(*erasures, b.body, b.count); err != nil {
				return err
			}
		case scan: // read once more when its turn comes, so that no two such segments are held at once
			lo, hi := b.bounds(h.table)
			whole.lo, whole.hi = min(whole.lo, lo), max(whole.hi, hi)
		default:
			h.offer(piece{block: *b, base: seg.base, last: seg.last})
		}
	}
	if whole.lo <= whole.hi {
		h.offer(whole)
	}
	return nil
}

// fromJournal takes in what is in the journal alone. Its pieces have no base.
func (h *query) fromJournal(x *index, erasures *[]erasure) error {
	h.late = x.late
	t := newTail(0, h.generation, h.name)
	for _, r := range x.waiting() {
		if s, err := r.decode(h.clocks); err == nil {
			t.add(&s)
		}
	}
	c := t.columns[string(h.name)]
	if c == nil {
		return nil
	}
	var err error
	for i := range c.blocks {
		if b := &c.blocks[i]; b.group != groupErased {
			h.offer(piece{block: *b})
		} else if *erasures, err = decodeErasures(*erasures, b.body, b.count); err != nil {
			return err
		}
	}
	return nil
}

// blocksOf gives the blocks of t as they are now.
func (h *query) blocksOf(t *tail, last uint64) ([]block, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.extend(h.Log, last); err != nil {
		return nil, err
	}
	c := t.columns[string(h.name)]
	if c == nil {
		return nil, nil
	}
	blocks := slices.Clone(c.blocks)
	for i := range blocks {
		blocks[i].body = slices.Clip(blocks[i].body) // entries that follow go behind it
	}
	return blocks, nil
}
