package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/waziup"
)

// getDevices lists what the caller may see. Query: limit (most devices), meta
// (names that the devices' meta must have, with commas), select (members to
// show, as in "name,sensors.value"; the ids are always there).
func (s *Server) getDevices(w http.ResponseWriter, r *http.Request, c caller) {
	q := r.URL.Query()
	limit, err := count(q.Get("limit"))
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	var want []string
	if m := q.Get("meta"); m != "" {
		want = strings.Split(m, ",")
	}
	out := []waziup.RestDevice{}
	for _, d := range s.cfg.Registry.Devices() {
		if !s.cfg.Registry.Can(c.subject, access.View, d.ID) || !hasAll(d.Meta, want) {
			continue
		}
		out = append(out, waziup.NewRestDevice(d, s.current(d.ID)))
		if limit > 0 && len(out) == limit {
			break
		}
	}
	s.sendSelected(w, r, c, out)
}

// sendSelected answers with the members of v that the query selects.
func (s *Server) sendSelected(w http.ResponseWriter, r *http.Request, c caller, v any) {
	paths := r.URL.Query().Get("select")
	if paths == "" {
		s.sendJSON(w, r, v)
		return
	}
	raw, err := encode(v)
	if err == nil {
		raw, err = project(raw, newSelection(paths))
	}
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.sendJSON(w, r, json.RawMessage(raw))
}

// selection is a tree of names; one without branches means all below it.
type selection map[string]selection

func newSelection(paths string) selection {
	root := selection{}
	for path := range strings.SplitSeq(paths, ",") {
		at := root
		for name := range strings.SplitSeq(path, ".") {
			if at[name] == nil {
				at[name] = selection{}
			}
			at = at[name]
		}
	}
	return root
}

// project keeps what sel names, and ids, of an object or of each in an array.
func project(raw json.RawMessage, sel selection) (json.RawMessage, error) {
	switch {
	case len(sel) == 0 || len(raw) == 0:
		return raw, nil
	case raw[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		for i := range list {
			var err error
			if list[i], err = project(list[i], sel); err != nil {
				return nil, err
			}
		}
		return encode(list)
	case raw[0] != '{':
		return raw, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	out := map[string]json.RawMessage{}
	for name, v := range all {
		below, ok := sel[name]
		switch {
		case ok:
			var err error
			if out[name], err = project(v, below); err != nil {
				return nil, err
			}
		case name == "id":
			out[name] = v
		}
	}
	return encode(out)
}

// hasAll reports whether the object meta has all names.
func hasAll(meta json.RawMessage, names []string) bool {
	if len(names) == 0 {
		return true
	}
	var have map[string]json.RawMessage
	_ = json.Unmarshal(meta, &have) // nil: has none
	for _, n := range names {
		if _, ok := have[n]; !ok {
			return false
		}
	}
	return true
}

// count reads a number of a query; 0 if it is not there.
func count(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: limit %.20q is no number", errBadQuery, text)
	}
	return n, nil
}

func (s *Server) getDevice(w http.ResponseWriter, r *http.Request, c caller) {
	t, err := s.view(r, c)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	s.sendSelected(w, r, c, waziup.NewRestDevice(t.device, s.current(t.device.ID)))
}

func (s *Server) getName(w http.ResponseWriter, r *http.Request, c caller) {
	t, err := s.view(r, c)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	name, _ := t.nameAndMeta()
	s.sendJSON(w, r, name)
}

func (s *Server) getMeta(w http.ResponseWriter, r *http.Request, c caller) {
	t, err := s.view(r, c)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	_, meta := t.nameAndMeta()
	if len(meta) == 0 {
		meta = json.RawMessage("{}")
	}
	s.sendJSON(w, r, meta)
}

func (s *Server) postName(w http.ResponseWriter, r *http.Request, c caller) {
	s.postChange(w, r, c, waziup.DeviceName, waziup.SensorName, waziup.ActuatorName)
}

func (s *Server) postMeta(w http.ResponseWriter, r *http.Request, c caller) {
	s.postChange(w, r, c, waziup.DeviceMeta, waziup.SensorMeta, waziup.ActuatorMeta)
}

// postChange makes the change that the body would ask for on MQTT.
func (s *Server) postChange(w http.ResponseWriter, r *http.Request, c caller, device, sensor, actuator waziup.Kind) {
	t := s.topic(r)
	switch {
	case t.Sensor != "":
		t.Kind = sensor
	case t.Actuator != "":
		t.Kind = actuator
	default:
		t.Kind = device
	}
	s.made(w, r, c, func(raw []byte) (gateway.ChangeRequest, any, error) {
		req, err := waziup.DecodeChange(t, raw)
		return req, nil, err
	})
}

// postDevice creates a device and answers with its id.
func (s *Server) postDevice(w http.ResponseWriter, r *http.Request, c caller) {
	s.made(w, r, c, func(raw []byte) (gateway.ChangeRequest, any, error) {
		d, err := waziup.DecodeDevice(raw)
		if err != nil {
			return gateway.ChangeRequest{}, nil, err
		}
		orElse(&d.ID, newID())
		return gateway.ChangeRequest{Op: gateway.CreateDevice, NewDevice: d}, d.ID, nil
	})
}

// newID makes an id for what is created without one.
func newID() string { return strings.ToLower(rand.Text()[:12]) }

func (s *Server) deleteDevice(w http.ResponseWriter, r *http.Request, c caller) {
	s.made(w, r, c, func([]byte) (gateway.ChangeRequest, any, error) {
		return gateway.ChangeRequest{Op: gateway.Delete, Device: r.PathValue("d")}, nil, nil
	})
}

// made reads the body, makes the change that decode finds in it and answers
// with what decode gives, or with nothing.
func (s *Server) made(w http.ResponseWriter, r *http.Request, c caller, decode func([]byte) (gateway.ChangeRequest, any, error)) {
	var result any
	raw, err := body(r)
	if err == nil {
		var req gateway.ChangeRequest
		if req, result, err = decode(raw); err == nil {
			err = s.change(w, r, c, req)
		}
	}
	if err != nil {
		s.refuse(w, r, c, err)
		return
	}
	if result != nil {
		s.sendJSON(w, r, result)
	}
}

// change makes one change and waits until it is on disk.
func (s *Server) change(w http.ResponseWriter, r *http.Request, c caller, req gateway.ChangeRequest) error {
	s.patient(w, s.cfg.Limits.Disk+s.cfg.Limits.Write)
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.Disk)
	defer cancel()
	done := make(chan error, 1)
	b := &gateway.Batch{From: c.subject, Source: c.source, Wait: true, Done: func(err error) { done <- err }}
	if err := s.cfg.Hub.Change(b, req); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("web: the disk has not taken it yet: %w", ctx.Err())
	}
}

// refuse answers a reading or a change that is not taken, and has it counted.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, c caller, err error) {
	if r.Context().Err() == nil { // else it was the client who gave up
		s.cfg.Hub.Refused(c.source, r.URL.Path, err)
	}
	s.fail(w, r, c, err)
}
