package lorawan

import (
	"math"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// asks counts, for a session, requests that came to nothing.
type asks struct {
	tries   [frame.CIDDeviceTime + 1]uint8 // since the last answer
	refused [frame.CIDDeviceTime + 1]uint8
	// highestDR and highestPower are 1 above what the device takes of a LinkADRReq,
	// as far as it has refused more; 0: it has not.
	highestDR, highestPower uint8
	ownRate                 bool // it has refused a data rate, or goes on with another
	// promised is 1 above the data rate that it has just said yes to; 0: none. Broken
	// counts, in a row, how often it went on with another.
	promised, broken uint8
}

const (
	maxTries   = 8   // a device that does not answer is asked that often in a row
	askAgain   = 128 // and then once in that many uplinks
	maxRefused = 3   // a device that refuses is asked that often
	askStatus  = time.Hour
	askApart   = 10 * time.Second // between downlinks that only ask for a status
)

// may reports whether a device may be asked for something.
func (n *session) may(id byte) bool {
	return n.asks.refused[id] < maxRefused && (n.asks.tries[id] < maxTries || n.up%askAgain == 0)
}

// hearCommands takes the MAC commands of an uplink: requests, and answers to what
// the last downlink asked for.
func (s *Server) hearCommands(d *device, n *session, b []byte, w *window) {
	asked, _ := frame.ParseDown(n.pending) // the server wrote it
	if n.pending != nil {
		n.pending = nil
		s.change(d, dirtyState)
	}
	heard, err := frame.ParseUp(b)
	if err != nil {
		s.cfg.Log.Debug("LoRaWAN MAC commands end in what is none", "device", d.cfg.Device, "error", err)
	}
	for i := 0; i < len(heard); i++ {
		switch c := heard[i].(type) {
		case frame.LinkCheckReq:
			w.linkCheck = true
		case frame.DeviceTimeReq:
			w.deviceTime = true
		case frame.LinkADRAns: // one for each request, or one for all
			all := frame.LinkADRAns{ChannelMaskACK: true, DataRateACK: true, PowerACK: true}
			for ; i < len(heard); i++ {
				a, ok := heard[i].(frame.LinkADRAns)
				if !ok {
					break
				}
				all.ChannelMaskACK = all.ChannelMaskACK && a.ChannelMaskACK
				all.DataRateACK = all.DataRateACK && a.DataRateACK
				all.PowerACK = all.PowerACK && a.PowerACK
			}
			i--
			var block []frame.LinkADRReq
			block, asked = takeAll[frame.LinkADRReq](asked)
			if len(block) > 0 {
				s.linkADRAns(d, n, block, all)
			}
		default:
			asked = s.hearAnswer(d, n, c, asked, w)
		}
	}
}

// ask notes what an uplink that comes once more wants to be answered. What it
// answers itself was heard the first time.
func (w *window) ask(b []byte) {
	heard, _ := frame.ParseUp(b)
	for _, c := range heard {
		switch c.(type) {
		case frame.LinkCheckReq:
			w.linkCheck = true
		case frame.DeviceTimeReq:
			w.deviceTime = true
		case frame.RXParamSetupAns, frame.RXTimingSetupAns, frame.DlChannelAns:
			w.answer = true
		}
	}
}

// hearAnswer takes an answer; asked is what is still to be answered, and so is the
// result.
func (s *Server) hearAnswer(d *device, n *session, c frame.Command, asked []frame.Command, w *window) []frame.Command {
	ok, set := true, func() {}
	switch c := c.(type) {
	case frame.DutyCycleAns:
		var r *frame.DutyCycleReq
		if r, asked = take[frame.DutyCycleReq](asked); r != nil {
			set = func() { n.link.dutyCycle = r.MaxDutyCycle }
		}
	case frame.RXParamSetupAns:
		w.answer = true // it is repeated until a downlink comes
		var r *frame.RXParamSetupReq
		if r, asked = take[frame.RXParamSetupReq](asked); r == nil {
			return asked
		}
		ok, set = c.OK(), func() { n.link.rx1Offset, n.link.rx2DR, n.link.rx2Freq = r.RX1Offset, r.RX2DataRate, r.Frequency }
	case frame.RXTimingSetupAns:
		w.answer = true
		var r *frame.RXTimingSetupReq
		if r, asked = take[frame.RXTimingSetupReq](asked); r != nil {
			set = func() { n.link.rx1Delay = max(r.Delay, 1) }
		}
	case frame.TxParamSetupAns:
		var r *frame.TxParamSetupReq
		if r, asked = take[frame.TxParamSetupReq](asked); r != nil {
			set = func() { n.link.txParam = txParamByte(*r) }
		}
	case frame.NewChannelAns:
		var r *frame.NewChannelReq
		if r, asked = take[frame.NewChannelReq](asked); r == nil {
			return asked
		}
		ok, set = c.OK(), func() { d.plan.setChannel(&n.link, int(r.ChIndex), r.Frequency) }
	case frame.DlChannelAns:
		w.answer = true
		var r *frame.DlChannelReq
		if r, asked = take[frame.DlChannelReq](asked); r == nil {
			return asked
		}
		ok, set = c.OK(), func() { d.plan.setDownlink(&n.link, int(r.ChIndex), r.Frequency) }
	case frame.DevStatusAns:
		_, asked = take[frame.DevStatusReq](asked)
		d.battery, d.margin, d.asked = c.Battery, c.Margin, time.Now().Unix()
	}
	n.asks.tries[c.ID()] = 0
	s.change(d, dirtyState)
	if !ok {
		n.asks.refused[c.ID()]++
		s.say(d, saidSetting, "LoRaWAN device refuses a setting", "command", c.ID())
		return asked
	}
	set()
	return asked
}

// take takes the first request of a kind out of asked.
func take[R frame.Command](asked []frame.Command) (*R, []frame.Command) {
	for i, c := range asked {
		if r, ok := c.(R); ok {
			return &r, append(asked[:i:i], asked[i+1:]...)
		}
	}
	return nil, asked
}

// takeAll takes all requests of a kind out of asked.
func takeAll[R frame.Command](asked []frame.Command) (all []R, rest []frame.Command) {
	for _, c := range asked {
		if r, ok := c.(R); ok {
			all = append(all, r)
		} else {
			rest = append(rest, c)
		}
	}
	return all, rest
}

// linkADRAns takes the answer to a block of LinkADRReq.
func (s *Server) linkADRAns(d *device, n *session, block []frame.LinkADRReq, a frame.LinkADRAns) {
	last := block[len(block)-1]
	n.asks.tries[frame.CIDLinkADR] = 0
	if !a.OK() { // it keeps all as it was, section 5.2
		if !a.DataRateACK {
			n.asks.highestDR, n.asks.ownRate = last.DataRate, true
		}
		if !a.PowerACK && last.TXPower > 0 {
			n.asks.highestPower = last.TXPower
		}
		n.asks.refused[frame.CIDLinkADR]++
		s.say(d, saidSetting, "LoRaWAN device refuses LinkADRReq", "mask", a.ChannelMaskACK, "rate", a.DataRateACK, "power", a.PowerACK)
		return
	}
	n.asks.refused[frame.CIDLinkADR] = 0
	var masks []region.ChannelMask
	for _, r := range block {
		masks = append(masks, region.ChannelMask{Mask: r.ChMask, Control: r.ChMaskCntl})
	}
	l := &n.link
	if m, err := d.plan.region.Apply(l.mask, d.plan.defined(l), masks); err == nil {
		l.mask = m
	}
	if l.power != last.TXPower {
		d.history = history{}
	}
	l.power = last.TXPower
	n.asks.promised = last.DataRate + 1
	if last.NbTrans > 0 {
		l.nbTrans = last.NbTrans
	}
	s.change(d, dirtyState)
}

// answers are those to the requests of an uplink.
func (s *Server) answers(w *window) []frame.Command {
	var cs []frame.Command
	if w.linkCheck {
		margin := 0.0
		if w.best.LoRa() {
			margin = math.Floor(float64(w.best.SNR - floor(w.best.SF)))
		}
		cs = append(cs, frame.LinkCheckAns{Margin: uint8(min(max(margin, 0), 254)), GwCnt: uint8(len(w.radios))})
	}
	if t, ok := s.ended(w.best); w.deviceTime && ok {
		cs = append(cs, frame.DeviceTimeOf(t))
	}
	return cs
}

// ended is when a frame ended, if a clock that is known to be right says so.
func (s *Server) ended(f *radio.Frame) (time.Time, bool) {
	if s.cfg.Clock == nil {
		return time.Time{}, false
	}
	if f.Heard.After(gateway.Earliest) { // a forwarder whose clock is not set knows nothing
		return f.Heard, true
	}
	now := s.cfg.Clock.Now()
	if f.At.IsZero() || now.Quality != gateway.ClockSynced {
		return time.Time{}, false
	}
	return now.Wall.Add(-time.Since(f.At)), true
}

// floor is the SNR in dB that a spreading factor needs (SX1276 datasheet, table
// 13; SF5 and SF6 SX1262 datasheet, table 6-1).
func floor(sf uint8) float32 { return -2.5 * float32(int(sf)-4) }

// fit takes of answers and requests what has room, in that order. Requests of one
// group go together. Left: not all had.
func fit(answers []frame.Command, requests [][]frame.Command, room int) (sent []frame.Command, left bool) {
	groups := requests
	if len(answers) > 0 {
		groups = append([][]frame.Command{answers}, requests...)
	}
	for _, g := range groups {
		n := 0
		for _, c := range g {
			n += frame.CommandLen(c)
		}
		if n > room {
			left = true
			continue
		}
		room -= n
		sent = append(sent, g...)
	}
	return sent, left
}

// await remembers which requests a downlink has; false: none.
func (n *session) await(sent []frame.Command) bool {
	n.pending = nil
	var last byte
	for _, c := range sent {
		switch c.(type) {
		case frame.LinkCheckAns, frame.DeviceTimeAns:
			continue
		}
		if id := c.ID(); id != last {
			last = id
			n.asks.tries[id] = min(n.asks.tries[id]+1, maxTries)
		}
		n.pending = frame.AppendCommands(n.pending, c)
	}
	return n.pending != nil
}
