package lorawan

import (
	"slices"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
	"fieldgate/radio/lorawan/region"
)

// made has a server hear an uplink of the ABP device that is made by hand.
func (r *rig) made(fcnt uint32, dr int, port int, commands ...frame.Command) {
	r.Helper()
	m, _ := r.cfg.Region.DataRate(dr)
	d := frame.Data{Kind: frame.UnconfirmedUp, DevAddr: devAddr1, ADR: true, FPort: port, FOpts: frame.AppendCommands(nil, commands...)}
	b, err := d.Append(nil, nwkSKey, appSKey, fcnt)
	if err != nil {
		r.Fatal(err)
	}
	r.send(node.Uplink{Frame: b, Frequency: r.cfg.Region.Channels()[0].Frequency, Modulation: m}, nil)
	r.windows()
}

// requests are the MAC commands that were sent to the ABP device since the last
// call.
func (r *rig) requests() (cs []frame.Command) {
	r.Helper()
	r.air.mu.Lock()
	defer r.air.mu.Unlock()
	for _, s := range r.air.all {
		d, err := frame.ParseData(s.Payload)
		if err != nil {
			r.Fatal(err)
		}
		c, err := frame.ParseDown(d.FOpts)
		if err != nil {
			r.Fatal(err)
		}
		cs = append(cs, c...)
	}
	r.air.all = nil
	return cs
}

