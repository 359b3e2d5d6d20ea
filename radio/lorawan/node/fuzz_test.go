package node

import (
	"testing"
	"time"

	"fieldgate/radio/lorawan/frame"
)

// Whatever comes, signed or not, the device goes on, and goes on refusing what it
// heard before.
func FuzzDownlink(f *testing.F) {
	f.Add([]byte{0x60, 1, 0, 0, 0x26, 0, 0, 0, 1, 2, 3, 4, 5}, byte(0), byte(1))
	f.Add(frame.AppendCommands(nil, frame.LinkADRReq{DataRate: 3, ChMask: 7}, frame.NewChannelReq{ChIndex: 3, Frequency: 867100000, MaxDR: 5}), byte(1), byte(0))
	f.Add(frame.AppendCommands(nil, frame.RXParamSetupReq{RX1Offset: 1, RX2DataRate: 3, Frequency: 868500000}, frame.DlChannelReq{ChIndex: 1, Frequency: 868500000}), byte(2), byte(0))
	f.Add(frame.AppendCommands(nil, frame.NewChannelReq{ChIndex: 3, Frequency: 867100000, MinDR: 6, MaxDR: 7}, frame.LinkADRReq{DataRate: 7, ChMask: 8}), byte(3), byte(0))
	f.Add(frame.AppendCommands(nil, frame.DutyCycleReq{MaxDutyCycle: 15}, frame.TxParamSetupReq{UplinkDwell: true}, frame.DevStatusReq{}), byte(4), byte(9))
	names := []string{"EU868", "US915", "AS923-1", "AU915", "IN865"}
	f.Fuzz(func(t *testing.T, b []byte, which, port byte) {
		r := get(t, names[int(which)%len(names)])
		_, rx2 := r.RX2()
		n, w := joined(t, Config{DataRate: 3, ADR: which&8 == 0, ClassC: which&16 != 0, Region: r}, frame.Accept{RX2DataRate: uint8(rx2)})
		uplink(t, n, "x", which&32 != 0)
		if d, err := n.Downlink(in1(n, b)); err == nil {
			t.Fatalf("took %x: %+v", b, d)
		}
		d := frame.Data{Kind: frame.UnconfirmedDown, FPort: int(port), Payload: b}
		if len(b) > 200 {
			return
		}
		signed := w.send(d)
		if _, err := n.Downlink(in1(n, signed)); err != nil {
			return // too long
		}
		u, err := n.Uplink(7, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		w.read(u)
		if rx1, rx2 := n.Windows(); rx1.Delay < time.Second || rx2.Delay != rx1.Delay+time.Second || rx1.Frequency == 0 || rx2.SF == 0 && rx2.BitRate == 0 {
			t.Fatalf("windows %+v, %+v", rx1, rx2)
		}
		if _, err := n.Downlink(in1(n, signed)); err == nil {
			t.Fatal("took a downlink twice")
		}
		for range 3 {
			u, err := n.Uplink(frame.NoFPort, nil, true)
			if err != nil {
				t.Fatal(err)
			}
			w.read(u)
			n.Retransmit()
		}
	})
}
