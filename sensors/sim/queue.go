package sim

// queueSize is how many events wait for a reader, as many as the kernel can be
// asked to hold for one line.
const queueSize = 4096

// queue holds the newest events that nobody has read. When it is full, the oldest
// one goes, as in the kernel, and the next one says so.
type queue[E any] struct {
	ring    []E // grows up to queueSize
	first   int
	n       int
	dropped uint32        // right before the first
	news    chan struct{} // gets a value when there is something new
}

func newQueue[E any]() queue[E] { return queue[E]{news: make(chan struct{}, 1)} }

// push adds an event.
func (q *queue[E]) push(e E) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.first+q.n)%len(q.ring)] = e
	q.n++
	q.wake()
}

// grow makes room for one event.
func (q *queue[E]) grow() {
	if q.n == queueSize {
		q.pop()
		q.dropped++
		return
	}
	ring := make([]E, max(16, 2*q.n))
	n := copy(ring, q.ring[q.first:])
	copy(ring[n:], q.ring[:q.first])
	q.ring, q.first = ring, 0
}

// wake has the reader look again.
func (q *queue[E]) wake() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take removes the oldest event, and says how many were dropped before it.
func (q *queue[E]) take() (e E, dropped uint32, ok bool) {
	if q.n == 0 {
		return e, 0, false
	}
	dropped, q.dropped = q.dropped, 0
	return q.pop(), dropped, true
}

func (q *queue[E]) pop() E {
	var none E
	e := q.ring[q.first]
	q.ring[q.first] = none
	q.first = (q.first + 1) % len(q.ring)
	q.n--
	return e
}
