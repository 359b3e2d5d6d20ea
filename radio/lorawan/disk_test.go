package lorawan

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
)

func TestDiskRefuses(t *testing.T) {
	bubble(t, "uplinks go on for as long as it takes, and no frame comes twice", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Backlog = 8 }, abpDevice())
		defer func() { r.stop() }()
		n := r.abpNode()
		r.uplink(n, 1, "0", false)
		r.table.refuse(errTest)
		var want []string
		for i := range 50 {
			u, err := n.Uplink(1, fmt.Append(nil, i), i%2 == 0)
			at := time.Now()
			r.send(u, err)
			want = append(want, fmt.Sprint(i))
			if i > 0 && (len(r.uplinks) != i+2 || time.Since(at) > 0) {
				t.Fatalf("%d uplinks after %v", len(r.uplinks), time.Since(at))
			}
			time.Sleep(7 * time.Second)
			r.send(u, nil) // by the device, or who recorded it
			time.Sleep(7 * time.Second)
		}
		r.wantPayloads(append([]string{"0"}, want...)...)
		if got := r.air.sent(); len(got) != 0 {
			t.Errorf("%d frames were sent whose counters are not on disk", len(got))
		}
		r.wantRefused(Overload, 0)
		r.server.mu.Lock()
		if len(r.server.effects) > 1 || r.server.flights > 1 || r.server.waiting.Load() != 0 {
			t.Errorf("%d effects, %d flights", len(r.server.effects), r.server.flights)
		}
		r.server.mu.Unlock()
		r.table.refuse(nil)
		r.windows()
		last := n.Replay()
		r.uplink(n, 1, "on disk", true)
		if got := r.taken(); len(got) != 1 || !got[0].ACK {
			t.Errorf("%+v", got)
		}
		r.restart()
		r.send(last, nil)
		r.wantRefused(Replayed, 1)
	})
	bubble(t, "what can wait for RX2 does", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice())
		defer r.stop()
		n := r.otaaNode()
		r.table.refuse(errTest)
		r.send(n.JoinRequest())
		time.Sleep(5200 * time.Millisecond) // RX1 has passed
		r.table.refuse(nil)
		r.windows()
		if s := r.air.sent(); !n.State().Joined || len(s) != 2 || !errors.Is(s[0].err, radio.ErrTooLate) || s[1].err != nil {
			t.Errorf("%v %v %v", n.State().Joined, r.deaf, s)
		}
	})
	bubble(t, "commands wait, and those of class C are not tried for ever", func(t *testing.T) {
		d := abpDevice()
		d.Class = ClassC
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.abpNode()
		r.uplink(n, 1, "a", false)
		r.server.mu.Lock()
		down := r.server.sessions[devAddr1].down
		r.server.mu.Unlock()
		r.enqueue(Downlink{Device: "abp", ID: "1", FPort: 1, Payload: []byte("on"), Expires: time.Now().Add(time.Hour)})
		r.windows()
		r.table.refuse(errTest)
		if err := r.server.Enqueue(t.Context(), Downlink{Device: "abp", ID: "2", FPort: 1, Payload: []byte("off")}); !errors.Is(err, errTest) {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		r.table.refuse(nil)
		r.windows()
		r.enqueue(Downlink{Device: "abp", ID: "3", FPort: 1, Payload: []byte("off")})
		r.windows()
		r.wantStates("1", "queued", "sent")
		r.wantStates("2")
		r.wantStates("3", "queued", "sent")
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		if used := r.server.sessions[devAddr1].down - down; used < 2 || used > 3 { // the one that was refused may have taken one

			t.Errorf("%d counters are used", used)
		}
	})
	bubble(t, "what the application was told of without the disk is told once", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.enqueue(Downlink{Device: "abp", ID: "1", FPort: 1, Payload: []byte("on"), Expires: time.Now().Add(time.Minute)})
		r.table.refuse(errTest)
		r.uplink(n, 1, "a", false) // it cannot be sent
		time.Sleep(2 * time.Minute)
		r.wantStates("1", "queued", "queued", "expired")
		r.table.refuse(nil)
		r.windows()
		r.wantStates("1", "queued", "queued", "expired")
		if q := r.server.Queue("abp"); len(q) != 0 {
			t.Errorf("%+v", q)
		}
	})
	bubble(t, "the end of a run hands on what came", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		n := r.abpNode()
		r.table.refuse(errTest)
		u, err := n.Uplink(1, []byte("a"), false)
		if err != nil {
			t.Fatal(err)
		}
		r.server.Receive(r.heardAs(u, "r1", -90, 6))
		r.stop()
		r.wantPayloads("a")
	})
}

