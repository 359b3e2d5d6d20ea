package uplink

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/uplink/fakecloud"
)

func TestDrainSendsEverythingInOrder(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	b.log.add(readingsOf(1000, 3)...)
	b.until("1000 records", func() bool { return len(distinct(cloud)) == 1000 })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 1001 })
	for i, e := range received(cloud) {
		if e.seq() != uint64(i+1) {
			t.Fatalf("record %d is number %d", i+1, e.seq())
		}
	}
	first := cloud.Messages()[0]
	if first.Topic != "gateways/gw-1/status" {
		t.Errorf("the first message is on %s, want the birth", first.Topic)
	}
	var data fakecloud.Message
	for _, m := range cloud.Messages() {
		if m.Topic == "devices/D/sensors/S0/value" {
			data = m
			break
		}
	}
	want := `{"value":0,"timestamp":"2026-11-22T10:00:01.123456Z","id":"gw-1/1"}`
	if string(data.Payload) != want || data.QoS != 1 || data.Retain {
		t.Errorf("payload %s at QoS %d, want %s at QoS 1", data.Payload, data.QoS, want)
	}
	if s := b.State(); s.Sent != 1000 || s.Acked != 1000 || s.Resent != 0 || s.Backlog != 0 || !s.Connected {
		t.Errorf("state %+v", s)
	}
}

func TestDrainGoesOnAtTheCursor(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := &bench{log: newMemLog(), hub: newMemHub(), clock: nil}
	b.log.add(readingsOf(10, 1)...)
	b.log.cursors["cloud"] = gateway.Cursor{Next: 4, Done: []gateway.Range{{From: 6, To: 7}}}
	full := start(t, cloud, nil, nil)
	full.stop()
	b.clock = full.clock
	b = start(t, cloud, nil, b)
	b.until("the rest", func() bool { return len(distinct(cloud)) == 5 })
	b.eventually("cursor at the end", func() bool {
		c := b.log.Cursor("cloud")
		return c.Next == 11 && len(c.Done) == 0
	})
	got := []uint64{}
	for _, e := range received(cloud) {
		got = append(got, e.seq())
	}
	if want := []uint64{4, 5, 8, 9, 10}; !equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

func equal(a, b []uint64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestWindowBoundsWhatIsInFlight(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.Window = 7 }, nil)
	b.until("birth", func() bool { s, _ := statusOf(cloud); return s == "online" })
	b.eventually("connected", func() bool { return b.State().Connected })
	cloud.HoldAcks(true)
	b.log.add(readingsOf(100, 1)...)
	b.until("a full window", func() bool { return len(received(cloud)) == 7 })
	if n := b.State().InFlight; n != 7 {
		t.Errorf("%d in flight, want 7", n)
	}
	if c := b.log.Cursor("cloud"); c.Next > 1 {
		t.Errorf("cursor at %d without an acknowledgement", c.Next)
	}
	cloud.HoldAcks(false)
	b.until("everything", func() bool { return len(received(cloud)) == 100 })
}

func TestHalfDeadLinkIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]func(*fakecloud.Cloud, bool){
		"no acknowledgements": (*fakecloud.Cloud).HoldAcks,
		"no reading":          (*fakecloud.Cloud).StopReading,
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t, fakecloud.Options{})
			b := start(t, cloud, func(c *Config) { c.AckTimeout = 50 * time.Millisecond }, nil)
			b.log.add(readingsOf(1, 1)...)
			b.eventually("the first record", func() bool { return b.log.Cursor("cloud").Next == 2 })
			script(cloud, true)
			b.log.add(readingsOf(500, 2)...)
			b.eventually("the link is given up", func() bool { return !b.State().Connected })
			if err := b.State().LastError; !strings.Contains(err, errAckTimeout.Error()) {
				t.Errorf("last error %q", err)
			}
			script(cloud, false)
			b.until("everything", func() bool { return len(distinct(cloud)) == 501 })
			b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 502 })
			if b.State().DeadLettered != 0 {
				t.Error("a dead letter")
			}
		})
	}
}

