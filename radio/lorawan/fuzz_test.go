package lorawan

import (
	"bytes"
	"errors"
	"maps"
	"testing"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// FuzzReceive: what is no frame of a known device changes nothing, whatever it
// looks like.
func FuzzReceive(f *testing.F) {
	r, err := New(Config{Region: regionNamed(f, "EU868"), Devices: []Device{abpDevice(), otaaDevice()}, Table: &table{}, Radio: &air{}, StatusEvery: -1})
	if err != nil {
		f.Fatal(err)
	}
	hear := func(b []byte) {
		r.handle(&radio.Frame{Payload: b, Frequency: 868100000, Modulation: radio.Modulation{SF: 7, Bandwidth: 125000}, CRC: radio.CRCOK, At: time.Now()})
	}
	for i := range uint32(3) {
		up := frame.Data{Kind: frame.ConfirmedUp, DevAddr: devAddr1, FPort: 1, Payload: []byte("abc"), FOpts: frame.AppendCommands(nil, frame.LinkCheckReq{})}
		b, err := up.Append(nil, nwkSKey, appSKey, i)
		if err != nil {
			f.Fatal(err)
		}
		hear(b)
		f.Add(b)
		join := frame.Join{JoinEUI: joinEUI, DevEUI: devEUI, DevNonce: uint16(i)}.Append(nil, appKey)
		hear(join)
		f.Add(join)
		f.Add(append(b, 0))
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{})
	f.Add([]byte{0xe0})
	state := func() (b []byte) {
		for _, d := range r.devices {
			b = r.appendState(b, d)
			b = append(b, d.nonces.bytes()...)
			b = append(b, byte(len(d.queue)), byte(d.undelivered))
		}
		return b
	}
	before, effects, sessions := state(), len(r.effects), maps.Clone(r.sessions)
	f.Fuzz(func(t *testing.T, b []byte) {
		hear(b)
		if !bytes.Equal(state(), before) || len(r.effects) != effects || !maps.Equal(r.sessions, sessions) {
			t.Errorf("%x changed something", b)
		}
	})
}

// FuzzRecord: a record that is damaged is told from one that is not, and what is
// read is what was written.
func FuzzRecord(f *testing.F) {
	s, err := New(Config{Region: regionNamed(f, "EU868"), Devices: []Device{abpDevice(), otaaDevice()}, Table: &table{}, Radio: &air{}})
	if err != nil {
		f.Fatal(err)
	}
	d := s.devices[0]
	d.now.pending = frame.AppendCommands(nil, frame.DevStatusReq{})
	d.now.link.channels, d.now.link.downFreq = []uint32{867100000, 0, 867300000}, map[uint32]uint32{867100000: 868100000}
	f.Add(byte(0), s.appendState(nil, d))
	d.queue = []*item{{id: "1", tag: "relay", payload: []byte("on"), port: 3, expires: never}, {id: "2", final: true, state: Refused, why: "no", until: 1}}
	f.Add(byte(1), s.appendQueue(nil, d))
	f.Add(byte(2), nonces{{1, 2}, {5, 5}}.bytes())
	f.Add(byte(3), appendUplink([]byte{recordVersion}, d.key, &Uplink{FPort: 1, Payload: []byte("a"), Received: time.Unix(1, 0), Frame: &radio.Frame{}}))
	f.Fuzz(func(t *testing.T, what byte, b []byte) {
		s.effects, s.done = nil, nil
		d := newDevice(&s.cfg.Devices[0], s.devices[0].plan)
		switch what % 4 {
		case 0:
			if s.readState(d, b) == nil {
				again := newDevice(&s.cfg.Devices[0], d.plan)
				b = s.appendState(nil, d)
				if err := s.readState(again, b); err != nil || !bytes.Equal(b, s.appendState(nil, again)) {
					t.Errorf("%v", err)
				}
			}
		case 1:
			_ = s.readQueue(d, b)
		case 2:
			if n, err := parseNonces(b); err == nil && !bytes.Equal(n.bytes(), b) {
				t.Errorf("%v", n)
			}
		case 3:
			s.readJournal(journalKey+"1", b, map[string]*device{d.key: d})
		}
	})
}

func TestRecords(t *testing.T) {
	bubble(t, "a device whose record is damaged is shut out, the others are not", func(t *testing.T) {
		r := newRig(t, nil, abpDevice(), otaaDevice())
		defer func() { r.stop() }()
		n, o := r.abpNode(), r.otaaNode()
		r.uplink(n, 1, "a", false)
		r.join(o)
		r.uplink(o, 1, "b", false)
		r.stop()
		for _, d := range r.server.devices[:1] {
			b := r.table.pairs[stateKey+d.key]
			r.table.pairs[stateKey+d.key] = b[:len(b)-1]
		}
		r.start()
		r.uplink(n, 1, "c", false)
		r.uplink(o, 1, "d", false)
		r.wantPayloads("a", "b", "d")
		if err := r.server.Enqueue(t.Context(), Downlink{Device: "abp", ID: "1", FPort: 1}); !errors.Is(err, ErrBroken) {
			t.Errorf("%v", err)
		}
		if st := r.server.Devices(); !st[0].Broken || st[1].Broken || st[0].Joined {
			t.Errorf("%+v", st)
		}
	})
	bubble(t, "an uplink that was not told is told again, once", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		n := r.abpNode()
		r.stop()
		d := r.server.devices[0]
		u := &Uplink{DevAddr: devAddr1, FCnt: 7, FPort: 3, Confirmed: true, ADR: true, DataRate: 2, Payload: []byte("z"), Received: time.Unix(1780000000, 5),
			Frame: &radio.Frame{Payload: []byte{1, 2}, Frequency: 868100000, Modulation: radio.Modulation{SF: 10, Bandwidth: 125000, CodingRate: 5},
				RSSI: -99.5, SNR: -3.25, CRC: radio.CRCOK, FrequencyError: -12, Radio: "r9", Counter: 77, Channel: 2, Chain: 1}}
		gone := appendUplink([]byte{recordVersion}, "not configured any more", u)
		if err := r.table.Write(map[string][]byte{"u/0000000000000010": appendUplink(gone, d.key, u), "u/0000000000000011": {9}}); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.windows()
		if len(r.uplinks) != 1 {
			t.Fatalf("%d uplinks", len(r.uplinks))
		}
		got, f := r.uplinks[0], r.uplinks[0].Frame
		if got.Device != "abp" || got.FCnt != 7 || got.FPort != 3 || !got.Confirmed || !got.Again || got.DataRate != 2 || string(got.Payload) != "z" ||
			!got.Received.Equal(u.Received) || !f.Heard.Equal(u.Received) || f.RSSI != -99.5 || f.SNR != -3.25 || f.Radio != "r9" || f.Modulation != u.Frame.Modulation ||
			f.FrequencyError != -12 || f.Counter != 77 || f.Frequency != 868100000 || !bytes.Equal(f.Payload, u.Frame.Payload) {
			t.Errorf("%+v %+v", got, f)
		}
		r.uplink(n, 1, "a", false)
		r.restart()
		r.windows()
		r.wantPayloads("z", "a")
		for k := range r.table.pairs {
			if k[:2] == journalKey {
				t.Errorf("%s is left", k)
			}
		}
	})
	bubble(t, "another key is another device", func(t *testing.T) {
		r := newRig(t, nil, abpDevice())
		defer func() { r.stop() }()
		n := r.abpNode()
		n.SetFCntUp(100)
		r.uplink(n, 1, "a", false)
		r.stop()
		r.cfg.Devices = []Device{abpDevice()}
		r.cfg.Devices[0].NwkSKey = appKey
		r.start()
		m := r.node(nodeWith(appKey))
		r.uplink(m, 1, "b", false)
		r.wantPayloads("a", "b")
		r.stop()
		r.cfg.Devices[0].NwkSKey = nwkSKey
		r.start()
		r.send(n.Replay(), nil)
		r.windows()
		r.wantPayloads("a", "b")
	})
	bubble(t, "neither logs nor errors show a key", func(t *testing.T) {
		d := otaaDevice()
		d.Class = 'B'
		_, err := New(Config{Region: regionNamed(t, "EU868"), Table: &table{}, Radio: &air{}, Devices: []Device{d, abpDevice(), abpDevice()}})
		if !errors.Is(err, ErrConfig) {
			t.Fatalf("%v", err)
		}
		r := newRig(t, nil, abpDevice(), otaaDevice())
		n, o := r.abpNode(), r.otaaNode()
		r.join(o)
		n.BreakMIC()
		r.uplink(n, 1, "a", true)
		r.uplink(o, 1, "a", true)
		r.stop()
		for _, k := range []frame.Key{appKey, nwkSKey, appSKey, o.State().NwkSKey, o.State().AppSKey} {
			for _, text := range []string{err.Error(), r.logged.String()} {
				if bytes.Contains([]byte(text), hexOf(k)) {
					t.Errorf("a key is shown in\n%s", text)
				}
			}
		}
	})
}
