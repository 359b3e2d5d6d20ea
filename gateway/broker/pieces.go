package broker

import "sync"

// pieceSize is how much of what waits for a socket is in one piece of memory:
// little for a client that gets a reading now and then, and four of them are a
// write.
const pieceSize = 4 << 10

type piece struct {
	n int
	b [pieceSize - 8]byte
}

// spares are pieces that nobody uses. What the thousandth client needs is
// mostly what another has just sent: without this, connections whose buffers
// grew and were given up made three quarters of the memory that the collector
// had to look after.
var spares = sync.Pool{New: func() any { return new(piece) }}

// pieces is a queue of bytes. All pieces but the last are full.
type pieces struct {
	list []*piece // from at on
	at   int
	n    int // bytes
}

// last gives the piece at the end, nil if there is none.
func (q *pieces) last() *piece {
	if len(q.list) == q.at {
		return nil
	}
	return q.list[len(q.list)-1]
}

func (q *pieces) count() int { return len(q.list) - q.at }

func (q *pieces) grow() *piece {
	p := spares.Get().(*piece)
	p.n = 0
	q.list = append(q.list, p)
	return p
}

// room gives memory for n bytes in one stretch at the end of the queue, nil
// where there is no such stretch. What is appended to it becomes part of the
// queue with taken.
func (q *pieces) room(n int) []byte {
	p := q.last()
	if p == nil && n <= len(piece{}.b) {
		p = q.grow()
	}
	if p == nil || len(p.b)-p.n < n {
		return nil
	}
	return p.b[p.n:p.n]
}

func (q *pieces) taken(n int) {
	q.last().n += n
	q.n += n
}

// write appends b.
func (q *pieces) write(b []byte) {
	q.n += len(b)
	for len(b) > 0 {
		p := q.last()
		if p == nil || p.n == len(p.b) {
			p = q.grow()
		}
		n := copy(p.b[p.n:], b)
		p.n += n
		b = b[n:]
	}
}

// first gives the bytes of the first pieces, as many as v has room for, and how
// many bytes those are.
func (q *pieces) first(v [][]byte) (out [][]byte, n int) {
	out = v[:0]
	for _, p := range q.list[q.at:] {
		if len(out) == cap(out) {
			break
		}
		out = append(out, p.b[:p.n])
		n += p.n
	}
	return out, n
}

// drop gives the first count pieces back.
func (q *pieces) drop(count int) {
	for range count {
		p := q.list[q.at]
		q.list[q.at] = nil
		q.at++
		q.n -= p.n
		spares.Put(p)
	}
	if q.at == len(q.list) {
		q.list, q.at = q.list[:0], 0
	}
	if cap(q.list) > manyPieces && q.at == 0 {
		q.list = nil
	}
}

// manyPieces is up to where an empty queue keeps the memory of its list.
const manyPieces = 64

// clear gives everything back.
func (q *pieces) clear() { q.drop(q.count()) }
