package lorawan

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math"
	"time"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// maxGap is how far an uplink's counter may be ahead up to LoRaWAN 1.0.3
// (MAX_FCNT_GAP).
const maxGap = 16384

// maxRepeats is how often a frame is answered again; NbTrans goes to 15.
const maxRepeats = 16

// outcome is what became of a frame.
type outcome struct{ device, refused string }

// copied is an outcome, beside the names of the reasons.
const copied = "copy"

// refuse counts a frame that is not taken; device is whose it is, "" if that is
// not sure.
func (s *Server) refuse(r Reason, f *radio.Frame, device string, why ...any) outcome {
	s.count.refused[r].Add(1)
	if s.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.cfg.Log.Debug("LoRaWAN frame refused",
			append([]any{"reason", r.String(), "device", device, "radio", f.Radio, "bytes", len(f.Payload)}, why...)...)
	}
	return outcome{device, r.String()}
}

// handle does what a frame asks for.
func (s *Server) handle(f *radio.Frame) outcome {
	if f.CRC != radio.CRCOK { // it is counted already
		return outcome{"", damage(f).String()}
	}
	if s.unread {
		return s.refuse(Unready, f, "")
	}
	at := s.tick()
	if !f.At.IsZero() {
		at = min(at, f.At.Sub(s.start))
	}
	hash := maphash.Bytes(s.seed, f.Payload)
	if d, ok := s.copies.get(hash, at); ok {
		s.addCopy(d, hash, f)
		return outcome{d.cfg.Device, copied}
	}
	kind, err := frame.KindOf(f.Payload)
	if err != nil {
		return s.refuse(Malformed, f, "", "error", err)
	}
	dr, ok := s.cfg.Region.DataRateOf(f.Modulation, true)
	if !ok || !s.cfg.Region.Contains(f.Frequency) {
		return s.refuse(UnknownRate, f, "", "frequency", f.Frequency, "rate", f.DataRate())
	}
	h := heard{f, hash, at, dr}
	switch kind {
	case frame.JoinRequest:
		return s.join(h)
	case frame.UnconfirmedUp, frame.ConfirmedUp:
		return s.data(h)
	}
	return s.refuse(Foreign, f, "", "kind", kind.String())
}

// heard is a frame with what was worked out of it.
type heard struct {
	*radio.Frame
	hash uint64
	at   time.Duration
	dr   int
}

// verdict says what a counter and its MIC tell.
type verdict uint8

const (
	wrongMIC verdict = iota
	replayed
	gap
	repeated // the last frame once more
	restarted
	fresh
)

// check finds the whole counter of a frame. A MIC that fits with the counter that
// is next of all possible ones makes it fresh.
func (n *session) check(b []byte, low uint16) (uint32, verdict) {
	cfg := n.dev.cfg
	if !n.heard {
		if frame.CheckData(b, n.nwk, uint32(low)) {
			return uint32(low), fresh
		}
		return 0, wrongMIC
	}
	up := frame.FullFCnt(n.up, low)
	switch {
	case up < n.up: // the counter has come to its end, section 4.3.1.5
		return 0, replayed
	case !frame.CheckData(b, n.nwk, up):
	case up == n.up && [4]byte(b[len(b)-4:]) == n.mic:
		return up, repeated
	case up == n.up && !cfg.CounterReset:
		return up, replayed
	case up == n.up:
		return up, restarted
	case cfg.Version < V104 && up-n.up > maxGap:
		return up, gap
	default:
		return up, fresh
	}
	if cfg.CounterReset && !cfg.joins() && frame.CheckData(b, n.nwk, uint32(low)) {
		return uint32(low), restarted
	}
	if old := up - 1<<16; old < up && frame.CheckData(b, n.nwk, old) {
		return old, replayed
	}
	return 0, wrongMIC
}

// data takes a data frame of a device.
func (s *Server) data(h heard) outcome {
	d, err := frame.ParseData(h.Payload)
	if err != nil {
		return s.refuse(Malformed, h.Frame, "", "error", err)
	}
	first := s.sessions[d.DevAddr]
	if first == nil {
		return s.refuse(UnknownAddress, h.Frame, "", "addr", d.DevAddr)
	}
	worst, device := wrongMIC, ""
	var up uint32
	for n := first; n != nil; n = n.sibling { // several may have the address
		fcnt, v := n.check(h.Payload, d.FCnt)
		switch v {
		case fresh, restarted:
			s.accept(n, &d, fcnt, v == restarted, h)
			return outcome{device: n.dev.cfg.Device}
		case repeated:
			return s.again(n, &d, h)
		}
		if v > worst {
			worst, device, up = v, n.dev.cfg.Device, fcnt
		}
	}
	if worst == gap {
		s.say(s.byName[device], saidCounter, "LoRaWAN device is too far ahead with its counter: it must start anew, or follow LoRaWAN 1.0.4", "fcnt", up)
	}
	return s.refuse([...]Reason{wrongMIC: WrongMIC, replayed: Replayed, gap: Gap}[worst], h.Frame, device, "addr", d.DevAddr, "fcnt", d.FCnt)
}

