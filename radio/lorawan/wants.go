package lorawan

import (
	"maps"
	"slices"
	"time"

	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// requests are the MAC commands that bring a device to what it is to be set to,
// in groups that go together. Those that say how it is reached come first. Alone:
// there is nothing else to send to it.
func (s *Server) requests(d *device, n *session, w *window, alone bool) (groups [][]frame.Command) {
	p, l := d.plan, &n.link
	add := func(cs ...frame.Command) {
		if len(cs) > 0 && n.may(cs[0].ID()) {
			groups = append(groups, cs)
		}
	}
	if l.rx1Offset != p.rx1Offset || l.rx2DR != p.rx2DR || l.rx2Freq != p.rx2Freq {
		add(frame.RXParamSetupReq{RX1Offset: p.rx1Offset, RX2DataRate: p.rx2DR, Frequency: p.rx2Freq})
	}
	if l.rx1Delay != p.rx1Delay {
		add(frame.RXTimingSetupReq{Delay: p.rx1Delay})
	}
	if p.txParam != unset && l.txParam != p.txParam {
		add(frame.TxParamSetupReq{DownlinkDwell: p.txParam>>5&1 == 1, UplinkDwell: p.txParam>>4&1 == 1, MaxEIRP: p.txParam & 15})
	}
	if l.dutyCycle != p.dutyCycle {
		add(frame.DutyCycleReq{MaxDutyCycle: p.dutyCycle})
	}
	for _, c := range p.newChannels(l) {
		add(c)
	}
	for _, c := range p.newDownlinks(l) {
		add(c)
	}
	add(s.linkADR(d, n, w)...)
	if every := s.cfg.StatusEvery; every > 0 && !w.repeat && s.tick() >= d.askStatus {
		// An answer from the future was noted by a clock that was wrong.
		if age := time.Since(time.Unix(d.asked, 0)); age >= every || age < 0 {
			if alone = alone && len(groups) == 0; !alone || s.tick() >= s.askAlone {
				add(frame.DevStatusReq{})
				d.askStatus = s.tick() + askStatus
			}
			if alone && len(groups) > 0 {
				s.askAlone = s.tick() + askApart
			}
		}
	}
	return groups
}

// newChannels are the requests for channels that the device has not, or has and
// should not.
func (p *plan) newChannels(l *link) (cs []frame.Command) {
	if p.region.Fixed() {
		return nil
	}
	lowest, highest := p.region.ADRDataRates(false)
	for i := range max(len(p.channels), len(l.channels)) {
		want := at(p.channels, i)
		if want == at(l.channels, i) {
			continue
		}
		cs = append(cs, frame.NewChannelReq{ChIndex: uint8(p.usual + i), Frequency: want, MinDR: uint8(lowest), MaxDR: uint8(highest)})
	}
	return cs
}

// at is the i-th of channels, 0 for none.
func at(channels []uint32, i int) uint32 {
	if i < len(channels) {
		return channels[i]
	}
	return 0
}

// newDownlinks are the requests for RX1 frequencies that the device has otherwise.
func (p *plan) newDownlinks(l *link) (cs []frame.Command) {
	for _, up := range slices.Sorted(maps.Keys(p.downFreq)) {
		if i, ok := p.index(l, up); ok && l.downFreq[up] != p.downFreq[up] {
			cs = append(cs, frame.DlChannelReq{ChIndex: uint8(i), Frequency: p.downFreq[up]})
		}
	}
	for _, up := range slices.Sorted(maps.Keys(l.downFreq)) {
		if i, ok := p.index(l, up); ok && p.downFreq[up] == 0 {
			cs = append(cs, frame.DlChannelReq{ChIndex: uint8(i), Frequency: up})
		}
	}
	return cs
}

// setChannel notes that the device has a channel; frequency 0: not any more.
func (p *plan) setChannel(l *link, index int, freq uint32) {
	i := index - p.usual
	if i < 0 || index >= p.region.MaxChannels() {
		return
	}
	for len(l.channels) <= i {
		l.channels = append(l.channels, 0)
	}
	delete(l.downFreq, l.channels[i])
	l.channels[i] = freq
	if freq != 0 {
		l.mask.Add(index)
	} else {
		l.mask.Remove(index)
	}
	for len(l.channels) > 0 && l.channels[len(l.channels)-1] == 0 {
		l.channels = l.channels[:len(l.channels)-1]
	}
}

// setDownlink notes that RX1 of a channel is on another frequency.
func (p *plan) setDownlink(l *link, index int, freq uint32) {
	up := at(l.channels, index-p.usual)
	if index < p.usual {
		up = p.region.Channels()[index].Frequency
	}
	if up == 0 {
		return
	}
	if freq == up {
		delete(l.downFreq, up)
		return
	}
	if l.downFreq == nil {
		l.downFreq = map[uint32]uint32{}
	}
	l.downFreq[up] = freq
}

// defined are the channels that the device knows.
func (p *plan) defined(l *link) region.ChannelSet {
	set := p.region.DefaultChannels()
	for i, f := range l.channels {
		if f != 0 {
			set.Add(p.usual + i)
		}
	}
	return set
}

// wanted is the plan's mask as far as the device knows the channels.
func (p *plan) wanted(l *link) region.ChannelSet {
	set, known := p.mask, p.defined(l)
	for i := range set {
		set[i] &= known[i]
	}
	if set == (region.ChannelSet{}) {
		return l.mask
	}
	return set
}
