package feeds

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fieldgate/gateway"
	"fieldgate/gateway/access"
	"fieldgate/gateway/xively"
)

// makeX makes the device X for an account.
func (r *rig) makeX(owner string) uint64 {
	r.t.Helper()
	b := &gateway.Batch{From: access.Subject{User: owner}, Source: "test", Wait: true}
	if err := r.hub.Change(b, gateway.ChangeRequest{Op: gateway.CreateDevice,
		NewDevice: &gateway.Device{ID: "X", Sensors: []gateway.Sensor{{ID: "s"}}}}); err != nil {
		r.t.Fatal(err)
	}
	d, _ := r.reg.Device("X")
	return d.Feed
}

func (r *rig) deleteX() {
	r.t.Helper()
	b := &gateway.Batch{From: access.System, Source: "test", Wait: true}
	if err := r.hub.Change(b, gateway.ChangeRequest{Op: gateway.Delete, Device: "X"}); err != nil {
		r.t.Fatal(err)
	}
}

func TestADeviceHasNoExtremesAndPlacesOfItsNamesake(t *testing.T) {
	for name, between := range map[string]func(r *rig){
		// What is known of a device that is gone is deleted later.
		"after a crash": func(r *rig) {
			r.deleteX()
			r.clock.Advance(time.Second)
			r.api = r.open()
			r.makeX("bob")
		},
		// The sinks hear of a deletion once it is on disk.
		"made before the deletion is told of": func(r *rig) {
			r.log.hold(true)
			r.deleteX()
			r.clock.Advance(time.Second)
			r.makeX("bob")
			r.log.hold(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			n := r.makeX("ann")
			r.value("X", "s", "99", rigStart)
			r.api.addWaypoint("X", xively.Waypoint{At: rigStart, Lat: 1, Lon: 2})
			if err := r.api.save(); err != nil {
				t.Fatal(err)
			}
			path := fmt.Sprintf("/v2/feeds/%d.json", n)
			r.api = r.open()
			if s, _ := r.api.snapshotOf("X"); len(s.waypoints) != 1 || !s.values[0].ranged {
				t.Fatalf("not there after a restart: %+v", s)
			}
			between(r)
			s, ok := r.api.snapshotOf("X")
			if got := r.as(200, "bob", "GET", path, ""); !ok || len(s.waypoints) != 0 || strings.Contains(got, "99") {
				t.Errorf("%+v\n%s", s, got)
			}
		})
	}
}

func TestASensorsExtremesDoNotOutliveItOnDisk(t *testing.T) {
	r := newRig(t)
	r.put("/v2/feeds/504.csv", "new,99")
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	if got := r.feeds.get("Hut"); !strings.Contains(got, "new") {
		t.Fatalf("saved: %s", got)
	}
	r.must(200, "master", "DELETE", "/v2/feeds/504/datastreams/new", "")
	if err := r.api.save(); err != nil {
		t.Fatal(err)
	}
	if got := r.feeds.get("Hut"); strings.Contains(got, "new") {
		t.Errorf("saved: %s", got)
	}
}

func TestTriggersGoWithTheirAccount(t *testing.T) {
	for _, door := range []string{"api", "other"} {
		r := newRig(t)
		r.as(201, "root", "POST", "/v2/users", `{"user":{"login":"zoe","password":"long enough"}}`)
		n := r.makeX("zoe")
		trigger := fmt.Sprintf(`{"url":"http://127.0.0.1:9/x","trigger_type":"change","environment_id":%d,"stream_id":"s"}`, n)
		r.as(201, "zoe", "POST", "/v2/triggers", trigger)
		if door == "api" {
			r.as(200, "root", "DELETE", "/v2/users/zoe", "")
		} else if err := r.reg.DeleteUser("zoe"); err != nil {
			t.Fatal(err)
		}
		r.as(201, "root", "POST", "/v2/users", `{"user":{"login":"zoe","password":"long enough"}}`)
		if got := r.as(200, "zoe", "GET", "/v2/triggers", ""); got != "[]" {
			t.Errorf("%s: the next zoe has %s", door, got)
		}
	}
}

// unreadable is a table on a disk that fails.
type unreadable struct{ *rigTable }

var errDisk = errors.New("input/output error")

func (unreadable) Each(func(string, []byte) error) error { return errDisk }

func TestTheAPIStartsWithoutTablesThatCannotBeRead(t *testing.T) {
	r := newRig(t)
	r.as(201, "ann", "POST", "/v2/triggers", `{"url":"http://127.0.0.1:9/x","trigger_type":"change","environment_id":504,"stream_id":"0"}`)
	kept := r.tables.Triggers.(*rigTable)
	before := kept.get("1")
	r.tables = Tables{Feeds: unreadable{&rigTable{}}, Triggers: unreadable{kept}, Profiles: unreadable{&rigTable{}}, Products: unreadable{&rigTable{}}}
	r.api = r.open()
	r.put("/v2/feeds/504.csv", "0,1")
	// What was not read must not be written over.
	r.as(500, "ann", "POST", "/v2/triggers", `{"url":"http://127.0.0.1:9/y","trigger_type":"change","environment_id":504,"stream_id":"0"}`)
	r.as(500, "ann", "PUT", "/v2/users/ann", `{"user":{"about":"me"}}`)
	r.as(500, "ann", "POST", "/v2/products", `{"product":{"name":"P"}}`)
	if got := kept.get("1"); got != before || before == "" {
		t.Errorf("the trigger became %q", got)
	}
}
