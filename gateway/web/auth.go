package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// caller is who sent a request.
type caller struct {
	subject access.Subject
	source  string // for logs
}

// who finds out who sent r: by HTTP Basic authentication (RFC 7617), nobody
// without, the gateway's own tools on the Unix socket. If that is refused it has
// been answered.
func (s *Server) who(w http.ResponseWriter, r *http.Request) (caller, bool) {
	if r.Context().Value(unixKey{}) != nil {
		return caller{access.System, "http unix socket"}, true
	}
	c := caller{source: "http " + r.RemoteAddr}
	user, password, given := r.BasicAuth()
	if !given && r.Header.Get("Authorization") != "" {
		s.fail(w, r, c, fmt.Errorf("%w: only Basic authentication is known", access.ErrBadCredentials))
		return c, false
	}
	subject, err := s.cfg.Registry.Login(r.Context(), r.RemoteAddr, user, []byte(password), given)
	if err != nil {
		s.fail(w, r, c, err)
		return c, false
	}
	c.subject = subject
	c.source += " " + subject.String()
	return c, true
}

// basicChallenge asks for a name and a password (RFC 7617).
const basicChallenge = `Basic realm="fieldgate", charset="UTF-8"`

// admin is who for what only administrators may do.
func (s *Server) admin(w http.ResponseWriter, r *http.Request) (caller, bool) {
	c, ok := s.who(w, r)
	if ok && !s.cfg.Registry.Admin(c.subject) {
		s.fail(w, r, c, fmt.Errorf("%w: administrators only", gateway.ErrDenied))
		return c, false
	}
	return c, ok
}

// local reports whether a program on this machine asks for this machine: not a
// web page that was told that its own name is 127.0.0.1, and not a proxy.
func local(r *http.Request) bool {
	if r.Context().Value(unixKey{}) != nil {
		return true
	}
	if r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return false
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !remote.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
