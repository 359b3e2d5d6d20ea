package waziup

import (
	"encoding/json"
	"fmt"

	"fieldgate/gateway"
)

// DecodeDevice reads a device that somebody asks to create, in the cloud's form
// or the edge's: id, name, visibility (public or private; private without it),
// sensors, actuators, meta. Other members, such as the owner, are ignored: who
// creates a device owns it. Ids may be missing. The errors are those of
// DecodeChange.
func DecodeDevice(payload []byte) (*gateway.Device, error) {
	fields, err := decodeObject(payload)
	if err != nil {
		return nil, err
	}
	d := &gateway.Device{}
	if d.ID, d.Name, d.Meta, err = fields.common(); err != nil {
		return nil, err
	}
	visibility, err := fields.text("visibility")
	if err != nil {
		return nil, err
	}
	switch visibility {
	case "public":
		d.Grants.Public = true
	case "private", "":
	default:
		return nil, fmt.Errorf("%w: visibility %.40q: public or private", gateway.ErrBadPayload, visibility)
	}
	if d.Sensors, err = decodeList(fields["sensors"], "sensors", decodeSensor, func(s *gateway.Sensor) string { return s.ID }); err != nil {
		return nil, err
	}
	if d.Actuators, err = decodeList(fields["actuators"], "actuators", decodeActuator, func(a *gateway.Actuator) string { return a.ID }); err != nil {
		return nil, err
	}
	return d, nil
}

// DecodeSensor reads a sensor that somebody asks to create: id, name,
// sensor_kind, quantity_kind and unit (the cloud's names) or kind, quantity and
// unit (the edge's, also inside meta), meta. The errors are those of
// DecodeChange.
func DecodeSensor(payload []byte) (*gateway.Sensor, error) {
	fields, err := decodeObject(payload)
	if err != nil {
		return nil, err
	}
	s, err := decodeSensor(fields)
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// DecodeActuator reads an actuator that somebody asks to create: id, name, meta.
// What the cloud calls actuator_kind and actuator_value_type is kept in meta.
// The errors are those of DecodeChange.
func DecodeActuator(payload []byte) (*gateway.Actuator, error) {
	fields, err := decodeObject(payload)
	if err != nil {
		return nil, err
	}
	a, err := decodeActuator(fields)
	if err != nil {
		return nil, err
	}
	return &a, nil
}

func decodeSensor(f fields) (s gateway.Sensor, err error) {
	if s.ID, s.Name, s.Meta, err = f.common(); err != nil {
		return s, err
	}
	var meta fields
	if s.Meta != nil {
		meta = split(s.Meta)
	}
	for _, w := range []struct {
		to          *string
		cloud, edge string
	}{
		{&s.Kind, "sensor_kind", "kind"},
		{&s.Quantity, "quantity_kind", "quantity"},
		{&s.Unit, "unit", "unit"},
	} {
		if *w.to, err = f.text(w.cloud); err == nil && *w.to == "" {
			*w.to, err = f.text(w.edge)
		}
		if err != nil {
			return s, err
		}
		if *w.to == "" {
			*w.to, _ = meta.text(w.edge) // meta may hold anything under that name
		}
	}
	return s, nil
}

func decodeActuator(f fields) (a gateway.Actuator, err error) {
	if a.ID, a.Name, a.Meta, err = f.common(); err != nil {
		return a, err
	}
	extra := map[string]string{}
	for _, w := range []struct{ from, to string }{
		{"kind", "kind"}, {"actuator_kind", "kind"}, {"actuator_value_type", "actuator_value_type"},
	} {
		text, err := f.text(w.from)
		if err != nil {
			return a, err
		}
		if text != "" {
			extra[w.to] = text
		}
	}
	if len(extra) == 0 {
		return a, nil
	}
	meta := map[string]json.RawMessage{}
	if a.Meta != nil {
		if err := json.Unmarshal(a.Meta, &meta); err != nil {
			return a, fmt.Errorf("%w: meta: %v", gateway.ErrBadPayload, err)
		}
	}
	for k, v := range extra {
		if _, ok := meta[k]; !ok {
			meta[k] = appendString(nil, v)
		}
	}
	if a.Meta, err = marshal(meta); err != nil {
		return a, err
	}
	if len(a.Meta) > MaxMeta {
		return a, fmt.Errorf("%w: meta of %d bytes, at most %d", gateway.ErrTooLarge, len(a.Meta), MaxMeta)
	}
	return a, nil
}

// fields are the members of an object.
type fields map[string]json.RawMessage

func decodeObject(payload []byte) (fields, error) {
	if len(payload) > MaxChange {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", gateway.ErrTooLarge, len(payload), MaxChange)
	}
	if err := checkShape(payload, 3); err != nil { // meta of a sensor of a device
		return nil, err
	}
	raw := trim(payload)
	if raw[0] != '{' {
		return nil, fmt.Errorf("%w of an object", gateway.ErrBadPayload)
	}
	return split(raw), nil
}

func split(object []byte) fields {
	f := fields{}
	for k, v := range members(object) {
		f[k] = v
	}
	return f
}

// text gives a member that is a short string; "" for null or none.
func (f fields) text(name string) (string, error) {
	raw := f[name]
	if raw == nil || string(raw) == "null" {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("%w: %s is no string", gateway.ErrBadPayload, name)
	}
	if len(s) > maxWord {
		return "", fmt.Errorf("%w: %s of %d bytes, at most %d", gateway.ErrTooLarge, name, len(s), maxWord)
	}
	return s, nil
}

// common reads what devices, sensors and actuators share.
func (f fields) common() (id, name string, meta json.RawMessage, err error) {
	if id, err = f.text("id"); err != nil {
		return "", "", nil, err
	}
	if id != "" {
		if err = gateway.CheckID(id); err != nil {
			return "", "", nil, err
		}
	}
	if raw := f["name"]; raw != nil && string(raw) != "null" {
		if raw[0] != '"' {
			return "", "", nil, fmt.Errorf("%w: name is no string", gateway.ErrBadPayload)
		}
		if name, err = decodeName(raw); err != nil {
			return "", "", nil, err
		}
	}
	if raw := f["meta"]; raw != nil && string(raw) != "null" {
		meta, err = decodeMeta(raw)
	}
	return id, name, meta, err
}

func decodeList[T any](raw json.RawMessage, name string, decode func(fields) (T, error), id func(*T) string) ([]T, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, fmt.Errorf("%w: %s is no array", gateway.ErrBadPayload, name)
	}
	var out []T
	seen := map[string]bool{}
	for e := range elements(raw) {
		if e[0] != '{' {
			return nil, fmt.Errorf("%w: %s holds something else than objects", gateway.ErrBadPayload, name)
		}
		if len(out) == MaxChannels {
			return nil, fmt.Errorf("%w: more than %d %s", gateway.ErrTooLarge, MaxChannels, name)
		}
		v, err := decode(split(e))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if k := id(&v); k != "" {
			if seen[k] {
				return nil, fmt.Errorf("%w: %s holds %q twice", gateway.ErrBadPayload, name, k)
			}
			seen[k] = true
		}
		out = append(out, v)
	}
	return out, nil
}
