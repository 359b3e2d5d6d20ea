package broker

import (
	"testing"
)

// A panic under way to a subscriber ends that subscriber's connection, also
// where its writer, which has made room, fetches what waits.
func TestPanicInWriterIsCaught(t *testing.T) {
	r := start(t, func(c *Config) {
		c.Limits.WriteBuffer, c.Limits.QueueBytes, c.Limits.Window = 64<<10, 64<<20, 1000
	})
	honest := r.connect(who{id: "honest"})
	slow := r.connect(who{id: "slow", user: "ann"})
	slow.subscribe(1, "plain/slow")
	payload := long(32 << 10)
	for i := range 500 { // more than the kernel's buffers hold
		honest.post("plain/slow", payload, 1, uint16(i+1))
	}
	r.eventually("messages wait", func() bool { return r.Stats().QueueMessages > 100 })
	r.access.set(func() { r.access.boom = true })
	slow.wantClosed() // reading makes room, and the rights of what waits are asked for
	r.access.set(func() { r.access.boom = false })
	if n := r.count.panics.Swap(0); n == 0 {
		t.Fatal("no panic was caught")
	}
	honest.quiet()
	honest.subscribe(0, "plain/other")
	honest.publish("plain/other", "x", 0, 0)
	honest.wantPublish("plain/other", "x")
	r.connect(who{id: "slow", user: "ann"}).quiet()
}
