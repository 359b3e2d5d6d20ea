package web

import (
	"net/http"
	"strings"
)

// health answers 200 and "ok", or 503 and what is wrong, a line each; as JSON
// to who asks for it: {"ok":false,"problems":["..."]}.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	var problems []string
	if s.cfg.Health != nil {
		problems = s.cfg.Health()
	}
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusServiceUnavailable
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		if problems == nil {
			problems = []string{}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		s.sendJSON(w, r, struct {
			OK       bool     `json:"ok"`
			Problems []string `json:"problems"`
		}{len(problems) == 0, problems})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if len(problems) == 0 {
		problems = []string{"ok"}
	}
	_, _ = w.Write([]byte(strings.Join(problems, "\n") + "\n"))
}

// status answers with the content of the status topic.
func (s *Server) status(w http.ResponseWriter, r *http.Request, _ caller) {
	var v any = struct{}{}
	if s.cfg.Status != nil {
		v = s.cfg.Status()
	}
	s.sendJSON(w, r, v)
}
