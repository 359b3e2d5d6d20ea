package station

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/radio"
	"fieldgate/radio/codec"
	"fieldgate/radio/lorawan"
	"fieldgate/radio/raw"
)

// decodeWithin is how long a codec may take, its own bounds being shorter.
const decodeWithin = 2 * time.Second

// ackPatience is how long a confirmed uplink's acknowledgement waits for codec and
// disk; RX1 is gone then.
const ackPatience = 900 * time.Millisecond

// message is what a device has sent, whichever way it came.
type message struct {
	device   *device
	frame    *radio.Frame
	payload  []byte
	port     uint8
	fcnt     *uint32
	kind     string
	received time.Time
}

// uplink takes what the network server lets pass.
func (s *Station) uplink(u *lorawan.Uplink) {
	d := s.devices[u.Device]
	if d == nil {
		return
	}
	m := &message{device: d, frame: u.Frame, payload: u.Payload, port: u.FPort, fcnt: &u.FCnt, kind: "unconfirmed up", received: u.Received}
	if u.Confirmed {
		m.kind = "confirmed up"
	}
	s.take(m, u.Confirmed)
}

// rawUplink takes what a device without LoRaWAN has sent. What it asked to have
// acknowledged is on disk when nil is returned.
func (s *Station) rawUplink(u *raw.Uplink) error {
	d := s.devices[u.Device]
	if d == nil {
		return nil
	}
	if !s.take(&message{device: d, frame: u.Frame, payload: u.Payload, kind: "raw", received: u.Frame.At}, u.Header != nil && u.Header.Type&raw.AckRequest != 0) {
		return errNotKept
	}
	return nil
}

var errNotKept = errors.New("station: not on disk in time")

// take decodes a message and submits its values. With wait it returns when they
// are on disk, or when it is too late for an acknowledgement, which it reports.
func (s *Station) take(m *message, wait bool) (kept bool) {
	done := make(chan struct{})
	within, cancel := context.WithTimeout(context.Background(), ackPatience)
	defer cancel()
	if m.device.lane == nil {
		s.decode(context.Background(), m, wait, func() { close(done) })
	} else if !m.device.lane.put(func(ctx context.Context) { s.decode(ctx, m, wait, func() { close(done) }) }) {
		s.tell(m, nil, errLane)
		return false
	}
	if !wait {
		return true
	}
	select {
	case <-done:
		return true
	case <-within.Done():
		return false
	}
}

var errLane = errors.New("the codec's script does not keep up")

// decode makes readings of a message. Settled is called once, when they are on
// disk or it is clear that they will not be.
func (s *Station) decode(ctx context.Context, m *message, wait bool, settled func()) {
	ctx, cancel := context.WithTimeout(ctx, decodeWithin)
	defer cancel()
	u := codec.Uplink{Bytes: m.payload, FPort: m.port, Variables: m.device.Variables}
	now := s.cfg.Clock.Now()
	if now.Quality != gateway.ClockUnset {
		u.Received = now.Wall
	}
	got, err := m.device.Codec.Decode(ctx, &u)
	for _, w := range got.Warnings {
		s.cfg.Log.Debug("codec warns", "device", m.device.Name, "warning", w)
	}
	batches := s.batches(m, &got, now)
	s.tell(m, got.Values, err)
	if err != nil {
		s.cfg.Log.Warn("a payload is not understood, or only in part", "device", m.device.Name, "fport", m.port, "bytes", len(m.payload), "error", err)
	}
	left := len(batches)
	if left == 0 {
		settled()
		return
	}
	one := make(chan error, left)
	for _, b := range batches {
		b.Wait, b.Done = wait, func(err error) { one <- err }
		if err := s.cfg.Hub.Submit(b); err != nil {
			s.cfg.Log.Warn("readings of a device were refused", "device", m.device.Name, "error", err)
			one <- err
		}
	}
	if !wait {
		settled()
		return
	}
	for ; left > 0; left-- {
		if err := <-one; err != nil {
			return // nobody vouches for it
		}
	}
	settled()
}

