package feeds

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// activation is the answer to a device.
type activation struct {
	Key         string `json:"apikey"`
	Feed        uint64 `json:"feed_id"`
	Datastreams []string
}

// product makes a product of ann's with one device, and gives its path, its
// secret and the device's activation code.
func (r *rig) product(serial string) (path, secret, code string) {
	r.t.Helper()
	path = "/v2/products/" + r.made("master", "/v2/products", `{"product":{"name":"Weather","description":"Box","feed_defaults":
		{"title":"Station","description":"On a roof","tags":["sky","air"],"private":true,"datastreams":[{"id":"temp"},{"id":"a+b"}]}}}`)
	r.made("master", path+"/devices", `{"devices":[{"serial":"`+serial+`"}]}`)
	var doc struct {
		Product struct{ Secret string }
	}
	if err := json.Unmarshal([]byte(r.get(path)), &doc); err != nil {
		r.t.Fatal(err)
	}
	return path, doc.Product.Secret, r.code(path, serial)
}

func (r *rig) code(path, serial string) string {
	r.t.Helper()
	var doc struct {
		Device struct {
			Code string `json:"activation_code"`
		}
	}
	if err := json.Unmarshal([]byte(r.get(path+"/devices/"+serial)), &doc); err != nil {
		r.t.Fatal(err)
	}
	return doc.Device.Code
}

// activate gives what the device with key learns.
func (r *rig) activate(key, code string) (a activation) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.must(200, key, "GET", "/v2/devices/"+code+"/activate", "")), &a); err != nil {
		r.t.Fatal(err)
	}
	return a
}

func TestActivation(t *testing.T) {
	r := newRig(t)
	path, secret, code := r.product("ABC+1")
	if !regexp.MustCompile(`^/v2/products/[A-Za-z0-9_-]{20}$`).MatchString(path) || !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(secret) {
		t.Errorf("product %s, secret %s", path, secret)
	}
	raw, _ := hex.DecodeString(secret)
	mac := hmac.New(sha1.New, raw)
	mac.Write([]byte("ABC+1"))
	if want := hex.EncodeToString(mac.Sum(nil)); code != want {
		t.Fatalf("activation code %s, want %s", code, want)
	}
	target := "/v2/devices/" + code + "/activate"
	r.must(404, "", "GET", "/v2/devices/"+strings.Repeat("0", 40)+"/activate", "")
	r.must(406, "", "GET", target+".xml", "")
	r.must(405, "", "POST", target, "{}")

	first := r.activate("", code)
	if len(first.Key) != 48 || fmt.Sprint(first.Datastreams) != "[temp a+b]" {
		t.Errorf("learned %+v", first)
	}
	feed := fmt.Sprint("/v2/feeds/", first.Feed)
	doc := r.must(200, first.Key, "GET", feed, "")
	for _, want := range []string{`"title":"Station"`, `"private":"true"`, `"tags":["air","sky"]`, `"product_id":"` + strings.TrimPrefix(path, "/v2/products/") + `"`,
		`"device_serial":"ABC+1"`, `"description":"On a roof"`} {
		if !strings.Contains(doc, want) {
			t.Errorf("feed without %s: %s", want, doc)
		}
	}
	r.must(200, first.Key, "PUT", feed+".csv", "temp,21.50")
	r.must(403, first.Key, "DELETE", feed, "")
	r.must(403, first.Key, "GET", "/v2/feeds/504", "")
	if got := r.get(path); !strings.Contains(got, `"devices_count":1,"activated_devices_count":1`) {
		t.Errorf("product: %s", got)
	}

	// Again.
	r.must(403, "", "GET", target, "")
	r.must(401, "wrong", "GET", target, "")
	for _, key := range []string{"reader", "bobs", "feed504"} {
		r.must(403, key, "GET", target, "")
	}
	if again := r.activate(first.Key, code); again.Key != first.Key || again.Feed != first.Feed {
		t.Errorf("again, with the key: %+v, at first %+v", again, first)
	}
	if got, want := r.must(200, "", "GET", target+".csv?key="+first.Key, ""), fmt.Sprintf("%s,%d,2,temp,a+b", first.Key, first.Feed); got != want {
		t.Errorf("CSV: %s, want %s", got, want)
	}
	second := r.activate("master", code)
	if second.Key == first.Key || second.Feed != first.Feed {
		t.Errorf("by the master key: %+v, at first %+v", second, first)
	}
	r.must(401, first.Key, "GET", feed, "")
	r.must(200, second.Key, "GET", feed, "")

	r.api = r.open() // a restart
	if again := r.activate(second.Key, code); again.Feed != first.Feed {
		t.Errorf("after a restart: %+v", again)
	}
	r.must(200, "master", "DELETE", feed, "")
	r.must(403, second.Key, "GET", target, "")
	if third := r.activate("master", code); third.Feed == 0 || third.Key == second.Key {
		t.Errorf("after the feed was deleted: %+v", third)
	}
}

