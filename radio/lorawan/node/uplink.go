package node

import (
	"fmt"
	"math"
	"slices"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// JoinRequest asks to join, on a channel by chance. A session goes on until the
// answer is there.
func (n *Node) JoinRequest() (Uplink, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.c.ABP {
		return Uplink{}, fmt.Errorf("node: join: %w", ErrABP)
	}
	type choice struct{ index, dr int }
	var choices []choice
	for i, c := range n.reg.JoinChannels() {
		if n.c.Channels.Len() == 0 || n.c.Channels.Has(i) {
			choices = append(choices, choice{i, min(max(n.c.DataRate, c.MinDR), c.MaxDR)})
		}
	}
	if len(choices) == 0 {
		return Uplink{}, fmt.Errorf("node: join: %w", ErrChannel)
	}
	at := choices[n.rng.IntN(len(choices))]
	nonce := n.nextNonce()
	n.nonces[nonce] = true
	j := frame.Join{JoinEUI: n.c.JoinEUI, DevEUI: n.c.DevEUI, DevNonce: nonce}
	u := Uplink{Frame: j.Append(nil, n.c.AppKey), Frequency: n.reg.Channels()[at.index].Frequency, Channel: at.index, DataRate: at.dr, Join: true}
	n.joining, n.waitingAck, n.left = true, false, 0
	return n.send(u)
}

// nextNonce gives a DevNonce that was never used.
func (n *Node) nextNonce() uint16 {
	if !n.c.RandomNonce {
		n.devNonce++
		return n.devNonce - 1
	}
	for {
		if nonce := uint16(n.rng.Uint32()); !n.nonces[nonce] || len(n.nonces) > math.MaxUint16 {
			return nonce
		}
	}
}

// Ask puts a request (LinkCheckReq or DeviceTimeReq) into the next uplink.
func (n *Node) Ask(c frame.Command) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asks = append(n.asks, c)
}

// Uplink makes a data frame with the next counter, on a channel by chance, with
// what acknowledgement and answers are due. Port frame.NoFPort is for a frame
// without payload. An unacknowledged frame before it is given up. Errors:
// ErrNotJoined, ErrTooLong, ErrChannel, ErrCounter.
func (n *Node) Uplink(port int, payload []byte, confirmed bool) (Uplink, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.joined {
		return Uplink{}, fmt.Errorf("node: uplink: %w", ErrNotJoined)
	}
	if n.up > math.MaxUint32 {
		return Uplink{}, fmt.Errorf("node: uplink: %w", ErrCounter)
	}
	longest := n.longest(n.p.dataRate)
	if len(payload) > longest {
		return Uplink{}, fmt.Errorf("node: uplink: %w: %d bytes, %d with DR%d", ErrTooLong, len(payload), longest, n.p.dataRate)
	}
	at, err := n.pick(n.p.dataRate)
	if err != nil { // the network left it none: as at first
		n.enableDefaults()
		if at, err = n.pick(n.p.dataRate); err != nil {
			return Uplink{}, err
		}
	}
	d := frame.Data{Kind: frame.UnconfirmedUp, DevAddr: n.addr, ADR: n.c.ADR, ACK: n.ackDue, FPort: port, Payload: payload}
	if confirmed {
		d.Kind = frame.ConfirmedUp
	}
	if n.c.ADR {
		d.ADRACKReq = n.adrCnt >= adrAckLimit
	}
	sticky, answers, asks := n.sticky, n.answers, n.asks // sticky ones stay until a downlink comes
	fill := func(room int) (b []byte) {
		b, sticky = take(b, room, sticky)
		b, answers = take(b, room-len(b), answers)
		b, asks = take(b, room-len(b), asks)
		return b
	}
	switch due := frame.AppendCommands(nil, slices.Concat(sticky, answers, asks)...); {
	case port == 0: // it has commands of its own
	case port == frame.NoFPort && len(due) > frame.MaxFOpts:
		d.FPort, d.Payload = 0, fill(longest)
	default:
		d.FOpts = fill(min(longest-len(payload), frame.MaxFOpts))
	}
	fcnt := uint32(n.up)
	b, err := d.Append(nil, n.nwk, n.app, fcnt)
	if err != nil {
		return Uplink{}, fmt.Errorf("node: uplink: %w", err)
	}
	n.answers, n.asks, n.ackDue, n.up = answers, asks, false, n.up+1
	n.joining, n.waitingAck = false, confirmed
	n.left = n.p.nbTrans - 1
	if confirmed {
		n.left = max(n.left, n.c.Tries-1)
	}
	u := Uplink{Frame: b, Frequency: n.p.channels[at].Frequency, Channel: at, DataRate: n.p.dataRate, FCnt: fcnt, Confirmed: confirmed}
	u, err = n.send(u)
	n.countADR()
	return u, err
}

// take appends the commands that have room, whole and in order, and gives those
// that are left.
func take(dst []byte, room int, cs []frame.Command) ([]byte, []frame.Command) {
	for len(cs) > 0 && frame.CommandLen(cs[0]) <= room {
		room -= frame.CommandLen(cs[0])
		dst = frame.AppendCommands(dst, cs[0])
		cs = cs[1:]
	}
	return dst, cs
}

