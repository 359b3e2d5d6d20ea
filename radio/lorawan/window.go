package lorawan

import (
	"slices"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// window is the chance to send a downlink that an uplink or a join request gives.
type window struct {
	hash    uint64
	session *session // nil: a join request
	accept  []byte
	at      time.Duration // of the first copy
	delay   time.Duration // of RX1
	decide  time.Duration
	dr      int // of the uplink
	best    *radio.Frame
	other   *radio.Frame // the best of another radio; nil: none
	radios  []string     // that heard it

	repeat     bool // the uplink was answered before
	late       bool // RX1 has passed, for the application was not back
	adr        bool
	ack        bool // it is to be acknowledged
	answer     bool // the device waits for any downlink
	linkCheck  bool
	deviceTime bool
}

func newWindow(h heard) *window {
	return &window{hash: h.hash, at: h.at, dr: h.dr, best: h.Frame, radios: []string{h.Radio}}
}

// open makes the window of an uplink. One that is still open is over: the device
// has moved on.
func (s *Server) open(dev *device, n *session, d *frame.Data, h heard) *window {
	w := newWindow(h)
	w.session = n
	w.delay = time.Duration(n.link.rx1Delay) * time.Second
	w.adr, w.ack, w.answer = d.ADR, d.Kind == frame.ConfirmedUp, d.ADRACKReq
	dev.window = w
	return w
}

// setDecide plans the decision as late as the way to the radio allows: the copies
// are there by then, and the application may have said something.
func (w *window) setDecide(lead time.Duration) {
	w.decide = w.at + max(w.delay-lead, folding)
}

// quiet keeps downlinks of class C out of the windows of class A.
func (s *Server) quiet(d *device, w *window) {
	d.quietUntil = w.at + w.delay + rx2Later + folding
}

// addCopy notes that another radio, or the same on another frequency, heard a
// frame of d.
func (s *Server) addCopy(d *device, hash uint64, f *radio.Frame) {
	s.count.copies.Add(1)
	w := d.window
	if w == nil || w.hash != hash {
		return
	}
	if !slices.Contains(w.radios, f.Radio) && len(w.radios) < 255 {
		w.radios = append(w.radios, f.Radio)
	}
	switch {
	case better(f, w.best):
		if f.Radio != w.best.Radio {
			w.other = w.best
		}
		w.best = f
		if !w.repeat { // nobody who plays it back is to say by which radio it is sent to
			d.noteSignal(f)
			d.radio = s.radioNumber(f.Radio)
		}
		if w.session != nil && !w.repeat && f.LoRa() {
			d.history.raise(f.SNR)
		}
	case f.Radio != w.best.Radio && (w.other == nil || better(f, w.other)):
		w.other = f
	}
}

// better reports whether a was heard better than b: SNR decides, then RSSI. On
// another frequency one of them is a ghost, which a strong sender leaves on its
// neighbours' channels with an SNR that may be just as good: RSSI decides.
func better(a, b *radio.Frame) bool {
	if a.Frequency == b.Frequency && a.SNR != b.SNR {
		return a.SNR > b.SNR
	}
	return a.RSSI > b.RSSI
}
