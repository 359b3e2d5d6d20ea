package node

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

func TestObey(t *testing.T) {
	adrOK := frame.LinkADRAns{ChannelMaskACK: true, DataRateACK: true, PowerACK: true}
	rxOK := frame.RXParamSetupAns{ChannelACK: true, RX2DataRateACK: true, RX1OffsetACK: true}
	channelOK := frame.NewChannelAns{FrequencyOK: true, DataRatesOK: true}
	type cmds = []frame.Command
	same := func(*State) {}
	for _, c := range []struct {
		name   string
		region string
		noADR  bool
		in     cmds
		want   cmds
		change func(*State) // of the state before
	}{
		{name: "ADR", in: cmds{frame.LinkADRReq{DataRate: 3, TXPower: 2, ChMask: 5, NbTrans: 3}}, want: cmds{adrOK},
			change: func(s *State) { s.DataRate, s.TXPower, s.NbTrans, s.Channels[1].Enabled = 3, 2, 3, false }},
		{name: "ADR, keep", in: cmds{frame.LinkADRReq{DataRate: frame.Keep, TXPower: frame.Keep, ChMask: 7}}, want: cmds{adrOK}, change: same},
		{name: "ADR, all defined", in: cmds{frame.LinkADRReq{DataRate: 0, TXPower: 7, ChMask: 0, ChMaskCntl: 6, NbTrans: 1}}, want: cmds{adrOK},
			change: func(s *State) { s.DataRate, s.TXPower = 0, 7 }},
		{name: "ADR, unknown channel", in: cmds{frame.LinkADRReq{DataRate: 3, ChMask: 15}}, want: cmds{frame.LinkADRAns{PowerACK: true}}, change: same},
		{name: "ADR, no channel", in: cmds{frame.LinkADRReq{DataRate: 3}}, want: cmds{frame.LinkADRAns{PowerACK: true}}, change: same},
		{name: "ADR, reserved ChMaskCntl", in: cmds{frame.LinkADRReq{DataRate: 3, ChMask: 7, ChMaskCntl: 1}}, want: cmds{frame.LinkADRAns{PowerACK: true}}, change: same},
		{name: "ADR, data rate of no channel", in: cmds{frame.LinkADRReq{DataRate: 6, ChMask: 7}},
			want: cmds{frame.LinkADRAns{ChannelMaskACK: true, PowerACK: true}}, change: same},
		{name: "ADR, data rate of no region", in: cmds{frame.LinkADRReq{DataRate: 14, ChMask: 7}},
			want: cmds{frame.LinkADRAns{ChannelMaskACK: true, PowerACK: true}}, change: same},
		{name: "ADR, power", in: cmds{frame.LinkADRReq{DataRate: 3, TXPower: 8, ChMask: 7}},
			want: cmds{frame.LinkADRAns{ChannelMaskACK: true, DataRateACK: true}}, change: same},
		{name: "ADR, a block", region: "US915",
			in:   cmds{frame.LinkADRReq{DataRate: 15, TXPower: 15, ChMask: 2, ChMaskCntl: 7}, frame.LinkADRReq{DataRate: 2, TXPower: 3, ChMask: 0xff00, ChMaskCntl: 0, NbTrans: 1}, frame.DevStatusReq{}},
			want: cmds{adrOK, adrOK, frame.DevStatusAns{Battery: 100, Margin: 7}},
			change: func(s *State) {
				s.DataRate, s.TXPower = 2, 3
				for i := range s.Channels {
					s.Channels[i].Enabled = i >= 8 && i <= 15 || i == 65
				}
			}},
		{name: "ADR, a block that fails", in: cmds{frame.LinkADRReq{DataRate: 3, ChMask: 7}, frame.LinkADRReq{DataRate: 3, ChMask: 9}},
			want: cmds{frame.LinkADRAns{PowerACK: true}, frame.LinkADRAns{PowerACK: true}}, change: same},
		{name: "ADR, two blocks", in: cmds{frame.LinkADRReq{DataRate: 3, TXPower: 1, ChMask: 7}, frame.DutyCycleReq{}, frame.LinkADRReq{DataRate: 4, TXPower: 1, ChMask: 6}},
			want: cmds{adrOK, frame.DutyCycleAns{}, adrOK}, change: func(s *State) { s.DataRate, s.TXPower, s.Channels[0].Enabled = 4, 1, false }},
		{name: "ADR, its owner chooses", noADR: true, in: cmds{frame.LinkADRReq{DataRate: 3, TXPower: 2, ChMask: 5}},
			want: cmds{frame.LinkADRAns{ChannelMaskACK: true}}, change: same},
		{name: "channels, its owner chooses the rest", noADR: true, in: cmds{frame.LinkADRReq{DataRate: 5, TXPower: frame.Keep, ChMask: 1, NbTrans: 2}},
			want: cmds{adrOK}, change: func(s *State) { s.NbTrans, s.Channels[1].Enabled, s.Channels[2].Enabled = 2, false, false }},
		{name: "duty cycle", in: cmds{frame.DutyCycleReq{MaxDutyCycle: 7}}, want: cmds{frame.DutyCycleAns{}}, change: func(s *State) { s.MaxDutyCycle = 7 }},
		{name: "RX parameters", in: cmds{frame.RXParamSetupReq{RX1Offset: 5, RX2DataRate: 3, Frequency: 868500000}}, want: cmds{rxOK},
			change: func(s *State) { s.RX1Offset, s.RX2DataRate, s.RX2Frequency = 5, 3, 868500000 }},
		{name: "RX parameters, all wrong", in: cmds{frame.RXParamSetupReq{RX1Offset: 6, RX2DataRate: 8, Frequency: 915000000}}, want: cmds{frame.RXParamSetupAns{}}, change: same},
		{name: "RX parameters, one wrong", in: cmds{frame.RXParamSetupReq{RX1Offset: 1, RX2DataRate: 8, Frequency: 868500000}},
			want: cmds{frame.RXParamSetupAns{ChannelACK: true, RX1OffsetACK: true}}, change: same},
		{name: "new channel", in: cmds{frame.NewChannelReq{ChIndex: 3, Frequency: 867100000, MinDR: 0, MaxDR: 5}}, want: cmds{channelOK},
			change: func(s *State) { s.Channels = append(s.Channels, Channel{3, 867100000, 0, 0, 5, true}) }},
		{name: "new channel and gone", in: cmds{frame.NewChannelReq{ChIndex: 15, Frequency: 867100000, MaxDR: 5}, frame.NewChannelReq{ChIndex: 15}},
			want: cmds{channelOK, channelOK}, change: same},
		{name: "new channel, default one", in: cmds{frame.NewChannelReq{ChIndex: 2, Frequency: 867100000, MaxDR: 5}}, want: cmds{frame.NewChannelAns{}}, change: same},
		{name: "new channel 16", in: cmds{frame.NewChannelReq{ChIndex: 16, Frequency: 867100000, MaxDR: 5}}, want: cmds{frame.NewChannelAns{}}, change: same},
		{name: "new channel outside", in: cmds{frame.NewChannelReq{ChIndex: 3, Frequency: 915000000, MaxDR: 5}}, want: cmds{frame.NewChannelAns{DataRatesOK: true}}, change: same},
		{name: "new channel, rates", in: cmds{frame.NewChannelReq{ChIndex: 3, Frequency: 867100000, MinDR: 3, MaxDR: 2}, frame.NewChannelReq{ChIndex: 3, Frequency: 867100000, MaxDR: 9}},
			want: cmds{frame.NewChannelAns{FrequencyOK: true}, frame.NewChannelAns{FrequencyOK: true}}, change: same},
		{name: "RX timing", in: cmds{frame.RXTimingSetupReq{Delay: 15}}, want: cmds{frame.RXTimingSetupAns{}}, change: func(s *State) { s.RX1Delay = 15 * time.Second }},
		{name: "RX timing 0", in: cmds{frame.RXTimingSetupReq{}}, want: cmds{frame.RXTimingSetupAns{}}, change: same},
		{name: "TX parameters, not here", in: cmds{frame.TxParamSetupReq{UplinkDwell: true}}, change: same},
		{name: "TX parameters", region: "AS923-1", in: cmds{frame.TxParamSetupReq{UplinkDwell: true, MaxEIRP: 4}}, want: cmds{frame.TxParamSetupAns{}},
			change: func(s *State) { s.UplinkDwell, s.DownlinkDwell, s.MaxEIRP = true, false, 14 }},
		{name: "RX1 elsewhere", in: cmds{frame.DlChannelReq{ChIndex: 1, Frequency: 867900000}}, want: cmds{frame.DlChannelAns{FrequencyOK: true, UplinkFrequencyExists: true}},
			change: func(s *State) { s.Channels[1].RX1 = 867900000 }},
		{name: "RX1 elsewhere, no channel", in: cmds{frame.DlChannelReq{ChIndex: 3, Frequency: 867900000}, frame.DlChannelReq{ChIndex: 255, Frequency: 500}},
			want: cmds{frame.DlChannelAns{FrequencyOK: true}, frame.DlChannelAns{}}, change: same},
		{name: "answers to requests", in: cmds{frame.LinkCheckAns{Margin: 3, GwCnt: 1}, frame.DeviceTimeAns{Seconds: 5}}, change: same},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := Config{DataRate: 5, ADR: !c.noADR, Battery: 100}
			if c.region != "" {
				conf.Region, conf.DataRate = get(t, c.region), 3
			}
			_, rx2 := get(t, "EU868").RX2()
			if c.region != "" {
				_, rx2 = conf.Region.RX2()
			}
			n, w := joined(t, conf, frame.Accept{RX2DataRate: uint8(rx2)})
			uplink(t, n, "x", false)
			want := n.State()
			d, err := n.Downlink(in1(n, w.commands(c.in...)))
			if err != nil || !reflect.DeepEqual(d.Commands, c.in) {
				t.Fatalf("%+v, %v", d, err)
			}
			want.FCntDown++
			c.change(&want)
			if got := n.State(); !reflect.DeepEqual(got, want) {
				t.Errorf("state %+v, want %+v", got, want)
			}
			if _, cs := w.read(uplink(t, n, "", false)); !slices.Equal(cs, c.want) {
				t.Errorf("answers %v, want %v", cs, c.want)
			}
		})
	}
}

