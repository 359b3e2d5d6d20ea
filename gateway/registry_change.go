package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"fieldgate/gateway/access"
)

// storedDevice is a device in its table: whole if it was made at run time, or
// what was changed at run time on one that the configuration declares.
type storedDevice struct {
	Device
	Overlay bool `json:"overlay,omitempty"`
	// Base holds the names that the configuration gave when they were changed,
	// by "" (device), "s/ID" and "a/ID": a name changed at run time holds until
	// the file says something new.
	Base map[string]string `json:"base,omitempty"`
	// Visible is whether a declared device is public since it was changed at run
	// time; it holds in the same way.
	Visible *visible `json:"visible,omitempty"`
}

type visible struct {
	Public bool `json:"public"`
	Base   bool `json:"base"` // as the configuration had it then
}

// outdated drops the changes that d, as the file has it now, overrules, and
// reports whether there were any.
func (sd *storedDevice) outdated(d *Device) (any bool) {
	if sd.Visible != nil && sd.Visible.Base != d.Grants.Public {
		sd.Visible, any = nil, true
	}
	check := func(key, declared string, stored *string) {
		if base, ok := sd.Base[key]; ok && base != declared {
			sd.Base[key], *stored, any = declared, declared, true
		}
	}
	check("", d.Name, &sd.Name)
	for i := range sd.Sensors {
		if at, ok := d.Sensor(sd.Sensors[i].ID); ok {
			check("s/"+at.ID, at.Name, &sd.Sensors[i].Name)
		}
	}
	for i := range sd.Actuators {
		if at, ok := d.Actuator(sd.Actuators[i].ID); ok {
			check("a/"+at.ID, at.Name, &sd.Actuators[i].Name)
		}
	}
	return any
}

// applyTo lays the changes made at run time over a declared device.
func (sd *storedDevice) applyTo(d *Device) {
	if base, ok := sd.Base[""]; ok && base == d.Name {
		d.Name = sd.Name
	}
	if sd.Meta != nil {
		d.Meta = sd.Meta
	}
	if v := sd.Visible; v != nil && v.Base == d.Grants.Public {
		d.Grants.Public = v.Public
	}
	d.Created, d.Modified = sd.Created, sd.Modified
	if d.Feed == 0 {
		d.Feed = sd.Feed
	}
	for _, s := range sd.Sensors {
		at, declared := d.Sensor(s.ID)
		if !declared {
			if _, was := sd.Base["s/"+s.ID]; !was { // else it left the file
				d.Sensors = append(d.Sensors, s)
			}
			continue
		}
		if base, ok := sd.Base["s/"+s.ID]; ok && base == at.Name {
			at.Name = s.Name
		}
		if s.Meta != nil {
			at.Meta = s.Meta
		}
	}
	for _, a := range sd.Actuators {
		at, declared := d.Actuator(a.ID)
		if !declared {
			if _, was := sd.Base["a/"+a.ID]; !was {
				d.Actuators = append(d.Actuators, a)
			}
			continue
		}
		if base, ok := sd.Base["a/"+a.ID]; ok && base == at.Name {
			at.Name = a.Name
		}
		if a.Meta != nil {
			at.Meta = a.Meta
		}
	}
}

// Apply makes one change and stores it. Owner becomes the owner of a device
// that is created. It returns the device as it is then (as it was, for Delete)
// and whether anything changed. It decides nothing about permission.
func (r *Registry) Apply(req ChangeRequest, owner string) (*Device, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	st := r.state.Load()
	now := r.clock.Now().Wall.Truncate(time.Microsecond)
	if req.Op == CreateDevice {
		return r.createDevice(st, req, owner, now)
	}
	old, ok := st.devices[req.Device]
	if !ok {
		return nil, false, fmt.Errorf("%w: %q", ErrUnknownDevice, shorten(req.Device, MaxID))
	}
	d := old.clone()
	changed, gone, err := edit(d, req, r.isDeclared)
	if err != nil || !changed {
		return old, false, err
	}
	if gone {
		return old, true, r.deleteDevice(old.ID)
	}
	d.Modified = now
	return d, true, r.putDevice(d)
}