func TestCutLinksLoseNothing(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.Window = 20 }, nil)
	for i := range 10 {
		b.log.add(readingsOf(200, 3)...)
		b.until("some more", func() bool { return len(distinct(cloud)) > i*200+50 })
		cloud.SetLink(false)
		b.log.add(readingsOf(10, 3)...)
		cloud.SetLink(true)
	}
	b.until("everything", func() bool { return len(distinct(cloud)) == 2100 })
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 2101 })
	checkOrder(t, received(cloud))
	s := b.State()
	if got := len(received(cloud)); uint64(got)-2100 > s.Resent {
		t.Errorf("%d duplicates, but only %d counted as sent again", got-2100, s.Resent)
	}
	if s.DeadLettered != 0 {
		t.Errorf("%d dead letters", s.DeadLettered)
	}
}

// checkOrder checks that, duplicates aside, each sensor's records arrive in
// their order, and that a record has the same content each time.
func checkOrder(t interface{ Fatalf(string, ...any) }, es []element) {
	last := map[string]uint64{}
	seen := map[uint64]element{}
	for _, e := range es {
		n := e.seq()
		if old, dup := seen[n]; dup {
			if string(old.Value) != string(e.Value) || old.Timestamp != e.Timestamp {
				t.Fatalf("record %d came as %s and as %s", n, old.Value, e.Value)
			}
			continue
		}
		seen[n] = e
		topic := strings.TrimSuffix(e.topic, "s")
		if n < last[topic] {
			t.Fatalf("on %s record %d came after %d", topic, n, last[topic])
		}
		last[topic] = n
	}
}

func TestWhatDoesNotGoUpIsPassedOver(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	command := reading("D", "A", 1)
	command.Kind, command.Origin = gateway.KindCommand, "cloud"
	ours := reading("D", "S", 2)
	ours.Origin = "cloud"
	theirs := reading("D", "S", 3)
	theirs.Origin = "other"
	b.log.add(command, ours, theirs, command, ours)
	b.until("what came by another uplink", func() bool { return len(received(cloud)) == 1 })
	b.eventually("cursor at the end", func() bool {
		c := b.log.Cursor("cloud")
		return c.Next == 6 && len(c.Done) == 0
	})
	if e := received(cloud); len(e) != 1 || e[0].seq() != 3 {
		t.Errorf("sent %+v", e)
	}
	b.log.add(ours)
	b.eventually("cursor beyond what is not sent", func() bool { return b.log.Cursor("cloud").Next == 7 })
}

func TestGapsInTheNumbering(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	r := readingsOf(3, 1)
	r[0].Seq, r[1].Seq, r[2].Seq = 5, 6, 100
	gap := gateway.Record{Seq: 101, Kind: gateway.KindGap, Uplink: "cloud",
		Lost: &gateway.Lost{Reason: "max_size", From: 7, To: 99, Count: 93, Counts: map[string]uint64{"D/S0": 93}}}
	notOurs := gap
	notOurs.Seq, notOurs.Uplink = 102, "other"
	b.log.add(append(r, gap, notOurs)...)
	b.eventually("cursor at the end", func() bool { return b.log.Cursor("cloud").Next == 103 })
	var got []string
	for _, m := range cloud.Messages() {
		if m.Topic == "gateways/gw-1/gaps" {
			got = append(got, string(m.Payload))
		}
	}
	want := `{"id":"gw-1/101","reason":"max_size","from":7,"to":99,"count":93,"sensors":{"D/S0":93}}`
	if len(got) != 1 || got[0] != want {
		t.Errorf("gaps %q, want %q", got, want)
	}
}

