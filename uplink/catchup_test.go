package uplink

import (
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/uplink/fakecloud"
)

const ms = time.Millisecond

func TestFreshFirst(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	full := start(t, cloud, nil, nil)
	full.stop()
	b := &bench{log: newMemLog(), hub: newMemHub(), clock: full.clock}
	b.log.add(readingsOf(1000, 2)...)
	b = start(t, cloud, func(c *Config) { c.CatchUp, c.CatchUpRate = FreshFirst, 50 }, b)
	b.until("the backlog begins", func() bool { return len(received(cloud)) > 0 })
	b.log.add(readingsOf(20, 2)...)
	b.until("the new records", func() bool {
		got := distinct(cloud)
		for seq := uint64(1001); seq <= 1020; seq++ {
			if !got[seq] {
				return false
			}
		}
		return true
	})
	if n := len(received(cloud)); n > 900 {
		t.Fatalf("%d records had come when the new ones did: they did not overtake", n)
	}
	// The cursor knows what was acknowledged ahead of its turn ...
	b.eventually("a range ahead", func() bool {
		c := b.log.Cursor("cloud")
		return len(c.Done) == 1 && c.Done[0] == gateway.Range{From: 1001, To: 1020}
	})
	b.stop()
	before := b.log.Cursor("cloud")
	sent := len(received(cloud))
	// ... so that another outage makes another range, and a restart neither
	// loses nor repeats.
	b.log.add(readingsOf(30, 2)...)
	b = start(t, cloud, func(c *Config) { c.CatchUp, c.CatchUpRate = FreshFirst, 5000 }, b)
	b.eventually("connected", func() bool { return b.State().Connected })
	b.log.add(readingsOf(5, 2)...)
	b.until("everything", func() bool { return len(distinct(cloud)) == 1055 })
	b.eventually("cursor at the end", func() bool { c := b.log.Cursor("cloud"); return c.Next == 1056 && len(c.Done) == 0 })
	if again := len(received(cloud)) - 1055; again != 0 {
		t.Errorf("%d records sent again after a clean stop at %+v with %d sent", again, before, sent)
	}
}

func TestFreshFirstKeepsItsRate(t *testing.T) {
	p := pace{rate: 100, at: t0}
	n := 0
	for now := t0; now.Before(t0.Add(10 * time.Second)); now = now.Add(ms) {
		if p.due(now) == 0 {
			p.spend()
			n++
		}
	}
	if n < 990 || n > 1010 {
		t.Errorf("%d records in 10 s at 100/s", n)
	}
	p = pace{rate: 100, at: t0}
	p.due(t0.Add(time.Hour)) // a long pause does not save up
	if p.saved > 10 {
		t.Errorf("%g records saved up", p.saved)
	}
	if p = (pace{}); p.due(t0) != 0 {
		t.Error("no rate, and a wait")
	}
}

func TestBatches(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	full := start(t, cloud, nil, nil)
	full.stop()
	b := &bench{log: newMemLog(), hub: newMemHub(), clock: full.clock}
	b.log.add(readingsOf(3000, 3)...)
	relay := reading("D", "relay", true)
	relay.Kind = gateway.KindActuator
	b.log.add(relay)
	b.log.add(reading("D", "S0", strings.Repeat("x", 60000)), reading("D", "S0", strings.Repeat("y", 60000)), reading("D", "S0", strings.Repeat("z", 60000)))
	b = start(t, cloud, func(c *Config) { c.CatchUp = Batches }, b)
	b.until("the backlog", func() bool { return len(distinct(cloud)) == 3004 })
	b.log.add(readingsOf(3, 3)...)
	b.until("new ones", func() bool { return len(distinct(cloud)) == 3007 })
	b.eventually("cursor at the end", func() bool { c := b.log.Cursor("cloud"); return c.Next == 3008 && len(c.Done) == 0 })
	checkOrder(t, received(cloud))
	arrays, singles := 0, 0
	for _, m := range cloud.Messages() {
		switch {
		case strings.HasSuffix(m.Topic, "/values"):
			arrays++
			if len(m.Payload) > batchBytes {
				t.Errorf("an array of %d bytes", len(m.Payload))
			}
			if n := strings.Count(string(m.Payload), `"id"`); n > batchReadings {
				t.Errorf("an array of %d readings", n)
			}
		case strings.HasPrefix(m.Topic, "devices/"):
			singles++
		}
	}
	if singles != 4 || arrays > 20 {
		t.Errorf("%d arrays and %d single values; want the 3 new ones and the actuator single", arrays, singles)
	}
}

func TestBatchTooLargeForTheCloudGoesInSmallerOnes(t *testing.T) {
	t.Parallel()
	var dead letters
	cloud := newCloud(t, fakecloud.Options{Policy: refuseLarge(10_000)})
	full := start(t, cloud, nil, nil)
	full.stop()
	b := &bench{log: newMemLog(), hub: newMemHub(), clock: full.clock}
	b.log.add(readingsOf(2000, 1)...)
	b = start(t, cloud, func(c *Config) { c.CatchUp, c.DeadLetter, c.AckTimeout = Batches, dead.put, quietly }, b)
	b.until("everything", func() bool { return len(distinct(cloud)) == 2000 })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 2001 })
	if seqs, _ := dead.get(); len(seqs) != 0 {
		t.Errorf("dead letters %v", seqs)
	}
}
