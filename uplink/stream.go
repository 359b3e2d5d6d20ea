package uplink

import (
	"context"
	"sync"
	"time"

	"fieldgate/gateway"
)

// How much of the log is read at once.
const (
	chunkRecords = 256
	chunkSize    = 128 << 10
	// A chunk of Batches is what goes into one round of arrays: the more
	// records, the fuller they are.
	batchChunkRecords = 4000
	batchChunkSize    = 512 << 10
)

// chunk is what the log holds in a run of sequence numbers.
type chunk struct {
	gateway.Range
	recs []gateway.Record
	err  error // nothing was read
}

// stream reads runs of the log and makes parcels of them, in order. A goroutine
// of its own reads ahead by one chunk.
type stream struct {
	back   bool            // it is the backlog beside new records
	batch  bool            // it may gather values in arrays
	ranges []gateway.Range // what to read; one that ends at endless follows the log

	chunks chan chunk
	reader sync.WaitGroup

	now    chunk     // the one in hand
	at     int       // next record of it
	pos    uint64    // everything in hand below is covered by a parcel
	ready  []*parcel // of a batch, to be sent next
	last   *parcel   // the newest sent
	flying int       // sent and not acknowledged
}

// start begins to read, until ctx ends.
func (st *stream) start(ctx context.Context, log Log) {
	if len(st.ranges) == 0 {
		return
	}
	records, size := chunkRecords, chunkSize
	if st.batch {
		records, size = batchChunkRecords, batchChunkSize
	}
	st.chunks = make(chan chunk)
	st.reader.Go(func() {
		defer close(st.chunks)
		for _, r := range st.ranges {
			if !readRange(ctx, log, r, records, size, st.chunks) {
				return
			}
		}
	})
}

// stop waits for the reading goroutine, whose ctx has ended.
func (st *stream) stop() { st.reader.Wait() }

// readRange sends what the log holds in r, without holes between the chunks. It
// reports whether to go on behind r.
func readRange(ctx context.Context, log Log, r gateway.Range, records, size int, out chan<- chunk) bool {
	for r.From <= r.To {
		head := log.Head()
		c := chunk{Range: r}
		c.recs, c.err = log.Read(r.From, records, size)
		n := len(c.recs)
		for n > 0 && c.recs[n-1].Seq > r.To {
			n--
		}
		switch {
		case c.err != nil: // the reader is told and decides
		case n == len(c.recs) && n > 0: // there may be more in r
			c.To = c.recs[n-1].Seq
		case n == 0 && r.To == endless:
			if c.err = log.Wait(ctx, max(head, r.From-1)); c.err == nil {
				continue
			}
		}
		c.recs = c.recs[:n]
		select {
		case out <- c:
		case <-ctx.Done():
			return false
		}
		if c.err != nil || c.To == endless {
			return false
		}
		r.From = c.To + 1
	}
	return true
}

// wants is where the next chunk comes from, nil while one is in hand.
func (st *stream) wants() <-chan chunk {
	if st.holds() || st.now.err != nil {
		return nil
	}
	return st.chunks
}

// holds reports whether there is something in hand to make parcels of.
func (st *stream) holds() bool { return st.at < len(st.now.recs) || len(st.ready) > 0 }

// take takes a chunk in hand.
func (st *stream) take(d *drain, c chunk, open bool) {
	if !open {
		st.chunks = nil
		return
	}
	st.now, st.at, st.pos = c, 0, c.From
	if c.err != nil {
		return
	}
	d.u.noteGaps(c.recs)
	if st.batch && !d.u.suspect.single(c.Range) {
		st.gather(d)
	}
	if !st.holds() {
		st.skip(d)
	}
}

// gather makes parcels of the chunk in hand, values as arrays.
func (st *stream) gather(d *drain) {
	messages, refused, err := d.u.enc.batch(st.now.recs, d.u.suspect.batchLimit())
	for _, i := range refused {
		d.u.deadLetter(st.now.recs[i], err)
	}
	for i, m := range messages {
		p := &parcel{message: m, about: st.now.Range, batch: true, back: st.back, covers: gateway.Range{From: 1}}
		if i == len(messages)-1 {
			p.covers = st.now.Range
		}
		st.ready = append(st.ready, p)
	}
	st.at = len(st.now.recs)
	if len(messages) > 0 {
		st.pos = st.now.To + 1
	}
}

// next makes the next parcel of what is in hand, nil without one.
func (st *stream) next(d *drain) *parcel {
	if len(st.ready) > 0 {
		p := st.ready[0]
		st.ready = st.ready[1:]
		return p
	}
	for st.at < len(st.now.recs) {
		r := &st.now.recs[st.at]
		st.at++
		m, ok, err := d.u.enc.message(r)
		if err != nil {
			d.u.deadLetter(*r, err)
			continue
		}
		if !ok {
			continue
		}
		p := &parcel{message: m, back: st.back,
			covers: gateway.Range{From: st.pos, To: r.Seq}, about: gateway.Range{From: r.Seq, To: r.Seq}}
		st.pos = r.Seq + 1
		if st.at == len(st.now.recs) {
			p.covers.To = st.now.To
			st.pos = st.now.To + 1
		}
		return p
	}
	st.skip(d)
	return nil
}

// skip covers the end of what is in hand, of which nothing goes up: with the
// newest parcel if that is on its way, else at once.
func (st *stream) skip(d *drain) {
	rest := gateway.Range{From: st.pos, To: st.now.To}
	if rest.To == 0 || rest.From > rest.To {
		return
	}
	st.pos = rest.To + 1
	if st.last != nil && st.last.covers.To+1 == rest.From {
		st.last.covers.To = rest.To
		return
	}
	d.u.advance(rest)
}

// pace is a rate in records a second, 0 for none, that saves up for backBurst.
type pace struct {
	rate  float64
	saved float64
	at    time.Time
}

// due is how long to wait before the next record.
func (p *pace) due(now time.Time) time.Duration {
	if p.rate == 0 {
		return 0
	}
	most := max(1, p.rate*backBurst.Seconds())
	p.saved = min(most, p.saved+now.Sub(p.at).Seconds()*p.rate)
	p.at = now
	if p.saved >= 1 {
		return 0
	}
	// Not for a single record: a few wake-ups a second are enough.
	return max(time.Duration((1-p.saved)/p.rate*float64(time.Second)), backBurst/4)
}

// spend is for one record that was sent.
func (p *pace) spend() {
	if p.rate > 0 {
		p.saved--
	}
}
