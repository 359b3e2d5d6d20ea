package raw

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"time"

	"fieldgate/radio"
)

// Times.
const (
	// AckDelay is how long after the end of a frame its acknowledgement begins.
	AckDelay = 100 * time.Millisecond
	// folding is how far apart radios tell of one frame.
	folding = 500 * time.Millisecond
	// repeating is how long after a frame the same one is a repetition of it: nodes
	// that wait for an acknowledgement send again some seconds later.
	repeating = 20 * time.Second
)

// remembered is how many frames of a rule are kept in mind.
const remembered = 8

// Uplink is what a device sent.
type Uplink struct {
	Device  string
	Header  *Header // nil: it has none
	Payload []byte  // behind the header
	Frame   *radio.Frame
	// Received is the end of the frame, by the clock of the packet forwarder if it
	// has one, else by this process'.
	Received time.Time

	entry *heard
}

// heard is a frame that was.
type heard struct {
	sequence byte
	hash     uint64 // of the payload
	last     time.Time
	kept     bool // by whoever got the uplink
}

// contact is how a device was heard last, and so how it can be reached.
type contact struct {
	radio     string
	frequency uint32
	radio.Modulation
	snr float32
	at  time.Time
}

// state is a rule with what is known of its device.
type state struct {
	Rule
	frames   []*heard // up to remembered
	contact  contact  // zero: not heard yet
	sequence byte     // of the next downlink
}

// Handler tells frames apart: whose they are, whether they are new, and what
// answers them. It takes time from the frames, sends nothing, and needs as much
// memory per rule as remembered frames take. It is for one goroutine.
type Handler struct {
	rules []*state
	seed  maphash.Seed
}

// NewHandler makes a Handler. The error wraps ErrConfig.
func NewHandler(rules []Rule) (*Handler, error) {
	h := &Handler{seed: maphash.MakeSeed()}
	for _, r := range rules {
		if err := r.check(); err != nil {
			return nil, err
		}
		for _, o := range h.rules {
			if r.Source != 0 && o.Source == r.Source && (o.Radio == r.Radio || o.Radio == "") {
				return nil, fmt.Errorf("raw: %w: the source %d is of both %.64q and %.64q", ErrConfig, r.Source, o.Device, r.Device)
			}
		}
		r.Prefix = bytes.Clone(r.Prefix)
		h.rules = append(h.rules, &state{Rule: r})
	}
	return h, nil
}

// Handle takes a frame. If it is a device's and new there is an uplink, which
// Settle is to be called for; if its sender asks for an acknowledgement there is
// one. A frame that is repeated because its acknowledgement was not heard has an
// acknowledgement again, but no uplink, as soon as its uplink was kept. Anything
// else has a reason.
func (h *Handler) Handle(f *radio.Frame) (*Uplink, *radio.Transmission, Reason) {
	r, header, payload, reason := h.find(f)
	if r == nil {
		return nil, nil, reason
	}
	at := f.At
	if at.IsZero() {
		at = time.Now()
	}
	ack := h.acknowledgement(r, header, f)
	e := heard{hash: maphash.Bytes(h.seed, payload), last: at}
	again := folding // without a sequence number the same may be said twice
	if header != nil {
		e.sequence, again = header.Sequence, repeating
	}
	for _, o := range r.frames {
		if o.sequence != e.sequence || o.hash != e.hash || at.Sub(o.last) > again {
			continue
		}
		if at.Sub(o.last) <= folding {
			// Another radio's copy: the first one is answered.
			if f.SNR > r.contact.snr {
				r.heard(f, at)
			}
			return nil, nil, Duplicate
		}
		o.last = at
		r.heard(f, at)
		if !o.kept {
			ack = nil // it comes with the uplink, or never
		}
		return nil, ack, Duplicate
	}
	r.heard(f, at)
	if len(r.frames) == remembered {
		r.frames = slices.Delete(r.frames, 0, 1)
	}
	r.frames = append(r.frames, &e)
	u := &Uplink{Device: r.Device, Header: header, Payload: payload, Frame: f, Received: at, entry: &e}
	if !f.Heard.IsZero() {
		u.Received = f.Heard
	}
	return u, ack, Accepted
}

// Settle says what became of an uplink. One that was not kept is forgotten: when
// it is sent again it is new.
func (h *Handler) Settle(u *Uplink, kept bool) {
	if kept {
		u.entry.kept = true
		return
	}
	for _, r := range h.rules {
		r.frames = slices.DeleteFunc(r.frames, func(e *heard) bool { return e == u.entry })
	}
}