// pick chooses one of the channels in use that have the data rate.
func (n *Node) pick(dr int) (int, error) {
	var choices []int
	for i, c := range n.p.channels {
		if c.Frequency != 0 && n.p.enabled.Has(i) && dr >= c.MinDR && dr <= c.MaxDR {
			choices = append(choices, i)
		}
	}
	if len(choices) == 0 {
		return 0, fmt.Errorf("node: uplink: %w: DR%d", ErrChannel, dr)
	}
	return choices[n.rng.IntN(len(choices))], nil
}

// longest is the longest payload with a data rate, 0 where it must not be used.
func (n *Node) longest(dr int) int { return n.reg.MaxPayloadDwell(dr, n.p.dwellUp) }

// usable reports whether the device could send with a data rate.
func (n *Node) usable(dr int) bool {
	_, err := n.pick(dr)
	return err == nil && n.reg.Uplink(dr) && n.longest(dr) > 0
}

// dwell makes the data rate one that limited dwell time allows.
func (n *Node) dwell() {
	if lowest, _ := n.reg.ADRDataRates(n.p.dwellUp); n.longest(n.p.dataRate) == 0 {
		n.p.dataRate = max(n.p.dataRate, lowest)
	}
}

// send notes u as the frame that is sent, and where it is answered.
func (n *Node) send(u Uplink) (Uplink, error) {
	m, ok := n.reg.DataRate(u.DataRate)
	if !ok {
		return Uplink{}, fmt.Errorf("node: uplink: %w: DR%d", region.ErrDataRate, u.DataRate)
	}
	u.Modulation, u.Power = m, n.power()
	offset, delay, dwell := n.p.rx1Offset, n.p.rx1Delay, n.p.dwellDown
	rx2, rx2DR := n.p.rx2, n.p.rx2DR
	if u.Join {
		offset, delay = 0, region.JoinDelay1
		rx2, rx2DR = n.reg.RX2()
		_, dwell = n.reg.Dwell()
	}
	freq, dr, err := n.reg.RX1Dwell(u.Frequency, u.DataRate, offset, dwell)
	if err != nil {
		return Uplink{}, fmt.Errorf("node: RX1: %w", err)
	}
	if other := n.p.channels[u.Channel].downlink; other != 0 && !u.Join {
		freq = other
	}
	n.windows = [2]Window{n.window(delay, freq, dr), n.window(delay+time.Second, rx2, rx2DR)}
	if n.badMIC {
		u.Frame[len(u.Frame)-1] ^= 1
		n.badMIC = false
	}
	u.Frame = slices.Clone(u.Frame)
	n.last, n.open, n.sent = u, true, 1
	return u, nil
}

func (n *Node) window(delay time.Duration, freq uint32, dr int) Window {
	m, _ := n.reg.DataRate(dr)
	return Window{delay, freq, dr, m}
}

// power is what the device sends with, in dBm EIRP.
func (n *Node) power() int8 {
	most, _ := n.reg.TXPower(0)
	dBm, ok := n.reg.TXPower(n.p.txPower)
	if !ok {
		dBm = most
	}
	if n.p.eirp != 0 {
		dBm -= max(most-n.p.eirp, 0)
	}
	return dBm
}

// Retransmit gives the last data frame once more, as long as it is to be sent
// again: an unconfirmed one NbTrans times or until a downlink comes, a confirmed
// one until it is acknowledged or Tries are used up, every second time slower
// (LoRaWAN 1.0.2 section 18.4).
func (n *Node) Retransmit() (Uplink, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.repeats() {
		return Uplink{}, false
	}
	u, sent := n.last, n.sent+1
	if u.Confirmed && sent%2 == 1 && n.usable(u.DataRate-1) && len(u.Frame) <= n.longest(u.DataRate-1)+frame.MinDataLen+1 {
		u.DataRate--
	}
	at, err := n.pick(u.DataRate)
	if err != nil {
		return Uplink{}, false
	}
	u.Channel, u.Frequency = at, n.p.channels[at].Frequency
	n.left--
	if u, err = n.send(u); err != nil {
		return Uplink{}, false
	}
	n.sent = sent
	return u, true
}

// Repeats reports whether Retransmit would give a frame.
func (n *Node) Repeats() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.repeats()
}

func (n *Node) repeats() bool {
	if n.last.Confirmed {
		return n.left > 0 && n.waitingAck
	}
	return n.left > 0 && n.open && !n.last.Join
}

// ADR_ACK_LIMIT and ADR_ACK_DELAY of all regions.
const (
	adrAckLimit = 64
	adrAckDelay = 32
)

// countADR goes on towards more power, then lower data rates, then all default
// channels, where no downlink comes (section 4.3.1.1).
func (n *Node) countADR() {
	if !n.c.ADR {
		return
	}
	n.adrCnt++
	if n.adrCnt < adrAckLimit+adrAckDelay || (n.adrCnt-adrAckLimit)%adrAckDelay != 0 {
		return
	}
	if n.p.txPower > 0 {
		n.p.txPower = 0
		return
	}
	if n.usable(n.p.dataRate - 1) {
		n.p.dataRate--
		return
	}
	n.p.nbTrans = 1
	n.enableDefaults()
}

// enableDefaults has the device use all default channels besides its others.
func (n *Node) enableDefaults() {
	for _, i := range n.reg.DefaultChannels().List() {
		n.p.enabled.Add(i)
	}
}

// PauseAfter is how long the device is silent after u because of DutyCycleReq,
// from its end.
func (n *Node) PauseAfter(u Uplink) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.p.duty == 0 {
		return 0
	}
	return radio.Airtime(u.Modulation, len(u.Frame), radio.AirtimeOptions{}) * (1<<n.p.duty - 1)
}
