package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// fakeAPI answers with reply, without a key or a subject with 401.
type fakeAPI struct {
	mu       sync.Mutex
	calls    []gateway.Request
	deadline time.Duration // of the last call
	reply    gateway.Response
	boom     bool
}

func (a *fakeAPI) Serve(ctx context.Context, r gateway.Request) gateway.Response {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, r)
	if at, ok := ctx.Deadline(); ok {
		a.deadline = time.Until(at)
	}
	switch {
	case a.boom:
		panic("boom")
	case len(r.Body) > 512<<10:
		return gateway.Response{Status: 413, ContentType: "application/json; charset=utf-8", Body: []byte(`{"title":"Request Entity Too Large"}`)}
	case r.Key == "" && r.Subject.Anonymous() && !strings.Contains(r.Query, "key="):
		return gateway.Response{Status: 401, ContentType: "application/json; charset=utf-8", Body: []byte(`{"title":"Unauthorized"}`)}
	}
	return a.reply
}

func (a *fakeAPI) last() gateway.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) == 0 {
		return gateway.Request{}
	}
	return a.calls[len(a.calls)-1]
}

func (a *fakeAPI) asked() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.calls)
}

const jsonType = "application/json; charset=utf-8"

func apiBench(t *testing.T) (*bench, *fakeAPI) {
	a := &fakeAPI{reply: gateway.Response{Status: 200, ContentType: jsonType, Body: []byte(`{"id":504}`)}}
	return newBench(t, func(c *Config, _ *gateway.Declared) { c.API = a }), a
}

func TestAPIRequest(t *testing.T) {
	b, a := apiBench(t)
	ann := access.Subject{User: "ann"}
	for _, tc := range []struct {
		user, line, body string
		headers          []string
		want             gateway.Request
	}{
		{"", "GET /v2/feeds/504.json?duration=6hours&key=K", "", nil,
			gateway.Request{Method: "GET", Path: "/v2/feeds/504.json", Query: "duration=6hours&key=K"}},
		{"", "PUT /v2/feeds/504.csv", "0,29", []string{"X-ApiKey", " K ", "Content-Type", "text/csv", "Accept", "a/b", "Referer", "http://x/y"},
			gateway.Request{Method: "PUT", Path: "/v2/feeds/504.csv", Key: "K", ContentType: "text/csv", Accept: "a/b", Referer: "http://x/y", Body: []byte("0,29")}},
		{"", "POST /v1/feeds", "<eeml/>", []string{"X-PachubeApiKey", "K", "Origin", "http://x"},
			gateway.Request{Method: "POST", Path: "/v1/feeds", Key: "K", Referer: "http://x", Body: []byte("<eeml/>")}},
		{"", "DELETE /v2/keys/abc", "", []string{"X-CosmApiKey", "K"}, gateway.Request{Method: "DELETE", Path: "/v2/keys/abc", Key: "K"}},
		{"", "GET /v2", "", []string{"Authorization", "bearer K"}, gateway.Request{Method: "GET", Path: "/v2", Key: "K"}},
		{"", "GET /v2/feeds/1/datastreams/a%2Fb%2B//c/../d.json", "", []string{"X-ApiKey", "K"},
			gateway.Request{Method: "GET", Path: "/v2/feeds/1/datastreams/a%2Fb%2B//c/../d.json", Key: "K"}},
		{"", "HEAD /v2/feeds/1", "", []string{"X-ApiKey", "K"}, gateway.Request{Method: "GET", Path: "/v2/feeds/1", Key: "K"}},
		{"", "PATCH /v2/feeds/1", "x", []string{"X-ApiKey", "K"}, gateway.Request{Method: "PATCH", Path: "/v2/feeds/1", Key: "K", Body: []byte("x")}},
		{"ann", "GET /v2/feeds", "", nil, gateway.Request{Peer: gateway.Peer{Subject: ann}, Method: "GET", Path: "/v2/feeds"}},
		{"ann", "GET /v2/feeds", "", []string{"X-ApiKey", "K"}, gateway.Request{Method: "GET", Path: "/v2/feeds", Key: "K"}}, // the key wins
	} {
		w := b.ask(tc.user, tc.line, tc.body, tc.headers...)
		got := a.last()
		tc.want.Door, tc.want.Wait, tc.want.Addr = "http", true, "192.0.2.1:1234"
		tc.want.Source = "http 192.0.2.1:1234"
		tc.want.Base = "http://example.com"
		if tc.want.Subject.User != "" {
			tc.want.Source += " user:ann"
		}
		if len(got.Body) == 0 {
			got.Body = nil
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tc.line, got, tc.want)
		}
		body := `{"id":504}`
		if strings.HasPrefix(tc.line, "HEAD") {
			body = ""
		}
		b.want(w, 200, body)
		if h := w.Header(); h.Get("Content-Type") != jsonType || h.Get("Content-Length") != "10" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", tc.line, h)
		}
	}
	if a.deadline <= 0 || a.deadline > 20*time.Second {
		t.Errorf("deadline in %v", a.deadline)
	}
}

