package lorawan

import (
	"encoding/hex"
	"testing"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

func TestWholePath(t *testing.T) {
	bubble(t, "ABP uplink", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.uplink(n, 5, "hello", false)
		r.uplink(n, 224, "test", false)
		r.wantPayloads("hello", "test")
		u := r.uplinks[0]
		if u.Device != "abp" || u.FPort != 5 || u.FCnt != 0 || u.DataRate != 5 || u.Confirmed {
			t.Errorf("%+v", u)
		}
		if s := r.air.sent(); len(s) != 0 {
			t.Errorf("there was nothing to say, and %v was sent", s)
		}
	})
	bubble(t, "OTAA join", func(t *testing.T) {
		r := newRig(t, nil, otaaDevice())
		defer r.stop()
		n := r.otaaNode()
		r.join(n)
		r.uplink(n, 1, "x", false)
		r.wantPayloads("x")
		s := r.air.sent()
		if len(s) != 1 {
			t.Fatalf("%d transmissions", len(s))
		}
		if lead := s[0].start.Sub(s[0].handed); lead < 300*time.Millisecond || lead > time.Second {
			t.Errorf("handed to the radio %v before its time", lead)
		}
		if a := n.State().DevAddr; a>>25 != 0x13 {
			t.Errorf("DevAddr %v is not of NetID 13", a)
		}
	})
	bubble(t, "confirmed uplink", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.uplink(n, 5, "hello", true)
		got := r.taken()
		if len(got) != 1 || !got[0].ACK || got[0].Window != 1 || got[0].Port != frame.NoFPort || got[0].FCnt != 0 {
			t.Errorf("%+v %v", got, r.deaf)
		}
	})
	bubble(t, "downlink in RX1", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer r.stop()
		n := r.abpNode()
		r.enqueue(Downlink{Device: "abp", ID: "1", Tag: "relay", FPort: 7, Payload: []byte("on")})
		r.wantStates("1", "queued")
		r.uplink(n, 5, "hello", false)
		got := r.taken()
		if len(got) != 1 || string(got[0].Payload) != "on" || got[0].Port != 7 || got[0].Window != 1 || got[0].Pending {
			t.Errorf("%+v %v", got, r.deaf)
		}
		r.wantStates("1", "queued", "sent")
	})
}

// The frame, its keys and its content are the example in the README of lora-packet
// (github.com/anthonykirby/lora-packet).
func TestPublishedFrame(t *testing.T) {
	bubble(t, "lora-packet", func(t *testing.T) {
		d := abpDevice()
		d.DevAddr = 0x49be7df1
		r := newRig(t, nil, d)
		defer r.stop()
		b, err := hex.DecodeString("40f17dbe4900020001954378762b11ff0d")
		if err != nil {
			t.Fatal(err)
		}
		m, _ := r.cfg.Region.DataRate(0)
		r.send(node.Uplink{Frame: b, Frequency: 868100000, Modulation: m}, nil)
		r.windows()
		r.wantPayloads("test")
		if u := r.uplinks[0]; u.FCnt != 2 || u.FPort != 1 {
			t.Errorf("%+v", u)
		}
	})
}
