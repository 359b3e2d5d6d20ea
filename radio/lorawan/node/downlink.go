package node

import (
	"fmt"
	"math"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// Received is a frame that reached the device.
type Received struct {
	Frame     []byte
	Frequency uint32 // Hz
	radio.Modulation
	// After is from the end of the last uplink to the start of this frame.
	After time.Duration
	SNR   float64 // dB
}

// Downlink is what the device made of a frame.
type Downlink struct {
	Window    int  // 1 or 2; 0: the one of class C
	Joined    bool // it was the join accept
	FCnt      uint32
	Confirmed bool
	ACK       bool // the device's last frame is acknowledged
	Pending   bool
	Port      int    // frame.NoFPort: none
	Payload   []byte // in plain, nil at port 0
	Commands  []frame.Command
}

// Tolerance is how far from a window's time a frame may begin: three symbols, so
// that five of its preamble are left for a receiver that is exact.
func Tolerance(m radio.Modulation) time.Duration {
	if !m.LoRa() {
		return time.Millisecond
	}
	return 3 * m.Symbol()
}

// synthesis is how far in Hz a sender may be from a frequency: chips have steps
// of 61 Hz, and crystals are off by some hundreds.
const synthesis = 1000

// fits reports whether a device that listens as w says hears r.
func (w Window) fits(r *Received) bool {
	off := int64(r.Frequency) - int64(w.Frequency)
	return off > -synthesis && off < synthesis && r.SF == w.SF && r.Bandwidth == w.Bandwidth && r.BitRate == w.BitRate
}

// in gives the window in which r is heard.
func (n *Node) in(r *Received) (int, bool) {
	for i, w := range n.windows {
		if late := r.After - w.Delay; n.open && w.fits(r) && late.Abs() <= Tolerance(w.Modulation)+n.c.Slack {
			return i + 1, true
		}
	}
	if n.c.ClassC && n.joined && n.window(0, n.p.rx2, n.p.rx2DR).fits(r) {
		return 0, true
	}
	return 0, false
}

// Downlink takes a frame. The error says why the device ignores it, and nothing
// has changed then: ErrDeaf, ErrKind, ErrStranger, ErrMIC, ErrReplay, ErrGap,
// ErrTooLong, or one of package frame.
func (n *Node) Downlink(r Received) (Downlink, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w, ok := n.in(&r)
	if !ok {
		return Downlink{}, fmt.Errorf("node: downlink: %w: %d Hz, %s, %v after the uplink", ErrDeaf, r.Frequency, r.DataRate(), r.After)
	}
	k, err := frame.KindOf(r.Frame)
	if err != nil {
		return Downlink{}, fmt.Errorf("node: downlink: %w", err)
	}
	var d Downlink
	switch {
	case k == frame.JoinAccept && n.joining && w != 0:
		d, err = n.accept(r.Frame)
	case (k == frame.UnconfirmedDown || k == frame.ConfirmedDown) && n.joined && !(n.joining && w != 0):
		d, err = n.data(&r)
	default:
		err = fmt.Errorf("%w: %s", ErrKind, k)
	}
	if err != nil {
		return Downlink{}, fmt.Errorf("node: downlink: %w", err)
	}
	d.Window = w
	if w != 0 {
		n.open = false
	}
	return d, nil
}

// accept begins a session.
func (n *Node) accept(b []byte) (Downlink, error) {
	a, err := frame.ParseAccept(b, n.c.AppKey)
	if err != nil {
		return Downlink{}, err
	}
	j, err := frame.ParseJoin(n.last.Frame)
	if err != nil {
		return Downlink{}, err
	}
	if n.accepted[a.JoinNonce] {
		return Downlink{}, fmt.Errorf("%w: JoinNonce %#x", ErrReplay, a.JoinNonce)
	}
	offset, rx2DR := int(a.RX1Offset), int(a.RX2DataRate)
	if offset > n.reg.MaxRX1Offset() || !n.reg.Downlink(rx2DR) {
		return Downlink{}, fmt.Errorf("join accept: RX1 offset %d, RX2 DR%d: %w", offset, rx2DR, region.ErrDataRate)
	}
	var freqs []uint32
	if a.CFList != nil {
		if freqs, err = n.reg.ParseCFList(a.CFList); err != nil {
			return Downlink{}, err
		}
	}
	n.reset()
	n.learn(freqs)
	n.accepted[a.JoinNonce] = true
	n.joined, n.addr, n.up, n.down = true, a.DevAddr, 0, 0
	n.nwk, n.app = frame.SessionKeys(n.c.AppKey, a.JoinNonce, a.NetID, j.DevNonce)
	n.p.rx1Offset, n.p.rx2DR = offset, rx2DR
	n.p.rx1Delay = time.Duration(max(a.RxDelay, 1)) * time.Second
	return Downlink{Joined: true, Port: frame.NoFPort}, nil
}

// learn takes the channels of a join accept.
func (n *Node) learn(freqs []uint32) {
	if n.reg.Fixed() {
		var s region.ChannelSet
		for _, f := range freqs {
			if i, ok := n.reg.ChannelAt(f); ok {
				s.Add(i)
			}
		}
		if s.Len() > 0 {
			n.p.enabled = s
		}
		return
	}
	lowest, highest := n.reg.ADRDataRates(false)
	first := n.reg.DefaultChannels().Len()
	for i, f := range freqs {
		if f != 0 {
			n.p.channels[first+i] = channel{Channel: region.Channel{Frequency: f, MinDR: lowest, MaxDR: highest}}
			n.p.enabled.Add(first + i)
		}
	}
}

// data takes a data frame.
func (n *Node) data(r *Received) (Downlink, error) {
	f, err := frame.ParseData(r.Frame)
	if err != nil {
		return Downlink{}, err
	}
	if f.DevAddr != n.addr {
		return Downlink{}, fmt.Errorf("%w: %s", ErrStranger, f.DevAddr)
	}
	fcnt, err := n.counter(r.Frame, f.FCnt)
	if err != nil {
		return Downlink{}, err
	}
	if dr, ok := n.reg.DataRateOf(r.Modulation, false); ok && len(f.FOpts)+len(f.Payload) > n.reg.MaxPayload(dr) {
		return Downlink{}, fmt.Errorf("%w: %d bytes with DR%d", ErrTooLong, len(f.FOpts)+len(f.Payload), dr)
	}
	d := Downlink{FCnt: fcnt, Confirmed: f.Kind == frame.ConfirmedDown, Pending: f.Pending, Port: f.FPort}
	opts := f.FOpts
	if f.FPort == 0 {
		opts = frame.Decrypt(&f, n.nwk, fcnt)
	} else {
		d.Payload = frame.Decrypt(&f, n.app, fcnt)
	}
	n.down = uint64(fcnt) + 1
	n.adrCnt, n.sticky, n.snr = 0, nil, r.SNR
	if f.ACK && n.waitingAck {
		d.ACK, n.waitingAck = true, false
	}
	n.ackDue = n.ackDue || d.Confirmed
	// What stands behind an unknown command is lost (section 5), the frame is not.
	d.Commands, _ = frame.ParseDown(opts)
	n.obey(d.Commands)
	return d, nil
}

// counter finds the whole counter of a frame and checks the MIC with it.
func (n *Node) counter(b []byte, low uint16) (uint32, error) {
	fcnt := frame.FullFCnt(uint32(n.down), low)
	if n.down <= math.MaxUint32 && uint64(fcnt) >= n.down && frame.CheckData(b, n.nwk, fcnt) {
		if uint64(fcnt) >= n.down+uint64(n.c.MaxGap) {
			return 0, fmt.Errorf("%w: %d after %d", ErrGap, fcnt, n.down)
		}
		return fcnt, nil
	}
	// A counter that was there before: this time around, or one before.
	high := uint32((n.down - min(n.down, 1)) >> 16)
	for _, h := range [2]uint32{high, high - 1} {
		if old := h<<16 | uint32(low); uint64(old) < n.down && frame.CheckData(b, n.nwk, old) {
			return 0, fmt.Errorf("%w: counter %d", ErrReplay, old)
		}
	}
	return 0, fmt.Errorf("%w: counter %d", ErrMIC, fcnt)
}
