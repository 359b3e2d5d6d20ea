package feeds

import (
	"context"
	"errors"
	"strings"
	"testing"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// as makes a request over a connection that was opened as an account.
func (r *rig) as(status int, user, method, target, body string) string {
	r.t.Helper()
	resp := r.api.Serve(context.Background(), gateway.Request{Peer: gateway.Peer{Subject: access.Subject{User: user},
		Addr: "192.0.2.9:4000"}, Door: "http", Method: method, Path: target, Body: []byte(body)})
	if resp.Status != status {
		r.t.Fatalf("%s %s by %q: status %d, want %d: %s (%v)", method, target, user, resp.Status, status, resp.Body, resp.Err)
	}
	return string(resp.Body)
}

func TestUsers(t *testing.T) {
	r := newRig(t)
	roots := key("roots", true, perm(allMethods))
	roots.Owner = "root"
	if err := r.reg.PutKey(roots); err != nil {
		t.Fatal(err)
	}
	const zoe = `{"user":{"login":"zoe","password":"long enough","full_name":"Zoe Q","roles":["admin"]}}`
	for _, tt := range []struct {
		who, method, target, body string
		status                    int
	}{
		{"ann", "GET", "/v2/users", "", 403},
		{"ann", "POST", "/v2/users", zoe, 403},
		{"ann", "GET", "/v2/users/bob", "", 403},
		{"ann", "GET", "/v2/users/nobody", "", 403},
		{"ann", "GET", "/v2/users/ann", "", 200},
		{"ann", "DELETE", "/v2/users/ann", "", 403},
		{"", "GET", "/v2/users/ann", "", 401},
		{"root", "GET", "/v2/users.csv", "", 406},
		{"root", "POST", "/v2/users", `{"user":{"login":"zoe"}}`, 422},
		{"root", "POST", "/v2/users", `{"user":{"login":"zoe","password":"short"}}`, 422},
		{"root", "POST", "/v2/users", `{"user":{"login":"a/b","password":"long enough"}}`, 422},
		{"root", "POST", "/v2/users", `{"user":{"login":"ann","password":"long enough"}}`, 422},
		{"root", "POST", "/v2/users", zoe, 201},
		{"root", "POST", "/v2/users", zoe, 422},
		{"root", "PUT", "/v2/users/zoe", `{"user":{"login":"zed"}}`, 422},
		{"root", "PUT", "/v2/users/nobody", `{"user":{"about":"x"}}`, 404},
		{"zoe", "PUT", "/v2/users/zoe", `{"user":{"login":"zoe","about":"me"}}`, 200},
		{"zoe", "PUT", "/v2/users/ann", `{"user":{"about":"me"}}`, 403},
		{"ann", "PUT", "/v2/users/ann", `{"user":{"about":"me","email":"a@b.c"}}`, 200},
		{"ann", "PUT", "/v2/users/ann", `{"user":{"password":"another one"}}`, 403}, // the configuration has it
		{"root", "DELETE", "/v2/users/ann", "", 403},
		{"root", "DELETE", "/v2/users/root", "", 403},
	} {
		r.as(tt.status, tt.who, tt.method, tt.target, tt.body)
	}
	if got, want := r.as(200, "zoe", "GET", "/v2/users/zoe", ""), `{"user":{"login":"zoe","full_name":"Zoe Q"`; !strings.HasPrefix(got, want) ||
		!strings.Contains(got, `"about":"me"`) || !strings.Contains(got, `"roles":["default"]`) || strings.Contains(got, "api_key") {
		t.Errorf("zoe: %s", got)
	}
	if got := r.as(200, "root", "GET", "/v2/users.xml", ""); !strings.Contains(got, "<login>zoe</login>") || !strings.Contains(got, "<role>admin</role>") {
		t.Errorf("list: %s", got)
	}
	if u := r.api.shownUsers(access.User{Name: "ann"})[0]; u.Feeds != 2 || u.Datastreams != 3 || u.Email != "a@b.c" {
		t.Errorf("ann: %+v", u)
	}

	// Keys.
	r.must(200, "master", "GET", "/v2/users/ann", "")
	r.must(200, "master", "PUT", "/v2/users/ann", `{"user":{"about":"by key"}}`)
	r.must(403, "master", "PUT", "/v2/users/ann", `{"user":{"password":"long enough"}}`)
	r.must(200, "reader", "GET", "/v2/users/ann", "") // its owner
	r.must(403, "reader", "PUT", "/v2/users/ann", `{"user":{"about":"x"}}`)
	r.must(403, "reader", "GET", "/v2/users/bob", "")
	r.must(403, "public", "GET", "/v2/users/ann", "")  // sees nothing private
	r.must(403, "feed505", "GET", "/v2/users/ann", "") // is for one feed
	r.must(403, "master", "GET", "/v2/users", "")
	r.must(200, "roots", "GET", "/v2/users", "")
	r.must(200, "roots", "GET", "/v2/users/ann", "")
	r.must(403, "roots", "PUT", "/v2/users/ann", `{"user":{"about":"x"}}`)
	r.must(403, "roots", "POST", "/v2/users", strings.Replace(zoe, "zoe", "yan", 1))
	r.must(403, "roots", "DELETE", "/v2/users/zoe", "")

	// A restart, then a successor who has nothing of the former zoe's.
	r.api = r.open()
	if got := r.as(200, "root", "GET", "/v2/users/zoe", ""); !strings.Contains(got, `"about":"me"`) {
		t.Errorf("after a restart: %s", got)
	}
	for _, u := range r.reg.Users() {
		if u.Name == "zoe" && (u.Admin || access.CheckHash(u.PasswordHash) != nil) {
			t.Errorf("account %+v", u)
		}
	}
	before := r.api.accounts.profile("zoe")
	r.as(200, "zoe", "PUT", "/v2/users/zoe", `{"user":{"password":"another one"}}`)
	if r.api.accounts.profile("zoe") != before {
		t.Error("a new password changes the profile")
	}
	k := key("zoes", true, perm(allMethods))
	k.Owner = "zoe"
	if err := r.reg.PutKey(k); err != nil {
		t.Fatal(err)
	}
	r.must(201, "zoes", "POST", "/v2/products", `{"product":{"name":"P"}}`)
	r.as(200, "root", "DELETE", "/v2/users/zoe", "")
	if _, ok := r.reg.Key("id-zoes"); ok {
		t.Error("a key outlives its account")
	}
	r.as(404, "root", "GET", "/v2/users/zoe", "")
	r.as(201, "root", "POST", "/v2/users", `{"user":{"login":"zoe","password":"long enough"}}`)
	if got := r.as(200, "zoe", "GET", "/v2/users/zoe", ""); strings.Contains(got, "me") && strings.Contains(got, `"about":"me"`) {
		t.Errorf("a successor: %s", got)
	}
	if err := r.reg.PutKey(k); err != nil {
		t.Fatal(err)
	}
	r.must(201, "zoes", "POST", "/v2/products", `{"product":{"name":"P"}}`)
	if err := r.reg.DeleteUser("zoe"); err != nil { // by another door
		t.Fatal(err)
	}
	r.as(201, "root", "POST", "/v2/users", `{"user":{"login":"zoe","password":"long enough"}}`)
	r.must(401, "zoes", "GET", "/v2/users/zoe", "")
	if got := r.as(200, "zoe", "GET", "/v2/products", ""); !strings.Contains(got, `"totalResults":0`) {
		t.Errorf("products of a successor: %s", got)
	}
}

func TestHashingOfAPasswordEndsWithItsRequest(t *testing.T) {
	r := newRig(t)
	r.api.accounts.hashing <- struct{}{} // somebody else's goes on
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.api.hash(&call{ctx: ctx}, "long enough"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
