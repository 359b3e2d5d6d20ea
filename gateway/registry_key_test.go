package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"fieldgate/gateway/access"
)

// keyed is the fixture's registry with feeds and keys of ann's.
func keyed(t *testing.T, keys ...access.Key) (*fixture, func(keys ...access.Key)) {
	d := declared()
	d.Devices[0].Feed, d.Devices[1].Feed = 1, 2
	d.Devices = append(d.Devices, &Device{ID: "Bobs", Feed: 3, Grants: access.Grants{Owner: "bob"}, Sensors: []Sensor{{ID: "x"}}})
	put := func(keys []access.Key) {
		d.Keys = nil
		for _, k := range keys {
			k.Hash = access.HashKey("the text of " + k.ID)
			d.Keys = append(d.Keys, k)
		}
	}
	put(keys)
	f := newFixture(t, d)
	return f, func(keys ...access.Key) {
		put(keys)
		if err := f.reg.Declare(d); err != nil {
			t.Fatal(err)
		}
	}
}

var everything = []access.Permission{{Methods: access.Methods}}

func TestLoginWithKey(t *testing.T) {
	f, declare := keyed(t, access.Key{ID: "k", Owner: "ann", Permissions: everything})
	login := func(user string, password []byte) (access.Subject, error) {
		return f.reg.Login(context.Background(), "192.0.2.1:1", user, password, password != nil)
	}
	for _, password := range [][]byte{nil, {}, []byte("whatever")} {
		s, err := login("the text of k", password)
		if err != nil || s.Key != "k" || s.User != "ann" {
			t.Errorf("password %q: %+v %v", password, s, err)
		}
	}
	if _, err := login("the text of another", nil); !errors.Is(err, access.ErrBadCredentials) {
		t.Error("a wrong key:", err)
	}
	s := access.Subject{User: "ann", Key: "k"}
	if !f.reg.Live(s) {
		t.Error("a good key is not live")
	}
	declare(access.Key{ID: "k", Owner: "ann", ExpiresAt: f.clock.s.Wall.Add(time.Hour), Permissions: everything})
	if !f.reg.Live(s) {
		t.Error("not expired yet")
	}
	f.clock.s.Wall = f.clock.s.Wall.Add(time.Hour)
	if f.reg.Live(s) {
		t.Error("an expired key lives on")
	}
	if _, err := login("the text of k", nil); !errors.Is(err, access.ErrBadCredentials) {
		t.Error("an expired key:", err)
	}
	declare(access.Key{ID: "k", Owner: "nobody", Permissions: everything})
	if _, err := login("the text of k", nil); err != nil || !f.reg.Live(s) {
		t.Error("a declared key whose owner has no account:", err)
	}
	if err := f.reg.PutUser(access.User{Name: "carl"}); err != nil {
		t.Fatal(err)
	}
	if err := f.reg.PutKey(access.Key{ID: "r", Hash: access.HashKey("made here"), Owner: "carl", Permissions: everything}); err != nil {
		t.Fatal(err)
	}
	if err := f.reg.DeleteUser("carl"); err != nil {
		t.Fatal(err)
	}
	if err := f.reg.PutKey(access.Key{ID: "s", Hash: access.HashKey("made later"), Owner: "carl"}); !errors.Is(err, ErrUnknownUser) {
		t.Error("a key for nobody:", err)
	}
	if err := f.reg.PutUser(access.User{Name: "carl"}); err != nil {
		t.Fatal(err)
	}
	if _, err := login("made here", nil); !errors.Is(err, access.ErrBadCredentials) || f.reg.Live(access.Subject{User: "carl", Key: "r"}) {
		t.Error("a key whose owner is gone, and another came:", err)
	}
	declare()
	if _, err := login("the text of k", nil); !errors.Is(err, access.ErrBadCredentials) || f.reg.Live(s) {
		t.Error("a key that is gone:", err)
	}
}

