package node

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

func TestJoin(t *testing.T) {
	n := newNode(t, Config{DevNonce: 41, DataRate: 5})
	w := &network{t: t, app: appKey}
	if _, err := n.Uplink(1, nil, false); !errors.Is(err, ErrNotJoined) {
		t.Errorf("uplink before joining: %v", err)
	}
	seen := map[uint32]bool{}
	var u Uplink
	for i := range 30 {
		var err error
		if u, err = n.JoinRequest(); err != nil {
			t.Fatal(err)
		}
		j, _ := frame.ParseJoin(u.Frame)
		if !u.Join || j.DevNonce != uint16(41+i) || u.DataRate != 5 || u.SF != 7 || u.Power != 16 {
			t.Errorf("%+v, DevNonce %d", u, j.DevNonce)
		}
		seen[u.Frequency] = true
	}
	if !reflect.DeepEqual(seen, map[uint32]bool{868100000: true, 868300000: true, 868500000: true}) {
		t.Errorf("asked on %v", seen)
	}
	cf, err := get(t, "EU868").CFList([]uint32{867100000, 867300000})
	if err != nil {
		t.Fatal(err)
	}
	ok := w.accept(u, frame.Accept{NetID: 0x13, RX1Offset: 2, RX2DataRate: 3, RxDelay: 5, CFList: cf})
	rx1, rx2 := n.Windows()
	if rx1 != (Window{5 * time.Second, u.Frequency, 5, u.Modulation}) || rx2.Delay != 6*time.Second || rx2.Frequency != 869525000 || rx2.SF != 12 {
		t.Errorf("windows %+v, %+v", rx1, rx2)
	}
	other := frame.Accept{JoinNonce: 77, DevAddr: 1}
	stranger, err := other.Append(nil, frame.Key{9})
	if err != nil {
		t.Fatal(err)
	}
	badList := frame.Accept{JoinNonce: 78, CFList: make([]byte, 16)}
	badList.CFList[15] = 1
	for _, c := range []struct {
		name string
		r    Received
		err  error
	}{
		{"for another device", in1(n, stranger), frame.ErrMIC},
		{"a second late", late(in1(n, ok), time.Second), ErrDeaf},
		{"late", late(in1(n, ok), 4*time.Millisecond), ErrDeaf},
		{"early", late(in1(n, ok), -4*time.Millisecond), ErrDeaf},
		{"RX1 at the time of RX2", Received{Frame: ok, Frequency: rx1.Frequency, Modulation: rx1.Modulation, After: rx2.Delay}, ErrDeaf},
		{"another frequency", Received{Frame: ok, Frequency: rx1.Frequency + 200000, Modulation: rx1.Modulation, After: rx1.Delay}, ErrDeaf},
		{"another spreading factor", Received{Frame: ok, Frequency: rx1.Frequency, Modulation: rx2.Modulation, After: rx1.Delay}, ErrDeaf},
		{"CFList of another region", in1(n, w.accept(u, badList)), region.ErrCFList},
		{"RX1 offset", in1(n, w.accept(u, frame.Accept{JoinNonce: 79, RX1Offset: 6})), region.ErrDataRate},
		{"RX2 data rate", in1(n, w.accept(u, frame.Accept{JoinNonce: 79, RX2DataRate: 9})), region.ErrDataRate},
		{"its own request", in1(n, u.Frame), ErrKind},
		{"cut off", in1(n, ok[:20]), frame.ErrLength},
		{"nothing", in1(n, nil), frame.ErrLength},
	} {
		if _, err := n.Downlink(c.r); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if n.State().Joined {
			t.Fatalf("%s: joined", c.name)
		}
	}
	w.nonce = 0
	ok = w.accept(u, frame.Accept{NetID: 0x13, RX1Offset: 2, RX2DataRate: 3, RxDelay: 5, CFList: cf})
	if d, err := n.Downlink(late(in2(n, ok), -90*time.Millisecond)); err != nil || d.Window != 2 || !d.Joined {
		t.Fatalf("in RX2: %+v, %v", d, err)
	}
	s := n.State()
	if !s.Joined || s.DevAddr != 0x26000001 || s.NwkSKey != w.nwkS || s.AppSKey != w.appS || s.FCntUp != 0 || s.FCntDown != 0 ||
		s.RX1Offset != 2 || s.RX2DataRate != 3 || s.RX1Delay != 5*time.Second || len(s.Channels) != 5 {
		t.Errorf("%d channels, RX1 offset %d, delay %s, RX2 DR%d", len(s.Channels), s.RX1Offset, s.RX1Delay, s.RX2DataRate)
	}
	if c := s.Channels[4]; c != (Channel{4, 867300000, 0, 0, 5, true}) {
		t.Errorf("%+v", c)
	}
	if _, err := n.Downlink(in1(n, ok)); !errors.Is(err, ErrDeaf) {
		t.Errorf("a second one: %v", err)
	}
	uplink(t, n, "x", false)
	if rx1, rx2 := n.Windows(); rx1.Delay != 5*time.Second || rx1.DataRate != 3 || rx2.Delay != 6*time.Second || rx2.DataRate != 3 {
		t.Errorf("windows %+v, %+v", rx1, rx2)
	}

	// Again, with a JoinNonce that was there.
	if u, err = n.JoinRequest(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Downlink(in1(n, w.accept(u, frame.Accept{JoinNonce: 1}))); !errors.Is(err, ErrReplay) {
		t.Errorf("JoinNonce again: %v", err)
	}
	if s := n.State(); !s.Joined || s.FCntUp != 1 {
		t.Errorf("the old session is gone: %d", s.FCntUp)
	}
	if _, err := n.Downlink(in1(n, w.accept(u, frame.Accept{JoinNonce: 2}))); err != nil {
		t.Error(err)
	}
	if s := n.State(); s.RX1Delay != time.Second || s.FCntUp != 0 || len(s.Channels) != 3 {
		t.Errorf("delay %s, counter %d, %d channels", s.RX1Delay, s.FCntUp, len(s.Channels))
	}
}

func TestRandomNonces(t *testing.T) {
	n := newNode(t, Config{RandomNonce: true})
	seen := map[uint16]bool{}
	for range 2000 {
		u, err := n.JoinRequest()
		if err != nil {
			t.Fatal(err)
		}
		j, _ := frame.ParseJoin(u.Frame)
		if seen[j.DevNonce] {
			t.Fatalf("DevNonce %d again", j.DevNonce)
		}
		seen[j.DevNonce] = true
	}
	if seen[0] && seen[1] && seen[2] {
		t.Error("they count")
	}
}

func TestUS915(t *testing.T) {
	r := get(t, "US915")
	block, _ := r.Block(2)
	n, w := newNode(t, Config{Region: r, DataRate: 3, Channels: block}), &network{t: t, app: appKey}
	var u Uplink
	for range 30 {
		var err error
		if u, err = n.JoinRequest(); err != nil {
			t.Fatal(err)
		}
		if !block.Has(u.Channel) || u.Channel < 64 && u.SF != 10 || u.Channel >= 64 && (u.SF != 8 || u.Bandwidth != 500000) {
			t.Errorf("%+v", u)
		}
	}
	var freqs []uint32
	third, _ := r.Block(3)
	for _, i := range third.List() {
		freqs = append(freqs, r.Channels()[i].Frequency)
	}
	cf, err := r.CFList(freqs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Downlink(in1(n, w.accept(u, frame.Accept{RX2DataRate: 8, CFList: cf}))); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		u := uplink(t, n, "x", false)
		rx1, rx2 := n.Windows()
		if !third.Has(u.Channel) || u.SF != 7 || rx1.DataRate != 13 || rx1.Frequency != 923300000+uint32(u.Channel%8)*600000 || rx2.Frequency != 923300000 || rx2.DataRate != 8 {
			t.Errorf("channel %d %s, RX1 %+v, RX2 %+v", u.Channel, u.Modulation.DataRate(), rx1, rx2)
		}
	}
	if _, err := n.Downlink(in1(n, w.commands(frame.NewChannelReq{ChIndex: 3}, frame.DlChannelReq{}, frame.TxParamSetupReq{}, frame.DevStatusReq{}))); err != nil {
		t.Fatal(err)
	}
	if _, cs := w.read(uplink(t, n, "", false)); !reflect.DeepEqual(cs, []frame.Command{frame.DevStatusAns{Margin: 7}}) {
		t.Errorf("answers %v", cs)
	}
}

func TestABP(t *testing.T) {
	c := Config{ABP: true, DevAddr: 0x26011bda, NwkSKey: frame.Key{1}, AppSKey: frame.Key{2}, FCntUp: 7, FCntDown: 3, DataRate: 5, Channels: region.SetOf(1)}
	n, w := newNode(t, c), &network{t: t, addr: c.DevAddr, nwkS: c.NwkSKey, appS: c.AppSKey, down: 3}
	if _, err := n.JoinRequest(); !errors.Is(err, ErrABP) {
		t.Error(err)
	}
	u := uplink(t, n, "hello", false)
	if d, _ := w.read(u); string(d.Payload) != "hello" || u.FCnt != 7 || d.FPort != 5 || u.Frequency != 868300000 || d.Kind != frame.UnconfirmedUp {
		t.Errorf("%+v", d)
	}
	if d, err := n.Downlink(in1(n, w.send(frame.Data{FPort: 9, Payload: []byte("ok"), Pending: true}))); err != nil || d.FCnt != 3 || string(d.Payload) != "ok" || d.Port != 9 || !d.Pending {
		t.Errorf("%+v, %v", d, err)
	}
	n.Restart()
	if s := n.State(); !s.Joined || s.FCntUp != 0 || s.FCntDown != 0 {
		t.Errorf("%d, %d", s.FCntUp, s.FCntDown)
	}
	if _, err := New(Config{DataRate: 8}); !errors.Is(err, region.ErrDataRate) {
		t.Error(err)
	}
}

func TestDownlinkCounters(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5}, frame.Accept{})
	hear := func(b []byte) error {
		uplink(t, n, "x", false)
		_, err := n.Downlink(in1(n, b))
		return err
	}
	first := w.send(frame.Data{FPort: 1, Payload: []byte{1}})
	if err := hear(first); err != nil {
		t.Fatal(err)
	}
	if err := hear(first); !errors.Is(err, ErrReplay) {
		t.Errorf("again: %v", err)
	}
	second := w.send(frame.Data{FPort: 1})
	for i := range second {
		b := append([]byte(nil), second...)
		b[i] ^= 0x40
		if err := hear(b); err == nil {
			t.Errorf("byte %d changed: taken", i)
		}
	}
	w.down = 50
	if err := hear(w.send(frame.Data{FPort: 1})); err != nil {
		t.Error(err)
	}
	if err := hear(second); !errors.Is(err, ErrReplay) {
		t.Errorf("an older one: %v", err)
	}
	w.down = 51 + 16384
	if err := hear(w.send(frame.Data{FPort: 1})); !errors.Is(err, ErrGap) {
		t.Errorf("far ahead: %v", err)
	}
	w.down = 50 + 16384
	if err := hear(w.send(frame.Data{FPort: 1})); err != nil {
		t.Error(err)
	}
	n.SetFCntDown(0xffff)
	w.down = 0xffff
	for _, want := range []uint32{0xffff, 0x10000, 0x10001} {
		if err := hear(w.send(frame.Data{FPort: 1})); err != nil || n.State().FCntDown != want+1 {
			t.Errorf("%#x: %v, %#x", want, err, n.State().FCntDown)
		}
	}
	w.down = 0xffff
	if err := hear(w.send(frame.Data{FPort: 1})); !errors.Is(err, ErrReplay) {
		t.Errorf("one from before the low half began again: %v", err)
	}
	n.SetFCntDown(0xffffffff)
	w.down = 0
	if err := hear(w.send(frame.Data{FPort: 1})); !errors.Is(err, ErrMIC) {
		t.Errorf("the counter began again, the last one left out: %v", err)
	}
	w.down = 0xffffffff
	if err := hear(w.send(frame.Data{FPort: 1})); err != nil {
		t.Error(err)
	}
	w.down = 0
	if err := hear(w.send(frame.Data{FPort: 1})); err == nil {
		t.Error("the counter began again")
	}
	n.SetFCntDown(0)
	w.addr++
	if err := hear(w.send(frame.Data{FPort: 1})); !errors.Is(err, ErrStranger) {
		t.Error(err)
	}
	w.addr--
	uplink(t, n, "x", false)
	w.down = 0
	if _, err := n.Downlink(in2(n, w.send(frame.Data{FPort: 1, Payload: make([]byte, 52)}))); !errors.Is(err, ErrTooLong) {
		t.Errorf("52 bytes with SF12: %v", err)
	}
	if _, err := n.Downlink(in2(n, w.send(frame.Data{FPort: 1, Payload: make([]byte, 51)}))); err != nil {
		t.Errorf("51 bytes with SF12: %v", err)
	}
}