// Some answers are repeated until the network shows that it has them.
func TestStickyAnswers(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5}, frame.Accept{})
	uplink(t, n, "x", false)
	if _, err := n.Downlink(in1(n, w.commands(frame.RXTimingSetupReq{Delay: 2}, frame.DevStatusReq{}, frame.DlChannelReq{ChIndex: 0, Frequency: 868500000}))); err != nil {
		t.Fatal(err)
	}
	sticky := []frame.Command{frame.RXTimingSetupAns{}, frame.DlChannelAns{FrequencyOK: true, UplinkFrequencyExists: true}}
	if _, cs := w.read(uplink(t, n, "x", false)); !slices.Equal(cs, append(slices.Clone(sticky), frame.DevStatusAns{Margin: 7})) {
		t.Errorf("first %v", cs)
	}
	if _, cs := w.read(uplink(t, n, "x", false)); !slices.Equal(cs, sticky) {
		t.Errorf("then %v", cs)
	}
	if rx1, rx2 := n.Windows(); rx1.Delay != 2*time.Second || rx2.Delay != 3*time.Second {
		t.Errorf("windows %+v, %+v", rx1, rx2)
	}
	if _, err := n.Downlink(in1(n, w.send(frame.Data{FPort: 1}))); err != nil {
		t.Fatal(err)
	}
	if d, cs := w.read(uplink(t, n, "x", false)); cs != nil {
		t.Errorf("still %v in %+v", cs, d)
	}
}

