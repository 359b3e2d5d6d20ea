package web

import (
	"net/http"

	"fieldgate/gateway"
)

const mqttPath = "/mqtt"

// handle is a handler for a caller who is known.
type handle func(w http.ResponseWriter, r *http.Request, c caller)

// user lets everybody in whom the registry knows, or anonymous clients where
// they are allowed.
func (s *Server) user(h handle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c, ok := s.who(w, r); ok {
			h(w, r, c)
		}
	}
}

// administrator lets administrators in only.
func (s *Server) administrator(h handle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c, ok := s.admin(w, r); ok {
			h(w, r, c)
		}
	}
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.user(s.page))
	mux.HandleFunc("GET /style.css", s.style)
	mux.HandleFunc("GET /login", s.login)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /status", s.user(s.status))
	if s.cfg.Metrics != nil {
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
			if !s.cfg.OpenMetrics && !local(r) {
				if _, ok := s.admin(w, r); !ok {
					return
				}
			}
			s.metrics(w, r)
		})
	}
	if s.cfg.Requests != nil {
		mux.HandleFunc("GET /requests", s.administrator(s.requests))
	}
	s.deviceRoutes(mux)
	s.channelRoutes(mux, "sensors", gateway.KindSensor)
	s.channelRoutes(mux, "actuators", gateway.KindActuator)
	if s.cfg.Admin != nil {
		s.adminRoutes(mux)
	}
	return mux
}

// deviceRoutes are the edge's /devices, and /device for the device that is the
// gateway itself.
func (s *Server) deviceRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /devices", s.user(s.getDevices))
	mux.HandleFunc("POST /devices", s.user(s.postDevice))
	mux.HandleFunc("DELETE /devices/{d}", s.user(s.deleteDevice))
	mux.HandleFunc("GET /device/id", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(s.cfg.GatewayID))
	})
	for _, root := range []string{"/devices/{d}", "/device"} {
		mux.HandleFunc("GET "+root, s.user(s.getDevice))
		mux.HandleFunc("GET "+root+"/name", s.user(s.getName))
		mux.HandleFunc("POST "+root+"/name", s.user(s.postName))
		mux.HandleFunc("GET "+root+"/meta", s.user(s.getMeta))
		mux.HandleFunc("POST "+root+"/meta", s.user(s.postMeta))
	}
}

// channelRoutes are the edge's .../sensors or .../actuators of a device, and
// those of the gateway itself.
func (s *Server) channelRoutes(mux *http.ServeMux, word string, kind gateway.Kind) {
	with := func(h func(http.ResponseWriter, *http.Request, caller, gateway.Kind)) http.HandlerFunc {
		return s.user(func(w http.ResponseWriter, r *http.Request, c caller) { h(w, r, c, kind) })
	}
	for _, root := range []string{"/devices/{d}/" + word, "/" + word} {
		mux.HandleFunc("GET "+root, with(s.getChannels))
		mux.HandleFunc("POST "+root, with(s.postChannel))
		one := root + "/{c}"
		mux.HandleFunc("GET "+one, with(s.getChannel))
		mux.HandleFunc("DELETE "+one, with(s.deleteChannel))
		mux.HandleFunc("GET "+one+"/name", s.user(s.getName))
		mux.HandleFunc("POST "+one+"/name", s.user(s.postName))
		mux.HandleFunc("GET "+one+"/meta", s.user(s.getMeta))
		mux.HandleFunc("POST "+one+"/meta", s.user(s.postMeta))
		mux.HandleFunc("GET "+one+"/value", with(s.getValue))
		mux.HandleFunc("POST "+one+"/value", with(s.postValue))
		mux.HandleFunc("GET "+one+"/values", with(s.getValues))
		mux.HandleFunc("POST "+one+"/values", with(s.postValues))
	}
}