func TestUplinkCounters(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5}, frame.Accept{})
	n.SetFCntUp(0xffff)
	for _, want := range []uint32{0xffff, 0x10000} {
		u := uplink(t, n, "x", false)
		if w.read(u); u.FCnt != want {
			t.Errorf("counter %#x, want %#x", u.FCnt, want)
		}
	}
	n.SetFCntUp(0xffffffff)
	uplink(t, n, "x", false)
	if _, err := n.Uplink(1, nil, false); !errors.Is(err, ErrCounter) {
		t.Errorf("the counter began again: %v", err)
	}
}

func TestConfirmed(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5, Tries: 5}, frame.Accept{})
	first := uplink(t, n, "x", true)
	if d, _ := w.read(first); d.Kind != frame.ConfirmedUp {
		t.Error(d.Kind)
	}
	var rates []int
	for {
		u, ok := n.Retransmit()
		if !ok {
			break
		}
		if !reflect.DeepEqual(u.Frame, first.Frame) {
			t.Errorf("%x, first %x", u.Frame, first.Frame)
		}
		rates = append(rates, u.DataRate)
	}
	if !reflect.DeepEqual(rates, []int{5, 4, 4, 3}) {
		t.Errorf("sent again with DR %v", rates)
	}
	if s := n.State(); !s.Unacknowledged || s.DataRate != 5 {
		t.Errorf("unacknowledged %v, DR%d", s.Unacknowledged, s.DataRate)
	}
	uplink(t, n, "y", true)
	if d, err := n.Downlink(in1(n, w.send(frame.Data{FPort: frame.NoFPort}))); err != nil || d.ACK || !n.Repeats() {
		t.Errorf("without ACK: %+v, %v", d, err)
	}
	if _, ok := n.Retransmit(); !ok {
		t.Fatal("it does not try again")
	}
	if d, err := n.Downlink(in1(n, w.send(frame.Data{Kind: frame.ConfirmedDown, ACK: true, FPort: 2, Payload: []byte{9}}))); err != nil || !d.ACK || !d.Confirmed {
		t.Errorf("%+v, %v", d, err)
	}
	if _, ok := n.Retransmit(); ok {
		t.Error("acknowledged, and sent again")
	}
	if d, _ := w.read(uplink(t, n, "z", false)); !d.ACK {
		t.Error("the confirmed downlink is not acknowledged")
	}
	if d, err := n.Downlink(in1(n, w.send(frame.Data{ACK: true, FPort: frame.NoFPort}))); err != nil || d.ACK {
		t.Errorf("an ACK of nothing: %+v, %v", d, err)
	}
	if d, _ := w.read(uplink(t, n, "z", false)); d.ACK {
		t.Error("acknowledged twice")
	}
}

