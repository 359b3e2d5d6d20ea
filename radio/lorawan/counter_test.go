package lorawan

import (
	"slices"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

func TestCounter(t *testing.T) {
	abp := func(up uint32) *session {
		d := &device{cfg: &Device{NwkSKey: nwkSKey}}
		return &session{dev: d, addr: devAddr1, nwk: nwkSKey, app: appSKey, up: up, heard: true}
	}
	made := func(fcnt uint32, payload string) []byte {
		d := frame.Data{Kind: frame.UnconfirmedUp, DevAddr: devAddr1, FPort: 1, Payload: []byte(payload)}
		b, err := d.Append(nil, nwkSKey, appSKey, fcnt)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name    string
		up      uint32 // last; its payload was "last"
		fcnt    uint32
		payload string
		change  func(*session)
		want    verdict
	}{
		{"first", 0, 65535, "", func(n *session) { n.heard = false }, fresh},
		{"next", 7, 8, "", nil, fresh},
		{"the same again", 7, 7, "last", nil, repeated},
		{"another with the same counter", 7, 7, "other", nil, replayed},
		{"one before", 7, 6, "", nil, replayed},
		{"roll over", 65535, 65536, "", nil, fresh},
		{"roll over with a gap", 65530, 65600, "", nil, fresh},
		{"second roll over", 131071, 131072, "", nil, fresh},
		{"before the roll over", 65540, 65530, "", nil, replayed},
		{"16384 ahead", 100, 16484, "", nil, fresh},
		{"16385 ahead", 100, 16485, "", nil, gap},
		{"16385 ahead, 1.0.4", 100, 16485, "", func(n *session) { n.dev.cfg.Version = V104 }, fresh},
		{"65535 ahead, 1.0.4", 100, 65635, "", func(n *session) { n.dev.cfg.Version = V104 }, fresh},
		{"65536 ahead cannot be told", 100, 65636, "", func(n *session) { n.dev.cfg.Version = V104 }, wrongMIC},
		{"the last that there is", 1<<32 - 2, 1<<32 - 1, "", nil, fresh},
		{"none is left", 1<<32 - 1, 0, "", nil, replayed},
		{"another key", 7, 8, "", func(n *session) { n.nwk = appSKey }, wrongMIC},
		{"reset, not allowed", 70000, 0, "", nil, wrongMIC},
		{"reset, not allowed, low", 700, 0, "", nil, replayed},
		{"reset", 70000, 0, "", func(n *session) { n.dev.cfg.CounterReset = true }, restarted},
		{"reset, low", 700, 3, "", func(n *session) { n.dev.cfg.CounterReset = true }, restarted},
		{"reset to the same counter", 0, 0, "other", func(n *session) { n.dev.cfg.CounterReset = true }, restarted},
		{"reset of a device that joins", 70000, 0, "", func(n *session) { n.dev.cfg.CounterReset, n.dev.cfg.AppKey = true, appKey }, wrongMIC},
	} {
		n := abp(c.up)
		last := made(c.up, "last")
		n.mic = [4]byte(last[len(last)-4:])
		if c.change != nil {
			c.change(n)
		}
		fcnt, v := n.check(made(c.fcnt, c.payload), uint16(c.fcnt))
		if v != c.want {
			t.Errorf("%s: verdict %d, want %d", c.name, v, c.want)
		}
		if v >= replayed && v != replayed && fcnt != c.fcnt {
			t.Errorf("%s: counter %d, want %d", c.name, fcnt, c.fcnt)
		}
	}
}

func TestUplinks(t *testing.T) {
	bubble(t, "counter rolls over and survives a restart", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, FCntUp: 65534, DataRate: 5})
		r.uplink(n, 1, "a", false)
		r.uplink(n, 1, "b", false)
		r.restart()
		r.uplink(n, 1, "c", false)
		r.wantPayloads("a", "b", "c")
		if u := r.uplinks[2]; u.FCnt != 65536 {
			t.Errorf("counter %d", u.FCnt)
		}
		r.restart()
		r.send(n.Replay(), nil)
		r.windows()
		r.wantPayloads("a", "b", "c")
	})
	bubble(t, "replay after a restart", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		n := r.abpNode()
		old, _ := n.Uplink(1, []byte("a"), true)
		r.send(old, nil)
		r.windows()
		r.uplink(n, 1, "b", false)
		r.restart()
		r.send(old, nil)
		r.windows()
		r.wantPayloads("a", "b")
		r.wantRefused(Replayed, 1)
		if s := r.air.sent(); len(s) != 1 {
			t.Errorf("a replay was answered: %d transmissions", len(s))
		}
	})
	bubble(t, "retransmission is acknowledged again, with another counter", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.loseAll = true
		r.uplink(n, 1, "a", true)
		u, ok := n.Retransmit()
		if !ok {
			t.Fatal("no retransmission")
		}
		r.loseAll = false
		r.send(u, nil)
		r.windows()
		r.wantPayloads("a")
		got := r.taken()
		if len(got) != 1 || !got[0].ACK || got[0].FCnt != 1 || r.server.Stats().Retransmissions != 1 {
			t.Errorf("%+v %v", got, r.deaf)
		}
		for range 40 {
			r.send(n.Replay(), nil)
			r.windows()
		}
		if s := r.air.sent(); len(s) != 1+maxRepeats {
			t.Errorf("%d answers to a frame that is repeated for ever", len(s))
		}
	})
	bubble(t, "counter reset only where it is allowed", func(t *testing.T) {
		d := abpDevice()
		d.CounterReset = true
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.abpNode()
		n.SetFCntUp(500)
		r.uplink(n, 1, "a", true)
		n.Restart()
		r.uplink(n, 1, "b", true)
		r.wantPayloads("a", "b")
		if got := r.taken(); len(got) != 2 || got[0].FCnt != 0 || got[1].FCnt != 1 {
			t.Errorf("the downlink counter was used again: %+v", got)
		}
	})
	bubble(t, "no reset", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		n.SetFCntUp(500)
		r.uplink(n, 1, "a", false)
		n.Restart()
		r.uplink(n, 1, "b", false)
		r.wantPayloads("a")
		r.wantRefused(Replayed, 1)
	})
	bubble(t, "several devices with one DevAddr", func(t *testing.T) {
		other := abpDevice()
		other.Device, other.NwkSKey, other.AppSKey = "other", appSKey, nwkSKey
		r := newRig(t, nil, abpDevice(), other)
		defer r.stop()
		a := r.abpNode()
		b := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: appSKey, AppSKey: nwkSKey, DataRate: 5})
		stranger := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: appKey, AppSKey: appKey, DataRate: 5})
		r.uplink(a, 1, "a", false)
		r.uplink(b, 1, "b", false)
		r.uplink(stranger, 1, "c", false)
		r.wantPayloads("a", "b")
		if r.uplinks[0].Device != "abp" || r.uplinks[1].Device != "other" {
			t.Errorf("%q %q", r.uplinks[0].Device, r.uplinks[1].Device)
		}
		r.wantRefused(WrongMIC, 1)
	})
	bubble(t, "what is refused, by reason", func(t *testing.T) {
		r := newRig(t, nil, abpDevice(), otaaDevice())
		defer r.stop()
		n := r.abpNode()
		before := len(r.server.sessions)
		u, _ := n.Uplink(1, []byte("a"), false)
		f := r.heardAs(u, "r1", -90, 6)
		for _, c := range []struct {
			reason Reason
			change func(*radio.Frame)
		}{
			{NoCRC, func(f *radio.Frame) { f.CRC = radio.CRCNone }},
			{BadCRC, func(f *radio.Frame) { f.CRC = radio.CRCBad }},
			{Malformed, func(f *radio.Frame) { f.Payload = f.Payload[:11] }},
			{Malformed, func(f *radio.Frame) { f.Payload = nil }},
			{Malformed, func(f *radio.Frame) { f.Payload[0] |= 1 }},
			{Foreign, func(f *radio.Frame) { f.Payload[0] = 0x60 }},
			{Foreign, func(f *radio.Frame) { f.Payload[0] = 0xe0 }},
			{UnknownAddress, func(f *radio.Frame) { f.Payload[1]++ }},
			{WrongMIC, func(f *radio.Frame) { f.Payload[len(f.Payload)-1]++ }},
			{UnknownRate, func(f *radio.Frame) { f.SF = 5 }},
			{UnknownRate, func(f *radio.Frame) { f.Frequency = 433e6 }},
			{UnknownDevice, func(f *radio.Frame) {
				f.Payload = frame.Join{JoinEUI: joinEUI, DevEUI: frame.EUI{9}}.Append(nil, appKey)
			}},
			{WrongJoinEUI, func(f *radio.Frame) { f.Payload = frame.Join{DevEUI: devEUI}.Append(nil, appKey) }},
			{WrongMIC, func(f *radio.Frame) {
				f.Payload = frame.Join{JoinEUI: joinEUI, DevEUI: devEUI}.Append(nil, appSKey)
			}},
		} {
			g := *f
			g.Payload = slices.Clone(f.Payload)
			c.change(&g)
			had := r.server.Stats().Refused[c.reason]
			r.server.Receive(&g)
			time.Sleep(time.Second)
			if got := r.server.Stats().Refused[c.reason]; got != had+1 {
				t.Errorf("%v was not counted: %v", c.reason, r.server.Stats().Refused)
			}
		}
		if len(r.server.sessions) != before || r.table.writes != 0 {
			t.Errorf("%d sessions, %d writes: garbage left something behind", len(r.server.sessions), r.table.writes)
		}
		r.send(u, nil)
		r.windows()
		r.wantPayloads("a")
	})
}