func TestAPIAnswer(t *testing.T) {
	b, a := apiBench(t)
	a.reply = gateway.Response{Status: 201, ContentType: jsonType, Location: "http://gw/v2/feeds/7", Body: []byte(" ")}
	w := b.ask("", "POST /v2/feeds", "{}", "X-ApiKey", "K")
	if w.Code != 201 || w.Body.String() != " " || w.Header().Get("Location") != "http://gw/v2/feeds/7" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
	a.reply = gateway.Response{Status: 404, ContentType: jsonType, Body: []byte(`{"title":"Not found"}`), Err: gateway.ErrUnknownDevice}
	b.want(b.ask("", "GET /v2/feeds/9", "", "X-ApiKey", "K"), 404, `{"title":"Not found"}`)
	a.boom = true
	b.want(b.ask("", "GET /v2/keys/SECRET", "", "X-ApiKey", "K"), 500, "internal error")
	if log := b.logged.String(); strings.Contains(log, "SECRET") || !strings.Contains(log, "/v2/keys/***") {
		t.Errorf("log: %.300s", log)
	}
}

// Nothing is under a version without an API, and it has nothing beside. Which
// versions there are is for it to say.
func TestAPIPaths(t *testing.T) {
	b, a := apiBench(t)
	for _, path := range []string{"/v2x/feeds", "/v222", "/v%32/feeds", "/x/v2/feeds", "/"} {
		b.ask("", "GET "+path, "", "X-ApiKey", "K")
	}
	if a.asked() != 0 {
		t.Errorf("asked for %s", a.last().Path)
	}
	for _, path := range []string{"/v3/feeds", "/v22"} {
		if b.ask("", "GET "+path, "", "X-ApiKey", "K"); a.last().Path != path {
			t.Errorf("not asked for %s", path)
		}
	}
	none := newBench(t, nil)
	none.want(none.ask("root", "GET /v2/feeds", ""), 404, "404 page not found")
	none.want(none.ask("root", "GET /requests", ""), 404, "404 page not found")
}

// Two slashes in front are answered by the API, not with a redirect.
func TestAPISlashes(t *testing.T) {
	b, a := apiBench(t)
	a.reply = gateway.Response{Status: 404, ContentType: jsonType, Body: []byte(`{"title":"Not found"}`)}
	for _, path := range []string{"//v2/feeds/504.csv", "//v1/feeds/504.xml", "//v2"} {
		r := request(t, "", "GET /", "", "X-ApiKey", "K")
		r.URL.Path = path
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		b.want(w, 404, `{"title":"Not found"}`)
		if got := a.last().Path; got != path {
			t.Errorf("%s: the API was asked for %s", path, got)
		}
	}
}

