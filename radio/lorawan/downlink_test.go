package lorawan

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

// gate is a duty cycle that is used up in the bands of full.
type gate struct {
	mu       sync.Mutex
	full     map[string]bool
	reserved int
}

func (g *gate) set(band string, full bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full[band] = full
}

func (g *gate) Reserve(name string, b radio.Band, airtime time.Duration, at time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full[b.Name] {
		return &radio.Busy{Radio: name, Band: b, Wait: time.Minute, Until: time.Now().Add(time.Minute)}
	}
	g.reserved++
	return nil
}

func (g *gate) Release(string, radio.Band, time.Duration, time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reserved--
}

func TestWindows(t *testing.T) {
	one := Downlink{Device: "abp", ID: "1", Tag: "relay", FPort: 7, Payload: []byte("on")}
	bubble(t, "what a radio says to RX1 leads to RX2", func(t *testing.T) {
		for _, why := range []error{radio.ErrTooLate, radio.ErrTooEarly, radio.ErrCollision, radio.ErrFrequency, radio.ErrDown, radio.ErrNoRadio, radio.ErrRefused} {
			g := &gate{}
			r := newRig(t, func(c *Config) { c.Gate = g }, abpDevice())
			n := r.abpNode()
			r.air.fail = func(x *radio.Transmission) error {
				if x.Frequency != 869525000 {
					return why
				}
				return nil
			}
			r.enqueue(one)
			r.uplink(n, 1, "a", false)
			got := r.taken()
			if len(got) != 1 || got[0].Window != 2 || string(got[0].Payload) != "on" {
				t.Errorf("%v: %+v %v", why, got, r.deaf)
			}
			s := r.air.sent()
			if len(s) != 2 || string(s[0].Payload) != string(s[1].Payload) || s[1].start.Sub(s[0].start) != time.Second {
				t.Errorf("%v: RX2 is not the same frame a second later", why)
			}
			if s[1].Power <= s[0].Power || !s[1].InvertIQ || s[1].CRC {
				t.Errorf("%+v", s[1].Transmission)
			}
			if g.reserved != 1 {
				t.Errorf("%v: %d reservations are left", why, g.reserved)
			}
			r.stop()
		}
	})
	bubble(t, "both windows fail: it stays queued, with why, and a new counter", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.air.fail = func(*radio.Transmission) error { return radio.ErrCollision }
		r.enqueue(one)
		r.uplink(n, 1, "a", false)
		r.wantStates("1", "queued", "queued")
		if why := r.states[1].Why; !strings.Contains(why, "RX1") || !strings.Contains(why, "RX2") || !strings.Contains(why, radio.ErrCollision.Error()) {
			t.Errorf("why: %q", why)
		}
		r.air.fail = nil
		r.uplink(n, 1, "b", false)
		r.wantStates("1", "queued", "queued", "sent")
		if got := r.taken(); len(got) != 1 || got[0].FCnt != 1 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "duty cycle of RX1 used up", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		r.stop()
		g := &gate{full: map[string]bool{}}
		for _, b := range r.cfg.Region.SubBands() {
			g.full[b.Name] = b.MaxEIRP < 20
		}
		r.cfg.Gate = g
		r.start()
		defer r.stop()
		n := r.abpNode()
		r.enqueue(one)
		r.uplink(n, 1, "a", false)
		if got := r.taken(); len(got) != 1 || got[0].Window != 2 {
			t.Errorf("%+v", got)
		}
		for b := range g.full {
			g.set(b, true)
		}
		two := one
		two.ID = "2"
		r.enqueue(two)
		r.uplink(n, 1, "a", false)
		if s := r.states[len(r.states)-1]; s.State != Queued || !strings.Contains(s.Why, "possible at") {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "a radio that cannot send so loud is asked for less", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		r.air.fail = func(x *radio.Transmission) error {
			if x.Power > 14 {
				return fmt.Errorf("%w: %d dBm", radio.ErrPower, x.Power)
			}
			return nil
		}
		r.uplink(r.abpNode(), 1, "a", true)
		if got := r.taken(); len(got) != 1 || got[0].Window != 1 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "handed over early enough, decided late enough", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.send(n.Uplink(1, []byte("a"), false))
		time.Sleep(450 * time.Millisecond)
		r.enqueue(one) // the application's answer
		r.windows()
		s := r.air.sent()
		if len(s) != 1 || s[0].start.Sub(s[0].handed) < 300*time.Millisecond || s[0].start.Sub(r.lastEnd) != time.Second {
			t.Fatalf("%+v", s)
		}
		if got := r.taken(); len(got) != 1 {
			t.Errorf("%v", r.deaf)
		}
	})
	bubble(t, "too long for RX1 goes in RX2, too long for both waits", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{RX2: &RX2{869525000, 3}}
		d.Preset = d.Settings
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 0})
		fast := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5, FCntUp: 1})
		long := one
		long.Payload = make([]byte, 100) // DR0 has 51, DR3 115, DR5 242
		r.enqueue(long)
		r.send(n.Uplink(1, []byte("a"), false))
		r.windows()
		s := r.air.sent()
		if len(s) != 1 || s[0].Frequency != 869525000 || s[0].SF != 9 {
			t.Fatalf("%+v", s)
		}
		longer := one
		longer.ID, longer.Payload, longer.Expires = "2", make([]byte, 200), time.Now().Add(time.Hour)
		r.enqueue(longer)
		short := one
		short.ID, short.Tag = "3", ""
		r.enqueue(short)
		n.SetFCntUp(1)
		r.send(n.Uplink(1, []byte("a"), false))
		r.windows()
		r.wantStates("2", "queued")
		r.wantStates("3", "queued", "sent") // does not wait behind it
		fast.SetFCntUp(2)
		r.send(fast.Uplink(1, []byte("a"), false))
		r.windows()
		r.wantStates("2", "queued", "sent")
		longest := one
		longest.ID, longest.Payload = "4", make([]byte, 243)
		if err := r.server.Enqueue(t.Context(), longest); !errors.Is(err, ErrTooLong) {
			t.Errorf("%v", err)
		}
	})
	bubble(t, "the radio's counter wraps", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		r.air.fail = func(*radio.Transmission) error { return radio.ErrDown }
		u, _ := r.abpNode().Uplink(1, []byte("a"), true)
		f := r.heardAs(u, "r1", -90, 6)
		f.Counter = 1<<32 - 1000
		r.server.Receive(f)
		r.windows()
		if s := r.air.sent(); len(s) != 2 || s[0].Counter != 999000 || s[1].Counter != 1999000 {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "too long until it expires", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 0})
		long := one
		long.Payload, long.Expires = make([]byte, 60), time.Now().Add(time.Hour)
		r.enqueue(long)
		r.uplink(n, 1, "a", false)
		time.Sleep(time.Hour)
		r.wantStates("1", "queued", "expired")
		if s := r.states[1]; !strings.Contains(s.Why, "too long") {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "FPending", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		two := one
		two.ID, two.Tag = "2", ""
		r.enqueue(one)
		r.enqueue(two)
		r.uplink(n, 1, "a", false)
		r.uplink(n, 1, "a", false)
		if got := r.taken(); len(got) != 2 || !got[0].Pending || got[1].Pending {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "an acknowledgement vouches for what the application has", func(t *testing.T) {
		block := make(chan bool)
		r := newRig(t, nil, abpDevice())
		r.stop()
		defer func() { r.stop() }()
		n := r.abpNode()
		c := r.cfg
		c.Table, c.Radio = r.table, r.air
		c.OnUplink = func(*Uplink) { <-block }
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r.run(s)
		r.uplink(n, 1, "a", true)
		if got := r.taken(); len(got) != 0 || s.Stats().Unacknowledged != 1 {
			t.Errorf("%+v", got)
		}
		close(block)
		u, _ := n.Retransmit()
		r.send(u, nil)
		r.windows()
		if got := r.taken(); len(got) != 1 || !got[0].ACK {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "ADRACKReq is answered", func(t *testing.T) {
		d := abpDevice()
		d.ADR = false
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5, ADR: true})
		for range 70 {
			r.uplink(n, 1, "a", false)
		}
		if got := r.taken(); len(got) != 1 || got[0].Port != frame.NoFPort {
			t.Errorf("%d downlinks", len(got))
		}
	})
}