func TestCopies(t *testing.T) {
	bubble(t, "the first is delivered, the best is answered by", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.enqueue(Downlink{Device: "abp", ID: "1", FPort: 7, Payload: []byte("on")})
		u, _ := n.Uplink(1, []byte("a"), false)
		r.lastEnd = time.Now()
		ghost := r.heardAs(u, "r2", -70, 9.5)
		ghost.Frequency += 200000
		r.server.Receive(r.heardAs(u, "r1", -110, -3))
		time.Sleep(20 * time.Millisecond)
		r.wantPayloads("a") // without waiting
		late := time.Since(r.lastEnd)
		good, better := r.heardAs(u, "r2", -40, 9), r.heardAs(u, "r3", -41, 9)
		good.Counter -= uint32(late.Microseconds())
		better.Counter -= uint32(late.Microseconds())
		r.server.Receive(better)
		r.server.Receive(good)
		r.server.Receive(ghost)
		r.windows()
		r.wantPayloads("a")
		s := r.air.sent()
		if len(s) != 1 || s[0].Radio != "r2" || s[0].Frequency != u.Frequency {
			t.Errorf("%+v", s)
		}
		if got := r.taken(); len(got) != 1 {
			t.Errorf("%v", r.deaf)
		}
		if st := r.server.Stats(); st.Copies != 3 || st.Uplinks != 1 {
			t.Errorf("%+v", st)
		}
	})
	bubble(t, "the other radio has the next window when one fails", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.air.fail = func(x *radio.Transmission) error {
			if x.Radio == "r1" {
				return radio.ErrDown
			}
			return nil
		}
		u, _ := n.Uplink(1, []byte("a"), true)
		r.lastEnd = time.Now()
		r.server.Receive(r.heardAs(u, "r1", -50, 9))
		r.server.Receive(r.heardAs(u, "r2", -90, 2))
		r.windows()
		if got := r.taken(); len(got) != 1 || got[0].Window != 1 {
			t.Errorf("%+v %v", got, r.deaf)
		}
	})
	bubble(t, "a late copy is neither delivered nor answered", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		u, _ := n.Uplink(1, []byte("a"), true)
		r.send(u, nil)
		time.Sleep(300 * time.Millisecond)
		r.server.Receive(r.heardAs(u, "r2", -50, 9))
		r.windows()
		r.wantPayloads("a")
		r.wantRefused(Late, 1)
		if s := r.air.sent(); len(s) != 1 {
			t.Errorf("%d answers", len(s))
		}
	})
	bubble(t, "bounded memory", func(t *testing.T) {
		c := newCopies()
		for i := range uint64(3 * maxCopies) {
			c.put(i, 0, nil)
		}
		if len(c.byHash) != maxCopies || c.n != maxCopies {
			t.Errorf("%d and %d", len(c.byHash), c.n)
		}
		c.get(0, time.Second)
		if len(c.byHash) != 0 || c.n != 0 {
			t.Errorf("%d and %d are left", len(c.byHash), c.n)
		}
	})
}