// Answers that FOpts cannot hold go out at port 0, or with later frames.
func TestManyAnswers(t *testing.T) {
	many := func() (*Node, *network, []frame.Command) {
		n, w := joined(t, Config{DataRate: 5}, frame.Accept{})
		uplink(t, n, "x", false)
		var in, want []frame.Command
		for range 6 {
			in, want = append(in, frame.DevStatusReq{}), append(want, frame.DevStatusAns{Margin: 7})
		}
		if _, err := n.Downlink(in1(n, w.commands(in...))); err != nil {
			t.Fatal(err)
		}
		return n, w, want
	}
	n, w, want := many()
	if d, cs := w.read(uplink(t, n, "", false)); d.FPort != 0 || d.FOpts != nil || !slices.Equal(cs, want) {
		t.Errorf("%+v, %v", d, cs)
	}
	n, w, want = many()
	n.Ask(frame.LinkCheckReq{})
	if d, cs := w.read(uplink(t, n, "x", false)); string(d.Payload) != "x" || len(d.FOpts) != 15 || !slices.Equal(cs, want[:5]) {
		t.Errorf("%+v, %v", d, cs)
	}
	if d, cs := w.read(uplink(t, n, "x", false)); len(d.FOpts) != 4 || !slices.Equal(cs, []frame.Command{want[5], frame.LinkCheckReq{}}) {
		t.Errorf("%+v, %v", d, cs)
	}
	n, w, want = many()
	long := make([]byte, get(t, "EU868").MaxPayload(5)-7)
	if d, cs := w.read(uplink(t, n, string(long), false)); len(d.Payload) != len(long) || !slices.Equal(cs, want[:2]) {
		t.Errorf("%+v, %v", d, cs)
	}
	if _, err := n.Uplink(1, make([]byte, len(long)+8), false); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if d, err := n.Uplink(0, frame.AppendCommands(nil, frame.DeviceTimeReq{}), false); err != nil {
		t.Errorf("%+v, %v", d, err)
	} else if d, cs := w.read(d); d.FOpts != nil || !slices.Equal(cs, []frame.Command{frame.DeviceTimeReq{}}) {
		t.Errorf("%+v, %v", d, cs)
	}
}

