package access

import (
	"slices"
	"testing"
	"time"
)

// After a wrong password the slot rests for three times what the hash took,
// whether there is such an account or not; after a right one it does not.
func TestGateRestsAfterFailure(t *testing.T) {
	b := newBench(t, GateOptions{})
	tick := b.opts.Now
	b.opts.Now = func() time.Time { b.pass(time.Millisecond); return tick() }
	b.want(b.ann("192.0.2.1:1", annPassword), nil)
	if len(b.waited) != 0 {
		t.Errorf("a right password waits %v", b.waited)
	}
	b.want(b.ann("192.0.2.1:1", "wrong"), ErrBadCredentials)
	b.want(b.nobody("192.0.2.1:1", "x"), ErrBadCredentials)
	if want := []time.Duration{3 * time.Millisecond, 3 * time.Millisecond}; !slices.Equal(b.waited, want) {
		t.Errorf("wrong ones wait %v", b.waited)
	}
}
