package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestAdminIsForAdministrators(t *testing.T) {
	b := newBench(t, nil)
	for _, line := range []string{
		"GET /admin/log/inspect", "GET /admin/log/verify", "GET /admin/log/export", "GET /admin/users", "GET /admin/users/ann",
		"PUT /admin/users/ann", "DELETE /admin/users/ann", "GET /admin/keys", "POST /admin/keys", "GET /admin/keys/k", "PUT /admin/keys/k",
		"DELETE /admin/keys/k", "GET /admin/devices", "GET /admin/devices/Open", "PUT /admin/devices/Open", "DELETE /admin/devices/Open",
		"POST /admin/devices/Open/share", "POST /admin/devices/Open/unshare", "POST /admin/devices/Open/owner", "POST /admin/devices/Open/visibility",
	} {
		b.want(b.ask("", line, "{}"), 401, "*")
		b.want(b.ask("ann", line, "{}"), 403, "*")
		if w := b.ask("root", line, "{}"); w.Code == 401 || w.Code == 403 || w.Code == 405 {
			t.Errorf("%s as an administrator: %d %s", line, w.Code, w.Body)
		}
	}
}

func TestAdminUsers(t *testing.T) {
	b := newBench(t, nil)
	b.want(b.ask("root", "GET /admin/users", ""), 200,
		`[{"name":"ann","admin":false,"password":true},{"name":"bob","admin":false,"password":true},{"name":"root","admin":true,"password":true}]`)
	b.want(b.ask("root", "GET /admin/users/ann", ""), 200, `{"name":"ann","admin":false,"password":true}`)
	b.want(b.ask("root", "GET /admin/users/carl", ""), 404, "*")
	b.want(b.ask("root", "PUT /admin/users/carl", `{}`), 204, "")
	b.want(b.ask("root", "GET /admin/users/carl", ""), 200, `{"name":"carl","admin":false,"password":false}`)
	login := func(password string, want int) {
		t.Helper()
		r := request(t, "", "GET /devices", "")
		r.SetBasicAuth("carl", password)
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		b.want(w, want, "*")
	}
	login("carl carl", 401)
	b.want(b.ask("root", "PUT /admin/users/carl", `{"password":"carl carl"}`), 204, "")
	login("carl carl", 200)
	b.want(b.ask("root", "PUT /admin/users/carl", `{"admin":true}`), 204, "")
	login("carl carl", 200) // what is absent stays
	b.want(b.ask("root", "GET /admin/users/carl", ""), 200, `{"name":"carl","admin":true,"password":true}`)
	b.want(b.ask("root", "PUT /admin/users/carl", `{"password_hash":"`+benchHashes["ann"]+`","admin":false}`), 204, "")
	login("carl carl", 401)
	login("annann", 200)
	b.want(b.ask("root", "PUT /admin/users/carl", `{"password_hash":""}`), 204, "")
	login("annann", 401)
	for body, want := range map[string]int{
		`{"password":""}`: 400, `{"password":"long enough","password_hash":""}`: 400, `{"password_hash":"secret"}`: 400,
		`{"password_hash":"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"}`: 400,
		`{}` + strings.Repeat(" ", 2<<20): 413,
		`{"pasword":"long enough"}`:       400, `{} {}`: 400, ``: 400, `[]`: 400,
	} {
		b.want(b.ask("root", "PUT /admin/users/carl", body), want, "*")
	}
	for _, name := range []string{"*", "anonymous", "a:b", "%00"} {
		b.want(b.ask("root", "PUT /admin/users/"+name, `{}`), 400, "*")
	}
	b.want(b.ask("root", "PUT /admin/users/ann", `{"admin":true}`), 409, "*") // the configuration's
	b.want(b.ask("root", "DELETE /admin/users/ann", ``), 409, "*")
	b.want(b.ask("root", "DELETE /admin/users/carl", ``), 204, "")
	b.want(b.ask("root", "DELETE /admin/users/carl", ``), 404, "*")
	if strings.Contains(b.logged.String(), "carl carl") || strings.Contains(b.logged.String(), "argon2") {
		t.Errorf("secrets in the log: %s", b.logged)
	}
}