// Commands at port 0 and behind an unknown one.
func TestCommandsInPayload(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5}, frame.Accept{})
	uplink(t, n, "x", false)
	d, err := n.Downlink(in1(n, w.send(frame.Data{FPort: 0, Payload: []byte{frame.CIDRXTiming, 3, 0x7f, frame.CIDRXTiming, 4}})))
	if err != nil || d.Payload != nil || d.Port != 0 || len(d.Commands) != 1 || n.State().RX1Delay != 3*time.Second {
		t.Errorf("%+v, %v", d, err)
	}
}

// RX1 moves with DlChannelReq and the offset.
func TestRX1(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5, Channels: region.SetOf(0)}, frame.Accept{})
	uplink(t, n, "x", false)
	if _, err := n.Downlink(in1(n, w.commands(frame.DlChannelReq{ChIndex: 0, Frequency: 868500000}, frame.RXParamSetupReq{RX1Offset: 2, RX2DataRate: 4, Frequency: 868300000}))); err != nil {
		t.Fatal(err)
	}
	uplink(t, n, "x", false)
	rx1, rx2 := n.Windows()
	if rx1.Frequency != 868500000 || rx1.DataRate != 3 || rx1.SF != 9 || rx2.Frequency != 868300000 || rx2.SF != 8 {
		t.Errorf("%+v, %+v", rx1, rx2)
	}
	// A join request is answered as by a network that knows nothing of that.
	u, err := n.JoinRequest()
	if err != nil {
		t.Fatal(err)
	}
	rx1, rx2 = n.Windows()
	if rx1 != (Window{5 * time.Second, u.Frequency, 5, u.Modulation}) || rx2.Delay != 6*time.Second || rx2.Frequency != 869525000 || rx2.SF != 12 {
		t.Errorf("of a join request: %+v, %+v", rx1, rx2)
	}
}

func TestNbTrans(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5, ADR: true}, frame.Accept{})
	uplink(t, n, "x", false)
	if n.Repeats() {
		t.Error("repeats without being asked")
	}
	if _, err := n.Downlink(in1(n, w.commands(frame.LinkADRReq{DataRate: 5, ChMask: 7, NbTrans: 3}))); err != nil {
		t.Fatal(err)
	}
	first := uplink(t, n, "x", false)
	for range 2 {
		if u, ok := n.Retransmit(); !ok || !slices.Equal(u.Frame, first.Frame) || u.DataRate != 5 {
			t.Errorf("%+v, %v", u, ok)
		}
	}
	if _, ok := n.Retransmit(); ok {
		t.Error("four times")
	}
	uplink(t, n, "x", false)
	if _, err := n.Downlink(in1(n, w.send(frame.Data{FPort: 1}))); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.Retransmit(); ok {
		t.Error("repeated after a downlink")
	}
}