// batches makes what the Hub takes of the values of one message: those of sensors,
// and those that actuators have reached.
func (s *Station) batches(m *message, got *codec.Decoded, now gateway.Stamp) (out []*gateway.Batch) {
	source := "lora " + m.device.Name
	sensors := &gateway.Batch{From: access.System, Source: source}
	actuators := &gateway.Batch{From: access.System, Source: source, Confirmed: true}
	d, ok := s.cfg.Registry.Device(m.device.Name)
	if !ok {
		return nil // it was deleted
	}
	for i := range got.Values {
		v := &got.Values[i]
		r := gateway.Reading{Kind: gateway.KindSensor, Device: m.device.Name, Channel: channelOf(m.device.Sensors, v.Name),
			Value: v.Value, Time: timeOf(m, v, now)}
		if id, mapped := m.device.Actuators[v.Name]; v.Actuator || mapped {
			if id == "" {
				id = idOf(v.Name)
			}
			r.Kind, r.Channel = gateway.KindActuator, id
			if _, ok := d.Actuator(id); !ok {
				if !m.device.Create || s.create(source, r, v) != nil {
					continue
				}
			}
			if string(v.Value) != "null" { // it exists, and that is all that is known
				actuators.Readings = append(actuators.Readings, r)
			}
			continue
		}
		if _, ok := d.Sensor(r.Channel); !ok {
			if !m.device.Create {
				continue
			}
			if s.create(source, r, v) != nil {
				continue
			}
			if d, ok = s.cfg.Registry.Device(m.device.Name); !ok {
				return nil
			}
		}
		sensors.Readings = append(sensors.Readings, r)
	}
	for _, b := range []*gateway.Batch{sensors, actuators} {
		if len(b.Readings) > 0 {
			out = append(out, b)
		}
	}
	return out
}

// create makes the sensor or actuator that a codec has found.
func (s *Station) create(source string, r gateway.Reading, v *codec.Value) error {
	b := &gateway.Batch{From: access.System, Source: source}
	name := strings.ReplaceAll(v.Name, "_", " ")
	req := gateway.ChangeRequest{Op: gateway.CreateSensor, Device: r.Device,
		NewSensor: &gateway.Sensor{ID: r.Channel, Name: name, Kind: v.Kind, Quantity: v.Quantity, Unit: v.Unit}}
	if r.Kind == gateway.KindActuator {
		req = gateway.ChangeRequest{Op: gateway.CreateActuator, Device: r.Device, NewActuator: &gateway.Actuator{ID: r.Channel, Name: name}}
	}
	err := s.cfg.Hub.Change(b, req)
	if errors.Is(err, gateway.ErrExists) {
		return nil
	}
	if err != nil {
		s.cfg.Log.Warn("what a codec has found cannot be made", "device", r.Device, "channel", r.Channel, "error", err)
	}
	return err
}

// channelOf is the sensor that a value of a codec is for.
func channelOf(names map[string]string, name string) string {
	if id, ok := names[name]; ok {
		return id
	}
	return idOf(name)
}

// idOf makes an id of a name that a codec gives.
func idOf(name string) string {
	if gateway.CheckID(name) == nil {
		return name
	}
	id := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			return c
		}
		return '_'
	}, name)
	if len(id) > gateway.MaxID {
		id = id[:gateway.MaxID]
	}
	if gateway.CheckID(id) != nil {
		return "value"
	}
	return id
}

// lateness is from when on a frame's own time counts, and not when it came here.
const lateness = 5 * time.Second

// oldest is how far back a packet forwarder's clock is believed.
const oldest = 30 * 24 * time.Hour

// timeOf says when a value was taken; zero: now, which the Hub stamps.
func timeOf(m *message, v *codec.Value, now gateway.Stamp) time.Time {
	if now.Quality == gateway.ClockUnset {
		return time.Time{}
	}
	at := now.Wall
	if heard := m.frame.Heard; !heard.IsZero() {
		if late := now.Wall.Sub(heard); late > lateness && late < oldest {
			at = heard
		}
	}
	if at = at.Add(-v.Age); at.Equal(now.Wall) {
		return time.Time{}
	}
	return at.UTC()
}

// tell reports a message to who observes.
func (s *Station) tell(m *message, values []codec.Value, err error) {
	if s.cfg.Observe == nil {
		return
	}
	e := s.event(m.frame)
	e.Device, e.FCnt, e.Kind = m.device.Name, m.fcnt, m.kind
	if m.fcnt != nil {
		e.FPort = &m.port
	}
	if err != nil {
		e.Error = firstLine(err)
	}
	if len(values) > 0 {
		object := make(map[string]json.RawMessage, len(values))
		for i := range values {
			object[values[i].Name] = values[i].Value
		}
		if raw, err := json.Marshal(object); err == nil {
			e.Values = raw
		}
	}
	s.cfg.Observe(e)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// heard reports a frame that the network server took for itself, or not.
func (s *Station) heard(f *radio.Frame, device, kind, refused string) {
	known := device != ""
	for _, fw := range s.cfg.Forwarders {
		fw.Take(f, known)
	}
	if s.cfg.Observe == nil {
		return
	}
	e := s.event(f)
	e.Device, e.Kind, e.Error = device, kind, refused
	s.cfg.Observe(e)
}

// rawRefused reports a frame that is no device's.
func (s *Station) rawRefused(f *radio.Frame, device string, reason raw.Reason) {
	if s.cfg.Observe == nil {
		return
	}
	e := s.event(f)
	e.Device, e.Kind, e.Error = device, "raw", reason.String()
	s.cfg.Observe(e)
}