func TestAdminKeys(t *testing.T) {
	b := newBench(t, nil)
	w := b.ask("root", "POST /admin/keys", `{"label":"field node","owner":"ann","expires_at":"2030-01-01T00:00:00Z","permissions":[{"methods":["get","put"],"resources":[{"feed":504}]}]}`)
	b.want(w, 200, "*")
	var made KeyForm
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || len(made.Key) < 32 || made.ID == "" {
		t.Fatalf("%s, %v", w.Body, err)
	}
	keys := b.registry.Keys()
	if len(keys) != 1 || keys[0].Hash != access.HashKey(made.Key) || keys[0].Owner != "ann" || !keys[0].ExpiresAt.Equal(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v", keys)
	}
	for _, path := range []string{"", "/" + made.ID} {
		w := b.ask("root", "GET /admin/keys"+path, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), "field node") || strings.Contains(w.Body.String(), made.Key) || strings.Contains(w.Body.String(), keys[0].Hash) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	b.want(b.ask("root", "PUT /admin/keys/"+made.ID, `{"label":"other","owner":"bob"}`), 204, "")
	if k := b.registry.Keys()[0]; k.Hash != keys[0].Hash || k.Label != "other" || k.Owner != "bob" {
		t.Errorf("%+v", k)
	}
	b.want(b.ask("root", "PUT /admin/keys/mine", `{"label":"x"}`), 404, "*")
	b.want(b.ask("root", "PUT /admin/keys/mine", `{"key":"0123456789abcdef"}`), 404, "*") // nobody's
	b.want(b.ask("root", "PUT /admin/keys/mine", `{"key":"0123456789abcdef","owner":"ann"}`), 204, "")
	b.want(b.ask("root", "GET /admin/keys/mine", ``), 200, `{"id":"mine","owner":"ann"}`)
	for _, body := range []string{`{"key":"short"}`, `{"id":"x","key":"0123456789abcdef"}`, `{"hash":"x"}`, `{"permissions":[{"methods":["steal"]}]}`} {
		b.want(b.ask("root", "PUT /admin/keys/mine", body), 400, "*")
	}
	b.want(b.ask("root", "POST /admin/keys", `{"owner":"nobody"}`), 404, "*")
	b.want(b.ask("root", "POST /admin/keys", `{"id":"x"}`), 400, "*")
	b.want(b.ask("root", "PUT /admin/keys/a%2Fb", `{"key":"0123456789abcdef"}`), 400, "*")
	b.want(b.ask("root", "DELETE /admin/keys/mine", ""), 204, "")
	b.want(b.ask("root", "GET /admin/keys/mine", ""), 404, "*")
	if strings.Contains(b.logged.String(), made.Key) {
		t.Errorf("a key in the log: %s", b.logged)
	}
}