func (r *Registry) createDevice(st *state, req ChangeRequest, owner string, now time.Time) (*Device, bool, error) {
	if req.NewDevice == nil {
		return nil, false, fmt.Errorf("%w: no device", ErrBadPayload)
	}
	d := req.NewDevice.clone()
	if d.ID == "" {
		d.ID = newID()
	}
	if old, ok := st.devices[d.ID]; ok {
		return old, false, fmt.Errorf("%w: device %q", ErrExists, d.ID)
	}
	if err := checkDevice(d); err != nil {
		return nil, false, err
	}
	d.Grants = access.Grants{Owner: owner, Public: d.Grants.Public}
	d.Declared = false
	d.Created, d.Modified = now, now
	if d.Feed == 0 || st.feeds[d.Feed] != nil {
		d.Feed = st.freeFeed(d.ID) // stored, so that it stays whoever else comes
	}
	return d, true, r.putDevice(d)
}

// MaxChannels bounds the sensors and the actuators of a device: each change
// writes all of them.
const MaxChannels = 1000

func checkDevice(d *Device) error {
	if err := CheckID(d.ID); err != nil {
		return err
	}
	if len(d.Sensors) > MaxChannels || len(d.Actuators) > MaxChannels {
		return fmt.Errorf("%w: device %q with more than %d sensors or actuators", ErrTooLarge, d.ID, MaxChannels)
	}
	seen := map[string]bool{}
	for i := range d.Sensors {
		if d.Sensors[i].ID == "" {
			d.Sensors[i].ID = newID()
		}
		if err := CheckID(d.Sensors[i].ID); err != nil {
			return err
		}
		if seen["s/"+d.Sensors[i].ID] {
			return fmt.Errorf("%w: sensor %q", ErrExists, d.Sensors[i].ID)
		}
		seen["s/"+d.Sensors[i].ID] = true
	}
	for i := range d.Actuators {
		if d.Actuators[i].ID == "" {
			d.Actuators[i].ID = newID()
		}
		if err := CheckID(d.Actuators[i].ID); err != nil {
			return err
		}
		if seen["a/"+d.Actuators[i].ID] {
			return fmt.Errorf("%w: actuator %q", ErrExists, d.Actuators[i].ID)
		}
		seen["a/"+d.Actuators[i].ID] = true
	}
	return nil
}

// edit changes d as req asks. Gone means that the device itself goes.
func edit(d *Device, req ChangeRequest, declared func(device, sensor, actuator string) bool) (changed, gone bool, err error) {
	unknown := func(id string) error { return fmt.Errorf("%w: %q", ErrUnknownSensor, shorten(id, MaxID)) }
	switch req.Op {
	case CreateSensor:
		if req.NewSensor == nil {
			return false, false, fmt.Errorf("%w: no sensor", ErrBadPayload)
		}
		for _, s := range append([]Sensor{*req.NewSensor}, req.More...) {
			if s.ID == "" {
				s.ID = newID()
			}
			if _, ok := d.Sensor(s.ID); ok {
				return false, false, fmt.Errorf("%w: sensor %q", ErrExists, s.ID)
			}
			d.Sensors = append(d.Sensors, s)
		}
		return true, false, checkDevice(d)
	case CreateActuator:
		if req.NewActuator == nil {
			return false, false, fmt.Errorf("%w: no actuator", ErrBadPayload)
		}
		a := *req.NewActuator
		if a.ID == "" {
			a.ID = newID()
		}
		if _, ok := d.Actuator(a.ID); ok {
			return false, false, fmt.Errorf("%w: actuator %q", ErrExists, a.ID)
		}
		d.Actuators = append(d.Actuators, a)
		return true, false, checkDevice(d)
	case SetName, SetMeta:
		name, meta := &d.Name, &d.Meta
		if req.Sensor != "" {
			s, ok := d.Sensor(req.Sensor)
			if !ok {
				return false, false, unknown(req.Sensor)
			}
			name, meta = &s.Name, &s.Meta
		} else if req.Actuator != "" {
			a, ok := d.Actuator(req.Actuator)
			if !ok {
				return false, false, unknown(req.Actuator)
			}
			name, meta = &a.Name, &a.Meta
		}
		if req.Op == SetName {
			changed = *name != req.Name
			*name = req.Name
			return changed, false, nil
		}
		changed, err = mergeMeta(meta, req.Meta)
		return changed, false, err
	case SetPublic:
		changed = d.Grants.Public != req.Public
		d.Grants.Public = req.Public
		return changed, false, nil
	case Delete:
		if declared(req.Device, req.Sensor, req.Actuator) {
			return false, false, ErrDeclared
		}
		switch {
		case req.Sensor != "":
			n := len(d.Sensors)
			d.Sensors = slices.DeleteFunc(d.Sensors, func(s Sensor) bool { return s.ID == req.Sensor })
			if len(d.Sensors) == n {
				return false, false, unknown(req.Sensor)
			}
			return true, false, nil
		case req.Actuator != "":
			n := len(d.Actuators)
			d.Actuators = slices.DeleteFunc(d.Actuators, func(a Actuator) bool { return a.ID == req.Actuator })
			if len(d.Actuators) == n {
				return false, false, unknown(req.Actuator)
			}
			return true, false, nil
		}
		return true, true, nil
	}
	return false, false, fmt.Errorf("gateway: registry: unknown change %d", req.Op)
}

