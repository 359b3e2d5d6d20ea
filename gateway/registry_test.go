package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"fieldgate/gateway/access"
)

func TestRightsHoldFromTheNextMessageOn(t *testing.T) {
	f := newFixture(t, declared())
	if err := f.reg.PutDevice(&Device{ID: "D", Grants: access.Grants{Owner: "ann",
		Share: []access.Share{{User: "bob", Can: []access.Right{access.View}}}}}); err != nil {
		t.Fatal(err)
	}
	if !f.reg.Can(bob, access.View, "D") || f.reg.Can(bob, access.Publish, "D") {
		t.Fatal("share is not as given")
	}
	if err := f.reg.PutDevice(&Device{ID: "D", Grants: access.Grants{Owner: "ann"}}); err != nil {
		t.Fatal(err)
	}
	if f.reg.Can(bob, access.View, "D") {
		t.Error("a right that was taken away still holds")
	}
	if err := f.reg.PutUser(access.User{Name: "carl"}); err != nil {
		t.Fatal(err)
	}
	carl := access.Subject{User: "carl"}
	if err := f.reg.PutDevice(&Device{ID: "C", Grants: access.Grants{Owner: "carl"}}); err != nil {
		t.Fatal(err)
	}
	if !f.reg.Live(carl) || !f.reg.Can(carl, access.Manage, "C") {
		t.Error("owner without rights")
	}
	if err := f.reg.DeleteUser("carl"); err != nil {
		t.Fatal(err)
	}
	if f.reg.Live(carl) || f.reg.Can(carl, access.View, "C") {
		t.Error("an account that is gone keeps its rights")
	}
}

func TestDeclaredIsChangedInTheFileOnly(t *testing.T) {
	f := newFixture(t, declared())
	for what, err := range map[string]error{
		"user":   f.reg.PutUser(access.User{Name: "ann", Admin: true}),
		"delete": f.reg.DeleteUser("ann"),
		"device": f.reg.PutDevice(&Device{ID: "Open"}),
		"gone":   f.reg.DeleteDevice("Open"),
	} {
		if !errors.Is(err, ErrDeclared) {
			t.Errorf("%s: %v, want ErrDeclared", what, err)
		}
	}
}

func TestRegistrySurvivesARestart(t *testing.T) {
	f := newFixture(t, declared())
	must := func(req ChangeRequest) {
		t.Helper()
		if _, changed, err := f.reg.Apply(req, "ann"); err != nil || !changed {
			t.Fatalf("%+v: changed %v, %v", req, changed, err)
		}
	}
	must(ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "Made", Sensors: []Sensor{{ID: "S"}}}})
	must(ChangeRequest{Op: SetName, Device: "Open", Name: "Renamed"})
	must(ChangeRequest{Op: SetName, Device: "Open", Sensor: "TC1", Name: "Warmth"})
	must(ChangeRequest{Op: SetMeta, Device: "Open", Meta: json.RawMessage(`{"a":1,"b":2}`)})
	must(ChangeRequest{Op: SetMeta, Device: "Open", Meta: json.RawMessage(`{"a":null}`)})
	must(ChangeRequest{Op: CreateSensor, Device: "Open", NewSensor: &Sensor{ID: "extra"}})
	if _, changed, err := f.reg.Apply(ChangeRequest{Op: SetName, Device: "Open", Name: "Renamed"}, ""); changed || err != nil {
		t.Errorf("the same name again: changed %v, %v", changed, err)
	}

	again, err := NewRegistry(f.tables, openGate{}, f.clock, declared())
	if err != nil {
		t.Fatal(err)
	}
	if d, ok := again.Device("Made"); !ok || d.Grants.Owner != "ann" || len(d.Sensors) != 1 {
		t.Errorf("made device: %+v", d)
	}
	d, _ := again.Device("Open")
	if s, _ := d.Sensor("TC1"); d.Name != "Renamed" || s.Name != "Warmth" || string(d.Meta) != `{"b":2}` || len(d.Sensors) != 2 {
		t.Errorf("overlay: %+v", d)
	}
	if !d.Grants.PublicWrite {
		t.Error("the file's grants are lost")
	}

	decl := declared()
	decl.Devices[0].Name = "New in the file"
	decl.Devices[0].Grants.Public = false
	if err := again.Declare(decl); err != nil {
		t.Fatal(err)
	}
	if d, _ := again.Device("Open"); d.Name != "New in the file" || d.Grants.Public {
		t.Errorf("the file does not win with what is new in it: %+v", d)
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	f := newFixture(t, declared())
	f.tables.Devices.(*memTable).fail = errors.New("read-only file system")
	if _, _, err := f.reg.Apply(ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "X"}}, "ann"); err == nil {
		t.Fatal("no error")
	}
	if _, ok := f.reg.Device("X"); ok {
		t.Error("a device is in force that is not on disk")
	}
}