func TestAPIBase(t *testing.T) {
	b, a := apiBench(t)
	for host, want := range map[string]string{
		"gw": "http://gw", "gw-1.local:8080": "http://gw-1.local:8080", "192.0.2.1:80": "http://192.0.2.1:80", "[fe80::1]:8080": "http://[fe80::1]:8080", "[::1]": "http://[::1]",
		"": "", "a b": "", "a/b": "", "u@h": "", "h:": "", "h:x": "", "h:123456": "", "<x>": "", "h\"": "", "fe80::1": "", "h%41": "", "h\n": "", strings.Repeat("h", 254): "",
	} {
		for _, secure := range []bool{false, true} {
			r := request(t, "", "GET /v2/feeds", "", "X-ApiKey", "K")
			if r.Host = host; secure {
				r.TLS = &tls.ConnectionState{}
				want = strings.Replace(want, "http:", "https:", 1)
			}
			b.ServeHTTP(httptest.NewRecorder(), r)
			if got := a.last().Base; got != want {
				t.Errorf("%q: %q, want %q", host, got, want)
			}
		}
	}
}

func TestAPIPassword(t *testing.T) {
	b, a := apiBench(t)
	ask := func(user, password string, headers ...string) *httptest.ResponseRecorder {
		r := request(t, "", "GET /v2/feeds", "", headers...)
		r.SetBasicAuth(user, password)
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		return w
	}
	b.want(ask("ann", "annann"), 200, "*")
	for what, w := range map[string]*httptest.ResponseRecorder{"wrong": ask("ann", "x"), "unknown": ask("nobody", "x"), "empty": ask("ann", "")} {
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" || w.Body.String() != `{"title":"Unauthorized"}` || !a.last().Subject.Anonymous() {
			t.Errorf("%s: %d %s %v", what, w.Code, w.Body, w.Header())
		}
	}
	if w := b.ask("", "GET /v2/feeds", ""); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("nobody: %d %v", w.Code, w.Header())
	}
	if w := b.ask("", "GET /v2/feeds", "", "Authorization", "Digest x"); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("another scheme: %d %v", w.Code, w.Header())
	}
	// A key goes as a user name, too.
	if err := b.registry.PutKey(access.Key{ID: "k1", Hash: access.HashKey("THEKEY"), Owner: "ann"}); err != nil {
		t.Fatal(err)
	}
	b.want(ask("THEKEY", "x"), 200, "*")
	if got := a.last().Subject; got != (access.Subject{User: "ann", Key: "k1"}) {
		t.Errorf("subject %+v", got)
	}
	// While no password is checked the API's words say so, and a key still counts.
	for _, err := range []error{access.ErrThrottled, access.ErrBusy} {
		b.cfg.Registry = closedRegistry{b.registry, err}
		for path, status := range map[string]int{"/v2/feeds": 403, "/v1/feeds": 503} {
			asked := a.asked()
			w := b.ask("ann", "GET "+path, "")
			if w.Code != status || !strings.Contains(w.Body.String(), "Forbidden") || w.Header().Get("Retry-After") == "" || a.asked() != asked {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			b.want(b.ask("ann", "GET "+path, "", "X-ApiKey", "K"), 200, "*")
			b.want(b.ask("ann", "GET "+path+"?key=K", ""), 200, "*")
		}
	}
}

// closedRegistry lets nobody in.
type closedRegistry struct {
	*gateway.Registry
	err error
}

func (r closedRegistry) Login(context.Context, string, string, []byte, bool) (access.Subject, error) {
	return access.Subject{}, r.err
}