func TestActivationAnswersWhatIsStored(t *testing.T) {
	r := newRig(t)
	_, _, code := r.product("A")
	table := r.tables.Products.(*rigTable)
	keys, feeds := len(r.reg.Keys()), len(r.reg.Devices())
	table.fail = errors.New("no space left on device")
	for range 3 {
		if resp := r.ask("", "GET", "/v2/devices/"+code+"/activate", ""); resp.Status < 500 {
			t.Fatalf("answered %d without being stored: %s", resp.Status, resp.Body)
		}
	}
	if n := len(r.reg.Keys()); n != keys {
		t.Errorf("%d keys are left over", n-keys)
	}
	if n := len(r.reg.Devices()); n != feeds {
		t.Errorf("%d feeds are left over", n-feeds)
	}
	table.fail = nil
	a := r.activate("", code) // it was never activated
	table.fail = errors.New("no space left on device")
	if resp := r.ask("master", "GET", "/v2/devices/"+code+"/activate", ""); resp.Status < 500 {
		t.Fatalf("answered %d without being stored: %s", resp.Status, resp.Body)
	}
	if n := len(r.reg.Keys()); n != keys+1 {
		t.Errorf("%d keys for one device", n-keys)
	}
	if again := r.activate(a.Key, code); again.Key != a.Key { // nothing is to be stored for this
		t.Errorf("learned %+v", again)
	}
	if n := len(r.reg.Devices()); n != feeds+1 {
		t.Errorf("%d feeds for one device", n-feeds)
	}
}

func TestProducts(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		key, method, target, body string
		status                    int
	}{
		{"", "GET", "/v2/products", "", 401},
		{"reader", "GET", "/v2/products", "", 403},
		{"public", "POST", "/v2/products", `{"product":{"name":"P"}}`, 403},
		{"master", "POST", "/v2/products", `{"product":{"description":"P"}}`, 422},
		{"master", "POST", "/v2/products", `{"product":`, 400},
		{"master", "POST", "/v2/products.xml", `<product/>`, 406},
		{"master", "GET", "/v2/products/unknown", "", 404},
		{"master", "GET", "/v2/products?page=0", "", 400},
		{"master", "GET", "/v2/products?per_page=1001", "", 400},
	} {
		r.must(tt.status, tt.key, tt.method, tt.target, tt.body)
	}
	path, _, code := r.product("A-1")
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		r.must(404, "bobs", method, path, `{"product":{"name":"Mine"}}`)
		r.must(404, "bobs", method, path+"/devices/A-1", `{"serial":"B"}`)
	}
	r.must(404, "bobs", "POST", path+"/devices", `{"devices":[{"serial":"B"}]}`)
	if got := r.must(200, "bobs", "GET", "/v2/products", ""); got != `{"totalResults":0,"products":[]}` {
		t.Errorf("bob's: %s", got)
	}
	r.as(200, "root", "GET", path, "")
	r.must(422, "master", "PUT", path, `{"product":{"state":"deploy"}}`)
	r.must(422, "master", "PUT", path, `{"product":{"description":"another"}}`)
	r.must(200, "master", "PUT", path, `{"product":{"name":"Climate","description":"Box","state":"develop"}}`)
	if got := r.get(path); !strings.Contains(got, `"name":"Climate"`) || !strings.Contains(got, `"title":"Station"`) {
		t.Errorf("after a change: %s", got)
	}
	if got := r.get("/v2/products?per_page=1"); !strings.Contains(got, `"totalResults":1`) || !strings.Contains(got, "Climate") {
		t.Errorf("list: %s", got)
	}
	feed := r.activate("", code).Feed
	r.must(200, "master", "DELETE", path, "")
	r.must(404, "master", "GET", path, "")
	r.must(404, "", "GET", "/v2/devices/"+code+"/activate", "")
	r.get(fmt.Sprint("/v2/feeds/", feed)) // stays
	if n := len(r.tables.Products.(*rigTable).pairs); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func TestAFeedOfAProductIsPrivateUnlessItSaysSo(t *testing.T) {
	r := newRig(t)
	path := "/v2/products/" + r.made("master", "/v2/products", `{"product":{"name":"Plain"}}`)
	r.made("master", path+"/devices", `{"devices":[{"serial":"A"}]}`)
	a := r.activate("", r.code(path, "A"))
	if d, ok := r.reg.Feed(a.Feed); !ok || d.Grants.Public || d.Name != "Plain" || d.Grants.Owner != "ann" {
		t.Errorf("device %+v", d)
	}
}

