package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/waziup"
)

func (s *Server) getChannels(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind) {
	t, err := s.view(r, c)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	d := waziup.NewRestDevice(t.device, s.current(t.device.ID))
	if kind == gateway.KindSensor {
		s.sendJSON(w, r, d.Sensors)
	} else {
		s.sendJSON(w, r, d.Actuators)
	}
}

func (s *Server) getChannel(w http.ResponseWriter, r *http.Request, c caller, _ gateway.Kind) {
	t, err := s.view(r, c)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	if t.sensor != nil {
		s.sendJSON(w, r, waziup.NewRestSensor(t.device, t.sensor, s.current(t.device.ID)))
	} else {
		s.sendJSON(w, r, waziup.NewRestActuator(t.device, t.actuator, s.current(t.device.ID)))
	}
}

// postChannel creates a sensor or an actuator and answers with its id.
func (s *Server) postChannel(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind) {
	device := s.topic(r).Device
	s.made(w, r, c, func(raw []byte) (gateway.ChangeRequest, any, error) {
		if kind == gateway.KindSensor {
			v, err := waziup.DecodeSensor(raw)
			if err != nil {
				return gateway.ChangeRequest{}, nil, err
			}
			orElse(&v.ID, newID())
			return gateway.ChangeRequest{Op: gateway.CreateSensor, Device: device, NewSensor: v}, v.ID, nil
		}
		v, err := waziup.DecodeActuator(raw)
		if err != nil {
			return gateway.ChangeRequest{}, nil, err
		}
		orElse(&v.ID, newID())
		return gateway.ChangeRequest{Op: gateway.CreateActuator, Device: device, NewActuator: v}, v.ID, nil
	})
}

func (s *Server) deleteChannel(w http.ResponseWriter, r *http.Request, c caller, _ gateway.Kind) {
	t := s.topic(r)
	s.made(w, r, c, func([]byte) (gateway.ChangeRequest, any, error) {
		return gateway.ChangeRequest{Op: gateway.Delete, Device: t.Device, Sensor: t.Sensor, Actuator: t.Actuator}, nil, nil
	})
}

// getValue answers with the bare present value, null before the first one.
func (s *Server) getValue(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind) {
	t, err := s.view(r, c)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	value := []byte("null")
	if rec, ok := s.cfg.Hub.Current(t.device.ID, r.PathValue("c"), kind); ok {
		value = rec.Value
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(value) // in the very text it came in
}

func (s *Server) postValue(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind) {
	s.postSamples(w, r, c, kind, func(raw []byte) ([]waziup.Sample, error) {
		v, err := waziup.DecodeValue(raw)
		return []waziup.Sample{v}, err
	})
}

func (s *Server) postValues(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind) {
	s.postSamples(w, r, c, kind, waziup.DecodeValues)
}

// postSamples hands the values of the body to the Hub as one batch: all or none
// of them are recorded.
func (s *Server) postSamples(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind, decode func([]byte) ([]waziup.Sample, error)) {
	raw, err := body(r)
	var samples []waziup.Sample
	if err == nil {
		samples, err = decode(raw)
	}
	if err == nil {
		err = s.accept(w, r, c, kind, samples)
	}
	if err != nil {
		s.refuse(w, r, c, err)
	}
}

func (s *Server) accept(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind, samples []waziup.Sample) error {
	if len(samples) == 0 { // the same answers as for one
		_, err := s.view(r, c)
		return err
	}
	s.patient(w, s.cfg.Limits.Disk+s.cfg.Limits.Write)
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.Disk)
	defer cancel()
	device, channel := s.topic(r).Device, r.PathValue("c")
	b := &gateway.Batch{From: c.subject, Source: c.source, Readings: make([]gateway.Reading, len(samples))}
	for i, v := range samples {
		b.Readings[i] = gateway.Reading{Kind: kind, Device: device, Channel: channel, Value: v.Value, Time: v.Time}
	}
	return s.cfg.Hub.Accept(ctx, b)
}

// getValues streams the history. Query: from and to (RFC 3339, both included),
// limit (most values, counted from the oldest).
func (s *Server) getValues(w http.ResponseWriter, r *http.Request, c caller, kind gateway.Kind) {
	t, err := s.view(r, c)
	if err == nil && s.cfg.History == nil {
		err = fmt.Errorf("%w: there is no history here", gateway.ErrBadTopic)
	}
	q := HistoryQuery{Kind: kind, Device: t.topic.Device, Channel: r.PathValue("c")}
	query := r.URL.Query()
	if err == nil {
		q.From, q.To, err = span(query)
	}
	if err == nil {
		q.Limit, err = count(query.Get("limit"))
	}
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	st := s.stream(w)
	const flushAt = 16 << 10
	buf := append(make([]byte, 0, flushAt+gateway.MaxValue), '[')
	n := 0
	err = s.cfg.History.Values(r.Context(), q, func(rec gateway.Record) error {
		if q.Limit > 0 && n == q.Limit {
			return errEnough
		}
		if n > 0 {
			buf = append(buf, ',')
		}
		n++
		buf = waziup.EncodeEdgeValue(buf, rec.Value, rec.At)
		if len(buf) < flushAt {
			return nil
		}
		_, err := st.Write(buf)
		buf = buf[:0]
		return err
	})
	if err == nil || err == errEnough {
		_, err = st.Write(append(buf, ']'))
	}
	s.end(st, r, c, err)
}

// errEnough ends a walk through the log.
var errEnough = fmt.Errorf("enough")

// span reads from and to.
func span(q url.Values) (from, to time.Time, err error) {
	for name, at := range map[string]*time.Time{"from": &from, "to": &to} {
		if text := q.Get(name); text != "" {
			if *at, err = waziup.ParseTime(text); err != nil {
				return from, to, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return from, to, nil
}