// A page of another site may use a key that it has, and nothing that the
// browser has.
func TestAPIFromOtherSites(t *testing.T) {
	b, a := apiBench(t)
	for _, tc := range []struct {
		user, line string
		headers    []string
		status     int
	}{
		{"", "PUT /v2/feeds/1", []string{"Origin", "http://other.example", "X-ApiKey", "K"}, 200},
		{"", "PUT /v2/feeds/1", []string{"Origin", "http://other.example", "Sec-Fetch-Site", "cross-site", "Authorization", "Bearer K"}, 200},
		{"", "PUT /v2/feeds/1?key=K", []string{"Origin", "null"}, 200},
		{"ann", "PUT /v2/feeds/1", []string{"Origin", "http://other.example", "X-ApiKey", "K"}, 200}, // by the key
		{"ann", "PUT /v2/feeds/1", []string{"Origin", "http://other.example"}, 401},
		{"ann", "POST /v2/feeds", []string{"Origin", "http://example.com.other.example"}, 401},
		{"ann", "DELETE /v1/feeds/1", []string{"Origin", "null"}, 401},
		{"ann", "DELETE /v1/feeds/1", []string{"Origin", "http://example.com:8080"}, 401},
		{"ann", "DELETE /v1/feeds/1", []string{"Origin", "nonsense"}, 401},
		{"ann", "GET /v2/feeds/1", []string{"Origin", "http://other.example"}, 401},
		{"ann", "GET /v2/feeds/1", []string{"Sec-Fetch-Site", "cross-site"}, 401},
		{"ann", "GET /v2/feeds/1", []string{"Sec-Fetch-Site", "same-site"}, 401},
		{"ann", "HEAD /v2/feeds/1", []string{"Origin", "http://other.example"}, 401},
		{"ann", "PUT /v2/feeds/1", []string{"Origin", "http://example.com"}, 200},
		{"ann", "PUT /v2/feeds/1", []string{"Origin", "http://example.com", "Sec-Fetch-Site", "same-origin"}, 200},
		{"ann", "GET /v2/feeds/1", []string{"Sec-Fetch-Site", "none"}, 200},
		{"ann", "PUT /v2/feeds/1", nil, 200},
	} {
		w := b.ask(tc.user, tc.line, "{}", tc.headers...)
		if w.Code != tc.status || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s %q: %d %v", tc.user, tc.line, tc.headers, w.Code, w.Header())
		}
		if tc.status == 401 && (w.Header().Get("WWW-Authenticate") != "" || !a.last().Subject.Anonymous()) {
			t.Errorf("%s %q: asks for a password", tc.line, tc.headers)
		}
	}
	// Everything else stays closed to other sites.
	if w := b.ask("ann", "POST /devices", "{}", "Origin", "http://other.example", "X-ApiKey", "K"); w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("POST /devices: %d %v", w.Code, w.Header())
	}
	for _, path := range []string{"/v2/feeds/1", "/v1/feeds/1.json"} {
		asked := a.asked()
		w := b.ask("", "OPTIONS "+path, "", "Origin", "http://other.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-apikey")
		h := w.Header()
		if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "PUT") ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "X-ApiKey") || a.asked() != asked {
			t.Errorf("OPTIONS %s: %d %v", path, w.Code, h)
		}
	}
	if w := b.ask("", "OPTIONS /devices", "", "Origin", "http://other.example"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("OPTIONS /devices: %v", w.Header())
	}
}

