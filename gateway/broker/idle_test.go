package broker

import "testing"

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
