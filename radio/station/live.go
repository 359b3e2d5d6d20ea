package station

import (
	"encoding/hex"
	"strings"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/raw"
)

// event is what is told of a frame that was heard.
func event(f *radio.Frame) *Event {
	snr := f.SNR
	return &Event{Radio: f.Radio, Frequency: float64(f.Frequency) / 1e6, DataRate: f.DataRate(), RSSI: f.RSSI, SNR: &snr,
		CRC: f.CRC.String(), Size: len(f.Payload), Payload: hex.EncodeToString(f.Payload)}
}

// observe tells of an event, with its time.
func (s *Station) observe(e *Event) {
	if now := s.cfg.Clock.Now(); now.Quality != gateway.ClockUnset {
		at := now.Wall.UTC()
		e.Time = &at
	}
	s.cfg.Observe(e)
}

// sent reports a transmission.
func (s *Station) sent(t *radio.Transmission, err error) {
	if s.cfg.Observe == nil {
		return
	}
	power := t.Power
	e := &Event{Sent: true, Radio: t.Radio, Frequency: float64(t.Frequency) / 1e6, DataRate: t.DataRate(), Power: &power,
		Size: len(t.Payload), Payload: hex.EncodeToString(t.Payload)}
	e.Device, e.Kind = s.receiver(t)
	if err != nil {
		e.Error = firstLine(err)
	}
	s.observe(e)
}

// receiver says whom a transmission is for, and what it is: its ID tells.
func (s *Station) receiver(t *radio.Transmission) (device, kind string) {
	if rest, ok := strings.CutPrefix(t.ID, "raw/"); ok {
		if name, _, ok := strings.Cut(rest, "/"); ok {
			return name, "raw"
		}
	}
	if i := strings.LastIndexByte(t.ID, '/'); i >= 0 && s.devices[t.ID[:i]] != nil {
		if k, err := frame.KindOf(t.Payload); err == nil {
			kind = k.String()
		}
		return t.ID[:i], kind
	}
	return "", ""
}

// tell reports a message to who observes.
func (s *Station) tell(m *message, values []codec.Value, err error) {
	if s.cfg.Observe == nil {
		return
	}
	e := event(m.frame)
	e.Device, e.FCnt, e.Kind = m.device.Name, m.fcnt, m.kind
	if m.fcnt != nil {
		e.FPort = &m.port
	}
	if err != nil {
		e.Error = firstLine(err)
	}
	e.Values = object(values)
	s.observe(e)
}

// heard takes what the network server says of each frame: whose it is, and why it
// is not taken. It must not block.
func (s *Station) heard(f *radio.Frame, device string, kind frame.Kind, refused string) {
	for _, fw := range s.cfg.Forwarders {
		fw.Take(f, device != "")
	}
	if device == "" && strange[refused] && len(s.cfg.Raw.Rules) > 0 {
		s.offered.Store(f, refused)
		s.raw.Receive(f)
		s.offered.Delete(f)
		return
	}
	if s.cfg.Observe == nil || refused == "" && s.carries(f, kind) {
		return
	}
	e := Overheard(f)
	if device != "" {
		e.Device = device
	}
	e.Error = refused
	s.observe(e)
}

// strange are the reasons for which LoRaWAN has no use for a frame: it may be one
// of a device without LoRaWAN that has the same sync word.
var strange = map[string]bool{
	lorawan.Malformed.String(): true, lorawan.Foreign.String(): true, lorawan.UnknownDevice.String(): true,
	lorawan.UnknownAddress.String(): true, lorawan.UnknownRate.String(): true,
}

// carries reports whether a frame that was taken has a payload for its device's
// codec, with which it is told of.
func (s *Station) carries(f *radio.Frame, kind frame.Kind) bool {
	if kind != frame.UnconfirmedUp && kind != frame.ConfirmedUp {
		return false
	}
	d, err := frame.ParseData(f.Payload)
	return err == nil && d.FPort > 0
}

// rawRefused reports a frame that is no device's, or that was there before.
func (s *Station) rawRefused(f *radio.Frame, device string, reason raw.Reason) {
	if s.cfg.Observe == nil {
		return
	}
	if why, ok := s.offered.Load(f); ok && (reason == raw.NoRule || reason == raw.UnknownSource || reason == raw.Malformed) {
		e := Overheard(f) // LoRaWAN's reason says more
		e.Error, _ = why.(string)
		s.observe(e)
		return
	}
	e := event(f)
	e.Device, e.Kind, e.Error = device, "raw", reason.String()
	s.observe(e)
}

// Overheard is what can be told of a frame without knowing its device: the address
// that stands in it.
func Overheard(f *radio.Frame) *Event {
	e := event(f)
	if f.Private {
		e.Kind = "raw"
		return e
	}
	kind, err := frame.KindOf(f.Payload)
	if err != nil {
		e.Error = firstLine(err)
		return e
	}
	e.Kind = kind.String()
	switch kind {
	case frame.JoinRequest:
		if j, err := frame.ParseJoin(f.Payload); err == nil {
			e.Device = "DevEUI " + j.DevEUI.String()
		}
	case frame.UnconfirmedUp, frame.ConfirmedUp, frame.UnconfirmedDown, frame.ConfirmedDown:
		if d, err := frame.ParseData(f.Payload); err == nil {
			e.Device = "DevAddr " + d.DevAddr.String()
			n := uint32(d.FCnt)
			e.FCnt = &n
		}
	}
	return e
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