func TestJSONP(t *testing.T) {
	b, a := apiBench(t)
	w := b.ask("", "GET /v2/feeds/504.json?key=K&callback=jQuery.cb_1", "")
	if w.Code != 200 || w.Body.String() != `/**/jQuery.cb_1({"id":504});` || w.Header().Get("Content-Type") != "application/javascript; charset=utf-8" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	a.reply.Body = []byte("{\"a\":\"\u2028\u2029\"}")
	b.want(b.ask("", "GET /v2/feeds/504.json?key=K&callback=f", ""), 200, `/**/f({"a":"\u2028\u2029"});`)
	a.reply.Body = []byte(`{}`)
	for _, fn := range []string{"", "1a", "alert(1)//", "a%3Cb", strings.Repeat("a", 65), "a%0A", "a%22"} {
		asked := a.asked()
		if w := b.ask("", "GET /v2/feeds/504.json?key=K&callback="+fn, ""); w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"title":"Bad Request"`) || a.asked() != asked {
			t.Errorf("%q: %d %s", fn, w.Code, w.Body)
		}
	}
	// Any page can have a script fetched by a browser that knows a password.
	b.want(b.ask("ann", "GET /v2/feeds/504.json?callback=f", ""), 401, `{"title":"Unauthorized"}`)
	b.want(b.ask("", "PUT /v2/feeds/504.json?key=K&callback=f", "{}"), 200, "{}")
	b.want(b.ask("", "HEAD /v2/feeds/504.json?key=K&callback=f", ""), 200, "")
	a.reply.ContentType = "text/plain; charset=utf-8"
	b.want(b.ask("", "GET /v2/feeds/504.csv?key=K&callback=f", ""), 200, "{}")
	a.reply = gateway.Response{Status: 404, ContentType: jsonType, Body: []byte(`{}`)}
	b.want(b.ask("", "GET /v2/feeds/504.json?key=K&callback=f", ""), 404, "{}")
}

func TestAPIBodies(t *testing.T) {
	b, a := apiBench(t)
	most := strings.Repeat("x", 512<<10)
	b.want(b.ask("", "PUT /v2/feeds/1.csv", most, "X-ApiKey", "K"), 200, "*")
	if n := len(a.last().Body); n != 512<<10 {
		t.Errorf("%d bytes", n)
	}
	for _, more := range []string{"y", most + most} {
		w := b.ask("", "PUT /v2/feeds/1.csv", most+more, "X-ApiKey", "K")
		b.want(w, 413, `{"title":"Request Entity Too Large"}`)
		if n := len(a.last().Body); n != 512<<10+1 || w.Header().Get("Connection") != "close" {
			t.Errorf("%d bytes, %v", n, w.Header())
		}
	}
	w := b.ask("", "POST /v2/keys/K/regenerate", "", "X-ApiKey", "K")
	b.want(w, 200, "*") // with nothing to send, and no length
}

// What only a real connection shows.
func TestAPIOverTheWire(t *testing.T) {
	a := &fakeAPI{reply: gateway.Response{Status: 200, ContentType: jsonType, Body: []byte(`{}`)}}
	r := run(t, func(c *Config, _ *gateway.Declared) { c.API = a })
	talk := func(request string) (*http.Response, string) {
		t.Helper()
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	const head = "%s /v2/feeds/1.json HTTP/1.1\r\nHost: gw\r\nX-ApiKey: K\r\nConnection: close\r\n"
	for _, tc := range []struct {
		method, rest, body string
		status             int
	}{
		{"PUT", "\r\n", "", 411},
		{"POST", "\r\n", "", 411},
		{"DELETE", "\r\n", "", 200},
		{"GET", "\r\n", "", 200},
		{"POST", "Content-Length: 0\r\n\r\n", "", 200},
		{"PUT", "Content-Length: 2\r\n\r\n{}", "{}", 200},
		{"PUT", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}", 200},
	} {
		asked := a.asked()
		resp, text := talk(fmt.Sprintf(head, tc.method) + tc.rest)
		if resp.StatusCode != tc.status || tc.status == 411 && (!strings.HasPrefix(text, `{"title":"Length Required"`) || a.asked() != asked) {
			t.Errorf("%s %q: %d %s", tc.method, tc.rest, resp.StatusCode, text)
		}
		if tc.status == 200 && string(a.last().Body) != tc.body {
			t.Errorf("%s %q: body %q", tc.method, tc.rest, a.last().Body)
		}
	}
	// More than is wanted of a body is not read to its end.
	resp, _ := talk(fmt.Sprintf(head, "PUT") + "Content-Length: 1048576\r\n\r\n" + strings.Repeat("x", 512<<10+1))
	if resp.StatusCode != 413 || !resp.Close {
		t.Errorf("%d, closed %v", resp.StatusCode, resp.Close)
	}
	// The tools on the Unix socket are the gateway's own.
	if code, text := r.getUnix("/v2/feeds/1.json"); code != 200 || text != "{}" {
		t.Errorf("%d %s", code, text)
	}
	if got := a.last(); !got.Subject.System || got.Source != "http unix socket" || got.Addr != "" {
		t.Errorf("%+v", got.Peer)
	}
}

func TestRequestLog(t *testing.T) {
	b := newBench(t, func(c *Config, _ *gateway.Declared) {
		c.Requests = func() any { return []map[string]any{{"path": "/v2/feeds/1", "status": 200}} }
	})
	w := b.ask("root", "GET /requests", "")
	var list []map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil || w.Code != 200 || len(list) != 1 || list[0]["path"] != "/v2/feeds/1" {
		t.Errorf("%d %s %v", w.Code, w.Body, err)
	}
	b.want(b.ask("ann", "GET /requests", ""), 403, "*")
	b.want(b.ask("", "GET /requests", ""), 401, "*")
	b.want(b.ask("root", "POST /requests", ""), 405, "*")
}
