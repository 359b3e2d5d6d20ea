package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestPagesOfOtherSites: a page of another site can neither change anything with
// the password that the browser remembers, nor read or frame what the gateway
// shows, nor reach its broker. What the gateway shows loads nothing from
// elsewhere, and no cookie is set.
func TestPagesOfOtherSites(t *testing.T) {
	g, _ := startSecurity(t, "", "")
	ask := func(method, path, body string, headers ...string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.http+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("boss", "password")
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(raw)
	}
	foreign := [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}, {"Origin", "null"},
		{"Origin", "http://evil.example", "Content-Type", "text/plain"}}
	changes := [][3]string{{"POST", "/devices/Open/sensors/S/value", "1"}, {"DELETE", "/devices/Open", ""}, {"POST", "/devices", `{"id": "X"}`},
		{"PUT", "/admin/users/eve", `{"password": "a good password"}`}, {"POST", "/admin/keys", `{"owner": "ann"}`}, {"DELETE", "/admin/users/later", ""},
		{"PUT", "/v2/feeds/1.json", `{"title": "x"}`}, {"POST", "/v2/feeds.json", `{"title": "x"}`}}
	for _, from := range foreign {
		for _, c := range changes {
			if res, text := ask(c[0], c[1], c[2], from...); res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s from %v: %d %s", c[0], c[1], from, res.StatusCode, text)
			}
		}
		if from[0] != "Origin" {
			continue // a browser's WebSocket always says where it is from
		}
		if res, _ := ask("GET", "/mqtt", "", append([]string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13",
			"Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol", "mqtt"}, from...)...); res.StatusCode != http.StatusForbidden {
			t.Errorf("WebSocket from %v: %d", from, res.StatusCode)
		}
	}
	if res, text := ask("POST", "/devices/Open/sensors/S/value", "1"); res.StatusCode != http.StatusOK { // no browser
		t.Errorf("%d %s", res.StatusCode, text)
	}
	for _, path := range []string{"/", "/style.css", "/login", "/devices", "/status", "/healthz", "/metrics", "/admin/users", "/nothing", "/v2/feeds", "/v2/nothing"} {
		res, text := ask("GET", path, "", "Origin", "http://evil.example")
		h := res.Header
		switch {
		case !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'"), !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'"),
			h.Get("X-Content-Type-Options") != "nosniff", h.Get("Referrer-Policy") != "no-referrer", h.Get("Cache-Control") != "no-store":
			t.Errorf("%s: headers %v", path, h)
		case h.Get("Set-Cookie") != "":
			t.Errorf("%s sets a cookie: a session wants HttpOnly and SameSite, and a line in SECURITY.md", path)
		case h.Get("Access-Control-Allow-Credentials") != "":
			t.Errorf("%s may be read by other sites", path)
		case regexp.MustCompile(`(?i)(src|href|action)\s*=\s*["']?\s*(https?:)?//|url\(|@import`).MatchString(text):
			t.Errorf("%s loads from elsewhere:\n%s", path, text)
		}
	}
	stillThere(t, g)
}
