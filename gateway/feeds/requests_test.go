package feeds

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestTheLastRequestsAreKept(t *testing.T) {
	r := newRig(t)
	for i := range requestsKept + 5 {
		r.ask("master", "GET", fmt.Sprintf("/v2/feeds/%d", i+1), "")
	}
	all := r.api.Requests()
	if len(all) != requestsKept || all[0].Path != fmt.Sprintf("/v2/feeds/%d", requestsKept+5) || all[requestsKept-1].Path != "/v2/feeds/6" {
		t.Errorf("%d requests from %s to %s", len(all), all[0].Path, all[len(all)-1].Path)
	}
}

func TestARequestIsDescribed(t *testing.T) {
	r := newRig(t)
	r.clock.Advance(time.Minute)
	err := r.publish(gateway.Peer{Client: "c1", Addr: "192.0.2.4:99", Source: "mqtt c1"}, "reader/v2/feeds/504.csv", "0,1", 1)
	if err == nil {
		t.Fatal("a key without put writes")
	}
	got := r.last()
	if got.Error == "" {
		t.Error("no reason")
	}
	got.Error = ""
	want := Entry{Time: rigStart.Add(time.Minute), Door: "mqtt", Client: "c1", Addr: "192.0.2.4:99", Key: "reader", User: "ann",
		Method: "PUT", Path: "/v2/feeds/504.csv", Status: 403, Payload: "0,1", Bytes: 3}
	if got != want {
		t.Errorf("\n%+v\nwant\n%+v", got, want)
	}
}

// No key and no password may be in the request log, wherever it was put.
func TestTheRequestLogHoldsNoSecrets(t *testing.T) {
	const secret = "s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t-s3cr3t"
	declare := func(d *gateway.Declared) {
		k := key("label", true, perm(allMethods))
		k.Hash = access.HashKey(secret)
		d.Keys = append(d.Keys, k)
	}
	for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
		for _, key := range []string{"", secret} {
			for _, target := range []string{
				"/v2/keys/" + secret, "/v2/keys/" + secret + ".xml", "/v2/keys/" + secret + "/regenerate", "/v2/keys/" + secret + "/x",
				"/v2/%6Beys/" + secret, "/v2/keys/%73" + secret[1:], "/v3/keys/" + secret, "/" + secret + "/v2/feeds/504",
				"/v2/feeds/504?key=" + secret, "/v2/feeds/504?a=b&oauth_token=" + secret, "/v2/feeds/504?%6Bey=" + secret,
				"/v2/nothing?key=" + secret, "/v2/feeds/504?key=%73" + secret[1:], "/v2/users/bob", "/v2/users", "/v2/user/bob", "/v2/keys",
			} {
				r := newRig(t, declare)
				var live strings.Builder
				r.api.cfg.Publish = func(m gateway.Message) { live.Write(m.Payload) }
				body := "0,1"
				if strings.Contains(target, "user") || strings.Contains(target, "eys") {
					body = `{"user":{"login":"zoe","password":"` + secret + `"}}`
				}
				r.ask(key, method, target, body)
				raw, err := json.Marshal(r.api.Requests())
				if err != nil {
					t.Fatal(err)
				}
				if all := string(raw) + live.String(); strings.Contains(all, "3cr3t-") {
					t.Errorf("%s %s: %s", method, target, all)
				}
			}
		}
	}
}

func TestAReasonRepeatsNoKey(t *testing.T) {
	r := newRig(t)
	c := r.api.newCall(t.Context(), gateway.Request{Method: "GET", Path: "/v2/keys/SECRET/x", Query: "key=SECRET", Key: "OTHER"}, nil)
	e := entryOf(c, &gateway.Response{Status: 404, Err: fmt.Errorf("no %s?%s nor %s nor OTHER", c.Path, c.Query, c.Path)})
	if strings.Contains(e.Error+e.Path, "SECRET") || strings.Contains(e.Error, "OTHER") || !strings.Contains(e.Error, "/v2/keys/") {
		t.Errorf("%+v", e)
	}
}

func TestPayloadsAreCut(t *testing.T) {
	r := newRig(t)
	r.ask("master", "PUT", "/v2/feeds/504.csv", strings.Repeat("é", 200)+"\xff")
	e := r.last()
	if e.Bytes != 401 || len(e.Payload) != headBytes || !utf8.ValidString(e.Payload) {
		t.Errorf("%d bytes, head of %d bytes", e.Bytes, len(e.Payload))
	}
	r.ask("master", "PUT", "/v2/feeds/504.csv", "\xff\xfe0,1")
	if e := r.last(); !utf8.ValidString(e.Payload) || !strings.HasSuffix(e.Payload, "0,1") {
		t.Errorf("payload %q", e.Payload)
	}
	r.ask("master", "GET", "/v2/feeds/504?q="+strings.Repeat("x", 10_000), "")
	if e := r.last(); len(e.Path) > pathBytes {
		t.Errorf("path of %d bytes", len(e.Path))
	}
}

func FuzzHead(f *testing.F) {
	f.Add("é€\xff", 2)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 1000 {
			return
		}
		if h := head(s, n); len(h) > n || !utf8.ValidString(h) || utf8.ValidString(s) && !strings.HasPrefix(s, h) {
			t.Errorf("head of %q at %d: %q", s, n, h)
		}
	})
}

func TestRequestsArePublishedLive(t *testing.T) {
	r := newRig(t)
	var got []gateway.Message
	r.api.cfg.Publish = func(m gateway.Message) { got = append(got, m) }
	for range livePerSec + 7 {
		r.ask("master", "GET", "/v2/feeds/504", "")
	}
	if len(got) != livePerSec {
		t.Fatalf("%d published in one second, want %d", len(got), livePerSec)
	}
	r.clock.Advance(time.Second)
	r.ask("", "GET", "/v2/feeds/504", "")
	r.ask("", "GET", "/v2/feeds/504", "")
	m := got[livePerSec]
	var doc map[string]any
	if err := json.Unmarshal(m.Payload, &doc); err != nil {
		t.Fatal(err)
	}
	if m.Topic != "gateways/gw-1/requests" || m.QoS != 0 || m.Retain || doc["skipped"] != 7.0 || doc["status"] != 401.0 || doc["path"] != "/v2/feeds/504" {
		t.Errorf("%+v: %s", m, m.Payload)
	}
	if strings.Contains(string(got[livePerSec+1].Payload), "skipped") {
		t.Errorf("skipped again: %s", got[livePerSec+1].Payload)
	}
}

func TestRequestsAreKeptByManyAtOnce(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				r.ask("master", "GET", "/v2/feeds/504.csv", "")
				r.api.Requests()
			}
		})
	}
	wg.Wait()
	if n := len(r.api.Requests()); n != requestsKept {
		t.Errorf("%d requests", n)
	}
}

func BenchmarkNote(b *testing.B) {
	r := newRig(b)
	c := r.api.newCall(b.Context(), gateway.Request{Peer: gateway.Peer{Addr: "192.0.2.4:99", Client: "c1"}, Door: "mqtt",
		Method: "PUT", Path: "/v2/feeds/504.csv", Body: []byte("0,1")}, func(gateway.Response) {})
	r.api.prepare(c)
	c.subject = access.Subject{User: "ann", Key: "id-master"}
	b.ReportAllocs()
	for b.Loop() {
		r.api.requests.note(c, &gateway.Response{Status: 200})
	}
}