func TestADRInTheField(t *testing.T) {
	yes := frame.LinkADRAns{ChannelMaskACK: true, DataRateACK: true, PowerACK: true}
	bubble(t, "a device that says yes and stays as it is is not asked for ever", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{Single: &Single{868100000, 5}, RX2: &RX2{869525000, 0}}
		r := newRig(t, nil, d)
		defer r.stop()
		asked := 0
		for fcnt := range uint32(50) {
			var cs []frame.Command
			if slices.ContainsFunc(r.requests(), func(c frame.Command) bool { return c.ID() == frame.CIDLinkADR }) {
				asked++
				cs = append(cs, yes)
			}
			r.made(fcnt, 2, 1, cs...)
		}
		if asked < 2 || asked > 4 {
			t.Errorf("asked %d times", asked)
		}
	})
	bubble(t, "a device that changes its data rate an uplink later is asked once", func(t *testing.T) {
		d := abpDevice()
		d.ADR = true
		r := newRig(t, nil, d)
		defer r.stop()
		r.snr = 5 // enough for DR5
		asked, fcnt := 0, uint32(0)
		for ; asked == 0 && fcnt < 30; fcnt++ {
			r.made(fcnt, 0, 1)
			asked += len(r.requests())
		}
		r.made(fcnt, 0, 1, yes)
		for range 30 {
			fcnt++
			r.made(fcnt, 5, 1)
		}
		if more := r.requests(); asked != 1 || len(more) != 0 {
			t.Errorf("asked %d times, then for %+v", asked, more)
		}
		s := r.server.sessions[devAddr1]
		if s.asks.broken != 0 || s.asks.ownRate {
			t.Errorf("%+v", s.asks)
		}
	})
	bubble(t, "a device that turns its other channels on again is told once more", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{Single: &Single{868100000, 5}, RX2: &RX2{869525000, 0}}
		r := newRig(t, nil, d)
		defer r.stop()
		r.made(0, 5, 1)
		r.made(1, 5, 1, yes)
		r.requests()
		for fcnt := range uint32(40) { // all of them are heard
			r.made(2+fcnt, 5, 1)
		}
		if cs := r.requests(); len(cs) != 0 {
			t.Errorf("%+v", cs)
		}
		for fcnt := range uint32(30) { // a third is
			r.made(42+3*fcnt, 5, 1)
		}
		cs := r.requests()
		if len(cs) < 1 || len(cs) > 2 || cs[0].ID() != frame.CIDLinkADR || cs[0].(frame.LinkADRReq).ChMask != 1 {
			t.Errorf("%+v", cs)
		}
	})
	bubble(t, "a device without a memory is asked anew", func(t *testing.T) {
		d := abpDevice()
		d.CounterReset = true
		d.Settings = &Settings{RX2: &RX2{869525000, 3}}
		r := newRig(t, nil, d)
		defer r.stop()
		for fcnt := range uint32(30) { // it does not answer
			r.made(fcnt, 5, 1)
		}
		if n := len(r.requests()); n != maxTries {
			t.Errorf("asked %d times", n)
		}
		r.made(0, 5, 1)
		r.made(1, 5, 1)
		if n := len(r.requests()); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestDownlinksInTheField(t *testing.T) {
	bubble(t, "what has no room is not announced", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 0})
		r.enqueue(Downlink{Device: "abp", ID: "1", FPort: 1, Payload: make([]byte, 52)})
		r.uplink(n, 1, "a", true)
		if got := r.taken(); len(got) != 1 || got[0].Pending {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "dwell time of downlinks", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{TxParam: &frame.TxParamSetupReq{DownlinkDwell: true, UplinkDwell: true, MaxEIRP: 5}}
		r := newRig(t, func(c *Config) { c.Region = regionNamed(t, "AS923-1") }, d)
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 2})
		r.enqueue(Downlink{Device: "abp", ID: "1", FPort: 1, Payload: make([]byte, 20)})
		r.enqueue(Downlink{Device: "abp", ID: "2", FPort: 1, Payload: make([]byte, 11), Priority: -1})
		for range 4 {
			r.uplink(n, 1, "a", false)
		}
		for _, s := range r.air.sent() {
			if on := radio.Airtime(s.Modulation, len(s.Payload), radio.AirtimeOptions{NoCRC: true}); on > region.DwellTime {
				t.Errorf("%s, %d bytes: %v", s.DataRate(), len(s.Payload), on)
			}
		}
		r.wantStates("1", "queued")
		r.wantStates("2", "queued", "sent")
	})
	bubble(t, "RX1 behind a frequency that a forwarder has rounded", func(t *testing.T) {
		d := abpDevice()
		d.Settings = &Settings{Channels: []uint32{867100000}, Downlinks: map[uint32]uint32{867100000: 867300000}}
		d.Preset = d.Settings
		r := newRig(t, nil, d)
		defer r.stop()
		u := frameOf(t, &d, 0)
		u.Payload, _ = (&frame.Data{Kind: frame.ConfirmedUp, DevAddr: devAddr1, FPort: frame.NoFPort}).Append(nil, nwkSKey, appSKey, 0)
		u.Frequency = 867099998
		r.server.Receive(u)
		r.windows()
		if s := r.air.sent(); len(s) != 1 || s[0].Frequency != 867300000 {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "an acknowledgement goes by RX2 when the application takes its time", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		r.stop()
		defer func() { r.stop() }()
		n := r.abpNode()
		c := r.cfg
		unkept := false
		c.Table, c.Radio = r.table, r.air
		c.OnUplink = func(u *Uplink) {
			time.Sleep(1200 * time.Millisecond) // a card that is busy
			u.Unkept = unkept
		}
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r.run(s)
		r.uplink(n, 1, "a", true)
		if got := r.taken(); len(got) != 1 || !got[0].ACK || got[0].Window != 2 {
			t.Errorf("%+v", got)
		}
		unkept = true
		r.uplink(n, 1, "b", true)
		r.send(n.Replay(), nil) // once more
		r.windows()
		if got := r.taken(); len(got) != 0 || s.Stats().Unacknowledged != 2 {
			t.Errorf("acknowledged, and nobody has it: %+v", got)
		}
		unkept = false
		r.uplink(n, 1, "c", true)
		if got := r.taken(); len(got) != 1 || !got[0].ACK {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "an older uplink that is kept says nothing of a newer one", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		r.stop()
		n := r.abpNode()
		c := r.cfg
		var settle []func(bool)
		c.Table, c.Radio = r.table, r.air
		c.OnUplink = func(u *Uplink) { settle = append(settle, u.Later()) }
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r.run(s)
		defer func() { r.stop() }()
		r.uplink(n, 1, "a", false)
		r.uplink(n, 1, "b", true)
		settle[1](false)
		settle[0](true)
		r.send(n.Replay(), nil)
		r.windows()
		if got := r.taken(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "an application that vouches later holds up nobody", func(t *testing.T) {
		other := abpDevice()
		other.Device, other.DevAddr = "other", devAddr1+1
		r := newRig(t, nil, abpDevice(), other)
		r.stop()
		n := r.abpNode()
		c := r.cfg
		var settle []func(bool)
		came := 0
		c.Table, c.Radio = r.table, r.air
		c.OnUplink = func(u *Uplink) {
			came++
			if u.Device == "abp" {
				u.Later()
				settle = append(settle, u.Later())
			}
		}
		start := func() {
			s, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			r.run(s)
		}
		start()
		r.uplink(n, 1, "a", true)
		if got := r.taken(); len(got) != 0 {
			t.Errorf("acknowledged, and nobody has it: %+v", got)
		}
		r.server.Receive(frameOf(t, &other, 1))
		r.windows()
		settle[0](true)
		settle[0](true)
		r.send(n.Replay(), nil)
		r.windows()
		if got := r.taken(); came != 2 || len(got) != 1 || !got[0].ACK {
			t.Errorf("%d came, %+v", came, got)
		}
		r.send(n.Uplink(1, []byte("b"), true))
		time.Sleep(300 * time.Millisecond)
		settle[1](true)
		r.windows()
		if got := r.taken(); len(got) != 1 || !got[0].ACK || got[0].Window != 1 {
			t.Errorf("%+v", got)
		}
		r.uplink(n, 1, "c", false)
		stopped := time.Now()
		go func() {
			time.Sleep(500 * time.Millisecond)
			settle[2](true)
		}()
		r.stop() // waits
		if d := time.Since(stopped); d != 500*time.Millisecond {
			t.Errorf("the end took %v", d)
		}
		came = 0
		start()
		r.windows()
		if came != 0 {
			t.Errorf("%d came again", came)
		}
		r.uplink(n, 1, "d", false)
		stopped = time.Now()
		r.stop() // not for ever
		if d := time.Since(stopped); d != settleWithin {
			t.Errorf("the end took %v", d)
		}
		came = 0
		start()
		r.windows()
		if came != 1 {
			t.Errorf("%d came again", came)
		}
		settle[4](true)
		r.stop()
	})
	bubble(t, "a request in a frame that comes once more is answered again", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		n.Ask(frame.LinkCheckReq{})
		r.loseAll = true
		r.uplink(n, 1, "a", false)
		r.loseAll = false
		r.send(n.Replay(), nil)
		r.windows()
		if cs := commandsOf(r.taken()); len(cs) != 1 || cs[0].ID() != frame.CIDLinkCheck {
			t.Errorf("%+v", cs)
		}
	})
}
