package sim

import (
	"math"
	"time"

	"fieldgate/radio"
)

// Interrupts (section 13.3.2, table 13-29).
const (
	irqTxDone      = 0x0001
	irqRxDone      = 0x0002
	irqPreamble    = 0x0004
	irqHeaderValid = 0x0010
	irqHeaderErr   = 0x0020
	irqCrcErr      = 0x0040
	irqTimeout     = 0x0200
)

var _ HeaderReceiver = (*SX1262)(nil)

// sx1262Bandwidths are the codes of SetModulationParams (table 13-48).
var sx1262Bandwidths = map[byte]uint32{0: 7800, 8: 10400, 1: 15600, 9: 20800, 2: 31250, 10: 41700, 3: 62500, 4: 125000, 5: 250000, 6: 500000}

// frequency is what SetRfFrequency asked for, in Hz.
func (c *SX1262) frequency() uint32 {
	p := c.set[opSetRfFrequency]
	if len(p) != 4 {
		return 0
	}
	w := uint64(p[0])<<24 | uint64(p[1])<<16 | uint64(p[2])<<8 | uint64(p[3])
	return uint32((w*32e6 + 1<<24) >> 25)
}

// modulation is what SetModulationParams asked for.
func (c *SX1262) modulation() radio.Modulation {
	p := c.set[opSetModulation]
	if len(p) != 4 {
		return radio.Modulation{}
	}
	return radio.Modulation{SF: p[0], Bandwidth: sx1262Bandwidths[p[1]], CodingRate: p[2] + 4}
}

// syncWord is that of the registers in the form of an SX127x.
func (c *SX1262) syncWord() byte {
	return c.memory[regSyncWord]&0xf0 | c.memory[regSyncWord+1]>>4
}

// configured checks what has to be right in front of SetRx and SetTx.
func (c *SX1262) configured(what string) {
	for _, op := range []byte{opSetRfFrequency, opSetModulation, opSetPacketParams} {
		if c.set[op] == nil {
			c.violate("%s before %s", what, sx1262Commands[op].name)
		}
	}
	m := c.modulation()
	if p := c.set[opSetModulation]; p != nil {
		if m.SF < 5 || m.SF > 12 || m.Bandwidth == 0 || m.CodingRate < 5 || m.CodingRate > 8 {
			c.violate("%s with modulation % x", what, p)
		}
		if slow := m.Symbol() > 16*time.Millisecond; slow != (p[3] == 1) { // section 6.1.1.4
			c.violate("%s with low data rate optimisation %d for symbols of %v", what, p[3], m.Symbol())
		}
	}
	if f := c.frequency(); f < c.calFrom || f > c.calTo { // section 9.2.1
		c.violate("%s on %d Hz, the image is calibrated for %d to %d", what, f, c.calFrom, c.calTo)
	}
	if !c.calOK { // section 13.3.6
		c.violate("%s without Calibrate since the oscillator is there", what)
	}
	if p := c.set[opSetPacketParams]; p != nil && (p[5] != 0) == (c.memory[regIQ]&4 != 0) {
		c.violate("%s without section 15.4", what)
	}
}

// switched checks the antenna switch. It says what is lost if it is wrong, in dB.
func (c *SX1262) switched(sending bool) (loss float64) {
	on, off := c.o.RXEnable, c.o.TXEnable
	what := "RX"
	if sending {
		on, off, what = off, on, "TX"
	}
	high := func(pin string) bool { return c.board.Line(pin).High() }
	if on != "" && !high(on) || off != "" && high(off) {
		c.violate("%s with the antenna switched elsewhere", what)
		return 40
	}
	if p := c.set[opSetDIO2AsSwitch]; c.o.DIO2Switch != (len(p) == 1 && p[0] == 1) {
		c.violate("%s with DIO2 not as the board needs it", what)
		return 40
	}
	return 0
}

