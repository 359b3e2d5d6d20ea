package web

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"net/http"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText []byte

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// pageData is what the page shows.
type pageData struct {
	ID       string
	Who      string // login name; "" for anonymous
	Problems []string
	Devices  []pageDevice
}

type pageDevice struct {
	ID, Name string
	Public   bool
	Channels []pageChannel
}

type pageChannel struct {
	Word     string // "sensors" or "actuators"
	ID, Name string
	Value    string
	Unit     string
	At       string
	Trouble  string // why it fails
}

// page shows people what there is.
func (s *Server) page(w http.ResponseWriter, r *http.Request, c caller) {
	data := pageData{ID: s.cfg.GatewayID, Who: c.subject.User}
	if s.cfg.Health != nil {
		data.Problems = s.cfg.Health()
	}
	var trouble map[string]string
	if s.cfg.Trouble != nil {
		trouble = s.cfg.Trouble()
	}
	for _, d := range s.cfg.Registry.Devices() {
		if s.cfg.Registry.Can(c.subject, access.View, d.ID) {
			data.Devices = append(data.Devices, s.pageDevice(d, trouble))
		}
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, data); err != nil {
		s.fail(w, r, c, fmt.Errorf("web: page: %w", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	_, _ = w.Write(b.Bytes())
}

func (s *Server) pageDevice(d *gateway.Device, trouble map[string]string) pageDevice {
	out := pageDevice{ID: d.ID, Name: d.Name, Public: d.Grants.Public}
	for i := range d.Sensors {
		v := &d.Sensors[i]
		out.Channels = append(out.Channels, s.pageChannel(d, "sensors", v.ID, v.Name, v.Unit, gateway.KindSensor))
	}
	for i := range d.Actuators {
		v := &d.Actuators[i]
		out.Channels = append(out.Channels, s.pageChannel(d, "actuators", v.ID, v.Name, "", gateway.KindActuator))
	}
	for i := range out.Channels {
		ch := &out.Channels[i]
		ch.Trouble = trouble[d.ID+"/"+ch.Word+"/"+ch.ID]
	}
	return out
}

func (s *Server) pageChannel(d *gateway.Device, word, id, name, unit string, kind gateway.Kind) pageChannel {
	out := pageChannel{Word: word, ID: id, Name: name, Unit: unit}
	if rec, ok := s.cfg.Hub.Current(d.ID, id, kind); ok {
		out.Value = clip(string(rec.Value))
		if !rec.At.IsZero() {
			out.At = rec.At.UTC().Format(time.DateTime)
		}
	}
	return out
}

// clip shortens a value to what fits into a table.
func clip(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(styleText)
}

// login has the browser ask for a name and a password.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if _, _, given := r.BasicAuth(); !given {
		s.fail(w, r, caller{}, access.ErrBadCredentials)
		return
	}
	if _, ok := s.who(w, r); ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}
