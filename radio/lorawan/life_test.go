package lorawan

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/fakeclock"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

func TestConfirmedInTheField(t *testing.T) {
	confirmed := Downlink{Device: "abp", ID: "1", FPort: 7, Payload: []byte("on"), Confirmed: true}
	bubble(t, "a device that asks for its acknowledgement again has not heard what came with it", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.enqueue(confirmed)
		r.loseAll = true
		r.uplink(n, 1, "a", true)
		r.loseAll = false
		u, _ := n.Retransmit()
		r.send(u, nil)
		r.windows()
		if got := r.taken(); len(got) != 1 || string(got[0].Payload) != "on" || !got[0].ACK {
			t.Errorf("%+v", got)
		}
		r.uplink(n, 1, "b", false)
		r.wantStates("1", "queued", "sent", "sent", "acknowledged")
	})
	bubble(t, "an uplink that began before a downlink of class C says nothing of it", func(t *testing.T) {
		d := abpDevice()
		d.Class = ClassC
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 0, ClassC: true})
		r.uplink(n, 1, "a", false)
		r.loseAll = true
		r.enqueue(confirmed)
		time.Sleep(1500 * time.Millisecond) // it has been sent
		r.uplink(n, 1, "b", false)          // 1.3 s long
		if w := r.stateWords("1"); len(w) != 2 {
			t.Errorf("%v", w)
		}
	})
	bubble(t, "who plays a frame back does not choose the radio of class C", func(t *testing.T) {
		d := abpDevice()
		d.Class = ClassC
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5, ClassC: true})
		r.uplink(n, 1, "a", false)
		u := n.Replay()
		r.server.Receive(r.heardAs(u, "r3", -90, 1))
		r.server.Receive(r.heardAs(u, "r4", -20, 9))
		r.windows()
		r.enqueue(confirmed)
		r.windows()
		if s := r.air.sent(); len(s) == 0 || s[0].Radio != "r1" {
			t.Errorf("%+v", s)
		}
	})
	bubble(t, "a radio that is down for long does not wear out the card", func(t *testing.T) {
		d := abpDevice()
		d.Class = ClassC
		r := newRig(t, nil, d)
		defer r.stop()
		n := r.node(node.Config{ABP: true, DevAddr: devAddr1, NwkSKey: nwkSKey, AppSKey: appSKey, DataRate: 5, ClassC: true})
		r.uplink(n, 1, "a", false)
		r.air.fail = func(*radio.Transmission) error { return radio.ErrDown }
		r.enqueue(confirmed)
		time.Sleep(time.Hour)
		if s := r.air.sent(); len(s) < 25 || len(s) > 40 {
			t.Errorf("%d attempts in an hour", len(s))
		}
		r.air.fail = nil
		r.uplink(n, 1, "b", false)
		if got := r.taken(); len(got) != 1 {
			t.Errorf("%+v", got)
		}
	})
	bubble(t, "who plays a frame back does not have commands sent to a device that sleeps", func(t *testing.T) {
		for _, kind := range []bool{false, true} {
			r := newRig(t, nil, abpDevice())
			n := r.abpNode()
			r.uplink(n, 1, "a", kind)
			r.taken()
			q := confirmed
			q.Confirmed = false
			r.enqueue(q)
			time.Sleep(time.Minute)
			r.send(n.Replay(), nil)
			r.windows()
			r.taken()
			r.wantStates("1", "queued")
			r.uplink(n, 1, "b", false)
			r.wantStates("1", "queued", "sent")
			if got := r.taken(); len(got) != 1 || string(got[0].Payload) != "on" {
				t.Errorf("%+v", got)
			}
			r.stop()
		}
	})
	bubble(t, "many devices are not asked for their batteries at once", func(t *testing.T) {
		var devices []Device
		for i := range 50 {
			d := abpDevice()
			d.Device, d.DevAddr = fmt.Sprint(i), devAddr1+frame.DevAddr(i)
			devices = append(devices, d)
		}
		r := newRig(t, func(c *Config) { c.StatusEvery = 0 }, devices...)
		defer r.stop()
		for fcnt := range uint32(2) {
			for i := range devices {
				r.server.Receive(frameOf(t, &devices[i], fcnt))
			}
			r.windows()
		}
		if st := r.server.Stats(); st.Downlinks+st.Unsent != 2 {
			t.Errorf("%+v", st)
		}
	})
}