// receive begins at the end of BUSY (section 13.1.5).
func (c *SX1262) receive(p []byte, busy time.Duration) {
	c.configured("SetRx")
	c.change(sx1262RX, busy)
	c.since = time.Now().Add(busy)
	if p := c.set[opSetBufferBase]; len(p) == 2 {
		c.rxNext = p[1]
	} else {
		c.rxNext = 0
	}
	limit := uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])
	c.continuous = limit == endless
	if limit != endless && limit != noTimeout {
		c.after(busy+steps(p), func() {
			if act := c.antenna.Activity(c.listening()); act.Receiving {
				return // the timer stopped at the header
			}
			c.raise(irqTimeout)
			c.fallBack()
		})
	}
}

// fallBack is what the chip does after a frame (section 13.1.15).
func (c *SX1262) fallBack() {
	to := sx1262RC
	if p := c.set[opSetFallback]; len(p) == 1 {
		switch p[0] {
		case fallbackXOSC:
			to = sx1262XOSC
		case fallbackFS:
			to = sx1262FS
		}
	}
	c.change(to, 0)
}

// listening is what the receiver listens to.
func (c *SX1262) listening() Listening {
	l := Listening{Tuning: radio.Tuning{Frequency: c.frequency(), Modulation: c.modulation(), SyncWord: c.syncWord()}, Since: c.since}
	if p := c.set[opSetPacketParams]; len(p) == 6 {
		l.InvertIQ = p[5] != 0
		l.Preamble = word(p)
	}
	return l
}

// Listening implements Receiver.
func (c *SX1262) Listening() (Listening, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode != sx1262RX || c.deaf {
		return Listening{}, false
	}
	return c.listening(), true
}

// sense has the interrupt for a preamble that is in the air now. Nobody tells the
// chip of it, so DIO1 does not rise for it.
func (c *SX1262) sense() {
	if c.mode == sx1262RX && !c.deaf && c.irqMask&irqPreamble != 0 && c.antenna.Activity(c.listening()).Preamble {
		c.irq |= irqPreamble
	}
}

// HearHeader implements HeaderReceiver.
func (c *SX1262) HearHeader(r Reception) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hears(r) {
		c.raise(irqPreamble | irqHeaderValid)
	}
}

// hears reports whether the receiver was there since the frame's preamble, and
// keeps it.
func (c *SX1262) hears(r Reception) bool {
	p := c.set[opSetPacketParams]
	return c.mode == sx1262RX && !c.deaf && len(p) == 6 && (p[2] != 0) == r.Implicit && !c.since.After(r.End)
}

// Hear implements Receiver: the frame goes to the buffer, where the one before it
// ended.
func (c *SX1262) Hear(r Reception) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hears(r) {
		return
	}
	loss := c.switched(false)
	if r.RSSI-loss < c.antenna.air.Sensitivity(r.Modulation) {
		return
	}
	if limit := c.set[opSetPacketParams][3]; len(r.Payload) > int(limit) {
		c.stats[2]++
		c.raise(irqHeaderErr)
		return
	}
	c.rxStart, c.rxLength = c.rxNext, byte(len(r.Payload))
	for _, b := range r.Payload {
		c.buffer[c.rxNext] = b
		c.rxNext++
	}
	c.measure(r, loss)
	bits := uint16(irqRxDone | irqPreamble | irqHeaderValid)
	c.stats[0]++
	if r.Corrupt && r.CRC {
		c.stats[1]++
		bits |= irqCrcErr
	}
	c.command = cmdData
	c.raise(bits)
	if !c.continuous {
		c.fallBack()
	}
}

