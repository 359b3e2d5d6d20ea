package node

import (
	"testing"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// network is the other side of one device, as simple as can be.
type network struct {
	t        testing.TB
	app      frame.Key
	nonce    uint32
	addr     frame.DevAddr
	nwkS     frame.Key
	appS     frame.Key
	down     uint32
	devNonce uint16
}

var (
	appKey  = frame.Key{1, 2, 3}
	joinEUI = frame.EUI{0, 0, 0, 0, 0, 0, 0, 9}
	devEUI  = frame.EUI{0x70, 0xb3, 0xd5, 0x7e, 0xd0, 0, 0, 1}
)

func newNode(t testing.TB, c Config) *Node {
	t.Helper()
	if !c.ABP {
		c.JoinEUI, c.DevEUI, c.AppKey = joinEUI, devEUI, appKey
	}
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func get(t testing.TB, name string) *region.Region {
	t.Helper()
	r, err := region.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// accept makes an answer to a join request, which must be right.
func (w *network) accept(join Uplink, a frame.Accept) []byte {
	w.t.Helper()
	j, err := frame.ParseJoin(join.Frame)
	if err != nil || !frame.CheckJoin(join.Frame, w.app) || j.DevEUI != devEUI || j.JoinEUI != joinEUI {
		w.t.Fatalf("join request %+v, %v", j, err)
	}
	w.devNonce = j.DevNonce
	if a.JoinNonce == 0 {
		w.nonce++
		a.JoinNonce = w.nonce
	}
	if a.DevAddr == 0 {
		a.DevAddr = 0x26000001
	}
	b, err := a.Append(nil, w.app)
	if err != nil {
		w.t.Fatal(err)
	}
	w.addr, w.down = a.DevAddr, 0
	w.nwkS, w.appS = frame.SessionKeys(w.app, a.JoinNonce, a.NetID, j.DevNonce)
	return b
}

// joined makes a device and its network.
func joined(t testing.TB, c Config, a frame.Accept) (*Node, *network) {
	t.Helper()
	n, w := newNode(t, c), &network{t: t, app: appKey}
	u, err := n.JoinRequest()
	if err != nil {
		t.Fatal(err)
	}
	d, err := n.Downlink(in1(n, w.accept(u, a)))
	if err != nil || !d.Joined || d.Window != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	return n, w
}

// in1 and in2 are a frame exactly in a window.
func in1(n *Node, b []byte) Received { w, _ := n.Windows(); return in(w, b) }
func in2(n *Node, b []byte) Received { _, w := n.Windows(); return in(w, b) }

func in(w Window, b []byte) Received {
	return Received{Frame: b, Frequency: w.Frequency, Modulation: w.Modulation, After: w.Delay, SNR: 7.4}
}

// late is r some time later.
func late(r Received, by time.Duration) Received { r.After += by; return r }

// send makes a downlink with the next counter.
func (w *network) send(d frame.Data) []byte {
	w.t.Helper()
	if d.Kind == 0 {
		d.Kind = frame.UnconfirmedDown
	}
	d.DevAddr = w.addr
	b, err := d.Append(nil, w.nwkS, w.appS, w.down)
	if err != nil {
		w.t.Fatal(err)
	}
	w.down++
	return b
}

// commands makes a downlink of MAC commands.
func (w *network) commands(cs ...frame.Command) []byte {
	b := frame.AppendCommands(nil, cs...)
	if len(b) > frame.MaxFOpts {
		return w.send(frame.Data{FPort: 0, Payload: b})
	}
	return w.send(frame.Data{FPort: frame.NoFPort, FOpts: b})
}

// read checks an uplink and gives it with its payload in plain, and the commands
// in it.
func (w *network) read(u Uplink) (frame.Data, []frame.Command) {
	w.t.Helper()
	d, err := frame.ParseData(u.Frame)
	if err != nil || d.DevAddr != w.addr || !frame.CheckData(u.Frame, w.nwkS, u.FCnt) {
		w.t.Fatalf("uplink %+v, %v", d, err)
	}
	k, opts := w.appS, d.FOpts
	if d.FPort == 0 {
		k = w.nwkS
	}
	d.Payload = frame.Decrypt(&d, k, u.FCnt)
	if d.FPort == 0 {
		opts = d.Payload
	}
	cs, err := frame.ParseUp(opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return d, cs
}

// uplink has the device send, which must be possible.
func uplink(t testing.TB, n *Node, payload string, confirmed bool) Uplink {
	t.Helper()
	port := 5
	if payload == "" {
		port = frame.NoFPort
	}
	u, err := n.Uplink(port, []byte(payload), confirmed)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
