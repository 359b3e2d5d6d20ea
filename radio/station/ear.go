package station

import (
	"context"
	"time"

	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/lorawan/frame"
	"fieldgate/radio/raw"
)

// Ear tells of frames as far as a configuration alone explains them: those of
// devices with a session of their own, as long as the device's counter is below
// 65536, and those of devices without LoRaWAN. Sessions of devices that join are
// the running gateway's. It is for one goroutine.
type Ear struct {
	devices  map[string]*Device
	sessions map[frame.DevAddr][]*lorawan.Device
	raw      *raw.Handler
}

// NewEar makes an Ear. The error is about the rules.
func NewEar(devices []Device, lorawan []lorawan.Device, rules []raw.Rule) (*Ear, error) {
	h, err := raw.NewHandler(rules)
	if err != nil {
		return nil, err
	}
	e := &Ear{devices: map[string]*Device{}, sessions: sessions(lorawan), raw: h}
	for i := range devices {
		e.devices[devices[i].Name] = &devices[i]
	}
	return e, nil
}

func sessions(devices []lorawan.Device) map[frame.DevAddr][]*lorawan.Device {
	all := map[frame.DevAddr][]*lorawan.Device{}
	for i := range devices {
		if d := &devices[i]; d.AppKey.Zero() {
			all[d.DevAddr] = append(all[d.DevAddr], d)
		}
	}
	return all
}

// Hear tells of a frame.
func (e *Ear) Hear(f *radio.Frame) *Event {
	ev := Overheard(f)
	if !f.Private && e.lorawan(f, ev) {
		return ev
	}
	u, _, reason := e.raw.Handle(f)
	switch {
	case u != nil:
		e.raw.Settle(u, true)
		ev.Kind, ev.Device, ev.FCnt, ev.Error = "raw", u.Device, nil, ""
		e.decode(ev, u.Device, u.Payload, 0)
	case f.Private:
		ev.Error = reason.String()
	}
	return ev
}

// lorawan tries the sessions that have a frame's address.
func (e *Ear) lorawan(f *radio.Frame, ev *Event) bool {
	kind, err := frame.KindOf(f.Payload)
	if err != nil || kind != frame.UnconfirmedUp && kind != frame.ConfirmedUp {
		return false
	}
	d, err := frame.ParseData(f.Payload)
	if err != nil {
		return false
	}
	for _, dev := range e.sessions[d.DevAddr] {
		n := uint32(d.FCnt)
		if !frame.CheckData(f.Payload, dev.NwkSKey, n) {
			continue
		}
		ev.Device = dev.Device
		if d.FPort > 0 {
			port := uint8(d.FPort)
			ev.FPort = &port
			e.decode(ev, dev.Device, frame.Decrypt(&d, dev.AppSKey, n), port)
		}
		return true
	}
	return false
}

func (e *Ear) decode(ev *Event, device string, payload []byte, port uint8) {
	d := e.devices[device]
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), codecWithin)
	defer cancel()
	got, err := d.Codec.Decode(ctx, &codec.Uplink{Bytes: payload, FPort: port, Received: time.Now(), Variables: d.Variables})
	ev.Values = object(got.Values)
	if err != nil {
		ev.Error = firstLine(err)
	}
}