func TestUnreadableLog(t *testing.T) {
	t.Parallel()
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	b.log.add(readingsOf(5, 1)...)
	b.eventually("cursor at 6", func() bool { return b.log.Cursor("cloud").Next == 6 })
	b.log.breakWith(errors.New("the disk is on fire"))
	b.log.add(readingsOf(5, 1)...)
	b.eventually("an error", func() bool { return strings.Contains(b.State().LastError, "on fire") })
	b.log.breakWith(nil)
	b.eventually("cursor at 11", func() bool { return b.log.Cursor("cloud").Next == 11 })
	if n := cloud.Connects("gw-1"); n != 1 {
		t.Errorf("%d connections, want the first to last", n)
	}
}

func TestSeveralUplinksAreIndependent(t *testing.T) {
	one, two := newCloud(t, fakecloud.Options{}), newCloud(t, fakecloud.Options{})
	b := start(t, one, nil, nil)
	other := start(t, two, func(c *Config) { c.Name, c.Filter = "other", []string{"devices/+/sensors/S1/+"} }, b)
	one.SetLink(false)
	b.log.add(readingsOf(100, 2)...)
	other.until("half of it", func() bool { return len(received(two)) == 50 })
	other.eventually("its cursor", func() bool { return b.log.Cursor("other").Next == 101 })
	if c := b.log.Cursor("cloud"); c.Next > 1 {
		t.Errorf("the cursor of the one without a link is at %d", c.Next)
	}
	one.SetLink(true)
	b.until("all of it", func() bool { return len(received(one)) == 100 })
}

func TestCleanStop(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, nil, nil)
	b.log.add(readingsOf(100, 2)...)
	b.until("everything", func() bool { return len(received(cloud)) == 100 })
	_, session := statusOf(cloud)
	b.stop()
	state, last := statusOf(cloud)
	if state != "offline" || last != session {
		t.Errorf("after the stop the status is %s of session %d, want offline of %d", state, last, session)
	}
	for _, m := range cloud.Messages() {
		if m.Will {
			t.Errorf("a will was published: %s", m.Payload)
		}
	}
	if c := b.log.Cursor("cloud"); c.Next != 101 {
		t.Errorf("cursor at %d", c.Next)
	}
}

func TestUnsetClockHoldsDataBack(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	full := start(t, cloud, nil, nil)
	full.stop()
	b := &bench{log: newMemLog(), hub: newMemHub(), clock: full.clock}
	b.clock.Set(time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC), gateway.ClockUnset)
	b = start(t, cloud, func(c *Config) { c.ClockWait = time.Hour }, b)
	b.log.add(readingsOf(3, 1)...)
	b.until("connected", func() bool { s, n := statusOf(cloud); return s == "online" && n == 1 })
	b.eventually("connected", func() bool { return b.State().Connected })
	if n := len(received(cloud)); n != 0 {
		t.Fatalf("%d records sent with the clock unset", n)
	}
	b.clock.Set(t0, gateway.ClockSynced)
	b.until("everything", func() bool { return len(received(cloud)) == 3 })
}

func TestUnsetClockIsSaid(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.ClockWait = -1 }, nil)
	for _, q := range []gateway.ClockQuality{gateway.ClockUnset, gateway.ClockUnsynced, gateway.ClockSynced} {
		r := reading("D", "S", 1)
		r.Clock = q
		b.log.add(r)
	}
	b.until("three", func() bool { return len(received(cloud)) == 3 })
	var got []string
	for _, e := range received(cloud) {
		got = append(got, e.Clock)
	}
	if strings.Join(got, ",") != "unset,," {
		t.Errorf("clock members %q", got)
	}
}

func TestWithoutIDs(t *testing.T) {
	cloud := newCloud(t, fakecloud.Options{})
	b := start(t, cloud, func(c *Config) { c.IDs = false }, nil)
	b.log.add(reading("D", "S", 1))
	b.until("one", func() bool { return len(received(cloud)) == 1 })
	var m map[string]any
	for _, msg := range cloud.Messages() {
		if strings.HasPrefix(msg.Topic, "devices/") {
			if err := json.Unmarshal(msg.Payload, &m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, ok := m["id"]; ok || m["value"] != 1.0 {
		t.Errorf("payload %v", m)
	}
}