func TestAdminDevices(t *testing.T) {
	b := newBench(t, nil)
	can := func(user string, want bool) {
		t.Helper()
		if got := b.registry.Can(access.Subject{User: user}, access.View, "Made"); got != want {
			t.Errorf("%q may see it: %v", user, got)
		}
	}
	b.want(b.ask("root", "PUT /admin/devices/Made", `{"name":"n","feed":504,"grants":{"owner":"ann"},"sensors":[{"id":"S"}]}`), 204, "")
	can("ann", true)
	can("bob", false)
	if recs := b.log.all(); len(recs) != 1 || recs[0].Kind != gateway.KindChange || recs[0].Topic != "devices" {
		t.Errorf("a new device is not told: %+v", recs)
	}
	b.want(b.ask("root", "PUT /admin/devices/Made", `{"id":"Made","name":"m","grants":{"owner":"ann"},"sensors":[{"id":"S"}]}`), 204, "")
	if d, _ := b.registry.Device("Made"); d.Feed != 504 || d.Name != "m" {
		t.Errorf("%+v", d)
	}
	b.want(b.ask("root", "POST /admin/devices/Made/share", `{"user":"bob","can":["view"]}`), 204, "")
	can("bob", true)
	b.want(b.ask("root", "POST /admin/devices/Made/share", `{"user":"bob","can":["publish"]}`), 204, "")
	can("bob", false) // instead of, not besides
	b.want(b.ask("root", "POST /admin/devices/Made/share", `{"user":"bob","can":["manage"]}`), 204, "")
	b.want(b.ask("root", "GET /admin/devices/Made", ""), 200, "*")
	can("bob", true)
	b.want(b.ask("root", "POST /admin/devices/Made/unshare", `{"user":"bob"}`), 204, "")
	can("bob", false)
	b.want(b.ask("root", "POST /admin/devices/Made/unshare", `{"user":"bob"}`), 404, "*")
	b.want(b.ask("root", "POST /admin/devices/Made/owner", `{"owner":"bob"}`), 204, "")
	can("bob", true)
	can("ann", false)
	b.want(b.ask("root", "POST /admin/devices/Made/visibility", `{"visibility":"public","public_write":true}`), 204, "")
	can("", true)
	b.want(b.ask("root", "POST /admin/devices/Made/visibility", `{"visibility":"private"}`), 204, "")
	can("", false)
	if d, _ := b.registry.Device("Made"); !d.Grants.PublicWrite || d.Grants.Owner != "bob" {
		t.Errorf("%+v", d.Grants)
	}
	for line, body := range map[string]string{
		"POST /admin/devices/Made/share":      `{"user":"bob"}`,
		"POST /admin/devices/Made/visibility": `{"visibility":"secret"}`,
		"PUT /admin/devices/Made":             `{"id":"Other"}`,
		"PUT /admin/devices/New":              `{"meta":[1]}`,
		"PUT /admin/devices/a%2Fb":            `{}`,
	} {
		b.want(b.ask("root", line, body), 400, "*")
	}
	b.want(b.ask("root", "POST /admin/devices/Made/share", `{"user":"bob","can":["steal"]}`), 400, "*")
	b.want(b.ask("root", "POST /admin/devices/Made/share", `{"user":"nobody","can":["view"]}`), 404, "*")
	b.want(b.ask("root", "POST /admin/devices/Made/owner", `{"owner":"nobody"}`), 404, "*")
	b.want(b.ask("root", "POST /admin/devices/None/owner", `{"owner":"bob"}`), 404, "*")
	b.want(b.ask("root", "GET /admin/devices/None", ``), 404, "*")
	b.want(b.ask("root", "POST /admin/devices/Open/visibility", `{"visibility":"private"}`), 409, "*") // the configuration's
	b.want(b.ask("root", "DELETE /admin/devices/Made", ""), 200, "")
	can("bob", false)
	var list []gateway.Device
	if w := b.ask("root", "GET /admin/devices", ""); json.Unmarshal(w.Body.Bytes(), &list) != nil || len(list) != 3 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAdminLog(t *testing.T) {
	b := newBench(t, nil)
	b.want(b.ask("root", "GET /admin/log/inspect", ""), 200, `{"records":7}`)
	b.want(b.ask("root", "GET /admin/log/verify", ""), 200, `{"ok":true}`)
	b.exports.before = "a,b\n"
	w := b.ask("root", "GET /admin/log/export?format=jsonl&from=2026-01-02T03:04:05Z&to=2026-01-03T03:04:05Z&device=D&sensor=S", "")
	b.want(w, 200, "a,b")
	want := ExportQuery{"jsonl", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC), "D", "S"}
	if b.exports.asked != want || w.Header().Get("Content-Type") != "application/jsonl" {
		t.Errorf("%+v, %v", b.exports.asked, w.Header())
	}
	w = b.ask("root", "GET /admin/log/export", "")
	if b.exports.asked != (ExportQuery{Format: "csv"}) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
		t.Errorf("%+v, %v", b.exports.asked, w.Header())
	}
	b.want(b.ask("root", "GET /admin/log/export?format=xml", ""), 400, "*")
	b.want(b.ask("root", "GET /admin/log/export?from=x", ""), 400, "*")

	// Broken off: before the first byte it is an error, afterwards it is cut.
	b.exports.err = errDisk
	b.exports.before = ""
	w = b.ask("root", "GET /admin/log/export", "")
	if w.Code != 500 || w.Header().Get("Content-Disposition") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	b.exports.before = "a,b\n"
	func() {
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("an export that broke off ended well: %v", err)
			}
		}()
		b.ask("root", "GET /admin/log/export", "")
	}()
}