func TestClassC(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5, ClassC: true}, frame.Accept{RX2DataRate: 3})
	rxc, ok := n.ClassC()
	if !ok || rxc.Frequency != 869525000 || rxc.SF != 9 {
		t.Fatalf("%+v", rxc)
	}
	r := in(rxc, w.send(frame.Data{Kind: frame.ConfirmedDown, FPort: 2}))
	r.After = 1234 * time.Second
	if d, err := n.Downlink(r); err != nil || d.Window != 0 || !d.Confirmed || !n.State().AckDue {
		t.Errorf("%+v, %v", d, err)
	}
	uplink(t, n, "x", false)
	r = in(rxc, w.send(frame.Data{FPort: 2}))
	r.After = time.Millisecond
	if _, err := n.Downlink(r); err != nil {
		t.Error(err)
	}
	if d, err := n.Downlink(in1(n, w.send(frame.Data{FPort: 2}))); err != nil || d.Window != 1 {
		t.Errorf("RX1 is closed by a frame of class C: %+v, %v", d, err)
	}
	a, w := joined(t, Config{DataRate: 5}, frame.Accept{RX2DataRate: 3})
	if _, ok := a.ClassC(); ok {
		t.Error("class A has it too")
	}
	r = in(rxc, w.send(frame.Data{FPort: 2}))
	r.After = 1234 * time.Second
	if _, err := a.Downlink(r); !errors.Is(err, ErrDeaf) {
		t.Error(err)
	}
}