// find gives the rule that a frame fits, or the reason for which it fits none.
func (h *Handler) find(f *radio.Frame) (*state, *Header, []byte, Reason) {
	switch {
	case f.CRC == radio.CRCBad:
		return nil, nil, nil, BadCRC
	case len(f.Payload) == 0 || len(f.Payload) > radio.MaxPayload:
		return nil, nil, nil, Malformed
	}
	header, payload, err := Parse(f.Payload)
	why := NoRule
	if err == nil && header.Type.Kind() == Data && (header.Destination == Gateway || header.Destination == Broadcast) {
		why = UnknownSource
	}
	for _, r := range h.rules {
		if r.Radio != "" && r.Radio != f.Radio {
			continue
		}
		refused := Accepted
		if r.Source == 0 {
			if !r.plain(f.Payload) {
				continue
			}
		} else {
			if err != nil || header.Source != r.Source {
				continue
			}
			refused = header.refuse()
		}
		if refused == Accepted && f.CRC == radio.CRCNone && !r.NoCRC {
			refused = NoCRC
		}
		switch {
		case refused != Accepted:
			why = refused // another rule may know better
		case r.Source != 0:
			return r, &header, payload, Accepted
		case r.Strip:
			return r, nil, f.Payload[len(r.Prefix):], Accepted
		default:
			return r, nil, f.Payload, Accepted
		}
	}
	return nil, nil, nil, why
}

// refuse says why a frame of a known source is not taken.
func (h Header) refuse() Reason {
	switch {
	case h.Type.Kind() != Data:
		return NotData
	case h.Type.Has(Downlink):
		return FromGateway
	case h.Destination != Gateway && h.Destination != Broadcast:
		return Foreign
	case h.Type.Has(Encrypted):
		return IsEncrypted
	case h.Type.Has(AppKey):
		return HasAppKey
	}
	return Accepted
}

// heard keeps how the device can be reached.
func (s *state) heard(f *radio.Frame, at time.Time) {
	s.contact = contact{f.Radio, f.Frequency, f.Modulation, f.SNR, at}
	if f.LoRa() && f.CodingRate == 0 {
		s.contact.CodingRate = 5
	}
}

// answer is a transmission over a contact.
func (c contact) answer(id string, payload []byte) *radio.Transmission {
	return &radio.Transmission{ID: id, Radio: c.radio, Payload: payload, Frequency: c.frequency, Modulation: c.Modulation, CRC: true}
}

// acknowledgement is the answer that a frame asks for, nil if it does not. Its
// power is left to the sender.
func (h *Handler) acknowledgement(r *state, header *Header, f *radio.Frame) *radio.Transmission {
	if header == nil || !header.Type.Has(AckRequest) || header.Destination != Gateway {
		return nil
	}
	var s state
	s.heard(f, time.Time{})
	t := s.contact.answer("raw/"+r.Device+"/ack/"+strconv.Itoa(int(header.Sequence)), header.Acknowledge(f.SNR))
	t.Counter = f.Counter + uint32(AckDelay.Microseconds())
	return t
}

// Downlink makes the frame that brings a payload to a device at once, by the
// radio that heard it last: behind a header with the flag Downlink if its frames
// have one. The errors wrap ErrUnknownDevice, ErrNotHeard and ErrTooLong.
func (h *Handler) Downlink(device string, payload []byte) (*radio.Transmission, error) {
	var to *state
	known := false
	for _, r := range h.rules {
		if r.Device != device {
			continue
		}
		known = true
		if !r.contact.at.IsZero() && (to == nil || r.contact.at.After(to.contact.at)) {
			to = r
		}
	}
	switch {
	case !known:
		return nil, fmt.Errorf("raw: %w: %.64q", ErrUnknownDevice, device)
	case to == nil:
		return nil, fmt.Errorf("raw: %w: %.64q", ErrNotHeard, device)
	}
	b, id := payload, "raw/"+device+"/down"
	if to.Source != 0 {
		var err error
		if b, err = (Header{to.Source, Data | Downlink, Gateway, to.sequence}).Append(nil, payload); err != nil {
			return nil, err
		}
		id += "/" + strconv.Itoa(int(to.sequence))
		to.sequence++
	} else {
		b = bytes.Clone(b)
	}
	if len(b) == 0 || len(b) > radio.MaxPayload {
		return nil, fmt.Errorf("raw: %w: %d bytes, a frame takes 1 to %d", ErrTooLong, len(b), radio.MaxPayload)
	}
	t := to.contact.answer(id, b)
	t.Immediately = true
	return t, nil
}