func TestDamagedEntryIsSkipped(t *testing.T) {
	f := newFixture(t, declared())
	f.tables.Devices.(*memTable).pairs = map[string][]byte{"bad": []byte("{"), "good": []byte(`{"id":"good"}`)}
	reg, err := NewRegistry(f.tables, openGate{}, f.clock, declared())
	if err == nil {
		t.Error("nobody is told")
	}
	if _, ok := reg.Device("good"); !ok {
		t.Error("a good entry is lost beside a damaged one")
	}
}

func TestLogin(t *testing.T) {
	d := declared()
	for _, c := range []struct {
		anonymous     bool
		user, pw      string
		given         bool
		ok, anonymity bool
	}{
		{true, "", "", false, true, true},
		{false, "", "", false, false, false},
		{true, "", "x", true, false, false},
		{true, "ann", "", false, false, false},
		{true, "ann", "", true, false, false},
		{false, "ann", "secret", true, true, false},
	} {
		d.Anonymous = c.anonymous
		f := newFixture(t, d)
		s, err := f.reg.Login(context.Background(), "127.0.0.1", c.user, []byte(c.pw), c.given)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, access.ErrBadCredentials) || c.ok && s.Anonymous() != c.anonymity {
			t.Errorf("%+v: %v, %v", c, s, err)
		}
	}
}

func TestFeedNumbersAreStableAndDistinct(t *testing.T) {
	d := declared()
	d.Devices[0].Feed = 504
	f := newFixture(t, d)
	seen := map[uint64]string{}
	for _, dev := range f.reg.Devices() {
		if other, ok := seen[dev.Feed]; ok || dev.Feed == 0 {
			t.Errorf("%s has feed %d like %q", dev.ID, dev.Feed, other)
		}
		seen[dev.Feed] = dev.ID
		if got, ok := f.reg.Feed(dev.Feed); !ok || got.ID != dev.ID {
			t.Errorf("feed %d is not %s", dev.Feed, dev.ID)
		}
	}
	if seen[504] != "Open" {
		t.Error("a configured feed number is not kept")
	}
}

func TestDeviceHasBoundedChannels(t *testing.T) {
	f := newFixture(t, declared())
	many := func(n int) *Device {
		d := &Device{ID: "many"}
		for range n {
			d.Sensors = append(d.Sensors, Sensor{}) // ids are given
		}
		return d
	}
	if _, _, err := f.reg.Apply(ChangeRequest{Op: CreateDevice, NewDevice: many(MaxChannels + 1)}, "ann"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d sensors: %v", MaxChannels+1, err)
	}
	if _, _, err := f.reg.Apply(ChangeRequest{Op: CreateDevice, NewDevice: many(MaxChannels)}, "ann"); err != nil {
		t.Errorf("%d sensors: %v", MaxChannels, err)
	}
	if _, _, err := f.reg.Apply(ChangeRequest{Op: CreateSensor, Device: "many", NewSensor: &Sensor{ID: "one more"}}, "ann"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one more: %v", err)
	}
}

// sensorForms tells of a new sensor by its id.
type sensorForms struct{ plainForms }

func (sensorForms) Change(req ChangeRequest, d *Device) Message {
	return Message{Topic: "devices/" + d.ID + "/sensors", Payload: []byte(`"` + req.NewSensor.ID + `"`)}
}

// TestSensorsTogether: sensors that one change makes are stored together, and
// each is told of as if it had come alone.
func TestSensorsTogether(t *testing.T) {
	f := newFixture(t, declared(), func(c *HubConfig) { c.Forms = sensorForms{} })
	done := 0
	b := &Batch{From: access.System, Wait: true, Done: func(err error) {
		if err != nil {
			t.Error(err)
		}
		done++
	}}
	req := ChangeRequest{Op: CreateSensor, Device: "Open", NewSensor: &Sensor{ID: "a"}, More: []Sensor{{ID: "b"}, {ID: "c"}}}
	if err := f.hub.Change(b, req); err != nil {
		t.Fatal(err)
	}
	f.log.commit()
	if len(f.log.records) != 3 || done != 1 || f.sink.delivered() != 3 {
		t.Errorf("%d records, %d times done, %d delivered", len(f.log.records), done, f.sink.delivered())
	}
	for i, id := range []string{"a", "b", "c"} {
		if i < len(f.log.records) && !strings.Contains(string(f.log.records[i].Value), `"`+id+`"`) {
			t.Errorf("record %d: %s", i, f.log.records[i].Value)
		}
	}
	req.NewSensor, req.More = &Sensor{ID: "d"}, []Sensor{{ID: "a"}}
	if err := f.hub.Change(&Batch{From: access.System}, req); !errors.Is(err, ErrExists) {
		t.Error("one of two exists already:", err)
	}
	if d, _ := f.reg.Device("Open"); len(d.Sensors) != 4 {
		t.Errorf("%d sensors", len(d.Sensors))
	}
}
