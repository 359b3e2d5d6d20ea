package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// API answers what is asked under /v1 and /v2 (feeds.API is one).
type API interface {
	Serve(ctx context.Context, r gateway.Request) gateway.Response
}

// apiPath is that of any version: the API says which ones there are.
var apiPath = regexp.MustCompile(`^/v[0-9]{1,2}(/|$)`)

// asksAPI reports whether r is for the API. Its paths are not cleaned up as
// others are: a redirect would lose the body of a write.
func (s *Server) asksAPI(r *http.Request) bool {
	if s.cfg.API == nil {
		return false
	}
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, "//") {
		path = path[1:] // the API does not know such a path, and says so
	}
	return apiPath.MatchString(path)
}

// callback is what may stand in front of the brackets of a JSONP answer.
var callback = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$.]{0,63}$`)

// askAPI hands a request to the API.
//
// Pages of any site may use the API with a key that they have, as they did of
// old, so that everybody may read its answers (Access-Control-Allow-Origin: *).
// That is safe only as long as a page gets nothing here by the mere fact that
// somebody's browser asks: a password that the browser remembers (HTTP Basic
// authentication, the only such thing here) does not count in requests of
// another site's page, see mayUsePassword. Browsers say of each request that
// changes something from which site it comes, and of each whose answer a script
// may read; the exception is JSONP, where a password never counts.
func (s *Server) askAPI(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodOptions {
		h.Set("Allow", apiMethods)
		h.Set("Access-Control-Allow-Methods", apiMethods)
		h.Set("Access-Control-Allow-Headers", "X-ApiKey, X-PachubeApiKey, X-CosmApiKey, Authorization, Content-Type, Accept, X-Requested-With")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.Set("Access-Control-Expose-Headers", "Location")
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	fn, jsonp := jsonpName(r)
	switch {
	case jsonp && !callback.MatchString(fn):
		s.refuseAPI(w, r, &xively.Error{Status: http.StatusBadRequest, Title: "Bad Request", Text: "the name of the callback is invalid"})
		return
	case (method == http.MethodPost || method == http.MethodPut) && lengthless(r):
		s.refuseAPI(w, r, &xively.Error{Status: http.StatusLengthRequired, Title: "Length Required", Text: "a Content-Length is needed"})
		return
	}
	// One byte too many is enough for the API to refuse a body, and to note that.
	body, err := io.ReadAll(io.LimitReader(r.Body, xively.MaxBody+1))
	switch {
	case err != nil:
		s.refuseAPI(w, r, &xively.Error{Status: http.StatusBadRequest, Title: "Bad Request", Text: "the body cannot be read"})
		return
	case len(body) > xively.MaxBody:
		// The rest is not wanted. But a client that is still sending when the
		// connection ends may never see the answer.
		drain(w, r.Body)
		h.Set("Connection", "close")
	}
	req := gateway.Request{
		Door: "http", Method: method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Key: headerKey(r),
		Referer: r.Referer(), Accept: strings.Join(r.Header.Values("Accept"), ","), ContentType: r.Header.Get("Content-Type"),
		Base: base(r), Body: body, Wait: true,
	}
	orElse(&req.Referer, r.Header.Get("Origin"))
	s.patient(w, s.cfg.Limits.Disk+s.cfg.Limits.Write)
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.Disk)
	defer cancel()
	var refused bool
	if req.Peer, refused, err = s.peer(ctx, r, req.Key != "" || queryKey(r), jsonp); err != nil {
		e := &xively.Error{Status: http.StatusForbidden, Title: "Forbidden", Text: err.Error()}
		if strings.HasPrefix(req.Path, "/v1") {
			e.Status = http.StatusServiceUnavailable
		}
		h.Set("Retry-After", "60")
		s.refuseAPI(w, r, e)
		return
	}
	resp := s.cfg.API.Serve(ctx, req)
	if refused && resp.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", basicChallenge)
	}
	if jsonp && resp.Status == http.StatusOK && strings.HasPrefix(resp.ContentType, "application/json") {
		resp.ContentType, resp.Body = "application/javascript; charset=utf-8", padded(fn, resp.Body)
	}
	send(w, r, resp)
}

// What is read and forgotten of a body that is too long.
const (
	drainBytes = 16 << 20
	drainWait  = time.Second // for more of it
)

// drain reads body to its end, unless that is too far or does not come.
func drain(w http.ResponseWriter, body io.Reader) {
	ctl := http.NewResponseController(w)
	for left := int64(drainBytes); left > 0; {
		if ctl.SetReadDeadline(time.Now().Add(drainWait)) != nil { // a test recorder
			return
		}
		n, err := io.CopyN(io.Discard, body, min(left, 64<<10))
		if left -= n; err != nil {
			return
		}
	}
}

const apiMethods = "GET, HEAD, PUT, POST, DELETE, OPTIONS"

// peer says who asks the API. Keyed: the request has a key, which decides.
// Refused: there is a password, and it is wrong; the API then answers as if
// nobody had asked, and notes it. The error says that passwords are not checked
// now.
func (s *Server) peer(ctx context.Context, r *http.Request, keyed, jsonp bool) (p gateway.Peer, refused bool, err error) {
	if r.Context().Value(unixKey{}) != nil {
		return gateway.Peer{Subject: access.System, Source: "http unix socket"}, false, nil
	}
	p = gateway.Peer{Addr: r.RemoteAddr, Source: "http " + r.RemoteAddr}
	user, password, given := r.BasicAuth()
	if !given || keyed || jsonp || !mayUsePassword(r) {
		return p, false, nil
	}
	p.Subject, err = s.cfg.Registry.Login(ctx, r.RemoteAddr, user, []byte(password), true)
	switch {
	case errors.Is(err, access.ErrBadCredentials):
		p.Subject = access.Subject{}
		return p, true, nil
	case err != nil:
		return p, false, err
	}
	p.Source += " " + p.Subject.String()
	return p, false, nil
}

// mayUsePassword reports whether a password in r counts: not if a page of
// another site sent it. Programs that are no browsers say nothing about that.
func mayUsePassword(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin) // "null" has no host
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// keyHeaders carry an API key; the API had three names.
var keyHeaders = []string{"X-ApiKey", "X-PachubeApiKey", "X-CosmApiKey"}

// headerKey gives the API key in the header of r, "" without one.
func headerKey(r *http.Request) string {
	for _, name := range keyHeaders {
		if key := strings.TrimSpace(r.Header.Get(name)); key != "" {
			return key
		}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") { // RFC 6750
		return strings.TrimSpace(token)
	}
	return ""
}

// hostPort is a host name or an address, in brackets if it has colons, with or
// without a port (RFC 3986 section 3.2.2; nothing needs escapes here).
var hostPort = regexp.MustCompile(`^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// base is "scheme://host" as the client asked for it, "" if that is no host: it
// goes into documents.
func base(r *http.Request) string {
	switch {
	case !hostPort.MatchString(r.Host) || r.Context().Value(unixKey{}) != nil:
		return ""
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// queryKey reports whether the URL of r carries a key.
func queryKey(r *http.Request) bool {
	q := r.URL.Query()
	return q.Get("key") != "" || q.Get("oauth_token") != ""
}

// lengthless reports whether r says neither how long its body is nor that it
// comes in chunks.
func lengthless(r *http.Request) bool {
	if strings.HasSuffix(strings.SplitN(r.URL.Path, ".", 2)[0], "/regenerate") {
		return false // nothing is sent there
	}
	return r.ContentLength == 0 && r.Header.Get("Content-Length") == "" && len(r.TransferEncoding) == 0
}

// jsonpName is what a page without another way wants its JSON wrapped in.
func jsonpName(r *http.Request) (name string, asked bool) {
	if r.Method != http.MethodGet {
		return "", false
	}
	q := r.URL.Query()
	return q.Get("callback"), q.Has("callback")
}

// padded is JSON as a script that calls fn. The comment keeps it from being
// taken for anything that begins with fn; JSON may hold two line ends that a
// string of an older JavaScript may not.
func padded(fn string, body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte("\u2028"), []byte(`\u2028`))
	body = bytes.ReplaceAll(body, []byte("\u2029"), []byte(`\u2029`))
	return append(append([]byte("/**/"+fn+"("), body...), ");"...)
}

// refuseAPI answers what does not get as far as the API in its words.
func (s *Server) refuseAPI(w http.ResponseWriter, r *http.Request, e *xively.Error) {
	f := xively.JSON
	path := r.URL.EscapedPath()
	if strings.HasSuffix(path, ".xml") || strings.HasPrefix(path, "/v1") && !strings.HasSuffix(path, ".json") {
		f = xively.XML
	}
	send(w, r, gateway.Response{Status: e.Status, ContentType: f.ContentType(), Body: xively.AppendError(nil, f, e)})
}

func send(w http.ResponseWriter, r *http.Request, resp gateway.Response) {
	h := w.Header()
	if resp.ContentType != "" {
		h.Set("Content-Type", resp.ContentType)
	}
	if resp.Location != "" {
		h.Set("Location", resp.Location)
	}
	if resp.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "5")
	}
	h.Set("Content-Length", strconv.Itoa(len(resp.Body)))
	w.WriteHeader(resp.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(resp.Body)
	}
}

// requests answers with the last requests to the API, the newest first.
func (s *Server) requests(w http.ResponseWriter, r *http.Request, _ caller) {
	s.sendJSON(w, r, s.cfg.Requests())
}
