package lorawan

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/node"
)

// told is one call of OnFrame.
type told struct {
	device  string
	kind    frame.Kind
	refused string
}

func TestOnFrame(t *testing.T) {
	bubble(t, "each frame is told of once", func(t *testing.T) {
		var all []told
		var frames []*radio.Frame
		var r *rig
		r = newRig(t, func(c *Config) {
			c.OnFrame = func(f *radio.Frame, device string, kind frame.Kind, refused string) {
				r.server.Status("abp") // it may ask
				frames, all = append(frames, f), append(all, told{device, kind, refused})
			}
		}, abpDevice(), otaaDevice())
		defer func() { r.stop() }()
		want := func(w ...told) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(all, w) {
				t.Errorf("%v, want %v", all, w)
			}
			all = nil
		}
		abp, otaa := r.abpNode(), r.otaaNode()

		u, err := abp.Uplink(1, []byte("a"), true)
		r.send(u, err)
		f := r.heardAs(u, "r2", -80, 3)
		r.server.Receive(f)
		synctest.Wait()
		if frames[len(frames)-1] != f {
			t.Error("it is another frame")
		}
		r.windows()
		r.send(u, nil) // once more
		r.windows()
		want(told{"abp", frame.ConfirmedUp, ""}, told{"abp", frame.ConfirmedUp, "copy"}, told{"abp", frame.ConfirmedUp, ""})

		r.uplink(abp, 1, "b", false)
		time.Sleep(10 * time.Second)
		r.send(u, nil)
		want(told{"abp", frame.UnconfirmedUp, ""}, told{"abp", frame.ConfirmedUp, "replayed"})

		j, err := otaa.JoinRequest()
		r.send(j, err)
		r.windows()
		r.send(j, nil)
		wrong := node.Uplink{Frame: slices.Clone(j.Frame), Frequency: j.Frequency, Modulation: j.Modulation}
		wrong.Frame[20] ^= 1
		r.send(wrong, nil)
		wrong.Frame[10] ^= 1
		r.send(wrong, nil)
		want(told{"otaa", frame.JoinRequest, ""}, told{"otaa", frame.JoinRequest, "used_nonce"},
			told{"otaa", frame.JoinRequest, "wrong_mic"}, told{"", frame.JoinRequest, "unknown_device"})

		stranger := frameOf(t, &Device{DevAddr: 5}, 1)
		r.server.Receive(stranger)
		impostor := frameOf(t, &Device{DevAddr: devAddr1}, 9)
		r.server.Receive(impostor)
		fast := *frameOf(t, &Device{DevAddr: devAddr1}, 9)
		fast.Bandwidth = 500000
		r.server.Receive(&fast)
		for _, b := range [][]byte{nil, {0x40}, {0xe0}, append([]byte{0x60}, make([]byte, 11)...)} {
			x := *stranger
			x.Payload = b
			r.server.Receive(&x)
		}
		for _, crc := range []radio.CRC{radio.CRCBad, radio.CRCNone} {
			x := *stranger
			x.CRC = crc
			r.server.Receive(&x)
		}
		want(told{"", frame.UnconfirmedUp, "unknown_address"}, told{"", frame.UnconfirmedUp, "wrong_mic"},
			told{"", frame.UnconfirmedUp, "unknown_rate"},
			told{"", frame.Proprietary, "malformed"}, told{"", frame.UnconfirmedUp, "malformed"}, told{"", frame.Proprietary, "foreign"},
			told{"", frame.UnconfirmedDown, "foreign"}, told{"", frame.UnconfirmedUp, "bad_crc"}, told{"", frame.UnconfirmedUp, "no_crc"})
		r.wantRefused(BadCRC, 1)
		r.wantRefused(NoCRC, 1)

		r.server.Receive(frameOf(t, &r.cfg.Devices[0], 7))
		r.stop() // what waits is told of
		want(told{"abp", frame.UnconfirmedUp, ""})
	})
	bubble(t, "what there is no room for is not", func(t *testing.T) {
		n := 0
		c := Config{Region: regionNamed(t, "EU868"), Devices: []Device{abpDevice()}, Table: &table{}, Radio: &air{}, Backlog: 4, StatusEvery: -1,
			OnFrame: func(*radio.Frame, string, frame.Kind, string) { n++ }}
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint32(10) {
			f := frameOf(t, &c.Devices[0], i)
			if i%2 == 1 {
				f.CRC = radio.CRCBad
			}
			s.Receive(f)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); n != 4 || st.Refused[Overload] != 3 || st.Refused[BadCRC] != 5 {
			t.Errorf("%d told of, %+v", n, st)
		}
	})
}
