package broker

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// TestIdleWriter: the writing goroutine of a silent client ends, and what comes
// later reaches it all the same, again and again.
func TestIdleWriter(t *testing.T) {
	r := start(t)
	sub := r.connect(who{id: "sub"})
	sub.subscribe(1, "plain/a")
	pub := r.connect(who{id: "pub"})
	writing := func() (n int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for c := range r.conns {
			c.wmu.Lock()
			if c.flushing {
				n++
			}
			c.wmu.Unlock()
		}
		return n
	}
	for id := range uint16(2) {
		r.eventually("no writing goroutine", func() bool { return writing() == 0 })
		pub.post("plain/a", "x", 1, id+1)
		sub.reply(4, sub.wantPublish("plain/a", "x").PacketID)
	}
}

// TestIdleClients: a silent client has one goroutine, in no library's loop.
func TestIdleClients(t *testing.T) {
	r := start(t)
	const n = 50
	for i := range n {
		r.connect(who{v: 3 + byte(i%3), id: fmt.Sprint("c", i)}).quiet()
	}
	stacks := make([]byte, 4<<20)
	r.eventually("one goroutine each", func() bool {
		all := bytes.Split(stacks[:runtime.Stack(stacks, true)], []byte("\n\n"))
		readers, writers, library := 0, 0, 0
		for _, g := range all {
			switch {
			case bytes.Contains(g, []byte("mochi-mqtt")):
				library++
			case bytes.Contains(g, []byte("(*conn).flush")):
				writers++
			case bytes.Contains(g, []byte("(*conn).loop")):
				readers++
			}
		}
		return readers == n && writers == 0 && library == 0
	})
}
