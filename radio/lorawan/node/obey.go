package node

import (
	"math"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// obey does what commands say, and has the answers ready for the next uplink.
func (n *Node) obey(cs []frame.Command) {
	for i := 0; i < len(cs); i++ {
		switch c := cs[i].(type) {
		case frame.LinkADRReq:
			block := []frame.LinkADRReq{c}
			for i+1 < len(cs) {
				next, more := cs[i+1].(frame.LinkADRReq)
				if !more {
					break
				}
				block = append(block, next)
				i++
			}
			a := n.linkADR(block)
			for range block {
				n.answers = append(n.answers, a)
			}
		case frame.DutyCycleReq:
			n.p.duty = c.MaxDutyCycle
			n.answers = append(n.answers, frame.DutyCycleAns{})
		case frame.RXParamSetupReq:
			n.stick(n.rxParamSetup(c))
		case frame.DevStatusReq:
			margin := int8(min(max(math.Round(n.snr), -32), 31))
			n.answers = append(n.answers, frame.DevStatusAns{Battery: n.c.Battery, Margin: margin})
		case frame.NewChannelReq:
			if !n.reg.Fixed() { // where it is, devices ignore it
				n.answers = append(n.answers, n.newChannel(c))
			}
		case frame.RXTimingSetupReq:
			n.p.rx1Delay = time.Duration(max(c.Delay, 1)) * time.Second
			n.stick(frame.RXTimingSetupAns{})
		case frame.TxParamSetupReq:
			if n.reg.HasTxParamSetup() {
				n.p.dwellDown, n.p.dwellUp, n.p.eirp = c.DownlinkDwell, c.UplinkDwell, region.EIRP(c.MaxEIRP)
				n.dwell()
				n.answers = append(n.answers, frame.TxParamSetupAns{})
			}
		case frame.DlChannelReq:
			if !n.reg.Fixed() {
				n.stick(n.dlChannel(c))
			}
		}
	}
}

// stick adds an answer that is repeated until a downlink comes.
func (n *Node) stick(c frame.Command) { n.sticky = append(n.sticky, c) }

// linkADR takes all of a block or nothing (section 5.2).
func (n *Node) linkADR(block []frame.LinkADRReq) (a frame.LinkADRAns) {
	var masks []region.ChannelMask
	for _, c := range block {
		masks = append(masks, region.ChannelMask{Mask: c.ChMask, Control: c.ChMaskCntl})
	}
	last := block[len(block)-1]
	dr, power := int(last.DataRate), int(last.TXPower)
	if dr == frame.Keep {
		dr = n.p.dataRate
	}
	if power == frame.Keep {
		power = n.p.txPower
	}
	enabled, err := n.reg.Apply(n.p.enabled, n.p.defined(), masks)
	a.ChannelMaskACK = err == nil
	_, a.PowerACK = n.reg.TXPower(power)
	if a.ChannelMaskACK && n.reg.Uplink(dr) && n.reg.MaxPayloadDwell(dr, n.p.dwellUp) > 0 {
		for _, i := range enabled.List() {
			a.DataRateACK = a.DataRateACK || dr >= n.p.channels[i].MinDR && dr <= n.p.channels[i].MaxDR
		}
	}
	if !n.c.ADR { // its owner chooses, the network does not
		a.DataRateACK = a.DataRateACK && dr == n.p.dataRate
		a.PowerACK = a.PowerACK && power == n.p.txPower
	}
	if a.OK() {
		n.p.enabled, n.p.dataRate, n.p.txPower = enabled, dr, power
		n.p.nbTrans = int(max(last.NbTrans, 1))
	}
	return a
}

func (n *Node) rxParamSetup(c frame.RXParamSetupReq) frame.RXParamSetupAns {
	a := frame.RXParamSetupAns{
		ChannelACK:     n.reg.Contains(c.Frequency),
		RX2DataRateACK: n.reg.Downlink(int(c.RX2DataRate)),
		RX1OffsetACK:   int(c.RX1Offset) <= n.reg.MaxRX1Offset(),
	}
	if a.OK() {
		n.p.rx2, n.p.rx2DR, n.p.rx1Offset = c.Frequency, int(c.RX2DataRate), int(c.RX1Offset)
	}
	return a
}

// newChannel makes, changes or removes a channel; the default ones stay as they
// are (section 5.6).
func (n *Node) newChannel(c frame.NewChannelReq) (a frame.NewChannelAns) {
	i, lowest, highest := int(c.ChIndex), int(c.MinDR), int(c.MaxDR)
	own := i >= n.reg.DefaultChannels().Len() && i < len(n.p.channels)
	a.FrequencyOK = own && (c.Frequency == 0 || n.reg.Contains(c.Frequency))
	a.DataRatesOK = own && lowest <= highest && n.reg.Uplink(lowest) && n.reg.Uplink(highest)
	if own && c.Frequency == 0 {
		a.DataRatesOK = true // nobody looks at them
	}
	if !a.OK() {
		return a
	}
	n.p.channels[i] = channel{}
	n.p.enabled.Remove(i)
	if c.Frequency != 0 {
		n.p.channels[i].Channel = region.Channel{Frequency: c.Frequency, MinDR: lowest, MaxDR: highest}
		n.p.enabled.Add(i)
	}
	return a
}

func (n *Node) dlChannel(c frame.DlChannelReq) frame.DlChannelAns {
	i := int(c.ChIndex)
	a := frame.DlChannelAns{
		FrequencyOK:           n.reg.Contains(c.Frequency),
		UplinkFrequencyExists: i < len(n.p.channels) && n.p.channels[i].Frequency != 0,
	}
	if a.OK() {
		n.p.channels[i].downlink = c.Frequency
	}
	return a
}
