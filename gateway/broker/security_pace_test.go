package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Clients with very many filters take turns; one with few does not wait for
// them, and one that leaves takes nobody's turn.
func TestManyFiltersTakeTurns(t *testing.T) {
	r := start(t)
	many := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9}
	for i := range freeFilters + 1 {
		many.Filters = append(many.Filters, packets.Subscription{Filter: fmt.Sprint("plain/", i)})
	}
	r.bulk <- struct{}{} // it is somebody else's turn
	greedy, gone := r.connect(who{id: "greedy"}), r.connect(who{id: "gone"})
	greedy.send(many)
	gone.send(many)
	modest := r.connect(who{id: "modest"})
	modest.subscribe(0, "plain/1")
	modest.publish("plain/1", "x", 0, 0)
	modest.wantPublish("plain/1", "x")
	if n := r.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	gone.cut()
	r.connect(who{id: "gone"}).quiet()
	<-r.bulk
	if n := len(greedy.want(packets.Suback).ReasonCodes); n != freeFilters+1 {
		t.Errorf("%d codes", n)
	}
	greedy.subscribe(0, "plain/one more") // on its turn
}

// A burst of twice the rate comes at once; after it, one for each part of a
// second; a quiet time gives the burst back, and no more than that.
func TestAllowance(t *testing.T) {
	a := allowance{rate: 10}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for round := range 3 {
		for i := range 20 {
			if wait := a.take(now); wait != 0 {
				t.Fatalf("round %d: event %d waits %v", round, i, wait)
			}
		}
		for i := range 50 {
			wait := a.take(now)
			if wait < 99*time.Millisecond || wait > 101*time.Millisecond {
				t.Fatalf("round %d: event %d after the burst waits %v", round, i, wait)
			}
			now = now.Add(wait)
		}
		now = now.Add(time.Hour)
	}
}
