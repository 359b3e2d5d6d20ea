package feeds

import (
	"net/http"
	"testing"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
)

func TestWriteAndReadThroughBothDoors(t *testing.T) {
	r := newRig(t)
	r.run()
	ann := gateway.Peer{Subject: access.Subject{User: "ann"}, Client: "c1", Addr: "192.0.2.9:1", Source: "mqtt c1"}

	if err := r.publish(ann, "/v2/feeds/504.csv", "0,0000017\n1,red car", 1); err != nil {
		t.Fatal(err)
	}
	if got, want := r.get("/v2/feeds/504.csv"), "0,2026-11-22T10:00:00.000000Z,0000017\n1,2026-11-22T10:00:00.000000Z,red car"; got != want {
		t.Errorf("feed: %q, want %q", got, want)
	}
	if got := r.get("/v1/feeds/504/datastreams/0.csv"); got != "0000017" {
		t.Errorf("datastream: %q", got)
	}
	r.put("/v2/feeds/504/datastreams/0.json", `{"current_value": 21.50}`)
	if rec, ok := r.hub.Current("Hut", "0", gateway.KindSensor); !ok || string(rec.Value) != "21.50" {
		t.Errorf("the Hub has %s", rec.Value)
	}
	r.value("Hut", "1", `"by waziup"`, rigStart)
	if got, want := r.get("/v1/feeds/504.csv"), "21.50,by waziup"; got != want {
		t.Errorf("feed: %q, want %q", got, want)
	}
	if err := r.publish(gateway.Peer{Addr: "192.0.2.9:1"}, "stream0/v2/feeds/504/datastreams/0.csv", "5", 0); err != nil {
		t.Fatal(err)
	}
	if e := r.last(); e.Method != http.MethodPut || e.Status != 200 || e.Key != "stream0" || e.Door != "mqtt" {
		t.Errorf("logged %+v", e)
	}
}
