package lorawan

import (
	"context"
	"hash/maphash"
	"log/slog"
	"math"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// maxGap is how far an uplink's counter may be ahead up to LoRaWAN 1.0.3
// (MAX_FCNT_GAP).
const maxGap = 16384

// maxRepeats is how often a frame is answered again; NbTrans goes to 15.
const maxRepeats = 16

// refuse counts a frame that is not taken.
func (s *Server) refuse(r Reason, f *radio.Frame, why ...any) {
	s.count.refused[r].Add(1)
	if s.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.cfg.Log.Debug("LoRaWAN frame refused", append([]any{"reason", r.String(), "radio", f.Radio, "bytes", len(f.Payload)}, why...)...)
	}
}

// handle does what a frame asks for.
func (s *Server) handle(f *radio.Frame) {
	at := s.tick()
	if !f.At.IsZero() {
		at = min(at, f.At.Sub(s.start))
	}
	hash := maphash.Bytes(s.seed, f.Payload)
	if d, ok := s.copies.get(hash, at); ok {
		s.addCopy(d, hash, f)
		return
	}
	kind, err := frame.KindOf(f.Payload)
	if err != nil {
		s.refuse(Malformed, f, "error", err)
		return
	}
	dr, ok := s.cfg.Region.DataRateOf(f.Modulation, true)
	if !ok || !s.cfg.Region.Contains(f.Frequency) {
		s.refuse(UnknownRate, f, "frequency", f.Frequency, "rate", f.DataRate())
		return
	}
	h := heard{f, hash, at, dr}
	switch kind {
	case frame.JoinRequest:
		s.join(h)
	case frame.UnconfirmedUp, frame.ConfirmedUp:
		s.data(h)
	default:
		s.refuse(Foreign, f, "kind", kind.String())
	}
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
func (s *Server) data(h heard) {
	d, err := frame.ParseData(h.Payload)
	if err != nil {
		s.refuse(Malformed, h.Frame, "error", err)
		return
	}
	first := s.sessions[d.DevAddr]
	if first == nil {
		s.refuse(UnknownAddress, h.Frame, "addr", d.DevAddr)
		return
	}
	worst := wrongMIC
	for n := first; n != nil; n = n.sibling { // several may have the address
		fcnt, v := n.check(h.Payload, d.FCnt)
		switch v {
		case fresh, restarted:
			s.take(n, &d, fcnt, v == restarted, h)
			return
		case repeated:
			s.again(n, &d, h)
			return
		}
		worst = max(worst, v)
	}
	s.refuse([...]Reason{wrongMIC: WrongMIC, replayed: Replayed, gap: Gap}[worst], h.Frame, "addr", d.DevAddr, "fcnt", d.FCnt)
}

// take takes an uplink that is new.
func (s *Server) take(n *session, d *frame.Data, fcnt uint32, restarted bool, h heard) {
	dev := n.dev
	if n == dev.next { // the first uplink of a new session ends the old one
		s.forget(dev.now)
		dev.now, dev.next = n, nil
		dev.history = history{}
	}
	if restarted {
		fresh := dev.preset()
		n.link, n.pending = fresh.link, nil
		dev.history = history{}
		s.cfg.Log.Info("LoRaWAN device has started its counters again", "device", dev.cfg.Device, "fcnt", fcnt)
	}
	n.up, n.heard, n.mic = fcnt, true, [4]byte(h.Payload[len(h.Payload)-4:])
	s.count.uplinks.Add(1)
	s.change(dev, dirtyState)
	s.copies.put(h.hash, h.at, dev)
	dev.lastAt, dev.repeats, dev.joining = h.at, 0, false
	s.note(dev, h)

	w := s.open(dev, n, d, h)
	s.settle(dev, d.ACK, h.at)
	n.observe(d, h.dr, h.Frequency)
	commands := d.FOpts
	if d.FPort == 0 {
		commands = frame.Decrypt(d, n.nwk, fcnt)
	}
	s.hearCommands(dev, n, commands, w)
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

// again answers a frame that the device has sent once more: it may not have
// heard the answer, or sends each frame several times.
func (s *Server) again(n *session, d *frame.Data, h heard) {
	dev := n.dev
	if h.at < dev.lastAt+retransmit {
		s.refuse(Late, h.Frame, "device", dev.cfg.Device)
		return
	}
	s.count.retransmissions.Add(1)
	s.copies.put(h.hash, h.at, dev)
	dev.lastAt = h.at
	if dev.repeats++; dev.repeats > maxRepeats {
		dev.repeats = maxRepeats
		return
	}
	w := s.open(dev, n, d, h)
	w.repeat = true
	w.setDecide(s.cfg.Lead)
	s.quiet(dev, w)
	s.schedule(dev)
}

// received is when the frame ended.
func (h heard) received() time.Time {
	if !h.Heard.IsZero() {
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
func (n *session) observe(d *frame.Data, dr int, freq uint32) {
	l := &n.link
	if l.dr != unset && dr < int(l.dr) {
		l.power = 0 // a device that backs off raises its power first, section 4.3.1.1
	}
	l.dr = uint8(dr)
	if i, ok := n.dev.plan.index(l, freq); ok && !l.mask.Has(i) {
		l.mask.Add(i) // it has turned channels on again
	}
}
