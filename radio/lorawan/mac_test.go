package lorawan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

// commandsOf are the MAC commands of what nodes got.
func commandsOf(got []node.Downlink) (cs []frame.Command) {
	for _, d := range got {
		cs = append(cs, d.Commands...)
	}
	return cs
}

func TestCommands(t *testing.T) {
	bubble(t, "LinkCheckReq", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		n.Ask(frame.LinkCheckReq{})
		u, _ := n.Uplink(1, []byte("a"), false)
		r.lastEnd = time.Now()
		r.server.Receive(r.heardAs(u, "r1", -100, -2))
		r.server.Receive(r.heardAs(u, "r2", -90, 4.5))
		r.server.Receive(r.heardAs(u, "r2", -90, 4))
		r.windows()
		// SF7 needs -7.5 dB.
		if cs := commandsOf(r.taken()); !slices.Equal(cs, []frame.Command{frame.LinkCheckAns{Margin: 12, GwCnt: 2}}) {
			t.Errorf("%+v", cs)
		}
	})
	bubble(t, "DeviceTimeReq", func(t *testing.T) {
		clock := fakeclock.New(time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC), gateway.ClockUnsynced)
		r := newRig(t, func(c *Config) { c.Clock = clock }, abpDevice())
		defer r.stop()
		n := r.abpNode()
		n.Ask(frame.DeviceTimeReq{})
		r.uplink(n, 1, "a", false)
		if got := r.taken(); len(got) != 0 {
			t.Errorf("answered with a clock that is not known to be right: %+v", got)
		}
		end := time.Date(2026, 7, 1, 10, 0, 0, 500_000_000, time.UTC)
		clock.Set(end, gateway.ClockSynced)
		n.Ask(frame.DeviceTimeReq{})
		r.send(n.Uplink(1, []byte("a"), false))
		clock.Advance(500 * time.Millisecond) // until it is answered
		r.windows()
		cs := commandsOf(r.taken())
		if len(cs) != 1 {
			t.Fatalf("%+v", cs)
		}
		// 2026-07-01 10:00:00.5 UTC is 1466935218.5 s of GPS time.
		if a := cs[0].(frame.DeviceTimeAns); a.Seconds != 1466935218 || a.Fraction != 128 {
			t.Errorf("%+v is %v", a, a.Time())
		}
		heard := time.Date(2026, 7, 1, 11, 0, 0, 0, time.UTC)
		n.Ask(frame.DeviceTimeReq{})
		u, _ := n.Uplink(1, []byte("a"), false)
		f := r.heardAs(u, "r1", -90, 6)
		f.Heard, r.lastEnd = heard, time.Now()
		r.server.Receive(f)
		r.windows()
		if cs := commandsOf(r.taken()); len(cs) != 1 || !cs[0].(frame.DeviceTimeAns).Time().Equal(heard) {
			t.Errorf("%+v", cs)
		}
		if !r.uplinks[2].Received.Equal(heard) {
			t.Errorf("%v", r.uplinks[2].Received)
		}
	})
	bubble(t, "DevStatusReq once a day", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.StatusEvery = 0 }, abpDevice())
		defer func() { r.stop() }()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5, Battery: 200})
		for range 5 {
			r.uplink(n, 1, "a", false)
		}
		if got := r.taken(); len(got) != 1 {
			t.Errorf("asked %d times", len(got))
		}
		r.restart()
		r.uplink(n, 1, "a", false)
		st := r.server.Devices()[0]
		if st.Battery != 200 || st.Margin != 7 || st.RSSI != -90 || st.SNR != 6 || st.Radio != "r1" || st.FCntUp != 5 || st.FCntDown != 1 ||
			st.Asked.IsZero() || st.Seen.IsZero() || !st.Joined || st.Class != ClassA || st.DataRate != 5 {
			t.Errorf("%+v", st)
		}
		time.Sleep(24 * time.Hour)
		r.uplink(n, 1, "a", false)
		if got := r.taken(); len(got) != 1 {
			t.Errorf("asked %d times", len(got))
		}
	})
	bubble(t, "the device's settings become those that are wanted", func(t *testing.T) {
		want := Settings{RX1Delay: 3, RX1Offset: 1, RX2: &RX2{869525000, 3}, DutyCycle: 4,
			Channels:  []uint32{867100000, 867300000, 867500000, 867700000, 867900000, 868800000},
			Downlinks: map[uint32]uint32{867100000: 868500000}}
		d := abpDevice()
		d.Settings = &want
		r := newRig(t, nil, d)
		defer func() { r.stop() }()
		n := r.abpNode()
		for i := range 12 {
			r.uplink(n, 1, "a", i%2 == 0)
			if i == 3 {
				r.restart()
			}
		}
		st := n.State()
		if st.RX1Delay != 3*time.Second || st.RX1Offset != 1 || st.RX2DataRate != 3 || st.MaxDutyCycle != 4 || len(st.Channels) != 9 {
			t.Errorf("%v %d %d %d %d", st.RX1Delay, st.RX1Offset, st.RX2DataRate, st.MaxDutyCycle, len(st.Channels))
		}
		if c := st.Channels[3]; c.Frequency != 867100000 || c.RX1 != 868500000 || !c.Enabled {
			t.Errorf("%+v", c)
		}
		if len(r.deaf) != 0 {
			t.Errorf("%v", r.deaf)
		}
		r.taken()
		r.air.all = nil
		for range 20 {
			r.uplink(n, 1, "a", false)
		}
		if s := r.air.sent(); len(s) != 0 {
			t.Errorf("all is said, and %d downlinks left", len(s))
		}
	})
	bubble(t, "channels that are not wanted any more are removed", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{Channels: []uint32{867100000, 867300000}}
		r := newRig(t, nil, d)
		defer func() { r.stop() }()
		n := r.abpNode()
		for range 5 {
			r.uplink(n, 1, "a", false)
		}
		if st := n.State(); len(st.Channels) != 5 {
			t.Errorf("%+v", st.Channels)
		}
		r.cfg.Devices[0].Settings = nil
		r.restart()
		for range 5 {
			r.uplink(n, 1, "a", false)
		}
		if st := n.State(); len(st.Channels) != 3 {
			t.Errorf("%+v", st.Channels)
		}
	})
	bubble(t, "what an ABP device was programmed with", func(t *testing.T) {
		d := abpDevice()
		d.Preset = &Settings{RX1Delay: 5, RX2: &RX2{869525000, 3}}
		d.Settings = d.Preset
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.abpNode()
		r.send(n.Uplink(1, []byte("a"), true))
		r.windows()
		s := r.air.sent()
		if len(s) != 1 || s[0].start.Sub(r.lastEnd) != 5*time.Second {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "an answer that is repeated until a downlink comes gets one", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{RX2: &RX2{869525000, 3}}
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.abpNode()
		for _, want := range []int{1, 1, 0, 0} { // the request, something for the answer
			r.uplink(n, 1, "a", false)
			if got := r.taken(); len(got) != want {
				t.Errorf("%d downlinks, want %d: %+v", len(got), want, got)
			}
		}
	})
	bubble(t, "TxParamSetupReq", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{TxParam: &frame.TxParamSetupReq{MaxEIRP: 5}}
		r := newRig(t, func(c *Config) { c.Region = regionNamed(t, "AS923") }, d)
		defer r.stop()
		n := r.abpNode()
		for range 5 {
			r.uplink(n, 1, "a", false)
		}
		if st := n.State(); st.UplinkDwell || st.DownlinkDwell || st.MaxEIRP != 16 {
			t.Errorf("%v %v %d", st.UplinkDwell, st.DownlinkDwell, st.MaxEIRP)
		}
		if got := r.taken(); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "one channel", func(t *testing.T) {
		d := otaaDevice()
		d.ADR = true
		d.Settings = &Settings{Single: &Single{868100000, 5}}
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.otaaNode()
		r.join(n)
		for range 4 {
			r.uplink(n, 1, "a", true)
		}
		st := n.State()
		if st.RX2Frequency != 868100000 || st.RX2DataRate != 5 {
			t.Errorf("RX2 at %d Hz, DR%d", st.RX2Frequency, st.RX2DataRate)
		}
		for _, c := range st.Channels {
			if c.Enabled != (c.Frequency == 868100000) {
				t.Errorf("%+v", c)
			}
		}
		r.air.fail = func(*radio.Transmission) error { return nil }
		r.air.all = nil
		for range 30 {
			r.uplink(n, 1, "a", false)
		}
		if s := r.air.sent(); len(s) != 0 {
			t.Errorf("%d downlinks", len(s))
		}
	})
	bubble(t, "one channel, with a data rate of the device's own", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{Single: &Single{868100000, 0}}
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.abpNode()
		for range 6 {
			r.uplink(n, 1, "a", false)
		}
		for _, c := range n.State().Channels {
			if c.Enabled != (c.Frequency == 868100000) {
				t.Errorf("%+v", c)
			}
		}
	})
	bubble(t, "a device that refuses is not asked for ever", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{RX2: &RX2{869525000, 3}, DutyCycle: 2}
		r := newRig(t, nil, d)
		defer r.stop()
		asked := map[string]int{}
		r.air.hear = func(s sent) {
			p, err := frame.ParseData(s.Payload)
			cs, _ := frame.ParseDown(p.FOpts)
			for _, c := range cs {
				asked[fmt.Sprintf("%T", c)]++
			}
			if err != nil {
				t.Error(err)
			}
		}
		for i := range uint32(60) {
			u := frame.Data{Kind: frame.UnconfirmedUp, DevAddr: devAddr1, FPort: 1, FOpts: frame.AppendCommands(nil, frame.RXParamSetupAns{})}
			b, _ := u.Append(nil, nwkSKey, appSKey, i)
			m, _ := r.cfg.Region.DataRate(5)
			r.send(node.Uplink{Frame: b, Frequency: 868100000, Modulation: m}, nil)
			r.windows()
		}
		// It refuses the one, and never answers to the other.
		if asked["frame.RXParamSetupReq"] != maxRefused || asked["frame.DutyCycleReq"] < maxTries || asked["frame.DutyCycleReq"] > maxTries+1 {
			t.Errorf("%v", asked)
		}
	})
	bubble(t, "more than FOpts can carry goes to FPort 0", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{RX1Delay: 3, RX1Offset: 1, Channels: []uint32{867100000, 867300000, 867500000, 867700000}}
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.abpNode()
		r.uplink(n, 1, "a", false)
		got := r.taken()
		if len(got) != 1 || got[0].Port != 0 || len(got[0].Commands) != 6 || got[0].Pending {
			t.Errorf("%+v", got)
		}
		r.enqueue(Downlink{Device: "abp", ID: "1", FPort: 7, Payload: []byte("on")})
		r.uplink(n, frame.NoFPort, "", false) // with six answers, at FPort 0
		if got := r.taken(); len(got) != 1 || string(got[0].Payload) != "on" || len(got[0].Commands) != 0 {
			t.Errorf("%+v", got)
		}
		if st := n.State(); len(st.Channels) != 7 || st.RX1Delay != 3*time.Second {
			t.Errorf("%+v", st.Channels)
		}
		r.wantPayloads("a")
	})
}