// TestJournalRecords: a table does not take values of any length.
func TestJournalRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 6000
		d := abpDevice()
		c := Config{Region: regionNamed(t, "EU868"), Devices: []Device{d}, Table: &table{}, Radio: &air{}, StatusEvery: -1}
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		f := frameOf(t, &d, 0)
		f.Payload = make([]byte, radio.MaxPayload)
		effects := make([]effect, many)
		for i := range effects {
			effects[i] = effect{dev: s.devices[0], uplink: &Uplink{FCnt: uint32(i), Payload: make([]byte, 242), Frame: f}}
		}
		pairs := map[string][]byte{}
		s.enter(effects, pairs)
		for k, v := range pairs {
			if len(v) > 2*maxBatch {
				t.Errorf("%s has %d bytes", k, len(v))
			}
		}
		if err := c.Table.Write(pairs); err != nil {
			t.Fatal(err)
		}
		var got []uint32
		c.OnUplink = func(u *Uplink) { got = append(got, u.FCnt) }
		if s, err = New(c); err != nil {
			t.Fatal(err)
		}
		r := &rig{T: t, table: &table{}, air: &air{}}
		r.run(s)
		r.stop()
		if len(got) != many || got[0] != 0 || got[many-1] != many-1 {
			t.Errorf("%d told again", len(got))
		}
		n := 0
		_ = c.Table.Each(func(k string, _ []byte) error { n++; return nil })
		if n != 0 {
			t.Errorf("%d records are left", n)
		}
	})
}

func TestTidy(t *testing.T) {
	bubble(t, "an uplink that was handed on does not come again after a power cut", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		r.uplink(r.abpNode(), 1, "a", false)
		r.windows()
		time.Sleep(2 * tidyEvery)
		writes := r.server.Stats().Writes
		cut := &table{} // as the disk is now
		_ = r.table.Each(func(k string, v []byte) error { return cut.Write(map[string][]byte{k: v}) })
		time.Sleep(time.Hour)
		if n := r.server.Stats().Writes; n != writes {
			t.Errorf("%d writes for nothing", n-writes)
		}
		c := r.cfg
		c.Table, c.Radio = cut, r.air
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.effects) != 0 {
			t.Errorf("%+v", s.effects[0].uplink)
		}
	})
	bubble(t, "what the last run left comes once more, not twice", func(t *testing.T) {
		d := abpDevice()
		tab := &table{}
		c := Config{Region: regionNamed(t, "EU868"), Devices: []Device{d}, Table: tab, Radio: &air{}, StatusEvery: -1}
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		u := &Uplink{FCnt: 7, Frame: frameOf(t, &d, 7)}
		if err := tab.Write(map[string][]byte{"u/01": appendUplink([]byte{recordVersion}, s.devices[0].key, u)}); err != nil {
			t.Fatal(err)
		}
		came := 0
		c.OnUplink = func(*Uplink) { came++ }
		if s, err = New(c); err != nil {
			t.Fatal(err)
		}
		r := &rig{T: t, table: tab, air: &air{}}
		r.run(s)
		defer r.stop()
		time.Sleep(time.Second) // and the power is cut
		n := 0
		_ = tab.Each(func(string, []byte) error { n++; return nil })
		if n != 0 || came != 1 {
			t.Errorf("%d records are left, it came %d times", n, came)
		}
	})
}

func TestGather(t *testing.T) {
	bubble(t, "one that comes alone does not wait, others share", func(t *testing.T) {
		var came []time.Time
		r := newRig(t, nil, abpDevice())
		r.stop()
		c := r.cfg
		c.Table, c.Radio, c.OnUplink = r.table, r.air, func(*Uplink) { came = append(came, time.Now()) }
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r.run(s)
		defer r.stop()
		time.Sleep(time.Second)
		at, writes := time.Now(), s.Stats().Writes
		for i := range uint32(9) {
			s.Receive(frameOf(t, &c.Devices[0], i))
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		writes = s.Stats().Writes - writes
		r.stop()
		if len(came) != 9 || !came[0].Equal(at) || came[1].Sub(at) != defaultGather || came[3].Sub(at) != defaultGather {
			t.Errorf("%v, since %v", came, at)
		}
		if writes > 4 {
			t.Errorf("%d writes", writes)
		}
	})
}
