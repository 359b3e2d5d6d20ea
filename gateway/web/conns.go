package web

import (
	"net"
	"sync"
	"time"

	"fieldgate/gateway/access"
)

// conns bounds the connections, in total and per address. A connection beyond
// the bound is let in at the expense of the one that has been waiting longest
// for a request, so that clients that open many and say nothing push each other
// out and nobody else.
type conns struct {
	total, perAddress int

	mu      sync.Mutex
	open    map[*conn]struct{}
	byAddr  map[string]int
	evicted uint64
}

// conn is a connection that is counted until it is closed or hijacked.
type conn struct {
	net.Conn
	set  *conns
	addr string

	// guarded by set.mu
	serving bool      // a handler runs
	since   time.Time // when it was opened, or its last handler ended
}

func newConns(total, perAddress int) *conns {
	return &conns{total: total, perAddress: perAddress, open: map[*conn]struct{}{}, byAddr: map[string]int{}}
}

// wrap counts the connections of l.
func (s *conns) wrap(l net.Listener) net.Listener { return &countingListener{Listener: l, set: s} }

type countingListener struct {
	net.Listener
	set *conns
}

func (l *countingListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if counted := l.set.add(c); counted != nil {
			return counted, nil
		}
		_ = c.Close()
	}
}

// add counts c in; nil if there is no room for it.
func (s *conns) add(c net.Conn) *conn {
	n := &conn{Conn: c, set: s, addr: access.AddressKey(c.RemoteAddr().String()), since: time.Now()}
	s.mu.Lock()
	var out *conn
	switch {
	case s.byAddr[n.addr] >= s.perAddress:
		out = s.longestWaiting(n.addr)
	case len(s.open) >= s.total:
		busiest := n.addr
		for a, count := range s.byAddr {
			if count > s.byAddr[busiest] {
				busiest = a
			}
		}
		out = s.longestWaiting(busiest)
	default:
		s.open[n] = struct{}{}
		s.byAddr[n.addr]++
		s.mu.Unlock()
		return n
	}
	s.evicted++
	if out == nil {
		s.mu.Unlock()
		return nil
	}
	s.drop(out)
	s.open[n] = struct{}{}
	s.byAddr[n.addr]++
	s.mu.Unlock()
	_ = out.Conn.Close()
	return n
}

// longestWaiting finds the connection of addr that is not in a handler for the
// longest time; nil without one.
func (s *conns) longestWaiting(addr string) (out *conn) {
	for c := range s.open {
		if c.addr == addr && !c.serving && (out == nil || c.since.Before(out.since)) {
			out = c
		}
	}
	return out
}

func (s *conns) drop(c *conn) {
	if _, ok := s.open[c]; !ok {
		return
	}
	delete(s.open, c)
	if s.byAddr[c.addr]--; s.byAddr[c.addr] == 0 {
		delete(s.byAddr, c.addr)
	}
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(c)
}

func (s *conns) count() (open int, evicted uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open), s.evicted
}

// serve marks that a handler runs, or has ended.
func (c *conn) serve(now bool) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.serving, c.since = now, time.Now()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.set.remove(c)
	return c.Conn.Close()
}
