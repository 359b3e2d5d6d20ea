package lorawan

import (
	"fmt"
	"maps"
	"slices"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/lorawan/region"
)

// link is how a device's radio is set, as far as the server knows.
type link struct {
	rx2Freq   uint32
	rx1Delay  uint8 // s
	rx1Offset uint8
	rx2DR     uint8
	dr        uint8 // unset: no ADR frame was heard
	power     uint8 // index of the region's table
	nbTrans   uint8
	dutyCycle uint8
	txParam   uint8 // as it is on air; unset: it was never told

	mask     region.ChannelSet
	channels []uint32          // by number, behind the default ones; 0: none
	downFreq map[uint32]uint32 // RX1's frequency by the uplink's, where it is not the region's
}

const unset = 0xff

// plan is what devices are to be set to, shared by all that have the same.
type plan struct {
	link
	region   *region.Region
	usual    int // number of default channels
	single   bool
	singleDR uint8
	cfList   []byte
	list     int // how many of channels the CFList names
}

// defaults is how a device is set that was told nothing.
func defaults(r *region.Region) link {
	freq, dr := r.RX2()
	return link{rx2Freq: freq, rx2DR: uint8(dr), rx1Delay: 1, nbTrans: 1, dr: unset, txParam: unset, mask: r.DefaultChannels()}
}

// clone copies what l shares with others.
func (l *link) clone() link {
	c := *l
	c.channels, c.downFreq = slices.Clone(l.channels), maps.Clone(l.downFreq)
	return c
}

// newPlan checks settings and works out what they mean in a region.
func newPlan(r *region.Region, s *Settings) (*plan, error) {
	p := &plan{link: defaults(r), region: r, usual: len(r.Channels())}
	wrong := func(format string, a ...any) (*plan, error) {
		return nil, fmt.Errorf("lorawan: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	if s.RX1Delay > 15 || int(s.RX1Offset) > r.MaxRX1Offset() || s.DutyCycle > 15 {
		return wrong("RX1 delay %d, RX1 offset %d, duty cycle %d: at most 15, %d and 15", s.RX1Delay, s.RX1Offset, s.DutyCycle, r.MaxRX1Offset())
	}
	p.rx1Delay, p.rx1Offset, p.dutyCycle = max(s.RX1Delay, 1), s.RX1Offset, s.DutyCycle
	channels := s.Channels
	if s.Single != nil {
		p.single, p.singleDR = true, s.Single.DataRate
		channels = []uint32{s.Single.Frequency}
		if !r.Fixed() {
			p.rx2Freq, p.rx2DR = s.Single.Frequency, s.Single.DataRate
		}
		if !r.Uplink(int(p.singleDR)) {
			return wrong("%s has no data rate %d for uplinks", r.Name(), p.singleDR)
		}
	}
	if s.RX2 != nil {
		p.rx2Freq, p.rx2DR = s.RX2.Frequency, s.RX2.DataRate
	}
	if !r.Downlink(int(p.rx2DR)) {
		return wrong("RX2: %s has no data rate %d for downlinks", r.Name(), p.rx2DR)
	}
	for _, f := range append([]uint32{p.rx2Freq}, channels...) {
		if !r.Fits(f, 125000) || f%100 != 0 { // no channel is narrower
			return wrong("%d Hz is no frequency of %s", f, r.Name())
		}
	}
	if s.Single != nil || r.Fixed() && len(channels) > 0 {
		p.mask = region.ChannelSet{}
	}
	for _, f := range channels {
		i, ok := r.ChannelAt(f)
		if !ok {
			if i = p.usual + len(p.channels); r.Fixed() || i >= r.MaxChannels() {
				return wrong("channel %d Hz: %s has no such one, or too many", f, r.Name())
			}
			p.channels = append(p.channels, f)
		}
		p.mask.Add(i)
	}
	var err error
	if r.Fixed() {
		p.cfList, err = r.CFList(channels)
	} else {
		p.list = min(len(p.channels), r.MaxCFList())
		p.cfList, err = r.CFList(p.channels[:p.list])
	}
	if err != nil {
		return nil, fmt.Errorf("lorawan: %w: %w", ErrConfig, err)
	}
	for up, down := range s.Downlinks {
		if _, ok := p.index(&p.link, up); !ok || !r.Contains(down) || down%100 != 0 || r.Fixed() {
			return wrong("no downlink of channel %d Hz can be at %d Hz", up, down)
		}
	}
	p.downFreq = s.Downlinks
	if s.TxParam != nil && r.HasTxParamSetup() {
		p.txParam = txParamByte(*s.TxParam)
	}
	return p, nil
}

// txParamByte is a TxParamSetupReq as one number.
func txParamByte(c frame.TxParamSetupReq) uint8 { return frame.AppendCommands(nil, c)[1] }

// index is the number of the uplink channel at freq of a device that is set as l.
func (p *plan) index(l *link, freq uint32) (int, bool) {
	if i, ok := p.region.ChannelAt(freq); ok {
		return i, true
	}
	i := slices.IndexFunc(l.channels, func(c uint32) bool { return c != 0 && near(c, freq) })
	return p.usual + i, i >= 0
}

// near reports whether two frequencies are those of one channel: chips and
// forwarders round.
func near(a, b uint32) bool { return max(a, b)-min(a, b) <= 1000 }

// joined is how a device is set after a join accept of p.
func (p *plan) joined() link {
	l := defaults(p.region)
	l.rx1Delay, l.rx1Offset, l.rx2DR = p.rx1Delay, p.rx1Offset, p.rx2DR
	if p.list > 0 {
		l.channels = slices.Clone(p.channels[:p.list])
		for i := range l.channels {
			l.mask.Add(p.usual + i)
		}
	}
	return l
}

// slot is where and how a downlink can go.
type slot struct {
	freq uint32
	dr   int
	radio.Modulation
	size int // longest FRMPayload without FOpts; 0: it cannot go there
}

func (p *plan) slot(l *link, freq uint32, dr int) slot {
	m, ok := p.region.DataRate(dr)
	if !ok || !p.region.Contains(freq) {
		return slot{}
	}
	_, limited := p.dwell(l)
	_, here := p.dwell(&p.link) // before the device is told, too
	return slot{freq, dr, m, p.region.MaxPayloadDwell(dr, limited || here)}
}

// dwell says for which directions the device takes dwell time to be limited.
func (p *plan) dwell(l *link) (up, down bool) {
	if l.txParam != unset && p.region.HasTxParamSetup() {
		return l.txParam>>4&1 == 1, l.txParam>>5&1 == 1
	}
	return p.region.Dwell()
}

// rx1 is the first receive window after an uplink, by the settings l. Dwell time
// is limited for RX1 as the device was told.
func (p *plan) rx1(l *link, freq uint32, dr int) slot {
	_, limited := p.dwell(l)
	for _, c := range l.channels {
		if near(c, freq) {
			freq = c
		}
	}
	f, down, err := p.region.RX1Dwell(freq, dr, int(l.rx1Offset), limited)
	if err != nil {
		return slot{}
	}
	if other, ok := l.downFreq[f]; ok {
		f = other
	}
	return p.slot(l, f, down)
}

// rx2 is the second receive window by the settings l.
func (p *plan) rx2(l *link) slot { return p.slot(l, l.rx2Freq, int(l.rx2DR)) }

// longest is the longest payload that any downlink can have.
func (p *plan) longest() int {
	n := 0
	for dr := range 16 {
		if p.region.Downlink(dr) {
			n = max(n, p.region.MaxPayload(dr))
		}
	}
	return n
}