// Without downlinks, a device asks for one and then goes back to what reaches far.
func TestADRBackoff(t *testing.T) {
	n, w := joined(t, Config{DataRate: 2, ADR: true}, frame.Accept{})
	uplink(t, n, "x", false)
	if _, err := n.Downlink(in1(n, w.commands(frame.LinkADRReq{DataRate: 2, TXPower: 3, ChMask: 1, NbTrans: 2}))); err != nil {
		t.Fatal(err)
	}
	step := func(uplinks int) (s State) {
		for range uplinks {
			uplink(t, n, "x", false)
		}
		return n.State()
	}
	for i := range 64 {
		if d, _ := w.read(uplink(t, n, "x", false)); !d.ADR || d.ADRACKReq {
			t.Fatalf("uplink %d: ADR %v, ADRACKReq %v", i, d.ADR, d.ADRACKReq)
		}
	}
	if d, _ := w.read(uplink(t, n, "x", false)); !d.ADRACKReq {
		t.Error("it does not ask")
	}
	if s := step(30); s.TXPower != 3 || s.DataRate != 2 {
		t.Errorf("95: power %d, DR%d", s.TXPower, s.DataRate)
	}
	if s := step(1); s.TXPower != 0 || s.DataRate != 2 {
		t.Errorf("96: power %d, DR%d", s.TXPower, s.DataRate)
	}
	if s := step(32); s.DataRate != 1 {
		t.Errorf("128: DR%d", s.DataRate)
	}
	if s := step(32); s.DataRate != 0 || s.Channels[1].Enabled || s.NbTrans != 2 {
		t.Errorf("160: DR%d", s.DataRate)
	}
	if s := step(32); s.DataRate != 0 || !s.Channels[1].Enabled || s.NbTrans != 1 {
		t.Errorf("192: %+v", s.Channels)
	}
	if _, err := n.Downlink(in1(n, w.send(frame.Data{FPort: 1}))); err != nil {
		t.Fatal(err)
	}
	if d, _ := w.read(uplink(t, n, "x", false)); d.ADRACKReq {
		t.Error("it still asks")
	}
}

func TestPower(t *testing.T) {
	n, w := joined(t, Config{DataRate: 3, ADR: true, Region: get(t, "AS923-1")}, frame.Accept{RX2DataRate: 2})
	most, _ := get(t, "AS923-1").TXPower(0)
	if u := uplink(t, n, "x", false); u.Power != most {
		t.Errorf("%d dBm", u.Power)
	}
	if _, err := n.Downlink(in1(n, w.commands(frame.TxParamSetupReq{MaxEIRP: 1}, frame.LinkADRReq{DataRate: 3, TXPower: 2, ChMask: 3}))); err != nil {
		t.Fatal(err)
	}
	if u := uplink(t, n, "x", false); u.Power != 10-4 {
		t.Errorf("%d dBm", u.Power)
	}
}

func TestPause(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5}, frame.Accept{})
	u := uplink(t, n, "x", false)
	if n.PauseAfter(u) != 0 {
		t.Error("silent without being told")
	}
	if _, err := n.Downlink(in1(n, w.commands(frame.DutyCycleReq{MaxDutyCycle: 4}))); err != nil {
		t.Fatal(err)
	}
	// SF7, 14 bytes: 46.336 ms, by the LoRa calculator's formula.
	if got := n.PauseAfter(u); got != 15*46336*time.Microsecond {
		t.Error(got)
	}
}

// A network that takes all channels away gets the default ones.
func TestNoChannelLeft(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5, ADR: true}, frame.Accept{})
	for _, c := range []frame.Command{
		frame.NewChannelReq{ChIndex: 4, Frequency: 867100000, MaxDR: 5}, frame.LinkADRReq{DataRate: 5, ChMask: 16}, frame.NewChannelReq{ChIndex: 4},
	} {
		uplink(t, n, "x", false)
		if _, err := n.Downlink(in1(n, w.commands(c))); err != nil {
			t.Fatal(err)
		}
	}
	if u := uplink(t, n, "x", false); u.Channel > 2 {
		t.Errorf("%+v", u)
	}
}