// accept takes an uplink that is new.
func (s *Server) accept(n *session, d *frame.Data, fcnt uint32, restarted bool, h heard) {
	dev := n.dev
	if n == dev.next { // the first uplink of a new session ends the old one
		s.forget(dev.now)
		dev.now, dev.next = n, nil
		dev.history = history{}
	}
	if restarted {
		fresh := dev.preset()
		n.link, n.pending, n.asks = fresh.link, nil, asks{}
		dev.history = history{}
		s.say(dev, saidCounter, "LoRaWAN device has started its counters again", "fcnt", fcnt)
	}
	n.up, n.heard, n.mic = fcnt, true, [4]byte(h.Payload[len(h.Payload)-4:])
	s.count.uplinks.Add(1)
	s.change(dev, dirtyState)
	s.copies.put(h.hash, h.at, dev)
	dev.lastAt, dev.repeats, dev.joining, dev.unkept = h.at, 0, false, false
	dev.failures, dev.retryAt = 0, 0
	s.note(dev, h)

	w := s.open(dev, n, d, h)
	s.settle(dev, d.ACK, h.at-radio.Airtime(h.Modulation, len(h.Payload), radio.AirtimeOptions{}))
	n.observe(h.dr, h.Frequency)
	s.hearCommands(dev, n, macCommands(n, d, fcnt), w)
	if h.LoRa() {
		dev.history.add(uint16(fcnt), h.SNR)
	}
	w.delay = time.Duration(n.link.rx1Delay) * time.Second // as the answers have it
	w.setDecide(s.cfg.Lead)
	s.quiet(dev, w)
	s.schedule(dev)
	if d.FPort > 0 {
		dev.undelivered++
		s.waiting.Add(1)
		s.effect(effect{dev: dev, uplink: &Uplink{
			Device: dev.cfg.Device, DevEUI: dev.cfg.DevEUI, DevAddr: d.DevAddr, FCnt: fcnt, FPort: uint8(d.FPort),
			Payload: frame.Decrypt(d, n.app, fcnt), Confirmed: d.Kind == frame.ConfirmedUp, ADR: d.ADR, DataRate: h.dr,
			Frame: h.Frame, Received: h.received(),
		}})
	}
	s.write.soon()
}

// macCommands are the MAC commands of an uplink as they are on air.
func macCommands(n *session, d *frame.Data, fcnt uint32) []byte {
	if d.FPort == 0 {
		return frame.Decrypt(d, n.nwk, fcnt)
	}
	return d.FOpts
}

// again answers a frame that the device has sent once more: it may not have
// heard the answer, or sends each frame several times.
func (s *Server) again(n *session, d *frame.Data, h heard) outcome {
	dev := n.dev
	if h.at < dev.lastAt+retransmit {
		return s.refuse(Late, h.Frame, dev.cfg.Device)
	}
	s.count.retransmissions.Add(1)
	s.copies.put(h.hash, h.at, dev)
	dev.lastAt = h.at
	if dev.repeats++; dev.repeats > maxRepeats {
		dev.repeats = maxRepeats
		return outcome{device: dev.cfg.Device}
	}
	if d.Kind == frame.ConfirmedUp {
		s.unheard(dev, h.at)
	}
	w := s.open(dev, n, d, h)
	w.repeat = true
	w.ask(macCommands(n, d, n.up))
	w.setDecide(s.cfg.Lead)
	s.quiet(dev, w)
	s.schedule(dev)
	return outcome{device: dev.cfg.Device}
}

// received is when the frame ended.
func (h heard) received() time.Time {
	if h.Heard.After(gateway.Earliest) { // else its clock is not set
		return h.Heard
	}
	if !h.At.IsZero() {
		return h.At
	}
	return time.Now()
}

// note remembers how the device was heard.
func (s *Server) note(d *device, h heard) {
	d.seen = h.received().Unix()
	d.dr = uint8(h.dr)
	d.noteSignal(h.Frame)
	d.radio = s.radioNumber(h.Radio)
}

func (d *device) noteSignal(f *radio.Frame) {
	d.rssi = int16(math.Round(float64(f.RSSI)))
	d.snr = quarters(f.SNR)
}

// quarters is an SNR in steps of 1/4 dB, as the chips have it.
func quarters(snr float32) int8 { return int8(min(max(math.Round(float64(snr)*4), -128), 127)) }

// observe follows what the uplink shows of the device's settings.
func (n *session) observe(dr int, freq uint32) {
	l := &n.link
	if l.dr != unset && dr < int(l.dr) {
		l.power = 0 // a device that backs off raises its power first, section 4.3.1.1
	}
	l.dr = uint8(dr)
	if a := &n.asks; a.promised > 0 {
		if a.broken++; a.promised == l.dr+1 {
			a.broken = 0
		}
		a.promised, a.ownRate = 0, a.ownRate || a.broken >= maxRefused
	}
	if i, ok := n.dev.plan.index(l, freq); ok && !l.mask.Has(i) {
		l.mask.Add(i) // it has turned channels on again
	}
}
