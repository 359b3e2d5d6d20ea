package lorawan

import (
	"testing"

	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
)

func TestAdvise(t *testing.T) {
	most := limits{5, 7}
	for _, c := range []struct {
		name            string
		now             adr
		snr, need, loss float32
		want            adr
	}{
		// need is what the data rate needs and 10 dB: SF12 -10, SF9 -2.5, SF7 2.5.
		{"nothing to spare", adr{0, 0, 1}, -10, -10, 0, adr{0, 0, 1}},
		{"less than a step", adr{0, 0, 1}, -7.25, -10, 0, adr{0, 0, 1}},
		{"one step", adr{0, 0, 1}, -7, -10, 0, adr{1, 0, 1}},
		{"data rate, then power", adr{0, 0, 1}, 8, -10, 0, adr{5, 1, 1}},
		{"as far as it goes", adr{0, 0, 1}, 31, -10, 0, adr{5, 7, 1}},
		{"power only", adr{5, 2, 1}, 9, 2.5, 0, adr{5, 4, 1}},
		{"one step short", adr{3, 4, 1}, -6, -2.5, 0, adr{3, 3, 1}},
		{"half a step short", adr{3, 4, 1}, -4, -2.5, 0, adr{3, 4, 1}},
		{"far short: full power, same rate", adr{3, 2, 1}, -20, -2.5, 0, adr{3, 0, 1}},
		{"above the region's rate already", adr{6, 0, 1}, 20, 2.5, 0, adr{6, 5, 1}},
		{"loss of 4 %", adr{5, 0, 2}, 3, 2.5, 0.04, adr{5, 0, 1}},
		{"loss of 8 %", adr{5, 0, 2}, 3, 2.5, 0.08, adr{5, 0, 2}},
		{"loss of 20 %", adr{5, 0, 1}, 3, 2.5, 0.2, adr{5, 0, 2}},
		{"loss of 50 %", adr{5, 0, 1}, 3, 2.5, 0.5, adr{5, 0, 3}},
		{"NbTrans over 3", adr{5, 0, 9}, 3, 2.5, 0.2, adr{5, 0, 3}},
	} {
		if got := advise(c.now, c.snr, c.need, c.loss, most); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestHistory(t *testing.T) {
	var h history
	for i := range uint16(19) {
		h.add(65530+i, float32(i)/4)
	}
	if h.full() || h.best() != 4.5 {
		t.Errorf("best %v", h.best())
	}
	h.raise(7.25)
	h.raise(-3)
	h.add(13, -30) // 65530 and 19
	if !h.full() || h.best() != 7.25 || h.loss() != 0 {
		t.Errorf("best %v, loss %v", h.best(), h.loss())
	}
	h.add(33, 1) // the window is 39 counters long now, of which 20 were heard
	if l := h.loss(); l < 19./39-.001 || l > 19./39+.001 {
		t.Errorf("loss %v", l)
	}
	for i := range uint16(20) {
		h.add(i, -20)
	}
	if h.best() != -20 || h.loss() != 0 {
		t.Errorf("best %v, loss %v", h.best(), h.loss())
	}
}

func TestADR(t *testing.T) {
	device := func() Device {
		d := abpDevice()
		d.ADR = true
		return d
	}
	add := func(r *rig, on bool) *node.Node {
		return r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 0, ADR: on})
	}
	bubble(t, "a device that is heard well becomes fast and quiet", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer func() { r.stop() }()
		n := add(r, true)
		for range historyLen - 1 {
			r.uplink(n, 1, "a", false)
		}
		r.restart()
		if got := r.taken(); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
		r.uplink(n, 1, "a", false)
		// SNR 6 dB, SF12 needs -20: 16 dB to spare beyond 10 are five steps.
		if st := n.State(); st.DataRate != 5 || st.TXPower != 0 {
			t.Errorf("DR%d, power %d", st.DataRate, st.TXPower)
		}
		for range 3 * historyLen {
			r.snr = 6 - 2*float32(n.State().TXPower)
			r.uplink(n, 1, "a", false)
		}
		// SF7 needs -7.5 dB: 3.5 dB to spare.
		if st := n.State(); st.DataRate != 5 || st.TXPower != 1 {
			t.Errorf("DR%d, power %d", st.DataRate, st.TXPower)
		}
		if got := r.taken(); len(got) != 2 {
			t.Errorf("%d downlinks", len(got))
		}
	})
	bubble(t, "not without the ADR bit, nor where it is not wanted", func(t *testing.T) {
		r := newRig(t, nil, device())
		n := add(r, false)
		for range historyLen + 5 {
			r.uplink(n, 1, "a", false)
		}
		if got := r.taken(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		r.stop()
		r = newRig(t, nil, abpDevice())
		n = add(r, true)
		for range historyLen + 5 {
			r.uplink(n, 1, "a", false)
		}
		if got := r.taken(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		r.stop()
	})
	bubble(t, "the best copy counts", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer r.stop()
		n := add(r, true)
		r.snr = -18
		for range historyLen {
			u, err := n.Uplink(1, nil, false)
			r.send(u, err)
			r.server.Receive(r.heardAs(u, "r2", -80, 2))
			r.windows()
		}
		if st := n.State(); st.DataRate != 4 {
			t.Errorf("DR%d", st.DataRate)
		}
	})
	bubble(t, "what a device does by itself", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer r.stop()
		s := r.server.sessions[devAddr1]
		s.link.dr, s.link.power, s.link.mask = 5, 4, region.SetOf(0)
		s.observe(5, 868100000)
		if s.link.power != 4 || s.link.mask != region.SetOf(0) {
			t.Errorf("%+v", s.link)
		}
		s.observe(4, 868300000) // slower, with all power, on a channel that was off
		if s.link.dr != 4 || s.link.power != 0 || s.link.mask != region.SetOf(0, 1) {
			t.Errorf("%+v", s.link)
		}
	})
	bubble(t, "a data rate that the device refuses is not asked for again", func(t *testing.T) {
		r := newRig(t, nil, device())
		defer r.stop()
		n := add(r, true)
		s := r.server.sessions[devAddr1]
		r.server.mu.Lock()
		s.asks.highestDR = 4
		s.asks.highestPower = 2
		r.server.mu.Unlock()
		for range historyLen + 5 {
			r.uplink(n, 1, "a", false)
		}
		if st := n.State(); st.DataRate != 3 || st.TXPower != 1 {
			t.Errorf("DR%d, power %d", st.DataRate, st.TXPower)
		}
	})
}
