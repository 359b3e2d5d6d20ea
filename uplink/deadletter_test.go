package uplink

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fieldgate/gateway"
	"fieldgate/uplink/fakecloud"
)

// letters collects dead letters.
type letters struct {
	mu   sync.Mutex
	seqs []uint64
	errs []error
}

func (l *letters) put(r gateway.Record, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seqs, l.errs = append(l.seqs, r.Seq), append(l.errs, err)
}

func (l *letters) get() ([]uint64, []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]uint64(nil), l.seqs...), append([]error(nil), l.errs...)
}

// refuseLarge closes the connection on payloads beyond limit, as Mosquitto does
// with its max_packet_size.
func refuseLarge(limit int) func(fakecloud.Message) fakecloud.Verdict {
	return func(m fakecloud.Message) fakecloud.Verdict {
		if len(m.Payload) > limit {
			return fakecloud.Close
		}
		return fakecloud.Accept
	}
}

func TestRecordThatClosesConnectionsIsSetAside(t *testing.T) {
	t.Parallel()
	for _, mode := range []CatchUp{Ordered, FreshFirst, Batches} {
		t.Run(string(mode), func(t *testing.T) {
			var dead letters
			cloud := newCloud(t, fakecloud.Options{Policy: refuseLarge(600)})
			b := start(t, cloud, func(c *Config) { c.DeadLetter, c.CatchUp, c.AckTimeout = dead.put, mode, quietly }, nil)
			recs := readingsOf(100, 3)
			recs[40] = reading("D", "S1", strings.Repeat("x", 1000))
			recs[60] = reading("D", "S2", strings.Repeat("y", 1000))
			b.log.add(recs...)
			b.until("the other 98", func() bool { return len(distinct(cloud)) == 98 })
			b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 101 })
			seqs, errs := dead.get()
			if !equal(seqs, []uint64{41, 61}) || !errors.Is(errs[0], ErrRefusedByCloud) {
				t.Errorf("dead letters %v: %v", seqs, errs)
			}
			if mode == Ordered {
				checkOrder(t, received(cloud))
			}
			b.until("the count in the status", func() bool {
				m, _ := cloud.Retained("gateways/gw-1/status")
				return strings.Contains(string(m.Payload), `"dead_letters":2`)
			})
		})
	}
}

// quietly is an acknowledgement timeout that keeps the quiet time before a
// suspect short.
const quietly = 200 * ms

func TestRecordThatIsNeverAcknowledgedIsSetAside(t *testing.T) {
	t.Parallel()
	var dead letters
	cloud := newCloud(t, fakecloud.Options{Policy: func(m fakecloud.Message) fakecloud.Verdict {
		if strings.Contains(string(m.Payload), "poison") {
			return fakecloud.Ignore // as the Waziup cloud does with what it cannot decode
		}
		return fakecloud.Accept
	}})
	b := start(t, cloud, func(c *Config) { c.DeadLetter, c.AckTimeout = dead.put, quietly }, nil)
	recs := readingsOf(20, 2)
	recs[5] = reading("D", "S1", "poison")
	b.log.add(recs...)
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 21 })
	if seqs, _ := dead.get(); !equal(seqs, []uint64{6}) {
		t.Errorf("dead letters %v", seqs)
	}
}

func TestPoisonAtTheEndOfTheLogWaitsForAControl(t *testing.T) {
	t.Parallel()
	var dead letters
	cloud := newCloud(t, fakecloud.Options{Policy: refuseLarge(600)})
	b := start(t, cloud, func(c *Config) { c.DeadLetter, c.AckTimeout = dead.put, quietly }, nil)
	b.log.add(reading("D", "S", strings.Repeat("x", 1000)))
	// Two with others in the window, three alone; the sixth finds nothing to
	// compare with and waits.
	b.until("six connections", func() bool { return cloud.Connects("gw-1") >= 6 && b.State().Connected })
	if seqs, _ := dead.get(); len(seqs) != 0 {
		t.Fatalf("dead letters %v although nothing else was tried", seqs)
	}
	b.log.add(reading("D", "S", 1))
	b.until("the next", func() bool { return len(distinct(cloud)) == 1 })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 3 })
	if seqs, _ := dead.get(); !equal(seqs, []uint64{1}) {
		t.Errorf("dead letters %v", seqs)
	}
}

func TestCloudThatTakesNothingMakesNoDeadLetters(t *testing.T) {
	t.Parallel()
	var dead letters
	cloud := newCloud(t, fakecloud.Options{})
	cloud.RefuseTopic("devices/#")
	b := start(t, cloud, func(c *Config) { c.DeadLetter, c.AckTimeout = dead.put, quietly }, nil)
	b.log.add(readingsOf(30, 3)...)
	b.until("many attempts", func() bool { return cloud.Connects("gw-1") >= 20 })
	if seqs, _ := dead.get(); len(seqs) != 0 {
		t.Fatalf("dead letters %v", seqs)
	}
	cloud.RefuseTopic("")
	b.until("everything", func() bool { return len(distinct(cloud)) == 30 })
	checkOrder(t, received(cloud))
}

func TestBadLinkMakesNoDeadLetters(t *testing.T) {
	t.Parallel()
	var dead letters
	var bad atomic.Bool
	bad.Store(true)
	cloud := newCloud(t, fakecloud.Options{Policy: func(m fakecloud.Message) fakecloud.Verdict {
		if bad.Load() && strings.HasPrefix(m.Topic, "devices/") {
			return fakecloud.Ignore // data does not get through
		}
		return fakecloud.Accept
	}})
	b := start(t, cloud, func(c *Config) { c.DeadLetter = dead.put }, nil)
	b.log.add(readingsOf(10, 2)...)
	for n := uint64(1); n <= 15; n++ { // and the link is cut again and again
		b.eventually("a connection", func() bool { s := b.State(); return s.Connected && s.Session >= n })
		cloud.SetLink(false)
		cloud.SetLink(true)
	}
	bad.Store(false)
	cloud.SetLink(false)
	cloud.SetLink(true)
	b.until("everything", func() bool { return len(distinct(cloud)) == 10 })
	checkOrder(t, received(cloud))
	if seqs, _ := dead.get(); len(seqs) != 0 {
		t.Errorf("dead letters %v", seqs)
	}
}

func TestUnsendableTopicIsSetAsideAtOnce(t *testing.T) {
	var dead letters
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) {
		c.DeadLetter = dead.put
		c.Forward = []Forward{{Topic: "#", Direction: Out, LocalPrefix: "f/", RemotePrefix: strings.Repeat("long/", 30), QoS: 1}}
	}, nil)
	b.log.add(
		gateway.Record{Kind: gateway.KindMessage, Topic: "f/" + strings.Repeat("x", 65535), Value: []byte("1"), QoS: 1, Uplink: "cloud"},
		gateway.Record{Kind: gateway.KindMessage, Topic: "f/ok", Value: []byte("2"), QoS: 1, Uplink: "cloud"},
	)
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 3 })
	if seqs, _ := dead.get(); !equal(seqs, []uint64{1}) {
		t.Errorf("dead letters %v", seqs)
	}
	if n := cloud.Connects("gw-1"); n != 1 {
		t.Errorf("%d connections", n)
	}
}