// TestCanWithKey: on the topics of devices a key may what its permissions say,
// which is less than its owner's account.
func TestCanWithKey(t *testing.T) {
	f, _ := keyed(t,
		access.Key{ID: "all", Owner: "ann", PrivateAccess: true, Permissions: everything},
		access.Key{ID: "public", Owner: "ann", Permissions: everything},
		access.Key{ID: "read", Owner: "ann", PrivateAccess: true, Permissions: []access.Permission{{Methods: []string{"get"}}}},
		access.Key{ID: "feed", Owner: "ann", PrivateAccess: true,
			Permissions: []access.Permission{{Methods: access.Methods, Resources: []access.Resource{{Feed: 2}}}}},
		access.Key{ID: "stream", Owner: "ann", PrivateAccess: true,
			Permissions: []access.Permission{{Methods: access.Methods, Resources: []access.Resource{{Feed: 2, Datastream: "TC1"}}}}},
		access.Key{ID: "address", Owner: "ann", PrivateAccess: true,
			Permissions: []access.Permission{{Methods: access.Methods, SourceIP: "192.0.2.1"}}},
		access.Key{ID: "root", Owner: "root", PrivateAccess: true, Permissions: []access.Permission{{Methods: []string{"get"}}}})
	const v, p, m = access.View, access.Publish, access.Manage
	for _, c := range []struct {
		key, device string
		want        []access.Right
	}{
		{"all", "Anns", []access.Right{v, p, m}}, {"all", "Open", []access.Right{v, p}}, {"all", "Bobs", nil}, {"all", "None", nil},
		{"public", "Anns", nil}, {"public", "Open", []access.Right{v, p}},
		{"read", "Anns", []access.Right{v}}, {"read", "Open", []access.Right{v}},
		{"feed", "Anns", []access.Right{v, p}}, {"feed", "Open", nil},
		{"stream", "Anns", nil}, {"address", "Anns", nil},
		{"root", "Bobs", []access.Right{v}},
	} {
		s := access.Subject{User: "ann", Key: c.key}
		var got []access.Right
		for _, r := range []access.Right{v, p, m} {
			if f.reg.Can(s, r, c.device) {
				got = append(got, r)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("key %s on %s: %v, want %v", c.key, c.device, got, c.want)
		}
	}
	if f.reg.Admin(access.Subject{User: "root", Key: "root"}) {
		t.Error("an administrator's key is an administrator")
	}
	b := reading("New", "TC1", "3")
	b.From = access.Subject{User: "ann", Key: "all"}
	f.reg.state.Load().autoCreate = true
	if err := f.hub.Submit(b); !errors.Is(err, ErrUnknownDevice) {
		t.Error("a key made a device by publishing to it:", err)
	}
}

func TestAuthorize(t *testing.T) {
	f, _ := keyed(t,
		access.Key{ID: "all", Owner: "ann", PrivateAccess: true, Permissions: everything},
		access.Key{ID: "public", Owner: "ann", Permissions: everything},
		access.Key{ID: "stream", Owner: "ann", PrivateAccess: true, Permissions: []access.Permission{
			{Methods: []string{"get"}, MinimumInterval: 60, Resources: []access.Resource{{Feed: 2, Datastream: "TC1"}}}}})
	key := func(id string) access.Subject { return access.Subject{User: "ann", Key: id} }
	get := func(feed uint64, stream string) access.Ask {
		return access.Ask{Method: "get", Right: access.View, Feed: feed, Datastream: stream}
	}
	put := func(feed uint64, right access.Right) access.Ask {
		return access.Ask{Method: "put", Right: right, Feed: feed}
	}
	for _, c := range []struct {
		name string
		who  access.Subject
		ask  access.Ask
		want error
	}{
		{"nobody, public feed", access.Subject{}, get(1, ""), access.ErrBadCredentials},
		{"key, own private feed", key("all"), get(2, ""), nil},
		{"key, public feed", key("all"), get(1, ""), nil},
		{"key, somebody else's private feed", key("all"), get(3, ""), ErrDenied},
		{"key, no such feed", key("all"), get(9, ""), ErrUnknownDevice},
		{"key, collection", key("all"), access.Ask{Method: "post"}, nil},
		{"key without private access, own private feed", key("public"), get(2, ""), ErrDenied},
		{"key without private access, public feed", key("public"), get(1, ""), nil},
		{"key, writes where all may", key("all"), put(1, access.Publish), nil},
		{"key, manages where all may write", key("all"), put(1, access.Manage), ErrDenied},
		{"key, manages its own", key("all"), put(2, access.Manage), nil},
		{"limited key, its datastream", key("stream"), get(2, "TC1"), nil},
		{"limited key, the feed", key("stream"), get(2, ""), ErrDenied},
		{"limited key, writes", key("stream"), put(2, access.Publish), ErrDenied},
		{"limited key, collection", key("stream"), access.Ask{Method: "get"}, ErrDenied},
		{"gone key", key("gone"), get(1, ""), access.ErrBadCredentials},
		{"account, own", ann, put(2, access.Manage), nil},
		{"account, somebody else's", bob, get(2, ""), ErrDenied},
		{"account, collection", bob, access.Ask{Method: "post"}, nil},
		{"gone account", access.Subject{User: "carl"}, get(1, ""), access.ErrBadCredentials},
		{"administrator", access.Subject{User: "root"}, put(2, access.Manage), nil},
		{"the gateway", access.System, put(2, access.Manage), nil},
	} {
		p, err := f.reg.Authorize(c.who, c.ask)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && c.who.Key == "stream" && p.MinimumInterval != 60 {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

// TestErase: what a sensor's deletion and an erasure leave in the log.
func TestErase(t *testing.T) {
	f := newFixture(t, declared())
	if _, _, err := f.reg.Apply(ChangeRequest{Op: CreateSensor, Device: "Open", NewSensor: &Sensor{ID: "gone"}}, ""); err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	if err := f.hub.Erase(&Batch{From: access.System, Wait: true}, "Open", "TC1", from, time.Time{}); err != nil {
		t.Fatal(err)
	}
	b := &Batch{From: access.System, Wait: true}
	if err := f.hub.Change(b, ChangeRequest{Op: Delete, Device: "Open", Sensor: "gone"}); err != nil {
		t.Fatal(err)
	}
	if b.Changed != "Open" {
		t.Errorf("changed %q", b.Changed)
	}
	f.log.commit()
	var got []Record
	for _, r := range f.log.records {
		if r.Kind == KindErase {
			got = append(got, r)
		}
	}
	if len(got) != 2 || got[0].Channel != "TC1" || got[1].Channel != "gone" {
		t.Fatalf("%+v", f.log.records)
	}
	var e Erasure
	if err := json.Unmarshal(got[0].Value, &e); err != nil || !e.From.Equal(from) || !e.To.IsZero() {
		t.Errorf("%s: %+v %v", got[0].Value, e, err)
	}
	if string(got[1].Value) != "{}" {
		t.Errorf("%s", got[1].Value)
	}
}

// TestSetPublic: a device made at run time can be opened and closed, one of the
// configuration only there.
func TestSetPublic(t *testing.T) {
	f := newFixture(t, declared())
	if _, _, err := f.reg.Apply(ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "New"}}, "ann"); err != nil {
		t.Fatal(err)
	}
	if f.reg.Can(bob, access.View, "New") {
		t.Fatal("a new device is public")
	}
	open := ChangeRequest{Op: SetPublic, Device: "New", Public: true}
	if err := f.hub.Change(&Batch{From: bob}, open); !errors.Is(err, ErrDenied) {
		t.Error("bob opened it:", err)
	}
	if err := f.hub.Change(&Batch{From: ann}, open); err != nil || !f.reg.Can(bob, access.View, "New") {
		t.Error("ann could not open it:", err)
	}
	// Of a declared device it holds until the file says something new.
	if err := f.hub.Change(&Batch{From: ann}, ChangeRequest{Op: SetPublic, Device: "Anns", Public: true}); err != nil || !f.reg.Can(bob, access.View, "Anns") {
		t.Error("a declared device:", err)
	}
	again := func(public bool) *Registry {
		d := declared()
		d.Devices[1].Grants.Public = public
		reg, err := NewRegistry(f.tables, openGate{}, f.clock, d)
		if err != nil {
			t.Fatal(err)
		}
		return reg
	}
	if !again(false).Can(bob, access.View, "Anns") {
		t.Error("it does not outlive a restart")
	}
	if !again(true).Can(bob, access.View, "Anns") {
		t.Error("the file and the change agree, and yet")
	}
	if again(false).Can(bob, access.View, "Anns") {
		t.Error("what the file has overruled came back with the file's former text")
	}
	if err := f.hub.Change(&Batch{From: ann}, ChangeRequest{Op: SetPublic, Device: "Anns"}); err != nil || f.reg.Can(bob, access.View, "Anns") || again(false).Can(bob, access.View, "Anns") {
		t.Error("it cannot be taken back:", err)
	}
}

// TestDeclaredKeyChangedAtRunTime: a change of a declared key holds over
// restarts until the file says something new about it.
func TestDeclaredKeyChangedAtRunTime(t *testing.T) {
	k := access.Key{ID: "k", Owner: "ann", Label: "first", Permissions: everything}
	f, declare := keyed(t, k)
	login := func(text string) error {
		_, err := f.reg.Login(context.Background(), "192.0.2.1:1", text, nil, false)
		return err
	}
	changed := k
	changed.Hash, changed.Label = access.HashKey("regenerated"), "second"
	if err := f.reg.PutKey(changed); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := login("the text of k"); !errors.Is(err, access.ErrBadCredentials) {
			t.Error("the old text:", err)
		}
		if err := login("regenerated"); err != nil {
			t.Error("the new text:", err)
		}
		declare(k) // as with a reload
	}
	if err := f.reg.DeleteKey("k"); err != nil {
		t.Fatal(err)
	}
	declare(k)
	for _, text := range []string{"the text of k", "regenerated"} {
		if err := login(text); !errors.Is(err, access.ErrBadCredentials) {
			t.Errorf("a deleted key, %s: %v", text, err)
		}
	}
	k.Label = "edited in the file"
	declare(k)
	if err := login("the text of k"); err != nil {
		t.Error("the file has a new word:", err)
	}
	k.Label = "first"
	declare(k)
	if err := login("the text of k"); err != nil {
		t.Error("what the file has overruled came back with the file's former text:", err)
	}
	declare()
	if len(f.reg.Keys()) != 0 {
		t.Errorf("%+v", f.reg.Keys())
	}
}

// TestFeedNumbersStay: a number is given once, whoever comes later.
func TestFeedNumbersStay(t *testing.T) {
	f := newFixture(t, declared())
	d, _, err := f.reg.Apply(ChangeRequest{Op: CreateDevice, NewDevice: &Device{ID: "victim"}}, "ann")
	if err != nil || d.Feed == 0 {
		t.Fatal(d, err)
	}
	n := feedNumber("victim")
	if d.Feed != n {
		t.Fatalf("feed %d, want %d", d.Feed, n)
	}
	// One whose number would be the same and whose id comes first.
	if err := f.reg.PutDevice(&Device{ID: "attacker", Feed: n}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, _ := f.reg.Feed(n); got.ID != "victim" {
			t.Errorf("feed %d is %s now", n, got.ID)
		}
		if got, _ := f.reg.Device("attacker"); got.Feed == n || got.Feed == 0 {
			t.Errorf("the other one has %d", got.Feed)
		}
		if err := f.reg.Declare(declared()); err != nil {
			t.Fatal(err)
		}
	}
	// What the file says goes first.
	with := declared()
	with.Devices[1].Feed = n
	if err := f.reg.Declare(with); err != nil {
		t.Fatal(err)
	}
	if got, _ := f.reg.Feed(n); got.ID != "Anns" {
		t.Errorf("feed %d is %s", n, got.ID)
	}
	if got, _ := f.reg.Device("victim"); got.Feed == n {
		t.Error("two devices have one number")
	}
}

// TestRestoreAfterNamesakes: values of a deleted sensor are not those of the
// next one of its id, and a back-dated record is not the present.
func TestRestoreAfterNamesakes(t *testing.T) {
	f := newFixture(t, declared())
	at := f.clock.s.Wall
	value := func(channel, v string, at time.Time) Record {
		return Record{Kind: KindSensor, Device: "Open", Channel: channel, Value: json.RawMessage(v), At: at, Stamp: Stamp{Wall: at, Quality: ClockSynced}}
	}
	newest := value("TC1", "2", at)
	log := []Record{ // newest first
		value("TC1", "1", at.Add(-time.Hour)), newest,
		{Kind: KindErase, Device: "Anns", Channel: "TC1", Value: json.RawMessage("{}")},
		{Kind: KindSensor, Device: "Anns", Channel: "TC1", Value: json.RawMessage("3"), At: at},
	}
	err := f.hub.Restore(func(fn func(Record) bool) error {
		for _, r := range log {
			if !fn(r) {
				break
			}
		}
		return nil
	}, func(_ context.Context, q HistoryQuery, fn func(Record) error) error {
		if !q.Backward || q.Limit != 1 || q.Device != "Open" || !q.From.Equal(at.Add(-time.Hour)) {
			t.Errorf("%+v", q)
		}
		return fn(newest)
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := f.hub.Current("Open", "TC1", KindSensor); !ok || string(r.Value) != "2" {
		t.Errorf("the present value is %s", r.Value)
	}
	if r, ok := f.hub.Current("Anns", "TC1", KindSensor); ok {
		t.Errorf("a namesake's value %s", r.Value)
	}
}
