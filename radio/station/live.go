package station

import (
	"encoding/hex"

	"fieldgate/gateway"
	"fieldgate/radio"
	"fieldgate/radio/lorawan/frame"
)

// event is what is told of a frame that was heard.
func event(f *radio.Frame) *Event {
	snr := f.SNR
	return &Event{Radio: f.Radio, Frequency: float64(f.Frequency) / 1e6, DataRate: f.DataRate(), RSSI: f.RSSI, SNR: &snr,
		CRC: f.CRC.String(), Size: len(f.Payload), Payload: hex.EncodeToString(f.Payload)}
}

func (s *Station) event(f *radio.Frame) *Event {
	e := event(f)
	s.stamp(e)
	return e
}

// sent reports a transmission.
func (s *Station) sent(t *radio.Transmission, err error) {
	if s.cfg.Observe == nil {
		return
	}
	power := t.Power
	e := &Event{Sent: true, Radio: t.Radio, Frequency: float64(t.Frequency) / 1e6, DataRate: t.DataRate(), Power: &power,
		Size: len(t.Payload), Payload: hex.EncodeToString(t.Payload)}
	if err != nil {
		e.Error = firstLine(err)
	}
	s.stamp(e)
	s.cfg.Observe(e)
}

func (s *Station) stamp(e *Event) {
	if now := s.cfg.Clock.Now(); now.Quality != gateway.ClockUnset {
		at := now.Wall.UTC()
		e.Time = &at
	}
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