// measure has the figures of a frame in packet status (section 13.5.3) and
// registers.
func (c *SX1262) measure(r Reception, loss float64) {
	signal, noise := r.RSSI-loss, r.RSSI-r.SNR
	both := 10 * math.Log10(math.Pow(10, signal/10)+math.Pow(10, noise/10))
	snr := math.Round(min(max((signal-noise)*4, -128), 127))
	c.packet = [3]byte{halfDecibels(both), byte(int8(snr)), halfDecibels(signal)}
	c.memory[regHeaderCR] = (r.CodingRate - 4) << 4
	// 1.55/1600 Hz for each kHz of bandwidth, as in public drivers; no datasheet
	// has it.
	raw := uint32(int32(math.Round(float64(r.FrequencyError)*1600/1.55/(float64(r.Bandwidth)/1000)))) & 0xfffff
	if r.CRC {
		raw |= 1 << 20
	}
	c.memory[regFreqError], c.memory[regFreqError+1], c.memory[regFreqError+2] = byte(raw>>16), byte(raw>>8), byte(raw)
}

// halfDecibels is the code of a power in dBm.
func halfDecibels(dBm float64) byte { return byte(min(max(math.Round(-2*dBm), 0), 255)) }

// rssi is the current one (section 13.5.4).
func (c *SX1262) rssi() byte {
	if c.mode != sx1262RX {
		return 0
	}
	return halfDecibels(c.antenna.Activity(c.listening()).Power)
}

// transmit begins at the end of BUSY (section 13.1.4).
func (c *SX1262) transmit(p []byte, busy time.Duration) {
	c.configured("SetTx")
	for _, op := range []byte{opSetPaConfig, opSetTxParams, opSetBufferBase} {
		if c.set[op] == nil {
			c.violate("SetTx before %s", sx1262Commands[op].name)
		}
	}
	m := c.modulation()
	if (m.Bandwidth == 500000) == (c.memory[regTXModul]&4 != 0) {
		c.violate("SetTx without section 15.1")
	}
	if c.o.Model != "SX1261" && c.memory[regTXClamp]&0x1e != 0x1e {
		c.violate("SetTx without section 15.2")
	}
	c.change(sx1262TX, busy)
	limit := steps(p)
	epoch := c.epoch
	time.AfterFunc(busy, func() { c.emit(epoch, limit) })
}

// emission is what the chip would send now.
func (c *SX1262) emission() Emission {
	e := Emission{Frequency: c.frequency(), Modulation: c.modulation(), SyncWord: c.syncWord(), Power: c.outputPower() - c.switched(true)}
	if p := c.set[opSetPacketParams]; len(p) == 6 {
		e.Preamble, e.Implicit, e.CRC, e.InvertIQ = word(p), p[2] != 0, p[4] != 0, p[5] != 0
		at := byte(0)
		if base := c.set[opSetBufferBase]; len(base) == 2 {
			at = base[0]
		}
		for i := range int(p[3]) {
			e.Payload = append(e.Payload, c.buffer[at+byte(i)])
		}
	}
	return e
}

// outputPower is that of the amplifier in dBm (section 13.1.14.1 and 13.4.4).
func (c *SX1262) outputPower() float64 {
	pa, tx := c.set[opSetPaConfig], c.set[opSetTxParams]
	if len(pa) != 4 || len(tx) != 2 {
		return 0
	}
	power := int8(tx[0])
	low, high := int8(-9), int8(22)
	if pa[2] == 1 {
		low, high = -17, 14
	}
	if power < low || power > high {
		c.violate("SetTxParams with %d dBm", power)
	}
	if pa[2] == 1 && pa[0] >= 6 {
		return float64(power) + 1 // +15 dBm
	}
	return float64(power)
}

// emit begins the frame, if the chip still is at it.
func (c *SX1262) emit(epoch int, limit time.Duration) {
	c.mu.Lock()
	if c.epoch != epoch {
		c.mu.Unlock()
		return
	}
	e := c.emission()
	c.mu.Unlock()
	end := c.antenna.Send(e) // without the lock: watchers may ask the chip
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		c.antenna.Stop()
		return
	}
	if c.hang {
		return
	}
	left := time.Until(end)
	if limit > 0 && limit < left {
		c.after(limit, func() {
			c.antenna.Stop()
			c.raise(irqTimeout)
			c.fallBack()
		})
		return
	}
	c.after(left, func() {
		c.command = cmdTxDone
		c.raise(irqTxDone)
		c.fallBack()
	})
}
