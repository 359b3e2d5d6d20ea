package station

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/radio/codec"
)

// moment is when a message was heard.
type moment struct {
	wall time.Time // zero: nobody knows, the clock is unset
	// told says that readings are to have this time: else the Hub's stamp says as
	// much, and is corrected when more is known of the clock.
	told bool
}

// Times of frames.
const (
	// lateness is from when on a frame's own time counts, and not when it came here.
	lateness = 5 * time.Second
	// oldest is how far back a packet forwarder's clock, or the last run's, is
	// believed.
	oldest = 30 * 24 * time.Hour
)

// heardAt says when a message was heard.
func (s *Station) heardAt(m *message) moment {
	now := s.cfg.Clock.Now()
	believed := func(t time.Time) bool {
		late := now.Wall.Sub(t)
		return !t.Before(gateway.Earliest) && late > lateness && late < oldest
	}
	switch {
	case now.Quality == gateway.ClockUnset:
		return moment{}
	case !m.before.IsZero():
		if believed(m.before) {
			return moment{m.before, true}
		}
	case believed(m.frame.Heard):
		return moment{m.frame.Heard, true}
	case !m.frame.At.IsZero(): // it may have waited for its script
		if late := time.Since(m.frame.At); late > 0 && late < oldest {
			return moment{now.Wall.Add(-late), late > lateness}
		}
	}
	return moment{wall: now.Wall}
}

// of is the time of a value that is so old, as a reading has it: zero if the Hub's
// stamp says as much.
func (at moment) of(age time.Duration) time.Time {
	if at.wall.IsZero() || !at.told && age <= 0 {
		return time.Time{}
	}
	return at.wall.Add(-max(age, 0)).UTC()
}

// maxFound bounds the sensors and actuators of a device to which a codec can add
// more: a script that gives each value a new name fills no registry. Those that
// the configuration maps do not count.
const maxFound = 64

// batches makes what the Hub takes of the values of one message: those of sensors,
// and those that actuators have reached.
func (s *Station) batches(m *message, got *codec.Decoded, at moment) (out []*gateway.Batch) {
	d, ok := s.cfg.Registry.Device(m.device.Name)
	if !ok {
		s.cfg.Log.Debug("a frame of a device that is not there", "device", m.device.Name)
		return nil
	}
	values := slices.Clone(got.Values)
	// The newest is last: it is the present value.
	slices.SortStableFunc(values, func(a, b codec.Value) int { return int(min(max(b.Age-a.Age, -1), 1)) })
	source := "lora " + m.device.Name
	sensors := &gateway.Batch{From: access.System, Source: source}
	actuators := &gateway.Batch{From: access.System, Source: source, Confirmed: true}
	found := s.findings(m.device, d)
	for i := range values {
		v := &values[i]
		r := m.device.reading(v)
		r.Time = at.of(v.Age)
		if err := gateway.CheckValue(r.Value); err != nil {
			s.log.warn("a value of a codec is no reading", m.device.Name, "value", v.Name, "error", err)
			continue
		}
		if !found.has(r) && !found.add(r, v) {
			continue
		}
		if r.Kind == gateway.KindSensor {
			sensors.Readings = append(sensors.Readings, *r)
		} else if string(r.Value) != "null" { // it exists, and that is all that is known
			actuators.Readings = append(actuators.Readings, *r)
		}
	}
	found.make(source)
	for _, b := range []*gateway.Batch{sensors, actuators} {
		b.Readings = slices.DeleteFunc(b.Readings, func(r gateway.Reading) bool { return !found.has(&r) })
		if len(b.Readings) > 0 {
			out = append(out, b)
		}
	}
	return out
}

// reading is what a value of a codec is to the gateway: of a sensor, unless it is
// an actuator's and no sensor is named for it.
func (d *device) reading(v *codec.Value) *gateway.Reading {
	r := &gateway.Reading{Kind: gateway.KindSensor, Device: d.Name, Value: v.Value}
	if id, ok := d.Sensors[v.Name]; ok {
		r.Channel = id
		return r
	}
	id, mapped := d.Actuators[v.Name]
	if v.Actuator || mapped {
		r.Kind = gateway.KindActuator
	}
	if !mapped {
		id = idOf(v.Name)
	}
	r.Channel = id
	return r
}

// findings are the sensors and actuators that a message names and nobody has made
// yet.
type findings struct {
	s         *Station
	of        *device
	known     *gateway.Device
	sensors   []gateway.Sensor
	actuators []gateway.Actuator
	failed    bool // they could not be made
}

func (s *Station) findings(of *device, known *gateway.Device) *findings {
	return &findings{s: s, of: of, known: known}
}

// has reports whether the sensor or actuator of a reading is there, or will be.
func (f *findings) has(r *gateway.Reading) bool {
	if r.Kind == gateway.KindSensor {
		_, ok := f.known.Sensor(r.Channel)
		return ok || !f.failed && slices.ContainsFunc(f.sensors, func(s gateway.Sensor) bool { return s.ID == r.Channel })
	}
	_, ok := f.known.Actuator(r.Channel)
	return ok || !f.failed && slices.ContainsFunc(f.actuators, func(a gateway.Actuator) bool { return a.ID == r.Channel })
}

// add has one made, and reports whether it may be.
func (f *findings) add(r *gateway.Reading, v *codec.Value) bool {
	if !f.of.Create {
		return false
	}
	_, mapped := f.of.Sensors[v.Name]
	if r.Kind == gateway.KindActuator {
		_, mapped = f.of.Actuators[v.Name]
	}
	if !mapped && len(f.known.Sensors)+len(f.known.Actuators)+len(f.sensors)+len(f.actuators) >= maxFound {
		f.s.log.warn("a device has so many sensors that its codec can add no more; declare them", f.of.Name, "most", maxFound, "value", v.Name)
		return false
	}
	name := strings.ReplaceAll(v.Name, "_", " ")
	if r.Kind == gateway.KindSensor {
		f.sensors = append(f.sensors, gateway.Sensor{ID: r.Channel, Name: name, Kind: v.Kind, Quantity: v.Quantity, Unit: v.Unit})
	} else {
		f.actuators = append(f.actuators, gateway.Actuator{ID: r.Channel, Name: name})
	}
	return true
}

// make makes them: the sensors in one step, which is one write.
func (f *findings) make(source string) {
	change := func(req gateway.ChangeRequest) {
		req.Device = f.of.Name
		err := f.s.cfg.Hub.Change(&gateway.Batch{From: access.System, Source: source}, req)
		if err == nil {
			return
		}
		f.failed = true
		if !errors.Is(err, gateway.ErrExists) { // somebody else was quicker
			f.s.log.warn("what a codec has found cannot be made", f.of.Name, "error", err)
		}
	}
	if len(f.sensors) > 0 {
		change(gateway.ChangeRequest{Op: gateway.CreateSensor, NewSensor: &f.sensors[0], More: f.sensors[1:]})
	}
	for i := range f.actuators {
		change(gateway.ChangeRequest{Op: gateway.CreateActuator, NewActuator: &f.actuators[i]})
	}
	if f.failed { // some may be there all the same
		if d, ok := f.s.cfg.Registry.Device(f.of.Name); ok {
			f.known = d
		}
	}
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

// object is values as one JSON object.
func object(values []codec.Value) json.RawMessage {
	if len(values) == 0 {
		return nil
	}
	all := make(map[string]json.RawMessage, len(values))
	for i := range values {
		all[values[i].Name] = values[i].Value
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return nil
	}
	return raw
}
