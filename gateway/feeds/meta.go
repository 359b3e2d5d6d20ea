package feeds

import (
	"encoding/json"
	"fmt"
	"slices"

	"fieldgate/gateway"
	"fieldgate/gateway/xively"
)

// metaKey is where what only the API knows lies in the meta of a device or of
// a sensor.
const metaKey = "xively"

// feedMeta is what the API knows of a feed beside what its device says.
type feedMeta struct {
	Description string           `json:"description,omitempty"`
	Website     string           `json:"website,omitempty"`
	Icon        string           `json:"icon,omitempty"`
	Email       string           `json:"email,omitempty"`
	Tags        []string         `json:"tags,omitempty"`
	Location    *xively.Location `json:"location,omitempty"`
	Product     string           `json:"product_id,omitempty"`
	Serial      string           `json:"device_serial,omitempty"`
}

// streamMeta is what the API knows of a datastream beside what its sensor says.
type streamMeta struct {
	Tags []string     `json:"tags,omitempty"`
	Unit *xively.Unit `json:"unit,omitempty"`
}

// readMeta fills v, a *feedMeta or *streamMeta, with what meta says. Meta may
// come from anywhere: what has not the right type does not count.
func readMeta(meta json.RawMessage, v any) {
	var m map[string]json.RawMessage
	if json.Unmarshal(meta, &m) == nil && m[metaKey] != nil {
		_ = json.Unmarshal(m[metaKey], v) // goes on behind a wrong type
	}
}

// patchMeta is the Meta of a gateway.SetMeta that makes v what the API knows,
// nil if old says the same. The error says that it is too much.
func patchMeta(meta json.RawMessage, old, v any) (json.RawMessage, error) {
	was, err := json.Marshal(old)
	if err != nil {
		return nil, fmt.Errorf("feeds: meta: %w", err)
	}
	now, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("feeds: meta: %w", err)
	}
	if string(was) == string(now) {
		return nil, nil
	}
	if string(now) == "{}" {
		now = json.RawMessage("null") // removes the key
	}
	if n := len(meta) + len(now) - len(was) + len(metaKey) + 8; n > gateway.MaxMeta {
		return nil, fmt.Errorf("%w: metadata of about %d bytes, at most %d", gateway.ErrTooLarge, n, gateway.MaxMeta)
	}
	return json.Marshal(map[string]json.RawMessage{metaKey: now})
}

// merged is m after w.
func (m feedMeta) merged(w *xively.FeedWrite) feedMeta {
	set(&m.Description, w.Description)
	set(&m.Website, w.Website)
	set(&m.Icon, w.Icon)
	set(&m.Email, w.Email)
	if w.Tags != nil {
		m.Tags = *w.Tags
	}
	if w.Location != nil {
		m.Location = nil
		if somewhere(w.Location) {
			l := *w.Location
			l.Waypoints = nil
			m.Location = &l
		}
	}
	return m
}

// somewhere reports whether l says anything.
func somewhere(l *xively.Location) bool {
	return l.Name+l.Disposition+l.Exposure+l.Domain+l.Ele != "" || l.Lat != nil || l.Lon != nil
}

// merged is m after w.
func (m streamMeta) merged(w *xively.DatastreamWrite) streamMeta {
	if w.Tags != nil {
		m.Tags = *w.Tags
	}
	if w.Unit != nil {
		m.Unit = nil
		if *w.Unit != (xively.Unit{}) {
			u := *w.Unit
			m.Unit = &u
		}
	}
	return m
}

func set(s *string, to *string) {
	if to != nil {
		*s = *to
	}
}

// shape is what a device is as a feed, apart from its values. It is never
// changed in place.
type shape struct {
	device  *gateway.Device
	meta    feedMeta
	streams []stream
	index   map[string]int // by sensor id
}

// stream is what a sensor is as a datastream.
type stream struct {
	sensor string
	id     string // of the datastream
	meta   streamMeta
	unit   xively.Unit // of meta, else the sensor's
}

func newShape(d *gateway.Device) *shape {
	s := &shape{device: d, streams: make([]stream, len(d.Sensors)), index: make(map[string]int, len(d.Sensors))}
	readMeta(d.Meta, &s.meta)
	if l := s.meta.Location; l != nil && !somewhere(l) {
		s.meta.Location = nil
	}
	for i := range d.Sensors {
		sensor := &d.Sensors[i]
		st := stream{sensor: sensor.ID, id: xively.DatastreamID(sensor.ID), unit: xively.Unit{Label: sensor.Unit}}
		readMeta(sensor.Meta, &st.meta)
		if st.meta.Unit != nil {
			st.unit = *st.meta.Unit
		}
		s.streams[i] = st
		s.index[sensor.ID] = i
	}
	return s
}

// find gives the place of a datastream among the streams, -1 without one.
func (s *shape) find(datastream string) int {
	if i, ok := s.index[xively.SensorID(datastream)]; ok {
		return i
	}
	return -1
}

// changed lists the sensors whose datastreams look different in s than in old.
func (s *shape) changed(old *shape) []string {
	var out []string
	for _, st := range s.streams {
		i, ok := old.index[st.sensor]
		if !ok || old.streams[i].unit != st.unit || !slices.Equal(old.streams[i].meta.Tags, st.meta.Tags) {
			out = append(out, st.sensor)
		}
	}
	return out
}