// MaxMeta bounds the meta object of a device, sensor or actuator, in bytes.
const MaxMeta = 16 << 10

// mergeMeta merges the object add into *meta; null removes a key.
func mergeMeta(meta *json.RawMessage, add json.RawMessage) (changed bool, err error) {
	var have, more map[string]json.RawMessage
	if err := json.Unmarshal(add, &more); err != nil {
		return false, fmt.Errorf("%w: meta must be an object", ErrBadPayload)
	}
	if len(*meta) > 0 {
		if err := json.Unmarshal(*meta, &have); err != nil {
			return false, fmt.Errorf("%w: stored meta: %v", ErrBadPayload, err)
		}
	}
	merged := maps.Clone(have)
	if merged == nil {
		merged = map[string]json.RawMessage{}
	}
	for k, v := range more {
		if string(v) == "null" {
			delete(merged, k)
			continue
		}
		merged[k] = v
	}
	if maps.EqualFunc(have, merged, func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
		return false, nil
	}
	out, err := json.Marshal(merged)
	if err != nil {
		return false, fmt.Errorf("%w: meta: %v", ErrBadPayload, err)
	}
	if len(out) > MaxMeta {
		return false, fmt.Errorf("%w: meta of %d bytes, at most %d", ErrTooLarge, len(out), MaxMeta)
	}
	*meta = out
	return true, nil
}

// declaredDevice finds a device as the configuration has it.
func (r *Registry) declaredDevice(id string) *Device {
	for _, d := range r.declared.Devices {
		if d.ID == id {
			return d
		}
	}
	return nil
}

func (r *Registry) isDeclared(device, sensor, actuator string) bool {
	d := r.declaredDevice(device)
	if d == nil {
		return false
	}
	if sensor != "" {
		_, ok := d.Sensor(sensor)
		return ok
	}
	if actuator != "" {
		_, ok := d.Actuator(actuator)
		return ok
	}
	return true
}

// putDevice stores d and puts it in force. r.mu is held.
func (r *Registry) putDevice(d *Device) error {
	sd := storedDevice{Device: *d}
	if decl := r.declaredDevice(d.ID); decl != nil {
		sd.Overlay = true
		sd.Grants = access.Grants{} // the file has the only word on who has which right
		if d.Grants.Public != decl.Grants.Public {
			sd.Visible = &visible{Public: d.Grants.Public, Base: decl.Grants.Public}
		}
		sd.Base = map[string]string{"": decl.Name}
		for _, s := range decl.Sensors {
			sd.Base["s/"+s.ID] = s.Name
		}
		for _, a := range decl.Actuators {
			sd.Base["a/"+a.ID] = a.Name
		}
	}
	raw, err := json.Marshal(sd)
	if err != nil {
		return fmt.Errorf("gateway: registry: device %q: %w", d.ID, err)
	}
	if err := r.tables.Devices.Write(map[string][]byte{d.ID: raw}); err != nil {
		return fmt.Errorf("gateway: registry: device %q: %w", d.ID, err)
	}
	s := r.state.Load().copy()
	s.devices[d.ID] = d
	r.publish(s)
	return nil
}

func (r *Registry) deleteDevice(id string) error {
	if err := r.tables.Devices.Write(map[string][]byte{id: nil}); err != nil {
		return fmt.Errorf("gateway: registry: device %q: %w", id, err)
	}
	s := r.state.Load().copy()
	delete(s.devices, id)
	r.publish(s)
	return nil
}

func (st *state) copy() *state {
	c := *st
	c.users = maps.Clone(st.users)
	c.devices = maps.Clone(st.devices)
	c.keys = slices.Clone(st.keys)
	return &c
}
