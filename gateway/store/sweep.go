package store

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"fieldgate/gateway"
)

// mostBlocks is how many blocks are read in one transaction.
const mostBlocks = 16

// sweep gives the values of the pieces in order.
func (h *query) sweep(fn func(gateway.Record) error) error {
	for n := 1; len(h.pending) > 0 || len(h.loaded) > 0; {
		if len(h.loaded) == 0 || len(h.pending) > 0 && h.pending[0].key <= h.loaded[0].place.at {
			if err := h.ctx.Err(); err != nil {
				return err
			}
			if err := h.load(n); err != nil {
				return h.failed(err)
			}
			n = min(2*n, mostBlocks)
			continue
		}
		v := h.loaded.next()
		if err := h.give(&v, fn); err != nil {
			return err
		}
	}
	return nil
}

// give hands one value on.
func (h *query) give(v *value, fn func(gateway.Record) error) error {
	if h.given > 0 && v.place.compare(h.last) <= 0 {
		return nil // before a plan was made anew
	}
	known := h.table.byNumber[v.boot]
	rec := v.record(&h.column, known)
	if h.column.kind == gateway.KindSensor && h.erased.has(rec.At.UnixMicro(), v.seq) ||
		v.quality != gateway.ClockUnset && rec.Stamp.Wall.Before(h.Born) {
		return nil
	}
	if v.fetch {
		ok, err := h.whole(&rec, v)
		if err != nil {
			return h.failed(err)
		}
		if !ok {
			return nil
		}
	}
	if h.given%256 == 0 {
		if err := h.ctx.Err(); err != nil {
			return err
		}
	}
	if err := fn(rec); err != nil {
		return err
	}
	h.last = v.place
	if h.given++; h.Limit > 0 && h.given >= h.Limit {
		return errEnough
	}
	return nil
}

// whole reads a value that is not in its column. It is false for one that is
// damaged or gone.
func (h *query) whole(rec *gateway.Record, v *value) (ok bool, err error) {
	err = h.view(func(tx *bbolt.Tx, x *index) error {
		if h.Log.generation.Load() != h.generation {
			return errStale
		}
		s, err := h.stored(tx, x, v)
		if err != nil {
			return nil // gone, or a reader of the log announces it
		}
		boot, at, clock := rec.Stamp.Boot, rec.At, rec.Clock
		*rec, ok = s.Record, true
		if rec.At, rec.Clock = at, clock; !s.hasBoot {
			rec.Stamp.Boot = boot
		}
		return nil
	})
	return ok, err
}

// stored reads the record of a value.
func (h *query) stored(tx *bbolt.Tx, x *index, v *value) (stored, error) {
	if v.base == 0 {
		if r := h.late.from(v.seq); len(r) > 0 && r[0].seq == v.seq {
			return decodeRecord(r[0].body)
		}
		return stored{}, errGone
	}
	bucket := tx.Bucket(seqKey(v.base))
	if bucket == nil {
		return stored{}, errGone
	}
	key := seqKey(v.seq)
	raw := bucket.Get(key)
	h.readBytes.Add(int64(len(raw)))
	return readRecord(key, raw, x.id)
}

// load reads the first n pieces.
func (h *query) load(n int) error {
	if p := h.pending[0]; p.scan {
		h.pending = h.pending[1:]
		return h.expand(p)
	}
	n = min(n, len(h.pending))
	if i := slices.IndexFunc(h.pending[:n], func(p piece) bool { return p.scan }); i >= 0 {
		n = i
	}
	batch := h.pending[:n]
	h.pending = h.pending[n:]
	err := h.view(func(tx *bbolt.Tx, x *index) error {
		if h.Log.generation.Load() != h.generation {
			return errStale
		}
		for i := range batch {
			p := &batch[i]
			if p.body != nil {
				p.body = bytes.Clone(p.body) // its values are the callee's
				continue
			}
			h.reading = p.base
			bucket := tx.Bucket(columnName(p.base))
			if bucket == nil {
				if tx.Bucket(seqKey(p.base)) == nil {
					continue // dropped meanwhile
				}
				return errColumn
			}
			body, err := h.fetch(bucket, p.base, p.number)
			if err != nil {
				return err
			}
			p.body = bytes.Clone(body)
			h.reading = 0
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range batch {
		p := &batch[i]
		if p.body == nil {
			continue
		}
		h.reading = p.base
		if err := h.take(p); err != nil {
			return err
		}
		h.reading = 0
		p.body = nil
	}
	return nil
}

// take decodes a block and puts its values among those that are loaded.
func (h *query) take(p *piece) error {
	all, err := decodeEntries(nil, p.body, p.count)
	if err != nil {
		return err
	}
	run := make([]value, 0, len(all))
	for i := range all {
		e := &all[i]
		at := e.at(h.table.byNumber[e.boot])
		if at < h.lo || at > h.hi {
			continue
		}
		run = append(run, value{entry: *e, place: h.place(at, e.seq), base: p.base})
	}
	slices.SortFunc(run, func(a, b value) int { return a.place.compare(b.place) })
	h.loaded.add(run)
	return nil
}

// expand reads a segment without columns.
func (h *query) expand(p piece) error {
	blocks, err := h.blocksOf(newTail(p.base, h.generation, h.name), p.last)
	if errors.Is(err, errGone) {
		return nil
	} else if err != nil {
		return err
	}
	for i := range blocks {
		if blocks[i].group != groupErased {
			h.offer(piece{block: blocks[i], base: p.base, last: p.last})
		}
	}
	slices.SortStableFunc(h.pending, func(a, b piece) int { return cmp.Compare(a.key, b.key) })
	return nil
}