func TestDevicesOfAProduct(t *testing.T) {
	r := newRig(t)
	path, _, code := r.product("A-1")
	at := path + "/devices"
	r.must(201, "master", "POST", at, `{"devices":[{"serial":"B-1"},{"serial":"B-2"},{"serial":"C:3,x"}]}`)
	r.must(422, "master", "POST", at, `{"devices":[{"serial":"D-1"},{"serial":"B-1"}]}`)
	r.must(422, "master", "POST", at, `{"devices":[{"serial":"D-1"},{"serial":"D-1"}]}`)
	r.must(422, "master", "POST", at, `{"devices":[{"serial":"no spaces"}]}`)
	r.must(404, "master", "GET", at+"/D-1", "")
	r.activate("", code)
	for query, want := range map[string]string{
		"":                         "4: A-1 B-1 B-2 C:3,x",
		"?serial=-1":               "2: A-1 B-1",
		"?activated=true":          "1: A-1",
		"?activated=false":         "3: B-1 B-2 C:3,x",
		"?activated=0&serial=B":    "2: B-1 B-2",
		"?per_page=3&page=2":       "4: C:3,x",
		"?per_page=3&page=3":       "4:",
		"?page=1000000":            "4:",
		"?serial=nothing%20at+all": "0:",
	} {
		var doc struct {
			Total   int `json:"totalResults"`
			Devices []struct{ Serial string }
		}
		if err := json.Unmarshal([]byte(r.get(at+query)), &doc); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%d:", doc.Total)
		for _, d := range doc.Devices {
			got += " " + d.Serial
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}

	old := r.code(path, "B-2")
	r.must(422, "master", "PUT", at+"/B-2", `{"device":{"serial":"B-1"}}`)
	r.must(200, "master", "PUT", at+"/B-2", `{"device":{"serial":"B-9"}}`)
	r.must(404, "master", "GET", at+"/B-2", "")
	r.must(404, "", "GET", "/v2/devices/"+old+"/activate", "")
	r.api = r.open() // a restart
	if r.code(path, "B-9") == old {
		t.Error("another serial has the same activation code")
	}
	r.activate("", r.code(path, "B-9"))
	r.must(200, "master", "DELETE", at+"/B-9", "")
	r.must(404, "master", "GET", at+"/B-9", "")
}

func TestProductsAreBounded(t *testing.T) {
	r := newRig(t)
	path, _, _ := r.product("A")
	for n := 1; n < maxProductDevices; {
		var b strings.Builder
		for i := 0; i < 1000 && n < maxProductDevices; i++ {
			fmt.Fprintf(&b, `,{"serial":"S%d"}`, n)
			n++
		}
		r.must(201, "master", "POST", path+"/devices", `{"devices":[`+b.String()[1:]+`]}`)
	}
	r.must(422, "master", "POST", path+"/devices", `{"devices":[{"serial":"one-more"}]}`)
	for range maxProducts - 1 {
		r.made("master", "/v2/products", `{"product":{"name":"P"}}`)
	}
	r.must(422, "master", "POST", "/v2/products", `{"product":{"name":"P"}}`)
}

func TestNobodyActivatesForAnAccountThatIsGone(t *testing.T) {
	r := newRig(t)
	if err := r.reg.PutUser(access.User{Name: "zoe"}); err != nil {
		t.Fatal(err)
	}
	k := key("zoes", true, perm(allMethods))
	k.Owner = "zoe"
	if err := r.reg.PutKey(k); err != nil {
		t.Fatal(err)
	}
	path := "/v2/products/" + r.made("zoes", "/v2/products", `{"product":{"name":"P"}}`)
	r.made("zoes", path+"/devices", `{"devices":[{"serial":"A"}]}`)
	p := r.api.accounts.products.byID[strings.TrimPrefix(path, "/v2/products/")]
	code := p.code("A")
	r.activate("", code)
	if err := r.reg.DeleteUser("zoe"); err != nil { // by another door than the API's
		t.Fatal(err)
	}
	r.as(403, "root", "GET", "/v2/devices/"+code+"/activate", "")
	r.as(201, "root", "POST", path+"/devices", `{"devices":[{"serial":"B"}]}`)
	resp := r.ask("", "GET", "/v2/devices/"+p.code("B")+"/activate", "")
	if resp.Status != 403 || !errors.Is(resp.Err, gateway.ErrDenied) {
		t.Errorf("%d %v", resp.Status, resp.Err)
	}
}

func TestOneOfManyActivatesADevice(t *testing.T) {
	r := newRig(t)
	_, _, code := r.product("A")
	feeds := len(r.reg.Devices())
	statuses := make(chan int, 8)
	var wg sync.WaitGroup
	for range cap(statuses) {
		wg.Go(func() { statuses <- r.ask("", "GET", "/v2/devices/"+code+"/activate", "").Status })
	}
	wg.Wait()
	good := 0
	for range cap(statuses) {
		switch status := <-statuses; status {
		case 200:
			good++
		case 403:
		default:
			t.Errorf("status %d", status)
		}
	}
	if n := len(r.reg.Devices()) - feeds; good != 1 || n != 1 {
		t.Errorf("activated %d times, %d feeds", good, n)
	}
}
