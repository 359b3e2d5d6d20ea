package broker

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fieldgate/gateway"
)

// memMarks is a log's memory of marks that lives on over a restart.
type memMarks struct {
	mu   sync.Mutex
	list []gateway.Mark
}

func (m *memMarks) Marks() []gateway.Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

func (m *memMarks) ForgetMarks(session, upTo uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(x gateway.Mark) bool { return x.Session == session && x.Count <= upTo })
}

func (m *memMarks) commit(b *gateway.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.Mark.Session != 0 && !b.Recorded {
		m.list = append(m.list, b.Mark)
	}
}

// keepsAll forgets nothing, as a log that is not written to any more.
type keepsAll struct{ *memMarks }

func (keepsAll) ForgetMarks(uint64, uint64) {}

// A QoS 2 publish that the log has, and the session does not know of when the
// power fails, is handed on when the client sends it again, but not recorded
// again. Its identifier is free after PUBREL, whatever the log still
// remembers.
func TestPublishThatOnlyTheLogHas(t *testing.T) {
	const topic = "devices/D/sensors/S/value"
	for _, v := range []byte{4, 5} {
		for _, again := range []string{"at once", "after another crash", "after another crash and a publish"} {
			t.Run(fmt.Sprint("v", v, " ", again), func(t *testing.T) {
				table, marks := newMemTable(), keepsAll{&memMarks{}}
				late := func(c *Config) { c.Table, c.Marks = table, marks; c.Limits.FlushEvery = time.Hour }
				r := start(t, late)
				publish := func(c *client, payload string, id uint16, dup bool) {
					t.Helper()
					c.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 2, Dup: dup}, TopicName: topic, Payload: []byte(payload), PacketID: id})
				}
				batch := func(n int) *gateway.Batch {
					t.Helper()
					r.hub.await(t, 1)
					r.hub.mu.Lock()
					defer r.hub.mu.Unlock()
					return r.hub.batches[n-1]
				}
				ann := who{v: v, id: "c", user: "ann", keep: true}
				sub := r.connect(who{v: v, id: "sub", user: "ann", keep: true})
				sub.subscribe(2, "devices/#")
				sub.leave()
				c := r.connect(ann)
				r.eventually("the session on disk", func() bool { return table.has(prefixSession, "\x00c") })

				r.hub.hold = true // in the log, and nowhere else
				publish(c, "1", 7, false)
				first := batch(1)
				if first.Mark.Session == 0 || first.Mark.Packet != 7 || first.Recorded {
					t.Fatalf("%+v", first.Mark)
				}
				marks.commit(first)
				r.hub.hold, r.hub.held = false, nil
				r.restart(table, true, late)
				taken := 1
				if again != "at once" {
					c = r.connect(ann)
					if again == "after another crash and a publish" {
						publish(c, "2", 8, false)
						taken++
						marks.commit(batch(taken))
						c.want(packets.Pubrec)
					} else {
						stored := make(chan error, 1)
						r.whenStored(func(err error) { stored <- err })
						<-stored
					}
					r.restart(table, true, late)
				}
				c = r.connect(ann)
				if !c.ack.SessionPresent {
					t.Fatal("no session")
				}
				publish(c, "1", 7, true)
				taken++
				if b := batch(taken); !b.Recorded {
					t.Fatal("it would be recorded again")
				}
				c.want(packets.Pubrec)
				publish(c, "1", 7, true)
				c.want(packets.Pubrec)
				c.reply(packets.Pubrel, 7)
				c.want(packets.Pubcomp)
				r.restart(table, true, late)
				c = r.connect(ann)
				publish(c, "3", 7, false)
				taken++
				if b := batch(taken); b.Recorded || string(b.Carrier.Payload) != "3" {
					t.Fatal("the next message with the identifier is not recorded")
				}
				c.want(packets.Pubrec)
				if r.hub.taken() != taken {
					t.Fatal("taken", r.hub.taken())
				}
				sub = r.connect(who{v: v, id: "sub", user: "ann", keep: true})
				want := []string{"1", "3"}
				if again == "after another crash and a publish" {
					want = []string{"2", "1", "3"}
				}
				for _, payload := range want {
					sub.wantPublish(topic, payload)
				}
				sub.quiet()
			})
		}
	}
}

// A mark of a session that was ended since is none of the next session of that
// client.
func TestMarkOfAFormerSession(t *testing.T) {
	table, marks := newMemTable(), &memMarks{}
	late := func(c *Config) { c.Table, c.Marks = table, keepsAll{marks}; c.Limits.FlushEvery = time.Hour }
	r := start(t, late)
	c := r.connect(who{id: "c", keep: true})
	r.eventually("the session on disk", func() bool { return table.has(prefixSession, "\x00c") })
	r.hub.hold = true
	c.publish2("x", 7, false)
	r.hub.await(t, 1)
	marks.commit(r.hub.batches[0])
	r.hub.hold, r.hub.held = false, nil
	c.leave()
	r.connect(who{id: "c"}).leave() // a clean start ends it
	r.connect(who{id: "c", keep: true})
	r.flushed()
	r.restart(table, true, func(c *Config) { late(c); c.Marks = marks })
	if left := marks.Marks(); len(left) != 0 {
		t.Fatalf("%d marks of nobody are kept", len(left))
	}
	c = r.connect(who{id: "c", keep: true})
	c.publish2("y", 7, true)
	r.hub.await(t, 1)
	if b := r.hub.batches[1]; b.Recorded {
		t.Fatal("taken for a message of the former session")
	}
	c.want(packets.Pubrec)
	if left := marks.Marks(); len(left) != 0 {
		t.Fatal(left)
	}
}

// Marks are forgotten as soon as the session knows.
func TestMarksAreForgotten(t *testing.T) {
	table, marks := newMemTable(), &memMarks{}
	r := start(t, func(c *Config) { c.Table, c.Marks = table, marks; c.Limits.FlushEvery = time.Hour })
	c := r.connect(who{id: "c", keep: true})
	sub := r.connect(who{id: "sub", keep: true})
	sub.subscribe(1, "plain/#")
	sub.leave()
	r.flushed()
	for id := uint16(1); id <= 5; id++ {
		table.mu.Lock()
		before := table.writes
		table.mu.Unlock()
		r.hub.hold = true
		c.publish2("x", id, false)
		r.hub.await(t, 1)
		marks.commit(r.hub.batches[id-1])
		r.hub.letGo()
		c.want(packets.Pubrec)
		table.mu.Lock()
		if n := table.writes - before; n != 1 {
			t.Errorf("the message for the absent one and the identifier went in %d writes", n)
		}
		table.mu.Unlock()
	}
	r.eventually("no marks", func() bool { return len(marks.Marks()) == 0 })
	r.hub.hold = true
	c.publish2("x", 9, false)
	r.hub.await(t, 1)
	marks.commit(r.hub.batches[5])
	for _, s := range r.allSessions() {
		r.end(s)
	}
	if left := marks.Marks(); len(left) != 0 {
		t.Fatal(left)
	}
	r.hub.letGo()
}
