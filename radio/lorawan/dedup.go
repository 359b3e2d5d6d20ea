package lorawan

import "time"

// copies remembers which frames came lately, to know the copies of other radios.
// It forgets them in the order they came and has room for maxCopies.
type copies struct {
	byHash map[uint64]*device
	order  []heardFrame // a ring
	first  int
	n      int
}

type heardFrame struct {
	hash uint64
	at   time.Duration
}

const maxCopies = 4096

func newCopies() *copies {
	return &copies{byHash: map[uint64]*device{}, order: make([]heardFrame, maxCopies)}
}

// get gives the device whose frame it is, if it came within folding before at.
func (c *copies) get(hash uint64, at time.Duration) (*device, bool) {
	for c.n > 0 && c.order[c.first].at+folding < at {
		c.drop()
	}
	d, ok := c.byHash[hash]
	return d, ok
}

// put remembers a frame that get did not know.
func (c *copies) put(hash uint64, at time.Duration, d *device) {
	if c.n == len(c.order) {
		c.drop()
	}
	c.byHash[hash] = d
	c.order[(c.first+c.n)%len(c.order)] = heardFrame{hash, at}
	c.n++
}

func (c *copies) drop() {
	delete(c.byHash, c.order[c.first].hash)
	c.first = (c.first + 1) % len(c.order)
	c.n--
}
