package lorawan

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
)

func TestJoin(t *testing.T) {
	bubble(t, "settings of the accept", func(t *testing.T) {
		r := newRig(t, func(c *Config) {
			c.Settings = Settings{RX1Delay: 5, RX1Offset: 2, RX2: &RX2{869525000, 3}, Channels: []uint32{867100000, 867300000}}
		}, otaaDevice())
		defer r.stop()
		n := r.otaaNode()
		r.join(n)
		st := n.State()
		if st.RX1Delay != 5*time.Second || st.RX1Offset != 2 || st.RX2DataRate != 3 || len(st.Channels) != 5 {
			t.Errorf("%v, offset %d, DR%d, %d channels", st.RX1Delay, st.RX1Offset, st.RX2DataRate, len(st.Channels))
		}
		for range 10 {
			r.uplink(n, 1, "x", true)
		}
		if got := r.taken(); len(got) != 11 || len(r.deaf) != 0 {
			t.Errorf("%d downlinks, deaf: %v", len(got), r.deaf)
		}
	})
	for _, name := range []string{"US915", "AU915", "AS923-1", "AS923-2", "AS923-3", "AS923-4", "IN865", "EU433", "KR920"} {
		bubble(t, name, func(t *testing.T) {
			reg := regionNamed(t, name)
			r := newRig(t, func(c *Config) {
				c.Region = reg
				if reg.Fixed() {
					block, _ := reg.Block(2)
					for _, i := range block.List() {
						c.Settings.Channels = append(c.Settings.Channels, reg.Channels()[i].Frequency)
					}
				}
			}, otaaDevice())
			defer r.stop()
			block, _ := reg.Block(2)
			n := r.node(node.Config{DevEUI: devEUI, JoinEUI: joinEUI, AppKey: appKey, DataRate: 2, Channels: block})
			r.join(n)
			for range 5 {
				r.uplink(n, 1, "x", true)
			}
			if got := r.taken(); len(got) != 6 || len(r.deaf) != 0 {
				t.Errorf("%d downlinks, deaf: %v", len(got), r.deaf)
			}
			if reg.Fixed() {
				for _, c := range n.State().Channels {
					if c.Enabled != block.Has(c.Index) {
						t.Errorf("channel %d: enabled %v", c.Index, c.Enabled)
					}
				}
			}
		})
	}
	bubble(t, "the old session is good until the new one is heard", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice())
		defer func() { r.stop() }()
		n := r.otaaNode()
		r.join(n)
		r.uplink(n, 1, "a", false)
		old, _ := n.Uplink(1, []byte("b"), false)
		older, _ := n.Uplink(1, []byte("c"), false)
		r.loseAll = true
		r.send(n.JoinRequest())
		r.windows()
		r.send(old, nil) // it has not heard the accept
		r.windows()
		r.restart()
		r.loseAll = false
		r.join(n)
		r.restart()
		r.uplink(n, 1, "d", false)
		r.send(older, nil)
		r.windows()
		r.wantPayloads("a", "b", "d")
		r.wantRefused(UnknownAddress, 1)
		if len(r.server.sessions) != 1 {
			t.Errorf("%d sessions", len(r.server.sessions))
		}
	})
	bubble(t, "used nonces", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice())
		defer func() { r.stop() }()
		n := r.otaaNode()
		u, _ := n.JoinRequest()
		r.send(u, nil)
		r.windows()
		r.send(u, nil)
		r.windows()
		r.wantRefused(UsedNonce, 1)
		r.restart()
		r.send(u, nil)
		r.windows()
		r.wantRefused(UsedNonce, 1)
		n.SetDevNonce(5)
		r.join(n)
		n.SetDevNonce(4) // 1.0.3: smaller ones are good
		r.join(n)
		n.SetDevNonce(5)
		r.send(n.JoinRequest())
		r.windows()
		r.wantRefused(UsedNonce, 2)
		if s := r.air.sent(); len(s) != 3 {
			t.Errorf("%d accepts", len(s))
		}
	})
	bubble(t, "1.0.4 counts", func(t *testing.T) {
		d := otaaDevice()
		d.Version = V104
		r := newRig(t, nil, d)
		defer func() { r.stop() }()
		n := r.otaaNode()
		n.SetDevNonce(5)
		r.join(n)
		r.restart()
		n.SetDevNonce(4)
		r.send(n.JoinRequest())
		r.windows()
		r.wantRefused(UsedNonce, 1)
		r.join(n) // 5 was used
	})
	bubble(t, "JoinNonce is never used again, even if the table is lost", func(t *testing.T) {
		clock := fakeclock.New(time.Now(), gateway.ClockSynced)
		r := newRig(t, func(c *Config) { c.Clock = clock }, otaaDevice())
		defer func() { r.stop() }()
		n := r.otaaNode()
		for range 3 {
			r.join(n)
			r.restart()
		}
		r.stop()
		r.table.pairs = nil
		clock.Advance(10 * time.Minute)
		r.start()
		r.join(n) // the node refuses a JoinNonce that it has seen
		seen := map[uint32]bool{}
		for _, s := range r.air.sent() {
			a, err := frame.ParseAccept(s.Payload, appKey)
			if err != nil || seen[a.JoinNonce] {
				t.Errorf("JoinNonce %d again, or %v", a.JoinNonce, err)
			}
			seen[a.JoinNonce] = true
		}
	})
	bubble(t, "nothing leaves before it is on disk", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice())
		defer func() { r.stop() }()
		n := r.otaaNode()
		r.table.refuse(errTest)
		r.send(n.JoinRequest())
		r.windows()
		if s := r.air.sent(); len(s) != 0 {
			t.Errorf("%d accepts left", len(s))
		}
		r.table.refuse(nil)
		r.windows()
		if s := r.air.sent(); len(s) != 0 {
			t.Errorf("%+v", s) // now it is on disk, and too late
		}
		r.join(n)
		if st := r.server.Stats(); st.WriteErrors == 0 {
			t.Errorf("%+v", st)
		}
	})
	bubble(t, "RX2 when RX1 is not to be had", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice())
		defer r.stop()
		n := r.otaaNode()
		n1 := 0
		r.air.fail = func(*radio.Transmission) error {
			if n1++; n1 == 1 {
				return radio.ErrCollision
			}
			return nil
		}
		r.join(n)
		if got := r.taken(); len(got) != 1 || got[0].Window != 2 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "broken random source", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Rand = noRandom{} }, otaaDevice())
		defer r.stop()
		r.send(r.otaaNode().JoinRequest())
		synctest.Wait()
		r.wantRefused(NonceLimit, 1)
	})
}