func TestClocksInTheField(t *testing.T) {
	bubble(t, "a forwarder without a clock does not set the device's", func(t *testing.T) {
		clock := fakeclock.New(time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC), gateway.ClockSynced)
		r := newRig(t, func(c *Config) { c.Clock = clock }, abpDevice())
		defer r.stop()
		n := r.abpNode()
		n.Ask(frame.DeviceTimeReq{})
		u, err := n.Uplink(1, []byte("a"), false)
		if err != nil {
			t.Fatal(err)
		}
		r.lastEnd = time.Now()
		f := r.heardAs(u, "r1", -90, 6)
		f.Heard = time.Date(1980, 1, 6, 0, 0, 1, 0, time.UTC)
		r.server.Receive(f)
		r.windows()
		cs := commandsOf(r.taken())
		if len(cs) != 1 || cs[0].(frame.DeviceTimeAns).Time().Year() != 2026 {
			t.Errorf("%+v", cs)
		}
	})
	bubble(t, "an answer that was noted with a wrong clock", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.StatusEvery = 0 }, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.server.mu.Lock()
		r.server.devices[0].asked = time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
		r.server.mu.Unlock()
		r.uplink(n, 1, "a", false)
		if cs := commandsOf(r.taken()); len(cs) != 1 || cs[0].ID() != frame.CIDDevStatus {
			t.Errorf("%+v", cs)
		}
	})
}

func TestJoinInTheField(t *testing.T) {
	bubble(t, "a device that joins each minute does not fill the log", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice())
		defer r.stop()
		n := r.otaaNode()
		for range 60 {
			r.join(n)
			time.Sleep(50 * time.Second)
		}
		count := 0
		for line := range strings.Lines(r.logged.String()) {
			if strings.Contains(line, "level=INFO") {
				count++
			}
		}
		if count < 2 || count > 8 {
			t.Errorf("%d lines in an hour", count)
		}
	})
	bubble(t, "many devices do not either", func(t *testing.T) {
		s := &Server{cfg: Config{}, start: time.Now(), chatter: chatter{room: remarkBurst * remarkRefill}}
		var log strings.Builder
		s.cfg.Log = newLog(&log)
		for i := range 1000 {
			s.say(&device{cfg: &Device{Device: fmt.Sprint(i)}}, saidJoin, "joins")
		}
		if n := strings.Count(log.String(), "\n"); n != remarkBurst {
			t.Errorf("%d lines", n)
		}
		time.Sleep(time.Minute)
		s.say(&device{cfg: &Device{Device: "x"}}, saidJoin, "joins")
		if !strings.Contains(log.String(), "not_shown=940") {
			t.Errorf("%s", log.String()[log.Len()-200:])
		}
	})
	bubble(t, "a device that forgets its nonces", func(t *testing.T) {
		for _, version := range []MACVersion{V103, V104} {
			d := otaaDevice()
			d.Version = version
			r := newRig(t, nil, d)
			n := r.otaaNode()
			n.SetDevNonce(7)
			r.join(n)
			r.uplink(n, 1, "a", false)
			n.SetDevNonce(7)
			r.send(n.JoinRequest())
			r.windows()
			r.wantRefused(UsedNonce, 1)
			r.stop()
			r.cfg.Devices[0].NonceReset = true
			r.start()
			n.SetDevNonce(7)
			r.join(n)
			r.uplink(n, 1, "b", false)
			r.wantPayloads("a", "b")
			if st := r.server.Stats(); st.Joins != 1 {
				t.Errorf("%+v", st)
			}
			r.stop()
		}
	})
	bubble(t, "what is wrong with a device is said", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice(), abpDevice())
		defer r.stop()
		n := r.otaaNode()
		n.BreakMIC()
		r.send(n.JoinRequest())
		a := r.abpNode()
		r.uplink(a, 1, "a", false)
		a.SetFCntUp(maxGap + 2)
		r.uplink(a, 1, "b", false)
		for _, words := range []string{"level=INFO msg=\"LoRaWAN join request with a wrong MIC", "level=INFO msg=\"LoRaWAN device is too far ahead"} {
			if !strings.Contains(r.logged.String(), words) {
				t.Errorf("%q is not said", words)
			}
		}
	})
	bubble(t, "a channel that is not all in its sub-band", func(t *testing.T) {
		for _, s := range []Settings{{Channels: []uint32{865000000}}, {RX2: &RX2{869600000, 0}}, {Single: &Single{868600000, 0}}} {
			if _, err := newPlan(regionNamed(t, "EU868"), &s); err == nil {
				t.Errorf("%+v", s)
			}
		}
	})
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
