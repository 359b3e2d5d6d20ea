package sim

import (
	"math"
	"time"

	"fieldgate/radio"
)

// writeOpMode is a write to OpMode (register table, RegOpMode): LongRange changes in sleep
// only.
func (c *SX1276) writeOpMode(v byte) {
	old := c.common[sxOpMode]
	if (v^old)&sxLongRange != 0 && c.mode() != ModeSleep {
		c.violate("LongRangeMode changed in mode %d", c.mode())
		v = v&^sxLongRange | old&sxLongRange
	}
	c.common[sxOpMode] = v&^sxModeBits | old&sxModeBits
	if v&sxModeBits != old&sxModeBits || v&sxModeBits == ModeSleep {
		c.enter(v & sxModeBits)
	}
	c.pins()
}

// enter changes the mode.
func (c *SX1276) enter(mode byte) {
	c.common[sxOpMode] = c.common[sxOpMode]&^sxModeBits | mode
	c.since, c.deaf = time.Now(), false
	c.turn++
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if c.antenna != nil {
		c.antenna.Stop()
	}
	if mode == ModeSleep || !c.powered {
		c.fifo = [256]byte{}
	}
	if !c.powered || !c.longRange() {
		c.pins()
		return
	}
	switch mode {
	case ModeTX:
		c.check(true)
		c.transmit()
	case ModeRXContinuous, ModeRXSingle, ModeCAD:
		c.check(false)
		c.receive(mode)
	}
	c.pins()
}

// later runs f with the lock held after d, unless the mode has changed by then.
func (c *SX1276) later(d time.Duration, f func()) {
	turn := c.turn
	c.timer = time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.turn == turn {
			f()
		}
	})
}

// modulation is that of the registers.
func (c *SX1276) modulation() radio.Modulation {
	bw := min(int(c.lora[sxModemConfig1]>>4), len(sxBandwidths)-1)
	return radio.Modulation{
		SF:         min(max(c.lora[sxModemConfig2]>>4, 6), 12),
		Bandwidth:  sxBandwidths[bw],
		CodingRate: 4 + min(max(c.lora[sxModemConfig1]>>1&7, 1), 4),
	}
}

// frequency is the one on the air in Hz. Errata 2.3: with a bandwidth of up to
// 41.7 kHz and the intermediate frequency set by hand, the receiver is that
// bandwidth below what is set.
func (c *SX1276) frequency(tx bool) uint32 {
	hz := uint32((uint64(c.frf)*32e6 + 1<<18) >> 19)
	if bw := c.modulation().Bandwidth; !tx && bw <= 41700 && c.lora[sxDetectOptimize]&0x80 == 0 {
		hz -= bw
	}
	return hz
}

// implicit reports whether frames have no header.
func (c *SX1276) implicit() bool { return c.lora[sxModemConfig1]&1 != 0 }

// outputPower is in dBm (section 5.4).
func (c *SX1276) outputPower() float64 {
	pa := c.common[sxPaConfig]
	out := float64(pa & 0x0f)
	switch {
	case pa&0x80 != 0 && c.common[sxPaDac]&7 == 7:
		return 5 + out
	case pa&0x80 != 0:
		return 2 + out
	case c.o.NoRFO:
		return -60
	}
	return 10.8 + 0.6*float64(pa>>4&7) - 15 + out
}

// transmit begins a frame.
func (c *SX1276) transmit() {
	n, base := int(c.lora[sxPayloadLength]), c.lora[sxFIFOTxBase]
	if n == 0 {
		c.violate("TX of an empty payload")
		n = 1
	}
	e := Emission{
		Payload:    make([]byte, n),
		Frequency:  c.frequency(true),
		Modulation: c.modulation(),
		SyncWord:   c.lora[sxSyncWord],
		InvertIQ:   c.lora[sxInvertIQ]&1 == 0, // the bit is off where TX is inverted
		CRC:        c.lora[sxModemConfig2]&4 != 0,
		Implicit:   c.implicit(),
		SX127x:     true,
		Preamble:   max(uint16(c.lora[sxPreambleMSB])<<8|uint16(c.lora[sxPreambleLSB]), 1),
		Power:      c.outputPower(),
	}
	for i := range e.Payload {
		e.Payload[i] = c.fifo[base+byte(i)]
	}
	end := c.antenna.Send(e)
	if c.stuckTX {
		return
	}
	c.later(time.Until(end), func() {
		c.enter(ModeStandby)
		c.raise(sxTxDone)
	})
}

// receive begins to listen.
func (c *SX1276) receive(mode byte) {
	c.lora[sxFIFORxByteAddr] = c.lora[sxFIFORxBase]
	clear(c.lora[sxHeaderCntMSB : sxPacketCntMSB+2])
	symbol := c.modulation().Symbol()
	switch mode {
	case ModeRXSingle:
		c.timeout(symbol * time.Duration(uint(c.lora[sxModemConfig2]&3)<<8|uint(c.lora[sxSymbTimeout])))
	case ModeCAD:
		c.later(2*symbol, func() {
			flags := byte(sxCadDone)
			if c.antenna.Activity(c.listening()).Detected {
				flags |= sxCadFound
			}
			c.enter(ModeStandby)
			c.raise(flags)
		})
	}
}