type noRandom struct{}

func (noRandom) Read([]byte) (int, error) { return 0, errTest }

// Addresses by NetID type: LoRaWAN Backend Interfaces 1.0, section 16 and table 3.
func TestDevAddr(t *testing.T) {
	for _, c := range []struct {
		netID, n uint32
		want     frame.DevAddr
	}{
		{0x000000, 0xffffffff, 0x01ffffff},
		{0x000013, 0xffffffff, 0x27ffffff}, // The Things Network: 26000000/7
		{0x000013, 0, 0x26000000},
		{0x200005, 0, 0x85000000},
		{0x600020, 0, 0xe0400000},
		{0x60002d, 0xffffffff, 0xe05bffff}, // a type 3 network: e05a0000/15
		{0xc0002b, 0, 0xfc00ac00},          // a type 6 network: fc00ac00/22
		{0xe00040, 0, 0xfe002000},          // a type 7 network: fe002000/25
	} {
		if got := devAddr(c.netID, c.n); got != c.want {
			t.Errorf("NetID %06x: %v, want %v", c.netID, got, c.want)
		}
	}
}

func TestNonces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var n nonces
	have := map[uint16]bool{}
	for range 5000 {
		v := uint16(rng.IntN(6000))
		if rng.IntN(20) == 0 {
			v = 0xffff - uint16(rng.IntN(3))
		}
		if n.has(v) != have[v] {
			t.Fatalf("%d: in it is %v", v, n.has(v))
		}
		n, have[v] = n.with(v), true
	}
	for v := range 1 << 16 {
		if n.has(uint16(v)) != have[uint16(v)] {
			t.Fatalf("%d: in it is %v", v, n.has(uint16(v)))
		}
	}
	back, err := parseNonces(n.bytes())
	if err != nil || !slices.Equal(back, n) {
		t.Errorf("stored and read it is another: %v", err)
	}
	if h, ok := n.highest(); !ok || h != 0xffff {
		t.Errorf("highest %d", h)
	}
	var row nonces
	for v := range uint16(1000) {
		row = row.with(v)
	}
	if len(row) != 1 {
		t.Errorf("nonces in a row take %d spans", len(row))
	}
	for _, b := range [][]byte{{1}, {0, 2, 0, 1}, {0, 1, 0, 5, 0, 5, 0, 7}} {
		if _, err := parseNonces(b); !errors.Is(err, errRecord) {
			t.Errorf("%v is taken: %v", b, err)
		}
	}
}

func TestFixedPlan(t *testing.T) {
	us := regionNamed(t, "US915")
	p, err := newPlan(us, &Settings{Single: &Single{us.Channels()[8].Frequency, 2}})
	if err != nil || p.mask != region.SetOf(8) {
		t.Errorf("%v %v", p, err)
	}
	for _, s := range []Settings{
		{RX1Delay: 16}, {RX1Offset: 4}, {DutyCycle: 16}, {RX2: &RX2{923300000, 2}}, {RX2: &RX2{868100000, 8}},
		{Channels: []uint32{902400000}}, {Single: &Single{902300000, 9}}, {Downlinks: map[uint32]uint32{902300000: 923300000}},
	} {
		if _, err := newPlan(us, &s); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v is taken: %v", s, err)
		}
	}
}
