package broker

import "time"

// slot makes the connections of one session follow each other: a new one waits
// until the one before has left, and of many that wait only the latest gets in.
type slot struct {
	holder *conn
	free   chan struct{} // closed when holder leaves
	latest *conn
	users  int // connections that hold the slot or wait for it
}

// claim waits until c holds the slot of key. The connection that has it is
// closed.
func (b *Broker) claim(c *conn, key string) error {
	timeout := time.NewTimer(b.limits.ConnectTimeout)
	defer timeout.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	sl := b.slots[key]
	if sl == nil {
		sl = &slot{}
		b.slots[key] = sl
	}
	sl.users++
	if sl.latest != nil && sl.latest != sl.holder {
		sl.latest.supersede() // it waits, and need not any more
	}
	sl.latest = c
	for sl.holder != nil {
		old, free := sl.holder, sl.free
		b.mu.Unlock()
		old.supersede()
		err := error(nil)
		select {
		case <-free:
		case <-c.closed:
			err = errNoWord
		case <-timeout.C:
			err = errSlowTakeover
		}
		b.mu.Lock()
		if sl.latest != c {
			err = errSuperseded
		}
		if err != nil {
			b.unuse(key, sl)
			return err
		}
	}
	sl.holder, sl.free = c, make(chan struct{})
	return nil
}

// release lets the next connection in.
func (b *Broker) release(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	sl := b.slots[key]
	close(sl.free)
	sl.holder = nil
	b.unuse(key, sl)
}

func (b *Broker) unuse(key string, sl *slot) {
	if sl.users--; sl.users == 0 {
		delete(b.slots, key)
	}
}

// supersede closes a connection whose client has come again.
func (c *conn) supersede() {
	if c.isClosed() {
		return
	}
	c.b.count.closed.add("taken_over")
	c.goodbye(codeTakenOver, "")
	_ = c.Close()
}
