package lorawan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/node"
)

func TestQueue(t *testing.T) {
	item := func(id string) Downlink {
		return Downlink{Device: "abp", ID: id, FPort: 7, Payload: []byte(id)}
	}
	bubble(t, "priority, then order", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		n := r.abpNode()
		for i, p := range []int8{0, 0, 5, -3, 5} {
			q := item(fmt.Sprint(i))
			q.Priority = p
			r.enqueue(q)
		}
		r.restart()
		var order []string
		for range 6 {
			r.uplink(n, 1, "a", false)
			for _, d := range r.taken() {
				order = append(order, string(d.Payload))
			}
		}
		if !slices.Equal(order, []string{"2", "4", "0", "1", "3"}) {
			t.Errorf("%v", order)
		}
	})
	bubble(t, "a newer command takes the place of an older one", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		for _, id := range []string{"1", "2", "3"} {
			q := item(id)
			q.Tag = "relay"
			r.enqueue(q)
		}
		other := item("4")
		other.Tag = "lamp"
		r.enqueue(other)
		r.wantStates("1", "queued", "refused")
		r.wantStates("2", "queued", "refused")
		if s := r.states[2]; s.Why != "a newer command took its place" || s.Tag != "relay" || !s.Last {
			t.Errorf("%+v", s)
		}
		for range 3 {
			r.uplink(n, 1, "a", false)
		}
		if got := r.taken(); len(got) != 2 || string(got[0].Payload) != "3" || string(got[1].Payload) != "4" {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "bounded; the same twice is once; errors", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		for i := range MaxQueue {
			r.enqueue(item(fmt.Sprint(i)))
		}
		r.enqueue(item("3"))
		for _, c := range []struct {
			q    Downlink
			want error
		}{
			{item("one more"), ErrFull},
			{Downlink{Device: "nobody", ID: "1", FPort: 1}, ErrUnknownDevice},
			{Downlink{Device: "abp", FPort: 1}, ErrDownlink},
			{Downlink{Device: "abp", ID: "1"}, ErrDownlink},
			{Downlink{Device: "abp", ID: "1", FPort: 224}, ErrDownlink},
		} {
			if err := r.server.Enqueue(t.Context(), c.q); !errors.Is(err, c.want) {
				t.Errorf("%+v: %v", c.q, err)
			}
		}
		if all := r.server.Queue("abp"); len(all) != MaxQueue || all[3].ID != "3" || all[3].State != Queued || r.server.Queue("x") != nil {
			t.Errorf("%+v", all)
		}
		if st, ok := r.server.Status("abp"); !ok || st.Queued != MaxQueue {
			t.Errorf("%+v", st)
		}
	})
	bubble(t, "expiry, also over a restart", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		n := r.abpNode()
		a, b := item("a"), item("b")
		a.Expires, b.Expires = time.Now().Add(time.Hour), time.Now().Add(3*time.Hour)
		r.enqueue(a)
		r.enqueue(b)
		time.Sleep(59 * time.Minute)
		r.wantStates("a", "queued")
		time.Sleep(2 * time.Minute)
		r.wantStates("a", "queued", "expired")
		r.stop()
		time.Sleep(3 * time.Hour)
		r.start()
		time.Sleep(time.Second)
		r.wantStates("b", "queued", "expired")
		r.uplink(n, 1, "a", false)
		if got := r.taken(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "confirmed, acknowledged", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		q, next := item("1"), item("2")
		q.Confirmed = true
		r.enqueue(q)
		r.enqueue(next)
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "sent")
		if s := r.states[len(r.states)-1]; s.Last {
			t.Errorf("%+v", s)
		}
		r.wantStates("2", "queued")
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "sent", "acknowledged")
		r.wantStates("2", "queued", "sent")
	})
	bubble(t, "acknowledged after a restart", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		n := r.abpNode()
		q := item("1")
		q.Confirmed = true
		r.enqueue(q)
		r.uplink(n, 1, "a", false)
		r.restart()
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "sent", "acknowledged")
	})
	bubble(t, "confirmed, sent again with new counters, then given up", func(t *testing.T) {
		d := abpDevice()
		d.Retries = 2
		r := newRig(t, nil, d)
		defer func() { r.stop() }()
		n := r.abpNode()
		q := item("1")
		q.Confirmed = true
		r.enqueue(q)
		r.enqueue(item("2"))
		r.loseAll = true
		r.uplink(n, 1, "a", false)
		r.uplink(n, 1, "a", false)
		r.restart() // it may have been sent: that is remembered
		r.uplink(n, 1, "a", false)
		r.loseAll = false
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "sent", "sent", "sent", "refused")
		if s := r.states[5]; !strings.Contains(s.Why, "3 times") || s.Sends != 3 {
			t.Errorf("%+v", s)
		}
		if got := r.taken(); len(got) != 1 || string(got[0].Payload) != "2" || got[0].FCnt != 3 {
			t.Errorf("%+v", got)
		}
		seen := map[string]bool{}
		for _, s := range r.air.sent() {
			if seen[string(s.Payload)] {
				t.Error("the same frame twice")
			}
			seen[string(s.Payload)] = true
		}
	})
	bubble(t, "a last state is told again after a crash before it was told", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		q := item("1")
		q.Expires = time.Now().Add(time.Minute)
		r.enqueue(q)
		time.Sleep(2 * time.Minute)
		r.wantStates("1", "queued", "expired")
		r.restart()
		time.Sleep(time.Second)
		r.wantStates("1", "queued", "expired") // told: not again
		q.ID, q.Expires = "2", time.Now().Add(time.Minute)
		r.enqueue(q)
		d := r.server.byName["abp"]
		r.server.mu.Lock()
		r.server.report(d, d.queue[0], Expired, "because")
		pairs := map[string][]byte{}
		r.server.encode(d, pairs)
		r.server.effects = nil // killed between the write and the telling
		r.server.mu.Unlock()
		r.stop()
		if err := r.table.Write(pairs); err != nil {
			t.Fatal(err)
		}
		r.start()
		time.Sleep(time.Second)
		r.wantStates("2", "queued", "expired")
	})
	bubble(t, "the disk refuses", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.table.refuse(errTest)
		if err := r.server.Enqueue(t.Context(), item("1")); !errors.Is(err, errTest) {
			t.Errorf("%v", err)
		}
		r.uplink(n, 1, "a", true)
		r.wantPayloads("a") // the local network is not to wait
		if got := r.taken(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		r.table.refuse(nil)
		r.windows()
		r.wantPayloads("a")
		if err := r.server.Enqueue(t.Context(), item("1")); err != nil {
			t.Errorf("%v", err)
		}
	})
	bubble(t, "a context that ends", func(t *testing.T) {
		s, err := New(Config{Region: regionNamed(t, "EU868"), Devices: []Device{abpDevice()}, Table: &table{}, Radio: &air{}}) // not running
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Enqueue(ctx, item("1")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func TestClassC(t *testing.T) {
	device := func() Device {
		d := abpDevice()
		d.Class = ClassC
		return d
	}
	add := func(r *rig) *node.Node {
		return r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5, ClassC: true})
	}
	q := Downlink{Device: "abp", ID: "1", Tag: "relay", FPort: 7, Payload: []byte("on")}
	bubble(t, "at once, after a restart too", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer func() { r.stop() }()
		n := add(r)
		r.enqueue(q)
		r.windows()
		r.wantStates("1", "queued") // where it is heard is not known yet
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "sent")
		r.restart()
		q2 := q
		q2.ID = "2"
		r.enqueue(q2)
		r.windows()
		r.wantStates("2", "queued", "sent")
		got, s := r.taken(), r.air.sent()
		if len(got) != 2 || got[0].Window != 1 || got[1].Window != 0 || !s[1].Immediately || s[1].Radio != "r1" {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "a new one is tried at once, and told why it waits", func(t *testing.T) {
		g := &gate{full: map[string]bool{}}
		r := newRig(t, func(c *Config) { c.Gate = g }, device())
		defer r.stop()
		n := add(r)
		r.uplink(n, 1, "a", false)
		for _, b := range r.cfg.Region.SubBands() {
			g.set(b.Name, true)
		}
		for _, id := range []string{"1", "2"} { // the first one has the next try wait for a minute
			next := q
			next.ID = id
			r.enqueue(next)
			time.Sleep(time.Second)
			r.wantStates(id, "queued", "queued")
			if why := r.states[len(r.states)-1].Why; !strings.Contains(why, "possible") {
				t.Errorf("%s waits because of %q", id, why)
			}
		}
	})
	bubble(t, "not into the windows of class A", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer r.stop()
		n := add(r)
		r.send(n.Uplink(1, []byte("a"), false))
		time.Sleep(700 * time.Millisecond) // RX1 is decided on
		r.enqueue(q)
		r.windows()
		s := r.air.sent()
		if len(s) != 1 || s[0].start.Sub(r.lastEnd) < 2*time.Second+100*time.Millisecond {
			t.Fatalf("%+v after %v", s, s[0].start.Sub(r.lastEnd))
		}
		q2 := q
		q2.ID = "2"
		r.send(n.Uplink(1, []byte("a"), false))
		time.Sleep(100 * time.Millisecond) // RX1 is to come
		r.enqueue(q2)
		r.windows()
		if got := r.taken(); len(got) != 2 || got[1].Window != 1 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "not with a session that the device may have left", func(t *testing.T) {
		d := otaaDevice()
		d.Class = ClassC
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.node(node.Config{DevEUI: devEUI, JoinEUI: joinEUI, AppKey: appKey, DataRate: 5, ClassC: true})
		r.join(n)
		r.uplink(n, 1, "a", false)
		r.join(n)
		c := q
		c.Device = "otaa"
		r.enqueue(c)
		r.windows()
		r.wantStates("1", "queued")
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "sent")
		if len(r.deaf) > 0 {
			t.Errorf("%v", r.deaf)
		}
	})
	bubble(t, "duty cycle: again when there is room", func(t *testing.T) {
		g := &gate{full: map[string]bool{}}
		r := newRig(t, func(c *Config) { c.Gate = g }, device())
		defer r.stop()
		n := add(r)
		r.uplink(n, 1, "a", false)
		g.set("869.4-869.65", true)
		r.enqueue(q)
		r.windows()
		r.wantStates("1", "queued", "queued")
		g.set("869.4-869.65", false)
		time.Sleep(2 * time.Minute)
		r.wantStates("1", "queued", "queued", "sent")
	})
	bubble(t, "confirmed", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer r.stop()
		n := add(r)
		r.uplink(n, 1, "a", false)
		c := q
		c.Confirmed = true
		r.enqueue(c)
		time.Sleep(5 * time.Second)
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "sent", "acknowledged")
		c.ID = "2"
		r.loseAll = true
		r.enqueue(c)
		time.Sleep(5 * time.Minute)
		r.wantStates("2", "queued", "sent", "sent", "sent", "sent", "refused")
	})
	bubble(t, "no radio takes it", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer r.stop()
		n := add(r)
		r.uplink(n, 1, "a", false)
		r.air.fail = func(*radio.Transmission) error { return radio.ErrDown }
		c := q
		c.Expires = time.Now().Add(time.Minute)
		r.enqueue(c)
		time.Sleep(2 * time.Minute)
		words := r.stateWords("1")
		if words[len(words)-1] != "expired" || len(words) > 10 {
			t.Errorf("%v", words)
		}
		if why := r.states[len(r.states)-1].Why; !strings.Contains(why, radio.ErrDown.Error()) {
			t.Errorf("%q", why)
		}
	})
}
