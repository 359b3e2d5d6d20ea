package web

import (
	"encoding/json"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"fieldgate/gateway"
)

func TestHealth(t *testing.T) {
	var problems []string
	b := newBench(t, func(c *Config, _ *gateway.Declared) { c.Health = func() []string { return problems } })
	asJSON := []string{"Accept", "application/json"}
	b.want(b.ask("", "GET /healthz", ""), 200, "ok")
	b.want(b.ask("", "GET /healthz", "", asJSON...), 200, `{"ok":true,"problems":[]}`)
	problems = []string{"store: no space left", "uplink cloud: offline"}
	b.want(b.ask("", "GET /healthz", ""), 503, "store: no space left\nuplink cloud: offline")
	w := b.ask("", "GET /healthz", "", asJSON...)
	b.want(w, 503, `{"ok":false,"problems":["store: no space left","uplink cloud: offline"]}`)
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Error(got)
	}
}

func TestStatus(t *testing.T) {
	b := newBench(t, func(c *Config, _ *gateway.Declared) {
		c.Status = func() any { return map[string]any{"state": "online", "session": 7} }
	})
	b.want(b.ask("", "GET /status", ""), 200, `{"session":7,"state":"online"}`)
}

func TestMetrics(t *testing.T) {
	readings := func(e *Exposition) { e.Counter("fieldgate_readings_total", "Readings.", 3) }
	with := func(open bool) *bench {
		return newBench(t, func(c *Config, _ *gateway.Declared) { c.Metrics, c.OpenMetrics = readings, open })
	}
	from := func(b *bench, remote, host, user string, headers ...string) int {
		r := request(t, user, "GET /metrics", "", headers...)
		r.RemoteAddr, r.Host = remote, host
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if shown := strings.Contains(w.Body.String(), "fieldgate_readings_total 3"); shown != (w.Code == 200) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		return w.Code
	}
	b := with(false)
	for _, c := range []struct {
		remote, host, user string
		headers            []string
		want               int
	}{
		{"127.0.0.1:5", "127.0.0.1:8080", "", nil, 200},
		{"127.0.0.1:5", "localhost:8080", "", nil, 200},
		{"[::1]:5", "[::1]:8080", "", nil, 200},
		{"[::ffff:127.0.0.1]:5", "localhost", "", nil, 200},
		{"127.0.0.1:5", "evil.example", "", nil, 401}, // a name that resolves to this machine
		{"127.0.0.1:5", "localhost", "", []string{"X-Forwarded-For", "192.0.2.1"}, 401},
		{"127.0.0.1:5", "localhost", "", []string{"Forwarded", "for=192.0.2.1"}, 401},
		{"192.0.2.1:5", "localhost", "", nil, 401},
		{"192.0.2.1:5", "192.0.2.9", "ann", nil, 403},
		{"192.0.2.1:5", "192.0.2.9", "root", nil, 200},
	} {
		if got := from(b, c.remote, c.host, c.user, c.headers...); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	if got := from(with(true), "192.0.2.1:5", "192.0.2.9", ""); got != 200 {
		t.Errorf("open metrics: %d", got)
	}
	b.want(newBench(t, nil).ask("root", "GET /metrics", ""), 404, "*")
}

func TestPage(t *testing.T) {
	b := newBench(t, func(c *Config, _ *gateway.Declared) {
		c.Health = func() []string { return []string{"store: <i>full</i>"} }
		c.Trouble = func() map[string]string {
			return map[string]string{"Open/sensors/S1": "Open does not answer: <i>0xff</i>", "Ann/sensors/S1": "Ann does not answer"}
		}
	})
	b.want(b.ask("ann", "POST /devices", `{"id":"<script>alert(1)</script>x"}`), 400, "*") // no '/' in ids
	b.want(b.ask("ann", "POST /devices", `{"id":"<script>","name":"\"><img src=x>","sensors":[{"id":"'\"","name":"javascript:x","unit":"<u>"}]}`), 200, "*")
	b.want(b.ask("", "POST /devices/Open/sensors/S1/value", `"<img src=x onerror=alert(1)>"`), 200, "")
	b.want(b.ask("ann", "POST /devices/Ann/sensors/S1/value", `"`+strings.Repeat("ü", 500)+`"`), 200, "")

	w := b.ask("", "GET /", "")
	page := w.Body.String()
	if w.Code != 200 || !strings.Contains(page, "gw-1") || !strings.Contains(page, "Open does not answer") || strings.Contains(page, "Ann") {
		t.Errorf("%d\n%s", w.Code, page)
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Error(csp)
	}
	w = b.ask("ann", "GET /", "")
	page = w.Body.String()
	if !strings.Contains(page, "Ann does not answer") || !strings.Contains(page, "Logged in as ann") || strings.Contains(page, strings.Repeat("ü", 100)) {
		t.Errorf("%s", page)
	}
	for _, bad := range []string{"<script", "<img", "<u>", "<i>", `href="javascript`, "//", "http:"} {
		if strings.Contains(strings.ReplaceAll(page, "<!doctype html>", ""), bad) {
			t.Errorf("the page has %s:\n%s", bad, page)
		}
	}
	for _, ref := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(ref[1], "/") {
			t.Errorf("the page refers to %s", ref[1])
		}
	}
	w = b.ask("", "GET /style.css", "")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/css") || strings.Contains(w.Body.String(), "url(") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	b.want(b.ask("", "GET /nothing", ""), 404, "*")
}

func TestLoginPage(t *testing.T) {
	b := newBench(t, nil)
	w := b.ask("", "GET /login", "")
	b.want(w, 401, "*")
	if w.Header().Get("WWW-Authenticate") == "" {
		t.Error("no browser would ask")
	}
	w = b.ask("ann", "GET /login", "")
	if w.Code != 303 || w.Header().Get("Location") != "/" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestHeaders(t *testing.T) {
	b := newBench(t, nil)
	for _, path := range []string{"/", "/devices", "/healthz", "/nothing", "/devices/None"} {
		h := b.ask("", "GET "+path, "").Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") == "" || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") == "" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// Whatever the path and the body, the answer is one of the promised kind.
func FuzzRequests(f *testing.F) {
	for path, body := range map[string]string{
		"/devices/Open/sensors/S1/value": "1", "/devices": `{"id":"x"}`, "/devices/Open/sensors/S1/values?from=x": "[1]", "/devices/Open/meta": `{"a":null}`,
		"/devices?select=a.b,,.&meta=x&limit=3": "", "/admin/users/x": `{"admin":true}`, "/devices/%2F/sensors/%00/value": "1", "/admin/keys": `{}`,
	} {
		f.Add(uint8(0), path, body)
		f.Add(uint8(1), path, body)
	}
	f.Fuzz(func(t *testing.T, method uint8, path, body string) {
		r := httptest.NewRequest([]string{"GET", "POST", "PUT", "DELETE"}[method%4], "/", strings.NewReader(body))
		u, err := r.URL.Parse(path)
		if err != nil || !strings.HasPrefix(u.Path, "/") {
			return
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		r.SetBasicAuth("root", "rootroot")
		b := newBench(t, nil)
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if w.Code >= 500 || b.Stats().Panics != 0 {
			t.Fatalf("%s %s: %d %s\n%s", r.Method, path, w.Code, w.Body, b.logged)
		}
		if w.Header().Get("Content-Type") == "application/json" && w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %s: %s", r.Method, path, w.Body)
		}
	})
}
