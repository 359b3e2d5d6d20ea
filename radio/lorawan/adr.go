package lorawan

import (
	"fieldgate/radio/lorawan/frame"
)

// historyLen is how many uplinks ADR looks at.
const historyLen = 20

// history are a device's last uplinks with the settings that it has now.
type history struct {
	snr  [historyLen]int8 // dB/4, a ring
	fcnt [historyLen]uint16
	next uint8
	n    uint8
}

// add notes an uplink.
func (h *history) add(fcnt uint16, snr float32) {
	h.snr[h.next], h.fcnt[h.next] = quarters(snr), fcnt
	h.next = (h.next + 1) % historyLen
	h.n = min(h.n+1, historyLen)
}

// raise notes that another radio heard the last uplink better.
func (h *history) raise(snr float32) {
	if h.n > 0 {
		i := (h.next + historyLen - 1) % historyLen
		h.snr[i] = max(h.snr[i], quarters(snr))
	}
}

func (h *history) full() bool { return h.n == historyLen }

// best is the highest SNR in dB.
func (h *history) best() float32 {
	best := int8(-128)
	for _, v := range h.snr[:h.n] {
		best = max(best, v)
	}
	return float32(best) / 4
}

// loss is the share of uplinks between the first and the last that were not
// heard. The history is full.
func (h *history) loss() float32 {
	sent := h.fcnt[(h.next+historyLen-1)%historyLen] - h.fcnt[h.next] + 1
	if sent <= historyLen {
		return 0
	}
	return float32(sent-historyLen) / float32(sent)
}

// adrStep is what a step of data rate or power is worth, in dB.
const adrStep = 3

// adr is what ADR works with, and what it gives.
type adr struct {
	dr, power, nbTrans uint8
}

// limits are the highest data rate and index of TXPower.
type limits struct{ dr, power uint8 }

// advise gives data rate, power and number of transmissions for a device that is
// set as now and was heard with snr at best, where need is the SNR of its data
// rate plus what is to be kept above it. After Semtech, "LoRaWAN: simple rate
// adaptation recommended algorithm" (2016): each 3 dB to spare are a faster data
// rate, then less power; each 3 dB that lack are more power. The data rate is never
// lowered, as a device that is not heard does that itself.
func advise(now adr, snr, need, loss float32, most limits) adr {
	next := now
	steps := int((snr - need) / adrStep)
	for ; steps > 0 && next.dr < most.dr; steps-- {
		next.dr++
	}
	for ; steps > 0 && next.power < most.power; steps-- {
		next.power++
	}
	for ; steps < 0 && next.power > 0; steps++ {
		next.power--
	}
	row := 3
	switch {
	case loss < 0.05:
		row = 0
	case loss < 0.10:
		row = 1
	case loss < 0.30:
		row = 2
	}
	next.nbTrans = repetitions[row][min(max(now.nbTrans, 1), 3)-1]
	return next
}

// repetitions gives NbTrans by the loss (under 5, 10, 30 %, more) and by what it
// was (1 to 3), from the same document.
var repetitions = [4][3]uint8{{1, 1, 2}, {1, 2, 3}, {2, 3, 3}, {3, 3, 3}}

// missing is the loss from which on a device is told its channels once more.
const missing = 0.5

// linkADR is the block of LinkADRReq that a device needs; nil: none.
func (s *Server) linkADR(d *device, n *session, w *window) []frame.Command {
	p, l := d.plan, &n.link
	now := adr{l.dr, l.power, l.nbTrans}
	if l.dr == unset {
		now.dr = uint8(w.dr)
	}
	slow := false // it has said yes, and may do so from the next uplink on only
	if a := &n.asks; a.promised > 0 {
		slow, now.dr = a.promised != l.dr+1, a.promised-1
	}
	next := now
	switch {
	case p.single && !n.asks.ownRate:
		next.dr = p.singleDR
	case p.single:
	case d.cfg.ADR && w.adr && !slow && n.asks.broken < maxRefused && d.history.full() && w.best.LoRa():
		limited, _ := p.dwell(l)
		lowest, highest := p.region.ADRDataRates(limited)
		most := limits{uint8(highest), uint8(p.region.MaxTXPower())}
		if h := n.asks.highestDR; h > 0 {
			most.dr = min(most.dr, h-1)
		}
		if h := n.asks.highestPower; h > 0 {
			most.power = min(most.power, h-1)
		}
		if int(now.dr) >= lowest && int(now.dr) <= highest {
			next = advise(now, d.history.best(), floor(w.best.SF)+s.cfg.ADRMargin, d.history.loss(), most)
		}
	}
	mask := p.wanted(l)
	if next == now && mask == l.mask {
		// A device that backs off or starts anew turns channels on again that nobody
		// hears: most of its uplinks are missing then.
		if mask == p.defined(l) || !d.history.full() || d.history.loss() <= missing {
			return nil
		}
		d.history = history{}
	}
	masks, err := p.region.Masks(mask)
	if err != nil {
		return nil
	}
	var cs []frame.Command
	for _, m := range masks {
		cs = append(cs, frame.LinkADRReq{DataRate: next.dr, TXPower: next.power, ChMask: m.Mask, ChMaskCntl: m.Control, NbTrans: next.nbTrans})
	}
	return cs
}
