package feeds

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

// What is made, written, read, watched and deleted at the same time ends in one
// state, which the last push shows.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	r.run()
	in := newInbox(t)
	start, cancel, err := r.api.Subscribe(annPeer, "/v2/feeds/504.csv", in.push)
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	start()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("w%d", w)
				if resp := r.ask("master", "PUT", "/v2/feeds/504.json",
					fmt.Sprintf(`{"title":"%s %d","datastreams":[{"id":%q,"current_value":%d,"tags":["%d"]},{"id":"0","current_value":%d}]}`, name, i, name, i, i, i)); resp.Status != 200 {
					t.Errorf("status %d: %s", resp.Status, resp.Body)
				}
				r.ask("master", "GET", "/v2/feeds/504.xml?duration=1hour", "")
				if i%10 == 9 && w > 0 {
					r.ask("master", "DELETE", "/v2/feeds/504/datastreams/"+name, "")
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				s, c, err := r.api.Subscribe(annPeer, fmt.Sprintf("/v2/feeds/504/datastreams/%d.xml", w%2), func([]byte) {})
				if err != nil {
					t.Error(err)
					return
				}
				s()
				c()
			}
		})
		wg.Go(func() {
			for i := range 50 {
				r.value("Hut", "1", fmt.Sprint(i), time.Time{})
				if err := r.api.save(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.put("/v2/feeds/504/datastreams/1.csv", "the end")
	want := r.get("/v2/feeds/504.csv")
	for in.next() != want {
	}
	if n := r.api.state.marks.n.Load(); n != 0 {
		t.Errorf("%d marks left", n)
	}
	if n := r.api.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

// A subscriber stays one of the device that takes the place of a deleted one.
func TestDeviceMadeAnewIsPushed(t *testing.T) {
	r := newRig(t)
	system := func() *gateway.Batch { return &gateway.Batch{From: access.Subject{User: "ann"}} }
	create := gateway.ChangeRequest{Op: gateway.CreateDevice, NewDevice: &gateway.Device{ID: "Pot", Sensors: []gateway.Sensor{{ID: "s"}}}}
	if err := r.hub.Change(system(), create); err != nil {
		t.Fatal(err)
	}
	d, _ := r.reg.Device("Pot")
	for range 5 {
		r.value("Pot", "s", "1", rigStart)
	}
	in := r.subscribe(annPeer, fmt.Sprintf("/v1/feeds/%d/datastreams/s.csv", d.Feed))
	in.want("1")
	if err := r.hub.Change(system(), gateway.ChangeRequest{Op: gateway.Delete, Device: "Pot"}); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	if err := r.hub.Change(system(), create); err != nil {
		t.Fatal(err)
	}
	if got := r.get(fmt.Sprintf("/v2/feeds/%d.csv?duration=1hour", d.Feed)); got != "" {
		t.Errorf("it has its namesake's history: %q", got)
	}
	if got := r.get(fmt.Sprintf("/v1/feeds/%d.csv", d.Feed)); got != "" {
		t.Errorf("it has its namesake's value: %q", got)
	}
	r.value("Pot", "s", "2", rigStart)
	r.drain()
	in.want("2")
}

// Whatever comes in is answered once, and never because of a fault of ours.
func FuzzServe(f *testing.F) {
	for _, seed := range []struct{ method, target, body string }{
		{"PUT", "/v2/feeds/504.json", `{"title":"x","location":{"lat":1,"lon":2,"disposition":"mobile"},"datastreams":[{"id":"0","current_value":"1","max_value":"3"}]}`},
		{"PUT", "/v2/feeds/504.csv", "0,2026-11-22T10:00:00Z,1\n0,2026-11-22T10:00:01Z,2\nnew,3"},
		{"PUT", "/v1/feeds/504", `<eeml><environment><data id="0"><value>1</value></data></environment></eeml>`},
		{"POST", "/v2/feeds/504/datastreams", `{"datastreams":[{"id":"a","tags":"x,y"}]}`},
		{"POST", "/v2/feeds/504/datastreams/0/datapoints.json", datapoints(3)},
		{"POST", "/v2/feeds.json", `{"title":"x"}`},
		{"GET", "/v2/feeds/504.csv?start=2026-11-22T09:00:00Z&interval=30&find_previous=1", ""},
		{"GET", "/v2/feeds?lat=1&lon=2&distance=3&order=created_at", ""},
		{"DELETE", "/v2/feeds/504/datastreams/0/datapoints?duration=1hour", ""},
		{"PUT", "/v2/feeds/504/datastreams/0/datapoints/2026-11-22T09:00:00Z", `{"value":"1"}`},
	} {
		f.Add(seed.method, seed.target, seed.body)
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r := newRig(t)
		path, query, _ := strings.Cut(target, "?")
		resp := r.api.Serve(context.Background(), gateway.Request{Door: "http", Method: method, Path: path, Query: query, Key: "master", Body: []byte(body)})
		if resp.Status < 200 || resp.Status == 500 {
			t.Errorf("status %d: %v", resp.Status, resp.Err)
		}
		if n := len(r.api.Requests()); n != 1 {
			t.Errorf("%d requests logged", n)
		}
		if resp.Status < 300 { // what was taken can be shown
			for _, target := range []string{"/v2/feeds.json", "/v2/feeds.xml", "/v1/feeds.csv"} {
				r.get(target)
			}
		}
	})
}
