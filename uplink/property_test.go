package uplink

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/uplink/fakecloud"
)

// What must hold whatever happens to the link: every record arrives; a record
// that arrives twice is the same both times; a sensor's records arrive in order
// (Ordered); the cursor never covers a record that the cloud has not taken; and
// nothing is set aside.
func TestNothingIsLostWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.MapOfN(rapid.IntRange(0, 150),
			rapid.SampledFrom([]fakecloud.Verdict{fakecloud.Silence, fakecloud.Ignore, fakecloud.Close, fakecloud.Close, fakecloud.CloseAfter, fakecloud.CloseAfter}),
			0, 5).Draw(rt, "faults")
		mode := rapid.SampledFrom([]CatchUp{Ordered, FreshFirst, Batches}).Draw(rt, "mode")
		window := rapid.SampledFrom([]int{1, 2, 10, 100}).Draw(rt, "window")
		sensors := rapid.IntRange(1, 4).Draw(rt, "sensors")
		rounds := rapid.SliceOfN(rapid.IntRange(0, 60), 1, 4).Draw(rt, "rounds")
		events := rapid.SliceOfN(rapid.SampledFrom([]string{"", "cut", "restart", "crash"}), len(rounds), len(rounds)).Draw(rt, "events")

		var mu sync.Mutex // of what follows
		taken := map[uint64]bool{}
		published := -1
		cloud, err := fakecloud.New(fakecloud.Options{Policy: func(m fakecloud.Message) fakecloud.Verdict {
			if !strings.HasPrefix(m.Topic, "devices/") {
				return fakecloud.Accept
			}
			mu.Lock()
			defer mu.Unlock()
			published++
			if v := faults[published]; v != fakecloud.Ignore || mode != Ordered {
				return v
			}
			// A cloud that passes over one message and takes the next ones has
			// them out of order, and nothing at this end can help that.
			return fakecloud.Silence
		}})
		if err != nil {
			rt.Fatalf("%v", err)
		}
		defer cloud.Close()
		cloud.OnMessage(func(m fakecloud.Message) {
			mu.Lock()
			defer mu.Unlock()
			for _, id := range strings.Split(string(m.Payload), `"id":"gw-1/`)[1:] {
				n, _ := strconv.ParseUint(id[:strings.IndexByte(id, '"')], 10, 64)
				taken[n] = true
			}
		})
		log := newMemLog()
		var early []uint64 // covered by the cursor and not taken
		log.onCursor = func(c gateway.Cursor) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range append([]gateway.Range{{From: 1, To: c.Next - 1}}, c.Done...) {
				for n := r.From; n <= r.To; n++ {
					if !taken[n] {
						early = append(early, n)
					}
				}
			}
		}
		b := &bench{log: log, hub: newMemHub(), clock: fakeclock.New(t0, gateway.ClockSynced)}
		run := func() {
			b = start(t, cloud, func(c *Config) {
				c.CatchUp, c.Window, c.CatchUpRate, c.AckTimeout = mode, window, 100_000, 60*ms
			}, b)
			b.t = rt
		}
		run()
		defer func() { b.stop() }()
		total := 0
		old := log.Cursor("cloud")
		for i, n := range rounds {
			log.add(readingsOf(n, sensors)...)
			total += n
			switch events[i] {
			case "cut":
				cloud.SetLink(false)
				cloud.SetLink(true)
			case "restart":
				b.stop()
				run()
			case "crash": // the cursor on disk is an older one
				b.stop()
				log.mu.Lock()
				log.cursors["cloud"] = old
				log.mu.Unlock()
				run()
			default:
				old = log.Cursor("cloud")
			}
		}
		b.until("every record", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(taken) == total
		})
		b.eventually("cursor at the end", func() bool {
			c := log.Cursor("cloud")
			return total == 0 || c.Next == uint64(total)+1 && len(c.Done) == 0
		})
		if len(early) > 0 {
			rt.Fatalf("the cursor covered %v, which the cloud had not taken", early)
		}
		es := received(cloud)
		if mode != Ordered { // only that duplicates are alike
			for i := range es {
				es[i].topic = strconv.FormatUint(es[i].seq(), 10)
			}
		}
		checkOrder(rt, es)
		if n := b.State().DeadLettered; n > 0 {
			rt.Fatalf("%d dead letters", n)
		}
	})
}