func TestMischief(t *testing.T) {
	n, w := joined(t, Config{DataRate: 5, DevNonce: 3}, frame.Accept{})
	u := uplink(t, n, "x", false)
	if again := n.Replay(); !reflect.DeepEqual(again, u) {
		t.Errorf("%+v, want %+v", again, u)
	}
	n.BreakMIC()
	if u := uplink(t, n, "x", false); frame.CheckData(u.Frame, w.nwkS, u.FCnt) {
		t.Error("its MIC is right")
	}
	if u := uplink(t, n, "x", false); !frame.CheckData(u.Frame, w.nwkS, u.FCnt) {
		t.Error("the MIC behind is wrong as well")
	}
	n.SetDevNonce(3)
	u, err := n.JoinRequest()
	if j, _ := frame.ParseJoin(u.Frame); err != nil || j.DevNonce != 3 {
		t.Errorf("%+v, %v", j, err)
	}
	n.Restart()
	if n.State().Joined {
		t.Error("still joined")
	}
	if u, err = n.JoinRequest(); err != nil {
		t.Fatal(err)
	}
	if j, _ := frame.ParseJoin(u.Frame); j.DevNonce != 4 {
		t.Errorf("DevNonce %d", j.DevNonce)
	}
}

func TestTolerance(t *testing.T) {
	if got := Tolerance(radio.Modulation{SF: 12, Bandwidth: 125000}); got != 3*32768*time.Microsecond {
		t.Error(got)
	}
	if got := Tolerance(radio.Modulation{BitRate: 50000}); got != time.Millisecond {
		t.Error(got)
	}
}