// timeout ends RXSINGLE after d, or later if a frame is on its way then.
func (c *SX1276) timeout(d time.Duration) {
	c.later(d, func() {
		if c.antenna.Activity(c.listening()).Receiving {
			c.timeout(c.modulation().Symbol())
			return
		}
		c.enter(ModeStandby)
		c.raise(sxRxTimeout)
	})
}

// listening is what the registers listen to.
func (c *SX1276) listening() Listening {
	return Listening{
		Tuning: radio.Tuning{
			Frequency:  c.frequency(false),
			Modulation: c.modulation(),
			SyncWord:   c.lora[sxSyncWord],
			Preamble:   uint16(c.lora[sxPreambleMSB])<<8 | uint16(c.lora[sxPreambleLSB]),
		},
		InvertIQ: c.lora[sxInvertIQ]&0x40 != 0,
		Since:    c.since,
	}
}

// Listening implements Receiver.
func (c *SX1276) Listening() (Listening, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	on := c.hearing()
	if !on {
		return Listening{}, false
	}
	return c.listening(), true
}

func (c *SX1276) hearing() bool {
	m := c.mode()
	return c.powered && !c.deaf && c.longRange() && (m == ModeRXContinuous || m == ModeRXSingle)
}

// takes reports whether the demodulator accepts the header of r.
func (c *SX1276) takes(r Reception) bool {
	return c.hearing() && !c.since.After(r.End) && r.Implicit == c.implicit() &&
		(r.Implicit || len(r.Payload) <= int(c.lora[sxMaxPayload]))
}

// HearHeader implements HeaderReceiver.
func (c *SX1276) HearHeader(r Reception) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.takes(r) {
		c.header(r)
	}
}

// header takes what the header says.
func (c *SX1276) header(r Reception) {
	c.lora[sxModemStat] = c.lora[sxModemStat]&0x1f | (r.CodingRate-4)<<5
	c.lora[sxHopChannel] &^= 0x40
	if r.CRC {
		c.lora[sxHopChannel] |= 0x40
	}
	count(c.lora[sxHeaderCntMSB:])
	c.raise(sxHeaderOK)
}

// count adds one to 16 bits.
func count(b []byte) {
	b[1]++
	if b[1] == 0 {
		b[0]++
	}
}

// Hear implements Receiver.
func (c *SX1276) Hear(r Reception) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.takes(r) {
		return
	}
	checked := r.CRC
	if r.Implicit { // the own setting decides
		checked = c.lora[sxModemConfig2]&4 != 0
		c.lora[sxHopChannel] &^= 0x40
		if checked {
			c.lora[sxHopChannel] |= 0x40
		}
		r.Payload = append(r.Payload, make([]byte, 256)...)[:c.lora[sxPayloadLength]]
	}
	start := c.lora[sxFIFORxByteAddr]
	for i, b := range r.Payload {
		c.fifo[start+byte(i)] = b
	}
	c.lora[sxFIFORxCurrent] = start
	c.lora[sxFIFORxByteAddr] = start + byte(len(r.Payload))
	c.lora[sxRxNbBytes] = byte(len(r.Payload))
	c.levels(r)
	flags := byte(sxRxDone)
	if checked && r.Corrupt {
		flags |= sxCRCError
	} else {
		count(c.lora[sxPacketCntMSB:])
	}
	if c.mode() == ModeRXSingle {
		c.enter(ModeStandby)
	}
	c.raise(flags)
}

// levels sets what the chip measured of a packet (section 5.5.5): RSSI counts
// from -157 dBm on the HF port and from -164 on the LF port, by 15/16 dB where
// the signal is above the noise; below it is the noise that is measured.
func (c *SX1276) levels(r Reception) {
	snr := math.Round(min(max(r.SNR, -32), 31.75) * 4)
	c.lora[sxPktSNR] = byte(int8(snr))
	raw := (r.RSSI - c.base()) * 15 / 16
	if snr < 0 {
		raw = r.RSSI - snr/4 - c.base()
	}
	c.lora[sxPktRSSI] = byte(min(max(math.Round(raw), 0), 255))
	// Section 4.1.5: Hz = FEI * 2^24 / 32e6 * bandwidth in kHz / 500, the receiver
	// above the sender (as a user observed, sandeepmistry/arduino-LoRa #600).
	fei := int32(math.Round(-float64(r.FrequencyError) * 32e6 / (1 << 24) * 500e3 / float64(r.Bandwidth)))
	c.lora[sxFEIMSB], c.lora[sxFEIMSB+1], c.lora[sxFEIMSB+2] = byte(fei>>16)&0x0f, byte(fei>>8), byte(fei)
}

// base is what RSSI counts from, in dBm.
func (c *SX1276) base() float64 {
	if c.common[sxOpMode]&sxLowFreq != 0 {
		return -164
	}
	return -157
}

func (c *SX1276) currentRSSI() byte {
	if !c.hearing() {
		return 0
	}
	return byte(min(max(math.Round(c.antenna.Activity(c.listening()).Power-c.base()), 0), 255))
}

// modemStat is bits 4 clear, 2 receiving, 1 synchronized, 0 detected.
func (c *SX1276) modemStat() byte {
	v := c.lora[sxModemStat] & 0xe0
	if !c.hearing() {
		return v | 0x10
	}
	a := c.antenna.Activity(c.listening())
	if a.Detected {
		v |= 1
	}
	if a.Receiving {
		v |= 6
	}
	return v
}
