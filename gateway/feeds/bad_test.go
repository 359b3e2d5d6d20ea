package feeds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// datapoints is a write of n of them.
func datapoints(n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"at":"2026-11-22T09:00:%02d.%03dZ","value":"%d"}`, i/1000, i%1000, i)
	}
	return `{"datapoints":[` + strings.Join(rows, ",") + `]}`
}

func TestBadInputIsRefusedLoggedAndStoresNothing(t *testing.T) {
	entities := `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "` + strings.Repeat("b", 5000) + `"><!ENTITY c "&a;&a;&a;&a;">]>` +
		`<eeml><environment><title>&c;</title></environment></eeml>`
	for _, tc := range []struct {
		name   string
		key    string // "": master; "-": none
		method string // "": PUT
		target string
		body   string
		status int
		is     error // what the response's error wraps
	}{
		{name: "malformed JSON", target: "/v2/feeds/504.json", body: `{"datastreams":[`, status: 400, is: gateway.ErrBadPayload},
		{name: "malformed XML", target: "/v2/feeds/504.xml", body: `<eeml><environment>`, status: 400, is: gateway.ErrBadPayload},
		{name: "malformed CSV", target: "/v2/feeds/504.csv", body: "0,\"1\n2", status: 400, is: gateway.ErrBadPayload},
		{name: "501 datapoints", method: "POST", target: "/v2/feeds/504/datastreams/0/datapoints.json", body: datapoints(501), status: 422},
		{name: "501 datapoints through the feed", target: "/v2/feeds/504.json",
			body: `{"datastreams":[{"id":"0",` + datapoints(501)[1:] + `]}`, status: 422},
		{name: "a value of 256 characters", target: "/v2/feeds/504.csv", body: "0," + strings.Repeat("x", 256), status: 422},
		{name: "id with a blank", target: "/v2/feeds/504.json", body: `{"datastreams":[{"id":"red hat","current_value":"1"}]}`, status: 422},
		{name: "id with a star", target: "/v2/feeds/504.json", body: `{"datastreams":[{"id":"foo*","current_value":"1"}]}`, status: 422},
		{name: "id with a colon", target: "/v2/feeds/504.csv", body: "KYB:FOO,1", status: 422},
		{name: "id longer than a sensor's", target: "/v2/feeds/504.csv", body: strings.Repeat("x", 65) + ",1", status: 422},
		{name: "good and bad ids", target: "/v2/feeds/504.csv", body: "0,7\nKYB:FOO,1", status: 422},
		{name: "mixed timed and untimed rows", target: "/v2/feeds/504.csv", body: "0,2026-11-22T09:00:00Z,1\n0,2", status: 400},
		{name: "an unknown version", target: "/v3/feeds/504.json", body: `{}`, status: 404, is: gateway.ErrBadTopic},
		{name: "a feed that does not exist", target: "/v2/feeds/999.csv", body: "0,1", status: 404, is: gateway.ErrUnknownDevice},
		{name: "a feed that does not exist, read", method: "GET", target: "/v2/feeds/999", status: 404, is: gateway.ErrUnknownDevice},
		{name: "a datastream that does not exist", target: "/v2/feeds/504/datastreams/nope.csv", body: "1", status: 404, is: gateway.ErrUnknownSensor},
		{name: "no such resource", method: "GET", target: "/v2/nonsense", status: 404, is: gateway.ErrBadTopic},
		{name: "no such method", method: "PATCH", target: "/v2/feeds/504", body: `{}`, status: 405, is: gateway.ErrBadTopic},
		{name: "POST to an item", method: "POST", target: "/v2/feeds/504", body: `{}`, status: 405, is: gateway.ErrBadTopic},
		{name: "CSV of keys", method: "GET", target: "/v2/keys.csv", status: 406, is: gateway.ErrBadTopic},
		{name: "a key without the method", key: "reader", target: "/v2/feeds/504.csv", body: "0,1", status: 403, is: gateway.ErrDenied},
		{name: "a key without the feed", key: "feed505", target: "/v2/feeds/504.csv", body: "0,1", status: 403, is: gateway.ErrDenied},
		{name: "a key without private access", key: "public", target: "/v2/feeds/504.csv", body: "0,1", status: 403, is: gateway.ErrDenied},
		{name: "a key for another datastream", key: "stream0", target: "/v2/feeds/504.csv", body: "0,1\n1,2", status: 403, is: gateway.ErrDenied},
		{name: "a key for a datastream makes another", key: "stream0", target: "/v2/feeds/504.csv", body: "0,1\nnew,2", status: 403, is: gateway.ErrDenied},
		{name: "a key for a datastream makes it", key: "fresh", target: "/v2/feeds/504.csv", body: "fresh,2", status: 403, is: gateway.ErrDenied},
		{name: "a key for a datastream changes metadata", key: "stream0", target: "/v2/feeds/504.json", body: `{"title":"x"}`, status: 403, is: gateway.ErrDenied},
		{name: "an expired key", key: "expired", target: "/v2/feeds/504.csv", body: "0,1", status: 401, is: gateway.ErrDenied},
		{name: "a wrong key", key: "wrong", target: "/v2/feeds/504.csv", body: "0,1", status: 401, is: gateway.ErrDenied},
		{name: "no key", key: "-", target: "/v2/feeds/504.csv", body: "0,1", status: 401, is: gateway.ErrDenied},
		{name: "no key, public", key: "-", method: "GET", target: "/v2/feeds/505.csv", status: 401, is: gateway.ErrDenied},
		{name: "a key from another address", key: "away", target: "/v2/feeds/504.csv", body: "0,1", status: 403, is: gateway.ErrDenied},
		{name: "a key for another page", key: "page", target: "/v2/feeds/504.csv", body: "0,1", status: 403, is: gateway.ErrDenied},
		{name: "another owner's key", key: "bobs", target: "/v2/feeds/504.json", body: `{"title":"bob's"}`, status: 403, is: gateway.ErrDenied},
		{name: "an empty body", target: "/v2/feeds/504.csv", body: "", status: 400},
		{name: "invalid UTF-8", target: "/v2/feeds/504.csv", body: "0,\xff\xfe", status: 400},
		{name: "nested entities", target: "/v2/feeds/504.xml", body: entities, status: 400},
		{name: "over the limit", target: "/v2/feeds/504.xml", body: strings.Repeat("<a>", xively.MaxBody/3+1), status: 413, is: gateway.ErrTooLarge},
		{name: "deleting a declared feed", method: "DELETE", target: "/v2/feeds/504", status: 403, is: gateway.ErrDeclared},
		{name: "deleting a declared datastream", method: "DELETE", target: "/v2/feeds/504/datastreams/0", status: 403, is: gateway.ErrDeclared},
		{name: "making a datastream that is there", method: "POST", target: "/v2/feeds/504/datastreams",
			body: `{"version":"1.0.0","datastreams":[{"id":"new"},{"id":"0"}]}`, status: 422},
		{name: "a feed without a title", method: "POST", target: "/v2/feeds", body: `{"description":"x"}`, status: 422},
		{name: "deleting datapoints of no time", method: "DELETE", target: "/v2/feeds/504/datastreams/0/datapoints", status: 400},
		{name: "start, end and duration", method: "GET", target: "/v2/feeds/504?start=2026-11-22&end=2026-11-23&duration=1hour", status: 400},
		{name: "a page that is none", method: "GET", target: "/v2/feeds?page=x", status: 400},
		{name: "too much metadata", target: "/v2/feeds/504.json",
			body: fmt.Sprintf(`{"description":%q,"website":%q,"icon":%q,"email":%q}`, strings.Repeat("d", 4096), strings.Repeat("w", 4096),
				strings.Repeat("i", 4096), strings.Repeat("e", 4096)), status: 422, is: gateway.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			key, method := tc.key, tc.method
			switch key {
			case "":
				key = "master"
			case "-":
				key = ""
			}
			if method == "" {
				method = http.MethodPut
			}
			resp := r.ask(key, method, tc.target, tc.body)
			if resp.Status != tc.status {
				t.Fatalf("status %d, want %d: %s", resp.Status, tc.status, resp.Body)
			}
			if resp.Err == nil || gateway.Reason(resp.Err) == "other" && !errors.Is(resp.Err, gateway.ErrDeclared) {
				t.Errorf("the error %v wraps none of package gateway", resp.Err)
			}
			if tc.is != nil && !errors.Is(resp.Err, tc.is) {
				t.Errorf("the error %v does not wrap %v", resp.Err, tc.is)
			}
			if text := resp.Err.Error(); strings.Contains(text, "not JSON") {
				t.Errorf("the error is named as another: %s", text)
			}
			if body := string(resp.Body); !strings.Contains(body, "errors") || !strings.Contains(body, "title") {
				t.Errorf("the body is no refusal: %s", body)
			}
			if all := r.api.Requests(); len(all) != 1 || all[0].Status != tc.status || all[0].Error == "" || all[0].Bytes != len(tc.body) {
				t.Errorf("logged %+v", all)
			}
			r.log.mu.Lock()
			defer r.log.mu.Unlock()
			if len(r.log.records) > 0 {
				t.Errorf("recorded %+v", r.log.records)
			}
			if d, _ := r.reg.Feed(504); len(d.Sensors) != 2 || d.Name != "Hut" || d.Meta != nil {
				t.Errorf("changed to %+v", d)
			}
		})
	}
}

func TestRefusalsOverMQTT(t *testing.T) {
	ann := gateway.Peer{Subject: access.Subject{User: "ann"}, Client: "c", Addr: "192.0.2.1:1", Source: "mqtt c"}
	for _, tc := range []struct {
		name, topic, payload string
		peer                 gateway.Peer
		status               int
		is                   error
	}{
		{"zero length", "/v2/feeds/504.csv", "", ann, 400, gateway.ErrBadPayload},
		{"zero length to a collection", "/v2/feeds/504/datastreams", "", ann, 400, gateway.ErrBadPayload},
		{"anonymous", "/v2/feeds/504.csv", "0,1", gateway.Peer{Addr: "192.0.2.1:1"}, 401, gateway.ErrDenied},
		{"wrong key in the topic wins", "nope/v2/feeds/504.csv", "0,1", ann, 401, gateway.ErrDenied},
		{"an activation is only read", "/v2/devices/abc/activate", "x", ann, 405, gateway.ErrBadTopic},
		{"200 levels", "/v2/feeds" + strings.Repeat("/x", 200), "1", ann, 404, gateway.ErrBadTopic},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			if !r.api.Owns(tc.topic) {
				t.Fatal("not one of the API's")
			}
			if err := r.publish(tc.peer, tc.topic, tc.payload, 1); !errors.Is(err, tc.is) {
				t.Errorf("error %v, want %v", err, tc.is)
			}
			if e := r.last(); e.Status != tc.status || tc.payload == "" && !strings.Contains(e.Error, "empty") {
				t.Errorf("logged %+v", e)
			}
			if n := len(r.log.of(gateway.KindSensor)); n > 0 {
				t.Errorf("%d values recorded", n)
			}
		})
	}
}

func TestForeignTopicIsNoRequest(t *testing.T) {
	r := newRig(t)
	if r.api.Owns("devices/Hut/sensors/0/value") {
		t.Error("owns a topic of another dialect")
	}
	if err := r.publish(gateway.Peer{}, "devices/Hut/sensors/0/value", "1", 0); !errors.Is(err, gateway.ErrBadTopic) {
		t.Errorf("error %v", err)
	}
	if _, _, err := r.api.Subscribe(gateway.Peer{}, "devices/#", func([]byte) {}); !errors.Is(err, gateway.ErrBadTopic) {
		t.Errorf("error %v", err)
	}
}

func TestPanicIsAnsweredOnce(t *testing.T) {
	r := newRig(t)
	r.api.table[xively.ResourceFeed][http.MethodGet] = func(*call) { panic("at the disco") }
	if resp := r.ask("master", "GET", "/v2/feeds/504", ""); resp.Status != 500 {
		t.Errorf("status %d", resp.Status)
	}
	r.api.table[xively.ResourceFeed][http.MethodGet] = func(c *call) { c.reply(nil); panic("after the answer") }
	if resp := r.ask("master", "GET", "/v2/feeds/504", ""); resp.Status != 200 {
		t.Errorf("status %d", resp.Status)
	}
	if n := len(r.api.Requests()); n != 2 {
		t.Errorf("%d requests logged, want 2", n)
	}
	if s := r.api.Stats(); s.Requests["2xx"] != 1 || s.Requests["5xx"] != 1 {
		t.Errorf("counted %v", s.Requests)
	}
}

func TestCallerWhoStopsWaitingIsAnsweredOnce(t *testing.T) {
	r := newRig(t)
	r.log.hold(true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	resp := r.api.Serve(ctx, gateway.Request{Door: "http", Method: "PUT", Path: "/v2/feeds/504.csv", Key: "master", Body: []byte("0,1")})
	if resp.Status != 503 || !errors.Is(resp.Err, context.Canceled) {
		t.Errorf("status %d, error %v", resp.Status, resp.Err)
	}
	r.log.hold(false)
	if n := len(r.api.Requests()); n != 1 {
		t.Errorf("%d requests logged, want 1", n)
	}
}

func TestDiskThatRefusesIsPassedOn(t *testing.T) {
	r := newRig(t)
	ann := gateway.Peer{Subject: access.Subject{User: "ann"}, Addr: "192.0.2.1:1"}
	for _, cause := range []error{gateway.ErrNotKept, gateway.ErrClosed} {
		r.log.refuse = cause
		if err := r.publish(ann, "/v2/feeds/504.csv", "0,1", 1); !errors.Is(err, cause) {
			t.Errorf("error %v, want %v", err, cause)
		}
		if e := r.last(); e.Status != 503 {
			t.Errorf("logged %+v", e)
		}
	}
}

func TestPublishIsSettledWhenOnDisk(t *testing.T) {
	r := newRig(t)
	ann := gateway.Peer{Subject: access.Subject{User: "ann"}, Addr: "192.0.2.1:1"}
	r.log.hold(true)
	var order []int
	for i := range 3 { // returns although the disk takes nothing
		r.api.Publish(ann, &gateway.Message{Topic: "/v2/feeds/504.csv", Payload: fmt.Appendf(nil, "0,%d", i), QoS: 1},
			func(err error) {
				if err != nil {
					t.Error(err)
				}
				order = append(order, i)
			})
	}
	if len(order) > 0 {
		t.Fatalf("settled %v before the disk", order)
	}
	r.log.hold(false)
	if fmt.Sprint(order) != "[0 1 2]" {
		t.Errorf("settled in the order %v", order)
	}
	if got := r.get("/v1/feeds/504/datastreams/0.csv"); got != "2" {
		t.Errorf("present value %s", got)
	}
}

func TestKeyExpiresMeanwhile(t *testing.T) {
	r := newRig(t)
	r.must(200, "short", "GET", "/v2/feeds/504", "")
	r.clock.Advance(time.Hour)
	r.must(401, "short", "GET", "/v2/feeds/504", "")
}
